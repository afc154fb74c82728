"""How fast a pool may begin items, and how many of a kind at a time.

A consumer never sleeps on an item because of its key: an item whose key is busy is *parked*, and the consumer goes on
to the next one. Who finishes an item goes on with the first that is parked under the same key, so parked items need
nobody to be woken for them: their key has a consumer, or they would not be parked.
"""

from __future__ import annotations

import threading
from collections import deque
from itertools import count
from operator import itemgetter
from time import monotonic

from headrace.backends.memory.envelope import Envelope, enclosed
from headrace.errors import TakingStopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from typing import Any

    from headrace.pool.consumer import PoolConsumer
    from headrace.pool.member import Member
    from headrace.pool.work import Work

__all__ = ["Limits", "Pace"]

# Seconds that an item may be begun too early, so that wake-ups that come late do not add up to a lower rate.
TOLERANCE = 0.005
# Longer is for ever, to a lock. 30 years.
LONGEST_WAIT = 1e9


class Pace:
    """Hands out times at which items may begin ("generic cell rate algorithm", ITU-T I.371, annex A)."""

    def __init__(self, rate: float) -> None:
        self._interval = 1.0 / rate
        # When the next item is due if they come evenly. Changed under the lock.
        self._next = 0.0
        self._lock = threading.Lock()

    def reserve(self) -> tuple[float, float]:
        """Seconds from now until the caller may begin an item, 0 or less is now; and what ``give_back`` wants."""
        with self._lock:
            now = monotonic()
            due = max(self._next, now)
            self._next = reserved = due + self._interval
        return due - now - TOLERANCE, reserved

    def give_back(self, reserved: float) -> None:
        """A time that was reserved is not used. *reserved* came with it.

        One that others have reserved behind is lost: the next would otherwise be given twice.
        """
        with self._lock:
            if self._next == reserved:
                self._next -= self._interval


class Limits:
    """Says which item a consumer begins next.

    Args:
        rate: items a second, over the whole pool; None is no limit.
        key: what an item may not be begun twice of at a time; None is no limit.
        per_key: how many with the same key may be handled at a time.
    """

    def __init__(self, work: Work, rate: float | None, key: Callable[[Any], Hashable] | None, per_key: int) -> None:
        self._work = work
        self._pace = None if rate is None else Pace(rate)
        self._key = key
        self._per_key = per_key
        # Guards the rest. Nothing of the user's runs under it, but hashing and comparing keys.
        self._changed = threading.Condition(threading.Lock())
        self._running: dict[Hashable, int] = {}
        # Items with the order in which they came.
        self._parked: dict[Hashable, deque[tuple[int, Envelope]]] = {}
        self._parked_count = 0
        # What consumers had not begun when all were told to stop. Back to the queue in its order, at the end.
        self._set_aside: list[tuple[int, Envelope]] = []
        self._is_over = False
        self._numbers = count()

    def next(self, consumer: PoolConsumer) -> Envelope:
        """The next item for *consumer*, waited for. Raises TakingStopped and ShutDown as the queue does."""
        number, envelope = self._parked_for(consumer) if consumer.next else self._take(consumer)
        if self._pace is not None:
            self._wait_for_turn(self._pace, consumer, number, envelope)
        return envelope

    def _parked_for(self, consumer: Member) -> tuple[int, Envelope]:
        number, envelope = consumer.next.pop()
        if consumer.stop:
            self._begin_no_more(consumer, number, envelope)
        return number, envelope

    def _wait_for_turn(self, pace: Pace, consumer: PoolConsumer, number: int, envelope: Envelope) -> None:
        seconds, reserved = pace.reserve()
        if seconds > 0 and consumer.alarm.wait(min(seconds, LONGEST_WAIT)):
            pace.give_back(reserved)
            self._begin_no_more(consumer, number, envelope)

    def _begin_no_more(self, consumer: Member, number: int, envelope: Envelope) -> None:
        self._return([(number, envelope)])
        self._leave_key(consumer)
        raise TakingStopped

    def _return(self, items: Iterable[tuple[int, Envelope]]) -> None:
        """Give back items that were not begun: now, or with all others when everything ends."""
        with self._changed:
            if self._work.is_stopping and not self._is_over:
                self._set_aside += items
                return
        for _, envelope in sorted(items, key=itemgetter(0), reverse=True):
            self._work.put_back(envelope)

    def _take(self, consumer: PoolConsumer) -> tuple[int, Envelope]:
        take = self._work.queue._take
        while True:
            if self._key is not None:
                self._wait_until_few_are_parked(consumer)
            envelope = enclosed(take(consumer.stop))
            number = next(self._numbers)
            if self._key is None:
                return number, envelope
            try:
                begins = self._enter(consumer, self._key(envelope.item), number, envelope)
            except BaseException as error:  # the item has no key: it fails as if its handler had
                self._work.failures.deal_with(consumer, envelope, error, None)
                if not isinstance(error, Exception):
                    raise
                continue
            if begins:
                return number, envelope

    def _most_parked(self) -> float:
        """Where the queue has a bound, as many again may be parked; where it has none, nothing is gained by one."""
        maxsize = self._work.queue.maxsize
        return maxsize if maxsize > 0 else float("inf")

    def _wait_until_few_are_parked(self, consumer: PoolConsumer) -> None:
        if self._parked_count < self._most_parked():
            return
        with self._changed:
            self._changed.wait_for(lambda: consumer.stop or self._parked_count < self._most_parked())

    def _enter(self, consumer: Member, key: Hashable, number: int, envelope: Envelope) -> bool:
        """Begin an item of *key*, or park it and return False."""
        with self._changed:
            running = self._running.get(key, 0)
            if running < self._per_key:
                self._running[key] = running + 1
                consumer.key = (key,)
                return True
            self._parked.setdefault(key, deque()).append((number, envelope))
            self._parked_count += 1
            return False

    def finished(self, consumer: Member) -> None:
        """*consumer* has ended an item: it goes on with one that is parked under its key, if there is any."""
        if consumer.key is None:
            return
        (key,) = consumer.key
        if consumer.stop:
            self._leave_key(consumer)
            return
        with self._changed:
            parked = self._parked.get(key)
            if parked:
                consumer.next.append(parked.popleft())
                self._parked_count -= 1
                self._changed.notify()
                if not parked:
                    del self._parked[key]
                return
        self._leave_key(consumer)

    def _leave_key(self, consumer: Member) -> None:
        """*consumer* goes on with no item of its key. If nobody else does, what is parked goes back to the queue."""
        if consumer.key is None:
            return
        (key,) = consumer.key
        consumer.key = None
        orphans: deque[tuple[int, Envelope]] = deque()
        with self._changed:
            running = self._running.get(key, 1) - 1
            if running > 0:
                self._running[key] = running
            else:
                self._running.pop(key, None)
                orphans = self._parked.pop(key, orphans)
                self._parked_count -= len(orphans)
                self._changed.notify_all()
        self._return(orphans)

    def written_off(self, consumer: Member) -> None:
        """*consumer* is not counted with any more: it ends, or its handler takes too long."""
        while consumer.next:
            self._return([consumer.next.pop()])
        self._leave_key(consumer)

    def wake(self) -> None:
        """Let all who wait look whether they were told to stop."""
        with self._changed:
            self._changed.notify_all()

    def give_back_all(self) -> None:
        """Put everything that is parked back into the queue, in its order. When no consumer is left."""
        with self._changed:
            self._is_over = True
            everything = [item for parked in self._parked.values() for item in parked] + self._set_aside
            self._parked.clear()
            self._set_aside.clear()
            self._parked_count = 0
        self._return(everything)
