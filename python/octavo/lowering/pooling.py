"""Means over windows and over whole axes."""

import math

import numpy as np

from octavo.lowering.builder import Builder
from octavo.lowering.capability import reduced_axes
from octavo.lowering.epilogue import Epilogue, epilogue
from octavo.lowering.sharing import UnfitError
from octavo.lowering.weights import BOUND
from octavo.lowering.wiring import Unit, copy_attributes, integer, integers
from octavo.program import Attribute

RATIO_END = 2**30
"""What `ratio` must stay below, as every factor of the requantization."""

_WINDOW = ("kernel_shape", "strides", "pads", "auto_pad", "dilations", "ceil_mode", "count_include_pad")


def lower_average_pool(builder: Builder, unit: Unit) -> None:
    """AveragePool to QAveragePool."""
    if 255 * math.prod(integers(unit.node, "kernel_shape")) >= BOUND:
        raise UnfitError(unit, "the sum of its window could leave int32")
    _lower(builder, unit, "QAveragePool", copy_attributes(unit.node, _WINDOW))


def lower_reduce_mean(builder: Builder, unit: Unit) -> None:
    """ReduceMean and GlobalAveragePool to QReduceMean."""
    axes = reduced_axes(builder.wiring, unit.node)
    assert axes is not None
    keepdims = 1 if unit.node.op == "GlobalAveragePool" else integer(unit.node, "keepdims")
    _lower(builder, unit, "QReduceMean", {"axes": axes, "keepdims": keepdims})


def _lower(builder: Builder, unit: Unit, op: str, attributes: dict[str, Attribute]) -> None:
    source = unit.node.inputs[0]
    x = builder.affine(source, unit)
    end: Epilogue = epilogue(builder, unit)
    ratio = np.float64(x.scale) / np.float64(end.affine.scale)
    if not ratio < RATIO_END:
        raise UnfitError(unit, f"its input's scale is {ratio:.3g} times its output's, 2^30 or more")
    attributes = attributes | {"x_zero_point": x.zero_point, "ratio": ratio} | end.attributes()
    inputs = [builder.integers(source, unit)]
    builder.emit(op, unit.name, inputs, [builder.gives_integers(end.output, unit)], attributes)
    builder.dequantize_if_wanted(end.output, unit)
