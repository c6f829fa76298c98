"""ConvTranspose, and convolutions over three axes, on every engine."""

import numpy as np
import pytest


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


@pytest.mark.parametrize("seed", range(24))
def test_conv_transpose(build, same, seed):
    rng = np.random.default_rng(seed)
    axes = 1 + seed % 3
    kernel, attributes = geometry(rng, axes)
    group = attributes["group"]
    channels, outputs = group * int(rng.integers(1, 20)), int(rng.integers(1, 30))
    size = [int(n) for n in rng.integers(3, 9 if axes < 3 else 5, axes)]
    attributes["output_padding"] = [int(n) for n in rng.integers(0, attributes["strides"])]
    if seed % 5 == 0:
        del attributes["pads"]
        attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER"][seed % 2]
        if seed % 10 == 0:
            attributes["output_shape"] = [int(n) for n in rng.integers(4, 12, axes)]
    x = build.input("x", "f32", ("N", channels, *size))
    inputs = [x, build.constant("w", normal(rng, channels, outputs, *kernel))]
    if seed % 2:
        inputs.append(build.constant("b", normal(rng, group * outputs)))
    y = build.node("ConvTranspose", inputs, "f32", **attributes)
    same(build.program(y), {"x": normal(rng, 2, channels, *size)})


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
