"""Ops that take longer in integers than in float on this machine, conversions counted."""

from collections.abc import Callable

from octavo.calibration import Feeds
from octavo.lowering import Lowered
from octavo.program import Program
from octavo.session import Session

RUNS = 7
"""Runs of which the least time of each step counts."""

GAIN = 0.99
"""The share of the time before that a network must stay below to be taken: what is told apart from noise."""

FUSED = " + "
"""What stands between the names of nodes that one step does."""

LowerBy = Callable[[frozenset[str]], Lowered]
"""From the names of nodes that are in float to the network that the others make in integers."""


def slower_in_integers(
    floats: Program, lower_by: LowerBy, feeds: Feeds, threads: int | None
) -> frozenset[str]:
    """The float nodes whose return to float makes the network faster.

    First all together whose own steps are slower in integers, then, of what is left, those that gain most by
    themselves, as long as the whole gets faster. feeds: one sample.
    """
    none = frozenset[str]()
    kept, lowered = none, lower_by(none)
    plain, taken = _Times(floats, feeds, threads), _Times(lowered.program, feeds, threads)
    tried = {none}
    while True:
        losses = _losses(lowered, taken, plain)
        together = kept.union(*(names for _, names in losses))
        found = None
        for names in (together, *(kept.union(names) for _, names in losses)):
            if names in tried:
                continue
            tried.add(names)
            other = lower_by(names)
            times = _Times(other.program, feeds, threads)
            if times.whole < GAIN * taken.whole:
                found = names, other, times
                break
        if found is None:
            return kept
        kept, lowered, taken = found


class _Times:
    """whole: the least time of a run. steps: by the name of a node, that of the steps which begin with it."""

    def __init__(self, program: Program, feeds: Feeds, threads: int | None) -> None:
        session = Session(program, threads)
        self.whole, self.steps = float("inf"), dict[str, float]()
        for _ in range(RUNS):
            steps = dict[str, float]()
            for row in session.profile(feeds):
                name = row.name.split(FUSED)[0]
                steps[name] = steps.get(name, 0.0) + row.seconds
            self.whole = min(self.whole, sum(steps.values()))
            for name, seconds in steps.items():
                self.steps[name] = min(seconds, self.steps.get(name, seconds))


def _losses(lowered: Lowered, taken: _Times, plain: _Times) -> list[tuple[float, tuple[str, ...]]]:
    """What each integer node loses beside the float nodes that it does, and these; the greatest first."""
    losses = []
    for node in lowered.program.nodes:
        names = lowered.nodes.get(node.name, ())
        if not names or not node.op.startswith(("Q", "Lookup")):
            continue
        loss = taken.steps.get(node.name, 0.0) - sum(plain.steps.get(name, 0.0) for name in names)
        if loss > 0:
            losses.append((loss, names))
    return sorted(losses, key=lambda loss: (-loss[0], loss[1]))
