"""A constant with more axes than the tensor gives the answer another rank: no fusion may drop it."""

import itertools
import re

import numpy as np
import octavo
import onnx
import onnx.parser
import onnxruntime
import pytest

X = np.linspace(-4, 4, 5).astype("f4")

# The names in braces are constants of one element.
NUMBERS = {
    "three": 3, "half": 0.5, "sixth": 1 / 6, "six": 6, "one": 1, "slope": 1.702, "fifth": 0.2, "root": 2**0.5,
    "tiny": 0.044715, "wave": (2 / np.pi) ** 0.5, "cubed": 3, "two": 2, "epsilon": 1e-5, "minus": -1,
}  # fmt: skip
LIMITS = {"zero": np.float32(0), "sixes": np.float32(6), "ones": np.float32(1)}  # of Clip: ONNX has them so
SPELLINGS = {
    "HardSwish": "a = Add(x, three) b = Clip(a, zero, sixes) c = Mul(x, b) y = Div(c, six)",
    "HardSwish by a factor": "a = Add(three, x) b = Clip(a, zero, sixes) c = Mul(b, sixth) y = Mul(c, x)",
    "HardSwish of HardSigmoid": "a = Add(x, three) b = Clip(a, zero, sixes) c = Div(b, six) y = Mul(x, c)",
    "HardSigmoid": "a = Mul(x, fifth) b = Add(a, half) y = Clip(b, zero, ones)",
    "Swish": "a = Mul(slope, x) b = Sigmoid(a) y = Mul(x, b)",
    "Swish with a factor behind": "a = Sigmoid(x) b = Mul(x, a) y = Mul(b, one)",
    "Softplus": "a = Exp(x) b = Add(a, one) y = Log(b)",
    "Mish": "a = Exp(x) b = Add(one, a) c = Log(b) d = Tanh(c) y = Mul(x, d)",
    "Gelu": "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(x, c) y = Mul(d, half)",
    "Gelu by tanh": """p = Pow(x, cubed) q = Mul(p, tiny) r = Add(x, q) s = Mul(r, wave) t = Tanh(s)
        u = Add(t, one) v = Mul(x, u) y = Mul(half, v)""",
    "Relu": "y = Max(x, minus)",
    "Clip": "a = Max(x, minus) y = Min(one, a)",
    "a row of scales": "a = Mul(x, two) b = Div(a, three) y = Mul(b, half)",
    "a row of offsets": "a = Add(x, two) y = Sub(a, three)",
    "nothing": "a = Mul(x, one) y = Div(a, one)",
    "no power": "y = Pow(x, one)",
    "LayerNormalization": """m = ReduceMean(x, last) a = Sub(x, m) s = Pow(a, two) v = ReduceMean(s, last)
        e = Add(v, epsilon) d = Sqrt(e) n = Div(a, d) g = Mul(n, three) y = Add(g, half)""",
    "MatMul, scaled": "a = MatMul(x, w) y = Mul(a, two)",
    "MatMul, divided": "a = MatMul(x, w) y = Div(a, two)",
    "MatMul, moved": "a = MatMul(x, w) y = Add(a, two)",
    "MatMul by columns": "a = MatMul(x, w) b = Mul(a, columns) y = Add(b, columns)",
    "an Expand and a Where": "a = Expand(x, shape) b = Greater(a, two) y = Where(b, a, half)",
}
TENSORS = {
    "w": np.linspace(-1, 1, 20, dtype="f4").reshape(5, 4), "columns": np.arange(1, 5, dtype="f4"),
    "shape": np.array([5]), "last": np.array([-1]),
}  # fmt: skip


def model_of(body, ranks, declared):
    """The model with each constant of `ranks` given that many axes of length 1 in front."""
    text = f'<ir_version: 8, opset_import: ["" : 18]> g (float{declared} x) => (float y) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    if declared == "[5]":
        proto.graph.input[0].type.tensor_type.shape.CopyFrom(onnx.TensorShapeProto(dim=[{"dim_value": 5}]))
    known = {name: np.float32(value) for name, value in NUMBERS.items()} | LIMITS | TENSORS
    read = {name for node in proto.graph.node for name in node.input}
    for name in sorted(read & known.keys()):
        array = np.asarray(known[name])
        array = array.reshape((1,) * (ranks.get(name, array.ndim) - array.ndim) + array.shape)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def peer(proto, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)[0]


