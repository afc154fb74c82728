"""``headrace peek``: the next items of a queue, which stay where they are."""

from __future__ import annotations

import sys

import click

from headrace.cli import status
from headrace.cli.quantities import COUNT
from headrace.cli.queue_command import queue_command, url_argument
from headrace.cli.queue_opening import able_to, open_there
from headrace.cli.queue_shown import as_line

__all__ = ["command"]

EPILOG = """\b
Examples:
  headrace peek jobs.db
  headrace peek jobs.db#emails -n 20 --json

\b
Exit status:
  0  items were printed
  1  none waits
  2  the command line was refused; there is no such queue
"""


@queue_command("peek", EPILOG)
@url_argument
@click.option("-n", "--count", type=COUNT, default=1, metavar="N", help="Show up to N items. [default: 1]")
@click.option("--json", "is_json", is_flag=True, help="Print JSON, strings too. [default: strings as they are]")
@click.option("-0", "--null", is_flag=True, help="End items with a NUL byte, not with a line break.")
def command(url: str, count: int, is_json: bool, null: bool) -> int:
    """Print the next items of the queue at URL, one a line, and leave them there."""
    queue = open_there(url)
    end = b"\0" if null else b"\n"
    items = able_to(queue, "peek_many", url)(count)
    stdout = sys.stdout.buffer
    stdout.writelines(as_line(item, is_json=is_json) + end for item in items)
    stdout.flush()
    return status.DONE if items else status.FAILED
