"""Tables of floats that rows are picked from, such as embeddings, stored in integers: a scale a row."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering.weights import rounded_weights, weight_scales
from octavo.program import Node, Program, Value
from octavo.program.attributes import integer
from octavo.program.bodies import mentioned
from octavo.program.checks import ONNX_DTYPES
from octavo.program.integers import Integers
from octavo.rewrites.names import fresh

LEAST_ROW, LEAST_TABLE = 8, 4096
"""Elements of a row, and of a table, below which nothing much is saved."""


def stored_tables(program: Program, of: Integers, exclude: frozenset[str] = frozenset()) -> Program:
    """The Program whose tables are integers; rows become floats once they are picked.

    A table is a constant in float32 that Gather nodes alone read, along its first axis, none of them in a
    sub-program. of: symmetric, of 8
    bits. exclude: names of nodes; a table that one of them reads stays as it is, as does one that holds NaN
    or an infinite value.
    """
    tables = {name for name, array in program.constants.items() if _is_table(array)} - {*program.outputs}
    for body in (body for node in program.nodes for body in node.bodies.values()):
        tables -= mentioned(body.nodes) | {*body.outputs}
    for node in program.nodes:
        rank = program.constants[node.inputs[0]].ndim if node.inputs and node.inputs[0] in tables else 0
        picks = node.op == "Gather" and node.name not in exclude and integer(node, "axis") in (0, -rank)
        tables -= set(node.inputs[1:] if picks else node.inputs)
    values, constants, nodes = dict(program.values), dict(program.constants), []
    stored = {name: _store(program, name, of, values, constants) for name in sorted(tables)}
    for node in program.nodes:
        if node.inputs and node.inputs[0] in stored:
            nodes.extend(_picked(program, node, stored[node.inputs[0]], values))
        else:
            nodes.append(node)
    return replace(program, values=values, constants=constants, nodes=nodes)


def _is_table(array: npt.NDArray[Any]) -> bool:
    return (
        array.dtype == np.float32
        and array.ndim > 1
        and array.size >= max(LEAST_TABLE, LEAST_ROW * len(array))
        and bool(np.isfinite(array).all())
    )


def _store(
    program: Program,
    name: str,
    of: Integers,
    values: dict[str, Value],
    constants: dict[str, npt.NDArray[Any]],
) -> tuple[str, str]:
    """Put integers and the scales of their rows in a table's place; return the names of both constants."""
    table = program.constants[name]
    rows = table.reshape(len(table), -1).T
    scale = weight_scales(np.abs(rows).max(axis=0), of)
    integers, scales = (fresh(f"{name}_{what}", values) for what in ("stored", "scales"))
    constants[integers] = np.ascontiguousarray(rounded_weights(rows, scale, of).T).reshape(table.shape)
    # With the axes of the table, so that a scale that was picked meets its row.
    constants[scales] = scale.reshape(-1, *[1] * (table.ndim - 1))
    values[integers] = Value(integers, of.dtype, table.shape)
    values[scales] = Value(scales, "f32", constants[scales].shape)
    del values[name], constants[name]
    return integers, scales


def _picked(program: Program, node: Node, table: tuple[str, str], values: dict[str, Value]) -> list[Node]:
    """The nodes that pick rows and their scales, and multiply them."""
    output, rank = program.values[node.outputs[0]], program.constants[node.inputs[0]].ndim
    shape = output.shape
    ones = None if shape is None else (*shape[: len(shape) - rank + 1], *[1] * (rank - 1))
    rows, scales, reals = (fresh(f"{output.name}_{what}", values) for what in ("rows", "scales", "reals"))
    values[rows] = Value(rows, values[table[0]].dtype, shape)
    values[scales], values[reals] = Value(scales, "f32", ones), Value(reals, "f32", shape)
    return [
        Node("Gather", rows, (table[0], node.inputs[1]), (rows,), {"axis": 0}),
        Node("Gather", scales, (table[1], node.inputs[1]), (scales,), {"axis": 0}),
        Node("Cast", reals, (rows,), (reals,), {"to": ONNX_DTYPES["f32"]}),
        Node("Mul", node.name, (reals, scales), node.outputs, {}),
    ]
