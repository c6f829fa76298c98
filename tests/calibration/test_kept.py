"""Samples that are kept: a bounded choice, the same in any order and however the samples were split."""

import random

import numpy as np
import pytest
from octavo.calibration import Kept, kept
from octavo.calibration.kept import ENOUGH, MEMORY, MOST, content_hash

F = np.float32


def made(feeds, most=MOST):
    chosen = Kept(most)
    list(chosen.watch(feeds))
    return chosen


def sample(index, size=3):
    return {"x": np.full(size, index, F), "n": np.array([index % 7])}


def content(chosen):
    return [{name: array.tolist() for name, array in feeds.items()} for feeds in chosen.feeds]


@pytest.mark.parametrize("count", [0, 1, 2, MOST - 1, MOST, MOST + 1, 500])
def test_no_order_and_no_split_shows(count):
    samples = [sample(index) for index in range(count)]
    whole = made(samples)
    assert len(whole.feeds) == min(count, MOST)
    assert content(whole.first(ENOUGH)) == content(made(samples, ENOUGH)) == content(whole)[:ENOUGH]
    assert whole.first(ENOUGH).seen == count
    assert whole.seen == count
    hashes = sorted(content_hash(feeds) for feeds in samples)
    assert [content_hash(feeds) for feeds in whole.feeds] == hashes[:MOST]
    for seed in range(4):
        shuffled = random.Random(seed).sample(samples, count)
        assert content(made(shuffled)) == content(whole)
        split = count * seed // 3
        first, second = made(shuffled[:split]), made(shuffled[split:])
        first.merge(second)
        assert (content(first), first.seen) == (content(whole), count)


def test_a_buffer_may_be_used_again():
    buffer = np.zeros(2, F)

    def feeds():
        for index in range(20):
            buffer[:] = index
            yield {"x": buffer}

    assert sorted(int(feeds["x"][0]) for feeds in made(feeds()).feeds) == list(range(20))


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(kept, "MEMORY", 4096)
    samples = [sample(index, size=100 + index % 40) for index in range(60)]
    whole = made(samples)
    size = sum(array.nbytes for feeds in whole.feeds for array in feeds.values())
    assert 4096 - 700 < size <= 4096
    assert content(made(samples[::-1])) == content(whole)
    assert len(made([sample(index, size=5000) for index in range(9)]).feeds) == 2
    assert MEMORY == 1 << 26


def test_equal_samples_are_counted_each():
    assert len(made([sample(1)] * 5).feeds) == 5


def test_the_halves_are_told_apart_by_the_contents():
    samples = [sample(index) for index in range(80)]
    chosen = Kept()
    halves = {content_hash(feeds): half for feeds, half in chosen.watch(samples)}
    assert set(halves.values()) == {0, 1}
    assert 25 < sum(halves.values()) < 55
    for half, feeds in enumerate(chosen.halves):
        assert {halves[content_hash(one)] for one in feeds} == {half}
    again = {content_hash(feeds): half for feeds, half in Kept().watch(samples[::-1])}
    assert again == halves


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.zeros(4, F)},
        {"y": np.zeros(3, F)},
        {"x": np.zeros(3, np.int32)},
        {"x": np.zeros((3, 1), F)},
        {"x": np.array([0, 0, 1], F)},
        {"x": np.zeros(3, F), "y": np.zeros(0, F)},
    ],
)
def test_hashes_are_of_names_types_shapes_and_elements(other):
    base = {"x": np.zeros(3, F)}
    assert content_hash(base) != content_hash(other)
    strided = np.zeros(6, F)[::2]
    assert content_hash({"x": strided}) == content_hash(base)
    two = {"a": np.ones(1, F), "b": np.zeros(2, F)}
    assert content_hash(two) == content_hash(dict(reversed(two.items())))
