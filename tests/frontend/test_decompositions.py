"""Operators that are written out with others, run whole, against onnx.reference and numpy."""

import numpy as np
import octavo
import onnx
import onnx.reference
import pytest


def run(op, inputs, **attributes):
    """octavo's and ONNX's answers of a model of that node; None is an input left out."""
    names = ["" if array is None else f"in{i}" for i, array in enumerate(inputs)]
    feeds = {name: array for name, array in zip(names, inputs, strict=True) if name}
    info = onnx.helper.make_tensor_value_info
    kinds = {name: onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in feeds.items()}
    made = kinds["in0"] if op not in ("MatMulInteger", "ConvInteger") else onnx.TensorProto.INT32
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, names, ["out"], **attributes)],
        "one node",
        [info(name, kinds[name], array.shape) for name, array in feeds.items()],
        [info("out", made, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 25)])
    (y,) = octavo.Session(model).run(None, feeds)
    with np.errstate(all="ignore"):
        (expected,) = onnx.reference.ReferenceEvaluator(model).run(None, feeds)
    assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
    return y, expected


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


EQUATIONS = {
    "ij,jk->ik": [(3, 4), (4, 5)],
    "ij,jk": [(3, 4), (4, 5)],
    "ba,cb": [(3, 4), (5, 3)],
    "bij,bjk->bik": [(2, 3, 4), (2, 4, 5)],
    "...ij,...jk->...ik": [(2, 1, 3, 4), (2, 5, 4, 6)],
    "...ij,jk": [(2, 3, 4), (4, 6)],
    "ij->ji": [(3, 4)],
    "ij": [(3, 4)],
    "ba": [(3, 4)],
    "ij->i": [(3, 4)],
    "ij->": [(3, 4)],
    "ii->i": [(4, 4)],
    "ii": [(4, 4)],
    "...ii->...i": [(3, 4, 4)],
    "iji->j": [(4, 3, 4)],
    "iii->i": [(3, 3, 3)],
    "i,i": [(4,), (4,)],
    "i,j->ij": [(3,), (4,)],
    "ij,ij->ij": [(3, 4), (3, 4)],
    "abcd,aecf->abef": [(2, 3, 4, 5), (2, 6, 4, 7)],
    "bhid,bhjd->bhij": [(2, 3, 4, 5), (2, 3, 6, 5)],
    "bqhd,bkhd->bhqk": [(2, 4, 3, 5), (2, 6, 3, 5)],
    "ij,jk,kl->il": [(3, 4), (4, 5), (5, 2)],
    "i,ij,j->": [(3,), (3, 4), (4,)],
    "ij,k->ijk": [(2, 3), (0,)],
    " i j , j k -> k i ": [(3, 4), (4, 5)],
    "Ab,bA->A": [(3, 4), (4, 3)],
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum(equation):
    inputs = [floats(*shape, seed=i) for i, shape in enumerate(EQUATIONS[equation])]
    y, _ = run("Einsum", inputs, equation=equation)
    np.testing.assert_allclose(y, np.einsum(equation.replace(" ", ""), *inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "int32", "int64", "float16"])
def test_einsum_of_other_dtypes(dtype):
    inputs = [(floats(3, 4) * 5).astype(dtype), (floats(4, 2, seed=1) * 5).astype(dtype)]
    y, expected = run("Einsum", inputs, equation="ij,jk->ki")
    np.testing.assert_allclose(y, expected, rtol=1e-2 if dtype == "float16" else 1e-12)


def einsum(equation, *shapes):
    info = onnx.helper.make_tensor_value_info
    names = [f"x{i}" for i in range(len(shapes))]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Einsum", names, ["y"], name="n", equation=equation)],
        "g",
        [info(name, onnx.TensorProto.FLOAT, shape) for name, shape in zip(names, shapes, strict=True)],
        [info("y", onnx.TensorProto.FLOAT, None)],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 25)], ir_version=10)


