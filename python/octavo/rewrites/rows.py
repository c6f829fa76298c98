"""Rows of weights as integers of few bits: a scale, and perhaps a zero point, for each group of them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import SCALE_MIN
from octavo.program import DTYPES
from octavo.program.integers import INT8, INT8_WITH_ZERO_POINT, WEIGHTS, Integers

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SHORTEST = 32
"""Weights of a row below which it has 8 bits whatever is asked for: those of a depthwise convolution, say,
are few of a network's bytes, and most of its accuracy hangs on them."""

HALF_MIN, HALF_MAX = 2.0**-14, 65504.0
"""The least float16 of full precision, and the greatest."""

SHARES = tuple(1 - step / 50 for step in range(36))
"""The shares of the scale that holds all weights which are tried where integers have fewer than 8 bits."""


@dataclass(frozen=True)
class Storage:
    """How weights are stored. bits: 8, 4, 3 or 2. group_size: weights that share a scale, None for a row.

    shared: whether they are places in a codebook. pruned: the share of a row's that are 0.
    """

    bits: int = 8
    group_size: int | None = None
    symmetric: bool = True
    shared: bool = False
    pruned: float = 0.0

    def of(self, length: int) -> "Storage":
        """How rows of so many weights are stored: short ones in 8 bits, and one scale."""
        if length >= SHORTEST:
            return self
        return Storage(8, None, self.symmetric)

    @property
    def integers(self) -> Integers:
        """What the weights become."""
        if self.bits == 8:
            return INT8 if self.symmetric else INT8_WITH_ZERO_POINT
        return WEIGHTS[f"{'i' if self.symmetric else 'u'}{self.bits}"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Weights in integers, [O, K], and of each group of a row a scale and a zero point, [O, groups].

    scales: float32; in_half: such as float16 holds, where a row has several and all are in its range. of: the
    integers. group_size: weights of a group, of which a row's last may have fewer.
    """

    integers: npt.NDArray[Any]
    scales: Float32
    zeros: npt.NDArray[Any]
    of: Integers
    group_size: int
    in_half: bool

    def changed(self, integers: npt.NDArray[Any], scales: npt.NDArray[Any]) -> "Rows":
        """Other integers and scales with the same zero points."""
        held = integers.astype(self.integers.dtype)
        return replace(self, integers=held, scales=scales.astype(np.float32))

    def dequantize(self) -> Float32:
        """The reals, float32 [O, K], by formula (3)."""
        scales, zeros = self.along(self.scales), self.along(self.zeros)
        return np.asarray(scales * (self.integers.astype(np.int64) - zeros).astype(np.float32))

    def along(self, of_groups: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What groups have, for each of their weights: [O, K]."""
        return of_groups.repeat(self.group_size, 1)[:, : self.integers.shape[1]]


def nearest_rows(reals: Float32, storage: Storage, importance: Float64 | None = None) -> Rows:
    """Each weight of rows [O, K] as the nearest integer, by formulas (18) and (18a) of docs/arithmetic.md.

    Below 8 bits, each group has the scale of `SHARES` by which its weights' squared errors, each times the
    importance of its column, [O, K] or [1, K], sum up to least.
    """
    storage = storage.of(reals.shape[1])
    of, size = storage.integers, storage.group_size or max(1, reals.shape[1])
    grouped = _in_groups(reals, size)
    low, high = (grouped.min(axis=2), grouped.max(axis=2))
    if of.symmetric:
        reach = np.maximum(np.abs(low), np.abs(high)) / np.float32(of.high)
    else:
        reach = (np.maximum(high, 0) - np.minimum(low, 0)) / np.float32(of.steps)
    shares = SHARES if storage.bits < 8 else SHARES[:1]
    in_half = grouped.shape[1] > 1 and fit_half(reach, shares[-1])
    weighed = None if importance is None else _in_groups(importance, size)
    best: list[npt.NDArray[Any]] = []
    for share in shares:
        scales = held_scales(reach * np.float32(share), in_half)
        zeros = np.zeros(scales.shape, np.int64)
        if not of.symmetric:
            wanted = np.rint(of.low - np.float32(share) * np.minimum(low, 0).astype(np.float64) / scales)
            zeros = np.clip(wanted, of.low, of.high).astype(np.int64)
        wide = scales.astype(np.float64)[:, :, None]
        q = np.clip(np.rint(grouped / wide) + zeros[:, :, None], of.low, of.high)
        errors = np.square(wide * (q - zeros[:, :, None]) - grouped)
        total = (errors if weighed is None else errors * weighed).cumsum(axis=2)[:, :, -1]
        found = [total, scales, zeros, q.astype(np.int16)]
        if best:
            is_less = total < best[0]
            for old, new in zip(best, found, strict=True):
                old[is_less] = new[is_less]
        else:
            best = found
    _, scales, zeros, q = best
    held = DTYPES.get(of.dtype, np.dtype(np.int8 if of.dtype[0] == "i" else np.uint8))
    integers = q.reshape(len(reals), q.shape[1] * q.shape[2])[:, : reals.shape[1]].astype(held)
    return Rows(np.ascontiguousarray(integers), scales, zeros.astype(held), of, size, in_half)


def _in_groups(rows: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Rows [O, K] as [O, groups, size], zeros behind their ends."""
    groups = max(1, -(-rows.shape[1] // size))
    padded = np.zeros((len(rows), groups * size), rows.dtype)
    padded[:, : rows.shape[1]] = rows
    return padded.reshape(len(rows), groups, size)


def fit_half(scales: Float32, share: float) -> bool:
    """Whether float16 holds scales, and such shares of them, in full precision; zeros may be raised."""
    some = scales[scales > 0]
    return not len(some) or bool(some.min() * share >= HALF_MIN and some.max() <= HALF_MAX)


def held_scales(scales: Float32, in_half: bool) -> Float32:
    """Scales as they are stored; that of zeros alone is the least."""
    if in_half:
        return np.maximum(scales, np.float32(HALF_MIN)).astype(np.float16).astype(np.float32)
    return np.maximum(scales, SCALE_MIN).astype(np.float32)
