"""The fused multiply-add that numpy lacks: `a * b + c` in float32 with one rounding."""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


def fma(a: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike) -> Float32:
    """`a * b + c`, rounded to float32 once (nearest, ties to even), elementwise: formula (21).

    a, b, c: float32. The product of two float32 is exact in float64. Its sum with c is rounded to odd: where
    it is inexact (TwoSum gives the error), an even last bit steps one unit toward the error. Rounding that to
    float32 equals rounding the exact sum, since float64 has bits to spare, subnormal results included
    (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
    """
    with np.errstate(all="ignore"):
        p = np.asarray(a, np.float32).astype(np.float64) * np.asarray(b, np.float32).astype(np.float64)
        addend = np.asarray(c, np.float32).astype(np.float64)
        s = np.asarray(p + addend)
        back = s - p
        error = (p - (s - back)) + (addend - back)
        # NaN (where a term is not finite) compares false: such sums stay.
        up, down = error > 0, error < 0
        bits = s.view(np.int64)
        even = (bits & 1) == 0
        away_from_zero = np.where(up, s > 0, s < 0)
        step = np.where(even & (up | down), np.where(away_from_zero, 1, -1), 0)
        return np.asarray((bits + step).view(np.float64).astype(np.float32))
