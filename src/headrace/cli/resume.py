"""``headrace resume``: the end of ``headrace pause``."""

from __future__ import annotations

import click

from headrace.cli.queue_command import queue_command, url_argument
from headrace.cli.queue_opening import able_to, open_there

__all__ = ["command"]

EPILOG = """\b
Examples:
  headrace resume jobs.db
"""


@queue_command("resume", EPILOG)
@url_argument
def command(url: str) -> None:
    """Have consumers get items of the queue at URL again: the end of `headrace pause`."""
    queue = open_there(url)
    able_to(queue, "resume", url)()
    click.echo(f"{url} gives out items; {queue.qsize():,} waiting")
