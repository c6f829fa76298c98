"""Pools of any dtype and number of axes, their indices, and GridSample, against ONNX."""

import numpy as np
import pytest
from octavo.program import Node
from octavo.reference.windows import max_pool
from onnx_peers import onnx_reference, onnx_runtime


def values(shape, dtype="float32", seed=0):
    x = np.random.default_rng(seed).standard_normal(shape) * 40
    return np.asarray(np.abs(x) if dtype == "uint8" else x, np.float64).astype(dtype)


def window(axes, **given):
    base = {"strides": [1] * axes, "pads": [0] * 2 * axes, "dilations": [1] * axes, "ceil_mode": 0}
    return base | given


WINDOWS = [
    ((2, 3, 9), window(1, kernel_shape=[3], strides=[2], pads=[1, 0])),
    ((2, 3, 7, 8), window(2, kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 2, 1])),
    ((1, 2, 9, 9), window(2, kernel_shape=[3, 3], strides=[2, 2], dilations=[2, 2], ceil_mode=1)),
    ((1, 2, 5, 6, 4), window(3, kernel_shape=[2, 3, 2], strides=[2, 1, 1], pads=[1, 0, 0, 0, 1, 1])),
]


@pytest.mark.parametrize(("shape", "attributes"), WINDOWS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint8"])
@pytest.mark.parametrize("order", [0, 1])
def test_max_pool_with_indices(run_node, shape, attributes, dtype, order):
    x = values(shape, dtype)
    attributes = attributes | {"storage_order": order}
    (y,) = run_node("MaxPool", [x], attributes)
    expected, places = onnx_runtime("MaxPool", [x], outputs=2, **attributes)
    np.testing.assert_array_equal(y, expected)
    y, found = max_pool(Node("MaxPool", "node", ("x",), ("y", "places"), attributes), [x])
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(found, places)


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_last_window_where_the_count_is_rounded_up(run_node, kernel, stride):
    """It has to begin inside the input or the padding before it: on either side of that bound."""
    for size in range(kernel, 8):
        for begin in range(kernel):
            for end in range(kernel):
                x = values((1, 1, size), seed=size)
                attributes = window(
                    1, kernel_shape=[kernel], strides=[stride], pads=[begin, end], ceil_mode=1
                )
                (y,) = run_node("MaxPool", [x], attributes | {"storage_order": 0})
                (expected,) = onnx_runtime("MaxPool", [x], **attributes)
                np.testing.assert_array_equal(y, expected, f"{size}, pads {begin} and {end}")


@pytest.mark.parametrize(("shape", "attributes"), WINDOWS)
@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_pool(run_node, shape, attributes, p):
    attributes = attributes | {"p": p}
    x = values(shape) / 40
    (y,) = run_node("LpPool", [x], attributes)
    (expected,) = onnx_runtime("LpPool", [x], **attributes)
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    (y,) = run_node("GlobalLpPool", [x], {"p": p})
    spatial = tuple(range(2, len(shape)))
    np.testing.assert_allclose(y, (np.abs(x) ** p).sum(spatial, keepdims=True) ** (1 / p), rtol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("axes", [2, 3])
def test_grid_sample(run_node, mode, padding, align, axes):
    if axes == 3 and mode == "cubic":
        mode = "linear"
    rng = np.random.default_rng(axes)
    x = rng.standard_normal((2, 3, 4, 5, 3)[: axes + 2]).astype(np.float32)
    grid = rng.uniform(-6, 6, (*(2, 3, 4, 2)[: axes + 1], axes)).astype(np.float32)  # several times around
    grid[0] /= np.float32(4)  # and most of one picture inside
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": align}
    (y,) = run_node("GridSample", [x, grid], attributes)
    (expected,) = onnx_reference("GridSample", [x, grid], **attributes)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_places_that_are_no_numbers(run_node):
    grid = np.array([np.nan, 0, np.inf, 0, -np.inf, 0], np.float32).reshape(1, 1, 3, 2)
    for padding in ("zeros", "border", "reflection"):
        attributes = {"mode": "nearest", "padding_mode": padding, "align_corners": 0}
        (y,) = run_node("GridSample", [np.ones((1, 1, 2, 2), np.float32), grid], attributes)
        assert y.shape == (1, 1, 1, 3)
