"""Columns in a comparison: what shares stand for together, and layers on both sides of them."""

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.report.matching import Shares, ends, held, reals, values_of

F = np.float32
TEXT = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,3,32] x) => (float[N,3,4] y) {
    n = LayerNormalization(x, g) a = MatMul(n, w) h = Gelu(a) y = MatMul(h, v) }"""


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(3)
    proto, gains = onnx.parser.parse_model(TEXT), np.ones(32)
    gains[7] = 25
    arrays = {"g": gains, "w": rng.normal(size=(32, 48)) / gains[:, None] / 5, "v": rng.normal(size=(48, 4))}
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(F), name))
    data = list(rng.normal(size=(48, 3, 32)).astype(F))
    return proto, octavo.quantize(proto, data), data


def columns(program):
    return [node for node in program.nodes if node.op == "Quantize" and len(node.inputs) == 4]


def test_shares_stand_for_their_value(pair):
    """By plain sums, index by index."""
    program, rng = pair[1].program, np.random.default_rng(5)
    for node in columns(program):
        value = values_of(program)[node.outputs[0]]
        assert isinstance(value.quant, Shares)
        scale, zeros, indices = (program.constants[name] for name in node.inputs[1:])
        least, greatest = ends(value)
        width = int(indices.max()) + 1
        for index in range(width):
            mine = np.flatnonzero(indices == index)
            rests = np.clip(zeros[mine], 0, 255)
            np.testing.assert_allclose(least[index], -(scale[mine] * rests).sum(), rtol=1e-5)
            np.testing.assert_allclose(greatest[index], (scale[mine] * (255 - rests)).sum(), rtol=1e-5)
        x = (least + (greatest - least) * rng.uniform(size=(9, 3, width))).astype(F)
        q = held(value, x)
        with_engine = octavo.reference.run(
            octavo.program.Program([node.inputs[0]], [node.outputs[0]], *_alone(program, node)),
            {node.inputs[0]: x},
        )[0]
        assert np.array_equal(q, with_engine)
        steps = np.array([scale[indices == index].max() for index in range(width)])
        assert (np.abs(reals(value, q) - x) <= steps * 0.501).all()


def _alone(program, node):
    names = (*node.inputs, *node.outputs)
    values = {name: program.values[name] for name in names}
    values[node.inputs[0]] = octavo.program.Value(node.inputs[0], "f32", None)
    values[node.outputs[0]] = octavo.program.Value(node.outputs[0], "u8", None)
    return values, {name: program.constants[name] for name in node.inputs[1:]}, [node]


def test_every_layer_around_columns_is_compared(pair):
    proto, model, data = pair
    found = octavo.compare(proto, model, data[:6])
    assert found.unmatched == {}
    rows = {row.name: row for row in found.layers}
    for node in columns(model.program):
        row = rows[node.name]
        assert row.clipped == 0
        assert row.sqnr > 35
        assert len(row.channels) == int(model.program.constants[node.inputs[3]].max()) + 1
    assert all(row.sqnr > 30 for row in found.layers)
    assert "n_quantized" in str(found)


def test_a_model_whose_tables_are_stored_in_integers_is_compared():
    """Its remedies are tried by a model made again, whose tables go by other names."""
    rng = np.random.default_rng(8)
    text = """<ir_version: 10, opset_import: ["" : 21]> g (int64[N,5] k) => (float[N,5,4] y) {
        e = Gather(t, k) n = LayerNormalization(e, g) y = MatMul(n, w) }"""
    proto = onnx.parser.parse_model(text)
    for name, shape in (("t", (200, 32)), ("g", (32,)), ("w", (32, 4))):
        array = np.ones(shape, F) if name == "g" else rng.normal(size=shape).astype(F)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    data = [rng.integers(0, 200, (1, 5)) for _ in range(40)]
    model = octavo.quantize(proto, data)
    assert model.program.constants.keys().isdisjoint({"t"})
    found = octavo.compare(proto, model, data[:3])
    assert {row.op for row in found.layers} >= {"QGemm", "Quantize"}
