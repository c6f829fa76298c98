"""The stages of `quantize`, each a step on what the ones before it made."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain

from octavo.calibration import (
    Calibration,
    Feeds,
    Statistics,
    mapped_files,
    rule_named,
    samples,
)
from octavo.errors import DataError, ModelError
from octavo.lowering import (
    Forms,
    Lowered,
    Stay,
    holds_integers,
    lower_to_integers,
)
from octavo.program.integers import UINT8
from octavo.quantization.channels import ALPHAS, CHANNEL_NEEDS, candidates
from octavo.quantization.choice import (
    FEWEST,
    ROUGHLY,
    Candidate,
    Choice,
    choose,
    with_alphas,
    with_both,
    with_features,
    with_rules,
    with_weights,
)
from octavo.quantization.features import FEATURE_NEEDS, reads_features
from octavo.quantization.features import candidates as feature_candidates
from octavo.quantization.grids import grids
from octavo.quantization.inputs import DOUBT_NEEDS, doubts
from octavo.quantization.judge import Judge
from octavo.quantization.latency import slower_in_integers
from octavo.quantization.loading import check_integers_only, floats_of, observable, settle_overrides
from octavo.quantization.macs import macs, stated_sizes
from octavo.quantization.mix import FLOAT, LEVELS, Mix
from octavo.quantization.raising import Raising
from octavo.quantization.report import REPORT_NEEDS, report
from octavo.quantization.rounding import fair_weights
from octavo.quantization.search import GAIN as GAIN_SEARCHED
from octavo.quantization.search import RULES_TRIED, Ranges, Search
from octavo.quantization.shapes import measured_sizes, unknown, with_measured_shapes
from octavo.quantization.walk import affordable
from octavo.quantization.without_ranges import lower_for_any_data, round_to_halves, store_weights
from octavo.quantization.work import (
    FLOAT_ENDS,
    Work,
    forms_for,
    lowered_by,
    lowered_for,
    ranges_for,
    rounded_for,
    told,
    warn_of_nearest,
)
from octavo.rewrites import (
    INTEGERS,
    integer_ends,
    stored_tables,
)
from octavo.session import Session

FEWEST_KEPT = 32
"""Samples below which none are held back, and nothing is done that has to be judged by such."""

SLOWER = "slower in integers on the machine that quantized it"
RAISED = "raised to float, for answers as near as was asked"

_log = logging.getLogger("octavo")


def run(work: Work) -> None:
    """Run the stages of the work's recipe, but for those that ran before or that its effort leaves out."""
    for name in work.recipe.stages:
        is_without_data = name in OF_DATA and work.data is None and work.calibration is None
        if name in left_out(work) or name in work.ran or is_without_data:
            continue
        work.watcher.begin(name)
        STAGES[name](work)
        work.watcher.end()
        work.ran.append(name)


def left_out(work: Work) -> frozenset[str]:
    """The stages that the work's effort leaves out: weights of few bits are fitted by the default one too."""
    names = LEFT_OUT[work.effort]
    return names - {"fit weights"} if work.recipe.bits < 8 and work.effort == "default" else names


def load(work: Work) -> None:
    """The model in float, simplified; the nodes that stay so; the samples, where the recipe needs any."""
    integers_only = work.recipe.kind.integers_only
    # A model that is None is refused there.
    work.floats, names, work.files = floats_of(work.model, integers_only)  # type: ignore[arg-type]
    settle_overrides(work, names)
    is_given = holds_integers(work.floats)
    if is_given and not work.recipe.takes_forms:
        raise ModelError(
            f"the model is quantized already, and the recipe {work.recipe.name!r} is for float models: give "
            "the one that it was made of, or take the recipe 'int8', which keeps the scales that are given "
            "and needs no data"
        )
    if work.data is None:
        if not work.recipe.needs_data or is_given:
            return
        raise DataError(
            f"the recipe {work.recipe.name!r} needs data: give a hundred samples, as the model takes them"
        )
    work.files += mapped_files(work.data)
    work.session = Session(work.floats, threads=1)
    work.feeds = samples(work.data, work.session.get_inputs(), partial(work.session.run, None))


def measure_shapes(work: Work) -> None:
    """The shapes that inference did not find, from a run of the first sample."""
    if unknown(work.floats):
        first = next(work.feeds)
        work.floats = with_measured_shapes(work.floats, first, work.threads)
        work.feeds = chain([first], work.feeds)


