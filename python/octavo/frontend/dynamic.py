"""Products whose left side the model itself quantizes as it runs, kept whole for lowering.

    DynamicQuantizeLinear -> MatMulInteger by constants -> Cast -> Mul by the scales -> Add of a bias

is what dynamic quantization leaves of a MatMul. It becomes a call of `octavo.frontend.kept.PRODUCT`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as common

from octavo.frontend.inference import infer_shapes
from octavo.frontend.kept import KEPT, PRODUCT, have_function
from octavo.frontend.steps import initializer

Array = npt.NDArray[Any]


def keep_products(model: ir.Model) -> None:
    """Replaces the products of that form by calls, in place; the model then has the function.

    Raises:
        ModelError: shapes that do not fit together.
    """
    nodes = [node for node in model.graph.all_nodes() if (node.domain, node.op_type) == ("", "MatMulInteger")]
    if not nodes:
        return
    infer_shapes(model)
    if any([_keep(node) for node in nodes]):
        have_function(model, PRODUCT)
        common.RemoveUnusedNodesPass()(model)


def _keep(node: ir.Node) -> bool:
    """Replaces one product, if it is of the form."""
    source = _quantizer(node)
    weights = _weights(node)
    cast = _only_reader(node.outputs[0], "Cast")
    scaled = None if cast is None else _only_reader(cast.outputs[0], "Mul")
    if source is None or weights is None or scaled is None or cast is None:
        return False
    columns = weights[0].shape[1]
    scale = _scale(_other(scaled, cast.outputs[0]), source, columns)
    graph = node.graph
    if cast.attributes.get_int("to", 0) != ir.DataType.FLOAT or scale is None or graph is None:
        return False
    last, bias = scaled, np.zeros(columns, np.float32)
    added = _only_reader(scaled.outputs[0], "Add")
    if added is not None:
        given = _constant(_other(added, scaled.outputs[0]))
        if given is not None and given.dtype == np.float32 and given.shape == (columns,):
            last, bias = added, given
    inputs = [source.inputs[0]]
    for what, array in zip(
        ("weights", "scale", "zero", "bias"), (weights[0], scale, weights[1], bias), strict=True
    ):
        inputs.append(initializer(graph, f"{last.outputs[0].name}.{what}", np.ascontiguousarray(array)))
    made = ir.node(PRODUCT, inputs, domain=KEPT, name=node.name)
    outputs = last.outputs
    ir.convenience.replace_nodes_and_values(graph, last, [last], [made], outputs, made.outputs)
    return True


def _quantizer(node: ir.Node) -> ir.Node | None:
    """The DynamicQuantizeLinear that makes the left side and its zero point, of a tensor of rows."""
    left, zero = node.inputs[0], node.inputs[2] if len(node.inputs) > 2 else None
    found = None if left is None else left.producer()
    if found is None or found.op_type != "DynamicQuantizeLinear" or found.domain != "":
        return None
    shape = None if found.inputs[0] is None else found.inputs[0].shape
    is_whole = left is found.outputs[0] and zero is found.outputs[2]
    return found if is_whole and shape is not None and len(shape) > 1 else None


def _weights(node: ir.Node) -> tuple[Array, Array] | None:
    """The right side in int8 [K, N], and its zero points [N]."""
    weights = _constant(node.inputs[1])
    if weights is None or weights.ndim != 2:
        return None
    zero = node.inputs[3] if len(node.inputs) > 3 else None
    zeros = np.zeros(1, weights.dtype) if zero is None else _constant(zero)
    if zeros is None or zeros.ndim > 1 or zeros.size not in (1, weights.shape[1]):
        return None
    if len(weights) * 128 > np.iinfo(np.int32).max // 255:  # a sum might leave int32
        return None
    shift = 128 if weights.dtype == np.uint8 else 0
    whole = np.broadcast_to(zeros.reshape(-1), weights.shape[1:])
    first, second = ((array.astype(np.int16) - shift).astype(np.int8) for array in (weights, whole))
    return first, second


def _scale(product: ir.Value | None, source: ir.Node, columns: int) -> Array | None:
    """The scale of each column, where a value is the product of the left side's and of constants."""
    node = None if product is None else product.producer()
    if node is None or node.op_type != "Mul" or source.outputs[1] not in node.inputs:
        return None
    scale = _constant(_other(node, source.outputs[1]))
    if scale is None or scale.dtype != np.float32 or scale.ndim > 1 or scale.size not in (1, columns):
        return None
    return np.array(np.broadcast_to(scale.reshape(-1), (columns,)))


def _other(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """The operand of a node of two that is not `value`."""
    first, second = node.inputs
    return second if first is value else first


def _only_reader(value: ir.Value, op: str) -> ir.Node | None:
    """The node that alone reads a value, where it is one of that operator."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    reader = uses[0].node
    maker = value.producer()
    is_same = maker is not None and reader.graph is maker.graph
    return reader if is_same and reader.op_type == op and reader.domain == "" else None


def _constant(value: ir.Value | None) -> Array | None:
    """What an initializer that no caller can feed holds."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    array: Array = value.const_value.numpy()
    return array
