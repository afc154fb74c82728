"""``SourceRun``: a source whose items threads work on, from its first item to the end of the last thread."""

from __future__ import annotations

from abc import ABC, abstractmethod

from headrace.consumers.arguments import close_if_generator
from headrace.consumers.failure import note_earlier, raise_all, wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from typing import Any

    from headrace.consumers.arguments import Source

__all__ = ["GRACE", "SourceRun"]

# How long Ctrl-C waits for what is running, in seconds. The whole must be over within one.
GRACE = 0.5


class SourceRun(ABC):
    """What runs of ``consume`` and of a ``Pipeline`` have in common: how they end.

    The first failure stops all, and is raised when the threads have ended. Ctrl-C stops all too, waits for the threads
    no longer than the grace, and is raised with the failures before it as notes.

    Args:
        what: was stopped, in the message of several failures.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        # In the order in which they happened. Appended to by all threads.
        self.errors: list[BaseException] = []
        # What is iterated over.
        self.items: Iterator[Any] = iter(())

    @property
    @abstractmethod
    def threads(self) -> Sequence[threading.Thread]:
        """All that work."""

    @abstractmethod
    def stop(self) -> None:
        """Have nothing more begun or put, and drop what waits. May be called again, and from any thread."""

    @abstractmethod
    def feed(self, source: Source[Any]) -> None:
        """Start the threads, and put what *source* yields until it ends or fails, or the run is stopped.

        Raises nothing but KeyboardInterrupt: a failure of the source is one of the run.
        """

    def fail(self, error: BaseException) -> None:
        """Keep *error* and stop all."""
        self.errors.append(error)
        self.stop()

    def through(self, source: Source[Any]) -> None:
        """Hand all items of *source* to the threads, wait for their end, and raise what went wrong."""
        try:
            self.feed(source)
            self._wait(None)
            self._close_source()
        except KeyboardInterrupt as interrupt:
            self._give_up(interrupt)
            raise
        finally:
            self.stop()  # whatever happened, no thread may stay behind, waiting for items
        if self.errors:
            raise_all(self.errors, f"{self._what} was stopped by several failures")

    def _wait(self, timeout: float | None) -> None:
        """Wait until all threads have ended, for *timeout* seconds at most."""
        wait_for(self.threads, timeout)

    def _close_source(self) -> None:
        """Close the source if it is a generator. After the threads have ended: they may use what it holds open."""
        try:
            close_if_generator(self.items)
        except Exception as error:
            self.errors.append(error)

    def _give_up(self, interrupt: KeyboardInterrupt) -> None:
        """Stop all and wait no longer than the grace. Failures become notes: they must not hide the Ctrl-C."""
        try:
            self.stop()
            self._wait(GRACE)
            self._close_source()
        except KeyboardInterrupt:
            pass  # pressed again, out of patience; the first is raised
        note_earlier(interrupt, self.errors)
