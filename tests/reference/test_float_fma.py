"""The fused multiply-add against exact rationals."""

from fractions import Fraction

import numpy as np
import pytest
from octavo.reference.fma import fma


def round_to_float32(value: Fraction) -> np.float32:
    """The nearest float32, ties to even, by integers alone."""
    if value == 0:
        return np.float32(0)
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    scaled = round(magnitude / unit) * unit  # Fraction rounds half to even
    result = np.float32(np.inf) if scaled >= Fraction(2) ** 128 else np.float32(float(scaled))
    return -result if value < 0 else result


def assert_exact(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    y = fma(a, b, c)
    assert y.dtype == np.float32
    for i in range(a.size):
        exact = Fraction(float(a[i])) * Fraction(float(b[i])) + Fraction(float(c[i]))
        assert y[i] == round_to_float32(exact), (a[i], b[i], c[i])


def random_floats(rng: np.random.Generator, size: int, low: int, high: int) -> np.ndarray:
    """Random mantissas and signs, exponents in low..high."""
    bits = rng.integers(0, 2**23, size) | (rng.integers(low + 127, high + 128, size) << 23)
    return (bits | (rng.integers(0, 2, size) << 31)).astype(np.uint32).view(np.float32)


def test_random_operands_round_once():
    rng = np.random.default_rng(1)
    assert_exact(*(random_floats(rng, 2000, -20, 20) for _ in range(3)))


def test_addend_near_the_product_and_far_below_it():
    rng = np.random.default_rng(2)
    a, b = random_floats(rng, 2000, -8, 8), random_floats(rng, 2000, -8, 8)
    assert_exact(a, b, -(a * b))
    assert_exact(a, b, (a * b * np.float32(2) ** rng.integers(-60, -20, 2000)).astype(np.float32))


def test_ties_that_a_plain_float64_sum_rounds_twice():
    # The product lies half way between two float32, and the addend is too small for float64's last bit.
    a = np.float32([1 + 2**-12, 1 + 2**-12, 1 + 2**-12, -1 - 2**-12])
    c = np.float32([2**-60, -(2**-60), 0, 2**-60])
    assert_exact(a, np.abs(a), c)
    twice = (a.astype(np.float64) * np.abs(a) + c.astype(np.float64)).astype(np.float32)
    assert np.any(twice != fma(a, np.abs(a), c))


def test_subnormal_results_round_once():
    rng = np.random.default_rng(3)
    a, b = random_floats(rng, 2000, -75, -60), random_floats(rng, 2000, -75, -60)
    c = (rng.integers(-(2**23), 2**23, 2000) * 2.0**-149).astype(np.float32)
    assert_exact(a, b, c)


def test_overflow_and_what_is_not_finite():
    inf, nan, big = np.float32(np.inf), np.float32(np.nan), np.finfo(np.float32).max
    np.testing.assert_array_equal(fma([big, -big, big], [2, 2, 1], [0, 0, big]), [inf, -inf, inf])
    assert fma(big, 2, -inf) == -inf
    assert fma(inf, 1, 1) == inf
    assert fma(big, 1, -big) == 0
    assert np.isnan(fma([inf, 0, nan, 1, 1], [1, inf, 1, nan, 1], [-inf, 0, 0, 0, nan])).all()


def test_zeros_keep_ieee_signs():
    y = fma([0, -0.0, -0.0, 1], [1, 1, 1, -1], [-0.0, 0.0, -0.0, 1])
    np.testing.assert_array_equal(np.signbit(y), [False, False, True, False])
    tiny = np.float32(2**-149)
    assert np.signbit(fma(tiny, -tiny, np.float32(0)))


def test_sums_that_lie_one_bit_of_float64_beside_a_tie():
    """Their float64 is odd as it is: a step towards the error would make them ties."""
    a, b, c = [], [], []
    for one in range(2**23 + 1, 2**23 + 4000):
        for beyond in (1, -1):  # the product is 2^-24 of c, and half to all of a bit beyond or before it
            other = round((2**47 + beyond * 3 * 2**17) / one)
            if 2**18 < beyond * (one * other - 2**47) < 2**19:
                a.append(one * 2.0**-23), b.append(other * 2.0**-48), c.append(1.0)
                a.append(one * 2.0**-23), b.append(other * 2.0**-48), c.append(1 + 2.0**-23)
    a, b, c = (np.array(numbers).astype(np.float32) for numbers in (a, b, c))
    assert a.size > 100
    for sign in (1, -1):
        assert_exact(np.float32(sign) * a, b, np.float32(sign) * c)
    wide = a.astype(np.float64) * b.astype(np.float64) + c
    assert (wide.view(np.int64) & 1).all()
    beside = ((wide.view(np.int64) & (2**29 - 1)) - 2**28).tolist()
    assert set(beside) == {1, -1}


@pytest.mark.parametrize("power", [-120, -60, -25, -24, -23, 0, 40])
@pytest.mark.parametrize("sign", [1, -1])
def test_products_half_way_between_two_numbers_go_where_the_addend_points(power, sign):
    """24929 * 673 is 2^24 + 1, which float32 lacks; an addend too small for float64 still decides."""
    scale = np.float32(2.0**power)
    a, b = sign * np.float32(24929) * scale, np.float32(673)
    for tiny, whole in ((2.0**-149, 2**24 + 2), (-(2.0**-149), 2**24), (0.0, 2**24)):
        got = fma(a, b, np.float32(sign * tiny))
        assert got == sign * np.float32(whole) * scale
