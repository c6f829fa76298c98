"""Matrix products with constant weights, in one form."""

import numpy as np
import onnx_ir as ir

from octavo.passes.affine import affine_of, per_channel
from octavo.passes.edit import (
    add_constant,
    become,
    constant,
    dims,
    held,
    input_of,
    is_read_once,
    nodes,
    producer,
    set_attributes,
)


def form_gemm(model: ir.Model) -> bool:
    """MatMul of rank 2 by a constant, plus a bias, becomes Gemm; alpha and beta go into the constants."""
    changed = False
    for node in nodes(model, "Add", "Sub"):
        changed |= _from_matmul(node)
    for node in nodes(model, "Gemm"):
        changed |= _scale_into_constants(node)
    return changed


def _from_matmul(node: ir.Node) -> bool:
    affine = affine_of(node)
    product = None if affine is None else producer(affine.x, "MatMul")
    if affine is None or product is None or not is_read_once(affine.x) or (affine.scale != 1).any():
        return False
    left, weight = dims(product.inputs[0]), constant(product.inputs[1])
    if left is None or len(left) != 2 or weight is None or weight.ndim != 2:
        return False
    bias = per_channel(affine.offset, 2, 1, int(weight.shape[1]))
    if bias is None:
        return False
    become(node, "Gemm", [*product.inputs, add_constant(node, bias.astype(weight.dtype), "bias")])
    return True


def _scale_into_constants(node: ir.Node) -> bool:
    changed = False
    for place, name, role in ((1, "alpha", "weight"), (2, "beta", "bias")):
        factor, array = node.attributes.get_float(name, 1.0), constant(input_of(node, place))
        if factor == 1 or array is None:
            continue
        scaled = held(array.astype(np.float64) * factor, array.dtype)
        if scaled is None:
            continue
        node.replace_input_with(place, add_constant(node, scaled, role))
        set_attributes(node, **{name: 1.0})
        changed = True
    return changed
