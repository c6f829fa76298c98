"""On which integers each unit computes, and in which each value is held, where a model mixes two kinds.

What a node on int16 reads is held in int16, and written so by what gives it; readers on uint8 take it
narrowed. A product can give other integers than those that it reads: on int16 it gives uint8 where nobody
wants more, on uint8 int16 where somebody does. Any other op gives what it reads. Values that share a form
share their integers. A form that is given stands, and what has kernels for uint8 alone stays on these.
"""

from octavo.lowering.capability import Kind
from octavo.lowering.forms import Forms
from octavo.lowering.partition import Partition
from octavo.lowering.wiring import Unit
from octavo.program.integers import INT16, UINT8, Integers
from octavo.program.ops import marked

_CLAMPS = ("Relu", "Clip")
"""What an op before it may do as well: both results have one form then."""


class Widths:
    """The integers of units and of values, by what `forms` says of nodes."""

    def __init__(self, partition: Partition, forms: Forms) -> None:
        self._partition = partition
        self._forms = forms
        self._parent: dict[str, str] = {}
        self._wide: set[str] = set()
        self._given: dict[str, Integers] = {}
        if not forms.nodes:
            return
        units = [unit for unit in partition.wiring.units if partition.is_integer(unit)]
        for unit in units:
            if self._passes_on(unit):
                self._parent |= dict.fromkeys(unit.outputs, unit.node.inputs[0])
        for unit in units:
            if self._own(unit) is INT16:
                self._wide.update(map(self._root, self._held_for(unit)))
        for unit in units:
            if INT16.dtype not in partition.rows[unit.name].activations:
                self._wide.difference_update(map(self._root, unit.outputs))
        self._given = {self._root(name): form.of for name, form in forms.given.items()}

    def of_unit(self, unit: Unit) -> Integers:
        """What a unit that runs in integers reads."""
        if self._is_product(unit) or not self._partition.gives_integers(unit.outputs[0]):
            return self._own(unit)
        return self.of_value(unit.outputs[0])

    def of_value(self, name: str) -> Integers:
        """What a float32 value is held in, were it in integers."""
        if not self._forms.nodes:
            return self._forms.activations
        root = self._root(name)
        if root in self._given:
            return self._given[root]
        return INT16 if root in self._wide else UINT8

    def _held_for(self, unit: Unit) -> list[str]:
        """The values that are held in int16 because a unit is to compute on that."""
        moves = self._partition.kind(unit) is Kind.MOVEMENT or unit.outputs[0] in self._parent
        names = [] if moves else self._partition.wiring.activations(unit)
        if not (moves or self._is_product(unit)) or self._partition.wants_float(unit.outputs[0]):
            names = [*names, *unit.outputs]
        return names

    def _own(self, unit: Unit) -> Integers:
        return self._forms.integers_of(node.name for node in unit.nodes)

    def _is_product(self, unit: Unit) -> bool:
        return self._partition.rows[unit.name].becomes in marked("weighs")

    def _passes_on(self, unit: Unit) -> bool:
        """Whether a unit's result has its input's form."""
        name, kind = unit.node.inputs[0], self._partition.kind(unit)
        if kind is Kind.UNARY and unit.node.op in _CLAMPS:
            return self._partition.wiring.sole_reader(name) is unit
        return kind is Kind.MOVEMENT and not any(output in self._forms.given for output in unit.outputs)

    def _root(self, name: str) -> str:
        while name in self._parent:
            name = self._parent[name]
        return name
