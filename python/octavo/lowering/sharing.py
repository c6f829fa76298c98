"""The scale and zero point of every tensor that exists in uint8, and which tensors share one.

What moves elements shares its input's. What joins tensors needs one scale for all: an input that nothing else
reads takes the union's range at once; one that others read too takes it while that costs at most a bit of its
precision; any other is requantized on its way in.
"""

from collections.abc import Mapping

import numpy as np

from octavo.lowering.affine import FIXED_OUTPUTS, Affine, Range, affine
from octavo.lowering.capability import Kind
from octavo.lowering.planning import Plan
from octavo.lowering.wiring import Unit

LOSS = 2.0
"""How much wider than its own a tensor's range may become to be shared: a factor of 2 is one bit."""
APART = 4.0
"""Beyond this ratio of widths, tensors joined only for a float reader stay float: two bits would be lost."""


class UnfitError(Exception):
    """A unit that looked fit for integers is not, now that ranges are known: it stays float."""

    def __init__(self, unit: Unit, reason: str) -> None:
        super().__init__(f"{unit.name}: {reason}")
        self.unit = unit
        self.reason = reason


class Sharing:
    """`affine(name)` of each float32 value of the graph, were it in uint8."""

    def __init__(self, plan: Plan, ranges: Mapping[str, Range]) -> None:
        self._plan = plan
        self._ranges = ranges
        self._parent: dict[str, str] = {}
        self._widened: dict[str, Range] = {}
        self._narrowest: dict[str, float] = {}
        self._fixed: dict[str, Affine] = {}
        units = [unit for unit in plan.wiring.units if plan.is_integer(unit)]
        for unit in plan.wiring.units:
            if unit.nodes[-1].op in FIXED_OUTPUTS:
                self._fixed[unit.outputs[0]] = FIXED_OUTPUTS[unit.nodes[-1].op]
        for unit in units:
            if plan.kind(unit) is Kind.MOVEMENT:
                for output in unit.outputs:
                    self._parent[output] = unit.node.inputs[0]
        for unit in units:
            if plan.kind(unit) is Kind.JOIN:
                self._join(unit)

    def affine(self, name: str, unit: Unit) -> Affine:
        """The form of a value that `unit` needs in uint8; raises `UnfitError` where it has no range."""
        root = self._root(name)
        return self._fixed[root] if root in self._fixed else affine(self._range(root, unit))

    def _root(self, name: str) -> str:
        while name in self._parent:
            name = self._parent[name]
        return name

    def _range(self, name: str, unit: Unit) -> Range:
        root = self._root(name)
        if root in self._widened:
            return self._widened[root]
        if root in self._fixed:
            reals = self._fixed[root].reals()
            return Range(float(reals[0]), float(reals[-1]))
        if root in self._ranges:
            return self._ranges[root]
        constant = self._plan.wiring.constant(root)
        if constant is not None and constant.size and np.all(np.isfinite(constant)):
            return Range(float(constant.min()), float(constant.max()))
        what = "no finite value of it was seen" if constant is None else "it holds NaN or infinities"
        raise UnfitError(unit, f"{root!r} has no range: {what}")

    def _join(self, unit: Unit) -> None:
        wiring = self._plan.wiring
        output = unit.outputs[0]
        inputs = list(dict.fromkeys(unit.node.inputs))
        ranges = {name: self._range(name, unit) for name in inputs}
        union = ranges[inputs[0]]
        for reals in ranges.values():
            union = union.union(reals)
        self._check_apart(unit, [reals.width for reals in ranges.values()])
        roots = [self._root(name) for name in inputs]
        if all(root in self._fixed and self._fixed[root] == self._fixed.get(roots[0]) for root in roots):
            self._fixed[output] = self._fixed[roots[0]]
            return
        self._widened[output] = union
        narrowest = union.width
        for name in inputs:
            root = self._root(name)
            if root in self._fixed or root == output or wiring.constant(name) is not None:
                continue
            own = self._narrowest.get(root, ranges[name].width)
            alone = self._alone(name, unit) and root not in self._widened
            if alone or union.width <= LOSS * own:
                self._parent[root] = output
                self._widened.pop(root, None)
                narrowest = min(narrowest, union.width if alone else own)
        self._narrowest[output] = narrowest

    def _alone(self, name: str, reader: Unit) -> bool:
        """Whether nothing but `reader` reads the value, in its own form or before its elements were moved."""
        while self._plan.wiring.sole_reader(name) is reader:
            if name not in self._parent:
                return True
            reader = self._plan.wiring.producer[name]
            name = self._parent[name]
        return False

    def _check_apart(self, unit: Unit, widths: list[float]) -> None:
        """A detector's boxes and scores, joined for the caller alone, are not forced onto one scale."""
        if self._plan.wants_integers(unit.outputs[0]):
            return
        held = [width for width in widths if width > 0.0]
        if held and max(held) > APART * min(held):
            ratio = max(held) / min(held)
            raise UnfitError(
                unit, f"its inputs' ranges differ by a factor of {ratio:.1f}, and only float ops read it"
            )
