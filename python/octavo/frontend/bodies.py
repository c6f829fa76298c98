"""Operators that octavo has none for, written out as the function bodies that ONNX defines them by."""

from typing import Any

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common

from octavo.errors import ModelError
from octavo.frontend.decompositions import DECOMPOSED, decomposition
from octavo.frontend.functions import inline_functions
from octavo.frontend.inference import infer_shapes
from octavo.frontend.source import one_line
from octavo.program import OPSET
from octavo.program.ops import signatures

_MAX_DEPTH = 8
"""Bodies within bodies; ONNX's own go three deep."""


def expand_operators(model: ir.Model) -> None:
    """Replaces nodes by the bodies of their operators, in place, where octavo has no such operator.

    An operator newer than the opset of a Program counts as one that octavo does not have. One without a body
    stays as it is.

    Raises:
        ModelError: a node that its operator's body does not fit; bodies that write out to too many nodes.
    """
    version = model.graph.opset_imports[""]
    for _ in range(_MAX_DEPTH):
        lacking = [node for node in model.graph.all_nodes() if _is_lacking(node)]
        bodies = {node: body for node in lacking if (body := _plain_body(node, version))}
        if not bodies and any(_typed_version(node, version) for node in lacking):
            infer_shapes(model)
            bodies = {node: body for node in lacking if (body := _typed_body(node, version))}
        ours = [node for node in model.graph.all_nodes() if node.op_type in DECOMPOSED]
        if not bodies and ours and version == OPSET:
            infer_shapes(model)
            bodies = {node: body for node in ours if (body := decomposition(node))}
        if not bodies:
            return
        _write_out(model, bodies)
    raise ModelError(f"the operators' bodies in ONNX are nested over {_MAX_DEPTH} deep")


def _is_lacking(node: ir.Node) -> bool:
    """Whether octavo has no operator for a node that could be written out: one without graphs of its own."""
    if node.domain != "" or any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values()):
        return False
    return node.op_type not in signatures() or not onnx.defs.has(node.op_type, OPSET, "")


def _schema(node: ir.Node, version: int) -> Any:  # noqa: ANN401  # the stub lacks bodies
    return onnx.defs.get_schema(node.op_type, version, "")


def _plain_body(node: ir.Node, version: int) -> bytes | None:
    """The body that is the same for all nodes of an operator, as a serialized proto."""
    schema = _schema(node, version)
    known = [v for v in schema.function_opset_versions if v <= version]
    return bytes(schema.get_function_with_opset_version(max(known))) if known else None


def _typed_version(node: ir.Node, version: int) -> int | None:
    """The opset of the body that ONNX makes for a node from its attributes and the types of its inputs."""
    known = _schema(node, version).context_dependent_function_opset_versions
    return max((int(v) for v in known if v <= version), default=None)


def _typed_body(node: ir.Node, version: int) -> bytes | None:
    known = _typed_version(node, version)
    if known is None:
        return None
    _write_defaults(node, version)
    types = [onnx.TypeProto() if value is None else ir.to_proto(value).type for value in node.inputs]
    try:
        body = _schema(node, version).get_context_dependent_function_with_opset_version(
            known, ir.to_proto(node).SerializeToString(), [kind.SerializeToString() for kind in types]
        )
    except Exception as error:
        where = f"node '{node.name}' ({node.op_type})"
        raise ModelError(f"{where} breaks the rules of its operator: {one_line(error)}") from error
    return bytes(body)


def _write_defaults(node: ir.Node, version: int) -> None:
    """A body refers to its node's attributes, and takes those that are left out as not there."""
    for name, attribute in _schema(node, version).attributes.items():
        if name not in node.attributes and attribute.default_value.type:
            node.attributes[name] = ir.serde.deserialize_attribute(attribute.default_value)


def _write_out(model: ir.Model, bodies: dict[ir.Node, bytes]) -> None:
    """Each node calls a function of its own, and functions are written out where they are called."""
    version = model.graph.opset_imports[""]
    for number, (node, body) in enumerate(bodies.items()):
        _write_defaults(node, version)
        kept = [index for index, output in enumerate(node.outputs) if output.name]
        proto = onnx.FunctionProto.FromString(body)
        outputs = [proto.output[index] for index in kept]  # the body need not make the others
        del proto.output[:]
        proto.output.extend(outputs)
        function = ir.from_proto(proto)
        function.overload = str(number)
        function.opset_imports[""] = version  # a body that holds up to another opset says so
        model.functions[function.identifier()] = function
        call = ir.Node(
            node.domain,
            node.op_type,
            node.inputs,
            list(node.attributes.values()),
            overload=function.overload,
            num_outputs=len(kept),
            name=node.name,
        )
        values = [node.outputs[index] for index in kept]
        graph = node.graph
        assert graph is not None
        ir.convenience.replace_nodes_and_values(graph, node, [node], [call], values, call.outputs)
    inline_functions(model)
    common.LiftConstantsToInitializersPass(size_limit=0)(model)
