"""Quantize to grids of fractional zero points, and QConv with a zero point for each input channel."""

from itertools import product

import numpy as np
import octavo
import pytest
from octavo.calibration import Statistics
from octavo.cli.inspect import describe
from octavo.program import Quant, Value, artifact
from single_node import multipliers


def grids(rng, count):
    """Scales, and zero points with fractions, halves and ends among them."""
    zero_point = rng.uniform(0, 255, count).astype(np.float32)
    zero_point[::3] = np.rint(zero_point[::3] * 2) / 2
    zero_point[-1] = rng.choice([0, 127.5, 255])
    return rng.uniform(0.004, 2, count).astype(np.float32), zero_point


def hostile(rng, shape, scale, zero_point):
    """Values on the grid and halfway between its places, far outside, and what is no number."""
    places = rng.integers(-80, 600, shape) / 2
    x = ((places - zero_point) * scale).astype(np.float32)
    flat = x.reshape(-1)
    for special in (np.nan, np.inf, -np.inf, -0.0, 3e38):
        flat[rng.integers(flat.size)] = special
    return x


def quantized(x, scale, zero_point):
    """Formula (2a), element by element, each step a rounding to float32."""
    out = np.empty(x.shape, np.uint8)
    wide = np.broadcast_arrays(x, scale, zero_point)
    for index in np.ndindex(x.shape):
        value, s, z = (np.float32(of[index]) for of in wide)
        with np.errstate(all="ignore"):
            place = float(np.float32(np.float32(value / s) + z))
        place = float(z) if np.isnan(place) else min(max(place, -1.0), 256.0)
        out[index] = min(max(round(place), 0), 255)
    return out


SHAPES = [
    ((2, 3, 11, 13), 1), ((2, 3, 11, 13), None), ((2, 11, 13, 3), 3), ((2, 4, 5, 40), 1), ((1, 1, 8, 8), 1),
    ((2, 9, 7, 5), 1), ((2, 6, 4, 3), 2), ((3, 300), 1), ((4, 77), None), ((2, 5, 90, 60), 1), ((7, 3), 0),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_floats_to_grids(build, same, shape, axis):
    """Channels first become channels last behind a Quantize where a pool reads it."""
    rng = np.random.default_rng(sum(shape))
    scale, zero_point = grids(rng, 1 if axis is None else shape[axis])
    free = shape if axis == 0 else ("N", *shape[1:])
    x = build.input("x", "f32", free)
    kind = {} if axis is None else {"axis": axis}
    q = build.node("Quantize", [x, build.constant("s", scale), build.constant("z", zero_point)], **kind)
    outputs = [q]
    if len(shape) == 4:
        window = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4}
        outputs.append(build.node("MaxPool", [q], **window, ceil_mode=0))
    along = [1] * len(shape)
    if axis is not None:
        along[axis] = -1
    data = hostile(rng, shape, scale.reshape(along), zero_point.reshape(along))
    expected = quantized(data, scale.reshape(along), zero_point.reshape(along))
    for found in same(build.program(*outputs), {x: data}, batched=axis != 0):
        np.testing.assert_array_equal(found, expected)


def test_scales_that_do_not_fit_the_input(build):
    x = build.input("x", "f32", ("N", "C", 4))
    s, z = build.constant("s", np.ones(3, np.float32)), build.constant("z", np.ones(3, np.float32))
    program = build.program(build.node("Quantize", [x, s, z], axis=1))
    feeds = {x: np.zeros((1, 5, 4), np.float32)}
    for run in (octavo.reference.run, lambda program, feeds: octavo.Session(program).run(None, feeds)):
        with pytest.raises(octavo.RunError, match="its scales are of shape"):
            run(program, feeds)


CONVOLUTIONS = {
    "shallow": ((2, 3, 9, 10), (5, 3, 3, 3), {"pads": [1, 2, 0, 1], "strides": [2, 1]}),
    "shallow, 4 channels": ((1, 4, 8, 8), (16, 4, 5, 5), {"pads": [2, 2, 2, 2]}),
    "one channel": ((2, 1, 6, 7), (4, 1, 3, 3), {"pads": [1, 1, 1, 1]}),
    "tall": ((1, 3, 9, 4), (3, 3, 3, 1), {"pads": [1, 0, 1, 0]}),
    "dilated": ((2, 2, 9, 9), (7, 2, 3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2]}),
    "deep": ((2, 7, 6, 5), (6, 7, 3, 3), {"pads": [1, 1, 1, 1]}),
    "pointwise": ((2, 6, 5, 5), (9, 6, 1, 1), {}),
    "pointwise, padded": ((1, 3, 5, 5), (9, 3, 1, 1), {"pads": [1, 1, 1, 1]}),
    "one axis": ((2, 3, 12), (4, 3, 5), {"pads": [2, 3]}),
}


