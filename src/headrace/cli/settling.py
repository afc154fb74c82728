"""What becomes of an item when an attempt at it has ended: another attempt, or its end, which is recorded."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from headrace.cli.output import OutputLost
from headrace.cli.spawn import RunEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from headrace import Retry
    from headrace.cli.delivery import Piece
    from headrace.cli.halt import Halter
    from headrace.cli.item import Item
    from headrace.cli.journal import Journal
    from headrace.cli.outcome import Outcome

    class Printed(Protocol):
        """What an attempt has printed."""

        def pieces(self) -> Iterable[Piece]:
            """All of it."""
            ...

        def stdout_bytes(self) -> int:
            """How much of it went to standard output."""
            ...

    class Recorder(Protocol):
        """Notes how items ended."""

        name: str

        def record(self, item: Item, outcome: Outcome, printed: Printed | None) -> None:
            """Note how *item* ended. May be called from any thread. Raises ``OSError``."""
            ...


__all__ = ["Settling"]

# How much may wait for another attempt before the reader waits too: it would fill the memory, if all fail.
MOST_WAITING_ITEMS = 100_000
MOST_WAITING_BYTES = 64 << 20


class Settling:
    """Decides, and has it recorded. Its methods may be called from any thread.

    Args:
        retry: whether and when a failed item is tried again; None for never.
        recorders: who is told of each item that has ended, for good.
        halter: who counts them, to end the run early.
        when_lost: called once, when a record cannot be written, with why.
        journal: who is told when an attempt begins, and when an item waits for the next.

    Attributes:
        stopping: no more items are started; what fails now has failed.
    """

    def __init__(
        self,
        retry: Retry | None,
        recorders: list[Recorder],
        halter: Halter | None,
        when_lost: Callable[[str], None],
        journal: Journal | None = None,
    ) -> None:
        self._journal = journal
        self.retry = retry
        self.halter = halter
        self.stopping: bool = False
        self._recorders = recorders
        self._when_lost = when_lost
        # Guards the items that wait for another attempt, each with how the last one ended, and how long they are
        # together. Notified when the reader, the only one who waits, may go on.
        self._changed = threading.Condition(threading.Lock())
        self._waiting: dict[int, tuple[Item, Outcome]] = {}
        self._waiting_bytes = 0
        self._was_lost = False

    def delay_before_next(self, item: Item, outcome: Outcome) -> float | None:
        """In how many seconds *item* is to be tried again; None when this was the end of it.

        Raises:
            RunEnded: the run is being ended, and whoever goes on with its queue has attempts left.
        """
        if outcome.failure is None or self.retry is None or item.attempt >= self.retry.attempts:
            return None
        with self._changed:
            if self.stopping:
                if self._journal is not None:
                    raise RunEnded
                return None
            self._waiting[item.number] = item, outcome
            self._waiting_bytes += len(item.line)
            if self._journal is not None:
                self._journal.waits(item)
        return self.retry.delay_before(item.attempt + 1)

    def begin(self, item: Item) -> bool:
        """*item* is to be tried now. Returns whether it may be."""
        with self._changed:
            if self.stopping:
                return False
            if self._waiting and self._waiting.pop(item.number, None) is not None:
                item.attempt += 1
                self._waiting_bytes -= len(item.line)
                if not self._are_too_many():
                    self._changed.notify()
            if self._journal is not None:
                self._journal.begins(item)
            return True

    def wait_for_room(self) -> None:
        """Wait while too much waits for another attempt. For the reader."""
        with self._changed:
            self._changed.wait_for(lambda: self.stopping or not self._are_too_many())

    def _are_too_many(self) -> bool:
        return len(self._waiting) >= MOST_WAITING_ITEMS or self._waiting_bytes >= MOST_WAITING_BYTES

    def count(self, *, failed: bool) -> None:
        """An item has ended, and been counted by its consumer: this may be the one that ends the run."""
        if self.halter is not None:
            self.halter.count(failed=failed)

    def record(self, item: Item, outcome: Outcome, printed: Printed | None) -> None:
        """Note how *item* ended. Raises ``OutputLost`` when that cannot be."""
        for recorder in self._recorders:
            try:
                recorder.record(item, outcome, printed)
            except OSError as error:
                self._lose(f"cannot write {recorder.name}: {error.strerror}")
                raise OutputLost from error

    def _lose(self, message: str) -> None:
        with self._changed:
            if self._was_lost:
                return
            self._was_lost = True
        self._when_lost(message)

    def stop(self) -> None:
        """Let no item be started any more, nor tried again."""
        with self._changed:
            self.stopping = True
            self._changed.notify()

    def end_waiting(self) -> int:
        """The items that wait for another attempt get none: they have failed. Returns how many; after ``stop``."""
        with self._changed:
            waiting, self._waiting = self._waiting, {}
        for item, outcome in waiting.values():
            self.record(item, outcome, None)
        return len(waiting)