@pytest.mark.parametrize("equation", ["ij,jk->iz", "ij->ii", "ij,jk,kl", "i->i", "i?,jk"])
def test_equations_that_do_not_fit(equation):
    with pytest.raises(octavo.ModelError, match=r"equation|does not fit|[Ee]insum"):
        run("Einsum", [floats(3, 4), floats(4, 5)][: equation.count(",") + 1], equation=equation)


@pytest.mark.parametrize(
    "equation",
    ["...i...->i", "i....", "i-j", "i.j", "-", "....", "i,-...", "......,ij", "i1", "é", "ij->...i..."],
)
def test_equations_that_are_none(equation):
    """ONNX's own inference of shapes never ends on most of these."""
    with pytest.raises(octavo.ModelError, match=r"^node 'n' \(Einsum\) has the equation") as raised:
        octavo.Session(einsum(equation, *[(3, 4)] * (equation.count(",") + 1)))
    assert repr(equation) in str(raised.value)


def u8(*shape, seed=0, dtype="uint8"):
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max + 1, shape).astype(dtype)


@pytest.mark.parametrize("dtypes", [("uint8", "uint8"), ("uint8", "int8"), ("int8", "int8")])
@pytest.mark.parametrize("points", [(), (7,), (7, 9), (None, 9)])
def test_matmul_integer(dtypes, points):
    inputs = [u8(2, 5, 300, dtype=dtypes[0]), u8(300, 6, seed=1, dtype=dtypes[1])]
    inputs += [None if p is None else np.array(p, d) for p, d in zip(points, dtypes, strict=False)]
    y, expected = run("MatMulInteger", inputs)
    np.testing.assert_array_equal(y, expected)


def test_matmul_integer_by_row_and_column():
    a, b = u8(5, 8), u8(8, 6, seed=1)
    rows, columns = u8(5, seed=2), u8(6, seed=3)
    y, expected = run("MatMulInteger", [a, b, rows[:, None], columns])
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("points", [(), (7,), (7, 9)])
def test_conv_integer(points):
    inputs = [u8(2, 4, 7, 6), u8(6, 2, 3, 3, seed=1), *(np.array(p, np.uint8) for p in points)]
    y, expected = run("ConvInteger", inputs, group=2, pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2])
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", ["float64", "int32", "int64"])
@pytest.mark.parametrize("flags", [{}, {"transA": 1, "transB": 1}])
def test_gemm_of_other_dtypes(dtype, flags):
    a, b, c = ((floats(*s, seed=i) * 9).astype(dtype) for i, s in enumerate([(4, 5), (5, 3), (3,)]))
    a, b = (a.T.copy(), b.T.copy()) if flags else (a, b)
    more = {"alpha": 0.5, "beta": 2.0} if dtype == "float64" and flags else {}
    for inputs in ([a, b, c], [a, b]):
        y, expected = run("Gemm", inputs, **flags, **more)
        np.testing.assert_allclose(y, expected, rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_hardmax(axis, dtype):
    x = np.round(floats(3, 4, 5) * 2).astype(dtype)
    np.testing.assert_array_equal(*run("Hardmax", [x], axis=axis))


@pytest.mark.parametrize("size", [1, 3, 4, 9])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_lrn(size, dtype):
    x = (floats(2, 5, 4, 3) * 3).astype(dtype)
    (y, _), c = run("LRN", [x], size=size, alpha=0.2, beta=0.6, bias=1.5), range(5)
    near = [[i for i in c if -((size - 1) // 2) <= i - j <= size // 2] for j in c]
    wide = x.astype(np.float64)
    sums = np.stack([(wide[:, list(i)] ** 2).sum(axis=1) for i in near], axis=1)
    expected = wide / (1.5 + 0.2 / size * sums) ** 0.6
    np.testing.assert_allclose(y, expected, rtol=1e-5 if dtype == "float32" else 2e-3)
