"""Reductions, softmax and global pools.

A sum over the last axis alone uses 16 lanes from +0, element i to lane i mod 16, folded by 8, 4, 2, 1.
Every other sum is one chain from +0 in the index order of the logical layout, and so is every sum of
float64 or integers, which wrap. Products are taken in the order of sums. A mean is the sum divided by the
count.
"""

from collections.abc import Callable
from math import prod

import numpy as np

from octavo.program import Node
from octavo.program.attributes import integer
from octavo.reference import functions
from octavo.reference.fma import Float32
from octavo.reference.operands import Array, Inputs, axis_of, optional, planes, required

LANES = 16


def fold_lanes(x: Array, start: float, step: Callable[[Array, Array], Array]) -> Array:
    """A fold over the last axis of x in 16 lanes from `start`, which must change nothing."""
    n = x.shape[-1]
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -n % LANES)], constant_values=start)
    with np.errstate(all="ignore"):
        lanes = np.full((*x.shape[:-1], LANES), start, x.dtype)
        for first in range(0, n, LANES):
            lanes = step(lanes, padded[..., first : first + LANES])
        for half in (8, 4, 2, 1):
            lanes = step(lanes[..., :half], lanes[..., half : 2 * half])
    return np.asarray(lanes[..., 0])


def fold_chain(x: Array, start: float, step: Callable[[Array, Array], Array]) -> Array:
    """A fold over the last axis of x, one element after the other."""
    total = np.full(x.shape[:-1], start, x.dtype)
    with np.errstate(all="ignore"):
        for i in range(x.shape[-1]):
            total = np.asarray(step(total, x[..., i]), x.dtype)
    return total


def _fold(x: Array, start: float, step: Callable[[Array, Array], Array], lanes: bool) -> Array:
    """The last axis of x in lanes, which float32 alone has, or in a chain."""
    # A lane begins as +0 and so never is -0: adding +0 changes nothing.
    return (fold_lanes if lanes and x.dtype == np.float32 else fold_chain)(x, start, step)


def sum_lanes(x: Float32) -> Float32:
    """The sum over the last axis of x in 16 lanes."""
    return fold_lanes(x, 0, np.add)


def sum_chain(x: Float32) -> Float32:
    """The sum over the last axis of x, one element after the other."""
    return fold_chain(x, 0, np.add)


def _largest(x: Array, lanes: bool) -> Array:
    """The maximum over the last axis; the order does not matter."""
    if x.dtype.kind in "iu":
        return np.asarray(np.max(x, axis=-1, initial=np.iinfo(x.dtype).min))
    if x.dtype == np.bool_:
        return np.asarray(np.any(x, axis=-1))
    return fold_chain(x, -np.inf, functions.maximum)


def _smallest(x: Array, lanes: bool) -> Array:
    """The minimum over the last axis; the order does not matter."""
    if x.dtype.kind in "iu":
        return np.asarray(np.min(x, axis=-1, initial=np.iinfo(x.dtype).max))
    if x.dtype == np.bool_:
        return np.asarray(np.all(x, axis=-1))
    return fold_chain(x, np.inf, functions.minimum)


def _sum(x: Array, lanes: bool) -> Array:
    return _fold(x, 0, np.add, lanes)


def _mean(x: Array, lanes: bool) -> Array:
    """The sum by the count; of integers truncated toward 0, and 0 where there are none."""
    total, count = _sum(x, lanes), x.shape[-1]
    with np.errstate(all="ignore"):
        if x.dtype.kind == "f":
            return np.asarray(total / x.dtype.type(count))
        whole = total.astype(np.int64)
        floored = whole // max(count, 1)
        return np.asarray(floored + ((floored < 0) & (floored * count != whole))).astype(x.dtype)


def _product(x: Array, lanes: bool) -> Array:
    return _fold(x, 1, np.multiply, lanes)


def _l1(x: Array, lanes: bool) -> Array:
    with np.errstate(all="ignore"):
        return _sum(np.abs(x), lanes)


def _sum_square(x: Array, lanes: bool) -> Array:
    with np.errstate(all="ignore"):
        return _sum(np.multiply(x, x), lanes)


