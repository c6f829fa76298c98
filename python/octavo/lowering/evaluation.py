"""One node of a graph, computed in advance by the kernels that compute it at run time."""

from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from octavo.errors import Error
from octavo.lowering.graph import float_program
from octavo.program import OPSET, artifact

_LARGE = 1 << 16
"""Bytes from which a constant is fed, without a copy; what a plan must know, as a shape, is smaller."""


def evaluate(node: ir.Node) -> list[npt.NDArray[Any] | None] | None:
    """The outputs of a node whose inputs are all constants: the bits of a run, the same on every machine.

    The node's outputs have their dtypes. None for an output without a name; None for all where octavo lacks
    the operator or it fails.
    """
    from octavo import _core

    alone, fed = _alone(node)
    try:
        program = float_program(ir.Model(alone, ir_version=10))
        session = _core.Session(artifact.to_bytes(program), 1, None)  # more threads would take long to start
        made = iter(session.run(None, {name: tensor.numpy() for name, tensor in fed.items()}))
    except Error:
        return None
    return [next(made) if value.name else None for value in node.outputs]


def _alone(node: ir.Node) -> tuple[ir.Graph, dict[str, ir.TensorProtocol]]:
    """A graph of this node, and what its inputs are fed; the smaller constants are initializers."""
    values: dict[ir.Value, ir.Value] = {}
    fed: dict[str, ir.TensorProtocol] = {}
    for value in node.inputs:
        if value is None or value in values:
            continue
        tensor = value.const_value
        assert tensor is not None
        name = f"x{len(values)}"
        values[value] = ir.Value(
            name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(tensor.shape.numpy())
        )
        if tensor.nbytes >= _LARGE:
            fed[name] = tensor
        else:
            values[value].const_value = tensor
    outputs = [
        ir.Value(name=f"y{index}" if value.name else "", type=value.type)
        for index, value in enumerate(node.outputs)
    ]
    inputs = [None if value is None else values[value] for value in node.inputs]
    copy = ir.Node("", node.op_type, inputs, node.attributes.values(), outputs=outputs, name=node.op_type)
    return (
        ir.Graph(
            [value for value in values.values() if value.name in fed],
            [value for value in outputs if value.name],
            nodes=[copy],
            initializers=[value for value in values.values() if value.name not in fed],
            opset_imports={"": OPSET},
        ),
        fed,
    )
