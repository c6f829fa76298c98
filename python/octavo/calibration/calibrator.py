"""Run the float model over calibration data, one sample after the other, and observe its tensors."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from octavo.calibration.observers import Observer
from octavo.calibration.sources import Feeds

Progress = Callable[[int], None]
"""Called after each sample with the number of samples so far."""


class Observing(Protocol):
    """A float session, as far as calibration needs one."""

    def observe(
        self, feeds: Mapping[str, npt.NDArray[Any]], names: list[str]
    ) -> list[tuple[float, float, int, int, int] | None]:
        """Run once; (min, max, NaNs, infinities, elements) of each of these values, None for one not made."""


@dataclass(frozen=True)
class Calibration:
    """observers: by the name of the float32 value; samples: how many ran."""

    observers: dict[str, Observer]
    samples: int


def calibrate(
    session: Observing, samples: Iterable[Feeds], names: Iterable[str], progress: Progress | None = None
) -> Calibration:
    """Observe the values `names` over all samples; no more than one sample is held at a time."""
    observers = {name: Observer() for name in names}
    count = 0
    for feeds in samples:
        for observer, seen in zip(observers.values(), session.observe(feeds, list(observers)), strict=True):
            if seen is not None:
                observer.add(*seen)
        count += 1
        if progress is not None:
            progress(count)
    return Calibration(observers, count)
