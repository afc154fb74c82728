"""The command ``headrace``: its sub-commands, each imported when it is used, and its version."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from headrace.cli import INTERRUPTED, status
from headrace.cli.nearest import did_you_mean
from headrace.cli.refusal import Refused

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["forget_standard_output", "headrace", "run_command_line"]

GROUPS = {
    "Commands that run work": {
        "run": "Run a command, or call a function, for each line of the input.",
        "work": "Run a command, or call a function, for each item of a queue.",
        "demo": "A producer, three consumers, ten items: and it ends.",
    },
    "Commands that look after a queue": {
        "put": "Put items into a queue: arguments, or lines of the input.",
        "get": "Take items out of a queue, and print them.",
        "peek": "Print the next items, and leave them there.",
        "join": "Wait until every item is done.",
        "stats": "Show how the queues of a file are: once, or --watch.",
        "dead": "List, show, retry, edit, drop or export dead letters.",
        "pause": "Have a queue give out no items.",
        "resume": "Have it give out items again.",
        "purge": "Drop the items of a queue.",
        "check": "Check a queue file, and recount what is in it.",
        "vacuum": "Make a queue file smaller.",
    },
    "Other commands": {
        "bench": "Compare this machine's queues: headrace's and Python's.",
        "completion": "Print what makes bash, zsh or fish complete headrace's words.",
    },
}
"""The headings of ``--help``, and the commands under each."""

SUMMARIES = {name: summary for commands in GROUPS.values() for name, summary in commands.items()}

MODULES = {"dead": "queue_dead"}
"""The modules of commands whose names stand for something else already."""


class ReaderGone(Exception):
    """Whoever read the output has gone, as in ``| head -1``."""


class LazyGroup(click.Group):
    """Knows the names of its commands, and imports ``headrace.cli.NAME`` (or see ``MODULES``) when NAME is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUMMARIES:
            return None
        command: click.Command = import_module(f"headrace.cli.{MODULES.get(cmd_name, cmd_name)}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in SUMMARIES and not name.startswith("-"):
            ctx.fail(f"there is no command {name!r}.{did_you_mean(name, SUMMARIES)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        # The inherited one would import every command for its summary.
        names = [
            CompletionItem(name, help=summary) for name, summary in SUMMARIES.items() if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would exit with status 1 on it.
            raise ReaderGone from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The inherited one would import every command for its summary.
        # One width for all, or every section would begin its second column elsewhere.
        width = max(map(len, SUMMARIES))
        for heading, commands in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in commands.items()])


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    import platform

    from headrace import __version__, implementation

    python = f"{platform.python_implementation()} {platform.python_version()}"
    click.echo(f"headrace {__version__} (implementation: {implementation}; {python})")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version, the implementation of the queue (c or python) and the Python, and exit.",
)
def headrace() -> None:
    """The queue between producers and consumers.

    `headrace COMMAND --help` has the options and examples. `headrace completion bash` prints what makes bash complete
    them; zsh and fish are known too.
    """


def run_command_line(arguments: list[str]) -> int:
    """Run ``headrace`` with *arguments* and return the exit status."""
    gc.freeze()
    gc.enable()
    try:
        # Not standalone: click would turn Ctrl-C into "Aborted!" and status 1, and a broken pipe into status 1.
        result = headrace.main(arguments, prog_name="headrace", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Refused as error:
        click.echo(f"headrace: {error.message}", err=True)
        return error.exit_status
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except ReaderGone:
        forget_standard_output()
        return status.BROKEN_PIPE
    return result if isinstance(result, int) else status.DONE


def forget_standard_output() -> None:
    """Let the interpreter flush into nothing when it exits: what is left has no reader."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
