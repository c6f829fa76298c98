"""The same work on one sample after the other, by several threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TypeVar

from octavo._core import threads as threads_of

Item = TypeVar("Item")
Result = TypeVar("Result")

HANDFUL = 4
"""Items that are in memory anyway are given to a thread so many at a time: to give costs as much as to run a
small layer."""


def each(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None, together: int = 1
) -> Iterator[Result]:
    """What the function gives for each item, in order; by as many threads as `octavo.Session` would take.

    Sessions of one thread that run over samples so have no thread wait for another. together: how many items
    a thread is given at a time. No more of these are taken than one beyond those that are worked on. The
    first error of the function, or of the items, ends it all.
    """
    count = threads_of(threads)
    if count == 1:
        yield from map(function, items)
        return
    pool, turns = _pool(count, os.getpid()), iter(items)
    under_way: deque[Future[list[Result]]] = deque()
    try:
        while some := list(islice(turns, together)):
            under_way.append(pool.submit(_results, function, some))
            if len(under_way) > count:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()
    finally:
        for left in under_way:
            if not left.cancel():
                left.exception()


def _results(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [function(item) for item in items]


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """The threads of a process, which wait where there is nothing to do: a fork does not have them."""
    return ThreadPoolExecutor(threads, f"octavo of {process}")
