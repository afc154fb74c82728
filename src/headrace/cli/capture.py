"""What one command prints, kept until it has ended.

Nameless temporary files in place of pipes: nobody has to read while the command runs, a command never waits for
its reader, and any amount fits. They are used again for the next command, so that most commands cost none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Capture", "nameless_file"]

STDIN, STDOUT, STDERR = 0, 1, 2
COPY_BYTES = 1 << 18


class Capture:
    """The files that take standard output and standard error of one command at a time. For one thread.

    Where both go to the same place in the end, such as a terminal, one file takes both, and what the command
    printed keeps its order.

    Args:
        apart: two files in any case.
        feeds: standard input is what ``feed`` was called with last, and not empty.
    """

    def __init__(self, *, apart: bool = False, feeds: bool = False) -> None:
        self.feeds = feeds
        self._stdin = -1 if feeds else os.open(os.devnull, os.O_RDONLY)
        self._together = not apart and _same_place(STDOUT, STDERR)
        self._files: list[tuple[int, int]] = []
        self._open()

    def _open(self) -> None:
        out = nameless_file()
        error = out if self._together else nameless_file()
        if self.feeds:
            if self._stdin >= 0:
                os.close(self._stdin)
            self._stdin = nameless_file()
        self._files = [(out, STDOUT)] if self._together else [(out, STDOUT), (error, STDERR)]
        self.file_actions = [
            (os.POSIX_SPAWN_DUP2, self._stdin, STDIN),
            (os.POSIX_SPAWN_DUP2, out, STDOUT),
            (os.POSIX_SPAWN_DUP2, error, STDERR),
        ]

    def feed(self, data: bytes) -> None:
        """Let the next command find *data* on its standard input."""
        # A file, for it takes any amount at once. It was opened for appending, so it is written where it ends.
        os.ftruncate(self._stdin, 0)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._stdin, rest) :]
        os.lseek(self._stdin, 0, os.SEEK_SET)

    def is_empty(self) -> bool:
        """Whether nothing was printed."""
        return not any(_size(file) for file, _ in self._files)

    def stdout_bytes(self) -> int:
        """How much was printed to standard output; to both where one file takes both."""
        return _size(self._files[0][0])

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """What was printed, and where it belongs: standard output first, then standard error."""
        for file, target in self._files:
            position = 0
            while data := os.pread(file, COPY_BYTES, position):
                yield target, data
                position += len(data)

    def clear(self) -> None:
        """Forget what was printed: the files are for the next command now."""
        for file, _ in self._files:
            os.ftruncate(file, 0)

    def abandon(self) -> None:
        """Take new files: something that the last command left behind can still write to these."""
        self._close_files()
        self._open()

    def _close_files(self) -> None:
        for file, _ in self._files:
            os.close(file)
        self._files = []


def _size(file: int) -> int:
    return os.lseek(file, 0, os.SEEK_END)


def _same_place(first: int, second: int) -> bool:
    try:
        return os.path.sameopenfile(first, second)
    except OSError:
        return False


def nameless_file() -> int:
    """A new file to be written at its end and read anywhere, that is gone when it is closed. Raises ``OSError``."""
    # O_APPEND: a command may open its standard output again by name (/dev/stdout), with a position of its own.
    flags = os.O_RDWR | os.O_APPEND
    folder = os.environ.get("TMPDIR") or "/tmp"
    try:
        return os.open(folder, flags | os.O_TMPFILE, 0o600)
    except (OSError, AttributeError):
        # No O_TMPFILE in this system, or in that folder's file system; no such folder.
        return _nameless_file_anywhere(flags)


def _nameless_file_anywhere(flags: int) -> int:
    import tempfile  # slow to import

    unlinked, name = tempfile.mkstemp(prefix="headrace-")
    try:
        return os.open(name, flags)
    finally:
        os.unlink(name)
        os.close(unlinked)
