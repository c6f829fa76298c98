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


@pytest.mark.parametrize(
    "bad",
    [
        (1.0, 0.0),
        (0.0, np.inf),
        (-np.inf, 0.0),
        (-np.inf, np.inf),
        (np.inf, np.inf),
        (np.nan, 1.0),
        (0.0, np.nan),
    ],
)
def test_no_range(bad):
    with pytest.raises(ValueError, match="not a range"):
        Range(*bad)


def test_integers_of_special_values():
    form = Affine(np.float32(0.5), 10)
    reals = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 0.25, 0.75, -0.25], np.float32)
    # 0.25 / 0.5 = 0.5 ties to 0, 1.5 to 2.
    assert form.integers(reals).tolist() == [10, 255, 0, 255, 0, 10, 12, 10]


@pytest.mark.parametrize("steps", [0.5, 1.5, 2.5, 100.5, 127.5, 253.5, 254.5])
def test_the_zero_point_is_rounded_once_in_float64(steps):
    """By a scale of 1/8: a tie goes to even, and what lies beside it by less than float32 tells does not."""
    for beside, nearest in ((-(2.0**-40), int(steps)), (0.0, round(steps)), (2.0**-40, int(steps) + 1)):
        low = -(steps + beside) / 8
        form = affine(Range(low, 255 / 8 + low))
        assert form.scale == np.float32(0.125)
        assert form.zero_point == nearest


@pytest.mark.parametrize(
    ("low", "high", "zero"), [(-1.0, 0.0, 255), (-5.0, -1.0, 255), (0.0, 3.0, 0), (1.0, 3.0, 0)]
)
def test_ranges_on_one_side_of_zero(low, high, zero):
    form = affine(Range(low, high))
    assert form.zero_point == zero
    assert form.scale == np.float32(max(high, 0.0, -low) / 255.0)
    assert form.reals().tolist() == [float(form.scale * np.float32(q - zero)) for q in range(256)]
    assert np.array_equal(form.integers(form.reals()), np.arange(256))


def test_unions_and_widths_hold_both_ends():
    one, other = Range(-3.0, 1.0), Range(2.0, 5.0)
    assert one.union(other) == other.union(one) == Range(-3.0, 5.0)
    assert other.with_zero() == Range(0.0, 5.0)
    assert Range(-5.0, -2.0).with_zero() == Range(-5.0, 0.0)
    assert [reals.width for reals in (one, other, Range(-5.0, -2.0), Range(0.0, 0.0))] == [4.0, 5.0, 5.0, 0.0]
