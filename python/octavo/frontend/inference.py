"""Shapes and dtypes of every value, inferred anew: what a file claims of what nodes make is not trusted.

Axes of the inputs that have one name are of one size, as ONNX has it, and feeds are held to it; a name that
says no more than "free" is none.
"""

import re

import onnx
import onnx_ir as ir

from octavo.errors import ModelError
from octavo.frontend.scopes import Carried
from octavo.frontend.skeleton import skeleton
from octavo.frontend.source import one_line

_MAX_VECTOR = 1024
_MOST_ROUNDS = 8
"""How often the shapes of what Loops carry are inferred, each time from what the time before left over."""
_CLAIMED = "octavo.frontend.claimed"
_FREE = re.compile(
    r"\d*|(any|arbitrary|dyn|dynamic|free|na|nan|none|null|undef|undefined|unk|unknown|unspecified|var|variable)?"
    r"(axis|axes|dim|dims|dimension|shape|size)?"
)
"""What exporters call each free axis ('?', '-1', 'None', ...): in lower case, letters and digits alone."""


def infer_shapes(model: ir.Model) -> None:
    """Writes shapes and dtypes into the values of the model's graphs, in place.

    Axes of inputs that have neither a number nor a name of their own get one that nothing else has, so that
    inference can follow them.

    Raises:
        ModelError: a node whose inputs do not fit together.
    """
    model.graph.meta.setdefault(_CLAIMED, {value.name: value.shape for value in model.graph.outputs})
    carried = Carried(model)
    _infer_once(model, carried)
    for _ in range(_MOST_ROUNDS):
        if not carried.learn():
            return
        _infer_once(model, carried)
    carried.forget()
    _infer_once(model, carried)


def _infer_once(model: ir.Model, carried: Carried) -> None:
    for graph in model.graphs():
        for node in graph:
            for value in node.outputs:
                value.shape = None
    carried.state()
    _name_free_axes(model)
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


def claimed_shape(graph: ir.Graph, output: str) -> tuple[int | str | None, ...] | None:
    """The shape that the file states for an output, to show where inference finds none. None: a free axis."""
    shape = graph.meta.get(_CLAIMED, {}).get(output)
    return None if shape is None else tuple(map(_known, shape))


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


def _known(axis: int | ir.SymbolicDim) -> int | str | None:
    """The axis as a number or a name; None where it has neither."""
    extent = axis if isinstance(axis, int) else axis.value
    if isinstance(extent, int):
        return extent if extent >= 0 else None
    word = re.sub(r"[\W_]+", "", extent or "").lower()
    return None if _FREE.fullmatch(word) else extent


def _name_free_axes(model: ir.Model) -> None:
    inputs = [value for graph in model.graphs() for value in graph.inputs if value.shape is not None]
    shapes = [tuple(map(_known, value.shape or ())) for value in inputs]
    claims = [claimed_shape(model.graph, name) or () for name in model.graph.meta[_CLAIMED]]
    taken = {axis for shape in (*shapes, *claims) for axis in shape}
    for value, shape in zip(inputs, shapes, strict=True):
        axes: list[int | str] = []
        for index, axis in enumerate(shape):
            name = f"{value.name}_{index}" if axis is None else axis
            while axis is None and name in taken:
                name = f"{name}_"
            taken.add(name)
            axes.append(name)
        value.shape = ir.Shape(axes)
