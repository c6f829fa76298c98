"""Relu, Clip, and Max and Min with a number are clamps: one form for each, one clamp where several follow."""

import math

import numpy as np
import onnx_ir as ir

from octavo.passes.edit import (
    FLOATS,
    add_constant,
    become,
    bypass,
    constant,
    input_of,
    is_read_once,
    nodes,
    scalar,
    scalar_beside,
)

Interval = tuple[float, float]
_CLAMPS = ("Relu", "Clip", "Max", "Min")


def merge_clips(model: ir.Model) -> bool:
    """Writes each clamp of floats as Relu or as Clip with the bounds that it has, and merges rows of them."""
    changed = False
    for node in nodes(model, *_CLAMPS):
        found = clamp_of(node)
        if found is None:
            continue
        x, interval = found
        inner = x.producer()
        before = clamp_of(inner) if inner is not None and is_read_once(x) else None
        if before is not None:
            x, interval = before[0], _after(before[1], interval)
        changed |= _write(node, x, interval) or before is not None
    return changed


def clamp_of(node: ir.Node) -> tuple[ir.Value, Interval] | None:
    """The value that a node clamps, and to what; None where it is no clamp or its bounds are not constant."""
    if node.op_type not in _CLAMPS or node.outputs[0].dtype not in FLOATS or node.inputs[0] is None:
        return None
    x = node.inputs[0]
    if node.op_type == "Relu":
        return x, (0.0, math.inf)
    if node.op_type == "Clip":
        bounds = [-math.inf, math.inf]
        for index in (1, 2):
            if input_of(node, index) is not None:
                bound = scalar(input_of(node, index))
                if bound is None or math.isnan(bound):
                    return None
                bounds[index - 1] = bound
        low, high = _unbounded(x, bounds[0]), _unbounded(x, bounds[1])
        return x, (min(low, high), high)  # ONNX: where min > max, all is max
    if len(node.inputs) != 2:
        return None
    for value, other in ((x, node.inputs[1]), (node.inputs[1], x)):
        bound = scalar_beside(other, value)
        if value is None or constant(value) is not None or bound is None or math.isnan(bound):
            continue
        bound = _unbounded(value, bound)
        return value, ((bound, math.inf) if node.op_type == "Max" else (-math.inf, bound))
    return None


def _unbounded(x: ir.Value, bound: float) -> float:
    """Infinity for the largest number of the dtype, which older opsets wrote for no bound."""
    assert x.dtype is not None
    return math.copysign(math.inf, bound) if abs(bound) >= float(np.finfo(x.dtype.numpy()).max) else bound


def _after(first: Interval, second: Interval) -> Interval:
    """The clamp that equals `first`, then `second`: `second` applied to the ends of `first`."""
    low, high = (min(max(end, second[0]), second[1]) for end in first)
    return low, high


def _write(node: ir.Node, x: ir.Value, interval: Interval) -> bool:
    low, high = interval
    if (low, high) == (-math.inf, math.inf):
        return bypass(node, x)
    if (low, high) == (0.0, math.inf):
        changed = node.op_type != "Relu" or node.inputs[0] is not x
        become(node, "Relu", [x])
        return changed
    present = [bound for bound in (input_of(node, 1), input_of(node, 2)) if bound is not None]
    if node.op_type == "Clip" and node.inputs[0] is x and len(present) == sum(map(math.isfinite, interval)):
        return False
    assert x.dtype is not None
    dtype = x.dtype.numpy()
    inputs: list[ir.Value | None] = [x, None, None]
    for index, bound, role in ((1, low, "min"), (2, high, "max")):
        if math.isfinite(bound):
            inputs[index] = add_constant(node, np.array(bound, dtype), role)
    become(node, "Clip", inputs if inputs[2] is not None else inputs[:2])
    return True
