"""Recipes: what a model is quantized to, as data."""

from dataclasses import dataclass

from octavo.errors import ModelError


@dataclass(frozen=True)
class Recipe:
    """One way to quantize.

    weights, activations: their integers. per_channel: one weight scale an output channel, else one a tensor.
    range_rule: how observed extremes become ranges, a key of `octavo.calibration.RULES`.
    """

    name: str
    weights: str
    activations: str
    per_channel: bool
    range_rule: str


RECIPES = {
    recipe.name: recipe
    for recipe in (Recipe("int8", weights="i8", activations="u8", per_channel=True, range_rule="minmax"),)
}
"""The recipes by name."""


def recipe(name: str) -> Recipe:
    """The recipe of that name; raises `ModelError` that lists them where there is none."""
    if not isinstance(name, str) or name not in RECIPES:
        raise ModelError(f"no recipe is called {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]
