"""Weights in int8 and biases in int32, with the proof that no sum leaves int32.

    scale[c] = max|w[c]| / 127 in float32, at least SCALE_MIN
    q = clamp(rne(w / scale[c]), -127, 127) in float64
    bias = rne(b / (s_x * scale[c])) in float64

Channels lie on the last axis here. Per tensor, every channel has the largest of the scales.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import SCALE_MIN, Affine

Float64 = npt.NDArray[np.float64]

BOUND = 2**31
"""What `|bias| + sum|w| * max(z, 255 - z)` must stay below."""


@dataclass(frozen=True)
class Weights:
    """weight: int8 [K, C]; scale: float32 [C]; bias: int32 [C], or None where it stays float."""

    weight: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.int32] | None


def quantize_weights(
    weight: npt.NDArray[np.float32], bias: Float64 | None, x: Affine, *, per_channel: bool
) -> Weights | str:
    """Quantize `weight`, float32 [K, C], for activations in the form `x`; or the reason why that cannot be.

    bias: float64 [C] to become int32, or None where the sum leaves the integers before the bias is added.
    Where a channel's bias would leave the bound (its weights are all zero, or tiny), the channel's weight
    scale is doubled until it fits. Where the weights alone leave the bound, nothing helps.
    """
    if not np.all(np.isfinite(weight)) or (bias is not None and not np.all(np.isfinite(bias))):
        return "its weights or its bias hold NaN or an infinite value"
    largest = np.max(np.abs(weight), axis=0, initial=np.float32(0))
    if not per_channel:
        largest = np.full_like(largest, np.max(largest, initial=np.float32(0)))
    scale = np.maximum(largest / np.float32(127), SCALE_MIN)
    quantized = _rounded(weight, scale)
    reach = _reach(quantized, x)
    if np.any(reach >= BOUND):
        return f"its sums over {weight.shape[0]} products could leave int32"
    if bias is None:
        return Weights(quantized, scale, None)
    while True:
        rounded = np.rint(bias / (np.float64(x.scale) * scale.astype(np.float64)))
        beyond = np.abs(rounded) + reach >= BOUND
        if not np.any(beyond):
            return Weights(quantized, scale, rounded.astype(np.int32))
        with np.errstate(over="ignore"):
            scale[beyond] *= np.float32(2)
        if not np.all(np.isfinite(scale)):
            return "its bias is too large for int32 at any scale"
        quantized[:, beyond] = _rounded(weight[:, beyond], scale[beyond])
        reach = _reach(quantized, x)


def _rounded(weight: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    quotient = weight.astype(np.float64) / scale.astype(np.float64)
    return np.clip(np.rint(quotient), -127, 127).astype(np.int8)


def _reach(quantized: npt.NDArray[np.int8], x: Affine) -> Float64:
    """`sum|w| * max(z, 255 - z)` a channel, exact: integers far below 2^53."""
    furthest = max(x.zero_point, 255 - x.zero_point)
    total = np.abs(quantized.astype(np.int64)).sum(axis=0) * furthest
    return np.asarray(total, np.float64)
