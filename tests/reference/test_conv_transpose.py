"""ConvTranspose and QConvTranspose against ONNX Runtime and plain integers."""

import numpy as np
import pytest
from octavo.errors import RunError
from octavo.program.arithmetic import multipliers_shifts
from onnx_peers import onnx_runtime

CASES = [
    ((2, 3, 5, 4), (3, 4, 3, 3), {}),
    ((1, 4, 5, 6), (4, 3, 2, 2), {"strides": [2, 2]}),
    ((1, 4, 5, 6), (4, 3, 4, 3), {"strides": [2, 3], "pads": [1, 0, 2, 1]}),
    ((2, 6, 4, 5), (6, 2, 3, 3), {"strides": [2, 1], "group": 3, "output_padding": [1, 0]}),
    ((1, 4, 5, 5), (4, 2, 3, 3), {"strides": [3, 2], "dilations": [2, 3], "group": 2, "pads": [1, 2, 0, 1]}),
    ((1, 4, 5, 5), (4, 2, 2, 3), {"strides": [4, 2], "dilations": [2, 2]}),
    ((2, 5, 6, 6), (5, 1, 4, 4), {"strides": [2, 2], "group": 5, "pads": [1, 1, 1, 1]}),
    ((2, 3, 7), (3, 5, 4), {"strides": [3], "pads": [1, 2]}),
    ((1, 2, 3, 4, 3), (2, 3, 2, 3, 2), {"strides": [2, 1, 2], "pads": [0, 1, 0, 1, 0, 0]}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [3, 2], "auto_pad": "SAME_LOWER", "output_shape": [10, 8]}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [3, 2], "auto_pad": "SAME_UPPER", "output_shape": [10, 8]}),
]


def normal(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def completed(attributes, axes):
    """With ONNX's defaults, as a Program has them."""
    given = {"strides": [1] * axes, "dilations": [1] * axes, "group": 1, "output_padding": [0] * axes}
    return given | ({} if "auto_pad" in attributes else {"pads": [0] * 2 * axes}) | attributes


@pytest.mark.parametrize(("x", "w", "attributes"), CASES)
@pytest.mark.parametrize("bias", [False, True])
def test_as_onnx_runtime(run_node, x, w, attributes, bias):
    given = completed(attributes, len(x) - 2)
    inputs = [normal(x, 0), normal(w, 1), *([normal(w[1] * given["group"], 2)] if bias else [])]
    (y,) = run_node("ConvTranspose", inputs, given, constants=(1, 2))
    (expected,) = onnx_runtime("ConvTranspose", inputs, **attributes)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_each_output_is_a_chain_over_the_taps_of_its_phase(run_node):
    # Taps of the other phase would meet the infinite weight with a 0, which is NaN.
    w = np.array([1, np.inf, 1, 1], np.float32).reshape(1, 1, 4)
    x = np.array([1, 2, 3], np.float32).reshape(1, 1, 3)
    given = {"strides": [2], "dilations": [1], "group": 1, "output_padding": [0], "pads": [0, 0]}
    (y,) = run_node("ConvTranspose", [x, w], given, constants=(1,))
    np.testing.assert_array_equal(y.ravel(), [1, np.inf, 3, np.inf, 5, np.inf, 3, np.nan])


def test_pads_beyond_the_output(run_node):
    given = {"strides": [1], "dilations": [1], "group": 1, "output_padding": [0], "pads": [4, 4]}
    with pytest.raises(RunError, match="ConvTranspose"):
        run_node("ConvTranspose", [normal((1, 1, 3), 0), normal((1, 1, 2), 1)], given, constants=(1,))


def test_pads_of_the_whole_output_leave_nothing(run_node):
    """Of 4 elements; one pad more is too many."""
    given = {"strides": [1], "dilations": [1], "group": 1, "output_padding": [0]}
    inputs = [normal((1, 1, 3), 0), normal((1, 1, 2), 1)]
    (y,) = run_node("ConvTranspose", inputs, given | {"pads": [2, 2]}, constants=(1,))
    assert y.shape == (1, 1, 0)
    (y,) = run_node("ConvTranspose", inputs, given | {"pads": [2, 1]}, constants=(1,))
    assert y.shape == (1, 1, 1)
    for pads in ([2, 3], [5, 0]):
        with pytest.raises(RunError, match="its pads take more than the 4 elements of axis 0"):
            run_node("ConvTranspose", inputs, given | {"pads": pads}, constants=(1,))


def as_quantized(w, group):
    """Weights [C, O / group, *kernel] as a QConvTranspose has them, [O, C / group, *kernel]."""
    channels, columns, *kernel = w.shape
    grouped = w.reshape(group, channels // group, columns, *kernel).swapaxes(1, 2)
    return grouped.reshape(group * columns, channels // group, *kernel)


@pytest.mark.parametrize("zero_point", [0, 131, 255])
@pytest.mark.parametrize(("x", "w", "attributes"), CASES)
def test_sums_are_those_of_onnx_runtime(run_node, x, w, attributes, zero_point):
    """Of integers so few that float32 holds their sums."""
    rng, given = np.random.default_rng(zero_point), completed(attributes, len(x) - 2)
    q = rng.integers(0, 256, x).astype(np.uint8)
    weights = rng.integers(-127, 128, w).astype(np.int8)
    outputs, group = w[1] * given["group"], given["group"]
    inputs = [q.astype(np.float32) - np.float32(zero_point), weights.astype(np.float32)]
    (sums,) = onnx_runtime("ConvTranspose", inputs, **attributes)
    operands = [q, as_quantized(weights, group)]
    given["x_zero_point"] = zero_point

    scale, bias = rng.uniform(0.5, 2, outputs).astype(np.float32), np.zeros(outputs, np.float32)
    (y,) = run_node(
        "QConvTranspose",
        [*operands, bias, scale],
        given | {"x_scale": np.float32(1)},
        dtypes="f32",
        constants=range(1, 4),
    )
    along = (-1, *[1] * (len(x) - 2))
    np.testing.assert_array_equal(y, sums * scale.reshape(along))

    offsets = rng.integers(-9999, 9999, outputs).astype(np.int32)
    multiplier, shift = multipliers_shifts(rng.uniform(1e-4, 1e-2, outputs))
    ends = {"y_zero_point": 77, "lo": 3, "hi": 250}
    (y,) = run_node(
        "QConvTranspose", [*operands, offsets, multiplier, shift], given | ends, constants=range(1, 5)
    )
    for place in np.ndindex(*y.shape):
        m, s, b = (int(array[place[1]]) for array in (multiplier, shift, offsets))
        total = int(sums[place]) + b
        assert y[place] == min(max(77 + ((total * m + (1 << (s - 1))) >> s), 3), 250)


def test_weights_of_other_channels(run_node):
    given = completed({}, 1) | {"x_zero_point": 3, "x_scale": np.float32(1)}
    inputs = [np.zeros((1, 3, 4), np.uint8), np.ones((2, 2, 1), np.int8), *np.ones((2, 2), np.float32)]
    with pytest.raises(RunError, match=r"QConvTranspose node 'node' .*3 channels.* take 2"):
        run_node("QConvTranspose", inputs, given, dtypes="f32", constants=range(1, 4))
