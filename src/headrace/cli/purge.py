"""``headrace purge``: drop the items of a queue."""

from __future__ import annotations

import select
import sys
from typing import Any

import click

from headrace.cli import status
from headrace.cli.queue_command import queue_command, url_argument
from headrace.cli.queue_opening import able_to, file_of, open_there
from headrace.cli.refusal import Refused

__all__ = ["command"]

LONGEST_WAIT = 0.2

EPILOG = """\b
Examples:
  headrace purge jobs.db#emails
  headrace purge jobs.db --dead --yes

\b
Exit status:
  0  they are dropped
  1  the answer was no
  2  the command line was refused; there is no such queue, or nobody to ask
"""


@queue_command("purge", EPILOG)
@url_argument
@click.option("--dead", is_flag=True, help="Drop the dead letters, and not what waits.")
@click.option("--done", is_flag=True, help="Drop what is kept of items that are done (keep_done), and not what waits.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(url: str, dead: bool, done: bool, yes: bool) -> int:
    """Drop all items of the queue at URL that wait or are delayed. What consumers have is left to them.

    It asks first, on a terminal; elsewhere, say --yes.
    """
    queue = open_there(url)
    if not yes and not _agreed(url, _what(queue, dead=dead, done=done)):
        return status.FAILED
    if not dead and not done:
        click.echo(f"{url}: {able_to(queue, 'clear', url)():,} items dropped")
    if dead:
        click.echo(f"{url}: {able_to(queue, 'dead', url).drop_all():,} dead letters dropped")
    if done:
        file_of(url, "--done")
        from headrace.backends.sqlite.vacuum import drop_done

        click.echo(f"{url}: {drop_done(queue):,} records of done items dropped")
    return status.DONE


def _what(queue: Any, *, dead: bool, done: bool) -> str:
    """What would be dropped."""
    stats = queue.stats()
    parts = [f"{stats.dead:,} dead letters"] if dead else []
    if done:
        parts.append("all that is kept of done items")
    return " and ".join(parts) or f"{stats.waiting:,} waiting and {stats.delayed:,} delayed items"


def _agreed(url: str, what: str) -> bool:
    if not sys.stdin.isatty():
        raise Refused(f"{url}: purge would drop {what}, and there is no terminal to ask on: say --yes")
    click.echo(f"{url}: drop {what}? [y/N]: ", nl=False, err=True)
    # Not input(): a Ctrl-C in the moment before it waits would be noticed only with the next key.
    while not select.select([sys.stdin], [], [], LONGEST_WAIT)[0]:
        pass
    return sys.stdin.readline().strip().lower() in ("y", "yes")
