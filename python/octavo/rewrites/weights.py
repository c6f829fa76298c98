"""Float weights of products, stored in integers: the products stay float, and read them dequantized."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.weights import rounded_weights, weight_scales
from octavo.program import PACKED, Node, Program, Value
from octavo.program.integers import Integers, pack
from octavo.rewrites.names import fresh


def stored_weights(program: Program, of: Integers, exclude: frozenset[str] = frozenset()) -> Program:
    """The Program whose convolutions and products by constants have their weights in integers.

    of: symmetric. One scale an output channel. exclude: names of nodes whose weights stay as they are, as
    do weights that hold NaN or an infinite value.
    """
    values, constants = dict(program.values), dict(program.constants)
    nodes: list[Node] = []
    stored: dict[tuple[str, int], str] = {}
    for node in program.nodes:
        axis = None if node.name in exclude else channel_axis(program, node)
        if axis is not None:
            name = node.inputs[1]
            if (name, axis) not in stored:
                stored[name, axis] = _store(program, name, axis, of, values, constants, nodes)
            node = replace(node, inputs=(node.inputs[0], stored[name, axis], *node.inputs[2:]))
        nodes.append(node)
    read = {name for node in nodes for name in node.inputs} | set(program.outputs)
    left = {name for name, _ in stored} - read
    return replace(
        program,
        values={name: value for name, value in values.items() if name not in left},
        constants={name: array for name, array in constants.items() if name not in left},
        nodes=nodes,
    )


def channel_axis(program: Program, node: Node) -> int | None:
    """The axis of the output channels of a node's weights; None where there are none to store."""
    weight = program.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if weight is None or weight.dtype != np.float32 or weight.ndim < 2 or not np.all(np.isfinite(weight)):
        return None
    if node.op == "Conv" or (node.op == "Gemm" and node.attributes["transB"]):
        return 0
    if node.op == "ConvTranspose" and node.attributes["group"] == 1:
        return 1
    return weight.ndim - 1 if node.op in ("Gemm", "MatMul") else None


def _store(
    program: Program,
    name: str,
    axis: int,
    of: Integers,
    values: dict[str, Value],
    constants: dict[str, npt.NDArray[Any]],
    nodes: list[Node],
) -> str:
    """Add the integers of a constant, their scales, and the node that dequantizes them; return its output."""
    weight = program.constants[name]
    others = tuple(other for other in range(weight.ndim) if other != axis)
    largest = np.max(np.abs(weight), axis=others, initial=np.float32(0))
    scale = weight_scales(largest, of)
    q = np.moveaxis(rounded_weights(np.moveaxis(weight, axis, -1), scale, of), -1, axis)
    integers, scales, made = (fresh(f"{name}_{what}", values) for what in ("stored", "scales", "dequantized"))
    constants[integers] = pack(q, of.dtype) if of.dtype in PACKED else np.ascontiguousarray(q)
    constants[scales] = scale
    values[integers] = Value(integers, of.dtype, weight.shape)
    values[scales] = Value(scales, "f32", scale.shape)
    values[made] = Value(made, "f32", weight.shape)
    nodes.append(Node("Dequantize", made, (integers, scales), (made,), {"axis": axis}))
    return made