def calibrate_ranges(work: Work) -> None:
    """What the values of the float model hold over the samples."""
    needs = {*DOUBT_NEEDS, *REPORT_NEEDS, *(need for rule in work.rules for need in rule.needs)}
    comes = set(work.recipe.stages).difference(left_out(work))
    if "choose forms" in comes:
        needs |= set(CHANNEL_NEEDS)
    if "scale features" in comes and reads_features(work.floats):
        needs |= set(FEATURE_NEEDS)
    work.calibration = Calibration.of(observable(work.floats), needs, work.keeps)
    work.calibration.observe(work.session, work.feeds, work.watcher.count, work.threads)


def see_grids(work: Work) -> None:
    """The inputs whose values are on grids that integers can hit."""
    assert work.calibration is not None
    if work.recipe.activations is UINT8 and work.io == FLOAT_ENDS and not work.recipe.symmetric:
        found = grids(work.floats, work.calibration.kept.feeds)
        work.grids = {name: form for name, form in found.items() if name not in work.overridden.tensors}


def lower_by_ranges(work: Work) -> None:
    """The integer Program, in forms that the model gives, or derived from the ranges of the first rule."""
    integers_only = work.recipe.kind.integers_only
    if work.calibration is None:
        if work.aims or work.optimize_for is not None:
            raise DataError("min_sqnr, max_drop and optimize_for need data to measure by: give some samples")
        forms = Forms(derives=False, integers_only=integers_only)
        work.lowered = lower_to_integers(work.floats, forms, work.mix.floats, work.made)
        return
    work.choice = Choice(Candidate(work.rules[0]))
    work.lowered = lowered_for(work, work.calibration.statistics, work.choice.taken)
    if work.recipe.bits < 8 and work.effort == "fast":
        warn_of_nearest(work)
    if integers_only:
        check_integers_only(work.lowered.stays)


def leave_slower(work: Work) -> None:
    """What is slower in integers on this machine back in float, where that was asked for."""
    if work.optimize_for is None:
        return
    assert work.calibration is not None
    assert work.choice is not None
    statistics, taken = work.calibration.statistics, work.choice.taken

    def lower_by(names: frozenset[str]) -> Lowered:
        return lowered_for(work, statistics, taken, work.mix.with_nodes(names, FLOAT))

    feeds = work.calibration.kept.feeds[0]
    slower = slower_in_integers(work.floats, lower_by, feeds, work.threads)
    work.reasons |= dict.fromkeys(slower, SLOWER)
    work.mix = work.mix.with_nodes(slower, FLOAT)
    work.lowered = lowered_for(work, statistics, taken)


def scale_features(work: Work) -> None:
    """A scale for each feature of what matrix products read, where that does better on the other samples."""
    assert work.calibration is not None
    assert work.choice is not None
    is_seen = FEATURE_NEEDS[0] in work.calibration.statistics.statistics
    if not is_seen or not any(feature_candidates(work.lowered)) or _judged(work) < FEWEST:
        return
    halves, lower_by = work.calibration.halves, partial(lowered_for, work)
    work.choice = choose(halves, _judges(work), work.choice.taken, [with_features], lower_by)
    if work.choice.taken.features:
        work.lowered = lowered_for(work, work.calibration.statistics, work.choice.taken)


def choose_forms(work: Work) -> None:
    """The ranges and channel scales that do best on samples which they are not of."""
    assert work.calibration is not None
    assert work.choice is not None
    rules, alphas = work.rules[1:], ALPHAS if any(candidates(work.lowered)) else ()
    if not (rules or alphas) or _judged(work) < FEWEST:
        return
    feeds = affordable(work.lowered.program, work.calibration.kept.feeds[:ROUGHLY], work.threads)
    fair = fair_weights(work.floats, work.lowered, feeds, work.threads, storage=work.recipe.storage)

    def lower_by(statistics: Statistics, candidate: Candidate) -> Lowered:
        return with_weights(work.floats, fair, lowered_for(work, statistics, candidate))

    start, steps = work.choice.taken, [partial(with_rules, rules), partial(with_alphas, alphas)]
    if work.effort == "best":
        steps = [partial(with_both, rules, alphas)]
    found = choose(work.calibration.halves, _judges(work), start, steps, lower_by)
    work.choice = replace(found, errors=work.choice.errors | found.errors)
    if found.taken != start:
        work.lowered = lowered_for(work, work.calibration.statistics, found.taken)


