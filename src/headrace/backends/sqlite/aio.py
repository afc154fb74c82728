"""``FileAsyncQueue``: ``queue.aio`` of a queue in a file.

A transaction takes some microseconds, or as long as another process is at work on the file; a sync as long as the disk
takes. Neither is made in the loop's thread: see ``attempts.py`` and ``lanes.py``. How coroutines wait for an item, or
for room, is in ``watching.py``.
"""

# The face of a queue is a part of it, in a file of its own.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from contextlib import suppress
from functools import partial
from operator import index
from time import monotonic, time

from headrace.aio.errors import as_asynchronous
from headrace.aio.hub import here
from headrace.aio.items import AsyncItem, AsyncLease
from headrace.aio.queue import AsyncQueue
from headrace.backends.memory.python import deadline_after
from headrace.backends.sqlite import bell, statements
from headrace.backends.sqlite.attempts import Call, Claim, Settle, Store, Sync, Take, holder, outcome
from headrace.backends.sqlite.handle import Blocked
from headrace.backends.sqlite.putting import DRAWING_SECONDS, MOST_DRAWN, check_when
from headrace.backends.sqlite.putting import MOST_AT_ONCE as MOST_PUT_AT_ONCE
from headrace.backends.sqlite.settling import check_task_count
from headrace.backends.sqlite.states import ENDED
from headrace.backends.sqlite.taking import MOST_AT_ONCE
from headrace.backends.sqlite.watching import GETTERS, JOINERS, PUTTERS
from headrace.errors import Empty, Full, HeadraceError, ShutDown
from headrace.generic import T
from headrace.lease import Lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from types import TracebackType
    from typing import Any

    from headrace.backends.sqlite.attempts import Attempt
    from headrace.backends.sqlite.queue import FileQueue
    from headrace.backends.sqlite.statements import Put

__all__ = ["FileAsyncQueue"]


