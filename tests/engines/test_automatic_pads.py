"""Integer windows whose pads follow from sizes that are free: on every engine, at odd and even sizes."""

import numpy as np
import octavo
import pytest
from octavo.program import Program
from single_node import multipliers

SIZES = ([1, 1], [2, 3], [5, 4], [6, 6], [7, 9], [16, 13])


def pads_of(size, kernel, stride, dilation, lower):
    """TensorFlow's SAME: the output is ceil(size / stride) long; of an odd sum, one end has one more."""
    outputs = (size + stride - 1) // stride
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return (total - total // 2, total // 2) if lower else (total // 2, total - total // 2)


def explicit(program, kernel, spatial):
    """The program with the pads of each window written out for inputs of that spatial shape."""
    nodes = []
    for node in program.nodes:
        attributes = dict(node.attributes)
        lower = attributes.pop("auto_pad") == "SAME_LOWER"
        windows = zip(spatial, kernel, attributes["strides"], attributes["dilations"], strict=True)
        pairs = [pads_of(*window, lower) for window in windows]
        attributes["pads"] = [begin for begin, _ in pairs] + [end for _, end in pairs]
        nodes.append(type(node)(node.op, node.name, node.inputs, node.outputs, attributes))
    return Program(program.inputs, program.outputs, program.values, program.constants, nodes)


def check(same, program, kernel, strides, channels, rng):
    axes = len(kernel)
    for spatial in SIZES:
        spatial = spatial[:axes]
        x = rng.integers(0, 256, (2, channels, *spatial)).astype(np.uint8)
        expected = same(program, {"x": x})
        for y in expected:
            assert list(y.shape[2:]) == [-(-n // s) for n, s in zip(spatial, strides, strict=True)]
        stated = octavo.reference.run(explicit(program, kernel, spatial), {"x": x})
        assert all(np.array_equal(a, b) for a, b in zip(expected, stated, strict=True))


def window_of(rng, axes, seed):
    kernel = [int(k) for k in rng.integers(1, 6, axes)]
    return kernel, {
        "strides": [int(s) for s in rng.integers(1, 4, axes)],
        "dilations": [int(d) for d in rng.integers(1, 4, axes)],
        "auto_pad": ["SAME_UPPER", "SAME_LOWER"][seed % 2],
    }


@pytest.mark.parametrize("seed", range(24))
def test_convolutions(build, same, seed):
    rng = np.random.default_rng(seed)
    axes = 1 + seed // 2 % 2
    kernel, attributes = window_of(rng, axes, seed)
    group, channels, outputs = [(1, 3, 20), (1, 17, 9), (24, 24, 24), (2, 8, 6)][seed // 4 % 4]
    if seed >= 16:  # depthwise at the strides that have code of their own
        kernel, attributes["strides"], attributes["dilations"] = [3, 5][:axes], [2] * axes, [1] * axes
        group = channels = outputs = 32
    x = build.input("x", "u8", ("N", channels, *"HW"[:axes]))
    w = build.constant("w", rng.integers(-127, 128, (outputs, channels // group, *kernel)).astype(np.int8))
    attributes |= {"group": group, "x_zero_point": int(rng.integers(1, 256))}
    vectors = {
        "b": rng.integers(-999, 999, outputs).astype(np.int32),
        "m": multipliers(rng, outputs),
        "sh": np.full(outputs, 40, np.int32),
        "fb": rng.standard_normal(outputs).astype(np.float32),
        "fs": rng.uniform(1e-4, 1e-1, outputs).astype(np.float32),
    }
    b, m, sh, fb, fs = (build.constant(name, array) for name, array in vectors.items())
    integers = build.node("QConv", [x, w, b, m, sh], y_zero_point=100, lo=5, hi=250, **attributes)
    floats = build.node("QConv", [x, w, fb, fs], "f32", x_scale=np.float32(0.04), **attributes)
    check(same, build.program(integers, floats), kernel, attributes["strides"], channels, rng)


@pytest.mark.parametrize("seed", range(24))
def test_pools(build, same, seed):
    rng = np.random.default_rng(seed)
    axes = 1 + seed // 2 % 2
    kernel, attributes = window_of(rng, axes, seed)
    attributes |= {"kernel_shape": kernel, "ceil_mode": seed // 4 % 2}
    x = build.input("x", "u8", ("N", 19, *"HW"[:axes]))
    largest = build.node("MaxPool", [x], **attributes)
    means = [
        build.node(
            "QAveragePool", [x], **attributes, count_include_pad=count, x_zero_point=77, y_zero_point=9,
            ratio=np.float64(1.3), lo=2, hi=253,
        )
        for count in (0, 1)
    ]  # fmt: skip
    check(same, build.program(largest, *means), kernel, attributes["strides"], 19, rng)


def test_an_axis_of_nothing(build, same):
    x = build.input("x", "u8", ("N", 4, "H", "W"))
    window = {"strides": [2, 2], "dilations": [1, 1], "auto_pad": "SAME_UPPER", "ceil_mode": 0}
    y = build.node("MaxPool", [x], kernel_shape=[3, 3], **window)
    (found,) = same(build.program(y), {"x": np.zeros((2, 4, 0, 5), np.uint8)})
    assert found.shape == (2, 4, 0, 3)
