"""Weights of products in float, rounded for the columns that they meet: product after product.

As `octavo.quantization.rounding` does it for products in integers: each meets what it will meet in use,
behind the products that were made before it, and its weights are rounded so that its results vary least from
those in float. Here the columns are float32, weights become integers whose row can have a scale for each
group of them (`octavo._core.round_in_blocks`), or what float16 holds, and the bias takes up the mean error
that is left.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from octavo import _core
from octavo.calibration import Feeds
from octavo.program import Node, Program
from octavo.program.attributes import integer
from octavo.quantization.columns import (
    RealColumns,
    columns_wanted,
    importance_of,
    moments_of,
    real_columns_of,
)
from octavo.quantization.products import readers_of
from octavo.quantization.rounding import FEWEST_COLUMNS, ROWS_TRIED, error_over
from octavo.quantization.targets import Some, fitted, float_results
from octavo.quantization.walk import Walk
from octavo.rewrites import Halves, SharedRows, Storage, channel_axis, halves_of, rows_of, weight_of
from octavo.rewrites.weights import Stored, Weight, rounded

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Held = TypeVar("Held", Stored, Halves)

MOST_ELEMENTS = 1 << 24
"""Elements of columns that are looked at, of one product."""


@dataclass(frozen=True)
class FloatProduct:
    """A node in float at `place`, whose weights it alone reads. axis: of their output channels.

    bias: the constant that is added to its results, [channels], and to nothing else, by itself or by the one
    node that reads them; "" where there is none.
    """

    place: int
    node: Node
    axis: int
    shape: tuple[int, ...]
    bias: str

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
            bias = _bias_of(floats, node, readers, weight.shape[axis])
            found.append(FloatProduct(place, node, axis, weight.shape, bias))
    return found


def _bias_of(floats: Program, node: Node, readers: Mapping[str, Sequence[Node]], channels: int) -> str:
    """The name of a product's bias, if it is one that can be changed."""
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    following = readers.get(node.outputs[0], [])
    if not name and node.op == "MatMul" and len(following) == 1 and following[0].op == "Add":
        [name] = [other for other in following[0].inputs if other != node.outputs[0]] or [""]
    constant = floats.constants.get(name)
    is_own = constant is not None and constant.shape == (channels,) and len(readers[name]) == 1
    return name if is_own and name not in floats.outputs and node.outputs[0] not in floats.outputs else ""


class Form(ABC, Generic[Held]):
    """What rows of weights become."""

    @abstractmethod
    def nearest(self, rows: Float32) -> Held:
        """Rows [O, K], each weight rounded by itself."""

    @abstractmethod
    def made(self, reals: Float64, covariances: Float64, threads: int | None) -> Held:
        """Rows [groups, rows, K], rounded for columns of these covariances."""


@dataclass(frozen=True)
class InStorage(Form[Stored]):
    """Integers or levels of a storage, the scales fitted to them."""

    storage: Storage

    def nearest(self, rows: Float32) -> Stored:
        """Rows [O, K], each weight rounded by itself."""
        return rounded(rows, self.storage)

    def made(self, reals: Float64, covariances: Float64, threads: int | None) -> Stored:
        """Rows [groups, rows, K], rounded for columns of these covariances."""
        importance = importance_of(covariances)
        groups, rows, length = reals.shape
        flat = reals.reshape(-1, length).astype(np.float32)
        start = rounded(flat, self.storage, importance.repeat(rows, 0) if groups > 1 else importance)
        of_blocks = (groups, rows, -1)
        if isinstance(start, SharedRows):
            places, scales = _core.round_to_levels(
                reals,
                start.scales.astype(np.float64).reshape(of_blocks),
                covariances,
                start.codebook.astype(np.float64),
                start.kept.reshape(reals.shape),
                start.in_half,
                _core.threads(threads),
            )
            return start.changed(
                places.view(np.uint8).reshape(-1, length), scales.reshape(start.scales.shape)
            )
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


class InHalves(Form[Halves]):
    """What float16 holds."""

    def nearest(self, rows: Float32) -> Halves:
        """Rows [O, K], each weight rounded by itself but for what keeps the sum of its row."""
        return Halves(halves_of(rows))

    def made(self, reals: Float64, covariances: Float64, threads: int | None) -> Halves:
        """Rows [groups, rows, K], rounded for columns of these covariances."""
        halves = _core.round_to_halves(reals, covariances, _core.threads(threads))
        return Halves(halves.reshape(-1, reals.shape[2]))


