"""Operators on int16 on every engine: sums beyond 32 bits, blocks of channels, clamps, extremes."""

import numpy as np
import octavo
import pytest
from single_node import multipliers
from tier_coverage import CODE

LOWEST, HIGHEST = -32768, 32767
WINDOW = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
ENDS = {"y_zero_point": 0, "lo": -HIGHEST, "hi": HIGHEST}


def int16(rng, *shape):
    """Any int16, the ends often."""
    drawn = rng.integers(LOWEST, HIGHEST + 1, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice([LOWEST, HIGHEST], shape), drawn).astype(np.int16)


def requantization(build, rng, channels, shifts=(36, 50)):
    """Biases up to the end, any multipliers, and shifts that bring sums into int16 or clamp them."""
    bias = rng.integers(-(2**37), 2**37, channels) * (rng.random(channels) < 0.3)
    bias += rng.integers(-(2**20), 2**20, channels)
    shift = rng.integers(*shifts, channels).astype(np.int32)
    constants = {"b": bias.astype(np.int64), "m": multipliers(rng, channels), "sh": shift}
    return [build.constant(name, array) for name, array in constants.items()]


def product(build, rng, op, w, is_float, shifts=(36, 50), axis=0, **attributes):
    """A Program of one product over an input of int16."""
    channels = w.shape[axis]
    inputs = [build.input("x", "i16", None), build.constant("w", w)]
    if is_float:
        scale, bias = rng.uniform(1e-4, 1e-1, channels), rng.standard_normal(channels)
        inputs += [
            build.constant("fb", bias.astype(np.float32)),
            build.constant("fs", scale.astype(np.float32)),
        ]
        attributes |= {"x_scale": np.float32(3e-4)}
    else:
        inputs += requantization(build, rng, channels, shifts)
        attributes |= ENDS | {"lo": int(rng.choice([-HIGHEST, 0])), "hi": int(rng.choice([9000, HIGHEST]))}
    return build.program(build.node(op, inputs, "f32" if is_float else "i16", x_zero_point=0, **attributes))


@pytest.mark.parametrize("is_float", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 7, 13, 30])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 16), (17, 40), (64, 64), (130, 97), (1, 130)])
def test_matrix_products(build, same, k, n, rows, is_float):
    rng = np.random.default_rng([k, n, rows])
    w = rng.integers(-128, 128, (k, n)).astype(np.int8)
    program = product(build, rng, "QGemm", w, is_float, (8, 63) if rows == 7 else (36, 50), axis=1)
    same(program, {"x": int16(rng, rows, k)})


@pytest.mark.parametrize("k", [512, 516, 517, 1500, 4097])
@pytest.mark.parametrize("is_float", [False, True])
def test_sums_beyond_32_bits(build, same, k, is_float):
    rng = np.random.default_rng(k)
    w = np.full((k, 33), -128, np.int8)
    w[:, 1], w[:, 2] = 127, rng.integers(-128, 128, k)
    program = product(build, rng, "QGemm", w, is_float, axis=1)
    x = np.stack(
        [np.full(k, LOWEST), np.full(k, HIGHEST), int16(rng, k), np.where(np.arange(k) % 2, LOWEST, HIGHEST)]
    )
    same(program, {"x": x.astype(np.int16)})


def test_weights_just_within_32_bits_are_summed_in_one_go(build, same):
    rng = np.random.default_rng(3)
    w = np.full((516, 17), 127, np.int8)  # 65,532 in all, and 65,535 with the rest
    w[:, 3] = np.where(np.arange(516) % 2, 127, -127)
    x = np.stack([np.full(516, LOWEST), np.full(516, HIGHEST), np.where(np.arange(516) % 2, LOWEST, HIGHEST)])
    same(product(build, rng, "QGemm", w, False, axis=1), {"x": x.astype(np.int16)})


