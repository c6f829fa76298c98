"""Random Programs of every op on every engine: neighbours and shapes that nobody would think of."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from control_growth import BODIES, control
from growth import ANY, Draw, Growth, is_batched
from indexing_growth import OPS as INDEXING_OPS
from indexing_growth import indexing
from octavo.program.checks import ONNX_DTYPES
from octavo.program.ops import DTYPE_SETS, marked, signatures
from single_node import multipliers

Recipe = Callable[[Growth, str], bool]
RECIPES: dict[str, Recipe] = {}


def recipe(*ops: str) -> Callable[[Recipe], Recipe]:
    """Register how a node of these ops is drawn: it says whether one was added."""

    def register(draw: Recipe) -> Recipe:
        RECIPES.update(dict.fromkeys(ops, draw))
        return draw

    return register


def grow(seed: int) -> Growth:
    """A Program of 2 to 12 nodes."""
    g = Growth(seed)
    draw = g.draw
    batch, large = draw.number(1, 3), draw.chance(0.15)
    for _ in range(draw.number(1, 3)):
        dtype = draw.one(("u8", "u8", "f32", "f32", "f32", "u8", draw.one(ANY)))
        g.input(dtype, _shape(draw, batch, large))
    wanted, ops = draw.number(2, 12), list(RECIPES)
    for _ in range(20 * wanted):
        if len(g.nodes) >= wanted:
            break
        op = draw.one(ops)
        RECIPES[op](g, op)
    return g


def _shape(draw: Draw, batch: int, large: bool) -> tuple[int, ...]:
    rank = draw.one((4, 4, 4, 4, 3, 3, 2, 2, 5, 1, 0))
    if large and rank == 4:
        return (batch, draw.number(1, 40), 24, 30)
    shape = [batch, *draw.numbers(1, 24, min(rank - 1, 1)), *draw.numbers(1, 9, max(rank - 2, 0))]
    if draw.chance(0.15):
        shape[draw.number(0, len(shape) - 1)] = draw.number(0, 1)
    return tuple(shape[:rank])


def _broadcast_with(g: Growth, x: str) -> str:
    """Another operand for x: a value of its dtype, or a constant of a shape that broadcasts."""
    value, draw = g.values[x], g.draw
    other = g.pick((value.dtype,))
    if other and draw.chance(0.6):
        try:
            np.broadcast_shapes(g.arrays[x].shape, g.arrays[other].shape)
            return other
        except ValueError:
            pass
    shape = [n if draw.chance(0.6) else 1 for n in g.arrays[x].shape]
    return g.constant(draw.array(value.dtype, tuple(shape[draw.number(0, len(shape)) :])))


@recipe("Quantize", "Dequantize")
def _affine(g: Growth, op: str) -> bool:
    x = g.pick(("f32",) if op == "Quantize" else ("u8",))
    if x and op == "Quantize" and g.arrays[x].ndim > 1 and g.draw.chance(0.4):
        channels = g.arrays[x].shape[1]
        grids = [g.draw.rng.uniform(*ends, channels).astype(np.float32) for ends in ((0.01, 0.2), (0, 255))]
        if g.draw.chance(0.5):
            return g.node(op, [x, *map(g.constant, grids)], axis=1)
        width, count = g.arrays[x].shape[-1], g.draw.number(1, 80)
        columns = g.draw.rng.integers(0, width, count)
        columns[: min(width, count)] = np.arange(width)[:count]
        scale, zero = (
            g.draw.rng.uniform(*ends, count).astype(np.float32) for ends in ((0.01, 0.2), (-400, 600))
        )
        return g.node(op, [x, *map(g.constant, (scale, zero, columns))])
    scale, zero_point = g.draw.f32(0.01, 0.2), g.draw.number(0, 255)
    return bool(x) and g.node(op, [x], scale=scale, zero_point=zero_point)


@recipe("DynamicQuantize")
def _dynamic_quantize(g: Growth, op: str) -> bool:
    """As lowering has it, mostly: behind it a product that takes its scales and zero points."""
    x, draw = g.pick(("f32",), (1, 2, 3, 4, 5)), g.draw
    if not x:
        return False
    rank = g.arrays[x].ndim
    is_conv = rank in (3, 4) and draw.chance(0.5)
    axis = 1 if is_conv else -1 if draw.chance(0.7) else draw.number(-rank, rank - 1)
    if not g.node(op, [x], 3, axis=axis):
        return False
    q, scale, zero_point = g.nodes[-1].outputs
    channels = g.arrays[q].shape[1 if is_conv else -1]
    if not channels or draw.chance(0.1):
        return True
    outputs = draw.number(1, 40)
    kernel = draw.numbers(1, 3, rank - 2) if is_conv else ()
    shape = (outputs, channels, *kernel) if is_conv else (channels, outputs)
    numbers = [draw.array("f32", (outputs,)), draw.rng.uniform(1e-4, 0.1, outputs).astype(np.float32)]
    inputs = [q, *map(g.constant, (draw.array("i8", shape), *numbers)), scale, zero_point]
    if not is_conv:
        return g.node("QGemm", inputs) or True
    return g.node("QConv", inputs, **_automatic(draw, {**_window(draw, rank - 2), "group": 1})) or True


@recipe("Requantize")
def _requantize(g: Growth, op: str) -> bool:
    x, draw = g.pick(("u8", "i16")), g.draw
    if not x:
        return False
    gives = draw.one(("u8", "i16"))
    x_zero_point, y_zero_point = (
        draw.number(0, 255 if of == "u8" else 0) for of in (g.values[x].dtype, gives)
    )
    points = {"x_zero_point": x_zero_point, "y_zero_point": y_zero_point}
    ends = draw.clamp() if gives == "u8" else _clamp_to_int16(draw)
    return g.node(op, [x], gives=gives, **points, **draw.factor(), **ends)


def _clamp_to_int16(draw: Draw) -> dict[str, int]:
    return dict(zip(("lo", "hi"), sorted(draw.numbers(-32767, 32767, 2)), strict=True))


@recipe("QAdd")
def _qadd(g: Growth, op: str) -> bool:
    x, draw = g.pick(("u8",)), g.draw
    if not x:
        return False
    pair = [x, _broadcast_with(g, x)]
    points = dict(zip(("a_zero_point", "b_zero_point", "y_zero_point"), draw.numbers(0, 255, 3), strict=True))
    shift = draw.number(1, 30)
    reach = min(2**15 - 1, 2 ** min(shift + 1, 15))
    factors = {f"{side}_multiplier": draw.number(-reach + 1, reach - 1) for side in "ab"}
    return g.node(op, pair[:: draw.one((1, -1))], **points, **factors, shift=shift, **draw.clamp())


@recipe("QMul")
def _qmul(g: Growth, op: str) -> bool:
    x, draw = g.pick(("u8",)), g.draw
    if not x:
        return False
    points = dict(zip(("a_zero_point", "b_zero_point", "y_zero_point"), draw.numbers(0, 255, 3), strict=True))
    return g.node(op, [x, _broadcast_with(g, x)], **points, **draw.factor(), **draw.clamp())


@recipe("Lookup")
def _lookup(g: Growth, op: str) -> bool:
    x = g.pick(("u8",))
    return bool(x) and g.node(op, [x, g.constant(g.draw.array("u8", (256,)))])


@recipe("QSoftmax", "Softmax", "LogSoftmax")
def _softmax(g: Growth, op: str) -> bool:
    x = g.pick(("u8",) if op == "QSoftmax" else ("f32",), (1, 2, 3, 4, 5))
    if not x:
        return False
    axis = g.draw.number(-g.arrays[x].ndim, g.arrays[x].ndim - 1)
    if op != "QSoftmax":
        return g.node(op, [x], axis=axis)
    table = np.rint(2.0**22 * np.exp(-g.draw.rng.uniform(0.001, 0.3) * np.arange(256)))
    return g.node(op, [x, g.constant(table.astype(np.int32))], axis=axis)


def _window(draw: Draw, axes: int) -> dict[str, Any]:
    return {
        "strides": [draw.one((1, 1, 1, 2, 3)) for _ in range(axes)],
        "dilations": [draw.one((1, 1, 1, 2)) for _ in range(axes)],
        "pads": draw.numbers(0, 2, 2 * axes) if draw.chance(0.6) else [0] * (2 * axes),
    }


def _automatic(draw: Draw, window: dict[str, Any]) -> dict[str, Any]:
    """Sometimes the window with auto_pad in the place of pads."""
    if draw.chance(0.8):
        return window
    del window["pads"]
    return {**window, "auto_pad": draw.one(("SAME_UPPER", "SAME_LOWER"))}


def _filters(g: Growth, x: str) -> tuple[tuple[int, ...], int]:
    """The shape of weights for x, and the groups."""
    draw, channels = g.draw, g.arrays[x].shape[1]
    group = draw.one([d for d in range(1, channels + 1) if channels % d == 0] or [1])
    group = draw.one((1, group, channels or 1))
    outputs = group if draw.chance(0.4) else group * draw.number(1, 20)
    kernel = draw.numbers(1, 3 if draw.chance(0.9) else 5, g.arrays[x].ndim - 2)
    return (outputs, channels // group or 1, *kernel), group


def _integer_product(g: Growth, x: str, w: Any, axis: int) -> tuple[list[str], dict[str, Any]]:
    """The inputs and the attributes of QConv and QGemm in one of their forms."""
    draw, outputs, taps = g.draw, w.shape[axis], w.size // w.shape[axis]
    inputs = [x, g.constant(w)]
    if draw.chance(0.2):
        inputs += [g.constant(draw.array("f32", (outputs,)))]
        inputs += [g.constant(draw.rng.uniform(1e-4, 0.1, outputs).astype(np.float32))]
        return inputs, {"x_zero_point": draw.number(0, 255), "x_scale": draw.f32(0.01, 0.1)}
    shift = 31 + 6 + int(np.log2(taps)) // 2 + draw.number(-3, 3)
    inputs += [g.constant(draw.rng.integers(-9999, 9999, outputs).astype(np.int32))]
    inputs += [g.constant(multipliers(draw.rng, outputs))]
    inputs += [g.constant(np.clip(draw.rng.integers(-2, 3, outputs) + shift, 1, 62).astype(np.int32))]
    points = {"x_zero_point": draw.number(0, 255), "y_zero_point": draw.number(0, 255)}
    return inputs, {**points, **draw.clamp()}


def _to_int16(g: Growth, op: str, inputs: list[str], attributes: dict[str, Any]) -> bool:
    """Now and then, a product of bytes that gives int16."""
    if "lo" not in attributes or g.draw.chance(0.8):
        return False
    return g.node(op, inputs, gives="i16", **attributes | {"y_zero_point": 0} | _clamp_to_int16(g.draw))


def _with_residual(g: Growth, op: str, inputs: list[str], attributes: dict[str, Any]) -> bool:
    """The product, and then sometimes the same again with a residual of the shape of its result."""
    draw = g.draw
    if not g.node(op, inputs, **attributes):
        return False
    y = g.nodes[-1].outputs[0]
    if g.values[y].dtype != "u8" or attributes.get("group", 1) != 1 or draw.chance(0.5):
        return True
    alike = [n for n, v in g.values.items() if v.dtype == "u8" and g.arrays[n].shape == g.arrays[y].shape]
    outputs = len(g.arrays[inputs[2]])
    factors = [draw.rng.integers(0, 2**15, outputs), draw.rng.integers(1, 24, outputs)]
    joined = [draw.one(alike), *(g.constant(array.astype(np.int32)) for array in factors)]
    return g.node(op, [*inputs, *joined], **attributes, r_zero_point=draw.number(0, 255))


@recipe("QConv", "Conv")
def _conv(g: Growth, op: str) -> bool:
    x = g.pick(("u8",) if op == "QConv" else ("f32",), (3, 4))
    if not x:
        return False
    shape, group = _filters(g, x)
    window = {**_window(g.draw, len(shape) - 2), "group": group}
    if op == "QConv":
        inputs, attributes = _integer_product(g, x, g.draw.array("i8", shape), 0)
        if group == 1 and g.draw.chance(0.4):
            del attributes["x_zero_point"]
            attributes["x_zero_points"] = list(g.draw.numbers(0, 255, shape[1]))
        attributes |= _automatic(g.draw, window)
        return _to_int16(g, op, inputs, attributes) or _with_residual(g, op, inputs, attributes)
    inputs = [x, g.constant(g.draw.array("f32", shape) / 9)]
    inputs += [g.constant(g.draw.array("f32", shape[:1]))] if g.draw.chance(0.6) else []
    return g.node(op, inputs, **_automatic(g.draw, window))


@recipe("ConvTranspose", "QConvTranspose")
def _conv_transpose(g: Growth, op: str) -> bool:
    x, draw = g.pick(("u8",) if op == "QConvTranspose" else ("f32",), (3, 4, 5)), g.draw
    if not x or not g.arrays[x].shape[1]:
        return False
    channels, axes = g.arrays[x].shape[1], g.arrays[x].ndim - 2
    group = draw.one((1, draw.one([d for d in range(1, channels + 1) if channels % d == 0])))
    window = {**_window(draw, axes), "group": group}
    window["output_padding"] = [draw.number(0, stride - 1) for stride in window["strides"]]
    outputs, kernel = draw.number(1, 12), draw.numbers(1, 3, axes)
    if op == "QConvTranspose":
        w = draw.array("i8", (outputs * group, channels // group, *kernel))
        inputs, attributes = _integer_product(g, x, w, 0)
        return g.node(op, inputs, **attributes | _automatic(draw, window))
    inputs = [x, g.constant(draw.array("f32", (channels, outputs, *kernel)) / 9)]
    inputs += [g.constant(draw.array("f32", (outputs * group,)))] if draw.chance(0.5) else []
    return g.node(op, inputs, **_automatic(draw, window))


@recipe("QGemm")
def _qgemm(g: Growth, op: str) -> bool:
    x = g.pick(("u8",), (1, 2, 3, 4))
    if not x or not g.arrays[x].shape[-1]:
        return False
    w = g.draw.array("i8", (g.arrays[x].shape[-1], g.draw.number(1, 40)))
    inputs, attributes = _integer_product(g, x, w, 1)
    return _to_int16(g, op, inputs, attributes) or _with_residual(g, op, inputs, attributes)


@recipe("Gemm")
def _gemm(g: Growth, op: str) -> bool:
    a, draw = g.pick(("f32",), (2,)), g.draw
    if not a:
        return False
    flags = {"transA": draw.number(0, 1), "transB": draw.number(0, 1)}
    m, k = g.arrays[a].shape[:: -1 if flags["transA"] else 1]
    n = draw.number(1, 20)
    b = g.constant(draw.array("f32", (n, k) if flags["transB"] else (k, n)))
    c = g.constant(draw.array("f32", draw.one(((), (n,), (1, n), (m, 1), (m, n)))))
    scales = {name: draw.one((np.float32(1), np.float32(0), draw.f32(-2, 2))) for name in ("alpha", "beta")}
    return g.node(op, [a, b, c] if draw.chance(0.7) else [a, b], **flags, **scales)


@recipe("MatMul")
def _matmul(g: Growth, op: str) -> bool:
    a, draw = g.pick(("f32",), (1, 2, 3, 4)), g.draw
    if not a:
        return False
    shape = g.arrays[a].shape
    other = g.pick(("f32",), (1, 2, 3, 4))
    if other and draw.chance(0.3) and g.node(op, [a, other]):
        return True
    leading = [n if draw.chance(0.5) else 1 for n in shape[:-2]][draw.number(0, max(len(shape) - 2, 0)) :]
    right = (shape[-1],) if draw.chance(0.2) else (*leading, shape[-1], draw.number(1, 20))
    return g.node(op, [a, g.constant(draw.array("f32", right))])


@recipe("QMatMul")
def _qmatmul(g: Growth, op: str) -> bool:
    a, draw = g.pick(("u8",), (1, 2, 3, 4)), g.draw
    if not a:
        return False
    shape = g.arrays[a].shape
    points = {"a_zero_point": draw.number(0, 255), "b_zero_point": draw.one((128, draw.number(0, 255)))}
    ending: dict[str, Any] = {"a_scale": draw.f32(0.01, 0.2), "b_scale": draw.f32(0.01, 0.2)}
    if draw.chance(0.7):
        ending = {"y_zero_point": draw.number(0, 255)} | draw.factor() | draw.clamp()
    other = g.pick(("u8",), (1, 2, 3, 4))
    if other and draw.chance(0.3) and g.node(op, [a, other], **points, **ending):
        return True
    if len(shape) > 1 and draw.chance(0.5):
        perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
        if g.node("Transpose", [a], perm=perm):
            return g.node(op, [a, list(g.arrays)[-1]], **points, **ending)
    right = (shape[-1],) if draw.chance(0.2) else (shape[-1], draw.number(1, 20))
    return g.node(op, [a, g.constant(draw.array("u8", right))], **points, **ending)


@recipe("QExponentials")
def _exponentials(g: Growth, op: str) -> bool:
    """As attention has them, mostly: scores in front, a product behind that divides by their sums."""
    draw = g.draw
    if draw.chance(0.6):
        _qmatmul(g, "QMatMul")
    x = g.pick(("f32",), (1, 2, 3, 4, 5))
    if not x or not g.node(op, [x], 2):
        return False
    e, sums = g.nodes[-1].outputs
    if draw.chance(0.2):
        return True
    columns = () if draw.chance(0.1) else (draw.number(1, 70),)
    leading = (*g.arrays[e].shape[:-2],) if draw.chance(0.3) else ()
    right = g.constant(draw.array("u8", (*leading, g.arrays[e].shape[-1] // 2, *columns)))
    zero_point = draw.one((128, draw.number(0, 255)))
    if not g.node("QMatMul", [e, right, sums], b_zero_point=zero_point, b_scale=draw.f32(0.01, 0.2)):
        return True
    y = g.nodes[-1].outputs[0]
    if draw.chance(0.6) and g.node(
        "Quantize", [y], scale=draw.f32(0.01, 0.2), zero_point=draw.number(0, 255)
    ):
        y = g.nodes[-1].outputs[0]
    if g.arrays[y].ndim > 2 and draw.chance(0.6):
        g.node("Transpose", [y], perm=[1, 0, *range(2, g.arrays[y].ndim)])
    return True


@recipe("BatchNormalization")
def _batch_normalization(g: Growth, op: str) -> bool:
    x = g.pick(("f32",), (2, 3, 4, 5))
    if not x:
        return False
    channels = g.arrays[x].shape[1:2]
    parameters = [g.constant(g.draw.array("f32", channels)) for _ in range(3)]
    parameters.append(g.constant(np.abs(g.draw.array("f32", channels))))
    return g.node(op, [x, *parameters], epsilon=np.float32(1e-5))


def _dtypes(op: str) -> tuple[str, ...]:
    """What the op's first input can be of."""
    dtype = signatures()[op][0].inputs[0].dtype
    return DTYPE_SETS.get(dtype, (dtype,))


