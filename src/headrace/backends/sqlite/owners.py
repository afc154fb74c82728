"""``Owner``: who this process is to the others, and which of the others are gone.

An owner is a row in the table ``owner`` and a slot in the side file. It is *dead* when nobody holds the lock on its
slot, which the kernel sees to, however a process ends. It is *lost* when it has not beaten for as long as its lease
says: it is stopped, or its threads do not get to run. The clock for that is the monotonic one of the machine, so
setting the time expires nothing; it does not run while the machine sleeps.

What a dead or lost owner held is given back behind the gate, and its slot is cleared there. An owner looks at its
slot at the beginning of each of its own transactions, behind the gate too: so it knows that it was taken for lost
before it claims anything more, and goes on under a new number. A settlement of its old number finds no row, and raises.
"""

from __future__ import annotations

import os
from time import monotonic_ns

from headrace.backends.sqlite import statements
from headrace.backends.sqlite.side import SLOTS
from headrace.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from headrace.backends.sqlite.storage import Batch, Storage

__all__ = ["Owner"]


class Owner:
    """This process, as an owner of leases in one file.

    Attributes:
        number: its number, which changes when it was taken for lost.
        lease_ns: how long it may be silent.
    """

    def __init__(self, storage: Storage, lease: float) -> None:
        self._storage = storage
        self.lease_ns = int(lease * 1e9)
        self.number = 0
        self.slot = -1
        # Owners that are registered in another side file (this one was deleted and made anew), and since when we know
        # of them: all that can be told of them is that they are silent.
        self._strangers: dict[int, int] = {}
        self.beaten_at = 0
        # The transaction in which the number was given, until it is known to be committed.
        self._enlisted_in: Batch | None = None

    def enlist(self, s: Storage) -> None:
        """Be registered, anew if this process was taken for lost. The first step of each transaction."""
        if self.number and s.side.slot(self.slot)[0] == self.number:
            if self._enlisted_in is not None and self._enlisted_in.is_committed:
                self._enlisted_in = None
            if self._enlisted_in is None or self._enlisted_in is s.batch:
                self._freshen(s)
                return
        if self.slot < 0:
            self.slot = self._free_slot(s)
        # Whoever had the slot before is dead, for the lock is ours; it may be ourselves.
        for (number,) in s.execute(
            "SELECT id FROM owner WHERE slot = ? AND side = ?", (self.slot, s.side.number)
        ).fetchall():
            self._remove(s, number, "its process died" if number != self.number else "its lease ran out")
        ((number,),) = s.execute(
            "INSERT INTO owner(slot, side, pid, started_at, lease) VALUES(?, ?, ?, ?, ?) RETURNING id",
            (self.slot, s.side.number, os.getpid(), s.now, self.lease_ns // 1000),
        ).fetchall()
        self.beaten_at = monotonic_ns()
        s.side.set_owner(self.slot, number, self.beaten_at)
        # If the transaction fails the number is nobody's.
        self._enlisted_in = s.batch
        self.number = number

    def _freshen(self, s: Storage) -> None:
        """Beat, if that was long ago: a process that goes on after a stop must not lose at once what it takes now."""
        now = monotonic_ns()
        if now - self.beaten_at > self.lease_ns // 4:
            s.side.beat(self.slot, now)
            self.beaten_at = now

    def _free_slot(self, s: Storage) -> int:
        for slot in range(SLOTS):
            if s.side.try_lock(slot):
                return slot
        raise StorageError(f"{s.path}: {SLOTS} processes have it open already: no more can")

    def beat(self) -> None:
        """Say that this process is alive, unless it was taken for lost."""
        if self._is_listed():
            now = monotonic_ns()
            self._storage.side.beat(self.slot, now)
            self.beaten_at = now

    def _is_listed(self) -> bool:
        return self.slot >= 0 and self._storage.side.slot(self.slot)[0] == self.number

    def is_sure(self) -> bool:
        """Whether nobody can have taken this process for lost, so that its leases are its own without a look."""
        return monotonic_ns() - self.beaten_at < self.lease_ns // 2 and self._is_listed()

    def return_leases_of_others(self, s: Storage) -> int:
        """Give back what dead and lost owners hold. Returns how many items. A step of a transaction."""
        count = 0
        for number, slot, side, lease in s.execute("SELECT id, slot, side, lease FROM owner").fetchall():
            if number == self.number:
                continue
            why = self._why_gone(s, number, slot, side, lease * 1000)
            if why:
                count += self._remove(s, number, why)
        return count

    def _why_gone(self, s: Storage, number: int, slot: int, side: int, lease_ns: int) -> str:
        """Why an owner holds nothing any more; "" if it does."""
        now = monotonic_ns()
        if side != s.side.number:
            return "its process is gone" if now - self._strangers.setdefault(number, now) > lease_ns else ""
        if slot == self.slot:
            return "its process died"
        if s.side.try_lock(slot):
            try:
                s.side.set_owner(slot, 0, 0)
            finally:
                s.side.unlock(slot)
            return "its process died"
        owner, seen = s.side.slot(slot)
        if owner != number:
            return "its process died"
        if now - seen > lease_ns and not s.side.is_patient():
            s.side.set_owner(slot, 0, 0)
            return "its lease ran out"
        return ""

    def _remove(self, s: Storage, number: int, why: str) -> int:
        count = statements.return_lost(s, number, why)
        s.execute("DELETE FROM owner WHERE id = ?", (number,))
        self._strangers.pop(number, None)
        return count

    def leave(self, s: Storage) -> None:
        """Hold nothing any more: what is still leased was delivered and not settled. A step of the last transaction."""
        self._remove(s, self.number, "its process ended")
        s.side.set_owner(self.slot, 0, 0)
        self.number = 0
