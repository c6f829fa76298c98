"""Trigonometric and hyperbolic functions and their inverses: the kernels' steps, in the same order.

All are computed in float64 without fused multiply-adds and rounded to float32 once
(rust/kernels/src/float/trigonometry.rs and inverses.rs).
"""

import numpy as np
import numpy.typing as npt

from octavo.reference.fma import Float32
from octavo.reference.functions import ROUNDER_64, Float64, exp2, f32, horner_64, log2, quiet

Int64 = npt.NDArray[np.int64]

SIN = (
    -0.16666666666631547, 0.008333333325262494, -0.00019841263817451868, 2.7555356484685852e-06,
    -2.4761552352907092e-08,
)  # fmt: skip
COS = (
    -0.49999999999544115, 0.04166666656189258, -0.0013888881068093457, 2.4799038661851082e-05,
    -2.717991847034971e-07,
)  # fmt: skip
ATAN = (
    -0.33333333296452, 0.19999994408953217, -0.1428542672380977, 0.11104057290642283, -0.08997305171789581,
    0.06993210004493647, -0.03795772185240534,
)  # fmt: skip
ASIN = (
    0.16666666626715923, 0.07500005043304729, 0.044640687185454574, 0.0304268532285591, 0.02186289014200733,
    0.020659706989013368, 0.0019465137071854528, 0.032944028598746504,
)  # fmt: skip
SINH = (0.1666666666598036, 0.008333333599942894, 0.00019840948024052018, 2.771037434008864e-06)
TWO_OVER_PI = np.array(
    [0, 0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB], np.uint64
)
HALF_PI_HI, HALF_PI_LO = 1.5707963267341256, 6.077100506506192e-11
LOG2_E, LN_2 = 1.4426950408889634, 0.6931471805599453
TINY = 1 / 4096


def _reduce_small(magnitude: Float64) -> tuple[Int64, Float64]:
    """The quadrant (modulo 4) and the rest in [-pi/4, pi/4] of a magnitude below 2^17."""
    shifted = magnitude * (2 / np.pi) + ROUNDER_64
    n = shifted - ROUNDER_64
    return shifted.view(np.int64), (magnitude - n * HALF_PI_HI) - n * HALF_PI_LO


def _reduce_large(magnitude: Float32) -> tuple[Int64, Float64]:
    """The same for a finite magnitude of 2^16 or more: the mantissa times the bits of 2 / pi that matter."""
    bits = magnitude.view(np.uint32).astype(np.uint64)
    u = np.uint64
    mantissa = (bits & u(0x7FFFFF)) | u(0x800000)
    # The clip only quiets the lanes that are not large.
    first = np.clip((bits >> u(23)).astype(np.int64) - 120, 0, 134)
    word, shift = first // 32, (first % 32).astype(np.uint64)
    high = (TWO_OVER_PI[word] << u(32)) | TWO_OVER_PI[word + 1]
    low = (TWO_OVER_PI[word + 2] << u(32)) | TWO_OVER_PI[word + 3]
    window = (high << shift) | ((low >> u(1)) >> (u(63) - shift))
    rest = (low << shift) >> u(32)
    turns = mantissa * window + ((mantissa * rest) >> u(32))
    quadrant = (turns + u(1 << 61)) >> u(62)
    fraction = (turns - (quadrant << u(62))).view(np.int64)
    return quadrant.view(np.int64), fraction.astype(np.float64) * (np.pi / 2 / 2**62)


def _sin_cos(magnitude: Float32) -> tuple[Int64, Float64, Float64]:
    """The quadrant (modulo 4), and the sine and the cosine of the rest."""
    small_n, small_r = _reduce_small(magnitude.astype(np.float64))
    large_n, large_r = _reduce_large(magnitude)
    is_small = magnitude < 65536
    r = np.where(is_small, small_r, large_r)
    z = r * r
    return (
        np.where(is_small, small_n, large_n),
        r + r * z * horner_64(z, SIN),
        1 + z * horner_64(z, COS),
    )


def _sin_shifted(magnitude: Float32, quadrants: int) -> Float32:
    n, sine, cosine = _sin_cos(magnitude)
    y = np.where((n + quadrants) & 1 == 0, sine, cosine)
    return np.where((n + quadrants) & 2 == 0, y, -y).astype(f32)


@quiet
def sin(x: Float32) -> Float32:
    """The sine; NaN for infinities."""
    y = _sin_shifted(np.abs(x), 0)
    return np.where(np.isfinite(x), np.where(np.signbit(x), -y, y), f32(np.nan))


