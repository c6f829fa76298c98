"""From the range of a tensor to its scale and zero point.

    min <= 0 <= max           the range is widened to hold 0, so that 0 is exact
    scale = (max - min) / 255 in float64, rounded to float32, at least SCALE_MIN
    zero_point = clamp(rne(-min / scale), 0, 255), in float64

An all-zero tensor has scale 1 and zero point 0.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from octavo.program import Quant

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

    @property
    def width(self) -> float:
        """The length of the range once it holds 0."""
        held = self.with_zero()
        return held.max - held.min


@dataclass(frozen=True)
class Affine:
    """How a tensor of uint8 stands for reals: `real = scale * (q - zero_point)`."""

    scale: np.float32
    zero_point: int

    def quant(self) -> Quant:
        """The same for a value of a Program: one scale a tensor."""
        return Quant(np.array([self.scale], np.float32), np.array([self.zero_point], np.int64))

    def integers(self, reals: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """`clamp(rne(x / scale) + zero_point, 0, 255)` in float32; NaN gives the zero point."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.rint(np.asarray(reals, np.float32) / self.scale)
        # Beyond +-512 the clamp decides, so that the sum with the zero point is exact.
        bounded = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=512.0, neginf=-512.0), -512.0, 512.0)
        return np.asarray(np.clip(bounded + np.float32(self.zero_point), 0, 255).astype(np.uint8))

    def reals(self) -> npt.NDArray[np.float32]:
        """The 256 reals that the integers 0 to 255 stand for, float32 [256]."""
        return self.scale * (np.arange(256) - self.zero_point).astype(np.float32)


def affine(reals: Range) -> Affine:
    """The scale and zero point of a tensor with this range."""
    held = reals.with_zero()
    width = held.max - held.min
    if width == 0.0:
        return Affine(np.float32(1.0), 0)
    scale = max(np.float32(width / 255.0), SCALE_MIN)
    zero_point = int(np.clip(np.rint(-held.min / np.float64(scale)), 0, 255))
    return Affine(scale, zero_point)


SOFTMAX = Affine(np.float32(1.0 / 256.0), 0)
"""Softmax's output, and the sigmoid's: TensorFlow Lite's 8-bit quantization specification, in uint8."""
TANH = Affine(np.float32(1.0 / 128.0), 128)
"""The hyperbolic tangent's output, from the same specification."""
FIXED_OUTPUTS = {"Softmax": SOFTMAX, "Sigmoid": SOFTMAX, "Tanh": TANH}
"""Ops whose output range is known, whatever was observed."""
