"""What some nodes and tensors become in place of what the recipe says."""

import json
from itertools import pairwise

import numpy as np
import octavo
import onnx.parser
import pytest
from octavo import DataError, ModelError, Override
from octavo.lowering import Forms, lower_to_integers
from octavo.quantization import work as work_room
from octavo.quantization.mix import LEVELS

NETWORK = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float[N,5] y, float[N,6] z) {
    [one] a = MatMul(x, w1) [act] b = Tanh(a) [left] c = MatMul(b, w2) [right] d = MatMul(b, w2b)
    [sum] e = Add(c, d) [curve] f = Sigmoid(e) [out] y = MatMul(f, w3) [side] z = MatMul(a, w4) }"""


@pytest.fixture(scope="module")
def network():
    rng, model = np.random.default_rng(31), onnx.parser.parse_model(NETWORK)
    for name, shape in {"w1": (4, 6), "w2": (6, 7), "w2b": (6, 7), "w3": (7, 5), "w4": (6, 6)}.items():
        array = rng.normal(size=shape).astype("f4")
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


@pytest.fixture(scope="module")
def data():
    return np.random.default_rng(32).normal(size=(64, 4)).astype("f4")


@pytest.fixture(scope="module")
def made(network, data):
    def make(*overrides, **options):
        return octavo.quantize(network, data, overrides=overrides, **{"effort": "fast"} | options)

    return make


def in_float(model):
    return {stay.name for stay in model.report.stays if stay.reason.startswith("excluded")}


@pytest.mark.parametrize(
    ("override", "nodes"),
    [
        (Override(node="left", keep="float"), {"left"}),
        (Override(node="*t", keep="float"), {"act", "left", "right", "out"}),
        (Override(op="MatMul", keep="float"), {"one", "left", "right", "out", "side"}),
        (Override(between=("act", "sum"), keep="float"), {"act", "left", "right", "sum"}),
        (Override(between=("left", "sum"), keep="float"), {"left", "sum"}),
        ({"between": ["one", "one"], "keep": "float"}, {"one"}),
        (Override(op="MatMul", recipe="float"), {"one", "left", "right", "out", "side"}),
    ],
)
def test_nodes_that_stay_float(made, override, nodes):
    assert in_float(made(override)) == nodes


def quants(model):
    return {
        name: (float(value.quant.scale[0]), int(value.quant.zero_point[0]))
        for name, value in model.program.values.items()
        if value.dtype == "u8" and value.quant is not None
    }


def test_ranges_and_forms(made):
    """Of an input, a node's result, a product's; and the last one that is said holds."""
    plain = quants(made())
    given = quants(
        made(
            Override(tensor="x", range=(-10, 41)),
            Override(node="sum", scale=0.25, zero_point=100),
            Override(tensor="a", range=(-1, 1)),
            Override(tensor="a", symmetric=True),
        )
    )
    assert given["x_quantized"] == (np.float32(51 / 255), 50)
    assert given["e"] == (0.25, 100)
    assert given["a"][1] == 128
    assert given["a"] != plain["a"]
    reach = max(plain["a"][0] * plain["a"][1], plain["a"][0] * (255 - plain["a"][1]))
    assert given["a"][0] == pytest.approx(reach / 127, rel=0.01)
    same = {"b", "c", "d", "f"} & plain.keys()
    assert {name: given[name] for name in same} == {name: plain[name] for name in same}


def test_every_effort_goes_by_them(made):
    overrides = Override(tensor="x", range=(-10, 41)), Override(node="one", scale=0.25, zero_point=100)
    for effort in ("default", "best"):
        found = quants(made(*overrides, effort=effort))
        assert found["x_quantized"] == (np.float32(51 / 255), 50)
        assert found["a"] == (0.25, 100)


def test_all_but_one_tensor_symmetric(network, data):
    recipe, one = octavo.Recipe("int8", symmetric=True), Override(tensor="a", symmetric=False)
    found = quants(octavo.quantize(network, data, recipe, overrides=[one], effort="fast"))
    assert found["x_quantized"][1] == 128
    assert found["a"][1] != 128


def test_a_calibrator_takes_them(network, data, made):
    override = Override(tensor="x", range=(-10, 41))
    calibrator = octavo.prepare(network).observe(data)
    converted = octavo.convert(calibrator, overrides=[override], effort="fast")
    assert quants(converted) == quants(made(override))


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"node": "lfet", "keep": "float"}, "no node of the model is called 'lfet'.*'left'"),
        ({"op": "MatMull", "keep": "float"}, "the model has no MatMull.*MatMul"),
        ({"between": ["left", "right"], "keep": "float"}, "nothing leads from the first to the second"),
        ({"between": ["left"], "keep": "float"}, "between takes the names of two nodes"),
        ({"tensor": "q", "range": [0, 1]}, "no tensor of the model is called 'q'"),
        ({"tensor": "x", "range": [1, 0]}, "two finite numbers, the lesser one first"),
        ({"tensor": "x", "range": [0, float("nan")]}, "two finite numbers"),
        ({"tensor": "x", "keep": "float"}, "cannot keep float: name the node"),
        ({"tensor": "x", "scale": 0.1}, "scale and zero_point together"),
        ({"tensor": "x", "zero_point": 1, "range": [0, 1]}, "scale and zero_point together"),
        ({"tensor": "x", "scale": -0.1, "zero_point": 1}, "a float32 above 0, not -0.1"),
        ({"tensor": "x", "scale": 0.1, "zero_point": 256}, "zero points of uint8 lie from 0 to 255"),
        ({"tensor": "x", "symmetric": 1}, "True or False, not 1"),
        ({"node": "left", "keep": "int8"}, "keeps 'float', not 'int8'"),
        (
            {"node": "left", "recipe": "dynamic"},
            "recipe is one of int8, int16x8, float, not 'dynamic': the others are of whole models",
        ),
        ({"tensor": "x", "recipe": "int16x8"}, "cannot take the recipe 'int16x8': name the node"),
        ({"node": "left", "keep": "float", "recipe": "float"}, "it has keep and recipe"),
        ({"node": "left"}, "takes one of keep, recipe, range, scale, symmetric: it has none"),
        ({"keep": "float"}, "takes one of node, op, between, tensor: it has none"),
        ({"node": "left", "op": "MatMul", "keep": "float"}, "it has node and op"),
        ({"nodes": "left", "keep": "float"}, "an override has no 'nodes'; it has node, op"),
    ],
)
def test_what_is_not_there(made, said, text):
    with pytest.raises(ModelError, match=text):
        made(said)


def test_what_has_no_meaning(network, data):
    with pytest.raises(ModelError, match="keeps activations in float"):
        octavo.quantize(network, recipe="float16", overrides=[Override(tensor="x", range=(0, 1))])
    with pytest.raises(TypeError, match=r"give a list of octavo\.Override"):
        octavo.quantize(network, data, overrides=Override(node="left", keep="float"))
    with pytest.raises(TypeError, match="an object of type str"):
        octavo.quantize(network, data, overrides=["left"])
    kept = octavo.quantize(network, recipe="float16", overrides=[Override(node="left", keep="float")])
    assert kept.report.stays


@pytest.mark.parametrize("effort", ["fast", "default"])
def test_as_near_as_was_asked(network, data, effort):
    """Monotone, ever more in float, and met on samples that nothing saw."""
    fresh = np.random.default_rng(33).normal(size=(500, 4)).astype("f4")
    wanted = octavo.Session(network).run(None, {"x": fresh})
    plain = octavo.quantize(network, data, effort=effort)
    assert plain.report.raised == []
    shares = []
    for asked in (20.0, 45.0, 60.0, 299.0):
        model = octavo.quantize(network, data, effort=effort, min_sqnr=asked)
        steps = model.report.raised
        assert all(one.sqnr < other.sqnr for one, other in pairwise(steps))
        assert all(one.macs <= other.macs for one, other in pairwise(steps))
        assert all(one.float_macs <= other.float_macs for one, other in pairwise(steps))
        assert [step.to for step in steps] == sorted((step.to for step in steps), key=["", *LEVELS].index)
        assert all(step.seconds > 0 for step in steps)
        assert all(step.assured < asked for step in steps[:-1])
        assert steps[-1].assured >= asked
        shares.append((steps[-1].float_macs, steps[-1].macs))
        raised = {name for step in steps for name in step.names if step.to == "float"}
        assert raised == {stay.name for stay in model.report.stays if stay.reason.startswith("raised")}
        for found, answer in zip(octavo.Session(model).run(None, {"x": fresh}), wanted, strict=True):
            noise = np.square(found.astype("f8") - answer).sum()
            assert noise == 0 or 10 * np.log10(np.square(answer.astype("f8")).sum() / noise) > asked
        assert octavo.convert(
            octavo.prepare(network).observe(data), effort=effort, min_sqnr=asked
        ).program.nodes == (model.program.nodes)
    assert shares == sorted(shares)
    assert shares[0] == (0, 0)
    assert shares[1][0] == 0 < shares[1][1]
    assert shares[-1] == (1, 1)


def test_a_score_of_ones_own(network, data):
    wanted, asked = octavo.Session(network).run(["y"], {"x": data})[0], []

    def evaluate(session):
        asked.append(session)
        return -float(np.abs(session.run(["y"], {"x": data})[0] - wanted).max())

    model = octavo.quantize(network, data, max_drop=0.01, evaluate=evaluate)
    assert evaluate(octavo.Session(model)) >= -0.01
    assert len(asked) > 3
    assert evaluate(octavo.Session(octavo.quantize(network, data))) < -0.01


def test_nothing_is_taken_in_the_end_that_is_not_accepted(network, data, monkeypatch):
    """Weights made anew bring the answers nearer, and the score down: the network before them stays."""
    answers, scores = [], iter([0.0, -1.0, -1.0, 0.0])
    monkeypatch.setattr(
        work_room, "round_weights", lambda floats, *_, **__: lower_to_integers(floats, Forms(derives=False))
    )

    def evaluate(session):
        answers.append(session.run(["y"], {"x": data})[0])
        return next(scores, -1.0)

    model = octavo.quantize(network, data, effort="fast", max_drop=0.5, evaluate=evaluate)
    assert len(answers) == 5
    assert np.array_equal(answers[4], answers[0])
    assert not np.array_equal(answers[3], answers[0])
    assert np.array_equal(octavo.Session(model).run(["y"], {"x": data})[0], answers[3])


def test_aims_that_are_not_there(network, data):
    with pytest.raises(DataError, match="20 are too few: give 32 or more"):
        octavo.quantize(network, data[:20], min_sqnr=30)
    with pytest.raises(ModelError, match="recipe 'dynamic' cannot; int8, int16x8 can"):
        octavo.quantize(network, recipe="dynamic", min_sqnr=30)
    with pytest.raises(ModelError, match="max_drop and evaluate go together"):
        octavo.quantize(network, data, max_drop=1)
    with pytest.raises(ModelError, match="min_sqnr is nan: it must be finite"):
        octavo.quantize(network, data, min_sqnr=float("nan"))
    with pytest.raises(TypeError, match="min_sqnr is of type str"):
        octavo.quantize(network, data, min_sqnr="30")
    with pytest.raises(TypeError, match="evaluate is of type int"):
        octavo.quantize(network, data, max_drop=1, evaluate=3)


def test_the_report_tells_the_steps(network, data):
    model = octavo.quantize(network, data, min_sqnr=45)
    text = str(model.report)
    assert "on samples held back:" in text
    step = model.report.raised[1]
    assert f"  {step.op} {step.names[0]}" in text
    assert f"to int16x8: {step.sqnr:.1f} dB, surely {step.assured:.1f}, {1000 * step.seconds:.3g} ms" in text
    assert f", {model.report.wide_ops['QGemm']} QGemm" in text.split("on int16: ")[1]
    said = json.loads(json.dumps(model.report.to_dict()))["raised"][1]
    assert (said["op"], said["to"], said["seconds"]) == (step.op, "int16x8", step.seconds)
    page = model.report._repr_html_()
    assert page.count("<svg") == 2
    assert "SQNR against time of a run" in page