Meets = Callable[[FloatProduct, Array], Array]
"""From a product's input to what the product meets of it in use."""


def met_in_float(_: FloatProduct, x: Array) -> Array:
    """All of it."""
    return x


@dataclass(frozen=True)
class Made(Generic[Held]):
    """program: in float, with what the weights stand for. rows: the weights. biases: names of those made."""

    program: Program
    rows: dict[Weight, Held]
    biases: list[str]


def made_for(
    floats: Program,
    form_of: Callable[[Float32, int], Form[Held] | None],
    excluded: frozenset[str],
    feeds: Sequence[Feeds],
    threads: int | None,
    *,
    fit: bool,
    meets: Meets = met_in_float,
) -> Made[Held]:
    """The weights of a float Program, rounded for these samples, and the biases that go with them.

    form_of: of a constant whose output channels lie along an axis; None where it stays as it is. fit: with
    the weights of the model changed, before they are rounded, so that each product makes up for what those
    before it lost (`octavo.quantization.targets`).
    """
    products, walk = float_products(floats, excluded), Walk(floats, feeds, threads)
    some = [
        Some(of.node.outputs[0], 1 if of.node.op == "Conv" else -1, of.wanted(len(feeds))) for of in products
    ]
    results = float_results(floats, some, feeds, threads)
    made: dict[Weight, Held] = {}
    biases: list[str] = []
    for product, wanted in zip(products, results, strict=True):
        name = product.node.inputs[1]
        form = form_of(floats.constants[name], product.axis)
        if form is None:
            continue
        walk.run_before(product.place)
        columns = real_columns_of(
            product.node,
            map(partial(meets, product), walk.values(product.node.inputs[0])),
            product.shape,
            product.wanted(len(feeds)),
            threads,
        )
        if not (np.isfinite(columns.elements).all() and np.isfinite(wanted).all()):
            continue
        own = rows_of(floats.constants[name], product.axis)
        reals = own.astype(np.float64).reshape(product.groups, -1, product.length)
        if fit:
            reals = fitted(reals, columns, wanted, len(feeds), threads)
        mean, covariances = _moments(product, columns, threads)
        pays = _pays(product, reals, form, columns, threads)
        rows = form.made(reals, covariances, threads) if pays else form.nearest(own)
        made[name, product.axis] = rows
        dequantized = rows.dequantize()
        walk.change({name: weight_of(dequantized, product.shape, product.axis)})
        if product.bias:
            bias = _missing(wanted, dequantized, mean)
            if product.bias not in product.node.inputs:
                bias = bias + floats.constants[product.bias]
            walk.change({product.bias: bias})
            biases.append(product.bias)
    return Made(walk.program, made, biases)


def _moments(product: FloatProduct, columns: RealColumns, threads: int | None) -> tuple[Float64, Float64]:
    """The means of columns, [groups, K], and their covariances, [groups, K, K].

    Around 0 where there is no bias: the mean error counts then as well.
    """
    mean, covariances = moments_of(columns, threads)
    if not product.bias:
        covariances += mean[:, :, None] * mean[:, None, :]
    return mean, covariances


def _pays(
    product: FloatProduct, reals: Float64, form: Form[Held], columns: RealColumns, threads: int | None
) -> bool:
    """Whether columns are enough, or weights made for half of them err less over the others than nearest."""
    if len(columns) < FEWEST_COLUMNS:
        return False
    if columns.are_enough:
        return True
    some = np.ascontiguousarray(reals[:, :: -(-reals.shape[1] // ROWS_TRIED)])
    one, other = columns.halves()
    _, covariances = _moments(product, one, threads)
    made = form.made(some, covariances, threads)
    nearest = form.nearest(some.reshape(-1, some.shape[2]).astype(np.float32))
    of_made, of_nearest = (
        error_over(
            (of.dequantize().reshape(some.shape) - some).astype(np.float32),
            other,
            threads,
            has_bias=product.bias != "",
        )
        for of in (made, nearest)
    )
    return of_made < of_nearest


def _missing(wanted: Float32, weight: Float32, mean: Float64) -> Float32:
    """What has to be added to a product by these weights for the wanted means over its columns."""
    results = wanted.astype(np.float64).cumsum(axis=0)[-1] / len(wanted)
    groups = len(mean)
    products = weight.astype(np.float64).reshape(groups, -1, weight.shape[1]) * mean[:, None, :]
    return np.asarray(results - products.cumsum(axis=2)[:, :, -1].reshape(-1), np.float32)
