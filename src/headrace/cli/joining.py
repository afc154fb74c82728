"""Waits for threads without ever missing Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

__all__ = ["join"]

LOOK_SECONDS = 0.1


def join(thread: threading.Thread) -> None:
    """Wait until *thread* has ended, and raise what its ``join`` raises. For the main thread.

    A signal that comes at the very moment at which the main thread goes to sleep is noted, but does not wake it: so
    Python would call the handler only when the wait is over by itself. Hence the looks in between.
    """
    while thread.is_alive():
        thread.join(LOOK_SECONDS)
    thread.join()
