"""Faults put into a quantized model on purpose, each at one layer, with the cause that it must be given."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import octavo
from octavo.calibration import RULES, ranges
from octavo.lowering import Forms, Lowered, Range, lower_to_integers
from octavo.program import Program
from octavo.quantization.grids import grids


@dataclass(frozen=True)
class Subject:
    """A float Program, what calibration saw of it, and the quantized one."""

    floats: Program
    ranges: dict[str, Range]
    grids: dict
    held: np.ndarray

    def lowered(self, **changed) -> Lowered:
        forms = Forms(self.ranges | changed.pop("ranges", {}), grids=self.grids)
        return lower_to_integers(self.floats, replace(forms, **changed))


def subject(model, calibration, held):
    calibrator = octavo.prepare(model).observe(calibration)
    floats = calibrator.with_shapes(None)
    seen = ranges(calibrator.calibration.statistics, RULES["minmax"])
    return Subject(floats, seen, grids(floats, calibrator.calibration.kept.feeds), held)


def products(lowered, *, requantized=False):
    """The nodes with weights; those alone whose result is in integers."""
    return [
        node
        for node in lowered.program.nodes
        if node.op in ("QConv", "QGemm")
        and (not requantized or lowered.program.values[node.outputs[0]].quant is not None)
    ]


def changed(lowered, **constants):
    program = lowered.program
    assert all(program.constants[name].dtype == array.dtype for name, array in constants.items())
    return replace(program, constants=program.constants | constants)


def by_range(subject, rng, factor):
    """One product's output in a range that is so many times as wide as it should be."""
    lowered = subject.lowered()
    node = rng.choice(np.array(products(lowered, requantized=True), object))
    of = lowered.values[node.outputs[0]]
    seen = subject.ranges[of]
    broken = subject.lowered(ranges={of: Range(seen.min * factor, seen.max * factor)})
    return node.name, broken.program


def clipped(subject, rng):
    return by_range(subject, rng, rng.uniform(0.15, 0.4))


def wide(subject, rng):
    return by_range(subject, rng, rng.uniform(8, 24))


def few_levels(subject, rng):
    """Weights of a few levels only, at the scales that they had."""
    lowered = subject.lowered()
    node = rng.choice(np.array(products(lowered), object))
    weight = lowered.program.constants[node.inputs[1]]
    step = int(rng.integers(40, 64))
    coarse = (np.rint(weight / step) * step).clip(-127, 127).astype(weight.dtype)
    return node.name, changed(lowered, **{node.inputs[1]: coarse})


def dead(subject, rng):
    """Channels of which all weights are 0."""
    lowered = subject.lowered()
    node = rng.choice(np.array(products(lowered, requantized=True), object))
    weight = lowered.program.constants[node.inputs[1]].copy()
    channels = np.moveaxis(weight, lowered.program.values[node.inputs[1]].quant.axis, 0)
    channels[rng.permutation(len(channels))[: max(1, len(channels) // 3)]] = 0
    return node.name, changed(lowered, **{node.inputs[1]: weight})


def shifted(subject, rng):
    """Biases that are off by as much as the layer's range is, for some channels."""
    lowered = subject.lowered()
    node = rng.choice(np.array(products(lowered, requantized=True), object))
    bias = lowered.program.constants[node.inputs[2]].copy()
    seen = subject.ranges[lowered.values[node.outputs[0]]]
    unit = units(lowered.program, node)
    moved = rng.permutation(len(bias))[: max(1, len(bias) // 3)]
    by = rng.uniform(0.15, 0.3) * seen.width / unit[moved]
    bias[moved] += np.minimum(by, 2.0**29).astype(bias.dtype)
    return node.name, changed(lowered, **{node.inputs[2]: bias})


def halved(subject, rng):
    """Multipliers of half the size, and so results of half the size."""
    lowered = subject.lowered()
    node = rng.choice(np.array(products(lowered, requantized=True), object))
    shift = np.minimum(lowered.program.constants[node.inputs[4]] + 1, 62)
    return node.name, changed(lowered, **{node.inputs[4]: shift.astype(np.int32)})


def units(program, node):
    """What one unit of a product's sums is, a channel."""
    weight = program.values[node.inputs[1]].quant.scale.astype(np.float64)
    x = program.values[node.inputs[0]].quant
    return weight if x.axis is not None else weight * float(x.scale[0])


INJECTIONS: dict[str, Callable] = {
    "clipped range": clipped,
    "range too wide": wide,
    "coarse weights": few_levels,
    "dead channels": dead,
    "bias shift": shifted,
    "wrong factor": halved,
}
