"""What a model says of integers, in one form: pairs of QuantizeLinear and DequantizeLinear, and constants.

A pair stands between two float32 values, and holds them in uint8 by one scale and zero point that are known.
Weights are int8 without a zero point before a DequantizeLinear, other constants uint8. Nodes of this form
stay as they are; all others are written out, as `octavo.frontend.linear` has it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from octavo.frontend.linear import ENDS, axis_of, check_parameters, is_single, point, quantized_dtype

Array = npt.NDArray[Any]

LEAST_SCALE = np.float32(2.0**-126)
"""The smallest normal number: a Program's scales are no smaller."""

_MOST_BYTES = 1 << 20
"""Of a constant that is dequantized here; larger ones are left to the folding of constants and its limits."""

_KEPT = "octavo.pairs"
_WEIGHTS = {"Conv": 1, "Gemm": 1, "MatMul": 1}
"""The place of a product's weights."""
_OPERANDS = ("Add", "Concat", "Div", "MatMul", "Max", "Min", "Mul", "Sub")
"""What reads constants of its tensors' own kind."""


@dataclass(frozen=True)
class Steps:
    """One scale and zero point of a tensor, and the ends of its integers, in uint8."""

    scale: np.float32
    zero_point: int
    low: int
    high: int


def is_kept(node: ir.Node) -> bool:
    """Whether the node is of the form that lowering reads, and stays as it is."""
    return bool(node.meta.get(_KEPT))


def settle_pairs(model: ir.Model) -> None:
    """Brings the pairs and constants of a model at opset `octavo.program.OPSET` into their form, in place.

    The dtypes and shapes must have been inferred.

    Raises:
        ModelError: a node whose parameters cannot be.
    """
    for node in list(model.graph.all_nodes()):
        if node.domain == "" and node.op_type == "QuantizeLinear" and not is_kept(node):
            _settle_pair(node)
    for node in list(model.graph.all_nodes()):
        if node.domain == "" and node.op_type == "DequantizeLinear" and not is_kept(node):
            _settle_constant(node)


def _settle_pair(node: ir.Node) -> None:
    """Give the DequantizeLinears that undo a QuantizeLinear a pair of their own; the others keep theirs."""
    steps, x, graph = _steps(node), node.inputs[0], node.graph
    held = _constant(x)
    if held is not None:
        _hold_integers(node, held)
        return
    undone = [use.node for use in node.outputs[0].uses() if _undoes(use.node, use.idx, node)]
    if steps is None or x is None or not undone:
        return
    assert graph is not None
    if steps.high - steps.low < 255:
        x = _clipped(node, x, steps)
    name = node.outputs[0].name
    scale = _initializer(graph, f"{name}.scale", np.asarray(steps.scale, np.float32))
    zero = _initializer(graph, f"{name}.zero_point", np.asarray(steps.zero_point, np.uint8))
    quantize = _kept("QuantizeLinear", [x, scale, zero], f"{node.name or name}.pair", f"{name}.pair")
    inputs = [quantize.outputs[0], scale, zero]
    dequantize = _kept("DequantizeLinear", inputs, undone[0].name, f"{name}.reals")
    graph.insert_after(node, [quantize, dequantize])
    _take_over(dequantize, undone)
    if not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
        graph.remove(node, safe=True)


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


def _steps(node: ir.Node) -> Steps | None:
    """The steps of a QuantizeLinear, or of a DequantizeLinear, by one scale and zero point that are known."""
    x, scale = node.inputs[:2]
    if x is None or scale is None or not is_single(node) or x.dtype is None:
        return None
    check_parameters(node)
    is_quantize = node.op_type == "QuantizeLinear"
    dtype = quantized_dtype(node) if is_quantize else x.dtype
    other = "precision" if is_quantize else "output_dtype"
    if is_quantize and x.dtype != ir.DataType.FLOAT:
        return None
    if (
        node.attributes.get_int(other, 0) not in (0, ir.DataType.FLOAT.value)
        or scale.dtype != ir.DataType.FLOAT
    ):
        return None
    number, zero = _constant(scale), point(node)
    held = None if zero is None else _constant(zero)
    if number is None or (zero is not None and held is None) or dtype not in ENDS or dtype.bitwidth > 8:
        return None
    if not number.reshape(-1)[0] >= LEAST_SCALE:
        return None
    low, high = ENDS[dtype]
    zero_point = 0 if held is None else int(held.reshape(-1)[0])
    return Steps(np.float32(number.reshape(-1)[0]), zero_point - low, 0, high - low)


