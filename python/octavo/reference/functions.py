"""The float functions: the kernels' steps (rust/kernels/src/float/math.rs), in the same order.

numpy's + - * / and sqrt on float32 and float64 are IEEE's, rounded once. Its exp, log, tanh, sin and the like
are not used: their bits differ between processors. Every function takes and gives float32 arrays. The
coefficients are near-minimax fits (tests/reference/fit_functions.py). Errors are stated with the kernels.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.reference.fma import Float32, fma

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[Any]
Bits = npt.NDArray[Any]

f32 = np.float32

LN2_HI = f32(0.6931472)
LN2_LO = f32(-1.9046542e-09)
LOG2_E = f32(1.442695)
ROUNDER = f32(12582912.0)  # 1.5 * 2^23
SQRT_HALF = f32(0.70710677)

EXP = (0.5, 0.16666666, 0.041666493, 0.008333544, 0.0013932337, 0.00019763423)
EXP_OF_SCORE = (0.6931242, 0.24024102, 0.05590653, 0.009582736)
LOG = (
    0.33333313, -0.2500001, 0.20002073, -0.16667995, 0.1422032, -0.124060474, 0.11883666, -0.11671472,
    0.06750695,
)  # fmt: skip
TANH = (-0.33333284, 0.13331483, -0.05374283, 0.020648487, -0.0057147914)
ERF_SMALL = (0.12837917, -0.37612632, 0.112836786, -0.026858732, 0.005199759, -0.00081309804, 8.328412e-05)
ERF_LARGE = (
    1.1284617, 0.63611484, 0.10412164, -0.021186445, 0.0017443141, 0.0005418114, -0.00022569676,
    3.5554756e-05, -2.223294e-06,
)  # fmt: skip
LOG2 = (
    2.885390081777927, 0.9617966939244106, 0.577078017227666, 0.41219840403274044, 0.32061628515237695,
    0.2614468181261259, 0.242891446003137,
)  # fmt: skip
EXP2 = (
    0.9999999999997623, 0.6931471805465084, 0.24022650698886, 0.055504109393542465, 0.009618128542872825,
    0.0013333452044484084, 0.00015403851856454092, 1.530974754089967e-05, 1.3175714336873508e-06,
)  # fmt: skip
ROUNDER_64 = 6755399441055744.0  # 1.5 * 2^52


def quiet(function: Callable[..., Float32]) -> Callable[..., Float32]:
    """The function on float32 arrays, with numpy's warnings off: infinities and NaN are values here."""

    @wraps(function)
    def called(*arrays: npt.ArrayLike) -> Float32:
        with np.errstate(all="ignore"):
            return np.asarray(function(*(np.asarray(array, f32) for array in arrays)), f32)

    return called


def _horner(x: Float32, coefficients: Sequence[float]) -> Float32:
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = fma(total, x, f32(coefficient))
    return total


