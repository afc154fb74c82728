"""``--timeout`` for commands: those that run over time are ended.

The main thread looks, while it waits for everything else. It never has to be woken for a new deadline: no command
that starts while it waits is due sooner than the time limit from now, and for longer than that it does not wait.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

from headrace.cli.spawn import signal_group

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KILL_AFTER", "CommandDeadlines"]

KILL_AFTER = 1.0
"""Seconds from the SIGTERM to the SIGKILL."""


class CommandDeadlines:
    """Knows when each running command has to have ended.

    Args:
        seconds: how long a command may run.
        clock: what tells the time, in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        # Guards both below. Signals are sent while it is held, so that none is sent to a command that was ended().
        self._lock = threading.Lock()
        self._due: dict[int, float] = {}
        self._over_time: set[int] = set()

    def begin(self, pid: int) -> None:
        """Command *pid* was started. May be called from any thread, as ``end``."""
        with self._lock:
            self._due[pid] = self._clock() + self.seconds

    def end(self, pid: int) -> bool:
        """Command *pid* has ended. Returns whether that was for running over time; what it has left is killed then."""
        with self._lock:
            del self._due[pid]
            if pid not in self._over_time:
                return False
            self._over_time.remove(pid)
            signal_group(pid, signal.SIGKILL)
            return True

    def postpone(self, seconds: float) -> None:
        """Give every running command so much more time: for as long they were all stopped."""
        with self._lock:
            for pid in self._due:
                self._due[pid] += seconds

    def look(self) -> float:
        """End what is due. Returns after how many seconds to look again. For the main thread."""
        with self._lock:
            now = self._clock()
            for pid, due in self._due.items():
                if due <= now:
                    self._end(pid, now)
            return max(0.0, min([*self._due.values(), now + self.seconds]) - now)

    def _end(self, pid: int, now: float) -> None:
        if pid in self._over_time:
            signal_group(pid, signal.SIGKILL)
            self._due[pid] = float("inf")
            return
        self._over_time.add(pid)
        self._due[pid] = now + KILL_AFTER
        signal_group(pid, signal.SIGTERM)
        # A stopped process would handle the signal only when it is continued.
        signal_group(pid, signal.SIGCONT)
