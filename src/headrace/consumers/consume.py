"""``consume``: a source, a handler and some consumers, in one call that ends."""

from __future__ import annotations

import threading
from time import perf_counter

from headrace.backends.memory import Queue
from headrace.consumers.arguments import (
    SHUT_DOWN,
    check_count,
    check_handler,
    check_source,
    iterate,
    refuse_coroutine,
)
from headrace.consumers.failure import note, note_item
from headrace.consumers.progress import bar, expected_items
from headrace.consumers.run import SourceRun
from headrace.consumers.summary import ConsumerSummary, Summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from headrace.consumers.arguments import Source

    T = TypeVar("T")

__all__ = ["consume"]


def consume(
    source: Source[T],
    handler: Callable[[T], object],
    consumers: int = 3,
    maxsize: int = 1000,
    progress: bool = False,
) -> Summary:
    """Hand each item of *source* to *handler*, in several threads, and return when all are handled.

    ::

        print(headrace.consume(open("names.txt"), look_up, consumers=8))

    The source is iterated over in the calling thread (cursors, files and generators are often bound to one), at most
    *maxsize* items ahead of the consumers. Items are begun in the order of the source.

    The first failure stops all: no further item is taken, those that wait are dropped, handlers that are running
    come to their end, the source is closed if it is a generator, and the error is raised. While the source itself is
    computing or waiting for its next item, nobody can stop it: a failure is raised after that.

    Ctrl-C (``KeyboardInterrupt`` in the calling thread) stops all as well, but waits at most half a second for handlers
    that are running. Those that take longer are left behind in daemon threads, which do not keep the
    program from ending.

    Args:
        source: an iterable, or a function without arguments that returns one.
        handler: called with each item; what it returns is ignored. It must be safe to call from several threads.
        consumers: how many threads, at least 1.
        maxsize: how many items may wait for a consumer; 0 is no bound.
        progress: show a progress bar on stderr when that is a terminal, and nothing otherwise. Needs
            ``pip install 'headrace[cli]'``.

    Returns:
        What was done, in numbers: ``print`` it.

    Raises:
        Exception: what the handler or the source raised, with a note that says for which item. Several
            (handlers may fail while others are coming to their end) are raised as one ``ExceptionGroup``, or
            ``BaseExceptionGroup`` if one of them is no ``Exception``.
        TypeError, ValueError: an argument is not what it should be.
        ModuleNotFoundError: a progress bar is wanted and possible, and rich is not installed.
    """
    check_source(source)
    check_handler(handler)
    check_count("consumers", consumers, 1, "how many threads handle items")
    check_count("maxsize", maxsize, 0, "how many items may wait, 0 for no bound")
    begun = perf_counter()
    run = Run(handler, consumers, maxsize)
    with bar(progress, run.handled, expected_items(source)):
        run.through(source)
    return run.summary(perf_counter() - begun)


class Handling(threading.Thread):
    """One consumer of a run."""

    def __init__(self, run: Run, number: int) -> None:
        # They always end before consume() returns or raises, except after Ctrl-C, when a handler takes longer than the
        # grace: as a daemon it cannot keep the program from ending.
        super().__init__(name=f"Consumer-{number}", daemon=True)
        self._of_run = run
        # Written by this thread alone, read by all at any time.
        self.handled = 0

    def run(self) -> None:
        try:
            self._handle_all()
        except BaseException as error:
            self._of_run.fail(error)
        finally:
            del self._of_run  # which refers to this thread: without the cycle both are gone as soon as they can be

    def _handle_all(self) -> None:
        # Without task_done: this queue is nobody else's, and nobody joins it.
        get, handle = self._of_run.queue.get, self._of_run.handler
        while True:
            try:
                number, item = get()
            except SHUT_DOWN:
                return
            try:
                result = handle(item)
                if result is not None:
                    refuse_coroutine(handle, result)
                    result = None  # or it would live until the next item comes
            except BaseException as error:
                note_item(error, item, number)
                raise
            self.handled += 1
            del item  # or it would live until the next one comes


class Run(SourceRun):
    """One call of ``consume``: its queue, its threads, and what went wrong."""

    def __init__(self, handler: Callable[[Any], object], consumers: int, maxsize: int) -> None:
        super().__init__("consume()")
        self.handler = handler
        # Holds pairs: an item's position in the source, counted from 1, and the item.
        self.queue: Queue[tuple[int, Any]] = Queue(maxsize)
        self._threads = [Handling(self, number) for number in range(1, consumers + 1)]

    @property
    def threads(self) -> list[Handling]:
        """The consumers."""
        return self._threads

    def handled(self) -> int:
        """How many items are handled by now."""
        return sum(thread.handled for thread in self._threads)

    def stop(self) -> None:
        """Put nothing more, and drop what waits."""
        self.queue.shutdown(immediate=True)

    def feed(self, source: Source[Any]) -> None:
        """Start the threads, and put what the source yields until it ends, it fails, or a handler has failed."""
        number = 0
        try:
            for thread in self._threads:
                thread.start()
            self.items = iterate(source)
            put = self.queue.put
            for item in self.items:
                number += 1
                try:
                    put((number, item))
                except SHUT_DOWN:
                    return
                del item  # or it would live until the source yields another
            self.queue.shutdown()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if number:
                note(error, f"after item {number} of the source")
            self.fail(error)

    def summary(self, seconds: float) -> Summary:
        """The run in numbers, when it is over."""
        per_consumer = tuple(ConsumerSummary(thread.name, thread.handled) for thread in self._threads)
        return Summary(self.handled(), 0, seconds, per_consumer)
