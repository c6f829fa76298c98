"""What a model says of integers, in one form: pairs of QuantizeLinear and DequantizeLinear, and constants.

A pair stands between two float32 values, and holds them in uint8 by one scale and zero point that are known.
Weights are int8 without a zero point before a DequantizeLinear, other constants uint8. Nodes of this form
stay as they are; all others are written out, as `octavo.frontend.linear` has it.
"""

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from octavo.frontend.decomposed import chain_of, hold_chain, steps_of_chain
from octavo.frontend.held import hold_integers, settle_constant
from octavo.frontend.linear import point, quantized_dtype
from octavo.frontend.steps import Steps, constant, initializer, is_kept, kept, steps_of, write_parameters


def settle_pairs(model: ir.Model) -> None:
    """Brings the pairs and constants of a model at opset `octavo.program.OPSET` into their form, in place.

    The dtypes and shapes must have been inferred.

    Raises:
        ModelError: a node whose parameters cannot be.
    """
    for node in list(model.graph.all_nodes()):
        if node.domain == "" and node.op_type in ("Mul", "Div"):
            with np.errstate(all="ignore"):  # of scales at the ends of float32
                _settle_chain(node)
    for node in list(model.graph.all_nodes()):
        if node.domain == "" and node.op_type == "QuantizeLinear" and not is_kept(node):
            _settle_pair(node)
    for node in list(model.graph.all_nodes()):
        if node.domain == "" and node.op_type == "DequantizeLinear" and not is_kept(node):
            _settle_reals(node)


def _settle_chain(node: ir.Node) -> None:
    """Let a pair, or a constant in integers, stand for what is quantized in plain arithmetic."""
    chain = chain_of(node)
    if chain is None or chain.x.dtype != ir.DataType.FLOAT:
        return
    steps, reals = steps_of_chain(chain), constant(chain.x)
    if reals is not None:
        heir = hold_chain(node, chain, reals)
    else:
        heir = None if steps is None else _pair(node, chain.x, steps, node.name)
    if heir is not None:
        _take_over(heir, [node])


def _settle_pair(node: ir.Node) -> None:
    """Let a pair stand for a QuantizeLinear and what undoes it; other readers read integers behind it."""
    steps, x = steps_of(node), node.inputs[0]
    held = constant(x)
    if held is not None:
        hold_integers(node, held)
        return
    if steps is None or x is None:
        return
    undone = [use.node for use in node.outputs[0].uses() if _undoes(use.node, use.idx, node)]
    dequantize = _pair(node, x, steps, undone[0].name if undone else None)
    _take_over(dequantize, undone)
    graph, output = node.graph, node.outputs[0]
    assert graph is not None
    if output.uses() or output.is_graph_output():
        graph.remove(node)
        graph.insert_after(dequantize, node)
        node.replace_input_with(0, dequantize.outputs[0])
        if output.dtype == ir.DataType.UINT8:
            write_parameters(node, steps)
    else:
        graph.remove(node, safe=True)


def _settle_reals(node: ir.Node) -> None:
    """Settle a DequantizeLinear of what no QuantizeLinear of the same steps gives."""
    steps, output = steps_of(node), node.outputs[0]
    x, graph = node.inputs[0], node.graph
    if constant(x) is not None:
        settle_constant(node)
    elif steps is not None and x is not None and graph is not None:
        # The same integers, so that what reads them has a form.
        if x.dtype == ir.DataType.UINT8:
            write_parameters(node, steps)
        name, uses = output.name, list(output.uses())
        output.name = f"{name}.integers"
        pair = _pair(node, output, steps, None, after=node)
        pair.outputs[0].name = name
        for use in uses:
            use.node.replace_input_with(use.idx, pair.outputs[0])
        for place, value in enumerate(graph.outputs):
            if value is output:
                graph.outputs[place] = pair.outputs[0]


def _pair(
    node: ir.Node, x: ir.Value, steps: Steps, called: str | None, after: ir.Node | None = None
) -> ir.Node:
    """A pair of these steps before a node, or behind it; its DequantizeLinear, by the name `called`."""
    graph, name = node.graph, node.outputs[0].name
    assert graph is not None
    made = []
    if steps.high - steps.low < 255:
        made.append(_clip(graph, x, steps, node))
        x = made[-1].outputs[0]
    scale = initializer(graph, f"{name}.scale", np.asarray(steps.scale, np.float32))
    zero = initializer(graph, f"{name}.zero_point", np.asarray(steps.zero_point, np.uint8))
    quantize = kept("QuantizeLinear", [x, scale, zero], f"{node.name or name}.pair", f"{name}.pair")
    inputs = [quantize.outputs[0], scale, zero]
    dequantize = kept("DequantizeLinear", inputs, called or f"{node.name or name}.reals", f"{name}.reals")
    made += [quantize, dequantize]
    if after is None:
        graph.insert_before(node, made)
    else:
        graph.insert_after(after, made)
    return dequantize


def _take_over(heir: ir.Node, nodes: Iterable[ir.Node]) -> None:
    """Let a node stand for others of the same result."""
    mine = heir.outputs[0]
    for index, node in enumerate(nodes):
        theirs = node.outputs[0]
        mine.type, mine.shape = theirs.type, theirs.shape
        graph = node.graph
        assert graph is not None
        if index and theirs.is_graph_output():
            node.op_type = "Identity"
            node.attributes.clear()
            node.resize_inputs(1)
            node.replace_input_with(0, mine)
            for use in [use for use in theirs.uses()]:
                use.node.replace_input_with(use.idx, mine)
            continue
        name = theirs.name
        theirs.name = None
        theirs.replace_all_uses_with(mine, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        if not index:
            mine.name = name


def _undoes(node: ir.Node, place: int, quantize: ir.Node) -> bool:
    """Whether a reader of what a QuantizeLinear gives makes the reals of it again."""
    return (
        place == 0
        and node.op_type == "DequantizeLinear"
        and node.domain == ""
        and node.graph is quantize.graph
        and steps_of(node) == steps_of(quantize)
        and (point(node) is None) <= (quantized_dtype(quantize) == ir.DataType.UINT8)
    )


def _clip(graph: ir.Graph, x: ir.Value, steps: Steps, node: ir.Node) -> ir.Node:
    """A clamp to the ends of fewer integers than uint8 has: they are reals that steps hit."""
    name = node.outputs[0].name
    ends = [
        initializer(graph, f"{name}.{what}", np.asarray(steps.scale * np.float32(end - steps.zero_point)))
        for what, end in (("low", steps.low), ("high", steps.high))
    ]
    clip = ir.node("Clip", [x, *ends], name=f"{node.name or name}.clip")
    clip.outputs[0].name = f"{name}.clipped"
    clip.outputs[0].type, clip.outputs[0].shape = x.type, x.shape
    return clip
