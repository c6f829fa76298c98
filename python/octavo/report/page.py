"""A comparison as a page that needs no other file: tables, pictures, no script."""

from collections.abc import Iterable, Sequence

from octavo import pages
from octavo.errors import shortened
from octavo.report.comparison import Cause, Comparison, LayerRow, OutputRow
from octavo.report.pictures import channels, colour, graph, histogram, lines

LOOKED_AT = 10
"""Layers, the worst first, of which the page shows values and weights."""


def page(found: Comparison) -> str:
    """The whole page."""
    return pages.page("octavo compare", body(found))


def body(found: Comparison) -> str:
    """What stands in the page, and in a notebook."""
    parts = [
        f"<h1>Compared over {found.samples} sample{'s' * (found.samples != 1)}</h1>",
        _outputs(found.outputs),
        _causes(found.causes),
    ]
    if found.layers:
        parts += ["<h2>Error by layer</h2>", _by_layer(found.layers), _layers(found.layers)]
        parts += ["<h2>Graph</h2>", f'<div class="graph">{graph(found.layers)}</div>']
        parts += ["<h2>The worst layers</h2>", *map(_layer, found.layers[:LOOKED_AT])]
    if found.unmatched:
        rows = [(name, reason) for name, reason in found.unmatched.items()]
        parts += ["<h2>Not compared</h2>", pages.table(("node", "why"), rows, "facts")]
    return pages.body(parts)


def _outputs(rows: Sequence[OutputRow]) -> str:
    cells = [
        (
            "" if row.sqnr is None else f"{row.sqnr:.1f} dB",
            "" if row.before is None else f"{row.before[1]:.1f} dB ({row.before[0]})",
            "" if row.cosine is None else f"{row.cosine:.6f}",
            "" if row.agreement is None else f"{100 * row.agreement:.1f} %",
            _pair(row.top1),
            _pair(row.top5),
            row.name,
        )
        for row in rows
    ]
    header = ("SQNR", "before its softmax", "cosine", "the same", "top-1", "top-5", "output")
    return pages.table(header, cells)


def _pair(shares: tuple[float, float] | None) -> str:
    return "" if shares is None else f"{100 * shares[0]:.1f} %, {100 * shares[1]:.1f} %"


def _causes(causes: Iterable[Cause]) -> str:
    return pages.items(str(cause) for cause in causes)


def _by_layer(rows: Sequence[LayerRow]) -> str:
    ordered = sorted(rows, key=lambda row: row.place)
    return lines(
        [
            ("at the outputs", "#e5534b", [row.at_outputs for row in ordered]),
            ("alone", "#539bf5", [row.sqnr for row in ordered]),
            ("accumulated", "#8b949e", [row.accumulated for row in ordered]),
        ]
    )


def _layers(rows: Sequence[LayerRow]) -> str:
    header = ("", "at outputs", "alone", "accumulated", "clipped", "bytes", "time", "op", "cause", "name")
    cells = []
    for row in rows:
        harm = row.sqnr if row.at_outputs is None else row.at_outputs
        cells.append(
            (
                pages.Mark(colour(harm)),
                "-" if row.at_outputs is None else f"{row.at_outputs:.1f}",
                f"{row.sqnr:.1f}",
                f"{row.accumulated:.1f}",
                f"{100 * row.clipped:.2f} %",
                f"{row.bytes:,}",
                "" if row.seconds is None else f"{1e6 * row.seconds:,.1f} µs",
                row.op,
                "" if row.cause is None else row.cause.name,
                shortened(row.name, 40),
            )
        )
    return pages.table(header, cells)


def _layer(row: LayerRow) -> str:
    facts = [
        ("does", ", ".join(row.nodes) or "a conversion"),
        ("SQNR alone", f"{row.sqnr:.1f} dB"),
        ("of its noise", f"clipping {row.clipping:.0%}, steps {row.rounding:.0%}, sums {row.computing:.0%}"),
        ("mean errors", f"{row.shift:.0%} of its noise"),
    ]
    if row.scale is not None and row.zero_point is not None:
        scale = f"{row.scale[0]:.6g}" if len(row.scale) == 1 else f"{len(row.scale)} on axis {row.axis}"
        facts.append(("scale, zero point", f"{scale}, {row.zero_point[0]:g}"))
    pictures = [
        histogram(row),
        channels([max(abs(c["least"]), abs(c["greatest"])) for c in row.channels], "values"),
        channels([c["reach"] for c in row.weights], "weights"),
        channels([c["error"] for c in row.weights], "squared error of weights as a share"),
    ]
    return (
        f"<h3>{pages.escaped(row.op)} {pages.escaped(row.name)}</h3>{_causes(row.causes)}"
        f"{pages.table(('', ''), facts, 'facts')}{''.join(pictures)}"
    )
