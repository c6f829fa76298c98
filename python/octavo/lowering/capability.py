"""The one table of what runs in integers: each op, what it becomes, and on what conditions.

The lowering, the report and the documentation read it. An op may have several rows; the first whose
conditions all hold is taken. An op in no row, or in rows none of which holds, stays float, and the reason
says why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from octavo.lowering.speed import no_fast_kernel, no_fast_transposed_kernel
from octavo.lowering.wiring import Unit, Wiring
from octavo.program import Node
from octavo.program.attributes import integer, integers
from octavo.program.integers import INT16, UINT8, Integers
from octavo.program.ops import marked


class Kind(Enum):
    """How an op takes part in integers."""

    PRODUCT = "product"
    """A sum of products: pays for conversions around it, can give float32 from its sums."""
    ELEMENTWISE = "elementwise"
    """A sum or a product of two tensors, with a range of its own."""
    MEAN = "mean"
    """A mean over many elements, with its own range. Over whole axes it can give float32 from its sums."""
    UNARY = "unary"
    """A function of one tensor, element by element: a table."""
    SOFTMAX = "softmax"
    """A table and a sum."""
    EXPONENTIALS = "exponentials"
    """The softmax between the two products of attention: takes float32, and the second one its sums."""
    MOVEMENT = "movement"
    """Elements move or are picked, none changes: shares its input's scale."""
    JOIN = "join"
    """Several tensors that share one scale."""


@dataclass(frozen=True)
class Condition:
    """`needs`: for the documentation. `failure`: why a unit does not meet it, or None where it does.

    `expected`: a unit that fails it has an integer form, and is better off without.
    """

    needs: str
    failure: Callable[[Wiring, Unit], str | None]
    expected: bool = False


@dataclass(frozen=True)
class Row:
    """One op of ONNX, and what it becomes in integers under these conditions.

    activations: the dtypes of integers that there are kernels for.
    """

    op: str
    kind: Kind
    becomes: str
    conditions: tuple[Condition, ...] = ()
    activations: tuple[str, ...] = (UINT8.dtype, INT16.dtype)


@dataclass(frozen=True)
class Verdict:
    """The row that a unit runs by, or the reason why it has none; `expected`: it is better off in float."""

    row: Row | None
    reason: str = ""
    expected: bool = False


RUNS_BODIES = "it runs sub-programs, which have integers of their own"


def judge(
    wiring: Wiring,
    unit: Unit,
    activations: Integers = UINT8,
    without: Kind | None = None,
    integers_only: bool = False,
) -> Verdict:
    """How the unit can run in integers, before any range is known.

    without: a kind that it cannot be of. integers_only: whether it must, though it were better off in float.
    """
    op = unit.node.op
    if unit.node.bodies:
        return Verdict(None, RUNS_BODIES, expected=True)
    if op in BETTER_IN_FLOAT:
        return Verdict(None, BETTER_IN_FLOAT[op], expected=True)
    verdict = Verdict(None, f"{op} has no integer form")
    for row in ROWS.get(op, ()):
        if row.kind is without:
            continue
        verdict = _judge_by(row, wiring, unit, activations, integers_only)
        if verdict.row is not None:
            break
    return verdict


def _judge_by(row: Row, wiring: Wiring, unit: Unit, activations: Integers, integers_only: bool) -> Verdict:
    if activations.dtype not in row.activations:
        return Verdict(None, f"{row.op} has no integer form for activations of {activations}")
    for condition in row.conditions:
        if condition.expected and integers_only:
            continue
        failure = condition.failure(wiring, unit)
        if failure is not None:
            return Verdict(None, failure, condition.expected)
    return Verdict(row)


def _constant_weights(wiring: Wiring, unit: Unit) -> str | None:
    weight = unit.node.inputs[1]
    if wiring.constant(weight) is not None:
        return None
    return f"its second input {weight!r} is not a constant; only constant weights run in integers"


def _constant_bias(wiring: Wiring, unit: Unit) -> str | None:
    inputs = unit.node.inputs
    if len(inputs) < 3 or not inputs[2] or wiring.constant(inputs[2]) is not None:
        return None
    return f"its bias {inputs[2]!r} is not a constant"


def _one_or_two_axes(wiring: Wiring, unit: Unit) -> str | None:
    weight = wiring.value(unit.node.inputs[1]).shape
    spatial = 0 if weight is None else len(weight) - 2
    return None if spatial in (1, 2) else f"a convolution over {spatial} axes; 1 and 2 run in integers"


def _pools_one_or_two_axes(wiring: Wiring, unit: Unit) -> str | None:
    axes = len(integers(unit.node, "kernel_shape"))
    return None if axes in (1, 2) else f"a pool over {axes} axes; 1 and 2 run in integers"


