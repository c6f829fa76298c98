"""Models that give scales and weights themselves: what runs in integers, and that the answers are theirs."""

import numpy as np
import octavo
import onnx
import pytest
from given import Net, assert_near, integers, ops, reals, runtime
from onnx import TensorProto

X = {"x": reals(4, 3, 8, 8)}


def conv(net, x, channels=4, seed=0, of=3, dtype="int8", scale=None, bias=True, **attributes):
    """A Conv of 3x3 by weights of the given dtype, one scale an output channel."""
    scale = np.linspace(0.003, 0.006, channels).astype(np.float32) if scale is None else np.float32(scale)
    low, high = (-127, 127) if dtype == "int8" else (0, 255)
    array = integers(channels, of, 3, 3, low=low, high=high, seed=seed)
    weights = net.weights(array, scale, 0 if dtype == "int8" else 128, dtype, axis=0)
    more = [reals(channels, seed=seed + 1)] if bias else []
    return net.op("Conv", x, weights, *more, pads=[1, 1, 1, 1], **attributes)


def rounded_conv(net, x, **attributes):
    return net.rounded(conv(net, x, **attributes), 0.05, 128)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("of", ["uint8", "int8"])
def test_a_convolution(dtype, of):
    """Activations and weights of either dtype, a scale a channel."""
    net = Net()
    zero = 120 if dtype == "uint8" else -8
    x = net.rounded("x", 0.02, zero, dtype)
    y = net.rounded(conv(net, x, dtype=of), 0.05, zero, dtype)
    model = net.model(y)
    assert ops(model) == {"Quantize": 1, "QConv": 1, "Dequantize": 1}
    assert_near(model, X, 0.05)


@pytest.mark.parametrize("scale", [0.004, [0.004]])
def test_one_scale_for_all_weights(scale):
    net = Net()
    y = net.rounded(conv(net, net.rounded("x", 0.02, 120), scale=scale), 0.05, 128)
    assert ops(net.model(y)) == {"Quantize": 1, "QConv": 1, "Dequantize": 1}
    assert_near(net.model(y), X, 0.05)


def test_a_bias_in_integers():
    net = Net()
    x = net.rounded("x", 0.02, 120)
    weights = net.weights(integers(4, 3, 3, 3), np.full(4, 0.004), axis=0)
    bias = net.op(
        "DequantizeLinear",
        integers(4, low=-9000, high=9000).astype(np.int32),
        np.full(4, 0.02 * 0.004, np.float32),
        np.zeros(4, np.int32),
        axis=0,
    )
    y = net.rounded(net.op("Conv", x, weights, bias), 0.05, 128)
    assert ops(net.model(y)) == {"Quantize": 1, "QConv": 1, "Dequantize": 1}
    assert_near(net.model(y), X, 0.05)


def test_a_result_that_is_not_rounded_comes_in_float():
    net = Net()
    model = net.model(conv(net, net.rounded("x", 0.02, 120)))
    assert ops(model) == {"Quantize": 1, "QConv": 1}
    assert_near(model, X)


@pytest.mark.parametrize("activation", ["Relu", "Clip"])
def test_an_activation_before_the_rounding_belongs_to_the_product(activation):
    net = Net()
    y = conv(net, net.rounded("x", 0.02, 120))
    y = net.op("Relu", y) if activation == "Relu" else net.op("Clip", y, np.float32(0), np.float32(6))
    model = net.model(net.rounded(y, 0.025))
    assert ops(model) == {"Quantize": 1, "QConv": 1, "Dequantize": 1}
    assert_near(model, X, 0.025)


def test_an_activation_behind_the_rounding_is_a_table():
    net = Net()
    y = rounded_conv(net, net.rounded("x", 0.02, 120))
    model = net.model(net.rounded(net.op("Sigmoid", y), 1 / 200, 3))
    assert ops(model) == {"Quantize": 1, "QConv": 1, "Lookup": 1, "Dequantize": 1}
    assert_near(model, X, 1 / 200)


