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
from octavo.session import Session

Array = npt.NDArray[Any]

FEWEST, ENOUGH, MOST = 4_000, 10, 32_768
"""How many columns are looked at: `ENOUGH` for each weight of a row, `FEWEST` at least. 2^15 columns of uint8
are the most of which the sums of products fit in 32 bits."""

_BLOCK = 1 << 22
"""Bytes of columns whose moments are computed at a time, where they are of several groups."""

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

    def halves(self) -> "tuple[Columns, Columns]":
        """Those of the first samples, and the rest: columns of one sample have much in common."""
        middle = len(self) // 2
        one, other = (np.ascontiguousarray(half) for half in np.split(self.integers, [middle], axis=1))
        return Columns(one, self.zero_point), Columns(other, self.zero_point)


def columns_of(
    node: Node, values: Iterable[Array], samples: int, shape: tuple[int, ...], threads: int | None = 1
) -> Columns:
    """A sample of the columns that a QConv or QGemm multiplies over these values of its input, one a sample.

    shape: of its weights, [O, C / group, *spatial] or [K, C].
    """
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


def _windows(
    node: Node, x: Array, spatial: tuple[int, ...], padding: npt.NDArray[np.uint8], wanted: int, turn: int
) -> npt.NDArray[np.uint8]:
    """Some windows of x [N, C, *sizes], [groups, windows, K]. padding: what it holds, along the channels."""
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
    picked = places(len(x) * prod(counts), wanted, turn).tolist()
    space = (spatial, strides, dilations, begins, counts)
    return _core.windows(np.ascontiguousarray(x), space, padding, integer(node, "group"), picked)


def moments_of(
    columns: Columns, threads: int | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The means [groups, K] of `q - zero_point`, and their covariances [groups, K, K], in float64.

    By the runtime's integer products: the sums are exact but for their rounding to float32.
    """
    count, ones = len(columns), np.ones((len(columns), 1), np.uint8)
    # A session that is kept would keep its memory, several times that of what it is given.
    session = Session(_products(columns.zero_point), threads)
    size = max(1, _BLOCK // columns.integers[0].size)
    parts = (columns.integers[first : first + size] for first in range(0, len(columns.integers), size))
    made = zip(*(session.run(None, {"columns": part, "ones": ones}) for part in parts), strict=True)
    products, sums = map(np.concatenate, made)
    means = sums[:, :, 0].astype(np.float64) / count
    return means, products.astype(np.float64) / count - means[:, :, None] * means[:, None, :]


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
