"""The integer operators of a Program: what each stands for, between its conversions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from octavo.errors import ModelError
from octavo.exporting.floats import exported
from octavo.exporting.graph import Graph
from octavo.program import Node, Quant
from octavo.program.attributes import integer, integers, number
from octavo.program.checks import COLUMNS, RESIDUAL, x_zero_points
from octavo.program.integers import elements, limits
from octavo.program.scales import scale_of_sums, x_scales

Array = npt.NDArray[Any]

SUMS = 2
"""The place of the sums of exponentials among a QMatMul's inputs."""

DYNAMIC = 6
"""Inputs of a product whose scales and zero points a run finds."""

_WINDOW = (
    "strides",
    "pads",
    "auto_pad",
    "dilations",
    "group",
    "kernel_shape",
    "ceil_mode",
    "count_include_pad",
    "output_padding",
    "output_shape",
)


DYNAMIC_INPUTS = 6
"""Inputs of a QGemm by scales and zero points of a run."""


def quantize(graph: Graph, node: Node) -> None:
    """QuantizeLinear; where zero points are fractions, plain operators by formula (2a) or (2b)."""
    x, y = node.inputs[0], node.outputs[0]
    if len(node.inputs) == 1:
        zero_point = np.array([integer(node, "zero_point")])
        graph.quantized(x, y, np.array([number(node, "scale")]), zero_point, None)
        return
    scale, zero = (_along(graph, node, graph.program.constants[name]) for name in node.inputs[1:3])
    if len(node.inputs) > COLUMNS:
        x = graph.made("Gather", [x, node.inputs[COLUMNS]], f"{y}_columns", axis=-1)
    place = graph.made("Div", [x, graph.constant(f"{y}_scale", scale)], f"{y}_steps")
    place = graph.made("Add", [place, graph.constant(f"{y}_zero", zero)], f"{y}_place")
    whole = graph.made("Round", [place], f"{y}_rounded")
    ends = [graph.constant(f"{y}_{name}", np.float32(end)) for name, end in (("low", 0), ("high", 255))]
    held = graph.made("Clip", [whole, *ends], f"{y}_held")
    graph.add("Cast", [held], [y], to=TensorProto.UINT8)


def _along(graph: Graph, node: Node, array: Array) -> Array:
    """Scales, or zero points, of a Quantize in the shape that goes with its input's."""
    if len(node.inputs) > COLUMNS:
        return array
    if "axis" not in node.attributes:
        return array.reshape(())
    shape = graph.program.values[node.inputs[0]].shape
    if shape is None:
        raise ModelError(f"the value {node.inputs[0]!r} has scales of channels, but no known rank")
    return array.reshape(-1, *[1] * (len(shape) - integer(node, "axis") - 1))


def dequantize(graph: Graph, node: Node) -> None:
    """DequantizeLinear; of constants by blocks too."""
    x, y = node.inputs[0], node.outputs[0]
    if len(node.inputs) == 1:
        scale = graph.constant(f"{x}_scale", np.float32(number(node, "scale")))
        zero = graph.zero_points(x, np.array(integer(node, "zero_point")))
        graph.add("DequantizeLinear", [x, scale, zero], [y])
        return
    attributes = exported(node.attributes)
    if "block" in attributes:
        attributes["block_size"] = attributes.pop("block")
    given = [elements(graph.program, name) for name in node.inputs[1:]]
    scales, *zeros = given if "axis" in attributes else [array.reshape(()) for array in given]
    inputs = [x, graph.constant(f"{x}_scale", scales), *(graph.zero_points(x, zero) for zero in zeros)]
    graph.add("DequantizeLinear", inputs, [y], **attributes)


