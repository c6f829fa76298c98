"""From what an observer saw to the range that quantization uses. Pure functions of the observer's state."""

from collections.abc import Callable, Mapping

from octavo.calibration.observers import Observer, mean
from octavo.errors import DataError
from octavo.lowering.affine import Range

Rule = Callable[[Observer], Range]


def min_max(observer: Observer) -> Range:
    """From the smallest to the largest finite element of all samples."""
    return Range(observer.minimum, observer.maximum)


def mean_of_extremes(observer: Observer) -> Range:
    """From the mean of the samples' minima to the mean of their maxima: rare extremes count for less."""
    return Range(mean(observer.minima, observer.samples), mean(observer.maxima, observer.samples))


RULES: dict[str, Rule] = {"minmax": min_max, "mean": mean_of_extremes}
"""The range rules, by the names that `quantize(range_rule=...)` takes."""


def rule_named(name: str) -> Rule:
    """The rule of that name; raises `DataError` that lists them where there is none."""
    if not isinstance(name, str) or name not in RULES:
        raise DataError(f"no range rule is called {name!r}; there are {', '.join(RULES)}")
    return RULES[name]


def ranges(observers: Mapping[str, Observer], rule: Rule) -> dict[str, Range]:
    """The range of every tensor of which a finite element was seen."""
    return {name: rule(observer) for name, observer in observers.items() if observer.samples}
