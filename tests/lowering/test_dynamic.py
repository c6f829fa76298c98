"""Products whose activations become integers at run time."""

import numpy as np
import pytest
from graphs import graph
from octavo import reference
from octavo.lowering import EXCLUDED, Weights, lower_dynamically
from octavo.lowering.dynamic import FLOATS, GROUPS, TRANSPOSED
from octavo.program.validate import validate


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def weights(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def lowered(floats, **options):
    found = lower_dynamically(floats, **options)
    validate(found.program)
    return found


def near(floats, found, feeds, decibel=30):
    for want, got in zip(reference.run(floats, feeds), reference.run(found.program, feeds), strict=True):
        error = np.square(want.astype(np.float64) - got).sum()
        assert error < np.square(want.astype(np.float64)).sum() * 10 ** (-decibel / 10)


def ops(found):
    return [node.op for node in found.program.nodes]


@pytest.mark.parametrize(
    ("body", "constants"),
    [
        ("y = MatMul(x, w)", {"w": (8, 5)}),
        ("h = MatMul(x, w) y = Add(b, h)", {"w": (8, 5), "b": (5,)}),
        ("y = Gemm(x, w, b)", {"w": (8, 5), "b": (5,)}),
        ("y = Gemm<transB = 1, alpha = -0.7, beta = 2.5>(x, w, b)", {"w": (5, 8), "b": (1, 5)}),
        ("h = Gemm(x, w, b) y = Add(h, c)", {"w": (8, 5), "b": (1,), "c": (1, 5)}),
    ],
)
def test_matrix_products(rng, body, constants):
    arrays = {name: weights(rng, *shape) for name, shape in constants.items()}
    floats = graph(f"g (float[N,8] x) => (float[N,5] y) {{ {body} }}", **arrays)
    found = lowered(floats)
    assert ops(found) == ["DynamicQuantize", "QGemm"]
    assert found.stays == []
    quantize, product = found.program.nodes
    assert quantize.attributes == {"axis": -1}
    assert found.nodes[quantize.name] == ()
    assert found.nodes[product.name] == tuple(node.name for node in floats.nodes)
    assert found.values["x_quantized"] == "x"
    near(floats, found, {"x": rng.standard_normal((6, 8)).astype(np.float32)})


@pytest.mark.parametrize(
    "window", ["", "<pads = [1, 1, 0, 2], strides = [2, 1]>", '<auto_pad = "SAME_UPPER">']
)
def test_convolutions(rng, window):
    arrays = {"w": weights(rng, 6, 4, 3, 3), "b": weights(rng, 6)}
    text = f"g (float[N,4,H,W] x) => (float[N,6,P,Q] y) {{ y = Conv{window}(x, w, b) }}"
    floats = graph(text, **arrays)
    found = lowered(floats)
    assert ops(found) == ["DynamicQuantize", "QConv"]
    assert found.program.nodes[0].attributes == {"axis": 1}
    assert found.program.values["x_scale"].shape == ("N",)
    near(floats, found, {"x": rng.standard_normal((2, 4, 7, 9)).astype(np.float32)})


def test_one_quantization_for_all_that_read_a_value_alike(rng):
    text = """g (float[N,4,6] x) => (float[N,4,6] y, float[N,4,6] z, float[N,3,6] t) {
        a = MatMul(x, v) b = MatMul(x, w) y = Relu(a) z = Add(b, x) t = Conv(x, k) }"""
    arrays = {"v": weights(rng, 6, 6), "w": weights(rng, 6, 6), "k": weights(rng, 3, 4, 1)}
    found = lowered(graph(text, **arrays))
    assert ops(found) == ["DynamicQuantize", "QGemm", "QGemm", "Relu", "Add", "DynamicQuantize", "QConv"]


def test_weights_that_two_products_share_are_there_once(rng):
    text = """g (float[N,6] x) => (float[N,6] y) { a = MatMul(x, w) y = MatMul(a, w) }"""
    found = lowered(graph(text, w=weights(rng, 6, 6)))
    assert sum(array.dtype == np.int8 for array in found.program.constants.values()) == 1


REASONS = [
    ("y = MatMul(x, x)", {}, FLOATS, True),
    ("y = Relu(x)", {}, FLOATS, True),
    ("y = Softmax(x)", {}, FLOATS, True),
    ("s = Abs(x) y = Conv(s, w)", {"w": (6, 1, 3)}, GROUPS, True),
    ("y = ConvTranspose(x, w)", {"w": (6, 2, 3)}, TRANSPOSED, True),
    ("y = Gemm<transA = 1>(x, w)", {"w": (6, 2)}, "its activations are transposed (transA)", False),
    ("y = Gemm(x, w, c)", {"w": (6, 2), "c": (6, 2)}, "its bias has the shape [6, 2], not one", False),
]


@pytest.mark.parametrize(("body", "constants", "reason", "expected"), REASONS)
def test_what_stays_float(rng, body, constants, reason, expected):
    shape = "1,6,9" if "Conv" in body else "6,6"
    body = body.replace("Conv(", "Conv<group = 6>(")
    arrays = {name: weights(rng, *shape) for name, shape in constants.items()}
    floats = graph(f"g (float[{shape}] x) => (float y) {{ {body} }}", **arrays)
    found = lowered(floats)
    assert ops(found) == [node.op for node in floats.nodes]
    stay = found.stays[-1]
    assert stay.reason.startswith(reason)
    assert stay.expected == expected


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (np.full((2, 3), np.nan), "its weights or its bias hold NaN"),
        (np.ones((66312, 3)), "its sums over 66312 products could leave int32"),
    ],
)
def test_weights_that_cannot_be_integers(weight, reason):
    floats = graph(
        f"g (float[N,{len(weight)}] x) => (float[N,3] y) {{ y = MatMul(x, w) }}", w=np.float32(weight)
    )
    found = lowered(floats)
    assert ops(found) == ["MatMul"]
    (stay,) = found.stays
    assert stay.reason.startswith(reason)
    assert not stay.expected


