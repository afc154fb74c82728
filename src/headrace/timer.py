"""One thread that calls functions when their time has come: for delayed items and time limits.

There is one timer for a process, whose thread is started when it is first needed. It is told of new times through a
queue, and sleeps in that queue's ``get`` until the earliest: nothing is polled, no lock is held while a function is
asked for, and ``call_at`` may be called from a signal handler or a destructor.
"""

from __future__ import annotations

import os
import threading
from heapq import heappop, heappush
from itertools import count
from time import monotonic

from headrace.backends.memory import SimpleQueue
from headrace.errors import Empty
from headrace.log import log

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Call: TypeAlias = tuple[float, int, Callable[[], object]]

__all__ = ["Timer", "timer"]


class Timer:
    """Calls functions at given times of the monotonic clock, one after the other, in a daemon thread of its own.

    The functions must be short: the next waits for the one before it. What one raises is logged.
    """

    def __init__(self) -> None:
        self._inbox: SimpleQueue[Call] = SimpleQueue()
        # Of the thread alone.
        self._calls: list[Call] = []
        self._numbers = count()
        # Made and replaced under the lock of starting only.
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def call_at(self, due: float, function: Callable[[], object]) -> None:
        """Have *function* called when ``time.monotonic()`` is *due* or a little later. Never blocks for long."""
        self._inbox.put((due, next(self._numbers), function))
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        # A signal handler that strikes the thread that is starting it finds the lock taken, and that thread starts it.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="headrace timer", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:
            # The system has no thread left. What is due waits until somebody asks again.
            log().exception("the timer's thread cannot be started")
        finally:
            self._starting.release()

    def _run(self) -> None:
        calls, inbox = self._calls, self._inbox
        while True:
            try:
                heappush(calls, inbox.get(timeout=max(0.0, calls[0][0] - monotonic()) if calls else None))
            except Empty:
                pass
            while calls and calls[0][0] <= monotonic():
                call(heappop(calls)[2])

    def restart_in_child(self) -> None:
        """After a fork: the thread was the parent's. The child's own does what it had to do."""
        self._thread = None
        self._starting = threading.Lock()


def call(function: Callable[[], object]) -> None:
    """Call *function* and log what it raises."""
    try:
        function()
    except Exception:
        log().exception("a timed call failed: %r", function)


timer = Timer()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=timer.restart_in_child)
