"""The integer ops: activations and weights in integers, exact sums, one rounding each.

Sums of products are float64 matrix products: each term and each sum is an integer below 2^53, so they are
exact in any order. The rest is int64. Formulas are those of docs/arithmetic.md.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.errors import RunError
from octavo.program import DTYPES, Node
from octavo.program.arithmetic import multiplier_shift, requantize, residual_terms, scale_and_round
from octavo.program.attributes import integer, integers, number
from octavo.program.checks import COLUMNS, RESIDUAL, ROW_SCALES, has_row_scales, scales_shape
from octavo.program.integers import ACTIVATIONS, Integers, limits
from octavo.program.transposed import transposed_axes
from octavo.reference.fma import fma
from octavo.reference.functions import exp_of_score
from octavo.reference.operands import Array, Inputs, axis_of, required
from octavo.reference.windows import taps, transposed_taps, window

Int64 = npt.NDArray[np.int64]


def quantize(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """`clamp(rne(x / scale) + zero_point, low, high)` in float32, a true division: formula (2).

    NaN gives the zero point. By tensors, the zero point may be a fraction and is added first: formula (2a),
    or (2b) where columns are taken from the last axis.
    """
    if len(inputs) > COLUMNS:
        return [_quantized_to_columns(inputs, ACTIVATIONS[y])]
    if len(inputs) > 1:
        return [_quantized_to_grids(node, inputs, ACTIVATIONS[y])]
    of, x, zero_point = ACTIVATIONS[y], required(inputs, 0), np.float32(integer(node, "zero_point"))
    with np.errstate(all="ignore"):
        q = np.clip(np.rint(x / number(node, "scale")) + zero_point, np.float32(of.low), np.float32(of.high))
    return [np.where(np.isnan(q), zero_point, q).astype(DTYPES[y])]


def _quantized_to_grids(node: Node, inputs: Inputs, of: Integers) -> Array:
    """`clamp(rne(x / scale + zero_point), low, high)`; of NaN, as of 0."""
    x = required(inputs, 0)
    return _on_grids(x, *_scales(node, inputs, x.shape), of)


def _quantized_to_columns(inputs: Inputs, of: Integers) -> Array:
    """Columns taken from the last axis, each by its own scale and zero point."""
    x, scale, zero_point, columns = (required(inputs, place) for place in range(COLUMNS + 1))
    if not x.ndim:
        raise RunError("its input has no axis to take columns from")
    if (columns >= x.shape[-1]).any():
        raise RunError(f"a column is taken from {int(columns.max())}, of an axis of {x.shape[-1]}")
    return _on_grids(x[..., columns], scale, zero_point, of)


def _on_grids(x: Array, scale: Array, zero_point: Array, of: Integers) -> Array:
    with np.errstate(all="ignore"):
        place = x / scale + zero_point
    place = np.where(np.isnan(place), zero_point, place)
    return np.clip(np.rint(place), of.low, of.high).astype(DTYPES[of.dtype])


def dynamic_quantize(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """A scale and a zero point for each index of the axes before `axis`, and the integers by them.

    Formula (3a): those are (16), (17) and (2) of the extremes of 0 and all that is behind the axis. Where
    that holds NaN or an infinite value, the scale is NaN, the zero point and the integers are 0.
    """
    x, of = required(inputs, 0), ACTIVATIONS[y]
    axis = axis_of(integer(node, "axis"), x.ndim)
    rows = x.reshape(*x.shape[:axis], math.prod(x.shape[axis:])).astype(np.float64)
    least, greatest = rows.min(axis=-1, initial=0), rows.max(axis=-1, initial=0)
    whole = np.asarray(np.isfinite(rows).all(axis=-1))
    width = np.where(whole, greatest, 0) - np.where(whole, least, 0)
    scale = np.maximum((width / of.steps).astype(np.float32), np.float32(2.0**-126))
    scale = np.where(width > 0, scale, np.float32(1))
    place = np.rint(of.low - np.where(whole, least, 0) / scale)
    zero_point = np.clip(place, of.low, of.high)
    with np.errstate(all="ignore"):
        quotient = np.rint(rows.astype(np.float32) / scale[..., None])
        q = np.clip(quotient + zero_point[..., None].astype(np.float32), of.low, of.high)
    q = np.where(whole[..., None], q, of.low).astype(DTYPES[y])
    scale = np.where(whole, scale, np.float32(np.nan))
    return [q.reshape(x.shape), scale, zero_point.astype(DTYPES[y])]


def dequantize(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """`scale * (x - zero_point)` in float32, by numbers or by tensors of them: formula (3)."""
    if "scale" in node.attributes:
        return [number(node, "scale") * _centred(node, inputs).astype(np.float32)]
    x = required(inputs, 0)
    scale, zero_point = _scales(node, inputs, x.shape)
    return [scale * (x.astype(np.int64) - zero_point).astype(np.float32)]


def _scales(node: Node, inputs: Inputs, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Scales and zero points, given as tensors, for the elements of an input of this shape."""
    scale = required(inputs, 1)
    if "axis" in node.attributes:
        axis_of(integer(node, "axis"), len(shape))
    wanted = scales_shape(node, shape)
    if scale.shape != wanted:
        raise RunError(f"its scales are of shape {list(scale.shape)}, not {list(wanted)}")
    zero_point = inputs[2] if len(inputs) > 2 and inputs[2] is not None else np.zeros(scale.shape, np.int32)
    return _along_axis(node, scale, shape), _along_axis(node, zero_point, shape)


