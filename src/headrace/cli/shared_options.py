"""What ``headrace run`` and ``headrace work`` ask in the same words: the command, and how it is run and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headrace.cli.option_groups import option

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

__all__ = ["command_argument", "progress_option", "shell_option"]

shell_option = option(
    "What is done", "--shell", is_flag=True, help="COMMAND is a line for /bin/sh. The item is quoted for it."
)

progress_option = option(
    "Output",
    "--progress/--no-progress",
    default=None,
    help="Show how far it is. [default: if standard error is a terminal]",
)


def command_argument(
    complete: Callable[[click.Context, click.Parameter, str], list[CompletionItem]],
) -> Callable[[Any], Any]:
    """The words of the command, completed in shells by *complete*."""
    return click.argument(
        "words", metavar="[COMMAND [ARG]...]", nargs=-1, type=click.UNPROCESSED, shell_complete=complete
    )
