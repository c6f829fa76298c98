"""From the graph to a Program: in float as the graph stands, or in int8 where ranges are given.

`octavo.lowering.capability` has the one table of what runs in integers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from octavo.lowering.affine import Affine, Range, affine
from octavo.lowering.builder import Builder
from octavo.lowering.capability import Kind
from octavo.lowering.conv import lower_conv
from octavo.lowering.elementwise import lower_add, lower_div, lower_mul
from octavo.lowering.evaluation import evaluate
from octavo.lowering.gemm import lower_gemm, lower_matmul
from octavo.lowering.graph import float_program, with_shapes
from octavo.lowering.movement import lower_join, lower_movement
from octavo.lowering.planning import Plan, Stay
from octavo.lowering.pooling import lower_average_pool, lower_reduce_mean
from octavo.lowering.sharing import Sharing, UnfitError
from octavo.lowering.softmax import lower_softmax
from octavo.lowering.unary import lower_unary
from octavo.lowering.wiring import Unit, Wiring
from octavo.program import Program

if TYPE_CHECKING:
    import onnx_ir as ir

EXCLUDED = "excluded by choice"

Rule = Callable[[Builder, Unit], None]

_BY_KIND: dict[Kind, Rule] = {
    Kind.UNARY: lower_unary,
    Kind.SOFTMAX: lower_softmax,
    Kind.MOVEMENT: lower_movement,
    Kind.JOIN: lower_join,
}
_BY_OP: dict[str, Rule] = {
    "Conv": lower_conv,
    "Gemm": lower_gemm,
    "MatMul": lower_matmul,
    "Add": lower_add,
    "Sub": lower_add,
    "Mul": lower_mul,
    "Div": lower_div,
    "AveragePool": lower_average_pool,
    "GlobalAveragePool": lower_reduce_mean,
    "ReduceMean": lower_reduce_mean,
}


@dataclass(frozen=True)
class Choices:
    """What is chosen beside the ranges.

    exclude: names of nodes that stay float. per_channel: one weight scale an output channel, or one a tensor.
    """

    exclude: frozenset[str] = frozenset()
    per_channel: bool = True


@dataclass(frozen=True)
class Lowered:
    """A Program, and the float ops of the model that it still runs in float, in the graph's order."""

    program: Program
    stays: list[Stay] = field(default_factory=list)


def lower(
    model: "ir.Model", ranges: Mapping[str, Range] | None = None, choices: Choices | None = None
) -> Lowered:
    """Lower a model at opset `octavo.program.OPSET`, all values typed.

    Without `ranges`: the float Program, every value under its name in the graph. With `ranges`, by the names
    of float32 values: the int8 Program. The same model and ranges give the same Program everywhere.
    """
    program = float_program(model)
    return Lowered(program) if ranges is None else lower_to_integers(program, ranges, choices)


def lower_to_integers(
    program: Program, ranges: Mapping[str, Range], choices: Choices | None = None
) -> Lowered:
    """Lower a float Program to int8 by the ranges of its float32 values.

    A unit that turns out unfit once its scales are known stays float, and the rest is decided anew around it.
    """
    choices = choices or Choices()
    kept = {name: (EXCLUDED, True) for name in sorted(choices.exclude)}
    while True:
        plan = Plan(Wiring(program), kept)
        try:
            builder = Builder(plan, Sharing(plan, ranges), per_channel=choices.per_channel)
            _emit(builder)
        except UnfitError as unfit:
            kept[unfit.unit.name] = (unfit.reason, False)
        else:
            stays = [stay for stay in plan.stays if stay.name not in builder.fused]
            return Lowered(builder.program(), stays)


def _emit(builder: Builder) -> None:
    for unit in builder.wiring.units:
        if not builder.plan.is_integer(unit):
            if unit.name not in builder.fused:
                builder.emit_float(unit)
            continue
        kind = builder.plan.kind(unit)
        rule = _BY_KIND[kind] if kind in _BY_KIND else _BY_OP[unit.node.op]
        rule(builder, unit)


__all__ = [
    "EXCLUDED",
    "Affine",
    "Choices",
    "Lowered",
    "Range",
    "Stay",
    "affine",
    "evaluate",
    "lower",
    "lower_to_integers",
    "with_shapes",
]
