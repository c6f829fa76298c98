"""From what was seen of a value to the range that quantization uses: pure functions of its statistics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from octavo._core import Statistics
from octavo.errors import DataError
from octavo.lowering.affine import Range

Seen: TypeAlias = Mapping[str, Mapping[str, Any]]
"""What each of a rule's statistics tells of one value, by the statistic's name."""


@dataclass(frozen=True)
class RangeRule:
    """One way from what was seen to a range.

    needs: the statistics that it reads, names of `octavo._core.statistics()`; no others are collected for it.
    function: the range of a value of which each of them has seen something.
    """

    name: str
    needs: tuple[str, ...]
    function: Callable[[Seen], Range]


def min_max(seen: Seen) -> Range:
    """From the least to the greatest finite element of all samples."""
    extremes = seen["extremes"]
    return Range(extremes["minimum"], extremes["maximum"])


def mean_of_extremes(seen: Seen) -> Range:
    """From the mean of the samples' minima to the mean of their maxima: rare extremes count for less."""
    means = seen["sample_extremes"]
    return Range(means["mean_minimum"], means["mean_maximum"])


RULES = {
    rule.name: rule
    for rule in (
        RangeRule("minmax", ("extremes",), min_max),
        RangeRule("mean", ("sample_extremes",), mean_of_extremes),
    )
}
"""The range rules, by the names that `quantize(range_rule=...)` takes."""


def rule_named(name: str) -> RangeRule:
    """The rule of that name; raises `DataError` that lists them where there is none."""
    if not isinstance(name, str) or name not in RULES:
        raise DataError(f"no range rule is called {name!r}; there are {', '.join(RULES)}")
    return RULES[name]


def ranges(statistics: Statistics, rule: RangeRule) -> dict[str, Range]:
    """The range of every value of which a finite element was seen."""
    told = ((name, {need: statistics.read(name, need) for need in rule.needs}) for name in statistics.values)
    return {name: rule.function(seen) for name, seen in told if all(seen.values())}
