"""From the graph to a Program: in float as the graph stands, or in integers where forms are given.

`octavo.lowering.capability` has the one table of what runs in integers. Everything is decided before a node
is written: `Decision`, then `ProgramBuilder`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from octavo.lowering.affine import Affine, Range, affine
from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.columns import Columns, columns
from octavo.lowering.conv import emit_conv, emit_conv_transpose, fit_conv, fit_conv_transpose
from octavo.lowering.decision import Decision, Made
from octavo.lowering.dynamic import AXES_OF_RANGES, lower_dynamically
from octavo.lowering.elementwise import emit_add, emit_mul, fit_add, fit_mul
from octavo.lowering.evaluation import evaluate
from octavo.lowering.forms import Forms, GivenWeights
from octavo.lowering.gemm import emit_gemm, fit_gemm
from octavo.lowering.given import gives_forms, holds_integers
from octavo.lowering.graph import float_program
from octavo.lowering.grids import Grid, grid
from octavo.lowering.lowered import Lowered
from octavo.lowering.matmul import emit_matmul, fit_matmul
from octavo.lowering.movement import emit_join, emit_movement, emit_requantize, fit_join, fit_movement
from octavo.lowering.partition import EXCLUDED, Partition, Stay
from octavo.lowering.pooling import emit_average_pool, emit_reduce_mean, fit_average_pool, fit_reduce_mean
from octavo.lowering.softmax import emit_exponentials, emit_softmax, fit_exponentials, fit_softmax
from octavo.lowering.unary import emit_unary, fit_unary
from octavo.lowering.weights import Weights
from octavo.lowering.wiring import Unit, Wiring
from octavo.program import Program, all_nodes

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Rule:
    """How a family of units becomes integer: `fit` computes what its node carries, `emit` adds the node."""

    fit: Callable[[Decision, Unit], Any]
    emit: Callable[[ProgramBuilder, Unit, Any], None]


_RULES = {
    "QConv": Rule(fit_conv, emit_conv),
    "QConvTranspose": Rule(fit_conv_transpose, emit_conv_transpose),
    "QGemm": Rule(fit_gemm, emit_gemm),
    "QMatMul": Rule(fit_matmul, emit_matmul),
    "QAdd": Rule(fit_add, emit_add),
    "QMul": Rule(fit_mul, emit_mul),
    "QAveragePool": Rule(fit_average_pool, emit_average_pool),
    "QReduceMean": Rule(fit_reduce_mean, emit_reduce_mean),
    "QSoftmax": Rule(fit_softmax, emit_softmax),
    "QExponentials": Rule(fit_exponentials, emit_exponentials),
    "Lookup": Rule(fit_unary, emit_unary),
    "Requantize": Rule(fit_movement, emit_requantize),
    "movement": Rule(fit_movement, emit_movement),
    "join": Rule(fit_join, emit_join),
}
"""By what a unit becomes, or by its kind where it keeps its name."""


def lower(model: "ir.Model", forms: Forms | None = None, exclude: Iterable[str] = ()) -> Lowered:
    """Lower a model at opset `octavo.program.OPSET`, all values typed.

    Without `forms`: the float Program, every value under its name in the graph. With them: the integer one.
    The same model and forms give the same Program everywhere.
    """
    program = float_program(model)
    return _as_it_stands(program) if forms is None else lower_to_integers(program, forms, exclude)


def lower_to_integers(
    program: Program, forms: Forms, exclude: Iterable[str] = (), made: Made | None = None
) -> Lowered:
    """Lower a float Program to integers by the forms of its float32 values.

    exclude: names of nodes that stay float. A unit that turns out unfit once its scales are known stays float
    too, and the rest is decided anew around it. made: the weights of earlier calls for the same Program,
    with whatever forms; what this one makes is added.
    """
    decision = Decision(Wiring(program), forms, made)
    decision.decide(
        {name: (EXCLUDED, True) for name in sorted(exclude)},
        lambda decision, unit: _rule(decision, unit).fit(decision, unit),
    )
    builder = ProgramBuilder(decision, lambda body: lower_to_integers(body, forms, exclude, made))
    for unit in decision.written():
        if decision.is_integer(unit):
            _rule(decision, unit).emit(builder, unit, decision.fits[unit.name])
        elif unit.name not in decision.fused:
            builder.emit_float(unit)
    held = {name: decision.affine_of_channels(name) for name in builder.held_in_integers()} | builder.held
    return Lowered(
        builder.program(),
        [*decision.stays, *builder.stays],
        builder.node_origins,
        builder.value_origins,
        held,
        builder.weights,
    )


def lower_as_given(program: Program) -> Program:
    """A float Program as it runs: in integers where it says which ones, by `Quantize` and `Dequantize`."""
    return lower_to_integers(program, Forms(derives=False)).program if gives_forms(program) else program


def stays_of(program: Program, exclude: Iterable[str] = ()) -> list[Stay]:
    """The ops of a float Program that stay float, whatever the ranges, where all must be integers."""
    kept = {name: (EXCLUDED, True) for name in sorted(exclude)}
    return Partition(Wiring(program), kept, Forms(integers_only=True)).stays


def _as_it_stands(program: Program) -> Lowered:
    nodes: dict[str, tuple[str, ...]] = {node.name: (node.name,) for node in all_nodes(program.nodes)}
    return Lowered(program, [], nodes, {name: name for name in program.values}, {})


def _rule(decision: Decision, unit: Unit) -> Rule:
    row = decision.partition.rows[unit.name]
    return _RULES[row.becomes if row.becomes in _RULES else row.kind.value]


__all__ = [
    "AXES_OF_RANGES",
    "EXCLUDED",
    "Affine",
    "Columns",
    "Forms",
    "GivenWeights",
    "Grid",
    "Lowered",
    "Made",
    "Range",
    "Stay",
    "Weights",
    "affine",
    "columns",
    "evaluate",
    "grid",
    "holds_integers",
    "lower",
    "lower_as_given",
    "lower_dynamically",
    "lower_to_integers",
    "stays_of",
]
