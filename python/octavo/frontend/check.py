"""Checks a graph before anything is made of it."""

import os
from collections.abc import Iterator

import onnx
import onnx_ir as ir

from octavo.errors import ModelError
from octavo.frontend import texts
from octavo.frontend.skeleton import skeleton
from octavo.frontend.source import one_line

OLDEST_OPSET = 7
"""Broadcasting was another thing before this opset."""


def check(model: ir.Model, newest_opset: int) -> None:
    """Raises where the model uses an operator or opset that octavo does not know, or what it does not hold.

    Raises:
        ModelError: naming the node, tensor or file, and what can be done.
    """
    texts.check_graph(model)
    version = model.graph.opset_imports.get("", model.graph.opset_imports.get("ai.onnx"))
    for node in model.graph.all_nodes():
        _check_domain(node)
    if version is None:
        raise ModelError("the model imports no ONNX opset (domain ''): export it again")
    if version > newest_opset:
        raise ModelError(
            f"the model is in ONNX opset {version}, newer than {newest_opset}, the newest that octavo reads: "
            f"export it with opset {newest_opset}"
        )
    if version < OLDEST_OPSET:
        raise ModelError(
            f"the model is in ONNX opset {version}, older than {OLDEST_OPSET}, the oldest that octavo reads: "
            f"export it again with opset {newest_opset}"
        )
    _check_order(model.graph, set())
    for node in model.graph.all_nodes():
        _check_operator(node, version)
    for name, tensor in _tensors(model):
        _check_tensor(name, tensor)


def check_rules(model: ir.Model) -> None:
    """Raises where ONNX's own checker objects to the model, its large weights left out."""
    proto = skeleton(model)
    for value in (*proto.graph.input, *proto.graph.output):
        # the checker wants a shape even where its rank is unknown; files in use lack it
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # ValidationError, or what the binding makes of a damaged proto
        raise ModelError(f"the model breaks ONNX's rules: {one_line(error)}") from error


def _check_order(graph: ir.Graph, outer: set[ir.Value]) -> None:
    """Raises where a node reads what no node before it makes."""
    made = outer | set(graph.inputs) | set(graph.initializers.values())
    for node in graph:
        for value in node.inputs:
            if value is not None and value not in made:
                where = f"node '{node.name or ''}' ({node.op_type})"
                raise ModelError(f"{where} reads '{value.name}', which nothing before it makes")
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
                _check_order(attribute.as_graph(), made)
        made.update(node.outputs)
    for value in graph.outputs:
        if value not in made:
            raise ModelError(f"output '{value.name}' of graph '{graph.name or ''}' is made by no node")


def _where(node: ir.Node) -> str:
    return f"node '{node.name or ''}' (output '{node.outputs[0].name if node.outputs else ''}')"


def _check_domain(node: ir.Node) -> None:
    if node.domain != "":
        raise ModelError(
            f"{_where(node)} is operator '{node.op_type}' of domain '{node.domain}', which octavo does not "
            "know: export the model with standard ONNX operators, without a runtime's own optimizations"
        )


def _check_operator(node: ir.Node, version: int) -> None:
    try:
        dropped = onnx.defs.get_schema(node.op_type, version, "").deprecated
    except onnx.defs.SchemaError:
        dropped = True
    if dropped:
        raise ModelError(
            f"{_where(node)} is operator '{node.op_type}', which ONNX opset {version} does not have: "
            "export the model with another opset"
        )


def _tensors(model: ir.Model) -> Iterator[tuple[str, ir.TensorProtocol]]:
    """Every tensor that the model stores, with the name to call it by."""
    for graph in model.graphs():
        for name, value in graph.initializers.items():
            if value.const_value is None:
                raise ModelError(f"initializer '{name}' has no value")
            yield f"initializer '{name}'", value.const_value
    for node in model.graph.all_nodes():
        for attribute in node.attributes.values():
            where = f"attribute '{attribute.name}' of node '{node.name}' ({node.op_type})"
            if attribute.is_ref():
                raise ModelError(f"{where} refers to a function's attribute outside of a function")
            if attribute.type == ir.AttributeType.TENSOR:
                yield where, attribute.as_tensor()
            elif attribute.type == ir.AttributeType.TENSORS:
                for tensor in attribute.as_tensors():
                    yield where, tensor


def _check_tensor(name: str, tensor: ir.TensorProtocol) -> None:
    """Raises where a tensor does not hold what it declares, or lies outside the model's folder.

    Taking the array is the check: onnx-ir compares sizes and guards the path, and maps external data unread.
    """
    where = name
    if isinstance(tensor, ir.ExternalTensor):
        where = f"{name}, external data '{tensor.location}',"
        if not tensor.base_dir:
            raise ModelError(f"{where} has no known folder: load the model by its path")
        if os.path.exists(tensor.path) and not os.path.isfile(tensor.path):
            raise ModelError(f"{where} is not a regular file")
        if (tensor.offset or 0) < 0 or tensor.length not in (None, tensor.nbytes):
            raise ModelError(
                f"{where} has {tensor.length} bytes from {tensor.offset}, but declares {tensor.nbytes}"
            )
    try:
        tensor.numpy()
    except Exception as error:  # whatever numpy or the operating system makes of it
        hint = ": put the file beside the model" if isinstance(error, FileNotFoundError) else ""
        raise ModelError(f"{where} cannot be read: {one_line(error)}{hint}") from error
    if isinstance(tensor, ir.ExternalTensor):
        tensor.release()
