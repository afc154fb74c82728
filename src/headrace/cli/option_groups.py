"""Options under headings: a command that has many of them shows them in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GroupedCommand", "option"]

HEADINGS = ("Items", "What is done", "Failures", "Pace", "Output", "Records", "Help")
"""In the order in which they are shown."""


class GroupedOption(click.Option):
    """An option that knows the heading under which ``--help`` shows it."""

    def __init__(self, *arguments: Any, heading: str, **settings: Any) -> None:
        if heading not in HEADINGS:
            raise ValueError(f"there is no heading {heading!r}: add it to HEADINGS where it is to stand")
        super().__init__(*arguments, **settings)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose ``--help`` has the options under their headings. It knows what they are called elsewhere."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As every command."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from headrace.cli.foreign_options import explain  # only a mistake needs it

            raise explain(error) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each heading that has options."""
        records: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
        for parameter in self.get_params(ctx):
            record = None if isinstance(parameter, click.Argument) else parameter.get_help_record(ctx)
            if record is not None:
                records[getattr(parameter, "heading", HEADINGS[-1])].append(record)
        # One width for all, or every section would begin its second column elsewhere.
        width = max([len(name) for rows in records.values() for name, _ in rows])
        for heading, rows in records.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl([(name.ljust(width), text) for name, text in rows])


def option(heading: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    """As ``click.option``, under *heading*."""
    return click.option(*names, cls=GroupedOption, heading=heading, **settings)
