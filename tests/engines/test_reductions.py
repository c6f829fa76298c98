"""The Reduce ops on every engine: dtypes, axes, layouts, empty sets."""

import numpy as np
import octavo
import pytest

FLOAT = ["Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]
AXES = [[3], [1], [2, 3], [1, 3], [0], [0, 1, 2, 3]]
DTYPES = {
    "f32": np.float32,
    "f64": np.float64,
    "i32": np.int32,
    "i64": np.int64,
    "i16": np.int16,
    "i8": np.int8,
    "u8": np.uint8,
}


def array(rng, dtype, shape):
    if dtype == "bool":
        return rng.integers(0, 2, shape) == 1
    if dtype in ("f32", "f64"):
        return np.asarray(rng.standard_normal(shape) + 1, DTYPES[dtype])
    info = np.iinfo(DTYPES[dtype])
    return np.asarray(rng.integers(max(info.min, -(2**40)), min(info.max, 2**40), shape), DTYPES[dtype])


def reductions(build, x, dtype, ops, axes):
    axes = build.constant(f"axes{len(build.nodes)}", np.array(axes, np.int64))
    flags = {"keepdims": 0, "noop_with_empty_axes": 0}
    return [build.node(f"Reduce{op}", [x, axes], dtype, **flags) for op in ops]


@pytest.mark.parametrize("axes", AXES)
def test_of_float32(build, same, axes):
    rng = np.random.default_rng(0)
    shape = (2, 37, 6, 19)
    x = build.input("x", "f32", shape)
    # Magnitudes, so that no logarithm is NaN; behind the pool the channels lie last.
    y = build.node("Abs", [x], "f32")
    pooled = build.node(
        "MaxPool",
        [y],
        "f32",
        kernel_shape=[1, 1],
        strides=[1, 1],
        pads=[0] * 4,
        dilations=[1, 1],
        ceil_mode=0,
    )
    nodes = [node for z in (y, pooled) for node in reductions(build, z, "f32", FLOAT, axes)]
    same(build.program(*nodes), {"x": array(rng, "f32", shape)}, batched=False)


@pytest.mark.parametrize("dtype", ["f64", "i32", "i64", "i16", "i8", "u8", "bool"])
def test_of_other_dtypes(build, same, dtype):
    rng = np.random.default_rng(1)
    ops = ["Max", "Min"] if dtype == "bool" else FLOAT[:-2]
    x = build.input("x", dtype, (2, 7, 6, 5))
    nodes = [node for axes in AXES for node in reductions(build, x, dtype, ops, axes)]
    same(build.program(*nodes), {"x": array(rng, dtype, (2, 7, 6, 5))}, batched=False)


@pytest.mark.parametrize("dtype", ["f32", "f64", "i32", "u8", "bool"])
def test_of_nothing(build, same, dtype):
    ops = {"f32": [*FLOAT[1:]], "f64": FLOAT[1:-2], "i32": FLOAT[:-2]}.get(dtype, ["Max", "Min"])
    x = build.input("x", dtype, (2, 0, 5))
    nodes = [node for axes in ([1], [0, 1], [1, 2]) for node in reductions(build, x, dtype, ops, axes)]
    same(build.program(*nodes), {"x": array(np.random.default_rng(2), dtype, (2, 0, 5))}, batched=False)


def test_no_axes_leave_the_rest_of_a_composite(build, same):
    x = build.input("x", "f32", (3, 4, 5))
    flags = {"keepdims": 1, "noop_with_empty_axes": 1}
    y = build.node("Abs", [x], "f32")
    nodes = [build.node(f"Reduce{op}", [y], "f32", **flags) for op in FLOAT]
    same(build.program(*nodes), {"x": array(np.random.default_rng(3), "f32", (3, 4, 5))}, batched=False)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("axis", [1, 2])
def test_of_zeros_infinities_and_nan(build, same, dtype, axis):
    """Whatever comes first: +0 is above -0, infinities beyond all numbers; one NaN makes the answer NaN."""
    firsts = np.array([0.0, -0.0, np.inf, -np.inf, 1.0, -1.0, np.nan], DTYPES[dtype])
    pairs = np.stack(np.meshgrid(firsts, firsts), -1).reshape(1, -1, 2)
    # In pairs, and as the last and the first element of many.
    long = np.concatenate([pairs[..., :1], np.repeat(pairs[..., :1], 17, 2), pairs[..., 1:]], 2)
    for name, data in (("pairs", pairs), ("long", long)):
        x = build.input(name, dtype, data.shape if axis == 2 else data.transpose(0, 2, 1).shape)
        reductions(build, x, dtype, ["Max", "Min"], [axis])
    feeds = {"pairs": pairs, "long": long}
    if axis == 1:
        feeds = {name: np.ascontiguousarray(data.transpose(0, 2, 1)) for name, data in feeds.items()}
    program = build.program(*(output for node in build.nodes for output in node.outputs))
    for isa in octavo.tiers():
        found = octavo.Session(program, isa=isa).run(None, feeds)
        for place, data in enumerate((pairs, pairs, long, long)):
            pick, y = (np.max, np.min)[place % 2], found[place].reshape(-1)
            np.testing.assert_array_equal(y, pick(data, 2).reshape(-1))
            zeros = np.signbit(data).all(2) if place % 2 == 0 else np.signbit(data).any(2)
            is_zero = y == 0
            np.testing.assert_array_equal(np.signbit(y)[is_zero], zeros.reshape(-1)[is_zero])


@pytest.mark.parametrize("axes", [[1, 1], [1, -2], [0, 2, -1, 0]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_axes_that_are_named_twice(build, same, axes, keepdims):
    x = build.input("x", "f32", (3, 4, 5))
    named = build.constant("axes", np.array(axes))
    flags = {"keepdims": keepdims, "noop_with_empty_axes": 0}
    nodes = [build.node(f"Reduce{op}", [x, named], "f32", **flags) for op in FLOAT]
    data = array(np.random.default_rng(5), "f32", (3, 4, 5))
    once = tuple(sorted({axis % 3 for axis in axes}))
    found = same(build.program(*nodes), {"x": data}, batched=False)
    np.testing.assert_array_equal(found[FLOAT.index("Max")], data.max(axis=once, keepdims=bool(keepdims)))


def test_axes_that_are_fed(build, same):
    x, axes = build.input("x", "f32", (3, 4, 5)), build.input("axes", "i64", (2,))
    y = build.node("ReduceProd", [x, axes], "f32", keepdims=0, noop_with_empty_axes=0)
    feeds = {"x": array(np.random.default_rng(4), "f32", (3, 4, 5)), "axes": np.array([0, -1])}
    same(build.program(y), feeds, batched=False)
