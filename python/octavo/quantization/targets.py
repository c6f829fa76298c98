"""Weights that lead from the columns that a product meets in integers to its results in float.

Behind layers that were rounded, the columns x that a product meets are not those of the float network, and
its own weights W no longer the best: W + V is nearer to the float results Y over them, with V by ridge
regression of Y - W x (`octavo._core.fit_weights`), where cross-validation finds that it pays. Such a row is
rounded in place of the model's own, as in GPTQ with an asymmetric target.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
import numpy.typing as npt

from octavo import _core
from octavo._core import threads as threads_of
from octavo.calibration import HANDFUL, Feeds, each
from octavo.program import Program
from octavo.program.scales import x_scales
from octavo.quantization.columns import Columns, columns_wanted, moments_of, some_rows
from octavo.quantization.matrices import BLOCK, Float32, Multiply
from octavo.quantization.products import Product
from octavo.quantization.shapes import measured_sizes
from octavo.quantization.walk import part, session_of
from octavo.session import Session

Float64 = npt.NDArray[np.float64]
_Half = tuple[int, Float64, Float64, Float64, Float64, Float64]

LONGEST = 2304
"""Weights of a row beyond which it stays as it is: time grows with the third power."""

FEWEST = 4
"""Columns for each weight of a row that are asked for where every sample has one alone."""

_MEMORY = 1 << 24
"""Bytes of float results that are held at most, about."""


class Targets:
    """Of each product in turn, the rows of weights that its integers are made for.

    shapes: of the products' integer weights.
    """

    def __init__(
        self,
        floats: Program,
        products: Sequence[Product],
        shapes: Sequence[tuple[int, ...]],
        feeds: Sequence[Feeds],
        threads: int | None,
    ) -> None:
        self._samples = len(feeds)
        self._results = float_results(floats, products, shapes, feeds, threads)
        self._threads = _core.threads(threads)

    def next(self, product: Product, program: Program, reals: Float64, columns: Columns) -> Float64:
        """What the next product's weights, [groups, rows, K], become over the columns that it meets."""
        results = next(self._results)
        groups, rows, length = reals.shape
        has_one_a_sample = len(columns) <= self._samples
        if length > LONGEST or (has_one_a_sample and len(columns) < FEWEST * length):
            return reals
        results /= x_scales(program, product.node).astype(np.float32)
        wanted = results.reshape(-1, groups, rows).transpose(1, 0, 2)
        halves, middle = columns.halves(), len(columns) // 2
        pairs = zip(halves, (wanted[:, :middle], wanted[:, middle:]), strict=True)
        one, other = (self._half(reals, half, of) for half, of in pairs)
        return reals + _core.fit_weights((one, other), self._threads)

    def _half(self, reals: Float64, columns: Columns, wanted: Float32) -> _Half:
        """The moments of half of the columns and of what is wanted beyond their products by these weights.

        wanted: [groups, columns, rows]. Products are summed in float32 over a block of columns, and the sums
        of the blocks in float64.
        """
        means, covariances = moments_of(columns, self._threads)
        weights, multiply = reals.transpose(0, 2, 1).astype(np.float32), Multiply(self._threads)
        zero_point, count = np.float32(columns.zero_point), len(columns)
        level = np.zeros((len(reals), 1, reals.shape[1]), np.float32)
        sums: Float64 = np.zeros(1)
        squares, cross = sums, sums
        size = max(1, BLOCK // (len(reals) * max(reals.shape[1:])))
        for start in range(0, count, size):
            integers = columns.integers[:, start : start + size]
            products = multiply(integers.astype(np.float32) - zero_point, weights)
            beyond = wanted[:, start : start + size] - products
            if start == 0:
                level = beyond[:, :1].copy()  # near the mean, so that sums of squares lose little
            beyond -= level
            wide = beyond.astype(np.float64)
            sums = sums + wide.cumsum(axis=1)[:, -1]
            squares = squares + np.square(wide).cumsum(axis=1)[:, -1]
            turned = integers.transpose(0, 2, 1).astype(np.float32) - zero_point
            cross = cross + multiply(turned, beyond).astype(np.float64)
        of_level = sums / count
        variances = np.maximum(squares / count - np.square(of_level), 0.0)
        cross = cross.transpose(0, 2, 1) / count - of_level[:, :, None] * means[:, None, :]
        return count, means, covariances, of_level + level[:, 0], variances, np.ascontiguousarray(cross)


def float_results(
    floats: Program,
    products: Sequence[Product],
    shapes: Sequence[tuple[int, ...]],
    feeds: Sequence[Feeds],
    threads: int | None,
) -> Iterator[Float32]:
    """Of each product in turn, its float results before an activation, [columns, channels].

    The columns are those that `columns_of` takes of the same samples. The network is run again for as many
    products as there is memory for.
    """
    sizes = measured_sizes(floats, feeds[0], threads)
    some = [
        Some(of.before, 1 if of.node.op == "QConv" else -1, columns_wanted(_length(of, shape), len(feeds)))
        for of, shape in zip(products, shapes, strict=True)
    ]
    needs = [4 * of.elements(sizes[of.name], len(feeds), threads_of(threads)) for of in some]
    for batch in _batches(some, needs):
        yield from _some_results(floats, batch, feeds, threads)


def _some_results(
    floats: Program, batch: Sequence["Some"], feeds: Sequence[Feeds], threads: int | None
) -> list[Float32]:
    """Of each value of a batch, rows of all samples; what ran them is gone by then."""
    piece = part(floats, floats.nodes, [of.name for of in batch])
    run = partial(_some_of_sample, session_of(piece), piece.inputs, batch)
    samples = list(each(run, enumerate(feeds), threads, HANDFUL))
    return [np.concatenate([rows[place] for rows in samples]) for place in range(len(batch))]


@dataclass(frozen=True)
class Some:
    """A value of which so many rows are taken of each sample, at most; axis: that of its channels."""

    name: str
    axis: int
    count: int

    def of(self, results: Float32, turn: int) -> Float32:
        """The rows, [count, channels]."""
        return some_rows(results, self.axis, self.count, turn)

    def elements(self, sizes: list[int], samples: int, threads: int) -> int:
        """How many are held at a time, of these samples and, in a run and out of it, of those under way."""
        return samples * min(self.count * sizes[self.axis], prod(sizes)) + 3 * threads * prod(sizes)


def _length(product: Product, shape: tuple[int, ...]) -> int:
    """The weights of a row."""
    return prod(shape[1:]) if product.node.op == "QConv" else shape[0]


def _batches(some: Sequence[Some], needs: Sequence[int]) -> Iterator[list[Some]]:
    """As many at a time as there is memory for, one at least."""
    batch: list[Some] = []
    held = 0
    for of, need in zip(some, needs, strict=True):
        if batch and held + need > _MEMORY:
            yield batch
            batch, held = [], 0
        batch.append(of)
        held += need
    if batch:
        yield batch


def _some_of_sample(
    session: Session, inputs: Sequence[str], batch: Sequence[Some], sample: tuple[int, Feeds]
) -> list[Float32]:
    turn, given = sample
    results = session.run([of.name for of in batch], {name: given[name] for name in inputs})
    return [of.of(result, turn) for of, result in zip(batch, results, strict=True)]
