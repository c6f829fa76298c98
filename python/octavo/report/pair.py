"""`compare`: two models over samples, layer by layer."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from octavo.calibration import Data, Feeds, Progress, samples
from octavo.errors import ModelError, RunError
from octavo.lowering import Lowered
from octavo.program import Program
from octavo.quantization.judge import FLAT, floats_of
from octavo.report.causes import causes_of_layers
from octavo.report.comparison import Comparison, LayerRow
from octavo.report.doubts import doubts
from octavo.report.layers import Layers
from octavo.report.matching import Layer, Matching, match
from octavo.report.measures import Own, Ratio, decibels
from octavo.report.outputs import Outputs, Runs, check_ends, classes_of
from octavo.report.trials import Change, Trials, trials
from octavo.rewrites import float_ends
from octavo.session import Session, Source, load_program

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Array = npt.NDArray[Any]
Model: TypeAlias = "Source | Runs"

PROBED = 8
"""Samples over which each layer's effect on the answers is measured: a run of the first model a layer."""

TIMED = 5
"""Runs of which the least time of a step is told."""


def compare(
    model_a: Model,
    model_b: Model,
    data: Data,
    labels: Iterable[int] | None = None,
    *,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Comparison:
    """Where a model errs beside another, usually one in float: at its outputs, and layer by layer.

    model_a, model_b: as `octavo.Session` takes them; the second one's layers are those that are told of. A
        session, octavo's or ONNX Runtime's, is compared by its outputs alone.
    data: as `octavo.quantize` takes them, better samples that the second was not calibrated with.
    labels: the class of each sample, where the outputs are scores of classes.
    progress: called after each sample with the number of samples so far.
    threads: as `octavo.Session` takes it.
    Inputs and outputs of one that are integers where the other has float32 are quantized and dequantized.
    Values that two Programs name alike are taken for the same; what could not be matched is in `unmatched`.
    Raises `ModelError` where the models have other inputs or outputs, `DataError` for data or labels.
    """
    if is_session(model_a) or is_session(model_b):
        return _compare_outputs(model_a, model_b, data, classes_of(labels), progress, threads)
    loaded = [load_program(model) for model in (model_a, model_b)]
    check_ends(*({"inputs": of.inputs, "outputs": of.outputs} for of in loaded))
    first, second = (float_ends(one, like) for one, like in (loaded, loaded[::-1]))
    _check_inputs(first, second)
    pair = _Pair(first, second, match(first, second), classes_of(labels), threads)
    for count, feeds in enumerate(samples(data, pair.session.get_inputs(), partial(pair.session.run, None))):
        pair.add(feeds, probe=count < PROBED)
        if progress is not None:
            progress(count + 1)
    pair.outputs.check_labels()
    return pair.comparison(model_b)


def _compare_outputs(
    model_a: Model,
    model_b: Model,
    data: Data,
    classes: Array | None,
    progress: Progress | None,
    threads: int | None,
) -> Comparison:
    """The outputs alone: of a session, nothing else can be seen."""
    one, other = (model if is_session(model) else Session(model, threads) for model in (model_a, model_b))
    check_ends(_ends(one), _ends(other))
    names = [item.name for item in one.get_outputs()]
    outputs = Outputs(names, classes)

    def run(feeds: Feeds) -> Sequence[Array]:
        try:
            return one.run(names, feeds)
        except Exception as error:  # another runtime's
            raise RunError(str(error)) from error

    for count, feeds in enumerate(samples(data, one.get_inputs(), run)):
        answers = [dict(zip(names, runner.run(names, feeds), strict=True)) for runner in (one, other)]
        outputs.add(feeds, *answers)
        if progress is not None:
            progress(count + 1)
    outputs.check_labels()
    return Comparison(outputs.samples, outputs.rows({}), [], [], {})


def is_session(model: object) -> "TypeIs[Runs]":
    """Whether a model is a session already, octavo's or another runtime's."""
    return all(callable(getattr(model, name, None)) for name in ("run", "get_inputs", "get_outputs"))


def _ends(session: Runs) -> dict[str, list[str]]:
    return {
        "inputs": [item.name for item in session.get_inputs()],
        "outputs": [item.name for item in session.get_outputs()],
    }


class _Pair:
    """Two Programs while samples pass by. session: of the first. outputs: both models' answers."""

    def __init__(
        self,
        first: Program,
        second: Program,
        matching: Matching,
        classes: Array | None,
        threads: int | None,
    ) -> None:
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
        self.outputs = Outputs(first.outputs, classes)
        self._answers = {name: Ratio() for name in self._layers.answers}

    def add(self, feeds: Feeds, *, probe: bool) -> None:
        """Take in one sample."""
        one = {**feeds, **dict(zip(self._names[0], self.session.run(None, feeds), strict=True))}
        other = {**feeds, **dict(zip(self._names[1], self._other.run(None, feeds), strict=True))}
        self._layers.add(one, other, probe=probe)
        self.outputs.add(feeds, one, other)
        for name, ratio in self._answers.items():
            if one[name].shape == other[self._same[name]].shape:
                ratio.add(one[name], other[self._same[name]])

    def comparison(self, model: object) -> Comparison:
        """What was found. model: the second, which may know how it was calibrated."""
        outputs = self.outputs.rows(self._before())
        feeds = [feeds for feeds, _ in self.outputs.held]
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
            samples=self.outputs.samples,
            outputs=outputs,
            layers=causes_of_layers(measured, self._first, self._second, tried),
            causes=doubts(
                self._first,
                self.outputs.held,
                outputs,
                model,
                lambda: self._recalibrated(tried),
                self._threads,
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

    def _harm(self) -> list[tuple[float, float]]:
        """Of each layer, what its own error alone does to the answers, and how large that error is."""
        own = [own.ratio.share for own in self._layers.own]
        effects = [sum(ratio.share for ratio in ratios) for ratios in self._layers.effect]
        return list(zip(effects, own, strict=True))

    def _before(self) -> dict[str, tuple[str, float]]:
        """By the name of an output that an op presses flat: the op, and the SQNR of what goes into it."""
        return {
            name: (node.op, self._answers[node.inputs[0]].sqnr)
            for node in self._first.nodes
            for name in node.outputs
            if node.op in FLAT and node.inputs[0] in self._answers
        }

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


def _check_inputs(first: Program, second: Program) -> None:
    """That both can be fed alike."""
    for name in first.inputs:
        dtypes = [program.values[name].dtype for program in (first, second)]
        if dtypes[0] != dtypes[1]:
            raise ModelError(f"input {name!r} is {dtypes[0]} in one model and {dtypes[1]} in the other")
