"""Constants of float32, rounded to what float16 holds: an artifact has them in half the bytes."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.program import Program
from octavo.program.artifact import LEAST_HALVES

Float32 = npt.NDArray[np.float32]

LOSS = 1e-6
"""What share of a constant's power rounding may take: it takes 1e-7 at most where nothing is subnormal."""


@dataclass(frozen=True, eq=False)
class Halves:
    """Weights in what float16 holds, float32 [O, K]."""

    elements: Float32

    def dequantize(self) -> Float32:
        """The same."""
        return self.elements


def rounded_halves(
    program: Program, exclude: frozenset[str] = frozenset(), made: Collection[str] = ()
) -> tuple[Program, list[str]]:
    """The Program whose constants of float32 are what float16 holds, and the names of those that stay.

    Formula (19c) of docs/arithmetic.md. What has fewer elements than an artifact saves bytes by stays as it
    is, as does what a node named in `exclude` reads, and constants that are `made`. Names: of those that
    float16 cannot hold.
    """
    kept = {name for node in program.nodes if node.name in exclude for name in node.inputs} | set(made)
    constants, stays = dict(program.constants), []
    for name, array in program.constants.items():
        if array.dtype != np.float32 or array.size < LEAST_HALVES or name in kept:
            continue
        rounded = halves_of(array)
        if is_close(rounded, array):
            constants[name] = rounded
        else:
            stays.append(name)
    return replace(program, constants=constants), stays


def halves_of(array: npt.NDArray[Any]) -> Float32:
    """The float16 numbers of an array's elements, as float32.

    Of a matrix, or what has more axes, the sum along all axes but the first is kept: elements are rounded one
    after the other, those of the largest magnitude first, each with the errors so far taken off.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if array.ndim < 2 or array.size == 0:
            return array.astype(np.float16).astype(np.float32)
        rows = array.reshape(len(array), -1).astype(np.float64)
        order = np.argsort(-np.abs(rows), axis=1, kind="stable")
        ordered = np.ascontiguousarray(np.take_along_axis(rows, order, 1).T)
        carried = np.zeros(len(rows))
        for column in ordered:
            wanted = column - carried
            column[:] = rounded = wanted.astype(np.float16).astype(np.float64)
            carried = rounded - wanted
        halves = np.empty(rows.shape, np.float32)
        np.put_along_axis(halves, order, ordered.T.astype(np.float32), 1)
    return halves.reshape(array.shape)


def is_close(rounded: Float32, array: Float32) -> bool:
    """Whether nothing became infinite or NaN, and nearly all of the power is left."""
    finite = np.isfinite(array)
    if not (np.isfinite(rounded) == finite).all():
        return False
    reals = array[finite].astype(np.float64)
    lost, power = (np.square(of).cumsum() for of in (rounded[finite] - reals, reals))
    return not len(power) or bool(lost[-1] <= LOSS * power[-1])
