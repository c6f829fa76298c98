"""Gemm and MatMul by constant weights, with the Add of a bias, to QGemm; MatMul of activations to QMatMul."""

import numpy as np
import numpy.typing as npt

from octavo.lowering.affine import SCALE_MIN, Affine
from octavo.lowering.builder import Builder
from octavo.lowering.epilogue import epilogue, requantizer
from octavo.lowering.product import bias_of, lower_product
from octavo.lowering.sharing import UnfitError
from octavo.lowering.weights import BOUND
from octavo.lowering.wiring import Unit, integer, number
from octavo.program import Attribute


def lower_gemm(builder: Builder, unit: Unit) -> None:
    """Weights [K, N]: transposed in advance, alpha and beta taken in, one scale a column."""
    weight = _constant(builder, unit)
    if integer(unit.node, "transB"):
        weight = weight.T
    alpha, beta = (np.float64(number(unit.node, name)) for name in ("alpha", "beta"))
    scaled = (alpha * weight.astype(np.float64)).astype(np.float32)
    _lower(builder, unit, scaled, float(beta))


def lower_matmul(builder: Builder, unit: Unit) -> None:
    """QGemm by weights [K, N] of activations [..., K]; else QMatMul."""
    if builder.plan.rows[unit.name].becomes == "QMatMul":
        _lower_activations(builder, unit)
    else:
        _lower(builder, unit, _constant(builder, unit), 1.0)


def _lower_activations(builder: Builder, unit: Unit) -> None:
    """QMatMul: requantized where a reader wants integers, else with a float32 result."""
    a, b = (builder.affine(name, unit) for name in unit.node.inputs)
    _check_sums(builder, unit, a, b)
    output = unit.outputs[0]
    attributes: dict[str, Attribute] = {"a_zero_point": a.zero_point, "b_zero_point": b.zero_point}
    inputs = [builder.integers(name, unit) for name in unit.node.inputs]
    if not builder.plan.wants_integers(output):
        output, scale = _scaled(builder, output, b.scale)
        attributes |= {"a_scale": a.scale, "b_scale": scale}
        builder.emit("QMatMul", unit.name, inputs, [builder.gives_floats(output)], attributes)
        return
    end = epilogue(builder, unit)
    factor = np.float64(a.scale) * np.float64(b.scale) / np.float64(end.affine.scale)
    multiplier, shift = requantizer(unit, float(factor))
    attributes |= {"multiplier": multiplier, "shift": shift, **end.attributes()}
    builder.emit("QMatMul", unit.name, inputs, [builder.gives_integers(end.output, unit)], attributes)
    builder.dequantize_if_wanted(end.output, unit)


def _scaled(builder: Builder, name: str, scale: np.float32) -> tuple[str, np.float32]:
    """A float product's value and right scale, the Mul or Div by a number taken in that alone reads it."""
    reader = builder.wiring.sole_reader(name)
    if reader is None or reader.node.op not in ("Mul", "Div") or reader.name not in builder.plan.rows:
        return name, scale
    other = reader.node.inputs[1]
    if other == name and reader.node.op == "Mul":
        other = reader.node.inputs[0]
    factor = builder.wiring.constant(other)
    if (
        factor is None
        or factor.size != 1
        or builder.wiring.rank(name) != builder.wiring.rank(reader.outputs[0])
    ):
        return name, scale
    number = np.float64(factor.reshape(()))
    with np.errstate(all="ignore"):
        taken = np.float32(
            np.float64(scale) * number if reader.node.op == "Mul" else np.float64(scale) / number
        )
    if not SCALE_MIN <= taken < np.inf:
        return name, scale
    builder.fused.add(reader.name)
    return reader.outputs[0], taken


def _check_sums(builder: Builder, unit: Unit, a: Affine, b: Affine) -> None:
    """Where K is a number here; where it is free, each plan checks it."""
    shapes = [builder.wiring.value(name).shape or () for name in unit.node.inputs]
    for shape, axis in zip(shapes, (-1, -2), strict=True):
        k = shape[max(axis, -len(shape))] if shape else ""
        reach = max(a.zero_point, 255 - a.zero_point) * max(b.zero_point, 255 - b.zero_point)
        if isinstance(k, int) and k * reach >= BOUND:
            raise UnfitError(unit, f"its sums over K = {k} products could leave int32")


def _lower(builder: Builder, unit: Unit, weight: npt.NDArray[np.float32], beta: float) -> None:
    bias = bias_of(builder, unit, weight.shape[1], beta)
    lower_product(builder, unit, "QGemm", weight, bias, np.ascontiguousarray, 1, {})


def _constant(builder: Builder, unit: Unit) -> npt.NDArray[np.float32]:
    weight = builder.wiring.constant(unit.node.inputs[1])
    assert weight is not None
    return weight.astype(np.float32)
