"""A comparison as a page that needs no other file: tables, pictures, no script."""

from collections.abc import Iterable, Sequence

from octavo import pages
from octavo.errors import shortened
from octavo.report.comparison import BANDS, Cause, Comparison, LayerRow, OutputRow
from octavo.report.pictures import HARMLESS, channels, colour, graph, histogram, lines

LOOKED_AT = 10
"""Layers, the worst first, of which the page shows values and weights."""


def page(found: Comparison) -> str:
    """The whole page."""
    return pages.page(f"octavo compare: {found.summary()}", body(found))


def body(found: Comparison) -> str:
    """What stands in the page, and in a notebook."""
    parts = [
        f"<h1>Compared over {found.samples} sample{'s' * (found.samples != 1)}</h1>",
        _outputs(found.outputs),
        _causes(found.causes),
    ]
    if found.layers:
        parts += ["<h2>Error by layer</h2>", pages.note(_MEASURES), _by_layer(found.layers)]
        parts += [_bands(), _layers(found.layers)]
        parts += ["<h2>Graph</h2>", _bands(), pages.scrolled(graph(found.layers), "graph")]
        parts += ["<h2>The worst layers</h2>", pages.note(_PICTURES)]
        parts += map(_layer, found.layers[:LOOKED_AT])
    if found.unmatched:
        rows = [(name, reason) for name, reason in found.unmatched.items()]
        parts += ["<h2>Not compared</h2>", pages.table(("node", "why"), rows, "facts")]
    return pages.body(parts)


_MEASURES = (
    "SQNR in dB: 20 dB are an error of a tenth of the signal, 40 dB of a hundredth. At the outputs: of the "
    "answers, with this layer's own error and no other. Alone: of what the layer gives. Accumulated: of what "
    "it gives in the whole model."
)
_PICTURES = (
    "A histogram has the square roots of counts as heights; between its two lines lies what the integers "
    "hold, and what is red is clipped. The other bars are one a channel."
)


def _bands() -> str:
    """What the colours stand for."""
    parts = [f'<span class="mark" style="background: {ink}"></span> up to {end:g} dB' for end, ink in BANDS]
    parts.append(f'<span class="mark" style="background: {HARMLESS}"></span> more')
    return f'<p class="note">At the outputs: {", ".join(parts)}.</p>'


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
    header = ("SQNR", "before its softmax", "cosine", "the same", "top-1 of both", "top-5 of both", "output")
    return pages.table(header, cells)


def _pair(shares: tuple[float, float] | None) -> str:
    return "" if shares is None else f"{100 * shares[0]:.1f} %, {100 * shares[1]:.1f} %"


def _causes(causes: Iterable[Cause]) -> str:
    return pages.items(str(cause) for cause in causes)


def _by_layer(rows: Sequence[LayerRow]) -> str:
    ordered = sorted(rows, key=lambda row: row.place)
    drawn = lines(
        [
            ("at the outputs", "#e5534b", [row.at_outputs for row in ordered]),
            ("alone", "#539bf5", [row.sqnr for row in ordered]),
            ("accumulated", "#8b949e", [row.accumulated for row in ordered]),
        ]
    )
    return pages.scrolled(drawn)


def _layers(rows: Sequence[LayerRow]) -> str:
    header = ("", "at outputs", "alone", "accumulated", "clipped", "bytes", "time", "op", "cause", "name")
    cells = []
    for row in rows:
        cells.append(
            (
                pages.Mark(colour(row.harm)),
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
    noise = (("clipping", row.clipping), ("steps", row.rounding), ("weights and sums", row.computing))
    facts = [
        ("does", ", ".join(row.nodes) or "a conversion"),
        ("SQNR alone", f"{row.sqnr:.1f} dB"),
        ("of its noise", ", ".join(f"{100 * share:.0f} % {name}" for name, share in noise)),
        ("mean errors", f"{100 * row.shift:.0f} % of its noise"),
    ]
    if row.scale is not None and row.zero_point is not None:
        scale = f"{row.scale[0]:.6g}" if len(row.scale) == 1 else f"{len(row.scale)} on axis {row.axis}"
        facts.append(("scale, zero point", f"{scale}, {row.zero_point[0]:g}"))
    pictures = [
        histogram(row),
        channels([max(abs(c["least"]), abs(c["greatest"])) for c in row.channels], "largest values"),
        channels([c["reach"] for c in row.weights], "largest weights"),
        channels([c["error"] for c in row.weights], "squared errors of weights over their squares"),
    ]
    return (
        f"<h3>{pages.escaped(row.op)} {pages.escaped(row.name)}</h3>{_causes(row.causes)}"
        f"{pages.table(('', ''), facts, 'facts')}{''.join(pictures)}"
    )