def _along_axis(node: Node, array: Array, shape: tuple[int, ...]) -> Array:
    """Scales, or zero points, for the elements of an input of this shape."""
    if "axis" not in node.attributes:
        return array.reshape(())
    axis = integer(node, "axis")
    if "block" not in node.attributes:
        return array.reshape(-1, *[1] * (len(shape) - axis - 1))
    return array.repeat(integer(node, "block"), axis)[(slice(None),) * axis + (slice(shape[axis]),)]


def requantize_op(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """The accumulator is `x - x_zero_point`: formula (15)."""
    return [_requantized(node, _centred(node, inputs), y)]


def conv(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """x [N, C, *spatial] by w [O, C / group, *kernel]; padding contributes 0. The sums of formula (4)."""
    w = required(inputs, 1)
    if has_row_scales(node):
        x = _centred_rows(inputs, required(inputs, 0).shape[:1])
    else:
        x = _centred_channels(node, inputs)
    geometry = window(node, x.shape[2:], w.shape[2:])
    n, group, positions = x.shape[0], integer(node, "group"), math.prod(geometry.output)
    if x.shape[1] != group * w.shape[1]:
        raise RunError(f"its input has {x.shape[1]} channels, its weights take {group * w.shape[1]}")
    weights = w.reshape(group, w.shape[0] // group, *w.shape[1:]).astype(np.float64)
    acc = np.zeros((n, group, weights.shape[1], positions))
    for index, seen in taps(x, geometry, 0):
        grouped = seen.reshape(n, group, w.shape[1], positions).astype(np.float64)
        tap: Any = (..., *index)
        acc += np.matmul(weights[tap], grouped)
    return [_product_output(node, inputs, acc.reshape(n, w.shape[0], *geometry.output), y, axis=1)]


def conv_transpose(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """x [N, C, *spatial] by w [O, C / group, *kernel]: the sums of formula (4a), tap by tap."""
    x, w, group = _centred(node, inputs), required(inputs, 1), integer(node, "group")
    if x.shape[1] != group * w.shape[1]:
        raise RunError(f"its input has {x.shape[1]} channels, its weights take {group * w.shape[1]}")
    weights = w.reshape(group, w.shape[0] // group, *w.shape[1:]).astype(np.float64)
    grouped = x.reshape(x.shape[0], group, w.shape[1], *x.shape[2:]).astype(np.float64)
    axes = transposed_axes(node, x.shape[2:], w.shape[2:])
    acc = np.zeros((x.shape[0], group, weights.shape[1], *(axis.length for axis in axes)))
    for index, seen, place in transposed_taps(grouped, axes):
        tap: Any = (..., *index)
        columns = seen.reshape(*seen.shape[:3], math.prod(seen.shape[3:]))
        acc[place] += np.matmul(weights[tap], columns).reshape(acc[place].shape)
    return [_product_output(node, inputs, acc.reshape(x.shape[0], w.shape[0], *acc.shape[3:]), y, axis=1)]


def gemm(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """x [..., K] by w [K, N]: the sums of formula (4)."""
    x = required(inputs, 0)
    x = _centred_rows(inputs, x.shape[:-1]) if has_row_scales(node) else _centred(node, inputs)
    acc = np.matmul(x.astype(np.float64), required(inputs, 1).astype(np.float64))
    return [_product_output(node, inputs, acc, y, axis=-1)]


def matmul(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """numpy's matmul of `a - a_zero_point` and `b - b_zero_point`, formula (6a), requantized or as floats.

    With the sums of a's rows, these have two digits of each element, whose zero point is 0: formula (14c).
    """
    sums = inputs[2] if len(inputs) > 2 else None
    zeros = (0 if sums is not None else integer(node, "a_zero_point"), integer(node, "b_zero_point"))
    a, b = (required(inputs, place).astype(np.int64) - zeros[place] for place in (0, 1))
    digits = [a] if sums is None else _digits(a, sums)
    k = digits[0].shape[-1]
    of = _of(inputs)
    if k * math.prod(of.reach(zero) for zero in zeros) >= of.sum_end:
        raise RunError(f"its sums over K = {k} products can leave 32 bits")
    right = b.astype(np.float64)
    acc, *lower = (np.matmul(digit.astype(np.float64), right).astype(np.int64) for digit in digits)
    if "multiplier" in node.attributes:
        return [_requantized(node, acc, y)]
    if sums is not None:
        return [_weighed(acc, lower[0], number(node, "b_scale"), sums, b.ndim)]
    scaled = acc.astype(np.float32) * number(node, "a_scale")
    return [np.asarray(scaled * number(node, "b_scale"))]


def _digits(a: Int64, sums: Array) -> list[Int64]:
    """The upper digits of the rows of a, and the lower ones, [.., K] each."""
    if sums.shape != (*a.shape[:-1], 2):
        raise RunError(f"its sums are of shape {list(sums.shape)}, not {[*a.shape[:-1], 2]}")
    if a.shape[-1] % 2:
        raise RunError(f"its rows of {a.shape[-1]} bytes are not of two digits each")
    return np.split(a, 2, axis=-1)


def _weighed(upper: Int64, lower: Int64, scale: np.float32, sums: Array, right_rank: int) -> Array:
    """Formula (14c) of the sums of products of both digits."""
    factors = scale / _whole(*np.split(sums, 2, axis=-1))
    return np.asarray(_whole(upper, lower) * (factors if right_rank > 1 else factors[..., 0]))


def _whole(upper: Array, lower: Array) -> npt.NDArray[np.float32]:
    """`256 * upper + lower`, both rounded to float32 before, the sum once."""
    return np.float32(256) * upper.astype(np.float32) + lower.astype(np.float32)


def add(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """`z_y + floor(((a - z_a) * M_a + (b - z_b) * M_b + 2^(S-1)) / 2^S)`, formula (12)."""
    a, b = _centred(node, inputs, 0, "a_zero_point"), _centred(node, inputs, 1, "b_zero_point")
    acc = a * integer(node, "a_multiplier") + b * integer(node, "b_multiplier")
    return [_clamped(node, scale_and_round(acc, 1, integer(node, "shift")), y)]


def mul(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """The accumulator is `(a - z_a) * (b - z_b)`, with broadcasting."""
    a, b = _centred(node, inputs, 0, "a_zero_point"), _centred(node, inputs, 1, "b_zero_point")
    return [_requantized(node, a * b, y)]


def average_pool(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """The sum of `x - x_zero_point` over a window's elements inside the input, times ratio / count.

    The count is of the elements inside the input or, with count_include_pad, inside it and its explicit
    padding. A window without such elements gives the zero point.
    """
    x = _centred(node, inputs)
    kernel = tuple(integers(node, "kernel_shape"))
    geometry = window(node, x.shape[2:], kernel, bool(integer(node, "ceil_mode")))
    acc = np.zeros((*x.shape[:2], *geometry.output), np.int64)
    for _, seen in taps(x, geometry, 0):
        acc += seen
    count = np.ones((), np.int64)
    padded = bool(integer(node, "count_include_pad"))
    for axis, size in enumerate(x.shape[2:]):
        begin, end = geometry.begin[axis], geometry.end[axis]
        first = np.arange(geometry.output[axis]) * geometry.strides[axis] - begin
        at = first[:, None] + np.arange(kernel[axis]) * geometry.dilations[axis]
        counted = (at >= -begin) & (at < size + end) if padded else (at >= 0) & (at < size)
        count = np.multiply.outer(count, counted.sum(axis=1))
    return [_mean(node, acc, count, y)]


def reduce_mean(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """The sum of `x - x_zero_point` over the axes, times ratio / count; or as floats by formula (12a)."""
    x, axes = _centred(node, inputs), tuple(integers(node, "axes"))
    if axes[-1] >= x.ndim:
        raise RunError(f"its input has {x.ndim} axes, it reduces {list(axes)}")
    count = math.prod(x.shape[axis] for axis in axes)
    of = _of(inputs)
    if not 0 < count * of.steps < of.sum_end:
        raise RunError(f"it cannot average {count} elements: their sum must fit in 32 bits")
    acc = x.sum(axis=axes, keepdims=bool(integer(node, "keepdims")))
    if "x_scale" in node.attributes:
        scale = np.float32(np.float64(number(node, "x_scale")) / count)
        return [np.asarray(acc.astype(np.float32) * scale)]
    return [_mean(node, acc, np.array(count), y)]


def lookup(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """The entry of each integer, the least integer's first."""
    least, _ = limits(_of(inputs).dtype)
    return [required(inputs, 1)[required(inputs, 0).astype(np.int64) - least]]


def softmax(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """`min(high, floor((2 * (high + 1) * E + sum(E)) / (2 * sum(E))))` along the axis: formula (14).

    `E = table[max(x) - x]`.
    """
    of, x, axis = ACTIVATIONS[y], required(inputs, 0).astype(np.int64), integer(node, "axis")
    if x.size == 0:
        return [x.astype(DTYPES[y])]
    e = required(inputs, 1).astype(np.int64)[x.max(axis=axis, keepdims=True) - x]
    total = e.sum(axis=axis, keepdims=True)
    return [np.minimum(of.high, (2 * (of.high + 1) * e + total) // (2 * total)).astype(DTYPES[y])]


def exponentials(node: Node, inputs: Inputs, y: str) -> list[Array]:
    """Two digits of `e = rne(65535 * exp_of_score(x - max(x)))` and their sums over the last axis.

    Formulas (14a) and (14b). e is 0 where x is 12 or more below max(x), and all along a row in which
    x - max(x) is NaN somewhere.
    """
    x = required(inputs, 0)
    if x.ndim == 0:
        raise RunError("its input has no axes")
    if x.shape[-1] > EXPONENTIALS_MAX:
        raise RunError(f"the sum of {x.shape[-1]} exponentials can leave 32 bits")
    above = x - x.max(axis=-1, keepdims=True, initial=-np.inf)
    broken = np.isnan(above).any(axis=-1, keepdims=True)
    # At -12 they are 0.
    above = np.where(broken | (above < -12), np.float32(-12), above)
    e = np.rint(65535 * exp_of_score(above).astype(np.float64)).astype(np.uint16)
    digits = (e >> 8).astype(np.uint8), e.astype(np.uint8)
    sums = [digit.sum(axis=-1, keepdims=True, dtype=np.int32) for digit in digits]
    return [np.concatenate(digits, axis=-1), np.concatenate(sums, axis=-1)]


EXPONENTIALS_MAX = (2**31 - 1) // 255
"""The most exponentials of a row of which the sum of either digit stays below 2^31."""


def _of(inputs: Inputs) -> Integers:
    """What the first input is held in."""
    dtype = required(inputs, 0).dtype
    return next(of for name, of in ACTIVATIONS.items() if DTYPES[name] == dtype)


def _centred(node: Node, inputs: Inputs, place: int = 0, name: str = "") -> Int64:
    """The input less its zero point."""
    name = name or ("x_zero_point" if "x_zero_point" in node.attributes else "zero_point")
    return required(inputs, place).astype(np.int64) - integer(node, name)


def _centred_channels(node: Node, inputs: Inputs) -> Int64:
    """The input of a convolution less its zero point, or less those of its channels."""
    if "x_zero_points" not in node.attributes:
        return _centred(node, inputs)
    x, zero_points = required(inputs, 0), np.array(integers(node, "x_zero_points"), np.int64)
    if x.shape[1] != len(zero_points):
        raise RunError(f"its input has {x.shape[1]} channels, its weights take {len(zero_points)}")
    return x.astype(np.int64) - zero_points.reshape(-1, *[1] * (x.ndim - 2))


def _centred_rows(inputs: Inputs, shape: tuple[int, ...]) -> Int64:
    """The input less the zero points that a run found for its rows, or samples, of that shape."""
    for place, what in ((ROW_SCALES, "scales"), (ROW_SCALES + 1, "zero points")):
        found = required(inputs, place).shape
        if found != shape:
            raise RunError(f"its {what} have the shape {list(found)}, not {list(shape)}")
    x, zero_point = required(inputs, 0), required(inputs, ROW_SCALES + 1)
    return x.astype(np.int64) - _along_rows(zero_point, x.ndim)


def _along_rows(array: Array, rank: int) -> Array:
    """What rows, or samples, have one of, for each of their elements."""
    return array.reshape(*array.shape, *[1] * (rank - array.ndim))


def _clamped(node: Node, rounded: Int64, y: str) -> Array:
    """Integers of the dtype y."""
    shifted = rounded + integer(node, "y_zero_point")
    return np.clip(shifted, integer(node, "lo"), integer(node, "hi")).astype(DTYPES[y])


def _requantized(node: Node, acc: Int64, y: str) -> Array:
    """The accumulators by the node's own multiplier and shift."""
    zero_point, lo, hi = (integer(node, name) for name in ("y_zero_point", "lo", "hi"))
    multiplier, shift = integer(node, "multiplier"), integer(node, "shift")
    return requantize(acc, multiplier, shift, zero_point, lo, hi).astype(DTYPES[y])


def _product_output(node: Node, inputs: Inputs, acc: npt.NDArray[np.float64], y: str, axis: int) -> Array:
    """Exact sums, whose channels are on `axis`: requantized by formula (9), or floats by formula (10).

    By formula (10a) where rows have scales of their own.

    A residual joins the sums first, formula (9a).
    """
    shape = (-1, *[1] * (acc.ndim - 2)) if axis == 1 else (-1,)
    by_row = has_row_scales(node)
    places = range(2, ROW_SCALES if by_row else len(inputs))
    channels = [required(inputs, place).reshape(shape) for place in places if place != RESIDUAL]
    total = acc.astype(np.int64)
    if len(channels) == 2:
        bias, scale = channels
        x_scale = _along_rows(required(inputs, ROW_SCALES), acc.ndim) if by_row else number(node, "x_scale")
        with np.errstate(all="ignore"):
            return fma(total.astype(np.float32) * x_scale, scale, bias)
    bias, multiplier, shift = channels[:3]
    if channels[3:]:
        residual = required(inputs, RESIDUAL)
        if residual.shape != total.shape:
            raise RunError(
                f"its residual has the shape {list(residual.shape)}, its results {list(total.shape)}"
            )
        total += residual_terms(residual, integer(node, "r_zero_point"), *channels[3:])
    zero_point, lo, hi = (integer(node, name) for name in ("y_zero_point", "lo", "hi"))
    return requantize(total + bias, multiplier, shift, zero_point, lo, hi).astype(DTYPES[y])


def _mean(node: Node, acc: Int64, count: Int64, y: str) -> Array:
    """Sums by the multiplier and shift of ratio / count, made for each count that occurs."""
    ratio = node.attributes["ratio"]
    assert isinstance(ratio, np.float64), f"{node.op}.ratio is a float64"
    means = np.zeros(acc.shape, np.int64)
    zero_point, lo, hi = (integer(node, name) for name in ("y_zero_point", "lo", "hi"))
    for n in np.unique(count):
        factor = multiplier_shift(float(ratio) / max(int(n), 1))
        assert factor is not None, "a valid ratio has a multiplier and a shift"
        means = np.where(count == n, requantize(acc, *factor, zero_point, lo, hi), means)
    return means.astype(DTYPES[y])


IntegerOp = Callable[[Node, Inputs, str], list[Array]]
"""Of a node, its inputs, and the dtype of its output."""

INTEGER_OPS: dict[str, IntegerOp] = {
    "Dequantize": dequantize,
    "DynamicQuantize": dynamic_quantize,
    "Lookup": lookup,
    "QAdd": add,
    "QAveragePool": average_pool,
    "QConv": conv,
    "QConvTranspose": conv_transpose,
    "QExponentials": exponentials,
    "QGemm": gemm,
    "QMatMul": matmul,
    "QMul": mul,
    "QReduceMean": reduce_mean,
    "QSoftmax": softmax,
    "Quantize": quantize,
    "Requantize": requantize_op,
}
