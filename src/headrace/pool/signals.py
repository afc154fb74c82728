"""SIGINT and SIGTERM while a pool works: the first one drains it, the second one stops it now."""

from __future__ import annotations

import os
import signal
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn

__all__ = ["Signals", "raise_for"]


class Signals:
    """Takes the two signals over for a while, in the main thread, where nobody else has.

    A handler that is not Python's or the system's own stays: a program that has one knows what it wants, and can call
    ``pool.stop()``.

    Args:
        on_signal: called in the handler, with the signal's number and the frame that it struck. It may raise, to end
            what the main thread does.
    """

    def __init__(self, on_signal: Callable[[int, FrameType | None], None]) -> None:
        self._on_signal = on_signal
        self._previous: dict[int, Any] = {}
        self._process: int | None = None

    def install(self) -> None:
        """Take them over. Does nothing in a thread other than the main one."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._process = os.getpid()
        for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            if signal.getsignal(number) is default:
                self._previous[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        """Give them back."""
        while self._previous:
            number, previous = self._previous.popitem()
            # Bound methods are made anew each time: equal, not the same.
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A child that was forked, by a handler perhaps, has no pool: the signal means what it meant before.
            self.restore()
            signal.raise_signal(number)
            return
        self._on_signal(number, frame)


def raise_for(number: int) -> NoReturn:
    """Raise what the signal means by default: KeyboardInterrupt, or SystemExit with the shell's status for it."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
