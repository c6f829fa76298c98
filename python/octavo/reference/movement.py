"""Ops that move elements without changing them, on any dtype, and the int64 arithmetic of shapes."""

import math
from collections.abc import Sequence

import numpy as np

from octavo.errors import RunError
from octavo.program import DTYPES, Node
from octavo.program.attributes import integer, integers, text
from octavo.program.checks import ONNX_DTYPES
from octavo.reference.floats import Op
from octavo.reference.operands import Array, Inputs, axes_of, axis_of, optional, required
from octavo.reference.resize import resize

ELEMENTS_MAX = 2**31 - 1
"""The most elements that an op may make of a small input: a few nodes could ask for any memory otherwise."""


def sized(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape, if an array of it can be made."""
    if min(shape, default=0) < 0 or math.prod(shape) > ELEMENTS_MAX:
        raise RunError(f"it cannot make an array of shape {list(shape)}")
    return tuple(shape)


def _numbers(array: Array) -> list[int]:
    """The elements of an array of integers, which has at most one axis."""
    return [int(item) for item in array.reshape(-1)]


def identity(node: Node, inputs: Inputs) -> list[Array]:
    """x."""
    return [required(inputs, 0)]


def reshape(node: Node, inputs: Inputs) -> list[Array]:
    """x in another shape: -1 is what is left over, 0 without allowzero is x's own length of that axis."""
    x, shape = required(inputs, 0), _numbers(required(inputs, 1))
    if not integer(node, "allowzero"):
        if any(n == 0 for n in shape[x.ndim :]):
            raise RunError(f"the shape {shape} takes an axis that its input, {list(x.shape)}, does not have")
        shape = [n or x.shape[axis] for axis, n in enumerate(shape)]
    if shape.count(-1) > 1 or min(shape, default=0) < -1:
        raise RunError(f"the shape {shape} is not one")
    return [x.reshape(shape)]


def flatten(node: Node, inputs: Inputs) -> list[Array]:
    """x with two axes: the product of those before `axis`, and of the rest."""
    x, axis = required(inputs, 0), integer(node, "axis")
    if not -x.ndim <= axis <= x.ndim:
        raise RunError(f"there is no axis {axis} in {x.ndim} axes")
    axis = axis + x.ndim if axis < 0 else axis
    return [x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))]


def transpose(node: Node, inputs: Inputs) -> list[Array]:
    """Axis i of the output is axis perm[i] of x."""
    return [required(inputs, 0).transpose(integers(node, "perm"))]


def slice_op(node: Node, inputs: Inputs) -> list[Array]:
    """x from starts to ends by steps along axes, as Python slices have it.

    But for a negative step a start before the first element is that element, as ONNX has it.
    """
    x, starts, ends = required(inputs, 0), _numbers(required(inputs, 1)), _numbers(required(inputs, 2))
    axes, steps = optional(inputs, 3), optional(inputs, 4)
    along = list(range(len(starts))) if axes is None else _numbers(axes)
    strides = [1] * len(starts) if steps is None else _numbers(steps)
    if not len(starts) == len(ends) == len(along) == len(strides) or 0 in strides:
        raise RunError(f"starts {starts}, ends {ends}, axes {along} and steps {strides} do not fit together")
    places = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes_of(along, x.ndim), starts, ends, strides, strict=True):
        length = x.shape[axis]
        start = max(start, -length) if step < 0 else start
        first, last, step = slice(start, end, step).indices(length)
        nothing = (first >= last) if step > 0 else (first <= last)
        places[axis] = slice(0) if nothing else slice(first, None if last < 0 else last, step)
    return [x[tuple(places)]]


