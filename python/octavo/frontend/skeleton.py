"""The proto of a graph without its weights: what ONNX's own functions need of it, and small at any size."""

import onnx
import onnx_ir as ir

LARGE = 1024
"""Bytes from which a tensor counts as a weight; shapes, axes and scales are smaller."""


def skeleton(model: ir.Model) -> onnx.ModelProto:
    """The model as a proto in which large initializers of the main graph are inputs without a value.

    The model's own inputs stand first. The model is left as it was.
    """
    bare = model.clone()
    for name, value in list(bare.graph.initializers.items()):
        tensor = value.const_value
        if tensor is None:
            continue
        if tensor.nbytes <= LARGE:
            if isinstance(tensor, ir.ExternalTensor):
                value.const_value = ir.Tensor(tensor.numpy().copy(), dtype=tensor.dtype, name=name)
            continue
        del bare.graph.initializers[name]
        value.const_value = None
        value.shape, value.dtype = ir.Shape(tensor.shape.numpy()), tensor.dtype
        if not value.is_graph_input():
            bare.graph.inputs.append(value)
    return ir.to_proto(bare)
