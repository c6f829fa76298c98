"""Weights of products in float, rounded for the columns that they meet: product after product.

As `octavo.quantization.rounding` does it for products in integers: each meets what it will meet in use,
behind the products that were made before it, and its weights are rounded so that its results vary least from
those in float. Here the columns are float32, a row can have a scale for each group of its weights, which are
fitted to the integers (`octavo._core.round_in_blocks`), and the bias takes up the mean error that is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from octavo import _core
from octavo.calibration import Feeds
from octavo.program import Node, Program
from octavo.program.attributes import integer
from octavo.quantization.columns import RealColumns, columns_wanted, moments_of, real_columns_of
from octavo.quantization.products import readers_of
from octavo.quantization.rounding import FEWEST_COLUMNS, ROWS_TRIED, error_over
from octavo.quantization.targets import Some, fitted, float_results
from octavo.quantization.walk import Walk
from octavo.rewrites import Rows, Storage, channel_axis, nearest_rows, rows_of, storage_of, weight_of
from octavo.rewrites.weights import Weight

Float64 = npt.NDArray[np.float64]

MOST_ELEMENTS = 1 << 24
"""Elements of columns that are looked at, of one product."""


@dataclass(frozen=True)
class FloatProduct:
    """A node in float at `place`, whose weights it alone reads. axis: of their output channels."""

    place: int
    node: Node
    axis: int
    shape: tuple[int, ...]

    @property
    def groups(self) -> int:
        """Groups of rows, each with columns of its own."""
        return integer(self.node, "group") if self.node.op == "Conv" else 1

    @property
    def length(self) -> int:
        """Weights of a row."""
        return prod(self.shape) // self.shape[self.axis]

    def wanted(self, samples: int) -> int:
        """How many columns are taken of a sample."""
        most = max(1, MOST_ELEMENTS // (self.groups * self.length * samples))
        return min(columns_wanted(self.length, samples), most)


def float_products(floats: Program, excluded: frozenset[str]) -> list[FloatProduct]:
    """The products of a float Program whose weights can be rounded for their columns, in order."""
    readers, found = readers_of(floats), []
    for place, node in enumerate(floats.nodes):
        axis = None if node.name in excluded else channel_axis(floats, node)
        if axis is None or len(readers[node.inputs[1]]) > 1 or node.inputs[1] in floats.outputs:
            continue
        weight, attributes = floats.constants[node.inputs[1]], node.attributes
        is_plain = node.op == "Conv" and weight.ndim > 2
        if node.op == "Gemm":
            is_plain = (attributes["transA"], attributes["alpha"], attributes["beta"]) == (0, 1, 1)
        if is_plain or (node.op == "MatMul" and weight.ndim == 2):
            found.append(FloatProduct(place, node, axis, weight.shape))
    return found


def rounded_rows(
    floats: Program,
    storage: Storage,
    excluded: frozenset[str],
    feeds: Sequence[Feeds],
    threads: int | None,
    *,
    fit: bool,
) -> tuple[Program, dict[Weight, Rows]]:
    """The weights of a float Program, rounded for these samples, and the Program with the biases for them.

    fit: with the weights of the model changed, before they are rounded, so that each product makes up for
    what those before it lost (`octavo.quantization.targets`).
    """
    products, walk = float_products(floats, excluded), Walk(floats, feeds, threads)
    some = [
        Some(of.node.outputs[0], 1 if of.node.op == "Conv" else -1, of.wanted(len(feeds))) for of in products
    ]
    results = float_results(floats, some, feeds, threads)
    readers, made = readers_of(floats), {}
    for product, wanted in zip(products, results, strict=True):
        walk.run_before(product.place)
        name, *biases = product.node.inputs[1:]
        columns = real_columns_of(
            product.node,
            walk.values(product.node.inputs[0]),
            product.shape,
            product.wanted(len(feeds)),
            threads,
        )
        if not (np.isfinite(columns.elements).all() and np.isfinite(wanted).all()):
            continue
        weight = floats.constants[name]
        form, own = storage_of(weight, product.axis, storage), rows_of(weight, product.axis)
        reals = own.astype(np.float64).reshape(product.groups, -1, product.length)
        if fit:
            reals = fitted(reals, columns, wanted, len(feeds), threads)
        mean, covariances = moments_of(columns, threads)
        rows = nearest_rows(own, form)
        if _pays(reals, form, columns, threads):
            rows = _rounded(reals, form, covariances, threads)
        made[name, product.axis] = rows
        dequantized = rows.dequantize()
        walk.change({name: weight_of(dequantized, product.shape, product.axis)})
        bias = _bias(wanted, dequantized, mean)
        for place in biases:
            constant = floats.constants.get(place)
            if constant is not None and len(readers[place]) == 1 and constant.shape == bias.shape:
                walk.change({place: bias})
    return walk.program, made


def _rounded(reals: Float64, storage: Storage, covariances: Float64, threads: int | None) -> Rows:
    """Rows [groups, rows, K] in integers, their scales fitted, for columns of these covariances."""
    diagonal = np.diagonal(covariances, axis1=1, axis2=2)
    damped = diagonal + 0.01 * diagonal.cumsum(axis=1)[:, -1:] / diagonal.shape[1]
    groups, rows, length = reals.shape
    flat = reals.reshape(-1, length).astype(np.float32)
    start = nearest_rows(flat, storage, damped.repeat(rows, 0) if groups > 1 else damped)
    of_blocks = (groups, rows, -1)
    integers, scales = _core.round_in_blocks(
        reals,
        start.scales.astype(np.float64).reshape(of_blocks),
        start.zeros.astype(np.float64).reshape(of_blocks),
        covariances,
        start.group_size,
        (start.of.low, start.of.high),
        start.in_half,
        _core.threads(threads),
    )
    return start.changed(integers.reshape(-1, length), scales.reshape(start.scales.shape))


def _pays(reals: Float64, storage: Storage, columns: RealColumns, threads: int | None) -> bool:
    """Whether columns are enough, or weights made for half of them err less over the others than nearest."""
    if len(columns) < FEWEST_COLUMNS:
        return False
    if columns.are_enough:
        return True
    some = np.ascontiguousarray(reals[:, :: -(-reals.shape[1] // ROWS_TRIED)])
    one, other = columns.halves()
    _, covariances = moments_of(one, threads)
    made = _rounded(some, storage, covariances, threads)
    nearest = nearest_rows(some.reshape(-1, some.shape[2]).astype(np.float32), storage)
    of_made, of_nearest = (
        error_over((of.dequantize().reshape(some.shape) - some).astype(np.float32), other, threads)
        for of in (made, nearest)
    )
    return of_made < of_nearest


def _bias(
    wanted: npt.NDArray[np.float32], weight: npt.NDArray[np.float32], mean: Float64
) -> npt.NDArray[np.float32]:
    """The bias with which the means of a product's results over its columns are those in float."""
    results = wanted.astype(np.float64).cumsum(axis=0)[-1] / len(wanted)
    groups = len(mean)
    products = weight.astype(np.float64).reshape(groups, -1, weight.shape[1]) * mean[:, None, :]
    return np.asarray(results - products.cumsum(axis=2)[:, :, -1].reshape(-1), np.float32)