def test_what_is_excluded(rng):
    text = "g (float[N,6] x) => (float[N,6] y) { a = MatMul(x, w) y = MatMul(a, v) }"
    floats = graph(text, w=weights(rng, 6, 6), v=weights(rng, 6, 6))
    found = lowered(floats, exclude=[floats.nodes[0].name])
    assert ops(found) == ["MatMul", "DynamicQuantize", "QGemm"]
    assert [(stay.name, stay.reason, stay.expected) for stay in found.stays] == [
        (floats.nodes[0].name, EXCLUDED, True)
    ]


def test_one_scale_a_tensor(rng):
    floats = graph("g (float[N,6] x) => (float[N,5] y) { y = MatMul(x, w) }", w=weights(rng, 6, 5))
    (one,) = [
        len(set(c)) for n, c in lowered(floats, per_channel=False).program.constants.items() if "scale" in n
    ]
    (many,) = [len(set(c)) for n, c in lowered(floats).program.constants.items() if "scale" in n]
    assert (one, many) == (1, 5)


def test_names_that_are_taken(rng):
    """What is added has names of its own."""
    text = """g (float[N,6] x) => (float[N,6] y, float[N,6] x_quantized) {
        y = MatMul(x, w) [x_quantized_2] x_quantized = Relu(x) }"""
    found = lowered(graph(text, w=weights(rng, 6, 6)))
    names = [node.name for node in found.program.nodes]
    assert len(set(names)) == len(names) == 3


def test_a_constant_that_is_multiplied(rng):
    text = "g (float[N,6] x) => (float[N,6] y) { a = MatMul(c, w) y = Add(x, a) }"
    floats = graph(text, c=weights(rng, 2, 6), w=weights(rng, 6, 6))
    near(floats, lowered(floats), {"x": rng.standard_normal((2, 6)).astype(np.float32)})


def test_weights_that_were_made(rng):
    """They are taken as they are, at their scales; what they were made of is kept beside them."""
    arrays = {"w": weights(rng, 8, 5), "b": weights(rng, 5)}
    floats = graph("g (float[N,8] x) => (float[N,5] y) { y = Gemm(x, w, b) }", **arrays)
    integers = rng.integers(-127, 128, (8, 5)).astype(np.int8)
    scale = np.linspace(0.01, 0.02, 5).astype(np.float32)
    found = lowered(floats, made={"w": Weights(integers, scale, None)})
    assert np.array_equal(found.program.constants["w_quantized"], integers)
    assert np.array_equal(found.program.values["w_quantized"].quant.scale, scale)
    assert np.array_equal(found.weights["w_quantized"], arrays["w"])
    bad = lowered(floats, made={"w": Weights(integers, scale * np.float32(np.inf), None)})
    assert [stay.reason for stay in bad.stays] == [
        "a scale of its weights, times alpha, is not a positive number"
    ]
