"""What became of a model: what runs in integers, what stays float and why, what the data looked like."""

import textwrap
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import Any

from octavo.calibration import Calibration, Statistics
from octavo.errors import printable
from octavo.lowering import Lowered, Stay
from octavo.lowering.given import given
from octavo.lowering.speed import slower_products
from octavo.program import Node, Program, all_nodes, artifact
from octavo.program.integers import ACTIVATIONS, INT16, UINT8
from octavo.quantization.choice import Choice
from octavo.quantization.macs import macs
from octavo.quantization.raising import Raised
from octavo.quantization.shapes import Sizes


@dataclass(frozen=True)
class Seen:
    """The values of a tensor over the calibration data: its extremes, and how many were not finite."""

    name: str
    minimum: float
    maximum: float
    nans: int
    infinities: int


@dataclass(frozen=True)
class Report:
    """Of one quantization.

    recipe: its name. samples: how many the calibration ran over. inputs: what they looked like.
    integer_ops, float_ops: how often each op stands in the Program, by what it computes in. wide_ops: of the
    former, those on int16, where some are not.
    conversions: how many nodes convert between the two.
    macs, integer_macs: of all products, and of those in integers, for one sample of the data; without data,
    free axes are taken as 1.
    stays: the model's ops that stay float, each with its reason.
    not_finite: tensors in which NaN or an infinity was seen; ranges are over the rest.
    float_bytes, integer_bytes: of the constants before and after.
    warnings: what is doubtful about the calibration data, and what the recipe loses without need.
    stages: what was done, in order.
    range_rule: by which the ranges were taken; None without data. tried: for each rule that was tried, the
    ratio of signal to error of the outputs in dB, over samples that its ranges are not of.
    exact_inputs: those whose values lie on a grid that the integers hit, so that none is rounded.
    raised: step by step, the ops that were raised to int16 or float for `min_sqnr` or `max_drop`; the first
    step is the network before any was.
    given_tensors, given_weights: how many have the integers that the model itself gives them.
    slower: the products in integers that float could be faster at on some CPUs, for their sums are short.
    """

    recipe: str
    samples: int
    inputs: list[Seen]
    integer_ops: dict[str, int]
    float_ops: dict[str, int]
    conversions: int
    macs: int
    integer_macs: int
    stays: list[Stay]
    not_finite: list[Seen]
    float_bytes: int
    integer_bytes: int
    warnings: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    range_rule: str | None = None
    tried: dict[str, float] = field(default_factory=dict)
    exact_inputs: list[str] = field(default_factory=list)
    is_fitted: bool = False
    own_ranges: list[str] = field(default_factory=list)
    raised: list[Raised] = field(default_factory=list)
    wide_ops: dict[str, int] = field(default_factory=dict)
    given_tensors: int = 0
    given_weights: int = 0
    slower: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)

    def summary(self) -> str:
        """The least that is worth knowing, in one line."""
        integers, floats = sum(self.integer_ops.values()), sum(self.float_ops.values())
        samples = f", {self.samples} samples" if self.samples else ""
        doubts = f", warnings: {len(self.warnings)}" if self.warnings else ""
        return (
            f"{self.recipe}: {integers} nodes in integers, {floats} in float, constants of "
            f"{self.float_bytes:,} bytes now {self.integer_bytes:,}{samples}{doubts}"
        )

    def __repr__(self) -> str:
        return f"Report({self.summary()})"

    def _repr_html_(self) -> str:
        from octavo.quantization.page import body

        return body(self)

    def to_html(self, path: str | PathLike[str]) -> None:
        """Write a page that needs no other file; one of that name is replaced whole or not at all."""
        from octavo.program import saving
        from octavo.quantization.page import page

        saving.write(path, page(self).encode("utf-8", "backslashreplace"))

    def grouped_stays(self) -> list[tuple[str, list[Stay]]]:
        """What stays float for want of an integer form, then what does so for other reasons."""
        groups = [
            ("stay float for want of an integer form", [stay for stay in self.stays if not stay.expected]),
            ("stay float by choice or because it is better", [stay for stay in self.stays if stay.expected]),
        ]
        return [(title, stays) for title, stays in groups if stays]

    def __str__(self) -> str:
        lines = (
            *self._summary(),
            *self._floats(),
            *self._slower(),
            *self._data(),
            *self._raised(),
            *self._warnings(),
        )
        return "\n".join(map(printable, lines))

    def _summary(self) -> list[str]:
        lines = [
            f"{sum(self.integer_ops.values())} nodes in integers: {listed(self.integer_ops)}",
            *([f"  on int16: {listed(self.wide_ops)}"] if self.wide_ops else []),
            f"{sum(self.float_ops.values())} nodes in float: {listed(self.float_ops)}",
            f"conversions between the two: {self.conversions}",
        ]
        if self.macs:
            share = 100 * self.integer_macs / self.macs
            lines.append(f"{share:.1f} % of {self.macs:,} multiply-accumulates a sample are in integers")
        lines.append(f"constants: {self.float_bytes:,} bytes in float, {self.integer_bytes:,} now")
        return lines

    def _floats(self) -> list[str]:
        if not self.stays:
            return ["no op of the model stays float"]
        lines = []
        for title, stays in self.grouped_stays():
            lines.append(f"{len(stays)} ops of the model {title}:")
            for reason in dict.fromkeys(stay.reason for stay in stays):
                names = [f"{stay.op} {printable(stay.name)}" for stay in stays if stay.reason == reason]
                lines.extend([f"  {reason}:", *textwrap.wrap(", ".join(names), 110, **_INDENT)])
        return lines

    def _slower(self) -> list[str]:
        if not self.slower:
            return []
        names = ", ".join(map(printable, self.slower))
        return [
            f"{len(self.slower)} products of short sums can take longer than in float, on AVX2 above all:",
            *textwrap.wrap(names, 110, **_INDENT),
        ]

    def _data(self) -> list[str]:
        lines = [f"calibrated over {self.samples} samples"] if self.samples else ["made without data"]
        if self.given_tensors or self.given_weights:
            lines.append(
                f"  as the model gives them: {self.given_tensors} tensors' scales, "
                f"{self.given_weights} products' weights"
            )
        if self.range_rule is not None:
            tried = ", ".join(f"{name} {ratio:.1f} dB" for name, ratio in self.tried.items())
            lines.append(
                f"  ranges by {self.range_rule}" + (f"; on samples held back: {tried}" if tried else "")
            )
        if self.own_ranges:
            lines.append(f"  ranges of their own for {len(self.own_ranges)} tensors")
        if self.is_fitted:
            lines.append("  weights make up for the errors of the layers before them")
        lines.extend(
            f"  input {seen.name}: values from {seen.minimum:g} to {seen.maximum:g}"
            + (", held exactly" if seen.name in self.exact_inputs else "")
            for seen in self.inputs
        )
        lines.extend(
            f"  {seen.name}: {seen.nans} NaN and {seen.infinities} infinite values left out of its range"
            for seen in self.not_finite
        )
        return lines

    def _raised(self) -> list[str]:
        if not self.raised:
            return []
        first, *steps = self.raised
        said = f"{first.sqnr:.1f} dB, surely {first.assured:.1f}, {1000 * first.seconds:.3g} ms"
        lines = [f"before any op was raised {said}, on samples held back" + (":" if steps else "")]
        for step in steps:
            more = f" and {len(step.names) - 1} more" if step.names[1:] else ""
            said = f"{step.sqnr:.1f} dB, surely {step.assured:.1f}, {1000 * step.seconds:.3g} ms"
            share = f"{100 * step.macs:.1f} % of multiply-accumulates raised"
            floats = f", {100 * step.float_macs:.1f} % in float" if step.float_macs else ""
            name = f"{step.op} {printable(step.names[0])}{more} to {step.to}"
            lines.append(f"  {name}: {said}; {share}{floats}")
        return lines

    def _warnings(self) -> list[str]:
        return [
            line
            for warning in self.warnings
            for line in textwrap.wrap(
                f"warning: {warning}", 110, subsequent_indent="  ", break_long_words=False
            )
        ]


