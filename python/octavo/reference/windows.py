"""Windows that slide over the spatial axes: convolutions and pools, in any number of dimensions."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from octavo.errors import RunError
from octavo.program import Node
from octavo.program.attributes import integer, integers, text
from octavo.program.transposed import TransposedAxis, transposed_axes
from octavo.reference import functions
from octavo.reference.fma import fma
from octavo.reference.operands import Array, Inputs, optional, planes, required


@dataclass(frozen=True)
class Window:
    """The window of a node over inputs of one size; a number a spatial axis each.

    begin, end: padding. output: how many positions it takes.
    """

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    begin: list[int]
    end: list[int]
    output: list[int]


def window(node: Node, spatial: tuple[int, ...], kernel: tuple[int, ...], ceil_mode: bool = False) -> Window:
    """The node's window over an input of that spatial shape; resolves auto_pad.

    With ceil_mode a last position that would begin in the padding at the end is dropped.
    """
    rank = len(spatial)
    strides, dilations = integers(node, "strides"), integers(node, "dilations")
    auto_pad = text(node, "auto_pad", "NOTSET")
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = integers(node, "pads") if auto_pad == "NOTSET" else [0] * (2 * rank)
    begin, end, output = pads[:rank], pads[rank:], [0] * rank
    for i in range(rank):
        if auto_pad.startswith("SAME"):
            output[i] = -(-spatial[i] // strides[i])
            total = max((output[i] - 1) * strides[i] + extent[i] - spatial[i], 0)
            begin[i] = (total + (auto_pad == "SAME_LOWER")) // 2
            end[i] = total - begin[i]
            continue
        room = spatial[i] + begin[i] + end[i] - extent[i]
        output[i] = max(room // strides[i] + 1, 0)
        if ceil_mode and auto_pad == "NOTSET" and room >= 0:
            output[i] = -(-room // strides[i]) + 1
            output[i] -= (output[i] - 1) * strides[i] >= spatial[i] + begin[i]
    return Window(list(kernel), strides, dilations, begin, end, output)


def taps(x: Array, window: Window, fill: float) -> Iterator[tuple[tuple[int, ...], Array]]:
    """For each element of the window, in index order: its index, and what it sees at every position.

    x: [N, C, *spatial]; what is seen: [N, C, *output]. fill: what the padding holds.
    """
    axes = range(len(window.kernel))
    # The last position that is looked at may lie before or beyond the explicit padding.
    last = [
        (window.output[i] - 1) * window.strides[i] + (window.kernel[i] - 1) * window.dilations[i]
        for i in axes
    ]
    after = [max(last[i] + 1 - window.begin[i] - x.shape[2 + i], 0) for i in axes]
    padded = np.pad(x, [(0, 0), (0, 0), *zip(window.begin, after, strict=True)], constant_values=fill)
    for index in np.ndindex(*window.kernel):
        starts = [index[i] * window.dilations[i] for i in axes]
        ends = [starts[i] + window.strides[i] * (window.output[i] - 1) + 1 for i in axes]
        seen: tuple[Any, ...] = tuple(slice(starts[i], max(ends[i], 0), window.strides[i]) for i in axes)
        yield index, padded[(..., *seen)]


def conv(node: Node, inputs: Inputs) -> list[Array]:
    """x [N, C, *spatial] by w [O, C / group, *kernel], then + b [O].

    Every output is one chain from +0: the window's elements in index order, then the group's channels;
    padding takes part as x = +0. The bias is added after, with a rounding of its own. Of
    float64, products and sums are rounded one by one, and padding takes no part.
    """
    x, w, b = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    group = integer(node, "group")
    geometry = window(node, x.shape[2:], w.shape[2:])
    n, channels, rank = x.shape[0], w.shape[1], x.ndim - 2
    if x.shape[1] != group * channels or (b is not None and b.shape != w.shape[:1]):
        raise RunError(f"weights of {list(w.shape)} in {group} groups do not fit its input and bias")
    weights = w.reshape(group, w.shape[0] // group, *w.shape[1:])
    y = np.zeros((n, group, weights.shape[1], *geometry.output), x.dtype)
    inside = (seen for _, seen in taps(np.ones_like(x[:1, :1]), geometry, 0.0))
    for (index, seen), is_inside in zip(taps(x, geometry, 0.0), inside, strict=True):
        grouped = seen.reshape(n, group, channels, 1, *geometry.output)
        for channel in range(channels):
            at: tuple[Any, ...] = (slice(None), slice(None), channel, *index)
            factor = weights[at].reshape(group, -1, *[1] * rank)
            terms = grouped[:, :, channel]
            if x.dtype == np.float32:
                y = fma(terms, factor, y)
            else:
                y = np.where(is_inside[:, :, None] != 0, y + terms * factor, y)
    y = y.reshape(n, w.shape[0], *geometry.output)
    return [y if b is None else y + b.reshape(-1, *[1] * rank)]


def conv_transpose(node: Node, inputs: Inputs) -> list[Array]:
    """x [N, C, *spatial] by w [C, O / group, *kernel], then + b [O].

    Every output is one chain from +0: the taps of its phase (those that lie a whole number of strides from
    it) in the order of what they see, the last ones first, then the group's channels; a tap that sees no
    element of x takes part as x = +0. The bias is added after, with a rounding of its own.
    """
    x, w, b = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    group, rank = integer(node, "group"), x.ndim - 2
    n, channels, outputs = x.shape[0], w.shape[0] // group, w.shape[1]
    if x.shape[1] != w.shape[0] or (b is not None and b.size != group * outputs):
        raise RunError(f"weights of {list(w.shape)} in {group} groups do not fit its input and bias")
    grouped = x.reshape(n, group, channels, *x.shape[2:])
    weights = w.reshape(group, channels, *w.shape[1:])
    axes = transposed_axes(node, x.shape[2:], w.shape[2:])
    y = np.zeros((n, group, outputs, *(axis.length for axis in axes)), np.float32)
    for index, seen, place in transposed_taps(grouped, axes):
        for channel in range(channels):
            at_tap: tuple[Any, ...] = (slice(None), channel, slice(None), *index)
            factor = weights[at_tap].reshape(group, outputs, *[1] * rank)
            y[place] = fma(seen[:, :, channel, None], factor, y[place])
    y = y.reshape(n, group * outputs, *y.shape[3:])
    return [y if b is None else y + b.reshape(-1, *[1] * rank)]


def transposed_taps(
    grouped: Array, axes: list[TransposedAxis]
) -> Iterator[tuple[tuple[int, ...], Array, tuple[Any, ...]]]:
    """For each tap, the last one first: its index, what it sees, 0 outside of the input, and where that goes.

    grouped: [N, groups, channels of a group, *spatial]; what is seen: the same with the positions of the
    tap's phase as the spatial axes, which the last picks of a [N, groups, outputs of a group, *output].
    """
    for index in reversed(list(np.ndindex(*(axis.kernel for axis in axes)))):
        seen, made = grouped, []
        for place, (tap, axis) in enumerate(zip(index, axes, strict=True), start=3):
            first = axis.first(tap)
            reached = np.arange(first, axis.length, axis.stride) + axis.begin - tap * axis.dilation
            at = reached // axis.stride
            inside = (at >= 0) & (at < axis.size)
            padded = np.pad(seen, [(0, int(i == place)) for i in range(seen.ndim)])
            seen = np.take(padded, np.where(inside, at, axis.size), axis=place)
            made.append(slice(first, None, axis.stride))
        yield index, seen, (slice(None), slice(None), slice(None), *made)


def pooling_window(node: Node, x: Array) -> Window:
    """The window of a pooling node over x."""
    kernel = tuple(integers(node, "kernel_shape"))
    return window(node, x.shape[2:], kernel, bool(integer(node, "ceil_mode")))


def max_pool(node: Node, inputs: Inputs) -> list[Array]:
    """The largest element of each window, padding left out; NaN if one is. Then its place, if it is wanted.

    The place is that of the first such element, -1 where a window sees none. It counts the elements of x in
    index order, or, with storage_order, the spatial axes of each plane from the first on.
    """
    x = required(inputs, 0)
    geometry = pooling_window(node, x)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    y = np.full((*x.shape[:2], *geometry.output), lowest, x.dtype)
    if len(node.outputs) < 2 or not node.outputs[1]:
        for _, seen in taps(x, geometry, lowest):
            y = _larger(y, seen)
        return [y, *([y] if len(node.outputs) > 1 else [])]
    places, at = (
        _places(x.shape, bool(node.attributes.get("storage_order", 0))),
        np.full(y.shape, -1, np.int64),
    )
    seen_places = taps(places, geometry, -1)
    for (_, seen), (_, where) in zip(taps(x, geometry, lowest), seen_places, strict=True):
        greater = (where >= 0) & ((at < 0) | (seen > y) | (np.isnan(seen) & ~np.isnan(y)))
        at, y = np.where(greater, where, at), _larger(y, seen)
    return [y, at]


def _larger(a: Array, b: Array) -> Array:
    """The larger of each; NaN if one is, and +0 above -0."""
    return functions.maximum(a, b) if a.dtype.kind == "f" else np.maximum(a, b)


def _places(shape: tuple[int, ...], by_column: bool) -> Array:
    """The number of each element."""
    places = np.arange(prod(shape), dtype=np.int64).reshape(shape)
    if not by_column:
        return places
    turned = places.reshape(*shape[:2], *shape[:1:-1])
    return turned.transpose(0, 1, *range(turned.ndim - 1, 1, -1))


def lp_pool(node: Node, inputs: Inputs) -> list[Array]:
    """The p-norm of each window: the root of a chain of powers from +0, padding left out."""
    x = required(inputs, 0)
    total = np.zeros((*x.shape[:2], *pooling_window(node, x).output), np.float32)
    p = integer(node, "p")
    with np.errstate(all="ignore"):
        for _, seen in taps(np.abs(x), pooling_window(node, x), 0.0):
            total = total + _power(seen, p)
        return [_root(total, p)]


def global_lp_pool(node: Node, inputs: Inputs) -> list[Array]:
    """The p-norm of each plane."""
    x = required(inputs, 0)
    flat = np.abs(planes(x))
    total, p = np.zeros(x.shape[:2], np.float32), integer(node, "p")
    with np.errstate(all="ignore"):
        for i in range(flat.shape[2]):
            total = total + _power(flat[..., i], p)
        return [_root(total, p).reshape(*x.shape[:2], *[1] * (x.ndim - 2))]


def _power(x: Array, p: int) -> Array:
    return x if p == 1 else x * x if p == 2 else functions.power(x, np.float32(p))


def _root(x: Array, p: int) -> Array:
    if p <= 2:
        return x if p == 1 else np.sqrt(x)
    return functions.power(x, np.float32(1) / np.float32(p))


def counts(window: Window, spatial: tuple[int, ...], include_padding: bool) -> Array:
    """How many elements each position of the window has inside x, or x with its padding: [*output]."""
    total = np.ones((), np.int64)
    for i, size in enumerate(spatial):
        first = np.arange(window.output[i]) * window.strides[i] - window.begin[i]
        position = first[:, None] + np.arange(window.kernel[i]) * window.dilations[i]
        before, after = (window.begin[i], window.end[i]) if include_padding else (0, 0)
        inside = (position >= -before) & (position < size + after)
        total = np.multiply.outer(total, inside.sum(axis=1))
    return total


def average_pool(node: Node, inputs: Inputs) -> list[Array]:
    """The sum of each window's elements, a chain from +0 in index order, divided by their count.

    The count is of the elements inside x, or with count_include_pad inside x with its explicit padding.
    """
    x = required(inputs, 0)
    geometry = pooling_window(node, x)
    total = np.zeros((*x.shape[:2], *geometry.output), np.float32)
    with np.errstate(all="ignore"):
        for _, seen in taps(x, geometry, 0.0):
            total = total + seen
        return [
            total / counts(geometry, x.shape[2:], bool(integer(node, "count_include_pad"))).astype(np.float32)
        ]
