"""``--dead``: the items that failed, in a file that can be the input of another run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.record_file import RecordFile

if TYPE_CHECKING:
    from headrace.cli.item import Item
    from headrace.cli.outcome import Outcome
    from headrace.cli.settling import Printed

__all__ = ["DeadFile"]


class DeadFile:
    """Appends each item that failed, as it stood in the input, with its separator.

    Args:
        input_fd: where the items are read from, which must be another file; -1 for nowhere.
        heading: what the file begins with, if it is empty.

    Raises:
        Refused: the file cannot be written, or is the input.
    """

    def __init__(self, path: str, separator: bytes, input_fd: int, heading: bytes = b"") -> None:
        self._file = RecordFile("--dead", path, input_fd)
        self.name = self._file.name
        self._separator = separator
        if heading:
            self._file.begin(heading + separator)

    def record(self, item: Item, outcome: Outcome, printed: Printed | None) -> None:
        """Append *item* if it failed. Raises ``OSError``."""
        if outcome.failure is not None:
            self._file.append(item.line + self._separator)
