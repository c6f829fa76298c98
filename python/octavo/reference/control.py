"""Nodes that run sub-programs: which nodes of a Program are computed, and how often."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from octavo.errors import RunError
from octavo.program import DTYPES, Node, Program
from octavo.program.bodies import COUNTED, MAX_TRIPS, captured, own_inputs
from octavo.reference.operands import Array


class Execution(Protocol):
    """What runs the nodes of a body. trips: how many the Loops of the run may still make."""

    trips: int

    def run(self, nodes: Sequence[Node], given: Mapping[str, Array], wanted: Sequence[str]) -> list[Array]:
        """Run nodes that read what is given, and constants; give the values that are wanted."""


def _if(program: Program, node: Node, inputs: list[Array | None], execution: Execution) -> list[Array]:
    condition = _one(node, "condition", inputs[0])
    body = node.bodies["then_branch" if condition else "else_branch"]
    return execution.run(body.nodes, _outer(node, inputs), body.outputs)


def _loop(program: Program, node: Node, inputs: list[Array | None], execution: Execution) -> list[Array]:
    body, outer = node.bodies["body"], _outer(node, inputs)
    trips = None if inputs[0] is None else _one(node, "trips", inputs[0])
    goes_on = inputs[1] is None or bool(_one(node, "condition", inputs[1]))
    states = [array for array in inputs[COUNTED : own_inputs(node)] if array is not None]
    rows: list[list[Array]] = [[] for _ in body.outputs[1 + len(states) :]]
    trip = 0
    while goes_on and (trips is None or trip < trips):
        if execution.trips == 0:
            raise RunError(
                f"the Loop node {node.name!r} goes on beyond {MAX_TRIPS} trips of one run", node.name
            )
        execution.trips -= 1
        counted = [_single(program, body.inputs[0], trip), _single(program, body.inputs[1], True)]
        given = dict(zip(body.inputs, [*counted, *states], strict=True))
        for name in body.inputs[COUNTED:]:
            _check_shape(program, node, name, given[name])
        condition, *made = execution.run(body.nodes, outer | given, body.outputs)
        goes_on = bool(_one(node, "condition", condition))
        states = made[: len(states)]
        for row, array in zip(rows, made[len(states) :], strict=True):
            if row and row[0].shape != array.shape:
                what = f"{list(array.shape)}, and {list(row[0].shape)} before"
                raise RunError(f"the Loop node {node.name!r} stacks arrays of the shape {what}", node.name)
            row.append(array)
        trip += 1
    names = body.outputs[1 + len(states) :]
    return [*states, *(_stacked(program, name, row) for name, row in zip(names, rows, strict=True))]


def _outer(node: Node, inputs: list[Array | None]) -> dict[str, Array]:
    """What the bodies of a node read from outside, by name."""
    arrays = inputs[own_inputs(node) :]
    return {name: array for name, array in zip(captured(node), arrays, strict=True) if array is not None}


def _one(node: Node, what: str, array: Array | None) -> int:
    """The one element of a condition or a number of trips."""
    if array is None or array.size != 1:
        found = "nothing" if array is None else f"of the shape {list(array.shape)}"
        raise RunError(f"the {node.op} node {node.name!r}: its {what} is {found}, not one element", node.name)
    return int(array.reshape(-1)[0])


def _single(program: Program, name: str, number: int) -> Array:
    """The count of the trip, or the condition, as a body takes it: with an axis where it says so."""
    value = program.values[name]
    return np.full(
        (1,) if value.shape is not None and len(value.shape) == 1 else (), number, DTYPES[value.dtype]
    )


def _check_shape(program: Program, node: Node, name: str, array: Array) -> None:
    shape = program.values[name].shape
    if shape is None:
        return
    sizes = zip(shape, array.shape, strict=False)
    if len(shape) != array.ndim or any(isinstance(want, int) and want != n for want, n in sizes):
        found = f"{list(array.shape)}, not {list(shape)}"
        raise RunError(f"the {node.op} node {node.name!r} carries {name!r} of the shape {found}", node.name)


def _stacked(program: Program, name: str, row: list[Array]) -> Array:
    """The arrays of all trips; of none, no elements, and free axes of no length."""
    if row:
        return np.stack(row)
    value = program.values[name]
    sizes = (size if isinstance(size, int) else 0 for size in value.shape or ())
    return np.zeros((0, *sizes), DTYPES[value.dtype])


CONTROL_OPS: dict[str, Callable[[Program, Node, list[Array | None], Execution], list[Array]]] = {
    "If": _if,
    "Loop": _loop,
}
"""By the op of a node that runs sub-programs, what it gives."""
