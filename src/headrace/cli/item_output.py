"""Where what a function prints under ``headrace run --call`` goes: it is kept until the call has returned."""

from __future__ import annotations

import io
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

from headrace.cli.describe import ENCODING, encode
from headrace.cli.output import STDOUT

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from headrace.cli.output import Results

__all__ = ["ItemBytes", "ItemOutput"]


class ItemBytes(io.RawIOBase):
    """Keeps what a call writes, so that it comes out together with its result.

    What is written outside of a call (by a thread that the function has started, say) is taken as it comes.
    """

    def __init__(self, results: Results) -> None:
        super().__init__()
        self._results = results
        self._calls = threading.local()
        # The same for a coroutine, which shares its thread with others.
        self.of_coroutine: ContextVar[list[bytes] | None] = ContextVar("of_coroutine", default=None)

    def begin(self) -> list[bytes]:
        """Keep what the calling thread writes from now on. Returns where: a list to be emptied after each call."""
        written: list[bytes] = []
        self._calls.written = written
        return written

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """That of standard output, where all of it goes in the end."""
        return STDOUT

    def write(self, data: ReadableBuffer) -> int:
        """Keep *data*, or write it where no call runs. May then block, and raises ``OutputLost``."""
        copy = bytes(data)
        written = getattr(self._calls, "written", None)
        if written is None:
            written = self.of_coroutine.get()
        if written is None:
            self._results.add(copy)
        else:
            written.append(copy)
        return len(copy)


class ItemOutput(io.TextIOBase):
    """Stands in for ``sys.stdout``: text, and under ``buffer`` bytes."""

    encoding = ENCODING
    errors = "surrogateescape"

    def __init__(self, buffer: ItemBytes) -> None:
        super().__init__()
        self.buffer = buffer

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """That of standard output, where all of it goes in the end."""
        return STDOUT

    def write(self, text: str) -> int:
        """As ``buffer.write``, and no text is refused."""
        self.buffer.write(encode(text))
        return len(text)
