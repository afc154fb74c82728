"""``AsyncQueue``: the asynchronous face of a queue, ``queue.aio``."""

from __future__ import annotations

from operator import index
from time import monotonic

from headrace.aio.errors import as_asynchronous
from headrace.aio.hub import look_here
from headrace.aio.items import AsyncItem, AsyncItems, AsyncLease
from headrace.aio.post import GETTERS, PUTTERS
from headrace.aio.waiting import join, wait_until
from headrace.backends import memory
from headrace.backends.memory.python import deadline_after
from headrace.errors import Empty, Full, HeadraceError, ShutDown
from headrace.generic import Subscriptable, T
from headrace.selecting import Getting, Putting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Self

    from headrace.contract import Stats

__all__ = ["AsyncQueue", "LifoQueue", "PriorityQueue", "face_of"]

# How many items of a sequence are handed to the queue at a time.
CHUNK = 1000


class AsyncQueue(Subscriptable[T]):
    """A queue for coroutines, with the names and the behaviour of ``asyncio.Queue`` in Python 3.13, and more.

    ``queue.aio`` is the asynchronous face of *queue*: the same items, the same bound, the same tasks. One queue serves
    any number of threads, by its blocking methods, and of event loops in any threads (asyncio, uvloop, trio, anyio) at
    a time. ``AsyncQueue(maxsize)`` makes a queue for programs without threads; ``sync`` is its blocking face.

    **Cancelling** a method that waits is safe at every point: a get that is cancelled has taken nothing, and a put has
    put nothing. **Order**: who waits in one loop is served in the order of arrival; between loops and threads, and
    against callers that do not have to wait, whoever is first there.

    **Fairness**: a method that has nothing to wait for returns without letting the loop run, save that after some
    milliseconds of such calls one lets it run once before it acts. So a coroutine that never finds its queue empty
    starves nobody.

    Args:
        maxsize: how many items may wait; 0 or less is no bound.

    Errors are those of the blocking face and of ``asyncio`` at once: ``QueueEmpty`` is a ``queue.Empty`` too.
    """

    __slots__ = ()

    # Its methods that are to be awaited although they may be written in C: see consumers/arguments.py.
    _awaited = ("get", "put")

    if TYPE_CHECKING:
        _queue: Any

    def __init_subclass__(cls) -> None:
        hooks = [name for name in ("_init", "_qsize", "_put", "_get", "_peek") if name in vars(cls)]
        if hooks:
            raise TypeError(
                f"{cls.__name__} overrides {', '.join(hooks)}, which this face of a queue does not call: override them "
                "in a subclass of headrace.Queue, and use its .aio"
            )

    def __new__(cls, maxsize: int = 0) -> AsyncQueue[T]:
        """A new queue, or rather its face."""
        if cls is AsyncQueue:
            return face_of(memory.Queue(maxsize))
        self: AsyncQueue[T] = object.__new__(cls)  # a subclass
        self._queue = memory.Queue(maxsize)
        return self

    if not TYPE_CHECKING:

        def __init__(self, *arguments: Any, **named: Any) -> None:
            """Nothing more: see ``__new__``."""

    @property
    def sync(self) -> Any:
        """The blocking face of this queue, for threads."""
        return self._queue

    # -- putting ---------------------------------------------------------------------------------

    async def put(self, item: T, timeout: float | None = None, **more: Any) -> None:
        """Put *item*, waiting for room.

        Args:
            item: anything that the queue takes.
            timeout: seconds to wait for room; None waits for as long as it takes.
            more: what else the ``put`` of this queue has, as ``priority=``.

        Raises:
            QueueFull: no room within the timeout.
            QueueShutDown: the queue is shut down, or was while this call waited.
            ValueError: *timeout* is negative.
        """
        await self._put_within(item, timeout, **more)

    async def _put_within(self, item: T, timeout: float | None = None, **more: Any) -> None:
        deadline = deadline_after(timeout)
        await wait_until(self._queue, PUTTERS, lambda: self._queue.put(item, block=False, **more), Full, deadline)

    def put_nowait(self, item: T, **more: Any) -> None:
        """Put *item* if there is room now, else raise ``QueueFull``."""
        self._put_now(item, **more)

    def _put_now(self, item: T, **more: Any) -> None:
        try:
            self._queue.put_nowait(item, **more)
        except HeadraceError as error:
            raise as_asynchronous(error) from None
        look_here()

    async def put_many(self, items: Iterable[T], timeout: float | None = None) -> None:
        """Put all *items* in order, as room is found. Items of other producers may come in between.

        An iterator is drawn from one item at a time, in the loop's thread. If it is cancelled, or the time is up, some
        of the items are in: an exception says in ``put_count`` how many (a cancellation too, as an attribute).

        Raises:
            QueueFull: out of room and of time. ``put_count`` items are in; ``pending`` holds an item that had been
                drawn from an iterator already.
            QueueShutDown: the queue is shut down, with ``put_count`` and ``pending`` likewise.
        """
        deadline = deadline_after(timeout)
        if isinstance(items, (list, tuple)):
            await self._put_sequence(items, deadline)
        else:
            await self._put_iterable(items, deadline)

    async def _put_sequence(self, items: list[T] | tuple[T, ...], deadline: float | None) -> None:
        count = 0

        def attempt() -> None:
            nonlocal count
            while count < len(items):
                chunk = items[count : count + CHUNK]
                try:
                    self._queue.put_many(chunk, False)
                except (Full, ShutDown) as error:
                    count += error.put_count
                    raise
                count += len(chunk)

        try:
            await wait_until(self._queue, PUTTERS, attempt, Full, deadline)
        except BaseException as error:
            _say(error, count, ())
            raise

    async def _put_iterable(self, items: Iterable[T], deadline: float | None) -> None:
        for count, item in enumerate(items):
            try:
                if deadline is None:
                    await self.put(item)
                else:
                    await self.put(item, max(0.0, deadline - monotonic()))
            except BaseException as error:
                _say(error, count, (item,))
                raise

    # -- getting ---------------------------------------------------------------------------------

    async def get(self, timeout: float | None = None) -> T:
        """Take the next item out, waiting for one.

        Args:
            timeout: seconds to wait for an item; None waits for as long as it takes.

        Raises:
            QueueEmpty: no item within the timeout.
            QueueShutDown: the queue is shut down and has no item left.
            ValueError: *timeout* is negative.
        """
        item: T = await self._get_within(timeout)
        return item

    async def _get_within(self, timeout: float | None = None) -> Any:
        return await wait_until(self._queue, GETTERS, self._queue.get_nowait, Empty, deadline_after(timeout))

    def get_nowait(self) -> T:
        """Take the next item if one is there now, else raise ``QueueEmpty``."""
        return self._get_now()

    def _get_now(self) -> T:
        try:
            item: T = self._queue.get_nowait()
        except HeadraceError as error:
            raise as_asynchronous(error) from None
        look_here()
        return item

    async def get_many(self, max_items: int, timeout: float | None = None) -> list[T]:
        """Take up to *max_items* items, in order, waiting only for the first. Raises as ``get``.

        The caller owes a ``task_done`` for each: ``task_done(len(items))``.
        """
        if index(max_items) < 1:
            raise ValueError(f"'max_items' must be at least 1, not {max_items!r}")
        queue = self._queue
        items: list[T] = await wait_until(
            queue, GETTERS, lambda: queue.get_many(max_items, False), Empty, deadline_after(timeout)
        )
        return items

    async def _next(self) -> Any:
        try:
            return await self.get()
        except ShutDown:
            raise StopAsyncIteration from None

    def __aiter__(self) -> AsyncItems[T]:
        """Get items until the queue is shut down and drained. The caller owes each a ``task_done``."""
        return AsyncItems(self)

    def item(self, timeout: float | None = None) -> AsyncItem[T]:
        """``async with queue.aio.item() as item``: gets on entering, settles on leaving whatever happens."""
        return AsyncItem(self, timeout)

    def lease(self, timeout: float | None = None) -> AsyncLease[T]:
        """``async with queue.aio.lease() as lease``: the next item under a lease; see ``headrace.Lease``.

        The item is done when the block ends, and is given back to the queue when the block raises or is cancelled.
        ``lease = await queue.aio.lease()`` is a lease to settle by hand.
        """
        return AsyncLease(self, timeout)

    async def _take(self, stop: list[Any] | None, timeout: float | None = None) -> Any:
        """The next item as it lies in the queue: see ``contract.LeasingContract``."""
        queue = self._queue
        hand: list[Any] = []

        def attempt() -> Any:
            queue._take(stop, False, None, hand)
            return hand[0]

        return await wait_until(queue, GETTERS, attempt, Empty, deadline_after(timeout))

    def getting(self, *, required: bool = False) -> Getting[T]:
        """Taking the next item of this queue, as a case of ``headrace.aio.select``. The queue itself means the same.

        With *required* the select ends with ``QueueShutDown`` when this queue is shut down and has no item left.
        """
        return Getting(self, required=required)

    def putting(self, item: T, **more: Any) -> Putting[T]:
        """Putting *item* into this queue, as a case of ``headrace.aio.select``. *more* is what else its ``put`` has."""
        return Putting(self, item, **more)

    # -- settling and ending ---------------------------------------------------------------------

    def task_done(self, count: int = 1) -> None:
        """Say that the work on *count* items that were taken is complete.

        Raises ValueError, and settles nothing, when there are not so many unfinished items.
        """
        self._queue.task_done(count)
        look_here()

    async def join(self, timeout: float | None = None) -> None:
        """Wait until every item that was put has been settled by ``task_done``.

        Raises:
            TimeoutError: items are unfinished after *timeout* seconds.
        """
        await join(self._queue, timeout)

    def shutdown(self, immediate: bool = False) -> None:
        """Shut the queue down: puts raise ``QueueShutDown`` from now on, gets once it is empty.

        With *immediate* the waiting items are dropped, each counted as done.
        """
        self._queue.shutdown(immediate)
        look_here()

    # -- looking ---------------------------------------------------------------------------------

    @property
    def maxsize(self) -> int:
        """How many items may wait; 0 or less is no bound."""
        maxsize: int = self._queue.maxsize
        return maxsize

    @property
    def is_shutdown(self) -> bool:
        """Whether the queue was shut down."""
        return bool(self._queue.is_shutdown)

    @property
    def dead(self) -> Any:
        """The items that failed for good: see ``headrace.DeadLetters``."""
        return self._queue.dead

    def qsize(self) -> int:
        """How many items wait now."""
        size: int = self._queue.qsize()
        return size

    def empty(self) -> bool:
        """Whether no item waits now."""
        return bool(self._queue.empty())

    def full(self) -> bool:
        """Whether ``put`` would wait now."""
        return bool(self._queue.full())

    def peek(self) -> T:
        """The item that ``get`` would take now, left where it is; ``QueueEmpty`` if none is there."""
        try:
            item: T = self._queue.peek()
            return item
        except HeadraceError as error:
            raise as_asynchronous(error) from None

    def stats(self) -> Stats:
        """The counters of this queue at one instant. Coroutines that wait are counted with the threads."""
        stats: Stats = self._queue.stats()
        return stats

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        return True

    def __contains__(self, item: object) -> bool:
        return item in self._queue

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncQueue) and self._queue is other._queue

    def __hash__(self) -> int:
        return hash((AsyncQueue, id(self._queue)))

    def __repr__(self) -> str:
        return f"<aio of {self._queue!r}>"


