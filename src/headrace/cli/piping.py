"""``headrace run --pipe`` from its options to its exit status."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from headrace.cli import status
from headrace.cli.policies import Policies
from headrace.cli.programs import find_program

if TYPE_CHECKING:
    from headrace.cli.inputs import Inputs

__all__ = ["pipe_command", "run_pipe"]

SHELL = "/bin/sh"


def pipe_command(
    words: tuple[str, ...], shell: bool, function_name: str | None, inputs: Inputs, policies: Policies
) -> tuple[list[bytes], bytes]:
    """The words of the command that lines are fed to, and the path of its program. Placeholders mean nothing.

    Raises:
        click.UsageError: something was asked for that is for single items.
        Refused: there is no such program.
    """
    if function_name:
        raise click.UsageError("--call and --pipe: a function takes items, only a command can be fed with lines")
    meaningless = [name for name in Policies._fields if getattr(policies, name) != Policies._field_defaults[name]]
    meaningless += [name for name in ("csv", "tsv", "jsonl", "stdin") if getattr(inputs.options, name)]
    if meaningless:
        option = "--" + meaningless[0].replace("_", "-")
        raise click.UsageError(f"{option} and --pipe: nothing is done for each item, commands are fed with many lines")
    if inputs.given:
        raise click.UsageError("::: and --pipe: commands are fed with the lines of one input, --input FILE")
    if not words or not words[0]:
        raise click.UsageError("there is no COMMAND to feed with the lines of the input")
    encoded = [os.fsencode(word) for word in words]
    if shell:
        return [os.fsencode(SHELL), b"-c", b" ".join(encoded)], os.fsencode(SHELL)
    return encoded, find_program(words[0])


def run_pipe(words: list[bytes], program: bytes, inputs: Inputs, consumers: int, wants_progress: bool | None) -> int:
    """Feed commands with the lines of the input, and return the exit status, or exit with it.

    Args:
        words: of the command, its name first.
        program: its path.
    """
    if inputs.options.dry_run:
        from headrace.cli.placeholder import quote

        click.echo(b" ".join(map(quote, words)))
        return status.DONE
    from headrace.cli.output import Output
    from headrace.cli.pipe import PipeRun
    from headrace.cli.pipe_dealing import DEFAULT_BLOCK, PipeSettings
    from headrace.cli.running import progress_for, say_how_it_ended
    from headrace.cli.signals import OUTPUT_LOST, Events
    from headrace.cli.spawn import Children

    block = inputs.options.block or DEFAULT_BLOCK
    settings = PipeSettings(inputs.fd, inputs.separator, words, program, consumers, block)
    with Events() as events:
        output = Output(when_lost=lambda: events.post(OUTPUT_LOST))
        run = PipeRun(settings, inputs.size_bytes(), Children(), events, output)
        progress = progress_for(wants_progress, run.tally, output, inputs.fd)
        exit_status = run.run(progress)
        say_how_it_ended(run.tally, output, exit_status, showed_progress=progress.finish())
        # Nothing is left to be done, and to take the interpreter apart takes its time.
        os._exit(exit_status)
