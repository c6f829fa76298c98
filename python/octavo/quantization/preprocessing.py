"""Whether inputs look like what the model was trained on, measured by what the model does with them.

Nothing in a model says how its inputs were prepared, and there are no labels. Three things give it away:

- A first layer whose outputs hardly move with the input: its bias was learned beside larger values.
- A Relu6 near the inputs that stands at its bound too often: it was learned beside smaller values.
- Pixels in one of the usual scales, where in another a classifier's answers are surer and as varied.

Each bound below lies between what right and wrong data were measured to give on networks of several families;
in between, nothing is said. What no rule sees: colours in the wrong order, scales that differ little, and too
large a scale for a network that has neither three classes nor a Relu6.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.calibration import Feeds, OfInput
from octavo.program import Node, Program
from octavo.quantization.scales import SCALES, Scale, is_picture, scale_of
from octavo.session import Session

STUCK = 20.0
"""How many of their deviations a first layer's outputs and biases may lie from 0, in its median channel.
Right data: 5 at the most. 0..1 for 0..255: 50 and more."""

SATURATED = 0.2
"""The share of a Relu6's outputs that may stand at its bound. Right data: 0.03 at the most; 0..255 for -1..1:
0.3 and more."""

SURER, LEADING, VARIED = 1.05, 1.15, 0.9
"""What answers in another scale must reach, as ratios to the given one's. Of the right scale to a wrong one
that cost accuracy: 1.08, 1.2 and 0.95 at the least. No wrong one reached all three against the right one."""

ABOVE_NOISE, APART = 1.15, 0.25
"""What answers must reach to be a classifier's at all: the top over that of noise, and the share of what can
be told apart that is. It keeps embeddings out."""

SAMPLES, FEWEST, FIRST = 32, 16, 8
"""Samples to judge answers by; the fewest for that; those on which another scale is tried first."""


@dataclass(frozen=True)
class Answers:
    """How a classifier answers, in figures that do not change with the scale of its logits.

    top: by how many deviations of the logits the highest is above their mean. lead: above the second.
    variety: mutual information of sample and class, in nats, where the logits are scaled to a mean entropy of
    half of what is possible. possible: the most that it could be.
    """

    top: float
    lead: float
    variety: float
    possible: float
    noise: float


def unlike_training(program: Program, feeds: Sequence[Feeds], threads: int | None) -> list[str]:
    """What in these feeds does not look like what a float Program was trained on, one sentence each."""
    count = min(len(feeds), SAMPLES)
    feeds = [feeds[index * len(feeds) // count] for index in range(count)]
    better = _better_scale(program, feeds, threads)
    return better or [*_stuck(program, feeds, threads), *_saturated(program, feeds, threads)][:1]


def _stuck(program: Program, feeds: Sequence[Feeds], threads: int | None) -> Iterator[str]:
    """First layers that hardly move: in the median channel, mean and bias are many deviations from 0."""
    layers = _first_layers(program)
    if len(feeds) < 2 or not layers:
        return
    session = Session(_up_to(program, [node.outputs[0] for node in layers]), threads)
    sums = [np.zeros((3, program.constants[node.inputs[2]].size)) for node in layers]
    for sample in feeds:
        for total, array in zip(sums, session.run(None, sample), strict=True):
            channels = np.moveaxis(array, 1, 0).reshape(array.shape[1], -1).astype(np.float64)
            total += [np.full(len(channels), channels.shape[1]), channels.sum(1), np.square(channels).sum(1)]
    for node, (count, total, squares) in zip(layers, sums, strict=True):
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
        bias = np.abs(program.constants[node.inputs[2]].reshape(-1))
        live = _live_channels(program, node)
        offsets = np.minimum(np.abs(mean), bias)[live]
        ratio = float(np.median(offsets / np.maximum(deviation[live], 1e-30))) if live.any() else 0.0
        if ratio > STUCK:
            yield (
                f"{node.op} '{node.name}', which reads the input, hardly changes with it (1/{ratio:.0f} of "
                "its bias): the model was trained on larger values; check the preprocessing"
            )


def _saturated(program: Program, feeds: Sequence[Feeds], threads: int | None) -> Iterator[str]:
    """A Relu6 among the first few that stands at its bound too often."""
    clips = _bounded(program)[:4]
    if not clips:
        return
    session = Session(_up_to(program, [node.outputs[0] for node in clips]), threads)
    bounds = [program.constants[node.inputs[2]].item() for node in clips]
    shares = np.mean(
        [
            [np.mean(array >= bound) for array, bound in zip(session.run(None, sample), bounds, strict=True)]
            for sample in feeds
        ],
        axis=0,
    )
    worst = int(shares.argmax())
    if shares[worst] > SATURATED:
        yield (
            f"Clip '{clips[worst].name}', near the input, stands at its bound of {bounds[worst]:g} in "
            f"{shares[worst]:.0%} of its outputs: the model was trained on smaller values; check the "
            "preprocessing"
        )


def _better_scale(program: Program, feeds: Sequence[Feeds], threads: int | None) -> list[str]:
    """A usual scale of pixels in which a classifier answers better than in the one that it was fed."""
    logits = _logits(program)
    name = _picture(program, feeds)
    if len(feeds) < FEWEST or logits is None or name is None:
        return []
    pictures = OfInput(name, feeds)
    given = scale_of(pictures)
    if given is None:
        return []
    session = Session(_up_to(program, [logits]), threads)

    def answers(scale: Scale, step: int) -> Answers:
        rows = [
            session.run(None, {name: scale.from_pixels(given.to_pixels(picture))})[0].reshape(-1)
            for picture in pictures[::step]
        ]
        return _judged(np.stack(rows).astype(np.float64))

    step = len(pictures) // FIRST
    bar = answers(given, step).top
    others = [scale for scale in SCALES if scale is not given and scale.fits(pictures[0])]
    promising = [scale for scale in others if answers(scale, step).top > bar]
    if not promising:
        return []
    before = answers(given, 1)
    tried = {scale: answers(scale, 1) for scale in promising}
    better = {scale: after for scale, after in tried.items() if _is_better(after, before)}
    if not better:
        return []
    best = max(better, key=lambda scale: better[scale].top)
    return [
        f"input '{name}' looks like {given.name}, but the model answers more surely on {best.name} (its top "
        f"answer stands out by {better[best].top:.2f} deviations, here by {before.top:.2f}): check what it "
        f"was trained on (on the command line that is {best.options})"
    ]


def _is_better(after: Answers, before: Answers) -> bool:
    return (
        after.top > ABOVE_NOISE * after.noise
        and after.variety > APART * after.possible
        and after.top > SURER * before.top
        and after.lead > LEADING * before.lead
        and after.variety > VARIED * before.variety
    )


def _judged(logits: npt.NDArray[np.float64]) -> Answers:
    samples, classes = logits.shape
    centred = logits - logits.mean(1, keepdims=True)
    scaled = np.sort(centred / np.maximum(centred.std(1, keepdims=True), 1e-30), axis=1)
    noise = np.random.default_rng(0).standard_normal((256, classes)).max(1).mean()
    return Answers(
        top=float(scaled[:, -1].mean()),
        lead=float((scaled[:, -1] - scaled[:, -2]).mean()),
        variety=_variety(centred),
        possible=min(log(samples), log(classes) / 2),
        noise=float(noise),
    )


def _variety(logits: npt.NDArray[np.float64]) -> float:
    """Mutual information at the temperature of a mean entropy of log(classes) / 2, found by halving."""
    half = log(logits.shape[1]) / 2
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        shares = _softmax(logits * np.exp(middle))
        low, high = (middle, high) if _entropy(shares).mean() > half else (low, middle)
    return float(_entropy(shares.mean(0)) - _entropy(shares).mean())


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: npt.NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return shares


def _entropy(shares: npt.NDArray[np.float64]) -> Any:  # noqa: ANN401
    return -(shares * np.log(np.maximum(shares, 1e-300))).sum(-1)


# What is where in a Program.

_MOVES = ("Transpose", "Reshape", "Pad", "Identity", "Squeeze", "Unsqueeze", "Flatten")


def _first_layers(program: Program) -> list[Node]:
    """Convolutions and Gemms that read an input, perhaps moved, and have a bias that is not zero."""
    moved = set(program.inputs)
    layers = []
    for node in program.nodes:
        if not node.inputs or node.inputs[0] not in moved:
            continue
        if node.op in _MOVES:
            moved.update(node.outputs)
        elif node.op in ("Conv", "Gemm") and len(node.inputs) > 2:
            constants = [program.constants.get(name) for name in node.inputs[1:]]
            if (
                all(array is not None for array in constants)
                and np.any(constants[1])
                and _is_row(constants[1])
            ):
                layers.append(node)
    return layers


def _is_row(bias: Any) -> bool:  # noqa: ANN401
    return bias.size == bias.shape[-1] if bias.ndim else False


def _live_channels(program: Program, node: Node) -> npt.NDArray[np.bool_]:
    """The output channels whose weights are not all next to nothing."""
    weight = np.abs(program.constants[node.inputs[1]])
    axis = 1 if node.op == "Gemm" and not node.attributes["transB"] else 0
    sums = weight.sum(tuple(i for i in range(weight.ndim) if i != axis))
    live: npt.NDArray[np.bool_] = sums > 1e-4 * sums.max()
    return live


def _bounded(program: Program) -> list[Node]:
    """Relu6 and its like: Clips of a layer's output, of at least 4, that no multiplication reads."""
    made = {name: node.op for node in program.nodes for name in node.outputs}
    readers: dict[str, set[str]] = {}
    for node in program.nodes:
        for name in node.inputs:
            readers.setdefault(name, set()).add(node.op)
    return [
        node
        for node in program.nodes
        if node.op == "Clip"
        and len(node.inputs) == 3
        and node.inputs[2] in program.constants
        and 4 <= program.constants[node.inputs[2]].item() < 1e6
        and made.get(node.inputs[0]) in ("Conv", "Gemm", "BatchNormalization")
        and not readers.get(node.outputs[0], set()) & {"Mul", "Div"}
    ]


