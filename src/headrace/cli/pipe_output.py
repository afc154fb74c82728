"""Writes what the commands of ``headrace run --pipe`` print, in a thread that may wait for a slow reader."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from headrace.cli.output import OutputLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.cli.output import Output

__all__ = ["PipeWriter"]

MOST_WAITING_BYTES = 1 << 20
NOTE = -1


class PipeWriter:
    """Takes what is to be written without waiting, and writes it in a thread of its own, in the same order.

    Args:
        separator: what ends a line besides a line break.
        when_room: called in that thread when there is room again after ``is_full`` was true, and at its end.

    Attributes:
        is_done: whether it will write nothing any more: all was written, or nothing can be.
    """

    def __init__(self, output: Output, separator: bytes, when_room: Callable[[], None]) -> None:
        self._output = output
        self._line_ends = (b"\n", separator)
        self._when_room = when_room
        # Guards the fields below it. Not held while something is written.
        self._condition = threading.Condition()
        self._waiting: list[tuple[int, bytes]] = []
        self._waiting_bytes = 0
        self._was_full = False
        self._closed = False
        # Who has begun a line of which output and not ended it. Only add() uses this.
        self._in_line: dict[int, object] = {}
        self.is_done = False
        threading.Thread(target=self._run, name="Writer", daemon=True).start()

    def add(self, source: object, target: int, data: bytes) -> None:
        """Write *data* of *source* to *target*, on a new line if somebody else has not ended theirs."""
        before = self._in_line.pop(target, source)
        if before is not source:
            data = b"\n" + data
        if not data.endswith(self._line_ends):
            self._in_line[target] = source
        self._put(target, data)

    def note(self, message: str) -> None:
        """Write ``headrace: MESSAGE`` as a line of standard error."""
        self._put(NOTE, message.encode("utf-8", "surrogateescape"))

    def _put(self, target: int, data: bytes) -> None:
        with self._condition:
            self._waiting.append((target, data))
            self._waiting_bytes += len(data)
            self._condition.notify()

    def is_full(self) -> bool:
        """Whether so much waits to be written that no more should come."""
        with self._condition:
            self._was_full = self._waiting_bytes > MOST_WAITING_BYTES
            return self._was_full

    def close(self) -> None:
        """Write all and end the thread. Blocks while the reader is slow."""
        with self._condition:
            self._closed = True
            self._condition.notify()

    def _run(self) -> None:
        try:
            while batch := self._take():
                with self._output.turn():
                    for target, data in batch:
                        if target == NOTE:
                            self._output.note(data.decode("utf-8", "surrogateescape"))
                        else:
                            self._output.write(target, data)
        except OutputLost:
            pass
        finally:
            self.is_done = True
            self._when_room()

    def _take(self) -> list[tuple[int, bytes]]:
        """What waits, when there is something; nothing when there will be nothing more."""
        with self._condition:
            while not self._waiting and not self._closed:
                self._condition.wait()
            batch, self._waiting = self._waiting, []
            self._waiting_bytes = 0
            was_full, self._was_full = self._was_full, False
        if was_full:
            self._when_room()
        return batch
