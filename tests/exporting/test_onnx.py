"""Programs as ONNX models in QDQ form: what ONNX Runtime makes of them, beside the reference."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import octavo
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from encoders import HEADS, WORDS, random_weights
from graphs import graph
from octavo import exporting, reference
from octavo.errors import ArtifactError, ModelError
from octavo.exporting.integers import RULES
from octavo.lowering import Affine, Forms, Range, columns, grid, lower_to_integers
from octavo.program import Node, Program, Quant, Value
from octavo.program.integers import INT8, limits, pack
from octavo.program.ops import signatures
from octavo.rewrites import INTEGERS, Storage, integer_ends, stored_tables, stored_weights

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

import minilm

F = np.float32


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def opened(proto):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def compared(program, feeds, share=0.002, close=1e-5):
    """Every value of a Program: integers but for a few that a tie decides, floats but for roundings."""
    left = {"QExponentials"}  # whose digits and sums the product behind it has no need of
    names = [name for node in program.nodes if node.op not in left for name in filter(None, node.outputs)]
    whole = replace(program, outputs=names)
    wanted = dict(zip(names, reference.run(whole, feeds), strict=True))
    found = dict(zip(names, opened(exporting.to_onnx(whole)).run(names, feeds), strict=True))
    for name in names:
        one, other = wanted[name], found[name]
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        if one.dtype.kind == "f":
            assert np.abs(one - other).max() <= close * np.abs(one).max(), name
        else:
            distance = np.abs(one.astype(np.int64) - other)
            assert distance.max() <= 1, name
            assert distance.mean() <= share, name
    return found


def lowered(text, ranges=None, given=None, grids=None, **constants):
    floats = graph(text, **constants)
    names = [name for name, value in floats.values.items() if value.dtype == "f32"]
    held = {name: Range(-4.0, 4.0) for name in names} | (ranges or {})
    return lower_to_integers(floats, Forms(held, given or {}, grids=grids or {})).program


def test_pixels_on_a_grid_a_channel(rng):
    """Fractional zero points, unlike padding, weights that have taken scales in."""
    scales, zeros = np.array([0.0171, 0.0175, 0.5], F), np.array([123.675, 116.28, 0.4], F)
    pixels = rng.integers(0, 256, (2, 3, 9, 8))
    x = (scales.reshape(3, 1, 1) * (pixels - zeros.reshape(3, 1, 1))).astype(F)
    text = "g (float[N,3,9,8] x) => (float[N,5,9,8] y) { c = Conv<pads=[1,1,1,1]>(x, w, b) y = Relu(c) }"
    w, b = rng.normal(size=(5, 3, 3, 3)).astype(F), rng.normal(size=5).astype(F)
    program = lowered(text, {"c": Range(-9.0, 9.0)}, grids={"x": grid(scales, zeros, 1)}, w=w, b=b)
    assert "x_zero_points" in next(node.attributes for node in program.nodes if node.op == "QConv")
    compared(program, {"x": x})


def test_channels_of_unlike_scales_and_a_bound(rng):
    """A depthwise convolution reads them; Clip ends the next one between the ends of uint8."""
    text = """g (float[N,4,8,8] x) => (float[N,6,8,8] y) {
        a = Conv(x, v) r = Relu(a) d = Conv<group=16, pads=[1,1,1,1]>(r, w, b)
        p = Conv(d, u) q = Clip(p, low, high) y = Conv(q, t) }"""
    shapes = {"v": (16, 4, 1, 1), "w": (16, 1, 3, 3), "b": (16,), "u": (8, 16, 1, 1), "t": (6, 8, 1, 1)}
    constants = {name: rng.normal(size=shape).astype(F) / 2 for name, shape in shapes.items()}
    form = Affine(F(0.03), 0, channels=tuple(rng.uniform(0.005, 0.03, 16).astype(F)))
    program = lowered(text, given={"r": form}, low=F(-1), high=F(2.5), **constants)
    assert len(program.values["r"].quant.scale) == 16
    assert any(
        (node.attributes.get("lo"), node.attributes.get("hi")) not in ((None, None), (0, 255))
        for node in program.nodes
    )
    compared(program, {"x": rng.normal(size=(2, 4, 8, 8)).astype(F)})


def test_an_encoder_of_sentences():
    """Products of activations, attention that divides by its sums."""
    proto = ir.to_proto(minilm.build(random_weights(), HEADS))
    rng = np.random.default_rng(2)
    names = [port.name for port in proto.graph.input]

    def sentence(length):
        held = {
            "input_ids": rng.integers(1, WORDS, (1, length)),
            "attention_mask": np.ones((1, length), np.int64),
            "token_type_ids": np.zeros((1, length), np.int64),
        }
        return {name: held[name] for name in names}

    model = octavo.quantize(proto, [sentence(length) for length in range(5, 37)], effort="fast")
    ops = {node.op for node in model.program.nodes}
    assert {"QExponentials", "QMatMul", "QGemm"} <= ops
    floats, own, other = opened(proto), octavo.Session(model), opened(exporting.to_onnx(model.program))
    noises = np.zeros(2)
    for length in range(3, 30):
        feeds = sentence(length)
        wanted, *made = (session.run(None, feeds)[0] for session in (floats, own, other))
        noises += [np.square(wanted - answer).sum() for answer in made]
    assert 0.8 < noises[1] / noises[0] < 1.25


@pytest.mark.parametrize("dtype", ["u4", "i4", "u3", "i2", "i8", "u8", "i32"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_constants_of_few_bits(rng, dtype, axis):
    width = int(dtype[1:])
    least, greatest = limits(dtype)
    integers = rng.integers(max(least, -200), min(greatest, 200) + 1, (6, 8))
    block = 4 if axis == 1 else None
    shape = {None: (1,), 0: (6,), 1: (6, 2)}[axis]
    scale = rng.uniform(0.1, 1, shape).astype(F)
    zero = rng.integers(max(least, -3), 1 + (dtype[0] == "u"), shape).astype(np.int32)
    packed = pack(integers, dtype) if width < 8 else integers.astype(f"{'u' * (dtype[0] == 'u')}int{width}")
    attributes = {} if axis is None else {"axis": axis} | ({"block": block} if block else {})
    program = Program(
        ["x"],
        ["y"],
        {
            "x": Value("x", "f32", (2, 6)),
            "w": Value("w", dtype, (6, 8), Quant(np.ones(1, F), np.zeros(1, np.int64))),
            "s": Value("s", "f32", shape),
            "z": Value("z", "i32", shape),
            "r": Value("r", "f32", (6, 8)),
            "y": Value("y", "f32", (2, 8)),
        },
        {"w": packed, "s": scale, "z": zero},
        [
            Node("Dequantize", "unpack", ("w", "s", "z"), ("r",), attributes),
            Node("MatMul", "m", ("x", "r"), ("y",)),
        ],
    )
    compared(program, {"x": rng.normal(size=(2, 6)).astype(F)})


def test_weight_only_models_and_their_tables(rng):
    text = "g (int64[N,4] x) => (float[N,4,8] y) { e = Gather(table, x) y = MatMul(e, w) }"
    floats = graph(text, table=rng.normal(size=(300, 64)).astype(F), w=rng.normal(size=(64, 8)).astype(F))
    program = stored_tables(stored_weights(floats, Storage()), INT8)
    assert [node.op for node in program.nodes] == ["Gather", "Gather", "Cast", "Mul", "Dequantize", "MatMul"]
    compared(program, {"x": rng.integers(0, 50, (3, 4))})


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_weights_of_few_bits_in_groups(rng, bits, symmetric):
    """Rows of a matrix, and those of a convolution, which lie flat and are reshaped."""
    text = "g (float[N,8,5,5] x) => (float y) { c = Conv(x, k) f = Flatten(c) y = MatMul(f, w) }"
    held = {"k": rng.normal(size=(4, 8, 3, 3)).astype(F), "w": rng.normal(size=(36, 8)).astype(F)}
    program = stored_weights(graph(text, **held), Storage(bits, 32, symmetric))
    assert [node.op for node in program.nodes].count("Dequantize") == 2
    compared(program, {"x": rng.normal(size=(2, 8, 5, 5)).astype(F)})


def test_columns_of_features(rng):
    """A Quantize that takes some columns twice."""
    indices = np.array([0, 1, 2, 3, 1, 2, 2, 3])
    scales = np.array([0.02, 0.03, 0.01, 0.02], F)[indices]
    zeros = np.array([128, 128, 128, 128, 383, -127, 383, -127], F)
    form = columns(scales, zeros, indices, 128, 1)
    text = "g (float[N,4] x) => (float[N,3] y) { n = LayerNormalization<axis=-1>(x, g0) y = MatMul(n, w) }"
    held = {"g0": np.ones(4, F), "w": rng.normal(size=(4, 3)).astype(F)}
    program = lowered(text, grids={"n": form}, **held)
    assert any(node.op == "Quantize" and len(node.inputs) == 4 for node in program.nodes)
    compared(program, {"x": rng.normal(size=(50, 4)).astype(F)}, share=0.01)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_softmax_and_a_movement_in_the_middle(rng, axis):
    text = f"""g (float[N,4,6] x) => (float[N,6,5] y) {{
        s = Softmax<axis={axis}>(x) t = Transpose<perm=[0,2,1]>(s) p = Pad(t, pads, far)
        y = MatMul(p, w) }}"""
    held = {"pads": np.array([0, 0, 0, 0, 0, 1]), "far": F(0.5), "w": rng.normal(size=(5, 5)).astype(F)}
    program = lowered(text, **held)
    compared(program, {"x": rng.normal(size=(3, 4, 6)).astype(F)}, share=0.01)


@pytest.mark.parametrize("io", ["uint8", "int8"])
def test_ends_in_integers(rng, io):
    text = """g (float[2,4,6] x) => (float[2,4,6] y, int64[2,4,1] z) {
        a = MatMul(x, w) y = Softmax<axis = -1>(a) z = ArgMax<axis = 2>(a) }"""
    program = graph(text, w=rng.normal(size=(6, 6)).astype(F))
    ranges = {"x": Range(-3, 4), "a": Range(-9, 9), "y": Range(0, 1)}
    made = integer_ends(lower_to_integers(program, Forms(ranges, integers_only=True)).program, INTEGERS[io])
    feeds = {"x": rng.integers(0, 256, (2, 4, 6), np.uint8).view(io)}
    session = opened(exporting.to_onnx(made))
    assert [port.type for port in (*session.get_inputs(), *session.get_outputs())] == [
        f"tensor({io})",
        f"tensor({io})",
        "tensor(int64)",
    ]
    one, other = (run(None, feeds) for run in (session.run, octavo.Session(made).run))
    assert np.abs(one[0].astype(int) - other[0]).max() <= 1
    assert np.mean(one[1] == other[1]) > 0.8  # of equal integers either may be the greatest


@pytest.mark.parametrize(
    ("op", "signs"), [("Add", (1, 1)), ("Sub", (1, -1)), ("Sub", (-1, 1)), ("Sub", (-1, -1))]
)
def test_sums_and_differences(rng, op, signs):
    """The sign of a multiplier is that of its side, whatever the graph's operator was."""
    quant = Quant(np.array([0.05], F), np.array([100]))
    values = {name: Value(name, "u8", (64,), quant) for name in ("a", "b")}
    values["y"] = Value("y", "u8", (64,), Quant(np.array([0.1], F), np.array([128])))
    zeros = {"a_zero_point": 100, "b_zero_point": 100, "y_zero_point": 128, "lo": 0, "hi": 255}
    factors = {"a_multiplier": signs[0] << 14, "b_multiplier": signs[1] << 14, "shift": 15}
    node = Node("QAdd", "sum", ("a", "b"), ("y",), zeros | factors)
    program = Program(["a", "b"], ["y"], values, {}, [node])
    assert {item.op_type for item in exporting.to_onnx(program).graph.node} >= {op}
    feeds = {name: rng.integers(0, 256, 64).astype(np.uint8) for name in ("a", "b")}
    compared(program, feeds, share=1)


