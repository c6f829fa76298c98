"""From the onnx-ir graph to a float Program: the same nodes, with every default of ONNX written out.

Values keep the graph's names, so what is observed in the float Program is what the integer lowering asks
about.
"""

from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from octavo.errors import ArtifactError, ModelError
from octavo.frontend import EXPORT_FOR_INFERENCE, KEPT, PRODUCT, WEIGHTS, called, claimed_shape, listed
from octavo.lowering.dynamic_nodes import DynamicProducts
from octavo.lowering.padding import resolve_auto_pad
from octavo.lowering.widening import widened
from octavo.program import DTYPES, OPSET, PACKED, Attribute, Body, Node, Program, Value
from octavo.program.bodies import BODIES, COUNTED, given_by, own_inputs, with_bodies
from octavo.program.integers import pack
from octavo.program.ops import signatures
from octavo.program.validate import validate

_DTYPES = {
    ir.DataType.UINT8: "u8",
    ir.DataType.INT8: "i8",
    ir.DataType.INT16: "i16",
    ir.DataType.INT32: "i32",
    ir.DataType.INT64: "i64",
    ir.DataType.BOOL: "bool",
    ir.DataType.FLOAT16: "f16",
    ir.DataType.FLOAT: "f32",
    ir.DataType.DOUBLE: "f64",
    ir.DataType.UINT4: "u4",
    ir.DataType.UINT2: "u2",
}

_OTHERS = ("Constant", "QuantizeLinear", "DequantizeLinear")
"""Nodes that a Program has in another form."""

_Axis = int | str | ir.SymbolicDim | None

# Attributes that inference with octavo's ops has no use for, whatever they say.
_REDUNDANT = {
    "BatchNormalization": ("momentum",),
    "Cast": ("saturate", "round_mode"),  # of the types of 8 bits and less
}


def float_program(model: ir.Model) -> Program:
    """The float Program of a model at opset `OPSET`.

    Every attribute that ONNX gives a default is explicit; `auto_pad` is turned into pads where these do not
    depend on free sizes. Sub-graphs become sub-programs. Raises `ModelError` for another domain's op, or a
    type that a Program cannot hold.
    """
    _refuse_missing(model)
    graph = model.graph
    free = {axis.value for value in graph.inputs for axis in value.shape or () if not isinstance(axis, int)}
    writing = _Writing(free)
    writing.add_initializers(graph)
    for value in graph.inputs:
        if value.name not in writing.constants:
            writing.add_value(value, value.shape)
    claims = {value.name: claimed_shape(graph, value.name or "") for value in graph.outputs}
    nodes = writing.nodes(graph, claims)
    program = Program(
        inputs=[_name(value) for value in graph.inputs if value.name not in writing.constants],
        outputs=[_name(value) for value in graph.outputs],
        values=writing.values,
        constants=writing.constants,
        nodes=nodes,
    )
    program = widened(program)
    try:
        validate(program)
    except ArtifactError as error:
        raise ModelError(f"the model asks for what octavo does not have: {error}") from error
    return program


