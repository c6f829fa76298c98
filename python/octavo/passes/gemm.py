"""Matrix products with constant weights, in one form."""

import numpy as np
import onnx_ir as ir

from octavo.passes.affine import affine_of, per_channel
from octavo.passes.edit import (
    add_constant,
    become,
    constant,
    dims,
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
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    weight, bias = constant(node.inputs[1]), constant(input_of(node, 2))
    if alpha != 1 and weight is not None:
        scaled = (weight.astype(np.float64) * alpha).astype(weight.dtype)
        node.replace_input_with(1, add_constant(node, scaled, "weight"))
        set_attributes(node, alpha=1.0)
    if beta != 1 and bias is not None:
        scaled = (bias.astype(np.float64) * beta).astype(bias.dtype)
        node.replace_input_with(2, add_constant(node, scaled, "bias"))
        set_attributes(node, beta=1.0)
    return (alpha != 1 and weight is not None) or (beta != 1 and bias is not None)
