"""One step of a consumer of ``headrace run --call``: call the function with an item, print what it returned."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from headrace.cli.describe import ENCODING, describe_error, describe_item, encode
from headrace.cli.output import STDOUT, OutputLost, Results

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

    from headrace.cli.crew import Handler
    from headrace.cli.item import Item
    from headrace.cli.output import Output
    from headrace.cli.spawn import Children

__all__ = ["CallStep"]

END_SECONDS = 0.1


class ItemBytes(io.RawIOBase):
    """Keeps what a call writes, so that it comes out together with its result.

    What is written outside of a call (by a thread that the function has started, say) is taken as it comes.
    """

    def __init__(self, results: Results) -> None:
        super().__init__()
        self._results = results
        self._calls = threading.local()

    def begin(self) -> list[bytes]:
        """Keep what the calling thread writes from now on. Returns where: a list to be emptied after each call."""
        written: list[bytes] = []
        self._calls.written = written
        return written

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return STDOUT

    def write(self, data: ReadableBuffer) -> int:
        copy = bytes(data)
        written = getattr(self._calls, "written", None)
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
        return True

    def fileno(self) -> int:
        return STDOUT

    def write(self, text: str) -> int:
        self.buffer.write(encode(text))
        return len(text)


class CallStep:
    """Call a function with each item."""

    is_done_by_commands = False

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function

    def begin(self, consumers: int, children: Children, output: Output) -> list[Handler]:
        """A runner for each consumer; ``sys.stdout`` is replaced, and a thread started that writes results on time."""
        sys.stdout.flush()
        self._results = Results(output)
        self._writer = threading.Thread(target=self._results.flush_on_time, name="Writer", daemon=True)
        self._writer.start()
        written = ItemBytes(self._results)
        sys.stdout = ItemOutput(written)
        return [CallRunner(self._function, self._results, written, output) for _ in range(consumers)]

    def end(self) -> None:
        """Stop the thread that writes on time; by now it has nothing to write, or is stuck for ever."""
        self._results.close()
        self._writer.join(END_SECONDS)


class CallRunner:
    """Calls a function with one item after the other. Each consumer has one of its own."""

    def __init__(self, function: Callable[[str], Any], results: Results, item_bytes: ItemBytes, output: Output) -> None:
        self._function = function
        self._results = results
        self._item_bytes = item_bytes
        self._output = output
        self._written: list[bytes] | None = None

    def handle(self, item: Item) -> bool:
        """Call the function with *item*; True unless it raised, which is reported here.

        Raises:
            OutputLost: the result cannot be written.
        """
        written = self._written
        if written is None:
            written = self._written = self._item_bytes.begin()
        failure = None
        try:
            result = self._function(item.line.decode(ENCODING, "surrogateescape"))
            line = b"" if result is None else _as_line(result)
        except (Exception, SystemExit) as error:
            line = b""
            failure = describe_error(error)
        if written:
            line = b"".join(written) + line
            written.clear()
        if line:
            self._results.add(line)
        if failure is None:
            return True
        with self._output.turn():
            self._output.note(f"item {describe_item(item.line)} failed: {failure}")
        return False

    def finish(self) -> None:
        """Write the results that are still gathered. Blocks while the reader is slow."""
        with suppress(OutputLost):
            self._results.flush()


def _as_line(result: object) -> bytes:
    if isinstance(result, bytes):
        return result + b"\n"
    return encode(f"{result}\n")
