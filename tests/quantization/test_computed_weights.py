"""Weights that the file computes from constants are quantized as if it held them."""

import numpy as np
import octavo
import onnx.parser
import pytest
from octavo import frontend, reference
from octavo.lowering import lower
from octavo.program import artifact
from onnx import numpy_helper

RNG = np.random.default_rng(11)


def f32(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def ints(*numbers):
    return np.array(numbers, np.int64)


NETWORK = "d = Conv<pads=[1,1]>(x, w) e = Relu(d) y = Conv(e, v)"
LAYERS = "d = MatMul(x, w) e = Relu(d) y = MatMul(e, v)"
SEQUENCE = ("float[N,8,32] x", NETWORK, {"v": f32(4, 16, 1)})
ROWS = ("float[N,32] x", LAYERS, {"v": f32(16, 4)})
TABLE = (
    "float[N,6,32] x",
    "a = Add(x, w) d = MatMul(a, v) e = Relu(d) y = MatMul(e, u)",
    {"v": f32(32, 8), "u": f32(8, 4)},
)

CASES = {
    "weight norm": (
        SEQUENCE,
        "n = ReduceL2(a, i) s = Mul(a, g) w = Div(s, n)",
        {"a": f32(16, 8, 3), "g": f32(16, 1, 1), "i": ints(1, 2)},
    ),
    "weight standardization": (
        SEQUENCE,
        "m = ReduceMean(a, i) c = Sub(a, m) q = Mul(c, c) r = ReduceMean(q, i) t = Add(r, k) s = Sqrt(t) "
        "w = Div(c, s)",
        {"a": f32(16, 8, 3), "i": ints(1, 2), "k": np.float32(1e-5)},
    ),
    "spectral norm": (
        SEQUENCE,
        "r = Reshape(a, s) t = Transpose(r) p = MatMul(r, u) q = MatMul(t, p) l = LpNormalization(q) "
        "b = MatMul(r, l) o = Mul(b, b) n = ReduceSum(o) h = Pow(n, k) w = Div(a, h)",
        {"a": f32(16, 8, 3), "s": ints(16, -1), "u": f32(24), "k": np.float32(0.5)},
    ),
    "low-rank product": (
        ROWS,
        "p = MatMul(a, b) q = Mul(p, k) w = Add(q, c)",
        {"a": f32(32, 4), "b": f32(4, 16), "k": np.float32(0.25), "c": f32(32, 16)},
    ),
    "low-rank product by Einsum": (
        ROWS,
        'p = Einsum<equation="ri,ro->io">(a, b) w = Add(c, p)',
        {"a": f32(4, 32), "b": f32(4, 16), "c": f32(32, 16)},
    ),
    "softmax of a transposed table": (ROWS, "t = Transpose(a) w = Softmax<axis=0>(t)", {"a": f32(16, 32)}),
    "rows of a computed table": (
        ROWS,
        "t = Exp(a) w = Gather(t, i)",
        {"a": f32(50, 16), "i": RNG.integers(0, 50, 32)},
    ),
    "a part": (ROWS, "w, o = Split<axis=1>(a, i)", {"a": f32(32, 24), "i": ints(16, 8)}),
    "the largest": (ROWS, "w, o = TopK(a, k)", {"a": f32(32, 24), "k": ints(16)}),
    "normalized": (
        SEQUENCE,
        "w = BatchNormalization(a, b, c, d0, d1)",
        {"a": f32(16, 8, 3), "b": f32(8), "c": f32(8), "d0": f32(8), "d1": f32(8) ** 2},
    ),
    "float16": (ROWS, "h = Cast<to=10>(a) s = Sigmoid(h) w = Cast<to=1>(s)", {"a": f32(32, 16)}),
    "masked": (
        ROWS,
        "r = Range(z, n, o) c = Unsqueeze(r, j) m = LessOrEqual(r0, c) m1 = Expand(m, s) w = Where(m1, a, b)",
        {
            "z": np.int64(0),
            "n": np.int64(32),
            "o": np.int64(1),
            "j": ints(1),
            "r0": np.arange(16),
            "s": ints(32, 16),
            "a": f32(32, 16),
            "b": np.float32(0),
        },
    ),
    "positions": (
        TABLE,
        "r = Range(z, n, o) f = Cast<to=1>(r) c = Unsqueeze(f, j) g = Mul(c, q) s = Sin(g) k = Cos(g) "
        "w = Concat<axis=1>(s, k)",
        {"z": np.int64(0), "n": np.int64(6), "o": np.int64(1), "j": ints(1), "q": np.abs(f32(16))},
    ),
}


def model(inputs, body, constants, outputs="float y"):
    text = f'<ir_version: 10, opset_import: ["" : 25]> g ({inputs}) => ({outputs}) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()
    )
    for node in proto.graph.node:
        node.name = f"{node.op_type} {node.output[0]}"
    return proto


@pytest.mark.parametrize("name", CASES)
def test_as_if_the_file_held_them(name):
    (inputs, network, others), body, constants = CASES[name]
    weights = model("", body, constants, "float w")
    (weight,) = reference.run(lower(frontend.load(weights)).program, {})
    shape = [16 if axis == "N" else int(axis) for axis in inputs[6:-3].split(",")]
    x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    computed = octavo.quantize(model(inputs, f"{body} {network}", constants | others), x)
    held = octavo.quantize(model(inputs, network, others | {"w": weight}), x)
    assert artifact.to_bytes(computed.program) == artifact.to_bytes(held.program)
    assert not computed.report.float_ops.keys() & {"Conv", "MatMul", "Softmax", "Div", "Split"}
    assert str(computed.report) == str(held.report)


def test_computed_scales_are_merged_into_the_weights_before_them():
    """Learned mixing weights, as BiFPN has them: a Mul by what a Softmax and a Split of constants give."""
    body = """
        p = Softmax<axis=0>(k) p0, p1 = Split<axis=0>(p, one) c = Conv(x, w) d = Conv(x, v)
        e = Mul(c, p0) g = Mul(d, p1) i = Add(e, g) y = Conv(i, u)
    """
    constants = {"k": f32(2), "one": ints(1, 1), "w": f32(4, 4, 3), "v": f32(4, 4, 3), "u": f32(4, 4, 3)}
    quantized = octavo.quantize(model("float[N,4,16] x", body, constants), f32(8, 4, 16))
    assert quantized.report.integer_ops == {"QConv": 3}  # of which one takes in the Add
    assert not quantized.report.float_ops


def test_positions_of_a_free_length_have_a_range():
    """They follow from the input's shape, so that a plan computes them before it runs."""
    body = """
        s = Shape<start=1, end=2>(x) h = Squeeze(s) r = Range(z, h, o) f = Cast<to=1>(r) c = Unsqueeze(f, j)
        g = Mul(c, q) k = Sin(g) d = MatMul(x, w) a = Add(d, k) e = Relu(a) b = MatMul(k, v) y = MatMul(e, v)
    """
    constants = {
        "z": np.int64(0),
        "o": np.int64(1),
        "j": ints(1),
        "q": np.abs(f32(16)),
        "v": f32(16, 4),
        "w": f32(8, 16),
    }
    proto = model("float[N,S,8] x", body, constants, "float y, float b")
    quantized = octavo.quantize(proto, f32(8, 5, 8))
    assert quantized.report.integer_ops["QGemm"] == 3
    assert "no finite value" not in str(quantized.report)