@pytest.mark.parametrize("kind", ["rows", "samples"])
def test_ranges_that_a_run_finds(rng, kind):
    """A row, or a sample, of zeros among them."""
    if kind == "rows":
        text = "g (float[N,5,16] x) => (float[N,5,8] y) { a = MatMul(x, w) y = Add(a, b) }"
        w, x = rng.normal(size=(16, 8)), rng.normal(size=(3, 5, 16)) * [[[1], [30], [0], [0.01], [4]]]
    else:
        text = "g (float[N,4,6,6] x) => (float[N,8,6,6] y) { y = Conv<pads=[1,1,1,1]>(x, w, b) }"
        w, x = rng.normal(size=(8, 4, 3, 3)), rng.normal(size=(3, 4, 6, 6)) * [[[[1]]], [[[0]]], [[[50]]]]
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for name, array in (("w", w), ("b", rng.normal(size=8))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(F), name))
    program = octavo.quantize(proto, recipe="dynamic").program
    assert {"DynamicQuantize"} <= {node.op for node in program.nodes}
    feeds = {"x": x.astype(F)}
    [wanted], [found] = reference.run(program, feeds), opened(exporting.to_onnx(program)).run(None, feeds)
    assert np.abs(wanted - found).max() <= 1e-5 * np.abs(wanted).max()


