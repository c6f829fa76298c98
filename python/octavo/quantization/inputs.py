"""What is doubtful about calibration data, as far as the model itself tells without labels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from octavo.calibration import Calibration, Feeds
from octavo.errors import Error
from octavo.program import Program
from octavo.quantization.preprocessing import unlike_training

FEWEST = 10
"""Samples below which values that occur in use are likely to be missed."""

DOUBT_NEEDS = ("counts", "extremes")
"""The statistics of the calibration that doubts are drawn from."""

_MOST, _MEMORY = 64, 1 << 25


@dataclass
class Kept:
    """Copies of some samples, evenly spread over all that pass by: 64 or 32 MB of them at most."""

    feeds: list[Feeds] = field(default_factory=list)
    _seen: int = 0
    _stride: int = 1

    def watch(self, feeds: Iterable[Feeds]) -> Iterator[Feeds]:
        """The samples as they come."""
        for sample in feeds:
            if self._seen % self._stride == 0:
                self.feeds.append({name: array.copy() for name, array in sample.items()})
                size = sum(array.nbytes for array in sample.values())
                if len(self.feeds) > max(2, min(_MOST, _MEMORY // max(1, size))):
                    self.feeds = self.feeds[::2]
                    self._stride *= 2
            self._seen += 1
            yield sample


def doubts(floats: Program, calibration: Calibration, kept: Kept, threads: int | None) -> list[str]:
    """What is doubtful about the data that a float Program was calibrated with, one sentence each."""
    few, constant = _few(floats, calibration.samples), _constant(floats, calibration, kept)
    if constant:
        return few + constant
    try:
        return few + unlike_training(floats, kept.feeds, threads)
    except (Error, MemoryError):  # what only looks at the model must not keep it from being quantized
        return few


def _few(floats: Program, samples: int) -> list[str]:
    shapes = [floats.values[name].shape for name in floats.inputs]
    batch = max((shape[0] for shape in shapes if shape and isinstance(shape[0], int)), default=1)
    if samples * max(1, batch) >= FEWEST:
        return []
    counted = "one sample" if samples == 1 else f"{samples} samples"
    return [f"{counted} only: ranges miss what they do not show; give a hundred or so that differ"]


def _constant(floats: Program, calibration: Calibration, kept: Kept) -> list[str]:
    """Inputs of several elements that hold one value throughout, or samples that are all the same."""
    found = []
    for name in floats.inputs:
        if name not in calibration.names:
            continue
        counts, extremes = (calibration.statistics.read(name, need) for need in DOUBT_NEEDS)
        least, greatest = extremes.get("minimum"), extremes.get("maximum")
        if least is None or least != greatest or counts["elements"] <= calibration.samples:
            continue
        found.append(f"input '{name}' is {least:g} throughout: give typical values")
    if not found and _same(kept):
        found.append("the samples are all the same: give a hundred or so that differ")
    return found


def _same(kept: Kept) -> bool:
    first = kept.feeds[0]
    return len(kept.feeds) > 1 and all(
        array.tobytes() == first[name].tobytes() for feeds in kept.feeds[1:] for name, array in feeds.items()
    )