def _undoes(node: ir.Node, place: int, quantize: ir.Node) -> bool:
    """Whether a reader of what a QuantizeLinear gives makes the reals of it again."""
    return (
        place == 0
        and node.op_type == "DequantizeLinear"
        and node.domain == ""
        and node.graph is quantize.graph
        and _steps(node) == _steps(quantize)
        and (point(node) is None) <= (quantized_dtype(quantize) == ir.DataType.UINT8)
    )


def _clipped(node: ir.Node, x: ir.Value, steps: Steps) -> ir.Value:
    """The value between the ends of fewer integers than uint8 has: they are reals that steps hit."""
    graph, name = node.graph, node.outputs[0].name
    assert graph is not None
    ends = [
        _initializer(graph, f"{name}.{what}", np.asarray(steps.scale * np.float32(end - steps.zero_point)))
        for what, end in (("low", steps.low), ("high", steps.high))
    ]
    clip = ir.node("Clip", [x, *ends], name=f"{node.name or name}.clip")
    clip.outputs[0].name = f"{name}.clipped"
    clip.outputs[0].type, clip.outputs[0].shape = x.type, x.shape
    graph.insert_before(node, clip)
    return clip.outputs[0]


def _hold_integers(node: ir.Node, reals: Array) -> None:
    """Make what a QuantizeLinear gives of a float constant a constant, as weights in training are held."""
    zero, scale, dtype = point(node), _constant(node.inputs[1]), quantized_dtype(node)
    zeros = np.zeros(()) if zero is None else _constant(zero)
    is_plain = (
        reals.dtype == np.float32 and dtype.bitwidth <= 8 and not node.attributes.get_int("block_size", 0)
    )
    if scale is None or zeros is None or scale.dtype != np.float32 or not is_plain:
        return
    check_parameters(node)
    low, high = ENDS[dtype]
    shape = _beside(node, reals.ndim)
    with np.errstate(over="ignore", invalid="ignore"):
        places = np.rint(reals / scale.reshape(shape)) + zeros.astype(np.float32).reshape(shape)
    integers = np.clip(np.nan_to_num(places), low, high).astype(dtype.numpy())
    graph, output = node.graph, node.outputs[0]
    assert graph is not None
    output.replace_all_uses_with(_initializer(graph, f"{output.name}.integers", integers, dtype))
    if not output.is_graph_output():
        graph.remove(node, safe=True)


def _settle_constant(node: ir.Node) -> None:
    """Keep the integers of a constant for the products and joins that read it; others read its reals."""
    x, scale = node.inputs[:2]
    integers, scales = _constant(x), _constant(scale)
    if x is None or scale is None or integers is None or scales is None:
        return
    check_parameters(node)
    zero = point(node)
    zeros = np.zeros(()) if zero is None else _constant(zero)
    stated, block = (node.attributes.get_int(key, 0) for key in ("output_dtype", "block_size"))
    if zeros is None or block or integers.ndim == 0:
        return
    if scale.dtype != ir.DataType.FLOAT or stated not in (0, ir.DataType.FLOAT.value):
        return
    shape = _beside(node, integers.ndim)
    shifted = integers.astype(np.int32) - zeros.astype(np.int32).reshape(shape)
    if x.dtype in ENDS and x.dtype.bitwidth <= 8 and np.all(scales >= LEAST_SCALE):
        _hold(node, integers, shifted, scales)
    output = node.outputs[0]
    if output.is_graph_output() or node.graph is None or shifted.nbytes > _MOST_BYTES:
        return
    if output.uses():
        reals = shifted.astype(np.float32) * scales.reshape(shape)
        output.replace_all_uses_with(_initializer(node.graph, f"{output.name}.reals", reals))
    node.graph.remove(node, safe=True)


def _hold(node: ir.Node, integers: Array, shifted: Array, scales: Array) -> None:
    """Let products and joins read a constant as integers. shifted: less their zero points."""
    zero, single, axis = point(node), is_single(node), axis_of(node)
    for use in list(node.outputs[0].uses()):
        reader, place = use.node, use.idx
        if _WEIGHTS.get(reader.op_type) == place:
            _hold_weights(reader, place, node, shifted, scales, None if single else axis)
        elif reader.op_type == "Transpose" and _is_for_weights(reader):
            perm = list(reader.attributes.get_ints("perm", [])) or list(range(integers.ndim))[::-1]
            for inner in list(reader.outputs[0].uses()):
                at = None if single else perm.index(axis)
                _hold_weights(inner.node, inner.idx, node, shifted.transpose(perm), scales, at)
        elif reader.op_type in _OPERANDS and single and zero is not None:
            _hold_operand(reader, place, node, integers)


