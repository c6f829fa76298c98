"""What is kept of each tensor while calibration data run through the model.

The state is a function of the multiset of samples: any order, and any way of merging, gives the same bytes.
"""

import struct
from dataclasses import dataclass

_FRACTION_BITS = 149
"""Every finite float32 is a multiple of 2^-149."""

_SUM_BYTES = 48
"""Enough for the sum of 2^64 float32 in fixed point: 128 + 149 + 64 bits and a sign."""

_HEAD = struct.Struct("<ddQQQQ")


@dataclass
class Observer:
    """The extremes of one tensor.

    minimum, maximum: over all finite elements; minimum > maximum where there were none.
    elements, nans, infinities: how many there were.
    samples: how many samples had a finite element.
    minima, maxima: the sums of those samples' extremes, exact, in units of 2^-149.
    """

    minimum: float = float("inf")
    maximum: float = float("-inf")
    elements: int = 0
    nans: int = 0
    infinities: int = 0
    samples: int = 0
    minima: int = 0
    maxima: int = 0

    def add(self, minimum: float, maximum: float, nans: int, infinities: int, elements: int) -> None:
        """Take in one sample: the float32 extremes of its finite elements, and the counts."""
        self.elements += elements
        self.nans += nans
        self.infinities += infinities
        if elements > nans + infinities:
            # The sum with 0 makes -0 a +0, so that the order of samples cannot show.
            self.minimum = min(self.minimum, minimum + 0.0)
            self.maximum = max(self.maximum, maximum + 0.0)
            self.samples += 1
            self.minima += fixed_point(minimum)
            self.maxima += fixed_point(maximum)

    def merge(self, other: "Observer") -> None:
        """Take in what another observer of the same tensor saw."""
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self.elements += other.elements
        self.nans += other.nans
        self.infinities += other.infinities
        self.samples += other.samples
        self.minima += other.minima
        self.maxima += other.maxima

    def to_bytes(self) -> bytes:
        """The whole state; little-endian, of one length always."""
        head = _HEAD.pack(self.minimum, self.maximum, self.elements, self.nans, self.infinities, self.samples)
        sums = (total.to_bytes(_SUM_BYTES, "little", signed=True) for total in (self.minima, self.maxima))
        return head + b"".join(sums)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Observer":
        """The observer whose `to_bytes` gave `data`; raises `ValueError` where it has another length."""
        if len(data) != _HEAD.size + 2 * _SUM_BYTES:
            raise ValueError(f"an observer's state has {_HEAD.size + 2 * _SUM_BYTES} bytes, not {len(data)}")
        sums = data[_HEAD.size :]
        halves = (sums[:_SUM_BYTES], sums[_SUM_BYTES:])
        minima, maxima = (int.from_bytes(half, "little", signed=True) for half in halves)
        minimum, maximum, elements, nans, infinities, samples = _HEAD.unpack_from(data)
        return cls(minimum, maximum, elements, nans, infinities, samples, minima, maxima)


def fixed_point(value: float) -> int:
    """A finite float32 in units of 2^-149, exact."""
    numerator, denominator = value.as_integer_ratio()
    return numerator * ((1 << _FRACTION_BITS) // denominator)


def mean(total: int, count: int) -> float:
    """The mean of `count` numbers whose fixed-point sum is `total`, rounded once to float64."""
    return total / (count << _FRACTION_BITS)
