"""Conv, and a BatchNormalization that no Conv took in, to QConv."""

import numpy as np
import numpy.typing as npt

from octavo.lowering.builder import Builder
from octavo.lowering.product import bias_of, lower_product
from octavo.lowering.wiring import Unit, copy_attributes, number


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


def lower_batch_normalization(builder: Builder, unit: Unit) -> None:
    """A depthwise convolution of 1: `x * w + b` with w = gamma / sqrt(var + epsilon), b = beta - mean * w."""
    arrays = [builder.wiring.constant(name) for name in unit.node.inputs[1:5]]
    gamma, beta, mean, variance = (array.astype(np.float64) for array in arrays if array is not None)
    rank = builder.wiring.rank(unit.node.inputs[0])
    assert rank is not None
    spatial = rank - 2
    factor = gamma / np.sqrt(variance + np.float64(number(unit.node, "epsilon")))
    channels = len(factor)

    def layout(columns: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        return columns.reshape(channels, 1, *[1] * spatial)

    lower_product(
        builder,
        unit,
        "QConv",
        factor.astype(np.float32).reshape(1, channels),
        beta - mean * factor,
        layout,
        0,
        {
            "strides": [1] * spatial,
            "dilations": [1] * spatial,
            "pads": [0] * (2 * spatial),
            "group": channels,
        },
    )
