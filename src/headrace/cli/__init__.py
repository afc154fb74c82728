"""The command ``headrace``.

This module is all that is imported before Ctrl-C is taken care of, so it imports next to nothing. ``app`` is
the command itself and lists the others: ``demo``, ``run``, ``bench``, a module each. ``headrace run`` is one
step a module, in the order in which an item passes them::

    run ─ crew ─ reader ─ (the queue) ─ worker ─ command ─ placeholder ─ spawn ─ capture ─┬ delivery ─ output
                                               └ call ───────────────────────────────────┘

with ``signals`` and ``progress`` beside them, and ``programs`` and ``functions`` for what is looked up before
anything runs. What was asked for beyond that is a rule: ``policies`` has the options, ``rulebook`` makes the
``rules`` of them. ``pace`` says when a worker may start an item, ``deadlines`` and ``watch`` (with ``replacing``)
when it has to have ended, ``settling`` whether it is tried again and who is told of its end (``joblog``,
``results``, ``dead``, ``halt``); ``order`` (with ``spill``) holds what is delivered before its turn.

What it is fed is ``inputs``: lines (``item``), ``records``, or what ``combine`` makes of ``:::``, each with a
``vocabulary`` of placeholders. ``dry_run`` prints what would be run. ``run --pipe`` is a run of another kind: ``pipe``
is one loop around ``pipe_dealing``, which gives ``pipe_lines`` to each ``pipe_command``, and ``pipe_printing``, which
passes on what they print to ``pipe_output``.

With ``--queue`` the items are in a queue file too: ``journal_run`` passes over what is done, and ``journal`` is told by
``settling`` of each end, and writes it there. ``headrace work`` is ``work``: the same run, fed by ``journal_work``.

The commands that look after a queue, from ``put`` to ``vacuum``, are a module each too. ``queue_opening`` finds their
queue, ``queue_command`` says their errors, ``queue_stopping`` notes Ctrl-C; ``queue_lines`` reads items,
``queue_shown`` and ``queue_tables`` show them. ``headrace dead`` is ``queue_dead``; ``stats`` looks with
``queue_stats`` and ``queue_watch``.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

__all__ = ["main"]

INTERRUPTED = 130

closed_at_start: set[int] = set()
"""Which of the three standard files were closed when the process began. They lead nowhere."""


def main() -> NoReturn:
    """Run the command line of this process, and exit with its status. Ctrl-C is quiet from here on."""
    # What is imported stays: looking for garbage in it takes time that a command line notices. app turns it on again.
    gc.disable()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit_quietly)
    _open_standard_files()
    try:
        from headrace.cli.app import run_command_line
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit(f"headrace: the command line needs {error.name!r}: pip install 'headrace[cli]'")
    sys.exit(run_command_line(sys.argv[1:]))


def _exit_quietly(signal_number: int, frame: FrameType | None) -> NoReturn:
    # Nothing has been started yet that would have to be ended: what starts something brings its own handler.
    os._exit(INTERRUPTED)


def _open_standard_files() -> None:
    """Open to nowhere what of the three was closed: the next file to be opened would take its place."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            closed_at_start.add(fd)
    # Python has None for them.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives
