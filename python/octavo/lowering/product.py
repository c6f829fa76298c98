"""What convolutions and matrix products have in common: weights, requantization, the float result."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from octavo.lowering.builder import Builder
from octavo.lowering.epilogue import epilogue, requantizer
from octavo.lowering.sharing import UnfitError
from octavo.lowering.weights import quantize_weights
from octavo.lowering.wiring import Unit
from octavo.program import Attribute, Quant

Layout = Callable[[npt.NDArray[np.int8]], npt.NDArray[np.int8]]


def lower_product(
    builder: Builder,
    unit: Unit,
    op: str,
    weight: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float64],
    layout: Layout,
    axis: int,
    attributes: dict[str, Attribute],
) -> None:
    """Add a QConv or QGemm: requantized where a reader wants integers, else with a float32 result.

    weight: float32 [K, C]; bias: float64 [C]; layout: from [K, C] to the shape that the op has its weights
    in, channels on `axis`.
    """
    source = unit.node.inputs[0]
    x = builder.affine(source, unit)
    output = unit.outputs[0]
    in_integers = builder.plan.wants_integers(output)
    made = quantize_weights(weight, bias if in_integers else None, x, per_channel=builder.per_channel)
    if isinstance(made, str):
        raise UnfitError(unit, made)
    zeros = np.zeros(len(made.scale), np.int64)
    name = unit.node.inputs[1]
    inputs = [
        builder.integers(source, unit),
        builder.constant(f"{name}_quantized", layout(made.weight), Quant(made.scale, zeros, axis)),
    ]
    attributes = attributes | {"x_zero_point": x.zero_point}
    if made.bias is None:
        inputs.append(builder.constant(f"{unit.name}.bias", bias.astype(np.float32)))
        inputs.append(builder.constant(f"{unit.name}.scale", made.scale))
        builder.emit(op, unit.name, inputs, [builder.gives_floats(output)], attributes | {"x_scale": x.scale})
        return
    end = epilogue(builder, unit)
    factors = np.float64(x.scale) * made.scale.astype(np.float64) / np.float64(end.affine.scale)
    pairs = [requantizer(unit, float(factor)) for factor in factors]
    inputs.append(builder.constant(f"{unit.name}.bias", made.bias))
    inputs.append(builder.constant(f"{unit.name}.multiplier", np.array([m for m, _ in pairs], np.int32)))
    inputs.append(builder.constant(f"{unit.name}.shift", np.array([s for _, s in pairs], np.int32)))
    outputs = [builder.gives_integers(end.output, unit)]
    builder.emit(op, unit.name, inputs, outputs, attributes | end.attributes())
    builder.dequantize_if_wanted(end.output, unit)


def bias_of(builder: Builder, unit: Unit, channels: int, beta: float = 1.0) -> npt.NDArray[np.float64]:
    """The bias a channel, float64 [C]: the op's own times `beta`, plus that of the Add that belongs to it."""
    total = np.zeros(channels, np.float64)
    if len(unit.node.inputs) > 2 and unit.node.inputs[2]:
        own = builder.wiring.constant(unit.node.inputs[2])
        assert own is not None
        total = total + np.float64(beta) * own.astype(np.float64).reshape(-1)
    for add in unit.nodes[1:]:
        constants = [builder.wiring.constant(name) for name in add.inputs]
        total = total + next(c for c in constants if c is not None).astype(np.float64).reshape(-1)
    return total
