"""Rows of weights in few bits: every integer, scale and zero point against plain Python."""

from fractions import Fraction

import numpy as np
import pytest
from octavo.rewrites import Storage, nearest_rows
from octavo.rewrites.rows import HALF_MIN, SHARES

F = np.float32
STORED = [
    Storage(bits, size, symmetric)
    for bits in (8, 4, 3, 2)
    for size in (None, 32, 64)
    for symmetric in (True, False)
]


def by_hand(group, storage, share, in_half):
    """Integers, scale, zero point and error of one group at one share of the scale that holds it."""
    of = storage.integers
    low, high = min(group.min(), F(0)), max(group.max(), F(0))
    reach = max(-low, high) / F(of.high) if of.symmetric else (high - low) / F(of.steps)
    scale = F(reach) * F(share)
    scale = F(np.float16(max(scale, F(HALF_MIN)))) if in_half else max(scale, F(2.0**-126))
    zero = 0
    if not of.symmetric:
        zero = int(min(max(round(of.low - float(F(share)) * float(low) / float(scale)), of.low), of.high))
    exact = Fraction(float(scale))
    integers = [int(min(max(round(float(w) / float(scale)) + zero, of.low), of.high)) for w in group]
    error = sum((exact * (q - zero) - Fraction(float(w))) ** 2 for q, w in zip(integers, group, strict=True))
    return integers, scale, zero, float(error)


@pytest.mark.parametrize("storage", STORED, ids=str)
def test_each_group_by_hand(rng, storage):
    reals = rng.normal(size=(3, 72)).astype("f4")
    reals[1] *= F(0.01)
    reals[2, 32:64] = 0
    rows = nearest_rows(reals, storage)
    size = storage.group_size or 72
    groups = -(-72 // size)
    assert rows.scales.shape == rows.zeros.shape == (3, groups)
    assert rows.integers.dtype == (np.uint8 if storage.integers.dtype[0] == "u" else np.int8)
    for row in range(3):
        for group in range(groups):
            place = slice(group * size, min(72, (group + 1) * size))
            found = (rows.integers[row, place].tolist(), rows.scales[row, group], rows.zeros[row, group])
            tried = [
                by_hand(reals[row, place], storage, share, groups > 1)
                for share in (SHARES if storage.bits < 8 else SHARES[:1])
            ]
            least = min(error for *_, error in tried)
            assert any(
                found == (integers, scale, zero) and error <= least * (1 + 1e-9)
                for integers, scale, zero, error in tried
            )
    assert rows.integers.min() >= storage.integers.low
    assert rows.integers.max() <= storage.integers.high


@pytest.mark.parametrize("storage", STORED, ids=str)
def test_zero_is_held_exactly(rng, storage):
    reals = rng.uniform(0.5, 1, (2, 64)).astype("f4")
    reals[1] *= -1
    reals[:, ::3] = 0
    made = nearest_rows(reals, storage).dequantize()
    assert not made[:, ::3].any()
    assert np.array_equal(np.sign(made[0, 1::3]), np.ones(21)) or storage.bits == 2


def test_short_rows_have_8_bits():
    reals = np.linspace(-1, 1, 31 * 2).reshape(2, 31).astype("f4")
    rows = nearest_rows(reals, Storage(4, 32))
    assert (rows.of.dtype, rows.scales.shape) == ("i8", (2, 1))
    assert nearest_rows(np.ones((2, 32), F), Storage(4, 32)).of.dtype == "i4"


def test_importance_weighs_errors():
    """A column that matters alone is held best."""
    reals = np.tile(np.array([1.0, 0.37] * 16, F), (1, 1))
    importance = np.array([[1e-9, 1.0] * 16])
    plain, weighed = (nearest_rows(reals, Storage(3, 32), given) for given in (None, importance))
    errors = [np.abs(rows.dequantize()[0, 1] - reals[0, 1]) for rows in (plain, weighed)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_scales_beyond_float16_are_float32(rng, factor):
    reals = (rng.normal(size=(2, 64)) * factor).astype("f4")
    rows = nearest_rows(reals, Storage(4, 32))
    with np.errstate(over="ignore"):
        held = rows.scales.astype(np.float16).astype(np.float32) == rows.scales
    assert not held.all()
    error = rows.dequantize() - reals
    assert np.square(error / factor).sum() < 0.02 * np.square(reals / factor).sum()


def test_rows_of_nothing():
    rows = nearest_rows(np.zeros((3, 0), F), Storage(4, 32))
    assert rows.integers.shape == rows.dequantize().shape == (3, 0)
