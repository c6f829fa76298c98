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
from octavo.quantization.columns import Columns, RealColumns, columns_wanted, moments_of, some_rows
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
        some = [
            Some(
                of.before, -1 if of.node.op == "QGemm" else 1, columns_wanted(_length(of, shape), len(feeds))
            )
            for of, shape in zip(products, shapes, strict=True)
        ]
        self._results = float_results(floats, some, feeds, threads)
        self._threads = threads

    def next(
        self, product: Product, program: Program, reals: Float64, columns: Columns | RealColumns
    ) -> Float64:
        """What the next product's weights, [groups, rows, K], become over the columns that it meets."""
        results = next(self._results)
        results /= x_scales(program, product.node).astype(np.float32)
        return fitted(reals, columns, results, self._samples, self._threads)


def fitted(
    reals: Float64, columns: Columns | RealColumns, results: Float32, samples: int, threads: int | None
) -> Float64:
    """The weights [groups, rows, K] that lead from columns to results, [columns, channels], where that pays.

    Those that were given, where a row is too long, or where there are few columns, and one of each sample.
    """
    groups, rows, length = reals.shape
    if length > LONGEST or (len(columns) <= samples and len(columns) < FEWEST * length):
        return reals
    wanted = results.reshape(-1, groups, rows).transpose(1, 0, 2)
    halves, middle = columns.halves(), len(columns) // 2
    one = _half(reals, halves[0], wanted[:, :middle], threads)
    other = _half(reals, halves[1], wanted[:, middle:], threads)
    return reals + _core.fit_weights((one, other), _core.threads(threads))


def _half(reals: Float64, columns: Columns | RealColumns, wanted: Float32, threads: int | None) -> _Half:
    """The moments of half of the columns and of what is wanted beyond their products by these weights.

    wanted: [groups, columns, rows]. Products are summed in float32 over a block of columns, and the sums of
    the blocks in float64.
    """
    means, covariances = moments_of(columns, threads)
    weights, multiply, count = reals.transpose(0, 2, 1).astype(np.float32), Multiply(threads), len(columns)
    level = np.zeros((len(reals), 1, reals.shape[1]), np.float32)
    sums: Float64 = np.zeros(1)
    squares, cross = sums, sums
    size = max(1, BLOCK // (len(reals) * max(reals.shape[1:])))
    for start in range(0, count, size):
        met = columns.reals(slice(start, start + size))
        beyond = wanted[:, start : start + size] - multiply(met, weights)
        if start == 0:
            level = beyond[:, :1].copy()  # near the mean, so that sums of squares lose little
        beyond -= level
        wide = beyond.astype(np.float64)
        sums = sums + wide.cumsum(axis=1)[:, -1]
        squares = squares + np.square(wide).cumsum(axis=1)[:, -1]
        cross = cross + multiply(met.transpose(0, 2, 1), beyond).astype(np.float64)
    of_level = sums / count
    variances = np.maximum(squares / count - np.square(of_level), 0.0)
    cross = cross.transpose(0, 2, 1) / count - of_level[:, :, None] * means[:, None, :]
    return count, means, covariances, of_level + level[:, 0], variances, np.ascontiguousarray(cross)


def float_results(
    floats: Program, some: Sequence["Some"], feeds: Sequence[Feeds], threads: int | None
) -> Iterator[Float32]:
    """Of each value in turn, some rows over these samples, [rows, channels].

    The network is run again for as many values as there is memory for.
    """
    sizes = measured_sizes(floats, feeds[0], threads)
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
    return shape[0] if product.node.op == "QGemm" else prod(shape[1:])


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
