"""Range rules: pure functions of the statistics that they declare."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octavo import _core
from octavo.calibration import RULES, RangeRule, ranges, rule_named
from octavo.calibration.ranges import mean_of_extremes, min_max, percentile
from octavo.errors import DataError
from octavo.lowering.affine import Range

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
SAMPLES = st.lists(st.lists(FINITE, min_size=1, max_size=20), min_size=1, max_size=8)


@given(SAMPLES)
def test_rules_of_extremes_against_fractions(seen, samples):
    lows, highs = [min(sample) for sample in samples], [max(sample) for sample in samples]
    kept = seen(samples, "extremes", "sample_extremes")
    assert ranges(kept, RULES["minmax"]) == {"x": Range(min(lows), max(highs))}
    mean = ranges(kept, RULES["mean"])["x"]
    assert mean.min == float(sum(map(Fraction, lows)) / len(lows))
    assert mean.max == float(sum(map(Fraction, highs)) / len(highs))


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_rules_read_what_they_declare_and_no_more(seen, rule):
    assert set(rule.needs) <= set(_core.statistics())
    samples = [[-1.0, 2.0], [0.5, 7.0, np.nan]]
    (range_,) = ranges(seen(samples, *rule.needs), rule).values()
    assert ranges(seen(samples, *_core.statistics()), rule) == {"x": range_}
    with pytest.raises(DataError, match="is not kept"):
        ranges(seen(samples, *set(_core.statistics()) - set(rule.needs)), rule)


COUNTING = RangeRule("counting", ("counts", "extremes"), min_max)
"""It reads a statistic that tells something of any value, beside one that does not."""


@pytest.mark.parametrize("rule", [*RULES.values(), COUNTING], ids=lambda rule: rule.name)
def test_a_value_of_which_nothing_finite_was_seen_has_no_range(seen, rule):
    """Neither an empty one, nor one of NaN, of infinities, or of both."""
    for sample in ([], [np.nan] * 3, [np.inf, -np.inf], [np.nan, np.inf, -np.inf]):
        assert ranges(seen([sample], *rule.needs), rule) == {}
        end = 4.0 if rule.name == "twice" else 2.0
        assert ranges(seen([sample, [2.0, 2.0], sample], *rule.needs), rule) == {"x": Range(end, end)}
    assert ranges(seen([], *rule.needs), rule) == {}


def test_what_is_not_finite_is_left_out(seen):
    samples = [[np.nan, np.inf], [-1.0, 2.0, np.nan, -np.inf], [np.nan], [0.0]]
    assert ranges(seen(samples, "extremes"), RULES["minmax"]) == {"x": Range(-1.0, 2.0)}
    assert ranges(seen(samples, "extremes"), RULES["twice"]) == {"x": Range(-2.0, 4.0)}
    assert ranges(seen(samples, "sample_extremes"), RULES["mean"]) == {"x": Range(-0.5, 1.0)}


def measure(elements, low, high):
    """How many elements lie below low, and how many above high, each spread evenly over its bin."""
    below = above = Fraction(0)
    for x in np.asarray(elements, np.float32) + np.float32(0):  # -0 is 0
        begin = np.uint32(x.view(np.uint32) & np.uint32(0xFFFF0000))
        near = Fraction(float(begin.view(np.float32)))
        behind = np.uint32(begin + np.uint32(0x10000)).view(np.float32)
        far = Fraction(float(behind)) if np.isfinite(behind) else Fraction(2) ** 128 * (1 if x > 0 else -1)
        left, right = sorted((near, far))
        below += min(max((low - left) / (right - left), 0), 1)
        above += min(max((right - high) / (right - left), 0), 1)
    return below, above


@given(st.lists(FINITE, min_size=1, max_size=60), st.sampled_from([100, 10, 4, 3]))
def test_percentiles_leave_out_their_share(seen, elements, parts):
    """What lies outside of the range is as much as asked for, or the range ends at an extreme."""
    told = seen([elements], "extremes", "histogram")
    found = percentile(Fraction(1, parts), {kind: told.read("x", kind) for kind in ("extremes", "histogram")})
    least, greatest = min(elements) + 0.0, max(elements) + 0.0
    assert least <= found.min <= found.max <= greatest
    out = Fraction(len(elements), parts) / (2 if least < 0 < greatest else 1)
    below, above = measure(elements, Fraction(found.min), Fraction(found.max))
    if least >= 0:
        assert found.min == least
    elif least < found.min < greatest:
        assert abs(below - out) < Fraction(1, 1000)  # the end was rounded to float64
    elif least < greatest:  # that much would lie beyond the extreme
        assert below >= out if found.min == least else below <= out
    if greatest <= 0:
        assert found.max == greatest
    elif least < found.max < greatest:
        assert abs(above - out) < Fraction(1, 1000)
    elif least < greatest:
        assert above >= out if found.max == greatest else above <= out


@pytest.mark.parametrize(("name", "share"), [("p99.999", 10**5), ("p99.99", 10**4)])
def test_percentiles_of_many_elements(seen, name, share):
    """Of a million and some outliers: evenly spread over [0, 1), over [-1, 0), and over both."""
    rule = RULES[name]
    ramp = np.arange(1_000_000, dtype=np.float32) / np.float32(1_000_000)
    outliers = np.full(5, 1e4, np.float32)
    out = 1_000_005 / share
    (up,) = ranges(seen([ramp, outliers], *rule.needs), rule).values()
    assert up.min == 0
    assert abs(up.max - (1 - (out - 5) / 1e6)) < 1e-6
    (down,) = ranges(seen([-ramp, -outliers], *rule.needs), rule).values()
    assert (down.min, down.max) == (-up.max, 0)
    both = seen([ramp, -ramp, outliers, -outliers], *rule.needs)
    assert ranges(both, rule) == {"x": Range(-up.max, up.max)}


def test_percentiles_of_few_elements_and_of_one_number(seen):
    rule = RULES["p99.999"]
    for number in np.array([0.0, -0.0, 1.0, -1.0, 1.5, -1e-45, 3.4e38], np.float32):
        assert ranges(seen([[number] * 300], *rule.needs), rule) == {"x": Range(number, number)}
    # A 100,000th of three elements is less than any of them.
    (few,) = ranges(seen([[-1.0, 0.25, 2.0]], *rule.needs), rule).values()
    assert few == Range(-1.0, 2.0)
    # What is there once in a million is left out whole; the first bin is all that zeros fill.
    (rare,) = ranges(seen([[-5.0], [0.0] * 999_999, [1.0]], *rule.needs), rule).values()
    assert 0 <= rare.min < rare.max < 2.0**-133


def test_a_percentile_in_a_gap_between_bins_keeps_the_gap(seen):
    """A quarter of four elements is one: none of the gap beside the outermost's bin has more outside."""
    for outermost, near in ((-8.03125, -0.5), (8.03125, 0.5)):
        told = seen([[outermost, near, near, near]], "extremes", "histogram")
        found = percentile(Fraction(1, 4), {kind: told.read("x", kind) for kind in ("extremes", "histogram")})
        border = np.copysign(8.0, outermost)  # its bin is 1/16 wide
        assert found == Range(min(border, near), max(border, near))


@pytest.mark.parametrize("name", [None, 1, ["minmax"], "MinMax", "", "kl"])
def test_what_is_no_rule_s_name(name):
    with pytest.raises(
        DataError,
        match=r"no range rule is called .*; there are minmax, twice, mean, p99.999, p99.99, mse, entropy$",
    ):
        rule_named(name)


def test_rules_by_name():
    assert list(RULES) == ["minmax", "twice", "mean", "p99.999", "p99.99", "mse", "entropy"]
    assert rule_named("minmax").function is min_max
    assert rule_named("mean").function is mean_of_extremes
