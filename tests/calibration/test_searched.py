"""Range rules that search: against searches written down plainly, and what they are for."""

import itertools
import math

import numpy as np
import pytest
from octavo.calibration import RULES, ranges
from octavo.calibration.searched import least_divergence, least_squared_error
from octavo.lowering.affine import Range

NEEDS = ("extremes", "histogram")


def read(seen, samples):
    kept = seen(samples, *NEEDS)
    return {need: kept.read("x", need) for need in NEEDS}


def squared_error(elements, low, high):
    """The mean squared distance of the elements from their uint8 integers, each by itself."""
    step = (high - low) / 255
    zero = round(-low / step)
    held = [step * (min(max(round(x / step) + zero, 0), 255) - zero) for x in elements]
    return math.fsum((a - b) ** 2 for a, b in zip(held, elements, strict=True)) / len(elements)


@pytest.mark.parametrize("kind", ["normal", "tails", "relu", "far from 0"])
def test_no_range_near_by_has_a_clearly_smaller_squared_error(seen, kind):
    rng = np.random.default_rng(3)
    elements = rng.normal(size=4000)
    if kind == "tails":
        elements = elements**5
    if kind == "relu":
        elements = np.maximum(rng.laplace(size=4000), 0)
    if kind == "far from 0":
        elements += 20
    elements = elements.astype(np.float32).astype(float)
    found = least_squared_error(read(seen, [elements]))
    least = squared_error(elements.tolist(), min(found.min, 0), found.max)
    whole = Range(elements.min(), elements.max()).with_zero()
    assert elements.min() <= found.min <= found.max <= elements.max()
    assert least <= 1.02 * squared_error(elements.tolist(), whole.min, whole.max)
    for low, high in ((0.9, 1.0), (1.1, 1.0), (1.0, 0.9), (1.0, 1.1), (0.8, 0.8), (1.2, 1.2)):
        ends = max(whole.min, min(found.min, 0) * low), min(whole.max, found.max * high)
        assert least <= 1.05 * squared_error(elements.tolist(), *ends)


def test_what_is_rare_enough_is_clipped():
    """One element in a billion is 100 times as large as the rest: finer steps are worth more."""
    edges = [0.5 + at / 128 for at in range(65)]
    for sign in (1, -1):
        for rare, clipped in ((1, True), (10**9, False)):
            bins = [(sign * a, sign * b, 10**9 // 64) for a, b in itertools.pairwise(edges)]
            bins = sorted((min(a, b), max(a, b), n) for a, b, n in [*bins, (sign * 99.0, sign * 100.0, rare)])
            ends = sorted([sign * 0.5, sign * 100.0])
            seen = {
                "extremes": {"minimum": ends[0], "maximum": ends[1]},
                "histogram": dict(zip(("low", "high", "count"), zip(*bins, strict=True), strict=True)),
            }
            found = least_squared_error(seen)
            reach = max(-found.min, found.max)
            assert 1 <= reach <= 26 if clipped else reach > 98


def divergence(inside, outside, levels):
    """Of a histogram that is cut off, from itself in so many levels."""
    kept = len(inside)
    p = [*inside[:-1], inside[-1] + outside]
    q = [0.0] * kept
    for level in range(levels):
        members = [at for at in range(kept) if at * levels // kept == level and inside[at] > 0]
        for at in members:
            q[at] = sum(inside[member] for member in members) / len(members)
    whole_p, whole_q = math.fsum(p), math.fsum(q)
    return sum(
        a / whole_p * math.log(a / whole_p / max(b / whole_q, 1e-9))
        for a, b in zip(p, q, strict=True)
        if a > 0
    )


@pytest.mark.parametrize(("kind", "levels"), [("normal", 128), ("outliers", 128), ("relu", 256)])
def test_the_threshold_has_the_least_divergence(seen, kind, levels):
    rng = np.random.default_rng(5)
    elements = rng.normal(size=3000)
    if kind == "outliers":
        elements[:3] = [30.0, -40.0, 35.0]
    if kind == "relu":
        elements = np.abs(elements)
    told = read(seen, [elements.astype(np.float32)])
    found = least_divergence(told)
    least, greatest = told["extremes"]["minimum"], told["extremes"]["maximum"]
    largest = max(-least, greatest)
    # The same elements, spread over the histogram's bins one bin at a time.
    bins = [0.0] * 2048
    for low, high, count in zip(*(told["histogram"][name] for name in ("low", "high", "count")), strict=True):
        near, far = sorted((abs(min(max(low, least), greatest)), abs(min(max(high, least), greatest))))
        for at in range(2048):
            begin, end = at * largest / 2048, (at + 1) * largest / 2048
            if far > near:
                bins[at] += count * max(0.0, min(far, end) - max(near, begin)) / (far - near)
            elif begin < far <= end or (at == 0 and far == 0):
                bins[at] += count
    bins[0] = 0.0
    by_kept = {
        kept: divergence(bins[:kept], math.fsum(bins[kept:]), levels) for kept in range(2048, levels - 1, -16)
    }
    threshold = max(-found.min, found.max)
    kept = round(threshold / largest * 2048)
    assert by_kept[kept] <= min(by_kept.values()) + 1e-5
    assert (found.min, found.max) == (max(least, -threshold), min(greatest, threshold))
    if kind == "outliers":
        assert threshold < 10


@pytest.mark.parametrize("name", ["mse", "entropy"])
@pytest.mark.parametrize(
    "elements",
    [[0.0] * 5, [3.0], [-3.0] * 4, [1e-45], [3e38, -3e38], [0.0, 1e-30], list(range(300)), [-1.0, 2.0]],
)
def test_a_range_lies_within_the_extremes(seen, name, elements):
    found = ranges(seen([elements], *NEEDS), RULES[name])["x"]
    held = np.array(elements, np.float32).astype(float)
    whole = Range(held.min(), held.max()).with_zero()
    assert whole.min <= found.min <= found.max <= whole.max


@pytest.mark.parametrize("name", ["mse", "entropy"])
def test_the_order_of_samples_does_not_show(seen, name):
    samples = np.random.default_rng(1).normal(size=(6, 50)).astype(np.float32)
    one, other = (ranges(seen(part, *NEEDS), RULES[name])["x"] for part in (samples, samples[::-1]))
    assert (one.min, one.max) == (other.min, other.max)
