"""Requantization and its parameters against fractions and Python's integers."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from octavo.program.arithmetic import (
    add_multipliers_shift,
    is_multiplier,
    multiplier_shift,
    requantize,
    residual_multipliers_shifts,
    residual_reach,
    residual_terms,
    scale_and_round,
)

EDGES = [
    0.0,
    -1.0,
    math.inf,
    math.nan,
    5e-324,
    2.0**-33,
    math.nextafter(2.0**-32, 0),
    2.0**-32,
    math.nextafter(2.0**-32, 1),
    0.5,
    math.nextafter(0.5, 0),
    1.0,
    math.nextafter(1.0, 0),
    (2**31 - 0.5) / 2**31,
    (2**31 - 0.75) / 2**31,
    math.nextafter(2.0**30, 0),
    2.0**30 - 0.25,
    2.0**30 - 0.5,
    2.0**30,
    1e300,
]


def rounded_half_even(x):
    return round(x)  # of a Fraction: exact, ties to even


def multiplier_shift_by_the_rule(m):
    if not (m > 0 and m < 2**30):
        return None
    exact = Fraction(m)
    if exact < Fraction(1, 2**32):
        return 2**7 * (2**23 + 1), 62
    shift = next(s for s in range(62, 0, -1) if exact * 2**s < 2**31)
    wanted = exact * 2 ** (shift - 7) if shift >= 7 else exact / 2 ** (7 - shift)
    near = range(math.floor(wanted) - 2, math.floor(wanted) + 4)
    odd = min((k for k in near if k % 2), key=lambda k: (abs(k - wanted), -k))
    return 2**7 * odd, shift


def test_multipliers_and_shifts_follow_the_rule():
    random.seed(1)
    samples = EDGES + [random.random() * 2.0 ** random.randint(-36, 31) for _ in range(5000)]
    samples += [
        Fraction(2 * random.getrandbits(30) + 2**31 + 1, 2**32) * 2**k
        for k in range(-20, 20)
        for _ in range(20)
    ]
    for m in samples:
        found = multiplier_shift(float(m))
        assert found == multiplier_shift_by_the_rule(float(m)), m
        if found is not None:
            assert 2**30 < found[0] < 2**31
            assert is_multiplier(found[0])
            assert 1 <= found[1] <= 62


def test_a_numpy_float_is_taken():
    assert multiplier_shift(np.float64(0.75)) == ((3 << 29) + 128, 31)


def test_a_multiplier_is_an_odd_integer_of_24_bits_times_128():
    least, greatest = 128 * (2**23 + 1), 128 * (2**24 - 1)
    taken = [least, least + 256, greatest - 256, greatest]
    refused = [0, 1, 128, -least, 2**30, 2**30 - 128, least + 1, least + 64, least + 128, 2**31 - 1]
    assert is_multiplier(np.array(taken + refused)).tolist() == [True] * 4 + [False] * 10


def test_multipliers_of_an_addition_are_the_finest_that_fit():
    random.seed(2)
    for _ in range(3000):
        a = random.choice((-1, 1)) * random.random() * 2.0 ** random.randint(-40, 16)
        b = random.choice((-1, 1)) * random.random() * 2.0 ** random.randint(-40, 16)
        found = add_multipliers_shift(a, b)
        if max(abs(a), abs(b)) >= 2**14:
            assert found is None
            continue
        fitting = [
            s for s in range(1, 31) if max(abs(rounded_half_even(Fraction(r) * 2**s)) for r in (a, b)) < 2**15
        ]
        if not fitting:
            assert found is None
            continue
        shift = max(fitting)
        assert found == (*(rounded_half_even(Fraction(r) * 2**shift) for r in (a, b)), shift)


@pytest.mark.parametrize("ratio", [math.nan, math.inf, -math.inf, 2.0**14, -(2.0**14)])
def test_an_addition_out_of_bounds_stays_float(ratio):
    assert add_multipliers_shift(ratio, 1.0) is None
    assert add_multipliers_shift(1.0, ratio) is None


def residual_by_the_rule(ratio):
    """The finest shift in 1..23 whose multiplier, rounded half up, stays below 2^15."""
    scaled = ((s, math.floor(Fraction(ratio) * 2**s + Fraction(1, 2))) for s in range(23, 0, -1))
    return next(((multiplier, shift) for shift, multiplier in scaled if multiplier < 2**15), None)


def test_multipliers_of_a_residual_are_the_finest_that_fit():
    random.seed(4)
    edges = [2.0**-126, 2.0**-9, 2.0**-10, 1.0, 2.0**13, 2.0**14 - 0.5, 2.0**14 - 1, (2**15 - 0.5) / 4]
    ratios = [math.nextafter(edge, side) for edge in edges for side in (0, edge, math.inf)]
    ratios += [random.random() * 2.0 ** random.randint(-16, 14) for _ in range(3000)]
    for ratio in ratios:
        found = residual_multipliers_shifts(np.array([ratio, 0.75]))
        rule = residual_by_the_rule(ratio)
        if rule is None:
            assert found is None, ratio
            continue
        assert (found[0].tolist(), found[1].tolist()) == ([rule[0], 3 * 2**13], [rule[1], 15]), ratio
        assert rule[1] == 23 or rule[0] >= 2**14


@pytest.mark.parametrize("ratio", [math.nan, math.inf, 2.0**14, 2.0**14 - 0.25, 1e300])
def test_a_residual_too_coarse_beside_the_sums_has_none(ratio):
    assert residual_multipliers_shifts(np.array([1.0, ratio])) is None


def test_what_a_residual_adds_is_rounded_once_and_greatest_at_an_end():
    random.seed(5)
    cases = [(0, 2**15 - 1, 1), (255, 2**15 - 1, 1), (128, 2**14, 23), (3, 0, 7), (0, 2**14, 23)]
    cases += [(random.randrange(256), random.randrange(2**15), random.randint(1, 23)) for _ in range(300)]
    for zero, multiplier, shift in cases:
        exact = [math.floor(Fraction((r - zero) * multiplier, 2**shift) + Fraction(1, 2)) for r in range(256)]
        assert residual_terms(np.arange(256, dtype=np.uint8), zero, multiplier, shift).tolist() == exact
        assert residual_reach(zero, multiplier, shift) == max(map(abs, exact))


def test_a_residual_much_finer_than_the_sums_adds_nothing():
    for ratio in (2.0**-9, math.nextafter(2.0**-9, 0), 2.0**-10, 2.0**-60):
        multiplier, shift = residual_multipliers_shifts(np.array([ratio]))
        assert shift.tolist() == [23]
        assert {residual_reach(zero, multiplier, shift).item() for zero in (0, 128, 255)} == {0}


def test_requantize_is_the_floor_of_the_exact_quotient():
    random.seed(3)
    accs = [0, 1, -1, 127, -128, 2**31 - 1, -(2**31), 2**30, -(2**30)] + [
        random.randint(-(2**31), 2**31 - 1) for _ in range(40)
    ]
    for shift in range(1, 63):
        for multiplier in (2**30, 2**31 - 1, random.randint(2**30, 2**31 - 1)):
            exact = [math.floor(Fraction(acc * multiplier, 2**shift) + Fraction(1, 2)) for acc in accs]
            assert scale_and_round(np.array(accs), multiplier, shift).tolist() == exact
            zero, lo, hi = random.randint(0, 255), random.randint(0, 127), random.randint(128, 255)
            clamped = [min(max(y + zero, lo), hi) for y in exact]
            found = requantize(np.array(accs, np.int32), multiplier, shift, zero, lo, hi)
            assert found.tolist() == clamped


def test_ties_go_up():
    assert scale_and_round(np.array([-3, -1, 1, 3]), 2**30, 31).tolist() == [-1, 0, 1, 2]


def test_requantize_takes_a_multiplier_and_a_shift_for_each_channel():
    acc = np.array([[1000, 1000], [-1000, 7]])
    found = requantize(acc, np.array([2**30, 2**31 - 1], np.int32), np.array([31, 40], np.int32), 10, 0, 255)
    assert found.tolist() == [[255, 12], [0, 10]]


def test_sums_of_64_bits_by_shifts_of_eight_and_more():
    random.seed(9)
    for shift in (8, 9, 33, 62):
        accs = [0, 1, -1, 2**38 - 1, 1 - 2**38, *(random.randrange(1 - 2**38, 2**38) for _ in range(200))]
        for multiplier in (2**30 + 128, 2**31 - 128, 256 * random.randrange(2**22, 2**23) + 128):
            exact = [math.floor(Fraction(acc * multiplier, 2**shift) + Fraction(1, 2)) for acc in accs]
            found = requantize(np.array(accs), multiplier, shift, 5, -(2**62), 2**62)
            assert found.tolist() == [y + 5 for y in exact]
