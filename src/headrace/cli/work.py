"""``headrace work``: a worker of a queue in a file, as ``headrace run`` is for an input."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import click

from headrace.cli.option_groups import GroupedCommand, option
from headrace.cli.policies import Policies, policy_options
from headrace.cli.quantities import COUNT
from headrace.cli.refusal import Refused
from headrace.cli.shared_options import command_argument, progress_option, shell_option
from headrace.cli.vocabulary import Vocabulary

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from headrace.cli.running import Step

__all__ = ["command"]

EPILOG = """\b
Examples:
  headrace put jobs.db < urls.txt
  headrace work jobs.db -j 8 -- curl -sfO {}
  headrace work jobs.db --until-empty --retries 3 ./convert {}
  headrace work jobs.db#mail -- mail -s 'Hello {name}' {address}
  headrace work jobs.db --call shop:ship_order

\b
Exit status:
  0    every item that it took was done (with --until-empty, --max-items or --halt WHEN,success=N)
  1    an item failed, or the queue could not be read, or something not be written
  2    the command line was refused; nothing was run
  126  the command cannot be executed; nothing was run
  127  there is no such command; nothing was run
  130  ended by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP, 131 by SIGQUIT
  141  whoever read the output has gone (as in `| head -1`)
"""

# Whether an item has names for its values is not known before it comes.
VOCABULARY = Vocabulary(has_own_names=True)


class WorkCommand(GroupedCommand):
    """A command whose first word is a URL, and whose options may stand before it and behind it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the URL out, so that what is left is as in ``headrace run``."""
        return super().parse_args(ctx, with_url_as_option(self, ctx, args))


def with_url_as_option(command: click.Command, ctx: click.Context, args: list[str]) -> list[str]:
    """*args* with the first word that is no option given to ``--url``."""
    try:
        words = command.make_parser(ctx).parse_args(list(args))[0].get("words") or ()
    except click.UsageError:
        return args  # it is said again when they are parsed in earnest
    if not isinstance(words, tuple) or not words:  # click's mark for what was not given
        return args
    place = len(args) - len(cast("tuple[str, ...]", words))
    return ["--url", args[place], *args[:place], *args[place + 1 :]]


def _complete_command(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from headrace.cli.completion import complete_command, complete_url

    return complete_command(ctx, parameter, incomplete) if ctx.params.get("url") else complete_url(incomplete)


@click.command(
    cls=WorkCommand,
    name="work",
    epilog=EPILOG,
    options_metavar="URL [OPTIONS]",
    # What follows COMMAND is the command's, options too.
    context_settings={
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.option("--url", hidden=True)
@option(
    "What is done",
    "-j",
    "--consumers",
    type=COUNT,
    metavar="N",
    help="How many run at the same time. [default: as many as there are CPUs]",
)
@option("Items", "--until-empty", is_flag=True, help="End when nothing waits, is delayed, or is held by any worker.")
@option("Items", "--max-items", type=COUNT, metavar="N", help="End after N items.")
@option(
    "What is done",
    "--call",
    "function_name",
    metavar="MODULE:FUNCTION",
    help="Call a Python function with each item, as it was put.",
)
@shell_option
@option(
    "What is done",
    "--stdin",
    is_flag=True,
    help="COMMAND finds the item, and a line break, on its standard input; it is no argument.",
)
@policy_options
@progress_option
@command_argument(_complete_command)
def command(
    url: str | None,
    consumers: int | None,
    until_empty: bool,
    max_items: int | None,
    function_name: str | None,
    shell: bool,
    stdin: bool,
    progress: bool | None,
    words: tuple[str, ...],
    **more: Any,
) -> int:
    """Run COMMAND for each item of the queue at URL, for ever. Start as many workers as you like.

    {} is the item: text as it is, anything else as JSON. {name} is the value of that name where the item is an object.
    All else is as in `headrace run`.

    An item that is being worked on is another worker's at once when this one dies. When this one is told to end
    (SIGTERM, Ctrl-C), so is what it had not begun, and what it had to end in the middle.
    """
    if os.name != "posix":
        raise Refused("headrace work needs a POSIX system, for its process groups and signals")
    if url is None:
        raise click.UsageError("there is no URL of a queue: headrace work jobs.db COMMAND")
    policies = Policies(**more)
    step = _step(words, function_name, policies, shell=shell, stdin=stdin)
    from headrace.cli.queue_opening import need_for_commands, open_queue

    need_for_commands()
    from headrace.cli.journal_work import WorkFeed, WorkJournal
    from headrace.cli.run import cpus
    from headrace.cli.running import run_step

    queue = open_queue(url)
    if not hasattr(queue, "durability"):
        raise Refused(f"{url!r}: only a queue in a file has anything to work on: name one (jobs.db)")
    journal = WorkJournal(queue, url)
    consumers = consumers or cpus()
    feed = WorkFeed(journal, consumers, until_empty=until_empty, max_items=max_items)
    return run_step(step, feed, consumers, progress, policies, shell=shell, journal=journal)


def _step(words: tuple[str, ...], function_name: str | None, policies: Policies, *, shell: bool, stdin: bool) -> Step:
    """What is done with each item. Raises ``click.UsageError``, ``Refused``."""
    if function_name is not None:
        if words or shell or stdin:
            raise click.UsageError(
                "--call takes the place of COMMAND, of --shell and of --stdin: give one or the other"
            )
        from headrace.cli.call import CallStep
        from headrace.cli.functions import find_function
        from headrace.cli.giving import GivingValues

        return CallStep(find_function(function_name, 1), function_name, GivingValues())
    if not words or not words[0]:
        raise click.UsageError("there is no COMMAND to run for each item (and no --call MODULE:FUNCTION)")
    from headrace.cli.command import CommandStep
    from headrace.cli.run import command_template

    template, program = command_template(words, VOCABULARY, shell=shell, appends=not stdin)
    return CommandStep(template, program, apart=policies.results is not None, feeds=stdin)
