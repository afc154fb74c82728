"""``headrace pause``: have a queue give out no items."""

from __future__ import annotations

import click

from headrace.cli.queue_command import queue_command, url_argument
from headrace.cli.queue_opening import able_to, open_there

__all__ = ["command"]

EPILOG = """\b
Examples:
  headrace pause jobs.db
  headrace pause jobs.db#emails
"""


@queue_command("pause", EPILOG)
@url_argument
def command(url: str) -> None:
    """Have consumers, in whatever process, get no more items of the queue at URL.

    What they have already they finish. Items may be put. It stays so, when everybody has gone too, until
    `headrace resume URL`.
    """
    queue = open_there(url)
    able_to(queue, "pause", url)()
    click.echo(f"{url} is paused; {queue.qsize():,} waiting")
