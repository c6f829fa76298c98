"""Writes model-local functions out where they are called."""

import onnx_ir as ir
import onnx_ir.passes.common as common

from octavo.errors import ModelError

MAX_NODES = 1_000_000
"""More nodes than this are refused: functions that call each other twice grow as 2^depth."""


def inline_functions(model: ir.Model, domain: str | None = None) -> None:
    """Replaces every call of a function of the model by the function's nodes, in place.

    domain: of the functions whose calls are replaced, where the others are to stay.

    Raises:
        ModelError: functions that call themselves, or that write out to more than MAX_NODES nodes.
    """
    sizes: dict[ir.OperatorIdentifier, int] = {}
    total = _written_out(model, list(model.graph.all_nodes()), sizes, ())
    if total > MAX_NODES:
        raise ModelError(
            f"the model has {total} nodes once its functions are written out; {MAX_NODES} at most"
        )
    if not model.functions:
        return
    try:
        common.InlinePass(None if domain is None else lambda function: function.domain == domain)(model)
    except Exception as error:
        cause = error.__cause__ or error
        raise ModelError(f"the model's functions cannot be written out: {cause}") from error
    if domain is None:
        model.functions.clear()


def _written_out(
    model: ir.Model,
    nodes: list[ir.Node],
    sizes: dict[ir.OperatorIdentifier, int],
    callers: tuple[ir.OperatorIdentifier, ...],
) -> int:
    """Nodes that `nodes` become with their calls written out; `sizes` remembers functions already counted."""
    total = 0
    for node in nodes:
        called = node.op_identifier()
        if called not in model.functions:
            total += 1
            continue
        if called in callers:
            raise ModelError(f"function '{node.op_type}' (domain '{node.domain}') calls itself")
        if called not in sizes:
            body = list(model.functions[called].all_nodes())
            sizes[called] = _written_out(model, body, sizes, (*callers, called))
        total += sizes[called]
    return total
