"""The table of ``headrace bench``, drawn with rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from headrace.cli.bench_scenarios import OURS, SIMPLE, STANDARD

if TYPE_CHECKING:
    from headrace.cli.bench import Row

__all__ = ["print_table"]

# Where there is no terminal that has a width, nothing is to be cut.
PLAIN_COLUMNS = 120


def print_table(rows: list[Row], machine: dict[str, Any], rounds: int) -> None:
    """Print *rows* to standard output."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_COLUMNS)
    table = Table(title="Items a second", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("\nscenario")
    for name in (f"\n{OURS}", "\nqueue", "Simple-\nQueue", "times\nqueue", "times\nSimple"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.scenario,
            *(_rate(row.rates.get(name)) for name in (OURS, STANDARD, SIMPLE)),
            *(_ratio(row.ratios.get(name)) for name in (STANDARD, SIMPLE)),
        )
    console.print(table)
    conditions = (
        f"headrace {machine['headrace']} ({machine['implementation']}), {machine['python']}, {machine['system']}, "
        f"{machine['cpus']} CPUs; rounds: {rounds}"
    )
    console.print(conditions, style="dim", highlight=False, soft_wrap=True)


def _rate(rate: float | None) -> str:
    """Three digits: ``31.2 M``, ``812 k``."""
    if rate is None:
        return "-"
    value, unit = (rate / 1e6, " M") if rate >= 1e6 else (rate / 1e3, " k")
    return (f"{value:,.0f}" if value >= 100 else f"{value:.3g}") + unit


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    shown = f"{ratio:.0f}" if ratio >= 20 else f"{ratio:.1f}" if ratio >= 2 else f"{ratio:.2f}"
    return f"[bold]{shown}[/bold]" if ratio >= 1 else f"[red]{shown}[/red]"
