"""Means over windows and over whole axes."""

import math
from dataclasses import dataclass

import numpy as np

from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.capability import reduced_axes
from octavo.lowering.decision import Decision, UnfitError
from octavo.lowering.epilogue import Epilogue, epilogue
from octavo.lowering.wiring import Unit, copy_attributes
from octavo.program import Attribute
from octavo.program.attributes import integer, integers

_WINDOW = ("kernel_shape", "strides", "pads", "auto_pad", "dilations", "ceil_mode", "count_include_pad")


@dataclass(frozen=True)
class Mean:
    """Requantized by `ratio`, of the input's scale to the output's, with the epilogue `end`; or float32."""

    end: Epilogue | None = None
    ratio: np.float64 | None = None


def fit_average_pool(decision: Decision, unit: Unit) -> Mean:
    """The sum of a window within its accumulator."""
    of = decision.computes_on(unit)
    if of.steps * math.prod(integers(unit.node, "kernel_shape")) >= of.sum_end:
        raise UnfitError("the sum of its window could leave int32")
    return _fit_requantized(decision, unit)


def fit_reduce_mean(decision: Decision, unit: Unit) -> Mean:
    """A mean of elements, as many as the plan finds, with a float32 result where no reader wants integers."""
    if decision.partition.gives_integers(unit.outputs[0]):
        return _fit_requantized(decision, unit)
    decision.read(unit, unit.node.inputs[0])  # it has one, or the mean does not fit
    return Mean()


def _fit_requantized(decision: Decision, unit: Unit) -> Mean:
    x = decision.read(unit, unit.node.inputs[0])
    end = epilogue(decision, unit)
    ratio = np.float64(x.scale) / np.float64(end.affine.scale)
    most = 31 - x.of.shift_min
    if not ratio < 2**most:
        raise UnfitError(f"its input's scale is {ratio:.3g} times its output's, 2^{most} or more")
    return Mean(end, ratio)


def emit_average_pool(builder: ProgramBuilder, unit: Unit, fit: Mean) -> None:
    """Add the QAveragePool."""
    _emit(builder, unit, fit, "QAveragePool", copy_attributes(unit.node, _WINDOW))


def emit_reduce_mean(builder: ProgramBuilder, unit: Unit, fit: Mean) -> None:
    """Add the QReduceMean of a ReduceMean or GlobalAveragePool."""
    axes = reduced_axes(builder.wiring, unit.node)
    assert axes is not None
    keepdims = 1 if unit.node.op == "GlobalAveragePool" else integer(unit.node, "keepdims")
    _emit(builder, unit, fit, "QReduceMean", {"axes": axes, "keepdims": keepdims})


def _emit(builder: ProgramBuilder, unit: Unit, fit: Mean, op: str, attributes: dict[str, Attribute]) -> None:
    source = unit.node.inputs[0]
    x = builder.decision.read(unit, source)
    attributes = attributes | {"x_zero_point": x.zero_point}
    inputs = [builder.reads(unit, source)]
    if fit.end is None or fit.ratio is None:
        outputs = [builder.gives_floats(unit.outputs[0])]
        builder.emit(op, unit, inputs, outputs, attributes | {"x_scale": x.scale})
        return
    attributes = attributes | {"ratio": fit.ratio} | fit.end.attributes()
    builder.emit(op, unit, inputs, [builder.gives_integers(fit.end.output)], attributes)
    builder.dequantize_if_wanted(fit.end.output)
