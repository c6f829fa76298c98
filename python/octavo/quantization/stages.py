"""The stages of `quantize`, each a step on what the ones before it made."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from octavo import frontend
from octavo.calibration import (
    Calibration,
    Data,
    Feeds,
    Progress,
    RangeRule,
    calibrate,
    mapped_files,
    ranges,
    samples,
)
from octavo.errors import DataError, ModelError
from octavo.lowering import Forms, Lowered, Stay, evaluate, lower, lower_to_integers
from octavo.passes import simplify
from octavo.program import Program
from octavo.quantization.inputs import DOUBT_NEEDS, Kept, doubts
from octavo.quantization.recipes import Recipe
from octavo.quantization.report import REPORT_NEEDS, Report, report
from octavo.quantization.scopes import excluded_nodes
from octavo.quantization.shapes import unknown, with_measured_shapes
from octavo.rewrites import stored_weights
from octavo.session import Session

FLOAT_RECIPE = "the recipe keeps activations in float"

_log = logging.getLogger("octavo")


@dataclass
class Work:
    """One quantization under way: what was asked for, and what the stages have made of it so far.

    floats: the model in float. session: of it. feeds: the samples that calibration has not run over yet.
    ran: the stages.
    """

    model: frontend.Source
    data: "Data | None"
    recipe: Recipe
    rule: RangeRule | None = None
    per_channel: bool = True
    exclude: Iterable[str] = ()
    strict: bool = False
    progress: Progress | None = None
    threads: int | None = None

    floats: Program = field(init=False)
    files: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()
    session: Session = field(init=False)
    feeds: Iterator[Feeds] = field(init=False)
    kept: Kept = field(default_factory=Kept)
    calibration: Calibration | None = None
    lowered: Lowered = field(init=False)
    warnings: list[str] = field(default_factory=list)
    report: Report = field(init=False)
    ran: list[str] = field(default_factory=list)


def run(work: Work) -> None:
    """Run the stages of the work's recipe."""
    for name in work.recipe.stages:
        STAGES[name](work)
        work.ran.append(name)


def load(work: Work) -> None:
    """The model in float, simplified; the nodes that stay so; the samples, where the recipe needs any."""
    loaded = frontend.load(work.model)
    work.floats = lower(simplify(loaded, evaluate)).program
    work.files = frontend.files_of(loaded)
    work.excluded = excluded_nodes(work.floats, work.exclude)
    if not work.recipe.needs_data:
        return
    if work.data is None:
        raise DataError(
            f"the recipe {work.recipe.name!r} needs data: give a hundred samples, as the model takes them"
        )
    work.files += mapped_files(work.data)
    work.session = Session(work.floats, work.threads)
    work.feeds = samples(work.data, work.session.get_inputs())


def measure_shapes(work: Work) -> None:
    """The shapes that inference did not find, from a run of the first sample."""
    if unknown(work.floats):
        first = next(work.feeds)
        work.floats = with_measured_shapes(work.floats, first, work.threads)
        work.feeds = chain([first], work.feeds)


def calibrate_ranges(work: Work) -> None:
    """What the values of the float model hold over the samples."""
    assert work.rule is not None
    needs = {*work.rule.needs, *DOUBT_NEEDS, *REPORT_NEEDS}
    names, feeds = observable(work.floats), work.kept.watch(work.feeds)
    work.calibration = calibrate(work.session, feeds, names, needs, work.progress)


def lower_by_ranges(work: Work) -> None:
    """The integer Program, in forms derived from the ranges."""
    assert work.calibration is not None
    assert work.rule is not None
    assert work.recipe.activations is not None
    forms = Forms(
        ranges(work.calibration.statistics, work.rule),
        activations=work.recipe.activations,
        weights_of=work.recipe.weights,
        per_channel=work.per_channel,
    )
    work.lowered = lower_to_integers(work.floats, forms, work.excluded)


def store_weights(work: Work) -> None:
    """The float Program with its weights in integers."""
    program = stored_weights(work.floats, work.recipe.weights, work.excluded)
    stays = [
        Stay(node.name, node.op, FLOAT_RECIPE, True)
        for node in work.floats.nodes
        if program.values[next(filter(None, node.outputs))].dtype in ("f16", "f32", "f64")
    ]
    work.lowered = Lowered(program, stays)


def check(work: Work) -> None:
    """Under `strict`: nothing stays float that was not meant to."""
    surprises: list[Stay] = [stay for stay in work.lowered.stays if not stay.expected]
    if work.strict and surprises:
        listed = "; ".join(f"{stay.op} {stay.name!r}: {stay.reason}" for stay in surprises)
        raise ModelError(
            f"strict: {len(surprises)} ops stay float ({listed}); change them, or name them in exclude"
        )


def doubt(work: Work) -> None:
    """What is doubtful about the data, as warnings."""
    assert work.calibration is not None
    work.warnings = doubts(work.floats, work.calibration, work.kept, work.threads)
    for warning in work.warnings:
        _log.warning("calibration data: %s", warning)


def tell(work: Work) -> None:
    """The report."""
    work.report = report(
        work.floats, work.lowered, work.calibration, work.recipe.name, work.warnings, [*work.ran, "report"]
    )


STAGES: dict[str, Callable[[Work], None]] = {
    "load": load,
    "measure shapes": measure_shapes,
    "calibrate": calibrate_ranges,
    "lower": lower_by_ranges,
    "store weights": store_weights,
    "check": check,
    "doubt": doubt,
    "report": tell,
}
"""The stages by name."""


def observable(program: Program) -> list[str]:
    """The values of a float Program that calibration observes: all in float32 that depend on the inputs."""
    made = [*program.inputs, *(name for node in program.nodes for name in node.outputs if name)]
    return [name for name in made if program.values[name].dtype == "f32"]
