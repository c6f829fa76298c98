"""MatMul of activations to QMatMul."""

from dataclasses import dataclass

import numpy as np

from octavo.lowering.affine import SCALE_MIN, Affine
from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.decision import Decision, UnfitError
from octavo.lowering.epilogue import Epilogue, epilogue
from octavo.lowering.wiring import Unit
from octavo.program import Attribute


@dataclass(frozen=True)
class Products:
    """Requantized by `factor`, (M, S), with the epilogue `end`; or float32, `output` by the right `scale`."""

    output: str = ""
    scale: np.float32 | None = None
    end: Epilogue | None = None
    factor: tuple[int, int] = (0, 0)


def fit_matmul(decision: Decision, unit: Unit) -> Products:
    """Requantized where a reader wants integers, else with a float32 result.

    The result is float32 too where the left side is exponentials, whose rows have a scale each.
    """
    a, b = (decision.read(unit, name) for name in unit.node.inputs)
    _check_sums(decision, unit, a, b)
    output = unit.outputs[0]
    is_weighed = decision.partition.exponentials(unit.node.inputs[0])
    if is_weighed or not decision.partition.gives_integers(output):
        return _with_number(decision, output, b.scale)
    end = epilogue(decision, unit)
    factor = np.float64(a.scale) * np.float64(b.scale) / np.float64(end.affine.scale)
    return Products(end=end, factor=decision.requantizer(float(factor), a.of))


def emit_matmul(builder: ProgramBuilder, unit: Unit, fit: Products) -> None:
    """Add the QMatMul."""
    a, b = (builder.decision.read(unit, name) for name in unit.node.inputs)
    attributes: dict[str, Attribute] = {"a_zero_point": a.zero_point, "b_zero_point": b.zero_point}
    inputs = [builder.reads(unit, name) for name in unit.node.inputs]
    sums = builder.sums(unit.node.inputs[0])
    if sums is not None:
        assert fit.scale is not None
        attributes = {"b_zero_point": b.zero_point, "b_scale": fit.scale}
        builder.emit("QMatMul", unit, [*inputs, sums], [builder.gives_floats(fit.output)], attributes)
        return
    if fit.end is None:
        assert fit.scale is not None
        attributes |= {"a_scale": a.scale, "b_scale": fit.scale}
        builder.emit("QMatMul", unit, inputs, [builder.gives_floats(fit.output)], attributes)
        return
    multiplier, shift = fit.factor
    attributes |= {"multiplier": multiplier, "shift": shift, **fit.end.attributes()}
    builder.emit("QMatMul", unit, inputs, [builder.gives_integers(fit.end.output)], attributes)
    builder.dequantize_if_wanted(fit.end.output)


def _with_number(decision: Decision, name: str, scale: np.float32) -> Products:
    """A float product's value and right scale, the Mul or Div by a number taken in that alone reads it."""
    plain = Products(name, scale)
    reader = decision.wiring.sole_reader(name)
    if reader is None or reader.node.op not in ("Mul", "Div") or reader.name not in decision.partition.rows:
        return plain
    if reader.rounding:
        return plain
    other = reader.node.inputs[1]
    if other == name and reader.node.op == "Mul":
        other = reader.node.inputs[0]
    factor, rank = decision.wiring.constant(other), decision.wiring.rank
    if factor is None or factor.size != 1 or rank(name) != rank(reader.outputs[0]):
        return plain
    number = np.float64(factor.reshape(()))
    with np.errstate(all="ignore"):
        product = np.float64(scale) * number if reader.node.op == "Mul" else np.float64(scale) / number
        taken = np.float32(product)
    if not SCALE_MIN <= taken < np.inf:
        return plain
    decision.fused.add(reader.name)
    return Products(reader.outputs[0], taken)


def _check_sums(decision: Decision, unit: Unit, a: Affine, b: Affine) -> None:
    """Formula (6b), where K is a number here; where it is free, each plan checks it."""
    reach = a.of.reach(a.zero_point) * b.of.reach(b.zero_point)
    shapes = [decision.wiring.value(name).shape or () for name in unit.node.inputs]
    for shape, axis in zip(shapes, (-1, -2), strict=True):
        k = shape[max(axis, -len(shape))] if shape else ""
        if isinstance(k, int) and k * reach >= a.of.sum_end:
            raise UnfitError(f"its sums over K = {k} products could leave int32")
