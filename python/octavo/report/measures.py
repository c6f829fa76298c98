"""What is added up over the samples: of a layer's own error, of the network's error there, of its answers.

All sums are in float64, in the order of the elements, so that they are the same on every machine.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering import Range
from octavo.program import Value
from octavo.report.matching import Shares, bounds, ends, held, reals

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

MOST_DECIBELS = 300.0
"""What a ratio without an error is shown as."""

BINS = 64
"""Bins of a histogram: the middle half of them is the range that the integers hold."""


def total(array: Array) -> Float64:
    """Sums along the last axis, added from the first element to the last."""
    if array.shape[-1] == 0:
        return np.zeros(array.shape[:-1], np.float64)
    return np.asarray(np.cumsum(array, axis=-1, dtype=np.float64)[..., -1])


def decibels(signal: float, noise: float) -> float:
    """`10 log10(signal / noise)`, within 300 either way."""
    if noise <= 0.0:
        return MOST_DECIBELS
    ratio = signal / noise
    return max(-MOST_DECIBELS, min(MOST_DECIBELS, 10 * math.log10(ratio))) if ratio > 0 else -MOST_DECIBELS


@dataclass
class Ratio:
    """Signal and noise, sums of squares over the elements of which both sides are finite."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, wanted: Array, found: Array) -> None:
        """Take in more elements, of the same shapes."""
        one, other = (array.astype(np.float64).ravel() for array in (wanted, found))
        finite = np.isfinite(one) & np.isfinite(other)
        one, other = np.where(finite, one, 0.0), np.where(finite, other, 0.0)
        self.signal += float(total(one * one))
        self.noise += float(total((other - one) ** 2))

    @property
    def share(self) -> float:
        """The noise as a share of the signal."""
        return self.noise / self.signal if self.signal > 0 else (1.0 if self.noise > 0 else 0.0)

    @property
    def sqnr(self) -> float:
        """The same in dB."""
        return decibels(self.signal, self.noise)


