"""QConv and QGemm on every engine, over shapes, strides, zero points and extremes."""

import numpy as np
import octavo
import pytest
from single_node import multipliers

PRODUCT = {"y_zero_point": 7, "lo": 0, "hi": 255}


def requantization(rng, channels):
    """Multipliers of full range, and shifts that bring sums of a few thousands into bytes, or any at all."""
    multiplier = multipliers(rng, channels)
    low, high = [(34, 44), (1, 63), (30, 36)][int(rng.integers(3))]
    return multiplier, rng.integers(low, high, channels).astype(np.int32)


def conv(build, rng, x_shape, w_shape, attributes, zero_point, is_float=False):
    """A Program of one QConv over an input of uint8."""
    x = build.input("x", "u8", ("N", *x_shape[1:]))
    w = build.constant("w", rng.integers(-127, 128, w_shape).astype(np.int8))
    outputs = w_shape[0]
    if is_float:
        b = build.constant("b", rng.standard_normal(outputs).astype(np.float32))
        s = build.constant("s", rng.uniform(1e-4, 1e-1, outputs).astype(np.float32))
        y = build.node(
            "QConv", [x, w, b, s], "f32", x_zero_point=zero_point, x_scale=np.float32(0.037), **attributes
        )
        return build.program(y)
    b = build.constant("b", rng.integers(-(2**16), 2**16, outputs).astype(np.int32))
    multiplier, shift = requantization(rng, outputs)
    inputs = [x, w, b, build.constant("m", multiplier), build.constant("sh", shift)]
    lo, hi = sorted(int(v) for v in rng.choice([0, 7, 128, 200, 255], 2, replace=False))
    y = build.node(
        "QConv",
        inputs,
        x_zero_point=zero_point,
        y_zero_point=int(rng.integers(256)),
        lo=lo,
        hi=hi,
        **attributes,
    )
    return build.program(y)


