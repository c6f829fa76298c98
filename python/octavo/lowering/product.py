"""What convolutions and matrix products have in common: weights, requantization, the float result."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.decision import ONE, Arrange, Decision, UnfitError
from octavo.lowering.epilogue import Epilogue, epilogue
from octavo.lowering.grids import Grid, shift_of
from octavo.lowering.residual import Residual, addend_of, fit_residual
from octavo.lowering.weights import Weights
from octavo.lowering.wiring import Unit, Wiring
from octavo.program import Attribute, Quant


@dataclass(frozen=True)
class Product:
    """The integers of a product by constant weights.

    bias: float64 [C], as the float model has it, with what a grid adds to it. end, multiplier, shift: where
    the result is requantized, its epilogue, and M and S a channel; None where it is float32. residual: what
    joins the sums before that, if anything does.
    """

    weights: Weights
    bias: npt.NDArray[np.float64]
    end: Epilogue | None = None
    multiplier: npt.NDArray[np.int32] | None = None
    shift: npt.NDArray[np.int32] | None = None
    residual: Residual | None = None


@dataclass(frozen=True)
class Operands:
    """What a product takes beside its input, as the graph has it.

    arrange: the weights to [K, C]. restore: from there to the shape that the integer op takes, with
    channels on `axis`. bias: float64 [C]. alpha: a factor of the weights.
    """

    arrange: Arrange
    restore: Arrange
    axis: int
    bias: npt.NDArray[np.float64]
    alpha: np.float32 = ONE


def fit_product(decision: Decision, unit: Unit, operands: Operands) -> Product:
    """Requantized by the factors of formula (7) where a reader wants integers, else with a float32 result."""
    arrange, bias, alpha = operands.arrange, operands.bias, operands.alpha
    x = decision.input_of_product(unit)
    if not decision.partition.gives_integers(unit.outputs[0]):
        weights = decision.weights(unit, arrange, None, alpha)
        unit_of_sums = x.channel_scales * weights.scale.astype(np.float64)
        return Product(weights, bias + unit_of_sums * shift_of(x, weights.weight))
    addend, residual = addend_of(decision, unit, x), None
    if addend is not None:
        weights = decision.weights(unit, arrange, bias, alpha, addend.least_scale)
        residual = fit_residual(addend, x, weights)
    if addend is None or residual is None:
        weights, end = decision.weights(unit, arrange, bias, alpha), epilogue(decision, unit)
    else:
        decision.fused.add(addend.add.name)
        decision.sums[addend.add.name] = unit
        end = addend.end
    if end.affine.channels is not None:
        if decision.partition.wants_float(end.output):
            raise UnfitError(f"{end.output!r} has a scale a channel, and a float op reads it")
        decision.scaled.add(end.output)
    factors = x.channel_scales * weights.scale.astype(np.float64) / end.affine.channel_scales
    return Product(weights, bias, end, *decision.requantizers(factors, x.of, end.affine.of), residual)


def emit_product(
    builder: ProgramBuilder,
    unit: Unit,
    op: str,
    fit: Product,
    operands: Operands,
    attributes: dict[str, Attribute],
) -> None:
    """Add a QConv, QConvTranspose or QGemm."""
    layout, axis = operands.restore, operands.axis
    source, weight = unit.node.inputs[:2]
    x, weights = builder.decision.input_of_product(unit), fit.weights
    quant = Quant(weights.scale, np.zeros(len(weights.scale), np.int64), axis)
    inputs = [
        builder.reads(unit, source),
        builder.constant(f"{weight}_quantized", layout(weights.weight), quant, of=weight),
    ]
    if weights.reals is not None:
        builder.weights[inputs[1]] = layout(weights.reals)
    if isinstance(x, Grid) and len(set(x.zero_points)) > 1:
        attributes = attributes | {"x_zero_points": list(x.zero_points)}
    else:
        attributes = attributes | {"x_zero_point": x.zero_point}
    if fit.end is None or weights.bias is None or fit.multiplier is None or fit.shift is None:
        x_scale, scale = x.scale, weights.scale
        if x.channels is not None:
            x_scale, scale = ONE, (x.channel_scales * scale.astype(np.float64)).astype(np.float32)
        inputs.append(builder.constant(f"{unit.name}.bias", fit.bias.astype(np.float32)))
        inputs.append(builder.constant(f"{unit.name}.scale", scale))
        outputs = [builder.gives_floats(unit.outputs[0])]
        builder.emit(op, unit, inputs, outputs, attributes | {"x_scale": x_scale})
        return
    inputs.append(builder.constant(f"{unit.name}.bias", weights.bias))
    inputs.append(builder.constant(f"{unit.name}.multiplier", fit.multiplier))
    inputs.append(builder.constant(f"{unit.name}.shift", fit.shift))
    attributes = attributes | fit.end.attributes()
    if fit.residual is not None:
        inputs.append(builder.reads(fit.residual.addend.add, fit.residual.addend.name))
        inputs.append(builder.constant(f"{unit.name}.residual_multiplier", fit.residual.multiplier))
        inputs.append(builder.constant(f"{unit.name}.residual_shift", fit.residual.shift))
        attributes["r_zero_point"] = fit.residual.addend.form.zero_point
    outputs = [builder.gives_integers(fit.end.output)]
    builder.emit(op, unit, inputs, outputs, attributes)
    builder.dequantize_if_wanted(fit.end.output)


def bias_of(wiring: Wiring, unit: Unit, channels: int, beta: float = 1.0) -> npt.NDArray[np.float64]:
    """The bias a channel, float64 [C]: the op's own times `beta`, plus that of the Add that belongs to it."""
    total = np.zeros(channels, np.float64)
    if len(unit.node.inputs) > 2 and unit.node.inputs[2]:
        own = wiring.constant(unit.node.inputs[2])
        assert own is not None
        total = total + np.float64(beta) * own.astype(np.float64).reshape(-1)
    for add in unit.nodes[1:]:
        constants = [wiring.constant(name) for name in add.inputs]
        total = total + next(c for c in constants if c is not None).astype(np.float64).reshape(-1)
    return total
