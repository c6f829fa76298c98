"""What is kept of the samples that a model runs over: statistics of its values, and some of the samples."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy.typing as npt

from octavo._core import Statistics
from octavo.calibration.forms import Feeds
from octavo.calibration.kept import MOST, Kept
from octavo.calibration.samplewise import each

Progress = Callable[[int], None]
"""Called after each sample with the number of samples so far."""


class Observing(Protocol):
    """A session, as far as calibration needs one."""

    def observe(self, feeds: Mapping[str, npt.NDArray[Any]], statistics: Statistics) -> None:
        """Run once, and add what the values held that the statistics are of, as one sample."""


class Calibration:
    """A function of the multiset of samples: in whatever order they come, split and merged.

    halves: the statistics of the samples in two halves, by their contents. kept: some of the samples.
    """

    def __init__(self, halves: tuple[Statistics, Statistics], kept: Kept) -> None:
        self.halves = halves
        self.kept = kept

    @staticmethod
    def of(names: Iterable[str], needs: Iterable[str], kept: int = MOST) -> "Calibration":
        """One of no samples, of the statistics `needs` of the values `names`. kept: samples, at most."""
        names, needs = tuple(names), tuple(needs)
        return Calibration((Statistics(names, needs), Statistics(names, needs)), Kept(kept))

    def keeping(self, most: int) -> "Calibration":
        """The same with so many of the samples that it keeps, at most."""
        return Calibration(self.halves, self.kept.first(most))

    @property
    def samples(self) -> int:
        """How many samples it is of."""
        return self.kept.seen

    @property
    def names(self) -> list[str]:
        """The values that are observed, in order."""
        return self.halves[0].values

    @property
    def statistics(self) -> Statistics:
        """Those of all samples."""
        merged = Statistics(self.names, self.halves[0].statistics)
        for half in self.halves:
            merged.merge(half)
        return merged

    def observe(
        self,
        session: Observing,
        samples: Iterable[Feeds],
        progress: Progress | None = None,
        threads: int | None = 1,
    ) -> None:
        """Run over more samples: beside those kept, no more are held than one beyond what threads work on."""

        def see(sample: tuple[Feeds, int]) -> None:
            feeds, half = sample
            session.observe(feeds, self.halves[half])

        before = self.samples
        for seen, _ in enumerate(each(see, self.kept.watch(samples), threads), 1):
            if progress is not None:
                progress(before + seen)

    def merge(self, other: "Calibration") -> None:
        """Take in what another one of the same values and statistics saw; `DataError` for any other."""
        for ours, theirs in zip(self.halves, other.halves, strict=True):
            ours.merge(theirs)
        self.kept.merge(other.kept)
