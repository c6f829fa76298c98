"""Scales a channel for tensors that only depthwise convolutions read.

Such a convolution meets each channel by itself, so its own multipliers can take a scale in, at no cost at run
time. A channel c that reaches to high_c, of a tensor that reaches to high, is given the range

    high_c * (high_c / high)^(alpha - 1) = high * (high_c / high)^alpha,    at most the tensor's own:

with alpha below 1, quiet channels keep a margin beyond what was seen of them (as between weights and
activations in Xiao and others, 2022, "SmoothQuant", equation 4).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from octavo.calibration import Statistics
from octavo.lowering import Affine, Lowered
from octavo.lowering.affine import SCALE_MIN
from octavo.lowering.speed import is_depthwise
from octavo.program import Node, Program
from octavo.program.checks import RESIDUAL
from octavo.program.integers import UINT8
from octavo.quantization.products import readers_of

ALPHAS = (0.5, 0.75)
"""The exponents that are tried."""

CHANNEL_NEEDS = ("channel_extremes",)
"""The statistics that such scales are drawn from."""

_LEAST = 1e-3
"""The least share of the tensor's greatest element that a channel is taken to reach to."""


def channel_forms(lowered: Lowered, statistics: Statistics, alpha: float) -> dict[str, Affine]:
    """Forms with a scale a channel, by the name of the float value, of all tensors that can have one."""
    forms = {}
    for name in candidates(lowered):
        form, seen = lowered.forms[name], statistics.read(name, CHANNEL_NEEDS[0])
        if not seen or not all(np.isfinite(seen["maxima"])):
            continue
        highs = np.maximum(np.array(seen["maxima"], np.float64), 0.0)
        greatest = highs.max(initial=0.0)
        if greatest == 0.0:
            continue
        shares = np.maximum(highs / greatest, _LEAST)
        scales = np.minimum(greatest * _power(shares, alpha) / form.of.steps, np.float64(form.scale))
        channels = tuple(np.maximum(scales.astype(np.float32), SCALE_MIN))
        forms[name] = Affine(max(channels), form.zero_point, form.of, channels)
    return forms


def _power(shares: npt.NDArray[np.float64], alpha: float) -> npt.NDArray[np.float64]:
    """By square roots, which are the same on every machine."""
    root = np.sqrt(shares)
    return root if alpha == ALPHAS[0] else root * np.sqrt(root)


def candidates(lowered: Lowered) -> Iterator[str]:
    """The float values that convolutions give, from 0 on, to depthwise convolutions and nobody else."""
    program, readers = lowered.program, readers_of(lowered.program)
    for node in program.nodes:
        output = node.outputs[0]
        quant = program.values[output].quant
        if node.op != "QConv" or node.inputs[RESIDUAL:] or quant is None or quant.zero_point.any():
            continue
        of = lowered.forms[lowered.values[output]].of
        if of is not UINT8 or (node.attributes["lo"], node.attributes["hi"]) != (0, of.high):
            continue
        reads = readers.get(output, [])
        if reads and all(_multiplies_channels(program, reader, output) for reader in reads):
            yield lowered.values[output]


def _multiplies_channels(program: Program, node: Node, source: str) -> bool:
    if node.op != "QConv" or node.inputs[0] != source:
        return False
    return is_depthwise(node, program.values[node.inputs[1]].shape)