@dataclass
class Own:
    """What a layer errs by itself: what it gives beside what the float layer gives, from the same inputs.

    value: its output in the quantized network. clipping, rounding, computing: the noise that a form which
    clips, its steps, and everything else (weights, biases, tables) give. counted, clipped: elements, and
    those beyond what the integers hold. Of the channels: signal, noise, the sum of the errors, the least and
    the greatest. histogram: of the float layer's elements, from half a range below what the integers hold to
    half above.
    """

    value: Value
    ratio: Ratio = field(default_factory=Ratio)
    clipping: float = 0.0
    rounding: float = 0.0
    computing: float = 0.0
    product: float = 0.0
    counted: int = 0
    clipped: int = 0
    elements: Float64 = field(default_factory=lambda: np.zeros(0))
    signals: Float64 = field(default_factory=lambda: np.zeros(0))
    sums: Float64 = field(default_factory=lambda: np.zeros(0))
    noises: Float64 = field(default_factory=lambda: np.zeros(0))
    errors: Float64 = field(default_factory=lambda: np.zeros(0))
    least: Float64 = field(default_factory=lambda: np.zeros(0))
    greatest: Float64 = field(default_factory=lambda: np.zeros(0))
    histogram: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, wanted: Array, found: Array) -> None:
        """Take in a sample's elements: float results, and those that the layer gives."""
        wanted, found = wanted.astype(np.float32), found.astype(np.float32)
        finite = np.isfinite(wanted) & np.isfinite(found)
        wanted, found = np.where(finite, wanted, 0), np.where(finite, found, 0)
        nearest = reals(self.value, held(self.value, wanted))
        one, other, best = (_by_channel(array) for array in (wanted, found, nearest))
        error, rounded = other - one, best - one
        outside = self._outside(wanted)
        squares = rounded * rounded
        self.clipping += float(total(total(np.where(outside, squares, 0.0))))
        self.rounding += float(total(total(np.where(outside, 0.0, squares))))
        self.computing += float(total(total((other - best) ** 2)))
        self.product += float(total(total(one * other)))
        self.counted += wanted.size
        self.clipped += int(outside.sum())
        self._add_channels(one, error)
        self._add_histogram(one)

    @property
    def low(self) -> float:
        """The least real that the integers hold; -inf of floats."""
        return self._ends()[0]

    @property
    def high(self) -> float:
        """The greatest."""
        return self._ends()[1]

    @property
    def seen(self) -> Range:
        """From the least to the greatest of the float layer's elements."""
        return Range(float(self.least.min(initial=0.0)), float(self.greatest.max(initial=0.0)))

    @property
    def gain(self) -> float:
        """The factor by which what it gives is larger than it should be, by least squares."""
        return self.product / self.ratio.signal if self.ratio.signal > 0 else 1.0

    @property
    def shift(self) -> float:
        """The share of the noise that the channels' mean errors are."""
        means = float(total(self.errors**2 / np.maximum(self.elements, 1)))
        return means / self.ratio.noise if self.ratio.noise > 0 else 0.0

    @property
    def shares(self) -> tuple[float, float, float]:
        """Clipping, rounding and computing as shares of their sum."""
        parts = (self.clipping, self.rounding, self.computing)
        whole = sum(parts)
        return tuple(part / whole if whole > 0 else 0.0 for part in parts)  # type: ignore[return-value]  # three

    @property
    def channel_sqnrs(self) -> list[float]:
        """The ratio of each channel, in dB."""
        pairs = zip(self.signals.tolist(), self.noises.tolist(), strict=True)
        return [decibels(signal, noise) for signal, noise in pairs]

    def _ends(self) -> tuple[float, float]:
        if self.value.quant is None:
            return -math.inf, math.inf
        least, greatest = ends(self.value)
        return float(least.min()), float(greatest.max())

    def _outside(self, wanted: Array) -> Array:
        """Which elements are beyond what the integers hold by more than half a step, by channels."""
        quant = self.value.quant
        if quant is None:
            return np.zeros_like(_by_channel(wanted), np.bool_)
        shape = [1] * wanted.ndim
        if quant.axis is not None:
            shape[quant.axis] = -1
        if isinstance(quant, Shares):
            (least, greatest), half = ends(self.value), quant.scale.max() / 2
            return _by_channel((wanted < least - half) | (wanted > greatest + half)).astype(np.bool_)
        scale, zero_point = (
            part.astype(np.float64).reshape(shape) for part in (quant.scale, quant.zero_point)
        )
        low, high = bounds(self.value)
        place = wanted / scale + zero_point
        return _by_channel((place < low - 0.5) | (place > high + 0.5)).astype(np.bool_)

    def _add_channels(self, one: Float64, error: Float64) -> None:
        count = np.float64(one.shape[-1])
        found = (np.full(len(one), count), total(one * one), total(one), total(error * error), total(error))
        self.ratio.signal += float(total(found[1]))
        self.ratio.noise += float(total(found[3]))
        held = (self.elements, self.signals, self.sums, self.noises, self.errors)
        self.elements, self.signals, self.sums, self.noises, self.errors = (
            _joined(before, more) for before, more in zip(held, found, strict=True)
        )
        if one.shape[-1]:
            self.least = _joined(self.least, one.min(-1), np.minimum)
            self.greatest = _joined(self.greatest, one.max(-1), np.maximum)

    def _add_histogram(self, one: Float64) -> None:
        low, high = self.low, self.high
        if not (math.isfinite(low) and high > low):
            return
        place = np.floor((one.ravel() - low) / (high - low) * (BINS // 2) + BINS // 4)
        self.histogram += np.bincount(np.clip(place, 0, BINS - 1).astype(np.int64), minlength=BINS)


@dataclass
class Answers:
    """How one output's answers agree. Classes lie on the last axis of a float output.

    hits: by (side, k) how many labels are among the k highest of the first (0) or the second model.
    """

    ratio: Ratio = field(default_factory=Ratio)
    product: float = 0.0
    second: float = 0.0
    compared: int = 0
    agreed: int = 0
    labelled: int = 0
    hits: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, one: Array, other: Array, labels: Array | None) -> None:
        """Take in a sample's answers of both models. Other shapes are answers that do not agree."""
        if one.shape != other.shape:
            self.compared += 1
            return
        is_float = one.dtype.kind == "f"
        if is_float:
            self.ratio.add(one, other)
            a, b = (
                np.nan_to_num(array.astype(np.float64).ravel(), posinf=0, neginf=0) for array in (one, other)
            )
            self.product += float(total(a * b))
            self.second += float(total(b * b))
        if is_float and one.ndim and one.shape[-1] > 1:
            best = [array.argmax(-1).ravel() for array in (one, other)]
            self.compared += len(best[0])
            self.agreed += int((best[0] == best[1]).sum())
            if labels is not None:
                self._count_hits((one, other), labels)
        elif not is_float:
            self.compared += one.size
            self.agreed += int((one == other).sum())

    @property
    def cosine(self) -> float | None:
        """The cosine of the angle between the answers; None where there is none."""
        size = math.sqrt(self.ratio.signal) * math.sqrt(self.second)
        return self.product / size if size > 0 else None

    @property
    def agreement(self) -> float | None:
        """The share of answers that are the same: the class of a float output, else the elements."""
        return self.agreed / self.compared if self.compared else None

    def top(self, k: int) -> tuple[float, float] | None:
        """The shares of labels among the k highest of each model's answers; None without labels."""
        if not self.labelled:
            return None
        return self.hits[0, k] / self.labelled, self.hits[1, k] / self.labelled

    def _count_hits(self, answers: tuple[Array, Array], labels: Array) -> None:
        rows = [array.reshape(-1, array.shape[-1]) for array in answers]
        if len(rows[0]) != len(labels):
            return
        self.labelled += len(labels)
        for side, row in enumerate(rows):
            order = np.argsort(-row, axis=-1, kind="stable")
            for k in (1, 5):
                hit = (order[:, :k] == labels[:, None]).any(-1).sum()
                self.hits[side, k] = self.hits.get((side, k), 0) + int(hit)


def _by_channel(array: Array) -> Float64:
    """An array as [channels, others]: images by axis 1, rows by the last axis, a vector as one channel."""
    if array.ndim < 2:
        return array.astype(np.float64).reshape(1, -1)
    axis = 1 if array.ndim > 3 else array.ndim - 1
    return np.moveaxis(array, axis, 0).astype(np.float64).reshape(array.shape[axis], -1)


def _joined(before: Float64, more: Float64, join: np.ufunc = np.add) -> Float64:
    """What is known of each channel taken together; where their number varies, of all channels as one."""
    if not len(before):
        return more
    if len(before) != len(more):
        before, more = (np.asarray(join.reduce(part, keepdims=True)) for part in (before, more))
    return np.asarray(join(before, more))
