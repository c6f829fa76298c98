"""Whether what lies along the first axis of a model's inputs are samples, each independent of the others."""

from collections.abc import Callable, Sequence

import numpy as np

from octavo.calibration.forms import Array, Feeds
from octavo.errors import Error

Run = Callable[[Feeds], Sequence[Array]]
"""From feeds to a model's answers."""


class Batches:
    """Tells it by trying: where they are, two entries together are answered as each is alone.

    The first axis can also be time, points or words, over which a model looks: then the entries of a feed
    belong together. run: of the model in float, whose answers are the same bits in any batch.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: bool | None = None

    def are_cut(self, feeds: Feeds) -> bool:
        """Whether these feeds, of several entries on one free first axis, can be cut into single ones."""
        if self._known is None:
            self._known = self._tried(feeds)
        return self._known

    def _tried(self, feeds: Feeds) -> bool:
        pair = {name: array[[0, -1]] for name, array in feeds.items()}
        together = self._answers(pair)
        first, last = (
            self._answers({name: array[at : at + 1] for name, array in pair.items()}) for at in (0, 1)
        )
        if first is None or last is None:
            return False
        if together is None:  # a model that takes one entry at a time, whatever its shapes say
            return True
        return all(
            answer.ndim > 0 and len(answer) == 2 and _same(answer[:1], one) and _same(answer[1:], other)
            for answer, one, other in zip(together, first, last, strict=True)
        )

    def _answers(self, feeds: Feeds) -> Sequence[Array] | None:
        try:
            return self._run(feeds)
        except Error:
            return None


def _same(one: Array, other: Array) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
