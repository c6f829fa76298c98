"""Merges what is there twice, and drops what nothing reads."""

import onnx_ir as ir
import onnx_ir.passes.common as common


def merge_duplicates(model: ir.Model) -> bool:
    """Merges equal small initializers, and nodes that compute the same."""
    merged = common.DeduplicateInitializersPass()(model).modified
    return common.CommonSubexpressionEliminationPass()(model).modified or merged


def remove_unused(model: ir.Model) -> bool:
    """Drops nodes, initializers and optional outputs that nothing reads."""
    return common.RemoveUnusedNodesPass()(model).modified
