"""Why a layer errs: a table of causes, each a function of what was measured.

A cause is one kind of noise that makes up most of a layer's own, with the fact behind it. The first of the
table that applies is named; the remedy of the worst layers is tried.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from octavo.program import Node, Program
from octavo.program.checks import x_zero_points
from octavo.program.integers import ACTIVATIONS
from octavo.program.ops import marked
from octavo.quantization.products import bias_in_reals
from octavo.report.comparison import Cause, LayerRow
from octavo.report.matching import Layer
from octavo.report.measures import Own
from octavo.report.trials import Change, Trials

Float64 = npt.NDArray[np.float64]

TRIED = 5
"""Layers whose remedy is tried, the worst first."""

MOST = 0.5
"""The share of a layer's noise from which on a kind of noise is what it errs by."""

WIDE, UNLIKE = 3.0, 8.0
"""How many times wider than what was seen a range is too wide; how many times farther than the median channel
an outlier reaches."""

FEW_STEPS = 32.0
"""The steps that the greatest probability of a softmax takes, below which it is flat."""

OFF = 0.05
"""How far from 1 a factor is that is wrong."""

JOINS = ("Concat", "Max", "Min")
"""Ops whose inputs have one scale."""

FULL = 0.9
"""The share of an accumulator that a channel's sums may take."""

COARSE = 3e-3
"""The noise of weights as a share of their squares above which they are coarse: int8 gives 1e-4 and less."""


@dataclass(frozen=True)
class Weights:
    """The weights and the bias of a product, by output channel.

    wanted, found: the reals of the float weights and of the integers, float64 [C, others]. bias: in reals, as
    it should be and as it is, [C]. full: the channels whose sums can come near the accumulator's end.
    per_channel: whether the weights have different scales.
    """

    wanted: Float64
    found: Float64
    bias: tuple[Float64, Float64]
    full: npt.NDArray[np.bool_]
    per_channel: bool

    @property
    def dead(self) -> npt.NDArray[np.bool_]:
        """The channels whose weights are all 0 as integers only."""
        return np.asarray(~self.found.any(1) & self.wanted.any(1))

    @property
    def noise(self) -> float:
        """The squared error as a share of the squares, over all channels."""
        squares = float(np.square(self.wanted).sum())
        return float(np.square(self.found - self.wanted).sum()) / squares if squares else 0.0

    @property
    def reach(self) -> Float64:
        """The greatest magnitude of each channel's weights."""
        return np.asarray(np.abs(self.wanted).max(1, initial=0.0))


@dataclass(frozen=True)
class Evidence:
    """What is known of a layer. weights: of a product, where they could be set beside the float ones.

    joins: the float nodes that join its output with others on its scale. readers: those that read it as it is
    held, or what is moved or joined of it. is_input: whether it rounds an input of the model.
    """

    row: LayerRow
    own: Own
    weights: Weights | None
    joins: tuple[str, ...]
    readers: tuple[str, ...]
    is_input: bool

    @property
    def seen(self) -> tuple[float, float]:
        """The least and the greatest of its values, and of 0."""
        return self.own.seen.min, self.own.seen.max

    @property
    def width(self) -> float:
        """How many times wider than what was seen the range of its integers is; 0 of floats."""
        low, high = self.seen
        if self.row.low is None or self.row.high is None or not high > low:
            return 0.0
        return (self.row.high - self.row.low) / (high - low)

    @property
    def reach(self) -> Float64:
        """The greatest magnitude of each channel's values."""
        return np.asarray(np.maximum(np.abs(self.own.least), np.abs(self.own.greatest)))

    def noise_of(self, channels: npt.NDArray[np.bool_]) -> float:
        """The share of the noise that some channels have."""
        if len(channels) != len(self.own.noises) or self.own.ratio.noise <= 0:
            return 0.0
        return float(self.own.noises[channels].sum()) / self.own.ratio.noise


Finding = tuple[Cause, Change | None]


def input_range(evidence: Evidence) -> Finding | None:
    """An input is fed other values than the model was calibrated with: another range, mean or size."""
    row = evidence.row
    if not evidence.is_input or not (row.clipping > MOST or evidence.width > WIDE):
        return None
    low, high = evidence.seen
    text = f"it is fed {low:.4g} to {high:.4g}, and calibration saw {row.low:.4g} to {row.high:.4g}"
    remedy = "prepare samples as for calibration, or calibrate with these"
    return Cause("input range", text, remedy), _ranged(evidence)


