"""Reshape, Flatten, Squeeze and Unsqueeze in a row are one Reshape."""

import onnx_ir as ir

from octavo.passes.edit import dims, is_read_once, nodes, producer
from octavo.passes.shapes import reshape, reshape_target
from octavo.program.ops import marked

_RESHAPES = marked("reshapes")


def merge_reshapes(model: ir.Model) -> bool:
    """Reads what the first of two such nodes reads, in the second."""
    changed = False
    for node in nodes(model, *_RESHAPES):
        first = producer(node.inputs[0], *_RESHAPES)
        if first is None or not is_read_once(first.outputs[0]):
            continue
        target = reshape_target(dims(first.inputs[0]), dims(node.outputs[0]))
        if target is not None:
            reshape(node, first.inputs[0], target)
            changed = True
    return changed
