"""``headrace join``: wait until a queue is done."""

from __future__ import annotations

import click

from headrace.cli import status
from headrace.cli.quantities import Duration
from headrace.cli.queue_command import queue_command, url_argument
from headrace.cli.queue_opening import able_to, open_there

__all__ = ["command"]

EPILOG = """\b
Examples:
  headrace put jobs.db < items && headrace join jobs.db && echo all done
  headrace join jobs.db#emails --timeout 10m

\b
Exit status:
  0    every item is done or dead
  1    some were not in time; a line says how many
  2    the command line was refused; there is no such queue
  130  ended by Ctrl-C
"""


@queue_command("join", EPILOG)
@url_argument
@click.option("--timeout", type=Duration(zero=True), metavar="S", help="Wait so long at most. [default: for ever]")
def command(url: str, timeout: float | None) -> int:
    """Wait until every item of the queue at URL is done, or dead, whatever process works on it."""
    queue = open_there(url)
    try:
        queue.join(timeout)
    except TimeoutError:
        stats = able_to(queue, "stats", url)()
        click.echo(
            f"headrace: {stats.unfinished:,} unfinished: {stats.waiting:,} waiting, {stats.delayed:,} delayed, "
            f"{stats.leased:,} with consumers",
            err=True,
        )
        return status.FAILED
    return status.DONE
