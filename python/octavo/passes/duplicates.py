"""Merges what is there twice, and drops what nothing reads."""

import onnx_ir as ir
import onnx_ir.passes.common as common

from octavo.passes.edit import nodes, take_names


def merge_duplicates(model: ir.Model) -> bool:
    """Merges equal small initializers, and nodes that compute the same."""
    merged = common.DeduplicateInitializersPass()(model).modified
    readers = [
        (node, use.node, use.idx) for node in nodes(model) for output in node.outputs for use in output.uses()
    ]
    if not common.CommonSubexpressionEliminationPass()(model).modified:
        return merged
    twins: dict[ir.Node, ir.Node] = {}
    for node, reader, index in reversed(readers):  # a reader's own twin is known by then
        read = twins.get(reader, reader).inputs[index]
        twin = None if read is None else read.producer()
        if node.graph is None and twin is not None and node not in twins:
            twins[node] = twin
            take_names(twin, node)
    return True


def remove_unused(model: ir.Model) -> bool:
    """Drops nodes, initializers and optional outputs that nothing reads."""
    return common.RemoveUnusedNodesPass()(model).modified
