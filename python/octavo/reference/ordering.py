"""Ops that order or chain elements along an axis: ArgMax, ArgMin, TopK, Unique, CumSum.

NaN is greater than every number; of equal elements the one of the lowest index comes first.
"""

import numpy as np

from octavo.errors import RunError
from octavo.program import Node
from octavo.program.attributes import integer
from octavo.reference.floats import Op
from octavo.reference.operands import Array, Inputs, axis_of, required


def single(array: Array) -> int:
    """The integer that an array of one element holds."""
    if array.size != 1:
        raise RunError(f"an operand of shape {list(array.shape)} is not one number")
    return int(array.reshape(()))


def _arg(node: Node, inputs: Inputs) -> list[Array]:
    x = required(inputs, 0)
    axis = axis_of(integer(node, "axis"), x.ndim)
    shape = [*x.shape[:axis], 1, *x.shape[axis + 1 :]]
    choose = np.argmax if node.op == "ArgMax" else np.argmin
    if 0 in shape:
        y = np.zeros(shape, np.int64)
    elif integer(node, "select_last_index"):
        y = x.shape[axis] - 1 - choose(np.flip(x, axis), axis=axis, keepdims=True)
    else:
        y = choose(x, axis=axis, keepdims=True)
    return [y.astype(np.int64) if integer(node, "keepdims") else np.squeeze(y, axis).astype(np.int64)]


def topk(node: Node, inputs: Inputs) -> list[Array]:
    """The k greatest or least elements along the axis in their order, and their indices."""
    x, k = required(inputs, 0), single(required(inputs, 1))
    axis = axis_of(integer(node, "axis"), x.ndim)
    n = x.shape[axis]
    if not 0 <= k <= n:
        raise RunError(f"k is {k} for an axis of {n}")
    if integer(node, "largest"):
        # Backwards both ways, so that of equal elements the lower index still comes first.
        order = n - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    indices = np.take(order, np.arange(k), axis=axis).astype(np.int64)
    return [np.take_along_axis(x, indices, axis=axis), indices][: len(node.outputs)]


def unique(node: Node, inputs: Inputs) -> list[Array]:
    """The distinct elements, or slices along the axis; where each is first, where each went, how many.

    All NaN are one; of equal zeros the first stands for both.
    """
    x = required(inputs, 0)
    axis = axis_of(integer(node, "axis"), x.ndim) if "axis" in node.attributes else 0
    x = x if "axis" in node.attributes else x.reshape(-1)
    rows = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1 if x.size else 0)
    order = np.lexsort(rows.T[::-1]) if rows.size else np.arange(len(rows))
    ordered = rows[order]
    same = (ordered[1:] == ordered[:-1]) | ((ordered[1:] != ordered[1:]) & (ordered[:-1] != ordered[:-1]))
    starts = np.flatnonzero(np.concatenate([np.ones(min(len(rows), 1), bool), ~same.all(axis=1)]))
    firsts, counts = order[starts], np.diff([*starts, len(rows)])
    group = np.zeros(len(rows), np.int64)
    group[order] = np.repeat(np.arange(len(starts)), counts)
    if not integer(node, "sorted"):
        by_place = np.argsort(firsts)
        firsts, counts, group = firsts[by_place], counts[by_place], np.argsort(by_place)[group]
    y = np.take(x, firsts, axis=axis)
    places = [array.astype(np.int64) for array in (firsts, group, counts)]
    return [y, *places][: len(node.outputs)]


def cumsum(node: Node, inputs: Inputs) -> list[Array]:
    """The running sum along the axis, one chain in order; of float16 in float32, each sum rounded once."""
    x, axis = required(inputs, 0), single(required(inputs, 1))
    axis = axis_of(axis, x.ndim)
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    wide = np.flip(wide, axis) if integer(node, "reverse") else wide
    sums = np.add.accumulate(wide, axis=axis, dtype=wide.dtype)
    if integer(node, "exclusive"):
        zeros = np.zeros_like(np.take(sums, range(min(1, x.shape[axis])), axis=axis))
        sums = np.concatenate([zeros, np.take(sums, range(x.shape[axis] - 1), axis=axis)], axis=axis)
    return [(np.flip(sums, axis) if integer(node, "reverse") else sums).astype(x.dtype)]


ORDERING_OPS: dict[str, Op] = {
    "ArgMax": _arg,
    "ArgMin": _arg,
    "CumSum": cumsum,
    "TopK": topk,
    "Unique": unique,
}
