"""Conv to QConv."""

import numpy as np
import numpy.typing as npt

from octavo.lowering.builder import Builder
from octavo.lowering.product import bias_of, lower_product
from octavo.lowering.wiring import Unit, copy_attributes


def lower_conv(builder: Builder, unit: Unit) -> None:
    """Weights [O, C/group, *kernel], one scale an output channel."""
    weight = builder.wiring.constant(unit.node.inputs[1])
    assert weight is not None
    shape = weight.shape

    def layout(columns: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        return columns.T.reshape(shape)

    columns = weight.reshape(shape[0], -1).T
    attributes = copy_attributes(unit.node, ("strides", "pads", "auto_pad", "dilations", "group"))
    lower_product(builder, unit, "QConv", columns, bias_of(builder, unit, shape[0]), layout, 0, attributes)
