"""What a person says of some nodes and tensors in place of the recipe: to stay float, their ranges, forms."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from octavo.errors import ModelError, close_to
from octavo.lowering import Affine, Range
from octavo.program import Node, Program
from octavo.program.integers import Integers
from octavo.quantization.mix import FLOAT, LEVELS, Mix
from octavo.quantization.recipes import MIXED, Recipe
from octavo.quantization.scopes import Names, matched

SELECTORS = ("node", "op", "between", "tensor")
ACTIONS = ("keep", "recipe", "range", "scale", "symmetric")


@dataclass(frozen=True)
class Override:
    """What some nodes or tensors of a model become in place of what the recipe says.

    One of: node: the name of a node, of the file or of the simplified model, or a pattern (`*`, `?`,
    `[...]`); op: an operator, by ONNX's name; between: two names of nodes, for them and all on the ways from
    the first to the second; tensor: the name of a tensor, or a pattern.
    And one of: keep: "float": the nodes compute in float; recipe: "int8" or "int16x8": in a model of either,
    their activations are uint8, or int16; "float": as keep; range: (least, greatest), the reals that the
    tensors are held for; scale, with zero_point: the form itself, `real = scale * (q - zero_point)`;
    symmetric: whether the range that was seen is made as wide below 0 as above, with no zero point.
    What is said of nodes holds for the tensors that they give. Raises `ModelError` for anything else.
    """

    node: str | None = None
    op: str | None = None
    between: tuple[str, str] | None = None
    tensor: str | None = None
    keep: str | None = None
    recipe: str | None = None
    range: tuple[float, float] | None = None
    scale: float | None = None
    zero_point: int | None = None
    symmetric: bool | None = None

    def __post_init__(self) -> None:
        for names in (SELECTORS, ACTIONS):
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) != 1:
                found = f"it has {' and '.join(given)}" if given else "it has none"
                raise ModelError(f"an override takes one of {', '.join(names)}: {found}")
        if self.keep not in (None, "float"):
            raise ModelError(f"an override keeps 'float', not {self.keep!r}")
        if self.recipe is not None and self.recipe not in LEVELS:
            raise ModelError(
                f"an override's recipe is one of {', '.join(LEVELS)}, not {self.recipe!r}: the others are of "
                "whole models"
            )
        if self.computes is not None and self.tensor is not None:
            said = f"keep {self.keep}" if self.recipe is None else f"take the recipe {self.recipe!r}"
            raise ModelError(f"an override of a tensor cannot {said}: name the node that gives it")
        if self.between is not None and not _is_pair(self.between, str):
            raise ModelError(f"between takes the names of two nodes, not {self.between!r}")
        if self.range is not None:
            _check_range(self.range)
        if (self.scale is None) != (self.zero_point is None):
            raise ModelError("an override takes scale and zero_point together")
        if self.scale is not None and not (_is_number(self.scale) and 0 < np.float32(self.scale) < np.inf):
            raise ModelError(f"an override's scale is a float32 above 0, not {self.scale!r}")
        if self.zero_point is not None and type(self.zero_point) is not int:
            raise ModelError(f"an override's zero_point is an int, not {self.zero_point!r}")
        if self.symmetric is not None and not isinstance(self.symmetric, bool):
            raise ModelError(f"an override's symmetric is True or False, not {self.symmetric!r}")

    @property
    def computes(self) -> str | None:
        """What its nodes compute by, one of `LEVELS`; None where it says nothing of that."""
        return self.recipe if self.keep is None else self.keep

    def __str__(self) -> str:
        said = [(item.name, getattr(self, item.name)) for item in fields(self)]
        return ", ".join(f"{name} = {value!r}" for name, value in said if value is not None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.floating) and not isinstance(value, bool)


def _is_pair(value: object, of: type) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(isinstance(item, of) for item in value)


def _check_range(given: object) -> None:
    if isinstance(given, Sequence) and len(given) == 2 and all(map(_is_number, given)):
        low, high = given
        if math.isfinite(low) and math.isfinite(high) and low <= high:
            return
    raise ModelError(f"an override's range is two finite numbers, the lesser one first, not {given!r}")


def overrides_of(given: Iterable["Override | Mapping[str, Any]"]) -> tuple[Override, ...]:
    """Overrides, or mappings of what they have by name, as a file says them.

    Raises `ModelError` for a name that an override does not have.
    """
    if isinstance(given, Override | Mapping | str) or not isinstance(given, Iterable):
        raise TypeError(f"overrides is of type {type(given).__name__}: give a list of octavo.Override")
    return tuple(map(_override, given))


def _override(said: object) -> Override:
    if isinstance(said, Override):
        return said
    if not isinstance(said, Mapping):
        raise TypeError(f"overrides holds an object of type {type(said).__name__}: give octavo.Override")
    known = [item.name for item in fields(Override)]
    for name in said:
        if name not in known:
            raise ModelError(f"an override has no {name!r}; it has {', '.join(known)}")
    given: dict[str, Any] = {
        name: tuple(item) if isinstance(item, list) else item for name, item in said.items()
    }
    return Override(**given)


@dataclass(frozen=True)
class Overridden:
    """What overrides come to for one model.

    mix: the nodes that do not compute by the recipe. ranges, forms, symmetric: by the name of a tensor.
    """

    mix: Mix = field(default_factory=Mix)
    ranges: dict[str, Range] = field(default_factory=dict)
    forms: dict[str, Affine] = field(default_factory=dict)
    symmetric: dict[str, bool] = field(default_factory=dict)

    @property
    def tensors(self) -> frozenset[str]:
        """Those of which anything is said."""
        return frozenset({*self.ranges, *self.forms, *self.symmetric})

    def applied(self, ranges: Mapping[str, Range], symmetric: bool) -> dict[str, Range]:
        """Ranges as they are to be; symmetric: whether that is what the others are."""
        made = dict(ranges) | self.ranges
        for name in made:
            if self.symmetric.get(name, symmetric and name not in self.ranges):
                made[name] = made[name].symmetric()
        return made


def overridden(program: Program, overrides: Iterable[Override], names: Names, recipe: Recipe) -> Overridden:
    """What they come to; a later one holds where two differ.

    recipe: that of the whole model. Raises `ModelError` for one that matches nothing, or has no meaning for
    the recipe.
    """
    of = recipe.activations if recipe.range_rules else None
    found, computes = Overridden(), dict[str, str]()
    for override in overrides:
        nodes = _nodes(program, override, names)
        if override.computes is not None:
            _check_mixed(override, recipe)
            computes |= {node.name: override.computes for node in nodes}
            continue
        if of is None:
            raise ModelError(
                f"override {override}: the recipe keeps activations in float, which have no ranges"
            )
        for name in _tensors(program, override, nodes, names):
            for said in (found.ranges, found.forms, found.symmetric):
                said.pop(name, None)
            if override.range is not None:
                found.ranges[name] = Range(*map(float, override.range))
            elif override.scale is not None and override.zero_point is not None:
                found.forms[name] = _form(override, of)
            else:
                found.symmetric[name] = bool(override.symmetric)
    return replace(found, mix=_mix(computes, recipe))


def _check_mixed(override: Override, recipe: Recipe) -> None:
    if override.computes != FLOAT and recipe.name not in MIXED:
        raise ModelError(
            f"override {override}: the recipe {recipe.name!r} is of whole models; {' and '.join(MIXED)} can "
            "be mixed"
        )


def _mix(computes: Mapping[str, str], recipe: Recipe) -> Mix:
    """Of nodes and what each is to compute by."""
    mix = Mix()
    for level in LEVELS:
        if level != recipe.name:
            mix = mix.with_nodes((name for name, by in computes.items() if by == level), level)
    return mix


def _form(override: Override, of: Integers) -> Affine:
    assert override.scale is not None
    assert override.zero_point is not None
    low, high = of.zero_points
    if not low <= override.zero_point <= high:
        raise ModelError(f"override {override}: zero points of {of} lie from {low} to {high}")
    return Affine(np.float32(override.scale), override.zero_point, of)


def _nodes(program: Program, override: Override, names: Names) -> list[Node]:
    """The nodes that an override is of; none for one of tensors."""
    if override.op is not None:
        chosen = [node for node in program.nodes if node.op == override.op]
        if not chosen:
            ops = sorted({node.op for node in program.nodes})
            raise ModelError(
                f"override {override}: the model has no {override.op}{close_to(override.op, ops)}"
            )
        return chosen
    nodes = dict(names) | {node.name: (node.name,) for node in program.nodes}
    if override.node is not None:
        taken = matched(nodes, override.node, f"override {override}")
        return [node for node in program.nodes if node.name in taken]
    if override.between is not None:
        ends = [matched(nodes, name, f"override {override}") for name in override.between]
        chosen = _between(program, *ends)
        if not chosen:
            raise ModelError(f"override {override}: nothing leads from the first to the second")
        return chosen
    return []


def _between(program: Program, first: frozenset[str], last: frozenset[str]) -> list[Node]:
    """All nodes on a way from one of the first to one of the last, these among them."""
    reached: set[str] = set()
    ahead = set()
    for node in program.nodes:
        if node.name in first or reached.intersection(node.inputs):
            ahead.add(node.name)
            reached.update(filter(None, node.outputs))
    needed: set[str] = set()
    behind = set()
    for node in reversed(program.nodes):
        if node.name in last or needed.intersection(node.outputs):
            behind.add(node.name)
            needed.update(filter(None, node.inputs))
    return [node for node in program.nodes if node.name in ahead & behind]


def _tensors(program: Program, override: Override, nodes: Iterable[Node], names: Names) -> list[str]:
    """The float32 tensors that an override is of."""
    made = {name: (name,) for node in program.nodes for name in node.outputs if name}
    made |= {name: (name,) for name in program.inputs}
    if override.tensor is None:
        chosen = {name for node in nodes for name in node.outputs}
    else:
        givers = {node.name: tuple(filter(None, node.outputs)) for node in program.nodes}
        of_file = {name: tuple(out for node in own for out in givers[node]) for name, own in names.items()}
        chosen = set(matched(of_file | made, override.tensor, f"override {override}", "tensor"))
    floats = [name for name in made if name in chosen and program.values[name].dtype == "f32"]
    if not floats:
        raise ModelError(f"override {override}: it matches no tensor of float32")
    return floats
