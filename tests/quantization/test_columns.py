"""Columns and their moments against the reference's windows and plain integers."""

import numpy as np
import pytest
from octavo.program import Node
from octavo.program.integers import INT16, UINT8
from octavo.quantization.columns import FEWEST, MOST, Columns, columns_of, moments_of, places
from octavo.reference.integer import conv_transpose
from octavo.reference.windows import taps, window

RNG = np.random.default_rng(11)


def conv(kernel, *, group=1, strides=None, dilations=None, zero_point=7, **pads):
    rank = len(kernel)
    attributes = {
        "group": group,
        "strides": strides or [1] * rank,
        "dilations": dilations or [1] * rank,
        "x_zero_point": zero_point,
        **(pads or {"pads": [0] * (2 * rank)}),
    }
    return Node("QConv", "conv", ("x", "w", "b"), ("y",), attributes)


def all_columns(node, value, shape):
    """[group, positions, channels of a group * taps], as the reference slides its windows."""
    geometry = window(node, value.shape[2:], shape[2:])
    seen = np.stack([seen for _, seen in taps(value, geometry, node.attributes["x_zero_point"])], -1)
    group = node.attributes["group"]
    seen = seen.reshape(value.shape[0], group, shape[1], -1, seen.shape[-1])
    return seen.transpose(1, 0, 3, 2, 4).reshape(group, -1, shape[1] * seen.shape[-1])


CASES = [
    (conv((3, 3), pads=[1, 1, 1, 1]), (2, 4, 5, 6), (8, 4, 3, 3)),
    (conv((3, 3), pads=[0, 0, 1, 1], strides=[2, 2], group=4), (1, 4, 8, 7), (4, 1, 3, 3)),
    (conv((2, 3), dilations=[2, 1], pads=[1, 0, 2, 3], group=2), (1, 6, 6, 5), (4, 3, 2, 3)),
    (conv((3, 3), auto_pad="SAME_UPPER", strides=[2, 2]), (1, 2, 6, 7), (3, 2, 3, 3)),
    (conv((3, 3), auto_pad="SAME_LOWER", strides=[2, 2]), (1, 2, 6, 7), (3, 2, 3, 3)),
    (conv((2, 2), auto_pad="VALID"), (1, 2, 6, 7), (3, 2, 2, 2)),
    (conv((5,), pads=[2, 2], strides=[3]), (2, 3, 11), (2, 3, 5)),
    (conv((2, 1, 2), pads=[0] * 6), (1, 2, 3, 3, 3), (2, 2, 2, 1, 2)),
    (conv((1, 1)), (1, 5, 4, 4), (3, 5, 1, 1)),
]


@pytest.mark.parametrize(("node", "shape", "weights"), CASES)
def test_columns_are_those_of_the_windows(node, shape, weights):
    """Few positions: all of them are taken, in order."""
    values = [RNG.integers(0, 256, shape, np.uint8) for _ in range(2)]
    found = columns_of(node, values, UINT8, 2, weights)
    wanted = np.concatenate([all_columns(node, value, weights) for value in values], 1)
    assert found.zero_point == 7
    assert found.integers.dtype == np.uint8
    assert np.array_equal(found.integers, wanted)


