"""Items for ``headrace put``: its arguments, or lines of its input, as many at a time as are there."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from headrace.cli.describe import ENCODING, describe_item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from headrace.cli.reader import Reader

    Convert = Callable[[bytes], Any]

__all__ = ["BadLine", "as_bytes", "as_json", "as_text", "gathered", "items_of"]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Regular files are read as far as this at once, so that few transactions hold many lines.
MOST_LINES = 10_000
MOST_BYTES = 4 << 20


class BadLine(Exception):
    """A line that cannot be an item. The message says why; *items* are those that came before it."""

    def __init__(self, message: str, items: list[Any]) -> None:
        super().__init__(message)
        self.items = items


def as_text(line: bytes) -> str:
    """The line as a string; bytes that are no UTF-8 are kept as Python keeps them in file names."""
    return line.decode(ENCODING, "surrogateescape")


def as_bytes(line: bytes) -> bytes:
    """The line as it is."""
    return line


def as_json(line: bytes) -> Any:
    """The value that the line is in JSON. Raises ValueError."""
    import msgspec

    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        import json

        # It takes what the other one refuses and get --json prints: halves of surrogate pairs.
        return json.loads(line, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not in JSON")


def items_of(lines: Iterable[bytes], convert: Convert, first_number: int) -> list[Any]:
    """The items that *lines* are, the first of which has that number. Of JSON, empty lines are left out.

    Raises:
        BadLine: one is none.
    """
    if convert is not as_json:
        return [convert(line) for line in lines]
    items: list[Any] = []
    for number, text in enumerate(lines, first_number):
        line = text.removeprefix(BYTE_ORDER_MARK) if number == 1 else text
        if not line or line.isspace():
            continue
        try:
            items.append(convert(line))
        except (ValueError, RecursionError) as error:
            raise BadLine(f"item {number}, {describe_item(line)}, is no JSON: {error}", items) from None
    return items


def gathered(reader: Reader, fd: int) -> Iterator[list[bytes]]:
    """The lines of *reader*, up to ``MOST_LINES`` at a time: those of a pipe as they come, those of a file together."""
    is_file = stat.S_ISREG(os.fstat(fd).st_mode)
    lines: list[bytes] = []
    size = 0
    for block in reader.blocks():
        lines += block
        size += sum(map(len, block))
        while len(lines) >= MOST_LINES or (lines and (size >= MOST_BYTES or not is_file)):
            yield lines[:MOST_LINES]
            del lines[:MOST_LINES]
            size = sum(map(len, lines))
    if lines:
        yield lines
