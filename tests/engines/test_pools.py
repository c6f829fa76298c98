"""Pools and means on every engine."""

import numpy as np
import pytest


def window(rng, axes):
    kernel = [int(k) for k in rng.integers(1, 5, axes)]
    dilations = [int(d) for d in rng.integers(1, 3, axes)]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [int(rng.integers(0, k)) for k in kernel * 2]
    spatial = [max(int(rng.integers(1, 15)), s) for s in spans]
    attributes = {
        "kernel_shape": kernel,
        "strides": [int(s) for s in rng.integers(1, 4, axes)],
        "pads": pads,
        "dilations": dilations,
        "ceil_mode": int(rng.integers(2)),
    }
    return (2, int(rng.integers(1, 70)), *spatial), attributes


@pytest.mark.parametrize("seed", range(40))
def test_windows(build, same, seed):
    rng = np.random.default_rng(seed)
    shape, attributes = window(rng, 1 + seed % 2)
    x = build.input("x", "u8", ("N", *shape[1:]))
    largest = build.node("MaxPool", [x], **attributes)
    average = build.node(
        "QAveragePool", [x], **attributes, count_include_pad=int(rng.integers(2)),
        x_zero_point=int(rng.integers(256)), y_zero_point=int(rng.integers(256)),
        ratio=np.float64(rng.choice([1.0, 0.3, 2.7])), lo=int(rng.integers(60)), hi=255,
    )  # fmt: skip
    same(build.program(largest, average), {"x": rng.integers(0, 256, shape).astype(np.uint8)})


@pytest.mark.parametrize("axes", [[2, 3], [1], [3], [1, 3], [0, 2], [1, 2, 3]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_means(build, same, axes, keepdims):
    rng = np.random.default_rng(sum(axes))
    x = build.input("x", "u8", ("N", 20, 9, 7))
    y = build.node(
        "QReduceMean", [x], axes=axes, keepdims=keepdims, x_zero_point=40, y_zero_point=11,
        ratio=np.float64(1.9), lo=0, hi=255,
    )  # fmt: skip
    floats = build.node(
        "QReduceMean", [x], "f32", axes=axes, keepdims=keepdims, x_zero_point=40, x_scale=np.float32(0.037)
    )
    feeds = {"x": rng.integers(0, 256, (3, 20, 9, 7)).astype(np.uint8)}
    same(build.program(y, floats), feeds, batched=0 not in axes)


def test_a_mean_over_channels_that_lie_last(build, same):
    """Behind a pool the channels lie last in memory; a mean over some axes must not take them for others."""
    rng = np.random.default_rng(2)
    x = build.input("x", "u8", ("N", 6, 8, 10))
    pooled = build.node(
        "MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4, dilations=[1, 1], ceil_mode=0
    )
    means = [
        build.node(
            "QReduceMean", [pooled], axes=axes, keepdims=1, x_zero_point=3, y_zero_point=5,
            ratio=np.float64(0.9), lo=0, hi=255,
        )
        for axes in ([2, 3], [1], [2], [1, 2])
    ]  # fmt: skip
    means += [
        build.node(
            "QReduceMean", [pooled], "f32", axes=axes, keepdims=1, x_zero_point=3, x_scale=np.float32(0.3)
        )
        for axes in ([2, 3], [1], [2], [1, 2])
    ]
    same(build.program(*means), {"x": rng.integers(0, 256, (2, 6, 8, 10)).astype(np.uint8)})


def test_global_maxima(build, same):
    rng = np.random.default_rng(4)
    x = build.input("x", "u8", ("N", 33, 5, 5))
    y = build.node("GlobalMaxPool", [x])
    same(build.program(y), {"x": rng.integers(0, 256, (2, 33, 5, 5)).astype(np.uint8)})
