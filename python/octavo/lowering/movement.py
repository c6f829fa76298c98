"""Ops that move elements, pick them, or join tensors of one form: on integers as on floats."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.decision import Decision, UnfitError
from octavo.lowering.wiring import Unit


@dataclass(frozen=True)
class Movement:
    """factors: (M, S) of each input that has another form than the output, by name. fill: a Pad's integer."""

    factors: dict[str, tuple[int, int]] = field(default_factory=dict)
    fill: npt.NDArray[Any] | None = None


def fit_movement(decision: Decision, unit: Unit) -> Movement:
    """Outputs share the input's form, or the input takes that which is given for them."""
    node = unit.node
    decision.affine(node.inputs[0])
    factors = _factors(decision, node.inputs[:1], _output(unit))
    fill = None
    if node.op == "Pad" and node.attributes["mode"] == "constant":
        fill = _fill(decision, unit)
    return Movement(factors, fill)


def emit_movement(builder: ProgramBuilder, unit: Unit, fit: Movement) -> None:
    """Add the same op on integers."""
    node = unit.node
    source = _in_form(builder, fit, node.inputs[0], _output(unit))
    inputs = [source, *(builder.floats(name) for name in node.inputs[1:])]
    if fit.fill is not None:
        quant = builder.affine(_output(unit)).quant()
        inputs[2:3] = [builder.constant(f"{unit.name}.value", fit.fill, quant)]
    outputs = [builder.gives_integers(name) if name else "" for name in unit.outputs]
    builder.emit(node.op, unit, inputs, outputs, node.attributes)
    for name in filter(None, unit.outputs):
        builder.dequantize_if_wanted(name)


def emit_requantize(builder: ProgramBuilder, unit: Unit, fit: Movement) -> None:
    """Give the integers of a tensor, in the form that the model gives them anew, another name."""
    output = unit.outputs[0]
    builder.holds(output, _in_form(builder, fit, unit.node.inputs[0], output))
    builder.dequantize_if_wanted(output)


def fit_join(decision: Decision, unit: Unit) -> Movement:
    """Concat, Max and Min: each input that has another form than the output is requantized on its way in."""
    return Movement(_factors(decision, unit.node.inputs, unit.outputs[0]))


def emit_join(builder: ProgramBuilder, unit: Unit, fit: Movement) -> None:
    """Add the same op on integers."""
    output = unit.outputs[0]
    inputs = [_in_form(builder, fit, name, output) for name in unit.node.inputs]
    builder.emit(unit.node.op, unit, inputs, [builder.gives_integers(output)], unit.node.attributes)
    builder.dequantize_if_wanted(output)


def _output(unit: Unit) -> str:
    """The first output that somebody wants: all have one form."""
    return next(filter(None, unit.outputs))


def _factors(decision: Decision, names: tuple[str, ...], output: str) -> dict[str, tuple[int, int]]:
    y = decision.affine(output)
    factors = {}
    for name in names:
        if decision.wiring.constant(name) is None and (x := decision.affine(name)) != y:
            ratio = float(np.float64(x.scale) / np.float64(y.scale))
            factors[name] = decision.requantizer(ratio, x.of)
    return factors


def _in_form(builder: ProgramBuilder, fit: Movement, name: str, output: str) -> str:
    """An input in the form of the output."""
    y = builder.affine(output)
    constant = builder.wiring.constant(name)
    if constant is not None:
        return builder.constant(f"{name}_quantized", y.integers(constant), y.quant(), of=name)
    source = builder.integers(name)
    if name not in fit.factors:
        return source
    return builder.requantized(name, source, builder.affine(name), y, fit.factors[name])


def _fill(decision: Decision, unit: Unit) -> npt.NDArray[Any]:
    names = unit.node.inputs
    constant = decision.wiring.constant(names[2]) if len(names) > 2 and names[2] else None
    value = np.zeros((), np.float32) if constant is None else constant.astype(np.float32).reshape(())
    form = decision.affine(_output(unit))
    fill = form.integers(value)
    padded = form.scale * np.float32(int(fill) - form.zero_point)
    if abs(padded - value) > form.scale:
        raise UnfitError(f"its pad value {value:g} lies outside the range of its input")
    return fill
