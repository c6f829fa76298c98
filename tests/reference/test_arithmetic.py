"""Arithmetic, comparisons, logic and Where of every dtype against onnx.reference and plain Python."""

import math

import numpy as np
import onnx
import onnx.reference
import pytest
from octavo.program import OPSET
from octavo.program.ops import DTYPE_SETS

NUMPY = {"u8": "u1", "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8", "bool": "?", "f32": "f4", "f64": "f8"}
NUMBERS = DTYPE_SETS["A"]
INTEGERS = DTYPE_SETS["J"]
SHAPES = [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (3, 1)), ((4, 1), (2, 1, 5)), ((3,), ()), ((0, 3), (3,))]


def some(rng, dtype, shape):
    if dtype in ("f32", "f64"):
        return np.asarray(rng.standard_normal(shape) * 3, NUMPY[dtype])
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    info = np.iinfo(NUMPY[dtype])
    small = rng.integers(max(info.min, -9), 10, shape, np.int64)
    whole = rng.integers(info.min, info.max, shape, NUMPY[dtype], endpoint=True)
    return np.asarray(np.where(rng.random(shape) < 0.7, small, whole), NUMPY[dtype])


def peer(op, inputs, attributes=None):
    names = [f"x{i}" for i in range(len(inputs))]
    info = onnx.helper.make_tensor_value_info
    types = [onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for array in inputs]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, names, ["y"], **(attributes or {}))],
        "one node",
        [info(n, t, a.shape) for n, t, a in zip(names, types, inputs, strict=True)],
        [info("y", types[0], None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    with np.errstate(all="ignore"):
        return onnx.reference.ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0]


def assert_equal(given, expected):
    assert given.dtype == expected.dtype
    np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"])
def test_arithmetic(run_node, rng, op, dtype, shapes):
    a, b = (some(rng, dtype, shape) for shape in shapes)
    if op == "Div" and dtype in INTEGERS:
        b = np.where(b == 0, b.dtype.type(3), b)
    (y,) = run_node(op, [a, b], {})
    if op == "Div" and dtype in INTEGERS:
        limit = np.iinfo(a.dtype)
        whole = [int(p) // int(q) if (p < 0) == (q < 0) else -(-int(p) // int(q)) for p, q in pairs(a, b)]
        wrapped = [(n - limit.min) % (limit.max - limit.min + 1) + limit.min for n in whole]
        assert_equal(y, np.array(wrapped, a.dtype).reshape(y.shape))
    else:
        assert_equal(y, peer(op, [a, b]))


def pairs(a, b):
    a, b = np.broadcast_arrays(a, b)
    return zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_a_quotient_by_zero_is_zero_and_the_least_integer_by_minus_one_wraps(run_node, dtype):
    info = np.iinfo(NUMPY[dtype])
    a = np.array([7, 0, info.min, info.max], NUMPY[dtype])
    for op, attributes in (("Div", {}), ("Mod", {"fmod": 0}), ("Mod", {"fmod": 1})):
        assert run_node(op, [a, np.zeros_like(a)], attributes)[0].tolist() == [0] * 4
    if info.min < 0:
        minus = np.full_like(a, -1)
        assert run_node("Div", [a, minus], {})[0].tolist() == [-7, 0, info.min, -info.max]
        assert run_node("Mod", [a, minus], {"fmod": 0})[0].tolist() == [0] * 4


@pytest.mark.parametrize("fmod", [0, 1])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_mod(run_node, rng, dtype, fmod):
    a, b = some(rng, dtype, (20, 30)), some(rng, dtype, (30,))
    if dtype in ("f32", "f64"):
        a[:2, :3], b[:3] = [[0, -0.0, 6], [6, -6, -6]], [3, -3, np.inf]
        expected = [math.fmod(p, q) if fmod else p % q for p, q in pairs(a, b)]
    else:
        b = np.where(b == 0, b.dtype.type(3), b)
        rest = [abs(p) % abs(q) for p, q in pairs(a, b)]
        of_dividend = [-r if p < 0 else r for r, (p, _) in zip(rest, pairs(a, b), strict=True)]
        expected = of_dividend if fmod else [p % q for p, q in pairs(a, b)]
    (y,) = run_node("Mod", [a, b], {"fmod": fmod})
    if dtype in ("f32", "f64") and not fmod:
        assert np.signbit(y[:2, :2]).tolist() == [[False, True]] * 2  # as their divisors, zeros too
    assert_equal(y, np.array(expected, a.dtype).reshape(a.shape))


@pytest.mark.parametrize("dtype", ["i32", "i64"])
def test_powers_of_integers(run_node, rng, dtype):
    a = some(rng, dtype, (40, 1))
    n = np.array([0, 1, 2, 5, 31, 64, 1000], NUMPY[dtype])
    width = 8 * a.dtype.itemsize
    expected = [
        (pow(p, q, 2**width) + 2 ** (width - 1)) % 2**width - 2 ** (width - 1) for p, q in pairs(a, n)
    ]
    assert_equal(run_node("Pow", [a, n], {})[0], np.array(expected, a.dtype).reshape(40, 7))
    bases = np.array([1, -1, -1, 2, 0], a.dtype)
    assert run_node("Pow", [bases, np.array([-3, -3, -2, -1, -1], a.dtype)], {})[0].tolist() == [
        1,
        -1,
        1,
        0,
        0,
    ]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_bits(run_node, rng, dtype):
    a, b = some(rng, dtype, (5, 1, 7)), some(rng, dtype, (6, 7))
    for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
        assert_equal(run_node(op, [a, b], {})[0], peer(op, [a, b]))
    assert_equal(run_node("BitwiseNot", [a], {})[0], peer("BitwiseNot", [a]))


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_bit_shift(run_node, rng, dtype, direction):
    x = some(rng, dtype, (50, 1))
    width, info = 8 * x.dtype.itemsize, np.iinfo(x.dtype)
    by = np.array([0, 1, width - 2, width - 1, width, width + 1, info.max, max(info.min, -1)], x.dtype)
    places = [n if 0 <= n < width else width for n in by.tolist()]
    moved = [[n << p if direction == "LEFT" else n >> p for p in places] for n in x.ravel().tolist()]
    wrapped = [[(n - info.min) % 2**width + info.min for n in row] for row in moved]
    assert_equal(run_node("BitShift", [x, by], {"direction": direction})[0], np.array(wrapped, x.dtype))


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("op", ["Relu", "Abs", "Neg", "Sign"])
def test_functions_of_numbers(run_node, rng, op, dtype):
    x = some(rng, dtype, (500,))
    (y,) = run_node(op, [x], {})
    if op == "Neg" and dtype == "u8":
        np.testing.assert_array_equal(y, (256 - x.astype(int)) % 256)
    elif op == "Relu":
        assert_equal(y, np.maximum(x, x.dtype.type(0)))
    else:
        assert_equal(y, peer(op, [x]))


@pytest.mark.parametrize(
    "op", ["Floor", "Ceil", "Round", "Sqrt", "Reciprocal", "LeakyRelu", "ThresholdedRelu"]
)
def test_functions_of_float64(run_node, rng, op):
    x = some(rng, "f64", (500,))
    x = np.concatenate([np.abs(x) if op == "Sqrt" else x, [0.5, 1.5, 2.5, 1e300]])
    given = {"alpha": np.float32(0.3)} if op.endswith("Relu") else {}
    attributes = {key: float(value) for key, value in given.items()}
    np.testing.assert_allclose(run_node(op, [x], given)[0], peer(op, [x], attributes), rtol=1e-15)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("op", ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
def test_comparisons(run_node, rng, op, dtype):
    a, b = some(rng, dtype, (30, 1)), some(rng, dtype, (7,))
    a[:7, 0] = b
    if dtype in ("f32", "f64"):
        a[10], b[3] = np.nan, -0.0
        a[11] = 0.0
    assert_equal(run_node(op, [a, b], {}, dtypes="bool")[0], peer(op, [a, b]))


@pytest.mark.parametrize("op", ["And", "Or", "Xor", "Equal"])
def test_logic(run_node, op):
    a, b = np.array([[True], [False]]), np.array([True, False])
    assert_equal(run_node(op, [a, b], {})[0], peer(op, [a, b]))


def test_predicates(run_node):
    assert run_node("Not", [np.array([True, False])], {})[0].tolist() == [False, True]
    for dtype in (np.float32, np.float64):
        x = np.array([0, np.inf, -np.inf, np.nan, 1e30], dtype)
        assert_equal(run_node("IsNaN", [x], {}, dtypes="bool")[0], peer("IsNaN", [x]))
        for signs in ((0, 0), (0, 1), (1, 0), (1, 1)):
            given = dict(zip(("detect_negative", "detect_positive"), signs, strict=True))
            assert_equal(run_node("IsInf", [x], given, dtypes="bool")[0], peer("IsInf", [x], given))


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize(
    "shapes", [((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), ()), ((1,), (2, 3), (3,)), ((), (2,), (2,))]
)
def test_where(run_node, rng, dtype, shapes):
    condition, a, b = (some(rng, t, s) for t, s in zip(("bool", dtype, dtype), shapes, strict=True))
    assert_equal(run_node("Where", [condition, a, b], {}, dtypes=dtype)[0], np.where(condition, a, b))
