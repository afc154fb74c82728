"""The memory rung in Python: the readable specification of the C core, and its fallback.

It is the algorithm of the standard library's ``queue`` in Python 3.13 (one mutex, three conditions,
four hooks) with what Headrace adds. The C core runs the functions of this module too, on its own
objects, once somebody has asked such an object for its mutex, its conditions or its container, or has
overridden a hook (see ``csrc/opened.h``). They therefore keep to the attributes that the standard
library's queues have, and to those listed here:

``_put_total``, ``_get_total``, ``_dropped_total``, ``_returned_total``, ``_delayed``
    Counters behind ``stats()``. Written under the mutex.

``_drains``
    Whether the queue was shut down at once: what comes back is dropped. Written under the mutex.

``_book``
    Of delayed items and dead letters (``book.py``); None until there was one.
"""

from __future__ import annotations

import sys
from collections import deque
from heapq import heappop, heappush
from math import ceil
from operator import index
from time import monotonic
from types import GenericAlias

from headrace.backends.memory.heap import Entry, Heap
from headrace.backends.memory.leasing import (
    bury,
    dead_letters_of,
    lease,
    number_of,
    put_back_in_front,
    put_with_headers,
    retry,
)
from headrace.backends.memory.returning import bare, content, put_back, take_raw
from headrace.backends.memory.waiting import Condition, Mutex
from headrace.contract import Stats
from headrace.errors import Empty, Full, NotSupported, ShutDown, TakingStopped

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from headrace.backends.memory.dead import DeadLetter
    from headrace.backends.memory.envelope import Envelope
    from headrace.selecting import Getting, Putting

__all__ = ["LifoQueue", "PriorityQueue", "Queue", "SimpleQueue"]

NEGATIVE_TIMEOUT = "'timeout' must be a non-negative number"
NO_CONTAINS = "'in' would take the items out of a queue: use qsize(), peek() or stats() to look into it"
NO_PICKLE = (
    "a {} lives in one process and cannot be pickled or copied: share it between threads, or hand its items over"
)


def check_maxsize(maxsize: float) -> float:
    """Return *maxsize*, or raise TypeError when it is not a number that a size compares with."""
    try:
        _ = maxsize > 0
    except TypeError:
        raise TypeError(
            f"maxsize must be a number (0 for no bound), not {type(maxsize).__name__}: {maxsize!r}"
        ) from None
    return maxsize


def deadline_after(timeout: float | None) -> float | None:
    """The monotonic time *timeout* seconds from now; None for no limit."""
    if timeout is None:
        return None
    if timeout < 0:
        raise ValueError(NEGATIVE_TIMEOUT)
    if timeout != timeout:
        raise ValueError("'timeout' must be a number of seconds, not NaN")
    # Longer than a lock can wait (292 years) is for ever.
    return None if timeout > 9e9 else monotonic() + timeout


def remaining_until(deadline: float | None) -> float | None:
    """Seconds left until *deadline*, never negative; None for no limit."""
    return None if deadline is None else max(0.0, deadline - monotonic())


class Item:
    """The context manager that ``Queue.item`` returns: a get on entering, a ``task_done`` on leaving."""

    __slots__ = ("_arguments", "_queue")

    def __init__(self, queue: Queue, block: bool, timeout: float | None) -> None:
        self._queue = queue
        self._arguments = (block, timeout)

    def __enter__(self) -> Any:
        return self._queue.get(*self._arguments)

    def __exit__(self, *error: object) -> None:
        self._queue.task_done()


