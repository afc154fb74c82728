"""``headrace run``: its options, and what is refused before anything runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.input_options import InputOptions, input_options
from headrace.cli.journal_options import QueueOptions, queue_options
from headrace.cli.option_groups import GroupedCommand, option
from headrace.cli.policies import Policies, policy_options
from headrace.cli.quantities import COUNT
from headrace.cli.refusal import Refused
from headrace.cli.running import run_step
from headrace.cli.shared_options import command_argument, progress_option, shell_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from headrace.cli.combine import InputWords
    from headrace.cli.inputs import Inputs
    from headrace.cli.journal import Journal
    from headrace.cli.placeholder import CommandTemplate, ShellTemplate
    from headrace.cli.vocabulary import Vocabulary

__all__ = ["command", "command_template", "cpus"]

SHELL = "/bin/sh"

EPILOG = """\b
Examples:
  find . -name '*.py' | headrace run -j 3 -- sha256sum {}
  find . -name '*.log' -print0 | headrace run -0 gzip
  headrace run --input urls.txt -j 8 --shell 'curl -s {} | wc -c'
  headrace run --call os.path:basename < paths
  headrace run --retries 3 --timeout 30 --dead failed curl -sfO < urls
  headrace run --halt now,success=1 -j 4 ./try-key < keys
  headrace run --queue jobs.db -j 8 ./convert {} < paths
  headrace run --csv --input users.csv -- mail -s 'Hello {name}' {address}
  headrace run convert {1} -resize {2} {1.}-{2}.png ::: *.jpg ::: 100 400
  zcat *.gz | headrace run --pipe grep -F ERROR

\b
Exit status:
  0    every item was done (or there was none); --halt WHEN,success=N was met
  1    an item failed, or reading or writing did
  2    the command line was refused; nothing was run
  126  the command cannot be executed; nothing was run
  127  there is no such command; nothing was run
  130  ended by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP, 131 by SIGQUIT
  141  whoever read the output has gone (as in `| head -1`)
