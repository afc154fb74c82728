"""``map`` and ``imap_unordered``: a function over the items of a source, in threads, lazily and within bounds."""

from __future__ import annotations

from headrace.consumers.arguments import check_count, check_handler, check_source
from headrace.consumers.map_iterator import MapIterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from headrace.consumers.arguments import Source

    T = TypeVar("T")
    R = TypeVar("R")

__all__ = ["imap_unordered", "map"]


def map(  # noqa: A001 - what it is in Python
    function: Callable[[T], R],
    iterable: Source[T],
    consumers: int = 3,
    *,
    maxsize: int = 100,
    ordered: bool = True,
) -> MapIterator[R]:
    """Call *function* with each item of *iterable*, in several threads, and iterate over the results.

    ::

        for page in headrace.map(fetch, addresses, consumers=8):
            print(page.title)

    It is lazy: nothing happens until the first ``next()``. From then on it reads ahead, but items that were read and
    whose results were not yet yielded are never more than *maxsize* + *consumers*, so that an infinite iterable works
    in constant memory. The iterable is read in the thread that calls ``next()`` (cursors, files and generators are
    often bound to one). If it is slow, results that are ready are yielded first; but while it is computing or waiting
    for its next item, nobody can interrupt it.

    The failure of an item is raised at its place, with a note that says which item it was. No further item is begun
    once an item has failed; calls that are running come to their end before the error is raised, a generator is closed,
    and the iterator has ended. If the iterable fails, its error is raised after the results of what came before.

    The iterator ends its threads when it comes to its end, at ``close()``, at the end of a ``with`` block, and when it
    is dropped (as by ``break`` out of ``for result in headrace.map(...)``). ``close()`` and ``with`` wait for
    calls that are running, and close a generator; dropping it does not.

    Ctrl-C (``KeyboardInterrupt`` in the calling thread) stops all, but waits at most half a second for running
    calls. Those that take longer are left behind in daemon threads, which do not keep the program from ending.

    Several threads may call ``next()``: one at a time gets its turn, and each result goes to one of them.

    Args:
        function: called with each item. It must be safe to call from several threads. For coroutine functions there is
            ``headrace.aio.map``.
        iterable: an iterable, or a function without arguments that returns one.
        consumers: how many threads, at least 1.
        maxsize: how far to read ahead, in items, besides one for each thread; at least 1.
        ordered: yield the results in the order of the items; False yields them as they come.

    Returns:
        An iterator over the results. ``next()`` blocks until there is one.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
    """
    check_handler(function, "function", instead="headrace.aio.map runs it on your event loop")
    check_source(iterable)
    check_count("consumers", consumers, 1, "how many threads call the function")
    check_count("maxsize", maxsize, 1, "how many items may be read ahead")
    return MapIterator(function, iterable, consumers, maxsize, ordered)


def imap_unordered(
    function: Callable[[T], R], iterable: Source[T], consumers: int = 3, *, maxsize: int = 100
) -> MapIterator[R]:
    """Call *function* with each item of *iterable*, in several threads, and iterate over the results as they come.

    It is ``headrace.map(..., ordered=False)``: a slow item does not hold back the results of others.
    """
    return map(function, iterable, consumers, maxsize=maxsize, ordered=False)
