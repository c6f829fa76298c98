"""A range of its own for each tensor: that under which the network errs least at its outputs.

Tensor after tensor, in the order of the network, the ranges of several rules are tried with all else as it is
by then, weights included. What lies before the tensor is not run again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter

import numpy as np

from octavo.calibration import Feeds
from octavo.lowering import Lowered, Range
from octavo.lowering.affine import affine
from octavo.program import Program
from octavo.program.integers import Integers
from octavo.quantization.choice import with_weights
from octavo.quantization.judge import Judge
from octavo.quantization.walk import Walk

RULES_TRIED = ("minmax", "p99.999", "p99.99", "mse")
"""The range rules that each tensor is tried with."""

STEP = 0.995
"""What share of the error a tensor's other range may leave, to be taken."""

GAIN = 10**0.03
"""What the ranges that were found must divide the error on samples held back by, 0.3 dB, to be taken."""

Ranges = Mapping[str, Range]
LowerBy = Callable[[Ranges], Lowered]


class Search:
    """A network whose weights were made, and the ranges that are changed in it.

    ranges: those that were changed, by the name of the float value. lowered: the network with them.
    """

    def __init__(
        self,
        floats: Program,
        made: Lowered,
        lower_by: LowerBy,
        feeds: Sequence[Feeds],
        threads: int | None,
    ) -> None:
        self.lowered = made
        self.ranges: dict[str, Range] = {}
        self._floats = floats
        self._made = made
        self._lower_by = lower_by
        self._judge = Judge(floats, made, feeds, threads)
        self._feeds = list(feeds[: self._judge.samples])
        self._threads = threads
        self._error = self._judge.error(made)
        self._walk = self._begin()

    def run(self, own: Ranges, others: Sequence[Ranges]) -> None:
        """Try the ranges of `others` for each tensor; own: the ranges that they have."""
        for place, name in sites(self.lowered):
            if name in own:
                of = self.lowered.forms[name].of
                self._try(place, name, _distinct(own[name], [ranges[name] for ranges in others], of))

    def _try(self, place: int, name: str, options: Sequence[Range]) -> None:
        """Take the best of these ranges for the tensor that the node at `place` makes, if it gains by it."""
        tried = []
        for option in options:
            other = with_weights(self._floats, self._made, self._lower_by(self.ranges | {name: option}))
            start = first_difference(self.lowered.program, other.program)
            if start is not None:
                tried.append((self._error_from(min(place, start), other), start, option, other))
        if not tried:
            return
        error, start, option, other = min(tried, key=itemgetter(0))
        if error < STEP * self._error:
            self._error, self.ranges[name], self.lowered = error, option, other
            if start < self._walk.place:
                self._walk = self._begin()
            self._walk.program = other.program

    def _error_from(self, place: int, other: Lowered) -> float:
        """The error of a network that is as it was before `place`."""
        if place < self._walk.place:
            self._walk = self._begin()
        self._walk.run_before(place)
        return self._judge.error(other, self._walk)

    def _begin(self) -> Walk:
        return Walk(self.lowered.program, self._feeds, self._threads, self._judge.names_in(self.lowered))


def sites(lowered: Lowered) -> Iterator[tuple[int, str]]:
    """The nodes whose results have ranges of their own: their places, and the float values that they make."""
    for place, node in enumerate(lowered.program.nodes):
        name = lowered.values.get(node.outputs[0], "")
        form = lowered.forms.get(name)
        if form is not None and form.channels is None and node.op.startswith(("Q", "Lookup")):
            yield place, name


def _distinct(own: Range, others: Sequence[Range], of: Integers) -> list[Range]:
    """Those of the ranges that make another form than the first, each form once."""
    forms, found = [affine(own, of)], []
    for other in others:
        form = affine(other, of)
        if form not in forms:
            forms.append(form)
            found.append(other)
    return found


def first_difference(one: Program, other: Program) -> int | None:
    """The place of the first node whose results differ; None where none do, or where the nodes are others."""
    if [node.name for node in one.nodes] != [node.name for node in other.nodes]:
        return None
    for place, (node, same) in enumerate(zip(one.nodes, other.nodes, strict=True)):
        if node != same or not all(_is_same(one, other, name) for name in filter(None, node.inputs)):
            return place
    return None


def _is_same(one: Program, other: Program, name: str) -> bool:
    """Whether a constant holds the same; what is no constant does, where all nodes before it are the same."""
    if name not in one.constants:
        return True
    return np.array_equal(one.constants[name], other.constants[name])
