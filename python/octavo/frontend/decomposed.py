"""Quantization that a model has in plain arithmetic, as exporters of fake quantization leave it.

    y = scale * (clip(round(x / scale) + zero_point, low, high) - zero_point)

The quotient may be a product by the reciprocal; numbers may be added, and the clip stand, before or behind
the rounding; casts may stand between them. Where the quotient is no division, or something is added before
the rounding, what lies within a rounding of the middle between two steps may be given the other one.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from octavo.frontend.steps import GREATEST_SCALE, LEAST_SCALE, Array, Steps, constant, initializer

_NEAR = 2.0**-22
"""How far a reciprocal may be from 1 / scale, as a share of it: one rounding of each."""

_LONGEST = 16
"""Nodes between the last product and the quotient, at most."""


@dataclass
class Chain:
    """What is done between the quotient and the last product: steps k of x are `low` to `high`."""

    x: ir.Value
    scale: Array
    low: float
    high: float


def chain_of(node: ir.Node) -> Chain | None:
    """The quantization that a Mul or Div ends, where it does: of float32, by constants."""
    for place in range(2 if node.op_type == "Mul" else 1):
        value, factor = node.inputs[place], constant(node.inputs[1 - place])
        if value is None or factor is None or factor.dtype != np.float32 or not np.all(factor > 0):
            continue
        scale = factor if node.op_type == "Mul" else np.float32(1) / factor
        found = _followed(value, scale)
        if found is not None:
            return found
    return None


def _followed(value: ir.Value | None, scale: Array) -> Chain | None:
    """Follow the chain from its end to the quotient.

    behind: what is added between a place in the chain and its end, so that k is the number there and that.
    """
    low, high, behind, is_rounded = -np.inf, np.inf, 0.0, False
    for _ in range(_LONGEST):
        node = None if value is None else value.producer()
        if node is None or node.domain != "":
            return None
        op, number = node.op_type, _number(node)
        if op in ("Div", "Mul") and is_rounded:
            x, is_whole = node.inputs[0], behind == 0 and np.isfinite(low) and np.isfinite(high)
            return (
                Chain(x, scale, low, high) if x is not None and is_whole and _divides(node, scale) else None
            )
        if op == "Round" and not is_rounded:
            is_rounded = True
        elif op == "Cast" and _is_exact(node):
            pass
        elif op in ("Add", "Sub") and number is not None and number == np.rint(number):
            behind += number if op == "Add" else -number
        elif op in ("Clip", "Max", "Min"):
            bounds = _bounds(node)
            if bounds is None:
                return None
            low, high = max(low, bounds[0] + behind), min(high, bounds[1] + behind)
        else:
            return None
        value = node.inputs[0]
    return None


def _divides(node: ir.Node, scale: Array) -> bool:
    """Whether a node gives its first input in steps of that scale."""
    by = constant(node.inputs[1])
    if (
        by is None
        or by.dtype != np.float32
        or by.size != scale.size
        or np.any(scale < LEAST_SCALE)
        or np.any(scale > GREATEST_SCALE)
    ):
        return False
    if node.op_type == "Div":
        return by.shape == scale.shape and bool(np.all(by == scale))
    return bool(np.all(np.abs(by.astype(np.float64) * scale.reshape(by.shape) - 1) <= _NEAR))


def _is_exact(node: ir.Node) -> bool:
    """Whether a Cast keeps whole numbers of up to 8 bits: they have been clipped where it is to integers."""
    to = ir.DataType(node.attributes.get_int("to", 0))
    if to in (ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64, ir.DataType.INT16):
        return True
    inner = node.inputs[0].producer() if node.inputs[0] is not None else None
    return (
        to in (ir.DataType.INT8, ir.DataType.UINT8)
        and inner is not None
        and inner.op_type in ("Clip", "Min", "Max")
    )


def _number(node: ir.Node) -> float | None:
    """The one number that a node of two inputs adds to, or takes from, its first."""
    array = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    """The bounds of a Clip, or of a Max or Min by one number; whole numbers."""
    if node.op_type == "Clip":
        given = [*node.inputs[1:], None, None][:2]
        arrays = [None if value is None else constant(value) for value in given]
        if any(value is not None and array is None for value, array in zip(given, arrays, strict=True)):
            return None
        low, high = (
            default if array is None else float(array.reshape(-1)[0])
            for array, default in zip(arrays, (-np.inf, np.inf), strict=True)
        )
    else:
        number = _number(node)
        if number is None or len(node.inputs) != 2:
            return None
        low, high = (number, np.inf) if node.op_type == "Max" else (-np.inf, number)
    return (low, high) if low == np.rint(low) and high == np.rint(high) else None


def steps_of_chain(chain: Chain) -> Steps | None:
    """The same as steps in uint8, where they hold 0 and there is one scale for all."""
    if chain.scale.size != 1 or not -255 <= chain.low <= 0 <= chain.high or chain.high - chain.low > 255:
        return None
    scale = np.float32(chain.scale.reshape(-1)[0])
    return Steps(scale, int(-chain.low), 0, int(chain.high - chain.low))


def hold_chain(node: ir.Node, chain: Chain, reals: Array) -> ir.Node | None:
    """A DequantizeLinear of the integers of a float constant, in place of the node that ended its chain."""
    graph, axes = node.graph, [axis for axis, size in enumerate(chain.scale.shape) if size > 1]
    if chain.low < -128 or chain.high > 127 or len(axes) > 1 or chain.scale.ndim > reals.ndim:
        return None
    assert graph is not None
    name = node.outputs[0].name
    steps = np.clip(np.rint(np.nan_to_num(reals / chain.scale)), chain.low, chain.high)
    integers = initializer(graph, f"{name}.integers", steps.astype(np.int8))
    scale = chain.scale.reshape(-1) if axes else chain.scale.reshape(-1)[0]
    made = ir.node(
        "DequantizeLinear",
        [integers, initializer(graph, f"{name}.scale", np.asarray(scale, np.float32))],
        {"axis": axes[0] + reals.ndim - chain.scale.ndim} if axes else {},
        name=node.name,
    )
    made.outputs[0].name = f"{name}.reals"
    made.outputs[0].type, made.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(reals.shape)
    graph.insert_before(node, made)
    return made
