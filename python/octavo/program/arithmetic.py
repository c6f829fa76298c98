"""The integer arithmetic that lowering, the reference and the kernels share. Only + - * / and integers.

Formulas are those of docs/arithmetic.md; this is (9):

`y = clamp(zero_point + floor((acc * M + 2^(S-1)) / 2^S), lo, hi)`: the exact 64-bit product,
one rounding, ties up.
"""

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = int | npt.NDArray[np.integer[Any]]

MULTIPLIER_MIN = (1 << 30) + (1 << 7)
"""The smallest multiplier: M is 2^7 times an odd integer of 24 bits, so it lies in (2^30, 2^31)."""

SHIFT_MAX = 62
"""The largest shift: S lies in 1..62."""

ADD_SHIFT_MAX = 30
"""The largest shift of an addition; its multipliers stay below `ADD_MULTIPLIER_END` in magnitude."""

ADD_MULTIPLIER_END = 1 << 15

RESIDUAL_SHIFT_MAX = 23
"""The largest shift of a residual that joins the sums of a product: a multiplier below 2^14 then adds 0."""

RESIDUAL_MULTIPLIER_END = 1 << 15
"""What such a residual's multiplier stays below."""


def multiplier_shift(m: float) -> tuple[int, int] | None:
    """The multiplier and shift of a positive real factor, formula (8) of docs/arithmetic.md.

    M is 2^7 times the odd integer nearest to m * 2^(S-7), which lies in [2^23, 2^24), the larger of two;
    S is in 1..62; m < 2^-32 takes the least M at S = 62.
    None where m is not a positive finite number, or is 2^30 or more: the op must stay float.
    """
    multiplier, shift = multipliers_shifts(np.array([m], np.float64))
    return (int(multiplier[0]), int(shift[0])) if multiplier[0] else None


def multipliers_shifts(
    factors: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """`multiplier_shift` of each factor; 0 and 0 where there is none."""
    is_fit = (factors > 0.0) & (factors < 2.0**30)
    _, exponent = np.frexp(factors)  # in [2^(exponent - 1), 2^exponent)
    shift = np.minimum(31 - exponent.astype(np.int32), SHIFT_MAX)
    scaled = np.ldexp(np.where(is_fit, factors, 1.0), shift - 7)
    multiplier = np.maximum((np.floor(scaled).astype(np.int32) | 1) << 7, MULTIPLIER_MIN)
    return np.where(is_fit, multiplier, 0).astype(np.int32), np.where(is_fit, shift, 0)


def is_multiplier(multiplier: Numbers) -> npt.NDArray[np.bool_]:
    """Whether each is an odd integer of 24 bits times 2^7. multiplier: within int32."""
    multiplier = np.asarray(multiplier, np.int64)
    return np.asarray((multiplier >= MULTIPLIER_MIN) & (multiplier % 256 == 128))


def add_multipliers_shift(a: float, b: float) -> tuple[int, int, int] | None:
    """The two multipliers and the shift of `a * x + b * y`.

    Formula (11): `M = rne(ratio * 2^S)`, S the largest in 1..30 with |M| < 2^15 for both.
    a, b: finite ratios of scales; negative where the operand is subtracted.
    None where a ratio is 2^14 or more in magnitude, or not finite: the op must stay float.
    """
    a, b = float(a), float(b)
    if not (abs(a) < 2.0**14 and abs(b) < 2.0**14):  # NaN is not
        return None
    for shift in range(ADD_SHIFT_MAX, 0, -1):
        multipliers = round(math.ldexp(a, shift)), round(math.ldexp(b, shift))
        if all(abs(multiplier) < ADD_MULTIPLIER_END for multiplier in multipliers):
            return *multipliers, shift
    return None


def residual_multipliers_shifts(
    ratios: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None:
    """The multiplier and shift of a residual in each channel, formula (9b).

    ratios: the residual's scale over that of each channel's sums, positive. None where one is too large, so
    that its shift would be below 1, or not finite: the sum must be taken behind the product.
    """
    if not np.all(ratios < 2.0**14):  # NaN is not
        return None
    _, exponent = np.frexp(ratios)  # in [2^(exponent - 1), 2^exponent)
    shift = np.minimum(15 - exponent.astype(np.int32), RESIDUAL_SHIFT_MAX)
    multiplier = np.floor(np.ldexp(ratios, shift) + 0.5).astype(np.int32)
    full = multiplier == RESIDUAL_MULTIPLIER_END
    multiplier, shift = np.where(full, multiplier >> 1, multiplier), shift - full
    return None if np.any(shift < 1) else (multiplier.astype(np.int32), shift.astype(np.int32))


def residual_terms(r: Numbers, zero_point: int, multiplier: Numbers, shift: Numbers) -> npt.NDArray[np.int64]:
    """`floor(((r - zero_point) * multiplier + 2^(shift-1)) / 2^shift)`, formula (9a), with broadcasting."""
    return scale_and_round(np.asarray(r, np.int64) - zero_point, multiplier, shift)


def residual_reach(zero_point: int, multiplier: Numbers, shift: Numbers) -> npt.NDArray[np.int64]:
    """The greatest magnitude of `residual_terms` over uint8: it is at one of the ends, formula (9c)."""
    ends = [np.abs(residual_terms(r, zero_point, multiplier, shift)) for r in (0, 255)]
    return np.asarray(np.maximum(*ends))


def scale_and_round(acc: Numbers, multiplier: Numbers, shift: Numbers) -> npt.NDArray[np.int64]:
    """`floor((acc * multiplier + 2^(shift-1)) / 2^shift)`, elementwise with broadcasting.

    acc: within int32. multiplier: below 2^31 in magnitude. shift: 1..62. So nothing leaves 64 bits. Neither
    does it for acc below 2^38, and a multiplier of 24 bits.
    """
    shift = np.asarray(shift, np.int64)
    product = np.asarray(acc, np.int64) * np.asarray(multiplier, np.int64)
    return np.asarray((product + (np.int64(1) << (shift - 1))) >> shift)


def requantize(
    acc: Numbers, multiplier: Numbers, shift: Numbers, zero_point: int, lo: int, hi: int
) -> npt.NDArray[np.int64]:
    """Accumulators as the integers of another scale: `scale_and_round`, the zero point, the clamp to lo..hi.

    acc: within int32, or below 2^38 in magnitude where every shift is 8 or more and 2^7 divides every
    multiplier, as it does by formula (8): the seven low bits are left out on both sides.
    """
    multiplier, shift = np.asarray(multiplier, np.int64), np.asarray(shift, np.int64)
    spare = np.where((shift >= 8) & (multiplier % 128 == 0), 7, 0)
    return np.clip(scale_and_round(acc, multiplier >> spare, shift - spare) + zero_point, lo, hi)
