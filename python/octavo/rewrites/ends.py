"""Inputs and outputs of a Program in integers, in place of the floats that they stand for."""

from dataclasses import replace

import numpy as np

from octavo.errors import ModelError
from octavo.lowering.partition import FORM_BLIND
from octavo.program import Attribute, Node, Program, Value
from octavo.program.checks import ONNX_DTYPES
from octavo.rewrites.names import fresh

TOP_BIT = 128
"""What an int8 is less than the uint8 of the same place: the top bit apart, the bits are the same."""

INTEGERS = {"uint8": "u8", "int8": "i8"}
"""What inputs and outputs can be in, as numpy names it, and as a Value has it."""


def integer_ends(program: Program, dtype: str) -> Program:
    """The Program that takes the integers of a quantized float32 input, and gives those of an output.

    dtype: of `INTEGERS`. An input that nothing reads, and what is no float32, stays as it is. Raises
    `ModelError` where another input or output stands for no integers of one scale.
    """
    ends = _Ends(program)
    for name in program.inputs:
        if program.values[name].dtype == "f32":
            ends.take(name)
    for name in program.outputs:
        if ends.program.values[name].dtype == "f32":
            ends.give(name)
    if dtype == "i8":
        for name in dict.fromkeys((*program.inputs, *program.outputs)):
            if name in ends.changed:
                ends.turn_top_bit(name)
    return ends.program


def float_ends(program: Program, like: Program) -> Program:
    """The Program that takes and gives float32 where another does, for integers of one scale.

    like: has inputs and outputs of the same names.
    """
    ends = _Ends(program)
    for name in (*program.inputs, *program.outputs):
        value, other = ends.program.values[name], like.values[name]
        is_held = value.dtype in INTEGERS.values() and value.quant is not None and len(value.quant.scale) == 1
        if is_held and other.dtype == "f32":
            ends.make_float(name)
    return ends.program


class _Ends:
    """program: as it is so far. changed: the inputs and outputs that are in integers now."""

    def __init__(self, program: Program) -> None:
        self.program = replace(
            program,
            values=dict(program.values),
            constants=dict(program.constants),
            nodes=list(program.nodes),
        )
        self.changed: set[str] = set()

    def take(self, name: str) -> None:
        """Make an input the integers that its Quantize gives."""
        program = self.program
        readers = [node for node in program.nodes if name in node.inputs]
        quantized = [node for node in readers if node.op == "Quantize" and len(node.inputs) == 1]
        others = [node for node in readers if node not in quantized and node.op not in FORM_BLIND]
        if not readers and name not in program.outputs:
            return
        if others or len(quantized) != 1:
            reader = f"{others[0].op} {others[0].name!r} reads it" if others else "no op quantizes it"
            raise ModelError(f"input {name!r} cannot be integers: {reader}")
        program.nodes.remove(quantized[0])
        self._rename(quantized[0].outputs[0], name)

    def give(self, name: str) -> None:
        """Make an output the integers that its Dequantize reads."""
        program = self.program
        node = next((node for node in program.nodes if name in node.outputs), None)
        if node is None or node.op != "Dequantize" or len(node.inputs) > 1:
            maker = "it is a constant" if node is None else f"{node.op} {node.name!r} gives it in float32"
            raise ModelError(f"output {name!r} cannot be integers: {maker}")
        source = node.inputs[0]
        if source in program.inputs or source in program.outputs:
            program.values[name] = replace(program.values[source], name=name)
            program.nodes[program.nodes.index(node)] = replace(node, op="Identity", attributes={})
            self.changed.add(name)
            return
        program.nodes.remove(node)
        self._rename(source, name)

    def turn_top_bit(self, name: str) -> None:
        """Make an input or output of uint8 one of int8."""
        program, value = self.program, self.program.values[name]
        assert value.quant is not None
        plain = fresh(f"{name}_uint8", program.values)
        self._rename(name, plain)
        zero_points = value.quant.zero_point - TOP_BIT
        program.values[name] = replace(value, dtype="i8", quant=replace(value.quant, zero_point=zero_points))
        if name in program.inputs:
            program.nodes[:0] = self._turned(name, plain)
        else:
            program.nodes.extend(self._turned(plain, name))

    def make_float(self, name: str) -> None:
        """Make an input or output in integers the float32 that these stand for."""
        program, value = self.program, self.program.values[name]
        assert value.quant is not None
        own = fresh(f"{name}_{value.dtype}", program.values)
        self._rename(name, own)
        program.values[name] = replace(value, dtype="f32", quant=None)
        zero_point = int(value.quant.zero_point[0]) + TOP_BIT * (value.dtype == "i8")
        attributes: dict[str, Attribute] = {"scale": value.quant.scale[0], "zero_point": zero_point}
        plain = own
        if value.dtype == "i8":
            plain = fresh(f"{name}_uint8", program.values)
            shifted = replace(value.quant, zero_point=value.quant.zero_point + TOP_BIT)
            program.values[plain] = replace(value, name=plain, dtype="u8", quant=shifted)
        turned = (
            [] if plain == own else self._turned(*((plain, own) if name in program.inputs else (own, plain)))
        )
        if name in program.inputs:
            program.nodes[:0] = [Node("Quantize", plain, (name,), (plain,), attributes), *turned]
        else:
            program.nodes.extend([*turned, Node("Dequantize", name, (plain,), (name,), attributes)])

    def _turned(self, source: str, target: str) -> list[Node]:
        """The nodes that make int8 of uint8, or uint8 of int8, the top bit turned."""
        values = self.program.values
        bits, mask = (fresh(f"{target}_{what}", values) for what in ("bits", "top_bit"))
        values[bits] = replace(values[target], name=bits, dtype="u8", quant=None)
        values[mask], self.program.constants[mask] = Value(mask, "u8", ()), np.array(TOP_BIT, np.uint8)
        to: dict[str, Attribute] = {"to": ONNX_DTYPES[values[target].dtype]}
        if values[source].dtype == "i8":
            return [
                Node("Cast", bits, (source,), (bits,), to),
                Node("BitwiseXor", f"{target}_turned", (bits, mask), (target,), {}),
            ]
        return [
            Node("BitwiseXor", bits, (source, mask), (bits,), {}),
            Node("Cast", f"{target}_turned", (bits,), (target,), to),
        ]

    def _rename(self, old: str, new: str) -> None:
        """Give all that is called `old` another name, for which what was called so makes way."""
        program = self.program
        program.values[new] = replace(program.values.pop(old), name=new)
        self.changed.add(new)
        for index, node in enumerate(program.nodes):
            if old in node.inputs or old in node.outputs:
                inputs, outputs = (
                    tuple(new if name == old else name for name in names)
                    for names in (node.inputs, node.outputs)
                )
                program.nodes[index] = replace(node, inputs=inputs, outputs=outputs)
