"""One pipe through which the main thread is told of everything: signals, and threads that ended."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ["ENDED", "ENDING_SIGNALS", "HALTED", "OUTPUT_LOST", "RECORD_LOST", "Events"]

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""What ends a run early. Each is left as it is where it was ignored when the run began, as under ``nohup``."""

# Events that are not signals. Signals are numbered from 1 to 64.
ENDED = 200
"""A thread of the run has ended."""
OUTPUT_LOST = 201
"""Nothing more can be written."""
RECORD_LOST = 202
"""A record of the run, such as its log, cannot be written."""
HALTED = 203
"""So many items have ended in a certain way that the running ones are to be ended."""

READ_AT_MOST = 512


class Events:
    """A context in which signals wait to be read by the main thread, as do the events that threads post.

    The handlers do nothing: the interpreter writes the signal's number to the pipe before it calls them. So no
    line of the run can be interrupted by one, and none of its locks can be found held by the thread that a
    handler runs in.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._handlers: dict[signal.Signals, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Events:
        self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            # Inherited, and then the kernel would tell nobody how a command has ended.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in (*ENDING_SIGNALS, signal.SIGTSTP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, _leave_it_to_the_pipe)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        """What can be waited for together with other files: readable while there are events."""
        return self._read

    def post(self, event: int) -> None:
        """Tell the main thread of *event*. May be called from any thread; does not block."""
        os.write(self._write, bytes((event,)))

    def wait(self, timeout: float | None = None) -> bytes:
        """The events since the last call, in order, a byte each. Waits for one, at most *timeout* seconds."""
        # select() goes on by itself after a signal, but the signal has made the pipe readable.
        select.select((self._read,), (), (), timeout)
        try:
            return os.read(self._read, READ_AT_MOST)
        except BlockingIOError:
            return b""


def _leave_it_to_the_pipe(signal_number: int, frame: FrameType | None) -> None:
    pass


def suspend_this_process() -> None:
    """Stop as Ctrl-Z stops a process that handles no signals; returns when it is continued."""
    ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        signal.raise_signal(signal.SIGTSTP)
    finally:
        signal.signal(signal.SIGTSTP, ours)
