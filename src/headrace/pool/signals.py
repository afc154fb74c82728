"""SIGINT and SIGTERM while pools work: the first one stops the taking, the second one does not wait for handlers.

All pools that stand in the main thread are stopped by the same signal, the outer ones of nested blocks too: a handler
of one may be blocked in a put into the queue of another.
"""

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

# These change in the main thread alone, as signal handlers do.
# The pools that are entered, the outermost first.
_standing: list[Signals] = []
# The handlers that were there before the first of them.
_previous: dict[int, Any] = {}
# Whose process that is: see _handle.
_processes: list[int] = []


class Signals:
    """Takes the two signals over for a pool, in the main thread, where nobody but other pools has.

    A handler that is not Python's or the system's own stays: a program that has one knows what it wants, and can call
    ``pool.stop()``.

    Args:
        stop_taking: called first, for all pools. It must not touch a queue that another pool's handlers may use.
        on_signal: called then, with the signal's number and the frame that it struck. Returns whether the signal is to
            be raised there; else the pool sees to it.
        replaces: says of a handler that is not the default one whether it is to be taken over too.
    """

    def __init__(
        self,
        stop_taking: Callable[[], object],
        on_signal: Callable[[int, FrameType | None], bool],
        replaces: Callable[[Any], bool] = lambda handler: False,
    ) -> None:
        self.stop_taking = stop_taking
        self.on_signal = on_signal
        self._replaces = replaces

    def install(self) -> None:
        """Take them over. Does nothing in a thread other than the main one."""
        if threading.current_thread() is not threading.main_thread():
            return
        if not _previous:
            _standing.clear()  # of who was interrupted as it left
        _processes[:] = [os.getpid()]
        _standing.append(self)  # first: a signal that comes as soon as a handler is ours is this pool's to note
        for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            standing = signal.getsignal(number)
            if standing is default or self._replaces(standing):
                try:
                    _previous[number] = signal.signal(number, _handle)
                except ValueError:
                    return  # the main thread of an interpreter that is not the main one has no signals

    def restore(self) -> None:
        """Give them back, if this is the last pool."""
        if all(one is self for one in _standing):
            restore_all()  # before it is off the list: a signal that comes meanwhile is noted
        if self in _standing:
            _standing.remove(self)


def restore_all() -> None:
    """Put the handlers back that were there before, unless somebody has replaced ours.

    That of SIGINT last: from then on Ctrl-C is raised, here perhaps. Until then nothing is.
    """
    for number in sorted(_previous, reverse=True):
        previous = _previous[number]
        if signal.getsignal(number) is _handle:
            _previous.pop(number)
            signal.signal(number, previous)
        _previous.pop(number, None)


def _handle(number: int, frame: FrameType | None) -> None:
    if os.getpid() not in _processes:
        # A child that was forked, by a handler perhaps, has no pool: the signal means what it meant before.
        _standing.clear()
        restore_all()
        signal.raise_signal(number)
        return
    standing = list(_standing)
    for pool in standing:
        pool.stop_taking()
    is_to_be_raised = [pool.on_signal(number, frame) for pool in standing]
    if all(is_to_be_raised):
        raise_for(number)


def raise_for(number: int) -> NoReturn:
    """Raise what the signal means by default: KeyboardInterrupt, or SystemExit with the shell's status for it."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
