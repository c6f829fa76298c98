"""Pictures of a comparison as SVG: lines, bars, a histogram, the graph. They name no other file."""

import math
from collections.abc import Sequence

from octavo.report import svg
from octavo.report.comparison import BANDS, LayerRow
from octavo.report.svg import BLUE, FAINT, INK

HARMLESS = "#57ab5a"
_MOST = 80.0
"""Decibels at which a picture ends: what is above cannot be told apart by eye, nor need it be."""


def colour(decibels: float) -> str:
    """Of a layer with this SQNR."""
    return next((colour for end, colour in BANDS if decibels <= end), HARMLESS)


def lines(series: Sequence[tuple[str, str, Sequence[float | None]]], width: int = 900) -> str:
    """SQNRs along the nodes in their order. series: name, colour, a number a node or None."""
    height, left, bottom = 220, 40, 18
    count = max((len(numbers) for _, _, numbers in series), default=0)
    step = (width - left - 10) / max(1, count - 1)

    def y(decibels: float) -> float:
        held = max(0.0, min(_MOST, decibels))
        return 10 + (height - bottom - 10) * (1 - held / _MOST)

    parts = []
    for mark in range(0, int(_MOST) + 1, 20):
        parts.append(svg.line(left, y(mark), width - 10, y(mark), FAINT, 0.4))
        parts.append(svg.text(left - 6, y(mark) + 4, str(mark), "end"))
    for place, (name, ink, numbers) in enumerate(series):
        points = [
            (left + index * step, y(number)) for index, number in enumerate(numbers) if number is not None
        ]
        parts.append(svg.polyline(points, ink))
        parts.append(svg.text(left + 8 + 170 * place, height - 3, f"— {name}", "start", ink))
    return svg.drawing(width, height, parts, "SQNR in dB along the nodes")


def histogram(row: LayerRow, width: int = 420) -> str:
    """How often values occur, by the square root of their number; between the marks is what integers hold."""
    height, counts = 130, row.histogram
    if row.low is None or row.high is None or not any(counts):
        return ""
    bar = width / len(counts)
    top = math.sqrt(max(counts))
    parts = []
    for index, count in enumerate(counts):
        inside = len(counts) // 4 <= index < len(counts) * 3 // 4
        size = (height - 30) * math.sqrt(count) / top
        ink = BLUE if inside else BANDS[0][1]
        parts.append(svg.bar(index * bar, height - 20 - size, bar - 0.5, size, ink))
    for share, number in ((0.25, row.low), (0.75, row.high)):
        parts.append(svg.line(width * share, 0, width * share, height - 18, INK, 1.0))
        parts.append(svg.text(width * share, height - 5, f"{number:.4g}", "middle"))
    return svg.drawing(width, height, parts, f"values of {row.name}, and the range of its integers")


def channels(numbers: Sequence[float], name: str, width: int = 420) -> str:
    """A bar a channel, the largest as high as the picture."""
    height, most = 90, max(numbers, default=0.0)
    if not most > 0 or not math.isfinite(most):
        return ""
    bar = width / len(numbers)
    parts = [
        svg.bar(index * bar, height - 20 - (height - 25) * number / most, max(0.5, bar - 0.5),
             (height - 25) * number / most, BLUE)
        for index, number in enumerate(numbers)
    ]  # fmt: skip
    parts.append(svg.text(0, height - 5, f"{name}, {len(numbers)} channels, the largest {most:.4g}", "start"))
    return svg.drawing(width, height, parts, name)


def graph(rows: Sequence[LayerRow], width: int = 900) -> str:
    """The nodes, each below what it reads, in the colour of what it does to the answers."""
    ordered = sorted(rows, key=lambda row: row.place)
    depths: list[int] = []
    made: dict[str, int] = {}
    edges = []
    for index, row in enumerate(ordered):
        sources = [made[name] for name in row.reads if name in made]
        edges += [(source, index) for source in sources]
        depths.append(1 + max((depths[source] for source in sources), default=-1))
        made[row.of] = index
    levels = [depths.count(depth) for depth in range(max(depths, default=-1) + 1)]
    seen: dict[int, int] = {}
    places = []
    for depth in depths:
        slot = seen[depth] = seen.get(depth, 0) + 1
        places.append((width * (slot - 0.5) / levels[depth], 20 + 40 * depth))
    parts = [
        svg.line(*_below(places[source]), *_above(places[target]), FAINT, 1.0) for source, target in edges
    ]
    for row, (x, y) in zip(ordered, places, strict=True):
        half = min(140, width / levels[depths[row.place - ordered[0].place]] / 2 - 4)
        harm = row.sqnr if row.at_outputs is None else row.at_outputs
        fits = int(half / 3.4)
        label = f"{row.op} {row.name}"
        label = label if len(label) <= fits else label[: max(1, fits - 1)] + "…"
        title = f"{row.op} {row.name}: {harm:.1f} dB at the outputs, {row.sqnr:.1f} alone"
        parts.append(
            f'<g><title>{svg.escaped(title)}</title><rect x="{x - half:.1f}" y="{y - 12:.1f}" rx="4" '
            f'width="{2 * half:.1f}" height="24" fill="{colour(harm)}" fill-opacity="0.75"/>'
            f"{svg.text(x, y + 4, label, 'middle')}</g>"
        )
    return svg.drawing(
        width, 20 + 40 * len(levels), parts, "the graph, by what each node does to the answers"
    )


def _below(place: tuple[float, float]) -> tuple[float, float]:
    return place[0], place[1] + 12


def _above(place: tuple[float, float]) -> tuple[float, float]:
    return place[0], place[1] - 12