def test_a_relu_behind_the_rounding_keeps_its_steps():
    net = Net()
    y = net.op("Relu", rounded_conv(net, net.rounded("x", 0.02, 120)))
    model = net.model(net.rounded(conv(net, y, of=4, seed=5), 0.1, 128))
    assert ops(model) == {"Quantize": 1, "QConv": 2, "Dequantize": 1}
    assert_near(model, X, 0.1)


def test_a_chain_of_functions_is_rounded_where_the_model_says():
    """Hard swish in its parts: each rounding between them is kept."""
    net = Net()
    y = rounded_conv(net, net.rounded("x", 0.02, 120))
    share = net.rounded(net.op("Sigmoid", y), 1 / 9)  # so coarse that leaving it out would show
    model = net.model(net.rounded(net.op("Mul", y, share), 0.03, 100))
    assert_near(model, X, 0.03)


def test_both_sides_of_an_addition():
    net = Net()
    x = net.rounded("x", 0.02, 120)
    y = rounded_conv(net, x)
    z = net.rounded(conv(net, x, seed=3), 0.03, 100)
    model = net.model(net.rounded(net.op("Relu", net.op("Add", y, z)), 0.05, 10))
    assert ops(model) == {"Quantize": 1, "QConv": 2, "QAdd": 1, "Dequantize": 1}
    assert_near(model, X, 0.05)


def test_a_sum_rounded_once():
    """What the model does not round before the addition is not rounded there."""
    net = Net()
    x = net.rounded("x", 0.02, 120)
    y = conv(net, x, seed=3)
    z = rounded_conv(net, x)
    model = net.model(net.rounded(net.op("Add", y, z), 0.05, 128))
    assert ops(model) == {"Quantize": 1, "QConv": 2, "Dequantize": 1}
    assert_near(model, X, 0.05)


def test_two_sums_that_are_not_rounded():
    """Neither has a scale, so that they are added in float."""
    net = Net()
    x = net.rounded("x", 0.02, 120)
    model = net.model(net.rounded(net.op("Add", conv(net, x), conv(net, x, seed=3)), 0.05, 128))
    assert ops(model) == {"Quantize": 2, "QConv": 2, "Add": 1, "Dequantize": 1}
    assert_near(model, X, 0.05)


def test_a_constant_beside_a_tensor():
    net = Net()
    y = rounded_conv(net, net.rounded("x", 0.02, 120))
    other = net.dequantized(integers(4, 1, 8, low=0, high=255).astype(np.uint8), 0.01, 100)
    model = net.model(net.rounded(net.op("Mul", y, other), 0.05, 128))
    assert ops(model) == {"Quantize": 1, "QConv": 1, "QMul": 1, "Dequantize": 1}
    assert_near(model, X, 0.05)


def test_a_constant_without_a_scale_stays_float():
    net = Net()
    y = rounded_conv(net, net.rounded("x", 0.02, 120))
    model = net.model(net.rounded(net.op("Mul", y, reals(4, 1, 8)), 0.05, 128))
    assert ops(model)["Mul"] == 1
    assert_near(model, X, 0.05)


def test_weights_without_a_scale_stay_float():
    net = Net()
    x = net.rounded("x", 0.02, 120)
    model = net.model(net.rounded(net.op("Conv", x, reals(4, 3, 3, 3)), 0.05, 128))
    assert ops(model) == {"Quantize": 2, "Conv": 1, "Dequantize": 2}
    assert_near(model, X, 0.05)


def test_scales_that_differ_are_joined():
    net = Net()
    x = net.rounded("x", 0.02, 120)
    y, z = rounded_conv(net, x), net.rounded(conv(net, x, seed=3), 0.02, 100)
    model = net.model(net.rounded(net.op("Concat", y, z, axis=1), 0.0613, 128))
    assert ops(model) == {"Quantize": 1, "QConv": 2, "Requantize": 2, "Concat": 1, "Dequantize": 1}
    assert_near(model, X, 0.0613)


