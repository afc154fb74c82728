"""``headrace stats --watch``: a live table on a terminal, lines elsewhere, until q or Ctrl-C."""

from __future__ import annotations

import json
import os
import select
import sys
from collections import deque
from contextlib import contextmanager
from time import monotonic, strftime
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.queue_shown import plain
from headrace.cli.queue_stats import as_object, observe, rates_between
from headrace.cli.queue_stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from headrace.backends.sqlite.overview import Overview
    from headrace.cli.queue_opening import Place
    from headrace.cli.queue_stats import Moment, Rates

    Show = Callable[[Moment, dict[str, Rates]], None]

__all__ = ["watch"]

REMEMBERED = 60
# Longer sleeps are cut into these, for systems on which a signal does not end a sleep.
LONGEST_SLEEP = 0.5


def watch(look: Overview, place: Place, seconds: float, *, is_json: bool) -> None:
    """Show the file every *seconds*, until q is pressed or a signal comes. Raises StorageError."""
    if is_json:
        _go_on(look, place, seconds, _print_json, keys=None)
    elif sys.stdout.isatty():
        _watch_live(look, place, seconds)
    else:
        _go_on(look, place, seconds, _print_lines, keys=None)


def _go_on(look: Overview, place: Place, seconds: float, show: Show, keys: int | None) -> None:
    """Look and *show* until told to end."""
    with Stopping() as stopping:
        moment = observe(look, place)
        rates: dict[str, Rates] = {}
        while True:
            show(moment, rates)
            if _pause(seconds - (monotonic() - moment.at), keys, stopping.noted):
                return
            before, moment = moment, observe(look, place)
            rates = rates_between(before, moment)


def _pause(seconds: float, keys: int | None, noted: list[int]) -> bool:
    """Sleep; True if it is to end."""
    give_up_at = monotonic() + max(0.0, seconds)
    while not noted:
        left = give_up_at - monotonic()
        if left <= 0:
            return False
        ready, _, _ = select.select([] if keys is None else [keys], [], [], min(left, LONGEST_SLEEP))
        if ready:
            assert keys is not None
            pressed = os.read(keys, 64)
            if not pressed:
                keys = None
            elif set(pressed) & set(b"qQ\x1b\x03\x04"):
                return True
    return True


def _print_json(moment: Moment, rates: dict[str, Rates]) -> None:
    click.echo(json.dumps(as_object(moment, rates or None)))


def _print_lines(moment: Moment, rates: dict[str, Rates]) -> None:
    clock = strftime("%H:%M:%S")
    for queue in moment.queues:
        line = f"{clock} {plain(queue.name)}: {queue.waiting} waiting, {queue.delayed} delayed, {queue.leased} leased, "
        line += f"{queue.dead} dead"
        if queue.name in rates:
            line += f"; {rates[queue.name].put:.1f} put/s, {rates[queue.name].done:.1f} done/s"
        click.echo(line + ("; paused" if queue.is_paused else ""))


def _watch_live(look: Overview, place: Place, seconds: float) -> None:
    from rich.console import Console
    from rich.live import Live

    from headrace.cli.queue_tables import watched

    console = Console()
    pasts: dict[str, deque[Rates]] = {}
    with _keys() as keys, Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:

        def show(moment: Moment, rates: dict[str, Rates]) -> None:
            for queue in moment.queues:
                past = pasts.setdefault(queue.name, deque(maxlen=REMEMBERED))
                if queue.name in rates:
                    past.append(rates[queue.name])
            known: dict[str, Any] = {name: list(past) for name, past in pasts.items()}
            hint = "Ctrl-C ends" if keys is None else "q ends"
            live.update(watched(moment, rates, known, console.width, hint), refresh=True)

        _go_on(look, place, seconds, show, keys)


@contextmanager
def _keys() -> Generator[int | None, None, None]:
    """The descriptor on which single keys arrive, unechoed; None where there is no keyboard."""
    if not sys.stdin.isatty():
        yield None
        return
    import termios

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    quiet = termios.tcgetattr(fd)
    quiet[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(fd, termios.TCSADRAIN, quiet)
    try:
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
