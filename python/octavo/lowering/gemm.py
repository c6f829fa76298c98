"""Gemm and MatMul by constant weights, with the Add of a bias, to QGemm."""

from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.builder import ProgramBuilder
from octavo.lowering.decision import Decision
from octavo.lowering.product import Operands, Product, bias_of, emit_product, fit_product
from octavo.lowering.wiring import Unit, Wiring
from octavo.program.attributes import integer, number


def operands_of_gemm(wiring: Wiring, unit: Unit) -> Operands:
    """Weights [K, N]: transposed in advance, alpha and beta taken in, one scale a column."""
    is_gemm = unit.node.op == "Gemm"
    transposed = is_gemm and integer(unit.node, "transB") == 1
    alpha, beta = (number(unit.node, name) if is_gemm else np.float32(1) for name in ("alpha", "beta"))
    columns = wiring.shape_of_constant(unit.node.inputs[1])[0 if transposed else 1]

    def arrange(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return weight.T if transposed else weight

    return Operands(arrange, np.ascontiguousarray, 1, bias_of(wiring, unit, columns, float(beta)), alpha)


def fit_gemm(decision: Decision, unit: Unit) -> Product:
    """The integers of the QGemm."""
    return fit_product(decision, unit, operands_of_gemm(decision.wiring, unit))


def emit_gemm(builder: ProgramBuilder, unit: Unit, fit: Product) -> None:
    """Add the QGemm."""
    emit_product(builder, unit, "QGemm", fit, operands_of_gemm(builder.wiring, unit), {})
