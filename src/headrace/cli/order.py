"""``--keep-order``: output in the order of the input, though items end in any order."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from headrace.cli.output import OutputLost
from headrace.cli.spill import Spill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.cli.delivery import Piece, Write
    from headrace.cli.spill import Held

__all__ = ["Order"]

AHEAD_ITEMS = 16384
"""How far an item may be ahead of the first one that has not ended: so many outputs are held at most."""


class Order:
    """Holds the output of each item until all before it have been written.

    Whoever ends the item whose turn it is writes it, and what was held behind it. Nobody waits for a turn: an item
    that is tried again may come after all others, and a consumer that waited could not be the one to try it. It is
    the reader who waits, in ``wait_for_room``.

    Args:
        when_lost: called when output cannot be held, for a disk is full.
    """

    def __init__(self, when_lost: Callable[[OSError], None]) -> None:
        self._when_lost = when_lost
        # Held while output is written, however long its reader takes. Guards _next (which others may read), _held,
        # _skipped and _spill.
        self._lock = threading.Lock()
        self._next = 1
        self._held: dict[int, Held] = {}
        self._skipped: set[int] = set()
        self._spill = Spill()
        # Guards nothing but the waiting: whoever has made room wakes the reader, if it waits.
        self._room = threading.Condition()
        self._reader_waits = False
        self._stopped = False

    def deliver(self, number: int, pieces: Iterable[Piece], note: str | None, write: Write) -> None:
        """Write the output of item *number* if its turn has come, and what was held behind it; or hold it.

        Raises:
            OutputLost: nothing can be written any more.
        """
        with self._lock:
            if number != self._next:
                try:
                    self._held[number] = self._spill.hold(pieces, note)
                except OSError as error:
                    self._when_lost(error)
                    raise OutputLost from error
                return
            write(pieces, note)
            self._next = number + 1
            while self._next in self._skipped or self._next in self._held:
                if self._next in self._skipped:
                    self._skipped.remove(self._next)
                else:
                    self._write_held(self._held.pop(self._next), write)
                self._next += 1
        if self._reader_waits:
            with self._room:
                self._room.notify()

    def skip(self, number: int) -> None:
        """Item *number* gives no output. For the reader, who waits here as it does for other items."""
        self.wait_for_room(number)
        with self._lock:
            # Nothing behind it is held, for it has not been read.
            if number == self._next:
                self._next += 1
            else:
                self._skipped.add(number)

    @property
    def written(self) -> int:
        """The output of all items up to this number has been written."""
        return self._next - 1

    def write_rest(self, write: Write) -> None:
        """Write what is still held, in order: what is missing between will not come. Raises ``OutputLost``."""
        with self._lock:
            for number in sorted(self._held):
                self._write_held(self._held.pop(number), write)

    def _write_held(self, held: Held, write: Write) -> None:
        if held.pieces or held.note is not None:
            write(self._spill.read(held), held.note)
        self._spill.release(held)

    def wait_for_room(self, number: int) -> None:
        """Wait until item *number* is near enough to the first that has not ended. For the reader."""
        if number - self._next < AHEAD_ITEMS:
            return
        with self._room:
            self._reader_waits = True
            # Whoever makes room after _reader_waits was set notifies; room that was made before is seen here.
            self._room.wait_for(lambda: self._stopped or number - self._next < AHEAD_ITEMS // 2)
            self._reader_waits = False

    def stop(self) -> None:
        """Let the reader wait no more. May be called from any thread."""
        with self._room:
            self._stopped = True
            self._room.notify_all()
