"""Histories: which calls several threads made, what came of them, and which of them overlapped."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from headrace.testing.model import Outcome, observe
from headrace.testing.threads import DEADLINE, Call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["History", "Operation", "Recorder"]


class Operation(NamedTuple):
    """One call.

    Attributes:
        thread: the number of the thread that made it.
        name: the model's name of the operation.
        arguments: the model's arguments.
        outcome: what came of it.
        called: when it began, by a clock that all threads share.
        returned: when it had ended, by the same clock.
    """

    thread: int
    name: str
    arguments: tuple[Any, ...]
    outcome: Outcome
    called: int
    returned: int

    def __str__(self) -> str:
        arguments = ", ".join(map(repr, self.arguments))
        result = self.outcome.error or repr(self.outcome.value)
        return f"[{self.called:4} to {self.returned:4}] thread {self.thread}: {self.name}({arguments}) -> {result}"


History: TypeAlias = "Sequence[Operation]"
Step: TypeAlias = "tuple[str, tuple[Any, ...], Callable[[], Any]]"


class Recorder:
    """Runs the steps of several threads at once and records them.

    Each step is the name of an operation, its arguments in terms of the model, and the call itself. The clock is a
    counter: it ticks before each call and after it, so two operations overlap in the record whenever they overlapped
    in truth.
    """

    def __init__(self, scripts: Sequence[Sequence[Step]]) -> None:
        """Prepare one thread for each of *scripts*."""
        self._scripts = scripts
        self._clock = itertools.count()
        self._start = threading.Barrier(len(scripts))

    def run(self) -> list[Operation]:
        """Run all scripts to their ends, each in a thread of its own, and return their calls by time of beginning.

        Raises:
            AssertionError: a thread does not end.
        """
        threads = [Call(self._play, number, script) for number, script in enumerate(self._scripts)]
        operations = [operation for thread in threads for operation in thread.result()]
        return sorted(operations, key=lambda operation: operation.called)

    def _play(self, thread: int, script: Sequence[Step]) -> list[Operation]:
        record: list[Operation] = []
        clock = self._clock
        self._start.wait(DEADLINE)
        for name, arguments, call in script:
            called = next(clock)
            outcome = observe(call)
            returned = next(clock)
            record.append(Operation(thread, name, arguments, outcome, called, returned))
        return record
