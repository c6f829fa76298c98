"""What `quantize` and `convert` can be asked for, checked once."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from octavo import frontend
from octavo.calibration import Data, RangeRule, rule_named
from octavo.errors import DataError, ModelError
from octavo.quantization.overrides import Override, overrides_of
from octavo.quantization.recipes import KINDS, Recipe
from octavo.quantization.stages import LEFT_OUT
from octavo.quantization.work import FLOAT_ENDS, Work
from octavo.rewrites import INTEGERS
from octavo.session import Session

LATENCY = "latency"
"""What a model can be optimized for beside accuracy and size."""

Evaluate = Callable[[Session], float]
"""A measure of a model's answers, the greater the better."""


@dataclass(frozen=True)
class Options:
    """The options, as `quantize` takes them."""

    exclude: Iterable[str]
    overrides: Iterable[Override | Mapping[str, Any]]
    effort: str
    range_rule: str | None
    per_channel: bool | None
    strict: bool
    io: str
    optimize_for: str | None
    min_sqnr: float | None
    max_drop: float | None
    evaluate: Evaluate | None
    threads: int | None

    def work(self, recipe: Recipe, model: frontend.Source | None = None, data: "Data | None" = None) -> Work:
        """The work that they ask for; raises as `quantize` does for one that is not there or does not fit."""
        _check_switch("strict", self.strict)
        if self.per_channel is not None:
            _check_switch("per_channel", self.per_channel)
        self._check_aims(recipe)
        return Work(
            model,
            data,
            recipe,
            rules=self._rules(recipe),
            effort=self._effort(),
            per_channel=self.per_channel is not False,
            exclude=self.exclude,
            overrides=overrides_of(self.overrides),
            strict=self.strict,
            io=self._ends(recipe),
            optimize_for=self._aspect(recipe),
            min_sqnr=self.min_sqnr,
            max_drop=self.max_drop,
            evaluate=self.evaluate,
            threads=self.threads,
        )

    def _check_aims(self, recipe: Recipe) -> None:
        for name, value in (("min_sqnr", self.min_sqnr), ("max_drop", self.max_drop)):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} is of type {type(value).__name__}: it must be a number")
            if not math.isfinite(value):
                raise ModelError(f"{name} is {value}: it must be finite")
            _check_stage(recipe, "raise ops", f"{name} raises ops")
        if (self.max_drop is None) != (self.evaluate is None):
            raise ModelError(
                "max_drop and evaluate go together: what may be lost, and what gives a session's score"
            )
        if self.evaluate is not None and not callable(self.evaluate):
            raise TypeError(
                f"evaluate is of type {type(self.evaluate).__name__}: give a function of a session"
            )

    def _rules(self, recipe: Recipe) -> tuple[RangeRule, ...]:
        """The range rule that was asked for, else the recipe's own to choose among."""
        asked = self.range_rule
        if asked is None:
            return tuple(rule_named(name) for name in recipe.range_rules)
        if not recipe.range_rules:
            raise DataError(
                f"range_rule is {asked!r}, but the recipe {recipe.name!r} takes no ranges from data"
            )
        return (rule_named(asked),)

    def _ends(self, recipe: Recipe) -> str:
        kinds = (FLOAT_ENDS, *INTEGERS)
        if not isinstance(self.io, str) or self.io not in kinds:
            raise ModelError(f"io is {self.io!r}; there are {', '.join(kinds)}")
        if self.io != FLOAT_ENDS and not recipe.kind.integers_only:
            having = ", ".join(name for name, kind in KINDS.items() if kind.integers_only)
            raise ModelError(
                f"io is {self.io!r}, but the recipe {recipe.name!r} takes and gives floats; {having} can"
            )
        return self.io

    def _aspect(self, recipe: Recipe) -> str | None:
        if self.optimize_for not in (None, LATENCY):
            raise ModelError(f"optimize_for is {self.optimize_for!r}; there is {LATENCY!r}, and None")
        if self.optimize_for is not None:
            _check_stage(recipe, "leave slower", "optimize_for leaves ops in float")
        return self.optimize_for

    def _effort(self) -> str:
        if not isinstance(self.effort, str) or self.effort not in LEFT_OUT:
            raise ModelError(f"no effort is called {self.effort!r}; there are {', '.join(LEFT_OUT)}")
        return self.effort


def _check_stage(recipe: Recipe, stage: str, does: str) -> None:
    """Raises where a recipe has no such stage. does: what an option does by it."""
    if stage not in recipe.stages:
        having = ", ".join(name for name, kind in KINDS.items() if stage in kind.stages)
        raise ModelError(f"{does}, and the recipe {recipe.name!r} cannot; {having} can")


def _check_switch(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} is of type {type(value).__name__}: it must be True or False")
