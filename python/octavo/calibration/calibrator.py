"""Run a model over calibration data, one sample after the other, and keep statistics of its values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from octavo._core import Statistics
from octavo.calibration.sources import Feeds

Progress = Callable[[int], None]
"""Called after each sample with the number of samples so far."""


class Observing(Protocol):
    """A session, as far as calibration needs one."""

    def observe(self, feeds: Mapping[str, npt.NDArray[Any]], statistics: Statistics) -> None:
        """Run once, and add what the values held that the statistics are of, as one sample."""


@dataclass(frozen=True)
class Calibration:
    """names: of the values, in the order asked for. statistics: theirs. samples: how many ran."""

    names: tuple[str, ...]
    statistics: Statistics
    samples: int


def calibrate(
    session: Observing,
    samples: Iterable[Feeds],
    names: Iterable[str],
    needs: Iterable[str],
    progress: Progress | None = None,
) -> Calibration:
    """Keep the statistics `needs` of the values `names` over all samples, of which one is held at a time."""
    names = tuple(names)
    statistics = Statistics(names, tuple(needs))
    count = 0
    for feeds in samples:
        session.observe(feeds, statistics)
        count += 1
        if progress is not None:
            progress(count)
    return Calibration(names, statistics, count)
