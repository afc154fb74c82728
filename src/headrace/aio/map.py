"""``map`` and ``imap_unordered``: a coroutine function over the items of a source, lazily and within bounds."""

from __future__ import annotations

from headrace.aio.map_iterator import AsyncMapIterator
from headrace.consumers.arguments import check_count, check_handler
from headrace.consumers.async_source import check_any_source, is_asynchronous_iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from headrace.consumers.async_source import AnySource

    T = TypeVar("T")
    R = TypeVar("R")

__all__ = ["imap_unordered", "map"]


def map(  # noqa: A001 - what it is in Python
    function: Callable[[T], Awaitable[R]],
    iterable: AnySource[T],
    consumers: int = 3,
    *,
    maxsize: int = 100,
    ordered: bool = True,
) -> AsyncMapIterator[R]:
    """Await *function* for each item of *iterable*, several at a time, and iterate over the results.

    ::

        async for page in headrace.aio.map(fetch, addresses, consumers=100):
            print(page.title)

    It is ``headrace.map`` for coroutine functions, on the event loop of the caller: asyncio, uvloop, trio or anyio.

    It is lazy: nothing happens until the first ``anext()``. From then on it reads ahead, but items that were read and
    whose results were not yet yielded are never more than *maxsize* + *consumers*. An asynchronous iterable is read in
    a task of its own, so that a slow one holds back no result; any other in the task that asks for a result, a
    millisecond at a time: it must not block.

    The failure of an item is raised at its place, with a note that says which item it was. No further item is begun
    once an item has failed; calls that are running come to their end before the error is raised, a generator is closed,
    and the iterator has ended. If the iterable fails, its error is raised after the results of what came before.

    Leaving it early cancels the calls that are running. ``aclose()``, the end of an ``async with`` block, and being
    cancelled while waiting for a result all wait until those have ended, and close a generator. An iterator that is
    dropped (as by ``break`` out of an ``async for``) cancels them and waits for nothing::

        async with headrace.aio.map(fetch, addresses) as pages:
            async for page in pages: ...

    Each call runs in a task of its own, with a copy of the context in which the first result was asked for. In trio
    these are system tasks: cancel scopes of the caller reach them by way of this iterator alone.

    Several tasks of the loop may ask for results: each result goes to one of them.

    Args:
        function: called with each item; what it returns is awaited.
        iterable: an iterable or an asynchronous iterable, or a function without arguments that returns one.
        consumers: how many calls run at a time, at least 1.
        maxsize: how far to read ahead, in items, besides one for each of those; at least 1.
        ordered: yield the results in the order of the items; False yields them as they come.

    Returns:
        An asynchronous iterator over the results.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
    """
    check_handler(function, "function", may_await=True)
    check_any_source(iterable)
    check_does_not_block(iterable)
    check_count("consumers", consumers, 1, "how many calls run at a time")
    check_count("maxsize", maxsize, 1, "how many items may be read ahead")
    return AsyncMapIterator(function, iterable, consumers, maxsize, ordered)


def imap_unordered(
    function: Callable[[T], Awaitable[R]], iterable: AnySource[T], consumers: int = 3, *, maxsize: int = 100
) -> AsyncMapIterator[R]:
    """Await *function* for each item of *iterable*, several at a time, and iterate over the results as they come.

    It is ``headrace.aio.map(..., ordered=False)``: a slow item does not hold back the results of others.
    """
    return map(function, iterable, consumers, maxsize=maxsize, ordered=False)


def check_does_not_block(iterable: object) -> None:
    """Raise TypeError for a queue: the loop would stand still until it has an item."""
    if hasattr(type(iterable), "aio") and not is_asynchronous_iterable(iterable):
        raise TypeError(
            f"iterating over {iterable!r} would block the event loop: give its asynchronous face, queue.aio"
        )