def dynamic_quantize(graph: Graph, node: Node) -> None:
    """The reals of each row, or sample, rounded to its own steps: formula (3a) by plain operators.

    One range for the whole tensor is DynamicQuantizeLinear's.
    """
    x, y = node.inputs[0], node.outputs[0]
    shape, axis = graph.program.values[x].shape, integer(node, "axis")
    if shape is None:
        raise ModelError(f"the value {x!r} has a range a row or a sample, but no known rank")
    if axis % len(shape) == 0:
        graph.add("DynamicQuantizeLinear", [x], list(node.outputs))
        return
    axes = graph.constant(f"{y}_axes", np.arange(axis % len(shape), len(shape)))
    none, all_steps = (
        graph.constant(f"{y}_none", np.float32(0)),
        graph.constant(f"{y}_steps", np.float32(255)),
    )
    least = graph.constant(f"{y}_least", np.finfo(np.float32).tiny)
    low = graph.made("Min", [graph.made("ReduceMin", [x, axes], f"{y}_minimum"), none], f"{y}_low")
    high = graph.made("Max", [graph.made("ReduceMax", [x, axes], f"{y}_maximum"), none], f"{y}_high")
    width = graph.made("Div", [graph.made("Sub", [high, low], f"{y}_width"), all_steps], f"{y}_step")
    scale = graph.made("Max", [width, least], f"{y}_scale")
    zero = graph.made("Round", [graph.made("Div", [low, scale], f"{y}_below")], f"{y}_zero")
    steps = graph.made("Round", [graph.made("Div", [x, scale], f"{y}_place")], f"{y}_rounded")
    above = graph.made("Sub", [steps, zero], f"{y}_above")
    held = graph.made("Clip", [above, none, all_steps], f"{y}_held")
    centred = graph.made("Add", [held, zero], f"{y}_centred")
    graph.reals[y] = graph.made("Mul", [centred, scale], f"{y}_reals")


def conv(graph: Graph, node: Node) -> None:
    """Conv of reals; its bias in steps of the sums."""
    inputs = [_x(graph, node), _weights(graph, node, 0), _bias(graph, node)]
    _end(graph, node, graph.add("Conv", inputs, [_result(graph, node)], **_window(node)))


def conv_transpose(graph: Graph, node: Node) -> None:
    """ConvTranspose of reals, whose weights have the channels of the input first."""
    name, group = node.inputs[1], integer(node, "group")
    if group == 1:
        turned = graph.constant(f"{name}_turned", graph.program.constants[name].swapaxes(0, 1))
        scale = graph.constant(f"{name}_scale", _quant(graph, name).scale)
        zero_points = graph.zero_points(name, np.zeros(len(graph.program.constants[name])))
        inputs = [turned, scale, zero_points]
        weights = graph.made("DequantizeLinear", inputs, f"{name}_reals", axis=1)
    else:
        weights = _by_channels(graph, _weights(graph, node, 0), graph.program.constants[name].shape, group)
    inputs = [_x(graph, node), weights, _bias(graph, node)]
    _end(graph, node, graph.add("ConvTranspose", inputs, [_result(graph, node)], **_window(node)))