@pytest.mark.parametrize("is_float", [False, True])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "attributes"),
    [
        ((2, 3, 9, 8), (20, 3, 3, 3), {}),
        ((2, 5, 9, 8), (70, 5, 3, 3), {"strides": [2, 1], "pads": [0, 1, 2, 1]}),
        ((1, 7, 6, 6), (33, 7, 1, 1), {"pads": [0] * 4}),
        ((3, 16, 5, 4), (64, 16, 1, 1), {"pads": [0] * 4}),
        ((2, 6, 8, 8), (8, 3, 3, 3), {"group": 2, "dilations": [2, 2]}),
        ((2, 4, 11), (9, 4, 3), {"strides": [2], "pads": [1, 1], "dilations": [1]}),
        ((1, 64, 4, 4), (18, 64, 3, 3), {}),
        ((1, 40, 3, 3), (5, 40, 5, 5), {"pads": [2] * 4}),
    ],
)
def test_convolutions(build, same, x_shape, w_shape, attributes, is_float):
    rng = np.random.default_rng([*x_shape, *w_shape])
    w = rng.integers(-128, 128, w_shape).astype(np.int8)
    program = product(build, rng, "QConv", w, is_float, **(WINDOW | attributes))
    same(program, {"x": int16(rng, *x_shape)})


@pytest.mark.parametrize("is_float", [False, True])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "attributes"),
    [
        ((2, 3, 9, 20), (20, 3, 2, 2), {"strides": [2, 2], "pads": [0] * 4}),
        ((2, 5, 6, 5), (37, 5, 4, 3), {"strides": [2, 1], "pads": [1, 0, 2, 1], "output_padding": [1, 0]}),
        ((2, 6, 8, 8), (8, 3, 3, 3), {"group": 2, "dilations": [2, 2], "strides": [3, 2]}),
        ((2, 4, 40), (9, 4, 2), {"strides": [3], "pads": [1, 1], "dilations": [1], "output_padding": [0]}),
        ((2, 17, 7, 9), (17, 1, 4, 4), {"group": 17, "strides": [2, 2]}),
        ((1, 300, 3, 3), (5, 300, 4, 4), {"strides": [2, 2]}),
    ],
)
def test_transposed_convolutions(build, same, x_shape, w_shape, attributes, is_float):
    rng = np.random.default_rng([*x_shape, *w_shape])
    w = rng.integers(-128, 128, w_shape).astype(np.int8)
    window = WINDOW | {"output_padding": [0, 0]} | attributes
    program = product(build, rng, "QConvTranspose", w, is_float, **window)
    same(program, {"x": int16(rng, *x_shape)})


@pytest.mark.parametrize("is_float", [False, True])
@pytest.mark.parametrize("channels", [2, 8, 16, 31, 32, 33, 48, 64, 70, 144])
@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ([3, 3], {}),
        ([3, 3], {"strides": [2, 2], "pads": [0, 1, 1, 0]}),
        ([3, 3], {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
        ([1, 1], {"pads": [0] * 4}),
        ([5, 4], {"pads": [2, 2, 2, 1], "strides": [1, 2]}),
        ([9, 9], {"pads": [4] * 4}),
    ],
)
def test_depthwise_convolutions(build, same, kernel, attributes, channels, is_float):
    rng = np.random.default_rng([channels, *kernel])
    w = rng.integers(-128, 128, (channels, 1, *kernel)).astype(np.int8)
    program = product(build, rng, "QConv", w, is_float, **(WINDOW | {"group": channels} | attributes))
    same(program, {"x": int16(rng, 2, channels, 8, 9)})


@pytest.mark.parametrize("shifts", [(8, 12), (24, 34), (55, 63)])
def test_depthwise_factors_of_every_size(build, same, shifts):
    rng = np.random.default_rng(shifts[0])
    w = rng.integers(-128, 128, (40, 1, 3, 3)).astype(np.int8)
    program = product(build, rng, "QConv", w, False, shifts, **(WINDOW | {"group": 40}))
    same(program, {"x": int16(rng, 2, 40, 6, 6)})


def test_depthwise_sums_beyond_32_bits(build, same):
    rng = np.random.default_rng(9)
    w = np.full((36, 1, 23, 23), -128, np.int8)
    program = product(build, rng, "QConv", w, False, **(WINDOW | {"group": 36, "pads": [11] * 4}))
    x = np.full((2, 36, 24, 3), LOWEST, np.int16)
    x[1] = int16(rng, 36, 24, 3)
    same(program, {"x": x})