class _Writing:
    """The values and constants of a Program that is being made, and nodes of one graph after the other.

    free: the names of the inputs' axes.
    """

    def __init__(self, free: Set[str | None]) -> None:
        self.values: dict[str, Value] = {}
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self._free = free
        self._dynamic = DynamicProducts(self.values, self.constants)
        self._taken: set[str] = set()

    def add_value(self, value: ir.Value, stated: Iterable[_Axis] | None) -> None:
        """Describe a value, of that shape."""
        self.values[_name(value)] = _value(value, stated, self._free)

    def add_initializers(self, graph: ir.Graph) -> None:
        """Add the constants of a graph."""
        for initializer in graph.initializers.values():
            _add_constant(initializer.name, initializer.const_value, self.values, self.constants)

    def nodes(
        self, graph: ir.Graph, claims: Mapping[str | None, tuple[int | str | None, ...] | None]
    ) -> list[Node]:
        """The nodes of a graph. claims: shapes of values, where none is known."""
        nodes: list[Node] = []
        for node in graph:
            if node.op_type == "Constant" and node.domain == "":
                tensor = ir.convenience.get_const_tensor(node.outputs[0])
                _add_constant(node.outputs[0].name, tensor, self.values, self.constants)
                continue
            for output in node.outputs:
                if output.name:
                    shape: Iterable[_Axis] | None = output.shape
                    self.add_value(output, claims.get(output.name) if shape is None else shape)
            name = _node_name(node, self._taken)
            if node.domain == KEPT:
                nodes += _kept_nodes(node, name, self._dynamic)
            elif node.op_type in BODIES:
                nodes.append(self._with_bodies(node, name))
            else:
                nodes.append(_node(node, name, self.values, self.constants))
        return nodes

    def _with_bodies(self, node: ir.Node, name: str) -> Node:
        """A node that runs sub-graphs; what these read from outside is among its inputs."""
        bodies = {key: self._body(node.attributes[key].as_graph()) for key in BODIES[node.op_type]}
        given = list(node.inputs)
        if node.op_type == "Loop":
            given += [None] * (COUNTED - len(given))
        inputs = tuple("" if value is None else _name(value) for value in given)
        outputs = tuple(value.name or "" for value in node.outputs)
        outputs += ("",) * (given_by(node.op_type, bodies) - len(outputs))
        made = Node(node.op_type, name, inputs, outputs, bodies=bodies)
        own = own_inputs(made)
        if len(inputs) != own:
            raise ModelError(
                f"node {name!r} ({node.op_type}) has {len(inputs)} inputs, and its body takes {own}"
            )
        return with_bodies(made, bodies, self.constants)

    def _body(self, graph: ir.Graph) -> Body:
        outer, self._dynamic = self._dynamic, self._dynamic.inside()
        self.add_initializers(graph)
        for value in graph.inputs:
            self.add_value(value, value.shape)
        nodes = tuple(self.nodes(graph, {}))
        self._dynamic = outer
        return Body(tuple(map(_name, graph.inputs)), tuple(map(_name, graph.outputs)), nodes)


def _refuse_missing(model: ir.Model) -> None:
    """Raises where octavo has no operator for nodes, and names them all; a Dropout that is left does drop."""
    missing = [
        node
        for node in model.graph.all_nodes()
        if (node.domain not in ("", KEPT) or node.op_type not in (*signatures(), PRODUCT, WEIGHTS))
        and node.op_type not in _OTHERS
    ]
    dropouts = [node for node in missing if node.op_type == "Dropout" and node.domain == ""]
    others = [node for node in missing if node not in dropouts]
    refusals = [f"octavo has no operator {listed(others)}"] if others else []
    if dropouts:
        refusals.append(_of_training(dropouts))
    if refusals:
        raise ModelError("; ".join(refusals))


def _of_training(dropouts: list[ir.Node]) -> str:
    first, more = dropouts[0], len(dropouts) - 1
    mode = first.inputs[2] if len(first.inputs) > 2 else None
    fed = "" if mode is None or mode.const_value is not None else f" where {mode.name!r} is true"
    who = f"{called(first)} (Dropout)" + (f" and {more} more drop" if more else " drops")
    return f"{who} at random{fed}: {EXPORT_FOR_INFERENCE}"


def _name(value: ir.Value) -> str:
    if not value.name:
        raise ModelError("a value of the graph has no name; save the model again with names for all values")
    return value.name


def _node_name(node: ir.Node, taken: set[str]) -> str:
    """The node's own name, or its op's; numbered where another node has it already."""
    base = node.name or node.op_type
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name


def _value(value: ir.Value, stated: Iterable[_Axis] | None, free: Set[str | None]) -> Value:
    """The Program's value of that shape; `free` are the names of the inputs' axes."""
    name = _name(value)
    if value.type is not None and not isinstance(value.type, ir.TensorType):
        raise ModelError(f"the value {name!r} is a sequence or optional, which octavo cannot hold")
    if value.dtype is None:
        raise ModelError(
            f"the type of the value {name!r} is not known; run shape inference on the model first"
        )
    if value.dtype not in _DTYPES:
        raise ModelError(f"the value {name!r} is {value.dtype.name.lower()}, which octavo cannot hold")
    shape: tuple[int | str, ...] | None = None
    if stated is not None:
        shape = tuple(_dimension(f"{name}.{axis}", d, free) for axis, d in enumerate(stated))
    return Value(name, _DTYPES[value.dtype], shape)


def _dimension(symbol: str, axis: _Axis, free: Set[str | None]) -> int | str:
    """The axis as it is known; a size that the model does not even name is `symbol`, or like it."""
    known = axis.value if isinstance(axis, ir.SymbolicDim) else axis
    if known is not None and known != "":
        return known
    while symbol in free:
        symbol += "_"
    return symbol


