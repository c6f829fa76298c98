"""The usual scales of pixels, and telling them from what a model is fed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[Any]


@dataclass(frozen=True)
class Scale:
    """What black and white become, by channel or for all. options: of the command line, for the same."""

    name: str
    options: str
    black: tuple[float, ...]
    white: tuple[float, ...]

    def fits(self, picture: Pictures) -> bool:
        """Whether the picture has as many channels as the scale needs."""
        return len(self.black) in (1, picture.shape[channel_axis(picture)])

    def to_pixels(self, picture: Pictures) -> npt.NDArray[np.float32]:
        """Pixels of 0 to 1."""
        black, white = self._ends(picture)
        pixels: npt.NDArray[np.float32] = (picture - black) / (white - black)
        return pixels

    def from_pixels(self, pixels: Pictures) -> npt.NDArray[np.float32]:
        """Pixels of 0 to 1 in this scale."""
        black, white = self._ends(pixels)
        return np.ascontiguousarray(black + pixels * (white - black), np.float32)

    def _ends(self, picture: Pictures) -> tuple[Pictures, Pictures]:
        shape = [1] * picture.ndim
        shape[channel_axis(picture)] = len(self.black)
        return np.array(self.black, np.float32).reshape(shape), np.array(self.white, np.float32).reshape(
            shape
        )


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

SCALES = (
    Scale("pixel / 255", "--range 0..1", (0.0,), (1.0,)),
    Scale("pixel / 127.5 - 1", "--range -1..1", (-1.0,), (1.0,)),
    Scale("raw pixels of 0 to 255", "--range 0..255", (0.0,), (255.0,)),
    Scale(
        "(pixel / 255 - mean) / std of ImageNet",
        "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
        tuple(-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)),
        tuple((1 - mean) / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)),
    ),
)


def channel_axis(picture: Pictures) -> int:
    """The axis that has 1 or 3, of a picture with a batch axis: the second or the last."""
    return 1 if picture.shape[1] in (1, 3) else 3


def is_picture(array: Pictures) -> bool:
    """Whether an array has the shape of pictures: a batch, 1 or 3 channels, and 16 pixels or more a side."""
    if array.ndim != 4 or array.dtype != np.float32:
        return False
    sides = sorted(size for axis, size in enumerate(array.shape) if axis and axis != channel_axis(array))
    return array.shape[channel_axis(array)] in (1, 3) and sides[0] >= 16


def scale_of(pictures: Sequence[Pictures]) -> Scale | None:
    """The scale whose range these pictures fill and do not leave; None where there is none."""
    for scale in SCALES:
        if not scale.fits(pictures[0]):
            continue
        lows, highs = zip(*((p.min(), p.max()) for p in map(scale.to_pixels, pictures)), strict=True)
        if min(lows) >= -0.01 and max(highs) <= 1.01 and max(highs) - min(lows) >= 0.9:
            return scale
    return None
