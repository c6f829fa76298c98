"""The float Program: defaults written out, auto_pad resolved, names kept, answers as ONNX Runtime's."""

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from octavo import frontend, reference
from octavo.errors import ModelError
from octavo.lowering import lower


def test_defaults_are_explicit(floats):
    text = """g (float[N,3,9,8] x) => (float y)
        { c = Conv(x, w) p = MaxPool<kernel_shape=[2,3]>(c) f = Flatten(p) t = Transpose(f)
          y = Gemm<transA=1>(t, v) }"""
    program = floats(text, w=np.ones((4, 3, 2, 2), "f4"), v=np.ones((140, 2), "f4"))
    conv, pool, flatten, transpose, gemm = (node.attributes for node in program.nodes)
    assert conv == {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    assert pool == {
        "kernel_shape": [2, 3],
        "strides": [1, 1],
        "pads": [0] * 4,
        "dilations": [1, 1],
        "ceil_mode": 0,
    }
    assert flatten == {"axis": 1}
    assert transpose == {"perm": [1, 0]}
    assert gemm == {"alpha": np.float32(1), "beta": np.float32(1), "transA": 1, "transB": 0}
    assert type(gemm["alpha"]) is np.float32


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(("size", "stride"), [(7, 2), (8, 2), (8, 3), (5, 1)])
def test_auto_pad_as_onnx_runtime_has_it(floats, rng, mode, size, stride):
    conv = f'<auto_pad="{mode}", strides=[{stride},{stride}]>'
    text = f"g (float[1,2,{size},{size}] x) => (float[1,3,h,w] y) {{ y = Conv{conv}(x, w) }}"
    weight, x = rng.normal(size=(3, 2, 3, 2)).astype("f4"), rng.normal(size=(1, 2, size, size)).astype("f4")
    program = floats(text, w=weight)
    assert "auto_pad" not in program.nodes[0].attributes
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    (want,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(reference.run(program, {"x": x})[0], want, rtol=1e-5, atol=1e-5)


WINDOWS = {
    "Conv": "Conv<{}>(x, w)",
    "depthwise": "Conv<{}, group=2>(x, d)",
    "MaxPool": "MaxPool<{}, kernel_shape=[3, 4]>(x)",
    "AveragePool": "AveragePool<{}, kernel_shape=[3, 4]>(x)",
    "padded mean": "AveragePool<{}, kernel_shape=[3, 4], count_include_pad=1>(x)",
    "LpPool": "LpPool<{}, kernel_shape=[3, 4]>(x)",
    "ConvTranspose": "ConvTranspose<{}>(x, t)",
}
WEIGHTS = {
    "w": np.linspace(-1, 1, 36, dtype="f4").reshape(3, 2, 3, 2),
    "d": np.linspace(-1, 1, 12, dtype="f4").reshape(2, 1, 3, 2),
    "t": np.linspace(-1, 1, 72, dtype="f4").reshape(2, 3, 3, 4),
}


FREE = "g (float[N,2,h,w] x) => (float[n,c,i,j] y) {{ y = {} }}"


def check_against_onnx_runtime(program, text, rng):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in WEIGHTS.items())
    peer = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for height, width in ((7, 9), (8, 8), (3, 4), (1, 1), (12, 5)):
        x = rng.normal(size=(2, 2, height, width)).astype("f4")
        (want,) = peer.run(None, {"x": x})
        np.testing.assert_allclose(reference.run(program, {"x": x})[0], want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("strides", [[1, 1], [2, 3]])
@pytest.mark.parametrize("op", WINDOWS)
def test_auto_pad_of_free_sizes(floats, rng, op, mode, strides):
    """Pads are known at once where strides are 1, and made for the size at hand elsewhere."""
    text = FREE.format(WINDOWS[op].format(f'auto_pad="{mode}", strides={strides}'))
    program = floats(text, **WEIGHTS)
    (node,) = program.nodes
    assert ("auto_pad" in node.attributes) == (strides != [1, 1] or op == "ConvTranspose")
    assert ("pads" in node.attributes) != ("auto_pad" in node.attributes)
    check_against_onnx_runtime(program, text, rng)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("op", "weight"), [("Conv", "w"), ("depthwise", "d"), ("ConvTranspose", "t")])
def test_auto_pad_of_dilated_windows(floats, rng, op, weight, mode):
    """ONNX Runtime has no auto_pad there: the pads are written out for it."""
    totals = [(WEIGHTS[weight].shape[2] - 1) * 2, (WEIGHTS[weight].shape[3] - 1) * 3]
    less, more = [n // 2 for n in totals], [n - n // 2 for n in totals]
    pads = less + more if mode == "SAME_UPPER" else more + less
    program = floats(FREE.format(WINDOWS[op].format(f'auto_pad="{mode}", dilations=[2, 3]')), **WEIGHTS)
    check_against_onnx_runtime(
        program, FREE.format(WINDOWS[op].format(f"pads={pads}, dilations=[2, 3]")), rng
    )


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("stride", [1, 2])
def test_auto_pad_of_free_sizes_runs_in_integers(quantized, rng, mode, stride):
    pad = f'auto_pad="{mode}", strides=[{stride},{stride}]'
    text = f"""g (float[N,2,h,w] x) => (float[n,c,i,j] y) {{ a = Conv<{pad}>(x, w) b = MaxPool<{pad},
        kernel_shape=[3,3]>(a) c = AveragePool<{pad}, kernel_shape=[2,2]>(b) y = Conv<{pad}>(c, v) }}"""
    x = rng.uniform(-1, 1, (2, 2, 37, 30)).astype("f4")
    weights = {
        "w": rng.normal(size=(4, 2, 3, 3)).astype("f4"),
        "v": rng.normal(size=(3, 4, 5, 5)).astype("f4"),
    }
    case = quantized(text, x, **weights)
    assert case.ops == ["Quantize", "QConv", "MaxPool", "QAveragePool", "QConv"]
    assert case.reasons == {}
    assert all(("auto_pad" in node.attributes) == (stride == 2) for node in case.lowered.program.nodes[1:])
    assert case.sqnr() > 30


def test_values_keep_the_names_of_the_graph(floats):
    program = floats("g (float[N,4] x) => (float[N,4] y) { a = Relu(x) y = Abs(a) }")
    assert (program.inputs, program.outputs, list(program.values)) == (["x"], ["y"], ["x", "a", "y"])
    assert program.values["x"].shape == ("N", 4)


def test_the_shape_that_a_file_states_is_taken_of_outputs_alone():
    """And where none follows from the graph: what is inferred stays, what is between has none."""
    text = """<ir_version: 10, opset_import: ["" : 21]>
        g (float[N,4] x, int64[r] t) => (float[A,2] y, float[B,4] z)
        <float[C,3] a> { a = Reshape(x, t) y = Abs(a) z = Abs(x) }"""
    values = lower(frontend.load(onnx.parser.parse_model(text))).program.values
    assert (values["a"].shape, values["y"].shape) == (None, ("A", 2))
    assert values["z"].shape == ("N", 4)


def test_constant_of_shape_reads_its_value(floats):
    text = """g (float[N,4] x) => (float[N,2] y)
        { s = Shape<start=0, end=1>(x) t = Concat<axis=0>(s, two)
          y = ConstantOfShape<value=float[1]{7.0}>(t) }"""
    program = floats(text, two=np.array([2]))
    assert np.array_equal(reference.run(program, {"x": np.zeros((3, 4), "f4")})[0], np.full((3, 2), 7, "f4"))


@pytest.mark.parametrize(
    ("node", "what"),
    [
        ("y = RandomNormalLike(x)", "octavo has no operator RandomNormalLike \\(node 'randomnormallike0'\\)"),
        ("y, m, v = BatchNormalization<training_mode=1>(x, s, s, s, s)", "exported in training mode"),
    ],
)
def test_what_no_program_can_hold(floats, node, what):
    scales = {"s": np.ones(2, "f4")} if "s)" in node else {}
    with pytest.raises(ModelError, match=what):
        floats(f"g (float[1,2,4] x) => (float[1,2,4] y) {{ {node} }}", **scales)


@pytest.mark.parametrize(
    ("attributes", "want"),
    [
        ("", {"pads": [0, 0, 0, 0]}),
        (
            "<pads=[1,0,0,1], strides=[2,3], dilations=[1,2]>",
            {"pads": [1, 0, 0, 1], "strides": [2, 3], "dilations": [1, 2]},
        ),
        ('<auto_pad="VALID">', {"pads": [0, 0, 0, 0]}),
        ('<auto_pad="SAME_UPPER">', {"auto_pad": "SAME_UPPER"}),
        ('<auto_pad="SAME_LOWER">', {"auto_pad": "SAME_LOWER"}),
        ("<output_shape=[9,9]>", {"auto_pad": "SAME_LOWER", "output_shape": [9, 9]}),
        ('<output_shape=[9,9], auto_pad="SAME_UPPER">', {"auto_pad": "SAME_UPPER", "output_shape": [9, 9]}),
        (
            "<output_padding=[1,0], strides=[2,2]>",
            {"pads": [0, 0, 0, 0], "output_padding": [1, 0], "strides": [2, 2]},
        ),
    ],
)
def test_defaults_of_a_transposed_convolution(floats, attributes, want):
    text = f"g (float[1,2,4,4] x) => (float y) {{ y = ConvTranspose{attributes}(x, w) }}"
    program = floats(text, w=np.ones((2, 1, 3, 3), "f4"))
    base = {"strides": [1, 1], "dilations": [1, 1], "output_padding": [0, 0], "group": 1}
    assert program.nodes[0].attributes == base | want


def test_trailing_inputs_and_outputs_left_out(floats):
    text = "g (float[4] x) => (float[4] y) { y = Clip(x, , ) }"
    assert floats(text).nodes[0].inputs == ("x",)
    text = "g (float[4] x, int64[1] k) => (float v) { v, i = TopK(x, k) }"
    assert floats(text).nodes[0].outputs == ("v", "i")


def test_nodes_of_one_name_are_numbered(floats):
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y)'
        " { a = Abs(x) b = Exp(a) y = Neg(b) }"
    )
    for node in proto.graph.node:
        node.name = "same"
    assert [node.name for node in lower(frontend.load(proto)).program.nodes] == ["same", "same_2", "same_3"]


def test_pixels_are_cast_by_a_dequantize_of_one(floats):
    program = floats("g (uint8[2] x) => (float[2] y) { y = Cast<to=1>(x) }")
    (node,) = program.nodes
    assert (node.op, node.attributes) == ("Dequantize", {"scale": np.float32(1), "zero_point": 0})
    (other,) = floats("g (int8[2] x) => (float[2] y) { y = Cast<to=1>(x) }").nodes
    assert (other.op, other.attributes) == ("Cast", {"to": 1})


@pytest.mark.parametrize(
    ("type_", "says"),
    [("uint16", "the value 'x' is uint16"), ("complex64", "the value 'x' is complex64")],
)
def test_types_that_no_program_holds(floats, type_, says):
    with pytest.raises(ModelError, match=says):
        floats(f"g ({type_}[2] x) => ({type_}[2] y) {{ y = Identity(x) }}")


def test_shapes_and_axes_without_a_name(floats):
    program = floats("g (float[N,?,3] x) => (float y) { y = Abs(x) }")
    assert program.values["x"].shape[0::2] == ("N", 3)
    assert isinstance(program.values["x"].shape[1], str)
