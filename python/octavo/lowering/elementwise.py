"""Add, Sub, Mul and Div of two tensors, one of which may be constant."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import Affine, Range, affine
from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.decision import Decision, UnfitError
from octavo.lowering.epilogue import Epilogue, epilogue
from octavo.lowering.wiring import Unit
from octavo.program.arithmetic import add_multipliers_shift


@dataclass(frozen=True)
class Sum:
    """factors: the two multipliers and the shift."""

    end: Epilogue
    factors: tuple[int, int, int]


@dataclass(frozen=True)
class Multiplication:
    """factor: (M, S). b: the right side's form. reciprocals: the right side in its place, for a division."""

    end: Epilogue
    factor: tuple[int, int]
    b: Affine
    reciprocals: npt.NDArray[Any] | None = None


def fit_add(decision: Decision, unit: Unit) -> Sum | None:
    """Both sides rescaled to the output's, Sub with the right one's multiplier negative.

    None where a product does it.
    """
    if unit.name in decision.fused:
        return None
    a, b = (decision.read(unit, name) for name in unit.node.inputs)
    end = epilogue(decision, unit)
    scale = np.float64(end.affine.scale)
    sign = -1.0 if unit.node.op == "Sub" else 1.0
    ratios = float(np.float64(a.scale) / scale), float(sign * np.float64(b.scale) / scale)
    found = add_multipliers_shift(*ratios)
    if found is None:
        largest = max(map(abs, ratios))
        raise UnfitError(f"its inputs' scales are {largest:.3g} times its output's, 2^14 or more")
    return Sum(end, found)


def emit_add(builder: ProgramBuilder, unit: Unit, fit: Sum) -> None:
    """Add the QAdd."""
    a, b = (builder.decision.read(unit, name) for name in unit.node.inputs)
    a_multiplier, b_multiplier, shift = fit.factors
    builder.emit(
        "QAdd",
        unit,
        [builder.reads(unit, name) for name in unit.node.inputs],
        [builder.gives_integers(fit.end.output)],
        {
            "a_zero_point": a.zero_point,
            "b_zero_point": b.zero_point,
            "a_multiplier": a_multiplier,
            "b_multiplier": b_multiplier,
            "shift": shift,
            **fit.end.attributes(),
        },
    )
    builder.dequantize_if_wanted(fit.end.output)


def fit_mul(decision: Decision, unit: Unit) -> Multiplication:
    """The exact product, requantized; a division by a constant is a product by its reciprocals."""
    left, right = unit.node.inputs
    a = decision.read(unit, left)
    if unit.node.op == "Mul":
        return _fit_product(decision, unit, a, decision.read(unit, right), None)
    divisor = decision.wiring.constant(right)
    assert divisor is not None
    with np.errstate(over="ignore"):
        reciprocals = (1.0 / divisor.astype(np.float64)).astype(np.float32)
    if not np.all(np.isfinite(reciprocals)):
        raise UnfitError("it divides by a constant too small to take the reciprocal of")
    b = affine(Range(float(reciprocals.min()), float(reciprocals.max())), decision.computes_on(unit))
    return _fit_product(decision, unit, a, b, b.integers(reciprocals))


def emit_mul(builder: ProgramBuilder, unit: Unit, fit: Multiplication) -> None:
    """Add the QMul."""
    left, right = unit.node.inputs
    multiplier, shift = fit.factor
    x = builder.reads(unit, left)
    if fit.reciprocals is None:
        factor = builder.reads(unit, right)
    else:
        factor = builder.constant(f"{right}_reciprocal_quantized", fit.reciprocals, fit.b.quant())
    attributes = {
        "a_zero_point": builder.decision.read(unit, left).zero_point,
        "b_zero_point": fit.b.zero_point,
        "multiplier": multiplier,
        "shift": shift,
        **fit.end.attributes(),
    }
    builder.emit("QMul", unit, [x, factor], [builder.gives_integers(fit.end.output)], attributes)
    builder.dequantize_if_wanted(fit.end.output)


def _fit_product(
    decision: Decision, unit: Unit, a: Affine, b: Affine, reciprocals: npt.NDArray[Any] | None
) -> Multiplication:
    end = epilogue(decision, unit)
    factor = np.float64(a.scale) * np.float64(b.scale) / np.float64(end.affine.scale)
    return Multiplication(end, decision.requantizer(float(factor), a.of), b, reciprocals)
