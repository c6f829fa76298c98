"""Computes what depends on constants alone, within limits that a hostile file cannot move."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript.optimizer import _constant_folding

from octavo.errors import ModelError
from octavo.passes.costs import Cost, cost
from octavo.passes.edit import Array, dims, input_of, nodes, take_names
from octavo.program import DTYPES

Evaluate = Callable[[ir.Node], Sequence[Array | None] | None]
"""The outputs of a node of constant inputs, as octavo computes them: the same bits on every machine.

None for an output that is left out; None for all where octavo lacks the operator or it fails.
"""

MAX_BYTES = 16 << 20
"""What one node makes is at most this large, unless it replaces a weight that is as large."""

MAX_TOTAL_BYTES = 256 << 20
"""Folding makes the constants of a model larger by at most so much."""

MAX_STEPS = 1 << 34
"""One node's work, in products of float32: seconds."""

MAX_TOTAL_STEPS = 1 << 36
"""The work of folding one model."""

_MAX_SEQUENCE = 1024
_BYTES = "octavo.folding.bytes"
_STEPS = "octavo.folding.steps"

_EXACT = frozenset(
    {
        "Abs",
        "Add",
        "Cast",
        "Ceil",
        "Clip",
        "Concat",
        "Div",
        "Equal",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Relu",
        "Reshape",
        "Round",
        "Shape",
        "Sign",
        "Size",
        "Slice",
        "Squeeze",
        "Sub",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)
"""What numpy computes alike everywhere, for constants of types that octavo lacks, as bfloat16."""

_OF_INTEGERS = ("QuantizeLinear", "DequantizeLinear")
"""What says which integers a model has, of its weights too; lowering reads it."""

_TYPES = frozenset(ir.DataType.from_numpy(dtype) for dtype in DTYPES.values())


def fold_constants(model: ir.Model, evaluate: Evaluate) -> bool:
    """Replaces nodes of constant inputs by initializers, where `should_fold` says so; knows static shapes."""
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _refuse_sequences(model)
    with np.errstate(all="ignore"):
        return bool(_Folding(model, evaluate)(model).modified)


def should_fold(node: ir.Node) -> bool:
    """Whether a node of constant inputs may be computed: its cost is known before, and small enough.

    Beyond MAX_BYTES only where it turns a weight that nothing else reads into one that is no larger, or is
    itself only on the way into such a weight.
    """
    known = cost(node)
    return known is not None and _is_small(node, known)


def _is_small(node: ir.Node, known: Cost) -> bool:
    return known.steps <= MAX_STEPS and (known.bytes <= MAX_BYTES or known.bytes <= _replaced(node))


def _replaced(node: ir.Node) -> int:
    """Bytes of the largest constant that goes when the node and what it alone is made for are folded."""
    largest = max((_size(value) for value in node.inputs if _reader(value) is not None), default=0)
    read = list(node.inputs)
    while len(node.outputs) == 1:
        output, reader = node.outputs[0], _reader(node.outputs[0])
        if reader is None or not all(value is output or _is_constant(value) for value in reader.inputs):
            break
        read += reader.inputs
        largest = max(map(_size, read))
        node = reader
    return largest


def _reader(value: ir.Value | None) -> ir.Node | None:
    """The node that alone reads the value."""
    if value is None or value.is_graph_output():
        return None
    reader = None
    for use in value.uses():
        if reader is not None and use.node is not reader:
            return None
        reader = use.node
    return reader


def _is_constant(value: ir.Value | None) -> bool:
    """Whether the input is known, or left out."""
    return value is None or (value.const_value is not None and not value.is_graph_input())


def _size(value: ir.Value | None) -> int:
    return 0 if value is None or value.const_value is None else value.const_value.nbytes


class _Folding(_constant_folding.FoldConstantsPass):
    """The optimizer's pass, which follows shapes and sequences and inlines branches; `evaluate` computes."""

    def __init__(self, model: ir.Model, evaluate: Evaluate) -> None:
        no_limit = int(np.iinfo(np.int64).max)
        super().__init__(
            shape_inference=True,
            input_size_limit=no_limit,
            output_size_limit=no_limit,
            should_fold=self._is_for_numpy,
        )
        self._meta = model.meta
        self._evaluate = evaluate

    def process_node(self, node: ir.Node, is_function: bool) -> _constant_folding.Replacement | None:
        if node.op_type in _OF_INTEGERS:
            return None
        readers = [use.node for output in node.outputs for use in output.uses()]
        replacement = super().process_node(node, is_function)
        if replacement is not None or not all(map(_is_constant, node.inputs)):
            if replacement is not None:
                for heir in replacement.new_nodes or readers:
                    take_names(heir, node)
            return replacement
        size = self._size_within_limits(node)
        arrays = None if size is None else self._evaluate(node)
        if arrays is None:
            return None
        self._meta[_BYTES] = size
        for reader in readers:
            take_names(reader, node)
        made = [_initializer(node, *pair) for pair in zip(node.outputs, arrays, strict=True)]
        return _constant_folding.Replacement(made, [])

    def _is_for_numpy(self, node: ir.Node) -> bool:
        types = {value.dtype for value in (*node.inputs, *node.outputs) if value is not None}
        size = None if types <= _TYPES or node.op_type not in _EXACT else self._size_within_limits(node)
        if size is not None:
            self._meta[_BYTES] = size
        return size is not None

    def _size_within_limits(self, node: ir.Node) -> int | None:
        """By how many bytes the model will have grown with this node; None where it is not to be computed."""
        known = cost(node)
        if known is None or not _is_small(node, known):
            return None
        freed = {value for value in node.inputs if _reader(value) is node}
        size: int = self._meta.get(_BYTES, 0) + known.bytes - sum(map(_size, freed))
        steps: int = self._meta.get(_STEPS, 0) + known.steps
        if size > MAX_TOTAL_BYTES or steps > MAX_TOTAL_STEPS:
            return None
        self._meta[_STEPS] = steps
        return size


def _initializer(node: ir.Node, output: ir.Value, array: Array | None) -> ir.Value:
    """The constant that takes the place of a node's output."""
    if array is None:
        return ir.Value()  # in the place of one that is left out
    tensor = ir.Tensor(array, name=output.name)
    value = ir.Value(
        name=output.name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor
    )
    if output.uses() or output.is_graph_output():
        assert node.graph is not None
        node.graph.register_initializer(value)
    return value


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
