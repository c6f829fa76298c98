"""Rows of weights that share a codebook: each weight is its row's scale times one of a few levels.

As Deep Compression does (Han, Mao and Dally, 2016): the least weights are pruned, which makes them 0, and the
others are clustered by k-means, one codebook for all rows. What they have in common is what a compressed
artifact leaves out.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.rewrites.rows import Float32, Float64, Storage, fit_half, held_scales

SWEEPS = 40
"""Steps of k-means, which end before where nothing moves."""


@dataclass(frozen=True, eq=False)
class SharedRows:
    """Weights as places in a codebook, uint8 [O, K], and the scale of each row.

    codebook: float32, rising. scales: float32 [O, 1]; in_half: such as float16 holds. bits: of a place.
    kept: which weights were not pruned, [O, K].
    """

    places: npt.NDArray[np.uint8]
    codebook: Float32
    scales: Float32
    bits: int
    in_half: bool
    kept: npt.NDArray[np.bool_]

    def changed(self, places: npt.NDArray[Any], scales: npt.NDArray[Any]) -> "SharedRows":
        """Other places and scales with the same codebook."""
        return replace(self, places=places.astype(np.uint8), scales=scales.astype(np.float32))

    def dequantize(self) -> Float32:
        """The reals, float32 [O, K], by formula (18c)."""
        return np.asarray(self.codebook[self.places] * self.scales)


def shared_rows(reals: Float32, storage: Storage, importance: Float64 | None = None) -> SharedRows:
    """Rows [O, K] in the codebook that clusters them, each weight at its nearest level.

    importance: what a column's squared errors weigh, [O, K] or [1, K]; 1 where there is none. Pruned are the
    weights of a row whose squares weigh least.
    """
    wide = reals.astype(np.float64)
    mean = np.square(wide).cumsum(axis=1)[:, -1:] / reals.shape[1]
    reach = np.sqrt(mean).astype(np.float32)
    in_half = fit_half(reach, 1)
    scales = held_scales(reach, in_half)
    times = wide / scales
    weighed = np.broadcast_to(1.0 if importance is None else importance, times.shape)
    kept = _kept(np.square(wide) * weighed, storage.pruned)
    masses = weighed * np.square(scales.astype(np.float64))
    levels = _levels(times[kept], masses[kept], 1 << storage.bits, with_zero=storage.pruned > 0)
    places = np.where(kept, _nearest(levels, times), np.searchsorted(levels, 0.0))
    return SharedRows(places.astype(np.uint8), levels, scales, storage.bits, in_half, kept)


def _kept(cost: Float64, share: float) -> npt.NDArray[np.bool_]:
    """All but such a share of each row, those that cost least; of equal ones, the first are pruned."""
    count = int(cost.shape[1] * share)
    kept = np.ones(cost.shape, np.bool_)
    np.put_along_axis(kept, np.argsort(cost, axis=1, kind="stable")[:, :count], values=False, axis=1)
    return kept


def _levels(times: Float64, masses: Float64, count: int, *, with_zero: bool) -> Float32:
    """So many levels at most, float32, rising: the means of the clusters of some weights, by k-means.

    with_zero: one of them is 0, and stays.
    """
    if not times.size:
        return np.zeros(1, np.float32)
    order = np.argsort(times, kind="stable")
    points, masses = times[order], masses[order]
    # Sums from the left: those of a cluster are differences, the same on every machine.
    mass, moment = (np.concatenate([[0.0], of.cumsum()]) for of in (masses, masses * points))
    levels = np.linspace(points[0], points[-1], count - with_zero)
    if with_zero:
        levels = np.sort(np.append(levels, 0.0))
    for _ in range(SWEEPS):
        bounds = np.searchsorted(points, (levels[1:] + levels[:-1]) / 2, side="right")
        ends = np.concatenate([[0], bounds, [len(points)]])
        own, total = np.diff(mass[ends]), np.diff(moment[ends])
        stays = (own <= 0) | (with_zero & (levels == 0))
        moved = np.where(stays, levels, total / np.where(stays, 1.0, own))
        if np.array_equal(moved, levels):
            break
        levels = np.sort(moved)
    return np.unique(levels.astype(np.float32) + np.float32(0))


def _nearest(levels: Float32, times: Float64) -> npt.NDArray[np.int64]:
    """The place of the nearest level; of two as near, the lower one."""
    wide = levels.astype(np.float64)
    return np.searchsorted((wide[1:] + wide[:-1]) / 2, times, side="left")