def _add_constant(
    name: str | None,
    tensor: ir.TensorProtocol | None,
    values: dict[str, Value],
    constants: dict[str, npt.NDArray[Any]],
) -> None:
    if not name or tensor is None:
        raise ModelError(f"the constant {name!r} has no value that can be read")
    if tensor.dtype not in _DTYPES:
        raise ModelError(f"the constant {name!r} is {tensor.dtype.name.lower()}, which octavo cannot hold")
    dtype = _DTYPES[tensor.dtype]
    array = np.ascontiguousarray(tensor.numpy(), dtype=DTYPES.get(dtype, np.uint8))
    array = array.reshape(tuple(tensor.shape.numpy()))
    values[name] = Value(name, dtype, array.shape)
    constants[name] = pack(array, dtype) if dtype in PACKED else array


def _node(node: ir.Node, name: str, values: dict[str, Value], constants: dict[str, npt.NDArray[Any]]) -> Node:
    inputs = tuple("" if value is None else _name(value) for value in node.inputs)
    if node.op_type == "Resize":  # up to opset 12, an empty tensor stands for an input that is left out
        inputs = tuple("" if name in constants and not constants[name].size else name for name in inputs)
    outputs = tuple(value.name or "" for value in node.outputs)
    while inputs and not inputs[-1]:
        inputs = inputs[:-1]
    while outputs and not outputs[-1]:
        outputs = outputs[:-1]
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return _conversion(node, name, inputs, outputs, constants)
    defaults = _defaults(node.op_type, name)
    given = {item.name: item for item in node.attributes.values()}
    if node.op_type == "ConstantOfShape":
        inputs += (_fill_value(outputs[0], given.pop("value", None), values, constants),)
    attributes = defaults | {key: _attribute(name, node.op_type, item) for key, item in given.items()}
    _rank_defaults(node.op_type, inputs, attributes, values)
    if node.op_type == "Cast" and (values[inputs[0]].dtype, values[outputs[0]].dtype) == ("u8", "f32"):
        # Pixels as they are: the kernel is there already, where Cast itself is for sizes known before a run.
        return Node("Dequantize", name, inputs, outputs, {"scale": np.float32(1), "zero_point": 0})
    return Node(node.op_type, name, inputs, outputs, _known(node.op_type, name, attributes, defaults))


def _conversion(
    node: ir.Node,
    name: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    constants: dict[str, npt.NDArray[Any]],
) -> Node:
    """A Quantize or Dequantize by numbers; where there is no zero point, one of weights by their scales."""
    op = node.op_type.removesuffix("Linear")
    if len(inputs) == 2:
        axis: dict[str, Attribute] = {}
        if "axis" in node.attributes:
            axis["axis"] = node.attributes.get_int("axis", 1)
        return Node(op, name, inputs, outputs, axis)
    scale, zero_point = (constants[given].reshape(-1)[0] for given in inputs[1:])
    numbers: dict[str, Attribute] = {"scale": np.float32(scale), "zero_point": int(zero_point)}
    return Node(op, name, inputs[:1], outputs, numbers)


def _kept_nodes(node: ir.Node, name: str, dynamic: DynamicProducts) -> list[Node]:
    """The nodes of a call of a function of `octavo.frontend.kept`."""
    inputs = tuple(_name(value) for value in node.inputs if value is not None)
    output = _name(node.outputs[0])
    if node.op_type == PRODUCT:
        return dynamic.nodes(name, inputs, output)
    blocks: dict[str, Attribute] = {"axis": 0, "block": node.attributes.get_int("block", 1)}
    return [Node("Dequantize", name, inputs, (output,), blocks)]


def _known(
    op: str, name: str, attributes: dict[str, Attribute], defaults: dict[str, Attribute]
) -> dict[str, Attribute]:
    """The attributes that a Program's op has, by name; another one must be redundant or at its default."""
    known = {key for form in signatures()[op] for key in form.attributes}
    for key, value in attributes.items():
        if key not in known and key not in _REDUNDANT.get(op, ()) and value != defaults.get(key):
            raise ModelError(f"node {name!r}: octavo's {op} does not have {key} = {value}")
    return {key: attributes[key] for key in sorted(attributes) if key in known}


def _fill_value(
    output: str, value: ir.Attr | None, values: dict[str, Value], constants: dict[str, npt.NDArray[Any]]
) -> str:
    """ConstantOfShape's value as a constant that the node reads; float32 0 where it is left out."""
    tensor = ir.tensor(np.zeros(1, np.float32)) if value is None else value.as_tensor()
    name = f"{output}.value"
    _add_constant(name, tensor, values, constants)
    return name


