"""Where inference of shapes is stuck, a run of the calibration data tells them."""

import numpy as np
import octavo
import onnx.parser
import pytest
from octavo import frontend
from octavo.lowering import evaluate, lower
from octavo.passes import simplify
from octavo.program import Node, Program, Value
from octavo.quantization.shapes import unknown, with_measured_shapes


def model(text, **constants):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return proto


CONSTANTS = {
    "zero": np.array([0]),
    "one": np.array([1]),
    "two": np.array([2]),
    "four": np.array([4]),
    "eight": np.array([8]),
    "axes": np.array([2, 3]),
    "w": np.random.default_rng(1).normal(size=(3, 1, 3, 3)).astype("f4"),
    "v": np.random.default_rng(2).normal(size=(3, 5)).astype("f4"),
}
NETWORK = """i = Reshape(x, t) c = Conv<auto_pad="SAME_UPPER">(i, w) a = Relu(c)
    n = ReduceMean<keepdims=0>(a, axes) z = MatMul(n, v) q = Relu(z) y = MatMul(q, u) }"""
# Inference follows no Div: of the first target it knows the length, of the second not even that.
SIZES = """g (float[N,16] x) => (float y) { s = Shape(x) b = Gather(s, zero)
    b4 = Mul(b, four) b8 = Mul(b, eight) h = Div(b8, b4) side = Mul(h, two)"""
TARGETS = ["t = Concat<axis=0>(b, one, side, side)", "p = Tile(side, h) t = Concat<axis=0>(b, one, p)"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_stuck_model_runs_in_integers(target):
    x = np.random.default_rng(3).normal(size=(20, 16)).astype("f4")
    proto = model(f"{SIZES} {target} {NETWORK}", **CONSTANTS, u=np.eye(5, dtype="f4"))
    floats = lower(simplify(frontend.load(proto), evaluate)).program
    assert {"i", "c"} <= set(unknown(floats))
    measured = with_measured_shapes(floats, {"x": x[:1]}, 1)
    *batch, channels, height, width = measured.values["c"].shape
    assert isinstance(batch[0], str)
    assert (channels, height, width) == (3, 4, 4)
    (conv,) = [node for node in measured.nodes if node.op == "Conv"]
    assert conv.attributes["pads"] == [1, 1, 1, 1]
    assert "auto_pad" not in conv.attributes

    quantized = octavo.quantize(proto, x, strict=True)
    made = [node.op for node in quantized.program.nodes]
    assert [op for op in made if op[0] == "Q"] == ["Quantize", "QConv", "QReduceMean", "QGemm", "QGemm"]
    (want,) = octavo.Session(proto.SerializeToString()).run(None, {"x": x})
    (got,) = octavo.Session(quantized).run(None, {"x": x})
    assert np.array_equal(got, octavo.reference.run(quantized.program, {"x": x})[0])
    assert 10 * np.log10(np.square(want).sum() / np.square(want - got).sum()) > 30


def test_an_axis_that_follows_an_input_stays_a_symbol():
    text = """g (float[N,1,H,W] x) => (float y) { c = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)
        a = Relu(c) y = Conv<pads=[1,1,1,1]>(a, k) }"""
    proto = model(text, w=CONSTANTS["w"], k=np.ones((2, 3, 3, 3), "f4"))
    floats = lower(simplify(frontend.load(proto), evaluate)).program
    shapes = {
        name: value.shape
        for name, value in with_measured_shapes(floats, {"x": np.ones((1, 1, 6, 8), "f4")}, 1).values.items()
    }
    assert shapes["x"] == ("N", 1, "H", "W")
    assert shapes["c"][1] == 3
    assert all(isinstance(axis, str) for axis in shapes["c"][2:])


def test_where_no_other_size_runs_only_ranks_are_believed():
    text = """g (float[N,16] x) => (float y) { s = Shape(x) b = Gather(s, zero) f = Div(four, b)
        t = Concat<axis=0>(one, b, f, four) y = Reshape(x, t) }"""
    floats = lower(simplify(frontend.load(model(text, **CONSTANTS)), evaluate)).program
    measured = with_measured_shapes(floats, {"x": np.ones((1, 16), "f4")}, 1)
    sizes = measured.values["y"].shape
    assert len(sizes) == 4
    assert isinstance(sizes[2], str)


def test_what_is_not_known_of_shapes():
    """No shape, or an axis of a name that no input has; outputs that are left out have none."""
    shapes = {
        "x": ("N", 3),
        "z": None,
        "a": ("N", 3),
        "b": None,
        "c": ("M", 3),
        "d": (2, 3),
        "e": (),
        "f": ("N", "a.1"),
    }
    values = {name: Value(name, "f32", shape) for name, shape in shapes.items()}
    nodes = [Node("Odd", "n", ("x",), ("a", "", "b")), Node("Odd", "m", ("x",), ("c", "d", "e", "", "f"))]
    assert unknown(Program(["z", "x"], ["d"], values, {}, nodes)) == ["b", "c", "f"]