def split(node: Node, inputs: Inputs) -> list[Array]:
    """x in pieces along the axis: of the lengths given, or equal ones but for a shorter last one."""
    x, lengths = required(inputs, 0), optional(inputs, 1)
    axis = axis_of(integer(node, "axis"), x.ndim)
    total, count = x.shape[axis], len(node.outputs)
    if lengths is None:
        each = -(-total // count)
        pieces = [each] * (count - 1) + [total - each * (count - 1)]
    else:
        pieces = _numbers(lengths)
    if len(pieces) != count or sum(pieces) != total or min(pieces) < 0:
        raise RunError(f"{total} elements cannot be split into {count} pieces of {pieces}")
    return np.split(x, np.cumsum(pieces)[:-1], axis=axis)


def pad(node: Node, inputs: Inputs) -> list[Array]:
    """x with elements added before and after each of the axes, or taken off where pads are negative.

    What is negative is taken off first. reflect and wrap repeat as often as needed.
    """
    x, pads, value, axes = (
        required(inputs, 0),
        _numbers(required(inputs, 1)),
        optional(inputs, 2),
        optional(inputs, 3),
    )
    along = list(range(x.ndim)) if axes is None else axes_of(_numbers(axes), x.ndim)
    if len(pads) != 2 * len(along):
        raise RunError(f"pads {pads} are not two for each of the axes {along}")
    widths = [(0, 0)] * x.ndim
    for place, axis in enumerate(along):
        widths[axis] = pads[place], pads[place + len(along)]
    kept = [
        slice(max(-before, 0), size - max(-after, 0))
        for (before, after), size in zip(widths, x.shape, strict=True)
    ]
    if any(place.start > place.stop for place in kept):
        raise RunError(f"pads {pads} take off more than there is of {list(x.shape)}")
    x = x[tuple(kept)]
    widths = [(max(before, 0), max(after, 0)) for before, after in widths]
    sized([before + size + after for (before, after), size in zip(widths, x.shape, strict=True)])
    mode = text(node, "mode", "constant")
    if mode == "constant":
        fill = np.zeros((), x.dtype) if value is None else value.reshape(())
        return [np.pad(x, widths, constant_values=fill)]
    if any(size == 0 and width != (0, 0) for size, width in zip(x.shape, widths, strict=True)):
        raise RunError(f"there is nothing to repeat in {list(x.shape)}")
    return [np.pad(x, widths, mode=mode)]  # type: ignore[call-overload]  # one of numpy's modes, by validation


def squeeze(node: Node, inputs: Inputs) -> list[Array]:
    """x without the axes given, or without every axis of length 1."""
    x, axes = required(inputs, 0), optional(inputs, 1)
    if axes is None:
        return [x.reshape([n for n in x.shape if n != 1])]
    return [np.squeeze(x, tuple(axes_of(_numbers(axes), x.ndim)))]


def unsqueeze(node: Node, inputs: Inputs) -> list[Array]:
    """x with axes of length 1 put in; the axes are the output's."""
    x, axes = required(inputs, 0), _numbers(required(inputs, 1))
    return [np.expand_dims(x, tuple(axes_of(axes, x.ndim + len(axes))))]


def concat(node: Node, inputs: Inputs) -> list[Array]:
    """The inputs one after the other along the axis."""
    arrays = [required(inputs, place) for place in range(len(inputs))]
    return [np.concatenate(arrays, axis=axis_of(integer(node, "axis"), arrays[0].ndim))]


def expand(node: Node, inputs: Inputs) -> list[Array]:
    """x broadcast with the shape."""
    x, shape = required(inputs, 0), _numbers(required(inputs, 1))
    return [np.broadcast_to(x, sized(np.broadcast_shapes(x.shape, sized(shape))))]


def tile(node: Node, inputs: Inputs) -> list[Array]:
    """x repeated along each axis."""
    x, repeats = required(inputs, 0), _numbers(required(inputs, 1))
    if len(repeats) != x.ndim:
        raise RunError(f"repeats {repeats} are not one for each axis of {list(x.shape)}")
    sized([n * repeat for n, repeat in zip(x.shape, repeats, strict=True)])
    return [np.tile(x, repeats)]


def gather(node: Node, inputs: Inputs) -> list[Array]:
    """The slices of x along the axis at the indices; negative ones count from the end."""
    x, indices = required(inputs, 0), required(inputs, 1)
    axis = axis_of(integer(node, "axis"), x.ndim)
    length = x.shape[axis]
    if ((indices < -length) | (indices >= length)).any():
        raise RunError(f"an index is outside the {length} elements of axis {axis}")
    sized([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])
    return [np.take(x, indices, axis=axis)]


def depth_to_space(node: Node, inputs: Inputs) -> list[Array]:
    """Blocks of channels as blocks of pixels: [N, C, H, W] -> [N, C / b^2, H * b, W * b]."""
    x, b = required(inputs, 0), integer(node, "blocksize")
    n, c, h, w = x.shape
    if c % (b * b):
        raise RunError(f"its {c} channels are not a multiple of {b * b}")
    if text(node, "mode", "DCR") == "DCR":
        blocks = x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return [blocks.reshape(n, c // (b * b), h * b, w * b)]


def space_to_depth(node: Node, inputs: Inputs) -> list[Array]:
    """Blocks of pixels as blocks of channels: [N, C, H, W] -> [N, C * b^2, H / b, W / b]."""
    x, b = required(inputs, 0), integer(node, "blocksize")
    n, c, h, w = x.shape
    if h % b or w % b:
        raise RunError(f"{h} x {w} pixels are no blocks of {b} x {b}")
    blocks = x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4)
    return [blocks.reshape(n, c * b * b, h // b, w // b)]


def shape_op(node: Node, inputs: Inputs) -> list[Array]:
    """The lengths of x's axes from start to end."""
    x = required(inputs, 0)
    end = integer(node, "end") if "end" in node.attributes else x.ndim
    return [np.array(x.shape[integer(node, "start") : end], np.int64)]


def cast(node: Node, inputs: Inputs) -> list[Array]:
    """x in another dtype. Floats become integers without fraction, saturating, NaN 0; integers wrap."""
    x = required(inputs, 0)
    target = next(DTYPES[name] for name, number in ONNX_DTYPES.items() if number == integer(node, "to"))
    if x.dtype.kind == "f" and target.kind in "iu":
        info = np.iinfo(target)
        # 2^63 - 1 is no float64: from there on is compared instead, and the bounds put in as integers.
        wide = np.trunc(x.astype(np.float64))
        over, under = wide >= 2.0 ** (info.bits - (target.kind == "i")), wide < float(info.min)
        inside = np.where(over | under | np.isnan(wide), 0.0, wide).astype(target)
        return [np.where(over, target.type(info.max), np.where(under, target.type(info.min), inside))]
    if x.dtype.kind in "iu" and target == np.float16:
        x = x.astype(np.float64)  # exact as far as float16 reaches, so that only one rounding is left
    return [x.astype(target)]


def constant_of_shape(node: Node, inputs: Inputs) -> list[Array]:
    """An array of that shape, full of the value."""
    shape, value = _numbers(required(inputs, 0)), required(inputs, 1)
    return [np.full(sized(shape), value[0], value.dtype)]


def range_op(node: Node, inputs: Inputs) -> list[Array]:
    """start, start + delta, ... up to but without limit."""
    numbers = [required(inputs, place) for place in range(3)]
    dtype = numbers[0].dtype
    if any(number.size != 1 for number in numbers):
        raise RunError("its start, limit and delta must be single numbers")
    if dtype.kind == "f":
        return [_float_range(*(np.float64(number.reshape(())) for number in numbers)).astype(dtype)]
    start, limit, delta = (int(number.reshape(())) for number in numbers)
    if delta == 0:
        raise RunError("its delta is 0")
    (count,) = sized([max(0, -((start - limit) // delta))])
    return [(start + np.arange(count, dtype=np.int64) * delta).astype(dtype)]


def _float_range(start: np.float64, limit: np.float64, delta: np.float64) -> Array:
    """Computed in float64, to be rounded once more."""
    count = np.ceil((limit - start) / delta)
    if delta == 0 or not count < 2**53:
        raise RunError(f"there are no or too many numbers from {start} to {limit} by {delta}")
    (length,) = sized([max(0, int(count)) if count > 0 else 0])
    return start + np.arange(length, dtype=np.float64) * delta


MOVEMENT_OPS: dict[str, Op] = {
    "Cast": cast,
    "Concat": concat,
    "ConstantOfShape": constant_of_shape,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Identity": identity,
    "Pad": pad,
    "Range": range_op,
    "Reshape": reshape,
    "Resize": resize,
    "Shape": shape_op,
    "Slice": slice_op,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
