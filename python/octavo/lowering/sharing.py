"""The form of every tensor that exists in integers, and which tensors share one.

A form that is given is taken.

What moves elements shares its input's. What joins tensors needs one scale for all: an input that nothing else
reads takes the union's range at once; one that others read too takes it while that costs at most a bit of its
precision; any other is requantized on its way in.

An input whose values lie on a grid takes that, where all that reads it in integers are products, behind what
moves its elements at most. What comes in float takes columns where all that reads it in integers are matrix
products.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from octavo.lowering.affine import Affine, Range, affine, fixed_output
from octavo.lowering.capability import Kind
from octavo.lowering.columns import Columns
from octavo.lowering.forms import NOT_GIVEN, Forms
from octavo.lowering.grids import Grid
from octavo.lowering.partition import Partition
from octavo.lowering.widths import Widths
from octavo.lowering.wiring import Unit
from octavo.program.attributes import integer, integers
from octavo.program.integers import UINT8, Integers

LOSS = 2.0
"""How much wider than its own a tensor's range may become to be shared: a factor of 2 is one bit."""
APART = 4.0
"""Beyond this ratio of widths, tensors joined only for a float reader stay float: two bits would be lost."""


class Sharing:
    """`affine(name)` of each float32 value of the graph, were it in integers.

    unfit: the first unit whose inputs cannot share a scale, and why; None where all can.
    """

    def __init__(self, partition: Partition, forms: Forms, widths: Widths) -> None:
        self.unfit: tuple[list[Unit], str] | None = None
        self._partition = partition
        self._forms = forms
        self._widths = widths
        self._parent: dict[str, str] = {}
        self._widened: dict[str, Range] = {}
        self._narrowest: dict[str, float] = {}
        self._fixed: dict[str, Affine] = {}
        self._fixed_by: dict[str, str] = {}
        units = [unit for unit in partition.wiring.units if partition.is_integer(unit)]
        for unit in partition.wiring.units:
            op, name = unit.nodes[-1].op, unit.outputs[0]
            fixed = fixed_output(op, widths.of_value(name))
            if (
                self._forms.derives
                and fixed is not None
                and not (op == "Softmax" and self._is_coarse(name, fixed))
            ):
                self._fixed[name], self._fixed_by[name] = fixed, op
        self._fixed |= forms.given
        self._exact = set(partition.wiring.rounded)
        for unit in reversed(units):
            self._take_back(unit)
        for unit in units:
            if partition.kind(unit) is Kind.MOVEMENT:
                moved = (name for name in unit.outputs if name not in forms.given)
                self._parent |= dict.fromkeys(moved, unit.node.inputs[0])
        self._grids: dict[str, Affine] = {}
        for unit in units:
            if unit.node.op == "Relu" and not self._has_form(unit.outputs[0]):
                self._parent[unit.outputs[0]] = unit.node.inputs[0]
        for name, form in forms.grids.items():
            self._grids |= self._on_grid(name, form)
        for unit in units:
            if partition.kind(unit) is Kind.JOIN and self.unfit is None:
                reason = self._join(unit)
                self.unfit = None if reason is None else ([unit], reason)

    def _take_back(self, unit: Unit) -> None:
        """Give a tensor that is only moved or joined before it is rounded the form that it is rounded to."""
        output, wiring = unit.outputs[0], self._partition.wiring
        inputs = {Kind.MOVEMENT: unit.node.inputs[:1], Kind.JOIN: unit.node.inputs}
        if output not in self._exact:
            return
        for name in inputs.get(self._partition.kind(unit), ()):
            is_free = name not in self._fixed and wiring.constant(name) is None
            is_free &= self._widths.of_value(name) is self._fixed[output].of
            if is_free and wiring.sole_reader(name) is unit:
                self._exact.add(name)
                self._fixed[name] = self._fixed[output]

    def _has_form(self, name: str) -> bool:
        """Whether a value has a form of its own, given or derived."""
        return name in self._fixed or name in self._forms.ranges

    def _is_coarse(self, name: str, fixed: Affine) -> bool:
        """Whether a fixed form loses a bit or more beside that of the range that was seen, as flat rows'.

        Where all must be integers, it is taken all the same: QSoftmax has no other.
        """
        if self._forms.integers_only:
            return False
        seen = self._forms.ranges.get(name)
        return seen is not None and bool(LOSS * affine(seen, fixed.of).scale < fixed.scale)

    def affine(self, name: str) -> Affine | str:
        """The form of a value in integers, or why it has none."""
        if name in self._grids:
            return self._grids[name]
        root = self._root(name)
        if root in self._fixed:
            return self._fixed[root]
        return self._derived(root, self._widths.of_value(root))

    def in_integers(self, name: str, of: Integers) -> Affine | str:
        """The form of a value in other integers than those that it is held in, or why it has none."""
        root = self._root(name)
        if root in self._forms.narrow and of is UINT8:
            return self._forms.narrow[root]
        fixed = fixed_output(self._fixed_by[root], of) if root in self._fixed_by else None
        return self._derived(root, of) if fixed is None else fixed

    def _derived(self, root: str, of: Integers) -> Affine | str:
        reals = self._range_in(root, of)
        return reals if isinstance(reals, str) else affine(reals, of)

    def _on_grid(self, source: str, form: Affine) -> dict[str, Affine]:
        """The forms of an input on a grid and of what it is moved to; none where a reader objects."""
        producer = self._partition.wiring.producer.get(source)
        is_held = producer is not None and self._partition.is_integer(producer)
        if is_held or source in self._partition.wiring.rounded:
            return {}
        found: dict[str, Affine] = {}
        left = [(source, form)]
        while left:
            name, form = left.pop()
            found[name] = form
            if name != source and (self._partition.wants_float(name) or name in self._forms.given):
                return {}
            for unit in self._partition.wiring.readers.get(name, []):
                if not self._partition.is_integer(unit) or self._takes(unit, name, form):
                    continue
                moved = self._moved(unit, form)
                if moved is None:
                    return {}
                left.extend((output, moved) for output in filter(None, unit.outputs))
        return found

    def _takes(self, unit: Unit, name: str, form: Affine) -> bool:
        """Whether a unit is a product by constant weights that can read a value in this form."""
        if self._partition.rows[unit.name].becomes not in ("QConv", "QGemm") or name != unit.node.inputs[0]:
            return False
        if self._widths.of_unit(unit) is not form.of:
            return False
        if not isinstance(form, Grid) or form.axis is None:
            return True
        if unit.node.inputs[1] in self._forms.weights:
            return False
        if isinstance(form, Columns):
            return self._partition.wiring.rank(name) == form.axis + 1 and unit.node.op != "Conv"
        is_whole = unit.node.op == "Conv" and integer(unit.node, "group") == 1
        return is_whole and form.axis == 1

    def _moved(self, unit: Unit, form: Affine) -> Affine | None:
        """The form of a unit's outputs where it moves elements and knows where their channels go."""
        if self._partition.kind(unit) is not Kind.MOVEMENT or isinstance(form, Columns):
            return None
        if not isinstance(form, Grid) or form.axis is None or unit.node.op == "Identity":
            return form
        if unit.node.op == "Transpose":
            return replace(form, axis=integers(unit.node, "perm").index(form.axis))
        return None

    def _root(self, name: str) -> str:
        while name in self._parent:
            name = self._parent[name]
        return name

    def _range(self, name: str) -> Range | str:
        root = self._root(name)
        if root in self._widened:
            return self._widened[root]
        if root in self._fixed:
            reals = self._fixed[root].reals()
            return Range(float(reals[0]), float(reals[-1]))
        return self._range_in(root, self._widths.of_value(root))

    def _range_in(self, root: str, of: Integers) -> Range | str:
        """The range of a value that shares no other's, for these integers."""
        if root in self._widened and self._widths.of_value(root) is of:
            return self._widened[root]
        ranges = self._forms.ranges_in.get(of.dtype, self._forms.ranges)
        if root in ranges:
            return ranges[root]
        constant = self._partition.wiring.constant(root)
        if self._forms.derives and constant is not None and constant.size and np.all(np.isfinite(constant)):
            return Range(float(constant.min()), float(constant.max()))
        if not self._forms.derives:
            return f"{root!r} has no range: {NOT_GIVEN}"
        what = "no finite value of it was seen" if constant is None else "it holds NaN or infinities"
        return f"{root!r} has no range: {what}"

    def _join(self, unit: Unit) -> str | None:
        """Let inputs and output of a unit share a form where that costs little; or why they cannot."""
        output = unit.outputs[0]
        inputs = list(dict.fromkeys(unit.node.inputs))
        ranges: dict[str, Range] = {}
        for name in inputs:
            reals = self._range(name)
            if isinstance(reals, str):
                return reals
            ranges[name] = reals
        apart = self._apart(unit, [reals.width for reals in ranges.values()])
        if apart is not None:
            return apart
        roots = [self._root(name) for name in inputs]
        if output in self._forms.given:
            for name, root in zip(inputs, roots, strict=True):
                known = self._partition.wiring.constant(name) is not None
                is_alike = self._widths.of_value(root) is self._fixed[output].of
                if is_alike and root not in self._fixed and not known and self._alone(name, unit):
                    self._parent[root] = output
        elif self._have_one_form(roots, self._widths.of_value(output)):
            self._fixed[output] = self._fixed[roots[0]]
        elif not self._forms.derives:
            return f"{output!r} has no range: {NOT_GIVEN}"
        else:
            self._widen(unit, ranges)
        return None

    def _have_one_form(self, roots: list[str], of: Integers) -> bool:
        """Whether all have one form in advance, in these integers."""
        first = self._fixed.get(roots[0])
        return first is not None and first.of is of and all(self._fixed.get(root) == first for root in roots)

    def _widen(self, unit: Unit, ranges: Mapping[str, Range]) -> None:
        """Give the output the union of its inputs' ranges, and to those inputs that lose little by it."""
        wiring = self._partition.wiring
        output, inputs = unit.outputs[0], list(ranges)
        union = ranges[inputs[0]]
        for reals in ranges.values():
            union = union.union(reals)
        self._widened[output] = union
        narrowest = union.width
        for name in inputs:
            root = self._root(name)
            if root in self._fixed or root == output or wiring.constant(name) is not None:
                continue
            if self._widths.of_value(root) is not self._widths.of_value(output):
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
        while self._partition.wiring.sole_reader(name) is reader:
            if name not in self._parent:
                return True
            reader = self._partition.wiring.producer[name]
            name = self._parent[name]
        return False

    def _apart(self, unit: Unit, widths: list[float]) -> str | None:
        """Why a detector's boxes and scores, joined for the caller alone, are not forced onto one scale."""
        if self._partition.gives_integers(unit.outputs[0]):
            return None
        held = [width for width in widths if width > 0.0]
        if held and max(held) > APART * min(held):
            ratio = max(held) / min(held)
            return f"its inputs' ranges differ by a factor of {ratio:.1f}, and only float ops read it"
        return None
