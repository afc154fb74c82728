"""One run of ``headrace run``, from the opened input to the last line that it says."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from headrace.cli import status
from headrace.cli.policies import NO_POLICIES
from headrace.cli.rules import NO_RULES

if TYPE_CHECKING:
    from typing import Protocol

    from headrace.cli.crew import Crew
    from headrace.cli.delivery import Delivery
    from headrace.cli.halt import HaltRule
    from headrace.cli.inputs import Inputs
    from headrace.cli.journal import Journal
    from headrace.cli.journal_work import WorkFeed
    from headrace.cli.output import Output
    from headrace.cli.policies import Policies
    from headrace.cli.progress import Progress
    from headrace.cli.replacing import Replacing
    from headrace.cli.rules import Rules
    from headrace.cli.signals import Events
    from headrace.cli.spawn import Children
    from headrace.cli.tally import Tally
    from headrace.cli.worker import Handler

    class Step(Protocol):
        """What is done with each item.

        Attributes:
            is_done_by_commands: and not by Python code of the user's, which may have to be told of the end.
        """

        is_done_by_commands: bool

        def begin(self, consumers: int, children: Children, output: Output, delivery: Delivery) -> list[Handler]:
            """Get ready. Returns a handler for each consumer. Raises ``Refused``."""
            ...

        def write_rest(self, output: Output, delivery: Delivery) -> None:
            """Write what is held until its turn, though that has not come. Raises ``OutputLost``."""
            ...

        def flush(self, output: Output) -> None:
            """Write what is gathered. Raises ``OutputLost``."""
            ...

        def end(self) -> None:
            """Give back what ``begin`` took. After the consumers have ended, or were given up."""
            ...

    Feed = Inputs | WorkFeed


__all__ = ["progress_for", "run_step", "say_how_it_ended"]

STDERR = 2
# The last line is not worth waiting for when someone else is stuck in the middle of writing.
SAY_SECONDS = 0.1
# What was held back is, but only for so long.
REST_SECONDS = 0.1


def run_step(
    step: Step,
    inputs: Feed,
    consumers: int,
    wants_progress: bool | None,
    policies: Policies,
    *,
    shell: bool,
    journal: Journal | None = None,
) -> int:
    """Do the step with each item, and return the exit status.

    Args:
        journal: of the queue file that the items are in; None where they are in none.
    """
    from headrace.cli.crew import Crew
    from headrace.cli.delivery import Delivery
    from headrace.cli.output import Output
    from headrace.cli.reader import InputError
    from headrace.cli.signals import OUTPUT_LOST, Events
    from headrace.cli.spawn import Children

    source = inputs.source if journal is None else journal.feed(inputs.source)
    with Events() as events:
        output = Output(when_lost=lambda: events.post(OUTPUT_LOST))
        rules = _rules(policies, inputs, output, events, journal, calls=not step.is_done_by_commands, shell=shell)
        children = Children(rules.deadlines)
        delivery = Delivery(tag=policies.tag, order=rules.order, is_recorded=rules.settling is not None)
        handlers = step.begin(consumers, children, output, delivery)
        crew = Crew(source, handlers, children, events, output, rules, _replacing(step, events, rules))
        progress = progress_for(wants_progress, crew.tally, output, inputs.fd)
        if journal is not None:
            journal.flush = None if step.is_done_by_commands else lambda: step.flush(output)
            journal.begin()
        try:
            exit_status = crew.run(progress)
        except InputError as error:
            output.say(f"cannot read the input to its end: {error}")
            exit_status = status.FAILED
        is_written = True
        if rules.order is not None or journal is not None:
            is_written = _write_rest(step, output, delivery, events, patient=not crew.was_ended)
        step.end()
        words: list[str] = []
        if journal is not None:
            exit_status, words = _close(journal, crew, exit_status, is_written=is_written)
        say_how_it_ended(crew.tally, output, exit_status, showed_progress=progress.finish(), halted_by=crew.halted_by)
        for word in words:
            output.say(word, wait=SAY_SECONDS)
        # A call that is still running can neither be ended nor be waited for. And where there were only commands,
        # nothing is left to be done: to take the interpreter apart would take as long as twenty of them.
        if step.is_done_by_commands or not crew.all_ended():
            os._exit(exit_status)
    return exit_status


def _rules(
    policies: Policies,
    inputs: Feed,
    output: Output,
    events: Events,
    journal: Journal | None,
    *,
    calls: bool,
    shell: bool,
) -> Rules:
    """The rules that *policies* ask for. Raises ``Refused``."""
    if policies == NO_POLICIES and journal is None:
        return NO_RULES
    from headrace.cli.rulebook import Input, rules_for

    source = Input(inputs.fd, inputs.separator, inputs.heading)
    return rules_for(policies, source, output, events, calls=calls, shell=shell, journal=journal)


def _close(journal: Journal, crew: Crew, exit_status: int, *, is_written: bool) -> tuple[int, list[str]]:
    """Close the queue file. Returns the exit status, and what there is to say."""
    words = journal.last_words(crew.tally.failed, is_ended=exit_status > status.by_signal(0))
    # What a run was halted for was found, whatever failed before.
    has_failed_before = journal.before.failed and crew.halted_by is None
    if not journal.close(is_all_printed=is_written) or has_failed_before:
        exit_status = exit_status or status.FAILED
    return exit_status, words


def _replacing(step: Step, events: Events, rules: Rules) -> Replacing | None:
    """Who replaces consumers whose call runs over time."""
    if rules.call_seconds is None:
        return None
    from headrace.cli.call import CallStep
    from headrace.cli.replacing import Replacing

    assert isinstance(step, CallStep)
    return Replacing(rules.call_seconds, step.another, events, rules)


def _write_rest(step: Step, output: Output, delivery: Delivery, events: Events, *, patient: bool) -> bool:
    """Write what is held until its turn though that has not come: after a run that was ended early there is some.

    Returns whether all of it was written.
    """
    from threading import Thread

    from headrace.cli.output import OutputLost

    was_written: list[bool] = []

    def write() -> None:
        with suppress(OutputLost):
            step.write_rest(output, delivery)
            step.flush(output)
            was_written.append(True)

    # In a thread, for whoever is to read it may not be reading.
    writer = Thread(target=write, name="Rest", daemon=True)
    writer.start()
    writer.join(REST_SECONDS)
    while patient and writer.is_alive() and not events.wait(REST_SECONDS):
        pass
    return bool(was_written)


def say_how_it_ended(
    tally: Tally, output: Output, exit_status: int, *, showed_progress: bool, halted_by: HaltRule | None = None
) -> None:
    """A last line on standard error, where there is more to know than an exit status of 0 says."""
    if output.error is not None:
        if output.error.errno != errno.EPIPE:
            output.say(f"cannot write the output: {output.error.strerror}", wait=SAY_SECONDS)
    elif exit_status > status.by_signal(0):
        name = status.signal_name(exit_status - status.by_signal(0))
        output.say(f"ended by {name}: {tally.summary()}", wait=SAY_SECONDS)
    elif halted_by is not None:
        output.say(f"halted by --halt {halted_by}: {tally.summary()}", wait=SAY_SECONDS)
    elif showed_progress or tally.failed or tally.before.done or tally.before.failed:
        output.say(tally.summary(), wait=SAY_SECONDS)


def progress_for(wanted: bool | None, tally: Tally, output: Output, input_fd: int) -> Progress:
    """What shows how far a run is, if that is *wanted*; None is where there is a terminal to show it on."""
    from headrace.cli.progress import NoProgress, PlainProgress, TerminalProgress, is_drawable_terminal

    if wanted is False:
        return NoProgress()
    # Where items are typed in, the line would get in the way.
    if is_drawable_terminal(STDERR) and not (input_fd >= 0 and os.isatty(input_fd)):
        return TerminalProgress(tally, output)
    return PlainProgress(tally, output) if wanted else NoProgress()
