"""Constants in integers: int8 without a zero point for the weights of products, uint8 for other operands."""

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from octavo.frontend.linear import ENDS, axis_of, check_parameters, is_single, point, quantized_dtype
from octavo.frontend.steps import (
    LEAST_SCALE,
    Array,
    constant,
    initializer,
    is_kept,
    kept,
    steps_of,
)

_MOST_BYTES = 1 << 20
"""Of a constant that is dequantized here; larger ones are left to the folding of constants and its limits."""

_WEIGHTS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
"""The place of a product's weights."""
_OPERANDS = ("Add", "Concat", "Div", "MatMul", "Max", "Min", "Mul", "Sub")
"""What reads constants of its tensors' own kind."""


@dataclass
class _Held:
    """A DequantizeLinear of a constant, and what has been made of it.

    integers: as they stand. shifted: less their zero points. scales: one, or one for each index of
    `axis`. weights: nodes' outputs, by the permutation of the axes. operand: the like in uint8.
    """

    node: ir.Node
    integers: Array
    shifted: Array
    scales: Array
    axis: int | None
    weights: dict[tuple[int, ...], ir.Value] = field(default_factory=dict)
    operand: ir.Value | None = None


def hold_integers(node: ir.Node, reals: Array) -> None:
    """Make what a QuantizeLinear gives of a float constant a constant, as weights in training are held."""
    zero, scale, dtype = point(node), constant(node.inputs[1]), quantized_dtype(node)
    zeros = np.zeros(()) if zero is None else constant(zero)
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
    output.replace_all_uses_with(initializer(graph, f"{output.name}.integers", integers, dtype))
    if not output.is_graph_output():
        graph.remove(node, safe=True)


def settle_constant(node: ir.Node) -> None:
    """Keep the integers of a constant for the products and joins that read it; others read its reals."""
    x, scale = node.inputs[:2]
    integers, scales = constant(x), constant(scale)
    if x is None or x.dtype is None or scale is None or integers is None or scales is None:
        return
    check_parameters(node)
    zero = point(node)
    zeros = np.zeros(()) if zero is None else constant(zero)
    stated, block = (node.attributes.get_int(key, 0) for key in ("output_dtype", "block_size"))
    if zeros is None or block or integers.ndim == 0:
        return
    if scale.dtype != ir.DataType.FLOAT or stated not in (0, ir.DataType.FLOAT.value):
        return
    shape = _beside(node, integers.ndim)
    wide = np.int16 if x.dtype.bitwidth <= 8 else np.int32
    shifted: Array = np.subtract(integers.astype(wide), zeros.astype(wide).reshape(shape))
    if x.dtype in ENDS and x.dtype.bitwidth <= 8 and np.all(scales >= LEAST_SCALE):
        axis = None if is_single(node) else axis_of(node)
        _hold(_Held(node, integers, shifted, scales.reshape(-1), axis))
    output = node.outputs[0]
    if output.is_graph_output() or node.graph is None or shifted.nbytes > _MOST_BYTES:
        return
    if output.uses():
        with np.errstate(over="ignore"):
            reals = shifted.astype(np.float32) * scales.reshape(shape)
        output.replace_all_uses_with(initializer(node.graph, f"{output.name}.reals", reals))
    node.graph.remove(node, safe=True)


def _hold(held: _Held) -> None:
    """Let products and joins read a constant as integers."""
    plain = tuple(range(held.shifted.ndim))
    for use in list(held.node.outputs[0].uses()):
        reader, place = use.node, use.idx
        if reader.graph is not held.node.graph:
            continue
        if _WEIGHTS.get(reader.op_type) == place:
            _hold_weights(held, reader, plain)
        elif reader.op_type == "Transpose" and _is_for_weights(reader):
            perm = tuple(reader.attributes.get_ints("perm", [])) or plain[::-1]
            for inner in list(reader.outputs[0].uses()):
                _hold_weights(held, inner.node, perm)
        elif reader.op_type in _OPERANDS and (value := _operand(held)) is not None:
            reader.replace_input_with(place, value)


def _is_for_weights(node: ir.Node) -> bool:
    uses = list(node.outputs[0].uses())
    return (
        not node.outputs[0].is_graph_output()
        and bool(uses)
        and all(_WEIGHTS.get(use.node.op_type) == use.idx and use.node.graph is node.graph for use in uses)
    )