class FileAsyncQueue(AsyncQueue[T]):
    """The asynchronous face of a queue in a file: ``headrace.open("jobs.db").aio``. See ``AsyncQueue``.

    What is awaited here lets the loop run: transactions and syncs are made by a few threads, for any number of
    coroutines, and those who put at the same time share them. What is not awaited (``put_nowait``, ``get_nowait``,
    ``task_done``, ``qsize``, ``peek``, ``stats`` and so on) runs in the loop's thread: a transaction or a look at the
    file, and in ``put_nowait`` also the sync that ``durability="power"`` waits for. Items are encoded in the loop's
    thread, at the call.

    What a task gets it holds: ``task_done`` settles the oldest item that the task has, or else the oldest that others
    have. A lease says which one it means.

    **Cancelling** works as ``AsyncQueue`` says: a ``get`` that is cancelled when it has just taken something gives it
    back; a ``put`` whose item is in the file already returns, and the task is cancelled at its next ``await``.
    """

    __slots__ = ("__weakref__", "_queue")

    def __new__(cls, queue: Any) -> FileAsyncQueue[T]:
        """The face of *queue*."""
        self: FileAsyncQueue[T] = object.__new__(cls)
        self._queue = queue
        return self

    if TYPE_CHECKING:

        def __init__(self, queue: FileQueue[T]) -> None: ...

    # -- waiting ---------------------------------------------------------------------------------

    async def _until(
        self,
        line: int,
        attempt: Callable[[Any, bool], Attempt],
        refusal: type[Exception],
        deadline: float | None,
        blocked: list[int],
    ) -> Any:
        """Make attempts until one is not refused: what came of that. *attempt* is told the hub, and whether one was."""
        queue: FileQueue[Any] = self._queue
        hub = here()
        try:
            words, word = opened(queue, line)
            seen = bell.read(words, word)
            try:
                return await outcome(attempt(hub, False))
            except refusal:
                if deadline is not None and deadline <= monotonic():
                    raise
            waiting = Waiting(queue, line, hub, seen)
            with waiting, Blocked(queue, blocked) as count:
                count.begin()
                while True:
                    await waiting.sleep(deadline)
                    try:
                        return await outcome(attempt(hub, True))
                    except refusal:
                        if deadline is not None and deadline <= monotonic():
                            raise
        except HeadraceError as error:
            raise as_asynchronous(error) from None

    async def _call(self, function: Callable[[], Any]) -> Any:
        """Call a function that does not block for long in another thread, and return what it returns.

        Cancelled, it was not called, or the call is waited for.
        """
        queue: FileQueue[Any] = self._queue
        return await outcome(Call(here(), queue, function))

    # -- putting ---------------------------------------------------------------------------------

    async def _put_within(self, item: T, timeout: float | None = None, **more: Any) -> None:
        queue: FileQueue[Any] = self._queue
        if more.get("connection") is not None:
            self.put_nowait(item, **more)
            return
        more.pop("connection", None)
        try:
            if queue._state:
                raise ShutDown
            deadline = deadline_after(timeout)
            operation = queue._prepared(item, **more)
        except HeadraceError as error:
            raise as_asynchronous(error) from None
        await self._store(operation, queue._is_synced, deadline)

    async def put(self, item: T, timeout: float | None = None, **more: Any) -> None:
        """Put *item*, waiting for room. On return it is as safe as the queue's ``durability`` says.

        Args:
            item: what the serializer can encode.
            timeout: seconds to wait for room; None waits for as long as it takes.
            more: ``priority=``, ``delay=``, ``ttl=``, ``key=``, ``on_duplicate=``, ``connection=``: as in the ``put``
                of the queue.

        Raises:
            QueueFull: no room within the timeout.
            QueueShutDown: this object was shut down.
            EncodeError, DuplicateKey, StorageError: as the ``put`` of the queue.
            ValueError: *timeout* is negative.
        """
        await self._put_within(item, timeout, **more)

    async def put_at(self, item: T, when: datetime, **more: Any) -> None:
        """Put an item that is ready at a time: a ``datetime`` (one without a zone is local time)."""
        check_when(when)
        if not hasattr(when, "timestamp"):
            raise TypeError(f"'when' must be a datetime, not {type(when).__name__}: {when!r}")
        await self._put_within(item, None, delay=max(0.0, when.timestamp() - time()), **more)

    async def _put_with_headers(
        self, item: T, headers: dict[str, str] | None, timeout: float | None = None, **more: Any
    ) -> None:
        await self._put_within(item, timeout, headers=headers, **more)

    async def _store(self, operation: Any, is_synced: bool, deadline: float | None, weight: int = 1) -> int:
        queue: FileQueue[Any] = self._queue

        def attempt(hub: Any, _: bool) -> Store:
            return Store(hub, queue, operation, is_synced, weight)

        count: int = await self._until(PUTTERS, attempt, Full, deadline, queue._putters)
        return count

    def put_nowait(self, item: T, **more: Any) -> None:
        """Put *item* if there is room now, else raise ``QueueFull``. In the loop's thread, its sync too."""
        try:
            self._queue.put(item, False, **more)
        except HeadraceError as error:
            raise as_asynchronous(error) from None

    async def put_many(self, items: Iterable[T], timeout: float | None = None, *, priority: int = 0) -> None:
        """Put all *items* in order, as room is found, many in a transaction. Items of others may come in between.

        If it is cancelled, or the time is up, some of the items are in: an exception says in ``put_count`` how many
        (a cancellation too, as an attribute), and has in ``pending`` what was drawn from an iterator and is not in.

        Raises:
            QueueFull: out of room and of time.
            QueueShutDown: this object was shut down.
            EncodeError: an item cannot be encoded; it and those behind it were not put.
        """
        queue: FileQueue[Any] = self._queue
        deadline = deadline_after(timeout)
        is_drawn = not isinstance(items, (list, tuple))
        count = 0
        some: list[Any] = []
        try:
            for some, rows, problem in self._drawn(items, is_drawn, priority):
                while rows:
                    step = partial(put_rows, queue._id, rows)
                    put = await self._store(step, False, deadline, len(rows))
                    count += put
                    del rows[:put], some[:put]
                if problem is not None:
                    raise problem
        except GeneratorExit:
            raise
        except BaseException as error:
            await self._sync(count)
            with suppress(AttributeError):
                error.put_count = count  # type: ignore[attr-defined]
                if is_drawn and isinstance(error, (Full, ShutDown)):
                    error.pending = tuple(some)
            raise
        await self._sync(count)

    def _drawn(
        self, items: Iterable[T], is_drawn: bool, priority: int
    ) -> Iterator[tuple[list[T], list[Put], BaseException | None]]:
        """Some items after the others, encoded: as many as one transaction puts, and the loop has time for.

        With them, what has ended it, if that was no good end.
        """
        queue: FileQueue[Any] = self._queue
        most = MOST_DRAWN if is_drawn else MOST_PUT_AT_ONCE
        source = iter(items)
        while True:
            some: list[T] = []
            rows: list[Put] = []
            problem: BaseException | None = None
            goes_on = False
            give_up_at = monotonic() + DRAWING_SECONDS
            try:
                for item in source:
                    some.append(item)
                    rows.append((queue._code, queue._encode(item), priority, None, None, None))
                    goes_on = len(rows) >= most or monotonic() > give_up_at
                    if goes_on:
                        break
            except Exception as error:
                problem = error
            yield some, rows, problem
            if not goes_on:
                return

    async def _sync(self, count: int) -> None:
        """Wait until what was put is as safe as it shall be."""
        queue: FileQueue[Any] = self._queue
        if count and queue._is_synced:
            await outcome(Sync(here(), queue))

    # -- getting ---------------------------------------------------------------------------------

    async def _get_within(self, timeout: float | None = None) -> Any:
        items = await self._claimed(1, timeout)
        return items[0]

    async def get(self, timeout: float | None = None) -> T:
        """Take the next item under a lease that ``task_done`` settles, in the task that got it; wait for one.

        Args:
            timeout: seconds to wait for an item; None waits for as long as it takes.

        Raises:
            QueueEmpty: no item within the timeout.
            QueueShutDown: this object was shut down, and nothing waits any more.
            StorageError: the file failed.
            ValueError: *timeout* is negative.
        """
        item: T = await self._get_within(timeout)
        return item

    def get_nowait(self) -> T:
        """Take the next item if one is there now, else raise ``QueueEmpty``. In the loop's thread."""
        try:
            item: T = self._queue._get(holder(), False, None)
            return item
        except HeadraceError as error:
            raise as_asynchronous(error) from None

    async def get_many(self, max_items: int, timeout: float | None = None) -> list[T]:
        """Take up to *max_items* items, in order, in one transaction; wait for the first. Raises as ``get``."""
        if index(max_items) < 1:
            raise ValueError(f"'max_items' must be at least 1, not {max_items!r}")
        return await self._claimed(min(max_items, MOST_AT_ONCE), timeout)

    async def _claimed(self, count: int, timeout: float | None) -> list[Any]:
        queue: FileQueue[Any] = self._queue
        made: list[Claim] = []

        def attempt(hub: Any, has_waited: bool) -> Claim:
            made[:] = [Claim(hub, queue, count, has_waited)]
            return made[0]

        deadline = self._taking_until(timeout)
        items: list[Any] = await self._until(GETTERS, attempt, Empty, deadline, queue._getters)
        try:
            made[0].held_by(holder())
        except HeadraceError as error:
            raise as_asynchronous(error) from None
        return items

    def item(self, timeout: float | None = None) -> AsyncItem[T]:
        """``async with queue.aio.item() as item``: gets on entering, settles on leaving whatever happens."""
        return FileAsyncItem(self, timeout)

    def lease(self, timeout: float | None = None) -> AsyncLease[T]:
        """``async with queue.aio.lease() as lease``: the next item under a lease; see ``headrace.Lease``.

        The item is done when the block ends, and is given back to the queue when the block raises or is cancelled.
        ``lease = await queue.aio.lease()`` is a lease to settle by hand: its ``retry`` and ``fail`` take a transaction,
        in the loop's thread.
        """
        return FileAsyncLease(self, timeout)

    async def _take(self, stop: list[Any] | None, timeout: float | None = None) -> Any:
        return await self._take_into([], stop, timeout)

    async def _take_into(self, hand: list[Any], stop: list[Any] | None, timeout: float | None) -> Any:
        queue: FileQueue[Any] = self._queue

        def attempt(hub: Any, _: bool) -> Take:
            return Take(hub, queue, stop, hand)

        return await self._until(GETTERS, attempt, Empty, self._taking_until(timeout), queue._getters)

    def _taking_until(self, timeout: float | None) -> float | None:
        """The deadline of a get. Its end comes before what is wrong with a time limit, as in ``queue.Queue``."""
        try:
            return deadline_after(timeout)
        except ValueError:
            try:
                self._queue._raise_if_drained(None)
            except HeadraceError as error:
                raise as_asynchronous(error) from None
            raise

    # -- settling and ending ---------------------------------------------------------------------

    def task_done(self, count: int = 1) -> None:
        """The oldest *count* items that this task got, and has not settled, are done.

        If it holds no more, those that others got are settled, the oldest first. Does not block: it is written with the
        next transaction.

        Raises:
            ValueError: the queue object holds fewer items. Nothing was settled.
            LeaseLost: the lease ran out, because this process was stopped for long.
        """
        check_task_count(count)
        # Of a pool whose handlers this is kept from: see headrace/pool/guard.py.
        check: Any = getattr(self._queue.__dict__.get("task_done"), "check", None)
        if check is not None:
            check()
        self._queue._task_done(count, holder(), soon=True)

    async def _settled(self, function: Callable[[], object]) -> None:
        """Call what settles something, which is done whatever is cancelled."""
        await outcome(Settle(here(), self._queue, function))

    async def join(self, timeout: float | None = None) -> None:
        """Wait until every item of the queue is done or dead, whatever process has it.

        Raises TimeoutError after *timeout* seconds. After ``shutdown(immediate=True)`` it waits only for what this
        object holds.
        """
        queue: FileQueue[Any] = self._queue
        deadline = deadline_after(timeout)

        def attempt(hub: Any, _: bool) -> Call:
            return Call(hub, queue, partial(queue.join, 0))

        try:
            await self._until(JOINERS, attempt, TimeoutError, deadline, [])
        except TimeoutError:
            left = await self._call(lambda: queue.unfinished_tasks)
            raise TimeoutError(f"join() waited {timeout} seconds, and {left} items are not done yet") from None


