"""Biases that keep the means of a product's results, before and behind its activation.

What rounding adds to a channel's results on the average, its bias can take away (Nagel and others, 2019,
"Data-free quantization through weight equalization and bias correction", section 4.2; here measured over
samples, in the network as it is quantized so far, and once more behind the activation, where a shift does not
reach every result).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from octavo.calibration import Feeds, Statistics
from octavo.program import Attribute, Node, Program, Value
from octavo.quantization.columns import places
from octavo.quantization.products import Product, bias_in_reals, bias_of_reals, fits, scale_of_sums
from octavo.quantization.walk import Walk, part
from octavo.session import Session

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_SEEN, _OF_ONE, _STEPS = 5_000, 320, 3
"""Results a channel that are looked at behind an activation, and of one sample; Newton's steps."""

_LEAST_INSIDE, _LONGEST = 0.02, 0.1
"""The share of results that an activation passes on is taken for this at least; a step is no longer than this
share of the results' mean magnitude."""

MEANS = {"QConv": "channel_means", "QGemm": "feature_means"}
"""The statistic that has a mean for each channel of an op's results."""


@dataclass(frozen=True)
class Means:
    """The mean of each channel of a product's results, before and behind the activation; [channels]."""

    before: Float64
    behind: Float64


def mean_results(
    floats: Program, products: Sequence[Product], feeds: Sequence[Feeds], threads: int | None
) -> list[Means]:
    """Of each product in float over these samples."""
    seen = {}
    for op, statistic in MEANS.items():
        names = sorted({end for of in products if of.node.op == op for end in (of.before, of.behind)})
        if names:
            seen[op] = _observed(part(floats, floats.nodes, names), names, statistic, feeds, threads)
    return [
        Means(_means(seen[of.node.op], of.before), _means(seen[of.node.op], of.behind)) for of in products
    ]


def correct_bias(walk: Walk, product: Product, wanted: Means) -> None:
    """Give the product, up to which the walk has come, the bias that makes its means the wanted ones."""
    node, program = product.node, walk.program
    reals = bias_in_reals(program, node)
    alone = _alone(program, product, reals)
    means, seen = _results(walk, product, alone)
    shift = wanted.before - means.before
    if product.has_activation and len(seen):
        shift = behind_activation(product, wanted.behind - means.behind, seen, shift)
    bias = bias_of_reals(program, node, reals + shift)
    if fits(program, node, program.constants[product.weight], bias):
        walk.change({product.bias: bias})


def behind_activation(
    product: Product, missing: Float64, seen: npt.NDArray[np.float32], shift: Float64
) -> Float64:
    """The shift of the bias that makes up for what is missing of the mean behind the activation, [channels].

    seen: some results without a shift, [results, channels]. shift: where to begin. Newton's method; the
    results are taken as integers of a small unit, so that sums of them are exact.
    """
    _, exponent = np.frexp(np.abs(seen).max(initial=np.float32(2.0**-100)))
    unit = np.ldexp(1.0, int(exponent) - 31)
    results = np.rint(seen.astype(np.float64) / unit).astype(np.int64)
    low, high = _in_units(np.array([product.low, product.high]), unit)
    longest = _LONGEST * unit * np.abs(results).sum(axis=0) / len(results)
    at_first = np.clip(results, low, high).sum(axis=0)
    for _ in range(_STEPS):
        moved = results + _in_units(shift, unit)
        gained = unit * (np.clip(moved, low, high).sum(axis=0) - at_first) / len(results)
        inside = ((moved > low) & (moved < high)).sum(axis=0) / len(results)
        step = (missing - gained) / np.maximum(inside, _LEAST_INSIDE)
        shift = shift + np.clip(step, -longest, longest)
    return shift


def _in_units(reals: Float64, unit: float) -> Int64:
    """Reals in units; infinity, and what lies beyond all results, as 2^40 of them."""
    return np.clip(np.rint(reals / unit), -(2.0**40), 2.0**40).astype(np.int64)


def _alone(program: Program, product: Product, bias: Float64) -> Program:
    """The product by itself with float results, before and behind its activation."""
    node = product.node
    x, weight = program.values[node.inputs[0]], program.values[product.weight]
    kept: dict[str, Attribute] = {key: node.attributes[key] for key in _KEPT if key in node.attributes}
    shape, ends = program.values[node.outputs[0]].shape, (len(bias),)
    values = {
        "x": Value("x", x.dtype, x.shape, x.quant),
        "weight": Value("weight", weight.dtype, weight.shape, weight.quant),
        "bias": Value("bias", "f32", ends),
        "scale": Value("scale", "f32", ends),
        "before": Value("before", "f32", shape),
    }
    constants = {
        "weight": program.constants[product.weight],
        "bias": bias.astype(np.float32),
        "scale": scale_of_sums(program, node).astype(np.float32),
    }
    nodes = [
        Node(
            node.op,
            "product",
            ("x", "weight", "bias", "scale"),
            ("before",),
            kept | {"x_scale": np.float32(1)},
        )
    ]
    if product.has_activation:
        for name, bound in (("low", product.low), ("high", product.high)):
            values[name] = Value(name, "f32", ())
            constants[name] = np.array(bound, np.float32)
        values["behind"] = Value("behind", "f32", shape)
        nodes.append(Node("Clip", "activation", ("before", "low", "high"), ("behind",)))
    return Program(["x"], [nodes[-1].outputs[0]], values, constants, nodes)


def _results(walk: Walk, product: Product, alone: Program) -> tuple[Means, npt.NDArray[np.float32]]:
    """The means of a product's results by itself, and some of the results, [results, channels]."""
    inputs = [{"x": x} for x in walk.values(product.node.inputs[0])]
    ends = ["before", "behind"] if product.has_activation else ["before"]
    statistics = _observed(alone, ends, MEANS[product.node.op], inputs, walk.threads)
    means = Means(_means(statistics, ends[0]), _means(statistics, ends[-1]))
    if not product.has_activation:
        return means, np.zeros((0, len(means.before)), np.float32)
    session, picked, count = Session(part(alone, alone.nodes, ["before"]), walk.threads), [], 0
    for turn, feeds in enumerate(inputs):
        [results] = session.run(None, feeds)
        rows = np.moveaxis(results, 1 if product.node.op == "QConv" else -1, -1)
        flat = rows.reshape(-1, rows.shape[-1])
        picked.append(flat[places(len(flat), _OF_ONE, turn)])
        count += len(picked[-1])
        if count >= _SEEN:
            break
    return means, np.concatenate(picked)


def _observed(
    program: Program, names: list[str], statistic: str, feeds: Sequence[Feeds], threads: int | None
) -> Statistics:
    session, statistics = Session(program, threads), Statistics(names, [statistic])
    for sample in feeds:
        session.observe({name: sample[name] for name in program.inputs}, statistics)
    return statistics


def _means(statistics: Statistics, name: str) -> Float64:
    return np.array(statistics.read(name, statistics.statistics[0])["means"], np.float64)


_KEPT = ("x_zero_point", "x_zero_points", "strides", "pads", "auto_pad", "dilations", "group")
"""The attributes of a product that do not say what becomes of its sums."""
