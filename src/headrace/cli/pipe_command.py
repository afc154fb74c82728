"""One long-lived command of ``headrace run --pipe``: what it is fed, and what it prints."""

from __future__ import annotations

import fcntl
import os
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from headrace.cli.spawn import Children

__all__ = ["End", "OutputStream", "PipeCommand"]

STDIN, STDOUT, STDERR = 0, 1, 2
READ_BYTES = 1 << 16
SMALLEST_PIPE = 4096
USUAL_PIPE = 1 << 16
SET_PIPE_SIZE: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux has it
# A command that takes a block in less than the first gets one that is twice as large; that needs more than the second,
# half as large. So it is given what it takes in some milliseconds, whether that is one line or a hundred thousand.
QUICK_SECONDS = 0.0025
SLOW_SECONDS = 0.01


class End(NamedTuple):
    """How a command has ended.

    Attributes:
        lines: how many it had read, in part at least.
        last_line: the last one of them.
        rest: the lines that it was given and had not begun to read.
    """

    lines: int
    last_line: bytes
    rest: bytes


class OutputStream:
    """One of the two outputs of a command, as a pipe that is read without waiting.

    Attributes:
        target: where it goes, ``STDOUT`` or ``STDERR``.
        unended: what was read since the end of the last line.
        is_open: whether there may be more to read.
        is_in_long_line: whether the beginning of a line was passed on without its end.
    """

    def __init__(self, fd: int, target: int) -> None:
        self.fd = fd
        self.target = target
        self.unended = bytearray()
        self.is_open = True
        self.is_in_long_line = False
        self._has_nul = False
        os.set_blocking(fd, False)

    def read(self) -> bytes | None:
        """What there is; nothing at its end, which closes it; None while there is nothing."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self.close()
        return data

    def end_of_lines(self, separator: bytes) -> int:
        """The place in ``unended`` behind the last whole line; 0 without one.

        Where items end with a NUL byte, so do the lines of a command's output once there is a NUL byte in it.
        """
        end = self.unended.rfind(separator) + 1
        if separator == b"\n":
            return end
        self._has_nul = self._has_nul or end > 0
        return end if self._has_nul else self.unended.rfind(b"\n") + 1

    def close(self) -> None:
        """Read no more."""
        if self.is_open:
            self.is_open = False
            os.close(self.fd)


class PipeCommand:
    """A running command that is given lines. For one thread.

    Args:
        together: standard output and standard error go to the same place, and so keep their order.
        block: the most bytes to give at a time.

    Attributes:
        can_take: whether its pipe was found to have room since it was last given something.
        lines: how many it was given.
        given_bytes: how much that was.
        is_fed: whether it may get more: its standard input was not closed.
        has_ended: whether ``end`` was called.

    Raises:
        OSError: it cannot be started.
        RunEnded: the run is being ended.
    """

    def __init__(
        self,
        program: bytes,
        words: list[bytes],
        children: Children,
        separator: bytes,
        block: int,
        *,
        together: bool,
    ) -> None:
        self._separator = separator
        self._block = block
        self._size = 1  # how much to give next; a line is given in any case
        self._pending = memoryview(b"")  # what it was given and its pipe had no room for yet
        # What it was given last, so much that what is in the pipe is among it.
        self._recent: deque[bytes] = deque()
        self._recent_bytes = 0
        self._given_at = 0.0
        self.lines = 0
        self.given_bytes = 0
        self.can_take = True
        self.is_fed = True
        self.has_ended = False
        self._open_and_start(program, words, children, together)
        self._capacity = 0
        self._fit_pipe(SMALLEST_PIPE)

    def _open_and_start(self, program: bytes, words: list[bytes], children: Children, together: bool) -> None:
        opened: list[int] = []
        try:
            for _ in range(2 if together else 3):
                opened += os.pipe()
            # The reading end stays open here too: what a command has not read when it ends is read from it then.
            self._stdin_read, self.stdin, out, out_write, *error = opened
            self.file_actions = [
                (os.POSIX_SPAWN_DUP2, self._stdin_read, STDIN),
                (os.POSIX_SPAWN_DUP2, out_write, STDOUT),
                (os.POSIX_SPAWN_DUP2, error[1] if error else out_write, STDERR),
            ]
            self.pid = children.start(program, words, self)
        except BaseException:
            for fd in opened:
                os.close(fd)
            raise
        os.close(out_write)
        self.streams = [OutputStream(out, STDOUT)]
        if error:
            os.close(error[1])
            self.streams.append(OutputStream(error[0], STDERR))
        os.set_blocking(self.stdin, False)

    @property
    def is_full(self) -> bool:
        """Whether it has not got all that it was given, for its pipe has no room."""
        return len(self._pending) > 0

    def size_to_give(self) -> int:
        """How many bytes it is to be given next."""
        return self._size

    def give(self, lines: bytes) -> None:
        """Give it whole *lines*, when it can take some. Does not wait."""
        self._given_at = time.monotonic()
        self._pending = memoryview(lines)
        self.lines += lines.count(self._separator)
        self.given_bytes += len(lines)
        self._recent.append(lines)
        self._recent_bytes += len(lines)
        self.can_take = False
        self._fit_pipe(len(lines))
        self.write()
        while self._recent_bytes - len(self._recent[0]) > self._capacity + len(self._pending):
            self._recent_bytes -= len(self._recent.popleft())

    def write(self) -> None:
        """Write what its pipe has room for."""
        try:
            self._pending = self._pending[os.write(self.stdin, self._pending) :]
        except BlockingIOError:
            pass

    def when_writable(self) -> None:
        """Its pipe has room: write on, or learn from how long it took what to give next."""
        if self._pending:
            self.write()
            return
        self.can_take = True
        if self._recent:
            self._learn(time.monotonic() - self._given_at, len(self._recent[-1]))

    def _learn(self, seconds: float, given: int) -> None:
        if seconds < QUICK_SECONDS:
            self._size = min(self._block, given * 2)
        elif seconds > SLOW_SECONDS:
            self._size = max(1, given // 2)
        else:
            self._size = min(self._block, given)

    def _fit_pipe(self, size: int) -> None:
        """Make the pipe no larger than what is put into it: so it has room when the command has taken that."""
        wanted = max(SMALLEST_PIPE, 1 << (size.bit_length() - 1))
        if SET_PIPE_SIZE is None:
            self._capacity = USUAL_PIPE
        elif wanted != self._capacity:
            try:
                self._capacity = fcntl.fcntl(self.stdin, SET_PIPE_SIZE, wanted)
            except OSError:
                # More is in it than would fit; or the system grants no more.
                self._capacity = self._capacity or USUAL_PIPE

    def close_stdin(self) -> None:
        """Let it find the end of its input when it has read what it was given."""
        if self.is_fed:
            self.is_fed = False
            os.close(self.stdin)

    def end(self) -> End:
        """Find out how far it has come, now that it has ended."""
        self.has_ended = True
        unread = self._unread_bytes()
        recent = b"".join(self._recent)
        taken_bytes = len(recent) - len(self._pending) - unread
        if taken_bytes and not recent.endswith(self._separator, 0, taken_bytes):
            # It had begun to read this line.
            taken_bytes = recent.index(self._separator, taken_bytes) + 1
        taken, rest = recent[:taken_bytes], recent[taken_bytes:]
        self.close_stdin()
        os.close(self._stdin_read)
        last = taken[:-1].rpartition(self._separator)[2]
        return End(self.lines - rest.count(self._separator), last, rest)

    def _unread_bytes(self) -> int:
        """How much it has left in its pipe, which is empty then."""
        os.set_blocking(self._stdin_read, False)
        unread = 0
        try:
            while data := os.read(self._stdin_read, READ_BYTES):
                unread += len(data)
        except BlockingIOError:
            pass
        return unread
