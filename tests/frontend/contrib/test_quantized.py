"""Operators of integers against ONNX Runtime, whose results they meet but for one step at ties."""

import numpy as np
import octavo
import onnx.parser
import onnx.reference
import pytest
from contributed import agree, answers_of, floats, model_of, refusal
from octavo.session import load_program
from onnx import numpy_helper

PAIRS = [("uint8", "uint8"), ("uint8", "int8"), ("int8", "int8")]
STEP = 1
"""Both round a float32 near the same real."""


def integers(*shape, dtype="uint8", seed=0):
    info = np.iinfo(dtype)
    return np.random.default_rng([seed, *shape]).integers(info.min, info.max + 1, shape).astype(dtype)


def number(value):
    return np.array(value, np.float32)


def point(dtype, value=None):
    return np.array((120 if dtype == "uint8" else -5) if value is None else value, dtype)


def close(op, inputs, **more):
    (given,) = agree(op, inputs, tolerance=STEP, **more)
    assert len(np.unique(given)) > 3


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(
    ("op", "channels_last", "attributes"),
    [
        ("QLinearSigmoid", False, {}),
        ("QLinearLeakyRelu", False, {"alpha": 0.1}),
        ("QLinearAveragePool", False, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("QLinearAveragePool", False, {"kernel_shape": [3, 3], "count_include_pad": 1, "pads": [1, 1, 1, 1]}),
        ("QLinearAveragePool", False, {"kernel_shape": [3, 3], "ceil_mode": 1, "strides": [2, 2]}),
        ("QLinearAveragePool", True, {"kernel_shape": [3, 2]}),
        ("QLinearGlobalAveragePool", False, {}),
        ("QLinearGlobalAveragePool", True, {}),
    ],
)
def test_functions_of_one_tensor(op, channels_last, attributes, dtype):
    shape = (2, 6, 7, 3) if channels_last else (2, 3, 6, 7)
    x, last = integers(*shape, dtype=dtype), {"channels_last": 1} if channels_last else {}
    scale = 1 / 256 if op == "QLinearSigmoid" else 0.02
    inputs = [x, number(0.03), point(dtype), number(scale), point(dtype, 3)]
    close(op, inputs, **attributes, **last)
    if op == "QLinearLeakyRelu":
        close(op, [x, number(0.03), None, number(scale), point(dtype, 3)], **attributes)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(("opset", "axis"), [(13, -1), (13, 1), (11, 1), (11, 3)])
def test_softmax(opset, axis, dtype):
    x = integers(2, 3, 4, 5, dtype=dtype)
    least = np.iinfo(dtype).min
    inputs = [x, number(0.02), point(dtype), number(1 / 256), point(dtype, least)]
    close("QLinearSoftmax", inputs, axis=axis, own={"opset": opset})


def test_reduce_mean_is_that_of_the_reals():
    x, scales = integers(2, 3, 6), (number(0.03), number(0.02))
    inputs = [x, scales[0], point("uint8"), scales[1], point("uint8", 60)]
    model, feeds = model_of("QLinearReduceMean", inputs, axes=[1, -1], keepdims=0)
    (given,) = octavo.Session(model).run(None, feeds)
    means = ((x.astype(np.float64) - 120) * 0.03).mean(axis=(1, 2))
    np.testing.assert_allclose(given, np.rint(means / 0.02) + 60, atol=STEP)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_functions_of_several_tensors(dtype):
    a = [integers(2, 3, 6, dtype=dtype), number(0.03), point(dtype)]
    b = [integers(3, 1, dtype=dtype, seed=1), number(0.07), point(dtype, 4)]
    y = [number(0.2), point(dtype, 7)]
    for op in ("QLinearAdd", "QLinearMul"):
        close(op, [*a, *b, *y])
    mask = np.arange(6) % 2 == 0
    close("QLinearWhere", [mask, *a, *b, *y], outputs=[f"y:{dtype}"])
    other = [integers(2, 1, 6, dtype=dtype), number(0.11), point(dtype, 9)]
    close("QLinearConcat", [*y, *a, *other], axis=1, outputs=[f"y:{dtype}"])


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("transposed", [0, 1])
def test_qgemm(left, right, columns, transposed):
    scale = np.linspace(0.01, 0.03, 5, dtype=np.float32) if columns else number(0.02)
    zero = np.arange(5).astype(right) if columns else point(right, 7)
    b = integers(*((5, 8) if transposed else (8, 5)), dtype=right)
    for c in (None, integers(5, dtype="int32") >> 20, integers(4, 5, dtype="int32") >> 20):
        inputs = [integers(4, 8, dtype=left), number(0.03), point(left), b, scale, zero, c]
        agree("QGemm", inputs, transB=transposed, alpha=0.5, outputs=["y:float32"], tolerance=1e-3)
        close("QGemm", [*inputs, number(0.5), point(left, 3)], transB=transposed, alpha=0.5)


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("constant", [False, True])
def test_qlinear_conv(left, right, constant):
    x = [integers(2, 4, 6, 7, dtype=left), number(0.03), point(left)]
    y = [number(0.3), point(left, 9)]
    window = {"group": 2, "pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2], "domain": ""}
    w = integers(6, 2, 3, 3, dtype=right)
    stored = {"constants": [1, 3, 4, 5, 8] if constant else []}
    scales, bias = np.linspace(0.01, 0.03, 6, dtype=np.float32), integers(6, dtype="int32") >> 20
    close("QLinearConv", [*x, w, scales, np.zeros(6, right), *y, bias], **window, **stored)
    if not constant:
        close("QLinearConv", [*x, w, number(0.02), point(right), *y], **window)


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("columns", [False, True])
def test_qlinear_matmul(left, right, columns):
    scale = np.linspace(0.01, 0.03, 5, dtype=np.float32) if columns else number(0.02)
    zero = np.zeros(5, right) if columns else point(right, 7 if left == "uint8" else 0)
    inputs = [
        integers(2, 4, 8, dtype=left),
        number(0.02),
        point(left),
        integers(8, 5, dtype=right),
        scale,
        zero,
    ]
    close("QLinearMatMul", [*inputs, number(0.3), point(left)], domain="", opset=13)


def test_qlinear_matmul_by_rows():
    """ONNX's reference has lists for rows; ONNX Runtime has them for columns alone."""
    rows, columns = np.linspace(0.01, 0.03, 4, dtype=np.float32), np.linspace(0.02, 0.04, 5, dtype=np.float32)
    a, b = integers(4, 8), integers(8, 5)
    inputs = [
        a,
        rows,
        point("uint8") + np.arange(4, dtype=np.uint8),
        b,
        columns,
        np.arange(5, dtype=np.uint8),
    ]
    model, feeds = model_of("QLinearMatMul", [*inputs, number(0.1), point("uint8")], domain="")
    (given,) = octavo.Session(model).run(None, feeds)
    left = (a.astype(np.float64) - inputs[2][:, None]) * rows[:, None]
    right = (b.astype(np.float64) - inputs[5]) * columns
    np.testing.assert_allclose(given, np.clip(np.rint(left @ right / 0.1) + 120, 0, 255), atol=STEP)


@pytest.mark.parametrize("opset", [10, 21])
def test_qlinear_matmul_against_the_reference(opset):
    inputs = [integers(4, 8), number(0.02), point("uint8"), integers(8, 5), number(0.03), point("uint8", 7)]
    model, feeds = model_of("QLinearMatMul", [*inputs, number(0.4), point("uint8")], domain="", opset=opset)
    (expected,) = onnx.reference.ReferenceEvaluator(model).run(None, feeds)
    np.testing.assert_allclose(octavo.Session(model).run(None, feeds)[0], expected.astype(int), atol=STEP)


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("columns", [False, True])
def test_products_of_integers_that_give_floats(left, right, columns):
    scale = np.linspace(0.01, 0.03, 5, dtype=np.float32) if columns else number(0.02)
    zero = np.zeros(5, right) if columns else point(right, 7 if left == "uint8" else 0)
    inputs = [integers(2, 4, 8, dtype=left), integers(8, 5, dtype=right), number(0.03), scale]
    for more in ([], [point(left)], [point(left), zero], [point(left), zero, floats(5)], [None, zero]):
        agree("MatMulIntegerToFloat", [*inputs, *more], outputs=["y:float32"], tolerance=1e-4)
    if left == "uint8":
        for more in ([], [zero], [zero, floats(5)], [None, floats(5)]):
            agree("DynamicQuantizeMatMul", [floats(2, 4, 8), *inputs[1::2], *more], tolerance=1e-4)


@pytest.mark.parametrize("right", ["uint8", "int8"])
@pytest.mark.parametrize("columns", [False, True])
def test_quantized_attention(right, columns):
    scale = np.linspace(0.01, 0.02, 24, dtype=np.float32) if columns else number(0.01)
    zero = np.arange(24).astype(right) if columns else point(right, 3)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    inputs = [integers(2, 5, 8), integers(8, 24, dtype=right), floats(24), number(0.02), scale, mask]
    more = {"num_heads": 2, "outputs": ["y:float32"], "constants": [1, 4, 7]}
    agree("QAttention", [*inputs, point("uint8", 7), zero], tolerance=1e-4, **more)


def test_attention_of_what_a_run_quantizes():
    text = """<ir_version: 8, opset_import: ["": 13, "com.microsoft": 1]>
        g (float[B,T,8] x) => (float[B,T,8] y) {
        q, s, z = DynamicQuantizeLinear(x)
        y = com.microsoft.QAttention<num_heads = 2>(q, w, b, s, scale, , z, zero) }"""
    proto = onnx.parser.parse_model(text)
    arrays = {"w": integers(8, 24, dtype="int8"), "b": floats(24), "scale": number(0.01), "zero": np.int8(0)}
    proto.graph.initializer.extend(numpy_helper.from_array(np.array(a), name) for name, a in arrays.items())
    assert "QGemm" in [node.op for node in load_program(proto.SerializeToString()).nodes]
    feeds = {"x": floats(2, 5, 8)}
    for ours, theirs in zip(octavo.Session(proto).run(None, feeds), answers_of(proto, feeds), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_domain_of_its_own_for_what_onnx_has():
    x, scales, zeros = floats(3, 4), np.linspace(0.1, 0.4, 4, dtype=np.float32), np.arange(4, dtype=np.int8)
    agree("QuantizeLinear", [x, scales, zeros], outputs=["y:int8"])
    q = integers(3, 4, dtype="int16")
    agree("DequantizeLinear", [q, scales[:3], np.arange(3, dtype=np.int16)], axis=0, outputs=["y:float32"])


def test_nodes_that_do_not_fit():
    x, s, z = integers(2, 3), number(0.1), point("uint8")
    three = refusal("QLinearConcat", [s, z, x, s], axis=0, outputs=["y:uint8"])
    assert "node 'n' (QLinearConcat) has 2 inputs behind its scale and zero point" in three
    assert "node 'n' (QLinearSigmoid) lacks its input 'Y_scale'" in refusal("QLinearSigmoid", [x, s, z])
    image, w, two, three = integers(1, 3, 4, 4), integers(2, 3, 1, 1), floats(2), floats(3)
    inputs = [image, two, z, w, three, z, s, z, integers(2, dtype="int32")]
    uneven = refusal("QLinearConv", inputs, domain="", constants=[1, 4])
    assert "node 'n' (QLinearConv) breaks the rules of its operator: operands could not be" in uneven
    wrong = refusal("QLinearConv", [x, s, z, x, s, z, s, z], domain="", dilations=1)
    assert "node" in wrong
    assert "n" in wrong
