"""Reductions, softmax and global pools.

A sum over the last axis alone uses 16 lanes from +0, element i to lane i mod 16, folded by 8, 4, 2, 1.
Every other sum is one chain from +0 in the index order of the logical layout. A mean is the sum divided
by the count.
"""

from collections.abc import Callable
from math import prod

import numpy as np

from octavo.program import Node
from octavo.reference import functions
from octavo.reference.attributes import Array, Inputs, axis_of, integer, optional, required
from octavo.reference.fma import Float32

LANES = 16


def sum_lanes(x: Float32) -> Float32:
    """The sum over the last axis of x in 16 lanes."""
    n = x.shape[-1]
    # A lane begins as +0 and so never is -0: adding +0 changes nothing.
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -n % LANES)])
    with np.errstate(all="ignore"):
        lanes = np.zeros((*x.shape[:-1], LANES), np.float32)
        for first in range(0, n, LANES):
            lanes = lanes + padded[..., first : first + LANES]
        for half in (8, 4, 2, 1):
            lanes = lanes[..., :half] + lanes[..., half : 2 * half]
    return np.asarray(lanes[..., 0])


def sum_chain(x: Float32) -> Float32:
    """The sum over the last axis of x, one element after the other."""
    total = np.zeros(x.shape[:-1], np.float32)
    with np.errstate(all="ignore"):
        for i in range(x.shape[-1]):
            total = np.asarray(total + x[..., i])
    return total


def _largest(x: Array, lanes: bool) -> Array:
    """The maximum over the last axis; the order does not matter."""
    if x.dtype == np.uint8:
        return np.asarray(np.max(x, axis=-1, initial=0))
    y = np.full(x.shape[:-1], -np.inf, np.float32)
    for i in range(x.shape[-1]):
        y = functions.maximum(y, x[..., i])
    return y


def _smallest(x: Array, lanes: bool) -> Array:
    """The minimum over the last axis; the order does not matter."""
    y = np.full(x.shape[:-1], np.inf, np.float32)
    for i in range(x.shape[-1]):
        y = functions.minimum(y, x[..., i])
    return y


def _sum(x: Array, lanes: bool) -> Array:
    return sum_lanes(x) if lanes else sum_chain(x)


def _mean(x: Array, lanes: bool) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(_sum(x, lanes) / np.float32(x.shape[-1]))


def _reduced_axes(node: Node, inputs: Inputs, rank: int) -> list[int]:
    axes = optional(inputs, 1)
    if axes is None or axes.size == 0:
        return [] if integer(node, "noop_with_empty_axes") else list(range(rank))
    return sorted({axis_of(int(axis), rank) for axis in axes.ravel()})


def reduction(reduce: Callable[[Array, bool], Array]) -> Callable[[Node, Inputs], list[Array]]:
    """The op that reduces some axes: those of the second input, or all."""

    def run(node: Node, inputs: Inputs) -> list[Array]:
        x = required(inputs, 0)
        axes = _reduced_axes(node, inputs, x.ndim)
        if not axes and integer(node, "noop_with_empty_axes"):
            return [x]
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        count = prod(x.shape[axis] for axis in axes)
        flat = x.transpose(kept + axes).reshape(*(x.shape[axis] for axis in kept), count)
        lanes = axes == [x.ndim - 1]
        y = reduce(flat, lanes)
        return [np.expand_dims(y, tuple(axes)) if integer(node, "keepdims") else y]

    return run


reduce_mean = reduction(_mean)
reduce_sum = reduction(_sum)
reduce_max = reduction(_largest)
reduce_min = reduction(_smallest)


def global_average_pool(node: Node, inputs: Inputs) -> list[Array]:
    """x [N, C, *spatial] -> [N, C, 1...]: a chain over the spatial axes, divided by their size."""
    x = required(inputs, 0)
    return [_mean(x.reshape(*x.shape[:2], -1), lanes=False).reshape(*x.shape[:2], *[1] * (x.ndim - 2))]


def global_max_pool(node: Node, inputs: Inputs) -> list[Array]:
    """x [N, C, *spatial] -> [N, C, 1...]: the largest; uint8 as float32."""
    x = required(inputs, 0)
    return [_largest(x.reshape(*x.shape[:2], -1), lanes=False).reshape(*x.shape[:2], *[1] * (x.ndim - 2))]


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
