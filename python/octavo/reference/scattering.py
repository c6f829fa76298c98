"""Ops that read or write elements at indices: Gather, Scatter in their forms, ReverseSequence, MaxUnpool."""

from collections.abc import Callable

import numpy as np

from octavo.errors import RunError
from octavo.program import Node
from octavo.program.attributes import integer, integers, text
from octavo.reference.floats import Op
from octavo.reference.movement import sized
from octavo.reference.operands import Array, Inputs, axis_of, optional, required

Reduction = Callable[[Array, Array], Array]


def _inside(indices: Array, length: int, axis: int) -> Array:
    """The indices counted from the front."""
    if ((indices < -length) | (indices >= length)).any():
        raise RunError(f"an index is outside the {length} elements of axis {axis}")
    return indices % max(length, 1)


def _places(x: Array, indices: Array, axis: int) -> tuple[Array, ...]:
    """For each index its place in x: its own position on every axis but the index's."""
    rank = x.ndim
    if indices.ndim != rank or any(
        m > n for at, (m, n) in enumerate(zip(indices.shape, x.shape, strict=False)) if at != axis
    ):
        raise RunError(f"indices of shape {list(indices.shape)} on axis {axis} of shape {list(x.shape)}")
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[axis] = _inside(indices, x.shape[axis], axis)
    return tuple(places)


def _tuples(x: Array, indices: Array, batches: int) -> tuple[Array, ...]:
    """The places in x's first axes that the batches and the index tuples of the last axis name."""
    m = indices.shape[-1] if indices.ndim else 0
    if (
        not m
        or batches >= indices.ndim
        or batches + m > x.ndim
        or x.shape[:batches] != indices.shape[:batches]
    ):
        raise RunError(f"indices of shape {list(indices.shape)} on a tensor of shape {list(x.shape)}")
    outer: list[Array] = list(np.indices(indices.shape[:-1], sparse=True))[:batches]
    named = [_inside(indices[..., at], x.shape[batches + at], batches + at) for at in range(m)]
    return (*outer, *named)


def gather_elements(node: Node, inputs: Inputs) -> list[Array]:
    """For each index the element of x there along the axis, at the index's own position on the others."""
    x, indices = required(inputs, 0), required(inputs, 1)
    return [x[_places(x, indices, axis_of(integer(node, "axis"), x.ndim))]]


def gather_nd(node: Node, inputs: Inputs) -> list[Array]:
    """The slices of x that the index tuples of the last axis name, batch by batch."""
    x, indices, batches = required(inputs, 0), required(inputs, 1), integer(node, "batch_dims")
    places = _tuples(x, indices, batches)
    sized([*indices.shape[:-1], *x.shape[len(places) :]])
    return [x[places]]


def _greater(a: Array, b: Array) -> Array:
    """NaN where one is; +0 above -0."""
    equal = np.where(np.signbit(a), b, a) if a.dtype.kind == "f" else a
    return np.where(np.isnan(a), a, np.where(a == b, equal, np.where(a > b, a, b)))


def _lesser(a: Array, b: Array) -> Array:
    """NaN where one is; -0 below +0."""
    equal = np.where(np.signbit(a), a, b) if a.dtype.kind == "f" else a
    return np.where(np.isnan(a), a, np.where(a == b, equal, np.where(a < b, a, b)))


_REDUCTIONS: dict[str, Reduction] = {
    "none": lambda _, b: b,
    "add": np.add,
    "mul": np.multiply,
    "max": _greater,
    "min": _lesser,
}
"""On numpy's own dtypes: integers wrap, float16 is computed in float32 and rounded once."""


def _scattered(
    node: Node, x: Array, places: tuple[Array, ...], updates: Array, outer: tuple[int, ...]
) -> Array:
    """A copy of x where each place, in row-major order of `outer`, is changed by its update."""
    reduce = _REDUCTIONS[text(node, "reduction", "none")]
    y = x.copy()
    places = tuple(np.broadcast_to(place, outer) for place in places)
    for position in np.ndindex(outer):
        place = tuple(int(along[position]) for along in places)
        y[place] = reduce(y[place], updates[position])
    return y


def scatter_elements(node: Node, inputs: Inputs) -> list[Array]:
    """A copy of x, changed at each index along the axis, at the index's own position on the others."""
    x, indices, updates = (required(inputs, place) for place in range(3))
    places = _places(x, indices, axis_of(integer(node, "axis"), x.ndim))
    if updates.shape != indices.shape:
        raise RunError(f"updates of shape {list(updates.shape)}, not {list(indices.shape)}")
    return [_scattered(node, x, places, updates, indices.shape)]


