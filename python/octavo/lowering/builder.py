"""Writes the int8 Program: values in the form that each reader wants, conversions made once."""

from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import Affine
from octavo.lowering.planning import Plan
from octavo.lowering.sharing import Sharing
from octavo.lowering.wiring import Unit
from octavo.program import Attribute, Node, Program, Quant, Value


class Builder:
    """The Program being written for a `Plan`.

    A value of the graph that an integer unit gives is uint8 under its own name, and float32 as
    `<name>_dequantized`; one that a float unit gives is float32 under its own name, and uint8 as
    `<name>_quantized`. An output of the model keeps its name in float32.
    """

    def __init__(self, plan: Plan, sharing: Sharing, *, per_channel: bool) -> None:
        self.plan = plan
        self.wiring = plan.wiring
        self.per_channel = per_channel
        self.fused: set[str] = set()
        self._sharing = sharing
        self._source = plan.wiring.program
        self._values: dict[str, Value] = {}
        self._constants: dict[str, npt.NDArray[Any]] = {}
        self._nodes: list[Node] = []
        self._integer_names: dict[str, str] = {}
        self._float_names: dict[str, str] = {}
        self._taken = set(self._source.values)
        self._node_names = {node.name for node in self._source.nodes}
        for name in self._source.inputs:
            self._values[name] = self._source.values[name]

    def affine(self, name: str, unit: Unit) -> Affine:
        """The scale and zero point of a value of the graph in uint8."""
        return self._sharing.affine(name, unit)

    def integers(self, name: str, unit: Unit) -> str:
        """The name of a value of the graph in uint8, quantized first where it is float32 or a constant."""
        if name not in self._integer_names:
            form = self.affine(name, unit)
            constant = self.wiring.constant(name)
            if constant is not None:
                return self.constant(f"{name}_quantized", form.integers(constant), form.quant())
            quantized = self._fresh(f"{name}_quantized")
            self._values[quantized] = Value(quantized, "u8", self.wiring.value(name).shape, form.quant())
            self._emit_conversion("Quantize", name, quantized, form)
            self._integer_names[name] = quantized
        return self._integer_names[name]

    def floats(self, name: str) -> str:
        """The name of a value of the graph as the graph has it: dequantized first where it is uint8."""
        if name in self._float_names:
            return self._float_names[name]
        assert self._integer_names.get(name) != name, f"{name!r} was not dequantized"
        constant = self.wiring.constant(name)
        if constant is not None:
            self._values[name] = self.wiring.value(name)
            self._constants[name] = constant
        return name

    def gives_integers(self, name: str, unit: Unit) -> str:
        """Declare that the next node gives the graph's value `name` in uint8, and return its name there."""
        form = self.affine(name, unit)
        own = self._fresh(f"{name}_quantized") if name in self.wiring.outputs else name
        self._values[own] = Value(own, "u8", self.wiring.value(name).shape, form.quant())
        self._integer_names[name] = own
        return own

    def gives_floats(self, name: str) -> str:
        """Declare that the next node gives the graph's value `name` as the graph has it."""
        if name:
            self._values[name] = self.wiring.value(name)
        return name

    def dequantize_if_wanted(self, name: str, unit: Unit) -> None:
        """After the node that gives `name` in uint8: its float32 form, where some reader wants it."""
        if not self.plan.wants_float(name):
            return
        is_output = name in self.wiring.outputs
        real = name if is_output else self._fresh(f"{name}_dequantized")
        source = self.wiring.value(name)
        self._values[real] = Value(real, source.dtype, source.shape)
        self._float_names[name] = real
        self._emit_conversion("Dequantize", self._integer_names[name], real, self.affine(name, unit))

    def requantized(self, name: str, source: str, x: Affine, y: Affine, factor: tuple[int, int]) -> str:
        """Add a Requantize of the uint8 value `source`, which is the graph's `name`, from the form x to y."""
        own = self._fresh(f"{name}_requantized")
        self._values[own] = Value(own, "u8", self.wiring.value(name).shape, y.quant())
        attributes: dict[str, Attribute] = {
            "x_zero_point": x.zero_point,
            "y_zero_point": y.zero_point,
            "multiplier": factor[0],
            "shift": factor[1],
            "lo": 0,
            "hi": 255,
        }
        self.emit("Requantize", own, [source], [own], attributes)
        return own

    def constant(self, name: str, array: npt.NDArray[Any], quant: Quant | None = None) -> str:
        """Add a constant, or find it again where name and bytes are the same; return its name."""
        dtype = {"|u1": "u8", "|i1": "i8", "<i4": "i32", "<f4": "f32", "<i8": "i64"}[array.dtype.str]
        known = self._constants.get(name)
        if known is not None and _same(known, array) and _same_quant(self._values[name].quant, quant):
            return name
        own = self._fresh(name)
        self._values[own] = Value(own, dtype, array.shape, quant)
        self._constants[own] = np.asarray(array, order="C")
        return own

    def emit(
        self, op: str, name: str, inputs: list[str], outputs: list[str], attributes: dict[str, Attribute]
    ) -> None:
        """Add a node."""
        self._nodes.append(Node(op, name, tuple(inputs), tuple(outputs), dict(sorted(attributes.items()))))

    def emit_float(self, unit: Unit) -> None:
        """Add a unit's own nodes, as the graph has them."""
        for node in unit.nodes:
            inputs = [self.floats(name) for name in node.inputs]
            outputs = [self.gives_floats(name) for name in node.outputs]
            self.emit(node.op, node.name, inputs, outputs, node.attributes)

    def program(self) -> Program:
        """The Program written so far, as a whole."""
        for name in self._source.outputs:
            self.floats(name)
        return Program(
            inputs=list(self._source.inputs),
            outputs=list(self._source.outputs),
            values=self._values,
            constants=self._constants,
            nodes=self._nodes,
        )

    def _emit_conversion(self, op: str, source: str, target: str, form: Affine) -> None:
        name = target if target not in self._node_names else self._fresh(f"{target}_node")
        attributes: dict[str, Attribute] = {"scale": form.scale, "zero_point": form.zero_point}
        self.emit(op, name, [source], [target], attributes)

    def _fresh(self, name: str) -> str:
        own, number = name, 1
        while own in self._taken:
            number += 1
            own = f"{name}_{number}"
        self._taken.add(own)
        return own


def _same(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _same_quant(one: Quant | None, other: Quant | None) -> bool:
    if one is None or other is None:
        return one is other
    return (
        one.axis == other.axis and _same(one.scale, other.scale) and _same(one.zero_point, other.zero_point)
    )
