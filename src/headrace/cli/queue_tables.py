"""The tables of ``headrace stats`` and ``headrace dead list``: numbers are never cut, names and texts are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from headrace.cli.queue_shown import age, count, one_line, plain, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.backends.sqlite.overview import QueueNow
    from headrace.cli.queue_stats import Moment, Rates

__all__ = ["console_for_stdout", "dead_table", "print_moment", "watched"]

# Where there is no terminal that has a width.
PLAIN_COLUMNS = 120
BARS = "▁▂▃▄▅▆▇█"
FEWEST_BARS, MOST_BARS = 8, 40
# A queue's name is not shown wider than this, nor a text narrower than that.
WIDEST_NAME = 30
NARROWEST = 8
GAP = "  "


def console_for_stdout() -> Console:
    """Standard output, as wide as the terminal that it is."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_COLUMNS)


def print_moment(moment: Moment) -> None:
    """Print *moment*: a list of one queue, a table of several."""
    console = console_for_stdout()
    shown = _one(moment, moment.queues[0]) if len(moment.queues) == 1 else _several(moment, console.width)
    console.print(shown, soft_wrap=True)


# -- tables --------------------------------------------------------------------------------------


def laid_out(labels: Sequence[str], rows: Sequence[Sequence[str | Text]], columns: int, texts: frozenset[str]) -> Text:
    """A table of that many columns at most: what is under *texts* is on the left, and is cut where there is no room."""
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [max(cell_len(label), *(row[place].cell_len for row in cells), 0) for place, label in enumerate(labels)]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - columns
    while excess > 0:
        # The widest text gives way.
        place = max((place for place, label in enumerate(labels) if label in texts), key=widths.__getitem__)
        if widths[place] <= NARROWEST:
            break
        widths[place] -= 1
        excess -= 1
    shown = Text()
    header = [Text(label) for label in labels]
    _append(shown, header, labels, widths, texts)
    shown.append("\n" + "─" * min(columns, sum(widths) + len(GAP) * (len(widths) - 1)), style="dim")
    for row in cells:
        shown.append("\n")
        _append(shown, row, labels, widths, texts)
    return shown


def _append(
    shown: Text, row: Sequence[Text], labels: Sequence[str], widths: Sequence[int], texts: frozenset[str]
) -> None:
    for place, (cell, label, width) in enumerate(zip(row, labels, widths, strict=True)):
        if place:
            shown.append(GAP)
        room = " " * (width - cell.cell_len)
        if room and label not in texts:
            shown.append(room)
        if cell.cell_len > width:
            shown.append(set_cell_size(cell.plain, width - 1) + "…", style=cell.style)
        else:
            shown.append_text(cell)
        if room and label in texts and place < len(row) - 1:
            shown.append(room)


def _names(queue: QueueNow) -> Text:
    name = plain(queue.name)
    if cell_len(name) > WIDEST_NAME:
        name = set_cell_size(name, WIDEST_NAME - 1) + "…"
    return Text(f"{name} (paused)", style="yellow") if queue.is_paused else Text(name)


# -- stats ---------------------------------------------------------------------------------------


def _one(moment: Moment, queue: QueueNow) -> Text:
    waiting = f"{queue.waiting:,}" + (f" of {queue.maxsize:,} at most" if queue.maxsize > 0 else "")
    if queue.next_item_age is not None:
        waiting += f"; the next was put {age(queue.next_item_age)} ago"
    rows = [
        ("queue", plain(f"{moment.path}#{queue.name}"), "bold"),
        ("waiting", waiting, ""),
        ("delayed", f"{queue.delayed:,}", ""),
        ("leased", f"{queue.leased:,}", ""),
        ("dead", f"{queue.dead:,}", "red" if queue.dead else ""),
        ("in all", f"{queue.put_total:,} put, {queue.done_total:,} done, {queue.dropped_total:,} dropped", ""),
        ("owners", _owners(moment), ""),
        ("file", _file(moment), ""),
    ]
    if queue.is_paused:
        rows.insert(1, ("", "paused: headrace resume lets it give out items", "yellow"))
    shown = Text()
    for place, (label, text, style) in enumerate(rows):
        shown.append("\n" if place else "")
        shown.append(f"{label:9}", style="dim")
        shown.append(text, style=style)
    return shown


def _several(moment: Moment, columns: int) -> Text:
    labels = ["queue", "waiting", "delayed", "leased", "dead", "put", "done", "next item"]
    rows = [
        [
            *_counts(queue),
            count(queue.put_total),
            count(queue.done_total),
            "" if queue.next_item_age is None else f"{age(queue.next_item_age)} old",
        ]
        for queue in moment.queues
    ]
    return laid_out(labels, rows, columns, frozenset({"queue"})).append("\n").append_text(_foot(moment))


def _counts(queue: QueueNow) -> list[str | Text]:
    bound = f"/{count(queue.maxsize)}" if queue.maxsize > 0 else ""
    dead = Text(count(queue.dead), style="red" if queue.dead else "")
    return [_names(queue), count(queue.waiting) + bound, count(queue.delayed), count(queue.leased), dead]


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


# -- stats --watch -------------------------------------------------------------------------------


def watched(
    moment: Moment, rates: dict[str, Rates], pasts: dict[str, Sequence[Rates]], columns: int, hint: str
) -> Text:
    """What ``--watch`` shows: a row for each queue, with its rates and how ``done/s`` went; and *hint*."""
    labels = ["queue", "waiting", "delayed", "leased", "dead", "put/s", "done/s"]
    rows: list[list[str | Text]] = []
    for queue in moment.queues:
        now = rates.get(queue.name)
        rows.append([*_counts(queue), *(("", "") if now is None else (_rate(now.put), _rate(now.done)))])
    narrow = laid_out(labels, rows, columns - FEWEST_BARS - len(GAP), frozenset({"queue"}))
    taken = max(cell_len(line) for line in narrow.plain.split("\n"))
    bars = max(FEWEST_BARS, min(MOST_BARS, columns - taken - len(GAP)))
    for row, queue in zip(rows, moment.queues, strict=True):
        row.append(Text(sparkline([past.done for past in pasts[queue.name]][-bars:]).rjust(bars), style="cyan"))
    shown = laid_out([*labels, "until now"], rows, columns, frozenset({"queue"}))
    return shown.append("\n").append_text(_foot(moment)).append(f"\n{hint}", style="dim")


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


# -- dead list -----------------------------------------------------------------------------------


def dead_table(rows: Sequence[tuple[int, str, int, float, str]], columns: int) -> Text:
    """A table of dead letters: id, item, attempts, how long ago it failed, error."""
    shown: list[list[str | Text]] = [
        [str(number), one_line(item), count(tries), f"{age(ago)} ago", Text(one_line(error), style="red")]
        for number, item, tries, ago, error in rows
    ]
    return laid_out(["id", "item", "tries", "failed", "error"], shown, columns, frozenset({"item", "error"}))
