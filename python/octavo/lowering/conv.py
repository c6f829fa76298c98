"""Conv to QConv, ConvTranspose to QConvTranspose."""

from typing import Any

import numpy.typing as npt

from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.decision import Decision
from octavo.lowering.product import Operands, Product, bias_of, emit_product, fit_product
from octavo.lowering.wiring import Unit, Wiring, copy_attributes
from octavo.program import Attribute
from octavo.program.attributes import integer


def operands_of_conv(wiring: Wiring, unit: Unit) -> Operands:
    """Weights [O, C/group, *kernel], one scale an output channel."""
    shape = wiring.shape_of_constant(unit.node.inputs[1])

    def arrange(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return weight.reshape(shape[0], -1).T

    def restore(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return columns.T.reshape(shape)

    return Operands(arrange, restore, 0, bias_of(wiring, unit, shape[0]))


def operands_of_conv_transpose(wiring: Wiring, unit: Unit) -> Operands:
    """Weights [C, O/group, *kernel]; a QConvTranspose has them as a QConv, [O, C/group, *kernel]."""
    channels, columns, *kernel = wiring.shape_of_constant(unit.node.inputs[1])
    group = integer(unit.node, "group")
    outputs, length = group * columns, channels // group

    def arrange(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        grouped = weight.reshape(group, length, columns, -1)
        return grouped.transpose(1, 3, 0, 2).reshape(-1, outputs)

    def restore(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return columns.T.reshape(outputs, length, *kernel)

    return Operands(arrange, restore, 0, bias_of(wiring, unit, outputs))


def window_of(unit: Unit) -> dict[str, Attribute]:
    """The attributes that a QConv has of its Conv, and a QConvTranspose of its ConvTranspose."""
    return copy_attributes(unit.node, _WINDOW)


def fit_conv(decision: Decision, unit: Unit) -> Product:
    """The integers of the QConv."""
    return fit_product(decision, unit, operands_of_conv(decision.wiring, unit))


def emit_conv(builder: ProgramBuilder, unit: Unit, fit: Product) -> None:
    """Add the QConv."""
    emit_product(builder, unit, "QConv", fit, operands_of_conv(builder.wiring, unit), window_of(unit))


def fit_conv_transpose(decision: Decision, unit: Unit) -> Product:
    """The integers of the QConvTranspose."""
    return fit_product(decision, unit, operands_of_conv_transpose(decision.wiring, unit))


def emit_conv_transpose(builder: ProgramBuilder, unit: Unit, fit: Product) -> None:
    """Add the QConvTranspose."""
    operands = operands_of_conv_transpose(builder.wiring, unit)
    emit_product(builder, unit, "QConvTranspose", fit, operands, window_of(unit))


_WINDOW = ("strides", "pads", "auto_pad", "dilations", "group", "output_padding", "output_shape")
