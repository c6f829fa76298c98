"""Biases that keep the means of a product's results, before and behind its activation.

What rounding adds to a channel's results on the average, its bias can take away (Nagel and others, 2019,
"Data-free quantization through weight equalization and bias correction", section 4.2; here measured over
samples, in the network as it is quantized so far, and once more behind the activation, where a shift does not
reach every result).
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from octavo import _core
from octavo.calibration import HANDFUL, Feeds, Statistics, each
from octavo.program import Attribute, Node, Program, Value
from octavo.program.scales import scale_of_sums
from octavo.quantization.columns import some_rows
from octavo.quantization.products import Product, bias_in_reals, bias_of_reals, fits
from octavo.quantization.walk import Walk, part, session_of
from octavo.rewrites import shapes_of

Float64 = npt.NDArray[np.float64]

_SEEN, _OF_ONE = 2_000, 128
"""Results a channel that are looked at behind an activation, and of one sample."""

MEANS = {"QConv": "channel_means", "QConvTranspose": "channel_means", "QGemm": "feature_means"}
"""The statistic that has a mean for each channel of an op's results."""


def mean_results(
    floats: Program, products: Sequence[Product], feeds: Sequence[Feeds], threads: int | None
) -> list[Float64]:
    """The mean of each channel of each product in float, behind its activation, over these samples."""
    seen = {}
    for op, statistic in MEANS.items():
        names = sorted({of.behind for of in products if of.node.op == op})
        if names:
            seen[op] = _observed(part(floats, floats.nodes, names), names, statistic, feeds, threads)
    return [_means(seen[of.node.op], of.behind) for of in products]


def correct_bias(walk: Walk, product: Product, wanted: Float64) -> None:
    """Give the product, up to which the walk has come, the bias that makes its means the wanted ones.

    wanted: of each channel, behind the activation.
    """
    node, program = product.node, walk.program
    reals = bias_in_reals(program, node)
    alone = _alone(program, product, reals)

    def inputs() -> Iterator[Feeds]:
        return ({"x": x} for x in walk.values(node.inputs[0]))

    statistics = _observed(alone, alone.outputs, MEANS[node.op], inputs(), walk.threads)
    shift = wanted - _means(statistics, alone.outputs[0])
    if product.has_activation:
        seen = _some_results(part(alone, alone.nodes, ["before"]), node.op, inputs(), walk.threads)
        shift = _core.shifts_behind((product.low, product.high), shift, seen)
    bias = bias_of_reals(program, node, reals + shift)
    if fits(program, node, program.constants[product.weight], bias):
        walk.change({product.bias: bias})


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


def _some_results(
    program: Program, op: str, inputs: Iterable[Feeds], threads: int | None
) -> npt.NDArray[np.float32]:
    """Some of a product's results over these inputs, [results, channels]."""
    session, picked, count = session_of(program), [], 0

    def some(sample: tuple[int, Feeds]) -> npt.NDArray[np.float32]:
        turn, feeds = sample
        [results] = session.run(None, feeds)
        return some_rows(results, -1 if op == "QGemm" else 1, _OF_ONE, turn)

    for results in each(some, enumerate(inputs), threads, HANDFUL):
        picked.append(results)
        count += len(results)
        if count >= _SEEN:
            break
    return np.concatenate(picked)


def _observed(
    program: Program, names: list[str], statistic: str, feeds: Iterable[Feeds], threads: int | None
) -> Statistics:
    # Nobody asks for the values themselves, which would then be brought into the order that callers expect.
    session, statistics = session_of(shapes_of(program, names)), Statistics(names, [statistic])

    def see(sample: Feeds) -> None:
        session.observe({name: sample[name] for name in program.inputs}, statistics)

    for _ in each(see, feeds, threads, HANDFUL):
        pass
    return statistics


def _means(statistics: Statistics, name: str) -> Float64:
    return np.array(statistics.read(name, statistics.statistics[0])["means"], np.float64)


_KEPT = (
    "x_zero_point",
    "x_zero_points",
    "strides",
    "pads",
    "auto_pad",
    "dilations",
    "group",
    "output_padding",
    "output_shape",
)
"""The attributes of a product that do not say what becomes of its sums."""
