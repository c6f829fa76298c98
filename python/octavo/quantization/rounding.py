"""Weights rounded for the columns that they meet, and biases that keep the means: product after product.

Every product of the integer Program in turn meets what it will meet in use, behind the products that were
made before it. Its weights are chosen so that its results vary least from those in float (GPTQ: Frantar and
others, 2022; then coordinate descent, `octavo._core.round_weights`), and its bias takes up the mean error
that is left (`octavo.quantization.biases`).
"""

from collections.abc import Sequence
from dataclasses import replace
from math import fsum
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo import _core
from octavo.calibration import Feeds
from octavo.lowering import Lowered
from octavo.program import Program
from octavo.program.integers import ACTIVATIONS, WEIGHTS, Integers
from octavo.program.scales import x_scales
from octavo.quantization.biases import correct_bias, mean_results
from octavo.quantization.columns import Columns, RealColumns, columns_of, moments_of
from octavo.quantization.matrices import BLOCK, Multiply
from octavo.quantization.multiples import nearest_multiples, products_of_multiples, rounded_multiples
from octavo.quantization.products import Product, bias_in_reals, bias_of_reals, fits, products_of
from octavo.quantization.targets import Targets
from octavo.quantization.walk import Walk
from octavo.rewrites import Storage

Float64 = npt.NDArray[np.float64]

WHOLE = Storage()
"""Weights of 8 bits."""

FEWEST_COLUMNS = 32
"""Columns below which weights stay rounded to nearest: what they show is too little to go by."""

ROWS_TRIED = 64
"""Rows of weights, evenly spread, on which it is tried whether few columns are enough."""


def nearest_weights(floats: Program, lowered: Lowered, storage: Storage) -> Lowered:
    """A lowered Program with the nearest weights of so many bits; int8 stays where sums would leave int32."""
    program = replace(lowered.program, constants=dict(lowered.program.constants))
    for product in products_of(floats, lowered):
        rows = Rows.of(product, lowered, program, storage)
        weight = rows.arranged(rows.nearest())
        if fits(program, product.node, weight, program.constants[product.bias]):
            program.constants[product.weight] = weight
    return replace(lowered, program=program)


def round_weights(
    floats: Program,
    lowered: Lowered,
    feeds: Sequence[Feeds],
    threads: int | None,
    *,
    storage: Storage = WHOLE,
    fit: bool = False,
) -> Lowered:
    """Make weights of so many bits, and biases, of a lowered Program for these samples.

    fit: with the weights of the model changed, before they are rounded, so that each product makes up for
    what those before it lost (`octavo.quantization.targets`).
    """
    products, walk = products_of(floats, lowered), Walk(lowered.program, feeds, threads)
    wanted = mean_results(floats, products, feeds, threads)
    shapes = [lowered.program.constants[product.weight].shape for product in products]
    targets = Targets(floats, products, shapes, feeds, threads) if fit else None
    for product, means in zip(products, wanted, strict=True):
        walk.run_before(product.place)
        _round(walk, product, Rows.of(product, lowered, walk.program, storage), targets)
        correct_bias(walk, product, means)
    return replace(lowered, program=walk.program)


def fair_weights(
    floats: Program,
    lowered: Lowered,
    feeds: Sequence[Feeds],
    threads: int | None,
    *,
    storage: Storage = WHOLE,
) -> Lowered:
    """Make weights of a lowered Program for these samples by which ranges can be compared.

    Its biases make up for the means of the weights' own errors alone, whatever the ranges.
    """
    walk = Walk(lowered.program, feeds, threads)
    for product in products_of(floats, lowered):
        walk.run_before(product.place)
        rows = Rows.of(product, lowered, walk.program, storage)
        bias = rows.plain_bias(walk.program, product, _round(walk, product, rows, None))
        if fits(walk.program, product.node, walk.program.constants[product.weight], bias):
            walk.change({product.bias: bias})
    return replace(lowered, program=walk.program)


def _round(walk: Walk, product: Product, rows: "Rows", targets: Targets | None) -> Float64:
    """Give the product, up to which the walk has come, weights for the columns that it meets there.

    Gives the means of the columns, [groups, K].
    """
    node, shape, threads = product.node, walk.program.constants[product.weight].shape, walk.threads
    of = ACTIVATIONS[walk.program.values[node.inputs[0]].dtype]
    columns = columns_of(node, walk.values(node.inputs[0]), of, len(walk.held), shape, threads)
    mean, covariances = moments_of(columns, threads)
    if targets is not None:
        rows = rows.moved(targets.next(product, walk.program, rows.reals, columns))
    if len(columns) >= FEWEST_COLUMNS and (columns.are_enough or _pays(rows, columns, threads)):
        weight = rows.arranged(rows.rounded(covariances, threads))
        if fits(walk.program, node, weight, walk.program.constants[product.bias]):
            walk.change({product.weight: weight})
    return mean


