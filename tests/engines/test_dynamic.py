"""DynamicQuantize, and QGemm and QConv by the scales and zero points that it finds, on every engine."""

import numpy as np
import octavo
import pytest

SPECIAL = (np.nan, -np.nan, np.inf, -np.inf)
TINY = np.float32(2.0**-126)


def by_hand(x):
    """Scale, zero point and integers of the elements of one range, step by step in Python's own numbers."""
    values = [float(value) for value in x.reshape(-1)]
    if not all(np.isfinite(values)):
        return np.float32(np.nan), 0, np.zeros(x.shape, np.uint8)
    least, greatest = min([0.0, *values]), max([0.0, *values])
    if greatest == least:
        return np.float32(1), 0, np.zeros(x.shape, np.uint8)
    scale = max(np.float32((greatest - least) / 255.0), TINY)
    zero_point = min(round(-least / float(scale)), 255)
    places = (round(float(np.float32(value) / scale)) + zero_point for value in values)
    q = np.array([min(max(place, 0), 255) for place in places], np.uint8)
    return scale, zero_point, q.reshape(x.shape)


def rows(rng, shape):
    """Rows of many magnitudes, one-sided ones, constant ones, and some that are not finite."""
    x = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, (*shape[:-1], 1))).astype(np.float32)
    flat = x.reshape(-1, shape[-1])
    for row, change in zip(flat, rng.permutation(len(flat)), strict=True):
        match change % 9:
            case 0:
                row[:] = np.abs(row)
            case 1:
                row[:] = -np.abs(row)
            case 2:
                row[:] = rng.choice([0.0, -0.0, 3.5, -1e-44, 3e38])
            case 3:
                row[rng.integers(len(row))] = rng.choice(SPECIAL)
            case 4:
                row[:: 1 + len(row) // 2] = rng.choice([3.4e38, -3.4e38], row[:: 1 + len(row) // 2].shape)
            case 5:
                row *= np.float32(1e-40)
    return x


SHAPES = [(5, 384), (3, 7, 64), (2, 3, 4, 33), (9, 1), (4, 1000), (17, 63), (2, 20000), (7,)]


@pytest.mark.parametrize("shape", SHAPES)
def test_rows(build, same, shape):
    free = ("N", *shape[1:]) if len(shape) > 1 else shape
    q = build.node("DynamicQuantize", [build.input("x", "f32", free)], count=3, axis=-1)
    program = outputs(build, q)
    x = rows(np.random.default_rng(sum(shape)), shape)
    found = same(program, {"x": x}, batched=len(shape) > 1)
    check(found, x, len(shape) - 1)


def outputs(build, q):
    """The Program that gives all that a DynamicQuantize makes."""
    scale, zero_point = q.replace("_0", "_1"), q.replace("_0", "_2")
    value = build.values[scale]
    build.values[scale] = type(value)(scale, "f32", None)
    return build.program(q, scale, zero_point)


def check(found, x, axis):
    q, scale, zero_point = found
    assert (scale.shape, zero_point.shape) == (x.shape[:axis], x.shape[:axis])
    for index in np.ndindex(x.shape[:axis]):
        expected = by_hand(x[index])
        np.testing.assert_array_equal(scale[index], expected[0])
        assert zero_point[index] == expected[1]
        np.testing.assert_array_equal(q[index], expected[2])


@pytest.mark.parametrize(
    "shape", [(3, 5, 7, 9), (2, 16, 40, 40), (2, 3, 90, 60), (2, 40, 11), (1, 1, 200, 100)]
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_samples(build, same, shape, axis):
    """With a pool behind, which reads channels last, and without; large ones are cut between threads."""
    rng = np.random.default_rng(sum(shape) + axis)
    x = rows(rng, (shape[0], int(np.prod(shape[1:])))).reshape(shape)
    for pooled in (False, True):
        own = type(build)()
        q = own.node("DynamicQuantize", [own.input("x", "f32", ("N", *shape[1:]))], count=3, axis=axis)
        program = outputs(own, q)
        if pooled:
            axes = len(shape) - 2
            window = {"kernel_shape": [1] * axes, "strides": [1] * axes, "dilations": [1] * axes}
            y = own.node("MaxPool", [q], **window, pads=[0] * 2 * axes, ceil_mode=0)
            program = own.program(*program.outputs, y)
        found = same(program, {"x": x}, batched=axis > 0)
        check(found[:3], x, axis)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (2, 0, 5), (2, 3, 0, 4)])
