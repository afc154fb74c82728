"""``headrace completion``: what makes a shell complete the words of ``headrace``, and what it completes them to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from headrace.cli.refusal import Refused
from headrace.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["command", "complete_command", "complete_url"]

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_HEADRACE_COMPLETE"
MOST_PROGRAMS = 500

EPILOG = """\b
To have it in every shell from now on:
  bash  headrace completion bash >> ~/.bashrc
  zsh   headrace completion zsh >> ~/.zshrc     (after compinit)
  fish  headrace completion fish > ~/.config/fish/completions/headrace.fish

\b
Or only in this one:
  eval "$(headrace completion bash)"            (zsh: the same with zsh)
  headrace completion fish | source
"""


@click.command(name="completion", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print a script that makes SHELL complete headrace's commands, options and files."""
    click.echo(script_for(shell))


def script_for(shell: str) -> str:
    """The script for *shell*, one of ``SHELLS``."""
    from headrace.cli.app import headrace

    found = get_completion_class(shell)
    if found is None:
        raise Refused(f"this version of click has no completion for {shell!r} (bash, zsh and fish since click 8.0)")
    completion = found(headrace, {}, "headrace", VARIABLE)
    # Not its own source(): that of bash runs bash, only to warn of one that is older than 4.4.
    return completion.source_template % completion.source_vars()


def complete_command(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What may stand there: a program as the first word of COMMAND, a file as any other."""
    if ctx.params.get(parameter.name or "") or "/" in incomplete:
        return [CompletionItem(incomplete, type="file")]
    # A list of all programs helps nobody.
    found = sorted(set(_programs(incomplete)))[:MOST_PROGRAMS] if incomplete else []
    return [CompletionItem(name) for name in found] or [CompletionItem(incomplete, type="file")]


def _programs(beginning: str) -> Iterator[str]:
    for folder in os.get_exec_path():
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.startswith(beginning) and os.access(os.path.join(folder, name), os.X_OK):
                yield name


def complete_url(incomplete: str) -> list[CompletionItem]:
    """What a URL may be: a file, and behind ``#`` a queue in it."""
    path, hash_sign, beginning = incomplete.partition("#")
    if not hash_sign:
        return [CompletionItem(incomplete, type="file")]
    from headrace.cli.queue_opening import file_of, look_at

    try:
        with look_at(file_of(incomplete if beginning else path, "completion")) as look:
            names = look.names()
    except (Refused, StorageError):
        return []
    return [CompletionItem(f"{path}#{name}") for name in names if name.startswith(beginning)]