def _logits(program: Program) -> str | None:
    """The scores of three classes or more for each sample, before a softmax."""
    name = program.outputs[0]
    shape = program.values[name].shape
    if shape is None or len(shape) != 2 or not isinstance(shape[1], int) or shape[1] < 3:
        return None
    makers = {output: node for node in program.nodes for output in node.outputs}
    while name in makers and makers[name].op in ("Softmax", "LogSoftmax", "Identity"):
        name = makers[name].inputs[0]
    return name if program.values[name].dtype == "f32" else None


def _picture(program: Program, feeds: Sequence[Feeds]) -> str | None:
    """The only input, where each sample is one picture."""
    (name, *others) = program.inputs
    if others or not all(is_picture(array) and len(array) == 1 for array in OfInput(name, feeds)):
        return None
    return name


def _up_to(program: Program, names: Sequence[str]) -> Program:
    """The Program that gives these values, and holds no more than that takes."""
    needed = set(names)
    nodes = []
    for node in reversed(program.nodes):
        if needed.intersection(node.outputs):
            nodes.append(node)
            needed.update(node.inputs)
    used = needed.union(program.inputs, *(node.outputs for node in nodes))
    return replace(
        program,
        outputs=list(names),
        values={name: value for name, value in program.values.items() if name in used},
        constants={name: array for name, array in program.constants.items() if name in used},
        nodes=nodes[::-1],
    )
