"""Arithmetic on shapes, known where the axes are, and Reshape to a shape that follows from its input's."""

import math

import numpy as np
import onnx_ir as ir

from octavo.passes.edit import Dims, add_constant, become, bypass, dims, integers, nodes

_MAX_AXES = 64
_PASSED_ON = frozenset({"Identity", "Reshape", "Squeeze", "Unsqueeze"})
_SHAPE_OPS = frozenset({"Concat", "Gather", "Shape", "Slice", *_PASSED_ON})


def fix_shapes(model: ir.Model) -> bool:
    """Replaces known parts of shapes, and the shapes of Reshapes where they follow, by constants."""
    known: dict[ir.Value, Dims] = {}
    changed = _fold(model, known)
    for node in nodes(model, "Reshape"):
        before = dims(node.inputs[0])
        stated = integers(node.inputs[1])
        if stated is not None:
            changed |= _name_the_batch(node, before, stated)
            continue
        target = reshape_target(before, dims(node.outputs[0]))
        if target is None and node.inputs[1] in known:
            target = reshape_target(before, known[node.inputs[1]])
        if target is not None:
            reshape(node, node.inputs[0], target)
            changed = True
    return changed


def _name_the_batch(node: ir.Node, before: Dims | None, target: list[int]) -> bool:
    """Writes 0 for a -1 that can only be the one free axis of the input, which keeps its name so."""
    if before is None or target.count(-1) != 1 or 0 in target:
        return False
    place = target.index(-1)
    fixed = [extent for extent in before if isinstance(extent, int)]
    free = place < len(before) and isinstance(before[place], str) and len(fixed) == len(before) - 1
    if not free or math.prod(fixed) != -math.prod(target) or 0 in fixed:
        return False
    reshape(node, node.inputs[0], [0 if extent == -1 else extent for extent in target])
    return True


def _fold(model: ir.Model, known: dict[ir.Value, Dims]) -> bool:
    """Replaces what is picked from a Shape by a constant, where those axes are known; fills `known`."""
    changed = False
    for node in nodes(model, *_SHAPE_OPS):
        if len(node.outputs) != 1 or node.outputs[0].dtype != ir.DataType.INT64:
            continue
        found = _extents(node, known)
        output = node.outputs[0]
        shape = dims(output)
        if found is None or len(found) > _MAX_AXES or shape is None or len(shape) > 1:
            continue
        known[output] = found
        numbers = [extent for extent in found if isinstance(extent, int)]
        if len(numbers) == len(found) and not output.is_graph_output():
            array = np.array(numbers, np.int64).reshape((-1,) if shape else ())
            bypass(node, add_constant(node, array, "known"))
            changed = True
    return changed


def _extents(node: ir.Node, known: dict[ir.Value, Dims]) -> Dims | None:
    """The numbers (and names) in the node's output, read in order; None where the node is not understood."""
    inputs = [_list(value, known) for value in node.inputs]
    first, op = inputs[0] if inputs else None, node.op_type
    if op == "Shape":
        shape = dims(node.inputs[0])
        begin, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", _MAX_AXES)
        return None if shape is None else shape[begin:end]
    if op == "Concat":
        return None if None in inputs else tuple(extent for part in inputs for extent in part or ())
    if first is None:
        return None
    if op in _PASSED_ON:
        return first
    picks = [None if value is None else integers(value) for value in node.inputs[1:]]
    if op == "Gather":
        indices = picks[0] if picks else None
        if indices is None or any(not -len(first) <= index < len(first) for index in indices):
            return None
        return tuple(first[index] for index in indices)
    start, stop = (_only(pick) for pick in picks[:2])
    step = _only(picks[3]) if len(picks) > 3 and node.inputs[4] is not None else 1
    return first[start:stop] if start is not None and stop is not None and step == 1 else None


def _only(numbers: list[int] | None) -> int | None:
    return numbers[0] if numbers is not None and len(numbers) == 1 else None


def _list(value: ir.Value | None, known: dict[ir.Value, Dims]) -> Dims | None:
    if value is None:
        return None
    if value in known:
        return known[value]
    numbers = integers(value) if value.dtype == ir.DataType.INT64 else None
    return None if numbers is None else tuple(numbers)


def reshape(node: ir.Node, source: ir.Value | None, target: list[int]) -> None:
    """Makes the node a Reshape of `source` to a constant shape."""
    shape = add_constant(node, np.array(target, np.int64), "shape")
    become(node, "Reshape", [source, shape], allowzero=0)


def reshape_target(before: Dims | None, after: Dims | None) -> list[int] | None:
    """Reshape's shape that turns `before` into `after`: 0 copies the axis of that place, one -1 is inferred.

    None where that does not say it, or where an axis has no elements.
    """
    if before is None or after is None or 0 in before or 0 in after:
        return None
    target = []
    for index, extent in enumerate(after):
        if isinstance(extent, int):
            target.append(extent)
        elif extent is not None and index < len(before) and before[index] == extent:
            target.append(0)
        else:
            target.append(-1)
    return target if target.count(-1) <= 1 else None
