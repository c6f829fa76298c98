"""How long a network takes on this machine, beside another that runs by turns with it."""

import time
from statistics import median

from octavo.calibration import Feeds
from octavo.program import Program
from octavo.session import Session

ROUNDS = 9
"""Rounds, in each of which both run once."""


class Pace:
    """The time of a run of one sample: `first` of the network that others are compared with."""

    def __init__(self, program: Program, feeds: Feeds, threads: int | None) -> None:
        self._program = program
        self._session = Session(program, threads)
        self._feeds = feeds
        self._threads = threads
        self.first = min(self._time(self._session) for _ in range(ROUNDS))

    def of(self, program: Program) -> float:
        """The seconds of a run, by the median of what the rounds say of it beside the first network."""
        if program is self._program:
            return self.first
        session = Session(program, self._threads)
        ratios = []
        for _ in range(ROUNDS):
            other = self._time(session)
            ratios.append(other / self._time(self._session))
        return self.first * median(ratios)

    def _time(self, session: Session) -> float:
        start = time.perf_counter()
        session.run(None, self._feeds)
        return time.perf_counter() - start