def test_what_is_joined_before_it_is_rounded():
    net = Net()
    x = net.rounded("x", 0.02, 120)
    joined = net.op("Concat", conv(net, x), conv(net, x, seed=3), axis=1)
    model = net.model(net.rounded(joined, 0.06, 128))
    assert ops(model) == {"Quantize": 1, "QConv": 2, "Concat": 1, "Dequantize": 1}
    assert_near(model, X, 0.06)


@pytest.mark.parametrize("place", ["before", "behind", "both", "otherwise"])
def test_what_moves_elements(place):
    net = Net()
    y = conv(net, net.rounded("x", 0.02, 120))
    if place != "behind":
        y = net.rounded(y, 0.05, 128)
    y = net.op("MaxPool", net.op("Transpose", y, perm=[0, 1, 3, 2]), kernel_shape=[2, 2])
    if place != "before":
        y = net.rounded(y, 0.05 if place != "otherwise" else 0.0413, 128)
    model = net.model(net.rounded(conv(net, y, of=4, seed=7), 0.2, 128))
    expected = {"Quantize": 1, "QConv": 2, "Transpose": 1, "MaxPool": 1, "Dequantize": 1}
    assert ops(model) == expected | ({"Requantize": 1} if place == "otherwise" else {})
    assert_near(model, X, 0.2)


@pytest.mark.parametrize("op", ["AveragePool", "GlobalAveragePool", "ReduceMean"])
def test_means(op):
    net = Net()
    y = rounded_conv(net, net.rounded("x", 0.02, 120))
    attributes = {"AveragePool": {"kernel_shape": [2, 2]}, "ReduceMean": {"keepdims": 0}}.get(op, {})
    more = [np.array([2, 3])] if op == "ReduceMean" else []
    model = net.model(net.rounded(net.op(op, y, *more, **attributes), 0.02, 128))
    assert f"Q{'AveragePool' if op == 'AveragePool' else 'ReduceMean'}" in ops(model)
    assert_near(model, X, 0.02, share=0.05)  # sums of few elements are often halves


@pytest.mark.parametrize("transposed", [None, "gemm", "node"])
@pytest.mark.parametrize("scale", ["one", "columns"])
@pytest.mark.parametrize("bias", [False, True])
def test_matrix_products(transposed, scale, bias):
    net = Net(("N", 12))
    x = net.rounded("x", 0.02, 120)
    array = integers(12, 5) if transposed is None else integers(5, 12)
    axis = 1 if transposed is None else 0
    given = 0.004 if scale == "one" else np.linspace(0.002, 0.006, 5)
    weights = net.weights(array, given, axis=axis)
    if transposed == "node":
        weights = net.op("Transpose", weights, perm=[1, 0])
    if transposed == "gemm":
        y = net.op("Gemm", x, weights, *([reals(5)] if bias else []), transB=1)
    else:
        y = net.op("MatMul", x, weights)
        y = net.op("Add", y, reals(5)) if bias else y
    model = net.model(net.rounded(y, 0.05, 128))
    assert ops(model) == {"Quantize": 1, "QGemm": 1, "Dequantize": 1}
    assert_near(model, {"x": reals(50, 12)}, 0.05)


def test_scales_along_k_stay_float():
    net = Net(("N", 12))
    x = net.rounded("x", 0.02, 120)
    weights = net.weights(integers(12, 5), np.linspace(0.002, 0.006, 12), axis=0)
    model = net.model(net.rounded(net.op("MatMul", x, weights), 0.05, 128))
    assert ops(model)["MatMul"] == 1
    assert_near(model, {"x": reals(50, 12)}, 0.05)


