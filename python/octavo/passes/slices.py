"""Slices of different axes in a row are one Slice."""

import numpy as np
import onnx_ir as ir

from octavo.passes.edit import add_constant, become, dims, input_of, integers, is_read_once, nodes, producer

Range = tuple[int, int, int]


def merge_slices(model: ir.Model) -> bool:
    """Makes one Slice of two in a row that cut different axes."""
    changed = False
    for node in nodes(model, "Slice"):
        first = producer(node.inputs[0], "Slice")
        if first is None or not is_read_once(first.outputs[0]):
            continue
        inner, outer = cuts_of(first), cuts_of(node)
        if inner is None or outer is None or inner.keys() & outer.keys():
            continue
        cuts = dict(sorted((inner | outer).items()))
        columns = (*zip(*cuts.values(), strict=True),)
        parts = (columns[0], columns[1], tuple(cuts), columns[2])
        roles = ("starts", "ends", "axes", "steps")
        constants = [
            add_constant(node, np.array(part, np.int64), role)
            for part, role in zip(parts, roles, strict=True)
        ]
        become(node, "Slice", [first.inputs[0], *constants])
        changed = True
    return changed


def cuts_of(node: ir.Node) -> dict[int, Range] | None:
    """(start, end, step) of each axis that a Slice cuts; None where they are not constant."""
    shape = dims(node.inputs[0])
    starts, ends = integers(input_of(node, 1)), integers(input_of(node, 2))
    if shape is None or starts is None or ends is None:
        return None
    axes = list(range(len(starts))) if input_of(node, 3) is None else integers(input_of(node, 3))
    steps = [1] * len(starts) if input_of(node, 4) is None else integers(input_of(node, 4))
    if axes is None or steps is None or not len(starts) == len(ends) == len(axes) == len(steps):
        return None
    cuts = zip(starts, ends, steps, strict=True)
    return {axis % len(shape): cut for axis, cut in zip(axes, cuts, strict=True)}
