"""Models with branches and loops: observed, quantized, reported, compared and exported, their bodies too."""

from collections import Counter

import numpy as np
import octavo
import onnxruntime
import pytest
from octavo.program import all_nodes
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
F = TensorProto.FLOAT
FREE = [None, None]
node, info = helper.make_node, helper.make_tensor_value_info


def weights(name, *shape):
    return numpy_helper.from_array((RNG.standard_normal(shape) / 8).astype(np.float32), name)


@pytest.fixture(scope="module")
def model():
    """Two branches and a loop, whose products share weights with each other and with the main graph."""
    then = helper.make_graph(
        [
            node("MatMul", ["a", "w1"], ["t1"], name="first then"),
            node("Relu", ["t1"], ["t2"], name="relu then"),
            node("MatMul", ["t2", "w2"], ["t"], name="second then"),
        ],
        "then",
        [],
        [info("t", F, FREE)],
    )
    otherwise = helper.make_graph(
        [node("MatMul", ["a", "w2"], ["t"], name="else")], "else", [], [info("t", F, FREE)]
    )
    body = helper.make_graph(
        [
            node("Identity", ["c"], ["c2"]),
            node("MatMul", ["s", "w2"], ["m"], name="product"),
            node("Add", ["m", "bias"], ["mb"], name="biased"),
            node("Tanh", ["mb"], ["s2"], name="tanh"),
            node("Mul", ["s2", "y"], ["row"], name="row"),
        ],
        "body",
        [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []), info("s", F, FREE)],
        [info("c2", TensorProto.BOOL, []), info("s2", F, FREE), info("row", F, FREE)],
    )
    nodes = [
        node("MatMul", ["x", "w1"], ["a0"], name="before"),
        node("Relu", ["a0"], ["a"], name="relu"),
        node("ReduceSum", ["x"], ["sum"], keepdims=0, name="sum"),
        node("Less", ["sum", "zero"], ["is less"], name="less"),
        node("If", ["is less"], ["y"], then_branch=then, else_branch=otherwise, name="if"),
        node("Loop", ["n", "", "y"], ["z", "rows"], body=body, name="loop"),
        node("MatMul", ["z", "w1"], ["out"], name="after"),
    ]
    constants = [weights("w1", 64, 64), weights("w2", 64, 64), weights("bias", 64)]
    constants += [numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.array(4), "n")]
    graph = helper.make_graph(
        nodes, "g", [info("x", F, ["N", 64])], [info("out", F, FREE), info("rows", F, [None] * 3)], constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def data():
    return [RNG.standard_normal((3, 64)).astype(np.float32) for _ in range(32)]


PRODUCTS = 6


@pytest.mark.parametrize(
    ("recipe", "integer", "least"),
    [
        ("int8", PRODUCTS, 25),
        ("int16x8", PRODUCTS, 30),
        ("dynamic", PRODUCTS, 28),
        ("weight-only", 0, 30),
        ("float16", 0, 50),
    ],
)
def test_every_recipe(model, data, recipe, integer, least):
    quantized = octavo.quantize(model, data, recipe=recipe)
    ops = Counter(each.op for each in all_nodes(quantized.program.nodes))
    assert ops["QGemm"] == integer
    exact, session = octavo.Session(model, threads=1), octavo.Session(quantized, threads=1)
    for x in data[:8]:
        given = session.run(None, {"x": x})
        for g, r in zip(given, octavo.reference.run(quantized.program, {"x": x}), strict=True):
            assert g.tobytes() == r.tobytes()
        for g, e in zip(given, exact.run(None, {"x": x}), strict=True):
            assert 10 * np.log10(np.square(e).sum() / np.square(e - g).sum()) > least


def test_the_report_names_what_stays_float_inside(model, data):
    report = octavo.quantize(model, data).report
    assert report.integer_ops["QGemm"] == PRODUCTS
    stays = {stay.name: stay.reason for stay in report.stays}
    assert {"relu", "tanh", "row", "if", "loop"} <= stays.keys()
    assert stays["loop"] == "it runs sub-programs, which have integers of their own"


def test_a_branch_that_no_sample_takes_stays_float_and_runs(model, data):
    quantized = octavo.quantize(model, [np.abs(x) for x in data])  # whose sums are not below 0
    (node,) = (each for each in quantized.program.nodes if each.op == "If")
    ops = {key: [each.op for each in body.nodes] for key, body in node.bodies.items()}
    assert "QGemm" in ops["else_branch"]
    assert ops["then_branch"].count("MatMul") == 1  # the one whose input was never seen
    stays = {stay.name: stay.reason for stay in quantized.report.stays}
    assert "second then" in stays
    x = -np.abs(data[0])
    exact = octavo.Session(model, threads=1).run(None, {"x": x})
    for g, e in zip(octavo.Session(quantized).run(None, {"x": x}), exact, strict=True):
        assert np.isfinite(g).all()
        assert g.shape == e.shape


def test_export_keeps_the_answers(model, data, tmp_path):
    quantized = octavo.quantize(model, data)
    path = tmp_path / "qdq.onnx"
    quantized.export_onnx(path)
    runtime, own = onnxruntime.InferenceSession(path), octavo.Session(quantized, threads=1)
    again = octavo.Session(path, threads=1)
    for x in data[:4]:
        given = own.run(None, {"x": x})
        for g, a, r in zip(given, again.run(None, {"x": x}), runtime.run(None, {"x": x}), strict=True):
            assert g.tobytes() == a.tobytes()
            np.testing.assert_allclose(g, r, atol=1e-5)


def test_it_is_saved_compared_and_excluded(model, data, tmp_path):
    quantized = octavo.quantize(model, data, exclude=["product"])
    (loop,) = (each for each in quantized.program.nodes if each.op == "Loop")
    assert "QGemm" not in {each.op for each in loop.bodies["body"].nodes}
    quantized.save(tmp_path / "model.octavo")
    assert octavo.load(tmp_path / "model.octavo").to_bytes() == quantized.to_bytes()
    comparison = octavo.compare(model, quantized, data)
    assert [output.name for output in comparison.outputs] == ["out", "rows"]