def raised(body):
    """The ranks to try: each constant alone at two axes, all of them, and one at three."""
    proto = model_of(body, {}, "[5]")
    names = [c.name for c in proto.graph.initializer if c.name in NUMBERS or c.name == "columns"]
    return [{}, *({name: 2} for name in names), dict.fromkeys(names, 2), {names[0]: 3}]


CASES = [(name, ranks) for name, body in SPELLINGS.items() for ranks in raised(body)]


@pytest.mark.parametrize(("name", "ranks"), CASES, ids=str)
def test_answers_keep_their_rank(name, ranks):
    for declared, x in (("[5]", X), ("[N,5]", np.stack([X, X + 1])), ("[N]", X)):
        proto = model_of(SPELLINGS[name], ranks, declared)
        want = peer(proto, {"x": x})
        (got,) = octavo.Session(proto, threads=1).run(None, {"x": x})
        assert got.shape == want.shape, declared
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", SPELLINGS)
def test_answers_of_unknown_rank(name):
    """Of a tensor whose rank is not known, one constant at a time has two axes."""
    body = "z = Reshape(x, to) " + re.sub(r"\bx\b", "z", SPELLINGS[name])
    for ranks in raised(SPELLINGS[name]):
        proto = model_of(body, ranks, "[5]")
        proto.graph.input.append(onnx.helper.make_tensor_value_info("to", onnx.TensorProto.INT64, ["r"]))
        session = octavo.Session(proto, threads=1)
        for shape in ([5], [1, 5]):
            feeds = {"x": X, "to": np.array(shape)}
            want, (got,) = peer(proto, feeds), session.run(None, feeds)
            assert got.shape == want.shape, (ranks, shape)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-6)


BEHIND = {
    "Add": "y = Add(h, {})", "Sub": "y = Sub({}, h)", "Mul": "y = Mul(h, {})", "Div": "y = Div(h, {})",
    "Max": "y = Max(h, {})", "Min": "y = Min({}, h)", "Pow": "y = Pow(h, {})", "PRelu": "y = PRelu(h, {})",
    "Where": "g = Greater(h, {}) y = Where(g, h, {})",
    "a function": "s = Mul(h, {}) t = Tanh(s) y = Mul(t, {})",
    "a clamp": "s = Max(h, {}) y = Relu(s)",
}  # fmt: skip


RANKS = {"Gemm": 2, "Conv": 3, "vector": 1, "product": 2}
QUANTIZED = [
    (of, op, axes)
    for of, op, axes in itertools.product(RANKS, BEHIND, range(5))
    if op != "PRelu" or axes <= RANKS[of]  # ONNX has no PRelu by a slope of more axes
]


@pytest.mark.parametrize(("of", "op", "axes"), QUANTIZED)
def test_quantized_answers_keep_their_rank(of, op, axes):
    """One number of any rank, behind an op that runs in integers and before one more."""
    rng = np.random.default_rng(axes)
    front, shape = {
        "Gemm": ("h = Gemm(x, w, b)", (4, 6)),
        "Conv": ("h = Conv<kernel_shape=[3]>(x, k)", (4, 6, 9)),
        "vector": ("m = MatMul(x, w) n = Relu(m) h = ReduceMax<keepdims=0>(n, last)", (4, 6)),
        "product": ("m = Relu(x) n = Transpose<perm=[1,0]>(m) h = MatMul(m, n)", (4, 6)),
    }[of]
    sizes = ", ".join(map(str, shape))
    text = f"g (float[{sizes}] x) => (float z) {{ {front} {BEHIND[op].format('c', 'c')} z = MatMul(y, v) }}"
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}')
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    inner = {"Gemm": 6, "Conv": 7, "vector": 4, "product": 4}[of]
    constants = {
        "w": rng.normal(size=(6, 6)), "b": rng.normal(size=6), "k": rng.normal(size=(4, 6, 3)),
        "v": rng.normal(size=(inner, 3)), "c": np.full((1,) * axes, 2.0),
    }  # fmt: skip
    read = {name for node in proto.graph.node for name in node.input}
    for name in sorted(read & constants.keys()):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(constants[name].astype("f4"), name))
    if "last" in read:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "last"))
    x = rng.normal(size=shape).astype("f4")
    want = peer(proto, {"x": x})
    model = octavo.quantize(proto, [x])
    (got,) = octavo.Session(model, threads=1).run(None, {"x": x})
    assert got.shape == want.shape
    assert np.array_equal(got, octavo.reference.run(model.program, {"x": x})[0])
    assert np.abs(got - want).max() < 0.1 * np.abs(want).max()
