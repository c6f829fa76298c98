"""`quantize`, and the model that it gives."""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

from octavo import frontend
from octavo.calibration import (
    Calibration,
    Data,
    Progress,
    calibrate,
    mapped_files,
    ranges,
    rule_named,
    samples,
)
from octavo.errors import ModelError
from octavo.lowering import Choices, Lowered, Stay, evaluate, lower, lower_to_integers
from octavo.passes import simplify
from octavo.program import Program, artifact
from octavo.quantization.inputs import DOUBT_NEEDS, Kept, doubts
from octavo.quantization.recipes import recipe as recipe_of
from octavo.quantization.report import REPORT_NEEDS, Report, report
from octavo.quantization.scopes import excluded_nodes
from octavo.quantization.shapes import unknown, with_measured_shapes
from octavo.session import Session


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """A model in integers.

    program: what runs, as `octavo.reference.run` reads it. report: what became of the float model.
    sources: the files that it was made from, which `save` does not overwrite.
    """

    program: Program
    report: Report
    sources: tuple[str, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"QuantizedModel({self.report.summary()})"

    def _repr_html_(self) -> str:
        return self.report._repr_html_()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the artifact; a file of that name is replaced whole or not at all.

        A link is followed; a pipe or a device, such as /dev/stdout, is written to. Raises `ArtifactError`
        where the file is one that the model was made from, OSError where it cannot be written.
        """
        artifact.save(self.program, path, self.sources)


def quantize(
    model: frontend.Source,
    data: Data,
    recipe: str = "int8",
    *,
    exclude: Iterable[str] = (),
    range_rule: str | None = None,
    per_channel: bool | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    threads: int | None = None,
) -> QuantizedModel:
    """Quantize a float model by the ranges that its tensors take over `data`.

    model: the path, bytes or proto of an ONNX model.
    data: samples as the model takes them: an array (first axis: samples), a dict of arrays by input name, an
        iterable of samples or feeds, or a function that returns one.
    recipe: the name of a recipe; "int8" has uint8 activations and int8 weights, one scale an output channel.
    exclude: names of nodes, or patterns, that stay float; one that matches no node is an error.
    range_rule, per_channel: instead of the recipe's.
    strict: raise `ModelError` where an op stays float that was not meant to.
    progress: called after each sample with the number of samples so far.
    threads: for the calibration runs, as `octavo.Session` takes it.
    What is doubtful about the data is in `report.warnings`, and a warning of the logger "octavo", which goes
    to standard error unless the program has configured logging otherwise.
    Raises `ModelError` for the model, `DataError` for the data, `RunError` for `threads`, TypeError for an
    argument of another type.
    """
    chosen = recipe_of(recipe)
    rule = rule_named(chosen.range_rule if range_rule is None else range_rule)
    _check_switch("strict", strict)
    if per_channel is not None:
        _check_switch("per_channel", per_channel)
    if not (progress is None or callable(progress)):
        raise TypeError(
            f"progress is of type {type(progress).__name__}: give a function of the number of samples"
        )
    floats, files = _float_program(model)
    choices = Choices(
        excluded_nodes(floats, exclude), chosen.per_channel if per_channel is None else per_channel
    )
    session = Session(floats, threads)
    feeds = samples(data, session.get_inputs())
    if unknown(floats):
        first = next(feeds)
        floats, feeds = with_measured_shapes(floats, first, threads), chain([first], feeds)
    kept = Kept()
    needs = {*rule.needs, *DOUBT_NEEDS, *REPORT_NEEDS}
    observed = calibrate(session, kept.watch(feeds), observable(floats), needs, progress)
    lowered = lower_to_integers(floats, ranges(observed.statistics, rule), choices)
    if strict:
        _check_strict(lowered.stays)
    warnings = doubts(floats, observed, kept, threads)
    for warning in warnings:
        _log.warning("calibration data: %s", warning)
    told = report(floats, lowered, observed, chosen.name, warnings)
    return QuantizedModel(lowered.program, told, (*files, *mapped_files(data)))


def _float_program(model: frontend.Source) -> tuple[Program, tuple[str, ...]]:
    """The model in float, and the files that it was read from."""
    loaded = frontend.load(model)
    return lower(simplify(loaded, evaluate)).program, frontend.files_of(loaded)


_log = logging.getLogger("octavo")


def observable(program: Program) -> list[str]:
    """The values of a float Program that calibration observes: all in float32 that depend on the inputs."""
    made = [*program.inputs, *(name for node in program.nodes for name in node.outputs if name)]
    return [name for name in made if program.values[name].dtype == "f32"]


def _check_switch(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} is of type {type(value).__name__}: it must be True or False")


def _check_strict(stays: list[Stay]) -> None:
    surprises = [stay for stay in stays if not stay.expected]
    if surprises:
        listed = "; ".join(f"{stay.op} {stay.name!r}: {stay.reason}" for stay in surprises)
        raise ModelError(
            f"strict: {len(surprises)} ops stay float ({listed}); change them, or name them in exclude"
        )


__all__ = ["Calibration", "Lowered", "QuantizedModel", "observable", "quantize"]