def _l2(x: Array, lanes: bool) -> Array:
    """The root of the sum of squares; of an integer by way of float32, truncated, 0 where it is negative."""
    total = _sum_square(x, lanes)
    if x.dtype.kind == "f":
        return np.asarray(np.sqrt(total))
    return np.asarray(np.sqrt(np.maximum(total, 0).astype(np.float32)).astype(x.dtype))


def _log_sum(x: Array, lanes: bool) -> Array:
    return functions.log(_sum(x, lanes))


def _log_sum_exp(x: Array, lanes: bool) -> Array:
    """`log(sum(exp(x - m))) + m`, m the largest element, or 0 where that is not finite."""
    largest = _largest(x, lanes)
    shift = np.where(np.isfinite(largest), largest, np.float32(0))
    with np.errstate(all="ignore"):
        return np.asarray(functions.log(_sum(functions.exp(x - shift[..., None]), lanes)) + shift)


def _reduced_axes(node: Node, inputs: Inputs, rank: int) -> list[int]:
    axes = optional(inputs, 1)
    if axes is None or axes.size == 0:
        return [] if integer(node, "noop_with_empty_axes") else list(range(rank))
    return sorted({axis_of(int(axis), rank) for axis in axes.ravel()})


def reduction(
    reduce: Callable[[Array, bool], Array], composite: bool = False
) -> Callable[[Node, Inputs], list[Array]]:
    """The op that reduces some axes: those of the second input, or all.

    composite: it does more than to join elements, which is done where no axis is reduced as well.
    """

    def run(node: Node, inputs: Inputs) -> list[Array]:
        x = required(inputs, 0)
        axes = _reduced_axes(node, inputs, x.ndim)
        if not axes and integer(node, "noop_with_empty_axes") and not composite:
            return [x]
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        count = prod(x.shape[axis] for axis in axes)
        flat = x.transpose(kept + axes).reshape(*(x.shape[axis] for axis in kept), count)
        lanes = axes == [x.ndim - 1]
        y = reduce(flat, lanes)
        return [np.expand_dims(y, tuple(axes)) if integer(node, "keepdims") else y]

    return run


REDUCTIONS = {
    "ReduceMean": reduction(_mean),
    "ReduceSum": reduction(_sum),
    "ReduceMax": reduction(_largest),
    "ReduceMin": reduction(_smallest),
    "ReduceProd": reduction(_product),
    "ReduceL1": reduction(_l1, composite=True),
    "ReduceL2": reduction(_l2, composite=True),
    "ReduceSumSquare": reduction(_sum_square, composite=True),
    "ReduceLogSum": reduction(_log_sum, composite=True),
    "ReduceLogSumExp": reduction(_log_sum_exp, composite=True),
}


def global_average_pool(node: Node, inputs: Inputs) -> list[Array]:
    """x [N, C, *spatial] -> [N, C, 1...]: a chain over the spatial axes, divided by their size."""
    x = required(inputs, 0)
    return [_mean(planes(x), lanes=False).reshape(*x.shape[:2], *[1] * (x.ndim - 2))]


def global_max_pool(node: Node, inputs: Inputs) -> list[Array]:
    """x [N, C, *spatial] -> [N, C, 1...]: the largest; uint8 as float32."""
    x = required(inputs, 0)
    return [_largest(planes(x), lanes=False).reshape(*x.shape[:2], *[1] * (x.ndim - 2))]


def _softmax(node: Node, inputs: Inputs, log: bool) -> list[Array]:
    x = required(inputs, 0)
    axis = axis_of(integer(node, "axis"), x.ndim)
    moved = np.moveaxis(x, axis, -1)
    with np.errstate(all="ignore"):
        shifted = moved - _largest(moved, lanes=False)[..., None]
        e = functions.exp(shifted)
        total = _sum(e, lanes=axis == x.ndim - 1)[..., None]
        y = shifted - functions.log(total) if log else e / total
    return [np.ascontiguousarray(np.moveaxis(y, -1, axis))]


def softmax(node: Node, inputs: Inputs) -> list[Array]:
    """`e / sum(e)` with `e = exp(x - max(x))` over the axis."""
    return _softmax(node, inputs, log=False)


def log_softmax(node: Node, inputs: Inputs) -> list[Array]:
    """`(x - max(x)) - log(sum(exp(x - max(x))))` over the axis."""
    return _softmax(node, inputs, log=True)
