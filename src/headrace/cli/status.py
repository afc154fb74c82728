"""The exit statuses of the command line. docs/command-line.md and ``--help`` list the same."""

from __future__ import annotations

import signal

DONE = 0
"""Every item was done."""
FAILED = 1
"""At least one item failed, or the input could not be read to its end, or the output not be written."""
USAGE = 2
"""The command line was refused, and nothing was run."""
NOT_EXECUTABLE = 126
"""The command was found and cannot be executed; nothing was run."""
NOT_FOUND = 127
"""There is no such command; nothing was run."""


BROKEN_PIPE = 141
"""Whoever read the output has gone; as by_signal(SIGPIPE), which some systems do not have."""


def by_signal(signal_number: int) -> int:
    """The status of a run that a signal ended, as shells count it: 130 for Ctrl-C, 141 for a broken pipe."""
    return 128 + signal_number


def signal_name(signal_number: int) -> str:
    """``SIGKILL`` for 9; ``signal 40`` for one that has no name of its own."""
    try:
        return signal.Signals(signal_number).name
    except ValueError:
        return f"signal {signal_number}"