def opened(queue: FileQueue[Any], line: int) -> tuple[Any, int]:
    """The bell of a line, as words and an index. The file is opened anew in a forked child. Raises ShutDown."""
    if queue._state == ENDED and line != JOINERS:
        raise ShutDown
    _ = queue._storage
    return queue._words, queue._word_of(line)


def put_rows(number: int, rows: list[Put], s: Any) -> int:
    """A step of a transaction: put as many of *rows* as there is room for."""
    return statements.put(s, number, rows)


class Waiting:
    """One coroutine in a line of a queue: what it sleeps on, from one attempt to the next."""

    __slots__ = ("_hub", "_queue", "_seen", "_sleeper", "_waiters", "_watch", "_word")

    def __init__(self, queue: FileQueue[Any], line: int, hub: Any, seen: int) -> None:
        self._queue = queue
        self._word = queue._word_of(line)
        self._hub = hub
        self._watch = queue._watched(line)
        self._waiters = self._watch.waiters_of(hub)
        # What the bell was before the last attempt.
        self._seen = seen
        self._sleeper: Any = None

    def __enter__(self) -> None:
        self._sleeper = self._waiters.enter()

    async def sleep(self, deadline: float | None) -> None:
        """Sleep until there may be something to do; not if the bell has rung since the last attempt began."""
        waiters = self._waiters
        self._sleeper = waiters.enter_again(self._sleeper)
        if self._rings() == self._seen and not self._queue.is_closed:
            await self._hub.sleep(self._sleeper, deadline)
        self._seen = self._rings()

    def _rings(self) -> int:
        try:
            return bell.read(self._queue._words, self._word)
        except ValueError:  # another thread has closed the queue just now
            return bell.read(self._queue._words, self._word)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        waiters = self._waiters
        was_roused = waiters.is_roused(self._sleeper) or not self._watch.stands(waiters)
        waiters.leave(self._sleeper)
        if error is not None and was_roused:
            # What it was roused for and has not taken is another's, who may be in another process.
            bell.ring(self._queue._words, self._word, 1)


