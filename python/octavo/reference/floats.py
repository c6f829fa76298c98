"""The float ops over ONNX's logical layout; those of shape arithmetic take integers as well.

Every op is a function of a node and its input arrays (None where one is left out), and gives its outputs.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from octavo.errors import RunError
from octavo.program import Node
from octavo.reference import functions, reductions, windows
from octavo.reference.attributes import Array, Inputs, integer, number, optional, required, text
from octavo.reference.fma import Float32, fma

Op: TypeAlias = Callable[[Node, Inputs], list[Array]]
Binary: TypeAlias = Callable[[Array, Array], Array]

f32 = np.float32


def _unary(function: Callable[..., Array], *attributes: str) -> Op:
    """The op of an elementwise function: x, then the float attributes named."""

    def run(node: Node, inputs: Inputs) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(function(required(inputs, 0), *(number(node, name) for name in attributes)))]

    return run


def _binary(floats: Binary, integers: Binary | None = None) -> Op:
    """The op that folds a function over its inputs, with broadcasting; integers wrap."""

    def run(node: Node, inputs: Inputs) -> list[Array]:
        y = required(inputs, 0)
        function = integers if integers is not None and y.dtype != f32 else floats
        with np.errstate(all="ignore"):
            for i in range(1, len(inputs)):
                y = np.asarray(function(y, required(inputs, i)))
        return [y]

    return run


def _truncating_division(a: Array, b: Array) -> Array:
    if not np.all(b):
        raise ZeroDivisionError("an integer division by zero")
    floored = a // b
    return np.asarray(floored + ((floored < 0) & (a % b != 0)).astype(a.dtype))


def _relu(x: Float32) -> Float32:
    return np.where(x <= 0, f32(0), x)


def _leaky_relu(x: Float32, alpha: np.float32) -> Float32:
    return np.where(x < 0, alpha * x, x)


def _thresholded_relu(x: Float32, alpha: np.float32) -> Float32:
    return np.where(x <= alpha, f32(0), x)


def _hard_swish(x: Float32) -> Float32:
    return x * functions.hard_sigmoid(x, f32(1) / f32(6), f32(0.5))


def _swish(x: Float32, alpha: np.float32) -> Float32:
    return x * functions.sigmoid(alpha * x)


def _prelu(x: Float32, slope: Float32) -> Float32:
    return np.where(x < 0, x * slope, x)


def gelu(node: Node, inputs: Inputs) -> list[Array]:
    """Exact, or by tanh."""
    function = functions.gelu_tanh if text(node, "approximate", "none") == "tanh" else functions.gelu
    return [function(required(inputs, 0))]


def clip(node: Node, inputs: Inputs) -> list[Array]:
    """`min(max(x, lo), hi)`; a bound is one number, and does not bound where it is left out. NaN stays."""
    x, lo, hi = required(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    lo, hi = (bound if bound is None else bound.reshape(()) for bound in (lo, hi))
    floats = x.dtype == f32
    if lo is not None:
        x = functions.maximum(x, lo) if floats else np.maximum(x, lo)
    if hi is not None:
        x = functions.minimum(x, hi) if floats else np.minimum(x, hi)
    return [x]


def dot(a: Float32, b: Float32) -> Float32:
    """a [..., M, K] by b [..., K, N] with broadcasting: one chain an output from +0, k rising."""
    if a.shape[-1] != b.shape[-2]:
        raise RunError(f"matrices of {list(a.shape)} and {list(b.shape)} do not multiply")
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    y = np.zeros(shape, f32)
    for k in range(a.shape[-1]):
        y = fma(a[..., :, k, None], b[..., k, None, :], y)
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
    "GlobalAveragePool": reductions.global_average_pool,
    "GlobalMaxPool": reductions.global_max_pool,
    "ReduceMean": reductions.reduce_mean,
    "ReduceSum": reductions.reduce_sum,
    "ReduceMax": reductions.reduce_max,
    "ReduceMin": reductions.reduce_min,
    "Softmax": reductions.softmax,
    "LogSoftmax": reductions.log_softmax,
    "Add": _binary(np.add, np.add),
    "Sub": _binary(np.subtract, np.subtract),
    "Mul": _binary(np.multiply, np.multiply),
    "Div": _binary(np.divide, _truncating_division),
    "Pow": _binary(functions.power),
    "Max": _binary(functions.maximum, np.maximum),
    "Min": _binary(functions.minimum, np.minimum),
    "PRelu": _binary(_prelu),
    "Clip": clip,
    "Gelu": gelu,
    "Relu": _unary(_relu),
    "LeakyRelu": _unary(_leaky_relu, "alpha"),
    "Elu": _unary(functions.elu, "alpha"),
    "Selu": _unary(functions.selu, "alpha", "gamma"),
    "Celu": _unary(functions.celu, "alpha"),
    "ThresholdedRelu": _unary(_thresholded_relu, "alpha"),
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
    "Sqrt": _unary(np.sqrt),
    "Reciprocal": _unary(lambda x: f32(1) / x),
    "Abs": _unary(np.abs),
    "Neg": _unary(np.negative),
    "Sign": _unary(functions.sign),
    "Floor": _unary(np.floor),
    "Ceil": _unary(np.ceil),
    "Round": _unary(np.rint),
    "Erf": _unary(functions.erf),
    "Sin": _unary(functions.sin),
    "Cos": _unary(functions.cos),
}