def _is_for_weights(node: ir.Node) -> bool:
    uses = list(node.outputs[0].uses())
    return (
        not node.outputs[0].is_graph_output()
        and bool(uses)
        and all(_WEIGHTS.get(use.node.op_type) == use.idx for use in uses)
    )


def _hold_weights(
    reader: ir.Node, place: int, node: ir.Node, shifted: Array, scales: Array, axis: int | None
) -> None:
    """Weights of a product, int8 with one scale, or one an output channel, in place of their reals."""
    if shifted.size and (shifted.min() < -128 or shifted.max() > 127):
        return
    if axis is not None and axis != _channels(reader, shifted.ndim):
        return
    if reader.op_type != "Conv" and shifted.ndim != 2:
        return
    graph, name = reader.graph, node.outputs[0].name
    assert graph is not None
    weights = _initializer(graph, f"{name}.weights", np.ascontiguousarray(shifted.astype(np.int8)))
    scale = _initializer(graph, f"{name}.scale", scales.reshape(-1).astype(np.float32))
    held = _kept("DequantizeLinear", [weights, scale], f"{node.name or name}.weights", f"{name}.held")
    if axis is not None:
        held.attributes["axis"] = ir.AttrInt64("axis", axis)
    held.outputs[0].type, held.outputs[0].shape = node.outputs[0].type, ir.Shape(shifted.shape)
    graph.insert_before(reader, held)
    reader.replace_input_with(place, held.outputs[0])


def _hold_operand(reader: ir.Node, place: int, node: ir.Node, integers: Array) -> None:
    """A constant beside tensors, uint8 with one scale and zero point, in place of its reals."""
    steps, graph, name = _steps(node), reader.graph, node.outputs[0].name
    x = node.inputs[0]
    if steps is None or x is None or x.dtype is None or steps.high != 255:
        return
    assert graph is not None
    low, _ = ENDS[x.dtype]
    held = [
        _initializer(graph, f"{name}.integers", (integers.astype(np.int16) - low).astype(np.uint8)),
        _initializer(graph, f"{name}.scale", np.asarray(steps.scale, np.float32)),
        _initializer(graph, f"{name}.zero_point", np.asarray(steps.zero_point, np.uint8)),
    ]
    kept = _kept("DequantizeLinear", held, f"{node.name or name}.constant", f"{name}.held")
    kept.outputs[0].type, kept.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
    graph.insert_before(reader, kept)
    reader.replace_input_with(place, kept.outputs[0])


def _channels(product: ir.Node, rank: int) -> int:
    """The axis of a product's weights that its output channels lie on."""
    across = product.op_type == "Conv" or (
        product.op_type == "Gemm" and product.attributes.get_int("transB", 0) == 1
    )
    return 0 if across else rank - 1


def _beside(node: ir.Node, rank: int) -> tuple[int, ...]:
    """The shape in which scales go with a tensor of that rank."""
    return () if is_single(node) else (-1, *[1] * (rank - axis_of(node) - 1))


def _kept(op: str, inputs: list[ir.Value], name: str | None, output: str) -> ir.Node:
    node = ir.node(op, inputs, name=name)
    node.outputs[0].name = output
    node.outputs[0].type = ir.TensorType(ir.DataType.UINT8 if op == "QuantizeLinear" else ir.DataType.FLOAT)
    node.outputs[0].shape = inputs[0].shape
    node.meta[_KEPT] = True
    return node


def _constant(value: ir.Value | None) -> Array | None:
    """What an initializer that no caller can feed holds."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    array: Array = value.const_value.numpy()
    return array


def _initializer(graph: ir.Graph, name: str, array: Array, dtype: ir.DataType | None = None) -> ir.Value:
    """A new constant of the graph, with a name like that."""
    while name in graph.initializers:
        name += "_"
    tensor = ir.Tensor(array, dtype=dtype, name=name)
    value = ir.Value(
        name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
    )
    graph.register_initializer(value)
    return value
