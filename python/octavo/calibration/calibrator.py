"""Run a model over calibration data, one sample after the other, and keep statistics of its values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy.typing as npt

from octavo._core import Statistics
from octavo.calibration.kept import Kept
from octavo.calibration.sources import Feeds

Progress = Callable[[int], None]
"""Called after each sample with the number of samples so far."""


class Observing(Protocol):
    """A session, as far as calibration needs one."""

    def observe(self, feeds: Mapping[str, npt.NDArray[Any]], statistics: Statistics) -> None:
        """Run once, and add what the values held that the statistics are of, as one sample."""


@dataclass(frozen=True)
class Calibration:
    """What is kept of the samples that a model was run over.

    names: of the values that were observed, in the order asked for. halves: the statistics of the samples in
    two halves, by their contents. kept: some of the samples. samples: how many ran.
    """

    names: tuple[str, ...]
    halves: tuple[Statistics, Statistics]
    kept: Kept
    samples: int

    @cached_property
    def statistics(self) -> Statistics:
        """Those of all samples."""
        merged = Statistics(self.names, self.halves[0].statistics)
        for half in self.halves:
            merged.merge(half)
        return merged


def calibrate(
    session: Observing,
    samples: Iterable[Feeds],
    names: Iterable[str],
    needs: Iterable[str],
    progress: Progress | None = None,
) -> Calibration:
    """Keep the statistics `needs` of the values `names` over all samples, of which one is held at a time."""
    names, needs = tuple(names), tuple(needs)
    halves, kept = (Statistics(names, needs), Statistics(names, needs)), Kept()
    for count, (feeds, half) in enumerate(kept.watch(samples), 1):
        session.observe(feeds, halves[half])
        if progress is not None:
            progress(count)
    return Calibration(names, halves, kept, kept.seen)
