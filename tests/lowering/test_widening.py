"""Ops of dtypes that the Program's ops do not have: what they become, and that it computes as ONNX says."""

import numpy as np
import octavo
import onnx
import onnx.parser
import onnx.reference
import onnxruntime
import pytest
from octavo.lowering.widening import widened
from octavo.program import Node, Program, Value


def run_both(program, feeds):
    """The outputs of the reference, which the runtime gives too."""
    expected = octavo.reference.run(program, feeds)
    for given, want in zip(octavo.Session(program).run(None, feeds), expected, strict=True):
        assert given.dtype == want.dtype
        np.testing.assert_array_equal(given, want)
    return expected


def peer(text, feeds, **constants):
    """The first output of ONNX Runtime, at an opset that it knows."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, feeds)[0]


def test_a_model_of_halves_rounds_each_result_once(floats, rng):
    text = """g (float16[N,3,8,8] x) => (float16[N,10] y)
        { c = Conv<pads=[1,1,1,1]>(x, w, b) r = LeakyRelu(c) p = GlobalAveragePool(r) f = Flatten(p)
          m = Gemm(f, v, k) e = MatMul(m, u) y = Softmax(e) }"""
    shapes = {"w": (4, 3, 3, 3), "b": (4,), "v": (4, 10), "k": (10,), "u": (10, 10)}
    constants = {name: rng.normal(size=shape).astype(np.float16) for name, shape in shapes.items()}
    program = floats(text, **constants)
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float16)
    (y,) = run_both(program, {"x": x})
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, peer(text, {"x": x}, **constants), atol=2e-3)
    widened = [name for name, array in program.constants.items() if array.dtype == np.float32]
    assert sorted(widened) == ["b.f32", "k.f32", "u.f32", "v.f32", "w.f32"]
    assert not any(array.dtype == np.float16 for array in program.constants.values())
    product = next(node for node in program.nodes if node.op == "Conv")
    (between,) = octavo.reference.run(program, {"x": x}, [product.outputs[0]])
    (rounded,) = octavo.reference.run(program, {"x": x}, ["c"])
    np.testing.assert_array_equal(rounded, between.astype(np.float16))


def test_doubles_without_arithmetic_of_their_own_go_through_float32(floats):
    program = floats("g (double[N] x) => (double[N] y) { y = Exp(x) }")
    assert [node.op for node in program.nodes] == ["Cast", "Exp", "Cast"]
    x = np.linspace(-3, 3, 50)
    (y,) = run_both(program, {"x": x})
    np.testing.assert_allclose(y, np.exp(x), rtol=3e-7)


def test_a_value_is_cast_once_and_names_of_the_program_are_kept():
    names = ["x", "x.f32", "a", "y"]
    nodes = [Node("Exp", "exp", ("x",), ("a",)), Node("Pow", "pow", ("x", "x.f32"), ("y",))]
    given = Program(["x", "x.f32"], ["a", "y"], {name: Value(name, "f16", (3,)) for name in names}, {}, nodes)
    program = widened(given)
    assert sum(node.op == "Cast" and node.inputs == ("x",) for node in program.nodes) == 1
    assert {*names, "x.f32_"} < program.values.keys()
    run_both(program, {"x": np.float16([1, 2, 3]), "x.f32": np.float16([1, 0, 1])})


@pytest.mark.parametrize("dtype", ["float", "float16", "int32", "int64"])
def test_clip_by_computed_bounds(floats, dtype):
    text = f"g ({dtype}[6] x, {dtype} lo, {dtype} hi) => ({dtype}[6] y) {{ y = Clip(x, lo, hi) }}"
    numpy_type = {"float": "f4", "float16": "f2", "int32": "i4", "int64": "i8"}[dtype]
    x = np.array([-5, -1, 0, 2, 4, 9], numpy_type)
    program = floats(text)
    assert [node.op for node in program.nodes if node.op != "Cast"] == ["Max", "Min"]
    for lo, hi in [(-1, 4), (4, -1), (0, 0)]:
        feeds = {"x": x, "lo": np.array(lo, numpy_type), "hi": np.array(hi, numpy_type)}
        np.testing.assert_array_equal(run_both(program, feeds)[0], peer(text, feeds))


@pytest.mark.parametrize("bounds", ["lo", ", hi", "lo, hi", "lo, six", "zero, hi"])
def test_clip_by_computed_bounds_among_integers(quantized, rng, bounds):
    """No clamp of the product before it: its bounds are known in a run alone."""
    text = "g (float[N,3] x, float lo, float hi) => (float[N,3] y) "
    text += f"{{ m = MatMul(x, w) c = Clip(m, {bounds}) y = MatMul(c, w) }}"
    numbers = {"zero": np.float32(0), "six": np.float32(6)}
    used = {name: number for name, number in numbers.items() if name in bounds}
    feeds = {"x": rng.normal(size=(40, 3)).astype("f4"), "lo": np.float32(-0.25), "hi": np.float32(0.5)}
    case = quantized(text, feeds, w=np.eye(3, dtype="f4"), **used)
    np.testing.assert_allclose(case.got[0], case.want[0], atol=0.05)


def test_clip_by_nothing_is_identity(floats):
    program = floats("g (int64[3] x) => (int64[3] y) { y = Clip(x) }")
    assert [node.op for node in program.nodes] == ["Identity"]


@pytest.mark.parametrize("base", ["float", "float16"])
@pytest.mark.parametrize("exponent", ["int32", "int64", "float"])
def test_powers_of_mixed_types(floats, base, exponent):
    types = {"float": "f4", "float16": "f2", "int32": "i4", "int64": "i8"}
    text = f"g ({base}[N] x, {exponent}[N] n) => ({base}[N] y) {{ y = Pow(x, n) }}"
    feeds = {"x": np.array([0.5, 2, -1.5, 3], types[base]), "n": np.array([3, -2, 2, 0], types[exponent])}
    (y,) = run_both(floats(text), feeds)
    expected = feeds["x"].astype(np.float64) ** feeds["n"].astype(np.float64)
    np.testing.assert_allclose(y, expected, rtol=1e-3 if base == "float16" else 1e-6)


def test_attributes_of_small_floats_do_not_matter_to_other_casts(floats):
    program = floats('g (float[3] x) => (float16[3] y) { y = Cast<to=10, saturate=0, round_mode="down">(x) }')
    (y,) = run_both(program, {"x": np.float32([1e9, -0.1, 2048.9])})
    assert y.tolist() == np.float16([np.inf, -0.1, 2048]).tolist()


def test_shrink_of_integers(floats):
    program = floats("g (int32[6] x) => (int32[6] y) { y = Shrink<lambd=1.5, bias=1.0>(x) }")
    (y,) = run_both(program, {"x": np.int32([-3, -2, -1, 0, 1, 2])})
    assert y.tolist() == [-2, -1, 0, 0, 0, 1]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])
def test_interpolation_of_integers_is_rounded_and_clipped(floats, dtype):
    """Cubic overshoots: what leaves the type is clipped, halves go to even."""
    text = f"""g ({dtype}[1,1,1,4] x) => ({dtype}[1,1,1,8] y)
        {{ y = Resize<mode="cubic">(x, , scales) }}"""
    info = np.iinfo(dtype)
    low, high = (info.min, info.max) if info.bits < 32 else (-1000, 1000)
    x = np.array([low, high, high, low], dtype).reshape(1, 1, 1, 4)
    program = floats(text, scales=np.array([1, 1, 1, 2], "f4"))
    (given,) = run_both(program, {"x": x})
    wide = floats(text.replace(dtype, "float"), scales=np.array([1, 1, 1, 2], "f4"))
    (want,) = octavo.reference.run(wide, {"x": x.astype(np.float32)})
    bounds = (info.min, info.max) if info.bits < 32 else (-(10**9), 10**9)
    assert given.dtype == np.dtype(dtype)
    assert given.tolist() == np.clip(np.rint(want), *bounds).astype(dtype).tolist()
    assert (want > high).any()


def test_sums_of_logarithms_of_integers_are_truncated(floats):
    program = floats("g (int32[4] x) => (int32[1] y) { y = ReduceLogSum(x) }")
    (y,) = run_both(program, {"x": np.int32([100, 200, 300, 400])})
    assert y.tolist() == [int(np.log(1000))]


@pytest.mark.parametrize("op", ["ReduceLogSum", "ReduceLogSumExp"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sums_of_logarithms_of_integers_along_an_axis(floats, op, axis):
    text = f"g (int32[2,3] x) => (int32 y) {{ y = {op}<keepdims=0>(x, a) }}"
    x = np.int32([[1, 2, 3], [2, 2, 3]])
    (y,) = run_both(floats(text, a=np.array([axis])), {"x": x})
    exact = np.log(x.sum(axis) if op == "ReduceLogSum" else np.exp(x.astype(float)).sum(axis))
    assert y.tolist() == exact.astype(int).tolist()


def test_outputs_that_are_constants_stay(floats):
    program = floats("g (float16[2] x) => (float16[2] y, float16[2] k) { y = Exp(k) }", k=np.float16([1, 2]))
    y, k = run_both(program, {"x": np.float16([0, 0])})
    assert k.tolist() == [1, 2]
    np.testing.assert_allclose(y, np.exp([1.0, 2.0]), rtol=1e-3)
