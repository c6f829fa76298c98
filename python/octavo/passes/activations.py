"""Activations that exporters write out of simpler operators, given back their names."""

import math
from dataclasses import dataclass

import onnx_ir as ir

from octavo.passes.edit import (
    FLOATS,
    become,
    constant,
    dims,
    input_of,
    is_read_once,
    keeps_rank,
    nodes,
    producer,
    scalar,
    scalar_beside,
)

_MAX_FACTORS = 4


def name_activations(model: ir.Model) -> bool:
    """Recognises HardSigmoid, HardSwish, Swish, Mish and Gelu in the spellings that exporters use."""
    changed = False
    for node in reversed(nodes(model, "Mul", "Div", "Clip", "Log")):
        if node.outputs[0].dtype not in FLOATS:
            continue
        found = _hard_sigmoid(node) or _softplus(node) or _gated(node)
        if found is not None:
            op, x, attributes = found
            become(node, op, [x], **attributes)
            changed = True
    return changed


Found = tuple[str, ir.Value, dict[str, float | str]]


@dataclass
class _Product:
    """`coefficient` times the factors: a tree of Mul, and Div by numbers, read as one product.

    The numbers have no more axes than one of the factors.
    """

    coefficient: float
    factors: list[ir.Value]


def _is(number: float | None, expected: float, value: ir.Value) -> bool:
    """Whether a constant is this number as `value`'s dtype, or an exporter, rounds it."""
    tolerance = 2e-3 if value.dtype == ir.DataType.FLOAT16 else 1e-5
    return number is not None and math.isclose(number, expected, rel_tol=tolerance)


def _product(node: ir.Node) -> _Product | None:
    product = _Product(1.0, [])
    axes = 0  # the most that a number has
    pending: list[ir.Value | None] = [node.outputs[0]]
    while pending:
        value = pending.pop()
        maker = producer(value, "Mul", "Div")
        if value is None or len(product.factors) + len(pending) > _MAX_FACTORS:
            return None
        number = scalar(value)
        if number is not None:
            product.coefficient *= number
            axes = max(axes, _rank(value))
        elif maker is not None and (maker is node or is_read_once(value)):
            if maker.op_type == "Mul":
                pending += maker.inputs
                continue
            divisor = scalar(maker.inputs[1])
            if divisor is None or divisor == 0:
                product.factors.append(value)
                if maker is node:
                    return None
                continue
            product.coefficient /= divisor
            axes = max(axes, _rank(maker.inputs[1]))
            pending.append(maker.inputs[0])
        else:
            product.factors.append(value)
    return product if any(keeps_rank(factor, axes) for factor in product.factors) else None


def _rank(number: ir.Value | None) -> int:
    return len(dims(number) or ())


def _sum_with(value: ir.Value | None) -> tuple[ir.Value, float] | None:
    """(x, c) where `value` is x + c."""
    add = producer(value, "Add", "Sub")
    if add is None:
        return None
    number = scalar_beside(add.inputs[1], add.inputs[0])
    if number is not None and add.inputs[0] is not None and constant(add.inputs[0]) is None:
        return add.inputs[0], number if add.op_type == "Add" else -number
    number = scalar_beside(add.inputs[0], add.inputs[1])
    if number is not None and add.op_type == "Add" and add.inputs[1] is not None:
        return add.inputs[1], number
    return None


def _scaled_from(value: ir.Value, x: ir.Value) -> float | None:
    """c where `value` is c * x, 1 where it is x itself."""
    if value is x:
        return 1.0
    maker = producer(value, "Mul", "Div")
    product = None if maker is None else _product(maker)
    if product is None or len(product.factors) != 1 or product.factors[0] is not x:
        return None
    return product.coefficient


def _clip(value: ir.Value | None, low: float, high: float) -> ir.Value | None:
    clip = producer(value, "Clip")
    if clip is None or scalar(input_of(clip, 1)) != low or scalar(input_of(clip, 2)) != high:
        return None
    return clip.inputs[0]


