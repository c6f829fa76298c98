"""Saying what a quantization does while it does it."""

import sys
import time
from collections.abc import Callable
from typing import TextIO, TypeAlias

from octavo.calibration import Progress

Asked: TypeAlias = "Progress | bool | None"
"""A function of the number of samples so far; True to have it shown; False or None for neither."""


class Shown:
    """Lines on a stream, standard error by default: each stage, and the seconds that it took.

    On a terminal a line is there from the beginning of its stage, and counts the samples.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._live = self._stream.isatty()
        self._name = ""
        self._counted = ""
        self._begun = 0.0

    def begin(self, name: str) -> None:
        """A stage begins."""
        self._name, self._counted, self._begun = name, "", self._clock()
        self._write()

    def count(self, samples: int) -> None:
        """So many samples have been run over."""
        self._counted = f" {samples}"
        self._write()

    def end(self) -> None:
        """The stage is over."""
        text = f"octavo: {self._name}{self._counted}, {self._clock() - self._begun:.1f} s"
        self._stream.write(f"\r{text}\n" if self._live else f"{text}\n")
        self._stream.flush()

    def _write(self) -> None:
        if self._live:
            self._stream.write(f"\roctavo: {self._name}{self._counted}")
            self._stream.flush()


class Told:
    """The number of samples, told to a function, and nothing else."""

    def __init__(self, function: Progress | None) -> None:
        self._function = function

    def begin(self, name: str) -> None:
        """A stage begins."""

    def count(self, samples: int) -> None:
        """So many samples have been run over."""
        if self._function is not None:
            self._function(samples)

    def end(self) -> None:
        """The stage is over."""


def watcher(asked: Asked) -> "Shown | Told":
    """What watches a quantization; TypeError for anything else than `Asked`."""
    if asked is True:
        return Shown()
    if asked is False or asked is None:
        return Told(None)
    if not callable(asked):
        raise TypeError(
            f"progress is of type {type(asked).__name__}: give a function of the number of samples, or True"
        )
    return Told(asked)
