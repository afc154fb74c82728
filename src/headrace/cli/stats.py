"""``headrace stats``: how the queues of a file are, once or all the time."""

from __future__ import annotations

import json
import re

import click

from headrace.cli.quantities import DURATION
from headrace.cli.queue_command import QueueCommand, queue_command, url_argument
from headrace.cli.queue_opening import file_of, look_at
from headrace.cli.queue_stats import as_object, observe

__all__ = ["command"]

EVERY = "1s"
_DURATION = re.compile(r"[\d.]+(ms|[smhd])?")

EPILOG = """\b
Examples:
  headrace stats jobs.db
  headrace stats jobs.db#emails --watch
  headrace stats jobs.db --watch=10 >> log
  headrace stats jobs.db --json | jq '.queues[0].waiting'

\b
Exit status:
  0  it was shown; --watch was ended, with q or Ctrl-C
  1  the file failed, or was deleted while it was watched
  2  the command line was refused; there is no such queue
"""


class StatsCommand(QueueCommand):
    """Knows that what follows ``--watch`` may be the URL."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As every command."""
        given = [*args, ""]
        for place, word in enumerate(args):
            if word in ("-w", "--watch") and not _DURATION.fullmatch(given[place + 1]):
                given[place] = f"--watch={EVERY}"
        return super().parse_args(ctx, given[:-1])


@queue_command("stats", EPILOG, StatsCommand)
@url_argument
@click.option("--json", "is_json", is_flag=True, help="Print one object in JSON; with --watch, one a line.")
@click.option(
    "-w",
    "--watch",
    "seconds",
    type=DURATION,
    is_flag=False,
    flag_value=EVERY,
    metavar="[S]",
    help="Go on, with rates, every S until q or Ctrl-C. [S, if left out: 1s]",
)
def command(url: str, is_json: bool, seconds: float | None) -> None:
    """Show how the queue at URL is; without a #name in it, all queues of the file.

    It only looks: nothing is made or changed, and nobody waits for it.
    """
    place = file_of(url, "stats")
    with look_at(place) as look:
        if seconds is not None:
            from headrace.cli.queue_watch import watch

            watch(look, place, seconds, is_json=is_json)
            return
        moment = observe(look, place)
        if is_json:
            click.echo(json.dumps(as_object(moment)))
            return
        from headrace.cli.queue_tables import print_moment

        print_moment(moment)
