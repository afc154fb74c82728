"""One step of a consumer of ``headrace run --call``: call the function with an item, print what it returned."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from inspect import iscoroutine
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from headrace.cli.describe import describe_error, describe_failure, describe_over_time, encode
from headrace.cli.functions import is_coroutine_function
from headrace.cli.item_output import ItemBytes, ItemOutput
from headrace.cli.outcome import Outcome
from headrace.cli.output import STDOUT, OutputLost, Results
from headrace.cli.refusal import Refused
from headrace.cli.spawn import RunEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from headrace.cli.coroutines import CoroutineCalls
    from headrace.cli.delivery import Delivery, Piece
    from headrace.cli.giving import Giving
    from headrace.cli.item import Item
    from headrace.cli.output import Output
    from headrace.cli.spawn import Children
    from headrace.cli.worker import Handler

    class Caller(Protocol):
        """How the function is called."""

        def begin(self) -> list[bytes]:
            """Called once in the consumer's thread: the list that takes what a call writes, to be emptied after it."""
            ...

        def call(self, *arguments: Any) -> Any:
            """What the function returns for *arguments*."""
            ...


__all__ = ["CallStep"]

END_SECONDS = 0.1

# Of every call that succeeded, where nobody asks for more.
SUCCESS = Outcome(None, 0, 0.0, 0.0, [])


class CallStep:
    """Call a function, or run a coroutine, with each item.

    Args:
        function: takes what *giving* makes of an item.
        name: how the function is called on the command line.
    """

    is_done_by_commands = False

    def __init__(self, function: Callable[..., Any], name: str, giving: Giving) -> None:
        self._function = function
        self._giving = giving
        self._name = encode(name)
        self._coroutines: CoroutineCalls | None = None

    def begin(self, consumers: int, children: Children, output: Output, delivery: Delivery) -> list[Handler]:
        """A runner for each consumer; ``sys.stdout`` is replaced, and a thread started that writes results on time."""
        sys.stdout.flush()
        self._results = Results(output)
        self._writer = threading.Thread(target=self._results.flush_on_time, name="Writer", daemon=True)
        self._writer.start()
        self._item_bytes = written = ItemBytes(self._results)
        sys.stdout = ItemOutput(written)
        if is_coroutine_function(self._function):
            from headrace.cli.coroutines import CoroutineCalls  # with asyncio, which takes its time

            self._coroutines = CoroutineCalls(self._function, children, written.of_coroutine)
            self._coroutines.start()
        self._writing = Writing(self._results, delivery)
        return [self.another() for _ in range(consumers)]

    def another(self) -> CallRunner:
        """A runner for one more consumer."""
        return CallRunner(self._caller(self._item_bytes), self._writing, self._name, self._giving)

    def _caller(self, item_bytes: ItemBytes) -> Caller:
        if self._coroutines is None:
            return FunctionCaller(self._function, item_bytes)
        return CoroutineCaller(self._coroutines)

    def write_rest(self, output: Output, delivery: Delivery) -> None:
        """Write what is held until its turn, though that has not come. Raises ``OutputLost``."""
        if delivery.order is not None:
            delivery.order.write_rest(self._writing.write)
        self.flush(output)

    def flush(self, output: Output) -> None:
        """Write what is gathered. Raises ``OutputLost``, also where somebody else could not write it."""
        self._results.flush()
        if output.error is not None:
            raise OutputLost

    def end(self) -> None:
        """Stop the threads that were started; by now they have nothing to do, or are stuck for ever."""
        if self._coroutines is not None:
            self._coroutines.end()
        self._results.close()
        self._writer.join(END_SECONDS)


class FunctionCaller:
    """Calls the function in the thread of the consumer that has this caller."""

    def __init__(self, function: Callable[..., Any], item_bytes: ItemBytes) -> None:
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

    def call(self, *arguments: object) -> Any:
        """What the coroutine returns. Blocks until then."""
        return self._coroutines.call(arguments, self._written)


class Writing:
    """How what calls gave is written: results are gathered, failures are told at once, behind what came before."""

    def __init__(self, results: Results, delivery: Delivery) -> None:
        self.results = results
        self.delivery = delivery

    def write(self, pieces: Iterable[Piece], note: str | None) -> None:
        """Write all of it. Blocks while a reader is slow. Raises ``OutputLost``."""
        for _, data in pieces:
            self.results.add(data)
        if note is not None:
            self.results.flush(note)


class CallRunner:
    """Calls a function with one item after the other. Each consumer has one of its own."""

    def __init__(self, caller: Caller, writing: Writing, name: bytes, giving: Giving) -> None:
        self._arguments = giving.arguments
        self._caller = caller
        self._function = caller.call
        self._writing = writing
        self._is_recorded = writing.delivery.is_recorded
        self._add = writing.results.add if writing.delivery.is_plain else None
        self._name = name
        self._written: list[bytes] | None = None
        self._printed = b""

    def attempt(self, item: Item) -> Outcome:
        """Call the function with *item*. What it printed and returned is kept.

        Raises:
            RunEnded: the run is being ended, and so was the coroutine.
        """
        written = self._written
        if written is None:
            written = self._written = self._caller.begin()
        failure = None
        begun = since = 0.0
        if self._is_recorded:
            begun, since = time(), perf_counter()
        try:
            result = self._function(*self._arguments(item))
            line = b"" if result is None else _as_line(result)
        except RunEnded:
            raise
        except Refused as error:
            line = b""
            failure = error.message
        except BaseException as error:  # an interrupt too: that of Ctrl-C comes to the main thread alone
            line = b""
            failure = describe_error(error)
        if written:
            line = b"".join(written) + line
            written.clear()
        self._printed = line
        if failure is None and not self._is_recorded:
            return SUCCESS
        seconds = perf_counter() - since
        return Outcome(failure, 0 if failure is None else 1, begun, seconds, [b"--call", self._name, item.line])

    def over_time(self, item: Item, seconds: float, limit: float) -> Outcome:
        """The call with *item* was given up after so many seconds, of *limit* that it had."""
        words = [b"--call", self._name, item.line]
        return Outcome(describe_over_time(limit), 1, time() - seconds, seconds, words, over_time=True)

    def deliver(self, item: Item, outcome: Outcome) -> None:
        """Write what the call gave, now or in its turn. Blocks while the reader is slow. Raises ``OutputLost``."""
        failure = outcome.failure
        if failure is None and self._add is not None:
            if self._printed:
                self._add(self._printed)
            return
        note = None if failure is None else describe_failure(item, failure)
        self._writing.delivery.deliver(item, self.pieces(), note, self._writing.write)

    def pieces(self) -> list[Piece]:
        """What the call gave."""
        return [(STDOUT, self._printed)] if self._printed else []

    def stdout_bytes(self) -> int:
        """How much that is."""
        return len(self._printed)

    def drop(self) -> None:
        """Forget it."""
        self._printed = b""

    def finish(self) -> None:
        """Write the results that are still gathered. Blocks while the reader is slow."""
        with suppress(OutputLost):
            self._writing.results.flush()


def _as_line(result: object) -> bytes:
    if type(result) is str:  # as most are
        return encode(f"{result}\n")
    if isinstance(result, bytes):
        return result + b"\n"
    if iscoroutine(result):
        result.close()
        raise TypeError("it returned a coroutine, which nobody runs: is it a decorator that hides an async def?")
    return encode(f"{result}\n")