def test_products_of_two_tensors():
    net = Net(("N", 6, 6))
    x = net.rounded("x", 0.02, 120)
    y = net.rounded(net.op("MatMul", x, net.op("Transpose", x, perm=[0, 2, 1])), 0.05, 128)
    y = net.rounded(net.op("Softmax", y), 1 / 256)
    model = net.model(net.rounded(net.op("MatMul", y, x), 0.02, 128))
    assert ops(model)["QMatMul"] == 2
    assert_near(model, {"x": reals(20, 6, 6)}, 0.02, share=0.05)


def test_a_value_that_is_read_rounded_and_as_it_is():
    net = Net()
    y = conv(net, net.rounded("x", 0.02, 120))
    z = net.rounded(conv(net, net.rounded(y, 0.05, 128), of=4, seed=5), 0.2, 128)
    model = net.model(z, y)
    assert_near(model, X, 0.2)


def test_a_value_that_is_rounded_twice_over():
    """By two scales: each reader has the one that is meant for it."""
    net = Net()
    y = conv(net, net.rounded("x", 0.02, 120))
    one = conv(net, net.rounded(y, 0.05, 128), of=4, seed=5)
    other = conv(net, net.rounded(y, 0.2, 128), of=4, seed=6)
    model = net.model(net.rounded(one, 0.2, 128), net.rounded(other, 0.2, 128))
    assert ops(model)["QConv"] == 3
    assert_near(model, X, 0.2)


def test_pairs_behind_pairs():
    net = Net()
    y = net.rounded(rounded_conv(net, net.rounded("x", 0.02, 120)), 0.07, 100)
    model = net.model(net.rounded(conv(net, y, of=4, seed=7), 0.2, 128))
    assert ops(model)["QConv"] == 2
    assert_near(model, X, 0.2)


def test_pairs_among_floats_still_round():
    net = Net()
    y = net.rounded(net.op("Erf", net.rounded("x", 0.1, 120)), 1 / 50, 100, "int8")
    assert_near(net.model(y), X, 0.0, share=0.0)


def test_an_output_of_several():
    net = Net()
    y = rounded_conv(net, net.rounded("x", 0.02, 120))
    parts = net.op("Split", y, outputs=2, axis=1, num_outputs=2)
    y = net.op("Add", *(net.rounded(part, 0.05, 128) for part in parts))
    assert_near(net.model(net.rounded(y, 0.0973, 128)), X, 0.0973)


@pytest.mark.parametrize("dtype", ["uint4", "int4", "int2"])
def test_fewer_bits_are_a_narrower_clamp(dtype):
    import ml_dtypes

    of = np.dtype(getattr(ml_dtypes, dtype))
    net = Net(opset=25)
    x = net.rounded("x", 0.02, 120)
    y = net.rounded(conv(net, x), 0.3, 1 if dtype == "int2" else 5, of)
    model = net.model(y)
    assert ops(model) == {"Quantize": 1, "QConv": 1, "Dequantize": 1}
    if dtype != "int2":  # which ONNX Runtime lacks
        assert_near(model, X, 0.3)


def test_float_weights_behind_a_pair():
    """As fake quantization in training leaves them."""
    net = Net()
    x = net.rounded("x", 0.02, 120)
    scale = np.linspace(0.003, 0.006, 4)
    q = net.quantized(reals(4, 3, 3, 3) * np.float32(0.2), scale, np.zeros(4), "int8", axis=0)
    weights = net.dequantized(q, scale, np.zeros(4), "int8", axis=0)
    model = net.model(net.rounded(net.op("Conv", x, weights), 0.05, 128))
    assert ops(model) == {"Quantize": 1, "QConv": 1, "Dequantize": 1}
    assert_near(model, X, 0.05)


def test_integers_come_in_and_go_out():
    net = Net()
    net.inputs = [onnx.helper.make_tensor_value_info("x", TensorProto.UINT8, ("N", 3, 8, 8))]
    y = conv(net, net.dequantized("x", 0.02, 120))
    model = net.model(net.quantized(y, 0.05, 128), kinds=[TensorProto.UINT8])
    assert ops(model) == {"QConv": 1, "Identity": 1}
    feeds = {"x": integers(4, 3, 8, 8, low=0, high=255).astype(np.uint8)}
    assert_near(model, feeds, 1)
    (port,) = octavo.Session(model).get_inputs()
    assert (port.scale, port.zero_point) == (np.float32(0.02), 120)