TRANSPOSED = [
    ({"strides": [2, 2], "pads": [0] * 4}, (2, 4, 3, 4), (5, 4, 2, 2)),
    ({"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 0]}, (1, 3, 4, 3), (4, 3, 3, 3)),
    ({"strides": [3, 2], "pads": [0, 2, 1, 0], "dilations": [2, 1], "group": 2}, (1, 4, 3, 4), (6, 2, 2, 3)),
    ({"strides": [3], "auto_pad": "SAME_LOWER", "output_shape": [10]}, (2, 2, 4), (3, 2, 4)),
    ({"strides": [3], "auto_pad": "SAME_UPPER", "output_shape": [10]}, (2, 2, 4), (3, 2, 4)),
]


@pytest.mark.parametrize(("given", "shape", "weights"), TRANSPOSED)
def test_columns_of_a_transposed_convolution(given, shape, weights):
    """By any weights they give its sums, position after position, and no other columns do."""
    axes = len(shape) - 2
    attributes = {"dilations": [1] * axes, "group": 1, "output_padding": [0] * axes, "x_zero_point": 7}
    node = Node("QConvTranspose", "conv", ("x", "w", "b", "s"), ("y",), attributes | given)
    values = [RNG.integers(0, 256, shape, np.uint8) for _ in range(2)]
    found = columns_of(node, values, UINT8, 2, weights)
    assert found.zero_point == 7
    reals = found.integers.astype(np.int64) - 7
    node.attributes["x_scale"] = np.float32(1)
    for _ in range(3):
        w = RNG.integers(-127, 128, weights).astype(np.int8)
        operands = [w, np.zeros(len(w), np.float32), np.ones(len(w), np.float32)]
        sums = np.concatenate([conv_transpose(node, [x, *operands], "f32")[0] for x in values])
        rows = w.astype(np.int64).reshape(reals.shape[0], -1, reals.shape[2])
        made = np.matmul(reals, rows.transpose(0, 2, 1)).transpose(1, 0, 2).reshape(-1, len(w))
        assert np.array_equal(made, np.moveaxis(sums, 1, -1).reshape(-1, len(w)))


def test_columns_of_a_transposed_convolution_of_int16():
    """Those of bytes, less their zero point, as reals."""
    given, shape, weights = TRANSPOSED[2]
    attributes = {"dilations": [1, 1], "output_padding": [0, 0]} | given
    bytes_of, wide = (
        Node("QConvTranspose", "conv", ("x", "w", "b", "s"), ("y",), attributes | {"x_zero_point": zero})
        for zero in (7, 0)
    )
    value = RNG.integers(0, 256, shape, np.uint8)
    found = columns_of(wide, [value.astype(np.int16) - 7], INT16, 1, weights)
    wanted = columns_of(bytes_of, [value], UINT8, 1, weights)
    assert np.array_equal(found.elements, wanted.integers.astype(np.float32) - 7)


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 6), (6,)])
def test_rows_of_a_gemm(shape):
    node = Node("QGemm", "gemm", ("x", "w", "b"), ("y",), {"x_zero_point": 3})
    values = [RNG.integers(0, 256, shape, np.uint8) for _ in range(3)]
    found = columns_of(node, values, UINT8, 3, (6, 5))
    assert found.zero_point == 3
    assert np.array_equal(found.integers, np.concatenate([value.reshape(-1, 6) for value in values])[None])


def test_of_many_columns_a_sample_of_every_value_is_taken():
    node = conv((1, 1))
    values = [np.full((1, 2, 300, 300), index, np.uint8) for index in range(5)]
    found = columns_of(node, values, UINT8, 5, (3, 2, 1, 1))
    assert len(found) == FEWEST
    assert np.bincount(found.integers[0, :, 0]).tolist() == [FEWEST // 5] * 5
    assert found.are_enough
    wide = conv((1, 1))
    values = [np.zeros((1, 5000, 40, 40), np.uint8) for _ in range(3)]
    found = columns_of(wide, values, UINT8, 3, (3, 5000, 1, 1))
    assert len(found) == 4800
    assert not found.are_enough
    assert (
        len(columns_of(conv((1,)), [np.zeros((1, 4000, 50_000), np.uint8)], UINT8, 1, (1, 4000, 1))) <= MOST
    )


def test_places_are_spread_and_others_at_each_turn():
    assert places(10, 10, 3).tolist() == list(range(10))
    assert places(0, 4, 0).tolist() == []
    for count, wanted in ((1000, 50), (50_176, 63), (97, 96)):
        found = [places(count, wanted, turn) for turn in range(4)]
        for one in found:
            assert len(one) == wanted
            assert one.min() >= 0
            assert one.max() < count
            # In every eighth of the places about an eighth of what is taken.
            shares = np.histogram(one, 8, (0, count))[0] / (wanted / 8)
            assert shares.min() > 0.6
            assert shares.max() < 1.4
        assert len({one.tobytes() for one in found}) == 4


@pytest.mark.parametrize("groups", [1, 5])
@pytest.mark.parametrize("zero_point", [0, 131, 255])
def test_moments_against_integers(groups, zero_point):
    integers = RNG.integers(0, 256, (groups, 700, 6), np.uint8)
    integers[:, :, 2] = 40  # never moves
    means, covariances = moments_of(Columns(integers, zero_point), 1)
    exact = integers.astype(np.int64) - zero_point
    np.testing.assert_array_equal(means, exact.mean(axis=1))
    for group in range(groups):
        wanted = np.cov(exact[group].T, bias=True)
        np.testing.assert_allclose(covariances[group], wanted, atol=3e-3)
    assert np.array_equal(covariances, covariances.transpose(0, 2, 1))


def test_sums_of_the_most_columns_fit():
    integers = np.full((1, MOST, 2), 255, np.uint8)
    means, covariances = moments_of(Columns(integers, 0), 1)
    assert means.tolist() == [[255, 255]]
    assert np.abs(covariances).max() < 1e-2


def test_halves_hold_every_column_once():
    integers = RNG.integers(0, 256, (2, 9, 3), np.uint8)
    one, other = Columns(integers, 5).halves()
    assert (len(one), len(other), one.zero_point, other.zero_point) == (4, 5, 5, 5)
    assert np.array_equal(one.integers, integers[:, :4])  # of other samples, as far as that goes
    assert np.array_equal(other.integers, integers[:, 4:])
