"""Scale and zero point against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octavo.lowering.affine import SCALE_MIN, Affine, Range, affine

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(FINITE, FINITE)
def test_zero_is_exact_and_the_ends_are_within_half_a_step(a, b):
    low, high = min(a, b), max(a, b)
    form = affine(Range(low, high))
    assert form.scale.dtype == np.float32
    assert form.scale >= SCALE_MIN
    assert 0 <= form.zero_point <= 255
    scale = Fraction(float(form.scale))
    # Half a step, and what rounding the scale to float32 loses over 255 steps.
    slack = scale * (Fraction(1, 2) + Fraction(255, 2**22))
    assert scale * (0 - form.zero_point) <= Fraction(min(low, 0.0)) + slack
    assert scale * (255 - form.zero_point) >= Fraction(max(high, 0.0)) - slack


def test_formulas():
    # Its scale is a little above 2/255 once rounded to float32, so 1/scale is a little below 127.5.
    assert affine(Range(-1.0, 1.0)) == Affine(np.float32(2.0 / 255.0), 127)
    assert affine(Range(0.0, 6.0)) == Affine(np.float32(6.0 / 255.0), 0)
    assert affine(Range(-6.0, -2.0)) == Affine(np.float32(6.0 / 255.0), 255)
    assert affine(Range(2.0, 6.0)) == Affine(np.float32(6.0 / 255.0), 0)


def test_all_zero_tensors_are_defined():
    form = affine(Range(0.0, 0.0))
    assert form == Affine(np.float32(1.0), 0)
    assert form.integers(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("width", [1e-45, 1e-40, 3e-38])
def test_scale_is_never_subnormal(width):
    assert affine(Range(0.0, float(np.float32(width)))).scale == SCALE_MIN


@pytest.mark.parametrize("bad", [(1.0, 0.0), (0.0, np.inf), (np.nan, 1.0)])
def test_no_range(bad):
    with pytest.raises(ValueError, match="not a range"):
        Range(*bad)


def test_integers_of_special_values():
    form = Affine(np.float32(0.5), 10)
    reals = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 0.25, 0.75, -0.25], np.float32)
    # 0.25 / 0.5 = 0.5 ties to 0, 1.5 to 2.
    assert form.integers(reals).tolist() == [10, 255, 0, 255, 0, 10, 12, 10]
