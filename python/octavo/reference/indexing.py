"""Ops that pick or place elements by indices, masks and patterns, on any dtype."""

import math

import numpy as np

from octavo.errors import RunError
from octavo.program import DTYPES, Node
from octavo.program.attributes import integer, integers
from octavo.program.checks import ONNX_DTYPES
from octavo.reference.floats import Op
from octavo.reference.movement import sized
from octavo.reference.operands import Array, Inputs, axis_of, optional, required
from octavo.reference.ordering import single


def whole(array: Array) -> Array:
    """Indices of any dtype as integers without fraction: floats as float64, which holds no other index."""
    if array.dtype.kind != "f":
        return array.astype(np.int64)
    wide = np.trunc(array.astype(np.float64))
    return np.where(np.isnan(wide), 0.0, wide)


def one_hot(node: Node, inputs: Inputs) -> list[Array]:
    """values[1] where an index points to along a new axis, values[0] elsewhere.

    A negative index counts from the end; one beyond the depth points nowhere.
    """
    indices, depth, values = whole(required(inputs, 0)), whole(required(inputs, 1)), required(inputs, 2)
    n = single(depth)
    if n < 0 or values.size != 2:
        raise RunError(f"its depth is {n} and its values are of shape {list(values.shape)}")
    axis = axis_of(integer(node, "axis"), indices.ndim + 1)
    sized([*indices.shape[:axis], n, *indices.shape[axis:]])
    places = np.expand_dims(np.where(indices < 0, indices + n, indices), axis)
    targets = np.arange(n).reshape([n if at == axis else 1 for at in range(indices.ndim + 1)])
    off, on = values.reshape(-1)
    return [np.where(places == targets, on, off)]


def trilu(node: Node, inputs: Inputs) -> list[Array]:
    """x's upper or lower triangle over its last two axes, from the diagonal k on; 0 elsewhere."""
    x, k = required(inputs, 0), optional(inputs, 1)
    if x.ndim < 2:
        raise RunError(f"its input of shape {list(x.shape)} has no triangle")
    rows, columns = x.shape[-2:]
    diagonal = 0 if k is None else max(-rows - 1, min(single(k), columns + 1))
    return [np.triu(x, diagonal) if integer(node, "upper") else np.tril(x, diagonal)]


def eye_like(node: Node, inputs: Inputs) -> list[Array]:
    """A matrix of x's shape: 1 on the diagonal k, 0 elsewhere."""
    x, k = required(inputs, 0), integer(node, "k")
    if x.ndim != 2:
        raise RunError(f"its input of shape {list(x.shape)} is no matrix")
    number = node.attributes.get("dtype")
    dtype = next((DTYPES[name] for name, onnx in ONNX_DTYPES.items() if onnx == number), x.dtype)
    rows, columns = x.shape
    return [np.eye(rows, columns, max(-rows, min(k, columns)), dtype=dtype)]


def size(node: Node, inputs: Inputs) -> list[Array]:
    """The number of x's elements."""
    return [np.array(required(inputs, 0).size, np.int64)]


def nonzero(node: Node, inputs: Inputs) -> list[Array]:
    """[rank, count]: the coordinates of the elements that are not 0, in row-major order."""
    x = required(inputs, 0)
    if x.ndim == 0:
        return [np.zeros((0, int(x != 0)), np.int64)]
    return [np.array(np.nonzero(x), np.int64).reshape(x.ndim, -1)]


def compress(node: Node, inputs: Inputs) -> list[Array]:
    """The slices of x along the axis, or its elements in order, where the condition is true."""
    x, condition = required(inputs, 0), required(inputs, 1)
    axis = axis_of(integer(node, "axis"), x.ndim) if "axis" in node.attributes else None
    length = x.size if axis is None else x.shape[axis]
    if condition.ndim != 1 or condition.size > length:
        raise RunError(f"a condition of shape {list(condition.shape)} for {length} elements")
    return [np.compress(condition, x, axis=axis)]


def col2im(node: Node, inputs: Inputs) -> list[Array]:
    """Columns [N, C * block, blocks] added up, block element by block element, to images [N, C, *image].

    float16 is added in float32 and rounded once.
    """
    x, image, block = required(inputs, 0), *(required(inputs, place).tolist() for place in (1, 2))
    rank = len(image)
    strides, dilations = (_listed(node, name, [1] * rank) for name in ("strides", "dilations"))
    pads = _listed(node, "pads", [0] * (2 * rank))
    fits = rank and len(block) == len(strides) == len(dilations) == rank and len(pads) == 2 * rank
    if not fits or x.ndim != 3 or min(block) < 1 or min(image) < 0 or x.shape[1] % math.prod(block):
        raise RunError(f"columns of shape {list(x.shape)} are not those of blocks {block} in {image}")
    padded = [n + before + after for n, before, after in zip(image, pads[:rank], pads[rank:], strict=True)]
    reach = [(k - 1) * d + 1 for k, d in zip(block, dilations, strict=True)]
    blocks = [max(0, (n - m) // s + 1) for n, m, s in zip(padded, reach, strides, strict=True)]
    if math.prod(blocks) != x.shape[2]:
        raise RunError(f"columns of shape {list(x.shape)} are not those of blocks {block} in {image}")
    channels = x.shape[1] // math.prod(block)
    sized([len(x), channels, *image])
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    columns = wide.reshape(len(x), channels, *block, *blocks)
    sums: Array = np.zeros([len(x), channels, *padded], wide.dtype)
    whole_axes = [slice(None)] * 2
    for element in np.ndindex(*block) if x.size else []:
        window = [
            slice(at * d, at * d + (n - 1) * s + 1, s)
            for at, d, n, s in zip(element, dilations, blocks, strides, strict=True)
        ]
        sums[tuple(whole_axes + window)] += columns[tuple(whole_axes + list(element))]
    inner = [slice(before, before + n) for before, n in zip(pads, image, strict=False)]
    return [sums[tuple(whole_axes + inner)].astype(x.dtype)]


def _listed(node: Node, name: str, default: list[int]) -> list[int]:
    return integers(node, name) if name in node.attributes else default


INDEXING_OPS: dict[str, Op] = {
    "Col2Im": col2im,
    "Compress": compress,
    "EyeLike": eye_like,
    "NonZero": nonzero,
    "OneHot": one_hot,
    "Size": size,
    "Trilu": trilu,
}
