"""``Prefetch``: items that are claimed a little ahead, for the consumers of a pool.

A transaction for each item costs some forty microseconds, one for a hundred items hardly more. So as long as a pool
works, whoever finds nothing here claims as many items as the pool's consumers take in ``AHEAD_SECONDS``, measured on
the last ones: the bound is a time and not a number, since with slow handlers every item that lies here is one that
another process could be at work on. What lies here for too long all the same goes back, and so does everything when
the pool takes no more: undone, at its old place, with its delivery not counted.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from time import monotonic
from weakref import ref

from headrace.backends.sqlite import bell, statements
from headrace.backends.sqlite.states import ENDED
from headrace.errors import Empty, HeadraceError, LeaseLost, ShutDown, TakingStopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from headrace.backends.sqlite.delivery import Delivery
    from headrace.backends.sqlite.statements import Claimed
    from headrace.backends.sqlite.storage import Storage

__all__ = ["AHEAD_SECONDS", "Prefetch"]

AHEAD_SECONDS = 0.05
STALE_SECONDS = 1.0
MOST = 1000
GROWTH = 4
SUSPECT_SECONDS = 0.02


class Prefetch:
    """What is claimed ahead for one queue object, while pools take from it.

    Attributes:
        ready: claimed and not begun, the next one first. Changed with the lock held.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self.ready: deque[Claimed] = deque()
        # Of the takers of one turn, see announce: how many are still to come, and how the next one is refused, those of
        # pools (who have a list to be stopped by) and others. Used by the lane only, which is one thread at a time.
        self._announced = 0
        self._refusals: dict[bool, type[HeadraceError]] = {}
        # One thread claims at a time: the others shall find what it has claimed.
        self._claiming = threading.RLock()
        self._is_claiming: Callable[[], bool] = getattr(self._claiming, "_is_owned")  # noqa: B009 - in no type stub
        # The pools that take, each as the number of its consumers; and their sum.
        self._pools: list[int] = []
        self._consumers = 0
        self._count = 1
        self._fetched_at = 0.0
        # An item that a process was lost with, and that is at work: its number, and its delivery once there is one.
        self._suspect: tuple[int, ref[Delivery] | None] | None = None

    def begin(self, consumers: int) -> None:
        """A pool begins to take."""
        if not self._consumers:
            self._count = 1
        self._pools.append(consumers)
        self._consumers = sum(self._pools)

    def end(self) -> None:
        """A pool takes no more. With the last one, what lies here goes back."""
        if self._pools:
            self._pools.pop()
        self._consumers = sum(self._pools)
        if not self._consumers:
            self.give_back()

    def take(self, stop: list[Any] | None, block: bool, timeout: float | None, hand: list[Any] | None) -> Delivery:
        """The next item, waited for; see the contract's ``_take``."""
        queue = self._queue
        held: list[Claimed] = []
        try:
            while True:
                if stop:
                    raise TakingStopped
                if self._consumers:
                    self._next_into(held, stop)
                if not held:
                    queue._claim(1, block, timeout, held, stop)
                if self._consumers and not self._may_begin(held[0]):
                    self._leave_for_later(held, block)
                    continue
                delivery: Delivery | None = queue._delivery(held[0])
                if delivery is None:
                    held.clear()
                    continue
                if self._suspect and self._suspect[0] == held[0][2]:
                    self._suspect = (held[0][2], ref(delivery))
                delivery.is_limited = stop is None
                queue._out.add((delivery.id, delivery.owner))
                if hand is not None:
                    hand.append(delivery)
                return delivery
        except BaseException as interrupt:
            for row in held:
                with suppress(ValueError):
                    self.ready.remove(row)
            if not hand:
                queue._undo_later(held, interrupt)
            raise

    def announce(self) -> None:
        """One more coroutine will call ``take_announced`` in this turn of the file's lane, which has just begun.

        What is claimed for the first is claimed for all of them, in one transaction; and if it finds nothing the others
        need not look. They had all begun to wait before that: a ring since then has woken them.
        """
        self._announced += 1
        self._refusals.clear()

    def take_announced(self, stop: list[Any] | None, hand: list[Any]) -> None:
        """``take`` without waiting, for one who was announced."""
        if stop:
            refusal: type[HeadraceError] | None = TakingStopped
        else:
            refusal = self._refusals.get(stop is None)
        try:
            if refusal is not None:
                raise refusal
            self._queue._take(stop, False, None, hand)
        except (Empty, ShutDown) as error:
            self._refusals[stop is None] = type(error)
            raise
        finally:
            self._announced -= 1

    def _may_begin(self, row: Claimed) -> bool:
        """Whether an item may be begun: of those that a process was lost with, one at a time.

        If it is the one that kills processes, the others are not in the same one, and are not counted as lost with it.
        """
        if not statements.is_suspect(row):
            return True
        with self._claiming:
            if self._suspect is not None:
                number, delivery = self._suspect
                at_work = None if delivery is None else delivery()
                if number != row[2] and (delivery is None or (at_work is not None and not at_work.is_settled)):
                    return False
            self._suspect = (row[2], None)
            return True

    def has_suspect_at_work(self) -> bool:
        """Whether one of them is being handled, so that no other is to be claimed: it would count as lost with it."""
        suspect = self._suspect
        if suspect is None or suspect[1] is None or not self._consumers:
            return False
        delivery = suspect[1]()
        return delivery is not None and not delivery.is_settled

    def _leave_for_later(self, held: list[Claimed], block: bool) -> None:
        """Give it back, for it may not be begun; and do not take it again at once."""
        queue = self._queue
        row = held[0]

        def undo(s: Storage) -> None:
            with suppress(LeaseLost):
                statements.undo(s, queue._id, row[10], row[2])

        queue._storage.run(undo)
        held.clear()
        if not block:
            raise Empty
        seen = bell.read(queue._words, queue._items_word)
        bell.wait(queue._words, queue._items_word, seen, SUSPECT_SECONDS)

    def _next_into(self, held: list[Claimed], stop: list[Any] | None) -> None:
        """Take one that lies here, or claim some more. Leaves *held* empty where none waits."""
        if self._is_claiming():
            return  # a signal handler, or a destructor, that has interrupted this thread here: it claims for itself
        with self._claiming:
            if not self.ready and self._queue._state != ENDED:
                self._claim_some()
            if self.ready:
                # In this order: an interrupt in between finds it in both places, and not in none.
                held.append(self.ready[0])
                self.ready.popleft()

    def _claim_some(self) -> None:
        queue = self._queue
        self._adapt(monotonic())
        rows: list[Claimed] = []
        try:
            try:
                count = max(self._count, min(self._announced, MOST))
                queue._claim(count, False, None, rows, None, True)
            except (Empty, ShutDown):
                return
            self._fetched_at = monotonic()
            self.ready.extend(rows)
            if len(rows) > 1:
                queue._file.housekeeper.prefetching.add(self)
                if queue._getters:
                    bell.ring(queue._words, queue._items_word)
        except BaseException as interrupt:

            def is_nobodys(row: Claimed) -> bool:
                # What lies here, or has been taken from here, is in good hands.
                return row not in self.ready and (row[2], row[10]) not in queue._out

            queue._undo_later(rows, interrupt, is_nobodys)
            raise

    def _adapt(self, now: float) -> None:
        """Say how many to claim: as many as are taken in AHEAD_SECONDS, as far as that is known."""
        passed = now - self._fetched_at
        if passed <= 0 or not self._fetched_at:
            return
        fitting = int(self._count * AHEAD_SECONDS / passed)
        self._count = max(1, min(fitting, self._count * GROWTH, MOST))

    def stale_at(self) -> float:
        """When what lies here has lain for too long, on the monotonic clock."""
        return self._fetched_at + STALE_SECONDS if self.ready else monotonic() + 60.0

    def return_stale(self) -> None:
        """Give back what has lain here for too long."""
        if self.ready and monotonic() >= self.stale_at():
            self._count = 1
            self.give_back()

    def give_back(self) -> None:
        """Give back everything that lies here, undone."""
        rows: list[Claimed] = []
        if self._is_claiming():
            return
        with self._claiming:
            rows += self.ready
            self.ready.clear()
        if not rows:
            return
        queue = self._queue

        def step(s: Storage) -> None:
            for row in rows:
                with suppress(LeaseLost):
                    statements.undo(s, queue._id, row[10], row[2])

        queue._run_or_later(step)