def clipped_range(evidence: Evidence) -> Finding | None:
    """Values beyond what the integers hold."""
    row = evidence.row
    if row.clipping <= MOST:
        return None
    low, high = evidence.seen
    text = (
        f"{100 * row.clipped:.2g} % of its values are beyond {row.low:.4g} to {row.high:.4g}, they reach "
        f"{low:.4g} to {high:.4g}"
    )
    remedy = "calibrate with such samples and range_rule='minmax'"
    return Cause("clipped range", text, remedy), _ranged(evidence)


def flat_softmax(evidence: Evidence) -> Finding | None:
    """Probabilities of so many classes that each is a few steps."""
    row = evidence.row
    if row.op != "QSoftmax" or row.scale is None or row.rounding <= MOST:
        return None
    steps = evidence.seen[1] / row.scale[0]
    if steps >= FEW_STEPS:
        return None
    text = f"its greatest probability is {evidence.seen[1]:.3g}, {steps:.1f} steps of its integers"
    return _kept_real("flat softmax", text, evidence)


def concat_of_unlike_ranges(evidence: Evidence) -> Finding | None:
    """A range that others which are joined with it need."""
    row = evidence.row
    if not evidence.joins or row.rounding <= MOST or evidence.width <= WIDE:
        return None
    low, high = evidence.seen
    text = (
        f"its values reach {low:.4g} to {high:.4g}, and its integers {row.low:.4g} to {row.high:.4g}, for "
        f"what it is joined with in {evidence.joins[0]!r}"
    )
    return _kept_real("Concat of unlike ranges", text, evidence)


def wide_range(evidence: Evidence) -> Finding | None:
    """A range of which the values take a part only, so that their steps are coarse."""
    row = evidence.row
    if row.rounding <= MOST or evidence.width <= WIDE:
        return None
    low, high = evidence.seen
    text = f"its integers reach {row.low:.4g} to {row.high:.4g}, its values {low:.4g} to {high:.4g}"
    remedy = "calibrate with typical samples, or with range_rule='p99.99'"
    return Cause("range too wide", text, remedy), _ranged(evidence)


def outlier_channel(evidence: Evidence) -> Finding | None:
    """A channel that is louder than the others, whose steps are coarse for it."""
    row, reach = evidence.row, evidence.reach
    live = reach[reach > 0]
    if row.scale is None or len(row.scale) > 1 or row.rounding <= MOST or len(live) < 4:
        return None
    median = float(np.median(live))
    if reach.max() <= UNLIKE * median:
        return None
    text = f"channel {int(reach.argmax())} reaches {reach.max():.4g}, the median one {median:.4g}"
    return _kept_real("outlier channel", text, evidence)


def saturated_accumulator(evidence: Evidence) -> Finding | None:
    """Biases that leave its sums no room: they were cut off, or weights made coarse for them."""
    weights = evidence.weights
    if weights is None or evidence.row.computing <= MOST or evidence.noise_of(weights.full) <= MOST:
        return None
    channels = np.flatnonzero(weights.full).tolist()
    text = f"the bias of {_listed(channels)} is as large as its accumulator holds beside the sums"
    return _again("saturated accumulator", text, evidence)


def dead_channels(evidence: Evidence) -> Finding | None:
    """Channels whose weights are rounded to 0, all of them."""
    weights = evidence.weights
    if weights is None or evidence.noise_of(weights.dead) <= MOST:
        return None
    channels = np.flatnonzero(weights.dead).tolist()
    share = 100 * evidence.noise_of(weights.dead)
    text = f"the weights of {_listed(channels)} are all 0 as integers, which is {share:.0f} % of its noise"
    return _again("dead channels", text, evidence)


def outlier_weight_channel(evidence: Evidence) -> Finding | None:
    """One scale for all weights, which one channel sets."""
    weights = evidence.weights
    if weights is None or weights.per_channel or len(weights.reach) < 2 or evidence.row.computing <= MOST:
        return None
    reach, median = weights.reach, float(np.median(weights.reach))
    if reach.max() <= UNLIKE * median:
        return None
    text = (
        f"its weights have one scale; those of channel {int(reach.argmax())} reach {reach.max():.4g}, of the "
        f"median one {median:.4g}"
    )
    change = Change(name=evidence.row.name, weights=True, per_channel=True)
    return Cause("outlier weight channel", text, "per_channel=True"), change


