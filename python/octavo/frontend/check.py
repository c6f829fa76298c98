"""Checks a graph before anything is made of it."""

import os
import re
from collections.abc import Callable, Iterable, Iterator

import onnx
import onnx_ir as ir

from octavo.errors import ModelError
from octavo.frontend import texts
from octavo.frontend.skeleton import skeleton
from octavo.frontend.source import one_line

OLDEST_OPSET = 7
"""Broadcasting was another thing before this opset."""

EXPORT_FOR_INFERENCE = (
    "octavo runs inference alone, and the model was exported in training mode: call model.eval(), or export "
    "with training=TrainingMode.EVAL"
)

_MOST_LISTED = 6
_LONGEST_NAME = 48


def check(model: ir.Model, newest_opset: int, is_contributed: Callable[[ir.Node, int], bool]) -> None:
    """Raises where the model uses an operator or opset that octavo does not know, or what it does not hold.

    is_contributed: whether a node is of an operator that is no standard one of an opset, and is known.

    Raises:
        ModelError: naming the node, tensor or file, and what can be done.
    """
    texts.check_graph(model)
    version = model.graph.opset_imports.get("", model.graph.opset_imports.get("ai.onnx"))
    nodes = list(model.graph.all_nodes())
    own = {node for node in nodes if is_contributed(node, version or 0)}
    if foreign := [node for node in nodes if node.domain != "" and node not in own]:
        raise ModelError(
            f"octavo does not know the operators {listed(foreign)}: export the model with standard ONNX "
            "operators, without a runtime's own optimizations"
        )
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
    if absent := [node for node in nodes if node not in own and not _is_defined(node, version)]:
        raise ModelError(
            f"ONNX opset {version} does not have the operators {listed(absent)}: export the model with "
            "another opset"
        )
    for node in nodes:
        _check_statistics(node, version)
    for name, tensor in _tensors(model):
        _check_tensor(name, tensor)
    for node in nodes:
        _check_equation(node)


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


def listed(nodes: Iterable[ir.Node]) -> str:
    """The operators of these nodes, each once, with its number of nodes and the first one; a bounded text."""
    found: dict[str, list[ir.Node]] = {}
    for node in nodes:
        name = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        found.setdefault(name, []).append(node)
    texts = []
    for name, same in list(found.items())[:_MOST_LISTED]:
        count = f"{len(same)} nodes, the first " if len(same) > 1 else ""
        texts.append(f"{_short(name)} ({count}{called(same[0])})")
    rest = [f"{len(found) - _MOST_LISTED} more"] if len(found) > _MOST_LISTED else []
    return ", ".join(texts + rest)


def called(node: ir.Node) -> str:
    """What messages call a node: its name, or its output where it has none."""
    if node.name or not node.outputs:
        return f"node {_short(node.name or '')!r}"
    return f"the node of {_short(node.outputs[0].name or '')!r}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _is_defined(node: ir.Node, version: int) -> bool:
    try:
        return not onnx.defs.get_schema(node.op_type, version, "").deprecated
    except onnx.defs.SchemaError:
        return False


def _check_statistics(node: ir.Node, version: int) -> None:
    """Raises for a BatchNormalization of the batch's own statistics: up to opset 13, one that gives them."""
    if node.op_type != "BatchNormalization":
        return
    gives_them = any(value.name for value in node.outputs[1:])
    if node.attributes.get_int("training_mode", 0) if version >= 14 else gives_them:
        raise ModelError(
            f"{called(node)} (BatchNormalization) takes the statistics of the batch: {EXPORT_FOR_INFERENCE}; "
            "a layer with track_running_stats=False is exported so in any mode: give it statistics of its own"
        )


_TERM = r"[A-Za-z]*(\.\.\.[A-Za-z]*)?"
_EQUATION = re.compile(rf"{_TERM}(,{_TERM})*(->{_TERM})?")


def _check_equation(node: ir.Node) -> None:
    """Raises for an Einsum whose equation is none: ONNX's inference of shapes never ends on some of them."""
    given = node.attributes.get("equation")
    if node.op_type != "Einsum" or given is None or given.type != ir.AttributeType.STRING:
        return
    equation = given.as_string().replace(" ", "")
    if not _EQUATION.fullmatch(equation):
        raise ModelError(
            f"{called(node)} (Einsum) has the equation {equation!r}: a term has letters and one '...' at most"
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
    """Raises where a tensor does not hold what it declares.

    Taking the array is the check: onnx-ir compares sizes, and maps external data unread.
    """
    where = name
    if isinstance(tensor, ir.ExternalTensor):
        where = f"{name}, external data '{tensor.location}',"
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
