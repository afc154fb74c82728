"""The input of ``headrace run``, one item after the other, in bounded memory."""

from __future__ import annotations

import os
import select
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["InputError", "Reader"]

BLOCK_BYTES = 1 << 16
LONGEST_ITEM_BYTES = 64 << 20


class InputError(Exception):
    """The input cannot be read to its end, and the message says why."""


class Reader:
    """Splits what a file descriptor gives into items, as they come.

    One thread iterates over ``blocks()``; any thread may call ``stop()``. An item is what stands between two
    separators; what follows the last separator is an item too, unless it is empty.
    """

    def __init__(self, fd: int, separator: bytes = b"\n", longest_item_bytes: int = LONGEST_ITEM_BYTES) -> None:
        self._fd = fd
        self._separator = separator
        self._longest_item_bytes = longest_item_bytes
        self._stopped: bool = False
        self._wake_read, self._wake_write = os.pipe()
        # A regular file is always ready to be read: only the others are waited for.
        self._poll: select.poll | None = None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            self._poll = select.poll()
            self._poll.register(fd, select.POLLIN)
            self._poll.register(self._wake_read, select.POLLIN)

    def size_bytes(self) -> int | None:
        """How many bytes there are to read; None where that cannot be known, as of a pipe."""
        details = os.fstat(self._fd)
        if not stat.S_ISREG(details.st_mode):
            return None
        return max(0, details.st_size - os.lseek(self._fd, 0, os.SEEK_CUR))

    def stop(self) -> None:
        """End the iteration, at once even if it waits for input. May be called from any thread, and again."""
        self._stopped = True
        os.write(self._wake_write, b"!")

    def close(self) -> None:
        """Release what the reader opened by itself, which is not its input. Only after the iteration has ended."""
        os.close(self._wake_read)
        os.close(self._wake_write)

    def blocks(self) -> Iterator[list[bytes]]:
        """Items, as many at a time as one read brought; never an empty list. Waits for input.

        Raises:
            InputError: there was an error, or no separator for too long.
        """
        begun: list[bytes] = []  # pieces of the item whose end has not been read yet
        begun_bytes = 0
        while block := self._read():
            items = block.split(self._separator)
            rest = items.pop()
            if items:
                begun.append(items[0])
                items[0] = b"".join(begun)
                yield items
                begun = []
                begun_bytes = 0
            begun.append(rest)
            begun_bytes += len(rest)
            if begun_bytes > self._longest_item_bytes:
                raise InputError(
                    f"an item does not end within {self._longest_item_bytes:,} bytes: "
                    "are the items separated in another way (-0)?"
                )
        last = b"".join(begun)
        if last and not self._stopped:
            yield [last]

    def _read(self) -> bytes:
        """The next bytes of the input; none at its end, or when the reader was stopped."""
        while not self._is_stopped():
            try:
                return os.read(self._fd, BLOCK_BYTES)
            except BlockingIOError:
                # Someone else reads from the same pipe and was faster.
                continue
            except OSError as error:
                raise InputError(error.strerror) from error
        return b""

    def _is_stopped(self) -> bool:
        """Whether the reader was stopped; waits until then, or until there is something to read."""
        if self._poll is not None and not self._stopped:
            self._poll.poll()
        return self._stopped
