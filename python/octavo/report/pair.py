"""`compare`: two models over samples, layer by layer."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.calibration import Data, Feeds, Progress, samples
from octavo.errors import DataError, ModelError
from octavo.lowering import Lowered
from octavo.program import Program
from octavo.quantization.judge import FLAT, floats_of
from octavo.report.causes import causes_of_layers
from octavo.report.comparison import Comparison, LayerRow, OutputRow
from octavo.report.doubts import Labelled, doubts
from octavo.report.layers import Layers
from octavo.report.matching import Layer, Matching, match
from octavo.report.measures import Answers, Own, Ratio, decibels
from octavo.report.trials import Change, Trials, trials
from octavo.session import Session, Source, load_program

Array = npt.NDArray[Any]

PROBED = 8
"""Samples over which each layer's effect on the answers is measured: a run of the first model a layer."""

HELD, MEMORY = 64, 1 << 26
"""Samples and bytes of them that are kept for what needs them again."""

TIMED = 5
"""Runs of which the least time of a step is told."""


def compare(
    model_a: Source,
    model_b: Source,
    data: Data,
    labels: "Iterable[int] | None" = None,
    *,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Comparison:
    """Where a model errs beside another, usually one in float: at its outputs, and layer by layer.

    model_a, model_b: as `octavo.Session` takes them; the second one's layers are those that are told of.
    data: as `octavo.quantize` takes them, better samples that the second was not calibrated with.
    labels: the class of each sample, where the outputs are scores of classes.
    progress: called after each sample with the number of samples so far.
    threads: as `octavo.Session` takes it.
    Values that two Programs name alike are taken for the same; what could not be matched is in `unmatched`.
    Raises `ModelError` where the models have other inputs or outputs, `DataError` for data or labels.
    """
    first, second = load_program(model_a), load_program(model_b)
    _check_ends(first, second)
    pair = _Pair(first, second, match(first, second), threads)
    classes = None if labels is None else _classes(labels)
    for count, feeds in enumerate(samples(data, pair.session.get_inputs())):
        pair.add(feeds, classes, probe=count < PROBED)
        if progress is not None:
            progress(count + 1)
    if classes is not None and pair.rows != len(classes):
        raise DataError(f"there are {len(classes)} labels for {pair.rows} samples: give one for each")
    return pair.comparison(model_b)


class _Pair:
    """Two models while samples pass by. rows: how many samples have, batches taken apart."""

    def __init__(self, first: Program, second: Program, matching: Matching, threads: int | None) -> None:
        self.rows = 0
        self._first, self._second, self._matching = first, second, matching
        self._threads = threads
        self._layers = Layers(first, second, matching, threads)
        self._same = floats_of(Lowered(second, values=matching.values))
        self._names = (
            _run_names(first, self._layers.first_names),
            _run_names(second, [*self._layers.second_names, *map(self._same.get, self._layers.answers)]),
        )
        self.session = Session(replace(first, outputs=self._names[0]), threads)
        self._other = Session(replace(second, outputs=self._names[1]), threads)
        self._outputs = {name: Answers() for name in first.outputs}
        self._answers = {name: Ratio() for name in self._layers.answers}
        self._held: list[Labelled] = []
        self._samples = self._size = 0

    def add(self, feeds: Feeds, classes: Array | None, *, probe: bool) -> None:
        """Take in one sample."""
        one = feeds | dict(zip(self._names[0], self.session.run(None, feeds), strict=True))
        other = feeds | dict(zip(self._names[1], self._other.run(None, feeds), strict=True))
        self._layers.add(one, other, probe=probe)
        rows = next((len(array) for array in feeds.values() if array.ndim), 1)
        labels = None if classes is None else classes[self.rows : self.rows + rows]
        self.rows += rows
        self._hold(feeds, labels)
        for name, answers in self._outputs.items():
            answers.add(one[name], other[name], labels)
        for name, ratio in self._answers.items():
            if one[name].shape == other[self._same[name]].shape:
                ratio.add(one[name], other[self._same[name]])

    def comparison(self, model: object) -> Comparison:
        """What was found. model: the second, which may know how it was calibrated."""
        outputs = [self._output(name) for name in self._first.outputs]
        feeds = [feeds for feeds, _ in self._held]
        seconds = _seconds(Session(self._second, self._threads), feeds[0])
        layers = self._layers.layers
        harm = self._harm()
        order = sorted(range(len(layers)), key=lambda place: harm[place], reverse=True)
        measured = [
            (self._row(place, layers[place], seconds), layers[place], self._layers.own[place])
            for place in order
        ]
        tried = trials(self._first, self._second, feeds, self._threads)
        return Comparison(
            samples=self._samples,
            outputs=outputs,
            layers=causes_of_layers(measured, self._first, self._second, tried),
            causes=doubts(
                self._first, self._held, outputs, model, lambda: self._recalibrated(tried), self._threads
            ),
            unmatched=self._matching.unmatched,
        )

    def _recalibrated(self, tried: Trials | None) -> float | None:
        """What the answers gain, in dB, by ranges from these samples."""
        if tried is None:
            return None
        pairs = zip(self._layers.layers, self._layers.own, strict=True)
        seen = {layer.outputs[layer.output]: own.seen for layer, own in pairs if own.counted}
        return tried.gain(Change(ranges=seen))

    def _hold(self, feeds: Feeds, labels: Array | None) -> None:
        """Keep the first samples, as many as there is memory for."""
        self._samples += 1
        self._size += sum(array.nbytes for array in feeds.values())
        if not self._held or (len(self._held) < HELD and self._size <= MEMORY):
            self._held.append(({name: array.copy() for name, array in feeds.items()}, labels))

    def _harm(self) -> list[tuple[float, float]]:
        """Of each layer, what its own error alone does to the answers, and how large that error is."""
        own = [own.ratio.share for own in self._layers.own]
        effects = [sum(ratio.share for ratio in ratios) for ratios in self._layers.effect]
        return list(zip(effects, own, strict=True))

    def _output(self, name: str) -> OutputRow:
        answers = self._outputs[name]
        is_float = answers.ratio.signal > 0 or answers.ratio.noise > 0
        return OutputRow(
            name=name,
            sqnr=answers.ratio.sqnr if is_float else None,
            cosine=answers.cosine,
            agreement=answers.agreement,
            top1=answers.top(1),
            top5=answers.top(5),
            before=self._before(name),
        )

    def _before(self, name: str) -> tuple[str, float] | None:
        """What goes into the op that presses an output flat, and its SQNR."""
        for node in self._first.nodes:
            if name in node.outputs and node.op in FLAT and node.inputs[0] in self._answers:
                return node.op, self._answers[node.inputs[0]].sqnr
        return None

    def _row(self, place: int, layer: Layer, seconds: dict[str, float]) -> LayerRow:
        own, effect = self._layers.own[place], self._layers.effect[place]
        value = self._second.values[layer.output]
        quant = value.quant
        clipping, rounding, computing = own.shares
        noise = sum(ratio.share for ratio in effect)
        return LayerRow(
            name=layer.name,
            op=layer.node.op,
            place=place,
            value=layer.output,
            of=layer.outputs[layer.output],
            reads=tuple(layer.inputs.values()),
            nodes=tuple(node.name for node in layer.nodes),
            dtype=value.dtype,
            sqnr=own.ratio.sqnr,
            at_outputs=decibels(1.0, noise) if effect else None,
            accumulated=self._layers.accumulated[place].sqnr,
            clipped=own.clipped / own.counted if own.counted else 0.0,
            clipping=clipping,
            rounding=rounding,
            computing=computing,
            shift=own.shift,
            scale=None if quant is None else [float(scale) for scale in quant.scale],
            zero_point=None if quant is None else [float(zero) for zero in quant.zero_point],
            axis=None if quant is None else quant.axis,
            bytes=sum(
                self._second.constants[name].nbytes
                for name in layer.node.inputs
                if name in self._second.constants
            ),
            seconds=seconds.get(layer.name),
            low=own.low if quant is not None else None,
            high=own.high if quant is not None else None,
            histogram=own.histogram.tolist(),
            channels=_channels(own),
        )


def _channels(own: Own) -> list[dict[str, float]]:
    """Of each channel: the reals that it takes, the mean of its errors, its SQNR."""
    count = np.maximum(own.elements, 1)
    rows = zip(own.least, own.greatest, own.errors / count, own.channel_sqnrs, strict=True)
    return [
        {"least": float(least), "greatest": float(greatest), "shift": float(shift), "sqnr": sqnr}
        for least, greatest, shift, sqnr in rows
    ]


def _run_names(program: Program, wanted: Iterable[str | None]) -> list[str]:
    """The names that a run gives, each once: the outputs, and what is wanted beside the inputs."""
    names = dict.fromkeys([*program.outputs, *filter(None, wanted)])
    return [name for name in names if name not in program.inputs]


def _seconds(session: Session, feeds: Feeds) -> dict[str, float]:
    """The least time of each step by its name, over a few runs."""
    least: dict[str, float] = {}
    for _ in range(TIMED):
        for row in session.profile(feeds):
            least[row.name] = min(row.seconds, least.get(row.name, row.seconds))
    return least


def _classes(labels: Iterable[int]) -> Array:
    try:
        array = np.asarray(labels if isinstance(labels, np.ndarray) else list(labels))
    except TypeError:
        raise TypeError(f"labels is of type {type(labels).__name__}: give one class a sample") from None
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"labels are {array.dtype}{list(array.shape)}: give one whole number a sample")
    return array


def _check_ends(first: Program, second: Program) -> None:
    """That both models can be fed alike and give outputs of the same names."""
    for side in ("inputs", "outputs"):
        one, other = (list(getattr(program, side)) for program in (first, second))
        if sorted(one) != sorted(other):
            listed = (", ".join(map(repr, names)) or "none" for names in (one, other))
            raise ModelError(
                f"the models have other {side}: {' and '.join(listed)}; compare two forms of one model"
            )
    for name in first.inputs:
        dtypes = [program.values[name].dtype for program in (first, second)]
        if dtypes[0] != dtypes[1]:
            raise ModelError(f"input {name!r} is {dtypes[0]} in one model and {dtypes[1]} in the other")