def report(
    floats: Program,
    lowered: Lowered,
    calibration: Calibration | None,
    sizes: Sizes,
    recipe: str,
    warnings: list[str],
    stages: list[str],
    choice: Choice | None,
    exact_inputs: list[str],
    is_fitted: bool = False,
    own_ranges: Iterable[str] = (),
    raised: Iterable[Raised] = (),
) -> Report:
    """The report of a float Program that was lowered after this calibration; `warnings` are of its data.

    Multiplications are counted by `sizes`.
    """
    program = lowered.program
    in_integers = {
        name
        for node in all_nodes(program.nodes)
        if _computes(program, node, ACTIVATIONS)
        for name in lowered.nodes.get(node.name, ())
    }
    seen = {}
    if calibration is not None:
        statistics = calibration.statistics
        seen = {name: _seen(statistics, name) for name in calibration.names}
    work = {node.name: macs(node, sizes) for node in all_nodes(floats.nodes)}
    found = given(floats)
    return Report(
        recipe=recipe,
        stages=stages,
        samples=0 if calibration is None else calibration.samples,
        inputs=[seen[name] for name in floats.inputs if name in seen],
        integer_ops=counted_ops(program, in_integers=True),
        float_ops=counted_ops(program, in_integers=False),
        wide_ops=_wide_ops(program),
        conversions=sum(node.op in _CONVERSIONS for node in all_nodes(program.nodes)),
        macs=sum(work.values()),
        integer_macs=sum(count for name, count in work.items() if name in in_integers),
        stays=lowered.stays,
        not_finite=[item for item in seen.values() if item.nans or item.infinities],
        float_bytes=sum(array.nbytes for array in floats.constants.values()),
        integer_bytes=artifact.stored_bytes(program),
        warnings=warnings,
        range_rule=None if choice is None else choice.taken.name,
        tried={} if choice is None else choice.ratios(),
        exact_inputs=exact_inputs,
        is_fitted=is_fitted,
        own_ranges=sorted(own_ranges),
        raised=list(raised),
        given_tensors=len(found.forms),
        given_weights=len(found.weights),
        slower=[node.name for node in slower_products(program)],
    )


