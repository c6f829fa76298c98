"""How far the answers of a quantized network are from those in float."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.calibration import Feeds
from octavo.program import Program
from octavo.session import Session

_MEMORY = 1 << 26
"""Bytes of float answers that are held."""


class Judge:
    """Tells how far another Program's answers over some samples are from those in float."""

    def __init__(self, floats: Program, feeds: Sequence[Feeds], threads: int | None) -> None:
        self._threads = threads
        self._names = [name for name in floats.outputs if floats.values[name].dtype == "f32"]
        session, size = Session(floats, threads), 0
        self._feeds: list[Feeds] = []
        self._answers: list[list[npt.NDArray[Any]]] = []
        for sample in feeds:
            answers = session.run(self._names, sample) if self._names else []
            size += sum(answer.nbytes for answer in answers)
            if self._feeds and size > _MEMORY:
                break
            self._feeds.append(sample)
            self._answers.append(answers)
        columns = zip(*self._answers, strict=True)
        self._signals = [sum(_squares(answer) for answer in answers) for answers in columns]

    @property
    def samples(self) -> int:
        """How many samples it judges by."""
        return len(self._feeds)

    def error(self, program: Program) -> float:
        """The sum over the outputs of the squared error as a share of the squared signal."""
        session = Session(program, self._threads)
        noises = [0.0] * len(self._signals)
        for sample, answers in zip(self._feeds, self._answers, strict=True):
            made = session.run(self._names, sample) if self._names else []
            for index, (answer, other) in enumerate(zip(answers, made, strict=True)):
                noises[index] += _squares(answer - other.astype(np.float64))
        pairs = zip(noises, self._signals, strict=True)
        return sum(noise / signal for noise, signal in pairs if signal > 0)


def _squares(array: npt.NDArray[Any]) -> float:
    """The sum of squares of the finite elements, in the order of the elements on every machine."""
    wide = array.astype(np.float64).ravel()
    squares = np.where(np.isfinite(wide), wide * wide, 0.0)
    return float(np.cumsum(squares)[-1]) if len(squares) else 0.0