def test_every_integer_operator_has_a_rule():
    assert set(RULES) == {op for op in signatures() if op.startswith("Q") or op in OTHERS}


OTHERS = {"Dequantize", "DynamicQuantize", "Lookup", "Requantize"}


def test_names_ports_and_bytes(tmp_path, rng):
    """Ports keep names, shapes and dtypes; the same Program gives the same file, in the lowest opset."""
    text = "g (float[N,8] x) => (float[N,4] y) { y = MatMul(x, w) }"
    program = lowered(text, w=rng.normal(size=(8, 4)).astype(F))
    for path in ("one.onnx", "two.onnx"):
        exporting.save(program, tmp_path / path)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    proto = onnx.load(tmp_path / "one.onnx")
    assert proto.opset_import[0].version == 21
    session = opened(proto)
    [given], [answer] = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape, answer.name, answer.shape) == ("x", ["N", 8], "y", ["N", 4])
    newer = graph("g (float[N,8] x) => (float[N,8] y) { y = Swish(x) }")
    assert exporting.to_onnx(newer).opset_import[0].version == 25


def test_what_cannot_be_written_is_told(tmp_path, rng):
    text = "g (float[N,8] x) => (float[N,4] y) { y = MatMul(x, w) }"
    program = lowered(text, w=rng.normal(size=(8, 4)).astype(F))
    source = tmp_path / "model.onnx"
    source.write_bytes(b"kept")
    with pytest.raises(ArtifactError, match="not overwritten"):
        exporting.save(program, source, [source])
    assert source.read_bytes() == b"kept"
    with pytest.raises(OSError, match="nowhere"):
        exporting.save(program, tmp_path / "nowhere" / "model.onnx")
    unknown = {name: replace(value, quant=None) for name, value in program.values.items()}
    with pytest.raises(ModelError, match="has no scale"):
        exporting.to_onnx(replace(program, values=unknown))