REPORT_NEEDS = ("counts", "extremes")
"""The statistics of the calibration that a report reads."""


def _seen(statistics: Statistics, name: str) -> Seen:
    counts, extremes = (statistics.read(name, need) for need in REPORT_NEEDS)
    # Where nothing was finite, the least of nothing is above the greatest.
    minimum, maximum = extremes.get("minimum", float("inf")), extremes.get("maximum", float("-inf"))
    return Seen(name, minimum, maximum, counts["nans"], counts["infinities"])


_INDENT: dict[str, Any] = {
    "initial_indent": "    ",
    "subsequent_indent": "    ",
    "break_long_words": False,
    "break_on_hyphens": False,
}
_CONVERSIONS = ("Quantize", "Dequantize", "DynamicQuantize")
_FLOATS = ("f16", "f32", "f64")
_REALS = (*ACTIVATIONS, *_FLOATS)


def counted_ops(program: Program, *, in_integers: bool) -> dict[str, int]:
    """The ops that compute on integers that stand for reals, or on floats, with their counts, by name."""
    wanted = ACTIVATIONS if in_integers else _FLOATS
    ops = [node.op for node in all_nodes(program.nodes) if _computes(program, node, wanted)]
    return dict(sorted(Counter(ops).items()))


def _wide_ops(program: Program) -> dict[str, int]:
    """The ops on int16 where others are on uint8, with their counts."""
    wide, narrow = (
        Counter(node.op for node in all_nodes(program.nodes) if _computes(program, node, (of.dtype,)))
        for of in (INT16, UINT8)
    )
    return dict(sorted(wide.items())) if narrow else {}


def _computes(program: Program, node: Node, dtypes: Container[str]) -> bool:
    """Whether a node computes reals from what is of one of these dtypes, rather than convert it."""
    if node.bodies:  # whose nodes compute
        return False
    # Exponentials are integers of float32 scores.
    read = node.outputs[0] if node.op == "QExponentials" else node.inputs[0]
    return (
        node.op not in _CONVERSIONS
        and program.values[read].dtype in dtypes
        and program.values[node.outputs[0]].dtype in _REALS  # a Shape computes nothing
    )


def listed(ops: dict[str, int]) -> str:
    """Ops and how often each is there, in words."""
    return ", ".join(f"{count} {op}" for op, count in ops.items()) or "none"
