"""``headrace get``: items out of a queue, printed, and settled when they are."""

from __future__ import annotations

import os
from typing import Any

import click

from headrace.cli import closed_at_start, status
from headrace.cli.quantities import COUNT, Duration
from headrace.cli.queue_command import queue_command, url_argument
from headrace.cli.queue_opening import able_to, open_queue, open_there
from headrace.cli.queue_shown import as_line
from headrace.cli.queue_stopping import Stopping
from headrace.cli.refusal import Refused
from headrace.errors import Empty, ShutDown, TakingStopped

__all__ = ["command"]

STDOUT = 1

EPILOG = """\b
Examples:
  headrace get jobs.db
  headrace get jobs.db#emails -n 10 --timeout 5s
  headrace get jobs.db --all --json > left.jsonl
  while item=$(headrace get jobs.db --timeout 60); do ./handle "$item"; done

\b
Exit status:
  0    as many items as were asked for were printed; with --all: at least one
  1    fewer came in time; with --all: there was none
  2    the command line was refused
  130  ended by Ctrl-C, 143 by SIGTERM
  141  whoever read the output has gone
"""


@queue_command("get", EPILOG)
@url_argument
@click.option("-n", "--count", type=COUNT, metavar="N", help="Take N items. [default: 1]")
@click.option("--all", "takes_all", is_flag=True, help="Take all that wait, and do not wait for more.")
@click.option(
    "--timeout", type=Duration(zero=True), metavar="S", help="Wait so long for the next item. [default: for ever]"
)
@click.option("--no-wait", is_flag=True, help="The same as --timeout 0.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON, strings too. [default: strings as they are]")
@click.option("-0", "--null", is_flag=True, help="End items with a NUL byte, not with a line break.")
def command(
    url: str, count: int | None, takes_all: bool, timeout: float | None, no_wait: bool, is_json: bool, null: bool
) -> int:
    """Take items from the queue at URL, and print one a line.

    Strings and bytes are printed as they are, all else as JSON. An item is done when its line is written. If that
    fails, for the disk is full or the reader has gone, it waits in its place again.

    A queue that is not there is made if this waits for items, so that whoever puts them may come later.
    """
    if count is not None and takes_all:
        raise click.UsageError("-n and --all: one or the other")
    if no_wait and timeout:
        raise click.UsageError("--no-wait and --timeout: one or the other")
    if STDOUT in closed_at_start:
        raise Refused("standard output is closed: what is taken would be lost", status.FAILED)
    if no_wait or (takes_all and timeout is None):
        timeout = 0.0
    queue = open_queue(url) if timeout is None or timeout > 0 else open_there(url)
    taker = Taker(queue, url, is_json=is_json, end=b"\0" if null else b"\n")
    with Stopping(taker.interrupt) as stopping:
        try:
            taker.take(None if takes_all else count or 1, timeout, stopping.noted)
        finally:
            taker.close()
        if stopping.noted:
            return stopping.exit_status
    return status.DONE if taker.count >= (count or 1) else status.FAILED


class Taker:
    """Takes items from *queue*, whatever backend that is of, by the methods that pools use.

    Attributes:
        count: how many were printed.
    """

    def __init__(self, queue: Any, url: str, *, is_json: bool, end: bytes) -> None:
        self._queue = queue
        self._take = able_to(queue, "_take", url)
        self.interrupt = able_to(queue, "_interrupt", url)
        self._is_json = is_json
        self._end = end
        self.count = 0

    def take(self, most: int | None, timeout: float | None, stop: list[int]) -> None:
        """Take and print items: *most* of them, or (None) all until none comes within *timeout* seconds."""
        reads_ahead = most != 1 and hasattr(self._queue, "_begin_taking")
        if reads_ahead:
            self._queue._begin_taking(1)
        try:
            while self.count != most:
                if not self._take_one(timeout, stop):
                    return
        except TakingStopped:
            return
        finally:
            if reads_ahead:
                self._queue._end_taking()

    def _take_one(self, timeout: float | None, stop: list[int]) -> bool:
        try:
            raw = self._take(stop, timeout != 0, timeout)
        except (Empty, ShutDown):
            self._say_if_paused()
            return False
        from headrace.backends.memory.envelope import enclosed

        envelope = enclosed(raw)
        try:
            write(as_line(envelope.item, is_json=self._is_json) + self._end)
        except BaseException:
            self._queue._put_back(envelope)
            raise
        self._queue._settle(raw)
        self.count += 1
        return True

    def _say_if_paused(self) -> None:
        if getattr(self._queue, "is_paused", False):
            click.echo("headrace: the queue is paused: headrace resume lets it give out items", err=True)

    def close(self) -> None:
        """Write what was settled, and close the queue."""
        close = getattr(self._queue, "close", None)
        if close is not None:
            close()


def write(data: bytes) -> None:
    """Write all of *data* to standard output. Raises ``OSError``."""
    while data:
        data = data[os.write(STDOUT, data) :]
