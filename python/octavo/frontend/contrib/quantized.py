"""Operators of integers with their scales and zero points, as a float operator between DequantizeLinear and
QuantizeLinear.

An input that is left out has the zero point 0. The scale of a bias is that of the product's sums.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from octavo.frontend.contrib.call import Call, Operator


def _dequantized(call: Call, made: str, x: str, scale: str, zero: str, axis: int | None = None) -> str | None:
    """`made`, x in float32; scales and zero points may lie along `axis`, or as x itself does."""
    rank, real = call.rank(scale), _real_scale(call, scale)
    if rank is None or real is None:
        return None
    lines, by = real
    if rank > 1:
        steps = f"{made}_i"
        lines += f"{made}_i = Cast <to = 6> ({x}) "
        if call.has(zero):
            steps = f"{made}_d"
            lines += f"{zero}_i = Cast <to = 6> ({zero}) {made}_d = Sub ({made}_i, {zero}_i) "
        return f"{lines}{made}_w = Cast <to = 1> ({steps}) {made} = Mul ({made}_w, {by}) "
    inputs = f"{x}, {by}"
    if call.has(zero):
        point = zero
        if axis is not None and call.rank(zero) != rank:
            point = f"{zero}_e"
            lines += f"{zero}_n = Shape ({scale}) {zero}_e = Expand ({zero}, {zero}_n) "
        inputs = f"{inputs}, {point}"
    return f"{lines}{made} = DequantizeLinear{_along(axis, rank)} ({inputs}) "


def _quantized(
    call: Call, x: str, scale: str, zero: str, made: str, like: str, axis: int | None = None
) -> str | None:
    """`made`, the integers of the float32 x, of the dtype of `like` where there is no zero point."""
    rank, real = call.rank(scale), _real_scale(call, scale)
    if rank is None or real is None:
        return None
    if rank > 1:
        call.fail(f"a scale of {rank} axes for its result")
    lines, by = real
    point = zero
    if not call.has(zero):
        point = f"{made}_zero"
        lines += f"{made}_none = Constant <value_int = 0> () {point} = CastLike ({made}_none, {like}) "
    return f"{lines}{made} = QuantizeLinear{_along(axis, rank)} ({x}, {by}, {point})"


def _real_scale(call: Call, scale: str) -> tuple[str, str] | None:
    """What makes a scale float32, and its name then; None where its dtype is not known."""
    dtype = call.dtype(scale)
    if dtype is None:
        return None
    is_real = dtype == ir.DataType.FLOAT
    return ("", scale) if is_real else (f"{scale}_f = Cast <to = 1> ({scale}) ", f"{scale}_f")


def _along(axis: int | None, rank: int) -> str:
    """The attribute of scales that lie along an axis."""
    return "" if axis is None or rank == 0 else f" <axis = {axis}>"


def _joined(*lines: str | None) -> str | None:
    """The lines, one behind the other; None where one of them is not known."""
    known = [line for line in lines if line is not None]
    return " ".join(known) if len(known) == len(lines) else None


def _bias(call: Call, bias: str, left: str, right: str, made: str) -> str:
    """`made`, the int32 bias at the scale of the sums; a constant where the scales are."""
    scales = [call.constant(name) for name in (left, right)]
    if scales[0] is None or scales[1] is None:
        line = f"{made}_s = Mul ({left}, {right}) "
    else:
        product = np.ravel(scales[0].astype(np.float32) * scales[1].astype(np.float32))
        numbers = [float(value) for value in product]
        kind = f"value_float = {numbers[0]}" if len(numbers) == 1 else f"value_floats = {numbers}"
        line = f"{made}_s = Constant <{kind}> () "
    return f"{line}{made} = DequantizeLinear <axis = 0> ({bias}, {made}_s) "


def _qlinear_conv(call: Call) -> str | None:
    window = call.attributes("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    biased = call.has("B")
    return _joined(
        _dequantized(call, "xf", "x", "x_scale", "x_zero_point"),
        _dequantized(call, "wf", "w", "w_scale", "w_zero_point", 0),
        _bias(call, "B", "x_scale", "w_scale", "bf") if biased else "",
        f"yf = Conv {window} (xf, wf{', bf' if biased else ''})",
        _quantized(call, "yf", "y_scale", "y_zero_point", "y", "x"),
    )


def _qlinear_matmul(call: Call) -> str | None:
    """A list of scales is one for each row on the left and of the result, for each column on the right."""
    return _joined(
        _dequantized(call, "af", "a", "a_scale", "a_zero_point", -2),
        _dequantized(call, "bf", "b", "b_scale", "b_zero_point", -1),
        "yf = MatMul (af, bf)",
        _quantized(call, "yf", "y_scale", "y_zero_point", "y", "a", -2),
    )


def _qgemm(call: Call) -> str | None:
    """C is added to the sums, so alpha is a factor of it too."""
    alpha, biased = call.number("alpha"), call.has("C")
    inputs = "Af, Bf, Cf" if biased else "Af, Bf"
    attributes = f"<alpha = {alpha!r}, beta = {alpha!r}, transA = {call.integer('transA')}, "
    axis = 0 if call.integer("transB") else 1
    result = "f" if call.has("y_scale") else ""
    return _joined(
        _dequantized(call, "Af", "A", "a_scale", "a_zero_point"),
        _dequantized(call, "Bf", "B", "b_scale", "b_zero_point", axis),
        _bias_of_rows(call) if biased else "",
        f"Y{result} = Gemm {attributes}transB = {call.integer('transB')}> ({inputs})",
        _quantized(call, "Yf", "y_scale", "y_zero_point", "Y", "A") if result else "",
    )


def _bias_of_rows(call: Call) -> str:
    """Cf, of whatever shape C has: its last axis is that of the columns."""
    return (
        "C_s = Mul (a_scale, b_scale) C_w = Cast <to = 1> (C) Cf = Mul (C_w, C_s)"
        if call.rank("C") != 1
        else _bias(call, "C", "a_scale", "b_scale", "Cf")
    )


def _pairwise(op: str) -> Callable[[Call], str | None]:
    """The body of an operator that is `op` of A and B."""

    def body(call: Call) -> str | None:
        return _joined(
            _dequantized(call, "af", "A", "A_scale", "A_zero_point"),
            _dequantized(call, "bf", "B", "B_scale", "B_zero_point"),
            f"cf = {op} (af, bf)",
            _quantized(call, "cf", "C_scale", "C_zero_point", "C", "A"),
        )

    return body


def _one(call: Call, nodes: str | None) -> str | None:
    """`nodes`, which make yf of xf, between X and Y."""
    return _joined(
        _dequantized(call, "xf", "X", "X_scale", "X_zero_point"),
        nodes,
        _quantized(call, "yf", "Y_scale", "Y_zero_point", "Y", "X"),
    )


def _sigmoid(call: Call) -> str | None:
    return _one(call, "yf = Sigmoid (xf)")


def _leaky_relu(call: Call) -> str | None:
    return _one(call, f"yf = LeakyRelu {call.attributes('alpha')} (xf)")


def _softmax(call: Call) -> str | None:
    """Of the axes from `axis` on as one, before opset 13."""
    axis = call.integer("axis")
    if call.integer("opset") >= 13:
        return _one(call, f"yf = Softmax <axis = {axis}> (xf)")
    return _one(
        call,
        f"rows = Flatten <axis = {axis}> (xf) shares = Softmax <axis = -1> (rows) shape = Shape (xf) "
        "yf = Reshape (shares, shape)",
    )


def _average_pool(call: Call) -> str | None:
    kernel = call.settings["kernel_shape"]
    assert isinstance(kernel, list)
    names = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
    return _one(call, _channels_last(call, f"AveragePool {call.attributes(*names)}", len(kernel) + 2))


def _global_average_pool(call: Call) -> str | None:
    return _one(call, _channels_last(call, "GlobalAveragePool", call.rank("X")))


def _channels_last(call: Call, node: str, rank: int | None) -> str | None:
    """yf = `node` (xf), the channels of both being the last axis where the node says so."""
    if not call.integer("channels_last"):
        return f"yf = {node} (xf)"
    if rank is None:
        return None
    into, back = [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]
    return f"xt = Transpose <perm = {into}> (xf) yt = {node} (xt) yf = Transpose <perm = {back}> (yt)"


def _reduce_mean(call: Call) -> str | None:
    return _one(
        call,
        f"axes = Constant <value_ints = {call.settings['axes']}> () "
        f"yf = ReduceMean <keepdims = {call.integer('keepdims')}> (xf, axes)",
    )


def _where(call: Call) -> str | None:
    return _joined(
        _dequantized(call, "xf", "X", "x_scale", "x_zero_point"),
        _dequantized(call, "yf", "Y", "y_scale", "y_zero_point"),
        "zf = Where (condition, xf, yf)",
        _quantized(call, "zf", "z_scale", "z_zero_point", "Z", "X"),
    )


def _concat(call: Call) -> str | None:
    """The inputs stand in threes: a tensor, its scale, its zero point."""
    count = sum(name.startswith("inputs") for name in call.inputs)
    if count % 3:
        call.fail(
            f"{count} inputs behind its scale and zero point: tensors, scales and zero points in threes"
        )
    parts = [
        _dequantized(call, f"x{place}", f"inputs{place}", f"inputs{place + 1}", f"inputs{place + 2}")
        for place in range(0, count, 3)
    ]
    names = ", ".join(f"x{place}" for place in range(0, count, 3))
    return _joined(
        *parts,
        f"yf = Concat {call.attributes('axis')} ({names})",
        _quantized(call, "yf", "Y_scale", "Y_zero_point", "Y", "inputs0"),
    )


def _matmul_integer_to_float(call: Call) -> str:
    points = "".join(f", {name if call.has(name) else ''}" for name in ("a_zero_point", "b_zero_point"))
    return _scaled(call, f"sums = MatMulInteger (A, B{points.rstrip(', ')})")


def _dynamic_quantize_matmul(call: Call) -> str:
    point = ", b_zero_point" if call.has("b_zero_point") else ""
    return _scaled(
        call,
        "a, a_scale, a_zero_point = DynamicQuantizeLinear (A) "
        f"sums = MatMulInteger (a, B, a_zero_point{point})",
    )


def _scaled(call: Call, sums: str) -> str:
    """Y, the sums by the scales of both sides, and the bias."""
    made = "product" if call.has("bias") else "Y"
    lines = f"{sums} real = Cast <to = 1> (sums) scale = Mul (a_scale, b_scale) {made} = Mul (real, scale)"
    return f"{lines} Y = Add (product, bias)" if call.has("bias") else lines


def _quantize_linear(call: Call) -> str:
    inputs = "x, y_scale, y_zero_point" if call.has("y_zero_point") else "x, y_scale"
    return f"y = QuantizeLinear {call.attributes('axis')} ({inputs})"


def _dequantize_linear(call: Call) -> str:
    inputs = "x, x_scale, x_zero_point" if call.has("x_zero_point") else "x, x_scale"
    return f"y = DequantizeLinear {call.attributes('axis')} ({inputs})"


_X, _Y = "X X_scale X_zero_point?", "Y_scale Y_zero_point?"
_PAIR = "A A_scale A_zero_point? B B_scale B_zero_point? C_scale C_zero_point?"
_WINDOW = "auto_pad:str? kernel_shape:ints? pads:ints? strides:ints?"

QUANTIZED = (
    Operator(
        "QLinearConv(x x_scale x_zero_point w w_scale w_zero_point y_scale y_zero_point B?) -> y | "
        f"dilations:ints? group:int? {_WINDOW}",
        _qlinear_conv,
    ),
    Operator(
        "QLinearMatMul(a a_scale a_zero_point b b_scale b_zero_point y_scale y_zero_point) -> y |",
        _qlinear_matmul,
    ),
    Operator(
        "QGemm(A a_scale a_zero_point B b_scale b_zero_point C? y_scale? y_zero_point?) -> Y | "
        "alpha:float=1 transA:int=0 transB:int=0",
        _qgemm,
    ),
    Operator(f"QLinearAdd({_PAIR}) -> C |", _pairwise("Add")),
    Operator(f"QLinearMul({_PAIR}) -> C |", _pairwise("Mul")),
    Operator(f"QLinearSigmoid({_X} {_Y}) -> Y |", _sigmoid),
    Operator(f"QLinearLeakyRelu({_X} {_Y}) -> Y | alpha:float=0.01", _leaky_relu),
    Operator(f"QLinearSoftmax({_X} {_Y}) -> Y | opset:int axis:int=-1", _softmax),
    Operator(
        f"QLinearAveragePool({_X} {_Y}) -> Y | auto_pad:str? ceil_mode:int? count_include_pad:int? "
        "kernel_shape:ints pads:ints? strides:ints? channels_last:int=0",
        _average_pool,
    ),
    Operator(f"QLinearGlobalAveragePool({_X} {_Y}) -> Y | channels_last:int=0", _global_average_pool),
    Operator(f"QLinearReduceMean({_X} {_Y}) -> Y | axes:ints keepdims:int", _reduce_mean),
    Operator(
        "QLinearWhere(condition X x_scale x_zero_point Y y_scale y_zero_point z_scale z_zero_point) -> Z |",
        _where,
    ),
    Operator("QLinearConcat(Y_scale Y_zero_point inputs*) -> Y | axis:int", _concat),
    Operator(
        "MatMulIntegerToFloat(A B a_scale b_scale a_zero_point? b_zero_point? bias?) -> Y |",
        _matmul_integer_to_float,
    ),
    Operator("DynamicQuantizeMatMul(A B b_scale b_zero_point? bias?) -> Y |", _dynamic_quantize_matmul),
    Operator("QuantizeLinear(x y_scale y_zero_point?) -> y | axis:int=1", _quantize_linear),
    Operator("DequantizeLinear(x x_scale x_zero_point?) -> y | axis:int=1", _dequantize_linear),
)
