"""The recipe `int16x8`, from a model to its answers."""

import sys
from pathlib import Path

import numpy as np
import octavo
import onnx
import onnx.parser
import onnxruntime
import pytest
from encoders import HEADS, WORDS, random_weights
from octavo import reference
from octavo.program import artifact

sys.path.insert(0, str(Path(__file__).parents[2] / "benches"))

import minilm

NETWORK = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,3,24,24] x) => (float[N,10] y) {
    [first] a = Conv<pads = [1,1,1,1], strides = [2,2]>(x, u) b = Relu(a)
    [each] c = Conv<pads = [1,1,1,1], group = 32>(b, v) d = HardSwish(c) [wide] e = Conv(d, w) f = Add(e, b)
    g = Sigmoid(f) h = Mul(b, g) i = MaxPool<kernel_shape = [2,2], strides = [2,2]>(h)
    j = AveragePool<kernel_shape = [3,3], pads = [1,1,1,1]>(i) k = Concat<axis = 1>(i, j)
    [last] l = Conv(k, z) m = GlobalAveragePool(l) n = Flatten(m) y = Gemm(n, p, q) }"""
SHAPES = {
    "u": (32, 3, 3, 3),
    "v": (32, 1, 3, 3),
    "w": (32, 32, 1, 1),
    "z": (20, 64, 1, 1),
    "p": (20, 10),
    "q": (10,),
}


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(5)
    model = onnx.parser.parse_model(NETWORK)
    for name, shape in SHAPES.items():
        fan = np.prod(shape[1:]) if len(shape) > 2 else shape[0]
        array = (rng.normal(size=shape) / np.sqrt(fan)).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(6).normal(size=(60, 3, 24, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def made(network, images):
    return octavo.quantize(network, images[:40], recipe="int16x8")


def test_all_runs_in_integers_of_16_bits(made):
    ops = [node.op for node in made.program.nodes]
    assert not made.report.stays
    assert {"QConv", "QAdd", "QMul", "Lookup", "MaxPool", "QAveragePool", "Concat", "QReduceMean"} <= {*ops}
    assert not {value.dtype for value in made.program.values.values()} & {"u8"}
    assert "ranges by twice" in str(made.report)


def test_the_artifact_answers_as_the_reference_does(made, images, tmp_path):
    made.save(tmp_path / "made.octavo")
    x = images[40:]
    [wanted] = reference.run(artifact.from_bytes((tmp_path / "made.octavo").read_bytes()), {"x": x})
    for isa in octavo.tiers():
        for threads in (1, 2):
            session = octavo.Session(tmp_path / "made.octavo", threads=threads, isa=isa)
            assert session.run(None, {"x": x})[0].tobytes() == wanted.tobytes()
            assert b"".join(session.run(None, {"x": one[None]})[0].tobytes() for one in x) == wanted.tobytes()


def test_what_is_left_is_the_error_of_the_weights(network, images, made):
    """Activations of 8 bits lose several times as much as all of int16x8; nearest weights lose more."""
    float_model = octavo.Session(network)
    [wanted] = float_model.run(None, {"x": images[40:]})

    def error(model):
        [found] = octavo.Session(model).run(None, {"x": images[40:]})
        return float(((found - wanted) ** 2).sum())

    own = error(made)
    assert 4 * own < error(octavo.quantize(network, images[:40]))
    assert own < error(octavo.quantize(network, images[:40], recipe="int16x8", effort="fast"))


def test_attention_stays_float_and_says_why(images):
    rng = np.random.default_rng(2)
    ids = [rng.integers(0, WORDS, (1, 12)) for _ in range(8)]
    data = [
        {"input_ids": one, "attention_mask": np.ones_like(one), "token_type_ids": np.zeros_like(one)}
        for one in ids
    ]
    model = octavo.quantize(minilm.build(random_weights(), HEADS), data, recipe="int16x8", effort="fast")
    reasons = {(stay.op, stay.reason) for stay in model.report.stays if not stay.expected}
    for op in ("MatMul", "Softmax"):
        assert (op, f"{op} has no integer form for activations of int16") in reasons
    assert any(node.op == "QGemm" for node in model.program.nodes)
    wanted = reference.run(model.program, data[0])
    for isa in octavo.tiers():
        for found, one in zip(octavo.Session(model, isa=isa).run(None, data[0]), wanted, strict=True):
            assert found.tobytes() == one.tobytes()


def test_a_softmax_at_the_end_is_no_surprise(network, images):
    model = onnx.ModelProto()
    model.CopyFrom(network)
    model.graph.node.append(onnx.helper.make_node("Softmax", ["y"], ["s"], name="shares"))
    model.graph.output[0].name = "s"
    made = octavo.quantize(model, images[:40], recipe="int16x8", effort="fast", strict=True)
    assert [(stay.name, stay.expected) for stay in made.report.stays] == [("shares", True)]


def test_it_needs_data(network):
    with pytest.raises(octavo.DataError, match="the recipe 'int16x8' needs data"):
        octavo.quantize(network, recipe="int16x8")


def test_another_runtime_runs_its_qdq_form(made, images, tmp_path):
    """ONNX Runtime computes MaxPool of int16 in float, so that what moves is all dequantized there."""
    made.export_onnx(tmp_path / "made.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "made.onnx", providers=["CPUExecutionProvider"])
    [found] = session.run(None, {"x": images[40:]})
    [wanted] = octavo.Session(made).run(None, {"x": images[40:]})
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()
