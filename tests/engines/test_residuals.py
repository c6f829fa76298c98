"""A residual that joins the sums of a QConv or QGemm before they are rounded, on every engine."""

import numpy as np
import octavo
import pytest
from single_node import multipliers

CLAMPS = [{"lo": 0, "hi": 255}, {"lo": 30, "hi": 200}, {"lo": 128, "hi": 128}]
ENDS = [0, 128, 255]


def numbers(rng, low, high, count):
    """From low to high, both among them, the ends often."""
    any_of = rng.integers(low, high + 1, count)
    return np.where(rng.random(count) < 0.2, rng.choice([low, high], count), any_of).astype(np.int32)


def constants(build, rng, columns, is_high):
    """Names of a bias, multipliers and shifts: those of the sums, and those of the residual."""
    shift = rng.integers(33, 48, columns) if is_high else rng.integers(1, 48, columns)
    return [
        build.constant(f"c{at}", np.asarray(array, np.int32))
        for at, array in enumerate(
            [
                rng.integers(-(2**16), 2**16, columns),
                multipliers(rng, columns),
                shift,
                numbers(rng, 0, 2**15 - 1, columns),
                numbers(rng, 1, 23, columns),
            ]
        )
    ]


def attributes(rng):
    points = {f"{name}_zero_point": int(rng.choice([*ENDS, rng.integers(256)])) for name in "xry"}
    return points | CLAMPS[int(rng.integers(len(CLAMPS)))]


WINDOWS = {
    "pixels": ((1, 1), 1, 0),
    "pixels, every other": ((1, 1), 2, 0),
    "window": ((3, 3), 1, 1),
    "window, every other": ((3, 3), 2, 1),
    "wide window": ((1, 5), 1, 2),
}


