"""How fast a pool may begin items, and how many of a kind at a time.

A consumer never sleeps on an item because of its key: an item whose key is busy is *parked*, and the consumer goes on
to the next one. Who finishes an item goes on with the first that is parked under the same key, so parked items need
nobody to be woken for them: their key has a consumer, or they would not be parked.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic

from headrace.backends.memory.envelope import Envelope, enclosed
from headrace.errors import TakingStopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any

    from headrace.pool.consumer import PoolConsumer
    from headrace.pool.work import Work

__all__ = ["Limits", "Pace"]

# Seconds that an item may be begun too early, so that wake-ups that come late do not add up to a lower rate.
TOLERANCE = 0.005


class Pace:
    """Hands out times at which items may begin ("generic cell rate algorithm", ITU-T I.371, annex A)."""

    def __init__(self, rate: float) -> None:
        self._interval = 1.0 / rate
        # When the next item is due if they come evenly. Changed under the lock.
        self._next = 0.0
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Seconds from now until the caller may begin an item; 0 or less is now."""
        with self._lock:
            now = monotonic()
            due = max(self._next, now)
            self._next = due + self._interval
        return due - now - TOLERANCE

    def give_back(self) -> None:
        """A time that was reserved is not used."""
        with self._lock:
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
        self._parked: dict[Hashable, deque[Envelope]] = {}
        self._parked_count = 0

    def next(self, consumer: PoolConsumer) -> Envelope:
        """The next item for *consumer*, waited for. Raises TakingStopped and ShutDown as the queue does."""
        envelope = self._parked_for(consumer) if consumer.next else self._take(consumer)
        if self._pace is not None:
            self._wait_for_turn(self._pace, consumer, envelope)
        return envelope

    def _parked_for(self, consumer: PoolConsumer) -> Envelope:
        envelope: Envelope = consumer.next.pop()
        if not consumer.stop:
            return envelope
        self._work.queue._give_back(envelope, True)
        self._leave_key(consumer)
        raise TakingStopped

    def _wait_for_turn(self, pace: Pace, consumer: PoolConsumer, envelope: Envelope) -> None:
        seconds = pace.reserve()
        if seconds <= 0 or not consumer.alarm.wait(seconds):
            return
        pace.give_back()
        self._work.queue._give_back(envelope, True)
        self._leave_key(consumer)
        raise TakingStopped

    def _take(self, consumer: PoolConsumer) -> Envelope:
        take = self._work.queue._take
        while True:
            if self._key is not None:
                self._wait_until_few_are_parked(consumer)
            envelope = enclosed(take(consumer.stop))
            if self._key is None:
                return envelope
            try:
                begins = self._enter(consumer, self._key(envelope.item), envelope)
            except Exception as error:  # the item has no key: it fails as if its handler had
                self._work.failures.deal_with(consumer, envelope, error, None)
                continue
            if begins:
                return envelope

    def _most_parked(self) -> float:
        """Where the queue has a bound, as many again may be parked; where it has none, nothing is gained by one."""
        maxsize = self._work.queue.maxsize
        return maxsize if maxsize > 0 else float("inf")

    def _wait_until_few_are_parked(self, consumer: PoolConsumer) -> None:
        if self._parked_count < self._most_parked():
            return
        with self._changed:
            self._changed.wait_for(lambda: consumer.stop or self._parked_count < self._most_parked())

    def _enter(self, consumer: PoolConsumer, key: Hashable, envelope: Envelope) -> bool:
        """Begin an item of *key*, or park it and return False."""
        with self._changed:
            running = self._running.get(key, 0)
            if running < self._per_key:
                self._running[key] = running + 1
                consumer.key = (key,)
                return True
            self._parked.setdefault(key, deque()).append(envelope)
            self._parked_count += 1
            return False

    def finished(self, consumer: PoolConsumer) -> None:
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

    def _leave_key(self, consumer: PoolConsumer) -> None:
        """*consumer* goes on with no item of its key. If nobody else does, what is parked goes back to the queue."""
        if consumer.key is None:
            return
        (key,) = consumer.key
        consumer.key = None
        orphans: deque[Envelope] = deque()
        with self._changed:
            running = self._running.get(key, 1) - 1
            if running > 0:
                self._running[key] = running
            else:
                self._running.pop(key, None)
                orphans = self._parked.pop(key, orphans)
                self._parked_count -= len(orphans)
                self._changed.notify_all()
        for envelope in reversed(orphans):
            self._work.queue._give_back(envelope, True)

    def written_off(self, consumer: PoolConsumer) -> None:
        """*consumer* is not counted with any more, though its handler may be running still."""
        self._leave_key(consumer)

    def wake(self) -> None:
        """Let all who wait look whether they were told to stop."""
        with self._changed:
            self._changed.notify_all()

    def give_back_all(self) -> None:
        """Put everything that is parked back into the queue, in its order. When no consumer is left."""
        with self._changed:
            everything = [envelope for parked in self._parked.values() for envelope in parked]
            self._parked.clear()
            self._parked_count = 0
        for envelope in reversed(everything):
            self._work.queue._give_back(envelope, True)