def test_nothing(build, same, shape):
    x = build.input("x", "f32", shape)
    for axis in (1, -1):
        q = build.node("DynamicQuantize", [x], count=3, axis=axis)
        found = same(outputs(build, q), {"x": np.zeros(shape, np.float32)}, batched=False)
        assert (found[1] == 1).all()
        assert (found[2] == 0).all()


def product(build, rng, op, x, w, **attributes):
    """A product of `x` by integer weights, behind a DynamicQuantize."""
    count = w.shape[0 if op == "QConv" else 1]
    q = build.node("DynamicQuantize", [x], count=3, axis=1 if op == "QConv" else -1)
    for place, dtype in ((1, "f32"), (2, "u8")):
        name = q.replace("_0", f"_{place}")
        build.values[name] = type(build.values[name])(name, dtype, None)
    constants = [
        build.constant("w", w),
        build.constant("b", rng.standard_normal(count).astype(np.float32)),
        build.constant("s", rng.uniform(1e-4, 1e-1, count).astype(np.float32)),
    ]
    inputs = [q, *constants, q.replace("_0", "_1"), q.replace("_0", "_2")]
    return build.node(op, inputs, "f32", **attributes)


@pytest.mark.parametrize("m", [1, 2, 7, 40])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (64, 48), (33, 130), (384, 17), (1500, 70)])
def test_products_of_rows(build, same, m, k, n):
    rng = np.random.default_rng(m + k + n)
    w = rng.integers(-127, 128, (k, n)).astype(np.int8)
    y = product(build, rng, "QGemm", build.input("x", "f32", ("N", k)), w)
    x = rows(rng, (m, k))
    (found,) = same(build.program(y), {"x": x})
    broken = ~np.isfinite(x).all(axis=1)
    assert np.isnan(found[broken]).all()
    assert not np.isnan(found[~broken]).any()


CLAMPS = [("Relu", {}, []), ("Clip", {}, [-1.5, 2.5]), ("Clip", {}, [-0.0, 6.0])]
OTHERS = [("LeakyRelu", {"alpha": np.float32(0.1)}, []), ("Sigmoid", {}, [])]


@pytest.mark.parametrize("op", ["QGemm", "QConv"])
@pytest.mark.parametrize(("function", "attributes", "bounds"), [*CLAMPS, *OTHERS])
def test_a_clamp_behind_is_the_products_own(build, same, op, function, attributes, bounds):
    rng = np.random.default_rng(13)
    shape, kernel = ((3, 8, 5, 6), (33, 8, 3, 3)) if op == "QConv" else ((9, 40), (40, 33))
    window = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1} if op == "QConv" else {}
    w = rng.integers(-127, 128, kernel).astype(np.int8)
    x = build.input("x", "f32", ("N", *shape[1:]))
    inputs = [product(build, rng, op, x, w, **window)]
    for place, bound in enumerate(bounds):
        inputs.append(build.constant(f"bound{place}", np.array(bound, np.float32)))
    program = build.program(build.node(function, inputs, "f32", **attributes))
    feeds = {"x": rng.standard_normal(shape).astype(np.float32)}
    feeds["x"][1].flat[3] = np.nan
    same(program, feeds)
    steps = [row.name for row in octavo.Session(program).profile(feeds)]
    is_clamp = (function, attributes, bounds) in CLAMPS[:2]
    assert ("n1 + n2" in steps) == is_clamp


def test_a_row_is_the_same_beside_any_others(build):
    """Whatever the batch, the length, the place and the padding."""
    rng = np.random.default_rng(7)
    w = rng.integers(-127, 128, (64, 40)).astype(np.int8)
    program = build.program(product(build, rng, "QGemm", build.input("x", "f32", ("N", "L", 64)), w))
    x = rng.standard_normal((3, 9, 64)).astype(np.float32)
    for isa in octavo.tiers():
        session = octavo.Session(program, isa=isa)
        (whole,) = session.run(None, {"x": x})
        padded = np.concatenate([x[1:2, :5], np.full((1, 6, 64), 1e6, np.float32)], axis=1)
        (part,) = session.run(None, {"x": padded})
        assert part[:, :5].tobytes() == whole[1:2, :5].tobytes()


