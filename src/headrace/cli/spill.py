"""Outputs that wait: short ones in memory, up to a limit, all others in nameless files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from headrace.cli.capture import nameless_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.cli.delivery import Piece

__all__ = ["Held", "Spill"]

MEMORY_BYTES = 8 << 20
SHORT_BYTES = 4 << 10
FILE_BYTES = 64 << 20
READ_BYTES = 1 << 18


class SpillFile:
    """A nameless file that is written to at its end, and closed when nothing that is in it is waited for."""

    def __init__(self) -> None:
        self.fd = nameless_file()
        self.size = 0
        self.parts = 0

    def append(self, data: bytes) -> None:
        """Write *data* to the end. Raises ``OSError``."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.fd, rest) :]
        self.size += len(data)


class Part(NamedTuple):
    """A stretch of a file that stands for a piece of output."""

    place: int
    file: SpillFile
    offset: int
    size: int


class Held(NamedTuple):
    """The output of one item: pieces as they came, and parts for those that are in a file."""

    pieces: list[Piece | Part]
    note: str | None


class Spill:
    """Takes outputs and gives them back. For one thread at a time.

    A file takes outputs until it has ``FILE_BYTES``; then the next one is begun. So what was given back in the order
    in which it came takes no more room than what waits, and one file.
    """

    def __init__(self) -> None:
        self._in_memory = 0
        self._file: SpillFile | None = None

    def hold(self, pieces: Iterable[Piece], note: str | None) -> Held:
        """Keep *pieces* and *note*. Raises ``OSError`` where there is no more room for them."""
        kept: list[Piece | Part] = []
        for piece in pieces:
            size = len(piece[1])
            if size <= SHORT_BYTES and self._in_memory + size <= MEMORY_BYTES:
                self._in_memory += size
                kept.append(piece)
            else:
                kept.append(self._in_file(*piece))
        return Held(kept, note)

    def _in_file(self, place: int, data: bytes) -> Part:
        if self._file is None or self._file.size >= FILE_BYTES:
            self._leave_file()
            self._file = SpillFile()
        file = self._file
        offset = file.size
        file.append(data)
        file.parts += 1
        return Part(place, file, offset, len(data))

    def _leave_file(self) -> None:
        """Let the current file be closed by who releases its last part."""
        if self._file is not None and not self._file.parts:
            os.close(self._file.fd)
        self._file = None

    def read(self, held: Held) -> Iterator[Piece]:
        """What was held."""
        for piece in held.pieces:
            if isinstance(piece, Part):
                yield from _read_part(piece)
            else:
                yield piece

    def release(self, held: Held) -> None:
        """Forget *held*; it was written."""
        for piece in held.pieces:
            if isinstance(piece, Part):
                self._release_part(piece.file)
            else:
                self._in_memory -= len(piece[1])

    def _release_part(self, file: SpillFile) -> None:
        file.parts -= 1
        if file.parts:
            return
        if file is self._file:
            os.ftruncate(file.fd, 0)
            file.size = 0
        else:
            os.close(file.fd)


def _read_part(part: Part) -> Iterator[Piece]:
    for begin in range(0, part.size, READ_BYTES):
        yield part.place, os.pread(part.file.fd, min(READ_BYTES, part.size - begin), part.offset + begin)
