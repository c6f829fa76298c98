"""Nodes that run sub-programs, which become sub-graphs."""

from collections.abc import Callable

import onnx
from onnx import helper

from octavo.exporting.graph import Graph, port
from octavo.program import Body, Node
from octavo.program.bodies import own_inputs

Add = Callable[[Graph, Node], None]
"""Adds a node as ONNX has it."""


def add_with_bodies(graph: Graph, node: Node, add: Add) -> None:
    """The node by its own name; what its sub-graphs read from outside is no input of it there."""
    attributes = {
        key: _sub_graph(graph, f"{node.name}.{key}", body, add) for key, body in node.bodies.items()
    }
    graph.add(node.op, node.inputs[: own_inputs(node)], node.outputs, **attributes)


def _sub_graph(graph: Graph, name: str, body: Body, add: Add) -> onnx.GraphProto:
    values, outputs = graph.program.values, list[str]()
    with graph.inside() as nodes:
        for node in body.nodes:
            add(graph, node)
        made = {name for node in body.nodes for name in node.outputs}
        for output in body.outputs:
            # What a sub-graph gives must be made in it, and by one name alone.
            is_plain = output in made and output not in outputs
            outputs.append(output if is_plain else graph.made("Identity", [output], output))
    taken = [port(values[name]) for name in body.inputs]
    given = [port(values[name]) for name in body.outputs]
    for value, output in zip(given, outputs, strict=True):
        value.name = output
    return helper.make_graph(nodes, name, taken, given)
