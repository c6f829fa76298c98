"""Dequantizes integers before they are moved, so that what quantized and what dequantizes them are a pair.

    QuantizeLinear -> Reshape -> DequantizeLinear    becomes    QuantizeLinear -> DequantizeLinear -> Reshape

Integer operators hand integers to whatever moves elements; it gives the same reals in either order.
"""

import onnx_ir as ir

from octavo.frontend.linear import is_single
from octavo.program.ops import marked

_MOVES = frozenset({"MaxPool", *marked("moves")})
"""The greatest of some integers is that of their reals, where the scale is positive."""


def lift_dequantizations(model: ir.Model) -> None:
    """Moves each DequantizeLinear by one scale up to the QuantizeLinear that it undoes, in place."""
    for node in list(model.graph.all_nodes()):
        if node.domain == "" and node.op_type == "DequantizeLinear" and _keeps_order(node):
            _lift(node)


def _lift(node: ir.Node) -> None:
    """Swaps the node with what moves its integers, until the QuantizeLinear is before it."""
    while (move := _moved(node)) is not None and _is_quantized(move):
        graph = node.graph
        assert graph is not None
        before = ir.Node(
            "",
            "DequantizeLinear",
            [move.inputs[0], *node.inputs[1:]],
            list(node.attributes.values()),
            name=node.name,
        )
        after = ir.Node(
            "",
            move.op_type,
            [before.outputs[0], *move.inputs[1:]],
            list(move.attributes.values()),
            name=move.name,
        )
        ir.convenience.replace_nodes_and_values(
            graph, node, [node], [before, after], node.outputs, after.outputs
        )
        if not move.outputs[0].uses() and not move.outputs[0].is_graph_output():
            graph.remove(move, safe=True)
        node = before


def _keeps_order(node: ir.Node) -> bool:
    """Whether a DequantizeLinear has one scale, which is a positive constant."""
    scale = node.inputs[1]
    number = None if scale is None or scale.is_graph_input() else scale.const_value
    return is_single(node) and number is not None and bool((number.numpy() > 0).all())


def _moved(node: ir.Node) -> ir.Node | None:
    """What moves the node's integers, in the same graph."""
    value = node.inputs[0]
    move = None if value is None else value.producer()
    if move is None or move.graph is not node.graph or move.domain != "" or len(move.outputs) != 1:
        return None
    return move if move.op_type in _MOVES else None


def _is_quantized(node: ir.Node | None) -> bool:
    """Whether what a node moves comes from a QuantizeLinear."""
    while node is not None and node.domain == "" and node.op_type in _MOVES:
        value = node.inputs[0]
        node = None if value is None else value.producer()
    return node is not None and node.domain == "" and node.op_type == "QuantizeLinear"