@quiet
def cos(x: Float32) -> Float32:
    """The cosine; NaN for infinities."""
    return np.where(np.isfinite(x), _sin_shifted(np.abs(x), 1), f32(np.nan))


@quiet
def tan(x: Float32) -> Float32:
    """The tangent; NaN for infinities."""
    n, sine, cosine = _sin_cos(np.abs(x))
    y = np.where(n & 1 == 0, sine / cosine, -cosine / sine).astype(f32)
    return np.where(np.isfinite(x), np.where(np.signbit(x), -y, y), f32(np.nan))


@quiet
def atan(x: Float32) -> Float32:
    """The angle in -pi/2..pi/2."""
    magnitude = np.abs(x).astype(np.float64)
    high, middle = magnitude > 2.414213562373095, magnitude > 0.41421356237309503
    above = np.where(high, -1.0, np.where(middle, magnitude - 1, magnitude))
    below = np.where(high, magnitude, np.where(middle, magnitude + 1, 1.0))
    start = np.where(high, np.pi / 2, np.where(middle, np.pi / 4, 0.0))
    t = above / below
    z = t * t
    return np.copysign((start + (t + t * z * horner_64(z, ATAN))).astype(f32), x)


def _half_asin(magnitude: Float64) -> tuple[npt.NDArray[np.bool_], Float64]:
    """Whether beyond 1/2; then twice the half angle's sine's arc sine, else the arc sine; NaN beyond 1."""
    far = magnitude > 0.5
    z = np.where(far, (1 - magnitude) * 0.5, magnitude * magnitude)
    t = np.where(far, np.sqrt(z), magnitude)
    y = t + t * z * horner_64(z, ASIN)
    return far, np.where(far, y + y, y)


@quiet
def asin(x: Float32) -> Float32:
    """The arc sine; NaN beyond 1."""
    far, angle = _half_asin(np.abs(x).astype(np.float64))
    return np.copysign(np.where(far, np.pi / 2 - angle, angle).astype(f32), x)


@quiet
def acos(x: Float32) -> Float32:
    """The arc cosine; NaN beyond 1."""
    far, angle = _half_asin(np.abs(x).astype(np.float64))
    signed, start = np.where(x < 0, -angle, angle), np.where(x < 0, np.pi, 0.0)
    return np.where(far, start + signed, np.pi / 2 - signed).astype(f32)


def _exponentials(x: Float32) -> tuple[Float64, Float64]:
    t = np.abs(x).astype(np.float64) * LOG2_E
    return exp2(t), exp2(-t)


@quiet
def sinh(x: Float32) -> Float32:
    """The hyperbolic sine."""
    magnitude = np.abs(x).astype(np.float64)
    z = magnitude * magnitude
    up, down = _exponentials(x)
    y = np.where(magnitude < 0.5, magnitude + magnitude * z * horner_64(z, SINH), 0.5 * (up - down))
    return np.copysign(y.astype(f32), x)


@quiet
def cosh(x: Float32) -> Float32:
    """The hyperbolic cosine."""
    up, down = _exponentials(x)
    return (0.5 * (up + down)).astype(f32)


@quiet
def asinh(x: Float32) -> Float32:
    """The inverse of the hyperbolic sine."""
    magnitude = np.abs(x).astype(np.float64)
    z = magnitude * magnitude
    large = log2(magnitude + np.sqrt(z + 1)) * LN_2
    y = np.where(magnitude >= TINY, large, magnitude - magnitude * z / 6)
    return np.copysign(y.astype(f32), x)


@quiet
def acosh(x: Float32) -> Float32:
    """The inverse of the hyperbolic cosine, from 0 on; NaN below 1."""
    above = x.astype(np.float64) - 1
    y = log2(1 + (above + np.sqrt(above * (above + 2)))) * LN_2
    return np.where(x >= 1, y.astype(f32), f32(np.nan))


@quiet
def atanh(x: Float32) -> Float32:
    """The inverse of the hyperbolic tangent; infinite at -1 and 1, NaN beyond."""
    magnitude = np.abs(x).astype(np.float64)
    large = log2((1 + magnitude) / (1 - magnitude)) * (0.5 * LN_2)
    small = magnitude + magnitude * magnitude * magnitude / 3
    y = np.where(magnitude < TINY, small, large).astype(f32)
    return np.copysign(np.where(magnitude <= 1, y, f32(np.nan)), x)
