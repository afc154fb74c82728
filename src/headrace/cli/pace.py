"""``--rate`` and ``--delay``: how soon after one item the next may be started."""

from __future__ import annotations

import threading
import time

from headrace.cli.spawn import RunEnded

__all__ = ["Pace"]

LATE_SECONDS = 0.01
"""What a rate may make up for: who was woken late, by so much, does not make all others later."""


class Pace:
    """Lets items be started one after the other, some time apart.

    Consumers that come too early wait here, with the item that they have: there is nothing that they could do instead,
    for the pace is that of all of them together.

    Args:
        rate: items a second, over any time that is long against ``LATE_SECONDS``.
        delay: seconds that pass between two items at least.
    """

    def __init__(self, rate: float | None, delay: float | None) -> None:
        self._seconds = max(1 / rate if rate else 0.0, delay or 0.0)
        self._late = LATE_SECONDS if not delay else 0.0
        # Guards _next: when the next item may be started.
        self._lock = threading.Lock()
        self._next = 0.0
        self._stopped = threading.Event()

    def wait(self) -> None:
        """Wait until an item may be started. Raises ``RunEnded`` when none may be any more."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now - self._late)
            self._next = turn + self._seconds
        while turn > now:
            if self._stopped.wait(turn - now):
                break
            now = time.monotonic()
        if self._stopped.is_set():
            raise RunEnded

    def stop(self) -> None:
        """Let nobody wait, and nothing be started. May be called from any thread."""
        self._stopped.set()
