"""Calls in threads of their own, and waiting until one is seen to be blocked. Nothing here sleeps to be right."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEADLINE", "Call", "calls", "give_others_a_chance", "until", "until_blocked"]

DEADLINE = 20.0
"""Seconds after which a call that should have returned is taken to hang. Far more than any needs."""


class Call(threading.Thread):
    """``function(*arguments)`` under way in a daemon thread, from the moment this is made."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        """Start the call."""
        super().__init__(daemon=True, name=f"Call-{getattr(function, '__name__', function)}")
        self._call = (function, arguments, named)
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Keep what the function returns or raises."""
        function, arguments, named = self._call
        try:
            self._value = function(*arguments, **named)
        except BaseException as error:  # kept for result()
            self._error = error

    @property
    def is_over(self) -> bool:
        """Whether the call has returned or raised."""
        return not self.is_alive()

    def result(self, timeout: float = DEADLINE) -> Any:
        """What the call returned; raises what it raised, and AssertionError if it is not over in time."""
        self.join(timeout)
        if self.is_alive():
            raise AssertionError(f"{self.name} has not returned after {timeout} seconds\n{where(self)}")
        if self._error is not None:
            raise self._error
        return self._value

    def error(self, timeout: float = DEADLINE) -> BaseException | None:
        """What the call raised; None if it returned. AssertionError if it is not over in time."""
        try:
            self.result(timeout)
        except BaseException as error:
            if error is not self._error:
                raise
        return self._error


def calls(count: int, function: Callable[..., Any], *arguments: Any, **named: Any) -> list[Call]:
    """*count* times the same call, each in a thread of its own."""
    return [Call(function, *arguments, **named) for _ in range(count)]


def where(thread: threading.Thread) -> str:
    """The stack of *thread* as text."""
    frame = sys._current_frames().get(thread.ident or 0)  # pyright: ignore[reportPrivateUsage]
    return "".join(traceback.format_stack(frame)) if frame else "(it has ended)"


def until(condition: Callable[[], object], what: str, timeout: float = DEADLINE) -> None:
    """Return as soon as *condition()* is true; AssertionError when that takes *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} seconds in vain until {what}")
        time.sleep(0.0005)


def until_blocked(queue: Any, *, getters: int = 0, putters: int = 0) -> None:
    """Return once that many threads sleep in get and in put of *queue*.

    A queue without ``stats`` cannot tell: there it gives them a moment, and the promise is tested less sharply.
    """
    if not hasattr(queue, "stats"):
        return give_others_a_chance()

    def blocked() -> bool:
        stats = queue.stats()
        return bool(stats.getters_blocked == getters and stats.putters_blocked == putters)

    return until(blocked, f"{getters} threads are blocked in get and {putters} in put")


def give_others_a_chance() -> None:
    """Let other threads run, so that what must not happen could. What must happen never depends on it."""
    time.sleep(0.02)
