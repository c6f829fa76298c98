"""The stages of recipes that need no ranges, and make weights for data where these are given."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from octavo.lowering import Lowered, Stay, Weights, lower_dynamically
from octavo.program import Program
from octavo.quantization.dynamic import met_dynamically
from octavo.quantization.stored import (
    Form,
    Held,
    InHalves,
    InStorage,
    Made,
    Meets,
    made_for,
    met_in_float,
)
from octavo.quantization.walk import affordable
from octavo.quantization.work import Work, warn_of_nearest
from octavo.rewrites import Rows, Storage, halves_of, is_close, rounded_halves, storage_of, stored_weights
from octavo.rewrites.weights import Stored, Weight

FLOAT_RECIPE = "the recipe keeps activations in float"


def lower_for_any_data(work: Work) -> None:
    """The Program whose products find the ranges of their activations at run time.

    With weights made for the samples where there are any.
    """
    assert work.recipe.weights is not None
    lower = partial(
        lower_dynamically, of=work.recipe.weights, per_channel=work.per_channel, exclude=work.mix.floats
    )
    work.lowered = lower(work.floats)
    if _has_samples(work) and work.per_channel:
        in_float = work.mix.floats | {stay.name for stay in work.lowered.stays}
        made = _made(work, lambda *_: InStorage(Storage()), in_float, met_dynamically)
        biases = {name: made.program.constants[name] for name in made.biases}
        floats = replace(work.floats, constants=dict(work.floats.constants) | biases)
        weights = {
            name: Weights(rows.integers.T, rows.scales[:, 0], None)
            for (name, _), rows in made.rows.items()
            if isinstance(rows, Rows)
        }
        work.lowered = lower(floats, made=weights)


def store_weights(work: Work) -> None:
    """The float Program with its weights in integers, made for the samples where there are any."""
    storage, floats = work.recipe.storage, work.floats
    rows: dict[Weight, Stored] = {}
    if _has_samples(work):
        made = _made(work, lambda weight, axis: InStorage(storage_of(weight, axis, storage)), work.mix.floats)
        floats, rows = made.program, made.rows
    elif storage.bits < 8:
        warn_of_nearest(work)
    program = stored_weights(floats, storage, work.mix.floats, rows)
    work.lowered = Lowered(program, _all_floats(work.floats))


def round_to_halves(work: Work) -> None:
    """The float Program with constants that float16 holds, made for the samples where there are any."""
    floats, biases = work.floats, list[str]()
    if _has_samples(work):
        made = _made(
            work,
            lambda weight, axis: InHalves() if is_close(halves_of(weight), weight) else None,
            work.mix.floats,
        )
        floats, biases = made.program, made.biases
    program, stays = rounded_halves(floats, work.mix.floats, biases)
    work.lowered = Lowered(program, _all_floats(work.floats))
    work.warnings += [f"the constant {name!r} stays float32: float16 cannot hold it" for name in stays]


def _has_samples(work: Work) -> bool:
    """Whether weights that stay float in use are made for samples."""
    return work.calibration is not None and work.effort != "fast"


def _made(
    work: Work,
    form_of: Callable[[npt.NDArray[np.float32], int], Form[Held] | None],
    excluded: frozenset[str],
    meets: Meets = met_in_float,
) -> Made[Held]:
    assert work.calibration is not None
    work.is_fitted = work.recipe.bits < 8 or work.recipe.pruned > 0 or work.effort == "best"
    feeds = affordable(work.floats, work.calibration.kept.feeds, work.threads)
    return made_for(work.floats, form_of, excluded, feeds, work.threads, fit=work.is_fitted, meets=meets)


def _all_floats(floats: Program) -> list[Stay]:
    """All that computes floats, as it stays so."""
    return [
        Stay(node.name, node.op, FLOAT_RECIPE, True)
        for node in floats.nodes
        if floats.values[next(filter(None, node.outputs))].dtype in ("f16", "f32", "f64")
    ]
