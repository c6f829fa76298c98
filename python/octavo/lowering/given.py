"""The forms that a model gives itself: a Quantize and the Dequantize behind it, and constants in integers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import Affine
from octavo.lowering.forms import GivenWeights
from octavo.program import Node, Program
from octavo.program.attributes import integer, number
from octavo.program.bodies import body_program, mentioned


@dataclass(frozen=True)
class Given:
    """What a float Program says of integers.

    program: the same, its constants in float32. forms: of pairs and of constants, by the name of what their
    Dequantize gives. weights: by the name of the float constant. pairs: by the name of a Quantize, it and its
    Dequantize.
    """

    program: Program
    forms: Mapping[str, Affine]
    weights: Mapping[str, GivenWeights]
    pairs: Mapping[str, tuple[Node, Node]]


def gives_forms(program: Program) -> bool:
    """Whether a float Program says of some tensor which integers it has."""
    found = given(program)
    bodies = ((node, key) for node in program.nodes for key in node.bodies)
    return bool(found.forms or found.weights) or any(
        gives_forms(body_program(program, node, key)) for node, key in bodies
    )


def holds_integers(program: Program) -> bool:
    """Whether a float Program is of a model that is quantized already, in whatever form."""
    return gives_forms(program) or any(
        node.op == "DynamicQuantize" or (node.op == "Dequantize" and "block" in node.attributes)
        for node in program.nodes
    )


def given(program: Program) -> Given:
    """The forms in a float Program, and the Program in which what is constant is dequantized."""
    program = _with_tables(program)
    forms: dict[str, Affine] = {}
    weights: dict[str, GivenWeights] = {}
    constants = dict(program.constants)
    known: set[str] = set()
    for node in program.nodes:
        if node.op == "Dequantize" and node.inputs[0] in constants and _is_plain(program, node):
            (name,) = node.outputs
            held = constants[node.inputs[0]]
            if len(node.inputs) == 1:
                forms[name] = _form(node)
                constants[name] = forms[name].reals()[held]
            else:
                scale = _along(constants[node.inputs[1]], held.ndim, node)
                weights[name] = GivenWeights(held, scale)
                with np.errstate(over="ignore"):
                    constants[name] = scale * held.astype(np.float32)
            known.add(node.name)
    if known:
        program = _without(program, known, constants)
    pairs = _pairs(program)
    forms |= {dequantize.outputs[0]: _form(dequantize) for _, dequantize in pairs.values()}
    return Given(program, forms, weights, pairs)


def _is_plain(program: Program, node: Node) -> bool:
    """Whether a Dequantize is of uint8 by numbers, or of int8 by one scale or by scales along an axis."""
    dtype = program.values[node.inputs[0]].dtype
    if len(node.inputs) == 1:
        return dtype == "u8"
    return dtype == "i8" and len(node.inputs) == 2 and "block" not in node.attributes


def _form(node: Node) -> Affine:
    return Affine(number(node, "scale"), integer(node, "zero_point"))


def _along(scale: npt.NDArray[Any], rank: int, node: Node) -> npt.NDArray[Any]:
    if "axis" not in node.attributes:
        return scale.reshape(())
    return scale.reshape(-1, *[1] * (rank - integer(node, "axis") - 1))


def _without(program: Program, known: set[str], constants: dict[str, npt.NDArray[Any]]) -> Program:
    """The Program with these nodes gone, whose results are constants, and what they alone read."""
    nodes = [node for node in program.nodes if node.name not in known]
    used = {*program.inputs, *program.outputs, *mentioned(nodes)}
    constants = {name: array for name, array in constants.items() if name in used}
    values = {name: value for name, value in program.values.items() if name in used}
    return replace(program, nodes=nodes, values=values, constants=constants)


def _with_tables(program: Program) -> Program:
    """The Program in which a Gather of 256 entries by what are bytes is a Lookup."""
    makers = {name: node for node in program.nodes for name in node.outputs}
    tables = {}
    for node in program.nodes:
        if node.op == "Gather" and _is_table(program, node.inputs[0]):
            cast = makers.get(node.inputs[1])
            if cast is not None and cast.op == "Cast" and program.values[cast.inputs[0]].dtype == "u8":
                tables[node.name] = Node(
                    "Lookup", node.name, (cast.inputs[0], node.inputs[0]), node.outputs, {}
                )
    if not tables:
        return program
    nodes = [tables.get(node.name, node) for node in program.nodes]
    read = {name for node in nodes for name in node.inputs} | set(program.outputs)
    unread = {node.name for node in nodes if node.op == "Cast" and node.outputs[0] not in read}
    return _without(replace(program, nodes=nodes), unread, dict(program.constants))


def _is_table(program: Program, name: str) -> bool:
    value = program.values[name]
    return name in program.constants and (value.dtype, value.shape) == ("u8", (256,))


def _pairs(program: Program) -> dict[str, tuple[Node, Node]]:
    """Each Quantize to uint8 by numbers whose integers one Dequantize of the same numbers reads, and it."""
    readers: dict[str, list[Node]] = {}
    for node in program.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    found = {}
    for node in program.nodes:
        if node.op != "Quantize" or len(node.inputs) > 1 or program.values[node.outputs[0]].dtype != "u8":
            continue
        reading = readers.get(node.outputs[0], [])
        if node.outputs[0] in program.outputs or len(reading) != 1 or reading[0].op != "Dequantize":
            continue
        if reading[0].attributes == node.attributes:
            found[node.name] = node, reading[0]
    return found
