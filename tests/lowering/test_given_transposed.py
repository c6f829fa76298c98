"""Transposed convolutions whose integers a model gives itself: they run in these, and answer alike."""

import numpy as np
import pytest
from given import Net, assert_near, integers, ops, reals


def transposed(net, x, *, channels=4, of=4, group=1, scale=None, dtype="int8", axis=1, **attributes):
    """A ConvTranspose of 4x4 and stride 2 by weights of the given dtype, one scale an output of a group."""
    scale = np.linspace(0.003, 0.006, of) if scale is None else scale
    low, high = (-127, 127) if dtype == "int8" else (0, 255)
    array = integers(channels, of, 4, 4, low=low, high=high, seed=7)
    weights = net.weights(array, scale, 0 if dtype == "int8" else 128, dtype, axis=axis)
    given = {"strides": [2, 2], "pads": [1, 1, 1, 1], "group": group}
    return net.op("ConvTranspose", x, weights, reals(of * group, seed=3), **given | attributes)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("scale", [None, 0.004])
def test_a_transposed_convolution(group, dtype, scale):
    """Channels of a group share the scales of its outputs with those of other groups."""
    net = Net((1, 16 * group, 8, 9))
    x = net.rounded("x", 0.02, 120)
    y = transposed(net, x, channels=16 * group, group=group, dtype=dtype, scale=scale)
    model = net.model(net.rounded(y, 0.05, 128))
    assert ops(model) == {"Quantize": 1, "QConvTranspose": 1, "Dequantize": 1}
    assert_near(model, {"x": reals(1, 16 * group, 8, 9)}, 0.05)


def test_weights_of_a_transposed_convolution_beyond_int8_are_met_twice():
    net = Net((1, 4, 8, 9))
    x = net.rounded("x", 0.02, 120)
    weights = net.weights(integers(4, 3, 2, 2, low=0, high=255), 0.004, 0, "uint8")
    y = net.op("ConvTranspose", x, weights, strides=[2, 2])
    model = net.model(net.rounded(y, 0.05, 128))
    assert ops(model)["QConvTranspose"] == 1
    assert_near(model, {"x": reals(1, 4, 8, 9)}, 0.05)


def test_scales_of_input_channels_of_a_transposed_convolution_stay_float():
    net = Net((1, 4, 8, 9))
    model = net.model(net.rounded(transposed(net, net.rounded("x", 0.02, 120), axis=0), 0.05, 128))
    assert ops(model)["ConvTranspose"] == 1
    assert_near(model, {"x": reals(1, 4, 8, 9)}, 0.05)
