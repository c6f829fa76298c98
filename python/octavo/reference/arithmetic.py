"""Arithmetic on numbers of any dtype: integers wrap, each operation of a float is rounded once."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from octavo.program import Node
from octavo.program.attributes import integer, number, text
from octavo.reference import functions
from octavo.reference.floats import Op
from octavo.reference.operands import Array, Inputs, required

Binary: TypeAlias = Callable[[Array, Array], Any]


def _is_float(x: Array) -> bool:
    return x.dtype.kind == "f"


def _unary(function: Callable[[Array], Any]) -> Op:
    """The op of a function of one array."""

    def run(node: Node, inputs: Inputs) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(function(required(inputs, 0)))]

    return run


def _binary(function: Binary) -> Op:
    """The op that folds a function over its inputs, with broadcasting."""

    def run(node: Node, inputs: Inputs) -> list[Array]:
        y = required(inputs, 0)
        with np.errstate(all="ignore"):
            for i in range(1, len(inputs)):
                y = np.asarray(function(y, required(inputs, i)))
        return [y]

    return run


def _divide(a: Array, b: Array) -> Array:
    """The quotient; of integers it is cut towards 0, and by 0 it is 0."""
    if _is_float(a):
        return np.asarray(a / b)
    floored = a // b  # 0 where b is 0, as is the rest
    return np.asarray(floored + ((floored < 0) & (a % b != 0)).astype(a.dtype))


def _power(a: Array, b: Array) -> Array:
    """The power; of integers modulo their range, and that to a negative exponent is cut towards 0."""
    if _is_float(a):
        return functions.power(a, b)
    power, square, rest = np.ones_like(a + b), np.array(a), np.maximum(b, 0)
    while np.any(rest):
        power = np.where(rest & 1, power * square, power)
        square, rest = square * square, rest >> 1
    unit = np.where(b & 1, a, 1)
    return np.where(b >= 0, power, np.where(np.abs(a) == 1, unit, 0)).astype(a.dtype)


def _larger(a: Array, b: Array) -> Array:
    return functions.maximum(a, b) if _is_float(a) else np.maximum(a, b)


def _smaller(a: Array, b: Array) -> Array:
    return functions.minimum(a, b) if _is_float(a) else np.minimum(a, b)


def mod(node: Node, inputs: Inputs) -> list[Array]:
    """What a / b leaves: with fmod it has the sign of a, else that of b; of integers 0 where b is 0."""
    a, b = required(inputs, 0), required(inputs, 1)
    with np.errstate(all="ignore"):
        rest = np.fmod(a, b)
        if integer(node, "fmod"):
            return [np.asarray(rest)]
        across = (rest != 0) & ((rest < 0) != (b < 0))
        rest = np.where(across, rest + b, rest)
        return [np.where(rest == 0, np.copysign(0, b).astype(a.dtype), rest) if _is_float(a) else rest]


def bit_shift(node: Node, inputs: Inputs) -> list[Array]:
    """x with its bits moved by y places; what leaves the type is lost, and copies of the sign fill up.

    All bits leave where y is negative, or the width of the type or more.
    """
    x, by = required(inputs, 0), required(inputs, 1)
    width = 8 * x.dtype.itemsize
    places = np.where((by < 0) | (by >= width), width, by).astype(np.int64)
    half, rest = places // 2, places - places // 2  # a shift by the whole width is undefined
    if text(node, "direction", "") == "LEFT":
        return [((x.astype(np.int64) << half) << rest).astype(x.dtype)]
    return [((x.astype(np.int64) >> half) >> rest).astype(x.dtype)]


def _slope(x: Array, slope: Array) -> Array:
    return np.where(x < 0, x * slope, x)


def leaky_relu(node: Node, inputs: Inputs) -> list[Array]:
    """x from 0 on, else `alpha * x`."""
    x = required(inputs, 0)
    with np.errstate(all="ignore"):
        return [np.asarray(_slope(x, x.dtype.type(number(node, "alpha"))))]


def thresholded_relu(node: Node, inputs: Inputs) -> list[Array]:
    """x above alpha, else 0; NaN stays."""
    x = required(inputs, 0)
    return [np.where(x <= x.dtype.type(number(node, "alpha")), x.dtype.type(0), x)]


def _relu(x: Array) -> Array:
    return np.where(x <= 0, x.dtype.type(0), x)


def _sign(x: Array) -> Array:
    signs = (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)
    return np.where(x != x, x, signs)


ARITHMETIC_OPS: dict[str, Op] = {
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Pow": _binary(_power),
    "Mod": mod,
    "Max": _binary(_larger),
    "Min": _binary(_smaller),
    "BitShift": bit_shift,
    "BitwiseAnd": _binary(np.bitwise_and),
    "BitwiseOr": _binary(np.bitwise_or),
    "BitwiseXor": _binary(np.bitwise_xor),
    "BitwiseNot": _unary(np.invert),
    "PRelu": _binary(_slope),
    "Relu": _unary(_relu),
    "LeakyRelu": leaky_relu,
    "ThresholdedRelu": thresholded_relu,
    "Abs": _unary(np.abs),
    "Neg": _unary(np.negative),
    "Sign": _unary(_sign),
    "Floor": _unary(np.floor),
    "Ceil": _unary(np.ceil),
    "Round": _unary(np.rint),
    "Sqrt": _unary(np.sqrt),
    "Reciprocal": _unary(lambda x: x.dtype.type(1) / x),
}
