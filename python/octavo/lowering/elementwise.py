"""Add, Sub, Mul and Div of two tensors, one of which may be constant."""

import numpy as np

from octavo.lowering.affine import Affine, Range, affine
from octavo.lowering.builder import Builder
from octavo.lowering.epilogue import epilogue, requantizer
from octavo.lowering.sharing import UnfitError
from octavo.lowering.wiring import Unit
from octavo.program.arithmetic import add_multipliers_shift


def lower_add(builder: Builder, unit: Unit) -> None:
    """QAdd: both sides rescaled to the output's, Sub with the right one's multiplier negative."""
    left, right = unit.node.inputs
    a, b = builder.affine(left, unit), builder.affine(right, unit)
    end = epilogue(builder, unit)
    sign = -1.0 if unit.node.op == "Sub" else 1.0
    scale = np.float64(end.affine.scale)
    ratios = float(np.float64(a.scale) / scale), float(sign * np.float64(b.scale) / scale)
    found = add_multipliers_shift(*ratios)
    if found is None:
        raise UnfitError(
            unit, f"its inputs' scales are {max(map(abs, ratios)):.3g} times its output's, 2^14 or more"
        )
    a_multiplier, b_multiplier, shift = found
    builder.emit(
        "QAdd",
        unit.name,
        [builder.integers(left, unit), builder.integers(right, unit)],
        [builder.gives_integers(end.output, unit)],
        {
            "a_zero_point": a.zero_point,
            "b_zero_point": b.zero_point,
            "a_multiplier": a_multiplier,
            "b_multiplier": b_multiplier,
            "shift": shift,
            **end.attributes(),
        },
    )
    builder.dequantize_if_wanted(end.output, unit)


def lower_mul(builder: Builder, unit: Unit) -> None:
    """QMul: the exact product, requantized."""
    left, right = unit.node.inputs
    a, b = builder.affine(left, unit), builder.affine(right, unit)
    _multiply(builder, unit, a, b, builder.integers(right, unit))


def lower_div(builder: Builder, unit: Unit) -> None:
    """Division by a constant: QMul by the reciprocals, taken in float64 and rounded to float32."""
    left, right = unit.node.inputs
    divisor = builder.wiring.constant(right)
    assert divisor is not None
    with np.errstate(over="ignore"):
        reciprocals = (1.0 / divisor.astype(np.float64)).astype(np.float32)
    if not np.all(np.isfinite(reciprocals)):
        raise UnfitError(unit, "it divides by a constant too small to take the reciprocal of")
    b = affine(Range(float(reciprocals.min()), float(reciprocals.max())))
    factor = builder.constant(f"{right}_reciprocal_quantized", b.integers(reciprocals), b.quant())
    _multiply(builder, unit, builder.affine(left, unit), b, factor)


def _multiply(builder: Builder, unit: Unit, a: Affine, b: Affine, right: str) -> None:
    end = epilogue(builder, unit)
    factor = float(np.float64(a.scale) * np.float64(b.scale) / np.float64(end.affine.scale))
    multiplier, shift = requantizer(unit, factor)
    builder.emit(
        "QMul",
        unit.name,
        [builder.integers(unit.node.inputs[0], unit), right],
        [builder.gives_integers(end.output, unit)],
        {
            "a_zero_point": a.zero_point,
            "b_zero_point": b.zero_point,
            "multiplier": multiplier,
            "shift": shift,
            **end.attributes(),
        },
    )
    builder.dequantize_if_wanted(end.output, unit)