class Queue:
    """A first-in, first-out queue for threads: ``queue.Queue`` of Python 3.13, and more.

    Args:
        maxsize: how many items may wait; 0 or less is no bound. Assigning ``maxsize`` later takes
            effect at once, for callers that wait as well.

    Every method is safe to call from any thread, from a destructor and from a signal handler.
    """

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = check_maxsize(maxsize)
        # Guards everything below; not held while user code runs, hooks and comparisons excepted.
        self.mutex = Mutex()
        self.not_empty = Condition(self.mutex)
        self.not_full = Condition(self.mutex)
        self.all_tasks_done = Condition(self.mutex)
        self.unfinished_tasks = 0
        self.is_shutdown = False
        self._put_total = 0
        self._get_total = 0
        self._dropped_total = 0
        self._returned_total = 0
        # Unfinished items that a timer will give back: get waits for them after a shutdown.
        self._delayed = 0
        self._book: Any = None
        self._drains = False
        self._init(maxsize)

    @property
    def maxsize(self) -> int:
        """How many items may wait; 0 or less is no bound."""
        return self._maxsize  # type: ignore[return-value]

    @maxsize.setter
    def maxsize(self, maxsize: int) -> None:
        maxsize = check_maxsize(maxsize)  # type: ignore[assignment]
        with self.mutex:
            self.not_full.notify_all()
            self._maxsize = maxsize

    # -- putting ---------------------------------------------------------------------------------

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put *item* into the queue, waiting for room.

        Args:
            item: anything.
            block: False raises ``Full`` at once when there is no room.
            timeout: seconds to wait for room; None waits for as long as it takes.

        Raises:
            Full: no room, or none within the timeout.
            ShutDown: the queue is shut down, or was while this call waited.
            ValueError: *timeout* is negative.
        """
        with self.mutex:
            try:
                Queue._wait_for_room(self, block, timeout)
                Queue._insert(self, item)
            except BaseException:
                # The room that this caller was woken for, and leaves, may be another's.
                if block:
                    self.not_full.notify()
                raise

    def _wait_for_room(self, block: bool, timeout: float | None) -> None:
        """Return with the mutex held and room for an item, or raise. The mutex must be held."""
        if self.is_shutdown:
            raise ShutDown
        if self.maxsize <= 0:
            return
        deadline = deadline_after(timeout) if block else None
        while 0 < self.maxsize <= self._qsize():
            if not block or (deadline is not None and deadline <= monotonic()):
                raise Full
            self.not_full.wait(
                remaining_until(deadline), unless=lambda: self.is_shutdown or not 0 < self.maxsize <= self._qsize()
            )
            if self.is_shutdown:
                raise ShutDown

    def _insert(self, item: Any) -> None:
        # Here as everywhere, who waits is woken before the change that he waits for. He runs when the mutex is
        # free, behind it; and an interrupt between the two wakes one in vain in place of leaving one asleep.
        self.not_empty.notify()
        size = self._qsize()
        # Counted before it is in: a signal handler that clears the queue just behind its insertion counts it as done.
        self.unfinished_tasks += 1
        self._put_total += 1
        try:
            self._put(item)
        except BaseException:
            # An interrupt may also fall just behind the insertion: then the item is in.
            if self._qsize() <= size:
                self.unfinished_tasks -= 1
                self._put_total -= 1
            raise

    def put_nowait(self, item: Any) -> None:
        """Put *item* if there is room now, else raise ``Full``. Never blocks."""
        return self.put(item, block=False)

    def put_many(self, items: Iterable[Any], block: bool = True, timeout: float | None = None) -> None:
        """Put all *items* in order, each as soon as there is room for it.

        A list or tuple goes in by chunks, one lock for each; other iterables are drawn from one item
        at a time, with no lock held. Items of other producers may come in between.

        Args:
            items: what to put.
            block: False raises ``Full`` at the first item that finds no room.
            timeout: seconds for the whole call; None waits for as long as it takes.

        Raises:
            Full: out of room and of time. ``put_count`` items are in; ``pending`` holds an item that
                had been drawn from an iterator already.
            ShutDown: the queue is shut down, with ``put_count`` and ``pending`` likewise.
            ValueError: *timeout* is negative.
        """
        deadline = deadline_after(timeout) if block else None
        if isinstance(items, (list, tuple)):
            Queue._put_sequence(self, items, block, deadline)
        else:
            Queue._put_iterable(self, items, block, deadline)

    def _put_sequence(self, items: list[Any] | tuple[Any, ...], block: bool, deadline: float | None) -> None:
        count = 0
        try:
            while count < len(items):
                with self.mutex:
                    count = Queue._put_chunk(self, items, count, block, deadline)
        except (Full, ShutDown) as error:
            error.put_count = count
            raise

    def _put_chunk(self, items: list[Any] | tuple[Any, ...], count: int, block: bool, deadline: float | None) -> int:
        """Put of ``items[count:]`` what finds room, once there is any. Returns the new count; holds the mutex."""
        try:
            Queue._wait_for_room(self, block, remaining_until(deadline))
            return Queue._insert_while_there_is_room(self, items, count)
        except BaseException:
            if block:
                self.not_full.notify()
            raise

    def _insert_while_there_is_room(self, items: list[Any] | tuple[Any, ...], count: int) -> int:
        while count < len(items) and not 0 < self.maxsize <= self._qsize():
            Queue._insert(self, items[count])
            count += 1
        return count

    def _put_iterable(self, items: Iterable[Any], block: bool, deadline: float | None) -> None:
        for count, item in enumerate(items):
            try:
                Queue.put(self, item, block, remaining_until(deadline))
            except (Full, ShutDown) as error:
                error.put_count = count
                error.pending = (item,)
                raise

    # -- getting ---------------------------------------------------------------------------------

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the next item out, waiting for one.

        Args:
            block: False raises ``Empty`` at once when no item is there.
            timeout: seconds to wait for an item; None waits for as long as it takes.

        Raises:
            Empty: no item, or none within the timeout.
            ShutDown: the queue is shut down and has no item left.
            ValueError: *timeout* is negative.
        """
        with self.mutex:
            try:
                return Queue._take_when_there(self, block, timeout)
            except BaseException:
                # The item that this caller was woken for, and leaves, may be another's.
                if block:
                    self.not_empty.notify()
                raise

    def _take_when_there(self, block: bool, timeout: float | None) -> Any:
        """The next item, waited for. The mutex must be held."""
        return bare(Queue._take_raw_when_there(self, block, timeout, None))

    def _take_raw_when_there(self, block: bool, timeout: float | None, stop: list[Any] | None) -> Any:
        """The next item, waited for, in the envelope that it has. The mutex must be held."""
        while True:
            taken = self._get_total + self._dropped_total
            Queue._wait_for_item(self, block, timeout, stop)
            try:
                return Queue._take_out(self)
            except LookupError:
                # The hook's own error, unless a signal handler or a destructor struck just here and took the item.
                if self._qsize() or taken == self._get_total + self._dropped_total:
                    raise

    def _wait_for_item(self, block: bool, timeout: float | None, stop: list[Any] | None) -> None:
        """Return with the mutex held and an item there, or raise. The mutex must be held."""
        if stop:
            raise TakingStopped
        if Queue._is_at_its_end(self, stop):
            raise ShutDown
        deadline = deadline_after(timeout) if block else None
        while not self._qsize():
            if not block or (deadline is not None and deadline <= monotonic()):
                raise Empty
            self.not_empty.wait(
                remaining_until(deadline),
                unless=lambda: stop or self._qsize() or Queue._is_at_its_end(self, stop),
            )
            if stop:
                raise TakingStopped
            if Queue._is_at_its_end(self, stop):
                raise ShutDown

    def _is_at_its_end(self, stop: list[Any] | None) -> bool:
        """Whether nothing will come any more. Who works in a pool (*stop*) stays while others hold what may fail."""
        if not self.is_shutdown or self._delayed or self._qsize():
            return False
        return stop is None or not self.unfinished_tasks

    def _take_out(self) -> Any:
        self.not_full.notify()
        item = take_raw(self)
        self._get_total += 1
        return item

    def get_nowait(self) -> Any:
        """Take the next item if one is there now, else raise ``Empty``. Never blocks."""
        return self.get(block=False)

    def get_many(self, max_items: int, block: bool = True, timeout: float | None = None) -> list[Any]:
        """Take up to *max_items* items, in order, waiting only for the first.

        The caller owes a ``task_done`` for each item: ``queue.task_done(len(items))``.

        Raises:
            Empty: no item, or none within *timeout* seconds.
            ShutDown: the queue is shut down and has no item left.
            ValueError: *max_items* is less than 1, or *timeout* is negative.
        """
        if max_items < 1:
            raise ValueError(f"'max_items' must be at least 1, not {max_items!r}")
        items: list[Any] = []
        with self.mutex:
            try:
                items.append(Queue._take_when_there(self, block, timeout))
                Queue._take_more(self, items, max_items)
            except BaseException as error:
                if block:
                    self.not_empty.notify()
                if not items or not isinstance(error, Exception):
                    raise
                # A hook's error must not cost what is in hand; the next get meets it.
            return items

    def _take_more(self, items: list[Any], max_items: int) -> None:
        while len(items) < max_items and self._qsize():
            items.append(bare(Queue._take_out(self)))

    def item(self, block: bool = True, timeout: float | None = None) -> Item:
        """A context manager: gets on entering, and settles on leaving whatever happens.

        ``with queue.item() as item:`` is ``item = queue.get()`` with a ``task_done()`` that can be
        neither forgotten nor called for a get that failed. Entering raises what ``get`` raises.
        """
        return Item(self, block, timeout)

    def __iter__(self) -> Iterator[Any]:
        """Get items until the queue is shut down and drained. The caller owes each a ``task_done``."""
        while True:
            try:
                item = self.get()
            except ShutDown:
                return
            yield item
            del item  # or it would live on while the next one is waited for

    # -- settling --------------------------------------------------------------------------------

    def task_done(self, count: int = 1) -> None:
        """Say that the work on *count* items that were taken is complete.

        Raises:
            ValueError: there are not so many unfinished items, and nothing was settled; or *count* is less than 1.
        """
        if index(count) < 1:
            raise ValueError(f"'count' must be at least 1, not {count!r}")
        with self.mutex:
            if self.unfinished_tasks <= count:
                self.all_tasks_done.notify_all()
                if self.is_shutdown:
                    self.not_empty.notify_all()
            # From here on nothing is called that a signal handler could strike: the count is what it is compared as.
            if self.unfinished_tasks < count:
                raise ValueError("task_done() called too many times")
            self.unfinished_tasks -= count

    def join(self, timeout: float | None = None) -> None:
        """Wait until every item that was put has been settled by ``task_done``.

        Raises:
            TimeoutError: items are unfinished after *timeout* seconds.
            ValueError: *timeout* is negative.
        """
        deadline = deadline_after(timeout)
        with self.mutex:
            Queue._wait_for_tasks(self, timeout, deadline, None)

    def _wait_for_tasks(self, timeout: float | None, deadline: float | None, stop: list[Any] | None) -> None:
        # A function of its own, as every loop inside `with self.mutex` is: CPython 3.13 leaves the jump at the end of
        # a loop out of the block that it stands in, and an interrupt that falls there would not release the mutex.
        while self.unfinished_tasks:
            if stop:
                raise TakingStopped
            if deadline is not None and deadline <= monotonic():
                raise TimeoutError(
                    f"join() waited {timeout} seconds, and {self.unfinished_tasks} put items are not settled yet"
                )
            self.all_tasks_done.wait(remaining_until(deadline), unless=lambda: stop or not self.unfinished_tasks)

    # -- what leases, retries and pools are made of: see contract.py and csrc/returned.c ------------

    def lease(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the next item under a lease, which settles it or gives it back. Waits, and raises, as ``get`` does.

        ``with queue.lease() as lease:`` the item is done when the block ends, and is given back to the queue when
        the block raises. See ``headrace.Lease``.
        """
        return lease(self, block, timeout)

    @property
    def dead(self) -> Any:
        """The items that failed for good: see ``headrace.DeadLetters``."""
        return dead_letters_of(self)

    def _take(
        self,
        stop: list[Any] | None,
        block: bool = True,
        timeout: float | None = None,
        hand: list[Any] | None = None,
    ) -> Any:
        """``get`` that leaves the item in its envelope, and appends it to the list *hand* if there is one.

        With a list *stop* it is for who works in a pool: ``TakingStopped`` once there is something in the list, and
        ``ShutDown`` when the queue is shut down and every item is settled, not before.
        """
        with self.mutex:
            try:
                raw = Queue._take_raw_when_there(self, block, timeout, stop)
                return raw if hand is None else hand.append(raw)
            except BaseException:
                if block:
                    self.not_empty.notify()
                raise

    def _settle(self, raw: Any) -> None:
        """The item of *raw* is done: by the class's method, for a pool may have put a guard before the object's."""
        self.__class__.task_done(self)

    def _retry(self, envelope: Envelope, delay: float, error: BaseException | None = None) -> DeadLetter | None:
        """Deliver a taken item again after *delay* seconds, as its next attempt."""
        return retry(self, envelope, delay, error)

    def _put_back(self, envelope: Envelope) -> DeadLetter | None:
        """Have a taken item that was not begun be the next one again."""
        return put_back_in_front(self, envelope)

    def _bury(self, envelope: Envelope, error: BaseException) -> DeadLetter:
        """Make a dead letter of a taken item."""
        return bury(self, envelope, error)

    def _number(self, envelope: Envelope) -> int:
        """The id of a taken item."""
        return number_of(self, envelope)

    def _extend(self, envelope: Envelope) -> None:
        """Nothing to do: leases of this process do not run out."""

    def _put_with_headers(
        self,
        item: Any,
        headers: dict[str, str] | None,
        block: bool = True,
        timeout: float | None = None,
        **more: Any,
    ) -> None:
        """``put`` with what a listener attached."""
        put_with_headers(self, item, headers, block, timeout, **more)

    def _give_back(self, item: Any, front: bool = False) -> None:
        """Put back what ``_take`` took: whatever the bound, shut down or not, and still the same task."""
        with self.mutex:
            if self._drains:
                Queue._drop_returned(self)
                return
            self.not_empty.notify()
            self._returned_total += 1
            try:
                put_back(self, item, front)
            except BaseException:
                self._returned_total -= 1
                raise

    def _drop_returned(self) -> None:
        """What comes back to a queue that was shut down at once is dropped, as what waited in it was."""
        if self.unfinished_tasks <= 1:
            self.all_tasks_done.notify_all()
            self.not_empty.notify_all()
        self._returned_total += 1
        self._dropped_total += 1
        self.unfinished_tasks = max(0, self.unfinished_tasks - 1)

    def _count_delayed(self, change: int, dropped: int = 0) -> None:
        """So many taken items more (or fewer) come back by themselves; so many never will."""
        with self.mutex:
            if self.is_shutdown and (self._delayed + change <= 0 or self.unfinished_tasks <= dropped):
                self.not_empty.notify_all()  # who waited for these alone is at the end
            if self.unfinished_tasks <= dropped:
                self.all_tasks_done.notify_all()
            self._delayed += change
            self._dropped_total += dropped
            self._returned_total += dropped
            self.unfinished_tasks = max(0, self.unfinished_tasks - dropped)

    def _expect_envelopes(self) -> None:
        """Nothing to do: this implementation always looks whether an item is an envelope."""

    def _interrupt(self) -> None:
        """Let all who wait in ``_take`` and ``_join`` look at their lists."""
        with self.mutex:
            self.not_empty.notify_all()
            self.all_tasks_done.notify_all()

    def _join(self, stop: list[Any]) -> None:
        """``join`` that raises ``TakingStopped`` once there is something in *stop*."""
        with self.mutex:
            Queue._wait_for_tasks(self, None, None, stop)

    def _repr_html_(self) -> str:
        from headrace.backends.memory.html import queue_html

        return queue_html(self)

    # -- waiting on several queues: see headrace/selecting.py --------------------------------------

    def getting(self, *, required: bool = False) -> Getting[Any]:
        """Taking the next item of this queue, as a case of ``headrace.select``. The queue itself means the same.

        With *required* the select ends with ``ShutDown`` when this queue is shut down and has no item left.
        """
        from headrace.selecting import Getting

        return Getting(self, required=required)

    def putting(self, item: Any, **more: Any) -> Putting[Any]:
        """Putting *item* into this queue, as a case of ``headrace.select``. *more* is what else its ``put`` has."""
        from headrace.selecting import Putting

        return Putting(self, item, **more)

    # -- event loops: see aio/post.py and csrc/loops.c -------------------------------------------

    @property
    def aio(self) -> Any:
        """This queue for coroutines: see ``headrace.AsyncQueue``."""
        from headrace.aio.queue import face_of

        return face_of(self)

    def _line(self, line: int) -> Condition:
        return (self.not_empty, self.not_full, self.all_tasks_done)[line]

    def _watch(self, line: int, post: Any) -> None:
        """Have a post stand in a line (0: for items, 1: for room, 2: for ``join``) until it is woken.

        It is woken at once if there is something to do, or if all were woken since it stood there last.
        """
        with self.mutex:
            Queue._line(self, line).stand(post, Queue._ready(self, line) > 0)

    def _unwatch(self, line: int, post: Any) -> None:
        """Have a post leave its line, and pass on the wake-up that it may have had."""
        with self.mutex:
            condition = Queue._line(self, line)
            condition.step_out(post)
            try:
                passes_on = Queue._ready(self, line) > 0
            except Exception:  # a hook's, which must not cost what the caller has in hand
                passes_on = True
            if passes_on:
                condition.notify()

    def _ready(self, line: int) -> int:
        """How many of those who wait in a line would find something to do now."""
        with self.mutex:
            if line == 0:
                return self._qsize()
            if line == 1 and self.maxsize > 0:
                return max(0, ceil(min(self.maxsize, sys.maxsize)) - self._qsize())
            if line == 1:
                return sys.maxsize
            return 0 if self.unfinished_tasks else sys.maxsize

    # -- ending ----------------------------------------------------------------------------------

    def shutdown(self, immediate: bool = False) -> None:
        """Shut the queue down: puts raise ``ShutDown`` from now on, gets once it is empty.

        Args:
            immediate: drop the waiting items too, each counted as done. ``join`` still waits for
                items that consumers hold.
        """
        dropped: list[Any] = []
        with self.mutex:
            self.not_empty.notify_all()
            self.not_full.notify_all()
            self.is_shutdown = True
            if immediate:
                self._drains = True
                Queue._drop_waiting(self, dropped)
        if immediate and self._book is not None:
            self._book.drop_delayed()
        # The items are let go of here, where their destructors find the mutex free.

    def clear(self) -> int:
        """Drop the waiting items, each counted as done. Returns how many. Never blocks."""
        dropped: list[Any] = []
        with self.mutex:
            self.not_full.notify_all()
            Queue._drop_waiting(self, dropped)
        return len(dropped) + (0 if self._book is None else self._book.drop_delayed())

    def _drop_waiting(self, dropped: list[Any]) -> None:
        """Move all waiting items to *dropped* and lower the counts. The mutex must be held."""
        self.all_tasks_done.notify_all()
        while self._qsize():
            try:
                dropped.append(self._get())
            except LookupError:
                if self._qsize():
                    raise
                break  # a signal handler or a destructor took the last one just here
            self._dropped_total += 1
            if self.unfinished_tasks > 0:
                self.unfinished_tasks -= 1

    # -- looking ---------------------------------------------------------------------------------

    def qsize(self) -> int:
        """How many items wait now. Another thread may change it before you read it."""
        with self.mutex:
            return self._qsize()

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        """Always True, as for ``queue.Queue``: code that says ``queue or Queue()`` goes on working."""
        return True

    def __contains__(self, item: object) -> bool:
        raise TypeError(NO_CONTAINS)

    def empty(self) -> bool:
        """Whether no item waits now. Another thread may change it before you read it."""
        with self.mutex:
            return not self._qsize()

    def full(self) -> bool:
        """Whether ``put`` would wait now. Another thread may change it before you read it."""
        with self.mutex:
            return 0 < self.maxsize <= self._qsize()

    def peek(self) -> Any:
        """The item that ``get`` would take now, left where it is. Never blocks.

        Raises:
            Empty: no item waits.
            NotSupported: a subclass overrides ``_get`` and not ``_peek``.
        """
        with self.mutex:
            try:
                if self._qsize():
                    return bare(self._peek())
            except LookupError:
                if self._qsize():
                    raise  # the hook's own error; else a signal handler or a destructor took the item just here
            raise Empty

    def stats(self) -> Stats:
        """The counters of this queue at one instant. Never blocks."""
        with self.mutex:
            return Stats(
                waiting=self._qsize(),
                unfinished=self.unfinished_tasks,
                maxsize=self.maxsize,
                put_total=self._put_total,
                get_total=self._get_total,
                dropped_total=self._dropped_total,
                getters_blocked=self.not_empty.waiter_count(),
                putters_blocked=self.not_full.waiter_count(),
                is_shutdown=self.is_shutdown,
                delayed=self._delayed,
                dead=0 if self._book is None else len(self._book.dead),
            )

    def __repr__(self) -> str:
        end = ", shut down" if self.is_shutdown else ""
        return (
            f"<{type(self).__name__} at {id(self):#x}: {self.unfinished_tasks} unfinished, maxsize {self.maxsize}{end}>"
        )

    def __reduce__(self) -> Any:
        raise TypeError(NO_PICKLE.format(type(self).__name__))

    # -- hooks: override them for another order; they are called with the mutex held ---------------

    queue: Any

    def _init(self, maxsize: int) -> None:
        self.queue = deque()

    def _qsize(self) -> int:
        return len(self.queue)

    def _put(self, item: Any) -> None:
        self.queue.append(item)

    def _get(self) -> Any:
        return self.queue.popleft()

    def _peek(self) -> Any:
        check_peek(type(self), Queue._get, Queue._peek)
        return self.queue[0]

    __class_getitem__ = classmethod(GenericAlias)  # type: ignore[var-annotated]


def wake_putters(queue: Any) -> None:
    """Let every putter look again: the bound has changed."""
    with queue.mutex:
        queue.not_full.notify_all()


def check_peek(cls: type, get: Callable[..., Any], peek: Callable[..., Any]) -> None:
    """Refuse to guess which item an overridden ``_get`` would take."""
    if getattr(cls, "_peek", peek) is peek and getattr(cls, "_get", get) is not get:
        raise NotSupported(f"{cls.__name__} overrides _get(): override _peek() too, to use peek()")


class LifoQueue(Queue):
    """A last-in, first-out queue: ``get`` takes the item that was put last."""

    def _init(self, maxsize: int) -> None:
        self.queue = []

    def _get(self) -> Any:
        return self.queue.pop()

    def _peek(self) -> Any:
        check_peek(type(self), LifoQueue._get, LifoQueue._peek)
        return self.queue[-1]

    __class_getitem__ = classmethod(GenericAlias)  # type: ignore[var-annotated]


class PriorityQueue(Queue):
    """A queue whose ``get`` takes the lowest item, or the one put with the lowest ``priority``.

    Equal ones come out in the order in which they were put. That ends when somebody asks for the
    attribute ``queue``: it is the plain heap of bare items that the standard library has, which keeps
    no order among equals.
    """

    # None from the time on that `queue` holds the bare items.
    _entries: Heap | None

    def put(
        self,
        item: Any,
        block: bool = True,
        timeout: float | None = None,
        *,
        priority: Any = None,
    ) -> None:
        """Put *item*, ordered by *priority* (lowest first) when it is given, else by itself.

        With a priority the items need not be comparable. Otherwise as ``Queue.put``.

        Raises:
            TypeError: the key does not compare with those that wait; the queue is as it was.
        """
        if priority is not None:
            item = Entry(priority, 0, item, keyed=True)
        Queue.put(self, item, block, timeout)

    def put_nowait(self, item: Any, *, priority: Any = None) -> None:
        """Put *item* if there is room now, else raise ``Full``. Never blocks."""
        if priority is None:
            return self.put(item, block=False)
        return self.put(item, block=False, priority=priority)

    def _init(self, maxsize: int) -> None:
        self._turn = 0
        self._entries = Heap()

    @property
    def queue(self) -> Any:
        """The heap of bare items, as the standard library has it. Equal items lose their order."""
        with self.mutex:
            if self._entries is not None:
                self._bare = self._entries.lay_bare()
                self._entries = None
            return self._bare

    @queue.setter
    def queue(self, items: list[Any]) -> None:
        with self.mutex:
            self._bare = items
            self._entries = None

    def _qsize(self) -> int:
        entries = self._entries
        return len(self.queue) if entries is None else len(entries.entries)

    def _put(self, item: Any) -> None:
        entries = self._entries
        if entries is None:
            heap_put(self, item)
            return
        self._turn += 1
        if isinstance(item, Entry):
            item.turn = self._turn
        else:
            item = Entry(item, self._turn, item, keyed=False)
        entries.insert(item)

    def _get(self) -> Any:
        entries = self._entries
        return heap_get(self) if entries is None else content(entries.remove_first())

    def _peek(self) -> Any:
        check_peek(type(self), PriorityQueue._get, PriorityQueue._peek)
        entries = self._entries
        return heap_peek(self) if entries is None else content(entries.entries[0])

    __class_getitem__ = classmethod(GenericAlias)  # type: ignore[var-annotated]


def heap_put(queue: Any, item: Any) -> None:
    """``_put`` on the bare heap, as in the standard library."""
    heappush(queue.queue, item)


def heap_get(queue: Any) -> Any:
    """``_get`` on the bare heap, as in the standard library."""
    return content(heappop(queue.queue))


def heap_peek(queue: Any) -> Any:
    """``_peek`` on the bare heap."""
    return content(queue.queue[0])


class SimpleQueue:
    """An unbounded first-in, first-out queue without ``task_done``: ``queue.SimpleQueue``."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._mutex = Mutex()
        self._not_empty = Condition(self._mutex)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put *item*. Never blocks; *block* and *timeout* are there for likeness with ``Queue.put``."""
        with self._mutex:
            self._not_empty.notify()
            self._items.append(item)

    def put_nowait(self, item: Any) -> None:
        """Put *item*. Never blocks."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the next item out, waiting for one, at most *timeout* seconds when that is given.

        Raises:
            Empty: no item, or none within the timeout.
            ValueError: *timeout* is negative.
        """
        deadline = deadline_after(timeout) if block else None
        with self._mutex:
            try:
                return self._take_when_there(block, deadline)
            except BaseException:
                self._not_empty.notify()
                raise

    def _take_when_there(self, block: bool, deadline: float | None) -> Any:
        while True:
            try:
                return self._items.popleft()
            except IndexError:
                if not block or (deadline is not None and deadline <= monotonic()):
                    raise Empty from None
            self._not_empty.wait(remaining_until(deadline), unless=self._items.__len__)

    def get_nowait(self) -> Any:
        """Take the next item if one is there now, else raise ``Empty``. Never blocks."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Whether no item waits now."""
        return not self._items

    def qsize(self) -> int:
        """How many items wait now."""
        return len(self._items)

    def __reduce__(self) -> Any:
        raise TypeError(NO_PICKLE.format(type(self).__name__))

    __class_getitem__ = classmethod(GenericAlias)  # type: ignore[var-annotated]


def parts(container: Any) -> tuple[Mutex, Condition, Condition, Condition, Any]:
    """What a C queue needs when it is opened: a mutex, its three conditions, an empty container."""
    mutex = Mutex()
    return (mutex, Condition(mutex), Condition(mutex), Condition(mutex), container)


for _public in (Queue, LifoQueue, PriorityQueue, SimpleQueue):
    # Where users import them from, as the C types say too.
    _public.__module__ = "headrace"
del _public
