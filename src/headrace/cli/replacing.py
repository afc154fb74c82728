"""Consumers whose call runs over time are written off, and replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.worker import Inheritance, Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from headrace import Queue
    from headrace.cli.item import Item
    from headrace.cli.outcome import Outcome
    from headrace.cli.rules import Rules
    from headrace.cli.signals import Events
    from headrace.cli.tally import Tally
    from headrace.cli.worker import Handler

    class CallHandler(Handler, Protocol):
        """A handler that can say of a call that runs over time how it ended."""

        def over_time(self, item: Item, seconds: float, limit: float) -> Outcome:
            """The call with *item* was given up after so many seconds, of *limit* that it had."""
            ...


__all__ = ["Replacing"]


class Replacing:
    """Looks at what the consumers are doing, and replaces those that take too long. For the main thread.

    Args:
        another: makes a handler for one more consumer.
    """

    def __init__(self, seconds: float, another: Callable[[], CallHandler], events: Events, rules: Rules) -> None:
        self._seconds = seconds
        self._another = another
        self._events = events
        self._rules = rules
        self._written_off: list[Worker] = []

    def look(self, workers: list[Worker], queue: Queue[Item], tally: Tally) -> float:
        """Replace those of *workers* whose call takes too long. Returns after how many seconds to look again.

        Raises:
            RuntimeError: the system has no thread left.
        """
        look_again = self._seconds
        for place, worker in enumerate(workers):
            assert worker.watch is not None
            left = worker.watch.seconds_left(self._seconds)
            if left > 0:
                look_again = min(look_again, left)
            elif (taken := worker.watch.take_away(self._seconds)) is not None:
                workers[place] = self._replace(worker, queue, tally, *taken)
        return look_again

    def _replace(self, worker: Worker, queue: Queue[Item], tally: Tally, item: Item, seconds: float) -> Worker:
        handler = self._another()
        inheritance = Inheritance(item, handler.over_time(item, seconds, self._seconds), worker.lease)
        new = Worker(queue, handler, self._events, self._rules, inheritance)
        tally.workers.append(new)
        self._written_off = [each for each in self._written_off if each.is_alive()]
        self._written_off.append(worker)
        new.start()
        return new

    def any_left(self) -> bool:
        """Whether some call that was given up is still running."""
        return any(worker.is_alive() for worker in self._written_off)
