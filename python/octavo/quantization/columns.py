"""The columns that a product's weights meet: a sample of them, and how they vary together."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo import _core
from octavo.calibration import HANDFUL, each
from octavo.lowering.padding import resolve_auto_pad
from octavo.program import Attribute, Node, Program, Value
from octavo.program.attributes import integer, integers
from octavo.program.integers import UINT8, Integers
from octavo.program.transposed import transposed_axes
from octavo.quantization.matrices import Multiply
from octavo.session import Session

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

FEWEST, ENOUGH, MOST = 4_000, 10, 32_768
"""How many columns are looked at: `ENOUGH` for each weight of a row, `FEWEST` at least. 2^15 columns of uint8
are the most of which the sums of products fit in 32 bits."""

_BLOCK = 1 << 22
"""Bytes of columns whose moments are computed at a time, where they are of several groups."""

FEW = 64
"""Columns of reals whose mean is taken off all, so that squares lose little."""

IN_FLOAT32 = 1024
"""Columns of reals whose products are summed in float32."""

_TURN = 0.6180339887498949
"""The golden ratio's fraction: multiples of it, modulo 1, are spread evenly however many there are."""


@dataclass(frozen=True)
class Columns:
    """integers: uint8 [groups, columns, K]; zero_point: what stands for 0 in them, or in some of them.

    How they vary is the same whatever is taken from them.
    """

    integers: npt.NDArray[np.uint8]
    zero_point: int

    def __len__(self) -> int:
        return len(self.integers[0])

    @property
    def are_enough(self) -> bool:
        """Whether there are so many that weights cannot be made for them alone."""
        return bool(len(self) >= min(ENOUGH * self.integers.shape[2], MOST // 2))

    def reals(self, part: slice) -> Float32:
        """Some of the columns as `q - zero_point`, float32 [groups, columns, K]."""
        return self.integers[:, part].astype(np.float32) - np.float32(self.zero_point)

    def halves(self) -> "tuple[Columns, Columns]":
        """Those of the first samples, and the rest: columns of one sample have much in common."""
        middle = len(self) // 2
        one, other = (np.ascontiguousarray(half) for half in np.split(self.integers, [middle], axis=1))
        return Columns(one, self.zero_point), Columns(other, self.zero_point)


@dataclass(frozen=True)
class RealColumns:
    """elements: float32 [groups, columns, K]."""

    elements: Float32

    def __len__(self) -> int:
        return len(self.elements[0])

    @property
    def are_enough(self) -> bool:
        """Whether there are so many that weights cannot be made for them alone."""
        return bool(len(self) >= min(ENOUGH * self.elements.shape[2], MOST // 2))

    def reals(self, part: slice) -> Float32:
        """Some of the columns."""
        return self.elements[:, part]

    def halves(self) -> "tuple[RealColumns, RealColumns]":
        """Those of the first samples, and the rest."""
        one, other = np.split(self.elements, [len(self) // 2], axis=1)
        return RealColumns(np.ascontiguousarray(one)), RealColumns(np.ascontiguousarray(other))


def columns_of(
    node: Node,
    values: Iterable[Array],
    of: Integers,
    samples: int,
    shape: tuple[int, ...],
    threads: int | None = 1,
) -> "Columns | RealColumns":
    """A sample of the columns that a product multiplies over these values of its input, one a sample.

    of: what the values are held in. shape: of its weights, [O, C / group, *spatial] or [K, C].
    """
    if of is not UINT8:
        reals = (value.astype(np.float32) for value in values)
        weights = shape[0] if node.op == "QGemm" else prod(shape[1:])
        return real_columns_of(node, reals, shape, columns_wanted(weights, samples), threads)
    zero_points = integers(node, "x_zero_points") if "x_zero_points" in node.attributes else None
    zero_point = integer(node, "x_zero_point") if zero_points is None else zero_points[0]
    if node.op == "QGemm":
        wanted = columns_wanted(shape[0], samples)
        picked = [some_rows(value, -1, wanted, turn) for turn, value in enumerate(values)]
        return Columns(np.concatenate(picked)[None], zero_point)
    wanted = columns_wanted(prod(shape[1:]), samples)
    padding = np.array(zero_points or [zero_point] * shape[1] * integer(node, "group"), np.uint8)

    def windows(sample: tuple[int, Array]) -> npt.NDArray[np.uint8]:
        turn, value = sample
        return _windows(node, value, shape[2:], padding, wanted, turn)

    return Columns(
        np.concatenate(list(each(windows, enumerate(values), threads, HANDFUL)), axis=1), zero_point
    )


def real_columns_of(
    node: Node, values: Iterable[Array], shape: tuple[int, ...], wanted: int, threads: int | None = 1
) -> RealColumns:
    """The columns that a convolution or a matrix product multiplies at so many places of each float input.

    shape: of its weights.
    """
    if node.op not in ("Conv", "QConv", "QConvTranspose"):
        picked = [some_rows(value, -1, wanted, turn) for turn, value in enumerate(values)]
        return RealColumns(np.concatenate(picked)[None])
    group = integer(node, "group")
    padding = np.zeros(shape[1] * group, np.uint8)
    spatial = shape[2:]

    def windows(sample: tuple[int, Array]) -> Float32:
        # A float is four bytes along an axis more, of which a window takes all.
        turn, value = sample
        x, geometry = _placed(node, np.ascontiguousarray(value), spatial, padding.astype(value.dtype))
        kernel, strides, dilations, begins, counts = geometry
        space = ([*kernel, 4], [*strides, 1], [*dilations, 1], [*begins, 0], [*counts, 1])
        picked = places(len(x) * prod(counts), wanted, turn).tolist()
        found = _core.windows(x.view(np.uint8).reshape(*x.shape, 4), space, padding, group, picked)
        return _turned(node, found.view(np.float32), spatial)

    return RealColumns(np.concatenate(list(each(windows, enumerate(values), threads, HANDFUL)), axis=1))


def columns_wanted(weights: int, samples: int) -> int:
    """How many columns are taken of a sample at most, of a product with so many weights a row."""
    return ceil(min(MOST - samples, max(FEWEST, ENOUGH * weights)) / samples)


def places(count: int, wanted: int, turn: int) -> npt.NDArray[np.int64]:
    """So many of `count` places, evenly spread, others at each turn; all of them where they are no more."""
    if count <= wanted:
        return np.arange(count)
    spread = np.arange(turn * wanted, (turn + 1) * wanted) * _TURN
    return np.asarray((spread % 1.0 * count).astype(np.int64))


def some_rows(results: Array, axis: int, wanted: int, turn: int) -> Array:
    """Rows at so many `places` of a product's results, [rows, channels]. axis: that of the channels."""
    rows = np.moveaxis(results, axis, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    return flat[places(len(flat), wanted, turn)]


Geometry = tuple[list[int], list[int], list[int], list[int], list[int]]
"""Kernel, strides, dilations, begins of the padding, numbers of windows: an entry an axis of space."""


def _windows(
    node: Node, x: Array, spatial: tuple[int, ...], padding: npt.NDArray[np.uint8], wanted: int, turn: int
) -> npt.NDArray[np.uint8]:
    """Some windows of x [N, C, *sizes], [groups, windows, K]. padding: what it holds, along the channels."""
    x, geometry = _placed(node, np.ascontiguousarray(x), spatial, padding)
    picked = places(len(x) * prod(geometry[-1]), wanted, turn).tolist()
    return _turned(node, _core.windows(x, geometry, padding, integer(node, "group"), picked), spatial)


def _placed(node: Node, x: Array, spatial: tuple[int, ...], padding: Array) -> tuple[Array, Geometry]:
    """What the windows of a convolution slide over, and where they lie in it.

    Those of a transposed one slide over x with its elements a stride apart: taps of other phases see padding.
    """
    if node.op == "QConvTranspose":
        return _apart(node, x, spatial, padding)
    attributes = dict(node.attributes)
    resolve_auto_pad(attributes, list(spatial), x.shape)
    pads: list[int] = attributes["pads"]  # type: ignore[assignment]
    strides, dilations = integers(node, "strides"), integers(node, "dilations")
    begins, ends = pads[: len(spatial)], pads[len(spatial) :]
    axes = zip(x.shape[2:], begins, ends, spatial, dilations, strides, strict=True)
    counts = [
        (size + begin + end - (taps - 1) * dilation - 1) // stride + 1
        for size, begin, end, taps, dilation, stride in axes
    ]
    return x, (list(spatial), strides, dilations, begins, counts)


def _apart(node: Node, x: Array, spatial: tuple[int, ...], padding: Array) -> tuple[Array, Geometry]:
    """The same of a transposed convolution, whose kernel is turned around there."""
    axes, rank = transposed_axes(node, x.shape[2:], spatial), len(spatial)
    sizes = [axis.length + (axis.kernel - 1) * axis.dilation for axis in axes]
    apart = np.empty((*x.shape[:2], *sizes), x.dtype)
    apart[:] = padding.reshape(-1, *[1] * rank)
    seen, held = [], []
    for axis, size in zip(axes, sizes, strict=True):
        at = np.arange(size) + axis.begin - (axis.kernel - 1) * axis.dilation
        inside = (at % axis.stride == 0) & (at >= 0) & (at < axis.size * axis.stride)
        held.append(np.flatnonzero(inside))
        seen.append(at[inside] // axis.stride)
    every = [np.arange(count) for count in x.shape[:2]]
    apart[np.ix_(*every, *held)] = x[np.ix_(*every, *seen)]
    dilations, counts = [axis.dilation for axis in axes], [axis.length for axis in axes]
    return apart, (list(spatial), [1] * rank, dilations, [0] * rank, counts)


def _turned(node: Node, found: Array, spatial: tuple[int, ...]) -> Array:
    """Columns [groups, windows, K] in the order of the weights."""
    if node.op != "QConvTranspose":
        return found
    taps = found.reshape(*found.shape[:2], -1, *spatial)
    turned = np.flip(taps, tuple(range(-len(spatial), 0)))
    return np.ascontiguousarray(turned).reshape(found.shape)


def moments_of(columns: "Columns | RealColumns", threads: int | None) -> tuple[Float64, Float64]:
    """The means [groups, K] of columns, of integers `q - zero_point`, and their covariances [groups, K, K].

    By the runtime's products: of integers, the sums are exact but for their rounding to float32; of reals,
    columns less the mean of some are multiplied in float32, and the sums of blocks added in float64.
    """
    if isinstance(columns, RealColumns):
        return _moments_of_reals(columns, threads)
    count, ones = len(columns), np.ones((len(columns), 1), np.uint8)
    # A session that is kept would keep its memory, several times that of what it is given.
    session = Session(_products(columns.zero_point), threads)
    size = max(1, _BLOCK // columns.integers[0].size)
    parts = (columns.integers[first : first + size] for first in range(0, len(columns.integers), size))
    made = zip(*(session.run(None, {"columns": part, "ones": ones}) for part in parts), strict=True)
    products, sums = map(np.concatenate, made)
    means = sums[:, :, 0].astype(np.float64) / count
    return means, products.astype(np.float64) / count - means[:, :, None] * means[:, None, :]


def importance_of(covariances: Float64) -> Float64:
    """What each column weighs, [groups, K]: its variance, damped as where weights are rounded for them."""
    diagonal = np.diagonal(covariances, axis1=1, axis2=2)
    return np.asarray(diagonal + 0.01 * diagonal.cumsum(axis=1)[:, -1:] / diagonal.shape[1])


def _moments_of_reals(columns: RealColumns, threads: int | None) -> tuple[Float64, Float64]:
    elements, multiply, count = columns.elements, Multiply(threads), len(columns)
    groups, _, length = elements.shape
    begin = elements[:, :FEW].astype(np.float64).cumsum(axis=1)[:, -1:] / min(FEW, count)
    level = begin.astype(np.float32)
    sums, products = np.zeros((groups, length)), np.zeros((groups, length, length))
    for start in range(0, count, IN_FLOAT32):
        some = elements[:, start : start + IN_FLOAT32] - level
        sums += some.astype(np.float64).cumsum(axis=1)[:, -1]
        products += multiply(some.transpose(0, 2, 1), some)
    means = sums / count
    covariances = products / count - means[:, :, None] * means[:, None, :]
    return level[:, 0] + means, covariances


def _products(zero_point: int) -> Program:
    """The sums of products of columns [groups, columns, K], each of K with each, and of each with ones."""
    one = np.float32(1)
    centred: dict[str, Attribute] = {"a_scale": one, "a_zero_point": zero_point, "b_scale": one}
    return Program(
        inputs=["columns", "ones"],
        outputs=["products", "sums"],
        values={
            "columns": Value("columns", "u8", ("groups", "columns", "k")),
            "ones": Value("ones", "u8", ("columns", 1)),
            "rows": Value("rows", "u8", ("groups", "k", "columns")),
            "products": Value("products", "f32", ("groups", "k", "k")),
            "sums": Value("sums", "f32", ("groups", "k", 1)),
        },
        constants={},
        nodes=[
            Node("Transpose", "turn", ("columns",), ("rows",), {"perm": [0, 2, 1]}),
            Node(
                "QMatMul",
                "multiply",
                ("rows", "columns"),
                ("products",),
                centred | {"b_zero_point": zero_point},
            ),
            Node("QMatMul", "add", ("rows", "ones"), ("sums",), centred | {"b_zero_point": 0}),
        ],
    )
