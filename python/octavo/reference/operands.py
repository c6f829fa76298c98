"""A node's inputs, and what axes its attributes name."""

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import numpy.typing as npt

from octavo.errors import RunError

Array: TypeAlias = npt.NDArray[Any]
Inputs: TypeAlias = list[Array | None]


def optional(inputs: Inputs, index: int) -> Array | None:
    """The input at that index, or None where it was left out."""
    return inputs[index] if index < len(inputs) else None


def required(inputs: Inputs, index: int) -> Array:
    """The input at that index, which may not be left out."""
    value = inputs[index]
    assert value is not None, f"input {index} may not be left out"
    return value


def planes(x: Array) -> Array:
    """Images [N, C, *spatial] as [N, C, elements of a plane]."""
    if x.ndim < 2:
        raise RunError(f"an input of shape {list(x.shape)} has no channels: it must be [N, C, ...]")
    return x.reshape(*x.shape[:2], prod(x.shape[2:]))


def axis_of(axis: int, rank: int) -> int:
    """The axis counted from the front."""
    if not -rank <= axis < rank:
        raise RunError(f"there is no axis {axis} in {rank} axes")
    return axis % rank


def axes_of(axes: Sequence[int], rank: int) -> list[int]:
    """The axes counted from the front, each at most once."""
    found = [axis_of(axis, rank) for axis in axes]
    if len(set(found)) != len(found):
        raise RunError(f"an axis is listed twice: {list(axes)}")
    return found