@recipe(
    "Add", "Sub", "Mul", "Div", "Pow", "PRelu", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Less",
    "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor",
)  # fmt: skip
def _binary(g: Growth, op: str) -> bool:
    x = _some_number(g, op)
    return bool(x) and g.node(op, [x, _broadcast_with(g, x)][:: g.draw.one((1, -1))])


def _some_number(g: Growth, op: str) -> str | None:
    """A float32, which has kernels, more often than another dtype of the op."""
    floats = g.pick(("f32",)) if "f32" in _dtypes(op) and g.draw.chance(0.5) else None
    return floats or g.pick(_dtypes(op))


@recipe("Mod")
def _mod(g: Growth, op: str) -> bool:
    x = _some_number(g, op)
    if not x:
        return False
    return g.node(op, [x, _broadcast_with(g, x)], fmod=g.draw.number(0, 1))


@recipe("BitShift")
def _bit_shift(g: Growth, op: str) -> bool:
    x = g.pick(_dtypes(op))
    return bool(x) and g.node(op, [x, _broadcast_with(g, x)], direction=g.draw.one(("LEFT", "RIGHT")))


@recipe("Where")
def _where(g: Growth, op: str) -> bool:
    condition, x = g.pick(("bool",)), g.pick(ANY)
    return bool(condition) and bool(x) and g.node(op, [condition, x, _broadcast_with(g, x)])


