"""Shapes and dtypes of every value, inferred anew: what a file claims of its inner values is not trusted."""

import onnx
import onnx_ir as ir

from octavo.errors import ModelError
from octavo.frontend.skeleton import skeleton
from octavo.frontend.source import one_line

_MAX_VECTOR = 1024


def infer_shapes(model: ir.Model) -> None:
    """Writes shapes and dtypes into the values of the model's graphs, in place.

    Axes of the model's inputs that have neither a number nor a name get a name, so that inference can follow
    them.

    Raises:
        ModelError: a node whose inputs do not fit together.
    """
    _name_free_axes(model.graph)
    declared = {value: value.shape for value in model.graph.outputs}
    for graph in model.graphs():
        for node in graph:
            for value in node.outputs:
                value.shape = None
    proto = skeleton(model)
    inferred = _infer(proto, follow_values=False)
    if any(node.op_type == "Shape" for node in model.graph.all_nodes()) and _vectors_are_short(inferred):
        inferred = _infer(proto, follow_values=True)
    for graph, found in zip(model.graphs(), ir.from_proto(inferred).graphs(), strict=True):
        values = ir.convenience.create_value_mapping(found)
        for name, value in ir.convenience.create_value_mapping(graph).items():
            if name in values and value.const_value is None and not value.is_graph_input():
                value.shape = values[name].shape
                value.type = values[name].type or value.type
    for value, shape in declared.items():
        if value.shape is None:
            value.shape = shape


def _infer(proto: onnx.ModelProto, *, follow_values: bool) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(
            proto, check_type=True, strict_mode=True, data_prop=follow_values
        )
    except Exception as error:  # InferenceError, or what the binding makes of a strange graph
        raise ModelError(f"the model's shapes do not fit together: {one_line(error)}") from error


def _vectors_are_short(proto: onnx.ModelProto) -> bool:
    """Whether every vector has a known, small length.

    Inference that follows the values of shapes writes vectors out: a ConstantOfShape and an Add, or a row of
    Concats that each double one, would take all memory.
    """
    graph = ir.from_proto(proto).graph
    made = [output for node in graph.all_nodes() for output in node.outputs]
    for shape in (value.shape for value in (*graph.inputs, *made)):
        if shape is None or (len(shape) == 1 and not (isinstance(shape[0], int) and shape[0] <= _MAX_VECTOR)):
            return False
    return True


def _name_free_axes(graph: ir.Graph) -> None:
    taken = {
        axis.value for value in graph.inputs for axis in value.shape or () if isinstance(axis, ir.SymbolicDim)
    }
    for value in graph.inputs:
        if value.shape is None:
            continue
        axes: list[int | str] = []
        for index, axis in enumerate(value.shape):
            known = axis if isinstance(axis, int) else axis.value
            if known is None or (isinstance(known, int) and known < 0):
                known = f"{value.name}_{index}"
                while known in taken:
                    known += "_"
                taken.add(known)
            axes.append(known)
        value.shape = ir.Shape(axes)
