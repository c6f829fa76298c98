"""Which units run in integers and which stay float, decided from the graph alone.

A product (Conv, ConvTranspose, Gemm, MatMul) pays for conversions around it. Everything else runs in
integers where integers are at hand: a lone Relu between float ops is not worth a Quantize. What only moves
elements follows what is narrower. What stands between a product, or a mean over whole axes, and float
readers takes float32 from its accumulator: last layers keep their precision.

Where all must be integers, what can be is, up to the outputs of the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from octavo.lowering.affine import PROBABILITY
from octavo.lowering.capability import Kind, Row, judge
from octavo.lowering.forms import Forms
from octavo.lowering.wiring import Unit, Wiring
from octavo.program.integers import Integers
from octavo.program.ops import marked

EXCLUDED = "excluded by choice"
AFTER_LAST = "it follows a float32 result of exact sums, which no op reads as integers"
COLUMNS = "its result has a scale for each index, which a table of 256 results cannot give"
OTHER_STEPS = "its result is given in steps that are not those of its integer form"
NO_INTEGERS = "its inputs are float, and quantizing them for this op alone gains nothing"
MAKES_FLOATS = "it makes floats of what is none"
LEAVES_FLOATS = "it reads floats and gives something else"
FORM_BLIND = ("Shape", "Size", "ArgMax", "ArgMin")
"""Ops that answer for integers what they would for the floats that these stand for."""

_GIVE_FLOATS = (*marked("weighs"), "QMatMul", "QReduceMean")
_NO_FORMS = Forms()
_FOLLOWERS = (Kind.UNARY, Kind.ELEMENTWISE, Kind.MOVEMENT, Kind.JOIN, Kind.SOFTMAX)


@dataclass(frozen=True)
class Stay:
    """A float op of the model that stays float. `expected`: not for want of an integer form."""

    name: str
    op: str
    reason: str
    expected: bool


class Partition:
    """The units in two: `rows[unit.name]` for those that run in integers, `stays` for those that do not.

    `kept` are the names of nodes that must stay float, with the reason and whether that was asked for.
    `forms` says what the others compute on, which values have a form that a model states, which are quantized
    from floats with scales a channel, and whether all must be integers.
    """

    def __init__(
        self,
        wiring: Wiring,
        kept: Mapping[str, tuple[str, bool]],
        forms: Forms = _NO_FORMS,
    ) -> None:
        self.wiring = wiring
        self._forms = forms
        self._integers_only = forms.integers_only
        self.rows: dict[str, Row] = {}
        self.functions: dict[str, tuple[str, ...]] = wiring.functions
        self._reasons: dict[str, tuple[str, bool]] = {}
        self._judge(kept)
        if forms.integers_only:
            self._integers = set(self.rows)
        else:
            self._forgo_exponentials()
            self._integers = self._where_integers_are()
            self._leave_at_the_end()
        self.stays = [stay for unit in wiring.units for stay in self._stays(unit)]

    def is_integer(self, unit: Unit) -> bool:
        """Whether the unit runs in integers."""
        return unit.name in self._integers

    def kind(self, unit: Unit) -> Kind:
        """The kind of a unit that has an integer form."""
        return self.rows[unit.name].kind

    def gives_integers(self, name: str) -> bool:
        """Whether the value is held in integers where an integer unit makes it: for a reader, or as given."""
        return name in self.wiring.rounded or self.wants_integers(name)

    def takes_integers(self, unit: Unit) -> bool:
        """Whether the unit reads integers."""
        return self.is_integer(unit) and self.kind(unit) is not Kind.EXPONENTIALS

    def exponentials(self, name: str) -> bool:
        """Whether a value is held as exponentials, of which each row has a scale of its own."""
        producer = self.wiring.producer.get(name)
        is_integer = producer is not None and self.is_integer(producer)
        return producer is not None and is_integer and self.kind(producer) is Kind.EXPONENTIALS

    def wants_integers(self, name: str) -> bool:
        """Whether some reader of the value takes it as integers."""
        return self._integers_only or any(
            self.takes_integers(unit) for unit in self.wiring.readers.get(name, [])
        )

    def wants_float(self, name: str) -> bool:
        """Whether some reader of the value, or the caller, takes it as float32."""
        if name in self.wiring.outputs:
            return True
        readers = self.wiring.readers.get(name, [])
        return any(
            not (self.takes_integers(unit) or self.is_blind(unit) or self.wiring.is_at_hand(unit))
            for unit in readers
        )

    def is_blind(self, unit: Unit) -> bool:
        """Whether a unit of the model's own ops reads integers as well as the floats they stand for."""
        return self._integers_only and unit.node.op in FORM_BLIND

    def _judge(self, kept: Mapping[str, tuple[str, bool]]) -> None:
        for unit in self.wiring.units:
            if not self.wiring.computes_floats(unit):
                if self._integers_only:
                    self._judge_border(unit)
                continue
            asked = next((kept[node.name] for node in unit.nodes if node.name in kept), None)
            if asked is not None:
                self._reasons[unit.name] = asked
                continue
            self.wiring.trace_function(unit)
            without = Kind.EXPONENTIALS if self._integers_only else None
            verdict = judge(self.wiring, unit, self._integers_of(unit), without, self._integers_only)
            if verdict.row is None or verdict.row.kind is not Kind.UNARY:
                self.wiring.forget_function(unit)
            if verdict.row is None:
                self._reasons[unit.name] = (verdict.reason, verdict.expected)
            elif verdict.row.kind is Kind.UNARY and unit.outputs[0] in self._forms.grids:
                self._reasons[unit.name] = (COLUMNS, True)
            elif verdict.row.kind is Kind.SOFTMAX and self._is_rounded_otherwise(unit):
                self._reasons[unit.name] = (OTHER_STEPS, True)
            else:
                self.rows[unit.name] = verdict.row

    def _integers_of(self, unit: Unit) -> Integers:
        return self._forms.integers_of(node.name for node in unit.nodes)

    def _is_rounded_otherwise(self, unit: Unit) -> bool:
        """Whether a Softmax's result is given steps that it does not have in integers."""
        form = self._forms.given.get(unit.outputs[0])
        return form is not None and (form.scale, form.zero_point) != (PROBABILITY, 0)

    def _forgo_exponentials(self) -> None:
        """Judge anew those whose product stays float, or whose result has a form that a model states."""
        for unit in self.wiring.units:
            row = self.rows.get(unit.name)
            if row is None or row.kind is not Kind.EXPONENTIALS:
                continue
            reader = self.wiring.sole_reader(unit.outputs[0])
            is_rounded = unit.outputs[0] in self._forms.given or (reader is not None and reader.rounding)
            if reader is None or reader.name not in self.rows or is_rounded:
                of = self._integers_of(unit)
                other = judge(self.wiring, unit, of, without=Kind.EXPONENTIALS).row
                assert other is not None, "a Softmax has another row"
                self.rows[unit.name] = other

    def _where_integers_are(self) -> set[str]:
        """The least set that holds all products, what reads its integers, and what moves elements to it."""
        starts = (Kind.PRODUCT, Kind.EXPONENTIALS)
        integer = {name for name, row in self.rows.items() if row.kind in starts}
        grown = True
        while grown:
            before = len(integer)
            at_hand = {n for unit in self.wiring.units if unit.name in integer for n in unit.outputs}
            at_hand |= self.wiring.rounded
            for unit in self.wiring.units:
                if unit.name not in self.rows or unit.name in integer:
                    continue
                if self._reads(unit, at_hand, integer) or (
                    self.kind(unit) is Kind.MOVEMENT and unit.body and self._moves_to(unit, integer)
                ):
                    integer.add(unit.name)
                    at_hand.update(unit.outputs)
            grown = len(integer) > before
        return integer

    def _reads(self, unit: Unit, at_hand: set[str], integer: set[str]) -> bool:
        """Whether integers are at hand for the unit: of one input; for Add and its like of every input.

        A mask that is added to scores, say, is not worth a Quantize, nor would it survive one.
        """
        names = self.wiring.activations(unit)
        if not any(name in at_hand for name in names):
            return False
        if not unit.body:
            return self._is_exact(names[0], integer)
        return self.kind(unit) is not Kind.ELEMENTWISE or all(
            name in at_hand or self._is_quantized(name, integer) for name in names
        )

    def _is_exact(self, name: str, integer: set[str]) -> bool:
        """Whether a value is held in the integers that the model gives it, or is moved from such."""
        producer = self.wiring.producer.get(name)
        if name in self.wiring.rounded:
            return True
        is_moved = producer is not None and producer.name in integer and self.kind(producer) is Kind.MOVEMENT
        return producer is not None and is_moved and self._is_exact(producer.node.inputs[0], integer)

    def _is_quantized(self, name: str, integer: set[str]) -> bool:
        """Whether a float tensor becomes integers anyway: for an op that does not only add or multiply it."""
        readers = [unit for unit in self.wiring.readers.get(name, []) if unit.name in integer]
        return any(self.kind(unit) not in (Kind.ELEMENTWISE, Kind.EXPONENTIALS) for unit in readers)

    def _moves_to(self, unit: Unit, integer: set[str]) -> bool:
        readers = [reader for name in unit.outputs for reader in self.wiring.readers.get(name, [])]
        return any(
            reader.name in integer and self.kind(reader) is not Kind.EXPONENTIALS for reader in readers
        )

    def _leave_at_the_end(self) -> None:
        """Take out of the integers what stands between float32 results and float readers or outputs."""
        ends: set[str] = set()
        for unit in reversed(self.wiring.units):
            readers = [reader for name in unit.outputs for reader in self.wiring.readers.get(name, [])]
            if all(self._takes_float(reader, ends) for reader in readers) and not unit.rounding:
                ends.add(unit.name)
        for unit in self.wiring.units:
            if unit.name not in ends:
                continue
            if self.is_integer(unit) and self._should_leave(unit, ends):
                self._integers.remove(unit.name)
                self._reasons[unit.name] = (AFTER_LAST, True)
            elif self._is_last_softmax(unit) and not self._reasons.get(unit.name, ("", True))[1]:
                # As a Softmax of bytes here, whose integer form is not taken.
                self._reasons[unit.name] = (AFTER_LAST, True)

    def _is_last_softmax(self, unit: Unit) -> bool:
        """Whether it is a LogSoftmax, or a Softmax that no op reads."""
        is_read = any(self.wiring.readers.get(name) for name in unit.outputs)
        return unit.node.op == "LogSoftmax" or (unit.node.op == "Softmax" and not is_read)

    def _takes_float(self, unit: Unit, ends: set[str]) -> bool:
        """Whether a reader is float, or does no more than follow its inputs towards readers that are."""
        return not self.takes_integers(unit) or (self.kind(unit) in _FOLLOWERS and unit.name in ends)

    def _should_leave(self, unit: Unit, ends: set[str]) -> bool:
        kind = self.kind(unit)
        if kind is Kind.SOFTMAX:
            return True
        if kind not in _FOLLOWERS:
            return False
        comes_as_float = [self._comes_as_float(name, ends) for name in self.wiring.activations(unit)]
        return any(comes_as_float) if kind is Kind.JOIN else all(comes_as_float)

    def _judge_border(self, unit: Unit) -> None:
        """Note why a unit that reads floats, or gives them, and does not do both has no integer form."""
        if self.wiring.is_at_hand(unit):
            return
        if any(self.wiring.value(name).dtype[0] == "f" for name in unit.outputs if name):
            self._reasons[unit.name] = (MAKES_FLOATS, False)
        elif self.wiring.activations(unit) and not self.is_blind(unit):
            self._reasons[unit.name] = (LEAVES_FLOATS, False)

    def _comes_as_float(self, name: str, ends: set[str]) -> bool:
        """Whether a value is float32 before anything is converted."""
        producer = self.wiring.producer.get(name)
        if name in self.wiring.rounded:
            return False
        if producer is None or not self.is_integer(producer):
            return True
        return self.rows[producer.name].becomes in _GIVE_FLOATS and producer.name in ends

    def _stays(self, unit: Unit) -> list[Stay]:
        is_float = self.wiring.computes_floats(unit) or unit.name in self._reasons
        if self.is_integer(unit) or not is_float or not unit.body:
            return []
        reason, expected = self._reasons.get(unit.name, (NO_INTEGERS, True))
        return [Stay(node.name, node.op, reason, expected) for node in unit.nodes]