CONVOLUTIONS = [
    ((2, 3, 14, 11), (9, 3, 3, 3), [1, 1], [1, 1, 1, 1], [1, 1]),
    ((3, 20, 9, 9), (33, 20, 3, 3), [2, 1], [0, 1, 2, 1], [1, 1]),
    ((2, 64, 7, 7), (40, 64, 1, 1), [1, 1], [0] * 4, [1, 1]),
    ((2, 64, 7, 7), (40, 64, 1, 1), [2, 2], [0] * 4, [1, 1]),
    ((4, 12, 30), (17, 12, 5), [2], [3, 1], [2]),
    ((2, 1, 40, 8), (5, 1, 5, 3), [1, 2], [2, 2, 1, 1], [1, 1]),
    ((2, 8, 60, 60), (16, 8, 3, 3), [1, 1], [1] * 4, [1, 1]),
    ((2, 5, 1, 1), (4, 5, 3, 3), [1, 1], [1] * 4, [2, 2]),
]


@pytest.mark.parametrize(("shape", "kernel", "strides", "pads", "dilations"), CONVOLUTIONS)
def test_convolutions_of_samples(build, same, shape, kernel, strides, pads, dilations):
    rng = np.random.default_rng(sum(shape))
    w = rng.integers(-127, 128, kernel).astype(np.int8)
    attributes = {"strides": strides, "pads": pads, "dilations": dilations, "group": 1}
    y = product(build, rng, "QConv", build.input("x", "f32", ("N", *shape[1:])), w, **attributes)
    x = rng.standard_normal(shape).astype(np.float32) + np.float32(0.5)
    x *= (10.0 ** np.arange(len(x))).reshape(-1, *[1] * (x.ndim - 1)).astype(np.float32)
    x[0] = np.abs(x[0])
    same(build.program(y), {"x": x})


def test_padding_is_the_zero_of_each_sample(build, same):
    """A window of nothing but padding gives the bias."""
    rng = np.random.default_rng(2)
    w = rng.integers(-127, 128, (4, 16, 3, 3)).astype(np.int8)
    attributes = {"strides": [1, 1], "pads": [3] * 4, "dilations": [1, 1], "group": 1}
    y = product(build, rng, "QConv", build.input("x", "f32", ("N", 16, 2, 2)), w, **attributes)
    x = rng.standard_normal((3, 16, 2, 2)).astype(np.float32) * np.float32(5)
    (found,) = same(build.program(y), {"x": x})
    np.testing.assert_array_equal(found[:, :, 0, 0], np.broadcast_to(build.constants["b"], (3, 4)))


@pytest.mark.parametrize("op", ["QGemm", "QConv"])
@pytest.mark.parametrize("place", [4, 5])
def test_scales_of_another_shape(build, op, place):
    is_conv = op == "QConv"
    x = build.input("x", "u8", ("N", 4, 5, 5) if is_conv else ("N", 4))
    s, z = build.input("s", "f32", ("S",)), build.input("z", "u8", ("Z",))
    w = build.constant("w", np.ones((3, 4, 1, 1) if is_conv else (4, 3), np.int8))
    numbers = [build.constant(name, np.ones(3, np.float32)) for name in "bc"]
    window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1} if is_conv else {}
    program = build.program(build.node(op, [x, w, *numbers, s, z], "f32", **window))
    counts = [2 if at == place else 3 for at in (4, 5)]
    feeds = {
        "x": np.zeros((3, 4, 5, 5) if is_conv else (3, 4), np.uint8),
        "s": np.ones(counts[0], np.float32),
        "z": np.zeros(counts[1], np.uint8),
    }
    what = "scales" if place == 4 else "zero points"
    for run in (octavo.reference.run, lambda program, feeds: octavo.Session(program).run(None, feeds)):
        with pytest.raises(octavo.RunError, match=rf"its {what} have the shape \[2\], not \[3\]"):
            run(program, feeds)


def test_an_axis_that_is_not_there(build):
    program = build.program(build.node("DynamicQuantize", [build.input("x", "f32", (3, 4))], count=3, axis=2))
    for name in ("n0_1", "n0_2"):
        program.values[name] = type(program.values[name])(name, {"n0_1": "f32", "n0_2": "u8"}[name], None)
    for run in (octavo.reference.run, lambda program, feeds: octavo.Session(program).run(None, feeds)):
        with pytest.raises(octavo.RunError, match="axis 2"):
            run(program, {"x": np.zeros((3, 4), np.float32)})