def sums(x, weights, window):
    """Plain sums over windows of x [N, C, ...], integers whose padding is 0."""
    rank = weights.ndim - 2
    pads = window.get("pads", [0] * (2 * rank))
    steps, dilations = window.get("strides", [1] * rank), window.get("dilations", [1] * rank)
    x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    reach = [(size - 1) * d + 1 for size, d in zip(weights.shape[2:], dilations, strict=True)]
    places = [range((n - r) // s + 1) for n, r, s in zip(x.shape[2:], reach, steps, strict=True)]
    out = np.zeros((len(x), len(weights), *map(len, places)), np.int64)
    for at in product(*places):
        starts = [place * step for place, step in zip(at, steps, strict=True)]
        cut = [slice(s, s + r, d) for s, r, d in zip(starts, reach, dilations, strict=True)]
        seen = x[(slice(None), slice(None), *cut)]
        out[(slice(None), slice(None), *at)] = seen.reshape(len(x), -1) @ weights.reshape(len(weights), -1).T
    return out


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("to_floats", [False, True])
def test_a_zero_point_for_each_input_channel(build, same, name, to_floats):
    shape, kernel, window = CONVOLUTIONS[name]
    rng, outputs, rank = np.random.default_rng(len(name)), kernel[0], len(kernel) - 2
    zero_points = [0, 255, 103, 17, 200, 128, 64][: shape[1]]
    weights = rng.integers(-127, 128, kernel, np.int8)
    x = build.input("x", "u8", ("N", *shape[1:]))
    whole = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * (2 * rank), "group": 1, **window}
    data = rng.integers(0, 256, shape, np.uint8)
    centred = data.astype(np.int64) - np.reshape(zero_points, (-1, *[1] * rank))
    total, along = sums(centred, weights.astype(np.int64), window), (-1, *[1] * rank)
    if to_floats:
        scale = rng.uniform(0.01, 1, outputs).astype(np.float32)
        vectors = [np.zeros(outputs, np.float32), scale]
        attributes = {"x_zero_points": zero_points, "x_scale": np.float32(0.5)}
        # The bias is 0, and half of a sum below 2^24 is exact: one rounding.
        expected = (total / 2).astype(np.float32) * scale.reshape(along)
    else:
        bias = rng.integers(-5000, 5000, outputs, np.int32)
        factor, shift = multipliers(rng, outputs), rng.integers(38, 42, outputs).astype(np.int32)
        vectors = [bias, factor, shift]
        attributes = {"x_zero_points": zero_points, "y_zero_point": 90, "lo": 3, "hi": 250}
        m, s = factor.astype(np.int64).reshape(along), shift.astype(np.int64).reshape(along)
        rounded = ((total + bias.reshape(along)) * m + (1 << (s - 1))) >> s
        expected = np.clip(rounded + 90, 3, 250).astype(np.uint8)
    constants = [build.constant(f"c{i}", array) for i, array in enumerate([weights, *vectors])]
    y = build.node("QConv", [x, *constants], "f32" if to_floats else "u8", **whole, **attributes)
    (found,) = same(build.program(y), {x: data})
    np.testing.assert_array_equal(found, expected)


def test_fractional_zero_points_are_saved_and_observed(build):
    """A value's reals are taken from its own scales and zero points."""
    x = build.input("x", "f32", ("N", 3, 5, 7))
    scale, zero_point = np.float32([0.5, 0.1, 3]), np.float32([127.5, 0.3, 255])
    q = build.node("Quantize", [x, build.constant("s", scale), build.constant("z", zero_point)], axis=1)
    build.values[q] = Value(q, "u8", None, Quant(scale, zero_point, 1))
    data = artifact.to_bytes(build.program(q))
    again = artifact.from_bytes(data)
    assert artifact.to_bytes(again) == data
    found = again.values[q].quant.zero_point
    assert found.dtype == np.float32
    assert found.tolist() == zero_point.tolist()
    feeds = {x: np.random.default_rng(3).normal(0, 30, (2, 3, 5, 7)).astype(np.float32)}
    statistics = Statistics([q], ["extremes"])
    octavo.Session(data).observe(feeds, statistics)
    (integers,) = octavo.reference.run(again, feeds)
    along = (3, 1, 1)
    reals = scale.astype(np.float64).reshape(along) * (
        integers - zero_point.astype(np.float64).reshape(along)
    )
    seen = statistics.read(q, "extremes")
    assert seen == {"minimum": np.float32(reals.min()), "maximum": np.float32(reals.max())}


def test_a_softmax_behind_a_product_goes_to_a_grid(build, same):
    """Attention's kernels, which end in a plain Quantize, leave it to its own."""
    rng = np.random.default_rng(9)
    feeds = {build.input(name, "u8", ("N", 6, 6)): rng.integers(0, 256, (2, 6, 6), np.uint8) for name in "ab"}
    points = {
        "a_zero_point": 128,
        "b_zero_point": 100,
        "a_scale": np.float32(0.01),
        "b_scale": np.float32(0.02),
    }
    scores = build.node("QMatMul", list(feeds), "f32", **points)
    shares = build.node("Softmax", [scores], "f32", axis=-1)
    grid = [build.constant("s", np.float32([1 / 200])), build.constant("z", np.float32([20.5]))]
    found, q = same(build.program(shares, build.node("Quantize", [shares, *grid])), feeds)
    np.testing.assert_array_equal(q, quantized(found, np.float32(1 / 200), np.float32(20.5)))
    (alone,) = same(build.program(build.nodes[-1].outputs[0]), feeds)
    np.testing.assert_array_equal(alone, q)


def test_a_fractional_zero_point_is_told_as_it_is(build):
    x = build.input("x", "f32", ("N", 2))
    parts = [np.float32([0.5]), np.float32([127.5])]
    q = build.node("Quantize", [x, build.constant("s", parts[0]), build.constant("z", parts[1])])
    build.values[q] = Value(q, "u8", ("N", 2), Quant(*parts))
    program = build.program(q)
    (told,) = octavo.Session(program).get_outputs()
    assert (told.scale, told.zero_point) == (0.5, 127.5)
    assert describe(program)["outputs"][0]["quant"]["zero_point"] == [127.5]
