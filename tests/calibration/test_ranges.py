"""Range rules: pure functions of the statistics that they declare."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octavo import _core
from octavo.calibration import RULES, ranges, rule_named
from octavo.calibration.ranges import mean_of_extremes, min_max
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


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_value_of_which_nothing_finite_was_seen_has_no_range(seen, rule):
    """Neither an empty one, nor one of NaN, of infinities, or of both."""
    for sample in ([], [np.nan] * 3, [np.inf, -np.inf], [np.nan, np.inf, -np.inf]):
        assert ranges(seen([sample], *rule.needs), rule) == {}
        assert ranges(seen([sample, [2.0, 2.0], sample], *rule.needs), rule) == {"x": Range(2.0, 2.0)}
    assert ranges(seen([], *rule.needs), rule) == {}


def test_what_is_not_finite_is_left_out(seen):
    samples = [[np.nan, np.inf], [-1.0, 2.0, np.nan, -np.inf], [np.nan], [0.0]]
    assert ranges(seen(samples, "extremes"), RULES["minmax"]) == {"x": Range(-1.0, 2.0)}
    assert ranges(seen(samples, "sample_extremes"), RULES["mean"]) == {"x": Range(-0.5, 1.0)}


@pytest.mark.parametrize("name", [None, 1, ["minmax"], "MinMax", "", "entropy"])
def test_what_is_no_rule_s_name(name):
    with pytest.raises(DataError, match=r"no range rule is called .*; there are minmax, mean"):
        rule_named(name)


def test_rules_by_name():
    assert list(RULES) == ["minmax", "mean"]
    assert rule_named("minmax").function is min_max
    assert rule_named("mean").function is mean_of_extremes
