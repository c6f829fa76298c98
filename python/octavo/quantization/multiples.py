"""Weights of few bits in products of integers: `q * m` steps of their row, m a factor of each group.

q has few bits, and the product is an int8 like any other, which runs as one by
formula (18b) of docs/arithmetic.md; an artifact holds q and m (`octavo.program.factors`).
"""

import numpy as np
import numpy.typing as npt

from octavo import _core
from octavo.program.integers import INT8
from octavo.quantization.columns import importance_of
from octavo.rewrites import Storage

Float64 = npt.NDArray[np.float64]


def most(storage: Storage) -> int:
    """The greatest factor with which each integer gives an int8."""
    return INT8.high // storage.integers.high


def nearest_multiples(
    reals: Float64, steps: Float64, storage: Storage, importance: Float64 | None = None
) -> tuple[npt.NDArray[np.int8], Float64]:
    """The integers q, [groups, rows, K], nearest to weights, and the factors, [groups, rows, blocks].

    steps: of the rows, [groups, rows]. Of each block's factors the one is taken by which the squared errors,
    each times the importance of its column, [groups, K], sum up to least.
    """
    length, of = reals.shape[2], storage.integers
    size = storage.group_size or length
    blocks = -(-length // size)
    padded = np.zeros((*reals.shape[:2], blocks * size))
    padded[:, :, :length] = reals / steps[:, :, None]
    grouped = padded.reshape(*reals.shape[:2], blocks, size)
    weighed: Float64 = np.ones((len(reals), blocks * size))
    if importance is not None:
        weighed[:, :length] = importance
    weighed = weighed.reshape(len(reals), 1, blocks, size)
    least = np.full(grouped.shape[:3], np.inf)
    integers, factors = np.zeros(grouped.shape, np.int8), np.ones(grouped.shape[:3])
    for factor in range(1, most(storage) + 1):
        q = np.clip(np.rint(grouped / factor), of.low, of.high)
        errors = (np.square(factor * q - grouped) * weighed).cumsum(axis=3)[..., -1]
        is_less = errors < least
        least[is_less], factors[is_less], integers[is_less] = errors[is_less], factor, q[is_less]
    return integers.reshape(padded.shape)[:, :, :length], factors


def products_of_multiples(
    integers: npt.NDArray[np.int8], factors: Float64, storage: Storage
) -> npt.NDArray[np.int8]:
    """The int8 weights `q * m`, [groups, rows, K]."""
    length = integers.shape[2]
    along = factors.repeat(storage.group_size or length, axis=2)[:, :, :length]
    return (integers * along).astype(np.int8)


def rounded_multiples(
    reals: Float64, steps: Float64, covariances: Float64, storage: Storage, threads: int | None
) -> npt.NDArray[np.int8]:
    """The int8 weights of this kind that err little over columns of these covariances, [groups, K, K].

    The factors are fitted to the integers (`octavo._core.round_in_multiples`).
    """
    _, factors = nearest_multiples(reals, steps, storage, importance_of(covariances))
    integers, scales = _core.round_in_multiples(
        reals,
        steps,
        factors * steps[:, :, None],
        covariances,
        storage.group_size or reals.shape[2],
        (storage.integers.low, storage.integers.high),
        most(storage),
        _core.threads(threads),
    )
    return products_of_multiples(integers, np.rint(scales / steps[:, :, None]), storage)
