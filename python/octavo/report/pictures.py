"""Pictures of a comparison as SVG: lines, bars, a histogram, the graph. They name no other file."""

import math
from collections.abc import Sequence

from octavo import svg
from octavo.report.comparison import BANDS, LayerRow
from octavo.svg import BLUE, FAINT, INK

HARMLESS = "#57ab5a"
_LABEL = "#0d1117"
"""Can be read on HARMLESS and on every colour of BANDS, whatever the page is like."""
_MOST = 80.0
"""Decibels at which a picture ends: what is above cannot be told apart by eye, nor need it be."""


def colour(decibels: float) -> str:
    """Of a layer with this SQNR."""
    return next((colour for end, colour in BANDS if decibels <= end), HARMLESS)


def lines(series: Sequence[tuple[str, str, Sequence[float | None]]], width: int = 900) -> str:
    """SQNRs along the nodes in their order. series: name, colour, a number a node or None."""
    height, left, top, bottom = 260, 40, 24, 40
    count = max((len(numbers) for _, _, numbers in series), default=0)
    step = (width - left - 10) / max(1, count - 1)

    def y(decibels: float) -> float:
        held = max(0.0, min(_MOST, decibels))
        return top + (height - bottom - top) * (1 - held / _MOST)

    parts = [svg.text(0, 12, "SQNR in dB", "start")]
    for mark in range(0, int(_MOST) + 1, 20):
        parts.append(svg.line(left, y(mark), width - 10, y(mark), FAINT, 0.4))
        parts.append(svg.text(left - 6, y(mark) + 4, f"≥ {mark}" if mark == _MOST else str(mark), "end"))
    for place, (name, ink, numbers) in enumerate(series):
        points = [
            (left + index * step, y(number)) for index, number in enumerate(numbers) if number is not None
        ]
        parts.append(svg.polyline(points, ink))
        x = left + 100 + 150 * place
        parts.append(svg.line(x, 8, x + 20, 8, ink, 3))
        parts.append(svg.text(x + 26, 12, name, "start"))
    where = f"the {count} layers in the order of the network"
    parts.append(svg.text(left + (width - left - 10) / 2, height - 12, where, "middle"))
    return svg.drawing(width, height, parts, "SQNR in dB along the nodes")


def histogram(row: LayerRow, width: int = 420) -> str:
    """How often values occur, by the square root of their number; between the marks is what integers hold."""
    height, counts = 150, row.histogram
    if row.low is None or row.high is None or not any(counts):
        return ""
    bar = width / len(counts)
    top = math.sqrt(max(counts))
    parts = [svg.text(0, 12, "values", "start")]
    for index, count in enumerate(counts):
        inside = len(counts) // 4 <= index < len(counts) * 3 // 4
        size = (height - 50) * math.sqrt(count) / top
        ink = BLUE if inside else BANDS[0][1]
        parts.append(svg.bar(index * bar, height - 20 - size, bar - 0.5, size, ink))
    for share, number in ((0.25, row.low), (0.75, row.high)):
        parts.append(svg.line(width * share, 20, width * share, height - 18, INK, 1.0))
        parts.append(svg.text(width * share, height - 5, f"{number:.4g}", "middle"))
    return svg.drawing(width, height, parts, f"values of {row.name}, and the range of its integers")


def channels(numbers: Sequence[float], name: str, width: int = 420) -> str:
    """A bar a channel, the largest as high as the picture: one path, as there may be thousands."""
    height, most = 110, max(numbers, default=0.0)
    if not most > 0 or not math.isfinite(most):
        return ""
    bar, foot = width / len(numbers), height - 18
    steps = "".join(
        f"M{(index + 0.5) * bar:.1f} {foot}v-{(foot - 20) * number / most:.1f}"
        for index, number in enumerate(numbers)
    )
    parts = [
        svg.text(0, 12, f"{name}, at most {most:.4g}", "start"),
        svg.path(steps, BLUE, round(max(0.5, bar - 0.5), 1)),
        svg.line(0, foot, width, foot, FAINT, 0.4),
        svg.text(0, height - 5, f"channels 0 to {len(numbers) - 1}", "start"),
    ]
    return svg.drawing(width, height, parts, name)


def graph(rows: Sequence[LayerRow], widest: int = 900) -> str:
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
    width = min(widest, 350 * max(levels, default=1))
    halves = [min(140.0, width / levels[depth] / 2 - 4) for depth in depths]
    seen: dict[int, int] = {}
    places = []
    for depth in depths:
        slot = seen[depth] = seen.get(depth, 0) + 1
        places.append((width * (slot - 0.5) / levels[depth], 20 + 40 * depth))
    parts = []
    for source, target in edges:
        (x1, y1), (x2, y2) = places[source], places[target]
        if x1 == x2 and depths[target] - depths[source] > 1:  # it would run behind the nodes between
            reach = min(160.0, width / 2 - 4)
            steps = f"M{x1 + halves[source]:.1f} {y1}C{x1 + reach:.1f} {y1} {x2 + reach:.1f} {y2} "
            parts.append(svg.path(f"{steps}{x2 + halves[target]:.1f} {y2}", FAINT, 1.0))
        else:
            parts.append(svg.line(x1, y1 + 12, x2, y2 - 12, FAINT, 1.0))
    for row, (x, y), half in zip(ordered, places, halves, strict=True):
        fits = int(half / 3.4)
        label = f"{row.op} {row.name}"
        label = label if len(label) <= fits else label[: max(1, fits - 1)] + "…"
        title = f"{row.op} {row.name}: {row.harm:.1f} dB at the outputs, {row.sqnr:.1f} alone"
        parts.append(
            f'<g><title>{svg.escaped(title)}</title><rect x="{x - half:.1f}" y="{y - 12:.1f}" rx="4" '
            f'width="{2 * half:.1f}" height="24" fill="{colour(row.harm)}"/>'
            f"{svg.text(x, y + 4, label, 'middle', _LABEL)}</g>"
        )
    return svg.drawing(
        width, 20 + 40 * len(levels), parts, "the graph, by what each node does to the answers"
    )
