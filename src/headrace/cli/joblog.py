"""``--joblog``: a line for each item that ended, in the columns of GNU parallel."""

from __future__ import annotations

import os
from shlex import quote
from typing import TYPE_CHECKING

from headrace.cli.record_file import RecordFile

if TYPE_CHECKING:
    from headrace.cli.item import Item
    from headrace.cli.outcome import Outcome
    from headrace.cli.settling import Printed

__all__ = ["JobLog"]

HEADER = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
SIGTERM = 15


class JobLog:
    """Writes the log. What the file had before is gone.

    Args:
        input_fd: where the items are read from, which must be another file; -1 for nowhere.
        shell: the command is the last word of what is run, a line for the shell.

    Raises:
        Refused: the file cannot be written, or is the input.
    """

    def __init__(self, path: str, input_fd: int, *, shell: bool) -> None:
        self._file = RecordFile("--joblog", path, input_fd, anew=True)
        self.name = self._file.name
        self._shell = shell
        self._file.begin(HEADER)

    def record(self, item: Item, outcome: Outcome, printed: Printed | None) -> None:
        """Write the line of *item*. Raises ``OSError``."""
        status, signal_number = exitval_and_signal(outcome)
        received = 0 if printed is None else printed.stdout_bytes()
        line = b"%d\t:\t%.3f\t%10.3f\t0\t%d\t%d\t%d\t%b\n" % (
            item.number,
            outcome.begun,
            outcome.seconds,
            received,
            status,
            signal_number,
            self._command(outcome.words),
        )
        self._file.append(line)

    def _command(self, words: list[bytes]) -> bytes:
        """The command as it could be given to a shell. A line break would be a line of the log: it is a NUL byte."""
        if self._shell and words:
            command = words[-1]
        else:
            command = b" ".join([os.fsencode(quote(os.fsdecode(word))) for word in words])
        return command.replace(b"\n", b"\0")


def exitval_and_signal(outcome: Outcome) -> tuple[int, int]:
    """What GNU parallel writes: the exit status and 0, or 0 and a signal's number; -1 for what ran over time."""
    killed_by = -outcome.code if outcome.code < 0 else 0
    if outcome.over_time:
        return -1, killed_by or SIGTERM
    return max(outcome.code, 0), killed_by
