"""ConvTranspose and QConvTranspose, and convolutions over three axes, on every engine."""

import numpy as np
import pytest
from test_products import requantization


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def geometry(rng, axes):
    kernel = [int(k) for k in rng.integers(1, 5, axes)]
    return kernel, {
        "strides": [int(s) for s in rng.integers(1, 4, axes)],
        "dilations": [int(d) for d in rng.integers(1, 3, axes)],
        "pads": [int(p) for p in rng.integers(0, 3, 2 * axes)],
        "group": int(rng.choice([1, 1, 2, 3])),
    }


def transposed(rng, axes, *, turned=False):
    """The sizes of an input, its channels, the outputs of a group, the kernel and the attributes."""
    kernel, attributes = geometry(rng, axes)
    if turned:  # no tap of a phase but one, or the same taps for all: the forms that decoders have
        attributes["dilations"] = [1] * axes
        kernel = [stride * int(rng.integers(1, 3)) for stride in attributes["strides"]]
    group = attributes["group"]
    channels, outputs = group * int(rng.integers(1, 20)), int(rng.integers(1, 30))
    size = [int(n) for n in rng.integers(3, 9 if axes < 3 else 5, axes)]
    if rng.random() < 0.4:
        size[-1] = int(rng.integers(17, 40))
    attributes["output_padding"] = [int(n) for n in rng.integers(0, attributes["strides"])]
    if turned and rng.random() < 0.5:
        attributes |= {"output_padding": [0] * axes, "pads": [0] * (2 * axes)}
    elif rng.random() < 0.2:
        del attributes["pads"]
        attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER"]))
        if rng.random() < 0.5:
            attributes["output_shape"] = [int(n) for n in rng.integers(4, 12, axes)]
    return size, channels, outputs, kernel, attributes


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("seed", range(24))
def test_conv_transpose(build, same, seed, turned):
    rng = np.random.default_rng(seed)
    size, channels, outputs, kernel, attributes = transposed(rng, 1 + seed % 3, turned=turned)
    x = build.input("x", "f32", ("N", channels, *size))
    inputs = [x, build.constant("w", normal(rng, channels, outputs, *kernel))]
    if seed % 2:
        inputs.append(build.constant("b", normal(rng, attributes["group"] * outputs)))
    y = build.node("ConvTranspose", inputs, "f32", **attributes)
    if seed % 4 > 1:
        y = build.node(["Relu", "Sigmoid", "HardSwish"][seed % 3], [y], "f32")
    same(build.program(y), {"x": normal(rng, 2, channels, *size)})


def quantized(build, rng, x, w, attributes, *, floats=False):
    """A QConvTranspose by weights [O, C / group, *kernel], with numbers of its own."""
    outputs, zero_point = len(w), int(rng.choice([0, 128, 255, int(rng.integers(256))]))
    place = len(build.nodes)

    def constants(*arrays):
        return [build.constant(f"c{place}.{index}", array) for index, array in enumerate(arrays)]

    if floats:
        scale = rng.uniform(1e-4, 1e-1, outputs).astype(np.float32)
        inputs = [x, *constants(w, normal(rng, outputs), scale)]
        of_x = {"x_zero_point": zero_point, "x_scale": np.float32(0.037)}
        return build.node("QConvTranspose", inputs, "f32", **of_x, **attributes)
    bias = rng.integers(-(2**16), 2**16, outputs).astype(np.int32)
    inputs = [x, *constants(w, bias, *requantization(rng, outputs))]
    lo, hi = sorted(int(v) for v in rng.choice([0, 7, 128, 200, 255], 2, replace=False))
    ends = {"y_zero_point": int(rng.integers(256)), "lo": lo, "hi": hi}
    return build.node("QConvTranspose", inputs, x_zero_point=zero_point, **ends, **attributes)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("seed", range(36))
