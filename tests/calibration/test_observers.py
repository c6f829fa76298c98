"""The observers' state: exact, and a function of the multiset of samples."""

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octavo.calibration import RULES, Observer, calibrate, ranges, rule_named
from octavo.calibration.ranges import mean_of_extremes, min_max
from octavo.errors import DataError
from octavo.lowering.affine import Range

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
SAMPLES = st.lists(st.tuples(FINITE, FINITE, st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


def observed(samples):
    observer = Observer()
    for a, b, nans, infinities in samples:
        observer.add(min(a, b), max(a, b), nans, infinities, 100)
    return observer


@given(SAMPLES, st.randoms(), st.integers(0, 12))
def test_order_and_merging_do_not_show(samples, generator, at):
    whole = observed(samples)
    shuffled = list(samples)
    generator.shuffle(shuffled)
    assert observed(shuffled).to_bytes() == whole.to_bytes()
    first, second = observed(shuffled[:at]), observed(shuffled[at:])
    second.merge(first)
    assert second.to_bytes() == whole.to_bytes()
    assert Observer.from_bytes(whole.to_bytes()) == whole


@given(SAMPLES)
def test_rules_against_fractions(samples):
    observer = observed(samples)
    lows, highs = [min(a, b) for a, b, *_ in samples], [max(a, b) for a, b, *_ in samples]
    assert min_max(observer) == Range(min(lows), max(highs))
    mean = mean_of_extremes(observer)
    assert mean.min == float(sum(map(Fraction, lows)) / len(lows))
    assert mean.max == float(sum(map(Fraction, highs)) / len(highs))


def test_float_addition_would_show_the_order():
    """The sums are exact where float64's are not."""
    samples = [(-1e30, 1e30, 0, 0), (-1e-30, 1e-30, 0, 0)] * 3 + [(-3e38, 3e38, 0, 0)]
    states = set()
    for seed in range(20):
        random.Random(seed).shuffle(samples)
        states.add(observed(samples).to_bytes())
    assert len(states) == 1


def test_what_is_not_finite_is_counted_apart():
    observer = Observer()
    observer.add(float("inf"), float("-inf"), 6, 4, 10)  # nothing finite in this sample
    assert (observer.samples, observer.nans, observer.infinities) == (0, 6, 4)
    assert ranges({"x": observer}, min_max) == {}
    observer.add(-1.0, 2.0, 1, 0, 10)
    assert ranges({"x": observer}, min_max) == {"x": Range(-1.0, 2.0)}
    assert observer.elements == 20


def test_negative_zero_is_zero():
    one, other = Observer(), Observer()
    one.add(-0.0, -0.0, 0, 0, 1)
    other.add(0.0, 0.0, 0, 0, 1)
    assert one.to_bytes() == other.to_bytes()


def test_states_of_another_length_are_refused():
    with pytest.raises(ValueError, match="bytes"):
        Observer.from_bytes(b"123")


def test_rules_by_name():
    assert set(RULES) == {"minmax", "mean"}
    with pytest.raises(DataError, match="no range rule is called 'entropy'; there are minmax, mean"):
        rule_named("entropy")


class Doubler:
    """A model of one value, twice its input; the value z is never made."""

    def observe(self, feeds, names):
        y = feeds["x"] * np.float32(2)
        made = {"x": feeds["x"], "y": y}
        return [
            (float(made[n].min()), float(made[n].max()), 0, 0, made[n].size) if n in made else None
            for n in names
        ]


def test_calibrate_streams_and_reports():
    alive = []

    def feeds():
        for value in (1, -4, 2):
            alive.append(value)
            yield {"x": np.array([value], np.float32)}

    seen = []
    found = calibrate(Doubler(), feeds(), ["x", "y", "z"], lambda count: seen.append((count, len(alive))))
    assert seen == [(1, 1), (2, 2), (3, 3)]
    assert found.samples == 3
    assert ranges(found.observers, min_max) == {"x": Range(-4, 2), "y": Range(-8, 4)}


def test_every_count_is_merged_with_its_own():
    one, other = Observer(), Observer()
    one.add(-3.0, 5.0, 1, 2, 100)
    other.add(-7.0, 2.0, 30, 400, 5000)
    other.add(-1.0, 11.0, 60000, 700000, 8000000)
    for first, second in ((one, other), (other, one)):
        merged = Observer.from_bytes(first.to_bytes())
        merged.merge(second)
        assert (merged.minimum, merged.maximum, merged.samples) == (-7.0, 11.0, 3)
        assert (merged.nans, merged.infinities, merged.elements) == (60031, 700402, 8005100)
        assert (merged.minima, merged.maxima) == (-11 << 149, 18 << 149)


def test_the_state_holds_the_largest_sums_and_counts():
    """The sums of 2^64 of the largest float32, in either sign."""
    largest = int(np.finfo(np.float32).max)
    sums = {"minima": -largest << 149 + 64, "maxima": largest << 149 + 64}
    counts = dict.fromkeys(("elements", "nans", "infinities", "samples"), 2**64 - 1)
    observer = Observer(-float(largest), float(largest), **counts, **sums)
    assert Observer.from_bytes(observer.to_bytes()) == observer
    assert len(observer.to_bytes()) == len(Observer().to_bytes())
    for length in (-1, 1):
        data = observer.to_bytes()
        with pytest.raises(ValueError, match=rf"has {len(data)} bytes, not {len(data) + length}"):
            Observer.from_bytes(data[:-1] if length < 0 else data + b"\0")


def test_the_zeros_of_extremes_have_no_sign():
    for low, high in ((-0.0, 1.0), (-1.0, -0.0), (-0.0, -0.0)):
        observer = Observer()
        observer.add(low, high, 0, 0, 1)
        assert not np.signbit(np.array([observer.minimum, observer.maximum])[[low == 0, high == 0]]).any()


def test_a_tensor_of_which_nothing_finite_was_seen_has_no_range():
    """Neither an empty one, nor one of NaN, of infinities, or of both."""
    for nans, infinities, elements in ((0, 0, 0), (3, 0, 3), (0, 3, 3), (1, 2, 3)):
        observer = Observer()
        observer.add(float("inf"), float("-inf"), nans, infinities, elements)
        for rule in (min_max, mean_of_extremes):
            assert ranges({"x": observer}, rule) == {}
        observer.add(2.0, 4.0, 0, 0, 1)
        observer.add(float("inf"), float("-inf"), nans, infinities, elements)
        for rule in (min_max, mean_of_extremes):
            assert ranges({"x": observer}, rule) == {"x": Range(2.0, 4.0)}


@pytest.mark.parametrize("name", [None, 1, ["minmax"], "MinMax", ""])
def test_what_is_no_rule_s_name(name):
    with pytest.raises(DataError, match=r"no range rule is called .*; there are minmax, mean"):
        rule_named(name)
    assert rule_named("minmax") is min_max
    assert rule_named("mean") is mean_of_extremes
