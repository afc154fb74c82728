"""Taking: ``get``, ``get_many``, iteration, and how an item is claimed."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import contextmanager
from time import monotonic, time

from headrace.backends.memory.python import deadline_after
from headrace.backends.sqlite import bell, statements
from headrace.backends.sqlite.handle import Blocked, Handle
from headrace.backends.sqlite.states import ENDED
from headrace.errors import DecodeError, Empty, LeaseLost, ShutDown, TakingStopped
from headrace.generic import T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Any

    from headrace.backends.sqlite.statements import Claimed
    from headrace.backends.sqlite.storage import Operation, Storage
    from headrace.lease import Lease

__all__ = ["Taking", "said"]

# Items that one transaction claims.
MOST_AT_ONCE = 10_000
# Seconds between two looks of a waiting object whether a process that holds items has died, beside being told of it.
LOOK_SECONDS = 0.05
# Waiting threads that are told of a new process that holds items. Some may be its own, which cannot watch it.
WATCHERS = 8


class Taking(Handle[T]):
    """The methods that take."""

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the next item under a lease that ``task_done`` settles, in the thread that got it.

        Raises:
            Empty: there was none, or none came in time.
            ShutDown: this object was shut down, and nothing waits any more.
            StorageError: the file failed.
        """
        return self._get(threading.get_ident(), block, timeout)

    def _get(self, holder: object, block: bool, timeout: float | None) -> T:
        """``get`` of what *holder* is to settle: a thread's number, or a weak reference to a task."""
        hand: list[Claimed] = []
        try:
            while True:
                self._claim(1, block, timeout, hand)
                row = hand[0]
                try:
                    item: T = self._decoded(row[4], row[5])
                except DecodeError as error:
                    self._bury_undecodable(row, error)
                    hand.clear()
                    continue
                self._held_by(holder).append((row[2], row[10]))
                self._refuse_if_closed()
                return item
        except BaseException as interrupt:
            self._undo_later(hand, interrupt)
            raise

    def get_nowait(self) -> T:
        """``get(block=False)``."""
        return self.get(False)

    def get_many(self, max_items: int, block: bool = True, timeout: float | None = None) -> list[T]:
        """Take up to *max_items* items that are there, in one transaction; wait for the first. Never an empty list.

        Each is leased, and counts for one ``task_done``. Raises as ``get``.
        """
        if not isinstance(max_items, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"'max_items' must be a whole number, not {type(max_items).__name__}: {max_items!r}")
        if max_items < 1:
            raise ValueError(f"'max_items' must be at least 1, not {max_items!r}")
        hand: list[Claimed] = []
        try:
            while True:
                self._claim(min(max_items, MOST_AT_ONCE), block, timeout, hand)
                items, good = self._decoded_all(hand)
                if items:
                    self._hold(good)
                    self._refuse_if_closed()
                    return items
                hand.clear()
        except BaseException as interrupt:
            self._undo_later(hand, interrupt)
            raise

    def _decoded_all(self, rows: list[Claimed]) -> tuple[list[Any], list[Claimed]]:
        """The items of *rows*, and those rows that have one; the others are dead."""
        try:
            code, decode = self._code, self._serializer.decode
            return [decode(row[5]) if row[4] == code else self._decoded(row[4], row[5]) for row in rows], rows
        except DecodeError:
            pass  # one by one
        items: list[Any] = []
        good: list[Claimed] = []
        for row in rows:
            try:
                items.append(self._decoded(row[4], row[5]))
                good.append(row)
            except DecodeError as error:
                self._bury_undecodable(row, error)
        return items, good

    def _claim(
        self,
        count: int,
        block: bool,
        timeout: float | None,
        hand: list[Claimed],
        stop: list[Any] | None = None,
        alone: bool = False,
    ) -> None:
        """Lease items into *hand*: at least one on return."""
        try:
            deadline = deadline_after(timeout) if block and timeout is not None else None
        except ValueError:
            self._raise_if_drained(stop)
            raise
        withdrawn = False

        def step(s: Storage) -> None:
            hand.clear()
            if not withdrawn:
                self._claim_now(s, hand, count, alone, has_waited)

        has_waited = False
        try:
            with Blocked(self, self._getters) as blocked:
                while True:
                    seen = bell.read(self._words, self._items_word)
                    if self._has_claimed(step, hand, stop):
                        return
                    if not block:
                        raise Empty
                    blocked.begin()
                    has_waited = True
                    self._wait(self._items_word, seen, deadline, Empty, self._longest_wait())
        except BaseException:
            withdrawn = True
            raise

    def _claim_now(self, s: Storage, hand: list[Claimed], count: int, alone: bool, patient: bool) -> None:
        """Lease into *hand* what there is. A step of a transaction."""
        if self._state == ENDED:
            return
        owner = self._file.owner
        owner.enlist(s)
        if self._prefetch.has_suspect_at_work() and statements.is_next_suspect(s, self._id):
            return
        hand.extend(statements.claim(s, self._id, owner.number, count, alone))
        if not hand and self._return_lost(s, patient=patient):
            hand.extend(statements.claim(s, self._id, owner.number, count, alone))
        if hand and self._announced != owner.number:
            # Some of those that wait learn that there is one more process whose death they want to hear of. One
            # that does is enough: it tells the others.
            self._announced = owner.number
            s.ring(self._items_word, WATCHERS)

    def _has_claimed(self, step: Operation, hand: list[Claimed], stop: list[Any] | None) -> bool:
        """Try once. Raises TakingStopped where it is to stop, ShutDown where nothing more comes."""
        if stop:
            raise TakingStopped
        if self._state == ENDED:
            raise ShutDown
        self._storage.run(step)
        if not hand:
            self._raise_if_drained(stop)
            return False
        if stop:  # told to end meanwhile: it is not begun
            raise TakingStopped
        self._file.housekeeper.start()
        return True

    def _return_lost(self, s: Storage, patient: bool = False) -> int:
        """Have what dead processes held wait again. Returns how many items. A step of a transaction.

        Args:
            patient: not if it was done just before: with many processes waiting for few items it would be most of what
                they do.
        """
        ((leased,),) = s.execute("SELECT leased FROM queue WHERE id = ?", (self._id,)).fetchall()
        now = monotonic()
        self._looks_again_at = 0.0
        if not leased:
            return 0
        if patient and now < self._looked_at + LOOK_SECONDS:
            self._looks_again_at = self._looked_at + LOOK_SECONDS
            return 0
        self._looked_at = now
        count = self._file.owner.return_leases_of_others(s)
        self._file.housekeeper.watch_owners()
        return count

    def _longest_wait(self) -> float | None:
        """Until the next delayed item is ready, or somebody may have died; None where neither is to come."""
        ((due,),) = self._storage.look("SELECT min(ready_at) FROM delayed WHERE queue = ?", (self._id,))
        waits: list[float] = []
        if due is not None:
            waits.append(float(due) / 1e6 - time())
        if self._looks_again_at:
            waits.append(self._looks_again_at - monotonic())
        return max(0.0005, min(waits)) if waits else None

    def _raise_if_drained(self, stop: list[Any] | None) -> None:
        """Raise ShutDown if this object was shut down and nothing more will come."""
        if not self._state:
            return
        waiting, delayed = self._counters("waiting, delayed")
        if waiting or delayed:
            return
        # A pool's consumer stays as long as what another one holds may come back.
        if stop is not None and self._process_holds_any():
            return
        raise ShutDown

    def _process_holds_any(self) -> bool:
        """Whether something is not settled that this process has taken."""
        self._file.write()
        rows = self._storage.look(
            "SELECT 1 FROM leased WHERE queue = ? AND owner = ? LIMIT 1", (self._id, self._file.owner.number)
        )
        return bool(rows)

    def _holds_any(self) -> bool:
        """Whether this object has anything that is not settled. Other objects of the process may have something."""
        self._file.write()
        numbers = [number for number, _ in self._holds()]
        numbers += [row[2] for row in list(self._prefetch.ready)]
        if not numbers:
            return False
        rows = self._storage.look(
            "SELECT 1 FROM leased WHERE queue = ?1 AND owner = ?2 AND id IN carray(?3) LIMIT 1",
            (self._id, self._file.owner.number, statements.listed_numbers(numbers)),
        )
        return bool(rows)

    def _bury_undecodable(self, row: Claimed, error: DecodeError) -> None:
        self._file.storage.run(lambda s: statements.bury(s, self._id, row[10], row[2], said(error), ""))

    def _hold(self, rows: list[Claimed]) -> None:
        # In a function of its own: in Python 3.13 what a tracer raises in a comprehension passes by the handlers of the
        # function that it is in.
        self._held_here().extend([(row[2], row[10]) for row in rows])

    def _held_here(self) -> deque[tuple[int, int]]:
        return self._held_by(threading.get_ident())

    def _held_by(self, holder: object) -> deque[tuple[int, int]]:
        held = self._held.get(holder)
        if held is None:
            held = self._held[holder] = deque()
        return held

    def _refuse_if_closed(self) -> None:
        """What was taken while this object was being closed goes back: ``close`` may not have seen it."""
        if self._is_closed:
            raise ShutDown

    def _undo_later(
        self, hand: list[Claimed], interrupt: BaseException, is_nobodys: Callable[[Claimed], bool] = lambda row: True
    ) -> None:
        """What was claimed was given to nobody, for an interrupt came: it was not delivered."""

        def undo(s: Storage) -> None:
            # The claim may only just have been committed, by another thread.
            for row in filter(is_nobodys, hand):
                for held in list(self._held.values()):
                    if (row[2], row[10]) in held:
                        held.remove((row[2], row[10]))
                try:
                    statements.undo(s, self._id, row[10], row[2])
                except LeaseLost:
                    pass

        # Ended by itself, as a rule: nothing was claimed.
        if self._process == os.getpid() and (hand or not isinstance(interrupt, Exception)):
            self._file.housekeeper.do(undo)

    def __iter__(self) -> Iterator[T]:
        """The items until the queue is shut down and nothing waits. Each is leased as by ``get``."""
        while True:
            try:
                item = self.get()
            except ShutDown:
                return
            yield item

    def lease(self, block: bool = True, timeout: float | None = None) -> Lease[T]:
        """Take the next item under a lease of its own. Waits, and raises, as ``get``."""
        from headrace.lease import Lease

        return Lease(self, block, timeout)

    @contextmanager
    def item(self, block: bool = True, timeout: float | None = None) -> Generator[T]:
        """A block that has an item, which is done when it ends, however it does. ``lease`` gives back what fails."""
        lease = self.lease(block, timeout)
        try:
            yield lease.item
        finally:
            lease.done()


def said(error: BaseException) -> str:
    """An error in a line, as a traceback ends."""
    from headrace.backends.memory.dead import said as last_line

    return last_line(error).strip()