def test_quantized(build, same, seed, turned):
    rng = np.random.default_rng(100 + seed)
    size, channels, outputs, kernel, attributes = transposed(rng, 1 + seed % 3, turned=turned)
    group = attributes["group"]
    x = build.input("x", "u8", ("N", channels, *size))
    w = rng.integers(-127, 128, (group * outputs, channels // group, *kernel)).astype(np.int8)
    y = quantized(build, rng, x, w, attributes, floats=seed % 4 == 3)
    if seed % 4 == 2:
        table = build.constant("table", rng.integers(0, 256, 256).astype(np.uint8))
        y = build.node("Lookup", [y, table])
    same(build.program(y), {"x": rng.integers(0, 256, (2, channels, *size)).astype(np.uint8)})


WINDOWS = {
    "4x4 by 2": ([4, 4], {"strides": [2, 2], "pads": [1] * 4}),
    "3x3 by 2": ([3, 3], {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]}),
    "7x5 by 3x2": ([7, 5], {"strides": [3, 2], "pads": [2, 1, 1, 2]}),
    "dilated": ([3, 3], {"strides": [2, 3], "dilations": [3, 2], "pads": [2, 0, 1, 1]}),
    "8 by 4": ([8], {"strides": [4], "pads": [2, 2]}),
    "begins within the input": ([2, 2], {"strides": [2, 2], "pads": [3, 0, 0, 2]}),
    "phases without taps": ([2, 2], {"strides": [3, 2]}),
}


@pytest.mark.parametrize("channels", [2, 8, 21, 48])
@pytest.mark.parametrize("name", WINDOWS)
def test_each_channel_by_itself(build, same, name, channels):
    """As bilinear upsampling is: over more lines than are made at a time, some of them less than others."""
    rng, (kernel, given) = np.random.default_rng(channels), WINDOWS[name]
    axes = len(kernel)
    attributes = {"dilations": [1] * axes, "pads": [0] * (2 * axes), "output_padding": [0] * axes} | given
    attributes["group"] = channels
    size = [19, 6] if axes == 2 else [70]
    x, q = (build.input(name, dtype, ("N", channels, *size)) for name, dtype in (("x", "f32"), ("q", "u8")))
    weights = normal(rng, channels, 1, *kernel)
    y = build.node("ConvTranspose", [x, build.constant("reals", weights)], "f32", **attributes)
    y = build.node("Relu", [y], "f32")
    w = rng.integers(-127, 128, weights.shape).astype(np.int8)
    made = [quantized(build, rng, q, w, attributes, floats=floats) for floats in (True, False)]
    table = build.constant("table", rng.integers(0, 256, 256).astype(np.uint8))
    made[1] = build.node("Lookup", [made[1], table])
    feeds = {"x": normal(rng, 2, channels, *size)}
    same(build.program(y, *made), feeds | {"q": rng.integers(0, 256, (2, channels, *size)).astype(np.uint8)})


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_at_their_extremes(build, same, sign):
    """All 255 by all 127, in each of the phases of a kernel."""
    channels, kernel = 512, 4
    x = build.input("x", "u8", ("N", channels, 3, 3))
    w = build.constant("w", np.full((17, channels, kernel, kernel), sign * 127, np.int8))
    constants = [np.zeros(17, np.int32), np.full(17, 2**30 + 128, np.int32), np.full(17, 50, np.int32)]
    inputs = [x, w, *map(build.constant, ("b", "m", "s"), constants)]
    window = {"strides": [2, 2], "pads": [1] * 4, "dilations": [1, 1], "output_padding": [0, 0], "group": 1}
    ends = {"x_zero_point": 0, "y_zero_point": 128, "lo": 0, "hi": 255}
    y = build.node("QConvTranspose", inputs, **window, **ends)
    (given,) = same(build.program(y), {"x": np.full((1, channels, 3, 3), 255, np.uint8)})
    # An inner pixel sees two by two taps, a corner one.
    for pixel, taps in ((given[0, :, 2, 2], 4), (given[0, :, 0, 0], 1)):
        total = sign * 255 * 127 * channels * taps
        assert (pixel == min(255, max(0, 128 + ((total * (2**30 + 128) + 2**49) >> 50)))).all()


def test_one_weight_read_in_other_phases(build, same):
    rng = np.random.default_rng(1)
    x, w = build.input("x", "f32", ("N", 4, 6, 5)), build.constant("w", normal(rng, 4, 7, 4, 3))
    common = {"pads": [1, 0, 2, 1], "group": 1, "output_padding": [0, 0]}
    nodes = [
        build.node("ConvTranspose", [x, w], "f32", strides=s, dilations=d, **common)
        for s in ([1, 1], [2, 3], [4, 2], [6, 1])
        for d in ([1, 1], [2, 1], [3, 2])
    ]
    same(build.program(*nodes), {"x": normal(rng, 2, 4, 6, 5)})


def test_quantized_weights_read_in_other_phases(build, same):
    rng = np.random.default_rng(2)
    x = build.input("x", "u8", ("N", 4, 6, 20))
    w = build.constant("w", rng.integers(-127, 128, (7, 4, 4, 3)).astype(np.int8))
    bias, scale = build.constant("b", normal(rng, 7)), build.constant("s", np.ones(7, np.float32))
    common = {"group": 1, "x_zero_point": 9, "x_scale": np.float32(0.5)}
    nodes = [
        build.node(
            "QConvTranspose",
            [x, w, bias, scale],
            "f32",
            strides=s,
            dilations=d,
            pads=p,
            **common,
            output_padding=o,
        )
        for s in ([1, 1], [2, 3], [4, 2], [6, 1])
        for d in ([1, 1], [2, 1], [3, 2])
        for p, o in (([0] * 4, [0, 0]), ([1, 0, 2, 1], [0, s[1] - 1]))
    ]
    same(build.program(*nodes), {"x": rng.integers(0, 256, (2, 4, 6, 20)).astype(np.uint8)})


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_an_axis_of_no_elements_gives_one_window_of_bias(build, same, stride):
    """As an axis of one element that is 0 would."""
    x, w = build.input("x", "f32", (1, 2, "N")), build.constant("w", np.ones((2, 3, 4), np.float32))
    bias = np.array([1, -2, 0.5], np.float32)
    given = {"strides": [stride], "dilations": [2], "pads": [1, 2], "output_padding": [0], "group": 1}
    y = build.node("ConvTranspose", [x, w, build.constant("b", bias)], "f32", **given)
    for size in (0, 1):
        (got,) = same(build.program(y), {"x": np.zeros((1, 2, size), np.float32)})
        assert got.tolist() == [[[b] * (1 + 3 * 2 - 3) for b in bias.tolist()]]


@pytest.mark.parametrize("seed", range(8))
def test_conv_over_three_axes(build, same, seed):
    rng = np.random.default_rng(seed)
    kernel, attributes = geometry(rng, 3)
    group = attributes["group"]
    channels, outputs = int(rng.integers(1, 9)), group * int(rng.integers(1, 20))
    size = [
        (k - 1) * d + int(rng.integers(1, 5)) for k, d in zip(kernel, attributes["dilations"], strict=True)
    ]
    x = build.input("x", "f32", ("N", group * channels, *size))
    inputs = [x, build.constant("w", normal(rng, outputs, channels, *kernel))]
    if seed % 2:
        inputs.append(build.constant("b", normal(rng, outputs)))
    y = build.node("Conv", inputs, "f32", **attributes)
    same(build.program(y), {"x": normal(rng, 2, group * channels, *size)})
