"""An integer Program run piece by piece over some samples, while what comes next is still being changed."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.calibration import HANDFUL, Feeds, each
from octavo.program import DTYPES, Node, Program
from octavo.program.artifact import packed
from octavo.program.bodies import mentioned
from octavo.quantization.shapes import measured_sizes
from octavo.session import Session

Array = npt.NDArray[Any]


MOST = 64
"""Samples that are walked over at most."""

_MEMORY = 1 << 29
"""Bytes of values that a walk holds at most, about: half a GiB."""

_HELD, _AGAIN = 1 << 25, 8
"""Bytes up to which a walk holds on to values rather than make them again from earlier ones, which have less;
and nodes that are run again at most for that."""

_Ahead = tuple[list[str], Callable[[Feeds], list[Array]]]
"""The names of values, and what makes them of those that are held of a sample."""

_NOTHING: _Ahead = ([], lambda _: [])


def affordable(program: Program, feeds: Sequence[Feeds], threads: int | None) -> list[Feeds]:
    """The first samples, as many as a walk has memory for."""
    if not feeds:
        return []
    measured = measured_sizes(program, feeds[0], threads)
    held = [*program.inputs, *(name for node in program.nodes for name in filter(None, node.outputs))]
    sizes = {name: math.prod(measured[name]) * DTYPES[program.values[name].dtype].itemsize for name in held}
    last = {name: place for place, node in enumerate(program.nodes) for name in node.inputs}
    live = most = sum(sizes[name] for name in program.inputs)
    ends: dict[int, int] = {}
    for place, node in enumerate(program.nodes):
        for name in filter(None, node.outputs):
            live += sizes[name]
            ends[last.get(name, place)] = ends.get(last.get(name, place), 0) + sizes[name]
        most = max(most, live)
        live -= ends.get(place, 0)
    return list(feeds[: max(2, min(MOST, _MEMORY // max(1, most)))])


class Walk:
    """A Program's values over samples, as far as the nodes have been run.

    program: as it is by now. Between two pieces the constants of nodes that were not run can be changed.
    place: of the first node whose values are not held; the walk may have come farther, where values are so
    large that they are made again whenever they are asked for. held: the values of each sample that are
    needed from `place` on. kept: values that are needed at the end.
    """

    def __init__(
        self, program: Program, feeds: Sequence[Feeds], threads: int | None, kept: Iterable[str] = ()
    ) -> None:
        self.program = replace(program, constants=dict(program.constants))
        self.threads = threads
        self.place = 0
        self.held: list[Feeds] = [copy(sample) for sample in feeds]
        self._ahead = _NOTHING
        self._last = {name: place for place, node in enumerate(program.nodes) for name in node.inputs}
        self._last |= dict.fromkeys(kept, len(program.nodes))

    def run_before(self, place: int) -> None:
        """Run all nodes before the one at `place`, as far as any node from there on needs them."""
        nodes = self.program.nodes[self.place : place]
        wanted = [
            name for node in nodes for name in node.outputs if name and self._last.get(name, -1) >= place
        ]
        self._ahead = _NOTHING
        if wanted:
            self._ahead = (wanted, self._runner(nodes, wanted))
            if len(nodes) < _AGAIN and not self._is_little():
                return
            self._hold(wanted, self._made())
            self._ahead = _NOTHING
        self.place = place
        for held in self.held:
            for name in [name for name in held if self._last.get(name, -1) < place]:
                del held[name]

    def _runner(self, nodes: Sequence[Node], wanted: list[str]) -> Callable[[Feeds], list[Array]]:
        piece = part(self.program, nodes, wanted)
        session = session_of(piece)
        return lambda held: session.run(wanted, {name: held[name] for name in piece.inputs})

    def _made(self) -> Iterator[list[Array]]:
        """What lies ahead of the values that are held, sample after sample."""
        return each(self._ahead[1], self.held, self.threads, HANDFUL)

    def _is_little(self) -> bool:
        """Whether all samples can hold as much as the first one would."""
        return len(self.held) * sum(array.nbytes for array in self._ahead[1](self.held[0])) <= _HELD

    def _hold(self, names: Sequence[str], samples: Iterable[Sequence[Array]]) -> None:
        """Take over values, sample after sample: those of a name in one array, where their shapes are alike.

        What the threads that made them have freed is then in few pieces, which the next values fit in.
        """
        blocks: list[Array] = []
        for turn, (held, made) in enumerate(zip(self.held, samples, strict=True)):
            blocks = blocks or [np.empty((len(self.held), *array.shape), array.dtype) for array in made]
            for name, block, array in zip(names, blocks, made, strict=True):
                is_alike = array.shape == block.shape[1:]
                if is_alike:
                    block[turn] = array
                held[name] = block[turn] if is_alike else array

    def values(self, name: str) -> Iterator[Array]:
        """A value over the samples, of a node that the walk has come past, which one farther on reads."""
        names, _ = self._ahead
        if name not in names:
            return (held[name] for held in self.held)
        index = names.index(name)
        return (made[index] for made in self._made())

    def change(self, constants: Mapping[str, Array]) -> None:
        """Give constants other elements, of the same dtypes and shapes."""
        self.program.constants.update(constants)


def session_of(program: Program) -> Session:
    """A session of one thread of what a valid Program was cut into: the runtime's own check is enough."""
    return Session(packed(program), threads=1)


def part(program: Program, nodes: Iterable[Node], outputs: Sequence[str]) -> Program:
    """Of nodes in topological order, those that the outputs need, as a Program of its own."""
    needed, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(filter(None, node.inputs))
    made = {name for node in kept for name in node.outputs}
    named = sorted(needed | made - {""})
    inside = sorted({*named, *mentioned(kept)} - {""})
    return replace(
        program,
        inputs=[name for name in named if name not in made and name not in program.constants],
        outputs=list(outputs),
        values={name: program.values[name] for name in inside},
        constants={name: program.constants[name] for name in inside if name in program.constants},
        nodes=kept[::-1],
    )
