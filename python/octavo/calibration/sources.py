"""Calibration data in any of its forms, as feeds of one sample each."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from octavo.calibration.batches import Batches, Run
from octavo.calibration.forms import Array, Data, Feeds, Input, Samples, named, only, opened
from octavo.errors import DataError

_DTYPES = {"float": "float32", "double": "float64"}


def samples(data: Data, inputs: Sequence[Input], run: Run | None) -> Iterator[Feeds]:
    """Feeds of one sample each, checked against `inputs`, read as they are asked for.

    data: an array whose first axis is the samples'; a dict of such arrays by input name; an iterable of
    samples or feeds, one array, a dict of arrays, or a list of one for each input; a reader with `get_next`;
    or a function that returns one of these. A sample may lack the batch axis. A feed of several samples is
    cut into single ones, unless the model fixes the size of its batch, or looks over more than one entry of
    the first axis, by trial with `run`; without `run` it is left whole. Raises `DataError` where there is no
    data, or where it does not fit the inputs.
    """
    batches = None if run is None else Batches(run)
    count = 0
    for feeds in _feeds(opened(data), inputs):
        for sample in _split(feeds, inputs, count, batches):
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
        yield from _of_arrays({only(inputs).name: data}, inputs)
    elif isinstance(data, Mapping):
        yield from _of_arrays(dict(data), inputs)
    else:
        for index, item in enumerate(data):
            given = named(item, inputs, index)
            yield {
                wanted.name: _batched(_array(given, wanted, index), wanted, index)
                for wanted in _checked_names(given, inputs, index)
            }


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


def _split(feeds: Feeds, inputs: Sequence[Input], index: int, batches: Batches | None) -> Iterator[Feeds]:
    """Feeds of one sample where all inputs share a free first axis of samples, else the feeds as they are."""
    free = all(wanted.shape and isinstance(wanted.shape[0], str) for wanted in inputs)
    symbols = {wanted.shape[0] for wanted in inputs} if free else set()
    lengths = {len(array) for array in feeds.values()} if free else set()
    if not free or len(symbols) > 1 or len(lengths) > 1:
        yield feeds
        return
    if 0 in lengths:
        raise DataError(f"sample {index} is empty: its first axis has the length 0")
    length = next(iter(lengths))
    if length == 1 or batches is None or not batches.are_cut(feeds):
        yield feeds
        return
    for at in range(length):
        yield {name: array[at : at + 1] for name, array in feeds.items()}


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
    except (TypeError, ValueError, RuntimeError) as error:  # of torch: a tensor that needs gradients, say
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
