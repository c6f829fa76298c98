"""Weights, biases and the bound of their sums, against Python integers and fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octavo.lowering.affine import SCALE_MIN, Affine
from octavo.lowering.weights import nearest_weights
from octavo.lowering.weights import quantize_weights as quantize_nearest

X = Affine(np.float32(0.02), 3)


def quantize_weights(weight, bias, x, *, per_channel, least_scale=0.0):
    nearest = nearest_weights(weight, per_channel=per_channel)
    return (
        nearest if isinstance(nearest, str) else quantize_nearest(nearest, bias, x, least_scale=least_scale)
    )


def bound(weight, bias, zero_point):
    """The largest magnitude that any partial choice of activations can reach, a channel."""
    furthest = max(zero_point, 255 - zero_point)
    return [abs(int(b)) + furthest * sum(abs(int(w)) for w in weight[:, c]) for c, b in enumerate(bias)]


@settings(max_examples=200)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4),
    st.floats(-1e9, 1e9),
    st.floats(float(np.float32(1e-30)), float(np.float32(1e3)), width=32),
    st.integers(0, 255),
)
def test_bound_and_rounding(weights, bias, scale, zero_point):
    weight = np.array(weights, np.float32).reshape(4, 1)
    made = quantize_weights(weight, np.array([bias]), Affine(np.float32(scale), zero_point), per_channel=True)
    if isinstance(made, str):
        assert made == "its bias is too large for int32 at any scale"
        return
    assert bound(made.weight, made.bias, zero_point)[0] < 2**31
    step = Fraction(float(made.scale[0]))
    for real, q in zip(weight[:, 0].tolist(), made.weight[:, 0].tolist(), strict=True):
        assert abs(q) <= 127
        assert abs(Fraction(real) / step - q) <= Fraction(1, 2) + Fraction(1, 2**16)
    assert abs(Fraction(bias) / (Fraction(float(np.float32(scale))) * step) - int(made.bias[0])) <= Fraction(
        1, 2
    ) + abs(int(made.bias[0])) * Fraction(1, 2**50)


def test_scale_a_channel_and_a_tensor():
    weight = np.array([[1.0, -0.5], [0.25, 2.54]], np.float32)
    made = quantize_weights(weight, None, X, per_channel=True)
    assert made.scale.tolist() == [np.float32(1) / np.float32(127), np.float32(2.54) / np.float32(127)]
    assert made.weight.tolist() == [[127, -25], [32, 127]]
    whole = quantize_weights(weight, None, X, per_channel=False)
    assert whole.scale.tolist() == [made.scale[1]] * 2
    assert whole.weight[:, 0].tolist() == [50, 13]


def test_dead_channels_keep_their_bias():
    weight = np.zeros((8, 3), np.float32)
    weight[:, 1] = 1e-30
    weight[:, 2] = 1.0
    bias = np.array([0.7, -123.0, 0.5])
    made = quantize_weights(weight, bias, X, per_channel=True)
    assert np.all(made.scale >= SCALE_MIN)
    given_back = made.bias * np.float64(X.scale) * made.scale.astype(np.float64)
    np.testing.assert_allclose(given_back, bias, rtol=1e-6)
    assert max(bound(made.weight, made.bias, X.zero_point)) < 2**31
    assert made.scale[2] == np.float32(1) / np.float32(127)


def test_all_zero_channel_without_bias():
    made = quantize_weights(np.zeros((2, 1), np.float32), np.zeros(1), X, per_channel=True)
    assert made.bias.tolist() == [0]
    assert made.weight.tolist() == [[0], [0]]


@pytest.mark.parametrize("zero_point", [0, 127, 128, 255])
@pytest.mark.parametrize("bias", [None, np.zeros(2)])
def test_sums_of_just_2_to_31(zero_point, bias):
    """Column 0 is nothing; column 1 reaches 2^31 - 1 at most, or more."""
    furthest = max(zero_point, 255 - zero_point)
    for total, fits in (((2**31 - 1) // furthest, True), ((2**31 - 1) // furthest + 1, False)):
        column = np.full(-(-total // 127), 127, np.float32)
        column[-1] = total - 127 * (len(column) - 1)
        weight = np.stack([np.zeros_like(column), -column], axis=1)
        made = quantize_weights(weight, bias, Affine(np.float32(1), zero_point), per_channel=True)
        if fits:
            assert np.array_equal(made.weight[:, 1], weight[:, 1])
            assert furthest * total < 2**31
        else:
            assert made == f"its sums over {len(column)} products could leave int32"
            assert furthest * total >= 2**31


@pytest.mark.parametrize("zero_point", [0, 100, 127, 128, 200, 255])
@pytest.mark.parametrize("sign", [1, -1])
def test_biases_of_just_2_to_31(zero_point, sign):
    """Scales of 1, so that the bias is the integer; the channel beside it keeps its own."""
    room = 2**31 - 127 * max(zero_point, 255 - zero_point)
    weight = np.array([[127.0, 127.0]], np.float32)
    for bias, scale in ((room - 1, 1.0), (room, 2.0)):
        made = quantize_weights(
            weight, np.array([sign * float(bias), 5.0]), Affine(np.float32(1), zero_point), per_channel=True
        )
        assert made.scale.tolist() == [scale, 1.0]
        assert made.bias.tolist() == [round(sign * bias / scale), 5]
        assert made.weight.tolist() == [[127 if scale == 1 else 64, 127]]
        assert max(bound(made.weight, made.bias, zero_point)) < 2**31


def test_a_bias_beyond_every_scale():
    weight = np.array([[np.finfo(np.float32).max]], np.float32)
    made = quantize_weights(weight, np.array([1e300]), X, per_channel=True)
    assert made == "its bias is too large for int32 at any scale"


def test_biases_round_half_to_even():
    weight = np.full((1, 6), 127.0, np.float32)
    bias = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 2.51])
    made = quantize_weights(weight, bias, Affine(np.float32(1), 0), per_channel=True)
    assert made.bias.tolist() == [0, 2, 2, 0, -2, 3]
    assert made.bias.dtype == np.int32


def test_weights_round_half_to_even_in_float64():
    weight = np.array([[127.0], [0.5], [1.5], [2.5], [-0.5], [-127.0]], np.float32)
    made = quantize_weights(weight, None, X, per_channel=True)
    assert made.weight[:, 0].tolist() == [127, 0, 2, 2, 0, -127]
    assert made.bias is None


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_is_enough(place, number):
    weight = np.ones((2, 3), np.float32)
    weight.flat[place] = number
    bias = np.zeros(3)
    assert "NaN" in quantize_weights(weight, None, X, per_channel=True)
    assert "NaN" in quantize_weights(weight, bias, X, per_channel=True)
    bias[place % 3] = number
    assert "NaN" in quantize_weights(np.ones((2, 3), np.float32), bias, X, per_channel=True)