def coarse_weights(evidence: Evidence) -> Finding | None:
    """Integers that are far from the float weights: few levels, or other weights."""
    weights = evidence.weights
    if weights is None or weights.noise <= COARSE or evidence.row.computing <= MOST:
        return None
    levels = max(len(set(row.tolist())) for row in weights.found)
    error = 10 * np.log10(weights.noise)
    text = f"its weights err by {error:.0f} dB, with {levels} different ones a channel at most"
    return _again("coarse weights", text, evidence)


def bias_shift(evidence: Evidence) -> Finding | None:
    """Channels whose mean is off, by a bias that is off."""
    weights, row = evidence.weights, evidence.row
    if weights is None or row.computing <= MOST or evidence.own.shift <= MOST:
        return None
    wanted, found = weights.bias
    off = np.abs(found - wanted)
    size = np.sqrt(evidence.own.signals / np.maximum(evidence.own.elements, 1))
    if len(size) != len(off):
        return None
    explained = float((evidence.own.elements * off**2).sum()) / max(evidence.own.ratio.noise, 1e-300)
    if explained <= MOST:
        return None
    worst = int(off.argmax())
    text = (
        f"the bias of channel {worst} is {found[worst]:.4g}, in the float model {wanted[worst]:.4g}; its "
        f"values are {size[worst]:.4g} in the root mean square"
    )
    return _again("bias shift", text, evidence)


def mean_shift(evidence: Evidence) -> Finding | None:
    """Channels whose mean is off because the roundings of their weights do not make up for each other."""
    weights, own = evidence.weights, evidence.own
    if weights is None or evidence.row.computing <= MOST or own.shift <= MOST:
        return None
    if len(own.errors) != len(weights.found):
        return None
    means = own.errors / np.maximum(own.elements, 1)
    worst = int(np.abs(means).argmax())
    text = (
        f"the mean errors of its channels are {100 * own.shift:.0f} % of its noise, {means[worst]:.3g} in "
        f"channel {worst}"
    )
    change = Change(name=evidence.row.name, bias=tuple((-means).tolist()))
    return Cause("mean shift", text, "effort='default', whose biases keep the means"), change


def wrong_factor(evidence: Evidence) -> Finding | None:
    """Results that are too large or too small by a factor: a scale or a multiplier that does not fit."""
    gain, row = evidence.own.gain, evidence.row
    explained = (gain - 1) ** 2 / max(evidence.own.ratio.share, 1e-300)
    if row.computing <= MOST or explained <= MOST or abs(gain - 1) <= OFF:
        return None
    text = f"what it gives is {gain:.3f} times what it should be"
    return _again("wrong factor", text, evidence)


def rounding(evidence: Evidence) -> Finding | None:
    """Nothing but the steps of its integers."""
    row = evidence.row
    if evidence.own.ratio.noise <= 0:
        return None
    kinds = {"steps": row.rounding, "clipping": row.clipping, "weights and sums": row.computing}
    largest = max(kinds, key=lambda kind: kinds[kind])
    text = f"nothing stands out; {100 * kinds[largest]:.0f} % of its noise are its {largest}"
    if largest == "weights and sums" and row.nodes:
        return Cause("rounding", text, _exclude(row.nodes)), Change(exclude=row.nodes)
    return _kept_real("rounding", text, evidence)


CAUSES: dict[str, Callable[[Evidence], Finding | None]] = {
    "input range": input_range,
    "clipped range": clipped_range,
    "flat softmax": flat_softmax,
    "Concat of unlike ranges": concat_of_unlike_ranges,
    "range too wide": wide_range,
    "outlier channel": outlier_channel,
    "saturated accumulator": saturated_accumulator,
    "dead channels": dead_channels,
    "outlier weight channel": outlier_weight_channel,
    "coarse weights": coarse_weights,
    "bias shift": bias_shift,
    "wrong factor": wrong_factor,
    "mean shift": mean_shift,
    "rounding": rounding,
}
"""Causes of a layer's errors by name, the more special first."""


def causes_of_layers(
    measured: Sequence[tuple[LayerRow, Layer, Own]], first: Program, second: Program, tried: Trials | None
) -> list[LayerRow]:
    """The rows, the worst first, with the cause of each; of the first few its remedy has been tried."""
    found = []
    for place, (row, layer, own) in enumerate(measured):
        weights = _weights_of(layer, tried)
        joins, readers = _reached(layer, first, second)
        evidence = Evidence(row, own, weights, joins, readers, row.of in first.inputs and not row.nodes)
        findings = [finding for cause in CAUSES.values() if (finding := cause(evidence)) is not None]
        causes = _first_that_helps(findings, tried if place < TRIED else None)
        found.append(replace(row, causes=causes, weights=_drawn(weights)))
    return found