@recipe("Max", "Min")
def _extreme(g: Growth, op: str) -> bool:
    x = _some_number(g, op)
    return bool(x) and g.node(op, [x, *(_broadcast_with(g, x) for _ in range(g.draw.number(0, 2)))])


@recipe("Clip")
def _clip(g: Growth, op: str) -> bool:
    x = g.pick(("f32",))
    bounds = [g.constant(np.float32(bound)) if g.draw.chance(0.8) else "" for bound in (-1, 2)]
    return bool(x) and g.node(op, [x, *bounds])


def _attributes(g: Growth, op: str) -> dict[str, Any]:
    """Numbers for the float attributes that the op has, and choices for its texts."""
    names = signatures()[op][0].attributes
    drawn: dict[str, Any] = {name: g.draw.f32(0.1, 1.9) for name, slot in names.items() if slot.kind == "f32"}
    return drawn | {name: g.draw.one(slot.choices) for name, slot in names.items() if slot.choices}


@recipe(*(op for op in marked("unary") + marked("elementwise") if op not in ("Clip", "IsInf", "Cast")))
def _unary(g: Growth, op: str) -> bool:
    x = _some_number(g, op)
    return bool(x) and g.node(op, [x], **_attributes(g, op))


@recipe("IsInf")
def _is_inf(g: Growth, op: str) -> bool:
    x = g.pick(_dtypes(op))
    flags = dict(zip(("detect_negative", "detect_positive"), g.draw.numbers(0, 1, 2), strict=True))
    return bool(x) and g.node(op, [x], **flags)


