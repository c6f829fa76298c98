"""Inputs whose values lie on a grid of at most 256 steps, for each channel or for all: pixels, mostly.

Whatever affine preprocessing did, a step of the grid can then be a step of the integers, and no value is
rounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from octavo.calibration import Feeds, OfInput
from octavo.lowering import Affine, grid
from octavo.program import Program
from octavo.quantization.scales import SCALES

Float64 = npt.NDArray[np.float64]

STEPS = 255
"""Of a grid, at most: uint8 holds one place more."""

FEWEST = 16
"""Different values below which nothing is taken for a grid."""

LOOKED_AT = 1 << 18
"""Elements of a channel that are looked at, evenly spread over all samples, beside the extremes of each."""

_MOST_CHANNELS = 16
_OFF = 1e-3
"""Steps that a value may lie beside its place, because it was rounded to float32."""


@dataclass(frozen=True)
class _Line:
    """The places of one channel: values are `start + step * k` for k in 0..steps."""

    start: float
    step: float
    steps: int


def grids(floats: Program, feeds: Sequence[Feeds]) -> dict[str, Affine]:
    """The form of each input whose values in these samples are on a grid, by name."""
    found = {}
    for name in floats.inputs:
        if floats.values[name].dtype != "f32":
            continue
        form = _of_input(OfInput(name, [sample for sample in feeds if name in sample]))
        if form is not None:
            found[name] = form
    return found


def _of_input(arrays: Sequence[npt.NDArray[np.float32]]) -> Affine | None:
    """One grid for all where there is one, else one for each index of axis 1 or of the last axis."""
    if not arrays:
        return None
    whole = _line(_values(arrays, None, 0))
    if whole is not None:
        return _form([whole], None)
    ranks = {array.ndim for array in arrays}
    rank = ranks.pop()
    for axis in dict.fromkeys((1, rank - 1)) if not ranks and rank >= 3 else ():
        sizes = {array.shape[axis] for array in arrays}
        channels = sizes.pop()
        if sizes or not 1 < channels <= _MOST_CHANNELS:
            continue
        lines: list[_Line] = []
        for channel in range(channels):
            line = _line(_values(arrays, axis, channel))
            if line is None:
                break
            lines.append(line)
        else:
            return _form(lines, axis)
    return None


def _values(arrays: Sequence[npt.NDArray[np.float32]], axis: int | None, channel: int) -> Float64:
    """Different values of a channel, rising: the extremes of every sample, and some of the rest."""
    wanted = max(1, LOOKED_AT // len(arrays))
    seen = []
    for array in arrays:
        values = (array if axis is None else array.take(channel, axis)).reshape(-1)
        if values.size:
            some = values[:: -(-values.size // wanted)].copy()  # a view would hold all of them
            seen += [some, np.array([values.min(), values.max()])]
    return np.unique(np.concatenate(seen)).astype(np.float64) if seen else np.empty(0)


def _line(values: Float64) -> _Line | None:
    """The grid of values, which rise; None where they are on none."""
    if len(values) < FEWEST or not np.isfinite(values[[0, -1]]).all():
        return None
    width = values[-1] - values[0]
    gaps = np.diff(values)
    apart = gaps > width / STEPS / 2  # what is closer is one place, rounded in two ways
    if apart.sum() + 1 < FEWEST:
        return None
    step = gaps[apart].min()
    steps = int(np.rint(width / step))
    if not FEWEST - 1 <= steps <= STEPS:
        return None
    step = width / steps
    places = (values - values[0]) / step
    if np.abs(places - np.rint(places)).max() > _OFF:
        return None
    return _Line(float(values[0]), float(step), steps)


def _form(lines: Sequence[_Line], axis: int | None) -> Affine | None:
    """The integers of 0 to 255 at the places, with some to spare where fewer were seen."""
    pairs = [_usual(lines, channel) or _centred(line) for channel, line in enumerate(lines)]
    scales, zeros = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    whole = np.abs(zeros - np.rint(zeros)) < _OFF
    zeros = np.where(whole, np.rint(zeros), zeros)
    if ((zeros < 0) | (zeros > STEPS)).any():
        return None
    return grid(scales.astype(np.float32), zeros.astype(np.float32), axis)


def _usual(lines: Sequence[_Line], channel: int) -> tuple[float, float] | None:
    """Scale and zero of pixels of 0 to 255 in a usual scale that has these places, for all channels alike."""
    for scale in SCALES:
        blacks, whites = (end * len(lines) if len(end) == 1 else end for end in (scale.black, scale.white))
        if len(blacks) != len(lines):
            continue
        if all(map(_is_of, lines, blacks, whites)):
            step = (whites[channel] - blacks[channel]) / STEPS
            return step, -blacks[channel] / step
    return None


def _is_of(line: _Line, black: float, white: float) -> bool:
    """Whether the places are among those from black to white."""
    step = (white - black) / STEPS
    first = (line.start - black) / step
    last = (line.start + line.steps * line.step - black) / step
    is_placed = all(abs(place - round(place)) < 10 * _OFF for place in (first, last))
    return is_placed and round(last) - round(first) == line.steps and first > -0.5 and last < STEPS + 0.5


def _centred(line: _Line) -> tuple[float, float]:
    """Scale and zero with as much to spare below what was seen as above, but with 0 among the integers.

    A step is cut into as many parts as there are integers for: what lies between the places in use, because
    the samples showed a few levels only, is then held as finely as can be.
    """
    with_zero = max(line.start + line.steps * line.step, 0.0) - min(line.start, 0.0)
    parts = max(1, int((STEPS + _OFF) * line.step // with_zero))
    step, steps = line.step / parts, line.steps * parts
    zero = -line.start / step
    spare = STEPS - steps
    least, most = max(0, np.ceil(-zero)), min(spare, np.floor(STEPS - zero))
    return step, zero + min(max(spare // 2, least), most)
