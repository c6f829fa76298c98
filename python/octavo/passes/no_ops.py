"""Takes out nodes that give back what they are given."""

import numpy as np
import onnx_ir as ir

from octavo.passes.edit import bypass, constant, dims, input_of, integers, nodes, same_dims
from octavo.program.ops import marked

_SHAPE_TELLS = frozenset({"Expand", *marked("reshapes")})
"""Operators that change nothing if they do not change the shape."""

_JOINS = frozenset({"Concat", "Max", "Mean", "Min", "Sum"})
_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1, "Pow": 1}


def remove_no_ops(model: ir.Model) -> bool:
    """Takes out Identity and every node that is one for all feeds."""
    changed = False
    for node in nodes(model):
        if len(node.outputs) != 1 or not node.inputs or node.inputs[0] is None:
            continue
        source = _source(node)
        if source is not None:
            changed |= bypass(node, source)
    return changed


def _source(node: ir.Node) -> ir.Value | None:
    """The input that the node gives back unchanged, if it does."""
    x, op = node.inputs[0], node.op_type
    assert x is not None
    keeps_shape = same_dims(dims(x), dims(node.outputs[0]))
    if op == "Identity" or (op in _JOINS and len(node.inputs) == 1):
        return x
    if op in _SHAPE_TELLS:
        return x if keeps_shape else None
    if op == "Cast":
        return x if x.dtype is not None and x.dtype == node.attributes.get_int("to", 0) else None
    if op == "Transpose":
        perm = node.attributes.get_ints("perm", [1, 0])
        return x if list(perm) == list(range(len(perm))) else None
    if op == "Slice":
        steps = input_of(node, 4)
        ones = steps is None or set(integers(steps) or [0]) == {1}
        return x if keeps_shape and ones else None
    if op == "Pad":
        return x if set(integers(node.inputs[1]) or [1]) == {0} else None
    if op == "Tile":
        return x if set(integers(node.inputs[1]) or [0]) == {1} else None
    if op == "Resize":
        return x if _resizes_nothing(node, keeps_shape) else None
    if op in _NEUTRAL:
        return _other_than(node, _NEUTRAL[op])
    return None


def _resizes_nothing(node: ir.Node, keeps_shape: bool) -> bool:
    if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return False
    scales = constant(input_of(node, 2))
    if scales is not None and scales.size:
        return bool((scales == 1).all())
    return keeps_shape


def _other_than(node: ir.Node, neutral: int) -> ir.Value | None:
    """The operand beside a constant that is `neutral` throughout and does not widen the other."""
    for x, c in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        values = constant(c)
        if values is not None and values.size <= 4096 and np.all(values == neutral):
            return x if same_dims(dims(x), dims(node.outputs[0])) else None
        if node.op_type in ("Sub", "Div", "Pow"):
            return None
    return None
