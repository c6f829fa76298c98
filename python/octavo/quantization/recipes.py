"""Recipes: what a model is quantized to, as data that the stages of `quantize` follow."""

from dataclasses import dataclass

from octavo.errors import ModelError
from octavo.program.integers import INT8, UINT8, Integers


@dataclass(frozen=True)
class Recipe:
    """One way to quantize.

    weights, activations: what they are held in; activations None where they stay float. per_channel: one
    weight scale an output channel, else one a tensor. range_rules: ways from what calibration saw
    to ranges, keys of `octavo.calibration.RULES`, to choose among; none where nothing is calibrated. stages:
    what is done, in this order, keys of `octavo.quantization.stages.STAGES`.
    """

    name: str
    weights: Integers
    activations: Integers | None
    per_channel: bool
    range_rules: tuple[str, ...]
    stages: tuple[str, ...]

    @property
    def needs_data(self) -> bool:
        """Whether the model is run over data."""
        return "calibrate" in self.stages


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "int8",
            weights=INT8,
            activations=UINT8,
            per_channel=True,
            range_rules=("minmax", "p99.999", "p99.99"),
            stages=(
                "load",
                "measure shapes",
                "calibrate",
                "see grids",
                "lower",
                "scale features",
                "choose forms",
                "round weights",
                "fit weights",
                "search ranges",
                "store tables",
                "check",
                "doubt",
                "report",
            ),
        ),
        Recipe(
            "weight-only",
            weights=INT8,
            activations=None,
            per_channel=True,
            range_rules=(),
            stages=("load", "store weights", "store tables", "report"),
        ),
    )
}
"""The recipes by name."""


def recipe(name: str) -> Recipe:
    """The recipe of that name; raises `ModelError` that lists them where there is none."""
    if not isinstance(name, str) or name not in RECIPES:
        raise ModelError(f"no recipe is called {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]