@pytest.mark.parametrize("shift", [1, 2, 15, 30])
@pytest.mark.parametrize("factors", [(32767, 32767), (32767, -32767), (-32767, -32767), (20001, 3), (0, 0)])
def test_sums_of_two_tensors(build, same, shift, factors):
    rng = np.random.default_rng(shift)
    a, b = int16(rng, 3, 70), int16(rng, 3, 70)
    b[:, :20], b[:, 20:40] = a[:, :20], -np.maximum(a[:, 20:40], -HIGHEST)
    names = [build.input(name, "i16", ("N", 70)) for name in "ab"]
    numbers = {"a_multiplier": factors[0], "b_multiplier": factors[1], "shift": shift}
    y = build.node("QAdd", names, "i16", a_zero_point=0, b_zero_point=0, **numbers, **ENDS)
    same(build.program(y), {"a": a, "b": b})


@pytest.mark.parametrize("op", ["QAdd", "QMul"])
@pytest.mark.parametrize(
    "shapes", [((2, 5, 6, 7), (1, 5, 1, 1)), ((4, 1), (4, 600)), ((3, 9), (1,)), ((1,), (3, 9))]
)
def test_broadcasts(build, same, op, shapes):
    rng = np.random.default_rng(len(shapes[0]))
    names = [build.input(name, "i16", shape) for name, shape in zip("ab", shapes, strict=True)]
    numbers = {"a_multiplier": 17, "b_multiplier": -30000, "shift": 14}
    if op == "QMul":
        numbers = {"multiplier": int(multipliers(rng, 1)[0]), "shift": 47}
    y = build.node(op, names, "i16", a_zero_point=0, b_zero_point=0, **numbers, **ENDS)
    feeds = {name: int16(rng, *shape) for name, shape in zip("ab", shapes, strict=True)}
    same(build.program(y), feeds, batched=False)


@pytest.mark.parametrize("shift", [1, 7, 8, 30, 31, 44, 45, 46, 62])
def test_factors_of_every_size(build, same, shift):
    rng = np.random.default_rng(shift)
    a, b = (build.input(name, "i16", ("N", 500)) for name in "ab")
    by = {"multiplier": int(multipliers(rng, 1)[0]), "shift": shift}
    product = build.node("QMul", [a, b], "i16", a_zero_point=0, b_zero_point=0, **by, **ENDS)
    scaled = build.node("Requantize", [a], "i16", x_zero_point=0, **by, **ENDS)
    same(build.program(product, scaled), {"a": int16(rng, 2, 500), "b": int16(rng, 2, 500)})


@pytest.mark.parametrize("shift", [1, 7, 8, 22, 23, 30, 31, 38, 39, 62])
@pytest.mark.parametrize(("low", "high"), [(0, 255), (3, 250), (100, 100)])
def test_to_bytes_and_from_them(build, same, shift, low, high):
    """All int16 and all bytes, by factors that clamp, move little or lose all; one widens exactly."""
    rng = np.random.default_rng([shift, low])
    wide, narrow = build.input("x", "i16", ("N", 500)), build.input("q", "u8", ("N", 500))
    for multiplier in (2**30 + 128, 2**31 - 128, *map(int, multipliers(rng, 2))):
        by = {"multiplier": multiplier, "shift": shift}
        points = {"x_zero_point": 0, "y_zero_point": int(rng.integers(256))}
        narrowed = build.node("Requantize", [wide], "u8", lo=low, hi=high, **points, **by)
        ends = {"y_zero_point": 0, "lo": -HIGHEST if low == 0 else -low, "hi": HIGHEST if low == 0 else high}
        widened = build.node("Requantize", [narrow], "i16", x_zero_point=int(rng.integers(256)), **by, **ends)
        x = np.arange(LOWEST, HIGHEST + 1)[rng.permutation(2**16)[:65500]].astype(np.int16).reshape(-1, 500)
        x[0, :2] = LOWEST, HIGHEST
        q = np.resize(np.arange(256), x.shape).astype(np.uint8)
        same(build.program(narrowed, widened), {"x": x, "q": q})


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 2, 2, 1]])
def test_pools(build, same, pads, include):
    rng = np.random.default_rng(include)
    x = build.input("x", "i16", ("N", 35, 9, 8))
    window = {"kernel_shape": [3, 4], "strides": [2, 1], "dilations": [1, 1], "pads": pads, "ceil_mode": 1}
    most = build.node("MaxPool", [x], "i16", **window)
    mean = build.node(
        "QAveragePool",
        [x],
        "i16",
        x_zero_point=0,
        ratio=np.float64(0.9),
        count_include_pad=include,
        **window,
        **ENDS,
    )
    same(build.program(most, mean), {"x": int16(rng, 2, 35, 9, 8)})


