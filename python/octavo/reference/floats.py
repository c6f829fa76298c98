"""The float32 ops over ONNX's logical layout.

Every op is a function of a node and its input arrays (None where one is left out), and gives its outputs.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from octavo.errors import RunError
from octavo.program import Node
from octavo.program.attributes import integer, number, text
from octavo.reference import functions, reductions, sampling, trigonometry, windows
from octavo.reference.fma import Float32, fma
from octavo.reference.operands import Array, Inputs, optional, required

Op: TypeAlias = Callable[[Node, Inputs], list[Array]]

f32 = np.float32


def _unary(function: Callable[..., Array], *attributes: str) -> Op:
    """The op of an elementwise function: x, then the float attributes named."""

    def run(node: Node, inputs: Inputs) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(function(required(inputs, 0), *(number(node, name) for name in attributes)))]

    return run


def _hard_swish(x: Float32) -> Float32:
    return x * functions.hard_sigmoid(x, f32(1) / f32(6), f32(0.5))


def _swish(x: Float32, alpha: np.float32) -> Float32:
    return x * functions.sigmoid(alpha * x)


def _shrink(x: Float32, width: np.float32, bias: np.float32) -> Float32:
    return np.where(x < -width, x + bias, np.where(x > width, x - bias, f32(0)))


def gelu(node: Node, inputs: Inputs) -> list[Array]:
    """Exact, or by tanh."""
    function = functions.gelu_tanh if text(node, "approximate", "none") == "tanh" else functions.gelu
    return [function(required(inputs, 0))]


def clip(node: Node, inputs: Inputs) -> list[Array]:
    """`min(max(x, lo), hi)`; a bound is one number, and does not bound where it is left out. NaN stays."""
    x, lo, hi = required(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    if lo is not None:
        x = functions.maximum(x, lo.reshape(()))
    if hi is not None:
        x = functions.minimum(x, hi.reshape(()))
    return [x]


def dot(a: Float32, b: Float32) -> Float32:
    """a [..., M, K] by b [..., K, N] with broadcasting: one chain an output, formula (20).

    Of float64, products and sums are rounded one by one; of integers, they wrap.
    """
    if a.shape[-1] != b.shape[-2]:
        raise RunError(f"matrices of {list(a.shape)} and {list(b.shape)} do not multiply")
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    y = np.zeros(shape, a.dtype)
    for k in range(a.shape[-1]):
        left, right = a[..., :, k, None], b[..., k, None, :]
        y = fma(left, right, y) if a.dtype == f32 else y + left * right
    return y


def matmul(node: Node, inputs: Inputs) -> list[Array]:
    """numpy's matmul: a vector on the left is a row, on the right a column; that axis is dropped again."""
    a, b = required(inputs, 0), required(inputs, 1)
    y = dot(a[None, :] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b)
    if b.ndim == 1:
        y = y[..., 0]
    if a.ndim == 1:
        y = y[..., 0] if b.ndim == 1 else y[..., 0, :]
    return [np.asarray(y)]


def gemm(node: Node, inputs: Inputs) -> list[Array]:
    """`alpha * (a @ b) + beta * c`: alpha, beta and the sum are one rounding each."""
    a, b, c = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    y = dot(a.T if integer(node, "transA") else a, b.T if integer(node, "transB") else b)
    if c is not None and np.broadcast_shapes(y.shape, c.shape) != y.shape:
        raise RunError(f"c of {list(c.shape)} does not broadcast to {list(y.shape)}")
    with np.errstate(all="ignore"):
        y = number(node, "alpha") * y
        return [y if c is None else y + number(node, "beta") * c]


def batch_normalization(node: Node, inputs: Inputs) -> list[Array]:
    """`fma(x - mean, scale / sqrt(var + epsilon), b)` per channel; every operation is one rounding."""
    x, scale, b, mean, var = (required(inputs, i) for i in range(5))
    if any(parameter.shape != x.shape[1:2] for parameter in (scale, b, mean, var)):
        raise RunError(f"its parameters are not one for each channel of {list(x.shape)}")
    shape = (-1, *[1] * (x.ndim - 2))
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(var + number(node, "epsilon"))
        return [fma(x - mean.reshape(shape), factor.reshape(shape), b.reshape(shape))]


FLOAT_OPS: dict[str, Op] = {
    "Conv": windows.conv,
    "ConvTranspose": windows.conv_transpose,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_normalization,
    "MaxPool": windows.max_pool,
    "AveragePool": windows.average_pool,
    "LpPool": windows.lp_pool,
    "GlobalLpPool": windows.global_lp_pool,
    "GridSample": sampling.grid_sample,
    "GlobalAveragePool": reductions.global_average_pool,
    "GlobalMaxPool": reductions.global_max_pool,
    **reductions.REDUCTIONS,
    "Softmax": reductions.softmax,
    "LogSoftmax": reductions.log_softmax,
    "Clip": clip,
    "Gelu": gelu,
    "Elu": _unary(functions.elu, "alpha"),
    "Selu": _unary(functions.selu, "alpha", "gamma"),
    "Celu": _unary(functions.celu, "alpha"),
    "Sigmoid": _unary(functions.sigmoid),
    "Tanh": _unary(functions.tanh),
    "HardSigmoid": _unary(functions.hard_sigmoid, "alpha", "beta"),
    "HardSwish": _unary(_hard_swish),
    "Softplus": _unary(functions.softplus),
    "Softsign": _unary(lambda x: x / (f32(1) + np.abs(x))),
    "Mish": _unary(functions.mish),
    "Swish": _unary(_swish, "alpha"),
    "Exp": _unary(functions.exp),
    "Log": _unary(functions.log),
    "Erf": _unary(functions.erf),
    "Sin": _unary(trigonometry.sin),
    "Cos": _unary(trigonometry.cos),
    "Tan": _unary(trigonometry.tan),
    "Asin": _unary(trigonometry.asin),
    "Acos": _unary(trigonometry.acos),
    "Atan": _unary(trigonometry.atan),
    "Sinh": _unary(trigonometry.sinh),
    "Cosh": _unary(trigonometry.cosh),
    "Asinh": _unary(trigonometry.asinh),
    "Acosh": _unary(trigonometry.acosh),
    "Atanh": _unary(trigonometry.atanh),
    "Shrink": _unary(_shrink, "lambd", "bias"),
}
