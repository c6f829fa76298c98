"""The integer types that stand for reals: what quantization may use of them, and what their sums need.

Whoever asks for a range, a clamp, the size of a table or the bound of a sum asks here.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.program import DTYPES, PACKED, Program

SUM_ENDS = {"i32": 2**31, "i64": 2**38}
"""What the magnitude of a sum of products stays below, by the dtype that it is kept in. 64 bits hold a sum
times the 24 bits of a multiplier, exactly, while the sum stays below 2^38."""


@dataclass(frozen=True)
class Integers:
    """One way to hold a tensor of reals in integers, `real = scale * (q - zero_point)`.

    dtype: as a Value has it. low, high: the integers that quantization uses, of all that the dtype has.
    symmetric: the zero point is 0. accumulator: the dtype of the exact sums of products, for activations.
    """

    dtype: str
    low: int
    high: int
    symmetric: bool
    accumulator: str = "i32"

    @property
    def steps(self) -> int:
        """How many steps there are from the lowest integer to the highest."""
        return self.high - self.low

    @property
    def count(self) -> int:
        """How many integers the dtype has: the entries of a table over them."""
        return 1 << bits(self.dtype)

    @property
    def sum_end(self) -> int:
        """What the magnitude of a sum of products must stay below."""
        return SUM_ENDS[self.accumulator]

    @property
    def shift_min(self) -> int:
        """The least shift of a requantization: from 8 on, the 24 bits of its multiplier do for a factor."""
        return 1 if self.accumulator == "i32" else 8

    @property
    def zero_points(self) -> tuple[int, int]:
        """The least and the greatest zero point."""
        return (0, 0) if self.symmetric else (self.low, self.high)

    def reach(self, zero_point: int) -> int:
        """The greatest magnitude of `q - zero_point` over all integers of the dtype, for formula (5)."""
        least, greatest = limits(self.dtype)
        return max(zero_point - least, greatest - zero_point)

    def all(self) -> npt.NDArray[Any]:
        """Every integer of the dtype, from the least to the greatest; [count]."""
        least, greatest = limits(self.dtype)
        return np.arange(least, greatest + 1, dtype=DTYPES[self.dtype])

    @property
    def name(self) -> str:
        """As numpy and ONNX name it."""
        return f"{'u' * (self.dtype[0] == 'u')}int{bits(self.dtype)}"

    def __str__(self) -> str:
        return self.name


UINT8 = Integers("u8", 0, 255, symmetric=False)
INT16 = Integers("i16", -32767, 32767, symmetric=True, accumulator="i64")
INT8 = Integers("i8", -127, 127, symmetric=True)

ACTIVATIONS = {integers.dtype: integers for integers in (UINT8, INT16)}
"""What activations are held in, by dtype."""

INT8_WITH_ZERO_POINT = Integers("i8", -128, 127, symmetric=False)
"""What weights of 8 bits that have zero points are stored in; no kernel multiplies them."""

WEIGHTS = {
    integers.dtype: integers
    for integers in (
        INT8,
        *(Integers(f"i{n}", 1 - (1 << (n - 1)), (1 << (n - 1)) - 1, symmetric=True) for n in (4, 3, 2)),
        *(Integers(f"u{n}", 0, (1 << n) - 1, symmetric=False) for n in (4, 3, 2)),
    )
}
"""What weights are held in, by dtype."""


def bits(dtype: str) -> int:
    """Bits of an integer dtype."""
    return PACKED.get(dtype) or 8 * DTYPES[dtype].itemsize


def limits(dtype: str) -> tuple[int, int]:
    """The least and the greatest integer of a dtype."""
    if dtype[0] == "u":
        return 0, (1 << bits(dtype)) - 1
    return -(1 << (bits(dtype) - 1)), (1 << (bits(dtype) - 1)) - 1


def is_integer(dtype: str) -> bool:
    """Whether a dtype is one of integers."""
    return dtype in PACKED or DTYPES[dtype].kind in "iu"


def storage(dtype: str) -> np.dtype[Any]:
    """What a constant of that dtype is an array of."""
    return DTYPES.get(dtype, DTYPES["u8"])


def packed_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """The bytes that a packed tensor takes."""
    return -(-math.prod(shape) * PACKED[dtype] // 8)


def pack(array: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.uint8]:
    """Integers of a packed dtype as bytes [packed_bytes]: in C order, the lowest bits of a byte first.

    Raises ValueError for an integer that the dtype does not have.
    """
    least, greatest = limits(dtype)
    if array.size and not (least <= array.min() and array.max() <= greatest):
        raise ValueError(f"{dtype} holds {least} to {greatest}, not {array.min()} to {array.max()}")
    plain = (array.reshape(-1).astype(np.int64) & ((1 << PACKED[dtype]) - 1)).astype(np.uint8)
    planes = np.unpackbits(plain[:, None], axis=1, bitorder="little")[:, : PACKED[dtype]]
    return np.packbits(planes.reshape(-1), bitorder="little")


def unpack(data: npt.NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The integers that `pack` was given, as int8 or uint8."""
    width, count = PACKED[dtype], math.prod(shape)
    planes = np.unpackbits(data, count=count * width, bitorder="little").reshape(count, width)
    plain = np.packbits(planes, axis=1, bitorder="little").reshape(shape)
    if dtype[0] == "u":
        return plain
    shift = 8 - width  # moved to the top and back, the sign bit fills what is above it
    return np.asarray((plain << shift).view(np.int8) >> shift)


def elements(program: Program, name: str) -> npt.NDArray[Any]:
    """The elements of a constant, those of a packed dtype as int8 or uint8."""
    array, value = program.constants[name], program.values[name]
    if value.dtype not in PACKED:
        return array
    return unpack(array, value.dtype, tuple(int(size) for size in value.shape or ()))
