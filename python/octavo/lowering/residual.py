"""Sums rounded once: a product takes in the Add that alone reads it, and the other operand joins its sums.

So the product's own result is never rounded to integers; formulas (9a) to (9c) of docs/arithmetic.md.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import Affine
from octavo.lowering.decision import Decision, UnfitError
from octavo.lowering.epilogue import Epilogue, epilogue
from octavo.lowering.weights import Weights, reach_of
from octavo.lowering.wiring import Unit
from octavo.program.arithmetic import residual_multipliers_shifts, residual_reach
from octavo.program.attributes import integer
from octavo.program.integers import UINT8

_COARSEST = 2.0**14 - 1
"""How many units of the sums a step of the residual can be."""

_LARGEST_SCALE = 2.0**126
"""What is doubled while it is less stays a float32."""


@dataclass(frozen=True)
class Addend:
    """What could join a product's sums.

    add: the unit of the Add. name: the graph's value that would join. form: that of its integers. end: what
    the Add ends with. least_scale: what the scale of each channel's weights must be at least.
    """

    add: Unit
    name: str
    form: Affine
    end: Epilogue
    least_scale: float


@dataclass(frozen=True)
class Residual:
    """What joins a product's sums; multiplier, shift: int32 [C], formula (9b)."""

    addend: Addend
    multiplier: npt.NDArray[np.int32]
    shift: npt.NDArray[np.int32]


def addend_of(decision: Decision, unit: Unit, x: Affine) -> Addend | None:
    """What the Add behind a product of `x` adds to it, where the product can take that Add in.

    Of two products that could, the one with the coarser step does: that one's own rounding would cost most.
    """
    add = _add_behind(decision, unit)
    if add is None or not _goes_before(decision, unit, add):
        return None
    name = _other(unit, add)
    try:
        form, end = decision.read(add, name), epilogue(decision, add)
    except UnfitError:
        return None  # and the Add says why
    least_scale = float(np.float64(form.scale) / (np.float64(x.scale) * _COARSEST))
    return Addend(add, name, form, end, least_scale) if least_scale < _LARGEST_SCALE else None


def fit_residual(addend: Addend, x: Affine, weights: Weights) -> Residual | None:
    """The residual of a product of `x` by these weights.

    None where it is too coarse beside the sums, or they could leave their accumulator with it.
    """
    unit_of_sums = x.channel_scales * weights.scale.astype(np.float64)
    factors = residual_multipliers_shifts(np.float64(addend.form.scale) / unit_of_sums)
    if factors is None:
        return None
    assert weights.bias is not None, "the sum is in integers"
    reach = reach_of(weights.weight, x) + np.abs(weights.bias.astype(np.float64))
    if np.any(reach + residual_reach(addend.form.zero_point, *factors) >= x.of.sum_end):
        return None
    return Residual(addend, *factors)


def _add_behind(decision: Decision, unit: Unit) -> Unit | None:
    """The Add in integers that alone reads a product, and adds what is of the same shape to it."""
    wiring, output = decision.wiring, unit.outputs[0]
    add = wiring.sole_reader(output)
    if unit.rounding or add is None or add.node.op != "Add":
        return None
    if not (decision.is_integer(unit) and decision.is_integer(add)):
        return None
    if not (decision.computes_on(unit) is decision.computes_on(add) is UINT8):
        return None
    rows = decision.partition.rows
    if rows[add.name].becomes != "QAdd" or rows[unit.name].becomes not in ("QConv", "QGemm"):
        return None
    if unit.node.op == "Conv" and integer(unit.node, "group") != 1:
        return None
    shapes = [wiring.value(name).shape for name in (output, _other(unit, add))]
    return add if shapes[0] is not None and shapes[0] == shapes[1] else None


def _other(unit: Unit, add: Unit) -> str:
    """The operand of an Add that is not the unit's."""
    return next(name for name in add.node.inputs if name != unit.outputs[0])


def _goes_before(decision: Decision, unit: Unit, add: Unit) -> bool:
    """Whether a product takes in the Add before the maker of the other operand, which maybe could as well."""
    rival = decision.wiring.producer.get(_other(unit, add))
    if rival is None or _add_behind(decision, rival) is not add:
        return True
    is_left = unit.outputs[0] == add.node.inputs[0]
    return (_step(decision, unit), is_left) > (_step(decision, rival), not is_left)


def _step(decision: Decision, unit: Unit) -> float:
    """The step of a product's own integers; infinite where it can have none."""
    try:
        return float(decision.affine(unit.outputs[0]).scale)
    except UnfitError:
        return np.inf
