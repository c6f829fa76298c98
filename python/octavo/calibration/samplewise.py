"""The same work on one sample after the other, by several threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from octavo._core import threads as threads_of

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Iterable[Item], threads: int | None) -> Iterator[Result]:
    """What the function gives for each item, in order; by as many threads as `octavo.Session` would take.

    Sessions of one thread that run over samples so have no thread wait for another. No more items are taken
    than one beyond those that are worked on. The first error of the function, or of the items, ends it all.
    """
    count = threads_of(threads)
    if count == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(count) as pool:
        under_way: deque[Future[Result]] = deque()
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) > count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
