"""What ``headrace run`` is told about the queue file that remembers what is done: the options, and their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headrace.cli.option_groups import option

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

__all__ = ["QueueOptions", "queue_options"]


class QueueOptions(NamedTuple):
    """The values of the options below, by their names."""

    queue: str | None = None
    retry_dead: bool = False
    again: bool = False

    def check(self, *, pipe: bool, dry_run: bool) -> None:
        """Raise ``click.UsageError`` where they make no sense with each other, or with other options."""
        if self.queue is None:
            for name in ("retry_dead", "again"):
                if getattr(self, name):
                    raise click.UsageError(
                        f"--{name.replace('_', '-')} is about what --queue remembers: name the queue"
                    )
            return
        if pipe:
            raise click.UsageError(
                "--queue and --pipe: a command that is fed with many lines does not say which of them are done"
            )
        if dry_run:
            raise click.UsageError(
                "--queue and --dry-run: --dry-run touches nothing, and so does not know what is done: leave --queue out"
            )


def _complete_url(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from headrace.cli.completion import complete_url

    return complete_url(incomplete)


_OPTIONS = (
    option(
        "Items",
        "--queue",
        shell_complete=_complete_url,
        metavar="URL",
        help="Remember in a queue file (jobs.db) what is done: started again, the same command does the rest.",
    ),
    option("Items", "--retry-dead", is_flag=True, help="With --queue: run again what failed in earlier runs."),
    option("Items", "--again", is_flag=True, help="With --queue: forget what was done, and run everything."),
)


def queue_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* all of these options."""
    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command
