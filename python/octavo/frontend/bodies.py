"""Operators that octavo has none for, written out as the function bodies that ONNX defines them by."""

from collections.abc import Sequence
from typing import Any

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common

from octavo.errors import ModelError
from octavo.frontend.contrib import CALLED
from octavo.frontend.decompositions import DECOMPOSED, decomposition
from octavo.frontend.functions import inline_functions
from octavo.frontend.inference import infer_shapes
from octavo.frontend.pairs import settle_pairs
from octavo.frontend.source import one_line
from octavo.program import OPSET
from octavo.program.ops import signatures

_MAX_DEPTH = 8
"""Bodies within bodies; ONNX's own go three deep."""

_TYPED = ("CastLike", *DECOMPOSED)
"""Their bodies depend on the inputs' dtypes themselves."""


def expand_operators(model: ir.Model) -> None:
    """Replaces nodes by the bodies of their operators, in place, where octavo has no such operator.

    An operator newer than the opset of a Program counts as one that octavo does not have. One without a body
    stays as it is. As any operator on float16, a body computes in float32 and its outputs are rounded once.

    Raises:
        ModelError: a node that its operator's body does not fit; bodies that write out to too many nodes.
    """
    version = model.graph.opset_imports[""]
    for _ in range(_MAX_DEPTH):
        nodes = [
            node for node in model.graph.all_nodes() if _is_lacking(node) and _body_version(node, version)
        ]
        for node in nodes:
            _write_defaults(node, version)
        if nodes:
            infer_shapes(model)
        bodies = {node: body for node in nodes if (body := _body(node, version)).node}
        ours = [node for node in model.graph.all_nodes() if node.op_type in (*DECOMPOSED, "Round")]
        if not bodies and ours and version == OPSET:
            infer_shapes(model)
            settle_pairs(model)
            ours = [node for node in model.graph.all_nodes() if node.op_type in DECOMPOSED]
            bodies = {node: _parsed(own) for node in ours if (own := decomposition(node))}
        if not bodies:  # there is none for inputs of unknown types
            return
        _write_out(model, bodies)
    raise ModelError(f"the operators' bodies in ONNX are nested over {_MAX_DEPTH} deep")


def _is_lacking(node: ir.Node) -> bool:
    """Whether octavo has no operator for a node that could be written out: one without graphs of its own."""
    if node.domain != "" or any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values()):
        return False
    if node.op_type == "DynamicQuantizeLinear" and _feeds_calls(node):
        return False
    return node.op_type not in signatures() or not onnx.defs.has(node.op_type, OPSET, "")


def _feeds_calls(node: ir.Node) -> bool:
    """Whether functions that are yet to be written out read what the node makes: they may be one with it."""
    return any(use.node.domain == CALLED for output in node.outputs for use in output.uses())


def _schema(node: ir.Node, version: int) -> Any:  # noqa: ANN401  # the stub lacks bodies
    return onnx.defs.get_schema(node.op_type, version, "")


def _body_version(node: ir.Node, version: int) -> int | None:
    """The opset of the newest body that holds in opset `version`."""
    schema = _schema(node, version)
    known = (*schema.function_opset_versions, *schema.context_dependent_function_opset_versions)
    return max((v for v in known if v <= version), default=None)


def _body(node: ir.Node, version: int) -> onnx.FunctionProto:
    """The body, for some operators made from the node's attributes and the types of its inputs."""
    schema = _schema(node, version)
    known = _body_version(node, version)
    if known in schema.function_opset_versions:
        return _parsed(schema.get_function_with_opset_version(known))
    types = [onnx.TypeProto() if value is None else ir.to_proto(value).type for value in node.inputs]
    for kind in types:
        if kind.tensor_type.elem_type == ir.DataType.FLOAT16 and node.op_type not in _TYPED:
            kind.tensor_type.elem_type = ir.DataType.FLOAT
    try:
        body = schema.get_context_dependent_function_with_opset_version(
            known, ir.to_proto(node).SerializeToString(), [kind.SerializeToString() for kind in types]
        )
    except Exception as error:
        where = f"node '{node.name}' ({node.op_type})"
        raise ModelError(f"{where} breaks the rules of its operator: {one_line(error)}") from error
    return _parsed(body)


def _parsed(body: bytes) -> onnx.FunctionProto:
    proto = onnx.FunctionProto()
    proto.ParseFromString(body)
    return proto


def _write_defaults(node: ir.Node, version: int) -> None:
    """A body refers to its node's attributes, and takes those that are left out as not there."""
    for name, attribute in _schema(node, version).attributes.items():
        if name not in node.attributes and attribute.default_value.type:
            node.attributes[name] = ir.serde.deserialize_attribute(attribute.default_value)


def _write_out(model: ir.Model, bodies: dict[ir.Node, onnx.FunctionProto]) -> None:
    """Each node calls a function of its own, and functions are written out where they are called."""
    version = model.graph.opset_imports[""]
    for number, (node, proto) in enumerate(bodies.items()):
        kept = [index for index, output in enumerate(node.outputs) if output.name]
        outputs = [proto.output[index] for index in kept]  # the body need not make the others
        del proto.output[:]
        proto.output.extend(outputs)
        function = ir.serde.deserialize_function(proto)
        function.overload = str(number)
        function.opset_imports[""] = version  # a body that holds up to another opset says so
        model.functions[function.identifier()] = function
        widened = node.op_type not in _TYPED
        before, inputs = _widened(node.inputs) if widened else ([], node.inputs)
        call = ir.Node(
            node.domain,
            node.op_type,
            inputs,
            list(node.attributes.values()),
            overload=function.overload,
            num_outputs=len(kept),
            name=node.name,
        )
        values = [node.outputs[index] for index in kept]
        for value in values:
            if node.op_type in DECOMPOSED and not value.is_graph_output():
                value.type = None  # it may be another than the operator's: inferred again
        after, made = [], list(call.outputs)
        for index, value in enumerate(values if widened else ()):
            if value.dtype == ir.DataType.FLOAT16:
                after.append(ir.node("Cast", [made[index]], {"to": value.dtype}))
                made[index] = after[-1].outputs[0]
        graph = node.graph
        assert graph is not None
        ir.convenience.replace_nodes_and_values(graph, node, [node], [*before, call, *after], values, made)
    inline_functions(model, "")
    common.LiftConstantsToInitializersPass(size_limit=0)(model)


def _widened(values: Sequence[ir.Value | None]) -> tuple[list[ir.Node], list[ir.Value | None]]:
    """Casts of the values that are float16 to float32, and the values with what the casts make."""
    casts, result = [], list(values)
    for index, value in enumerate(values):
        if value is not None and value.dtype == ir.DataType.FLOAT16:
            casts.append(ir.node("Cast", [value], {"to": ir.DataType.FLOAT}))
            result[index] = casts[-1].outputs[0]
    return casts, result
