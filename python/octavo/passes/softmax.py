"""Softmax as opsets up to 12 meant it, over all axes from one on, when only one of them is longer than 1."""

import onnx_ir as ir

from octavo.passes.edit import become, dims, nodes, producer, same_dims


def restore_softmax(model: ir.Model) -> bool:
    """Flatten, Softmax and Reshape back, as conversions to opset 13 write it, become Softmax if they can."""
    changed = False
    for node in nodes(model, "Reshape"):
        softmax = producer(node.inputs[0], "Softmax", "LogSoftmax")
        flatten = None if softmax is None else producer(softmax.inputs[0], "Flatten", "Reshape")
        if softmax is None or flatten is None:
            continue
        x, plane = dims(flatten.inputs[0]), dims(softmax.inputs[0])
        if x is None or plane is None or len(plane) != 2 or not same_dims(x, dims(node.outputs[0])):
            continue
        if softmax.attributes.get_int("axis", -1) not in (-1, 1):
            continue
        first = _first_axis(flatten, x, plane[1])
        long = [axis for axis in range(len(x)) if first is not None and axis >= first and x[axis] != 1]
        if first is None or len(long) > 1 or first >= len(x):
            continue
        become(node, softmax.op_type, [flatten.inputs[0]], axis=long[0] if long else first)
        changed = True
    return changed


def _first_axis(node: ir.Node, x: tuple[int | str | None, ...], columns: int | str | None) -> int | None:
    """The axis of x from which on all are in the columns of the plane that the node makes."""
    if node.op_type == "Flatten":
        axis = node.attributes.get_int("axis", 1)
        return axis + len(x) if axis < 0 else axis
    size = 1
    for axis in range(len(x) - 1, -1, -1):
        extent = x[axis]
        if not isinstance(extent, int):
            return None
        size *= extent
        if size == columns:
            return axis
    return None
