"""Products whose activations become integers at run time, by ranges of their own; the rest stays float."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from octavo.lowering.affine import Affine
from octavo.lowering.capability import judge
from octavo.lowering.conv import operands_of_conv, window_of
from octavo.lowering.gemm import operands_of_gemm
from octavo.lowering.lowered import Lowered
from octavo.lowering.partition import EXCLUDED, Stay
from octavo.lowering.product import Operands
from octavo.lowering.weights import Weights, given_weights, nearest_weights, quantize_weights
from octavo.lowering.wiring import Unit, Wiring
from octavo.lowering.writer import ProgramWriter
from octavo.program import Program, Quant, Value
from octavo.program.attributes import integer
from octavo.program.integers import INT8, UINT8, Integers

FLOATS = "only products by constant weights run in integers where ranges are found at run time"
TRANSPOSED = "a transposed convolution has no integer form where the range of its input is found at run time"
GROUPS = "a convolution by groups gains nothing where the range of its input is found at run time"

_OPERANDS = {"QConv": operands_of_conv, "QGemm": operands_of_gemm}
AXES_OF_RANGES = {"QConv": 1, "QGemm": -1}
"""From which axis on the elements of a product's input have one range."""
_ANY_ZERO_POINT = Affine(np.float32(1), UINT8.low, UINT8)


def lower_dynamically(
    program: Program,
    of: Integers = INT8,
    *,
    per_channel: bool = True,
    exclude: Iterable[str] = (),
    made: Mapping[str, Weights] = MappingProxyType({}),
) -> Lowered:
    """Lower a float Program: convolutions and products by constants run in integers, all else in float.

    of: what weights become, with one scale an output channel, or one a tensor. exclude: names of nodes that
    stay float. made: weights that are not to be the nearest, by the names of their constants.
    """
    wiring, excluded = Wiring(program), frozenset(exclude)

    def lower_body(body: Program) -> Lowered:
        return lower_dynamically(body, of, per_channel=per_channel, exclude=excluded, made=made)

    writer, stays = _DynamicWriter(wiring, lower_body), list[Stay]()
    for unit in wiring.units:
        op, reason, expected = _becomes(wiring, unit, excluded)
        if op in _OPERANDS:
            operands = _OPERANDS[op](wiring, unit)
            weights = _weights(wiring, unit, operands, of, per_channel, made)
            if isinstance(weights, Weights):
                writer.product(unit, op, operands, weights)
                continue
            reason, expected = weights, False
        if wiring.computes_floats(unit):
            stays.extend(Stay(node.name, node.op, reason, expected) for node in unit.nodes)
        writer.floats(unit)
    lowered = writer.program()
    stays += writer.stays
    return Lowered(lowered, stays, writer.node_origins, writer.value_origins, {}, writer.weights)


def _becomes(wiring: Wiring, unit: Unit, excluded: frozenset[str]) -> tuple[str, str, bool]:
    """The op that a unit becomes; or none, why it stays float, and whether that is expected."""
    if any(node.name in excluded for node in unit.nodes):
        return "", EXCLUDED, True
    if unit.node.op == "ConvTranspose":
        return "", TRANSPOSED, True
    if unit.node.op not in ("Conv", "Gemm", "MatMul"):
        return "", FLOATS, True
    if unit.node.op == "Conv" and integer(unit.node, "group") > 1:
        return "", GROUPS, True
    verdict = judge(wiring, unit)
    if verdict.row is None:
        return "", verdict.reason, verdict.expected
    return (verdict.row.becomes if verdict.row.becomes in _OPERANDS else ""), FLOATS, True


def _weights(
    wiring: Wiring,
    unit: Unit,
    operands: Operands,
    of: Integers,
    per_channel: bool,
    made: Mapping[str, Weights],
) -> Weights | str:
    """The weights of a product, for activations of any zero point; or why they cannot be integers."""
    constant = wiring.constant(unit.node.inputs[1])
    assert constant is not None, "the table asks for constant weights"
    reals = np.float64(operands.alpha) * operands.arrange(constant).astype(np.float64)
    if own := made.get(unit.node.inputs[1]):
        found = given_weights(own.weight, own.scale, None, _ANY_ZERO_POINT)
        return found if isinstance(found, str) else replace(found, reals=reals.astype(np.float32))
    nearest = nearest_weights(reals.astype(np.float32), of, per_channel=per_channel)
    return nearest if isinstance(nearest, str) else quantize_weights(nearest, None, _ANY_ZERO_POINT)


class _DynamicWriter(ProgramWriter):
    """The Program being written; a value is quantized once for all products that read it alike."""

    def __init__(self, wiring: Wiring, lower_body: Callable[[Program], Lowered]) -> None:
        super().__init__(wiring, lower_body)
        self._quantized: dict[tuple[str, int], list[str]] = {}

    def product(self, unit: Unit, op: str, operands: Operands, weights: Weights) -> None:
        """Add a QConv or QGemm, with the quantization of what it reads where that is not there yet."""
        source, weight = unit.node.inputs[:2]
        integers, scale, zero_point = self._integers(source, AXES_OF_RANGES[op])
        quant = Quant(weights.scale, np.zeros(len(weights.scale), np.int64), operands.axis)
        constants = [
            self.constant(f"{weight}_quantized", operands.restore(weights.weight), quant, of=weight),
            self.constant(f"{unit.name}.bias", operands.bias.astype(np.float32)),
            self.constant(f"{unit.name}.scale", weights.scale),
        ]
        if weights.reals is not None:
            self.weights[constants[0]] = operands.restore(weights.reals)
        inputs, outputs = [integers, *constants, scale, zero_point], [self.gives_floats(unit.outputs[0])]
        attributes = window_of(unit) if op == "QConv" else {}
        self._add(op, unit.name, inputs, outputs, attributes, tuple(node.name for node in unit.nodes))

    def floats(self, unit: Unit) -> None:
        """Add a unit's own nodes, as the graph has them."""
        for node in unit.nodes:
            for name in node.inputs:
                self.keep_constant(name)
            outputs = [self.gives_floats(name) for name in node.outputs]
            if node.bodies:
                self._add_with_bodies(node, list(node.inputs), outputs)
            else:
                self._add(node.op, node.name, list(node.inputs), outputs, node.attributes, (node.name,))

    def program(self) -> Program:
        """The Program written so far, as a whole."""
        for name in self._source.outputs:
            self.keep_constant(name)
        return self.written()

    def _integers(self, name: str, axis: int) -> list[str]:
        """The names of a value in integers, of their scales and of their zero points."""
        if (name, axis) not in self._quantized:
            self.keep_constant(name)
            shape = self.wiring.value(name).shape
            rows = None if shape is None else shape[:axis]
            integers, scale, zero_point = outputs = [
                self._fresh(f"{name}_{what}") for what in ("quantized", "scale", "zero_point")
            ]
            self._define(Value(integers, "u8", shape), name)
            self._define(Value(scale, "f32", rows), None)
            self._define(Value(zero_point, "u8", rows), None)
            own = integers if integers not in self._node_names else self._fresh(f"{integers}_node")
            self._add("DynamicQuantize", own, [name], outputs, {"axis": axis}, ())
            self._quantized[name, axis] = outputs
        return self._quantized[name, axis]
