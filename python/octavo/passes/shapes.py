"""Reshape to a shape that the graph computes, although it is known but for the batch."""

import numpy as np
import onnx_ir as ir

from octavo.passes.edit import Dims, add_constant, become, constant, dims, nodes


def fix_reshapes(model: ir.Model) -> bool:
    """Gives each Reshape whose output shape follows from its input's a constant shape, with 0 and -1."""
    changed = False
    for node in nodes(model, "Reshape"):
        if constant(node.inputs[1]) is not None:
            continue
        target = reshape_target(dims(node.inputs[0]), dims(node.outputs[0]))
        if target is not None:
            reshape(node, node.inputs[0], target)
            changed = True
    return changed


def reshape(node: ir.Node, source: ir.Value | None, target: list[int]) -> None:
    """Makes the node a Reshape of `source` to a constant shape."""
    shape = add_constant(node, np.array(target, np.int64), "shape")
    become(node, "Reshape", [source, shape], allowzero=0)


def reshape_target(before: Dims | None, after: Dims | None) -> list[int] | None:
    """Reshape's shape that turns `before` into `after`: 0 copies the axis of that place, one -1 is inferred.

    None where that does not say it, or where an axis has no elements.
    """
    if before is None or after is None or 0 in before or 0 in after:
        return None
    target = []
    for index, extent in enumerate(after):
        if isinstance(extent, int):
            target.append(extent)
        elif extent is not None and index < len(before) and before[index] == extent:
            target.append(0)
        else:
            target.append(-1)
    return target if target.count(-1) <= 1 else None