class FileAsyncLease(AsyncLease[T]):
    """Takes the next item under a lease. Made by ``FileAsyncQueue.lease``."""

    __slots__ = ()

    async def _begin(self) -> Lease[T]:
        face: Any = self._face
        lease: Any = Lease.__new__(Lease)  # pyright: ignore[reportUnknownVariableType]
        lease._queue = face.sync
        hand: list[Any] = []
        lease._hand = hand
        await face._take_into(hand, None, self._timeout)
        lease._open()
        begun: Lease[T] = lease
        return begun

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        face: Any = self._face
        lease = self._lease
        if isinstance(error, GeneratorExit) or (error is None and not face.sync.is_shutdown):
            lease.__exit__(kind, error, traceback)
        else:
            await face._settled(partial(lease.__exit__, kind, error, traceback))


class FileAsyncItem(AsyncItem[T]):
    """Gets on entering, and settles that on leaving. Made by ``FileAsyncQueue.item``."""

    __slots__ = ("_lease",)

    async def __aenter__(self) -> T:
        self._lease = await self._face.lease(self._timeout)
        return self._lease.item

    async def __aexit__(self, *error: object) -> None:
        if self._face.is_shutdown and not isinstance(error[1], GeneratorExit):
            face: Any = self._face
            await face._settled(self._lease.done)
        else:
            self._lease.done()