def _hold_weights(held: _Held, product: ir.Node, perm: tuple[int, ...]) -> None:
    """Let a product read its weights in integers, where scales and numbers allow that."""
    rank = len(perm)
    if held.axis is not None and perm.index(held.axis) != _channels(product, rank):
        return
    if product.op_type in ("Gemm", "MatMul") and rank != 2:
        return
    place = _WEIGHTS[product.op_type]
    if _fits(held.shifted):
        if perm not in held.weights:
            held.weights[perm] = _weights(held, held.shifted.transpose(perm), perm)
        product.replace_input_with(place, held.weights[perm])
    else:
        _hold_in_two(held, product, perm)


def _fits(shifted: Array) -> bool:
    return not shifted.size or bool(shifted.min() >= -128 and shifted.max() <= 127)


def _hold_in_two(held: _Held, product: ir.Node, perm: tuple[int, ...]) -> None:
    """Weights beyond int8 are the sum of two, by which the product meets its input twice over."""
    x, along = product.inputs[0], _input_channels(product)
    whole = held.shifted.transpose(perm)
    first = np.clip(whole, -128, 127)
    maker = None if x is None else x.producer()
    if x is None or along is None or maker is None or not is_kept(maker) or not _fits(whole - first):
        return
    axis, k = along
    graph = product.graph
    assert graph is not None
    name = f"{product.outputs[0].name}.twice"
    twice = ir.node("Concat", [x, x], {"axis": axis}, name=name)
    twice.outputs[0].name, twice.outputs[0].type = name, x.type
    graph.insert_before(product, twice)
    product.replace_input_with(0, twice.outputs[0])
    weights = _weights(held, np.concatenate([first, whole - first], axis=k), perm)
    product.replace_input_with(_WEIGHTS[product.op_type], weights)


def _input_channels(product: ir.Node) -> tuple[int, int] | None:
    """The axes of input and weights along which a product sums; None with groups or a transposed input."""
    attributes = product.attributes
    if product.op_type in ("Conv", "ConvTranspose"):
        k = 1 if product.op_type == "Conv" else 0
        return (1, k) if attributes.get_int("group", 1) == 1 else None
    if product.op_type == "MatMul":
        return -1, 0
    if attributes.get_int("transA", 0):
        return None
    return 1, 1 if attributes.get_int("transB", 0) else 0


def _weights(held: _Held, integers: Array, perm: tuple[int, ...]) -> ir.Value:
    """What a new node gives that holds weights in int8, its axes permuted."""
    node, graph = held.node, held.node.graph
    assert graph is not None
    name = f"{node.outputs[0].name}.held{len(graph.initializers)}"
    weights = initializer(graph, f"{name}.integers", np.ascontiguousarray(integers.astype(np.int8)))
    scale = initializer(graph, f"{name}.scale", held.scales.astype(np.float32))
    made = kept("DequantizeLinear", [weights, scale], name, name)
    if held.axis is not None:
        made.attributes["axis"] = ir.AttrInt64("axis", perm.index(held.axis))
    graph.insert_after(node, made)
    return made.outputs[0]


def _operand(held: _Held) -> ir.Value | None:
    """What a node gives that holds the constant in uint8, by one scale and zero point; None without such."""
    node, graph = held.node, held.node.graph
    steps, x = steps_of(node), node.inputs[0]
    if steps is None or x is None or x.dtype is None or steps.high != 255:
        return None
    if held.operand is None:
        assert graph is not None
        name, low = f"{node.outputs[0].name}.held", ENDS[x.dtype][0]
        integers = (held.integers.astype(np.int16) - low).astype(np.uint8)
        inputs = [
            initializer(graph, f"{name}.integers", integers),
            initializer(graph, f"{name}.scale", np.asarray(steps.scale, np.float32)),
            initializer(graph, f"{name}.zero_point", np.asarray(steps.zero_point, np.uint8)),
        ]
        made = kept("DequantizeLinear", inputs, name, name)
        graph.insert_after(node, made)
        held.operand = made.outputs[0]
    return held.operand


def _channels(product: ir.Node, rank: int) -> int:
    """The axis of a product's weights that its output channels lie on, those of a group at least."""
    if product.op_type == "ConvTranspose":
        return 1
    across = product.op_type == "Conv" or (
        product.op_type == "Gemm" and product.attributes.get_int("transB", 0) == 1
    )
    return 0 if across else rank - 1


def _beside(node: ir.Node, rank: int) -> tuple[int, ...]:
    """The shape in which scales go with a tensor of that rank."""
    return () if is_single(node) else (-1, *[1] * (rank - axis_of(node) - 1))