def random_conv(rng):
    """Shapes and attributes of a convolution of 1 or 2 axes whose output is not empty."""
    axes = int(rng.integers(1, 3))
    kind = rng.choice(["plain", "pointwise", "depthwise", "grouped", "shallow"])
    groups, channels, outputs = {
        "plain": (1, int(rng.integers(1, 40)), int(rng.integers(1, 70))),
        "pointwise": (1, int(rng.integers(1, 130)), int(rng.integers(1, 130))),
        "depthwise": (0, int(rng.integers(2, 80)), 0),
        "grouped": (int(rng.integers(2, 5)), 0, 0),
        "shallow": (1, int(rng.integers(1, 5)), int(rng.integers(1, 50))),
    }[kind]
    if kind == "depthwise":
        groups = outputs = channels
    if kind == "grouped":
        channels, outputs = groups * int(rng.integers(1, 20)), groups * int(rng.integers(1, 20))
    kernel = [1] * axes if kind == "pointwise" else [int(k) for k in rng.integers(1, 6, axes)]
    dilations = [int(d) for d in rng.integers(1, 3, axes)]
    pads = [int(p) for p in rng.integers(0, 4, 2 * axes)] if rng.random() < 0.7 else [0] * (2 * axes)
    strides = [int(s) for s in rng.integers(1, 4, axes)] if rng.random() < 0.5 else [1] * axes
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    spatial = [max(int(rng.integers(1, 18)), s - pads[i] - pads[axes + i]) for i, s in enumerate(spans)]
    attributes = {"strides": strides, "pads": pads, "dilations": dilations, "group": groups}
    return (2, channels, *spatial), (outputs, channels // groups, *kernel), attributes


@pytest.mark.parametrize("seed", range(60))
def test_convolutions(build, same, seed):
    rng = np.random.default_rng(seed)
    x_shape, w_shape, attributes = random_conv(rng)
    zero_point = int(rng.choice([0, 128, 255, int(rng.integers(256))]))
    program = conv(build, rng, x_shape, w_shape, attributes, zero_point, is_float=seed % 4 == 3)
    same(program, {"x": rng.integers(0, 256, x_shape).astype(np.uint8)})


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [3, 16, 24, 96])
def test_depthwise_of_common_shapes(build, same, kernel, stride, channels):
    rng = np.random.default_rng(kernel * 100 + stride * 10 + channels)
    pads = [kernel // 2] * 4 if stride == 1 else [0, 0, kernel // 2, kernel // 2]
    attributes = {"strides": [stride] * 2, "pads": pads, "dilations": [1, 1], "group": channels}
    program = conv(build, rng, (2, channels, 14, 15), (channels, 1, kernel, kernel), attributes, 131)
    same(program, {"x": rng.integers(0, 256, (2, channels, 14, 15)).astype(np.uint8)})


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("zero_point", [0, 255])
def test_sums_at_their_extremes(build, same, sign, zero_point):
    """All 255 times all 127: a kernel that saturates a sum of 16 bits would show."""
    k = 4608
    x = build.input("x", "u8", ("N", k))
    w = build.constant("w", np.full((k, 33), sign * 127, np.int8))
    b = build.constant("b", np.zeros(33, np.int32))
    m = build.constant("m", np.full(33, 2**30 + 128, np.int32))
    s = build.constant("sh", np.full(33, 30 + 20, np.int32))
    y = build.node("QGemm", [x, w, b, m, s], x_zero_point=zero_point, y_zero_point=128, lo=0, hi=255)
    data = np.full((3, k), 255 - zero_point, np.uint8)
    [given] = same(build.program(y), {"x": data})
    total = (255 - 2 * zero_point) * sign * 127 * k
    assert (given == min(255, max(0, 128 + ((total + 2**19) >> 20)))).all()


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 1000, 4099])
@pytest.mark.parametrize("rows", [1, 2, 13])
def test_matrix_products(build, same, k, rows):
    rng = np.random.default_rng(k * 31 + rows)
    n = int(rng.integers(1, 140))
    x = build.input("x", "u8", ("N", k))
    w = build.constant("w", rng.integers(-127, 128, (k, n)).astype(np.int8))
    b = build.constant("b", rng.integers(-(2**16), 2**16, n).astype(np.int32))
    multiplier, shift = requantization(rng, n)
    inputs = [x, w, b, build.constant("m", multiplier), build.constant("sh", shift)]
    y = build.node("QGemm", inputs, x_zero_point=int(rng.integers(256)), **PRODUCT)
    fb = build.constant("fb", rng.standard_normal(n).astype(np.float32))
    fs = build.constant("fs", rng.uniform(1e-4, 1e-1, n).astype(np.float32))
    f = build.node("QGemm", [x, w, fb, fs], "f32", x_zero_point=3, x_scale=np.float32(0.3))
    same(build.program(y, f), {"x": rng.integers(0, 256, (rows, k)).astype(np.uint8)})


def test_a_matrix_product_of_more_dimensions(build, same):
    rng = np.random.default_rng(1)
    x = build.input("x", "u8", ("N", 3, 5, 20))
    w = build.constant("w", rng.integers(-127, 128, (20, 30)).astype(np.int8))
    b = build.constant("b", rng.integers(-999, 999, 30).astype(np.int32))
    multiplier, shift = requantization(rng, 30)
    inputs = [x, w, b, build.constant("m", multiplier), build.constant("sh", shift)]
    y = build.node("QGemm", inputs, x_zero_point=9, **PRODUCT)
    same(build.program(y), {"x": rng.integers(0, 256, (2, 3, 5, 20)).astype(np.uint8)})


