"""Conv to QConv."""

from typing import Any

import numpy.typing as npt

from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.decision import Decision
from octavo.lowering.product import Product, bias_of, emit_product, fit_product
from octavo.lowering.wiring import Unit, copy_attributes


def fit_conv(decision: Decision, unit: Unit) -> Product:
    """Weights [O, C/group, *kernel], one scale an output channel."""
    channels = decision.wiring.shape_of_constant(unit.node.inputs[1])[0]

    def arrange(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return weight.reshape(channels, -1).T

    return fit_product(decision, unit, arrange, bias_of(decision, unit, channels))


def emit_conv(builder: ProgramBuilder, unit: Unit, fit: Product) -> None:
    """Add the QConv."""
    shape = builder.wiring.shape_of_constant(unit.node.inputs[1])

    def layout(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return columns.T.reshape(shape)

    attributes = copy_attributes(unit.node, ("strides", "pads", "auto_pad", "dilations", "group"))
    emit_product(builder, unit, "QConv", fit, layout, 0, attributes)
