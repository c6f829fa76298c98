"""Layer normalization that exporters write out of simpler operators, given back its name.

`(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon)` over the last axis (J. L. Ba et al.: Layer
Normalization, 2016), with the scale and the bias that may follow.
"""

import numpy as np
import onnx_ir as ir

from octavo.passes.edit import (
    Array,
    add_constant,
    become,
    constant,
    dims,
    held,
    input_of,
    integers,
    is_read_once,
    nodes,
    producer,
    scalar_beside,
)


def name_norms(model: ir.Model) -> bool:
    """Recognises LayerNormalization over the last axis, and takes a Mul and an Add behind it in."""
    changed = False
    for node in nodes(model, "Div", "Mul", "Add"):
        if node.outputs[0].dtype == ir.DataType.FLOAT:
            changed |= _norm(node) or _affine(node)
    return changed


def _norm(node: ir.Node) -> bool:
    """`centred / root` or `centred * (1 / root)` becomes LayerNormalization with a scale of 1."""
    for centred, divisor in _quotients(node):
        sub, root = producer(centred, "Sub"), producer(divisor, "Sqrt")
        moved = None if root is None else producer(root.inputs[0], "Add")
        if sub is None or moved is None:
            continue
        x = sub.inputs[0]
        shape = dims(x)
        if x is None or not shape or not isinstance(shape[-1], int) or _mean_of(sub.inputs[1]) is not x:
            continue
        for variance, other in (moved.inputs, tuple(moved.inputs)[::-1]):
            epsilon = scalar_beside(other, variance)
            if epsilon is not None and _is_square(_mean_of(variance), centred):
                ones = add_constant(node, np.ones(shape[-1], np.float32), "scale")
                become(node, "LayerNormalization", [x, ones], axis=-1, epsilon=epsilon)
                return True
    return False


def _quotients(node: ir.Node) -> list[tuple[ir.Value | None, ir.Value | None]]:
    """The pairs (a, b) for which the node computes a / b."""
    if node.op_type == "Div":
        return [(node.inputs[0], node.inputs[1])]
    if node.op_type != "Mul":
        return []
    pairs = [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])]
    inverses = [(a, producer(b, "Reciprocal")) for a, b in pairs]
    return [(a, inverse.inputs[0]) for a, inverse in inverses if inverse is not None]


def _mean_of(value: ir.Value | None) -> ir.Value | None:
    """What `value` is the mean of, over the last axis, which stays as one of length 1."""
    mean = producer(value, "ReduceMean")
    if mean is None or mean.attributes.get_int("keepdims", 1) != 1:
        return None
    shape, axes = dims(mean.inputs[0]), integers(input_of(mean, 1))
    if shape is None or axes is None or len(axes) != 1 or axes[0] not in (-1, len(shape) - 1):
        return None
    return mean.inputs[0]


def _is_square(value: ir.Value | None, x: ir.Value | None) -> bool:
    maker = producer(value, "Mul", "Pow")
    if maker is None or maker.inputs[0] is not x:
        return False
    return maker.inputs[1] is x if maker.op_type == "Mul" else scalar_beside(maker.inputs[1], x) == 2


def _affine(node: ir.Node) -> bool:
    """A Mul, or an Add, of one number a column moves into the LayerNormalization in front of it."""
    for value, other in (node.inputs, tuple(node.inputs)[::-1]):
        norm = producer(value, "LayerNormalization") if node.op_type in ("Mul", "Add") else None
        columns = _columns(constant(other), dims(value))
        if norm is None or value is None or columns is None or not is_read_once(value):
            continue
        scale, bias = constant(norm.inputs[1]), constant(input_of(norm, 2))
        if len(norm.outputs) > 1 or norm.attributes.get_int("axis", -1) != -1 or scale is None:
            continue
        if input_of(norm, 2) is not None and bias is None:
            continue
        shift = np.zeros_like(columns) if bias is None else bias
        with np.errstate(all="ignore"):
            if node.op_type == "Mul":
                scale, shift = scale * columns, shift * columns
            else:
                shift = shift + columns
        if held(scale, np.float32) is None or held(shift, np.float32) is None:
            continue
        inputs = [norm.inputs[0], add_constant(node, np.broadcast_to(scale, columns.shape), "scale")]
        if bias is not None or node.op_type == "Add":
            inputs.append(add_constant(node, shift, "bias"))
        epsilon = norm.attributes.get_float("epsilon", 1e-5)
        become(node, "LayerNormalization", inputs, axis=-1, epsilon=epsilon)
        return True
    return False


def _columns(array: Array | None, shape: tuple[int | str | None, ...] | None) -> Array | None:
    """A constant as one number a column, if it is no more than that to a tensor of this shape."""
    if array is None or not shape or not isinstance(shape[-1], int) or array.ndim > len(shape):
        return None
    if array.size == 1:
        return np.full(shape[-1], array.reshape(()))
    return array.reshape(-1) if array.size == array.shape[-1] == shape[-1] else None
