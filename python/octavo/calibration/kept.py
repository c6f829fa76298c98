"""Samples kept for what needs data once more: a bounded choice that does not depend on their order."""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from octavo.calibration.compact import Compact
from octavo.calibration.forms import Feeds

ENOUGH, MOST, MEMORY = 64, 96, 1 << 26
"""Samples that most of the work is done with; samples and bytes that are kept at most, two samples at least,
whatever their size. The bytes are those of the arrays, however they are encoded."""


@dataclass
class Kept:
    """Copies of the samples with the smallest hashes of their contents, in that order.

    They are compact: each array that is asked for may be made anew.

    Which are kept is a function of the multiset of all samples that passed by: their order, or how they were
    split and merged, is nothing to it. most: how many are kept. seen: how many passed by.
    """

    most: int = MOST
    seen: int = 0
    _kept: list[tuple[bytes, int, Compact]] = field(default_factory=list, repr=False)

    def first(self, most: int) -> "Kept":
        """The same as if so many were kept, at most."""
        return Kept(min(most, self.most), self.seen, self._kept[:most])

    @property
    def feeds(self) -> list[Feeds]:
        """The samples."""
        return [feeds for _, _, feeds in self._kept]

    @property
    def halves(self) -> tuple[list[Feeds], list[Feeds]]:
        """The same in two halves, as `watch` tells them apart."""
        pair: tuple[list[Feeds], list[Feeds]] = ([], [])
        for digest, _, feeds in self._kept:
            pair[_half(digest)].append(feeds)
        return pair

    def watch(self, samples: Iterable[Feeds]) -> Iterator[tuple[Feeds, int]]:
        """The samples as they come, each with its half, 0 or 1: a function of its contents."""
        for feeds in samples:
            digest = content_hash(feeds)
            self._keep(digest, feeds)
            yield feeds, _half(digest)

    def merge(self, other: "Kept") -> None:
        """Take in what another one kept."""
        seen = self.seen + other.seen
        for digest, _, feeds in other._kept:
            self._keep(digest, feeds)
        self.seen = seen

    def _keep(self, digest: bytes, feeds: Feeds) -> None:
        self.seen += 1
        if len(self._kept) >= self.most and digest >= self._kept[-1][0]:
            return
        insort(self._kept, (digest, self.seen, Compact.of(feeds)))
        del self._kept[self._room() :]

    def _room(self) -> int:
        """How many of the first samples are within the bounds."""
        size = 0
        for count, (_, _, feeds) in enumerate(self._kept):
            size += feeds.nbytes
            if count == self.most or (count >= 2 and size > MEMORY):
                return count
        return len(self._kept)


def content_hash(feeds: Feeds) -> bytes:
    """A hash of a sample's names, types, shapes and elements."""
    state = blake2b(digest_size=16)
    for name, array in sorted(feeds.items()):
        state.update(f"{name!r} {array.dtype.str} {array.shape}".encode("utf-8", "surrogatepass"))
        state.update(np.ascontiguousarray(array).data)
    return state.digest()


def _half(digest: bytes) -> int:
    """The last bit, which has no part in which samples are kept."""
    return digest[-1] & 1
