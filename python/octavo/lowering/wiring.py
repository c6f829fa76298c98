"""Who makes and who reads each value of a float Program, and which nodes act as one unit."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from octavo.lowering.given import given
from octavo.program import Attribute, Node, Program, Value
from octavo.program.attributes import integer


@dataclass(frozen=True)
class Unit:
    """Nodes that become one operation: a single node, or a product with the Add of its bias.

    rounding: the Quantize and Dequantize behind them, by which a model gives the result its form. Where these
    stand alone, they are the unit's `nodes`.
    """

    nodes: tuple[Node, ...]
    rounding: tuple[Node, ...] = ()

    @property
    def node(self) -> Node:
        """The node that the unit is named after."""
        return self.nodes[0]

    @property
    def name(self) -> str:
        """The first node's name."""
        return self.nodes[0].name

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the last node gives."""
        return (self.rounding or self.nodes)[-1].outputs

    @property
    def pair(self) -> tuple[Node, ...]:
        """The Quantize and Dequantize that it ends with, or is; none where it has no such."""
        return self.rounding or (self.nodes if self.node.op == "Quantize" and len(self.nodes) == 2 else ())

    @property
    def body(self) -> tuple[Node, ...]:
        """The nodes that compute, before any such."""
        return self.nodes if self.rounding or not self.pair else ()


class Wiring:
    """An index over a float Program; `program` is that one with its constants in float32.

    given: what it says of integers by itself. rounded: the values that it holds in uint8.
    """

    def __init__(self, program: Program) -> None:
        self.given = given(program)
        self.program = program = self.given.program
        self.rounded = {dequantize.outputs[0] for _, dequantize in self.given.pairs.values()}
        self._makers = {name: node for node in program.nodes for name in node.outputs}
        self.outputs = set(program.outputs)
        self._node_readers: dict[str, list[Node]] = {}
        for node in program.nodes:
            for name in dict.fromkeys(node.inputs):
                self._node_readers.setdefault(name, []).append(node)
        self.functions: dict[str, tuple[str, ...]] = {}
        self.units = self._units()
        self.producer: dict[str, Unit] = {}
        self.readers: dict[str, list[Unit]] = {}
        for unit in self.units:
            for name in unit.outputs:
                self.producer[name] = unit
            for name in self.activations(unit):
                self.readers.setdefault(name, []).append(unit)

    def value(self, name: str) -> Value:
        """The Value of that name."""
        return self.program.values[name]

    def rank(self, name: str) -> int | None:
        """The number of axes of a value, or None where it is not known."""
        shape = self.value(name).shape
        return None if shape is None else len(shape)

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """The array, where the value is known in advance."""
        return self.program.constants.get(name)

    def shape_of_constant(self, name: str) -> tuple[int, ...]:
        """The shape of a value that is known in advance."""
        return self.program.constants[name].shape

    def is_float_activation(self, name: str) -> bool:
        """Whether the value is float32 and depends on the inputs."""
        return bool(name) and name not in self.program.constants and self.value(name).dtype == "f32"

    def activations(self, unit: Unit) -> list[str]:
        """The float32 values that a unit reads and that are no constants, each once, in order."""
        nodes = (*unit.nodes, *unit.rounding)
        inner = {name for node in nodes[:-1] for name in node.outputs}
        names = dict.fromkeys(name for node in nodes for name in node.inputs)
        return [name for name in names if name not in inner and self.is_float_activation(name)]

    def computes_floats(self, unit: Unit) -> bool:
        """Whether float32 comes in and goes out: shape arithmetic and comparisons are none of this."""
        return bool(self.activations(unit)) and all(
            self.value(name).dtype[0] == "f" for name in unit.outputs if name
        )

    def is_at_hand(self, unit: Unit) -> bool:
        """Whether a unit only gives the integers that its input is held in, or is made of."""
        if (
            unit.node.op not in ("Quantize", "Dequantize")
            or len(unit.node.inputs) != 1
            or len(unit.nodes) > 1
        ):
            return False
        if unit.node.op == "Dequantize":
            return bool(unit.rounding) and unit.rounding[0].attributes == unit.node.attributes
        (name,) = unit.node.inputs
        return name in self.rounded and self._makers[name].attributes == unit.node.attributes

    def sole_reader(self, name: str) -> Unit | None:
        """The only unit that reads the value, where there is one and it is not an output of the model."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def trace_function(self, unit: Unit) -> None:
        """Note in `functions` that the unit's output is a function, element by element, of earlier tensors.

        `functions[y]` lists the tensors each of which alone determines y, the nearest first. The unit is
        taken to be an elementwise op, its constants single elements.
        """
        chains = [(name, *self.functions.get(name, ())) for name in self.activations(unit)]
        common = [name for name in chains[0] if all(name in chain for chain in chains[1:])]
        if common and self.rank(common[0]) == self.rank(unit.outputs[0]):
            self.functions[unit.outputs[0]] = tuple(common)

    def forget_function(self, unit: Unit) -> None:
        """Take back what `trace_function` noted: the unit is no elementwise op after all."""
        self.functions.pop(unit.outputs[0], None)

    def _units(self) -> list[Unit]:
        units, inside = list[Unit](), set[str]()
        for node in self.program.nodes:
            if node.name in inside:
                continue
            bias = self._bias_add(node)
            nodes = (node,) if bias is None else (node, bias)
            if node.name in self.given.pairs:
                nodes = self.given.pairs[node.name]
            rounding = () if node.name in self.given.pairs else self._rounding(nodes[-1])
            inside.update(other.name for other in (*nodes[1:], *rounding))
            units.append(Unit(nodes, rounding))
        return units

    def _rounding(self, node: Node) -> tuple[Node, ...]:
        """The Quantize and Dequantize that alone read the one result of a node."""
        readers = self._node_readers.get(node.outputs[0], [])
        if len(node.outputs) != 1 or len(readers) != 1 or node.outputs[0] in self.outputs:
            return ()
        return self.given.pairs.get(readers[0].name, ())

    def _bias_add(self, node: Node) -> Node | None:
        """The Add of one constant a channel that alone reads a product by constant weights."""
        if node.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or len(node.outputs) != 1:
            return None
        product = node.outputs[0]
        readers = self._node_readers.get(product, [])
        if len(readers) != 1 or product in self.outputs or readers[0].op != "Add":
            return None
        add = readers[0]
        other = add.inputs[1] if add.inputs[0] == product else add.inputs[0]
        weight, addend = self.constant(node.inputs[1]), self.constant(other)
        if weight is None or addend is None or weight.ndim < 2:
            return None
        if node.op == "MatMul" and (weight.ndim > 2 or (self.rank(node.inputs[0]) or 0) < 2):
            return None
        # The channel is axis 1 of a convolution's output and the last axis of a product's.
        trailing = weight.ndim - 2 if node.op in ("Conv", "ConvTranspose") else 0
        channels = self._channels(node, weight)
        rank = self.rank(product) or weight.ndim
        return add if per_channel(addend.shape, channels, trailing, rank) else None

    @staticmethod
    def _channels(node: Node, weight: npt.NDArray[Any]) -> int:
        if node.op == "ConvTranspose":
            return int(weight.shape[1]) * integer(node, "group")
        across = node.op == "Conv" or (node.op == "Gemm" and integer(node, "transB") == 1)
        return int(weight.shape[0 if across else -1])


def per_channel(shape: tuple[int, ...], channels: int, trailing: int, rank: int) -> bool:
    """Whether a constant of this shape adds one number a channel, and leaves the shape that it is added to.

    trailing: how many axes follow the channel's; rank: the rank of the tensor that it is added to, at least.
    """
    if len(shape) > rank:
        return False
    padded = (1,) * (rank - len(shape)) + shape
    axis = rank - 1 - trailing
    others = padded[:axis] + padded[axis + 1 :]
    return all(size == 1 for size in others) and padded[axis] in (1, channels)


def copy_attributes(node: Node, names: Iterable[str]) -> dict[str, Attribute]:
    """Those of these attributes that a node has, as they are."""
    return {name: node.attributes[name] for name in names if name in node.attributes}
