"""Everything that ``headrace run`` writes: whole, one after the other, around the progress line."""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["Output", "OutputLost", "Results"]

STDOUT, STDERR = 1, 2
FLUSH_BYTES = 1 << 16
FLUSH_SECONDS = 0.01

ERASE_LINE = b"\r\x1b[K"


class OutputLost(Exception):
    """Nothing more can be written: the reader of a pipe has gone, or a disk is full."""


class Output:
    """Standard output and standard error of this process, shared by threads that take turns.

    At the bottom of the terminal there may be a status line, which gives way to what is written.

    Attributes:
        error: why writing failed, after it did; every later write raises ``OutputLost`` at once.
    """

    def __init__(self, when_lost: Callable[[], None]) -> None:
        # Held while one command's output is written, however long its reader takes. Guards all fields.
        self._lock = threading.Lock()
        self._when_lost = when_lost
        self.error: OSError | None = None
        self._terminals = frozenset(fd for fd in (STDOUT, STDERR) if os.isatty(fd))
        # Whether what was last written to a terminal ended its line.
        self._at_line_start = True
        self._status_line = b""
        self._status_line_is_shown = False

    @contextmanager
    def turn(self) -> Generator[None]:
        """The right to call ``write`` and ``note`` until the block ends. Blocks while another thread has it."""
        with self._lock:
            self._hide_status_line()
            try:
                yield
            finally:
                self._show_status_line()

    def write(self, fd: int, data: bytes) -> None:
        """Write all of *data*; in a turn only. Blocks while the reader is slow.

        Raises:
            OutputLost: nothing can be written any more.
        """
        if self.error is not None:
            raise OutputLost
        if fd in self._terminals:
            self._at_line_start = data.endswith(b"\n")
        try:
            _write_all(fd, data)
        except OSError as error:
            self.lose(error)
            raise OutputLost from error

    def lose(self, error: OSError) -> None:
        """Nothing more can be written, because of *error*. May be called from any thread."""
        self.error = error
        self._when_lost()

    def note(self, message: str) -> None:
        """Write ``headrace: MESSAGE`` as a line of standard error; in a turn only. Raises ``OutputLost``."""
        self.write(STDERR, self._as_note(message))

    def _as_note(self, message: str) -> bytes:
        on_new_line = b"" if self._at_line_start or STDERR not in self._terminals else b"\n"
        return on_new_line + os.fsencode(f"headrace: {message}\n")

    def say(self, message: str, wait: float = -1) -> None:
        """A turn with just a note in it. Gives up after *wait* seconds unless that is negative."""
        if not self._lock.acquire(timeout=wait):
            return
        try:
            self._hide_status_line()
            # Even when standard output is lost: that is what there may be to say.
            with suppress(OSError):
                _write_all(STDERR, self._as_note(message))
            self._at_line_start = True
            self._show_status_line()
        finally:
            self._lock.release()

    def draw(self, status_line: bytes) -> None:
        """Make *status_line* the line at the bottom of the terminal; empty is none. Not while someone writes."""
        if self._lock.acquire(blocking=False):
            try:
                self._hide_status_line()
                self._status_line = status_line
                self._show_status_line()
            finally:
                self._lock.release()

    def _hide_status_line(self) -> None:
        if self._status_line_is_shown:
            self._status_line_is_shown = False
            self._write_quietly(ERASE_LINE)

    def _show_status_line(self) -> None:
        if not self._status_line:
            return
        self._status_line_is_shown = True
        # Back to the beginning of the line, so that what others write to this terminal does not start behind it.
        below = b"" if self._at_line_start else b"\n"
        self._at_line_start = True
        self._write_quietly(below + self._status_line + b"\r")

    def _write_quietly(self, data: bytes) -> None:
        """Write to the terminal. When it has gone, SIGHUP says so, and nobody misses the status line."""
        try:
            _write_all(STDERR, data)
        except OSError:
            self._status_line = b""


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            # Whoever shares this pipe or terminal with us has made it non-blocking.
            select.select((), (fd,), ())


class Results:
    """Gathers short results into few writes, and keeps none back for longer than ``FLUSH_SECONDS``.

    Threads call ``add``; one thread runs ``flush_on_time`` until ``close`` is called.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        # Guards the two fields below, for the time of an append. Whoever has the right to write may take it, but not
        # the other way round: a slow reader of standard output would hold up everyone.
        self._lock = threading.Lock()
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        # Set by the first result after a flush, and by close(): there is something to do on time.
        self._begun = threading.Event()
        self._closed = False

    def add(self, result: bytes) -> None:
        """Take *result*, to be written whole. Blocks while the reader of standard output is too slow.

        Raises:
            OutputLost: nothing can be written any more.
        """
        with self._lock:
            if not self._gathered:
                self._begun.set()
            self._gathered.append(result)
            self._gathered_bytes += len(result)
            if self._gathered_bytes < FLUSH_BYTES:
                return
        self.flush()

    def flush(self, note: str | None = None) -> None:
        """Write what was gathered, and then *note*. Blocks while the reader is slow. Raises ``OutputLost``."""
        # The turn comes first and the gathered results second, so that they are written in the order of add().
        with self._output.turn():
            with self._lock:
                gathered, self._gathered = self._gathered, []
                self._gathered_bytes = 0
            if gathered:
                self._output.write(STDOUT, b"".join(gathered))
            if note is not None:
                self._output.note(note)

    def flush_on_time(self) -> None:
        """Write what nobody else writes, ``FLUSH_SECONDS`` after it came, until ``close``."""
        try:
            while not self._closed:
                self._begun.wait()
                self._begun.clear()
                if not self._closed:
                    time.sleep(FLUSH_SECONDS)
                self.flush()
        except OutputLost:
            pass

    def close(self) -> None:
        """Let ``flush_on_time`` write the rest and return. Call it when all results were added."""
        self._closed = True
        self._begun.set()
