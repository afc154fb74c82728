"""Is there an order of a history's calls that a plain queue could have seen?

A history is linearizable when each call can be given one instant between its beginning and its end, such that the
calls, one after the other at these instants, do what the model says. The search is that of J. M. Wing and C. Gong,
"Testing and Verifying Concurrent Objects" (Journal of Parallel and Distributed Computing 17, 1993), which tries every
call that no other finished before; with the memory of G. Lowe, "Testing for linearizability" (Concurrency and
Computation: Practice and Experience 29, 2017), which never explores the same calls done and state reached twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.testing.model import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.testing.history import History, Operation
    from headrace.testing.model import QueueModel

__all__ = ["explain", "is_linearizable"]


def is_linearizable(history: History, model: QueueModel, start: State | None = None) -> bool:
    """Whether *history* is one of a queue like *model* that was in the state *start*.

    The time grows exponentially with the calls that overlap: meant for a few threads with a few calls each.
    """
    return not explain(history, model, start)


def explain(history: History, model: QueueModel, start: State | None = None) -> str:
    """Why *history* is not linearizable: the calls, and how far a plain queue could follow. "" when it is."""
    search = _Search(list(history), model)
    if search.run(start or State()):
        return ""
    lines = [*map(str, history), "No order of these calls explains them. The longest one that does:"]
    lines += [f"  {operation}" for operation in search.longest]
    return "\n".join(lines)


class _Search:
    """A depth-first search over the orders of *history*."""

    def __init__(self, history: list[Operation], model: QueueModel) -> None:
        self._history = history
        self._model = model
        self.longest: list[Operation] = []

    def run(self, start: State) -> bool:
        """Whether some order of all calls is one that the model can follow from *start*."""
        everything = (1 << len(self._history)) - 1
        seen: set[tuple[int, State]] = set()
        # What is still to be tried: which calls are done (a bit each), in which order, and the state they led to.
        untried: list[tuple[int, tuple[int, ...], State]] = [(0, (), start)]
        while untried:
            done, order, state = untried.pop()
            if done == everything:
                return True
            if (done, state) in seen:
                continue
            seen.add((done, state))
            if len(order) > len(self.longest):
                self.longest = [self._history[number] for number in order]
            for number, following in self._next(done, state):
                untried.append((done | 1 << number, (*order, number), following))
        return False

    def _next(self, done: int, state: State) -> Iterator[tuple[int, State]]:
        """The calls that may come next: nothing that is still to come had ended before they began."""
        rest = [number for number in range(len(self._history)) if not done >> number & 1]
        first_end = min(self._history[number].returned for number in rest)
        for number in rest:
            operation = self._history[number]
            if operation.called < first_end:
                following, outcome = self._model.step(state, operation.name, *operation.arguments)
                if outcome == operation.outcome:
                    yield number, following
