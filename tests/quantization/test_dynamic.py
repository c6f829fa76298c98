"""The recipe `dynamic`, from a model to its answers."""

import sys
from pathlib import Path

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from encoders import HEADS, WORDS, random_weights
from octavo import reference
from octavo.program import Node, artifact
from octavo.quantization.dynamic import met_dynamically
from octavo.quantization.stored import FloatProduct

sys.path.insert(0, str(Path(__file__).parents[2] / "benches"))

import minilm

CONVOLUTIONS = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,3,H,W] x) => (float[N,10] y) {
    [first] a = Conv<pads = [1,1,1,1], strides = [2,2]>(x, u) b = Relu(a)
    [each] c = Conv<pads = [1,1,1,1], group = 16>(b, v, e) [wide] d = Conv(c, w) p = GlobalAveragePool(d)
    f = Flatten(p) [last] y = Gemm(f, k, l) }"""


@pytest.fixture(scope="module")
def encoder():
    return octavo.quantize(minilm.build(random_weights(), HEADS), recipe="dynamic")


@pytest.fixture(scope="module")
def convolutions():
    rng = np.random.default_rng(5)
    model = onnx.parser.parse_model(CONVOLUTIONS)
    shapes = {
        "u": (16, 3, 3, 3),
        "v": (16, 1, 3, 3),
        "e": (16,),
        "w": (24, 16, 1, 1),
        "k": (24, 10),
        "l": (10,),
    }
    for name, shape in shapes.items():
        array = rng.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def feeds_of(tokens, width):
    """Texts of so many tokens, each padded to a width."""
    ids = np.zeros((len(tokens), width), np.int64)
    mask = np.zeros_like(ids)
    for row, own in enumerate(tokens):
        ids[row, : len(own)], mask[row, : len(own)] = own, 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def test_the_report(encoder):
    report = encoder.report
    assert report.integer_ops == {"QGemm": 12}
    assert report.conversions == 8
    assert 0.99 * report.macs < report.integer_macs < report.macs  # the rest is attention
    assert report.samples == 0
    assert all(stay.expected for stay in report.stays)
    assert not any(name in report.float_ops for name in ("Conv", "Gemm"))


def test_a_text_has_the_same_bits_in_any_batch_at_any_padding(encoder):
    rng = np.random.default_rng(3)
    texts = [rng.integers(1, WORDS, length) for length in (5, 9, 23, 3)]
    for isa in octavo.tiers():
        session = octavo.Session(encoder, isa=isa)
        tokens, vectors = session.run(None, feeds_of(texts, 23))
        for row, own in enumerate(texts):
            for width in (len(own), len(own) + 1, 40):
                token, vector = session.run(None, feeds_of([own], width))
                assert token[0, : len(own)].tobytes() == tokens[row, : len(own)].tobytes()
                assert vector.tobytes() == vectors[row : row + 1].tobytes()


def test_an_artifact_answers_as_the_reference(encoder, convolutions, tmp_path):
    rng = np.random.default_rng(4)
    cases = [
        (encoder, feeds_of([rng.integers(1, WORDS, 7), rng.integers(1, WORDS, 4)], 7)),
        (
            octavo.quantize(convolutions, recipe="dynamic"),
            {"x": rng.normal(size=(3, 3, 9, 11)).astype(np.float32)},
        ),
    ]
    for model, feeds in cases:
        model.save(tmp_path / "model.octavo")
        assert artifact.to_bytes(model.program) == (tmp_path / "model.octavo").read_bytes()
        expected = reference.run(model.program, feeds)
        for isa in octavo.tiers():
            found = octavo.Session(tmp_path / "model.octavo", isa=isa, threads=2).run(None, feeds)
            assert [array.tobytes() for array in found] == [array.tobytes() for array in expected]


def test_convolutions(convolutions):
    model = octavo.quantize(convolutions, recipe="dynamic", strict=True)
    assert model.report.integer_ops == {"QConv": 2, "QGemm": 1}
    assert "each" in {stay.name for stay in model.report.stays}
    feeds = {"x": np.random.default_rng(6).normal(size=(2, 3, 16, 16)).astype(np.float32)}
    (want,), (got,) = octavo.Session(convolutions).run(None, feeds), octavo.Session(model).run(None, feeds)
    error = np.square(want - got).mean() / np.square(want).mean()
    assert 0 < error < 1e-3


def test_strict_objects_to_a_product_that_stays_float():
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[6,6] x) => (float[6,6] y) {
        [turned] y = Gemm<transA = 1>(x, w) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(6, dtype=np.float32), "w"))
    assert octavo.quantize(model, recipe="dynamic").report.integer_ops == {}
    with pytest.raises(octavo.ModelError, match="Gemm 'turned': its activations are transposed"):
        octavo.quantize(model, recipe="dynamic", strict=True)


def test_a_range_rule_is_refused(convolutions):
    with pytest.raises(octavo.DataError, match="'mean', but the recipe 'dynamic' takes no ranges from data"):
        octavo.quantize(convolutions, recipe="dynamic", range_rule="mean")


def loss(model, found, x):
    (want,), (got,) = (octavo.Session(of).run(None, {"x": x}) for of in (model, found))
    return np.square(want - got).mean() / np.square(want - want.mean(0)).mean()


def test_weights_are_made_for_data(convolutions):
    data = np.random.default_rng(8).normal(1, 1, size=(60, 3, 16, 16)).astype(np.float32)
    plain, made = (octavo.quantize(convolutions, given, "dynamic") for given in (None, data[:40]))
    assert loss(convolutions, made, data[40:]) < 0.7 * loss(convolutions, plain, data[40:])
    assert (plain.report.samples, made.report.samples) == (0, 40)
    # What stays float stays as it is.
    for name in ("v", "e"):
        assert np.array_equal(made.program.constants[name], plain.program.constants[name])
    feeds = {"x": data[40:43]}
    wanted = [array.tobytes() for array in reference.run(made.program, feeds)]
    for isa in octavo.tiers():
        found = octavo.Session(made, isa=isa).run(None, feeds)
        assert [array.tobytes() for array in found] == wanted


@pytest.mark.parametrize("options", [{"effort": "fast"}, {"per_channel": False}])
def test_weights_stay_the_nearest(convolutions, options):
    """With little effort, and where channels share a scale, which is none that rows are made at."""
    data = np.random.default_rng(8).normal(size=(40, 3, 16, 16)).astype(np.float32)
    plain, given = (octavo.quantize(convolutions, of, "dynamic", **options) for of in (None, data))
    assert artifact.to_bytes(plain.program) == artifact.to_bytes(given.program)


@pytest.mark.parametrize(("op", "shape"), [("MatMul", (2, 5, 7)), ("Conv", (2, 5, 7, 3))])
def test_products_meet_what_their_integers_stand_for(op, shape):
    """As DynamicQuantizeLinear has it, of each row, or of each sample."""
    x = np.random.default_rng(9).normal(0.3, 2, size=shape).astype(np.float32)
    product = FloatProduct(0, Node(op, "product", ("x", "w"), ("y",)), 0, (4, 7), "")
    met = met_dynamically(product, x)
    apart = x.reshape(len(x), -1) if op == "Conv" else x.reshape(-1, shape[-1])
    low, high = np.minimum(apart.min(1), 0), np.maximum(apart.max(1), 0)
    scale = ((high - low) / np.float32(255))[:, None]
    zero_point = np.rint(-low[:, None] / scale)
    wanted = (np.clip(np.rint(apart / scale) + zero_point, 0, 255) - zero_point) * scale
    assert np.allclose(met, wanted.reshape(shape), rtol=1e-6, atol=1e-6)
    assert not np.array_equal(met, x)


def test_compared_with_the_float_model(convolutions):
    model = octavo.quantize(convolutions, recipe="dynamic")
    data = np.random.default_rng(7).normal(size=(8, 3, 16, 16)).astype(np.float32)
    assert octavo.compare(convolutions, model, data)
