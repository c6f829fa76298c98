"""Transposed convolutions in whole networks, from the float file of a segmentation head to its answers."""

import numpy as np
import octavo
import onnx
import onnxruntime
import pytest
from octavo import reference
from onnx import helper, numpy_helper

SIDE = 12
HEADS = {
    "2x2 by 2": {"kernel": 2},
    "3x3 by 2": {"kernel": 3, "pads": [1] * 4, "output_padding": [1, 1]},
    "4x4 by 2": {"kernel": 4, "pads": [1] * 4},
    "in groups": {"kernel": 4, "pads": [1] * 4, "group": 2, "channels": 32},
    "each channel by itself": {"kernel": 4, "pads": [1] * 4, "group": 8, "outputs": 8},
}


def head(*, kernel, group=1, channels=8, outputs=6, **attributes):
    """Conv, Relu, ConvTranspose, Relu, ConvTranspose, Sigmoid: a mask twice as large, twice over."""
    rng = np.random.default_rng(kernel * 10 + group)
    shapes = {"w": (channels, 3, 3, 3), "t": (channels, outputs // group, kernel, kernel)}
    shapes["u"] = (outputs, 1, 2, 2)
    constants = {
        name: rng.normal(size=shape) / np.sqrt(shape[1] * shape[2]) for name, shape in shapes.items()
    }
    constants["b"] = rng.normal(size=outputs)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("ConvTranspose", ["r", "t", "b"], ["d"], strides=[2, 2], group=group, **attributes),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("ConvTranspose", ["e", "u"], ["f"], strides=[2, 2]),
        helper.make_node("Sigmoid", ["f"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("x", 1, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", 1, ["N", 1, None, None])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def samples(count, seed=0):
    """Smooth pictures, each with noise of its own."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(count, 1, 3, 4, 4)).repeat(3, axis=3).repeat(3, axis=4)
    return [{"x": (x + rng.normal(size=x.shape) / 3).astype(np.float32)} for x in coarse]


def sqnr(model, floats, feeds):
    """Decibels of the answers against those in float."""
    ours, theirs = octavo.Session(model), octavo.Session(floats)
    pairs = [(theirs.run(None, x)[0], ours.run(None, x)[0]) for x in feeds]
    signal = sum(float(np.square(a - a.mean()).sum()) for a, _ in pairs)
    return 10 * np.log10(signal / sum(float(np.square(a - b).sum()) for a, b in pairs))


@pytest.mark.parametrize("name", HEADS)
def test_in_integers(name):
    """Only the last function stays float; the bits are those of the reference, which export keeps."""
    floats, data = head(**HEADS[name]), samples(40)
    model = octavo.quantize(floats, data[:32])
    assert model.report.integer_ops == {"QConv": 1, "QConvTranspose": 2}
    assert model.report.float_ops == {"Sigmoid": 1}
    assert sqnr(model, floats, data[32:]) > 33
    wanted = reference.run(model.program, data[0])[0]
    for isa in octavo.tiers():
        assert np.array_equal(octavo.Session(model, isa=isa).run(None, data[0])[0], wanted), isa


@pytest.mark.parametrize("name", HEADS)
def test_nothing_in_float(name, tmp_path):
    floats, data = head(**HEADS[name]), samples(40)
    model = octavo.quantize(floats, data[:32], recipe="int8-strict", io="uint8")
    assert {node.op for node in model.program.nodes} == {"QConv", "QConvTranspose", "Lookup"}
    model = octavo.quantize(floats, data[:32], recipe="int8-strict")
    assert not model.report.float_ops
    assert sqnr(model, floats, data[32:]) > 28
    model.save(tmp_path / "head.octavo")
    got = octavo.Session(tmp_path / "head.octavo").run(None, data[0])[0]
    assert np.array_equal(got, reference.run(model.program, data[0])[0])


@pytest.mark.parametrize("name", ["4x4 by 2", "in groups"])
def test_in_int16(name):
    floats, data = head(**HEADS[name]), samples(40)
    model = octavo.quantize(floats, data[:32], recipe="int16x8")
    assert model.report.integer_ops == {"QConv": 1, "QConvTranspose": 2}
    assert sqnr(model, floats, data[32:]) > 40


@pytest.mark.parametrize("name", HEADS)
def test_one_transposed_convolution_in_int16(name):
    """What comes before and behind stays in bytes."""
    wide = octavo.Override(op="ConvTranspose", recipe="int16x8")
    model = octavo.quantize(head(**HEADS[name]), samples(32), overrides=[wide])
    made = [node for node in model.program.nodes if node.op == "QConvTranspose"]
    assert {model.program.values[node.inputs[0]].dtype for node in made} == {"i16"}
    feeds = samples(1)[0]
    wanted = reference.run(model.program, feeds)[0]
    for isa in octavo.tiers():
        assert np.array_equal(octavo.Session(model, isa=isa).run(None, feeds)[0], wanted), isa


@pytest.mark.parametrize("name", HEADS)
def test_export(name, tmp_path):
    """ONNX Runtime gives the same mask, but where a sum lies on a border; octavo gives it back bit by bit."""
    model = octavo.quantize(head(**HEADS[name]), samples(32), recipe="int8-strict")
    path, feeds = tmp_path / "head.onnx", samples(1, seed=3)[0]
    model.export_onnx(path)
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    theirs = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    ours, given = octavo.Session(model).run(None, feeds)[0], theirs.run(None, feeds)[0]
    assert np.mean(ours != given) < 0.01
    assert np.abs(ours - given).max() <= 2 / 256
    if HEADS[name].get("group", 1) == 1:
        assert np.array_equal(octavo.Session(str(path)).run(None, feeds)[0], ours)


def test_weights_are_made_for_what_they_meet():
    floats, data = head(**HEADS["4x4 by 2"]), samples(96)
    found = {
        effort: sqnr(octavo.quantize(floats, data[:64], effort=effort), floats, data[64:])
        for effort in ("fast", "default")
    }
    assert found["default"] > found["fast"] + 0.5


def test_a_bias_that_is_added_behind():
    """An Add of one number a channel belongs to the transposed convolution before it."""
    model = head(**HEADS["4x4 by 2"])
    node = model.graph.node[2]
    node.input.remove("b")
    node.output[0] = "before"
    model.graph.node.insert(3, helper.make_node("Add", ["before", "bias"], ["d"]))
    bias = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "b"))
    model.graph.initializer.append(numpy_helper.from_array(bias.reshape(1, -1, 1, 1), "bias"))
    made = octavo.quantize(model, samples(16))
    assert made.report.integer_ops == {"QConv": 1, "QConvTranspose": 2}


def test_comparison_names_its_layers():
    floats, data = head(**HEADS["2x2 by 2"]), samples(16)
    found = octavo.compare(floats, octavo.quantize(floats, data), data[:4])
    found_ops = sorted(layer.op for layer in found.layers if layer.op.startswith("QConv"))
    assert found_ops == ["QConv", "QConvTranspose", "QConvTranspose"]
