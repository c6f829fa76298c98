"""Range rules that search: for the ends that lose least by some measure, over a histogram of what was seen.

Sums are taken one element after the other, and of functions only our own: the same range on every machine.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from octavo.calibration.seen import Seen
from octavo.lowering.affine import Range
from octavo.program.integers import UINT8
from octavo.reference.functions import log

Float64 = npt.NDArray[np.float64]

_POINTS = 5
"""Elements of a bin are taken to lie at so many points, spread evenly."""

_SHRUNK = [1 - step / 40 for step in range(33)]
"""Shares of the whole range that are tried for both ends together, 1 to 0.2..."""
_MOVED = [0.7 + step / 20 for step in range(13)]
"""... and factors of one end by itself after that, 0.7 to 1.3, twice for each."""

_BINS, _STEP = 2048, 16
"""Bins of equal width that magnitudes are counted in, and by how many of them thresholds differ."""


def least_squared_error(seen: Seen) -> Range:
    """The range whose uint8 integers are nearest to what was seen, by the mean of the squared distances.

    Both ends are drawn in together first, and then each alone, never beyond the extremes.
    """
    least, greatest = seen["extremes"]["minimum"], seen["extremes"]["maximum"]
    whole = Range(least, greatest).with_zero()
    points, counts = _points(seen)

    def error(low: float, high: float) -> float:
        step = (high - low) / UINT8.steps
        if not step > 0:
            return np.inf
        zero = np.clip(np.rint(-low / step), UINT8.low, UINT8.high)
        held = step * (np.clip(np.rint(points / step) + zero, UINT8.low, UINT8.high) - zero)
        return _sum(counts * np.square(held - points))

    _, low, high = min((error(whole.min * f, whole.max * f), whole.min * f, whole.max * f) for f in _SHRUNK)
    for _ in range(2):
        lows = [max(whole.min, low * factor) for factor in _MOVED]
        low = min((low, *lows), key=lambda end: error(end, high))
        highs = [min(whole.max, high * factor) for factor in _MOVED]
        high = min((high, *highs), key=lambda end: error(low, end))
    return Range(low if least < 0 else min(least, high), high if greatest > 0 else max(greatest, low))


def least_divergence(seen: Seen) -> Range:
    """The range within the threshold of the magnitudes that keeps the distribution best.

    By the Kullback-Leibler divergence of the histogram that is cut off at the threshold from the same in as
    many levels as there are integers (Migacz, 2017, "8-bit inference with TensorRT"). What lies near 0, in
    the first of the bins, is left out of account.
    """
    least, greatest = seen["extremes"]["minimum"], seen["extremes"]["maximum"]
    largest = max(-least, greatest)
    if largest == 0.0:
        return Range(least, greatest)
    levels = UINT8.count if least >= 0 or greatest <= 0 else UINT8.count // 2
    bins = np.diff(_below(seen, largest * (np.arange(_BINS + 1) / _BINS)))
    bins[0] = 0.0
    threshold = min(_divergences(bins, levels), default=(0.0, _BINS))[1] * largest / _BINS
    return Range(max(least, -threshold), min(greatest, threshold))


def _divergences(bins: Float64, levels: int) -> Iterator[tuple[float, int]]:
    """Of each number of bins that a threshold can keep, the divergence, and the number."""
    if not bins.any():
        return
    for kept in range(_BINS, levels - 1, -_STEP):
        inside = bins[:kept]
        if not inside.any():
            return
        cut = inside.copy()
        cut[-1] += _sum(bins[kept:])
        level = np.arange(kept) * levels // kept
        filled = inside > 0
        totals, numbers = (np.bincount(level, weights, levels) for weights in (inside, filled))
        spread = np.where(filled, (totals / np.maximum(numbers, 1))[level], 0.0)
        yield _divergence(cut / _sum(cut), spread / _sum(spread)), kept


def _divergence(p: Float64, q: Float64) -> float:
    there = p > 0
    ratio = p[there] / np.maximum(q[there], 1e-9)
    return _sum(p[there] * log(ratio.astype(np.float32)).astype(np.float64))


def _bins(seen: Seen) -> tuple[Float64, Float64, Float64]:
    """Both ends of each bin, within the extremes, and the elements in it."""
    extremes, histogram = seen["extremes"], seen["histogram"]
    ends = (
        np.clip(np.array(histogram[name], np.float64), extremes["minimum"], extremes["maximum"])
        for name in ("low", "high")
    )
    low, high = ends
    return low, high, np.array(histogram["count"], np.float64)


def _points(seen: Seen) -> tuple[Float64, Float64]:
    """Where elements are taken to lie, and how many at each point."""
    low, high, counts = _bins(seen)
    shares = (np.arange(_POINTS) + 0.5) / _POINTS
    points = low[:, None] + (high - low)[:, None] * shares
    return points.ravel(), np.repeat(counts / _POINTS, _POINTS)


def _below(seen: Seen, magnitudes: Float64) -> Float64:
    """How many elements have at most each of these magnitudes, spread evenly over their bins."""
    low, high, counts = _bins(seen)
    negative = high <= 0
    positive = ~negative
    return _reached(low[positive], high[positive], counts[positive], magnitudes) + _reached(
        -high[negative][::-1], -low[negative][::-1], counts[negative][::-1], magnitudes
    )


def _reached(near: Float64, far: Float64, counts: Float64, magnitudes: Float64) -> Float64:
    """The same, of bins from 0 on."""
    if not len(counts):
        return np.zeros(len(magnitudes))
    at = np.minimum(np.searchsorted(far, magnitudes), len(counts) - 1)
    width = (far - near)[at]
    share = (magnitudes - near[at]) / np.where(width > 0, width, 1.0)
    inside = np.where(width > 0, np.clip(share, 0.0, 1.0), magnitudes >= far[at])
    return np.asarray((np.cumsum(counts) - counts)[at] + counts[at] * inside)


def _sum(terms: Float64) -> float:
    """One after the other: numpy's own sum has an order that depends on the machine."""
    return float(np.cumsum(terms)[-1]) if len(terms) else 0.0
