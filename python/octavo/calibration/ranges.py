"""From what was seen of a value to the range that quantization uses: pure functions of its statistics."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import ceil

from octavo._core import Statistics
from octavo.calibration.searched import least_divergence, least_squared_error
from octavo.calibration.seen import Seen
from octavo.errors import DataError
from octavo.lowering.affine import Range


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


def twice_min_max(seen: Seen) -> Range:
    """Twice that: where steps are fine, room for what lies beyond the samples costs nothing."""
    extremes = seen["extremes"]
    return Range(2 * extremes["minimum"], 2 * extremes["maximum"])


def mean_of_extremes(seen: Seen) -> Range:
    """From the mean of the samples' minima to the mean of their maxima: rare extremes count for less."""
    means = seen["sample_extremes"]
    return Range(means["mean_minimum"], means["mean_maximum"])


def percentile(left_out: Fraction, seen: Seen) -> Range:
    """All but this share of the finite elements, which lie at both ends in halves, or at the far end.

    The far end is that of a value without elements below 0, or without any above: its other end stays. Within
    a bin of the histogram, elements are taken as spread evenly. Both ends lie within the extremes.
    """
    least, greatest = seen["extremes"]["minimum"], seen["extremes"]["maximum"]
    low, high, counts = (seen["histogram"][name] for name in ("low", "high", "count"))
    out = left_out * sum(counts)
    if least < 0 < greatest:
        out /= 2
    start = _behind(low, high, counts, out) if least < 0 else least
    end = _behind(high[::-1], low[::-1], counts[::-1], out) if greatest > 0 else greatest
    return Range(*(min(max(least, bound), greatest) for bound in (start, end)))


def _behind(near: list[float], far: list[float], counts: list[int], out: Fraction) -> float:
    """Where so many elements lie before, in bins that go from near to far; exact until it is rounded."""
    whole, before = ceil(out), 0
    for begin, end, count in zip(near, far, counts, strict=True):
        if whole <= before + count:
            return float(Fraction(begin) + (Fraction(end) - Fraction(begin)) * (out - before) / count)
        before += count
    raise ValueError("more elements are left out than there are")


RULES = {
    rule.name: rule
    for rule in (
        RangeRule("minmax", ("extremes",), min_max),
        RangeRule("twice", ("extremes",), twice_min_max),
        RangeRule("mean", ("sample_extremes",), mean_of_extremes),
        RangeRule("p99.999", ("extremes", "histogram"), partial(percentile, Fraction(1, 100_000))),
        RangeRule("p99.99", ("extremes", "histogram"), partial(percentile, Fraction(1, 10_000))),
        RangeRule("mse", ("extremes", "histogram"), least_squared_error),
        RangeRule("entropy", ("extremes", "histogram"), least_divergence),
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
