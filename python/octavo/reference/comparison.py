"""Comparisons, logic, and what a condition picks: answers of bool, or elements as they are."""

from collections.abc import Callable
from typing import Any

import numpy as np

from octavo.program import Node
from octavo.program.attributes import integer
from octavo.reference.floats import Op
from octavo.reference.operands import Array, Inputs, required


def _of(function: Callable[..., Any]) -> Op:
    """The op of a function of all of its inputs, with broadcasting."""

    def run(node: Node, inputs: Inputs) -> list[Array]:
        return [np.asarray(function(*(required(inputs, i) for i in range(len(inputs)))))]

    return run


def is_inf(node: Node, inputs: Inputs) -> list[Array]:
    """Whether each element is an infinity of a sign that is looked for."""
    x = required(inputs, 0)
    below = (x == -np.inf) & bool(integer(node, "detect_negative"))
    return [np.asarray(below | (x == np.inf) & bool(integer(node, "detect_positive")))]


COMPARISON_OPS: dict[str, Op] = {
    "Equal": _of(np.equal),
    "Less": _of(np.less),
    "LessOrEqual": _of(np.less_equal),
    "Greater": _of(np.greater),
    "GreaterOrEqual": _of(np.greater_equal),
    "And": _of(np.logical_and),
    "Or": _of(np.logical_or),
    "Xor": _of(np.logical_xor),
    "Not": _of(np.logical_not),
    "IsNaN": _of(np.isnan),
    "IsInf": is_inf,
    "Where": _of(np.where),
}