@pytest.mark.parametrize("shape", [(2, 40, 7, 5), (3, 3, 70, 70), (2, 1, 3, 3)])
def test_means(build, same, shape):
    rng = np.random.default_rng(shape[1])
    x = build.input("x", "i16", ("N", *shape[1:]))
    where = {"axes": [2, 3], "keepdims": 1, "x_zero_point": 0}
    whole = build.node("QReduceMean", [x], "i16", ratio=np.float64(1.7), **where, **ENDS)
    floats = build.node("QReduceMean", [x], "f32", x_scale=np.float32(0.03), **where)
    most = build.node("GlobalMaxPool", [x], "i16")
    array = int16(rng, *shape)
    array[0, 0] = LOWEST
    same(build.program(whole, floats, most), {"x": array})


def test_conversions(build, same):
    rng = np.random.default_rng(1)
    x = build.input("x", "f32", ("N", 3, 7, 11))
    by = {"scale": np.float32(3e-4), "zero_point": 0}
    q = build.node("Quantize", [x], "i16", **by)
    y = build.node("Dequantize", [q], "f32", **by)
    array = (rng.standard_normal((2, 3, 7, 11)) * 6).astype(np.float32)
    array[0, 0, 0, :9] = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40, 9.8301, -9.8301, 0.00045]
    q, _ = same(build.program(q, y), {"x": array})
    assert q[0, 0, 0, :5].tolist() == [0, HIGHEST, -HIGHEST, HIGHEST, -HIGHEST]


def test_images_are_quantized_with_their_channels_last(build, same):
    rng = np.random.default_rng(2)
    x = build.input("x", "f32", ("N", 3, 9, 15))
    q = build.node("Quantize", [x], "i16", scale=np.float32(1e-4), zero_point=0)
    window = {"kernel_shape": [2, 2], "strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4, "ceil_mode": 0}
    program = build.program(build.node("MaxPool", [q], "i16", **window))
    feeds = {"x": rng.standard_normal((2, 3, 9, 15)).astype(np.float32)}
    same(program, feeds)
    for isa in octavo.tiers():
        kernels = [row.kernel for row in octavo.Session(program, isa=isa).profile(feeds)]
        assert kernels[0] == f"{CODE.get(isa, isa)}-f32i16-quantize-channels-last"


def test_tables_have_an_entry_for_each_integer(build, same):
    table = np.random.default_rng(4).integers(LOWEST, HIGHEST, 1 << 16).astype(np.int16)
    x = build.input("x", "i16", ("N", 1 << 15))
    y = build.node("Lookup", [x, build.constant("t", table)], "i16")
    [found] = same(build.program(y), {"x": np.arange(LOWEST, HIGHEST + 1).astype(np.int16).reshape(2, -1)})
    assert (found.reshape(-1) == table).all()


def test_what_moves_and_compares(build, same):
    rng = np.random.default_rng(5)
    a, b = (build.input(name, "i16", ("N", 6, 5, 4)) for name in "ab")
    joined = build.node("Concat", [a, b], "i16", axis=1)
    pads = build.constant("pads", np.array([0, 0, 1, 1, 0, 0, 2, 0]))
    padded = build.node(
        "Pad", [joined, pads, build.constant("v", np.array(-7, np.int16))], "i16", mode="constant"
    )
    turned = build.node("Transpose", [padded], "i16", perm=[0, 2, 3, 1])
    outputs = [turned, build.node("Max", [a, b], "i16"), build.node("Min", [a, b], "i16")]
    same(build.program(*outputs), {name: int16(rng, 2, 6, 5, 4) for name in "ab"})
