"""Two models' answers while samples pass by, with the classes that the samples have."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from octavo.calibration import Feeds, Input
from octavo.errors import DataError, ModelError
from octavo.report.comparison import OutputRow
from octavo.report.measures import Answers

Array = npt.NDArray[Any]
Labelled = tuple[Feeds, Array | None]
"""A sample, and the classes of its rows."""

HELD, MEMORY = 64, 1 << 26
"""Samples and bytes of them that are kept for what needs them again."""


class Runs(Protocol):
    """What runs as a session does: `octavo.Session`, or another runtime's."""

    def run(self, names: Any, feeds: Any) -> Any:  # noqa: ANN401  # each runtime has types of its own
        """The outputs of these names, or all of them where there are none."""

    def get_inputs(self) -> Sequence[Input]:
        """The inputs, in order."""

    def get_outputs(self) -> Sequence[Input]:
        """The outputs, in order."""


class Outputs:
    """samples: how many there were. held: the first of them, as many as there is memory for."""

    def __init__(self, names: Iterable[str], classes: Array | None) -> None:
        self.samples = 0
        self.held: list[Labelled] = []
        self._answers = {name: Answers() for name in names}
        self._classes = classes
        self._rows = self._size = 0

    def add(self, feeds: Feeds, one: Mapping[str, Array], other: Mapping[str, Array]) -> None:
        """Take in both models' answers to one sample."""
        rows = next((len(array) for array in feeds.values() if array.ndim), 1)
        labels = None if self._classes is None else self._classes[self._rows : self._rows + rows]
        self._rows += rows
        self.samples += 1
        self._size += sum(array.nbytes for array in feeds.values())
        if not self.held or (len(self.held) < HELD and self._size <= MEMORY):
            self.held.append(({name: array.copy() for name, array in feeds.items()}, labels))
        for name, answers in self._answers.items():
            answers.add(one[name], other[name], labels)

    def check_labels(self) -> None:
        """That there was a label for each row of each sample; else `DataError`."""
        if self._classes is not None and self._rows != len(self._classes):
            raise DataError(
                f"there are {len(self._classes)} labels for {self._rows} samples: give one for each"
            )

    def rows(self, before: Mapping[str, tuple[str, float]]) -> list[OutputRow]:
        """A row an output. before: what goes into the softmax that an output comes from, with its SQNR."""
        return [
            OutputRow(
                name=name,
                sqnr=answers.ratio.sqnr if answers.ratio.signal > 0 or answers.ratio.noise > 0 else None,
                cosine=answers.cosine,
                agreement=answers.agreement,
                top1=answers.top(1),
                top5=answers.top(5),
                before=before.get(name),
            )
            for name, answers in self._answers.items()
        ]


def classes_of(labels: Iterable[int] | None) -> Array | None:
    """Labels as an array, [samples]; raises `DataError` or TypeError for what are none."""
    if labels is None:
        return None
    try:
        array = np.asarray(labels if isinstance(labels, np.ndarray) else list(labels))
    except (TypeError, ValueError):
        raise TypeError(f"labels is of type {type(labels).__name__}: give one class a sample") from None
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"labels are {array.dtype}{list(array.shape)}: give one whole number a sample")
    return array


def check_ends(one: Mapping[str, Iterable[str]], other: Mapping[str, Iterable[str]]) -> None:
    """That two models have the same inputs and outputs, by name; else `ModelError`."""
    for side in ("inputs", "outputs"):
        pair = [sorted(ends[side]) for ends in (one, other)]
        if pair[0] != pair[1]:
            listed = (", ".join(map(repr, names)) or "none" for names in pair)
            raise ModelError(
                f"the models have other {side}: {' and '.join(listed)}; compare two forms of one model"
            )
