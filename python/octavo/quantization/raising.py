"""As few ops on wider integers, then in float, as make answers as near as was asked: the costliest first."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from octavo.calibration import HANDFUL, Feeds, each
from octavo.lowering import Lowered
from octavo.program import Node, Program
from octavo.program.checks import RESIDUAL
from octavo.quantization.judge import squares
from octavo.quantization.mix import FLOAT, Mix
from octavo.quantization.pace import Pace
from octavo.session import Session

SURE = 1.5
"""Standard errors by which an SQNR over some samples must lie above what is asked of all others."""

PARTS = 8
"""In how many parts those ops rise that gain nothing each by itself."""

Array = npt.NDArray[np.float64]
LowerBy = Callable[[Mix], Lowered]
"""From what nodes compute by to the network."""

Accepts = Callable[[Lowered], bool]
"""Whether answers are near enough, by a measure of one's own."""


@dataclass(frozen=True)
class Raised:
    """One step: the names and the op of the float nodes that were raised, none at the start.

    to: what they compute by since, "int16x8" or "float". sqnr: in dB, of the output that has the least, over
    samples held back; assured: what that is at least, by `SURE` standard errors. macs, float_macs: the shares
    of all multiply-accumulates that are raised, and that are in float, by then. seconds: the time of a run on
    the machine that quantizes, of the first of those samples.
    """

    names: tuple[str, ...]
    op: str
    to: str
    sqnr: float
    assured: float
    macs: float
    float_macs: float
    seconds: float


class Raising:
    """Raises ops of a network, one after the other.

    feeds: samples that neither weights nor forms were made for. mix: what nodes compute by, by now. steps:
    what was done so far.
    """

    def __init__(
        self,
        floats: Program,
        lowered: Lowered,
        mix: Mix,
        lower_by: LowerBy,
        feeds: Sequence[Feeds],
        work: dict[str, int],
        threads: int | None,
    ) -> None:
        self.lowered = lowered
        self.mix = mix
        self.steps: list[Raised] = []
        self._judged: tuple[Lowered, bool] | None = None
        self._lower_by = lower_by
        self._feeds = feeds
        self._work = work
        self._threads = threads
        self._answers = list(each(_runner(floats), feeds, threads, HANDFUL))
        self._ops = {node.name: node.op for node in floats.nodes}
        self._levels: dict[str, str] = {}
        self._mixes: list[Mix] = []
        self._pace = Pace(lowered.program, feeds[0], threads)
        self._note((), "", *self._measure(lowered))

    def until(self, levels: Sequence[str], least: float | None, accepts: Accepts | None) -> None:
        """Go on until the answers have that SQNR in dB, surely, and are accepted.

        To one of `LEVELS` after the other. An op whose rise gains nothing beside those before it waits; where
        that leaves too little in the end, those that wait rise together, a few more at a time.
        """
        for level in levels:
            if self._is_enough(least, accepts):
                return
            waiting = []
            for names in self._in_order(level):
                if not self._take(names, level):
                    waiting.append(names)
                if self._is_enough(least, accepts):
                    return
            together: tuple[str, ...] = ()
            for start in range(0, len(waiting), size := -(-len(waiting) // PARTS) or 1):
                together += tuple(name for names in waiting[start : start + size] for name in names)
                if self._take(together, level):
                    together = ()
                if self._is_enough(least, accepts):
                    return

    def settle(self, made_for: LowerBy, least: float | None, accepts: Accepts | None) -> None:
        """Take the least of the steps that is enough with weights which `made_for` makes for its mix.

        Where none is, all steps stay, with weights made for them if it is surely as near so, and accepted.
        """
        found, low, high = None, 1, len(self.steps) - 1
        while low <= high:  # from the last one down by halves
            step = high if found is None else (low + high) // 2
            lowered = made_for(self._mixes[step])
            sqnr, assured = self._measure(lowered)
            enough = assured >= (self.steps[-1].assured if least is None or found is None else least)
            if enough and (accepts is None or accepts(lowered)):
                found, high = (step, lowered, sqnr, assured), step - 1
            elif found is None:
                return
            else:
                low = step + 1
        if found is not None:
            step, self.lowered, sqnr, assured = found
            self.mix = self._mixes[step]
            self.steps[step:] = [replace(self.steps[step], sqnr=sqnr, assured=assured)]

    def _take(self, names: tuple[str, ...], level: str) -> bool:
        """Raise ops, if the answers come nearer by that."""
        mix = self.mix.with_nodes(names, level)
        lowered = self._lower_by(mix)
        sqnr, assured = self._measure(lowered)
        gains = sqnr > self.steps[-1].sqnr
        if gains:
            self.lowered, self.mix = lowered, mix
            self._levels |= dict.fromkeys(names, level)
            self._note(names, level, sqnr, assured)
        return gains

    def _is_enough(self, least: float | None, accepts: Accepts | None) -> bool:
        if least is not None and self.steps[-1].assured < least:
            return False
        if accepts is None:
            return True
        if self._judged is None or self._judged[0] is not self.lowered:  # a score can take long
            self._judged = self.lowered, accepts(self.lowered)
        return self._judged[1]

    def _in_order(self, level: str) -> list[tuple[str, ...]]:
        """The names of each op that can rise, by what its rise alone gains, the most first.

        What has no form on wider integers, and would be left in float by its rise, is left out.
        """
        gains = []
        for names in self._candidates(level):
            lowered = self._lower_by(self.mix.with_nodes(names, level))
            if level == FLOAT or not any(stay.name in names for stay in lowered.stays):
                gains.append((self._measure(lowered)[0], names))
        return [names for _, names in sorted(gains, key=lambda gain: -gain[0])]

    def _candidates(self, level: str) -> list[tuple[str, ...]]:
        """The float nodes of each node that computes in integers, and not on that level yet."""
        found = [
            part
            for node in self.lowered.program.nodes
            if node.op.startswith(("Q", "Lookup"))
            for part in self._parts(node)
        ]
        return [names for names in dict.fromkeys(found) if names and self._levels.get(names[0]) != level]

    def _parts(self, node: Node) -> list[tuple[str, ...]]:
        """The float nodes that a node does: a sum that a product takes in, with what is behind it, apart."""
        names = self.lowered.nodes.get(node.name, ())
        if not node.inputs[RESIDUAL + 1 :]:
            return [names]
        add = max(place for place, name in enumerate(names) if self._ops[name] == "Add")
        return [names[:add], names[add:]]

    def _note(self, names: tuple[str, ...], level: str, sqnr: float, assured: float) -> None:
        op = self._ops[names[0]] if names else ""
        shares = self._share(self._levels), self._share(self.mix.floats)
        self._mixes.append(self.mix)
        self.steps.append(
            Raised(names, op, level, sqnr, assured, *shares, self._pace.of(self.lowered.program))
        )

    def _share(self, names: Iterable[str]) -> float:
        total = sum(self._work.values())
        return sum(self._work.get(name, 0) for name in names) / total if total else 0.0

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