def _say(error: BaseException, count: int, pending: tuple[Any, ...]) -> None:
    """What a put of many that ended with *error* had put, and what it had in hand. Other errors say nothing."""
    if isinstance(error, (Full, ShutDown)) or not isinstance(error, Exception):
        try:
            error.put_count, error.pending = count, pending  # type: ignore[union-attr]
        except AttributeError:
            pass  # it has no room for it


class PlainFace(AsyncQueue[T]):
    """The face of a queue that has no faster one."""

    __slots__ = ("__weakref__", "_queue")

    def __new__(cls, queue: Any) -> Self:
        """The face of *queue*."""
        self = object.__new__(cls)
        self._queue = queue
        return self


_memory_face: Callable[[Any], AsyncQueue[Any]] = PlainFace
if memory.implementation == "c":
    from headrace.backends.memory._core import Face

    # What it returns is no coroutine for the interpreter, but for everybody else.
    class FastFace(Face[T], AsyncQueue[T]):  # pyright: ignore[reportIncompatibleMethodOverride]
        """The face of a queue of the C core: what waits for nothing is in C."""

        __slots__ = ("__weakref__",)

    _memory_face = FastFace


def face_of(queue: Any) -> AsyncQueue[Any]:
    """``queue.aio`` of a queue in memory."""
    return _memory_face(queue) if isinstance(queue, memory.Queue) else PlainFace(queue)


