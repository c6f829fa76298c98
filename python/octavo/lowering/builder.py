"""Writes the integer Program: values in the form that each reader wants, conversions made once."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from octavo.lowering.affine import Affine
from octavo.lowering.columns import Columns
from octavo.lowering.decision import Decision
from octavo.lowering.grids import Grid
from octavo.lowering.lowered import Lowered
from octavo.lowering.wiring import Unit
from octavo.lowering.writer import ProgramWriter, same_quant
from octavo.program import Attribute, Node, Program, Value


class ProgramBuilder(ProgramWriter):
    """The Program being written as a `Decision` has it.

    A value of the graph that an integer unit gives is in integers under its own name, and float32 as
    `<name>_dequantized`; one that a float unit gives is float32 under its own name, and in integers as
    `<name>_quantized`. An output of the model keeps its name in float32.
    """

    def __init__(self, decision: Decision, lower_body: Callable[[Program], Lowered]) -> None:
        super().__init__(decision.wiring, lower_body)
        self.decision = decision
        self._integer_names: dict[str, str] = {}
        self._float_names: dict[str, str] = {}
        self._sums: dict[str, str] = {}
        self._others: dict[tuple[str, Affine], str] = {}

    def affine(self, name: str) -> Affine:
        """The form of a value of the graph in integers."""
        return self.decision.affine_of_channels(name)

    def integers(self, name: str) -> str:
        """The name of a value of the graph in integers; one in float32, or a constant, is quantized first."""
        if name not in self._integer_names:
            form = self.affine(name)
            if self.wiring.constant(name) is not None:
                return self._quantized(name, form)
            self._integer_names[name] = self._quantized(name, form)
        return self._integer_names[name]

    def reads(self, unit: Unit, name: str) -> str:
        """The name of a value of the graph as a unit reads it: in the integers that the unit computes on."""
        held = self.affine(name)
        if held.of is self.decision.computes_on(unit):
            return self.integers(name)
        form = self.decision.input_of_product(unit) if held.channels else self.decision.read(unit, name)
        if (name, form) not in self._others:
            if self.decision.comes_in_float(name):
                self._others[name, form] = self._quantized(name, form)
            else:
                ratio = float(np.float64(held.scale) / np.float64(form.scale))
                factor = self.decision.requantizer(ratio, held.of)
                self._others[name, form] = self.requantized(name, self.integers(name), held, form, factor)
        return self._others[name, form]

    def _quantized(self, name: str, form: Affine) -> str:
        """Add the Quantize of a value in float32, or the integers of a constant."""
        constant = self.wiring.constant(name)
        if constant is not None:
            return self.constant(f"{name}_quantized", form.integers(constant), form.quant(), of=name)
        quantized = self._fresh(f"{name}_quantized")
        self._define_integers(quantized, name, form)
        self._emit_conversion("Quantize", name, quantized, form)
        return quantized

    def floats(self, name: str) -> str:
        """The name of a value of the graph as the graph has it: dequantized first where it is in integers."""
        if name in self._float_names:
            return self._float_names[name]
        assert self._integer_names.get(name) != name, f"{name!r} was not dequantized"
        self.keep_constant(name)
        return name

    def _own_form(self, name: str) -> str:
        """The name of a value of the graph in whatever form it is there."""
        return self._integer_names[name] if name in self._integer_names else self.floats(name)

    def gives_integers(self, name: str) -> str:
        """Declare that the next node gives the graph's value `name` in integers; return its name there."""
        own = self._fresh(f"{name}_quantized") if name in self.wiring.outputs else name
        self._define_integers(own, name, self.affine(name))
        self._integer_names[name] = own
        return own

    def holds(self, name: str, integers: str) -> None:
        """The graph's value `name` is there in integers, under this name."""
        self._integer_names[name] = integers

    def gives_exponentials(self, name: str) -> list[str]:
        """The same as exponentials of two digits, of which a row has the scale 1 / sum.

        Their name and the sums'.
        """
        shape = self.wiring.value(name).shape
        sums, of_digits, of_sums = self._fresh(f"{name}_sums"), None, None
        if shape is not None:
            *rows, n = shape
            of_digits, of_sums = (*rows, 2 * n if isinstance(n, int) else f"2*{n}"), (*rows, 2)
        self._define(Value(name, "u8", of_digits), name)
        self._define(Value(sums, "i32", of_sums), None)
        self._integer_names[name], self._sums[name] = name, sums
        return [name, sums]

    def sums(self, name: str) -> str | None:
        """The name of the sums of a value of the graph that is there as exponentials, else None."""
        return self._sums.get(name)

    def dequantize_if_wanted(self, name: str) -> None:
        """After the node that gives `name` in integers: its float32 form, where some reader wants it."""
        if not self.decision.partition.wants_float(name):
            return
        is_output = name in self.wiring.outputs
        real = name if is_output else self._fresh(f"{name}_dequantized")
        source = self.wiring.value(name)
        self._define(Value(real, source.dtype, source.shape), name)
        self._float_names[name] = real
        self._emit_conversion("Dequantize", self._integer_names[name], real, self.affine(name))

    def requantized(self, name: str, source: str, x: Affine, y: Affine, factor: tuple[int, int]) -> str:
        """Add a Requantize of the value `source`, which is the graph's `name`, from the form x to y."""
        own = self._fresh(f"{name}_requantized")
        self._define_integers(own, name, y)
        attributes: dict[str, Attribute] = {
            "x_zero_point": x.zero_point,
            "y_zero_point": y.zero_point,
            "multiplier": factor[0],
            "shift": factor[1],
            "lo": y.of.low,
            "hi": y.of.high,
        }
        self._add("Requantize", own, [source], [own], attributes, ())
        return own

    def emit(
        self,
        op: str,
        unit: Unit,
        inputs: list[str],
        outputs: list[str],
        attributes: dict[str, Attribute],
        of: tuple[Node, ...] = (),
    ) -> None:
        """Add the node of a unit, which does the unit's nodes and those of units that are merged into it.

        of: the graph's nodes that it does, where they are others.
        """
        done = of or self._nodes_of(unit, self.value_origins[next(filter(None, outputs))])
        self._add(op, unit.name, inputs, outputs, attributes, tuple(node.name for node in done))

    def _nodes_of(self, unit: Unit, output: str) -> tuple[Node, ...]:
        """The nodes of a unit and of those merged into it, up to the one that gives `output`."""
        nodes = unit.nodes
        while output not in unit.outputs:
            reader = self.wiring.sole_reader(unit.outputs[0])
            assert reader is not None, "what is merged alone reads what it is merged into"
            unit, nodes = reader, (*nodes, *reader.nodes)
        return nodes

    def emit_float(self, unit: Unit) -> None:
        """Add a unit's own nodes, as the graph has them, and the integers that the model gives its result."""
        if self.wiring.is_at_hand(unit):
            self._emit_at_hand(unit)
            return
        form = self._own_form if self.decision.partition.is_blind(unit) else self.floats
        for node in unit.body:
            inputs = [form(name) for name in node.inputs]
            outputs = [self.gives_floats(name) for name in node.outputs]
            if node.bodies:
                self._add_with_bodies(node, inputs, outputs)
            else:
                self._add(node.op, node.name, inputs, outputs, node.attributes, (node.name,))
        if unit.pair:
            quantize, dequantize = unit.pair
            source, name = self.floats(quantize.inputs[0]), dequantize.outputs[0]
            self._emit_conversion("Quantize", source, self.gives_integers(name), self.affine(name))
            self.dequantize_if_wanted(name)

    def _emit_at_hand(self, unit: Unit) -> None:
        """A Quantize of what is held in its integers, or a value that is made of integers from outside."""
        source, output = unit.node.inputs[0], unit.outputs[0]
        if unit.node.op == "Quantize" and output not in self.wiring.outputs:
            self._float_names[output] = self.integers(source)
            return
        if unit.node.op == "Quantize":
            inputs, outputs = [self.integers(source)], [self.gives_floats(output)]
            self._add("Identity", unit.name, inputs, outputs, {}, (unit.name,))
            return
        held, quant = self.floats(source), self.affine(output).quant()
        known = self._values[held].quant
        if known is None:
            self._define(replace(self._values[held], quant=quant), source)
        elif not same_quant(known, quant):  # the same integers stand for other reals as well
            again = self._fresh(f"{output}_quantized")
            self._define(replace(self._values[held], name=again, quant=quant), output)
            node = again if again not in self._node_names else self._fresh(f"{again}_node")
            self._add("Identity", node, [held], [again], {}, ())
            held = again
        self.holds(output, held)
        self.dequantize_if_wanted(output)

    def program(self) -> Program:
        """The Program written so far, as a whole."""
        for name in self._source.outputs:
            self.floats(name)
        return self.written()

    def held_in_integers(self) -> list[str]:
        """The graph's values that exist in integers of one form, constants aside."""
        return [name for name in self._integer_names if name not in self._sums]

    def _emit_conversion(self, op: str, source: str, target: str, form: Affine) -> None:
        name = target if target not in self._node_names else self._fresh(f"{target}_node")
        attributes: dict[str, Attribute] = {"scale": form.scale, "zero_point": form.zero_point}
        inputs = [source]
        if isinstance(form, Grid):
            assert op == "Quantize", "nothing is dequantized from a grid"
            inputs.append(self.constant(f"{target}.scale", np.array(form.scales, np.float32)))
            inputs.append(self.constant(f"{target}.zero_point", np.array(form.zeros, np.float32)))
            attributes = {} if form.axis is None else {"axis": form.axis}
            if isinstance(form, Columns):
                inputs.append(self.constant(f"{target}.columns", np.array(form.indices, np.int64)))
                attributes = {}
        self._add(op, name, inputs, [target], attributes, ())

    def _define_integers(self, own: str, name: str, form: Affine) -> None:
        shape = self.wiring.value(name).shape
        if isinstance(form, Columns) and shape is not None:
            shape = (*shape[:-1], len(form.indices))
        self._define(Value(own, form.of.dtype, shape, form.quant()), name)
