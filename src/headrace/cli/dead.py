"""``--dead``: the items that failed, in a file that can be the input of another run."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from headrace.cli.refusal import Refused

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
        self.name = f"--dead {path!r}"
        self._separator = separator
        # Items are written whole, one after the other.
        self._lock = threading.Lock()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            if input_fd >= 0 and os.path.sameopenfile(self._fd, input_fd) and os.path.isfile(path):
                raise Refused(f"{self.name} is the input too: it would be read for ever. Name another file")
            if heading and os.fstat(self._fd).st_size == 0:
                os.write(self._fd, heading + separator)
        except OSError as error:
            raise Refused(f"{self.name}: {error.strerror}") from error

    def record(self, item: Item, outcome: Outcome, printed: Printed | None) -> None:
        """Append *item* if it failed. Raises ``OSError``."""
        if outcome.failure is not None:
            rest = memoryview(item.line + self._separator)
            with self._lock:
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
