"""int8 constants of few bits: integers of 4, 3 or 2 bits, those of each group of a row times a whole number.

Such weights are found by their greatest common divisors, and an artifact holds them so. A row's elements are
those of one index of `axis`, in the order of the other axes.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.program.integers import pack, unpack

LEAST = 64
"""Elements of a constant from which on it may be stored so."""
SOME = 16
"""Rows that are looked at first: most constants are not such."""
GROUPS = (128, 64, 32)
BITS = (2, 3, 4)

Integers = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Factored:
    """How a constant lies in bytes. group: elements of a row that share a factor. axis: that of the rows."""

    bits: int
    group: int
    axis: int

    @property
    def dtype(self) -> str:
        """Of the integers."""
        return f"i{self.bits}"

    def size(self, shape: tuple[int, ...]) -> int:
        """The bytes: the integers, row after row, then a byte for each group of each row."""
        rows, length = shape[self.axis], prod(shape) // max(1, shape[self.axis])
        return -(-rows * length * self.bits // 8) + rows * -(-length // self.group)

    def to_bytes(self, array: Integers) -> npt.NDArray[np.uint8]:
        """The bytes of a constant of which this is the form."""
        grouped, length = _grouped(array, self.axis, self.group)
        factors = _factors(grouped)
        integers = (grouped // factors[:, :, None]).reshape(len(grouped), grouped.shape[1] * grouped.shape[2])
        return np.concatenate([pack(integers[:, :length], self.dtype), factors.astype(np.uint8).reshape(-1)])

    def from_bytes(self, data: npt.NDArray[Any], dtype: str, shape: tuple[Any, ...] | None) -> Integers:
        """The constant of a dtype and a shape; raises ValueError that says what is wrong with it."""
        is_known = shape is not None and all(isinstance(dim, int) and dim >= 0 for dim in shape)
        if shape is None or not is_known or dtype != "i8" or self.axis >= len(shape):
            raise ValueError("is factored, but no int8 of a known shape")
        if prod(filter(None, shape)) >= 2**60:
            raise ValueError("is factored, but no int8 of a known shape")
        if data.dtype != np.uint8 or data.ndim != 1:
            raise ValueError("is factored, but no bytes")
        if len(data) != self.size(shape):
            raise ValueError(f"of i8 {list(shape)} has {len(data)} bytes where {self.size(shape)} are due")
        moved = (shape[self.axis], *shape[: self.axis], *shape[self.axis + 1 :])
        rows, length = moved[0], prod(moved[1:])
        end = -(-rows * length * self.bits // 8)
        integers = unpack(data[:end], self.dtype, (rows, length)).astype(np.int64)
        factors = data[end:].reshape(rows, -(-length // self.group)).repeat(self.group, 1)[:, :length]
        products = integers * factors
        if products.size and not (products.min() >= -128 and products.max() <= 127):
            raise ValueError(f"of i8 {list(shape)} holds a product beyond int8")
        return np.ascontiguousarray(np.moveaxis(products.astype(np.int8).reshape(moved), 0, self.axis))


def decoded(entry: dict[str, int]) -> Factored:
    """The form that an artifact says by these keys; raises ValueError where there is none."""
    form = Factored(**entry)
    if form.bits not in BITS or form.group < 1 or form.axis < 0:
        raise ValueError(
            f"there are no factors of {form.bits} bits, groups of {form.group} and the axis {form.axis}"
        )
    return form


def factored(array: npt.NDArray[Any], dtype: str) -> Factored | None:
    """The form in which a constant takes least bytes; None where it has none that takes less than int8."""
    if dtype != "i8" or array.ndim < 2 or array.size < LEAST or array.size == 0:
        return None
    forms = [form for axis in sorted({0, array.ndim - 1}) if (form := _along(array, axis)) is not None]
    return min(forms, key=lambda form: form.size(array.shape), default=None)


def _along(array: Integers, axis: int) -> Factored | None:
    """The form of rows along an axis."""
    some = array.take(range(min(SOME, array.shape[axis])), axis)
    if _bits(some, axis, GROUPS[-1]) is None:
        return None
    length = array.size // array.shape[axis]
    forms = []
    for group in (length, *(size for size in GROUPS if size < length)):
        bits = _bits(array, axis, group)
        if bits is not None:
            forms.append(Factored(bits, group, axis))
    return min(forms, key=lambda form: form.size(array.shape), default=None)


def _bits(array: Integers, axis: int, group: int) -> int | None:
    """Bits of the integers, where each group has a factor."""
    grouped, _ = _grouped(array, axis, group)
    most = int((np.abs(grouped) // _factors(grouped)[:, :, None]).max(initial=0))
    return next((bits for bits in BITS if most < 1 << (bits - 1)), None)


def _grouped(array: Integers, axis: int, group: int) -> tuple[npt.NDArray[np.int16], int]:
    """Rows as [rows, groups, group], zeros behind their ends, and their length."""
    rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).astype(np.int16)
    length = rows.shape[1]
    padded = np.zeros((len(rows), -(-length // group) * group), np.int16)
    padded[:, :length] = rows
    return padded.reshape(len(rows), -1, group), length


def _factors(grouped: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """The greatest common divisor of each group; 1 of zeros."""
    return np.asarray(np.maximum(np.gcd.reduce(grouped, axis=2), 1), np.int16)
