"""Samples by several threads: in order, few at a time, and an error ends it."""

import threading

import pytest
from octavo.calibration import each
from octavo.errors import RunError


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_are_in_order_whichever_is_done_first(threads):
    done = [threading.Event() for _ in range(12)]

    def work(place):
        # The first of each three waits for the next one, where another thread can do that.
        if threads > 1 and place % 3 == 0 and place + 1 < len(done):
            assert done[place + 1].wait(10)
        done[place].set()
        return place * place

    assert list(each(work, range(12), threads)) == [place * place for place in range(12)]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_no_more_items_are_taken_than_one_beyond_those_worked_on(threads):
    taken, given = [], 0
    for _ in each(lambda item: item, (taken.append(item) or item for item in range(50)), threads):
        given += 1
        assert len(taken) - given <= threads
    assert given == len(taken) == 50


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_error_ends_it(threads):
    started = []

    def work(item):
        started.append(item)
        if item == 3:
            raise KeyError(item)
        return item

    found = each(work, range(100), threads)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        list(found)
    assert len(started) <= 4 + threads


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_the_items_is_that_of_the_caller(threads):
    def items():
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(each(lambda item: item, items(), threads))


def test_as_many_threads_as_a_session_would_take(monkeypatch):
    meeting = threading.Barrier(3, timeout=10)
    monkeypatch.setenv("OCTAVO_THREADS", "3")
    assert len(list(each(lambda _: meeting.wait(), range(6), None))) == 6
    for wrong in (0, 2000, "2"):
        with pytest.raises(RunError, match="threads is"):
            list(each(lambda item: item, [1], wrong))