def _first_that_helps(findings: Sequence[Finding], tried: Trials | None) -> tuple[Cause, ...]:
    """The first cause whose remedy makes the answers better, where that is tried; the first, if none does."""
    causes = []
    for cause, change in findings:
        if tried is None or change is None:
            causes.append(cause)
            break
        causes.append(replace(cause, gain=tried.gain(change)))
        if (causes[-1].gain or 0.0) > 0.0:
            return (causes[-1],)
    return tuple(causes[:1])


def _weights_of(layer: Layer, tried: Trials | None) -> Weights | None:
    """The weights and the bias of a product beside those of the float model, which the trials know."""
    node = layer.node
    if tried is None or node.op not in marked("weighs") or node.inputs[1] not in tried.lowered.weights:
        return None
    program, plain = tried.lowered.program, tried.plain.program
    quant = program.values[node.inputs[1]].quant
    if quant is None or quant.axis is None:
        return None
    wanted = tried.lowered.weights[node.inputs[1]].astype(np.float64)
    integers = program.constants[node.inputs[1]].astype(np.float64)
    rows = [np.moveaxis(array, quant.axis, 0).reshape(len(quant.scale), -1) for array in (wanted, integers)]
    found = rows[1] * quant.scale.astype(np.float64)[:, None]
    biases = tuple(bias_in_reals(made, node) for made in (plain, program))
    return Weights(
        rows[0],
        found,
        (biases[0], biases[1]),
        _full(program, node, rows[1]),
        per_channel=len(set(quant.scale.tolist())) > 1,
    )


def _full(program: Program, node: Node, integers: Float64) -> npt.NDArray[np.bool_]:
    """The channels whose sums can come near the end of their accumulator: the bound (5)."""
    of = ACTIVATIONS[program.values[node.inputs[0]].dtype]
    bias = program.constants[node.inputs[2]]
    if bias.dtype.kind == "f":
        return np.zeros(len(bias), np.bool_)
    reach = np.abs(integers).sum(1) * max(map(of.reach, x_zero_points(program, node)))
    return np.asarray(np.abs(bias.astype(np.float64)) + reach > FULL * of.sum_end)


def _reached(layer: Layer, first: Program, second: Program) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The float nodes that join the layer's output with others, and all that read it in any way."""
    floats = {node.name for node in first.nodes}
    scale, reached = _scale(second, layer.output), {layer.output}
    joins, readers = [], []
    for node in second.nodes:
        if not reached.intersection(node.inputs):
            continue
        if node.name in floats:
            readers.append(node.name)
        if _scale(second, node.outputs[0]) == scale and not node.op.startswith("Q"):
            reached.update(node.outputs)
            if node.op in JOINS and len(set(node.inputs)) > 1:
                joins.append(node.name)
    return tuple(joins), tuple(readers)


def _scale(program: Program, name: str) -> list[float] | None:
    quant = program.values[name].quant
    return None if quant is None else quant.scale.tolist()


def _drawn(weights: Weights | None) -> list[dict[str, float]]:
    if weights is None:
        return []
    errors = np.square(weights.found - weights.wanted).sum(1)
    squares = np.square(weights.wanted).sum(1)
    return [
        {"reach": float(reach), "error": float(error / square) if square else 0.0}
        for reach, error, square in zip(weights.reach, errors, squares, strict=True)
    ]


def _ranged(evidence: Evidence) -> Change:
    """Its integers over what was seen of it."""
    return Change(ranges={evidence.row.of: evidence.own.seen})


def _kept_real(name: str, text: str, evidence: Evidence) -> Finding:
    """What reads the layer's output stays float: a product then gives it as it is, from its sums."""
    nodes = evidence.readers or evidence.row.nodes
    return Cause(name, text, _exclude(nodes)), Change(exclude=nodes) if nodes else None


def _again(name: str, text: str, evidence: Evidence) -> Finding:
    """Its integers made anew from the float model's weights and bias."""
    change = Change(name=evidence.row.name, weights=True)
    return Cause(name, text, "quantize again from the float model"), change


def _exclude(nodes: Sequence[str]) -> str:
    return f"exclude=[{', '.join(map(repr, nodes))}]"


def _listed(channels: Sequence[int]) -> str:
    shown = ", ".join(map(str, channels[:4]))
    return f"channel{'s' * (len(channels) > 1)} {shown}{' and others' * (len(channels) > 4)}"
