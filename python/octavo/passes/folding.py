"""Computes what depends on constants alone, within limits that a hostile file cannot move."""

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript.optimizer import _constant_folding

from octavo.errors import ModelError
from octavo.passes.edit import dims, input_of, integers, nodes, scalar

MAX_BYTES = 16 << 20
"""A folded tensor is at most this large, unless it replaces a weight that is as large."""

MAX_TOTAL_BYTES = 256 << 20
"""All tensors folded in one model together, weights replaced by ones of their size aside."""

_MAX_SLOW_BYTES = 1 << 18
_MAX_SEQUENCE = 1024
_SPENT = "octavo.folding.spent"

_ELEMENTWISE = frozenset(
    {
        "Abs",
        "Add",
        "And",
        "Ceil",
        "Clip",
        "Div",
        "Equal",
        "Floor",
        "Greater",
        "GreaterOrEqual",
        "IsInf",
        "IsNaN",
        "Less",
        "LessOrEqual",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Reciprocal",
        "Relu",
        "Round",
        "Sign",
        "Sqrt",
        "Sub",
        "Where",
        "Xor",
    }
)
"""Exact or correctly rounded: the same bits on every machine. Exp, Pow, MatMul and sums of floats are not."""

_KEEPS_SIZE = frozenset(
    {"Cast", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Trilu", "Unsqueeze"}
)
_KEEPS_SIZE_SLOW = frozenset({"GatherElements", "GatherND", "ScatterElements", "ScatterND"})
_INTEGER_ONLY = frozenset({"CumSum", "Pow", "ReduceProd", "ReduceSum"})
_REDUCTIONS = frozenset({"ReduceMax", "ReduceMin"})


def fold_constants(model: ir.Model) -> bool:
    """Replaces nodes of constant inputs by initializers, where `should_fold` says so; knows static shapes."""
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _refuse_sequences(model)

    def within_total(node: ir.Node) -> bool:
        if not should_fold(node):
            return False
        size = folded_bytes(node) or 0
        if size > MAX_BYTES:
            return True  # in the place of a weight
        spent = int(model.meta.get(_SPENT, 0)) + size
        if spent > MAX_TOTAL_BYTES:
            return False
        model.meta[_SPENT] = spent
        return True

    with np.errstate(all="ignore"):
        result = _constant_folding.fold_constants(
            model,
            onnx_shape_inference=True,
            output_size_limit=np.iinfo(np.int64).max,
            should_fold=within_total,
        )
    return bool(result.modified)


def should_fold(node: ir.Node) -> bool:
    """Whether a node of constant inputs may be computed: its size is known before, and small enough.

    Beyond MAX_BYTES only where the node turns a weight that nothing else reads into one that is no larger.
    """
    size = folded_bytes(node)
    if size is None:
        return False
    if size <= (_MAX_SLOW_BYTES if node.op_type in _KEEPS_SIZE_SLOW else MAX_BYTES):
        return True
    if node.op_type not in _ELEMENTWISE | _KEEPS_SIZE:
        return False
    replaced = [
        value.const_value.nbytes
        for value in node.inputs
        if value is not None and value.const_value is not None and len(value.uses()) == 1
    ]
    return size <= max(replaced, default=0)


def folded_bytes(node: ir.Node) -> int | None:
    """Bytes of the output of a node of constant inputs; None where octavo does not compute the operator."""
    tensors = [value.const_value for value in node.inputs if value is not None]
    if any(tensor is None or tensor.dtype == ir.DataType.STRING for tensor in tensors) or node.domain != "":
        return None
    elements = _elements(node, [tensor for tensor in tensors if tensor is not None])
    if elements is None or elements < 0:
        return None
    dtype = node.outputs[0].dtype
    return elements * (8 if dtype is None else math.ceil(dtype.itemsize))


def _elements(node: ir.Node, tensors: list[ir.TensorProtocol]) -> int | None:
    op = node.op_type
    if op in _ELEMENTWISE:
        return _broadcast([tuple(tensor.shape.numpy()) for tensor in tensors])
    if op in _INTEGER_ONLY and all(tensor.dtype.is_floating_point() for tensor in tensors[:1]):
        return None
    if op in _KEEPS_SIZE or op in _REDUCTIONS or op in _INTEGER_ONLY:
        if op == "Pow":
            return _broadcast([tuple(tensor.shape.numpy()) for tensor in tensors])
        return tensors[0].size
    if op in _KEEPS_SIZE_SLOW:
        return max(tensor.size for tensor in tensors)
    rule = _SIZES.get(op)
    return None if rule is None else rule(node, tensors)


def _broadcast(shapes: list[tuple[int, ...]]) -> int | None:
    rank = max(map(len, shapes))
    size = 1
    for axis in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        wide = {extent for extent in axis if extent != 1}
        if len(wide) > 1:
            return None
        size *= wide.pop() if wide else 1
    return size


def _expand(node: ir.Node, tensors: list[ir.TensorProtocol]) -> int | None:
    shape = integers(node.inputs[1])
    if shape is None or any(extent < 0 for extent in shape):
        return None
    return _broadcast([tuple(tensors[0].shape.numpy()), tuple(shape)])


def _tile(node: ir.Node, tensors: list[ir.TensorProtocol]) -> int | None:
    repeats = integers(node.inputs[1])
    return None if repeats is None or any(r < 0 for r in repeats) else tensors[0].size * math.prod(repeats)


def _constant_of_shape(node: ir.Node, tensors: list[ir.TensorProtocol]) -> int | None:
    shape = integers(node.inputs[0])
    return None if shape is None or any(extent < 0 for extent in shape) else math.prod(shape)


def _range(node: ir.Node, tensors: list[ir.TensorProtocol]) -> int | None:
    start, limit, step = (scalar(value) for value in node.inputs[:3])
    if start is None or limit is None or not step or not all(map(math.isfinite, (start, limit, step))):
        return None
    count = (limit - start) / step
    return None if not math.isfinite(count) else max(0, math.ceil(count))


def _pad(node: ir.Node, tensors: list[ir.TensorProtocol]) -> int | None:
    pads = integers(node.inputs[1])
    shape = tensors[0].shape.numpy()
    if pads is None or input_of(node, 3) is not None or len(pads) != 2 * len(shape):
        return None
    return math.prod(max(0, n + a + b) for n, a, b in zip(shape, pads, pads[len(shape) :], strict=False))


def _gather(node: ir.Node, tensors: list[ir.TensorProtocol]) -> int | None:
    shape = tensors[0].shape.numpy()
    axis = node.attributes.get_int("axis", 0)
    if not -len(shape) <= axis < len(shape):
        return None
    axis %= len(shape)
    return math.prod(shape[:axis]) * tensors[1].size * math.prod(shape[axis + 1 :])


def _one_hot(node: ir.Node, tensors: list[ir.TensorProtocol]) -> int | None:
    depth = scalar(node.inputs[1])
    return None if depth is None or not math.isfinite(depth) else tensors[0].size * max(0, int(depth))


_SIZES: dict[str, Callable[[ir.Node, list[ir.TensorProtocol]], int | None]] = {
    "Concat": lambda node, tensors: sum(tensor.size for tensor in tensors),
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Gather": _gather,
    "NonZero": lambda node, tensors: tensors[0].size * len(tensors[0].shape),
    "OneHot": _one_hot,
    "Pad": _pad,
    "Range": _range,
    "Shape": lambda node, tensors: len(tensors[0].shape),
    "Size": lambda node, tensors: 1,
    "Tile": _tile,
}


def _refuse_sequences(model: ir.Model) -> None:
    """The optimizer writes SplitToSequence out, one output a piece, however many; it must know the pieces."""
    for node in nodes(model, "SplitToSequence"):
        extents = [extent for extent in dims(node.inputs[0]) or () if isinstance(extent, int)]
        sizes = input_of(node, 1)
        if max(extents, default=0) > _MAX_SEQUENCE or (sizes is not None and sizes.const_value is None):
            raise ModelError(
                f"node '{node.name}' (SplitToSequence): octavo cannot cut by computed sizes, or an axis "
                f"of over {_MAX_SEQUENCE}: export the model without sequences"
            )