def test_integers_of_int8_come_in_and_go_out():
    net = Net()
    net.inputs = [onnx.helper.make_tensor_value_info("x", TensorProto.INT8, ("N", 3, 8, 8))]
    y = conv(net, net.dequantized("x", 0.02, -8, "int8"))
    model = net.model(net.quantized(y, 0.05, 3, "int8"), kinds=[TensorProto.INT8])
    assert ops(model)["QConv"] == 1
    assert_near(model, {"x": integers(4, 3, 8, 8, low=-128).astype(np.int8)}, 1)


def test_integers_that_are_moved_between_the_two():
    """Transposed, pooled and looked up as integers: what they stand for has a form again behind that."""
    net = Net()
    y = conv(net, net.rounded("x", 0.02, 120))
    q = net.op(
        "MaxPool", net.op("Transpose", net.quantized(y, 0.05, 128), perm=[0, 1, 3, 2]), kernel_shape=[2, 2]
    )
    places = net.op("Cast", q, to=TensorProto.INT32)
    table = np.random.default_rng(0).integers(0, 256, 256).astype(np.uint8)
    y = net.dequantized(net.op("Gather", table, places), 0.04, 100)
    model = net.model(net.rounded(conv(net, y, of=4, seed=7), 0.2, 128))
    assert ops(model)["QConv"] == 2
    assert ops(model)["Lookup"] == 1
    assert_near(model, X, 0.2)


@pytest.mark.parametrize("zero", [0, 100, 200, 255])
@pytest.mark.parametrize("op", ["Conv", "MatMul", "Gemm"])
def test_weights_with_a_zero_point(op, zero):
    """Beyond int8 they are the sum of two."""
    net = Net(("N", 3, 8, 8) if op == "Conv" else ("N", 12))
    x = net.rounded("x", 0.02, 120)
    shape = {"Conv": (4, 3, 3, 3), "MatMul": (12, 5), "Gemm": (5, 12)}[op]
    array = integers(*shape, low=0, high=254)  # one more, and a sum of two is not enough for zero = 0
    weights = net.weights(array, 0.004, zero, "uint8")
    y = net.op(op, x, weights, **({"transB": 1} if op == "Gemm" else {}))
    model = net.model(net.rounded(y, 0.5, 128))
    found = ops(model)
    assert found["QConv" if op == "Conv" else "QGemm"] == 1
    assert found.get("Concat") == 1
    assert_near(model, {"x": reals(*((4, 3, 8, 8) if op == "Conv" else (50, 12)))}, 0.5)


def test_weights_that_no_two_of_int8_hold_stay_float():
    net = Net()
    x = net.rounded("x", 0.02, 120)
    weights = net.weights(integers(4, 3, 3, 3, low=0, high=255), 0.004, 0, "uint8")
    model = net.model(net.rounded(net.op("Conv", x, weights), 0.5, 128))
    assert ops(model)["Conv"] == 1
    assert_near(model, X, 0.5)


def test_weights_that_two_products_share():
    net = Net()
    x = net.rounded("x", 0.02, 120)
    weights = net.weights(integers(3, 3, 3, 3), np.full(3, 0.004), axis=0)
    y = net.rounded(net.op("Conv", x, weights, pads=[1, 1, 1, 1]), 0.05, 128)
    model = net.model(net.rounded(net.op("Conv", y, weights, pads=[1, 1, 1, 1]), 0.1, 128))
    assert ops(model) == {"Quantize": 1, "QConv": 2, "Dequantize": 1}
    assert_near(model, X, 0.1)