@recipe("MaxPool", "AveragePool", "QAveragePool", "LpPool")
def _pool(g: Growth, op: str) -> bool:
    draw = g.draw
    x = g.pick(("u8",), (3, 4)) if op == "QAveragePool" else g.pick(_dtypes(op), (3, 4, 5))
    if not x:
        return False
    axes = g.arrays[x].ndim - 2
    attributes: dict[str, Any] = {
        **_window(draw, axes), "kernel_shape": draw.numbers(1, 4, axes), "ceil_mode": draw.number(0, 1)
    }  # fmt: skip
    if op in ("AveragePool", "QAveragePool"):
        attributes["count_include_pad"] = draw.number(0, 1)
    if op == "LpPool":
        attributes["p"] = draw.number(1, 3)
    if op == "QAveragePool":
        points = {"x_zero_point": draw.number(0, 255), "y_zero_point": draw.number(0, 255)}
        ratio = np.float64(draw.rng.uniform(0.3, 3))
        return g.node(op, [x], **_automatic(draw, attributes), **points, ratio=ratio, **draw.clamp())
    if op == "MaxPool" and draw.chance(0.3):
        return g.node(op, [x], 2, **_automatic(draw, attributes), storage_order=draw.number(0, 1))
    return g.node(op, [x], **_automatic(draw, attributes))


