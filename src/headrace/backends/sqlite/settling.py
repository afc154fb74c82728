"""Settling: ``task_done``, ``join``, leases, and what pools do with items."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from time import time_ns

from headrace.backends.memory.python import deadline_after
from headrace.backends.sqlite import bell, statements
from headrace.backends.sqlite.delivery import Delivery
from headrace.backends.sqlite.putting import microseconds
from headrace.backends.sqlite.states import ENDED
from headrace.backends.sqlite.taking import Taking, said
from headrace.errors import DecodeError, LeaseLost, TakingStopped
from headrace.generic import T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from headrace.backends.sqlite.dead import FileDeadLetter, FileDeadLetters
    from headrace.backends.sqlite.statements import Claimed
    from headrace.backends.sqlite.storage import Operation, Storage

__all__ = ["Settling"]


class Settling(Taking[T]):
    """The methods that settle, and those that pools and leases use."""

    def task_done(self, count: int = 1) -> None:
        """The oldest *count* items that this thread got, and has not settled, are done.

        If it holds no more, those that other threads got are settled, the oldest first. It is written with the next
        transaction, or a twentieth of a second later: what a crash takes of it is done twice.

        Raises:
            ValueError: this object holds fewer items. Nothing was settled.
            LeaseLost: the lease ran out, because this process was stopped for long.
        """
        check_task_count(count)
        self._task_done(count, threading.get_ident())

    def _task_done(self, count: int, holder: object, soon: bool = False) -> None:
        """``task_done`` of *holder*: see ``_get``. With *soon* others hear of the end a moment later."""
        lost: LeaseLost | None
        is_nested = self._is_unholding()
        # Other threads may settle what this one holds, and must not find the same items.
        with self._unholding:
            held = self._held_by(holder)
            # In a signal handler that has interrupted this thread just here, what is being settled is not ours. Said
            # first, and looked then.
            begun = self._being_settled if is_nested else 0
            self._being_settled = begun + count
            try:
                pairs = list(held)[begun : begun + count]
                if len(pairs) < count:
                    lost = self._settle_pairs(self._taken_from_all(count, begun, holder), soon)
                else:
                    # Settled first and forgotten then: an interrupt in between leaves what is settled twice, which
                    # changes nothing.
                    lost = self._settle_pairs(pairs, soon)
                    for pair in pairs:
                        with suppress(ValueError):  # given back meanwhile
                            held.remove(pair)
            finally:
                self._being_settled = begun
                self._forget_if_empty(holder)
        if lost is not None:
            raise lost

    def _forget_if_empty(self, holder: object) -> None:
        """Tasks are many, and end: one that holds nothing leaves nothing. With ``_unholding`` held."""
        if not isinstance(holder, int) and not self._held.get(holder, True):
            del self._held[holder]

    def _taken_from_all(self, count: int, begun: int, own: object) -> list[tuple[int, int]]:
        """What *own* holds, and then what others do. Raises ValueError, and takes nothing, where that is less."""
        pairs: list[tuple[int, int]] = []
        for holder in sorted(list(self._held), key=lambda one: one != own):  # noqa: C414 - other threads change it
            theirs = self._held[holder]
            while theirs and len(pairs) < count and not begun:
                try:
                    pairs.append(theirs.popleft())
                except IndexError:
                    break
            self._forget_if_empty(holder)
        if len(pairs) < count:
            self._held_by(own).extendleft(reversed(pairs))
            raise ValueError(
                f"task_done({count}) for {len(pairs)} items that this object holds: only what get() returned can be "
                "settled, once"
            )
        return pairs

    def _settle_pairs(self, pairs: list[tuple[int, int]], soon: bool) -> LeaseLost | None:
        """Settle all of them. Returns the first LeaseLost."""
        lost: LeaseLost | None = None
        file = self._file
        number = file.owner.number
        if len(pairs) > 1 and {owner for _, owner in pairs} == {number} and file.owner.is_sure():
            self._check_is_own()
            file.settle_many_soon(self._id, number, [item for item, _ in pairs])
            self._tell_the_end(soon)
            return None
        for item, owner in pairs:
            try:
                self._done(item, owner, soon)
            except LeaseLost as error:
                lost = lost or error
        return lost

    def _done(self, number: int, owner: int, soon: bool = False) -> None:
        file = self._file
        self._check_is_own()
        if file.owner.number == owner and file.owner.is_sure():
            file.settle_soon(self._id, owner, number)
            self._tell_the_end(soon)
            return
        if not self._storage.run(lambda s: statements.settle(s, self._id, owner, [number])):
            raise statements.lost(number)

    def _tell_the_end(self, soon: bool = False) -> None:
        """If this object was shut down, what it holds may have been the last: let those look who wait for that.

        With *soon* that is left to the housekeeper.
        """
        if self._state and soon:
            self._file.housekeeper.do(self._tell)
        elif self._state:
            self._file.write()
            bell.ring(self._words, self._items_word)
            bell.ring(self._words, self._drained_word)

    def _tell(self, s: Storage) -> None:
        s.ring(self._items_word)
        s.ring(self._drained_word)

    def _check_is_own(self) -> None:
        if self._process != os.getpid():
            raise LeaseLost("the item was taken by the process that this one was forked from, and is that one's")
        if self._is_closed or self._file.storage.is_closed:
            raise LeaseLost("the queue was closed, and what it held was given back")

    def join(self, timeout: float | None = None) -> None:
        """Wait until every item of the queue is done or dead, whatever process has it.

        Raises TimeoutError after *timeout* seconds. After ``shutdown(immediate=True)`` it waits only for what this
        object holds.
        """
        self._join(None, timeout)

    def _join(self, stop: list[Any] | None, timeout: float | None = None) -> None:
        deadline = deadline_after(timeout)
        storage = self._storage
        while True:
            if stop:
                raise TakingStopped
            seen = bell.read(self._words, self._drained_word)
            storage.run(self._return_lost)
            unfinished, leased = self._counters("waiting + delayed + leased, leased")
            if not unfinished or (self._state == ENDED and not (leased and self._holds_any())):
                return
            self._wait(self._drained_word, seen, deadline, TimeoutError)

    # -- leases ----------------------------------------------------------------------------------

    @property
    def dead(self) -> FileDeadLetters:
        """The dead letters: what has failed for good."""
        from headrace.backends.sqlite.dead import FileDeadLetters

        return FileDeadLetters(self)

    def _take(
        self,
        stop: list[Any] | None,
        block: bool = True,
        timeout: float | None = None,
        hand: list[Any] | None = None,
    ) -> Delivery:
        if self._process != os.getpid():
            self._reopen()
        return self._prefetch.take(stop, block, timeout, hand)

    def _delivery(self, row: Claimed) -> Delivery | None:
        """What was claimed, decoded; None if that cannot be, and it is dead now."""
        try:
            item = self._decoded(row[4], row[5])
        except DecodeError as error:
            try:
                self._bury_undecodable(row, error)
            except LeaseLost:
                pass
            return None
        delivery = Delivery(self, item, row[2], row[3], row[10])
        delivery.priority = row[0]
        delivery.put_at = row[8] / 1e6
        if row[7] is not None:
            delivery.headers = json.loads(row[7])
        if row[9] is not None:
            delivery.first_failed = row[9] / 1e6
        return delivery

    def _settle(self, raw: Delivery) -> None:
        self._out.discard((self._number(raw), raw.owner))
        try:
            self._done(self._number(raw), raw.owner)
        except LeaseLost:
            raw.is_settled = True
            raise
        raw.is_settled = True

    def _retry(self, envelope: Delivery, delay: float, error: BaseException | None = None) -> FileDeadLetter | None:
        ready_at = time_ns() // 1000 + microseconds("delay", delay) if delay > 0 else None
        why = "given back" if error is None else said(error)
        number = self._number(envelope)

        def step(s: Storage) -> bool:
            return statements.retry(s, self._id, envelope.owner, number, ready_at, why, limited=envelope.is_limited)

        is_alive = self._give_up(envelope, step)
        envelope.attempt += 1
        return None if is_alive is not False else self.dead[number]

    def _put_back(self, envelope: Delivery) -> None:
        number = self._number(envelope)

        def step(s: Storage) -> None:
            statements.undo(s, self._id, envelope.owner, number)

        self._give_up(envelope, step)

    def _bury(self, envelope: Delivery, error: BaseException) -> FileDeadLetter:
        from headrace.backends.sqlite.dead import traceback_of

        number = self._number(envelope)
        text, traceback = said(error), traceback_of(error)
        self._give_up(envelope, lambda s: statements.bury(s, self._id, envelope.owner, number, text, traceback))
        return self.dead[number]

    def _give_up(self, envelope: Delivery, step: Operation) -> Any:
        """Take a step that ends a lease. Raises LeaseLost. Whatever else ends it early leaves the lease to __del__."""
        self._check_is_own()
        self._out.discard((self._number(envelope), envelope.owner))
        try:
            result = self._run_or_later(step)
        except LeaseLost:
            envelope.is_settled = True
            raise
        envelope.is_settled = True
        if not self._file.storage.is_leading():
            self._tell_the_end()
        return result

    def _forgotten(self, delivery: Delivery) -> None:
        """A lease that nobody has any more was not settled. In a destructor, so it is left to the housekeeper."""
        if self._is_closed or self._process != os.getpid():
            return
        number, owner = self._number(delivery), delivery.owner
        self._out.discard((number, owner))
        self._file.housekeeper.do(
            lambda s: statements.retry(s, self._id, owner, number, None, "nobody held its lease any more")
        )

    def _number(self, envelope: Delivery) -> int:
        assert envelope.id is not None
        return envelope.id

    def _extend(self, envelope: Delivery) -> None:
        """A lease is prolonged by this process being alive: see that it is still held."""
        self._check_is_own()
        file = self._file
        if file.owner.number == envelope.owner and file.owner.is_sure():
            return
        file.owner.beat()
        if not self._storage.look(
            "SELECT 1 FROM leased WHERE queue = ? AND id = ? AND owner = ?", (self._id, envelope.id, envelope.owner)
        ):
            raise statements.lost(self._number(envelope))

    def _begin_taking(self, consumers: int) -> None:
        self._prefetch.begin(consumers)

    def _end_taking(self) -> None:
        self._prefetch.end()

    def _interrupt(self) -> None:
        bell.ring(self._words, self._items_word)
        bell.ring(self._words, self._drained_word)
        if self._watches is not None:
            self._watches.alarm()


def check_task_count(count: object) -> None:
    """Raise unless *count* is a whole number of at least 1."""
    if not isinstance(count, int):
        raise TypeError(f"'count' must be a whole number, not {type(count).__name__}: {count!r}")
    if count < 1:
        raise ValueError(f"'count' must be at least 1, not {count!r}")
