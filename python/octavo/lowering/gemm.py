"""Gemm and MatMul by constant weights, with the Add of a bias, to QGemm."""

import numpy as np
import numpy.typing as npt

from octavo.lowering.builder import Builder
from octavo.lowering.product import bias_of, lower_product
from octavo.lowering.wiring import Unit, integer, number


def lower_gemm(builder: Builder, unit: Unit) -> None:
    """Weights [K, N]: transposed in advance, alpha and beta taken in, one scale a column."""
    weight = _constant(builder, unit)
    if integer(unit.node, "transB"):
        weight = weight.T
    alpha, beta = (np.float64(number(unit.node, name)) for name in ("alpha", "beta"))
    scaled = (alpha * weight.astype(np.float64)).astype(np.float32)
    _lower(builder, unit, scaled, float(beta))


def lower_matmul(builder: Builder, unit: Unit) -> None:
    """Weights [K, N], activations [..., K]."""
    _lower(builder, unit, _constant(builder, unit), 1.0)


def _lower(builder: Builder, unit: Unit, weight: npt.NDArray[np.float32], beta: float) -> None:
    bias = bias_of(builder, unit, weight.shape[1], beta)
    lower_product(builder, unit, "QGemm", weight, bias, np.ascontiguousarray, 1, {})


def _constant(builder: Builder, unit: Unit) -> npt.NDArray[np.float32]:
    weight = builder.wiring.constant(unit.node.inputs[1])
    assert weight is not None
    return weight.astype(np.float32)
