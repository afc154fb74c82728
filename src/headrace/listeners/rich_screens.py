"""Where progress is drawn with rich: a terminal, or the output of a notebook's cell."""

from __future__ import annotations

from importlib import import_module

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from headrace.consumers.rich_bar import RateColumn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from rich.progress import TaskID

    from headrace.listeners.progress import Row

__all__ = ["NotebookScreen", "TerminalScreen"]


class Bars(Progress):
    """A bar for each pool. Not drawn by a thread of rich's: a failure there would end in a traceback on the screen."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(table_column=Column()),  # which is what shrinks when there is little room
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            RateColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[notes]}", markup=False, table_column=Column(no_wrap=True)),
            console=console,
            auto_refresh=False,
        )
        self._lines: dict[Row, TaskID] = {}

    def show(self, rows: list[Row]) -> None:
        """Bring the bars up to date."""
        for row in rows:
            if row not in self._lines:
                self._lines[row] = self.add_task(row.name, total=None, notes="")
            waiting, total = row.looked_up()
            self.update(self._lines[row], completed=row.settled, total=total, notes=notes(row, waiting))


def notes(row: Row, waiting: int | None) -> str:
    """What is said of a pool behind its bar."""
    said = [
        f"{number:,} {what}"
        for number, what in ((row.dead, "failed"), (row.retried, "retried"), (waiting, "waiting"))
        if number
    ]
    return ", ".join(said)


class Terminal(Console):
    """stderr. When nobody reads it any more, rich would end the program."""

    def on_broken_pipe(self) -> NoReturn:
        """Pass the error on. Called by rich while it is handled."""
        raise  # noqa: PLE0704 - within rich's except clause


class TerminalScreen:
    """The last lines of the terminal. What the program prints meanwhile scrolls by above them."""

    interval = 0.1

    def __init__(self) -> None:
        self._bars = Bars(Terminal(stderr=True))
        self._bars.start()

    def draw(self, rows: list[Row]) -> None:
        """Draw now."""
        self._bars.show(rows)
        self._bars.refresh()

    def close(self, rows: list[Row]) -> None:
        """Draw for the last time, and give the terminal back."""
        try:
            self._bars.show(rows)
        finally:
            self._bars.stop()


class NotebookScreen:
    """The output of the cell that runs.

    With IPython's own updating of outputs, and rich for how they look: rich's live display would want ipywidgets,
    which leave nothing behind in a notebook that is saved.
    """

    interval = 0.25

    def __init__(self) -> None:
        self._bars = Bars(Console())
        self._display: Any = import_module("IPython.display").display  # which has no types
        self._shown: Any = None

    def draw(self, rows: list[Row]) -> None:
        """Draw now."""
        self._bars.show(rows)
        table = self._bars.make_tasks_table(self._bars.tasks)
        if self._shown is None:
            self._shown = self._display(table, display_id=True)
        else:
            self._shown.update(table)

    close = draw
