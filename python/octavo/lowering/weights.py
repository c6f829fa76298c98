"""Weights and biases in integers, with the proof that no sum leaves its accumulator.

    scale[c] = max|w[c]| / high in float32, at least SCALE_MIN
    q = clamp(rne(w / scale[c]), low, high) in float64
    bias = rne(b / (s_x * scale[c])) in float64

Channels lie on the last axis here. Per tensor, every channel has the largest of the scales.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import SCALE_MIN, Affine
from octavo.lowering.grids import shift_of
from octavo.program import DTYPES
from octavo.program.integers import INT8, Integers

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """weight: integers [K, C]; scale: float32 [C]; bias: as the sums are, [C]; None where it stays float.

    reals: what the integers stand for, float32 [K, C]; None where they were given.
    """

    weight: npt.NDArray[Any]
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[Any] | None
    reals: npt.NDArray[np.float32] | None = None


def given_weights(
    weight: npt.NDArray[Any], scale: npt.NDArray[np.float32], bias: Float64 | None, x: Affine
) -> Weights | str:
    """Weights that are integers already, [K, C], with the scale of each; or why they cannot be."""
    scales = np.broadcast_to(scale, weight.shape).astype(np.float32)
    if not np.all((scales > 0) & np.isfinite(scales)):
        return "a scale of its weights, times alpha, is not a positive number"
    scale = scales.max(axis=0, initial=0)
    if not np.all(scales == scale):
        return "its weights have other scales than one an output channel"
    reach = reach_of(weight, x)
    if np.any(reach >= x.of.sum_end):
        return _too_long(weight, x)
    if bias is None:
        return Weights(weight, scale, None)
    rounded = _rounded_bias(bias, scale, x, weight)
    if not np.all(np.abs(rounded) + reach < x.of.sum_end):
        return f"its bias is too large for {_NAMES[x.of.accumulator]} at the scales that are given"
    return Weights(weight, scale, rounded.astype(DTYPES[x.of.accumulator]))


@dataclass(frozen=True)
class Nearest:
    """Weights each rounded to the nearest integer, whatever they multiply.

    weight: int8 [K, C]; scale: float32 [C]; reals: what they were, float32 [K, C]; total: the sum of |weight|
    a channel; of: the integers.
    """

    weight: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    reals: npt.NDArray[np.float32]
    total: Float64
    of: Integers


def nearest_weights(
    weight: npt.NDArray[np.float32], of: Integers = INT8, *, per_channel: bool
) -> Nearest | str:
    """Round `weight`, float32 [K, C], by formula (18) of docs/arithmetic.md; or why that cannot be."""
    if not np.all(np.isfinite(weight)):
        return _NO_NUMBER
    largest = np.max(np.abs(weight), axis=0, initial=np.float32(0))
    if not per_channel:
        largest = np.full_like(largest, np.max(largest, initial=np.float32(0)))
    scale = weight_scales(largest, of)
    quantized = rounded_weights(weight, scale, of)
    return Nearest(quantized, scale, weight, _total(quantized), of)


def quantize_weights(
    nearest: Nearest, bias: Float64 | None, x: Affine, *, least_scale: float = 0.0
) -> Weights | str:
    """Weights and a bias for activations in the form `x`; or the reason why that cannot be.

    Formulas (18) and (19) of docs/arithmetic.md, within the bound (5).

    bias: float64 [C] to become integers, or None where the sum leaves the integers before the bias is added.
    Where a channel's bias would leave the bound (its weights are all zero, or tiny), the channel's weight
    scale is doubled until it fits, as is one below `least_scale`. Where the weights alone leave the bound,
    nothing helps.
    """
    if bias is not None and not np.all(np.isfinite(bias)):
        return _NO_NUMBER
    reals, of, reach = nearest.reals, nearest.of, x.of.reach(x.zero_point)
    quantized, scale, total = nearest.weight, nearest.scale, nearest.total
    raised = scale.copy()
    while np.any(low := raised < least_scale):
        raised[low] *= np.float32(2)
    beyond = raised != scale
    while True:
        if np.any(beyond):
            scale, quantized, total = raised, quantized.copy(order="K"), total.copy()
            quantized[:, beyond] = rounded_weights(reals[:, beyond], scale[beyond], of)
            total[beyond] = _total(quantized[:, beyond])
        if np.any(total * reach >= x.of.sum_end):
            return _too_long(reals, x)
        if bias is None:
            return Weights(quantized, scale, None, reals)
        rounded = _rounded_bias(bias, scale, x, quantized)
        beyond = np.abs(rounded) + total * reach >= x.of.sum_end
        if not np.any(beyond):
            return Weights(quantized, scale, rounded.astype(DTYPES[x.of.accumulator]), reals)
        raised = scale.copy()
        with np.errstate(over="ignore"):
            raised[beyond] *= np.float32(2)
        if not np.all(np.isfinite(raised)):
            return f"its bias is too large for {_NAMES[x.of.accumulator]} at any scale"


def weight_scales(largest: npt.NDArray[np.float32], of: Integers) -> npt.NDArray[np.float32]:
    """The scales of channels whose weights have these greatest magnitudes."""
    return np.asarray(np.maximum(largest / np.float32(of.high), SCALE_MIN), np.float32)


def rounded_weights(
    weight: npt.NDArray[np.float32], scale: npt.NDArray[np.float32], of: Integers
) -> npt.NDArray[np.int8]:
    """The integers of weights [..., C] at the scales of their channels, float32 [C]."""
    quotient = weight.astype(np.float64) / scale.astype(np.float64)
    return np.clip(np.rint(quotient), of.low, of.high).astype(np.int8)


def _rounded_bias(
    bias: Float64, scale: npt.NDArray[np.float32], x: Affine, quantized: npt.NDArray[Any]
) -> Float64:
    units = bias / (x.channel_scales * scale.astype(np.float64))
    return np.asarray(np.rint(units + shift_of(x, quantized)), np.float64)


def reach_of(quantized: npt.NDArray[Any], x: Affine) -> Float64:
    """The sum of |w| times the greatest |q - z|, a channel: exact, integers far below 2^53."""
    return _total(quantized) * x.of.reach(x.zero_point)


def _total(quantized: npt.NDArray[Any]) -> Float64:
    return np.asarray(np.abs(quantized.astype(np.int64)).sum(axis=0), np.float64)


def _too_long(weight: npt.NDArray[Any], x: Affine) -> str:
    return f"its sums over {weight.shape[0]} products could leave {_NAMES[x.of.accumulator]}"


_NAMES = {"i32": "int32", "i64": "64 bits"}

_NO_NUMBER = "its weights or its bias hold NaN or an infinite value"