def make_weights(work: Work) -> None:
    """Weights and biases that are made for the samples, unless the network errs more with them."""
    assert work.calibration is not None
    # What has to be judged in the end needs samples that nothing was made for.
    own = _held_back(work)[0] if work.aims else work.calibration.kept.feeds
    feeds = affordable(work.lowered.program, own, work.threads)
    made = rounded_for(work, work.lowered, feeds)
    if _error(work, made) <= _error(work, work.lowered):
        work.lowered = made


def fit_weights(work: Work) -> None:
    """The same of weights that make up for what the layers before them lost.

    If the network errs less so, on the samples that they were made for and on those held back.
    """
    seen, back = _held_back(work)
    if not back:
        return
    feeds = affordable(work.lowered.program, seen, work.threads)
    made = rounded_for(work, work.lowered, feeds, fit=True)
    judges = (Judge(work.floats, work.lowered, part, work.threads) for part in (seen, back))
    if all(judge.error(made) < judge.error(work.lowered) for judge in judges):
        work.lowered, work.is_fitted = made, True


def search_ranges(work: Work) -> None:
    """Ranges of their own for some tensors, if the network errs clearly less so on samples held back."""
    assert work.calibration is not None
    seen, back = _held_back(work)
    if work.choice is None or len(work.rules) == 1 or not back:
        return
    statistics, taken = work.calibration.statistics, work.choice.taken
    forms = forms_for(work, statistics, taken)

    def lower_by(own: Ranges) -> Lowered:
        return lowered_by(work, replace(forms, ranges=dict(forms.ranges) | dict(own)), statistics, taken)

    feeds = affordable(work.lowered.program, seen, work.threads)
    search = Search(work.floats, work.lowered, lower_by, feeds, work.threads)
    free = {name: own for name, own in forms.ranges.items() if name not in work.overridden.tensors}
    search.run(free, [ranges_for(work, statistics, rule_named(name)) for name in RULES_TRIED])
    judge = Judge(work.floats, work.lowered, back, work.threads)
    if not judge.error(search.lowered) * GAIN_SEARCHED < judge.error(work.lowered):
        return
    lowered = lower_by(search.ranges)
    again = rounded_for(work, lowered, feeds, fit=work.is_fitted)
    work.lowered = min((again, search.lowered), key=judge.error)
    work.own_ranges = search.ranges


def raise_ops(work: Work) -> None:
    """The ops that cost most on int16, then back in float, as few as come as near as was asked."""
    if not work.aims:
        return
    assert work.calibration is not None
    assert work.choice is not None
    seen, back = _held_back(work)
    if not back:
        raise DataError(
            f"min_sqnr and max_drop are judged by samples held back, and {len(seen)} are too few: give "
            f"{FEWEST_KEPT} or more"
        )
    statistics, taken, made = work.calibration.statistics, work.choice.taken, work.lowered

    def lower_by(mix: Mix) -> Lowered:
        return with_weights(work.floats, made, lowered_for(work, statistics, taken, mix))

    sizes = measured_sizes(work.floats, seen[0], work.threads)
    effort = {node.name: macs(node, sizes) for node in work.floats.nodes}
    raising = Raising(work.floats, made, work.mix, lower_by, back, effort, work.threads)
    accepts = _accepts(work)
    raising.until(LEVELS[LEVELS.index(work.recipe.name) + 1 :], work.min_sqnr, accepts)
    feeds = affordable(raising.lowered.program, seen, work.threads)

    def made_for(mix: Mix) -> Lowered:
        lowered = lowered_for(work, statistics, taken, mix)
        return rounded_for(work, lowered, feeds, fit=work.is_fitted)

    raising.settle(made_for, work.min_sqnr, accepts)
    work.reasons |= dict.fromkeys(raising.mix.floats - work.mix.floats, RAISED)
    work.mix = raising.mix
    work.lowered, work.raised = told(work, raising.lowered), raising.steps


def _accepts(work: Work) -> Callable[[Lowered], bool] | None:
    """Whether a network loses no more than was allowed, by the measure that was given."""
    if work.evaluate is None or work.max_drop is None:
        return None
    evaluate, most = work.evaluate, work.max_drop
    whole = evaluate(Session(work.floats, work.threads))
    return lambda lowered: whole - evaluate(Session(lowered.program, work.threads)) <= most