def _by_channels(graph: Graph, weights: str, shape: tuple[int, ...], group: int) -> str:
    """Weights [O, C / group, *kernel] as [C, O / group, *kernel]: scales of outputs have no axis there."""
    outputs, length, *kernel = shape
    grouped = graph.constant(f"{weights}_shape", np.array([group, outputs // group, length, *kernel]))
    parts = graph.made("Reshape", [weights, grouped], f"{weights}_groups")
    rank = len(kernel)
    turned = graph.made("Transpose", [parts], f"{weights}_turned", perm=[0, 2, 1, *range(3, 3 + rank)])
    whole = graph.constant(f"{weights}_channels", np.array([group * length, outputs // group, *kernel]))
    return graph.made("Reshape", [turned, whole], f"{weights}_by_channel")


def gemm(graph: Graph, node: Node) -> None:
    """MatMul of reals, and Add of the bias; MatMulInteger of what DynamicQuantizeLinear makes."""
    if len(node.inputs) == DYNAMIC_INPUTS and node.inputs[0] not in graph.reals:
        _integer_gemm(graph, node)
        return
    inputs = [_x(graph, node), _weights(graph, node, 1)]
    products = graph.made("MatMul", inputs, f"{node.outputs[0]}_products")
    _end(graph, node, graph.add("Add", [products, _bias(graph, node)], [_result(graph, node)]))


def _integer_gemm(graph: Graph, node: Node) -> None:
    """(10a) by MatMulInteger, whose left side has one zero point."""
    x, weight, bias, scale, x_scale, _ = node.inputs
    (y,) = node.outputs
    zero = next(made.outputs[2] for made in graph.program.nodes if x in made.outputs)
    sums = graph.made("MatMulInteger", [x, weight, zero], f"{y}_integers")
    reals = graph.made("Cast", [sums], f"{y}_sums", to=TensorProto.FLOAT)
    last = graph.constant(f"{y}_last", np.array([-1]))
    rows = graph.made("Unsqueeze", [x_scale, last], f"{y}_rows")
    by_rows = graph.made("Mul", [reals, rows], f"{y}_by_rows")
    graph.add("Add", [graph.made("Mul", [by_rows, scale], f"{y}_scaled"), bias], [y])


def matmul(graph: Graph, node: Node) -> None:
    """MatMul of reals; of exponentials and their sums, of the Softmax that they stand for."""
    left = _known_reals(graph, node) if len(node.inputs) > SUMS else _operand(graph, node, 0, "a")
    inputs = [left, _operand(graph, node, 1, "b")]
    _end(graph, node, graph.add("MatMul", inputs, [_result(graph, node)]))


def exponentials(graph: Graph, node: Node) -> None:
    """Softmax: the product behind it divides by the sums, which this does by itself."""
    shares = graph.made("Softmax", [node.inputs[0]], f"{node.outputs[0]}_shares", axis=-1)
    graph.reals[node.outputs[0]] = shares


def add(graph: Graph, node: Node) -> None:
    """Add of reals; Sub where one of them is taken away."""
    reals = {letter: _operand(graph, node, place, letter) for place, letter in enumerate("ab")}
    added, taken = (
        [reals[letter] for letter in "ab" if (integer(node, f"{letter}_multiplier") < 0) == is_taken]
        for is_taken in (False, True)
    )
    if len(taken) == 2:
        added = [graph.made("Neg", [taken.pop(0)], f"{node.outputs[0]}_negative")]
    op = "Sub" if taken else "Add"
    _end(graph, node, graph.add(op, [*added, *taken], [_result(graph, node)]))


def mul(graph: Graph, node: Node) -> None:
    """Mul of reals."""
    inputs = [_operand(graph, node, 0, "a"), _operand(graph, node, 1, "b")]
    _end(graph, node, graph.add("Mul", inputs, [_result(graph, node)]))


def average_pool(graph: Graph, node: Node) -> None:
    """AveragePool of reals."""
    _end(graph, node, graph.add("AveragePool", [_x(graph, node)], [_result(graph, node)], **_window(node)))


def reduce_mean(graph: Graph, node: Node) -> None:
    """ReduceMean of reals."""
    axes = graph.constant(f"{node.outputs[0]}_axes", np.array(integers(node, "axes"), np.int64))
    inputs, keepdims = [_x(graph, node), axes], integer(node, "keepdims")
    _end(graph, node, graph.add("ReduceMean", inputs, [_result(graph, node)], keepdims=keepdims))


def requantize(graph: Graph, node: Node) -> None:
    """From one scale to another."""
    _end(graph, node, _x(graph, node))


def lookup(graph: Graph, node: Node) -> None:
    """Gather of the table's entries, which counts places below 0 from the end."""
    (x, table), y = node.inputs, node.outputs[0]
    places = graph.made("Cast", [x], f"{y}_places", to=TensorProto.INT32)
    least, _ = limits(graph.program.values[x].dtype)
    if least:
        table = graph.constant(f"{y}_table", np.roll(graph.program.constants[table], least))
    graph.add("Gather", [table, places], list(node.outputs), axis=0)


def softmax(graph: Graph, node: Node) -> None:
    """Softmax of reals."""
    x = node.inputs[0]
    quant = _quant(graph, x)
    reals = graph.dequantized(x, quant.scale, quant.zero_point, quant.axis)
    result = graph.made("Softmax", [reals], f"{node.outputs[0]}_exact", axis=integer(node, "axis"))
    y = _quant(graph, node.outputs[0])
    graph.quantized(result, node.outputs[0], y.scale, y.zero_point, y.axis)


def _known_reals(graph: Graph, node: Node) -> str:
    """The reals of a first input that has no integers here."""
    if node.inputs[0] not in graph.reals:
        raise ModelError(f"node {node.name!r}: nothing says what its input {node.inputs[0]!r} stands for")
    return graph.reals[node.inputs[0]]


def _x(graph: Graph, node: Node) -> str:
    """The reals of the first input, as a product has them: a scale, or a zero point, a channel or for all."""
    if node.op in ("QConv", "QGemm") and len(node.inputs) == DYNAMIC:
        return _known_reals(graph, node)
    x, zero_points = node.inputs[0], x_zero_points(graph.program, node)
    _quant(graph, x)
    scale = x_scales(graph.program, node)
    count = max(len(scale), len(zero_points))
    scale, zero_point = np.broadcast_to(scale, count), np.broadcast_to(np.array(zero_points), count)
    return graph.dequantized(x, scale, zero_point, 1 if count > 1 else None)


def _operand(graph: Graph, node: Node, place: int, letter: str) -> str:
    """The reals of an input with a zero point, or a scale that a factor went into, among the attributes."""
    name, zero_point = node.inputs[place], np.array([integer(node, f"{letter}_zero_point")])
    if f"{letter}_scale" in node.attributes:
        scale, axis = np.array([number(node, f"{letter}_scale")]), None
    else:
        quant = _quant(graph, name)
        scale, axis = quant.scale, quant.axis
    return graph.dequantized(name, scale, zero_point, axis)


def _weights(graph: Graph, node: Node, axis: int) -> str:
    name = node.inputs[1]
    scale = _quant(graph, name).scale
    return graph.dequantized(name, scale, np.zeros(len(scale)), axis)


def _bias(graph: Graph, node: Node) -> str:
    """In float32: exactly what the integers stand for, to a rounding of the scale."""
    name = node.inputs[2]
    bias = graph.program.constants[name]
    if bias.dtype == np.float32:
        return name
    scale = scale_of_sums(graph.program, node)
    if bias.dtype != np.int32:
        return graph.constant(f"{name}_reals", (bias * scale).astype(np.float32))
    return graph.dequantized(name, scale, np.zeros(len(scale)), 0)


def _window(node: Node) -> dict[str, Any]:
    return {name: value for name, value in exported(node.attributes).items() if name in _WINDOW}


def _result(graph: Graph, node: Node) -> str:
    """What the operator's own result is called: the node's output, where nothing follows."""
    y = node.outputs[0]
    return y if graph.program.values[y].dtype == "f32" else graph.fresh(f"{y}_exact")


def _end(graph: Graph, node: Node, reals: str) -> None:
    """What follows the operator: a residual, an activation, the rounding to integers."""
    y = node.outputs[0]
    if reals == y:
        return
    if node.inputs[RESIDUAL:]:
        residual = _operand(graph, node, RESIDUAL, "r")
        reals = graph.made("Add", [reals, residual], f"{y}_sum")
    quant, zero = _quant(graph, y), integer(node, "y_zero_point")
    bounds = []
    for name, limit in zip(("lo", "hi"), limits(graph.program.values[y].dtype), strict=True):
        end = integer(node, name)
        if end == limit:
            bounds.append("")
            continue
        if len(quant.scale) > 1 and end != zero:
            raise ModelError(f"node {node.name!r}: a bound of channels with unlike scales has no form in QDQ")
        bounds.append(graph.constant(f"{y}_{name}", np.float32(quant.scale[0] * np.float32(end - zero))))
    if any(bounds):
        reals = graph.made("Clip", [reals, *bounds], f"{y}_clipped")
    zeros = np.full(len(quant.scale), zero)
    graph.quantized(reals, y, quant.scale, zeros, quant.axis)


def _quant(graph: Graph, name: str) -> Quant:
    quant = graph.program.values[name].quant
    if quant is None:
        raise ModelError(f"the value {name!r} has no scale: what its integers stand for is not known")
    return quant


Rule = Callable[[Graph, Node], None]

RULES: dict[str, Rule] = {
    "Dequantize": dequantize,
    "DynamicQuantize": dynamic_quantize,
    "Lookup": lookup,
    "QAdd": add,
    "QAveragePool": average_pool,
    "QConv": conv,
    "QConvTranspose": conv_transpose,
    "QExponentials": exponentials,
    "QGemm": gemm,
    "QMatMul": matmul,
    "QMul": mul,
    "QReduceMean": reduce_mean,
    "QSoftmax": softmax,
    "Quantize": quantize,
    "Requantize": requantize,
}
"""How each integer operator is written."""