def horner_64(x: Float64, coefficients: Sequence[float]) -> Float64:
    """Horner's rule with two roundings a step."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def _bits(x: Float32) -> npt.NDArray[np.int32]:
    return x.view(np.int32)


def _power_of_two(k: npt.NDArray[np.int32]) -> Float32:
    return ((k + np.int32(127)) << np.int32(23)).view(f32)


def maximum(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """The larger of two of one float dtype; NaN if either is NaN; +0 above -0."""
    a, b, p, q = _with_bits(a, b)
    ordered = np.where(a == b, (p & q).view(a.dtype).reshape(a.shape), np.where(a > b, a, b))
    return np.where(np.isnan(a), a, ordered)


def minimum(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """The smaller of two of one float dtype; NaN if either is NaN; -0 below +0."""
    a, b, p, q = _with_bits(a, b)
    ordered = np.where(a == b, (p | q).view(a.dtype).reshape(a.shape), np.where(a < b, a, b))
    return np.where(np.isnan(a), a, ordered)


def _with_bits(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Floats, Floats, Bits, Bits]:
    """Both, broadcast to one shape, and their bits."""
    a, b = np.broadcast_arrays(a, b)
    bits = np.dtype(f"i{a.dtype.itemsize}")
    return a, b, np.ascontiguousarray(a).view(bits), np.ascontiguousarray(b).view(bits)


def _reduced_exp(x: Float32) -> tuple[Float32, npt.NDArray[np.int32]]:
    """`(exp(r) - 1, k)` with `x = k ln 2 + r`, for -104 <= x <= 89; NaN stays."""
    x = np.where(x > 89, f32(89), x)
    x = np.where(x < -104, f32(-104), x)
    shifted = fma(x, LOG2_E, ROUNDER)
    n = shifted - ROUNDER
    r = fma(n, -LN2_LO, fma(n, -LN2_HI, x))
    return fma(r * r, _horner(r, EXP), r), _bits(shifted) - ROUNDER.view(np.int32)


@quiet
def exp(x: Float32) -> Float32:
    """The exponential."""
    less_one, k = _reduced_exp(x)
    half = k >> 1
    return (less_one + f32(1)) * _power_of_two(half) * _power_of_two(k - half)


@quiet
def exp_of_score(x: Float32) -> Float32:
    """The exponential, to more than 16 bits, for -12 <= x <= 0."""
    powers = x * LOG2_E
    shifted = powers + ROUNDER
    f = powers - (shifted - ROUNDER)
    k = _bits(shifted) - ROUNDER.view(np.int32)
    return fma(f, _horner(f, EXP_OF_SCORE), f32(1)) * _power_of_two(k)


@quiet
def expm1(x: Float32) -> Float32:
    """`exp(x) - 1`."""
    less_one, k = _reduced_exp(x)
    half = k >> 1
    rest = k - half
    scale = _power_of_two(half)
    return fma(less_one, scale, scale - _power_of_two(-rest)) * _power_of_two(rest)


def _reduced_log(k: Float32, f: Float32) -> Float32:
    """`k ln 2 + log(1 + f)` for `sqrt(1/2) <= 1 + f < sqrt(2)`."""
    square = f * f
    low = fma(k, LN2_LO, square * f * _horner(f, LOG))
    low = fma(square, f32(-0.5), low)
    return fma(k, LN2_HI, f + low)


@quiet
def log(x: Float32) -> Float32:
    """The natural logarithm; of 0: -infinity; of a negative: NaN."""
    subnormal = x < np.finfo(f32).tiny
    scaled = np.where(subnormal, x * f32(2**23), x)
    bits = _bits(scaled)
    k = (bits - SQRT_HALF.view(np.int32)) >> 23
    mantissa = (bits - (k << 23)).view(f32)
    k = np.where(subnormal, k - 23, k)
    y = _reduced_log(k.astype(f32), mantissa - f32(1))
    y = np.where(x < np.inf, y, x)
    y = np.where(x < 0, f32(np.nan), y)
    return np.asarray(np.where(x == 0, f32(-np.inf), y))


@quiet
def softplus(x: Float32) -> Float32:
    """`log(1 + exp(x))`."""
    e = exp(-np.abs(x))
    halved = e > f32(1.4142135) - f32(1)
    f = np.where(halved, f32(0.5) * (e - f32(1)), e)
    return maximum(x, f32(0)) + _reduced_log(halved.astype(f32), f)


@quiet
def sigmoid(x: Float32) -> Float32:
    """`1 / (1 + exp(-x))`."""
    e = exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, f32(1)) / (f32(1) + e))


@quiet
def tanh(x: Float32) -> Float32:
    """The hyperbolic tangent."""
    magnitude = np.abs(x)
    z = magnitude * magnitude
    small = fma(magnitude * z, _horner(z, TANH), magnitude)
    large = f32(1) - f32(2) / (exp(f32(2) * magnitude) + f32(1))
    return np.copysign(np.where(magnitude < f32(0.625), small, large), x)


@quiet
def erf(x: Float32) -> Float32:
    """The error function."""
    magnitude = np.abs(x)
    small = fma(magnitude, _horner(magnitude * magnitude, ERF_SMALL), magnitude)
    t = np.where(magnitude > 4, f32(4), magnitude)
    large = f32(1) - exp(-(t * _horner(t, ERF_LARGE)))
    return np.copysign(np.where(magnitude < f32(0.921875), small, large), x)


@quiet
def gelu(x: Float32) -> Float32:
    """`x / 2 * (1 + erf(x / sqrt(2)))`."""
    return f32(0.5) * x * (f32(1) + erf(x * SQRT_HALF))


@quiet
def gelu_tanh(x: Float32) -> Float32:
    """`x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`."""
    inner = f32(0.7978846) * x * fma(x * x, f32(0.044715), f32(1))
    return f32(0.5) * x * (f32(1) + tanh(inner))


@quiet
def mish(x: Float32) -> Float32:
    """`x * tanh(log(1 + exp(x)))`."""
    e = exp(np.where(x > 20, f32(20), x))
    n = e * (e + f32(2))
    return np.asarray(x * (n / (n + f32(2))), f32)


@quiet
def hard_sigmoid(x: Float32, alpha: Float32, beta: Float32) -> Float32:
    """`max(0, min(1, alpha * x + beta))`, the sum rounded once."""
    return maximum(minimum(fma(alpha, x, beta), f32(1)), f32(0))


@quiet
def elu(x: Float32, alpha: Float32) -> Float32:
    """x above 0, else `alpha * (exp(x) - 1)`."""
    return np.where(x > 0, x, alpha * expm1(x))


@quiet
def selu(x: Float32, alpha: Float32, gamma: Float32) -> Float32:
    """gamma times elu."""
    return gamma * elu(x, alpha)


@quiet
def celu(x: Float32, alpha: Float32) -> Float32:
    """x above 0, else `alpha * (exp(x / alpha) - 1)`."""
    return np.where(x > 0, x, alpha * expm1(x / alpha))


def log2(magnitude: Float64) -> Float64:
    """log2 of a number from float32's range."""
    bits = magnitude.view(np.int64)
    k = ((bits >> 32) - 0x3FE6A09E) >> 20  # the upper half of sqrt(1/2)
    m = (bits - (k << 52)).view(np.float64)
    s = (m - 1) / (m + 1)
    y = k.astype(np.float64) + s * horner_64(s * s, LOG2)
    y = np.where(magnitude == np.inf, np.inf, y)
    return np.where(magnitude == 0, -np.inf, y)


