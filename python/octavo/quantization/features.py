"""Scales a feature, and several columns for the widest, for tensors that matrix products read.

A few features of a transformer's activations reach many times as far as the others, and one scale for all of
them leaves the others few steps. A product can take a scale for each feature into its weights, as long as the
weights bear it: rows of unlike size share the scales of their columns. So a feature's scale is at most `MOST`
times the least, and one that reaches farther takes several columns of the same weights (as those of R. Zhao
and others, 2019, "Improving neural network quantization without retraining using outlier channel splitting",
take halves).

With r[i] the farthest that feature i was seen to reach, times `MARGIN`:

    t     = the median of the r[i], times a factor
    f[i]  = r[i] / t, between 1 and MOST
    range = the least that holds every feature divided by its f[i], cut off at -t and t

A feature's first column holds f[i] times that range, and each further one what as many steps more hold.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from octavo.calibration import Statistics
from octavo.lowering import Affine, Grid, Lowered, Range, affine, columns
from octavo.lowering.capability import ROWS
from octavo.program import Node, Program
from octavo.program.integers import UINT8
from octavo.program.ops import marked
from octavo.quantization.products import readers_of

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

FEATURE_NEEDS = ("feature_extremes",)
"""The statistics that such scales are drawn from."""

MARGIN, MOST = 1.1, 1.4

_BOTH_SIDES, _ONE_SIDE = 1.5, 2.0
"""What the median reach is multiplied by: for values of both signs, and for those nearly all of one."""

_LEAST_SIDE = 0.25
"""The share of the farther side from which on values are taken to have both signs."""

_TABLES = frozenset(marked("unary")) - {"Relu", "Clip"}
"""Functions of one tensor but for those that a product does as well."""

_EXTRA, _TOGETHER, _WIDER = 8, 4, 1.25
"""At most a column in so many is added, in groups of as many as kernels multiply at a time; what the range is
widened by until that holds."""


def feature_forms(lowered: Lowered, statistics: Statistics) -> dict[str, Affine]:
    """Forms with a scale a feature, by the name of the float value, of all tensors that can have one."""
    forms = {}
    for name, features, axis in candidates(lowered):
        seen = statistics.read(name, FEATURE_NEEDS[0])
        if not seen or len(seen["maxima"]) != features or not all(np.isfinite(seen["maxima"])):
            continue
        least = np.minimum(np.array(seen["minima"], np.float64) * MARGIN, 0.0)
        greatest = np.maximum(np.array(seen["maxima"], np.float64) * MARGIN, 0.0)
        if max(greatest.max(), -least.min()) > 0.0:
            forms[name] = _form(least, greatest, axis)
    return forms


def _form(least: Float64, greatest: Float64, axis: int) -> Affine:
    """Of features between these ends, with 0 among them."""
    reach = np.maximum(-least, greatest)
    near, far = sorted((-least.min(), greatest.max()))
    factor = _BOTH_SIDES if near >= _LEAST_SIDE * far else _ONE_SIDE
    t = factor * (float(np.median(reach)) or float(reach.max()))
    while True:
        factors = np.clip(reach / t, 1.0, MOST)
        held = Range(max((least / factors).min(), -t), min((greatest / factors).max(), t))
        base = affine(held)
        scales = (factors * np.float64(base.scale)).astype(np.float32)
        above, below = _shares(least, greatest, scales, base)
        if (above.sum() + below.sum()) * _EXTRA <= len(reach):
            return _columns(scales, above, below, base, axis)
        t *= _WIDER


def _columns(scales: npt.NDArray[np.float32], above: Int64, below: Int64, base: Affine, axis: int) -> Affine:
    """A column of each index first, then the further ones.

    What kernels multiply together is filled up by more shares of the index that has the most above.
    """
    count, filled = len(scales), above.copy()
    if (above + below).any():
        filled[np.argmax(above)] += -(count + above.sum() + below.sum()) % _TOGETHER
    shares = [(index, 0) for index in range(count)]
    for index in range(count):
        shares += [(index, -share) for share in range(1, filled[index] + 1)]
        shares += [(index, share) for share in range(1, below[index] + 1)]
    indices = np.array([index for index, _ in shares], np.int64)
    zeros = np.array([base.zero_point + share * base.of.steps for _, share in shares], np.float32)
    return columns(scales[indices], zeros, indices, base.zero_point, axis)


def _shares(
    least: Float64, greatest: Float64, scales: npt.NDArray[np.float32], base: Affine
) -> tuple[Int64, Int64]:
    """How many further columns each feature takes above what its first one holds, and how many below.

    For a step that it lacks, as the zero point is rounded, it takes none.
    """
    wide, of = scales.astype(np.float64), base.of
    above = np.ceil((greatest / wide - (of.high - base.zero_point) - 1) / of.steps)
    below = np.ceil((-least / wide - (base.zero_point - of.low) - 1) / of.steps)
    return np.maximum(above, 0).astype(np.int64), np.maximum(below, 0).astype(np.int64)


def reads_features(floats: Program) -> bool:
    """Whether it may come to that: a matrix product reads what does not end a network of images."""
    producer = {name: node.op for node in floats.nodes for name in node.outputs}
    of_images = any(node.op == "Conv" for node in floats.nodes)
    for node in floats.nodes:
        if node.op in ("MatMul", "Gemm") and node.inputs[1] in floats.constants:
            shape, op = floats.values[node.inputs[0]].shape, producer.get(node.inputs[0], "")
            if not of_images or len(shape or ()) != 2 or op not in ROWS or op in _TABLES:
                return True
    return False


def candidates(lowered: Lowered) -> Iterator[tuple[str, int, int]]:
    """The float values that matrix products alone read in integers; of each, its features and their axis.

    They come in float, or a table gives them, which a float function can stand for.
    """
    program, readers = lowered.program, readers_of(lowered.program)
    for node in program.nodes:
        output = node.outputs[0]
        if node.op not in ("Quantize", "Lookup"):
            continue
        form = lowered.forms[lowered.values[output]]
        if form.of is not UINT8 or isinstance(form, Grid):
            continue
        reads, shape = readers.get(output, []), program.values[output].shape
        if reads and shape is not None and all(_multiplies(lowered, reader, output) for reader in reads):
            yield lowered.values[output], len(program.constants[reads[0].inputs[1]]), len(shape) - 1


def _multiplies(lowered: Lowered, node: Node, source: str) -> bool:
    """Whether a node multiplies the value by weights that were made for it."""
    return node.op == "QGemm" and node.inputs[0] == source and node.inputs[1] in lowered.weights