@pytest.mark.parametrize("seed", range(12))
def test_residuals_and_tables_behind_a_product(build, same, seed):
    """A product, then QAdd with a tensor that is there already (on either side), then a Lookup: one step."""
    rng = np.random.default_rng(seed)
    channels, side = int(rng.integers(1, 50)), int(rng.integers(1, 9))
    attributes = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
    is_depthwise = seed % 3 == 2 and channels > 1
    if is_depthwise:
        attributes["group"] = channels
    w_shape = (channels, channels // attributes["group"], 3, 3)
    conv(build, rng, (2, channels, side, side), w_shape, attributes, 77)
    product = build.nodes[-1].outputs[0]
    operands = [product, "x"] if seed % 2 else ["x", product]
    y = build.node(
        "QAdd", operands, a_zero_point=4, b_zero_point=200, y_zero_point=99,
        a_multiplier=int(rng.integers(-32767, 32768)), b_multiplier=int(rng.integers(-32767, 32768)),
        shift=int(rng.integers(1, 31)), lo=int(rng.integers(0, 60)), hi=int(rng.integers(60, 256)),
    )  # fmt: skip
    table = build.constant("table", rng.integers(0, 256, 256).astype(np.uint8))
    z = build.node("Lookup", [y, table])
    feeds = {"x": rng.integers(0, 256, (2, channels, side, side)).astype(np.uint8)}
    same(build.program(z), feeds)
    if not is_depthwise:  # whose rows take a Lookup, but no sum
        assert "Lookup" not in [row.op for row in octavo.Session(build.program(z)).profile(feeds)]


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("columns", [5, 300])
@pytest.mark.parametrize("with_sum", [False, True])
def test_residuals_and_tables_behind_rows(build, same, rows, columns, with_sum):
    """A single row is another step than many, and is cut between threads by its columns."""
    rng = np.random.default_rng(columns)
    x, w = (
        build.input("x", "u8", (rows, 200)),
        build.constant("w", rng.integers(-127, 128, (200, columns)).astype(np.int8)),
    )
    parameters = [np.zeros(columns), multipliers(rng, columns), np.full(columns, 42)]
    names = [build.constant(f"p{at}", array.astype(np.int32)) for at, array in enumerate(parameters)]
    y = build.node("QGemm", [x, w, *names], x_zero_point=3, y_zero_point=128, lo=0, hi=255)
    feeds = {"x": rng.integers(0, 256, (rows, 200)).astype(np.uint8)}
    if with_sum:
        feeds["r"] = rng.integers(0, 256, (rows, columns)).astype(np.uint8)
        given = {"a_zero_point": 9, "b_zero_point": 128, "y_zero_point": 100, "shift": 14, "lo": 3, "hi": 250}
        r = build.input("r", "u8", (rows, columns))
        y = build.node("QAdd", [r, y], a_multiplier=9000, b_multiplier=-7000, **given)
    y = build.node("Lookup", [y, build.constant("t", rng.permutation(256).astype(np.uint8))])
    program = build.program(y)
    same(program, feeds, batched=False)
    assert {row.op for row in octavo.Session(program).profile(feeds)} <= {"QGemm", "Copy"}


@pytest.mark.parametrize("is_output", [False, True])
@pytest.mark.parametrize(
    ("op", "bounds", "fuses"),
    [("Relu", [], True), ("Clip", [-0.5, 2.0], True), ("Clip", [0.25], True), ("Tanh", [], False)],
)
def test_a_clamp_behind_depthwise_floats(build, same, op, bounds, fuses, is_output):
    """A Relu or Clip that alone reads the floats is part of the convolution's step."""
    rng = np.random.default_rng(11)
    shape, attributes = (2, 24, 9, 7), {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 24}
    conv(build, rng, shape, (24, 1, 3, 3), attributes, 77, is_float=True)
    floats = build.nodes[-1].outputs[0]
    names = [build.constant(f"bound{at}", np.float32(bound)) for at, bound in enumerate(bounds)]
    y = build.node(op, [floats, *names], "f32")
    program = build.program(floats, y) if is_output else build.program(y)
    feeds = {"x": rng.integers(0, 256, shape).astype(np.uint8)}
    clamped = same(program, feeds)[-1]
    assert not bounds or clamped.min() == bounds[0]
    for tier in octavo.tiers():
        ops = [row.op for row in octavo.Session(program, isa=tier).profile(feeds)]
        assert (op in ops) == (is_output or not fuses)


def test_a_product_that_is_also_an_output_is_not_swallowed(build, same):
    rng = np.random.default_rng(5)
    attributes = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    conv(build, rng, (2, 6, 4, 4), (6, 6, 1, 1), attributes, 3)
    product = build.nodes[-1].outputs[0]
    table = build.constant("table", rng.integers(0, 256, 256).astype(np.uint8))
    z = build.node("Lookup", [product, table])
    same(build.program(product, z), {"x": rng.integers(0, 256, (2, 6, 4, 4)).astype(np.uint8)})
