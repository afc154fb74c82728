"""The lines that ``headrace run --pipe`` has read and not given to a command yet."""

from __future__ import annotations

__all__ = ["LineBuffer"]


class LineBuffer:
    """Whole lines at the front, and perhaps a line at the end that has only begun. For one thread.

    Args:
        separator: one byte, the last of every line.
    """

    def __init__(self, separator: bytes) -> None:
        self._separator = separator
        self._data = bytearray()
        # No line ends before this place.
        self._searched = 0

    def __len__(self) -> int:
        """How many bytes wait."""
        return len(self._data)

    def add(self, block: bytes) -> None:
        """Put *block* at the end."""
        self._data += block

    def end(self) -> None:
        """There is no more to come: what stands at the end is a line too."""
        if self._data and not self._data.endswith(self._separator):
            self._data += self._separator

    def give_back(self, lines: bytes) -> None:
        """Put whole *lines* at the front again."""
        self._data[:0] = lines
        self._searched = 0

    def has_line(self) -> bool:
        """Whether there is a whole line."""
        return self._end_of_line(self._searched) > 0

    def cut(self, size: int) -> bytes:
        """Take whole lines off the front: as many as fit into *size* bytes, though at least one if there is one."""
        end = self._data.rfind(self._separator, 0, size) + 1 or self._end_of_line(max(size, self._searched))
        lines = bytes(self._data[:end])
        del self._data[:end]
        if lines:
            self._searched = 0
        return lines

    def _end_of_line(self, begin: int) -> int:
        """The place behind the first line's end from *begin* on; 0 if there is none."""
        end = self._data.find(self._separator, begin) + 1
        if not end:
            self._searched = len(self._data)
        return end
