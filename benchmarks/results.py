"""What a scenario hands back, and what the page, the picture and the JSON file are made of."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Bar", "Outcome", "Spread", "Table", "Verdict", "ratio", "times", "times_range"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure's median over the rounds, with the lowest and the highest."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Table:
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def __str__(self) -> str:
        """A Markdown table whose columns line up, so that it reads well on a terminal too."""
        widths = [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]
        rule = tuple("-" * width if n == 0 else "-" * (width - 1) + ":" for n, width in enumerate(widths))
        return "\n".join(_line(row, widths) for row in (self.headings, rule, *self.rows))


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target of the project and what came of it. ``met`` is judged by the median."""

    claim: str
    target: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """How many times as fast as *peer* we are: one bar of the picture."""

    peer: str
    ratio: Spread
    target: float | None = None


@dataclass(slots=True)
class Outcome:
    """All that came of one scenario.

    Attributes:
        name: what ``--only`` calls it.
        title: its heading on the page.
        how: what was done, in a sentence or two.
        table: the figures as a reader sees them.
        figures: every single figure, a list for each contender, in the order of the rounds; for the JSON file.
        notes: what is missing and why.
    """

    name: str
    title: str
    how: str
    table: Table
    figures: Mapping[str, list[float]]
    verdicts: list[Verdict] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def ratio(ours: Iterable[float], theirs: Iterable[float]) -> Spread:
    """How many times theirs ours is, round by round: what disturbed a whole round falls out."""
    return Spread.of(our / their for our, their in zip(ours, theirs, strict=True))


def times(value: float) -> str:
    """A ratio with two or three digits that mean something."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def times_range(spread: Spread) -> str:
    return f"{times(spread.lowest)} to {times(spread.highest)}"
