"""How long a network takes on this machine, beside another that runs by turns with it."""

import time

from octavo.calibration import Feeds
from octavo.program import Program
from octavo.session import Session

ROUNDS = 15
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
        """The seconds of a run: of the first network, times the ratio of the least times by turns."""
        if program is self._program:
            return self.first
        session = Session(program, self._threads)
        rounds = [(self._time(session), self._time(self._session)) for _ in range(ROUNDS)]
        return self.first * min(other for other, _ in rounds) / min(first for _, first in rounds)

    def _time(self, session: Session) -> float:
        start = time.perf_counter()
        session.run(None, self._feeds)
        return time.perf_counter() - start