def _hard_sigmoid(node: ir.Node) -> Found | None:
    """Clip(x + 3, 0, 6) / 6 and Clip(alpha * x + beta, 0, 1)."""
    if node.op_type == "Clip":
        moved = _sum_with(_clip(node.outputs[0], 0, 1))
        slope = None if moved is None else producer(moved[0], "Mul", "Div")
        product = None if slope is None else _product(slope)
        if moved is None or product is None or len(product.factors) != 1 or product.coefficient == 0:
            return None
        return "HardSigmoid", product.factors[0], {"alpha": product.coefficient, "beta": moved[1]}
    product = _product(node) if node.op_type in ("Mul", "Div") else None
    if product is None or len(product.factors) != 1 or not _is(product.coefficient, 1 / 6, node.outputs[0]):
        return None
    shifted = _sum_with(_clip(product.factors[0], 0, 6))
    if shifted is None or not _is(shifted[1], 3, node.outputs[0]):
        return None
    return "HardSigmoid", shifted[0], {"alpha": 1 / 6, "beta": 0.5}


def _softplus(node: ir.Node) -> Found | None:
    """log(exp(x) + 1)."""
    plus_one = _sum_with(node.inputs[0]) if node.op_type == "Log" else None
    exp = producer(plus_one[0], "Exp") if plus_one is not None and plus_one[1] == 1 else None
    return None if exp is None or exp.inputs[0] is None else ("Softplus", exp.inputs[0], {})


def _gated(node: ir.Node) -> Found | None:
    """x times a gate that is a function of x, times a number."""
    product = _product(node) if node.op_type in ("Mul", "Div") else None
    if product is None or len(product.factors) != 2:
        return None
    for x, gate in (product.factors, product.factors[::-1]):
        found = _gate(x, gate, product.coefficient)
        if found is not None:
            return found
    return None


def _gate(x: ir.Value, gate: ir.Value, coefficient: float) -> Found | None:
    shifted = _sum_with(_clip(gate, 0, 6))
    if shifted is not None and shifted[0] is x and _is(shifted[1], 3, x) and _is(coefficient, 1 / 6, x):
        return "HardSwish", x, {}
    whole = _is(coefficient, 1, x)
    maker = producer(gate, "HardSigmoid", "Sigmoid", "Tanh", "Add")
    if maker is None or maker.inputs[0] is None:
        return None
    if maker.op_type == "HardSigmoid" and whole and maker.inputs[0] is x:
        alpha, beta = maker.attributes.get_float("alpha", 0.2), maker.attributes.get_float("beta", 0.5)
        return ("HardSwish", x, {}) if _is(alpha, 1 / 6, x) and _is(beta, 0.5, x) else None
    if maker.op_type == "Sigmoid" and whole:
        slope = _scaled_from(maker.inputs[0], x)
        return None if slope is None else ("Swish", x, {"alpha": slope})
    if maker.op_type == "Tanh" and whole:
        softplus = producer(maker.inputs[0], "Softplus")
        return ("Mish", x, {}) if softplus is not None and softplus.inputs[0] is x else None
    return _gelu(x, gate) if _is(coefficient, 0.5, x) else None


def _gelu(x: ir.Value, gate: ir.Value) -> Found | None:
    """1 + erf(x / sqrt 2), or 1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))."""
    plus_one = _sum_with(gate)
    if plus_one is None or plus_one[1] != 1:
        return None
    curve = producer(plus_one[0], "Erf", "Tanh")
    if curve is None or curve.inputs[0] is None:
        return None
    if curve.op_type == "Erf":
        return ("Gelu", x, {}) if _is(_scaled_from(curve.inputs[0], x), math.sqrt(0.5), x) else None
    maker = producer(curve.inputs[0], "Mul", "Div")
    product = None if maker is None else _product(maker)
    if (
        product is None
        or len(product.factors) != 1
        or not _is(product.coefficient, math.sqrt(2 / math.pi), x)
    ):
        return None
    cubic = producer(product.factors[0], "Add")
    if cubic is None or x not in cubic.inputs:
        return None
    other = cubic.inputs[1 if cubic.inputs[0] is x else 0]
    return ("Gelu", x, {"approximate": "tanh"}) if other is not None and _is_cube(other, x) else None


def _is_cube(value: ir.Value, x: ir.Value) -> bool:
    """Whether `value` is 0.044715 x^3."""
    maker = producer(value, "Mul")
    product = None if maker is None else _product(maker)
    if product is None or not _is(product.coefficient, 0.044715, x):
        return False
    degree = 0.0
    for factor in product.factors:
        power = producer(factor, "Pow")
        if factor is x:
            degree += 1
        elif power is not None and power.inputs[0] is x:
            degree += scalar_beside(power.inputs[1], x) or 0
        else:
            return False
    return degree == 3