class Rows:
    """The weights of a product as rows that meet columns, float64 [groups, rows, K], and their scales."""

    def __init__(
        self,
        reals: Float64,
        scales: Float64,
        of: Integers,
        shape: tuple[int, ...] | None,
        storage: Storage = WHOLE,
    ) -> None:
        self.reals = np.ascontiguousarray(reals)
        self.scales = np.ascontiguousarray(scales)
        self._of = of
        self._storage = storage.of(reals.shape[2])
        self._shape = shape

    @staticmethod
    def of(product: Product, lowered: Lowered, program: Program, storage: Storage) -> "Rows":
        """Those of a product of the Program that `lowered` gave, to have so many bits."""
        value, reals = program.values[product.weight], lowered.weights[product.weight].astype(np.float64)
        assert value.quant is not None
        scales, of = value.quant.scale.astype(np.float64), WEIGHTS[value.dtype]
        if product.node.op == "QGemm":
            return Rows(reals.T[None], scales[None], of, None, storage)
        groups = product.node.attributes["group"]
        assert isinstance(groups, int)
        k = reals[0].size
        return Rows(reals.reshape(groups, -1, k), scales.reshape(groups, -1), of, reals.shape, storage)

    def arranged(self, integers: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Integers of these rows in the shape that the product's node takes."""
        if self._shape is None:
            return np.ascontiguousarray(integers[0].T)
        return integers.reshape(self._shape)

    def moved(self, reals: Float64) -> "Rows":
        """Other weights in the place of these, at the same scales."""
        return Rows(reals, self.scales, self._of, self._shape, self._storage)

    def some(self) -> "Rows":
        """A few of the rows, evenly spread."""
        step = -(-self.reals.shape[1] // ROWS_TRIED)
        return Rows(self.reals[:, ::step], self.scales[:, ::step], self._of, self._shape, self._storage)

    def nearest(self) -> npt.NDArray[np.int8]:
        """Each weight rounded by itself."""
        if self._storage.bits < 8:
            found = nearest_multiples(self.reals, self.scales, self._storage)
            return products_of_multiples(*found, self._storage)
        quotient = np.rint(self.reals / self.scales[:, :, None])
        return np.clip(quotient, self._of.low, self._of.high).astype(np.int8)

    def rounded(self, covariances: Float64, threads: int | None) -> npt.NDArray[np.int8]:
        """The integers that err little over columns of these covariances, [groups, K, K]."""
        if self._storage.bits < 8:
            return rounded_multiples(self.reals, self.scales, covariances, self._storage, threads)
        bounds = self._of.low, self._of.high
        return _core.round_weights(self.reals, self.scales, covariances, bounds, _core.threads(threads))

    def plain_bias(self, program: Program, product: Product, mean: Float64) -> npt.NDArray[Any]:
        """The bias that makes up for what rounding the weights adds to a row's products, on the average.

        mean: of the columns, [groups, K].
        """
        weight = program.constants[product.weight]
        integers = weight.T[None] if self._shape is None else weight.reshape(self.reals.shape)
        made = (self.scales[:, :, None] * integers - self.reals) * mean[:, None, :]
        shift = made.cumsum(axis=-1)[..., -1].reshape(-1) * x_scales(program, product.node)
        return bias_of_reals(program, product.node, bias_in_reals(program, product.node) - shift)

    def errors(self, integers: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
        """What these integers add to the weights, float32 [groups, rows, K]."""
        return (self.scales[:, :, None] * integers - self.reals).astype(np.float32)


def _pays(rows: Rows, columns: Columns | RealColumns, threads: int | None) -> bool:
    """Whether weights made for half of the columns err less over the others than the nearest integers."""
    some, (one, other) = rows.some(), columns.halves()
    _, covariances = moments_of(one, threads)
    made, nearest = (
        error_over(some.errors(integers), other, threads)
        for integers in (some.rounded(covariances, threads), some.nearest())
    )
    return made < nearest


def error_over(
    errors: npt.NDArray[np.float32],
    columns: Columns | RealColumns,
    threads: int | None,
    *,
    has_bias: bool = True,
) -> float:
    """The sum of squares of what errors [groups, rows, K] make of the columns.

    has_bias: but for each row's mean, which a bias takes up.
    """
    multiply = Multiply(threads)
    made = np.empty((*errors.shape[:2], len(columns)), np.float32)
    size = max(1, BLOCK // errors[:, 0].size)
    for first in range(0, len(columns), size):
        part = slice(first, first + size)
        made[:, :, part] = multiply(errors, columns.reals(part).transpose(0, 2, 1))
    around = made.astype(np.float64).cumsum(axis=-1)[..., -1:] / made.shape[-1] if has_bias else 0.0
    made = made - around
    return fsum((made * made).ravel().tolist())
