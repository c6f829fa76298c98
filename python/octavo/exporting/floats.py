"""The operators that a Program has as ONNX has them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import numpy_helper

from octavo.exporting.graph import Graph
from octavo.program import Attribute, Node
from octavo.program.integers import ACTIVATIONS

OF_BITS = ("BitwiseXor", "Cast")
"""Ops that read integers for their bits, whatever these stand for."""


def add_float(graph: Graph, node: Node) -> None:
    """The node by its own name: on floats as it is, on integers that stand for reals between conversions.

    Where a tensor's zero points are fractions, it runs on the integers: only what moves elements reads those.
    """
    attributes = exported(node.attributes)
    inputs = list(node.inputs)
    if node.op == "ConstantOfShape":
        fill = graph.program.constants[inputs.pop()]
        attributes["value"] = numpy_helper.from_array(fill.reshape(1), "value")
    values, outputs = graph.program.values, list(node.outputs)
    quants = {
        name: values[name].quant for name in (*inputs, *outputs) if name and values[name].dtype in ACTIVATIONS
    }
    quant = next((quants[name] for name in inputs if quants.get(name)), None)
    if quant is None or quant.zero_point.dtype == np.float32 or node.op in OF_BITS:
        graph.add(node.op, inputs, outputs, **attributes)
        return
    for place, name in enumerate(inputs):
        if name in quants:
            own = quants[name] or quant
            inputs[place] = graph.dequantized(name, own.scale, own.zero_point, own.axis)
    reals = {name: graph.fresh(f"{name}_reals") for name in outputs if name in quants}
    graph.add(node.op, inputs, [reals.get(name, name) for name in outputs], **attributes)
    for name, result in reals.items():
        own = quants[name] or quant
        graph.quantized(result, name, own.scale, own.zero_point, own.axis)


def exported(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    """Attributes as ONNX's Python package takes them."""
    return {
        name: [float(item) for item in value]
        if isinstance(value, list) and any(isinstance(item, np.float32) for item in value)
        else float(value)
        if isinstance(value, np.floating)
        else value
        for name, value in attributes.items()
    }