def fake_quantized(net, x, form, scale, low, high, zero=0):
    """What exporters leave of fake quantization, in their several ways."""
    number = np.float32
    step, ends = number(scale), (number(low), number(high))
    if form == "div round clip mul":
        y = net.op("Clip", net.op("Round", net.op("Div", x, step)), *ends)
    elif form == "clip before the rounding":
        y = net.op("Round", net.op("Clip", net.op("Div", x, step), *ends))
    elif form == "mul add round":
        y = net.op("Add", net.op("Mul", x, number(1) / step), number(zero))
        y = net.op(
            "Sub", net.op("Clip", net.op("Round", y), low + number(zero), high + number(zero)), number(zero)
        )
    elif form == "casts":
        y = net.op("Add", net.op("Round", net.op("Div", x, step)), number(zero))
        y = net.op("Cast", net.op("Clip", y, low + number(zero), high + number(zero)), to=TensorProto.UINT8)
        y = net.op("Sub", net.op("Cast", y, to=TensorProto.FLOAT), number(zero))
    elif form == "max and min":
        y = net.op("Min", net.op("Max", net.op("Round", net.op("Div", x, step)), ends[0]), ends[1])
    return net.op("Mul", y, step) if form != "casts" else net.op("Mul", step, y)


FORMS = ["div round clip mul", "clip before the rounding", "mul add round", "casts", "max and min"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ends", [(-128, 127), (-100, 155), (-7, 7)])
def test_quantization_in_plain_arithmetic(form, ends):
    net = Net()
    x = fake_quantized(net, "x", form, 0.0213, *ends, zero=-ends[0])
    y = net.op("Conv", x, fake_quantized(net, net.constant(reals(4, 3, 3, 3)), form, 0.0113, -127, 127, 127))
    model = net.model(fake_quantized(net, y, form, 0.0413, *ends, zero=-ends[0]))
    found = ops(model)
    found.pop("Clip", None)  # of fewer bits, before the input
    assert found == {"Quantize": 1, "QConv": 1, "Dequantize": 1}
    assert_near(model, X, 0.0413, share=0.02)


def test_scales_of_channels_in_plain_arithmetic():
    net = Net()
    x = fake_quantized(net, "x", "div round clip mul", 0.0213, -128, 127)
    scale = np.linspace(0.01, 0.02, 4).astype(np.float32).reshape(4, 1, 1, 1)
    steps = net.op(
        "Clip", net.op("Round", net.op("Div", reals(4, 3, 3, 3), scale)), np.float32(-127), np.float32(127)
    )
    y = net.op("Conv", x, net.op("Mul", steps, scale))
    model = net.model(fake_quantized(net, y, "div round clip mul", 0.0413, -128, 127))
    assert ops(model) == {"Quantize": 1, "QConv": 1, "Dequantize": 1}
    assert_near(model, X, 0.0413)


@pytest.mark.parametrize(
    "change",
    [
        "another scale",
        "no bounds",
        "too many steps",
        "half a step",
        "bounds between steps",
        "zero is lost",
        "floor",
    ],
)
def test_arithmetic_that_is_no_quantization_stays_as_it_is(change):
    net, number = Net(), np.float32
    y = net.op("Div", "x", number(0.02))
    y = net.op("Floor" if change == "floor" else "Round", y)
    y = net.op("Add", y, number(0.5)) if change == "half a step" else y
    ends = {"too many steps": (-200, 200), "bounds between steps": (-9.5, 9.5), "zero is lost": (5, 100)}
    if change != "no bounds":
        y = net.op("Clip", y, *map(number, ends.get(change, (-128, 127))))
    model = net.model(net.op("Mul", y, number(0.03 if change == "another scale" else 0.02)))
    assert "Quantize" not in ops(model)
    assert_near(model, X, 0.0, share=0.0)


def test_the_same_integers_by_two_scales():
    """They stand for other reals to each reader."""
    net = Net()
    q = net.quantized(conv(net, net.rounded("x", 0.02, 120)), 0.05, 128)
    y = conv(net, net.dequantized(q, 0.05, 128), of=4, seed=7)
    z = conv(net, net.dequantized(q, 0.01, 100), of=4, seed=8)
    model = net.model(net.rounded(y, 0.2, 128), net.rounded(z, 0.2, 128), q, kinds=[1, 1, TensorProto.UINT8])
    assert ops(model)["QConv"] == 3
    assert_near(model, X, 1)


@pytest.mark.parametrize("scale", [1e33, 1e-40, 1e-45])
@pytest.mark.parametrize("place", ["x", "weights", "y"])
def test_scales_at_the_ends_of_float32(scale, place):
    """Nothing overflows on the way that does not in float arithmetic."""
    net = Net()
    x = net.rounded("x", scale if place == "x" else 0.02, 120)
    weights = net.weights(integers(4, 3, 3, 3), scale if place == "weights" else 0.004)
    y = net.rounded(net.op("Conv", x, weights), scale if place == "y" else 0.05, 128)
    model = net.model(y)
    (given,), (expected,) = octavo.Session(model).run(None, X), runtime(model).run(None, X)
    same = given == expected
    assert np.mean(same) > 0.98


def test_one_quantize_and_several_dequantizes():
    net = Net()
    q = net.quantized(conv(net, net.rounded("x", 0.02, 120)), 0.05, 128)
    first, second, third = (net.dequantized(q, 0.05, 128) for _ in range(3))
    model = net.model(first, second, net.rounded(conv(net, third, of=4, seed=7), 0.2, 128))
    assert ops(model)["QConv"] == 2
    assert_near(model, X, 0.2)


def test_zero_points_behind_a_cast():
    """As PyTorch's exporter writes fake quantization."""
    net = Net()
    scale = np.float32(0.02)
    zero = net.op("Cast", np.int64(120), to=TensorProto.UINT8)
    x = net.op("DequantizeLinear", net.op("QuantizeLinear", "x", scale, zero), scale, zero)
    model = net.model(net.rounded(conv(net, x), 0.05, 128))
    assert ops(model) == {"Quantize": 1, "QConv": 1, "Dequantize": 1}
    assert_near(model, X, 0.05)


@pytest.mark.parametrize("least", [-127, -128])
@pytest.mark.parametrize("gamma", [(0.5, 2), (-2, 2)])
@pytest.mark.parametrize("scale", [0.004, np.linspace(0.003, 0.006, 4)])
def test_a_normalization_behind_a_product_goes_into_the_scales(gamma, scale, least):
    """As quantization-aware training leaves it; a channel that turns its sign turns its weights."""
    net = Net()
    x = net.rounded("x", 0.02, 120)
    weights = net.weights(integers(4, 3, 3, 3, low=least), scale, axis=0)
    y = net.op("Conv", x, weights, reals(4), pads=[1, 1, 1, 1])
    factor = np.linspace(*gamma, 4).astype(np.float32)
    y = net.op("BatchNormalization", y, factor, reals(4, seed=1), reals(4, seed=2), np.float32([1, 2, 3, 4]))
    model = net.model(net.rounded(net.op("Relu", y), 0.0413))
    if gamma[0] > 0 or least == -127:
        assert ops(model) == {"Quantize": 1, "QConv": 1, "Dequantize": 1}
    else:
        assert "BatchNormalization" in ops(model)
    assert_near(model, X, 0.0413)


def test_a_factor_behind_a_matrix_product_goes_into_the_scales():
    net = Net(("N", 12))
    x = net.rounded("x", 0.02, 120)
    y = net.op("MatMul", x, net.weights(integers(12, 5), np.linspace(0.002, 0.006, 5), axis=1))
    y = net.op("Add", net.op("Mul", y, np.linspace(0.5, 2, 5).astype(np.float32)), reals(5))
    model = net.model(net.rounded(y, 0.0513, 128))
    assert ops(model) == {"Quantize": 1, "QGemm": 1, "Dequantize": 1}
    assert_near(model, {"x": reals(50, 12)}, 0.0513)
