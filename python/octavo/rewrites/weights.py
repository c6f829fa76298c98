"""Float weights of products, stored in integers: the products stay float, and read them dequantized."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.program import PACKED, Attribute, Node, Program, Value
from octavo.program.bodies import mentioned
from octavo.program.checks import ONNX_DTYPES
from octavo.program.integers import pack
from octavo.rewrites.names import fresh
from octavo.rewrites.rows import Float32, Float64, Rows, Storage, nearest_rows
from octavo.rewrites.shared import SharedRows, shared_rows

Weight = tuple[str, int]
"""A constant, and the axis of its output channels: two products may read one constant along two axes."""

Stored = Rows | SharedRows


def stored_weights(
    program: Program,
    storage: Storage,
    exclude: frozenset[str] = frozenset(),
    made: Mapping[Weight, Stored] | None = None,
) -> Program:
    """The Program whose convolutions and products by constants have their weights in integers.

    exclude: names of nodes whose weights stay as they are, as do weights that hold NaN or an infinite value,
    and those of sub-programs.
    made: rows that were rounded otherwise than to nearest.
    """
    values, constants = dict(program.values), dict(program.constants)
    nodes: list[Node] = []
    stored: dict[Weight, str] = {}
    for node in program.nodes:
        axis = None if node.name in exclude else channel_axis(program, node)
        if axis is not None:
            name = node.inputs[1]
            if (name, axis) not in stored:
                weight = program.constants[name]
                given = (made or {}).get((name, axis))
                rows = given or rounded(rows_of(weight, axis), storage_of(weight, axis, storage))
                added = values, constants, nodes
                if isinstance(rows, SharedRows):
                    stored[name, axis] = _share(program, name, axis, rows, *added)
                else:
                    stored[name, axis] = _store(program, name, axis, rows, *added)
            node = replace(node, inputs=(node.inputs[0], stored[name, axis], *node.inputs[2:]))
        nodes.append(node)
    left = {name for name, _ in stored} - mentioned(nodes) - set(program.outputs)
    return replace(
        program,
        values={name: value for name, value in values.items() if name not in left},
        constants={name: array for name, array in constants.items() if name not in left},
        nodes=nodes,
    )


def rounded(reals: Float32, storage: Storage, importance: Float64 | None = None) -> Stored:
    """Each weight of rows [O, K] as the nearest that can be stored; short rows never share a codebook."""
    form = storage.of(reals.shape[1])
    return (shared_rows if form.shared else nearest_rows)(reals, form, importance)


def channel_axis(program: Program, node: Node) -> int | None:
    """The axis of the output channels of a node's weights; None where there are none to store."""
    weight = program.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if weight is None or weight.dtype != np.float32 or weight.ndim < 2 or not np.all(np.isfinite(weight)):
        return None
    if node.op == "Conv" or (node.op == "Gemm" and node.attributes["transB"]):
        return 0
    if node.op == "ConvTranspose" and node.attributes["group"] == 1:
        return 1
    return weight.ndim - 1 if node.op in ("Gemm", "MatMul") else None


def storage_of(weight: npt.NDArray[Any], axis: int, storage: Storage) -> Storage:
    """How a weight is stored: rows between whose weights others' lie have one scale each."""
    return storage if axis in (0, weight.ndim - 1) else replace(storage, group_size=None)


def rows_of(weight: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """The weights of each output channel, [O, K], in the order of the other axes."""
    moved = np.moveaxis(weight, axis, 0)
    return np.ascontiguousarray(moved).reshape(len(moved), prod(moved.shape[1:]))


def weight_of(rows: npt.NDArray[Any], shape: tuple[int, ...], axis: int) -> npt.NDArray[Any]:
    """The weight of this shape whose `rows_of` these are."""
    moved = rows.reshape(shape[axis], *shape[:axis], *shape[axis + 1 :])
    return np.ascontiguousarray(np.moveaxis(moved, 0, axis))


def _store(
    program: Program,
    name: str,
    axis: int,
    rows: Rows,
    values: dict[str, Value],
    constants: dict[str, npt.NDArray[Any]],
    nodes: list[Node],
) -> str:
    """Add the integers of a constant, their scales, and the nodes that dequantize them; return the output.

    Groups lie along one axis of a matrix, which is reshaped behind: a row's weights may have several axes.
    """
    shape = program.constants[name].shape
    attributes: dict[str, Attribute] = {"axis": axis}
    lying = shape
    scales, zeros = rows.scales, rows.zeros
    if rows.scales.shape[1] > 1:
        is_first = axis == 0
        lying = rows.integers.shape if is_first else rows.integers.shape[::-1]
        attributes = {"axis": int(is_first), "block": rows.group_size}
        scales, zeros = (of if is_first else of.T for of in (scales, zeros))
    else:
        scales, zeros = scales[:, 0], zeros[:, 0]

    integers = weight_of(rows.integers, shape, axis).reshape(lying)
    add = partial(_add, name, values, constants)
    inputs = [
        add("stored", integers, rows.of.dtype),
        add("scales", scales, "f32"),
    ]
    if not rows.of.symmetric:
        inputs.append(add("zero_points", zeros, rows.of.dtype))
    made = fresh(f"{name}_dequantized", values)
    values[made] = Value(made, "f32", shape)
    if lying == shape:
        nodes.append(Node("Dequantize", made, tuple(inputs), (made,), attributes))
        return made
    flat = fresh(f"{name}_rows", values)
    values[flat] = Value(flat, "f32", lying)
    to = add("shape", np.array(shape, np.int64), "i64")
    nodes.append(Node("Dequantize", flat, tuple(inputs), (flat,), attributes))
    nodes.append(Node("Reshape", made, (flat, to), (made,), {"allowzero": 0}))
    return made


def _share(
    program: Program,
    name: str,
    axis: int,
    rows: SharedRows,
    values: dict[str, Value],
    constants: dict[str, npt.NDArray[Any]],
    nodes: list[Node],
) -> str:
    """Add the places of a constant in its codebook, and the nodes that look them up; return the output.

    Places are read as Dequantize reads packed integers, at a scale of 1, and become the indices of a Gather.
    """
    shape = program.constants[name].shape
    add = partial(_add, name, values, constants)
    along = [1] * len(shape)
    along[axis] = shape[axis]
    stored = add("stored", weight_of(rows.places, shape, axis), f"u{rows.bits}")
    one, codebook = add("one", np.ones(1, np.float32), "f32"), add("codebook", rows.codebook, "f32")
    scales = add("scales", rows.scales.reshape(along), "f32")

    def emit(op: str, what: str, dtype: str, inputs: tuple[str, ...], **attributes: Attribute) -> str:
        made = fresh(f"{name}_{what}", values)
        values[made] = Value(made, dtype, shape)
        nodes.append(Node(op, made, inputs, (made,), attributes))
        return made

    places = emit("Dequantize", "places", "f32", (stored, one))
    indices = emit("Cast", "indices", "i32", (places,), to=ONNX_DTYPES["i32"])
    levels = emit("Gather", "levels", "f32", (codebook, indices), axis=0)
    return emit("Mul", "dequantized", "f32", (levels, scales))


def _add(
    name: str,
    values: dict[str, Value],
    constants: dict[str, npt.NDArray[Any]],
    what: str,
    array: npt.NDArray[Any],
    dtype: str,
) -> str:
    made = fresh(f"{name}_{what}", values)
    values[made] = Value(made, dtype, array.shape)
    constants[made] = pack(array, dtype) if dtype in PACKED else np.ascontiguousarray(array)
    return made
