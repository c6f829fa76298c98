"""Ops that move elements, pick them, or join tensors of one scale: on uint8 as on floats."""

import numpy as np

from octavo.lowering.builder import Builder
from octavo.lowering.epilogue import requantizer
from octavo.lowering.sharing import UnfitError
from octavo.lowering.wiring import Unit


def lower_movement(builder: Builder, unit: Unit) -> None:
    """The same op on uint8; a Pad's value becomes an integer of the same scale."""
    node = unit.node
    source = node.inputs[0]
    inputs = [builder.integers(source, unit), *(builder.floats(name) for name in node.inputs[1:])]
    if node.op == "Pad" and node.attributes["mode"] == "constant":
        inputs[2:3] = [_pad_value(builder, unit)]
    outputs = [builder.gives_integers(name, unit) for name in unit.outputs]
    builder.emit(node.op, unit.name, inputs, outputs, node.attributes)
    for name in unit.outputs:
        builder.dequantize_if_wanted(name, unit)


def lower_join(builder: Builder, unit: Unit) -> None:
    """Concat, Max and Min: each input that has another scale than the output is requantized on its way in."""
    output = unit.outputs[0]
    form = builder.affine(output, unit)
    inputs = [_in_scale(builder, unit, name, output) for name in unit.node.inputs]
    own = builder.gives_integers(output, unit)
    builder.emit(unit.node.op, unit.name, inputs, [own], unit.node.attributes)
    assert builder.affine(output, unit) == form
    builder.dequantize_if_wanted(output, unit)


def _pad_value(builder: Builder, unit: Unit) -> str:
    names = unit.node.inputs
    constant = builder.wiring.constant(names[2]) if len(names) > 2 and names[2] else None
    value = np.zeros((), np.float32) if constant is None else constant.astype(np.float32).reshape(())
    form = builder.affine(names[0], unit)
    padded = form.reals()[form.integers(value)]
    if abs(padded - value) > form.scale:
        raise UnfitError(unit, f"its pad value {value:g} lies outside the range of its input")
    return builder.constant(f"{unit.name}.value", form.integers(value), form.quant())


def _in_scale(builder: Builder, unit: Unit, name: str, output: str) -> str:
    y = builder.affine(output, unit)
    constant = builder.wiring.constant(name)
    if constant is not None:
        return builder.constant(f"{name}_quantized", y.integers(constant), y.quant())
    x = builder.affine(name, unit)
    source = builder.integers(name, unit)
    if x == y:
        return source
    factor = requantizer(unit, float(np.float64(x.scale) / np.float64(y.scale)))
    return builder.requantized(name, source, x, y, factor)