def _held_back(work: Work) -> tuple[list[Feeds], list[Feeds]]:
    """All samples that are kept, and a third of them apart; none where they are too few for that."""
    assert work.calibration is not None
    kept = work.calibration.kept.feeds
    end = len(kept) * 2 // 3 if len(kept) >= FEWEST_KEPT else len(kept)
    return kept[:end], kept[end:]


def _error(work: Work, lowered: Lowered) -> float:
    return sum(judge.error(lowered) for judge in _judges(work))


def _judges(work: Work) -> list[Judge]:
    """One for each half of what is kept."""
    if not work.judges:
        assert work.calibration is not None
        work.judges = [
            Judge(work.floats, work.lowered, half, work.threads) for half in work.calibration.kept.halves
        ]
    return work.judges


def _judged(work: Work) -> int:
    """How many samples of a half there are to judge by."""
    return min(judge.samples for judge in _judges(work))


def store_tables(work: Work) -> None:
    """The tables that rows are picked from, such as embeddings, in integers, unless the model is as given."""
    if work.calibration is None and holds_integers(work.floats):
        return
    assert work.recipe.weights is not None
    program = stored_tables(work.lowered.program, work.recipe.weights, work.mix.floats)
    work.lowered = replace(work.lowered, program=program)


def check(work: Work) -> None:
    """Under `strict`, nothing stays float that was not meant to; where all must be integers, nothing."""
    if work.recipe.kind.integers_only:
        check_integers_only(work.lowered.stays)
    surprises: list[Stay] = [stay for stay in work.lowered.stays if not stay.expected]
    if work.strict and surprises:
        listed = "; ".join(f"{stay.op} {stay.name!r}: {stay.reason}" for stay in surprises)
        raise ModelError(
            f"strict: {len(surprises)} ops stay float ({listed}); change them, or name them in exclude"
        )


def make_ends_integers(work: Work) -> None:
    """Inputs and outputs in integers, where that was asked for."""
    if work.io != FLOAT_ENDS:
        program = integer_ends(work.lowered.program, INTEGERS[work.io])
        work.lowered = replace(work.lowered, program=program)


def doubt(work: Work) -> None:
    """What is doubtful about the data, as warnings."""
    assert work.calibration is not None
    found = doubts(work.floats, work.calibration, work.threads)
    for warning in found:
        _log.warning("calibration data: %s", warning)
    work.warnings += found


def tell(work: Work) -> None:
    """The report."""
    sizes = stated_sizes(work.floats)
    if work.calibration is not None:
        sizes = measured_sizes(work.floats, work.calibration.kept.feeds[0], work.threads)
    work.report = report(
        work.floats,
        work.lowered,
        work.calibration,
        sizes,
        str(work.recipe),
        work.warnings,
        [*work.ran, "report"],
        work.choice,
        [name for name, form in work.grids.items() if work.lowered.forms.get(name) == form],
        work.is_fitted,
        work.own_ranges,
        work.raised,
    )


STAGES: dict[str, Callable[[Work], None]] = {
    "load": load,
    "measure shapes": measure_shapes,
    "calibrate": calibrate_ranges,
    "see grids": see_grids,
    "lower": lower_by_ranges,
    "leave slower": leave_slower,
    "lower dynamically": lower_for_any_data,
    "scale features": scale_features,
    "choose forms": choose_forms,
    "round weights": make_weights,
    "fit weights": fit_weights,
    "search ranges": search_ranges,
    "raise ops": raise_ops,
    "store weights": store_weights,
    "round to float16": round_to_halves,
    "store tables": store_tables,
    "check": check,
    "make ends integers": make_ends_integers,
    "doubt": doubt,
    "report": tell,
}
"""The stages by name."""

PREPARED = ("load", "measure shapes", "calibrate")
"""The stages that a calibrator has been through."""

OF_DATA = (
    "measure shapes",
    "calibrate",
    "see grids",
    "scale features",
    "choose forms",
    "round weights",
    "fit weights",
    "search ranges",
    "doubt",
)
"""The stages that are left out where there are no data, of a recipe or a model that does without."""

LEFT_OUT: dict[str, frozenset[str]] = {
    "fast": frozenset({"scale features", "choose forms", "round weights", "fit weights", "search ranges"}),
    "default": frozenset({"fit weights", "search ranges"}),
    "best": frozenset(),
}
"""The stages that each effort leaves out, by its name."""