@pytest.mark.parametrize("is_high", [True, False], ids=["large shifts", "any shift"])
@pytest.mark.parametrize("outputs", [1, 5, 16, 17, 33, 48, 80])
@pytest.mark.parametrize("channels", [3, 24, 130])
@pytest.mark.parametrize("window", WINDOWS)
def test_convolutions(build, same, window, channels, outputs, is_high):
    kernel, stride, pad = WINDOWS[window]
    rng = np.random.default_rng([channels, outputs, is_high, *map(ord, window)])
    x = build.input("x", "u8", ("N", channels, 7, 6))
    w = build.constant("w", rng.integers(-127, 128, (outputs, channels, *kernel)).astype(np.int8))
    bias, m, s, rm, rs = constants(build, rng, outputs, is_high)
    sizes = [(size + 2 * pad - k) // stride + 1 for size, k in zip((7, 6), kernel, strict=True)]
    r = build.input("r", "u8", ("N", outputs, *sizes))
    geometry = {"strides": [stride] * 2, "pads": [pad] * 4, "dilations": [1, 1], "group": 1}
    y = build.node("QConv", [x, w, bias, m, s, r, rm, rs], **geometry, **attributes(rng))
    feeds = {
        "x": rng.integers(0, 256, (2, channels, 7, 6)).astype(np.uint8),
        "r": rng.integers(0, 256, (2, outputs, *sizes)).astype(np.uint8),
    }
    same(build.program(y), feeds)


@pytest.mark.parametrize("is_high", [True, False], ids=["large shifts", "any shift"])
@pytest.mark.parametrize("shape", [(1,), (2,), (13,), (3, 5)], ids=str)
@pytest.mark.parametrize("k", [1, 7, 64, 1500])
@pytest.mark.parametrize("columns", [1, 15, 40, 300])
def test_matrix_products(build, same, shape, k, columns, is_high):
    """A single row is another step than many, and is cut between threads by its columns."""
    rng = np.random.default_rng([k, columns, is_high, *shape])
    x = build.input("x", "u8", ("N", *shape[1:], k))
    w = build.constant("w", rng.integers(-127, 128, (k, columns)).astype(np.int8))
    bias, m, s, rm, rs = constants(build, rng, columns, is_high)
    r = build.input("r", "u8", ("N", *shape[1:], columns))
    y = build.node("QGemm", [x, w, bias, m, s, r, rm, rs], **attributes(rng))
    feeds = {
        "x": rng.integers(0, 256, (*shape, k)).astype(np.uint8),
        "r": rng.integers(0, 256, (*shape, columns)).astype(np.uint8),
    }
    same(build.program(y), feeds)


@pytest.mark.parametrize("zero_point", [0, 77, 255])
@pytest.mark.parametrize("multiplier", [0, 1, 2**14, 2**15 - 1])
@pytest.mark.parametrize("shift", [1, 2, 15, 23])
def test_every_residual_beside_plain_integers(build, same, zero_point, multiplier, shift):
    """The sum is the bias alone, and it is moved by one step of y for each step of its own."""
    bias = 500 - ((128 - zero_point) * multiplier >> shift)
    x = build.input("x", "u8", ("N", 4))
    w = build.constant("w", np.zeros((4, 256), np.int8))
    parameters = [bias, 2**30 + 128, 31, multiplier, shift]
    b, m, s, rm, rs = (
        build.constant(f"p{at}", np.full(256, number, np.int32)) for at, number in enumerate(parameters)
    )
    r = build.input("r", "u8", ("N", 256))
    points = {"x_zero_point": 9, "r_zero_point": zero_point, "y_zero_point": 3}
    y = build.node("QGemm", [x, w, b, m, s, r, rm, rs], **points, lo=0, hi=255)
    residuals = np.stack([np.arange(256), np.arange(255, -1, -1)]).astype(np.uint8)
    [given] = same(build.program(y), {"x": np.zeros((2, 4), np.uint8), "r": residuals})

    def plain(residual):
        acc = bias + ((residual - zero_point) * multiplier + 2 ** (shift - 1)) // 2**shift
        return min(max(3 + (acc * (2**30 + 128) + 2**30) // 2**31, 0), 255)

    assert given.tolist() == [[plain(int(residual)) for residual in row] for row in residuals]


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_that_a_residual_brings_to_their_ends(build, same, sign):
    """The ends of int32, of which 2^23 come from the residual: a kernel that saturates before would show."""
    most = 255 * (2**15 - 1)
    term = (most + 1) // 2 if sign > 0 else -(most // 2)
    x = build.input("x", "u8", ("N", 4))
    w = build.constant("w", np.zeros((4, 40), np.int8))
    bias = sign * (2**31 - 1) - term
    parameters = [bias, 2**30 + 128, 55, 2**15 - 1, 1]
    names = [build.constant(f"p{at}", np.full(40, number, np.int32)) for at, number in enumerate(parameters)]
    r = build.input("r", "u8", ("N", 40))
    points = {"x_zero_point": 0, "r_zero_point": 0 if sign > 0 else 255, "y_zero_point": 128}
    y = build.node("QGemm", [x, w, *names[:3], r, *names[3:]], **points, lo=0, hi=255)
    residuals = np.full((3, 40), 255 if sign > 0 else 0, np.uint8)
    [given] = same(build.program(y), {"x": np.zeros((3, 4), np.uint8), "r": residuals})
    assert (given == 128 + (sign * (2**31 - 1) * (2**30 + 128) + 2**54) // 2**55).all()


def small_conv(build, rng, x, r, channels=20):
    """A QConv of pixels to as many channels, with a residual where `r` is a value."""
    tag = f"of{len(build.nodes)}"
    w = build.constant(f"w{tag}", rng.integers(-127, 128, (channels, channels, 1, 1)).astype(np.int8))
    arrays = [np.zeros(channels), multipliers(rng, channels), np.full(channels, 44)]
    arrays += [rng.integers(2**14, 2**15, channels), np.full(channels, 8)] if r else []
    names = [build.constant(f"p{at}{tag}", array.astype(np.int32)) for at, array in enumerate(arrays)]
    geometry = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    points = {"x_zero_point": 3, "y_zero_point": 120} | ({"r_zero_point": 130} if r else {})
    inputs = [x, w, *names[:3], *([r, *names[3:]] if r else [])]
    return build.node("QConv", inputs, **geometry, **points, lo=0, hi=255)


def image(rng, shape=(2, 20, 5, 4)):
    return rng.integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_residuals_from_anywhere(build, same, seed):
    """The product's own input, an earlier product's result (an output as well, or not), a chain of sums."""
    rng = np.random.default_rng(seed)
    x = build.input("x", "u8", ("N", 20, 5, 4))
    first = small_conv(build, rng, x, None)
    second = small_conv(build, rng, first, first if seed % 2 else x)
    third = small_conv(build, rng, second, second)
    outputs = [third, first] if seed > 1 else [third]
    same(build.program(*outputs), {"x": image(rng)})


def test_a_residual_that_is_known(build, same):
    rng = np.random.default_rng(8)
    x = build.input("x", "u8", (2, 20, 5, 4))
    y = small_conv(build, rng, x, build.constant("r", image(rng)))
    same(build.program(y), {"x": image(rng)}, batched=False)


def test_what_follows_a_sum(build, same):
    """A Lookup is looked up in the same step; a QAdd is a step of its own."""
    rng = np.random.default_rng(9)
    x = build.input("x", "u8", ("N", 20, 5, 4))
    looked_up = build.node(
        "Lookup", [small_conv(build, rng, x, x), build.constant("t", rng.permutation(256).astype(np.uint8))]
    )
    points = {"a_zero_point": 9, "b_zero_point": 128, "y_zero_point": 100, "shift": 14, "lo": 3, "hi": 250}
    summed = small_conv(build, rng, looked_up, x)
    y = build.node("QAdd", [summed, x], a_multiplier=9000, b_multiplier=-7000, **points)
    program, feeds = build.program(y), {"x": image(rng)}
    same(program, feeds)
    ops = [row.op for row in octavo.Session(program).profile(feeds)]
    assert [op for op in ops if op[0] == "Q"] == ["QConv", "QConv", "QAdd"]
    assert "Lookup" not in ops
