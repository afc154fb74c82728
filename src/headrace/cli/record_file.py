"""A file that a run writes records to: whole, one after the other, from any thread."""

from __future__ import annotations

import os
import threading

from headrace.cli.refusal import Refused

__all__ = ["RecordFile"]


class RecordFile:
    """Appends to the file that an option names.

    Args:
        option: the option, for messages.
        input_fd: where the items are read from, which must be another file; -1 for nowhere.
        anew: what the file had before is gone.

    Attributes:
        name: the option and the path.

    Raises:
        Refused: the file cannot be written, or is the input.
    """

    def __init__(self, option: str, path: str, input_fd: int, *, anew: bool = False) -> None:
        self.name = f"{option} {path!r}"
        # Held while one record is written.
        self._lock = threading.Lock()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            regular = os.path.isfile(path)
            if regular and input_fd >= 0 and os.path.sameopenfile(self._fd, input_fd):
                raise Refused(f"{self.name} is the input too, which would be spoilt. Name another file")
            if regular and anew:
                os.ftruncate(self._fd, 0)
        except OSError as error:
            raise self._refusal(error) from error

    def begin(self, heading: bytes) -> None:
        """Write *heading* if the file is empty. Raises ``Refused``."""
        try:
            if os.fstat(self._fd).st_size == 0:
                self.append(heading)
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> Refused:
        return Refused(f"{self.name}: {error.strerror}")

    def append(self, record: bytes) -> None:
        """Write *record*. Raises ``OSError``."""
        rest = memoryview(record)
        with self._lock:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
