"""Pad goes into the Conv or pool behind it."""

import math

import onnx_ir as ir

from octavo.passes.edit import (
    dims,
    input_of,
    integers,
    is_read_once,
    nodes,
    producer,
    scalar,
    set_attributes,
    set_inputs,
)


def fold_padding(model: ir.Model) -> bool:
    """Folds constant Pads of the spatial axes into Conv, AveragePool and MaxPool, where that is exact."""
    changed = False
    for node in nodes(model, "Conv", "AveragePool", "MaxPool"):
        pad = producer(node.inputs[0], "Pad")
        if pad is None or node.inputs[0] is None or not is_read_once(node.inputs[0]):
            continue
        pads = spatial_pads(pad)
        if pads is None or node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            continue
        own = list(node.attributes.get_ints("pads", [0] * len(pads)))
        if not _fits(node, pad, own, pads):
            continue
        node.attributes.pop("auto_pad", None)
        set_attributes(node, pads=[a + b for a, b in zip(own, pads, strict=True)])
        if node.op_type == "AveragePool":
            set_attributes(node, count_include_pad=1)
        set_inputs(node, [pad.inputs[0], *node.inputs[1:]])
        changed = True
    return changed


def spatial_pads(pad: ir.Node) -> list[int] | None:
    """Pads of the axes from 2 on, in Conv's order; None where others are padded, or some unknown or < 0."""
    shape, amounts = dims(pad.inputs[0]), integers(input_of(pad, 1))
    if shape is None or amounts is None or pad.attributes.get_string("mode", "constant") != "constant":
        return None
    rank = len(shape)
    axes = list(range(rank)) if input_of(pad, 3) is None else integers(input_of(pad, 3))
    if axes is None or len(amounts) != 2 * len(axes):
        return None
    begin, end = [0] * rank, [0] * rank
    for axis, before, after in zip(axes, amounts, amounts[len(axes) :], strict=False):
        begin[axis], end[axis] = before, after
    if any(begin[:2] + end[:2]) or min(begin + end) < 0:
        return None
    return begin[2:] + end[2:]


def _fits(node: ir.Node, pad: ir.Node, own: list[int], pads: list[int]) -> bool:
    """Whether what the Pad writes is what the node's own padding stands for."""
    value = 0.0 if input_of(pad, 2) is None else scalar(input_of(pad, 2))
    if value is None or len(own) != len(pads):
        return False
    if node.op_type == "Conv":
        return value == 0
    if node.attributes.get_int("ceil_mode", 0):
        return False  # windows that begin in the padding count otherwise
    kernel = node.attributes.get_ints("kernel_shape", [])
    if any(a + b >= k for a, b, k in zip(own, pads, [*kernel, *kernel], strict=True)):
        return False
    if node.op_type == "AveragePool":
        return value == 0 and (not any(own) or bool(node.attributes.get_int("count_include_pad", 0)))
    return value == -math.inf or (value == 0 and _is_never_negative(pad.inputs[0]))


def _is_never_negative(value: ir.Value | None) -> bool:
    clip = producer(value, "Clip")
    low = None if clip is None else scalar(input_of(clip, 1))
    return producer(value, "Relu", "Sigmoid") is not None or (low is not None and low >= 0)
