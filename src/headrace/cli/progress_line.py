"""The progress line, drawn with rich. Imported only when there is one to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from headrace.cli.progress import Reading

__all__ = ["render"]

BAR_COLUMNS = 30

_console = Console(stderr=True, highlight=False)


def render(reading: Reading) -> bytes:
    """The line for *reading*: with colours where the terminal has them, no wider than it, without a line's end."""
    line = Table.grid(padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True, overflow="ellipsis")
    line.add_row(_bar(reading), _text(reading))
    # One column is left free: some terminals go to the next line once the last one is written to.
    width = max(1, _console.size.width - 1)
    with _console.capture() as captured:
        _console.print(line, end="", width=width, no_wrap=True, crop=True)
    return captured.get().rstrip("\n").encode("utf-8", "replace")


def _bar(reading: Reading) -> ProgressBar:
    known = reading.fraction is not None
    return ProgressBar(
        total=1.0 if known else None,
        completed=reading.fraction or 0.0,
        width=BAR_COLUMNS,
        animation_time=reading.seconds,
    )


def _text(reading: Reading) -> Text:
    text = Text()
    for position, words in enumerate(reading.words()):
        text.append(" · " if position else "", style="dim")
        text.append(words, style="bold red" if words.endswith("failed") else "")
    return text
