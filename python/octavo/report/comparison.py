"""What `compare` found: plain data, and its text."""

from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import Any

from octavo.errors import printable, shortened


@dataclass(frozen=True)
class Cause:
    """Why something errs.

    name: of the cause, a key of `octavo.report.causes.CAUSES`. text: what shows it, in figures. remedy: the
    one option that mends it. gain: by how many dB the answers' SQNR rose when it was tried; None where it was
    not.
    """

    name: str
    text: str
    remedy: str
    gain: float | None = None

    def __str__(self) -> str:
        tried = "" if self.gain is None else f" (tried: {round(self.gain, 1) + 0.0:+.1f} dB)"
        return f"{self.name}: {self.text}; {self.remedy}{tried}"


@dataclass(frozen=True)
class OutputRow:
    """One output of both models over the samples.

    sqnr: in dB, 300 at most; None where it is no float. before: what goes into the softmax or sigmoid that
    the output comes from, with its SQNR. agreement: the share of answers that are the same. top1, top5: the
    shares of labels among the highest answers of the first and the second model.
    """

    name: str
    sqnr: float | None
    cosine: float | None
    agreement: float | None
    top1: tuple[float, float] | None = None
    top5: tuple[float, float] | None = None
    before: tuple[str, float] | None = None


@dataclass(frozen=True)
class LayerRow:
    """One node of the second model.

    place: its place among the layers as they run. value, of: its output, and the value of the first model
    that this stands for. reads: the values of the first model that its inputs stand for. nodes: what it does
    of the first model's nodes. sqnr: what the node errs by itself, given the inputs that it has; at_outputs:
    what that alone makes of the answers; accumulated: the error of its output in the whole network; each in
    dB, 300 at most, or None where it could not be measured. clipped: the share of elements beyond what the
    integers hold. clipping, rounding, computing: their shares of the node's own noise. shift: the share of it
    that the channels' mean errors are. scale, zero_point, axis: of the integers; None of floats. bytes: of
    its constants. seconds: of its step in a run; None where other nodes are in one step with it.
    """

    name: str
    op: str
    place: int
    value: str
    of: str
    reads: tuple[str, ...]
    nodes: tuple[str, ...]
    dtype: str
    sqnr: float
    at_outputs: float | None
    accumulated: float
    clipped: float
    clipping: float
    rounding: float
    computing: float
    shift: float
    scale: list[float] | None
    zero_point: list[float] | None
    axis: int | None
    bytes: int
    seconds: float | None
    low: float | None
    high: float | None
    histogram: list[int] = field(repr=False)
    channels: list[dict[str, float]] = field(repr=False)
    weights: list[dict[str, float]] = field(repr=False, default_factory=list)
    causes: tuple[Cause, ...] = ()

    @property
    def harm(self) -> float:
        """The SQNR at the outputs, or of the layer alone where that is not known; its colour goes by it."""
        return self.sqnr if self.at_outputs is None else self.at_outputs

    @property
    def cause(self) -> Cause | None:
        """The first of the causes."""
        return self.causes[0] if self.causes else None


@dataclass(frozen=True)
class Comparison:
    """Two models over the same samples.

    outputs: in the models' order. layers: of the second model, the one that harms the answers most first.
    causes: of what no single layer is to blame for, such as the data. unmatched: the nodes of the second
    model that nothing of the first stands beside, each with the reason.
    """

    samples: int
    outputs: list[OutputRow]
    layers: list[LayerRow]
    causes: list[Cause]
    unmatched: dict[str, str]

    def layer(self, name: str) -> LayerRow:
        """The row of a node by its name; KeyError where there is none."""
        for row in self.layers:
            if row.name == name:
                return row
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)

    def summary(self) -> str:
        """The least that is worth knowing, in one line."""
        found = ", ".join(f"{row.name} {_decibels(row.sqnr)}" for row in self.outputs if row.sqnr is not None)
        worst = self.layers[0].name if self.layers else "none compared"
        return f"{self.samples} samples; outputs: {found or 'no float'}; worst layer: {worst}"

    def __repr__(self) -> str:
        return f"Comparison({self.summary()})"

    def __str__(self) -> str:
        lines = [f"compared over {self.samples} sample{'s' * (self.samples != 1)}"]
        lines += [_output_line(row) for row in self.outputs]
        lines += [str(cause) for cause in self.causes]
        if self.layers:
            lines += ["", "layers, the one that harms the answers most first (SQNR in dB):"]
            lines += _table(self.layers[:SHOWN])
            if len(self.layers) > SHOWN:
                lines.append(f"and {len(self.layers) - SHOWN} more, each with less harm")
        blamed = [
            (row, cause)
            for row in self.layers
            for cause in row.causes
            if cause.gain is not None or (cause.name != "rounding" and row.harm <= BANDS[-1][0])
        ]
        if blamed:
            lines += ["", "why:", *(f"  {row.name}: {cause}" for row, cause in blamed[:SHOWN])]
        if self.unmatched:
            names = ", ".join(list(self.unmatched)[:4])
            lines += ["", f"not compared: {len(self.unmatched)} nodes without a counterpart ({names})"]
        return "\n".join(map(printable, lines))

    def _repr_html_(self) -> str:
        from octavo.report.page import body

        return body(self)

    def to_html(self, path: str | PathLike[str]) -> None:
        """Write a page that needs no other file; one of that name is replaced whole or not at all."""
        from octavo.program import saving
        from octavo.report.page import page

        saving.write(path, page(self).encode("utf-8", "backslashreplace"))

    def to_node_data(self) -> dict[str, Any]:
        """Node data for Model Explorer, which shows them on the first model's graph: the SQNR at the outputs.

        By the names of tensors, as its `GraphNodeData` has them, with colours by `BANDS`.
        """
        measured = sorted(self.layers, key=lambda row: row.place)
        return {
            "results": {row.of: {"value": row.harm} for row in measured},
            "thresholds": [{"value": end, "bgColor": colour} for end, colour in BANDS],
        }


BANDS = ((20.0, "#e5534b"), (30.0, "#f0883e"), (40.0, "#d9b832"))
"""Up to how many dB a layer has which colour; above, it is harmless."""

SHOWN = 20
"""Rows of layers that the text shows."""


def _output_line(row: OutputRow) -> str:
    parts = []
    if row.sqnr is not None:
        parts.append(f"SQNR {_decibels(row.sqnr)}")
    if row.before is not None:
        parts.append(f"{_decibels(row.before[1])} before its {row.before[0]}")
    if row.cosine is not None:
        parts.append(f"cosine {row.cosine:.6f}")
    if row.agreement is not None:
        parts.append(f"{100 * row.agreement:.1f} % the same")
    for k, pair in ((1, row.top1), (5, row.top5)):
        if pair is not None:
            parts.append(f"top-{k} {100 * pair[0]:.1f} % and {100 * pair[1]:.1f} %")
    return f"output {row.name}: {', '.join(parts) or 'nothing to compare'}"


def _table(rows: list[LayerRow]) -> list[str]:
    header = ("at outputs", "alone", "accumulated", "clipped", "op", "name")
    cells = [header] + [
        (
            "-" if row.at_outputs is None else f"{row.at_outputs:.1f}",
            f"{row.sqnr:.1f}",
            f"{row.accumulated:.1f}",
            f"{100 * row.clipped:.2f} %",
            row.op,
            shortened(row.name, 60),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if column < 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _decibels(value: float) -> str:
    return f"{value:.1f} dB"


__all__ = ["SHOWN", "Cause", "Comparison", "LayerRow", "OutputRow"]
