"""The report of a quantization as a page that needs no other file."""

from collections.abc import Sequence

from octavo import pages, svg
from octavo.lowering import Stay
from octavo.quantization.raising import Raised
from octavo.quantization.report import Report, listed


def page(report: Report) -> str:
    """The whole page."""
    return pages.page(f"octavo quantize: {report.summary()}", body(report))


def body(report: Report) -> str:
    """What stands in the page, and in a notebook."""
    parts = [f"<h1>Quantized: {pages.escaped(report.recipe)}</h1>"]
    if report.warnings:
        parts += ["<h2>Doubtful about the data</h2>", pages.items(report.warnings)]
    parts.append(pages.table(("", ""), _facts(report), "facts"))
    for title, stays in report.grouped_stays():
        parts += [f"<h2>{len(stays)} ops of the model {title}</h2>", _stays(stays)]
    if report.tried:
        parts += ["<h2>Ranges tried, on samples held back</h2>", _tried(report)]
    if report.raised:
        parts += ["<h2>Back in float, on samples held back</h2>", _frontier(report), _raised(report)]
    if report.inputs:
        parts += ["<h2>Inputs</h2>", _inputs(report)]
    if report.not_finite:
        parts += ["<h2>Not finite, and left out of ranges</h2>", _not_finite(report)]
    return pages.body(parts)


def _facts(report: Report) -> list[tuple[str, str]]:
    facts = [
        (f"{sum(ops.values())} nodes in {what}", listed(ops))
        for what, ops in (("integers", report.integer_ops), ("float", report.float_ops))
    ]
    facts.append(("conversions between the two", str(report.conversions)))
    if report.macs:
        share = 100 * report.integer_macs / report.macs
        facts.append(
            ("multiply-accumulates in integers", f"{share:.1f} % of {report.macs:,} a sample"),
        )
    facts.append(("constants", f"{report.float_bytes:,} bytes in float, {report.integer_bytes:,} now"))
    facts.append(("calibrated over", f"{report.samples} samples" if report.samples else "no data"))
    if report.given_tensors or report.given_weights:
        what = f"{report.given_tensors} tensors' scales, {report.given_weights} products' weights"
        facts.append(("as the model gives them", what))
    if report.range_rule is not None:
        facts.append(("ranges by", report.range_rule))
    if report.own_ranges:
        facts.append(("ranges of their own", ", ".join(report.own_ranges)))
    if report.is_fitted:
        facts.append(("weights", "make up for the errors of the layers before them"))
    if not report.stays:
        facts.append(("stay float", "no op of the model"))
    if report.slower:
        facts.append(("of short sums, float can be faster", ", ".join(report.slower)))
    facts.append(("stages", ", ".join(report.stages)))
    return facts


def _stays(stays: Sequence[Stay]) -> str:
    """Those of one reason together, in the order of the model."""
    reasons = dict.fromkeys(stay.reason for stay in stays)
    rows = [
        (stay.op, stay.name, stay.reason) for reason in reasons for stay in stays if stay.reason == reason
    ]
    return pages.table(("op", "name", "why"), rows, "facts")


def _tried(report: Report) -> str:
    rows = [
        (f"{ratio:.1f}", name, "taken" if name == report.range_rule else "")
        for name, ratio in report.tried.items()
    ]
    return pages.table(("SQNR in dB", "ranges", ""), rows)


def _raised(report: Report) -> str:
    rows = [
        (
            f"{step.sqnr:.1f}",
            f"{step.assured:.1f}",
            f"{100 * step.macs:.1f}",
            f"{100 * step.float_macs:.1f}",
            f"{1000 * step.seconds:.3g}",
            step.to,
            step.op,
            ", ".join(step.names),
        )
        for step in report.raised
    ]
    heads = ("SQNR in dB", "surely", "% of MACs raised", "% in float", "ms a run", "to", "op", "names")
    return pages.table(heads, rows, "facts")


_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 520, 220, 60, 40


def _frontier(report: Report) -> str:
    """SQNR against the share of multiply-accumulates that are raised, and against the time of a run."""
    steps = report.raised
    shares = _curve(
        steps, [step.macs for step in steps], ("0 %", "100 %"), 1.0, "multiply-accumulates raised"
    )
    longest = max(step.seconds for step in steps)
    ends = "0 ms", f"{1000 * longest:.3g} ms"
    return shares + _curve(steps, [step.seconds for step in steps], ends, longest, "time of a run")


def _curve(
    steps: Sequence[Raised], values: Sequence[float], ends: tuple[str, str], greatest: float, what: str
) -> str:
    """SQNR against values from 0 to the greatest, a point a step."""
    levels = [step.sqnr for step in steps]
    low, high = min(levels), max(levels)
    across, up = _WIDTH - _LEFT - 40, _HEIGHT - _BOTTOM - 20

    def place(step: Raised, value: float) -> tuple[float, float]:
        height = (step.sqnr - low) / (high - low) if high > low else 0.5
        return _LEFT + across * value / greatest, 20 + up * (1 - height)

    points = [place(step, value) for step, value in zip(steps, values, strict=True)]
    right, base = _LEFT + across, _HEIGHT - _BOTTOM
    parts = [
        svg.line(_LEFT, base, right, base, svg.FAINT, 1),
        svg.line(_LEFT, 20, _LEFT, base, svg.FAINT, 1),
        svg.text(_LEFT, base + 16, ends[0], "middle"),
        svg.text(right, base + 16, ends[1], "middle"),
        svg.text((_LEFT + right) / 2, base + 32, what, "middle"),
        svg.text(_LEFT - 6, base, f"{low:.1f} dB", "end"),
        svg.text(_LEFT - 6, 24, f"{high:.1f} dB", "end") if high > low else "",
        svg.polyline(points, svg.BLUE),
        *(svg.bar(x - 2.5, y - 2.5, 5, 5, svg.BLUE) for x, y in points),
    ]
    return svg.drawing(_WIDTH, _HEIGHT, parts, f"SQNR against {what}")


def _inputs(report: Report) -> str:
    rows = [
        (
            f"{seen.minimum:g}",
            f"{seen.maximum:g}",
            "yes" if seen.name in report.exact_inputs else "no",
            seen.name,
        )
        for seen in report.inputs
    ]
    return pages.table(("least", "greatest", "held exactly", "name"), rows)


def _not_finite(report: Report) -> str:
    rows = [(str(seen.nans), str(seen.infinities), seen.name) for seen in report.not_finite]
    return pages.table(("NaN", "infinities", "name"), rows)
