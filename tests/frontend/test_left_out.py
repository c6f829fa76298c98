"""What is written out has ONNX's default for every attribute that is left out, or is refused."""

import numpy as np
import octavo
import onnx
import onnx.parser
import onnx.reference
import pytest
from octavo import frontend

F = np.float32


def model_of(op, inputs, opset=25, made=None, **attributes):
    names = ["" if array is None else f"x{i}" for i, array in enumerate(inputs)]
    info = onnx.helper.make_tensor_value_info
    kinds = [None if array is None else onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for array in inputs]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, names, ["y"], name="node", **attributes)],
        "one node",
        [
            info(name, kind, array.shape)
            for name, kind, array in zip(names, kinds, inputs, strict=True)
            if name
        ],
        [info("y", made or kinds[0], None)],
    )
    feeds = {name: array for name, array in zip(names, inputs, strict=True) if name}
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)
    return model, feeds


def run(model, feeds):
    return octavo.Session(model, threads=1).run(None, feeds)[0]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (2, 3, 4, 5)])
def test_hardmax_is_over_the_last_axis(shape):
    x = normal(*shape)
    expected = (np.arange(shape[-1]) == x.argmax(-1)[..., None]).astype(F)
    assert np.array_equal(run(*model_of("Hardmax", [x])), expected)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_hardmax_takes_the_first_of_equals(axis):
    x = np.zeros((2, 3, 4), F)
    expected = np.zeros_like(x)
    np.moveaxis(expected, axis, 0)[0] = 1
    assert np.array_equal(run(*model_of("Hardmax", [x], axis=axis)), expected)


LRN = {"alpha": 0.5, "beta": 0.25, "bias": 3.0}


@pytest.mark.parametrize("given", [{}, *({name: LRN[name]} for name in LRN), LRN], ids=str)
def test_lrn(given):
    x = normal(1, 4, 3, 2) * 9
    alpha, beta, bias = ({"alpha": 1e-4, "beta": 0.75, "bias": 1.0} | given).values()
    wide = np.square(x.astype(np.float64))
    sums = np.stack([wide[:, max(0, c - 1) : c + 2].sum(axis=1) for c in range(4)], axis=1)
    expected = x / (bias + alpha / 3 * sums) ** beta
    np.testing.assert_allclose(run(*model_of("LRN", [x], size=3, **given)), expected, rtol=2e-6)


