"""The steps that a node quantizes by, and the nodes and constants that say so."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from octavo.frontend.linear import ENDS, check_parameters, is_single, point, quantized_dtype

Array = npt.NDArray[Any]

LEAST_SCALE = np.float32(2.0**-126)
"""The smallest normal number: a Program's scales are no smaller."""

GREATEST_SCALE = np.float32(2.0**119)
"""What 256 steps of are finite."""

_MOST_CAST = 1 << 16
"""Elements of a constant whose Cast is followed: scales and zero points."""

_KEPT = "octavo.pairs"


@dataclass(frozen=True)
class Steps:
    """One scale and zero point of a tensor, and the ends of its integers, in uint8."""

    scale: np.float32
    zero_point: int
    low: int
    high: int


def is_kept(node: ir.Node) -> bool:
    """Whether the node is of the form that lowering reads, and stays as it is."""
    return bool(node.meta.get(_KEPT))


def steps_of(node: ir.Node) -> Steps | None:
    """The steps of a QuantizeLinear, or of a DequantizeLinear, by one scale and zero point that are known."""
    x, scale = node.inputs[:2]
    if x is None or scale is None or not is_single(node) or x.dtype is None:
        return None
    check_parameters(node)
    is_quantize = node.op_type == "QuantizeLinear"
    dtype = quantized_dtype(node) if is_quantize else x.dtype
    other = "precision" if is_quantize else "output_dtype"
    if is_quantize and x.dtype != ir.DataType.FLOAT:
        return None
    if (
        node.attributes.get_int(other, 0) not in (0, ir.DataType.FLOAT.value)
        or scale.dtype != ir.DataType.FLOAT
    ):
        return None
    number, zero = constant(scale), point(node)
    held = None if zero is None else constant(zero)
    if number is None or (zero is not None and held is None) or dtype not in ENDS or dtype.bitwidth > 8:
        return None
    if not LEAST_SCALE <= number.reshape(-1)[0] <= GREATEST_SCALE:
        return None
    low, high = ENDS[dtype]
    zero_point = 0 if held is None else int(held.reshape(-1)[0])
    return Steps(np.float32(number.reshape(-1)[0]), zero_point - low, 0, high - low)


def write_parameters(node: ir.Node, steps: Steps) -> None:
    """Keep a node of uint8, with its numbers as lowering reads them."""
    graph, name = node.graph, node.outputs[0].name
    assert graph is not None
    node.resize_inputs(3)
    node.replace_input_with(1, initializer(graph, f"{name}.scale", np.asarray(steps.scale, np.float32)))
    node.replace_input_with(
        2, initializer(graph, f"{name}.zero_point", np.asarray(steps.zero_point, np.uint8))
    )
    node.attributes.clear()
    node.meta[_KEPT] = True


def kept(op: str, inputs: list[ir.Value], name: str | None, output: str) -> ir.Node:
    """A new node that stays as it is."""
    node = ir.node(op, inputs, name=name)
    node.outputs[0].name = output
    node.outputs[0].type = ir.TensorType(ir.DataType.UINT8 if op == "QuantizeLinear" else ir.DataType.FLOAT)
    node.outputs[0].shape = inputs[0].shape
    node.meta[_KEPT] = True
    return node


def constant(value: ir.Value | None) -> Array | None:
    """What an initializer that no caller can feed holds, also behind a Cast or Identity of integers."""
    if value is None or value.is_graph_input():
        return None
    if value.const_value is not None:
        array: Array = value.const_value.numpy()
        return array
    node = value.producer()
    if node is None or node.domain != "" or node.op_type not in ("Cast", "Identity"):
        return None
    source = constant(node.inputs[0])
    if source is None or node.op_type == "Identity" or source.size > _MOST_CAST:
        return source if node.op_type == "Identity" else None
    to = ir.DataType(node.attributes.get_int("to", ir.DataType.FLOAT.value)).numpy()
    cast = source.astype(to)
    return cast if np.array_equal(cast, source) else None


def initializer(graph: ir.Graph, name: str, array: Array, dtype: ir.DataType | None = None) -> ir.Value:
    """A new constant of the graph, with a name like that."""
    while name in graph.initializers:
        name += "_"
    tensor = ir.Tensor(array, dtype=dtype, name=name)
    value = ir.Value(
        name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
    )
    graph.register_initializer(value)
    return value
