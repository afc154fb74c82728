"""One item of the input of ``headrace run``, from the reader to the last message about it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.cli.reader import Reader

__all__ = ["Item", "LineSource"]


class Item:
    """What a command is run, or a function called, for. There may be millions: it is small and quickly made.

    Attributes:
        line: the bytes of it as they stood in the input, without the separator.
        number: its place in the input, from 1.
        fields: its values by name, where the input has names for them, strings or whatever JSON has; None elsewhere.
        arguments: its values by place: one for each input source, one for each column, or just the line.
        attempt: which time it is that it is tried, from 1. Written by whoever has it at that time.
    """

    __slots__ = ("arguments", "attempt", "fields", "line", "number")

    def __init__(
        self,
        line: bytes,
        number: int,
        fields: Mapping[str, Any] | None = None,
        arguments: tuple[bytes, ...] | None = None,
    ) -> None:
        self.line = line
        self.number = number
        self.fields = fields
        self.arguments = (line,) if arguments is None else arguments
        self.attempt = 1

    def __repr__(self) -> str:
        return f"Item({self.line!r}, {self.number})"


class LineSource:
    """The items of a reader: every line is one.

    Whatever else gives items has the same methods, and is what a ``Crew`` takes.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.stop = reader.stop
        self.size_bytes = reader.size_bytes

    def blocks(self) -> Iterator[list[Item]]:
        """The items, as many at a time as came at once; never an empty list. Waits for input. Raises ``InputError``."""
        numbers = count(1)
        for lines in self._reader.blocks():
            yield list(map(Item, lines, numbers))
