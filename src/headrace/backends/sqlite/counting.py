"""Counting: sizes, ``peek``, ``stats``; and what concerns a queue as a whole: ``pause``, ``clear``."""

from __future__ import annotations

from time import time_ns

from headrace.backends.sqlite import statements
from headrace.backends.sqlite.handle import Handle
from headrace.contract import Stats
from headrace.errors import DecodeError, Empty
from headrace.generic import T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from headrace.backends.sqlite.storage import Storage

__all__ = ["Counting"]


class Counting(Handle[T]):
    """The methods that look."""

    def qsize(self) -> int:
        """How many items wait, those among them whose delay is over."""
        waiting, delayed = self._counters("waiting, delayed")
        return int(waiting) + (self._due() if delayed else 0)

    def _others(self, line: int) -> int:
        """How many wait in a line that are neither in ``get`` nor in ``put``: selects."""
        return 0 if self._watches is None else self._watches[line].others()

    def _due(self) -> int:
        ((due,),) = self._storage.look(
            "SELECT count(*) FROM delayed WHERE queue = ? AND ready_at <= ?", (self._id, time_ns() // 1000)
        )
        return int(due)

    @property
    def unfinished_tasks(self) -> int:
        """How many items are not done: ``stats().unfinished``, under the name that it has in ``queue.Queue``."""
        return int(self._counters("waiting + delayed + leased")[0])

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        return True

    def __contains__(self, item: object) -> bool:
        raise TypeError("'in' would have to look at every item: ask for peek(), stats() or queue.dead")

    def empty(self) -> bool:
        """Whether no item waits."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether there is no room."""
        maxsize, waiting = self._counters("maxsize, waiting")
        return bool(0 < maxsize <= waiting)

    @property
    def is_paused(self) -> bool:
        """Whether the queue gives out no items: see ``pause``."""
        return bool(self._counters("paused")[0])

    def pause(self) -> None:
        """Have no consumer, in whatever process, get items until ``resume``. Items may be put."""
        self._change("paused", 1, self._items_word)

    def resume(self) -> None:
        """End ``pause``."""
        self._change("paused", 0, self._items_word)

    def peek(self) -> T:
        """The next item, which stays where it is. Raises Empty."""
        for item in self.peek_many(1):
            return item
        raise Empty

    def peek_many(self, max_items: int) -> list[T]:
        """The next items, which stay where they are; what cannot be decoded is left out. Never blocks."""
        self._storage.run(lambda s: statements.promote(s, self._id))
        rows = self._storage.look(
            "SELECT priority, position, id, deliveries, serializer, coalesce(ready.body, large.body) "
            "FROM ready LEFT JOIN large USING (queue, id) WHERE queue = ? ORDER BY priority, position LIMIT ?",
            (self._id, max_items),
        )
        items: list[T] = []
        for row in rows:
            try:
                items.append(self._decoded(row[4], row[5]))
            except DecodeError:
                continue
        return items

    def clear(self) -> int:
        """Drop all items that wait or are delayed, and return how many."""
        from headrace.backends.sqlite.ledger import forget_waiting

        self._prefetch.give_back()

        def step(s: Storage) -> int:
            forget_waiting(s, self)
            return statements.clear(s, self._id)

        return int(self._storage.run(step, self._is_synced))

    def stats(self) -> Stats:
        """One look at the queue. Takes the same time however many items there are."""
        waiting, delayed, leased, maxsize, put, got, dropped, dead = self._counters(
            "waiting, delayed, leased, maxsize, put_total, get_total, dropped_total, dead"
        )
        due = self._due() if delayed else 0
        return Stats(
            waiting + due,
            waiting + delayed + leased,
            maxsize,
            put,
            got,
            dropped,
            len(self._getters) + self._others(0),
            len(self._putters) + self._others(1),
            self.is_shutdown,
            delayed - due,
            dead,
        )
