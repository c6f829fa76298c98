"""Arithmetic, comparisons, logic and Where of every dtype on every engine, in both layouts."""

import numpy as np
import octavo
import pytest
from octavo.program.ops import DTYPE_SETS

NUMPY = {
    "u8": "u1",
    "i8": "i1",
    "i16": "i2",
    "i32": "i4",
    "i64": "i8",
    "bool": "?",
    "f16": "f2",
    "f32": "f4",
    "f64": "f8",
}
SHAPES = [
    ((2, 5, 6, 7), (2, 5, 6, 7)),
    ((2, 5, 6, 7), (5, 1, 1)),
    ((2, 5, 1, 7), (6, 1)),
    ((3,), ()),
    ((4000,), (1,)),
]
PAIRS = {"Mod": {"fmod": 1}, **{op: {} for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu")}}
COMPARISONS = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")


def some(rng, dtype, shape):
    """Small numbers, zeros among them, and some from all over the dtype."""
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype[0] == "f":
        return np.asarray(np.where(rng.random(shape) < 0.1, 0, rng.standard_normal(shape) * 3), NUMPY[dtype])
    info = np.iinfo(NUMPY[dtype])
    small = rng.integers(max(info.min, -4), 5, shape, np.int64)
    whole = rng.integers(info.min, info.max, shape, NUMPY[dtype], endpoint=True)
    return np.asarray(np.where(rng.random(shape) < 0.7, small, whole), NUMPY[dtype])


def feeds_of(build, rng, dtypes, shapes):
    names = [build.input(f"x{i}", *of) for i, of in enumerate(zip(dtypes, shapes, strict=True))]
    return names, {name: some(rng, *of) for name, *of in zip(names, dtypes, shapes, strict=True)}


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("dtype", [d for d in DTYPE_SETS["A"] if d != "f32"])
def test_pairs(build, same, dtype, shapes):
    rng = np.random.default_rng(1)
    names, feeds = feeds_of(build, rng, (dtype, dtype), shapes)
    ops = dict(PAIRS)
    if dtype[0] == "f":
        feeds[names[1]][feeds[names[1]] == 0] = 1  # 0 / 0 is a NaN, whose bits are free
    else:
        ops |= {"BitwiseAnd": {}, "BitwiseOr": {}, "BitwiseXor": {}}
        shifts = [build.node("BitShift", names, dtype, direction=way) for way in ("LEFT", "RIGHT")]
    outputs = [build.node(op, names, dtype, **attributes) for op, attributes in ops.items()]
    outputs.append(build.node("Mod", names, dtype, fmod=0))
    if dtype[0] != "f":
        outputs += shifts
    if dtype in ("i32", "i64"):
        outputs.append(build.node("Pow", names, dtype))
    same(build.program(*outputs), feeds, batched=False)


def test_mod_of_float32(build, same):
    names, feeds = feeds_of(build, np.random.default_rng(2), ("f32", "f32"), ((50, 70), (70,)))
    feeds[names[1]][feeds[names[1]] == 0] = 1
    outputs = [build.node("Mod", names, "f32", fmod=fmod) for fmod in (0, 1)]
    same(build.program(*outputs), feeds, batched=False)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("dtype", DTYPE_SETS["E"])
def test_comparisons(build, same, dtype, shapes):
    names, feeds = feeds_of(build, np.random.default_rng(3), (dtype, dtype), shapes)
    if dtype[0] == "f":
        feeds[names[0]].reshape(-1)[1] = np.nan
    ops = ("Equal", "And", "Or", "Xor") if dtype == "bool" else COMPARISONS
    same(build.program(*(build.node(op, names, "bool") for op in ops)), feeds, batched=False)


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 5, 6, 7), (2, 5, 6, 7), (2, 5, 6, 7)),
        ((2, 1, 6, 7), (5, 1, 1), (2, 5, 6, 7)),
        ((7,), (2, 5, 6, 1), ()),
        ((2, 1, 1), (2, 3, 40), (40,)),
        ((1,), (2, 3), (3,)),
        ((), (4, 3), ()),
        ((9,), (1,), ()),
    ],
)
def test_where(build, same, dtype, shapes):
    names, feeds = feeds_of(build, np.random.default_rng(4), ("bool", dtype, dtype), shapes)
    same(build.program(build.node("Where", names, dtype)), feeds, batched=False)


