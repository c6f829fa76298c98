"""Estimates without data: each figure against one that is counted by hand, simulated, or made with data."""

import math
import re
from pathlib import Path

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.lowering import Range, affine
from octavo.program import artifact
from octavo.quantization import estimate
from octavo.quantization.estimates import SPREAD, rounding_noise

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(12)
WEIGHTS = {name: RNG.normal(size=(4, 4)).astype("f4") for name in "wvu"}


def model(text, **constants):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g {text}')
    for name, array in (WEIGHTS | constants).items():
        if re.search(rf"\b{name}\b", text):
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, "f4"), name))
    for node in proto.graph.node:
        node.name = f"the_{node.output[0]}"
    return proto


def of_weights(weight):
    """The noise of weights [K, C] that are rounded with a scale a column, one by one."""
    signal = noise = 0.0
    for column in weight.T.tolist():
        scale = float(np.float32(max(map(abs, column))) / np.float32(127))
        for real in column:
            signal += real**2
            noise += (float(np.float32(scale) * np.float32(round(real / scale))) - real) ** 2
    return noise / signal


TWO_SIDES = 100 / 255**2 / 12
ONE_SIDE = 25 / 255**2 / 12
W, V, U = (of_weights(WEIGHTS[name]) for name in "wvu")


@pytest.mark.parametrize(
    ("text", "noise"),
    [
        ("{ y = MatMul(x, w) }", TWO_SIDES + W),
        ("{ a = MatMul(x, w) y = MatMul(a, v) }", TWO_SIDES + W + TWO_SIDES + V),
        ("{ a = MatMul(x, w) b = Relu(a) y = MatMul(b, v) }", TWO_SIDES + W + ONE_SIDE + V),
        # a table between the products rounds once more
        (
            "{ a = MatMul(x, w) b = Sigmoid(a) y = MatMul(b, v) }",
            TWO_SIDES + W + TWO_SIDES + ONE_SIDE + V,
        ),
        # both branches are equally strong, and their sum is rounded once
        (
            "{ a = MatMul(x, w) b = Relu(a) c = MatMul(b, v) d = Add(b, c) y = MatMul(d, u) }",
            (2 * (TWO_SIDES + W + ONE_SIDE) + V) / 2 + TWO_SIDES + U,
        ),
        # what only moves elements rounds nothing; what goes into the last softmax is judged
        (
            "{ a = MatMul(x, w) b = Transpose<perm = [1, 0]>(a) d = MatMul(b, v) y = Softmax(d) }",
            TWO_SIDES + W + TWO_SIDES + V,
        ),
        # two computed matrices: their noises add up
        (
            "{ a = MatMul(x, w) b = MatMul(x, v) y = MatMul(a, b) }",
            2 * TWO_SIDES + W + V + 2 * TWO_SIDES,
        ),
        (
            "{ a = MatMul(x, w) b = MatMul(x, v) c = Mul(a, b) y = MatMul(c, u) }",
            2 * TWO_SIDES + W + V + 2 * TWO_SIDES + TWO_SIDES + U,
        ),
        # behind the last products in float
        ("{ a = MatMul(x, w) b = MatMul(x, v) y = Mul(a, b) }", 2 * TWO_SIDES + W + V),
    ],
)
def test_noises_are_added_up_along_the_model(text, noise):
    found = estimate(model(f"(float[4,4] x) => (float[4,4] y) {text}"))
    (expected,) = found.outputs.values()
    assert expected == pytest.approx(-10 * math.log10(noise), abs=1e-6)
    weights = {"w": W, "v": V, "u": U}
    used = re.findall(r"MatMul\(\w, ([wvu])\)", text)
    assert [layer.weights for layer in found.layers] == pytest.approx(
        [-10 * math.log10(weights[name]) for name in used], abs=1e-6
    )
    if used:
        assert found.layers[0].accumulated == pytest.approx(-10 * math.log10(TWO_SIDES + W), abs=1e-6)
        assert found.layers[0].macs == 4 * 4 * 4


@pytest.mark.parametrize("one_sided", [True, False])
def test_rounding_a_typical_tensor_errs_as_the_formula_says(one_sided):
    values = np.random.default_rng(3).normal(size=10**6)
    values = values.clip(-SPREAD, SPREAD)
    values = np.maximum(values, 0) if one_sided else values
    form = affine(Range(0.0 if one_sided else -SPREAD, SPREAD))
    held = float(form.scale) * (form.integers(values.astype("f4")).astype(float) - form.zero_point)
    noise = np.sum((held - values) ** 2) / np.sum(values**2)
    assert noise == pytest.approx(rounding_noise(one_sided=one_sided), rel=0.02)


def test_where_nothing_is_in_integers_nothing_errs():
    found = estimate(model("(float[4,4] x) => (float[4,4] y) { y = Relu(x) }"))
    assert (found.outputs, found.layers) == ({"y": None}, [])
    assert found.outlook.float_ops == {"Relu": 1}


def test_excluded_products_are_no_layers():
    text = "(float[4,4] x) => (float[4,4] y) { a = MatMul(x, w) b = Relu(a) y = MatMul(b, v) }"
    found = estimate(model(text), exclude=["the_a"])
    assert [layer.name for layer in found.layers] == ["the_y"]
    stay = found.outlook.stays[0]
    assert (stay.name, stay.reason) == ("the_a", "excluded by choice")
    assert found.outlook.integer_macs * 2 == found.outlook.macs == 128
    with pytest.raises(octavo.ModelError, match="no node of the model is called 'nothing'"):
        estimate(model(text), exclude=["nothing"])


def test_the_weights_and_the_size_are_those_that_fast_makes(model, digits):
    found = estimate(model)
    made = octavo.quantize(model, digits[:40], effort="fast")
    assert found.outlook.stays == made.report.stays
    assert (found.float_bytes, found.integer_bytes) == (made.report.float_bytes, made.report.integer_bytes)
    assert found.artifact_bytes == pytest.approx(len(artifact.to_bytes(made.program)), rel=0.01)
    floats = {array.name: onnx.numpy_helper.to_array(array) for array in onnx.load(model).graph.initializer}
    dense = floats["4.weight"]
    error = made.tensor("4.weight").dequantize() - (dense if len(dense) > 10 else dense.T)
    assert found.layers[1].weights == pytest.approx(
        10 * math.log10((dense**2).sum() / (error**2).sum()), abs=1e-3
    )


def test_tables_count_as_they_are_stored():
    table = RNG.normal(size=(1000, 8))
    text = "(int64[4] i) => (float[4,4] y) { a = Gather(table, i) b = Slice(a, s, e, t) y = MatMul(b, w) }"
    proto = model(text, table=table)
    for name, number in (("s", 0), ("e", 4), ("t", 1)):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([number], np.int64), name))
    found = estimate(proto)
    bounds = 3 * 8
    assert found.float_bytes == 4 * (8000 + 16) + bounds
    # a byte an element, a scale a row; of the product a byte a weight, a bias and a scale a column
    assert found.integer_bytes == 8000 + 4 * 1000 + 16 + 2 * 4 * 4 + bounds


def test_the_table_of_the_documents(data_dir):
    """What is expected there is what is expected now."""
    page = (ROOT / "docs" / "quantization.md").read_text()
    rows = re.findall(r"^\| ([\w-]+) \| ([\d.]+) \|$", page, re.M)
    assert len(rows) > 8
    for name, expected in rows:
        found = estimate(data_dir / "models" / f"{name}.onnx")
        assert f"{next(iter(found.outputs.values())):.1f}" == expected, name
