"""Calibration data in any of its forms, as feeds of one sample each."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from octavo.errors import DataError

Array: TypeAlias = npt.NDArray[Any]
Feeds: TypeAlias = dict[str, Array]
Samples: TypeAlias = "Array | Mapping[str, Array] | Iterable[Array | Mapping[str, Array]]"
Data: TypeAlias = "Samples | Callable[[], Samples]"


class Input(Protocol):
    """An input of the model: its name, shape and type, as a session's `get_inputs()` gives them."""

    @property
    def name(self) -> str:
        """The input's name."""

    @property
    def shape(self) -> list[int | str]:
        """Numbers, and the symbols of free axes."""

    @property
    def type(self) -> str:
        """As `tensor(float)`."""


_DTYPES = {"float": "float32", "double": "float64"}


def samples(data: Data, inputs: Sequence[Input]) -> Iterator[Feeds]:
    """Feeds of one sample each, checked against `inputs`, read as they are asked for.

    data: an array whose first axis is the samples'; a dict of such arrays by input name; an iterable of
    samples or feeds, one array or a dict of arrays each; or a function that returns one of these. A sample
    may lack the batch axis. A feed of several is cut into single ones, unless the model fixes the size of its
    batch. Raises `DataError` where there is no data, or where it does not fit the inputs.
    """
    if callable(data):
        data = data()
    count = 0
    for feeds in _feeds(data, inputs):
        for sample in _split(feeds, inputs, count):
            _check_finite(sample, count)
            count += 1
            yield sample
    if count == 0:
        raise DataError("the calibration data are empty: give at least one sample, better 100 that differ")


def mapped_files(data: Data) -> tuple[str, ...]:
    """The files that the arrays of `data` are read from as they are used, as far as the arrays tell."""
    if isinstance(data, np.lib.npyio.NpzFile):
        name = data.zip.filename if data.zip else None
        return (os.path.realpath(name),) if name else ()
    items = data.values() if isinstance(data, Mapping) else data if isinstance(data, list | tuple) else [data]
    return tuple(
        os.path.realpath(item.filename) for item in items if isinstance(item, np.memmap) and item.filename
    )


def _feeds(data: Samples, inputs: Sequence[Input]) -> Iterator[Feeds]:
    """The data as feeds, each array with its batch axis."""
    if isinstance(data, np.ndarray):
        yield from _of_arrays({_only(inputs).name: data}, inputs)
    elif isinstance(data, Mapping):
        yield from _of_arrays(dict(data), inputs)
    elif isinstance(data, Iterable) and not isinstance(data, str | bytes):
        for index, item in enumerate(data):
            named = item if isinstance(item, Mapping) else {_only(inputs).name: item}
            yield {
                wanted.name: _batched(_array(named, wanted, index), wanted, index)
                for wanted in _checked_names(named, inputs, index)
            }
    else:
        raise DataError(
            f"calibration data cannot be of type {type(data).__name__}: give an array, a dict of arrays, an "
            "iterable of samples, or a function that returns one"
        )


def _of_arrays(arrays: Mapping[str, Any], inputs: Sequence[Input]) -> Iterator[Feeds]:
    """Whole arrays, whose first axis is the samples': one feed a sample, or a batch where that is fixed."""
    parts = {
        wanted.name: _parts(_array(arrays, wanted, None), wanted)
        for wanted in _checked_names(arrays, inputs, None)
    }
    counts = {name: len(part) for name, part in parts.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"the inputs have different numbers of samples: {counts}")
    for index in range(next(iter(counts.values()), 0)):
        yield {name: part[index] for name, part in parts.items()}


def _parts(array: Array, wanted: Input) -> list[Array]:
    rank = len(wanted.shape)
    if array.ndim == rank + 1:
        return [_fitting(item, wanted, index) for index, item in enumerate(array)]
    if array.ndim != rank or rank == 0:
        raise DataError(
            f"the data for {wanted.name!r} have the shape {list(array.shape)}; a sample "
            f"is {wanted.shape}, so an array of samples has {rank} axes, the first of them for the samples"
        )
    size = wanted.shape[0]
    step = size if isinstance(size, int) and size > 0 else 1
    if len(array) % step:
        raise DataError(
            f"{wanted.name!r} takes {step} samples at a time, and {len(array)} is not a multiple of that"
        )
    return [_fitting(array[at : at + step], wanted, at) for at in range(0, len(array), step)]


def _batched(array: Array, wanted: Input, index: int) -> Array:
    """A single item, with the batch axis added where it is missing."""
    if array.ndim == len(wanted.shape) - 1:
        array = array[np.newaxis]
    return _fitting(array, wanted, index)


def _fitting(array: Array, wanted: Input, index: int) -> Array:
    """The array, contiguous, where its shape fits the input."""
    fits = array.ndim == len(wanted.shape) and all(
        isinstance(size, str) or size == given for size, given in zip(wanted.shape, array.shape, strict=True)
    )
    if not fits:
        raise DataError(
            f"sample {index} for {wanted.name!r} has the shape {list(array.shape)}, "
            f"the model takes {wanted.shape}"
        )
    return np.asarray(array, order="C")


def _split(feeds: Feeds, inputs: Sequence[Input], index: int) -> Iterator[Feeds]:
    """Feeds of one sample where all inputs share a free first axis, else the feeds as they are."""
    free = all(wanted.shape and isinstance(wanted.shape[0], str) for wanted in inputs)
    symbols = {wanted.shape[0] for wanted in inputs} if free else set()
    lengths = {len(array) for array in feeds.values()} if free else set()
    if not free or len(symbols) > 1 or len(lengths) > 1:
        yield feeds
        return
    if 0 in lengths:
        raise DataError(f"sample {index} is empty: its first axis has the length 0")
    for at in range(next(iter(lengths))):
        yield {name: array[at : at + 1] for name, array in feeds.items()}


def _only(inputs: Sequence[Input]) -> Input:
    if len(inputs) == 1:
        return inputs[0]
    names = ", ".join(repr(wanted.name) for wanted in inputs)
    raise DataError(f"the model has {len(inputs)} inputs, so the data must name them: a dict with {names}")


def _checked_names(given: Mapping[str, Any], inputs: Sequence[Input], index: int | None) -> Sequence[Input]:
    """The inputs, once it is known that `given` names each of them and no other."""
    names = [wanted.name for wanted in inputs]
    where = "" if index is None else f" in sample {index}"
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names]
    if missing or unknown:
        what = f"no data for {missing[0]!r}" if missing else f"the model has no input {unknown[0]!r}"
        came = ", ".join(repr(name) for name in given) or "nothing"
        wanted = ", ".join(map(repr, names))
        raise DataError(f"{what}{where}; the model's inputs are {wanted}; the data have {came}")
    return inputs


def _array(given: Mapping[str, Any], wanted: Input, index: int | None) -> Array:
    where = "the data" if index is None else f"sample {index}"
    try:
        array = np.asarray(given[wanted.name])
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} for {wanted.name!r} cannot be made an array: {error}") from error
    plain = wanted.type.removeprefix("tensor(").removesuffix(")")
    dtype = np.dtype(_DTYPES.get(plain, plain))
    if array.dtype != dtype:
        raise DataError(
            f"{where} for {wanted.name!r} are {array.dtype}, the model takes {dtype}: convert them "
            f"first, for example with .astype(np.{dtype}), and scale them as the model was trained"
        )
    return array


def _check_finite(feeds: Feeds, index: int) -> None:
    for name, array in feeds.items():
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise DataError(f"sample {index} for {name!r} holds NaN or an infinite value")