def test_both_layouts(build, same):
    """A convolution leaves the channels last: comparisons and Where take them as they lie."""
    rng = np.random.default_rng(5)
    names, feeds = feeds_of(build, rng, ("f32", "f32", "bool"), ((2, 5, 6, 7), (6, 7), (5, 1, 1)))
    w = build.constant("w", np.eye(5, dtype=np.float32).reshape(5, 5, 1, 1))
    window = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1]}
    last = build.node("Conv", [names[0], w], "f32", group=1, **window)
    below = build.node("Less", [last, names[1]], "bool")
    picked = build.node("Where", [below, last, names[0]], "f32")
    same(
        build.program(below, picked, build.node("Where", [names[2], last, names[1]], "f32")),
        feeds,
        batched=False,
    )


@pytest.mark.parametrize("dtype", DTYPE_SETS["A"])
def test_functions(build, same, dtype):
    names = [build.input("x0", dtype, ("N", 1500))]
    feeds = {"x0": some(np.random.default_rng(6), dtype, (2, 1500))}
    ops = {op: {} for op in ("Relu", "Abs", "Neg", "Sign")}
    if dtype == "f64":
        feeds[names[0]][feeds[names[0]] == 0] = 0.5
        alpha = {"alpha": np.float32(0.3)}
        ops |= {op: {} for op in ("Floor", "Ceil", "Round", "Reciprocal")}
        ops |= {"LeakyRelu": alpha, "ThresholdedRelu": alpha}
    elif dtype != "f32":
        ops["BitwiseNot"] = {}
    outputs = [build.node(op, names, dtype, **attributes) for op, attributes in ops.items()]
    if dtype == "f64":
        outputs.append(build.node("Sqrt", [outputs[1]], dtype))
    same(build.program(*outputs), feeds)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("length", [1, 40])
def test_functions_of_zeros_infinities_and_nan(build, same, dtype, length):
    """And of a bound itself, which a function may have on either side."""
    bound = np.float32(0.3)
    special = [0.0, -0.0, np.inf, -np.inf, float(bound), -float(bound), 0.5, -0.5, 2.5, 1e-310, np.nan]
    data = np.repeat(np.array([special], NUMPY[dtype]).T, length, 1)
    x = build.input("x", dtype, ("N", length))
    ops = {op: {} for op in ("Relu", "Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Reciprocal")}
    ops |= {op: {"alpha": bound} for op in ("LeakyRelu", "ThresholdedRelu")}
    outputs = [build.node(op, [x], dtype, **attributes) for op, attributes in ops.items()]
    program = build.program(*outputs)
    given = same(program, {"x": data[:-1]}, batched=False)
    relu, thresholded = given[0], given[-1]
    assert np.array_equal(relu, np.maximum(data[:-1], 0))
    assert np.array_equal(thresholded, np.where(data[:-1] > bound, data[:-1], 0))
    for isa in octavo.tiers():  # the bits of a NaN are free
        answers = octavo.Session(program, isa=isa).run(None, {"x": data})
        assert all(np.isnan(answer[-1]).all() for answer in answers)


@pytest.mark.parametrize("dtype", DTYPE_SETS["A"])
@pytest.mark.parametrize("shape", [(3, 40), (1,), ()])
def test_both_operands_are_one_value(build, same, dtype, shape):
    x = build.input("x", dtype, shape)
    ops = PAIRS if dtype[0] != "f" else {op: {} for op in ("Add", "Sub", "Mul", "Max", "Min", "PRelu")}
    outputs = [build.node(op, [x, x], dtype, **attributes) for op, attributes in ops.items()]
    outputs += [build.node(op, [x, x, x], dtype) for op in ("Max", "Min")]
    outputs += [build.node(op, [x, x], "bool") for op in COMPARISONS]
    same(build.program(*outputs), {"x": some(np.random.default_rng(7), dtype, shape)}, batched=False)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_predicates(build, same, dtype):
    x = build.input("x", dtype, ("N", 4))
    outputs = [build.node("IsNaN", [x], "bool")]
    outputs.append(build.node("Not", outputs, "bool"))
    for signs in ((0, 0), (0, 1), (1, 0), (1, 1)):
        given = dict(zip(("detect_negative", "detect_positive"), signs, strict=True))
        outputs.append(build.node("IsInf", [x], "bool", **given))
    values = [0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 1e30]
    same(build.program(*outputs), {"x": np.array(values, NUMPY[dtype]).reshape(2, 4)})


def test_nan_keeps_its_place_in_float64(build):
    a, b = build.input("a", "f64", (4,)), build.input("b", "f64", (4,))
    program = build.program(*(build.node(op, [a, b], "f64") for op in ("Max", "Min")))
    feeds = {"a": np.array([np.nan, 1, -0.0, 0.0]), "b": np.array([1, np.nan, 0.0, -0.0])}
    largest, least = octavo.Session(program).run(None, feeds)
    assert np.isnan(largest).tolist() == np.isnan(least).tolist() == [True, True, False, False]
    assert not np.signbit(largest[2:]).any()
    assert np.signbit(least[2:]).all()
