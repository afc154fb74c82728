"""``aconsume``: a source, a coroutine function and some consumers, in one call that is awaited."""

from __future__ import annotations

import asyncio
from time import perf_counter

from headrace.backends.memory import Queue
from headrace.consumers.arguments import SHUT_DOWN, check_count, check_handler
from headrace.consumers.async_source import check_any_source, close, iterate_asynchronously
from headrace.consumers.failure import note, note_item, raise_all
from headrace.consumers.progress import bar, expected_items
from headrace.consumers.summary import ConsumerSummary, Summary
from headrace.pool.async_consumer import awaitable
from headrace.pool.async_pool import AsyncConsumerPool, blocking_face, refuse_trio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, TypeAlias, TypeVar

    from headrace.aio.queue import AsyncQueue
    from headrace.consumers.async_source import AnySource
    from headrace.contract import QueueContract

    T = TypeVar("T")
    AsyncSource: TypeAlias = AnySource[T] | QueueContract[T] | AsyncQueue[T]

__all__ = ["aconsume"]

STOPPED = "aconsume() was stopped by several failures"


async def aconsume(
    source: AsyncSource[T],
    handler: Callable[[T], Awaitable[object]],
    consumers: int = 3,
    maxsize: int = 1000,
    progress: bool = False,
) -> Summary:
    """Await *handler* for each item of *source*, for several at a time, and return when all are handled.

    ::

        print(await headrace.aconsume(urls, fetch, consumers=100))

    The source is iterated over at most *maxsize* items ahead of the consumers, and items are begun in its order. One
    that is not asynchronous holds up the event loop while it computes its next item.

    **A queue** as a source is one that others put into: its items are taken until it is shut down and all of them are
    settled. An item is settled when its handler has returned, and what was not begun stays in the queue.

    The first failure stops all: no further item is taken, those that wait are dropped, handlers that are running
    come to their end, the source is closed if it is a generator, and the error is raised. A source that waits is
    cancelled. A queue is shut down, and the item that failed is in its ``dead``.

    Cancelling this call cancels the handlers that are running, and waits for their ends. Items of a queue are given
    back to it.

    Args:
        source: an iterable, an asynchronous one, or a function without arguments that returns one; or a queue.
        handler: called with each item, and what it returns is awaited.
        consumers: how many items are handled at a time, at least 1.
        maxsize: how many items may wait for a consumer; 0 is no bound. A queue has its own.
        progress: show a progress bar on stderr when that is a terminal, and nothing otherwise. Needs
            ``pip install 'headrace[cli]'``.

    Returns:
        What was done, in numbers: ``print`` it.

    Raises:
        Exception: what the handler or the source raised, with a note that says for which item. Several
            (handlers may fail while others are coming to their end) are raised as one ``ExceptionGroup``, or
            ``BaseExceptionGroup`` if one of them is no ``Exception``.
        TypeError, ValueError: an argument is not what it should be.
        NotSupported: called in trio.
    """
    refuse_trio("aconsume()")
    check_handler(handler, may_await=True)
    check_count("consumers", consumers, 1, "how many items are handled at a time")
    check_count("maxsize", maxsize, 0, "how many items may wait, 0 for no bound")
    queue = blocking_face(source)
    run: QueueRun | AsyncRun
    if hasattr(queue, "_take") and hasattr(queue, "aio"):
        run = QueueRun(queue, handler, consumers)
    else:
        check_any_source(source)
        run = AsyncRun(source, handler, consumers, maxsize)
    begun = perf_counter()
    with bar(progress, run.handled, expected_items(source)):
        await run.through()
    return Summary(run.handled(), 0, perf_counter() - begun, run.per_consumer())