@recipe("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(g: Growth, op: str) -> bool:
    x = g.pick(("f32", "u8") if op == "GlobalMaxPool" else ("f32",), (2, 3, 4, 5))
    attributes = {"p": g.draw.number(1, 3)} if op == "GlobalLpPool" else {}
    return bool(x) and g.node(op, [x], **attributes)


@recipe("GridSample")
def _grid_sample(g: Growth, op: str) -> bool:
    x, draw = g.pick(("f32",), (3, 4, 5)), g.draw
    if not x:
        return False
    batch, axes = g.arrays[x].shape[0], g.arrays[x].ndim - 2
    grid = draw.rng.uniform(-1.5, 1.5, (batch, *draw.numbers(1, 4, axes), axes)).astype(np.float32)
    return g.node(
        op,
        [x, g.constant(grid)],
        mode=draw.one(("nearest", "linear", "cubic")),
        padding_mode=draw.one(("zeros", "border", "reflection")),
        align_corners=draw.number(0, 1),
    )


def _some_axes(g: Growth, x: str) -> list[int]:
    rank = g.arrays[x].ndim
    return [axis for axis in range(rank) if g.draw.chance(0.5)] or list(range(rank))


@recipe("QReduceMean")
def _qreduce(g: Growth, op: str) -> bool:
    x, draw = g.pick(("u8",), (1, 2, 3, 4, 5)), g.draw
    if not x:
        return False
    reduced = {"axes": _some_axes(g, x), "keepdims": draw.number(0, 1), "x_zero_point": draw.number(0, 255)}
    if draw.chance(0.4):
        return g.node(op, [x], **reduced, x_scale=draw.f32(0.01, 0.1))
    bytes_of = {"y_zero_point": draw.number(0, 255), "ratio": np.float64(draw.rng.uniform(0.3, 3))}
    return g.node(op, [x], **reduced, **bytes_of, **draw.clamp())


@recipe(
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
    "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"
)  # fmt: skip
def _reduce(g: Growth, op: str) -> bool:
    x = g.pick(_dtypes(op))
    if not x:
        return False
    axes = [axis - g.draw.number(0, 1) * g.arrays[x].ndim for axis in _some_axes(g, x)]
    flags = {"keepdims": g.draw.number(0, 1), "noop_with_empty_axes": g.draw.number(0, 1)}
    return g.node(op, [x, g.i64(axes)] if g.draw.chance(0.8) else [x], **flags)


@recipe(
    "LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization"
)
def _normalization(g: Growth, op: str) -> bool:
    x, draw = g.pick(("f32",), (2, 3, 4)), g.draw
    if not x:
        return False
    shape = g.arrays[x].shape
    axis = {"axis": draw.number(-len(shape), len(shape) - 1)}
    if op == "LpNormalization":
        return g.node(op, [x], p=draw.number(1, 2), **axis)
    is_image = op in ("InstanceNormalization", "GroupNormalization")
    of = shape[1:2] if is_image else shape[axis["axis"] :]
    parameters = [g.constant(draw.array("f32", of)) for _ in range(1 if op == "RMSNormalization" else 2)]
    attributes: dict[str, Any] = {} if is_image else axis
    if op == "GroupNormalization":
        attributes["num_groups"] = draw.number(1, 3)
    if op != "InstanceNormalization":
        attributes["stash_type"] = 1
    return g.node(op, [x, *parameters], epsilon=g.draw.f32(0, 1), **attributes)


@recipe("Identity", "Flatten", "Shape", "Transpose", "SpaceToDepth", "DepthToSpace")
def _plain_move(g: Growth, op: str) -> bool:
    x, draw = g.pick(ANY), g.draw
    if not x:
        return False
    shape = g.arrays[x].shape
    match op:
        case "Flatten":
            return g.node(op, [x], axis=draw.number(-len(shape), len(shape)))
        case "Shape":
            return g.node(op, [x], start=draw.number(-5, 5), end=draw.number(-5, 5))
        case "Transpose":
            return g.node(op, [x], perm=[int(axis) for axis in draw.rng.permutation(len(shape))])
        case "SpaceToDepth" if len(shape) == 4:
            return g.node(op, [x], blocksize=draw.number(1, 3))
        case "DepthToSpace" if len(shape) == 4:
            return g.node(op, [x], blocksize=draw.number(1, 3), mode=draw.one(("DCR", "CRD")))
        case _:
            return op == "Identity" and g.node(op, [x])


@recipe("Reshape", "Squeeze", "Unsqueeze", "Expand", "Tile")
def _reshaping(g: Growth, op: str) -> bool:
    x, draw = g.pick(ANY), g.draw
    if not x:
        return False
    shape = g.arrays[x].shape
    match op:
        case "Reshape":
            target = draw.one(([0, -1], [-1], [0, 0, -1], [1, -1, 1], [-1, 2], [0, 1, -1], list(shape[::-1])))
            return g.node(op, [x, g.i64(target)], allowzero=draw.number(0, 1))
        case "Squeeze":
            ones = [axis for axis, n in enumerate(shape) if n == 1 and draw.chance(0.7)]
            return g.node(op, [x, g.i64(ones)] if draw.chance(0.7) else [x])
        case "Unsqueeze":
            new = draw.number(1, 2)
            axes = draw.rng.choice(len(shape) + new, new, replace=False) - draw.one((0, len(shape) + new))
            return len(shape) + new < 7 and g.node(op, [x, g.i64(axes)])
        case "Expand":
            target = [n if draw.chance(0.5) else draw.number(1, 3) if n == 1 else 1 for n in shape]
            return g.node(op, [x, g.i64([2, *target] if draw.chance(0.2) else target)])
        case _:
            return g.node(op, [x, g.i64([draw.one((1, 1, 1, 2, 3, 0)) for _ in shape])])


@recipe("Slice", "Split", "Pad", "Concat", "Gather")
def _cutting(g: Growth, op: str) -> bool:
    x, draw = g.pick(ANY, (1, 2, 3, 4, 5)), g.draw
    if not x:
        return False
    shape, axes = g.arrays[x].shape, _some_axes(g, x)
    axis = draw.one(axes)
    match op:
        case "Slice":
            steps = [draw.one((1, 1, 2, -1, -2, 2**40, -(2**63))) for _ in axes]
            starts, ends = (draw.numbers(-12, 12, len(axes)) for _ in range(2))
            ends = [draw.one((end, 2**63 - 1, -(2**63))) for end in ends]
            signed = [a - draw.number(0, 1) * len(shape) for a in axes]
            return g.node(op, [x, *map(g.i64, (starts, ends, signed, steps))])
        case "Split":
            count = draw.number(1, 3)
            if draw.chance(0.5):
                return g.node(op, [x], count, axis=axis, num_outputs=count)
            cuts = sorted(draw.numbers(0, shape[axis], count - 1))
            return g.node(op, [x, g.i64(np.diff([0, *cuts, shape[axis]]))], count, axis=axis)
        case "Pad":
            fill = g.constant(draw.array(g.values[x].dtype, ())) if draw.chance(0.5) else ""
            pads = g.i64(draw.numbers(-1, 3, 2 * len(axes)))
            modes = ("constant", "constant", "edge", "reflect", "wrap")
            return g.node(op, [x, pads, fill, g.i64(axes)], mode=draw.one(modes))
        case "Concat":
            others = [g.pick((g.values[x].dtype,), (len(shape),)) or x for _ in range(draw.number(0, 2))]
            return g.node(op, [x, *others], axis=axis) or g.node(op, [x, x], axis=axis - len(shape))
        case _:
            if not shape[axis]:
                return False
            indices = draw.rng.integers(-shape[axis], shape[axis], draw.numbers(1, 3, draw.number(0, 2)))
            return g.node(op, [x, g.i64(indices)], axis=axis)


@recipe("Resize")
def _resize(g: Growth, op: str) -> bool:
    x, draw = g.pick(ANY, (1, 2, 3, 4, 5)), g.draw
    if not x:
        return False
    rank, is_float = g.arrays[x].ndim, g.values[x].dtype == "f32"
    modes = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
    modes += ["tf_crop_and_resize"] * is_float
    attributes = {
        "mode": draw.one(("nearest", "linear", "cubic")) if is_float else "nearest",
        "coordinate_transformation_mode": draw.one(modes),
        "nearest_mode": draw.one(("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")),
        "keep_aspect_ratio_policy": draw.one(("stretch", "not_larger", "not_smaller")),
        "extrapolation_value": draw.f32(-1, 1),
    }
    if attributes["mode"] != "nearest":
        flags = {"antialias": draw.number(0, 1), "exclude_outside": draw.number(0, 1)}
        attributes |= {**flags, "cubic_coeff_a": np.float32(-0.75)}
    roi = g.constant(draw.rng.uniform(-0.2, 1.2, 2 * rank).astype(np.float32))
    if draw.chance(0.5):
        scales = [draw.f32(0.3, 2.5) if draw.chance(0.6) else np.float32(1) for _ in range(rank)]
        return g.node(op, [x, roi, g.constant(np.array(scales, np.float32))], **attributes)
    return g.node(op, [x, roi, "", g.i64(draw.numbers(1, 9, rank))], **attributes)


recipe(*INDEXING_OPS)(indexing)
recipe(*BODIES)(control(RECIPES))


@recipe("Cast")
def _cast(g: Growth, op: str) -> bool:
    x = g.pick(ANY)
    return bool(x) and g.node(op, [x], to=ONNX_DTYPES[g.draw.one(ANY)])


@recipe("ConstantOfShape", "Range")
def _made(g: Growth, op: str) -> bool:
    draw = g.draw
    if op == "Range":
        start, delta = draw.number(-9, 9), draw.one((1, 2, -3))
        return g.node(op, [g.i64(start), g.i64(start + delta * draw.number(0, 9)), g.i64(delta)])
    value = g.constant(draw.array(draw.one(ANY), (1,)))
    return g.node(op, [g.i64(draw.numbers(1, 9, draw.number(0, 4))), value])


@pytest.mark.parametrize("seed", range(400))
def test_random_program(same: Any, seed: int) -> None:
    g = grow(seed)
    program = g.program()
    same(program, g.feeds, batched=is_batched(program, g.feeds))


def test_every_op_has_a_recipe() -> None:
    assert set(RECIPES) == set(signatures())
