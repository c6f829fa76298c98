"""From the range of a tensor to its scale and zero point.

    min <= 0 <= max           the range is widened to hold 0, so that 0 is exact
    scale = (max - min) / (high - low) in float64, rounded to float32, at least SCALE_MIN
    zero_point = clamp(rne(low - min / scale), low, high), in float64

Integers that are symmetric have `scale = max(-min, max) / high` and the zero point 0. An all-zero tensor has
scale 1 and the zero point that is nearest to 0.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.program import DTYPES, Quant
from octavo.program.integers import INT16, UINT8, Integers

SCALE_MIN = np.float32(2.0**-126)
"""The smallest scale: the smallest normal float32, so that no machine's handling of subnormals matters."""


@dataclass(frozen=True)
class Range:
    """The reals that a tensor takes: `min <= max`, both finite."""

    min: float
    max: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.min) and np.isfinite(self.max) and self.min <= self.max):
            raise ValueError(f"not a range: {self.min} to {self.max}")

    def with_zero(self) -> "Range":
        """The least range that holds this one and 0."""
        return Range(min(self.min, 0.0), max(self.max, 0.0))

    def union(self, other: "Range") -> "Range":
        """The least range that holds both."""
        return Range(min(self.min, other.min), max(self.max, other.max))

    def symmetric(self) -> "Range":
        """The least one around this one in which int8 would have no zero point, and uint8 has 128.

        From -128 steps to 127, of which the range takes 127 to either side at most.
        """
        reach = max(-self.min, self.max, 0.0)
        return Range(-reach * (128 / 127), reach)

    @property
    def width(self) -> float:
        """The length of the range once it holds 0."""
        held = self.with_zero()
        return held.max - held.min


@dataclass(frozen=True)
class Affine:
    """How a tensor of integers stands for reals: `real = scale * (q - zero_point)`.

    channels: a scale for each index of axis 1, where only depthwise convolutions read the tensor; `scale` is
    the greatest of them then, so that a bound which is beyond all integers at it is so in every channel.
    """

    scale: np.float32
    zero_point: int
    of: Integers = UINT8
    channels: tuple[np.float32, ...] | None = None

    def quant(self) -> Quant:
        """The same for a value of a Program."""
        scales = self.channel_scales.astype(np.float32)
        zero_points = np.full(len(scales), self.zero_point, np.int64)
        return Quant(scales, zero_points, None if self.channels is None else 1)

    @property
    def channel_scales(self) -> npt.NDArray[np.float64]:
        """The scale of each channel, or the one of all: [C] or [1]."""
        return np.array([self.scale] if self.channels is None else self.channels, np.float64)

    def integers(self, reals: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """`clamp(rne(x / scale) + zero_point, low, high)` in float32; NaN gives the zero point."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.rint(np.asarray(reals, np.float32) / self.scale)
        # Beyond twice the integers that there are the clamp decides: the sum with the zero point is exact.
        end = 2.0 * self.of.count
        bounded = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=end, neginf=-end), -end, end)
        shifted = bounded + np.float32(self.zero_point)
        return np.asarray(np.clip(shifted, self.of.low, self.of.high).astype(DTYPES[self.of.dtype]))

    def widened(self) -> "Affine":
        """The form in int16 of the same reals, each of them exactly."""
        return replace(self, zero_point=0, of=INT16)

    def reals(self) -> npt.NDArray[np.float32]:
        """The reals that all integers of the dtype stand for, float32 [count]."""
        return self.scale * (self.of.all().astype(np.int64) - self.zero_point).astype(np.float32)


def affine(reals: Range, of: Integers = UINT8) -> Affine:
    """The scale and zero point of a tensor with this range, in these integers: formulas (16) and (17)."""
    held = reals.with_zero()
    if of.symmetric:
        width, steps = max(-held.min, held.max), of.high
    else:
        width, steps = held.max - held.min, of.steps
    if width == 0.0:
        return Affine(np.float32(1.0), max(of.low, 0), of)
    scale = max(np.float32(width / np.float64(steps)), SCALE_MIN)
    if of.symmetric:
        return Affine(scale, 0, of)
    zero_point = int(np.clip(np.rint(of.low - held.min / np.float64(scale)), of.low, of.high))
    return Affine(scale, zero_point, of)


PROBABILITY = np.float32(1.0 / 256.0)
"""The step of a Softmax's result that QSoftmax has, and that no other exceeds."""


def fixed_output(op: str, of: Integers) -> Affine | None:
    """What an op's output is held in whatever was observed, where its range is known."""
    return _FIXED_OUTPUTS.get(of, {}).get(op)


_SHARE = Affine(PROBABILITY, 0)
_SHARE_OF_16_BITS = Affine(np.float32(1.0 / 32768.0), 0, INT16)
_FIXED_OUTPUTS = {
    UINT8: {"Softmax": _SHARE, "Sigmoid": _SHARE, "Tanh": Affine(np.float32(1.0 / 128.0), 128)},
    INT16: dict.fromkeys(("Softmax", "Sigmoid", "Tanh"), _SHARE_OF_16_BITS),
}
"""By TensorFlow Lite's quantization specification, its int8 as uint8."""