class QueueRun:
    """One call for a queue: a pool that ends with it."""

    def __init__(self, queue: Any, handler: Any, consumers: int) -> None:
        # Signals are for who runs the loop: this is cancelled then.
        self._pool = AsyncConsumerPool(
            queue, handler, consumers, on_error="stop", grace=float("inf"), signals=False, name="Consumer"
        )

    def handled(self) -> int:
        """How many items are handled by now."""
        return self._pool.summary().items

    def per_consumer(self) -> tuple[ConsumerSummary, ...]:
        """Who has handled how many."""
        return self._pool.summary().per_consumer

    async def through(self) -> None:
        """Handle all items until the queue has ended."""
        try:
            await self._pool.run_to_end()
        except BaseExceptionGroup:
            if self._pool.errors:
                raise_all(list(self._pool.errors), STOPPED)
            raise


class AsyncRun:
    """One call for something that is iterated over: its queue, its tasks, and what went wrong."""

    def __init__(self, source: Any, handler: Any, consumers: int, maxsize: int) -> None:
        self._source = source
        self._handler = handler
        # Holds pairs: an item's position in the source, counted from 1, and the item.
        self._queue: Queue[tuple[int, Any]] = Queue(maxsize)
        self._errors: list[BaseException] = []
        self._counts = [0] * consumers
        self._tasks: list[asyncio.Task[None]] = []
        self._feeder: asyncio.Task[None] | None = None

    def handled(self) -> int:
        """How many items are handled by now."""
        return sum(self._counts)

    def per_consumer(self) -> tuple[ConsumerSummary, ...]:
        """Who has handled how many."""
        return tuple(ConsumerSummary(f"Consumer-{number}", items) for number, items in enumerate(self._counts, 1))

    async def through(self) -> None:
        """Handle all items, and raise what went wrong."""
        items = iterate_asynchronously(self._source)
        self._feeder = asyncio.create_task(self._feed(items), name="aconsume source")
        for index in range(len(self._counts)):
            self._tasks.append(asyncio.create_task(self._handle_all(index), name=f"Consumer-{index + 1}"))
        try:
            await asyncio.wait([self._feeder, *self._tasks])
        except asyncio.CancelledError:
            await self._cancel_all()
            await self._close(items)
            raise
        finally:
            self._stop()
        await self._close(items)
        if self._errors:
            raise_all(self._errors, STOPPED)

    async def _close(self, items: Any) -> None:
        try:
            await close(items)
        except Exception as error:
            self._errors.append(error)

    async def _cancel_all(self) -> None:
        self._stop()
        tasks = [task for task in (self._feeder, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    def _stop(self) -> None:
        """Have nothing more begun or put, and drop what waits."""
        self._queue.shutdown(immediate=True)
        if self._feeder is not None:
            self._feeder.cancel()

    def _fail(self, error: BaseException) -> None:
        self._errors.append(error)
        self._stop()

    async def _feed(self, items: Any) -> None:
        """Put what the source yields until it ends or fails, or the run is stopped."""
        number = 0
        put = self._queue.aio.put
        try:
            async for item in items:
                number += 1
                try:
                    await put((number, item))
                except SHUT_DOWN:
                    return
                del item  # or it would live until the source yields another
            self._queue.shutdown()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if self._is_stopped(error):
                raise
            if number:
                note(error, f"after item {number} of the source")
            self._fail(error)

    async def _handle_all(self, index: int) -> None:
        # Without task_done: this queue is nobody else's, and nobody joins it.
        get, handler = self._queue.aio.get, self._handler
        while True:
            try:
                number, item = await get()
            except SHUT_DOWN:
                return
            try:
                await awaitable(handler, item)
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                if self._is_stopped(error):
                    raise
                note_item(error, item, number)
                self._fail(error)
                return
            self._counts[index] += 1
            del item  # or it would live until the next one comes

    def _is_stopped(self, error: BaseException) -> bool:
        """Whether *error* is that this run has cancelled the task that it came up in."""
        if not isinstance(error, asyncio.CancelledError) or not self._queue.is_shutdown:
            return False
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
