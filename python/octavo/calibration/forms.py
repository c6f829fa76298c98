"""The forms in which people have calibration data, and what a sample of each is: by name, for each input."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from octavo.errors import DataError

Array: TypeAlias = npt.NDArray[Any]
Feeds: TypeAlias = MutableMapping[str, Array]
Samples: TypeAlias = "Array | Mapping[str, Array] | Iterable[Array | Mapping[str, Array] | list[Array]]"


class Reader(Protocol):
    """A source that gives one feed after the other, and None behind the last, as ONNX Runtime's do."""

    def get_next(self) -> Mapping[str, Array] | None:
        """The next feed."""


Data: TypeAlias = "Samples | Callable[[], Samples] | Reader"


class Input(Protocol):
    """An input of the model, or an output: as a session's `get_inputs()` gives them, or `get_outputs()`."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def shape(self) -> list[int | str]:
        """Numbers, and the symbols of free axes."""

    @property
    def type(self) -> str:
        """As `tensor(float)`."""


def opened(data: Data) -> Samples:
    """The array, the dict of arrays, or the iterable of items that data of any form is or gives."""
    if isinstance(data, str | bytes | os.PathLike):
        raise DataError(
            f"calibration data cannot be of type {type(data).__name__}: give what the file holds, as np.load "
            "reads it, or the path to the command: octavo quantize MODEL --data PATH"
        )
    if hasattr(data, "get_next"):
        return _read(data.get_next)
    if callable(data):
        # A reader's method, given in place of the reader.
        is_reader = getattr(data, "__name__", "") == "get_next"
        return _read(data) if is_reader else opened(data())  # type: ignore[arg-type]  # of a reader
    if isinstance(data, np.ndarray | Mapping | Iterable):
        return data
    raise DataError(
        f"calibration data cannot be of type {type(data).__name__}: give an array, a dict of arrays, an "
        "iterable of samples, or a function that returns one"
    )


def _read(get_next: Callable[[], Mapping[str, Array] | None]) -> Iterator[Mapping[str, Array]]:
    while (feeds := get_next()) is not None:
        yield feeds


def named(item: object, inputs: Sequence[Input], index: int) -> Mapping[str, Any]:
    """What an item of an iterable holds for each input.

    A dict names the inputs; a list or tuple of as many arrays as there are inputs is in their order, as in
    TensorFlow Lite's data sets; anything else is that of the only input.
    """
    if isinstance(item, Mapping):
        return item
    if isinstance(item, list | tuple) and item and all(map(_is_array, item)):
        if len(item) == len(inputs):
            return {wanted.name: array for wanted, array in zip(inputs, item, strict=True)}
        if isinstance(item, tuple) or _shapes(item) > 1:
            raise DataError(_of_parts(item, inputs, index))
    return {only(inputs).name: item}


def _is_array(part: object) -> bool:
    """Whether a part of an item is an array, numpy's or another library's, and no number or list."""
    return hasattr(part, "shape") and hasattr(part, "dtype") and not isinstance(part, np.generic)


def _shapes(parts: list[Any]) -> int:
    return len({tuple(part.shape) for part in parts})


def _of_parts(item: "list[Any] | tuple[Any, ...]", inputs: Sequence[Input], index: int) -> str:
    said = (
        f"sample {index} is a {type(item).__name__} of {len(item)} arrays, and the model has "
        f"{len(inputs)} input{'s' * (len(inputs) != 1)}"
    )
    if len(inputs) == 1 and len(item) == 2:
        return f"{said}; labels are not needed: give (images for images, _ in data)"
    return f"{said}, {', '.join(repr(wanted.name) for wanted in inputs)}: give dicts by these names"


def only(inputs: Sequence[Input]) -> Input:
    """The input of a model that has one; `DataError` where it has more."""
    if len(inputs) == 1:
        return inputs[0]
    names = ", ".join(repr(wanted.name) for wanted in inputs)
    raise DataError(f"the model has {len(inputs)} inputs, so the data must name them: a dict with {names}")
