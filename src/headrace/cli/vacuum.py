"""``headrace vacuum``: make a queue file smaller."""

from __future__ import annotations

import click

from headrace.cli import status
from headrace.cli.queue_command import queue_command, url_argument
from headrace.cli.queue_opening import file_of, look_at
from headrace.cli.queue_shown import size
from headrace.cli.queue_stopping import Stopping

__all__ = ["command"]

EPILOG = """\b
Examples:
  headrace vacuum jobs.db

\b
Exit status:
  0    it is done
  1    it could not be; the file is as it was
  2    the command line was refused; there is no such file
  130  ended by Ctrl-C; the file is as it was
"""


@queue_command("vacuum", EPILOG)
@url_argument
def command(url: str) -> int:
    """Write the file of the queue at URL anew, without the room that dropped items have left in it.

    Others may have it open: who puts and takes waits until it is over. It takes up to twice the file's size on the
    disk meanwhile. A queue uses its room again by itself, so there is a need for this only after it was very full.
    """
    place = file_of(url, "vacuum")
    look_at(place).close()
    from headrace.backends.sqlite.vacuum import vacuum

    begun: list[bool] = []

    def is_to_end() -> bool:
        begun.append(True)
        return bool(stopping.noted)

    def stop_waiting() -> None:
        # In the signal handler, where this waits for its turn: nothing else would end that.
        if not begun:
            raise KeyboardInterrupt

    with Stopping(stop_waiting) as stopping:
        try:
            done = vacuum(place.path, is_to_end)
        except (InterruptedError, KeyboardInterrupt):
            click.echo(f"headrace: ended early: {place.path} is as it was", err=True)
            return stopping.exit_status
    click.echo(f"{place.path}: {size(done.before_bytes)} before, {size(done.after_bytes)} now")
    if done.is_log_left:
        click.echo("headrace: others are reading the file: its log is emptied when they close it", err=True)
    return status.DONE