def _no_indices(wiring: Wiring, unit: Unit) -> str | None:
    return None if len(unit.node.outputs) == 1 else "it gives the places of the largest elements as well"


def _matrix_weights(wiring: Wiring, unit: Unit) -> str | None:
    shape = wiring.value(unit.node.inputs[1]).shape
    if shape is not None and len(shape) == 2:
        return None
    return f"its weights have {0 if shape is None else len(shape)} axes; matrices of 2 run in integers"


def _rows_of_activations(wiring: Wiring, unit: Unit) -> str | None:
    rank = wiring.rank(unit.node.inputs[0])
    return None if rank is not None and rank >= 2 else "its activations are a vector, or of unknown rank"


def _untransposed(wiring: Wiring, unit: Unit) -> str | None:
    return "its activations are transposed (transA)" if integer(unit.node, "transA") else None


def _bias_of_columns(wiring: Wiring, unit: Unit) -> str | None:
    inputs = unit.node.inputs
    bias = wiring.constant(inputs[2]) if len(inputs) > 2 else None
    if bias is None or bias.size == 1:
        return None
    columns = wiring.value(inputs[1]).shape
    assert columns is not None
    wanted = columns[0 if integer(unit.node, "transB") else 1]
    if bias.shape[-1] == wanted and bias.size == wanted:
        return None
    return f"its bias has the shape {list(bias.shape)}, not one number a column"


def _scalar_operands(wiring: Wiring, unit: Unit) -> str | None:
    """Every operand is one number that adds no axes, or a function of the same tensor as the others."""
    for name in unit.node.inputs:
        if not name or wiring.is_float_activation(name):
            continue
        number = wiring.constant(name)
        if number is None or number.size != 1:
            return f"its operand {name!r} is not one number"
        ranks = [wiring.rank(x) for x in wiring.activations(unit)]
        if number.ndim > max((rank for rank in ranks if rank is not None), default=0):
            return f"its operand {name!r} has more axes than its input"
    if unit.outputs[0] in wiring.functions:
        return None
    return "it reads several tensors"


def _divisor(wiring: Wiring, unit: Unit) -> str | None:
    array = wiring.constant(unit.node.inputs[1])
    if array is None:
        return "it divides by a tensor; division by a constant runs in integers"
    return None if np.all(array != 0) else "it divides by a constant that holds 0"


def _spatial_mean(wiring: Wiring, unit: Unit) -> str | None:
    axes = reduced_axes(wiring, unit.node)
    if axes is None:
        return "the axes of its mean are not known in advance"
    rank = wiring.rank(unit.node.inputs[0])
    if rank is not None and rank >= 3 and axes and min(axes) >= 2:
        return None
    return f"a mean over the axes {axes}; only axes after the channels' run in integers"


def reduced_axes(wiring: Wiring, node: Node) -> list[int] | None:
    """The axes of a mean, none negative; None where they or the rank are not known."""
    rank = wiring.rank(node.inputs[0])
    if rank is None:
        return None
    if node.op == "GlobalAveragePool":
        return list(range(2, rank))
    if len(node.inputs) < 2 or not node.inputs[1]:
        return [] if integer(node, "noop_with_empty_axes") else list(range(rank))
    axes = wiring.constant(node.inputs[1])
    if axes is None:
        return None
    if axes.size == 0 and not integer(node, "noop_with_empty_axes"):
        return list(range(rank))
    return sorted(int(axis) % rank for axis in axes.reshape(-1))


def _last_axis(wiring: Wiring, unit: Unit) -> str | None:
    axis, rank = integer(unit.node, "axis"), wiring.rank(unit.node.inputs[0])
    if axis == -1 or (rank is not None and axis == rank - 1):
        return None
    return f"it is over axis {axis}, not the last one"


def _left_of_a_product(wiring: Wiring, unit: Unit) -> str | None:
    """One product of activations alone reads it, as its left side: the rows stay what they were."""
    name = unit.outputs[0]
    reader = wiring.sole_reader(name)
    if (
        reader is not None
        and reader.node.op == "MatMul"
        and reader.node.inputs[0] == name != reader.node.inputs[1]
        and wiring.constant(reader.node.inputs[1]) is None
    ):
        return None
    return "it is not the left side of a product alone"


def _nearest(wiring: Wiring, unit: Unit) -> str | None:
    mode = unit.node.attributes["mode"]
    transform = unit.node.attributes["coordinate_transformation_mode"]
    if mode == "nearest" and transform != "tf_crop_and_resize":
        return None
    return f"Resize with mode {mode}, {transform} computes new values; nearest moves old ones"


def _pads_with_constant(wiring: Wiring, unit: Unit) -> str | None:
    mode = unit.node.attributes["mode"]
    if mode != "constant":
        return None
    inputs = unit.node.inputs
    if len(inputs) < 3 or not inputs[2]:
        return None
    value = wiring.constant(inputs[2])
    if value is None:
        return f"its pad value {inputs[2]!r} is not a constant"
    return None if np.all(np.isfinite(value)) else "it pads with an infinite value or NaN"


def _constant_indices(wiring: Wiring, unit: Unit) -> str | None:
    return None if wiring.constant(unit.node.inputs[1]) is not None else "its indices are no constant"


def _rounds(wiring: Wiring, unit: Unit) -> str | None:
    return None if unit.pair else "it gives integers, not what they stand for"


_WEIGHTS = Condition("constant weights", _constant_weights)
_BIAS = Condition("a constant bias, if any", _constant_bias)
_MATRIX = Condition("a weight matrix of two axes", _matrix_weights)
_ROWS = Condition("activations of at least two axes", _rows_of_activations)
_POOL = Condition("one or two spatial axes", _pools_one_or_two_axes)
_FAST = Condition("a fast kernel for its groups (see below)", no_fast_kernel, expected=True)
_FAST_TRANSPOSED = Condition(_FAST.needs, no_fast_transposed_kernel, expected=True)
_SCALARS = Condition("constants of one element, or functions of one tensor", _scalar_operands)

_BYTES = (UINT8.dtype,)

# The order of the documentation, that of the alphabet.
_UNARY_OPS = sorted(marked("unary"))
_MOVEMENT_OPS = sorted(marked("moves"))

TABLE: tuple[Row, ...] = (
    Row(
        "Conv",
        Kind.PRODUCT,
        "QConv",
        (_WEIGHTS, _BIAS, Condition("one or two spatial axes", _one_or_two_axes), _FAST),
    ),
    Row("ConvTranspose", Kind.PRODUCT, "QConvTranspose", (_WEIGHTS, _BIAS, _FAST_TRANSPOSED)),
    Row(
        "Gemm",
        Kind.PRODUCT,
        "QGemm",
        (
            _WEIGHTS,
            _BIAS,
            Condition("transA = 0", _untransposed),
            Condition("a bias of one number a column", _bias_of_columns),
        ),
    ),
    Row("MatMul", Kind.PRODUCT, "QGemm", (_WEIGHTS, _MATRIX, _ROWS)),
    Row("MatMul", Kind.PRODUCT, "QMatMul", activations=_BYTES),
    *(Row(op, Kind.UNARY, "Lookup", (_SCALARS,)) for op in marked("pairwise")),
    *(Row(op, Kind.UNARY, "Lookup", (_SCALARS,)) for op in _UNARY_OPS),
    Row("Add", Kind.ELEMENTWISE, "QAdd"),
    Row("Sub", Kind.ELEMENTWISE, "QAdd"),
    Row("Mul", Kind.ELEMENTWISE, "QMul"),
    Row("Div", Kind.ELEMENTWISE, "QMul", (Condition("a constant divisor without 0", _divisor),)),
    Row("AveragePool", Kind.MEAN, "QAveragePool", (_POOL,)),
    Row("GlobalAveragePool", Kind.MEAN, "QReduceMean", (Condition("known rank", _spatial_mean),)),
    Row("ReduceMean", Kind.MEAN, "QReduceMean", (Condition("axes after the channels'", _spatial_mean),)),
    Row(
        "Softmax",
        Kind.EXPONENTIALS,
        "QExponentials",
        (
            Condition("the last axis", _last_axis),
            Condition("only a product of activations reads it, as its left side", _left_of_a_product),
        ),
        _BYTES,
    ),
    Row("Softmax", Kind.SOFTMAX, "QSoftmax", activations=_BYTES),
    Row("Quantize", Kind.MOVEMENT, "Requantize", (Condition("a value that is given integers", _rounds),)),
    Row("Concat", Kind.JOIN, "Concat"),
    Row("Max", Kind.JOIN, "Max"),
    Row("Min", Kind.JOIN, "Min"),
    Row("MaxPool", Kind.MOVEMENT, "MaxPool", (_POOL, Condition("no indices", _no_indices))),
    Row("Pad", Kind.MOVEMENT, "Pad", (Condition("a finite constant pad value", _pads_with_constant),)),
    Row("Resize", Kind.MOVEMENT, "Resize", (Condition("mode nearest", _nearest),)),
    Row("Gather", Kind.MOVEMENT, "Gather", (Condition("constant indices", _constant_indices),)),
    *(Row(op, Kind.MOVEMENT, op) for op in _MOVEMENT_OPS),
)

BETTER_IN_FLOAT = {
    "BatchNormalization": "a factor and an addend a channel are as fast in float, and more precise",
}
"""Ops that could run in integers and gain nothing by it, with the reason."""

ROWS: dict[str, tuple[Row, ...]] = {
    op: tuple(row for row in TABLE if row.op == op) for op in dict.fromkeys(row.op for row in TABLE)
}
