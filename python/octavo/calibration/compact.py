"""Samples in little memory: arrays of few different elements, such as pixels, are dictionary-encoded."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from octavo import _core
from octavo.calibration.forms import Array, Feeds


@dataclass(frozen=True, slots=True)
class _Encoded:
    """An array of float32 as its different elements, by their bits, and an index for each element."""

    values: npt.NDArray[np.uint32]
    indices: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The bytes of the array."""
        return len(self.indices) * self.values.itemsize

    def decoded(self) -> Array:
        """The array, made anew."""
        return _core.dictionary_decode(self.values, self.indices).view(np.float32).reshape(self.shape)


class Compact(MutableMapping[str, Array]):
    """Arrays by name, of which those of few different elements are decoded whenever they are asked for.

    So a reader holds what it asked for no longer than it works on it. What is set is held as it is.
    """

    def __init__(self, held: dict[str, Array | _Encoded]) -> None:
        self._held = held

    @staticmethod
    def of(feeds: Feeds) -> "Compact":
        """Copies of the arrays, encoded where that takes less memory."""
        return Compact({name: _encoded(array.copy()) for name, array in feeds.items()})

    @property
    def nbytes(self) -> int:
        """The bytes of the arrays, decoded."""
        return sum(array.nbytes for array in self._held.values())

    def __getitem__(self, name: str) -> Array:
        held = self._held[name]
        return held.decoded() if isinstance(held, _Encoded) else held

    def __setitem__(self, name: str, array: Array) -> None:
        self._held[name] = array

    def __delitem__(self, name: str) -> None:
        del self._held[name]

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __copy__(self) -> "Compact":
        return Compact(self._held.copy())


def _encoded(array: Array) -> Array | _Encoded:
    """array: in one piece."""
    if array.dtype != np.float32:
        return array
    found = _core.dictionary_encode(array.reshape(-1).view(np.uint32))
    return array if found is None else _Encoded(*found, array.shape)


class OfInput(Sequence[Array]):
    """The arrays of an input over samples, each taken out of its sample whenever it is asked for."""

    def __init__(self, name: str, samples: Sequence[Mapping[str, Array]]) -> None:
        self._name = name
        self._samples = samples

    @overload
    def __getitem__(self, index: int) -> Array: ...

    @overload
    def __getitem__(self, index: slice) -> "OfInput": ...

    def __getitem__(self, index: int | slice) -> "Array | OfInput":
        if isinstance(index, slice):
            return OfInput(self._name, self._samples[index])
        return self._samples[index][self._name]

    def __len__(self) -> int:
        return len(self._samples)
