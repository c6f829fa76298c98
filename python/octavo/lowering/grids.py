"""Grids: integers that hit every value of an input, such as pixels after any affine preprocessing.

    q = clamp(rne(x / scales[c] + zeros[c]), low, high)        formula (2a)

The zeros are fractional, and c is the channel. The products that read the integers take in what follows from
that: their weights the scales, their biases what the zeros differ from the integers that padding holds.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import Affine
from octavo.program import DTYPES, Quant
from octavo.program.integers import UINT8

Float64 = npt.NDArray[np.float64]
TakenIn = tuple[tuple[float, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Grid(Affine):
    """`real = scales[c] * (q - zeros[c])`, c the index on `axis`; one of each where there is no axis.

    scale: what a step is to a product, whose weights have taken in the scales of channels: 1 where there is
    an axis. zero_point: of the integers nearest to the zeros, that from which others are the farthest.
    """

    scales: tuple[float, ...] = ()
    zeros: tuple[float, ...] = ()
    axis: int | None = field(default=None, compare=False)

    @property
    def zero_points(self) -> tuple[int, ...]:
        """The integers that padding holds, a channel."""
        return _rounded(self.zeros)

    @property
    def rests(self) -> tuple[float, ...]:
        """What 0 becomes, a channel, before it is rounded."""
        return self.zeros

    @property
    def indices(self) -> tuple[int, ...]:
        """The index on `axis` that each scale is of."""
        return tuple(range(len(self.scales)))

    def quant(self) -> Quant:
        """The same for a value of a Program."""
        return Quant(np.array(self.scales, np.float32), np.array(self.zeros, np.float32), self.axis)

    def integers(self, reals: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Formula (2a), for a grid of one scale."""
        assert self.axis is None, "each channel has a scale of its own"
        with np.errstate(over="ignore", invalid="ignore"):
            place = np.asarray(reals, np.float32) / np.float32(self.scales[0]) + np.float32(self.zeros[0])
        place = np.where(np.isnan(place), np.float32(self.zeros[0]), place)
        return np.asarray(np.clip(np.rint(place), self.of.low, self.of.high).astype(DTYPES[self.of.dtype]))

    def reals(self) -> npt.NDArray[np.float32]:
        """The reals that all integers of the dtype stand for, for a grid of one scale."""
        assert self.axis is None, "each channel has a scale of its own"
        places = self.of.all().astype(np.float32) - np.float32(self.zeros[0])
        return np.float32(self.scales[0]) * places


def grid(scales: npt.NDArray[np.float32], zeros: npt.NDArray[np.float32], axis: int | None) -> Affine:
    """The form of uint8 with these scales and zeros, [1] or [C]; a plain one where that says the same."""
    zero_points = _rounded(tuple(zeros.tolist()))
    farthest = max(zero_points, key=UINT8.reach)
    if axis is None and zeros[0] == farthest:
        return Affine(scales[0], farthest)
    scale = scales[0] if axis is None else np.float32(1)
    return Grid(scale, farthest, UINT8, scales=tuple(scales.tolist()), zeros=tuple(zeros.tolist()), axis=axis)


def weights_taken_in(x: Affine, weight: Float64) -> Float64:
    """Weights [K, C] that have taken in the scales of their input's channels, equal parts of K in order.

    Formula (19a), before it is rounded.
    """
    scales, indices = (np.array(each) for each in taken_in(x))
    if not len(scales):
        return weight
    channels = max(indices) + 1
    parts = weight.reshape(channels, -1, weight.shape[1])[indices]
    return np.asarray((parts * scales[:, None, None]).reshape(-1, weight.shape[1]))


def taken_in(x: Affine) -> TakenIn:
    """The scales of channels that weights take in, and their indices; none where the form has one scale."""
    return (x.scales, x.indices) if isinstance(x, Grid) and x.axis is not None else ((), ())


def shift_of(x: Affine, weight: npt.NDArray[Any]) -> Float64:
    """What integer weights [K, C] make of the difference of padding and zeros: it belongs in the bias, [C].

    The sum of formula (19b), over k of `(z - zero) * w`; products are added in the order of the channels, in
    float64.
    """
    total = np.zeros(weight.shape[1], np.float64)
    if isinstance(x, Grid):
        of_channels = weight.astype(np.int64).reshape(len(x.zeros), -1, weight.shape[1]).sum(axis=1)
        for zero_point, rest, taps in zip(x.zero_points, x.rests, of_channels, strict=True):
            total = total + (zero_point - rest) * taps
    return total


def _rounded(zeros: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(int(zero) for zero in np.rint(np.array(zeros, np.float64)))
