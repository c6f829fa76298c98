"""As few ops back in float as make answers as near as was asked: the costliest to accuracy first."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from octavo.calibration import HANDFUL, Feeds, each
from octavo.lowering import Lowered
from octavo.program import Program
from octavo.quantization.judge import squares
from octavo.session import Session

SURE = 1.5
"""Standard errors by which an SQNR over some samples must lie above what is asked of all others."""

Array = npt.NDArray[np.float64]
LowerBy = Callable[[frozenset[str]], Lowered]
"""From the names of nodes that are in float to the network that the others make in integers."""

Accepts = Callable[[Lowered], bool]
"""Whether answers are near enough, by a measure of one's own."""


@dataclass(frozen=True)
class Raised:
    """One step: the names and the op of the float nodes that came back, none at the start.

    sqnr: in dB, of the output that has the least, over samples held back; assured: what that is at least, by
    `SURE` standard errors. macs: the share of all multiply-accumulates that are in float by then.
    """

    names: tuple[str, ...]
    op: str
    sqnr: float
    assured: float
    macs: float


class Raising:
    """Raises ops of a network to float, one after the other.

    feeds: samples that neither weights nor forms were made for. steps: what was done so far.
    """

    def __init__(
        self,
        floats: Program,
        lowered: Lowered,
        lower_by: LowerBy,
        feeds: Sequence[Feeds],
        work: dict[str, int],
        threads: int | None,
    ) -> None:
        self.lowered = lowered
        self.raised: frozenset[str] = frozenset()
        self.steps: list[Raised] = []
        self._judged: tuple[Lowered, bool] | None = None
        self._lower_by = lower_by
        self._feeds = feeds
        self._work = work
        self._threads = threads
        self._answers = list(each(_runner(floats), feeds, threads, HANDFUL))
        self._ops = {node.name: node.op for node in floats.nodes}
        self._note((), "", *self._measure(lowered))

    def until(self, least: float | None, accepts: Accepts | None) -> None:
        """Go on until the answers have that SQNR in dB, surely, and are accepted.

        An op whose return gains nothing beside those before it stays in integers; where that leaves too
        little at the end, all return.
        """
        for names in self._in_order(least, accepts):
            self._take(names, self._lower_by(self.raised.union(names)))
        if not self._is_enough(least, accepts):
            names = tuple(sorted({name for names in self._candidates() for name in names}))
            if names:
                self._take(names, self._lower_by(self.raised.union(names)))

    def improve(self, lowered: Lowered, accepts: Accepts | None) -> None:
        """Take another network with the same ops in float, if it is surely as near, and accepted."""
        sqnr, assured = self._measure(lowered)
        if assured >= self.steps[-1].assured and (accepts is None or accepts(lowered)):
            self.lowered, self.steps[-1] = lowered, replace(self.steps[-1], sqnr=sqnr, assured=assured)

    def _take(self, names: tuple[str, ...], lowered: Lowered) -> None:
        sqnr, assured = self._measure(lowered)
        if sqnr > self.steps[-1].sqnr:
            self.lowered, self.raised = lowered, self.raised.union(names)
            self._note(names, self._ops[names[0]], sqnr, assured)

    def _is_enough(self, least: float | None, accepts: Accepts | None) -> bool:
        if least is not None and self.steps[-1].assured < least:
            return False
        if accepts is None:
            return True
        if self._judged is None or self._judged[0] is not self.lowered:  # a score can take long
            self._judged = self.lowered, accepts(self.lowered)
        return self._judged[1]

    def _in_order(self, least: float | None, accepts: Accepts | None) -> Iterator[tuple[str, ...]]:
        """Ops whose return alone would gain most, first; as long as it is not enough."""
        if self._is_enough(least, accepts):
            return
        gains = [(self._measure(self._lower_by(frozenset(names)))[0], names) for names in self._candidates()]
        for _, names in sorted(gains, key=lambda gain: -gain[0]):
            yield names
            if self._is_enough(least, accepts):
                return

    def _candidates(self) -> list[tuple[str, ...]]:
        """The float nodes of each node that computes in integers."""
        found = [
            self.lowered.nodes.get(node.name, ())
            for node in self.lowered.program.nodes
            if node.op.startswith(("Q", "Lookup"))
        ]
        return list(dict.fromkeys(filter(None, found)))

    def _note(self, names: tuple[str, ...], op: str, sqnr: float, assured: float) -> None:
        total = sum(self._work.values())
        share = sum(self._work.get(name, 0) for name in self.raised) / total if total else 0.0
        self.steps.append(Raised(names, op, sqnr, assured, share))

    def _measure(self, lowered: Lowered) -> tuple[float, float]:
        """The least SQNR of an output, and the least that is to be expected of other samples."""
        made = each(_runner(lowered.program), self._feeds, self._threads, HANDFUL)
        powers = [
            [
                (squares(answer), squares(answer.astype(np.float64) - other))
                for answer, other in zip(answers, others, strict=True)
            ]
            for answers, others in zip(self._answers, made, strict=True)
        ]
        told = [sqnr_of(np.array(column)) for column in zip(*powers, strict=True)]
        return min(one for one, _ in told), min(other for _, other in told)


def sqnr_of(powers: Array) -> tuple[float, float]:
    """10 log10(signal / noise) over samples, and the same less `SURE` standard errors; in dB, 300 at most.

    powers: float64 [samples, 2], signal and noise of each. The error of the ratio of two sums is that of the
    linear estimate, W. G. Cochran, Sampling Techniques, 1977, 6.4.
    """
    signal, noise = np.cumsum(powers, axis=0)[-1]
    if signal == 0:
        return 300.0, 300.0
    share = noise / signal
    count, rest = len(powers), powers[:, 1] - share * powers[:, 0]
    spread = 0.0
    if count > 1:
        spread = math.sqrt(count / (count - 1) * float(np.cumsum(rest * rest)[-1])) / signal
    return _decibels(share), _decibels(share + SURE * spread)


def _decibels(share: float) -> float:
    return -10 * math.log10(max(share, 1e-30))


def _runner(program: Program) -> Callable[[Feeds], list[npt.NDArray[np.float32]]]:
    """A function from a sample to the float32 outputs of a Program."""
    names = [name for name in program.outputs if program.values[name].dtype == "f32"]
    session = Session(program, threads=1)
    return lambda feeds: session.run(names, feeds)