def scatter_nd(node: Node, inputs: Inputs) -> list[Array]:
    """A copy of x, changed in the slices that the index tuples of the last axis name."""
    x, indices, updates = (required(inputs, place) for place in range(3))
    places = _tuples(x, indices, 0)
    wanted = indices.shape[:-1] + x.shape[len(places) :]
    if updates.shape != wanted:
        raise RunError(f"updates of shape {list(updates.shape)}, not {list(wanted)}")
    return [_scattered(node, x, places, updates, indices.shape[:-1])]


def tensor_scatter(node: Node, inputs: Inputs) -> list[Array]:
    """A cache [batch, .., n, ..] into which each sequence's update is written from its index on."""
    cache, update, starts = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    axis = axis_of(integer(node, "axis"), cache.ndim)
    lengths = update.shape[axis : axis + 1]
    if not axis or update.shape != (*cache.shape[:axis], *lengths, *cache.shape[axis + 1 :]):
        raise RunError(f"an update of shape {list(update.shape)} for a cache of {list(cache.shape)}")
    n, length = cache.shape[axis], lengths[0]
    starts = np.zeros(len(cache), np.int64) if starts is None else starts
    is_circular = text(node, "mode", "linear") == "circular"
    outside = not is_circular and update.size and ((starts < 0) | (starts > n - length)).any()
    if length > n or starts.shape != cache.shape[:1] or outside:
        raise RunError(f"{length} elements from {starts.tolist()} on do not fit into {n}")
    y = cache.copy()
    for own, start, new in zip(y, starts if update.size else [], update, strict=False):
        places = (int(start) + np.arange(length)) % n
        np.moveaxis(own, axis - 1, 0)[places] = np.moveaxis(new, axis - 1, 0)
    return [y]


def reverse_sequence(node: Node, inputs: Inputs) -> list[Array]:
    """x with the first elements of each sequence of the batch backwards, as many as its length says."""
    x, lengths = required(inputs, 0), required(inputs, 1)
    if x.ndim < 2:
        raise RunError(f"its input of shape {list(x.shape)} has no sequences")
    by_time = np.swapaxes(x, 0, 1) if integer(node, "time_axis") else x
    time, batch = by_time.shape[:2]
    if lengths.shape != (batch,) or ((lengths < 0) | (lengths > time)).any():
        raise RunError(f"lengths {lengths.tolist()} of {batch} sequences of {time}")
    t = np.arange(time)[:, None]
    y = by_time[np.where(t < lengths, lengths - 1 - t, t), np.arange(batch)]
    return [np.swapaxes(y, 0, 1) if integer(node, "time_axis") else y]


def max_unpool(node: Node, inputs: Inputs) -> list[Array]:
    """Zeros but for the elements of x, each at its index in the whole output; of one index the last stays.

    The output has the shape that is stated, or the least of which a MaxPool makes one like x.
    """
    x, indices, stated = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    kernel, strides, pads = (integers(node, name) for name in ("kernel_shape", "strides", "pads"))
    axes = len(kernel)
    if x.ndim != axes + 2 or indices.shape != x.shape:
        raise RunError(f"elements of shape {list(x.shape)} and indices of shape {list(indices.shape)}")
    shape = list(x.shape[:2])
    if stated is None:
        sizes = zip(x.shape[2:], kernel, strides, pads[:axes], pads[axes:], strict=True)
        shape += [(n - 1) * stride + k - before - after for n, k, stride, before, after in sizes]
    elif stated.shape != (x.ndim,) or stated[:2].tolist() != shape:
        raise RunError(f"shape {stated.tolist()} for elements of shape {list(x.shape)}")
    else:
        shape = stated.tolist()
    y: Array = np.zeros(sized(shape), x.dtype)
    if ((indices < 0) | (indices >= y.size)).any():
        raise RunError(f"an index is outside the {y.size} elements of its output")
    flat = y.reshape(-1)
    for index, element in zip(indices.reshape(-1), x.reshape(-1), strict=True):
        flat[index] = element
    return [y]


SCATTERING_OPS: dict[str, Op] = {
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "MaxUnpool": max_unpool,
    "ReverseSequence": reverse_sequence,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "TensorScatter": tensor_scatter,
}
