"""Sums, products, tables, softmax and conversions on every engine."""

import numpy as np
import pytest
from single_node import multipliers

SHAPES = [
    ((2, 5, 6, 7), (2, 5, 6, 7)),
    ((2, 5, 6, 7), (2, 5, 1, 1)),
    ((2, 5, 1, 7), (2, 1, 6, 1)),
    ((2, 300), (2, 300)),
    ((2, 3, 9), (2, 3, 1)),
    ((2, 1), (2, 70)),
    ((2, 64, 9, 9), (2, 1, 9, 9)),
]


def byte_inputs(build, rng, shapes):
    feeds = {}
    for index, shape in enumerate(shapes):
        name = build.input(f"x{index}", "u8", ("N", *shape[1:]))
        feeds[name] = rng.integers(0, 256, shape).astype(np.uint8)
    return feeds


def sum_of(build, rng, inputs):
    return build.node(
        "QAdd", inputs,
        a_zero_point=int(rng.integers(256)), b_zero_point=int(rng.integers(256)),
        y_zero_point=int(rng.integers(256)),
        a_multiplier=int(rng.choice([-32767, 32767, int(rng.integers(-32767, 32768))])),
        b_multiplier=int(rng.choice([-32767, 32767, int(rng.integers(-32767, 32768))])),
        shift=int(rng.choice([1, 14, 22, 30])), lo=0, hi=int(rng.integers(200, 256)),
    )  # fmt: skip


def product_of(build, rng, inputs):
    return build.node(
        "QMul", inputs,
        a_zero_point=int(rng.integers(256)), b_zero_point=int(rng.integers(256)),
        y_zero_point=int(rng.integers(256)),
        multiplier=int(multipliers(rng, 1)[0]), shift=int(rng.choice([1, 32, 33, 38, 40, 62])),
        lo=int(rng.integers(0, 50)), hi=255,
    )  # fmt: skip


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("op", [sum_of, product_of])
@pytest.mark.parametrize("swapped", [False, True])
def test_sums_and_products(build, same, shapes, op, swapped):
    rng = np.random.default_rng(sum(map(sum, shapes)))
    feeds = byte_inputs(build, rng, shapes)
    inputs = list(feeds)[::-1] if swapped else list(feeds)
    same(build.program(*[op(build, rng, inputs) for _ in range(4)]), feeds)


@pytest.mark.parametrize("constant", [(1,), (5, 1, 1), (7,), (1, 5, 6, 7), (6, 1)])
@pytest.mark.parametrize("op", [sum_of, product_of])
def test_constants_of_fewer_dimensions(build, same, constant, op):
    rng = np.random.default_rng(sum(constant))
    feeds = byte_inputs(build, rng, [(2, 5, 6, 7)])
    c = build.constant("c", rng.integers(0, 256, constant).astype(np.uint8))
    pooled = build.node(
        "MaxPool", ["x0"], kernel_shape=[1, 1], strides=[1, 1], pads=[0] * 4, dilations=[1, 1], ceil_mode=0
    )
    same(build.program(op(build, rng, ["x0", c]), op(build, rng, [c, pooled])), feeds)


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_maxima_of_three(build, same, op):
    rng = np.random.default_rng(3)
    feeds = byte_inputs(build, rng, [(2, 4, 5, 6), (2, 4, 1, 6), (2, 1, 5, 1)])
    same(build.program(build.node(op, list(feeds))), feeds)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 5000])
def test_tables_and_scales(build, same, size):
    rng = np.random.default_rng(size)
    feeds = byte_inputs(build, rng, [(2, size)])
    t = build.constant("t", rng.permutation(256).astype(np.uint8))
    looked_up = build.node("Lookup", ["x0", t])
    scaled = build.node(
        "Requantize", ["x0"], x_zero_point=17, y_zero_point=201, multiplier=1518500224, shift=31, lo=3, hi=250
    )
    reals = build.node("Dequantize", ["x0"], "f32", scale=np.float32(0.0123), zero_point=77)
    back = build.node("Quantize", [reals], scale=np.float32(0.031), zero_point=9)
    same(build.program(looked_up, scaled, reals, back), feeds)


@pytest.mark.parametrize("scale", [0.1, 0.25, 1e-3, 3.7])
@pytest.mark.parametrize("shape", [(2, 3, 11, 13), (2, 1, 8, 8), (2, 4, 5, 40), (2, 77)])
def test_floats_to_bytes(build, same, scale, shape):
    """Ties, infinities, NaN and values far outside; channels first become channels last behind a Quantize."""
    rng = np.random.default_rng(int(scale * 1000) + len(shape))
    x = build.input("x", "f32", ("N", *shape[1:]))
    q = build.node("Quantize", [x], scale=np.float32(scale), zero_point=100)
    outputs = [q]
    if len(shape) == 4:
        outputs += [
            build.node(
                "MaxPool",
                [q],
                kernel_shape=[2, 2],
                strides=[1, 1],
                pads=[0] * 4,
                dilations=[1, 1],
                ceil_mode=0,
            )
        ]
    data = (rng.integers(-600, 600, shape) * np.float32(scale / 2)).astype(np.float32)
    data.reshape(-1)[:5] = [np.nan, np.inf, -np.inf, 3e38, -1e-45]
    same(build.program(*outputs), {"x": data})


@pytest.mark.parametrize(
    ("shape", "axis"), [((2, 10), -1), ((2, 3, 700), 2), ((2, 7, 5, 6), 1), ((2, 4, 1000), 1)]
)
def test_softmax(build, same, shape, axis):
    rng = np.random.default_rng(len(shape))
    feeds = byte_inputs(build, rng, [shape])
    table = np.rint(2**22 * np.exp(-0.05 * np.arange(256))).astype(np.int32)
    t = build.constant("t", table)
    same(build.program(build.node("QSoftmax", ["x0", t], axis=axis)), feeds)


def test_operands_that_are_smaller_than_the_largest_of_all(build, same):
    """The first two together are smaller than the answer: neither moves along its last axis."""
    rng = np.random.default_rng(9)
    column, row = rng.integers(0, 256, (2, 3, 1)), rng.integers(0, 256, (2, 1, 5))
    for dtype, numpy in (("u8", np.uint8), ("f32", np.float32)):
        x = build.input(f"x{dtype}", dtype, (2, 3, 1))
        build.node("Max", [x, x, build.constant(f"row{dtype}", row.astype(numpy))], dtype)
    feeds = {"xu8": column.astype(np.uint8), "xf32": column.astype(np.float32)}
    same(build.program("n0_0", "n1_0"), feeds, batched=False)
