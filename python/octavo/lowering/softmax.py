"""Softmax: in integers, or as exponentials and their sums between the two products of attention."""

from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import PROBABILITY
from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.decision import Decision, UnfitError
from octavo.lowering.wiring import Unit
from octavo.program.attributes import integer
from octavo.reference.functions import exp

STEP = np.float32(1 / 8)
"""The widest step of an input: half of it changes a probability by a factor of 1.06 at most."""


def fit_softmax(decision: Decision, unit: Unit) -> npt.NDArray[Any]:
    """The table of formula (13), `rne(2^22 * exp(-s * d))`, exp in float32 by our own function; int32."""
    x, y = decision.read(unit, unit.node.inputs[0]), decision.affine(unit.outputs[0])
    if x.scale > STEP and not decision.forms.integers_only:
        raise UnfitError(f"its input's range is so wide that a step in {x.of} would be {x.scale:.3g}")
    if (y.scale, y.zero_point) != (PROBABILITY, 0):
        raise UnfitError(
            f"its results are in steps of {y.scale:.3g} from {y.zero_point} on, not of 1/256 from 0"
        )
    distances = -(x.scale * np.arange(x.of.count, dtype=np.float32))
    return np.rint(np.float64(2**22) * exp(distances).astype(np.float64)).astype(np.int32)


def emit_softmax(builder: ProgramBuilder, unit: Unit, table: npt.NDArray[Any]) -> None:
    """Add the QSoftmax."""
    source, output = unit.node.inputs[0], unit.outputs[0]
    inputs = [builder.reads(unit, source), builder.constant(f"{unit.name}.table", table)]
    outputs = [builder.gives_integers(output)]
    builder.emit("QSoftmax", unit, inputs, outputs, {"axis": integer(unit.node, "axis")})
    builder.dequantize_if_wanted(output)


def fit_exponentials(decision: Decision, unit: Unit) -> None:
    """Nothing: the node carries no numbers."""


def emit_exponentials(builder: ProgramBuilder, unit: Unit, fit: None) -> None:
    """Add the QExponentials."""
    inputs, outputs = [builder.floats(unit.node.inputs[0])], builder.gives_exponentials(unit.outputs[0])
    builder.emit("QExponentials", unit, inputs, outputs, {})
