"""Transposes move towards the outputs and cancel: graphs from TensorFlow are full of them."""

import numpy as np
import onnx_ir as ir

from octavo.passes.edit import (
    add_constant,
    become,
    bypass,
    constant,
    dims,
    input_of,
    insert_before,
    integers,
    is_read_once,
    nodes,
    producer,
    set_attributes,
)
from octavo.program.ops import marked

_UNARY = frozenset(marked("unary") + marked("elementwise"))
_JOINING = frozenset({*marked("pairwise"), "Mean", "Sum"})
_REDUCING = frozenset(
    {
        "ReduceL1",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    }
)
_ALONG_AXIS = frozenset({"Concat", "LogSoftmax", "Softmax"})
_PUSHABLE = _UNARY | _JOINING | _REDUCING | _ALONG_AXIS | {"Pad", "Slice", "Squeeze"}

Perm = list[int]


def cancel_transposes(model: ir.Model) -> bool:
    """Merges Transposes in a row, and moves them on behind the operators that read them.

    A Transpose of a graph input stays at the input, and operators with constants before one move behind it.
    """
    changed = False
    for node in nodes(model, "Transpose"):
        changed |= _merge(node) or _through_reshape(node) or _pull_to_input(node)
    for node in nodes(model, *_PUSHABLE):
        changed |= _push(node)
    return changed


def perm_of(node: ir.Node) -> Perm | None:
    """The permutation: axis i of the output is axis perm[i] of the input."""
    perm = list(node.attributes.get_ints("perm", []))
    rank = len(dims(node.inputs[0]) or ())
    return perm or (list(range(rank))[::-1] if rank else None)


def inverse(perm: Perm) -> Perm:
    """The permutation that undoes `perm`."""
    return [perm.index(axis) for axis in range(len(perm))]


def _merge(node: ir.Node) -> bool:
    first = producer(node.inputs[0], "Transpose")
    outer, inner = perm_of(node), None if first is None else perm_of(first)
    if first is None or outer is None or inner is None:
        return False
    merged = [inner[axis] for axis in outer]
    if merged == list(range(len(merged))):
        return bypass(node, first.inputs[0])
    become(node, "Transpose", [first.inputs[0]], perm=merged)
    return True


def _through_reshape(node: ir.Node) -> bool:
    """A Reshape behind a Transpose that keeps the order of the elements reads the Transpose's input."""
    shape, perm = dims(node.inputs[0]), perm_of(node)
    if (
        shape is None
        or perm is None
        or [a for a in perm if shape[a] != 1] != sorted(a for a in perm if shape[a] != 1)
    ):
        return False
    changed = False
    for use in list(node.outputs[0].uses()):
        reader = use.node
        target = integers(input_of(reader, 1)) if reader.op_type == "Reshape" and use.idx == 0 else None
        if target is None:
            continue
        moved = dims(node.outputs[0]) or ()
        copied = [axis for axis, extent in enumerate(target) if extent == 0]
        if all(
            axis < len(moved) and moved[axis] == shape[axis] and moved[axis] is not None for axis in copied
        ):
            reader.replace_input_with(0, node.inputs[0])
            changed = True
    return changed


def _pull_to_input(node: ir.Node) -> bool:
    """Transpose(f(x, constants)) where x comes from a graph input becomes f(Transpose(x), constants)."""
    value, perm = node.inputs[0], perm_of(node)
    maker = producer(value, *_UNARY, *_JOINING)
    if (
        value is None
        or maker is None
        or perm is None
        or not is_read_once(value)
        or not _comes_from_input(value)
    ):
        return False
    spread = _constants_along(maker, len(perm), perm)
    sources = [
        index for index, other in enumerate(maker.inputs) if other is not None and constant(other) is None
    ]
    if spread is None or len(sources) != 1 or len(dims(maker.inputs[sources[0]]) or ()) != len(perm):
        return False
    moved = insert_before(node, "Transpose", [maker.inputs[sources[0]]], "input", perm=perm)
    moved.shape = _permuted(maker.inputs[sources[0]], perm)
    spread[sources[0]] = moved
    attributes = dict(maker.attributes)
    become(node, maker.op_type, spread)
    node.attributes.update(attributes)
    return True


def _comes_from_input(value: ir.Value) -> bool:
    """Whether a chain of operators with constants leads from a graph input to `value`."""
    while not value.is_graph_input():
        maker = producer(value, *_UNARY, *_JOINING)
        sources = [] if maker is None else [v for v in maker.inputs if v is not None and constant(v) is None]
        if len(sources) != 1:
            return False
        value = sources[0]
    return True


