"""Ctrl-C and its like, for commands that hold something: noted, so that what is held is given back or counted."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from headrace.cli import status

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Stopping"]

STOPPING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)


class Stopping:
    """A context in which signals that would end the process are noted instead. The second one ends it at once.

    Args:
        wakes: called in the signal handler, each: they let go whoever waits.

    Attributes:
        noted: the signals that came.
    """

    def __init__(self, *wakes: Callable[[], object]) -> None:
        self._wakes = wakes
        self.noted: list[int] = []
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        for number in STOPPING_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted:
            os._exit(status.by_signal(number))
        self.noted.append(number)
        for wake in self._wakes:
            wake()

    @property
    def exit_status(self) -> int:
        """That of a process that the first signal has ended."""
        return status.by_signal(self.noted[0])
