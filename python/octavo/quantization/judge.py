"""How far the answers of a quantized network are from those in float."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.calibration import HANDFUL, Feeds, each
from octavo.lowering import Lowered
from octavo.program import Program
from octavo.quantization.walk import Walk, part, session_of

_MEMORY = 1 << 26
"""Bytes of float answers that are held."""

FLAT = ("Softmax", "LogSoftmax", "Sigmoid")
"""Ops that press large differences flat: a network that ends so is judged by what goes into them, since a few
samples near a border would decide by what comes out."""


class Judge:
    """Tells how far another Program's answers over some samples are from those in float.

    like: a network whose float values are there in those that will be judged.
    """

    def __init__(self, floats: Program, like: Lowered, feeds: Sequence[Feeds], threads: int | None) -> None:
        self._threads = threads
        self._names = answers_of(floats, like)
        run, size = _runner(floats, self._names), 0
        self._feeds: list[Feeds] = []
        self._answers: list[list[npt.NDArray[Any]]] = []
        for sample, answers in zip(feeds, each(run, feeds, threads, HANDFUL), strict=False):
            size += sum(answer.nbytes for answer in answers)
            if self._feeds and size > _MEMORY:
                break
            self._feeds.append(sample)
            self._answers.append(answers)
        columns = zip(*self._answers, strict=True)
        self._signals = [sum(squares(answer) for answer in answers) for answers in columns]

    @property
    def samples(self) -> int:
        """How many samples it judges by."""
        return len(self._feeds)

    def names_in(self, lowered: Lowered) -> list[str]:
        """The values of a Program that it judges by."""
        found = floats_of(lowered)
        return [found[name] for name in self._names]

    def error(self, lowered: Lowered, begun: Walk | None = None) -> float:
        """The sum over the answers of the squared error as a share of the squared signal.

        begun: a walk over the samples through the first nodes of the same Program, as far as it has come.
        """
        held, place = (self._feeds, 0) if begun is None else (begun.held, begun.place)
        run = _runner(lowered.program, self.names_in(lowered), place)
        noises = [0.0] * len(self._signals)
        others = each(run, held, self._threads, HANDFUL)
        for answers, made in zip(self._answers, others, strict=True):
            for index, (answer, other) in enumerate(zip(answers, made, strict=True)):
                with np.errstate(invalid="ignore"):  # of infinite answers
                    error = answer - other.astype(np.float64)
                noises[index] += squares(error)
        pairs = zip(noises, self._signals, strict=True)
        return sum(noise / signal for noise, signal in pairs if signal > 0)


def _runner(program: Program, names: list[str], place: int = 0) -> Callable[[Feeds], list[npt.NDArray[Any]]]:
    """A function from a sample, or what is held of it before `place`, to these values of a Program."""
    nodes = program.nodes[place:]
    behind = {name for node in nodes for name in node.outputs}
    left = [name for name in names if name in behind]
    if not left:
        return lambda held: [held[name] for name in names]
    piece = part(program, nodes, left)
    session = session_of(piece)

    def run(held: Feeds) -> list[npt.NDArray[Any]]:
        made = dict(zip(left, session.run(left, {name: held[name] for name in piece.inputs}), strict=True))
        return [made[name] if name in made else held[name] for name in names]

    return run


def answers_of(floats: Program, like: Lowered) -> list[str]:
    """The values that a network is judged by: its float outputs, or what goes into one of `FLAT`."""
    producer = {name: node for node in floats.nodes for name in node.outputs}
    there, names = floats_of(like), []
    for name in floats.outputs:
        node = producer.get(name)
        if node is not None and node.op in FLAT and node.inputs[0] in there:
            name = node.inputs[0]
        if name in there:
            names.append(name)
    return list(dict.fromkeys(names))


def floats_of(lowered: Lowered) -> dict[str, str]:
    """By the names of the float network's values, those that hold them in float32 in a lowered one."""
    values, constants = lowered.program.values, lowered.program.constants
    return {
        of: name
        for name, of in lowered.values.items()
        if name in values and values[name].dtype == "f32" and name not in constants
    }


def squares(array: npt.NDArray[Any]) -> float:
    """The sum of squares of the finite elements, in the order of the elements on every machine."""
    wide = array.astype(np.float64).ravel()
    squares = np.where(np.isfinite(wide), wide * wide, 0.0)
    return float(np.cumsum(squares)[-1]) if len(squares) else 0.0