def _push(node: ir.Node) -> bool:
    """f(Transpose(x), ...) becomes Transpose(f(x, ...))."""
    perm = _common_perm(node)
    if perm is None:
        return False
    sources = [_untransposed(value) for value in node.inputs]
    kept = _rewritten(node, sources, perm)
    if kept is None:
        return False
    inputs, attributes, after = kept
    result = insert_before(node, node.op_type, inputs, "moved")
    made = result.producer()
    assert made is not None
    made.attributes.update(node.attributes)
    set_attributes(made, **attributes)
    # a type of its own: setting its dtype would change that of the value which it has it from
    result.type = ir.TensorType(node.outputs[0].dtype or ir.DataType.FLOAT)
    result.shape = _permuted(node.outputs[0], inverse(after))
    become(node, "Transpose", [result], perm=after)
    return True


def _common_perm(node: ir.Node) -> Perm | None:
    """The permutation that all inputs share which are no constants, where moving it on is worth it."""
    perms: list[Perm] = []
    read = node.inputs if node.op_type in _JOINING or node.op_type == "Concat" else node.inputs[:1]
    for value in read:
        if value is None or constant(value) is not None:
            continue
        first = producer(value, "Transpose")
        perm = None if first is None else perm_of(first)
        if first is None or perm is None or first.inputs[0] is None or _comes_from_input(first.inputs[0]):
            return None
        if value.is_graph_output() or not all(
            use.node.op_type in _PUSHABLE or use.node.op_type == "Transpose" for use in value.uses()
        ):
            return None
        perms.append(perm)
    return perms[0] if perms and all(perm == perms[0] for perm in perms) else None


def _untransposed(value: ir.Value | None) -> ir.Value | None:
    first = producer(value, "Transpose")
    return value if first is None else first.inputs[0]


Rewritten = tuple[list[ir.Value | None], dict[str, int], Perm]


def _rewritten(node: ir.Node, sources: list[ir.Value | None], perm: Perm) -> Rewritten | None:
    """Inputs and changed attributes of the node before the Transpose, and the permutation after it."""
    op, rank = node.op_type, len(perm)
    if op in _UNARY:
        return [sources[0], *node.inputs[1:]], {}, perm
    if op in _JOINING:
        spread = _constants_along(node, rank, inverse(perm))
        if spread is None:
            return None
        return [c if c is not None else source for c, source in zip(spread, sources, strict=True)], {}, perm
    if op in _ALONG_AXIS:
        axis = node.attributes.get_int("axis", -1)
        if op == "Concat" and any(constant(value) is not None for value in node.inputs):
            return None
        return sources, {"axis": perm[axis % rank]}, perm
    if op == "Pad":
        return _padded(node, sources[0], perm)
    axes_at = {"Slice": 3, "Squeeze": 1}.get(op, 1)
    axes = integers(input_of(node, axes_at))
    if axes is None and op == "Slice":
        axes = list(range(len(integers(input_of(node, 1)) or ()))) or None
    if not axes:
        return None
    moved = [perm[axis % rank] for axis in axes]
    inputs: list[ir.Value | None] = [sources[0], *node.inputs[1:]]
    inputs += [None] * (axes_at + 1 - len(inputs))
    inputs[axes_at] = add_constant(node, np.array(moved, np.int64), "axes")
    drops = op == "Squeeze" or (op in _REDUCING and not node.attributes.get_int("keepdims", 1))
    return inputs, {}, _without(perm, moved) if drops else perm


def _without(perm: Perm, dropped: list[int]) -> Perm:
    """The permutation of the axes that stay when `dropped` ones of the input go."""
    left = [axis for axis in perm if axis not in dropped]
    order = sorted(left)
    return [order.index(axis) for axis in left]


def _padded(node: ir.Node, source: ir.Value | None, perm: Perm) -> Rewritten | None:
    pads, rank = integers(input_of(node, 1)), len(perm)
    if pads is None or input_of(node, 3) is not None or len(pads) != 2 * rank:
        return None
    back = inverse(perm)
    moved = [pads[axis] for axis in back] + [pads[rank + axis] for axis in back]
    value = add_constant(node, np.array(moved, np.int64), "pads")
    return [source, value, *node.inputs[2:]], {}, perm


def _constants_along(node: ir.Node, rank: int, perm: Perm) -> list[ir.Value | None] | None:
    """The node's constants, permuted as what they broadcast to; None in the places of the other inputs."""
    spread: list[ir.Value | None] = []
    for index, value in enumerate(node.inputs):
        array = constant(value)
        if array is None or array.size == 1 or node.op_type in _UNARY:
            spread.append(None if array is None else value)
            if array is not None and array.ndim > rank:
                return None
            continue
        if array.ndim > rank:
            return None
        full = array.reshape((1,) * (rank - array.ndim) + array.shape)
        spread.append(add_constant(node, np.transpose(full, perm), f"constant_{index}"))
    return spread


def _permuted(value: ir.Value | None, perm: Perm) -> ir.Shape | None:
    shape = dims(value)
    return None if shape is None or len(shape) != len(perm) else ir.Shape([shape[axis] for axis in perm])
