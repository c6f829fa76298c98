"""What few bits do to a sine and to weights, as pictures. Every integer in them is lowering's own."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo import svg
from octavo.errors import ModelError, shortened
from octavo.lowering import Range, affine
from octavo.lowering.weights import rounded_weights, weight_scales
from octavo.program import Program
from octavo.program.integers import Integers
from octavo.reference.trigonometry import sin
from octavo.report.measures import Ratio
from octavo.rewrites import channel_axis
from octavo.svg import BLUE, FAINT, INK

Float32 = npt.NDArray[np.float32]

BITS = (2, 3, 8)
"""The widths that are drawn."""

_WIDTH, _GAP, _TITLE, _HEAD, _PLOT = 900, 24, 30, 38, 150
_RED = "#e5534b"
_FEW = 16
"""Levels up to which each of them is drawn."""
_MOST_CHANNELS = 128
_MOST_DECIBELS = 60.0
_POINTS = 121
_BINS = 64


@dataclass(frozen=True)
class Held:
    """Reals, and what integers hold of them.

    reals, held: float32, of a tensor of any shape or of weights [K, C]. integers: of the same shape, of which
    `held` is `scale * (q - zero_point)`. scale: float32 [1] or [C]. of: the integers that there are.
    """

    title: str
    reals: Float32
    integers: npt.NDArray[Any]
    held: Float32
    scale: Float32
    zero_point: int
    of: Integers

    @property
    def levels(self) -> int:
        """How many integers there are."""
        return self.of.steps + 1

    @property
    def sqnr(self) -> float:
        """The ratio of the reals to what is lost of them, in dB, 300 at most."""
        return _ratio(self.reals, self.held)

    @property
    def channels(self) -> list[float]:
        """The same of each channel of weights [K, C]."""
        return [_ratio(self.reals[:, c], self.held[:, c]) for c in range(self.reals.shape[1])]

    @property
    def caption(self) -> str:
        """The figures that stand above the picture."""
        low, high = float(self.scale.min()), float(self.scale.max())
        step = f"step {low:.4g}" if low == high else f"steps {low:.3g} to {high:.3g}"
        return f"{self.levels} levels, {step}, SQNR {self.sqnr:.1f} dB"

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {
            "title": self.title,
            "levels": self.levels,
            "scale": self.scale.tolist(),
            "zero_point": self.zero_point,
            "sqnr": self.sqnr,
        }


@dataclass(frozen=True)
class Figure:
    """Pictures side by side. name: of its file, without an ending. draw: one of the panels, so wide."""

    name: str
    title: str
    panels: tuple[Held, ...]
    draw: Callable[[Held, float], list[str]]

    def to_dict(self) -> dict[str, Any]:
        """The figures in it as plain data."""
        return {"name": self.name, "title": self.title, "panels": [panel.to_dict() for panel in self.panels]}


def sine() -> list[Figure]:
    """Of a sine in few bits, and of one that is not centred in symmetric and in asymmetric integers."""
    turn = sin(np.arange(_POINTS, dtype=np.float32) * np.float32(2 * np.pi / (_POINTS - 1)))
    raised = np.float32(0.4) + np.float32(0.6) * turn
    return [
        Figure(
            "sine-bits",
            "A sine in 2, 3 and 8 bits, symmetric",
            tuple(held(turn, bits, symmetric=True, title=f"{bits} bits") for bits in BITS),
            _wave,
        ),
        Figure(
            "sine-symmetry",
            "A sine from -0.2 to 1 in 3 bits: two of the seven symmetric levels are never used",
            (
                held(raised, 3, symmetric=True, title="symmetric, zero point 0"),
                held(raised, 3, symmetric=False, title="asymmetric, with a zero point"),
            ),
            _wave,
        ),
    ]


def weights(weight: Float32, name: str) -> list[Figure]:
    """Of weights [K, C] in few bits; symmetric and asymmetric; with one scale a tensor and one a channel."""
    called = shortened(name, 60)
    return [
        Figure(
            "weights-bits",
            f"{called} in 2, 3 and 8 bits",
            tuple(
                held_weights(weight, bits, per_channel=False, title=f"{bits} bits, one scale")
                for bits in BITS
            ),
            _histogram,
        ),
        Figure(
            "weights-symmetry",
            f"{called} in 3 bits, symmetric and asymmetric",
            (
                held_weights(weight, 3, per_channel=False, title="symmetric, zero point 0"),
                held(weight, 3, symmetric=False, title="asymmetric, with a zero point"),
            ),
            _histogram,
        ),
        Figure(
            "weights-channels",
            f"{called} in 8 bits, one scale a tensor and one a channel: SQNR of each channel in dB",
            (
                held_weights(weight, 8, per_channel=False, title="per tensor"),
                held_weights(weight, 8, per_channel=True, title="per channel"),
            ),
            _channels,
        ),
    ]


def held(reals: Float32, bits: int, *, symmetric: bool, title: str = "") -> Held:
    """A tensor in integers of so many bits, as activations are: formulas (16) and (17)."""
    form = affine(Range(float(reals.min()), float(reals.max())), _integers(bits, symmetric))
    q = form.integers(reals)
    reached = form.scale * (q.astype(np.int64) - form.zero_point).astype(np.float32)
    return Held(title, reals, q, reached, np.array([form.scale]), form.zero_point, form.of)


def held_weights(weight: Float32, bits: int, *, per_channel: bool, title: str = "") -> Held:
    """Weights [K, C] in symmetric integers of so many bits: formula (18)."""
    of = _integers(bits, symmetric=True)
    largest = np.max(np.abs(weight), axis=0)
    scale = weight_scales(largest if per_channel else largest.max(keepdims=True), of)
    q = rounded_weights(weight, scale, of)
    return Held(title, weight, q, scale * q.astype(np.float32), scale, 0, of)


def _integers(bits: int, symmetric: bool) -> Integers:
    if symmetric:
        high = (1 << (bits - 1)) - 1
        return Integers("i8", -high, high, symmetric=True)
    return Integers("u8", 0, (1 << bits) - 1, symmetric=False)


def synthetic_weights() -> Float32:
    """Weights [72, 16] that look like trained ones: bell-shaped, the channels of different widths.

    The same everywhere: of uniform numbers that Python promises to keep, twelve to a weight.
    """
    numbers = random.Random(8)
    channels = [0.5 * 0.75**channel for channel in range(16)]
    rows = [
        [width * (sum(numbers.random() for _ in range(12)) - 6.0) for width in channels] for _ in range(72)
    ]
    return np.array(rows, np.float32)


def weights_of(program: Program, name: str) -> Float32:
    """The weights of this name that a product of a float Program reads, as [K, C].

    Raises `ModelError` where there are none, or where they hold NaN or an infinite value.
    """
    axes = {
        node.inputs[1]: axis
        for node in program.nodes
        if (axis := channel_axis(program, node)) is not None and program.constants[node.inputs[1]].size
    }
    if name not in axes:
        near = get_close_matches(name, axes, n=3, cutoff=0.3) or list(axes)[:3]
        hint = f"; close to it are {', '.join(map(repr, near))}" if near else "; it has none of finite floats"
        raise ModelError(f"no weights of the model are called {name!r}{hint}")
    weight = np.moveaxis(program.constants[name], axes[name], -1)
    return np.ascontiguousarray(weight.reshape(-1, weight.shape[-1]))


def picture(figures: Sequence[Figure]) -> str:
    """The figures as a file of SVG, each below the one before it."""
    height = _TITLE + _HEAD + _PLOT + _GAP
    parts = [svg.group(0, place * height, _figure(figure)) for place, figure in enumerate(figures)]
    return svg.file(_WIDTH, height * len(figures), parts, "; ".join(figure.title for figure in figures))


def _figure(figure: Figure) -> list[str]:
    width = (_WIDTH - _GAP * (len(figure.panels) + 1)) / len(figure.panels)
    parts = [svg.text(_GAP, _TITLE - 8, figure.title, "start")]
    for place, panel in enumerate(figure.panels):
        head = [svg.text(0, 14, panel.title, "start"), svg.text(0, 30, panel.caption, "start")]
        parts.append(svg.group(_GAP + place * (width + _GAP), _TITLE, head))
        parts.append(
            svg.group(_GAP + place * (width + _GAP), _TITLE + _HEAD, figure.draw(panel, width)),
        )
    return parts


def _wave(panel: Held, width: float) -> list[str]:
    """The reals as a line, what is held of them as steps, and the levels where they are few."""
    low, high = min(panel.reals.min(), panel.held.min()), max(panel.reals.max(), panel.held.max())
    across, up = (width - 20) / (len(panel.reals) - 1), (_PLOT - 10) / float(high - low)

    def y(real: float) -> float:
        return 5 + (float(high) - real) * up

    parts = []
    for q, level in _levels(panel):
        if low <= level <= high:
            parts.append(svg.line(0, y(level), width - 20, y(level), FAINT, 0.4))
            parts.append(svg.text(width, y(level) + 4, str(q), "end"))
    parts.append(
        svg.polyline([(i * across, y(float(real))) for i, real in enumerate(panel.reals)], FAINT),
    )
    steps = [(0.0, y(float(panel.held[0])))]
    for i in range(1, len(panel.held)):
        if panel.held[i] != panel.held[i - 1]:
            steps += [((i - 0.5) * across, steps[-1][1]), ((i - 0.5) * across, y(float(panel.held[i])))]
    steps.append((width - 20, steps[-1][1]))
    return [*parts, svg.polyline(steps, BLUE)]


def _histogram(panel: Held, width: float) -> list[str]:
    """How often values occur, by the square root of their number, and the levels where they are few."""
    levels = _levels(panel)
    end = max(float(np.abs(panel.reals).max()), *(abs(level) for _, level in levels), 0.0) or 1.0
    places = np.floor((panel.reals.ravel().astype(np.float64) / end + 1) * (_BINS / 2)).astype(np.int64)
    counts = np.bincount(np.minimum(places, _BINS - 1), minlength=_BINS).tolist()
    bar, floor = width / _BINS, _PLOT - 30
    parts = []
    for index, count in enumerate(counts):
        if count:
            size = (floor - 5) * math.sqrt(count / max(counts))
            parts.append(svg.bar(index * bar, floor - size, bar - 0.5, size, BLUE))
    parts.append(svg.line(0, floor, width, floor, INK, 1.0))
    for q, level in levels:
        x = (level / end + 1) * width / 2
        parts.append(svg.line(x, 5, x, floor + 6, _RED, 1.0))
        parts.append(svg.text(x, floor + 18, str(q), "middle", _RED))
    return parts


def _channels(panel: Held, width: float) -> list[str]:
    """A bar a channel, as high as its SQNR."""
    numbers = panel.channels
    step = -(-len(numbers) // _MOST_CHANNELS)
    shown, floor = numbers[::step], _PLOT - 22
    bar = (width - 24) / len(shown)

    def y(decibels: float) -> float:
        return 5 + (floor - 5) * (1 - max(0.0, min(_MOST_DECIBELS, decibels)) / _MOST_DECIBELS)

    parts = []
    for mark in range(0, int(_MOST_DECIBELS) + 1, 20):
        parts.append(svg.line(24, y(mark), width, y(mark), FAINT, 0.4))
        parts.append(svg.text(18, y(mark) + 4, str(mark), "end"))
    for place, number in enumerate(shown):
        size = floor - y(number)
        parts.append(svg.bar(24 + place * bar, floor - size, max(0.5, bar - 0.5), size, BLUE))
    count = f"{len(numbers)} channels" if step == 1 else f"{len(shown)} of {len(numbers)} channels"
    worst = f"the worst channel {min(numbers):.1f} dB"
    return [*parts, svg.text(24, floor + 16, f"{count}; {worst}", "start")]


def _levels(panel: Held) -> list[tuple[int, float]]:
    """The integers that there are, where they are few, with the reals that they stand for."""
    if panel.levels > _FEW:
        return []
    scale = float(panel.scale[0])
    return [(q, scale * (q - panel.zero_point)) for q in range(panel.of.low, panel.of.high + 1)]


def _ratio(reals: Float32, reached: Float32) -> float:
    ratio = Ratio()
    ratio.add(reals, reached)
    return ratio.sqnr
