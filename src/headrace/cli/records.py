"""Items that are records: of CSV, of TSV, of JSON lines. Their fields have names."""

from __future__ import annotations

import csv
import json
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from headrace.cli.describe import ENCODING
from headrace.cli.item import Item
from headrace.cli.reader import LONGEST_ITEM_BYTES, InputError
from headrace.cli.refusal import Refused
from headrace.cli.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.cli.reader import Reader

__all__ = ["CsvSource", "JsonSource"]

# What Windows programs begin a file with.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
KINDS: dict[type[Any], str] = {list: "an array", str: "a string", type(None): "null", bool: "true or false"}


class BadItem(Item):
    """An item that is no record: whoever wants to know its values is told why there are none."""

    __slots__ = ("_problem",)

    def __init__(self, line: bytes, number: int, problem: str) -> None:
        self.line = line
        self.number = number
        self.arguments = (line,)
        self.attempt = 1
        self._problem = problem

    def _refuse(self) -> Any:
        raise Refused(self._problem)

    fields = property(_refuse)


class CsvSource:
    """The records of a reader's lines; the first one is the header, and is read when this is made.

    A record may span lines where its line breaks are quoted. Empty lines are skipped. A record that is none, or that
    has not as many fields as the header, is a ``BadItem``.

    Args:
        delimiter: a tab for TSV, in which quotes mean nothing.

    Raises:
        Refused: the header is no record, or has a name twice.
        InputError: the header could not be read.
    """

    def __init__(self, reader: Reader, delimiter: str = ",") -> None:
        self.stop = reader.stop
        self._size_bytes = reader.size_bytes()
        self._reader = reader
        self._lines: deque[bytes] = deque()  # read, and not parsed yet
        self._record: list[bytes] = []  # the lines of the record that is being parsed
        self._line_number = 0
        csv.field_size_limit(LONGEST_ITEM_BYTES)
        is_csv = delimiter == ","
        # A quote that is open at the end would go unnoticed otherwise.
        self._rows: Iterator[list[str]] = csv.reader(
            self._text(), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if is_csv else csv.QUOTE_NONE, strict=is_csv
        )
        self.names = self._read_header()
        self.heading = self._raw_record()
        self.vocabulary = Vocabulary(names=self.names, columns=len(self.names))

    def size_bytes(self) -> int | None:
        """How many bytes there were to read before the header was; None where that cannot be known."""
        return self._size_bytes

    def _read_header(self) -> tuple[str, ...]:
        try:
            names = tuple(next(filter(None, self._rows), list[str]()))
        except csv.Error as error:
            raise Refused(f"the header of the input is no record: line {self._line_number}: {error}") from error
        twice = {name for name in names if name and names.count(name) > 1}
        if twice:
            raise Refused(f"the header of the input has {min(twice)!r} twice: names must differ")
        return names

    def blocks(self) -> Iterator[list[Item]]:
        """The items, as many at a time as came at once; never an empty list. Waits for input. Raises ``InputError``."""
        items: list[Item] = []
        for number in count(1):
            if not self._lines and items:
                yield items
                items = []
            try:
                item = self._next(number)
            except InputError:
                # What was read before is handled.
                if items:
                    yield items
                raise
            if item is None:
                break
            items.append(item)
        if items:
            yield items

    def _next(self, number: int) -> Item | None:
        """The next record; None at the end."""
        while True:
            self._record.clear()
            first_line = self._line_number + 1
            try:
                row = next(self._rows)
            except StopIteration:
                return None
            except csv.Error as error:
                return BadItem(self._raw_record(), number, f"line {first_line} is no record: {error}")
            if row:
                return self._item(row, number, first_line)

    def _item(self, row: list[str], number: int, first_line: int) -> Item:
        line = self._raw_record()
        if len(row) != len(self.names):
            problem = f"line {first_line} is no record: it has {len(row)} fields, the header has {len(self.names)}"
            return BadItem(line, number, problem)
        arguments = tuple([value.encode(ENCODING, "surrogateescape") for value in row])
        return Item(line, number, dict(zip(self.names, row, strict=True)), arguments)

    def _raw_record(self) -> bytes:
        return b"\n".join(self._record).removesuffix(b"\r")

    def _text(self) -> Iterator[str]:
        """The lines, with their ends, as the parser asks for them."""
        for lines in self._reader.blocks():
            if not self._line_number:
                lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
            self._lines.extend(lines)
            while self._lines:
                line = self._lines.popleft()
                self._record.append(line)
                self._line_number += 1
                yield line.decode(ENCODING, "surrogateescape") + "\n"


class JsonSource:
    """The objects of a reader's lines, one a line. Empty lines are skipped; what is no object is a ``BadItem``."""

    vocabulary = Vocabulary(has_own_names=True)

    def __init__(self, reader: Reader) -> None:
        self.stop = reader.stop
        self.size_bytes = reader.size_bytes
        self._reader = reader
        self._line_number = 0

    def blocks(self) -> Iterator[list[Item]]:
        """The items, as many at a time as came at once; never an empty list. Waits for input. Raises ``InputError``."""
        numbers = count(1)
        for lines in self._reader.blocks():
            items: list[Item] = []
            for line in lines:
                if not self._line_number:
                    line = line.removeprefix(BYTE_ORDER_MARK)  # noqa: PLW2901 - the first line of all
                self._line_number += 1
                if line and not line.isspace():
                    items.append(self._item(line.removesuffix(b"\r"), next(numbers)))
            if items:
                yield items

    def _item(self, line: bytes, number: int) -> Item:
        try:
            found: Any = json.loads(line.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError) as error:
            return BadItem(line, number, f"line {self._line_number} is no JSON: {error}")
        if isinstance(found, dict):
            return Item(line, number, cast("dict[str, Any]", found))
        kind = KINDS.get(cast("Any", type(found)), "a number")
        return BadItem(line, number, f"line {self._line_number} is no record: it is {kind}, not an object")