if TYPE_CHECKING:

    class LifoQueue(AsyncQueue[T]):
        """``AsyncQueue`` that is last in, first out: as ``asyncio.LifoQueue``."""

        def __new__(cls, maxsize: int = 0) -> Self:
            """A new queue."""
            ...

    class PriorityQueue(AsyncQueue[T]):
        """``AsyncQueue`` that gives the lowest item first, as ``asyncio.PriorityQueue``; ``put`` has ``priority=``."""

        def __new__(cls, maxsize: int = 0) -> Self:
            """A new queue."""
            ...

else:

    class LifoQueue(_memory_face):
        """``AsyncQueue`` that is last in, first out: as ``asyncio.LifoQueue``."""

        __slots__ = ()

        def __new__(cls, maxsize: int = 0) -> Self:
            """A new queue, or rather its face."""
            return super().__new__(cls, memory.LifoQueue(maxsize))

    class PriorityQueue(_memory_face):
        """``AsyncQueue`` that gives the lowest item first, as ``asyncio.PriorityQueue``; ``put`` has ``priority=``."""

        __slots__ = ()

        def __new__(cls, maxsize: int = 0) -> Self:
            """A new queue, or rather its face."""
            return super().__new__(cls, memory.PriorityQueue(maxsize))

    # What messages of the interpreter call them.
    for _face in {PlainFace, _memory_face}:
        _face.__name__ = _face.__qualname__ = "AsyncQueue"
    del _face
