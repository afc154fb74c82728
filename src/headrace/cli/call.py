"""One step of a consumer of ``headrace run --call``: call the function with an item, print what it returned."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import suppress
from contextvars import ContextVar
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from headrace.cli.describe import ENCODING, describe_error, describe_item, encode
from headrace.cli.functions import is_coroutine_function
from headrace.cli.output import STDOUT, OutputLost, Results
from headrace.cli.spawn import RunEnded

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from _typeshed import ReadableBuffer

    from headrace.cli.coroutines import CoroutineCalls
    from headrace.cli.crew import Handler
    from headrace.cli.item import Item
    from headrace.cli.output import Output
    from headrace.cli.spawn import Children

    class Caller(Protocol):
        """How the function is called."""

        def begin(self) -> list[bytes]:
            """Called once in the consumer's thread: the list that takes what a call writes, to be emptied after it."""
            ...

        def call(self, argument: Any, /) -> Any:
            """What the function returns for *argument*."""
            ...


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
        # The same for a coroutine, which shares its thread with others.
        self.of_coroutine: ContextVar[list[bytes] | None] = ContextVar("of_coroutine", default=None)

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
        return True

    def fileno(self) -> int:
        return STDOUT

    def write(self, text: str) -> int:
        self.buffer.write(encode(text))
        return len(text)


class CallStep:
    """Call a function, or run a coroutine, with each item.

    Args:
        function: takes a string; where the items have fields, a dictionary of them.
    """

    is_done_by_commands = False

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._coroutines: CoroutineCalls | None = None

    def begin(self, consumers: int, children: Children, output: Output) -> list[Handler]:
        """A runner for each consumer; ``sys.stdout`` is replaced, and a thread started that writes results on time."""
        sys.stdout.flush()
        self._results = Results(output)
        self._writer = threading.Thread(target=self._results.flush_on_time, name="Writer", daemon=True)
        self._writer.start()
        written = ItemBytes(self._results)
        sys.stdout = ItemOutput(written)
        if is_coroutine_function(self._function):
            from headrace.cli.coroutines import CoroutineCalls  # with asyncio, which takes its time

            self._coroutines = CoroutineCalls(self._function, children, written.of_coroutine)
            self._coroutines.start()
        return [CallRunner(self._caller(written), self._results, output) for _ in range(consumers)]

    def _caller(self, item_bytes: ItemBytes) -> Caller:
        if self._coroutines is None:
            return FunctionCaller(self._function, item_bytes)
        return CoroutineCaller(self._coroutines)

    def end(self) -> None:
        """Stop the threads that were started; by now they have nothing to do, or are stuck for ever."""
        if self._coroutines is not None:
            self._coroutines.end()
        self._results.close()
        self._writer.join(END_SECONDS)


class FunctionCaller:
    """Calls the function in the thread of the consumer that has this caller."""

    def __init__(self, function: Callable[[Any], Any], item_bytes: ItemBytes) -> None:
        self.call = function
        self.begin = item_bytes.begin


class CoroutineCaller:
    """Runs the coroutine in the thread of all coroutines."""

    def __init__(self, coroutines: CoroutineCalls) -> None:
        self._coroutines = coroutines
        self._written: list[bytes] = []

    def begin(self) -> list[bytes]:
        """The list that takes what a call writes, to be emptied after it."""
        return self._written

    def call(self, argument: object) -> Any:
        """What the coroutine returns. Blocks until then."""
        return self._coroutines.call(argument, self._written)


class CallRunner:
    """Calls a function with one item after the other. Each consumer has one of its own."""

    def __init__(self, caller: Caller, results: Results, output: Output) -> None:
        self._caller = caller
        self._function = caller.call
        self._results = results
        self._output = output
        self._written: list[bytes] | None = None

    def handle(self, item: Item) -> bool:
        """Call the function with *item*; True unless it raised, which is reported here.

        Raises:
            OutputLost: the result cannot be written.
            RunEnded: the run is being ended, and so was the coroutine.
        """
        written = self._written
        if written is None:
            written = self._written = self._caller.begin()
        failure = None
        fields = item.fields
        try:
            # A dictionary of its own, which the function may change.
            result = self._function(item.line.decode(ENCODING, "surrogateescape") if fields is None else dict(fields))
            line = b"" if result is None else _as_line(result)
        except RunEnded:
            raise
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
    if iscoroutine(result):
        result.close()
        raise TypeError("it returned a coroutine, which nobody runs: is it a decorator that hides an async def?")
    return encode(f"{result}\n")
