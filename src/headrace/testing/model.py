"""Plain queues to compare with: pure functions from a state and an operation to the next state and the outcome.

No threads, no waiting: an operation that would wait has the outcome that it has with ``block=False``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from headrace.errors import Empty, Full, ShutDown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FifoModel", "LifoModel", "Outcome", "PriorityModel", "QueueModel", "State", "observe"]


class Outcome(NamedTuple):
    """What a call did: the value that it returned, or the error that it raised."""

    value: Any = None
    error: str = ""
    put_count: int = 0
    pending: tuple[Any, ...] = ()


class State(NamedTuple):
    """Everything about a queue that its operations depend on."""

    maxsize: int = 0
    items: tuple[Any, ...] = ()
    unfinished: int = 0
    put_total: int = 0
    get_total: int = 0
    dropped_total: int = 0
    is_shutdown: bool = False

    @property
    def is_full(self) -> bool:
        """Whether there is a bound and no room."""
        return 0 < self.maxsize <= len(self.items)


def observe(function: Callable[..., Any], *arguments: Any, **named: Any) -> Outcome:
    """Call *function* and return what it did. Errors that a queue raises become outcomes, others pass."""
    try:
        return Outcome(function(*arguments, **named))
    except (Full, ShutDown) as error:
        return Outcome(None, error_name(error), error.put_count, error.pending)
    except (Empty, ValueError, TimeoutError, TypeError) as error:
        return Outcome(None, error_name(error))


def error_name(error: Exception) -> str:
    """The name of the error's class."""
    return type(error).__name__


class QueueModel(ABC):
    """What the three queues have in common. Subclasses say where an item goes in; the first one comes out."""

    @abstractmethod
    def insert(self, items: tuple[Any, ...], item: Any) -> tuple[Any, ...]:
        """*items* with *item* where it belongs; the one that get takes is at index 0."""

    def shown(self, item: Any) -> Any:
        """What get returns for an element of ``State.items``."""
        return item

    def step(self, state: State, operation: str, *arguments: Any) -> tuple[State, Outcome]:
        """The state after *operation* was called with *arguments* in *state*, and its outcome."""
        step: Callable[..., tuple[State, Outcome]] = getattr(self, operation)
        return step(state, *arguments)

    def put(self, state: State, item: Any) -> tuple[State, Outcome]:
        """``put_nowait(item)``."""
        if state.is_shutdown:
            return state, Outcome(error="ShutDown")
        if state.is_full:
            return state, Outcome(error="Full")
        return self._inserted(state, item), Outcome()

    def _inserted(self, state: State, item: Any) -> State:
        return state._replace(
            items=self.insert(state.items, item),
            unfinished=state.unfinished + 1,
            put_total=state.put_total + 1,
        )

    def put_many(self, state: State, items: Sequence[Any], drawn: bool) -> tuple[State, Outcome]:
        """``put_many(items, block=False)``; with *drawn*, ``put_many(iter(items), block=False)``."""
        for count, item in enumerate(items):
            state, outcome = self.put(state, item)
            if outcome.error:
                return state, outcome._replace(put_count=count, pending=(item,) if drawn else ())
        return state, Outcome()

    def get(self, state: State) -> tuple[State, Outcome]:
        """``get_nowait()``."""
        if not state.items:
            return state, Outcome(error="ShutDown" if state.is_shutdown else "Empty")
        taken, *rest = state.items
        return state._replace(items=tuple(rest), get_total=state.get_total + 1), Outcome(self.shown(taken))

    def get_many(self, state: State, max_items: int) -> tuple[State, Outcome]:
        """``get_many(max_items, block=False)``."""
        if max_items < 1:
            return state, Outcome(error="ValueError")
        if not state.items:
            return self.get(state)
        taken: list[Any] = []
        while state.items and len(taken) < max_items:
            state, outcome = self.get(state)
            taken.append(outcome.value)
        return state, Outcome(taken)

    def peek(self, state: State) -> tuple[State, Outcome]:
        """``peek()``."""
        return state, Outcome(self.shown(state.items[0])) if state.items else Outcome(error="Empty")

    def task_done(self, state: State) -> tuple[State, Outcome]:
        """``task_done()``."""
        if state.unfinished == 0:
            return state, Outcome(error="ValueError")
        return state._replace(unfinished=state.unfinished - 1), Outcome()

    def join(self, state: State) -> tuple[State, Outcome]:
        """``join(timeout=0)``."""
        return state, Outcome(error="TimeoutError" if state.unfinished else "")

    def clear(self, state: State) -> tuple[State, Outcome]:
        """``clear()``."""
        count = len(state.items)
        return (
            state._replace(
                items=(), unfinished=max(0, state.unfinished - count), dropped_total=state.dropped_total + count
            ),
            Outcome(count),
        )

    def shutdown(self, state: State, immediate: bool) -> tuple[State, Outcome]:
        """``shutdown(immediate)``."""
        if immediate:
            state, _ = self.clear(state)
        return state._replace(is_shutdown=True), Outcome()

    def qsize(self, state: State) -> tuple[State, Outcome]:
        """``qsize()``."""
        return state, Outcome(len(state.items))

    def empty(self, state: State) -> tuple[State, Outcome]:
        """``empty()``."""
        return state, Outcome(not state.items)

    def full(self, state: State) -> tuple[State, Outcome]:
        """``full()``."""
        return state, Outcome(state.is_full)

    def resize(self, state: State, maxsize: int) -> tuple[State, Outcome]:
        """``queue.maxsize = maxsize``."""
        return state._replace(maxsize=maxsize), Outcome()


class FifoModel(QueueModel):
    """First in, first out."""

    def insert(self, items: tuple[Any, ...], item: Any) -> tuple[Any, ...]:
        """At the end."""
        return (*items, item)


class LifoModel(QueueModel):
    """Last in, first out."""

    def insert(self, items: tuple[Any, ...], item: Any) -> tuple[Any, ...]:
        """At the front."""
        return (item, *items)


class PriorityModel(QueueModel):
    """Lowest first, equal ones in order. Elements of ``State.items`` are pairs of key and item."""

    def insert(self, items: tuple[Any, ...], item: Any) -> tuple[Any, ...]:
        """Behind all whose key is not greater. *item* is a pair of key and item, or its own key."""
        pair = cast("tuple[Any, Any]", item if isinstance(item, tuple) else (item, item))
        place = sum(1 for key, _ in items if not pair[0] < key)
        return (*items[:place], pair, *items[place:])

    def shown(self, item: Any) -> Any:
        """The item without its key."""
        return item[1]