"""


def _complete_command(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from headrace.cli.completion import complete_command

    return complete_command(ctx, parameter, incomplete)


@click.command(
    cls=GroupedCommand,
    name="run",
    epilog=EPILOG,
    # What follows COMMAND is the command's, options too.
    context_settings={
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@option(
    "What is done",
    "-j",
    "--consumers",
    type=COUNT,
    metavar="N",
    help="How many run at the same time. [default: as many as there are CPUs]",
)
@option(
    "Items",
    "--input",
    "input_paths",
    # The shell completes files. Whether it can be read is said when it is opened.
    type=click.Path(readable=False),
    multiple=True,
    metavar="FILE",
    help="Read the items from FILE. [default: stdin]",
)
@option("Items", "-0", "--null", is_flag=True, help="Items end with a NUL byte, not with a line break.")
@option(
    "What is done",
    "--call",
    "function_name",
    metavar="MODULE:FUNCTION",
    help="Call a Python function with each item.",
)
@shell_option
@input_options
@queue_options
@policy_options
@progress_option
@command_argument(_complete_command)
def command(
    consumers: int | None,
    input_paths: tuple[str, ...],
    null: bool,
    function_name: str | None,
    shell: bool,
    progress: bool | None,
    words: tuple[str, ...],
    **more: Any,
) -> int:
    """Run COMMAND for each line of the input, several at the same time.

    {} is the item, wherever it occurs in COMMAND and its arguments; where it does not occur, the item is added at the
    end. {.} {/} {//} {/.} are parts of it as a path, {#} is its number, and {name} a field. Values may also be given
    behind COMMAND: ::: VALUE... or :::: FILE..., several times for all combinations.

    There is no shell in between, so an item may have any characters in it. What a command prints is kept together and
    written when it has ended. Commands have no standard input and no terminal.

    With --call, FUNCTION(item) is called in COMMAND's place, in threads of this process, and what it returns is
    printed, unless that is None.
    """
    if os.name != "posix":
        raise Refused("headrace run needs a POSIX system, for its process groups and signals; demo and bench work here")
    from headrace.cli.inputs import Inputs

    policies = Policies(**{name: more.pop(name) for name in Policies._fields})
    options = InputOptions(**{name: more.pop(name) for name in InputOptions._fields})
    queue = QueueOptions(**{name: more.pop(name) for name in QueueOptions._fields})
    queue.check(pipe=options.pipe, dry_run=options.dry_run)
    given: list[InputWords] = []
    if any(word.startswith(":::") for word in words):
        from headrace.cli.combine import split_words

        words, given = split_words(words)
    if len(input_paths) > 1:
        given_twice = " and ".join(f"--input {path!r}" for path in input_paths)
        raise click.UsageError(
            f"{given_twice}: there is one input; for all of them, cat them: cat FILE… | headrace run …"
        )
    inputs = Inputs(input_paths[0] if input_paths else "-", null, options, given)
    if policies.dead is not None and len(given) > 1:
        raise click.UsageError("--dead keeps items of one input: with several, no file can stand for all of them")
    if options.block is not None and not options.pipe:
        raise click.UsageError("--block is for --pipe: without it, a command gets one item")
    if options.pipe:
        from headrace.cli.piping import pipe_command, run_pipe

        piped = pipe_command(words, shell, function_name, inputs, policies)
        return run_pipe(*piped, inputs, consumers or cpus(), progress)
    if function_name:
        return _call_function(function_name, words, shell, inputs, consumers or cpus(), progress, policies, queue)
    if not words or not words[0]:
        raise click.UsageError("there is no COMMAND to run for each item (and no --call MODULE:FUNCTION)")
    template, program = command_template(words, inputs.vocabulary, shell=shell, appends=not options.stdin)
    if options.dry_run:
        from headrace.cli.dry_run import as_command, print_commands

        return print_commands(inputs.source, as_command(template, feeds=options.stdin))
    from headrace.cli.command import CommandStep

    step = CommandStep(template, program, apart=policies.results is not None, feeds=options.stdin)
    journal = _journal(queue)
    return run_step(step, inputs, consumers or cpus(), progress, policies, shell=shell, journal=journal)


def _journal(queue: QueueOptions) -> Journal | None:
    if queue.queue is None:
        return None
    from headrace.cli.queue_opening import need_for_commands

    need_for_commands()
    from headrace.cli.journal_run import open_run

    return open_run(queue)


def cpus() -> int:
    """How many CPUs this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def command_template(
    words: tuple[str, ...], vocabulary: Vocabulary, *, shell: bool, appends: bool
) -> tuple[CommandTemplate | ShellTemplate, bytes | None]:
    """What makes a command of an item, and the path of its program, where that does not depend on the item.

    Raises ``Refused``.
    """
    from headrace.cli.placeholder import CommandTemplate, ShellTemplate
    from headrace.cli.programs import find_program

    encoded = [os.fsencode(word) for word in words]
    if shell:
        return ShellTemplate(encoded, vocabulary, appends=appends), os.fsencode(SHELL)
    template = CommandTemplate(encoded, vocabulary, appends=appends)
    if any(word.endswith(b"sh") for word in encoded):
        from headrace.cli.shell_lines import refuse_pasting

        refuse_pasting(encoded, vocabulary)
    if template.program is None and len(words) == 1:
        from headrace.cli.shell_lines import refuse_a_line

        refuse_a_line(words[0])
    return template, None if template.program is None else find_program(os.fsdecode(template.program))


def _call_function(
    name: str,
    words: tuple[str, ...],
    shell: bool,
    inputs: Inputs,
    consumers: int,
    wants_progress: bool | None,
    policies: Policies,
    queue: QueueOptions,
) -> int:
    """Call a function with each item, and return the exit status."""
    from headrace.cli.call import CallStep
    from headrace.cli.functions import find_function
    from headrace.cli.giving import Giving

    if words or shell:
        raise click.UsageError("--call takes the place of COMMAND and of --shell: give one or the other")
    if inputs.options.stdin:
        raise click.UsageError("--call and --stdin: a function has no standard input, it gets the item")
    giving = Giving(inputs.vocabulary)
    function = find_function(name, giving.count)
    if inputs.options.dry_run:
        from headrace.cli.dry_run import as_call, print_commands

        return print_commands(inputs.source, as_call(name))
    step = CallStep(function, name, giving)
    journal = _journal(queue)
    return run_step(step, inputs, consumers, wants_progress, policies, shell=shell, journal=journal)