@pytest.mark.parametrize("turned", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize(
    "factors", [{}, {"alpha": 0.5}, {"beta": -3.0}, {"alpha": 2.0, "beta": 0.25}], ids=str
)
@pytest.mark.parametrize("c", [None, (), (3,), (4, 1), (4, 3)])
def test_gemm_of_float64(turned, factors, c):
    a, b = normal(4, 5).astype("f8"), normal(5, 3, seed=1).astype("f8")
    addend = None if c is None else np.asarray(normal(*c, seed=2), "f8")
    expected = factors.get("alpha", 1.0) * (a @ b)
    expected = expected if c is None else expected + factors.get("beta", 1.0) * addend
    given = {f"trans{letter}": 1 for letter, flag in zip("AB", turned, strict=True) if flag}
    inputs = [a.T.copy() if turned[0] else a, b.T.copy() if turned[1] else b]
    y = run(*model_of("Gemm", inputs if c is None else [*inputs, addend], **given, **factors))
    np.testing.assert_allclose(y, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize(
    "factors", [{"alpha": 2.0}, {"beta": 2.0}, {"beta": 0.5}, {"alpha": 2.0, "beta": 2.0}]
)
def test_gemm_of_integers_by_factors_is_refused(dtype, factors):
    inputs = [np.ones((2, 2), dtype)] * 3
    with pytest.raises(octavo.ModelError, match=r"Gemm.*node"):
        run(*model_of("Gemm", inputs, **factors))


@pytest.mark.parametrize("points", [(), (7,), (None, 9), (200, [3, 0, 250, 128])], ids=str)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_conv_integer(points, axes):
    """By numpy: sums of products over whole windows, a zero point for all weights or one a channel."""
    rng = np.random.default_rng(axes)
    x, w = (
        rng.integers(0, 256, shape).astype("u1") for shape in ((2, 3) + (4,) * axes, (4, 3) + (2,) * axes)
    )
    zeros = [None if p is None else np.array(p, "u1") for p in points]
    below = [np.zeros(1, "i8") if p is None else p.astype("i8") for p in (*zeros, None, None)[:2]]
    seen = np.lib.stride_tricks.sliding_window_view(
        x.astype("i8") - below[0], (2,) * axes, range(2, 2 + axes)
    )
    kernel = w.astype("i8") - below[1].reshape((-1,) + (1,) * (axes + 1))
    taps = range(2 + axes, 2 + 2 * axes)
    expected = np.moveaxis(np.tensordot(seen, kernel, ((1, *taps), (1, *range(2, 2 + axes)))), -1, 1)
    y = run(*model_of("ConvInteger", [x, w, *zeros], made=onnx.TensorProto.INT32))
    assert y.dtype == np.int32
    assert np.array_equal(y, expected)


@pytest.mark.parametrize("opset", [16, 18, 25])
@pytest.mark.parametrize("kinds", [("f2", "i8"), ("f4", "f2"), ("i8", "f2"), ("f2", "f8")], ids=str)
def test_a_cast_to_the_type_of_another(opset, kinds):
    """Its body depends on the types themselves: of float16 too."""
    x, like = np.array([[1.5, -2.25, 100]]).astype(kinds[0]), np.zeros(1, kinds[1])
    made = onnx.helper.np_dtype_to_tensor_dtype(like.dtype)
    model, feeds = model_of("CastLike", [x, like], opset, made=made)
    y = run(model, feeds)
    assert y.dtype == np.dtype(kinds[1])
    assert np.array_equal(y, x.astype(kinds[1]))


def equation(equation, *shapes):
    inputs = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    return run(*model_of("Einsum", inputs, equation=equation)), np.einsum(equation, *inputs)


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("zi,iB", [(2, 3), (3, 4)]),  # the order is that of the alphabet, capitals first
        ("b...,a...", [(2, 5), (3, 5)]),
        ("i...j,j", [(2, 4, 3), (3,)]),
        ("cab", [(2, 3, 4)]),
        ("...,...->...", [(3, 1, 2), (1, 4, 1)]),
        ("a...,...b->b...a", [(2, 3, 4), (3, 4, 5)]),
        ("iji,jk->kj", [(3, 2, 3), (2, 4)]),
        ("abab->ab", [(2, 3, 2, 3)]),
        ("abab->ba", [(2, 3, 2, 3)]),
        ("ab,cd,ef->fdb", [(2, 3), (4, 5), (6, 7)]),
        ("ab,ab,ab->a", [(2, 3), (2, 3), (2, 3)]),
    ],
)
def test_equations(text, shapes):
    y, expected = equation(text, *shapes)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


ROI = {
    "x": normal(1, 2, 9, 9),
    "rois": np.array([[1, 1, 5.5, 7]], F),
    "images": np.array([0], np.int64),
}


@pytest.mark.parametrize("opset", [10, 15, 16, 20])
def test_regions_are_moved_by_half_a_pixel_from_opset_16_on(opset):
    """The reference of ONNX at 25 says what either meant, named in full."""
    plain = {"output_height": 2, "output_width": 3, "sampling_ratio": 2, "spatial_scale": 1.0}
    model, feeds = model_of("RoiAlign", list(ROI.values()), opset, **plain)
    mode = "half_pixel" if opset >= 16 else "output_half_pixel"
    named, _ = model_of("RoiAlign", list(ROI.values()), coordinate_transformation_mode=mode, **plain)
    (expected,) = onnx.reference.ReferenceEvaluator(named).run(None, feeds)
    np.testing.assert_allclose(run(model, feeds), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", [10, 11, 13])
@pytest.mark.parametrize("size", [5, 7, 12])
def test_the_nearest_of_opset_10_is_the_floor(opset, size):
    """From 11 on it is the half pixel rounded, where nothing is said."""
    x = np.arange(8, dtype=F).reshape(1, 1, 1, 8)
    scales = np.array([1, 1, 1, size / 8], F)
    inputs = [x, scales] if opset == 10 else [x, np.zeros(0, F), scales]
    y = run(*model_of("Resize", inputs, opset))
    at = np.arange(size)
    expected = np.floor(at * 8 / size) if opset == 10 else np.ceil((at + 0.5) * 8 / size - 1.0)
    assert y.ravel().tolist() == np.clip(expected, 0, 7).tolist()


def text_model(text, opset=25):
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]> {text}')


@pytest.mark.parametrize("shape", ["0,3", "N,0,3"])
def test_an_axis_of_no_elements_is_a_number(shape):
    loaded = frontend.load(text_model(f"g (float[{shape}] x) => (float y) {{ y = Relu(x) }}"))
    (given,) = loaded.graph.inputs
    assert ",".join(str(axis) for axis in given.shape) == shape
    (made,) = loaded.graph.outputs
    assert ",".join(str(axis) for axis in made.shape) == shape
