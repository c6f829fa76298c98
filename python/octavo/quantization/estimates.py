"""What int8 would cost a float model, from its weights and shapes alone: `estimate`, and what it tells.

The Program is the one that `quantize` would make with `effort="fast"`, but for its ranges, so the errors of
its weights are real. What no data tell is taken as typical. With each value goes its relative noise n, the
power of its error over that of itself:

    a product by weights     n = n_x + |w' - w|^2 / |w|^2, w' what the integers of w stand for
    a product of two values  n = n_a + n_b
    anything else            n = the mean of the inputs' n, as of signals of one power and errors apart; so it
                             is of a product and the residual that joins its sums
    rounded to uint8         n + (width / 255)^2 / 12, width the range in deviations, as `SPREAD` has it
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from octavo import frontend
from octavo.lowering import Forms, Lowered, Range, lower_to_integers
from octavo.lowering.epilogue import clip_bounds
from octavo.program import Node, Program, artifact
from octavo.program.integers import ACTIVATIONS, INT8, UINT8
from octavo.program.ops import marked
from octavo.program.tensors import tensor
from octavo.quantization.judge import answers_of, squares
from octavo.quantization.loading import floats_of, observable
from octavo.quantization.macs import macs, stated_sizes
from octavo.quantization.outlook import Outlook, outlook
from octavo.quantization.scopes import excluded_nodes
from octavo.rewrites import stored_tables

SPREAD = 5.0
"""A tensor's values are taken as normal around 0, and its range as so many deviations to either side: as far
as the largest of a million values lies."""


@dataclass(frozen=True)
class LayerEstimate:
    """A product of weights in integers.

    name, op: of the float model's node. macs: for one sample, free axes as 1. weights: the SQNR of the
    rounded weights in dB. accumulated: the expected SQNR of what the layer gives, in dB.
    """

    name: str
    op: str
    macs: int
    weights: float
    accumulated: float


@dataclass(frozen=True)
class Estimate:
    """What is to be expected of a model in int8.

    outputs: by the name of a float output, or of what goes into its Softmax or Sigmoid, the expected SQNR in
    dB; None where nothing of it is in integers. layers: in the model's order. outlook: what would run in
    integers, and what would stay float. float_bytes, integer_bytes: of the constants before and after.
    artifact_bytes: of the file that `save` would write.
    """

    outputs: dict[str, float | None]
    layers: list[LayerEstimate]
    outlook: Outlook
    float_bytes: int
    integer_bytes: int
    artifact_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def estimate(model: frontend.Source, *, exclude: Iterable[str] = ()) -> Estimate:
    """What the recipe int8 would make of a float model, without data.

    model, exclude: as `quantize` takes them. Raises `ModelError` as it does.
    """
    floats, names, _ = floats_of(model)
    excluded = excluded_nodes(floats, exclude, names)
    lowered = lower_to_integers(floats, Forms(_ranges(floats)), excluded)
    program = stored_tables(lowered.program, INT8, excluded)
    noises = _Noises(floats, lowered)
    return Estimate(
        outputs={name: noises.decibels(name) for name in answers_of(floats, lowered)},
        layers=noises.layers,
        outlook=outlook(floats, sorted(excluded)),
        float_bytes=sum(array.nbytes for array in floats.constants.values()),
        integer_bytes=artifact.stored_bytes(program),
        artifact_bytes=len(artifact.to_bytes(program)),
    )


class _Noises:
    """The relative noise of every value of a lowered Program, node after node."""

    def __init__(self, floats: Program, lowered: Lowered) -> None:
        self._program = lowered.program
        self._lowered = lowered
        self._noise = dict.fromkeys(lowered.program.inputs, 0.0)
        self._of = {of: name for name, of in lowered.values.items() if self._is_float(name)}
        self.layers: list[LayerEstimate] = []
        sizes, nodes = stated_sizes(floats), {node.name: node for node in floats.nodes}
        for node in lowered.program.nodes:
            weights = _noise_of_weights(lowered, node)
            noise = self._combined(node, weights or 0.0)
            if weights is not None:
                done = [nodes[name] for name in lowered.nodes[node.name]]
                work = sum(macs(one, sizes) for one in done)
                self.layers.append(
                    LayerEstimate(done[0].name, done[0].op, work, decibels(weights), decibels(noise))
                )
            for name in filter(self._is_real, node.outputs):
                self._noise[name] = noise + self._of_rounding(node, name)

    def decibels(self, name: str) -> float | None:
        """Of a value of the float model that is there in float."""
        noise = self._noise[self._of[name]]
        return decibels(noise) if noise > 0 else None

    def _combined(self, node: Node, weights: float) -> float:
        """What the inputs bring along, and the weights."""
        noises = [self._noise[name] for name in node.inputs if name in self._noise]
        if node.op in _PRODUCTS:
            return sum(noises)
        if noises:
            noises[0] += weights
        return sum(noises) / len(noises) if noises else weights

    def _of_rounding(self, node: Node, name: str) -> float:
        """What it adds to hold the results in integers; nothing for a node that only moves them."""
        quant = self._program.values[name].quant
        if quant is None or not (node.op.startswith("Q") or node.op in ("Lookup", "Requantize")):
            return 0.0
        return rounding_noise(one_sided=not quant.zero_point.any())

    def _is_real(self, name: str) -> bool:
        return bool(name) and self._program.values[name].dtype in (*ACTIVATIONS, "f16", "f32", "f64")

    def _is_float(self, name: str) -> bool:
        return self._program.values[name].dtype == "f32" and name not in self._program.constants


def rounding_noise(*, one_sided: bool) -> float:
    """The relative noise that rounding to uint8 adds to a typical tensor.

    one_sided: of a Relu of normal values, which has half of their range, half of their power, and an error in
    half of its elements: zeros have none.
    """
    width = SPREAD if one_sided else 2 * SPREAD
    return (width / UINT8.steps) ** 2 / 12


def decibels(noise: float) -> float:
    """A relative noise as SQNR."""
    return -10 * math.log10(noise) if noise > 0 else 300.0


def _noise_of_weights(lowered: Lowered, node: Node) -> float | None:
    """The power of the rounding error of a node's weights over that of the weights; None without weights."""
    if not node.op.startswith("Q") or len(node.inputs) < 2 or node.inputs[1] not in lowered.weights:
        return None
    wanted = lowered.weights[node.inputs[1]]
    signal = squares(wanted)
    return squares(tensor(lowered.program, node.inputs[1]).dequantize() - wanted) / signal if signal else 0.0


def _ranges(floats: Program) -> dict[str, Range]:
    """Ranges that are typical in shape: from 0 where no value can be negative, else to both sides."""
    positive: set[str] = set()
    for node in floats.nodes:
        if _is_positive(floats, node, positive):
            positive.update(node.outputs)
    return {name: Range(0.0 if name in positive else -SPREAD, SPREAD) for name in observable(floats)}


def _is_positive(floats: Program, node: Node, positive: set[str]) -> bool:
    if node.op == "Clip":
        return clip_bounds(node, floats.constants.get)[0] >= 0
    read: Sequence[str] = [name for name in node.inputs if name and floats.values[name].dtype == "f32"]
    known = all(
        name in positive or (name in floats.constants and bool((floats.constants[name] >= 0).all()))
        for name in read
    )
    return node.op in _POSITIVE or (known and bool(read) and node.op in (*_KEEP_SIGNS, *marked("moves")))


_PRODUCTS = ("Mul", "QMul", "Div", "MatMul", "QMatMul")
_POSITIVE = ("Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt")
_KEEP_SIGNS = ("Add", "AveragePool", "Concat", "GlobalAveragePool", "Max", "MaxPool", "Mul", "ReduceMean")