def exp2(t: Float64) -> Float64:
    """2^t; beyond float32's range in either direction it only need overflow or vanish there."""
    t = np.where(t > 200, 200.0, t)
    t = np.where(t < -200, -200.0, t)
    shifted = t + ROUNDER_64
    k = shifted.view(np.int64) - np.float64(ROUNDER_64).view(np.int64)
    scale = ((k + 1023) << 52).view(np.float64)
    return horner_64(t - (shifted - ROUNDER_64), EXP2) * scale


@quiet
def power(x: Float32, y: Float32) -> Float32:
    """`x^y` with IEEE's special cases, in float64 inside; `x^2` is `x * x`."""
    x, y = (np.array(array, order="C") for array in np.broadcast_arrays(x, y))
    huge = f32(2**100)
    exponent = np.where(y > huge, huge, np.where(y < -huge, -huge, y))
    magnitude = exp2(exponent.astype(np.float64) * log2(np.abs(x).astype(np.float64))).astype(f32)
    half = f32(0.5) * y
    integer = np.rint(y) == y
    odd = integer & (np.rint(half) != half)
    rootless = ~integer & (x < 0) & (x > -np.inf)
    signed = np.where(np.signbit(x) & odd, -magnitude, magnitude)
    z = np.where(rootless | np.isnan(x), f32(np.nan), signed)
    z = np.where(y == 2, x * x, z)
    return np.where((x == 1) | (y == 0), f32(1), z)