def _attribute(node: str, op: str, attribute: ir.Attr) -> Attribute:
    match attribute.type:
        case ir.AttributeType.INT:
            return attribute.as_int()
        case ir.AttributeType.FLOAT:
            return np.float32(attribute.as_float())
        case ir.AttributeType.STRING:
            return attribute.as_string()
        case ir.AttributeType.INTS:
            return list(attribute.as_ints())
        case ir.AttributeType.FLOATS:
            return [np.float32(item) for item in attribute.as_floats()]
        case ir.AttributeType.GRAPH:
            raise ModelError(f"node {node!r}: {op} has a sub-graph, which octavo cannot run")
        case other:
            raise ModelError(
                f"node {node!r}: attribute {attribute.name!r} of {op} is of the kind {other.name}"
            )


def _defaults(op: str, name: str) -> dict[str, Attribute]:
    """The attributes that ONNX's own schema gives a default."""
    schema = onnx.defs.get_schema(op, OPSET, "")
    return {
        key: _attribute(name, op, ir.serde.deserialize_attribute(attribute.default_value))
        for key, attribute in schema.attributes.items()
        if attribute.default_value.type
    }


def _rank_defaults(
    op: str, inputs: tuple[str, ...], attributes: dict[str, Attribute], values: dict[str, Value]
) -> None:
    """The defaults that depend on the rank: windows of convolutions and pools, Transpose's order."""
    if op == "Transpose" and "perm" not in attributes:
        shape = values[inputs[0]].shape
        if shape is None:
            raise ModelError(f"Transpose of {inputs[0]!r}: without perm, the rank must be known")
        attributes["perm"] = list(range(len(shape)))[::-1]
    elif op == "Conv":
        weight = values[inputs[1]].shape
        if weight is None or not all(isinstance(size, int) for size in weight[2:]):
            raise ModelError(f"Conv by {inputs[1]!r}: the size of its kernel must be known")
        _window_defaults([int(size) for size in weight[2:]], inputs[0], attributes, values)
    elif op == "Resize" and attributes["mode"] == "nearest":
        for name in ("antialias", "cubic_coeff_a", "exclude_outside"):  # of interpolation alone
            attributes.pop(name, None)
    elif op == "ConvTranspose":
        _transposed_defaults(inputs[1], attributes, values)
    elif op == "MaxUnpool":
        axes = len(attributes["kernel_shape"])  # type: ignore[arg-type]  # by ONNX's schema
        attributes.setdefault("strides", [1] * axes)
        attributes.setdefault("pads", [0] * (2 * axes))
    elif op in ("MaxPool", "AveragePool", "LpPool"):
        kernel: list[int] = attributes["kernel_shape"]  # type: ignore[assignment]  # by ONNX's schema
        _window_defaults(kernel, inputs[0], attributes, values)
        if attributes.get("storage_order") == 0:  # of the indices, which are seldom wanted
            del attributes["storage_order"]


def _transposed_defaults(weight: str, attributes: dict[str, Attribute], values: dict[str, Value]) -> None:
    """A ConvTranspose's window; pads that the shape of the output decides are left to auto_pad."""
    shape = values[weight].shape
    if shape is None:
        raise ModelError(f"ConvTranspose by {weight!r}: the number of its axes must be known")
    axes = len(shape) - 2
    for name, default in (("strides", 1), ("dilations", 1), ("output_padding", 0)):
        attributes.setdefault(name, [default] * axes)
    mode = attributes.pop("auto_pad", "NOTSET")
    if "output_shape" in attributes:
        # As ONNX has it, an odd sum of pads goes to the end for SAME_UPPER alone.
        attributes["auto_pad"] = "SAME_UPPER" if mode == "SAME_UPPER" else "SAME_LOWER"
        attributes.pop("pads", None)
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        attributes["auto_pad"] = mode
        attributes.pop("pads", None)
    elif mode == "VALID":
        attributes["pads"] = [0] * (2 * axes)
    else:
        attributes.setdefault("pads", [0] * (2 * axes))


def _window_defaults(
    kernel: list[int], source: str, attributes: dict[str, Attribute], values: dict[str, Value]
) -> None:
    attributes.setdefault("strides", [1] * len(kernel))
    attributes.setdefault("dilations", [1] * len(kernel))
    resolve_auto_pad(attributes, kernel, values[source].shape)
