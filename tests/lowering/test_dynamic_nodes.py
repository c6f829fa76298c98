"""Products that a model quantizes as it runs: in integers in their usual form, else as they stand."""

import itertools

import numpy as np
import octavo
import onnx
import onnx.parser
import onnxruntime
import pytest
from octavo import frontend
from octavo.lowering import evaluate, lower
from octavo.passes import simplify
from onnx import numpy_helper

K, N = 24, 5
RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, K)).astype(np.float32)
PRODUCT = """q, s, z = DynamicQuantizeLinear(x) sums = MatMulInteger(q, w, z, zero) reals = Cast<to = 1>(sums)
    scales = Mul(s, scale) """
SCALED = PRODUCT + "y = Mul(reals, scales)"


def model_of(
    nodes, weights="int8", zero=(), columns=1, outputs="float[B,T,N] y", x="float[B,T,24] x", opset=13
):
    info = np.iinfo(weights)
    constants = {
        "w": RNG.integers(info.min, info.max + 1, (K, N)).astype(weights),
        "zero": np.array(zero, weights) if zero else np.zeros(1, weights),
        "scale": (0.001 + RNG.random(columns) / 50).astype(np.float32),
        "bias": RNG.standard_normal(N).astype(np.float32),
    }
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g ({x}) => ({outputs}) {{ {nodes} }}'
    )
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return proto


def program_of(proto):
    return lower(simplify(frontend.load(proto), evaluate)).program


def ops_of(proto):
    return [node.op for node in program_of(proto).nodes]


def agree(proto, feeds):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    expected, program = session.run(None, feeds), program_of(proto)
    reference = octavo.reference.run(program, feeds)
    for isa, threads in itertools.product(octavo.tiers(), (1, 2)):
        given = octavo.Session(program, isa=isa, threads=threads).run(None, feeds)
        for ours, exact in zip(given, reference, strict=True):
            np.testing.assert_array_equal(ours, exact)
    for ours, theirs in zip(reference, expected, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * np.abs(theirs).max())


@pytest.mark.parametrize("weights", ["int8", "uint8"])
@pytest.mark.parametrize("columns", [1, N])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("zero", [(), (7,), (1, 2, 3, 100, 120)])
def test_the_usual_form_is_one_product_in_integers(weights, columns, biased, zero):
    nodes = PRODUCT + "p = Mul(reals, scales) y = Add(bias, p)" if biased else SCALED
    proto = model_of(nodes, weights, zero, columns)
    ops = ops_of(proto)
    assert ops.count("DynamicQuantize") == ops.count("QGemm") == 1
    assert not {"MatMul", "Cast"} & set(ops)
    assert ("Split" in ops) == (bool(zero) or weights == "uint8")
    for scale in (1, 1e-3, 1e6):
        agree(proto, {"x": X * np.float32(scale) + np.float32(scale / 2)})
    agree(proto, {"x": np.zeros((1, 1, K), np.float32)})


def test_weights_by_a_zero_point_in_the_middle_have_none():
    assert "Split" not in ops_of(model_of(SCALED, "uint8", (128,)))


def test_what_several_products_read_is_quantized_once():
    nodes = (
        SCALED
        + """ sums2 = MatMulInteger(q, w, z) reals2 = Cast<to = 1>(sums2) scales2 = Mul(scale, s)
        p = Mul(scales2, reals2) v = Add(p, bias)"""
    )
    proto = model_of(nodes, outputs="float[B,T,N] y, float[B,T,N] v")
    ops = ops_of(proto)
    assert (ops.count("DynamicQuantize"), ops.count("QGemm")) == (1, 2)
    agree(proto, {"x": X})


@pytest.mark.parametrize("opset", [11, 17, 25])
def test_any_opset(opset):
    agree(model_of(SCALED, opset=min(opset, 25)), {"x": X})


OTHERS = {
    "sums are an output": (SCALED, {"outputs": "float[B,T,N] y, int32[B,T,N] sums"}),
    "sums are read twice": (
        SCALED + " v = Cast<to = 7>(sums)",
        {"outputs": "float[B,T,N] y, int64[B,T,N] v"},
    ),
    "reals are an output": (SCALED, {"outputs": "float[B,T,N] y, float[B,T,N] reals"}),
    "another scale": (PRODUCT + "y = Mul(reals, scale)", {}),
    "a row": (SCALED, {"x": "float[24] x", "outputs": "float[N] y"}),
    "scales are added": (PRODUCT + "y = Add(reals, scales)", {}),
    "no zero point": (SCALED.replace("w, z, zero", "w"), {}),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_forms_run_as_they_stand(case):
    nodes, more = OTHERS[case]
    proto = model_of(nodes, **more)
    assert "QGemm" not in ops_of(proto)
    feeds = {"x": X[0, 0] if case == "a row" else X}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for ours, theirs in zip(octavo.Session(proto).run(None, feeds), session.run(None, feeds), strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_a_bias_of_another_shape_stays_an_add():
    nodes = PRODUCT + "p = Mul(reals, scales) c = Constant<value_float = 2.0>() y = Add(p, c)"
    proto = model_of(nodes)
    assert "QGemm" in ops_of(proto)
    agree(proto, {"x": X})


@pytest.mark.parametrize("scaled", [False, True])
def test_sums_that_no_float32_holds_are_exact(scaled):
    """Of so many products that a sum could leave int32: they run as they stand."""
    proto = model_of(SCALED) if scaled else model_of(PRODUCT, outputs="int32[B,T,N] sums")
    del proto.graph.initializer[0]
    long = 70_000
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = long
    w = numpy_helper.from_array(RNG.integers(100, 128, (long, N)).astype(np.int8), "w")
    proto.graph.initializer.append(w)
    assert "QGemm" not in ops_of(proto)
    x = np.linspace(0.9, 1, 2 * long, dtype=np.float32).reshape(1, 2, long)
    x[0, 0, 0] = 0
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (ours,), (theirs,) = octavo.Session(proto).run(None, {"x": x}), session.run(None, {"x": x})
    assert theirs.max() > (1e4 if scaled else 1 << 25)
    np.testing.assert_allclose(ours, theirs, rtol=2e-7 if scaled else 0)


def test_such_a_model_is_saved(tmp_path):
    proto = model_of(SCALED, "uint8")
    model = octavo.quantize(proto)
    model.save(tmp_path / "m.octavo")
    (ours,), (theirs,) = (
        octavo.Session(source).run(None, {"x": X}) for source in (tmp_path / "m.octavo", proto)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_such_a_model_is_quantized_further():
    proto = model_of(SCALED.replace("y = ", "p = ") + " t = Softmax(p) y = MatMul(t, u)")
    proto.graph.initializer.append(
        numpy_helper.from_array(RNG.standard_normal((N, N)).astype(np.float32), "u")
    )
    model = octavo.quantize(proto, list(X))
    (ours,), (theirs,) = (octavo.Session(source).run(None, {"x": X}) for source in (model, proto))
    np.testing.assert_allclose(ours, theirs, atol=0.1)
