"""``Book``: what a queue knows of items that were taken and have failed, those that come back and those that do not.

Delayed items wait in a timing wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987): one list for
each millisecond in which any becomes ready. An item costs one place in such a list, whether a hundred wait or a
million, and all of a millisecond go back to the queue together.
"""

from __future__ import annotations

import os
import threading
from heapq import heappop, heappush
from itertools import count
from math import ceil
from time import monotonic
from weakref import WeakSet, ref

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from typing import Any

    from headrace.backends.memory.dead import DeadLetter
    from headrace.backends.memory.envelope import Envelope

__all__ = ["Book", "book_of"]

TICK = 0.001  # seconds: the grain of delays
# Longer is for ever, to a timer. 30 years.
LONGEST_DELAY = 1e9


class Book:
    """The delayed items and the dead letters of one queue. Every method may be called from any thread."""

    def __init__(self, queue: Any) -> None:
        # Weak: the queue holds the book, and items that wait for a queue that nobody has are nobody's.
        self._queue = ref(queue)
        # Guards the wheel. Reentrant, for destructors and signal handlers that give items back; every change of the
        # wheel is a single call, so that such a one finds it whole.
        self._lock = threading.RLock()
        # The ticks in which items become ready, each once, the earliest first; and the items of each.
        self._ticks: list[int] = []
        self._items: dict[int, list[Envelope]] = {}
        # The tick for which the timer was asked last, and which has not come yet.
        self._awaited: int | None = None
        self._numbers = count(1)
        # By their ids, in the order in which they died. Every change is a single call.
        self.dead: dict[int, DeadLetter] = {}
        # Envelopes of items that lie bare in a container, by the identity of the item: see returning.py.
        self.strays: dict[int, Envelope] = {}

    def number(self, envelope: Envelope) -> int:
        """The id of an item, given now if it has none."""
        if envelope.id is None:
            envelope.id = next(self._numbers)
        return envelope.id

    def delay(self, queue: Any, envelope: Envelope, seconds: float) -> None:
        """Give *envelope* back to *queue*, which is the book's, *seconds* from now: more than 0."""
        now = monotonic()
        # Rounded up: never ready too early.
        tick = ceil((now + min(seconds, LONGEST_DELAY)) / TICK)
        # The queue is never called with our lock held: who holds the queue's may be waiting for ours.
        queue._count_delayed(1)
        with self._lock:
            items = self._items.get(tick)
            if items is None:
                self._items[tick] = [envelope]
                heappush(self._ticks, tick)
            else:
                items.append(envelope)
            earliest = self._ticks[0]
        if queue._drains:  # shut down at once, perhaps between the two: nobody waits for this
            self.drop_delayed()
            return
        # Consumers that fail all the time do the timer's work on the way: it may have to wait for the interpreter.
        if earliest * TICK <= now:
            self.give_back_due()
        else:
            self._await_before_others(earliest)

    def _await_before_others(self, tick: int) -> None:
        awaited = self._awaited  # once: other threads change it
        if awaited is None or tick < awaited:
            self._await(tick)

    def _await(self, tick: int) -> None:
        from headrace.timer import timer

        self._awaited = tick
        # Weak, for a delay may be long and the queue be gone before.
        book = ref(self)

        def wake() -> None:
            if (it := book()) is not None:
                it.give_back_due()

        timer.call_at(tick * TICK, wake)

    def give_back_due(self) -> None:
        """Give back to the queue what is due, and have the timer call again for what is not."""
        from headrace.backends.memory.dead import put_back  # which knows this module

        queue = self._queue()
        while queue is not None and (items := self._take_due()):
            for envelope in items:
                put_back(queue, envelope)
            queue._count_delayed(-len(items))

    def _take_due(self) -> list[Envelope]:
        """The items of the earliest tick if that has come; none if it has not, and then the timer is asked for it."""
        with self._lock:
            ticks, now = self._ticks, monotonic()
            while ticks and ticks[0] * TICK <= now:
                items = self._items.pop(heappop(ticks), [])
                if items:
                    return items
            if self._awaited is not None and self._awaited * TICK <= now:
                self._awaited = None
            earliest = ticks[0] if ticks else None
        if earliest is not None:
            self._await_before_others(earliest)
        return []

    def drop_delayed(self) -> int:
        """Forget all items that wait for their time, each counted as done. Returns how many."""
        queue = self._queue()
        with self._lock:
            dropped = sum(map(len, self._items.values()))
            items = [*self._items.values()]
            self._items.clear()
            self._ticks.clear()
        self.strays.clear()  # the items that lay bare were dropped just before
        if queue is not None and dropped:
            queue._count_delayed(-dropped, dropped)
        del items  # here, where their destructors find the lock free
        return dropped

    def begin_anew(self) -> None:
        """In a forked child: another thread may have held the lock, and the timer's thread was the parent's."""
        self._lock = threading.RLock()
        self._awaited = None
        if self._ticks:
            self._await(self._ticks[0])


# For forks alone.
_books: WeakSet[Book] = WeakSet()
_making = threading.Lock()


def book_of(queue: Any) -> Book:
    """The book of *queue*, made now if it has none."""
    book: Book | None = queue._book
    if book is None:
        with _making:
            book = queue._book
            if book is None:
                book = queue._book = Book(queue)
                _books.add(book)
    return book


def _begin_anew() -> None:
    _making._at_fork_reinit()  # type: ignore[attr-defined]  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
    for book in list(_books):
        book.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
