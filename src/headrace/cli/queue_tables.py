"""The tables of ``headrace stats`` and ``headrace dead list``, drawn with rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from headrace.cli.queue_shown import age, count, plain, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.backends.sqlite.overview import QueueNow
    from headrace.cli.queue_stats import Moment, Rates

__all__ = ["console_for_stdout", "dead_table", "print_moment", "watched"]

# Where there is no terminal that has a width, nothing is to be cut.
PLAIN_COLUMNS = 120
BARS = "▁▂▃▄▅▆▇█"
# A queue's name is not shown wider than this.
WIDEST_NAME = 24


def console_for_stdout() -> Console:
    """Standard output, as wide as the terminal that it is."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_COLUMNS)


def print_moment(moment: Moment) -> None:
    """Print *moment*: a list of one queue, a table of several."""
    console = console_for_stdout()
    if len(moment.queues) == 1:
        console.print(_one(moment, moment.queues[0]))
    else:
        console.print(_several(moment))


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _one(moment: Moment, queue: QueueNow) -> Table:
    grid = _grid()
    name = Text(plain(f"{moment.path}#{queue.name}"), style="bold")
    if queue.is_paused:
        name.append("  paused", style="yellow")
    rows: list[tuple[str, str | Text]] = [("queue", name)]
    waiting = f"{queue.waiting:,}" + (f" of {queue.maxsize:,} at most" if queue.maxsize > 0 else "")
    if queue.next_item_age is not None:
        waiting += f"; the next for {age(queue.next_item_age)}"
    rows.append(("waiting", waiting))
    rows.append(("delayed", f"{queue.delayed:,}"))
    rows.append(("leased", f"{queue.leased:,}"))
    rows.append(("dead", Text(f"{queue.dead:,}", style="red" if queue.dead else "")))
    totals = f"{queue.put_total:,} put, {queue.done_total:,} done, {queue.dropped_total:,} dropped"
    rows += [("in all", totals), ("owners", _owners(moment)), ("file", _file(moment))]
    for label, text in rows:
        grid.add_row(Text(label, style="dim"), text)
    return grid


def _several(moment: Moment) -> Group:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("queue", no_wrap=True, overflow="ellipsis", max_width=WIDEST_NAME)
    for label in ("waiting", "delayed", "leased", "dead", "put", "done", "next"):
        table.add_column(label, justify="right", no_wrap=True)
    for queue in moment.queues:
        next_one = "" if queue.next_item_age is None else age(queue.next_item_age)
        totals = (count(queue.put_total), count(queue.done_total), next_one)
        table.add_row(_name(queue), _waiting(queue), *_counts(queue), *totals)
    return Group(table, _foot(moment))


def _name(queue: QueueNow) -> Text:
    name = Text(plain(queue.name))
    if queue.is_paused:
        name = Text.assemble(("paused ", "yellow"), name)
    return name


def _waiting(queue: QueueNow) -> str:
    bound = f"/{count(queue.maxsize)}" if queue.maxsize > 0 else ""
    return count(queue.waiting) + bound


def _counts(queue: QueueNow) -> tuple[str | Text, ...]:
    dead = Text(count(queue.dead), style="red" if queue.dead else "")
    return (count(queue.delayed), count(queue.leased), dead)


def _owners(moment: Moment) -> str:
    if not moment.owners:
        return "no process takes items"
    alive, dead = moment.owners_alive, len(moment.owners) - moment.owners_alive
    text = f"{alive:,} {'process takes' if alive == 1 else 'processes take'} items"
    return text + (f", {dead:,} died and {'was' if dead == 1 else 'were'} not missed yet" if dead else "")


def _file(moment: Moment) -> str:
    return f"{size(moment.file_bytes)}, log {size(moment.wal_bytes)}"


def _foot(moment: Moment) -> Text:
    return Text(plain(f"{moment.path}: {_file(moment)}; {_owners(moment)}"), style="dim")


def watched(moment: Moment, rates: dict[str, Rates], pasts: dict[str, Sequence[Rates]], columns: int) -> Group:
    """What ``--watch`` shows: a row for each queue, with its rates and, where there is room, how ``done/s`` went."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("queue", no_wrap=True, overflow="ellipsis", max_width=WIDEST_NAME)
    for label in ("waiting", "delayed", "leased", "dead", "put/s", "done/s"):
        table.add_column(label, justify="right", no_wrap=True)
    width = max(8, min(40, columns - 76))
    table.add_column("done/s until now", no_wrap=True, min_width=width)
    for queue in moment.queues:
        now = rates.get(queue.name)
        shown = ("", "") if now is None else (_rate(now.put), _rate(now.done))
        bars = sparkline([past.done for past in pasts[queue.name]][-width:])
        table.add_row(_name(queue), _waiting(queue), *_counts(queue), *shown, Text(bars, style="cyan"))
    return Group(table, _foot(moment), Text("q ends", style="dim"))


def _rate(per_second: float) -> str:
    if per_second >= 1_000_000:
        return count(int(per_second))
    return f"{per_second:,.0f}" if per_second >= 10 or not per_second else f"{per_second:.1f}"


def sparkline(values: Sequence[float]) -> str:
    """*values* as bars, the highest of them as a full one; nothing at all is the lowest bar."""
    most = max(values, default=0.0)
    if most <= 0:
        return BARS[0] * len(values)
    return "".join(BARS[min(len(BARS) - 1, int(value / most * (len(BARS) - 1) + 0.5))] for value in values)


def dead_table(rows: Sequence[tuple[Any, ...]]) -> Table:
    """A table of dead letters: id, item, attempts, how long ago it failed, error."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("item", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("tries", justify="right", no_wrap=True)
    table.add_column("failed", justify="right", no_wrap=True)
    table.add_column("error", no_wrap=True, overflow="ellipsis", ratio=1)
    for number, item, attempts, ago, error in rows:
        table.add_row(
            str(number), Text(plain(item)), f"{attempts:,}", f"{age(ago)} ago", Text(plain(error), style="red")
        )
    return table
