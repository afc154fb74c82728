"""Makes the rules of a run out of the options that were given; what nobody asked for is not even imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.refusal import Refused
from headrace.cli.rules import Rules
from headrace.cli.signals import RECORD_LOST

if TYPE_CHECKING:
    from headrace.cli.halt import Halter
    from headrace.cli.journal import Journal
    from headrace.cli.output import Output
    from headrace.cli.policies import Policies
    from headrace.cli.settling import Recorder, Settling
    from headrace.cli.signals import Events

__all__ = ["Input", "rules_for"]

BACKOFF = 1.0
LONGEST_BACKOFF = 300.0


class Input:
    """What a file of failed items has to know about the input.

    Attributes:
        fd: where it is read from.
        separator: what items end with.
        heading: what it begins with, without a separator.
    """

    def __init__(self, fd: int, separator: bytes, heading: bytes = b"") -> None:
        self.fd = fd
        self.separator = separator
        self.heading = heading


def rules_for(
    policies: Policies,
    source: Input,
    output: Output,
    events: Events,
    *,
    calls: bool,
    shell: bool,
    journal: Journal | None = None,
) -> Rules:
    """The rules that *policies* ask for.

    Args:
        calls: functions are called, and no commands run.
        shell: the command is a line for the shell.
        journal: of the queue file that the items are in; None where they are in none.

    Raises:
        Refused: a file that is to be written cannot be.
    """
    rules = Rules(settling=_settling(policies, source, output, events, journal, shell=shell), journal=journal)
    if policies.rate or policies.delay:
        from headrace.cli.pace import Pace

        rules = rules._replace(pace=Pace(policies.rate, policies.delay))
    if policies.keep_order:
        from headrace.cli.order import Order

        rules = rules._replace(order=Order(output.lose))
        if journal is not None:
            journal.order = rules.order
    if policies.timeout is not None and calls:
        rules = rules._replace(call_seconds=policies.timeout)
    elif policies.timeout is not None:
        from headrace.cli.deadlines import CommandDeadlines

        rules = rules._replace(deadlines=CommandDeadlines(policies.timeout))
    return rules


def _settling(
    policies: Policies, source: Input, output: Output, events: Events, journal: Journal | None, *, shell: bool
) -> Settling | None:
    if policies.retries == 1 and policies.backoff is not None:
        raise Refused("--backoff is the wait before another attempt, and there is none: --retries 2 or more")
    recorders = _recorders(policies, source, shell=shell)
    if journal is not None:
        # The last of all: it settles what the others have recorded.
        recorders.append(journal)
    if policies.retries == 1 and policies.halt is None and not recorders:
        return None
    from headrace import Retry
    from headrace.cli.settling import Settling

    def lose(message: str) -> None:
        output.say(message)
        events.post(RECORD_LOST)

    if journal is not None:
        journal.when_lost = lose
    retry = None
    if policies.retries > 1:
        backoff = BACKOFF if policies.backoff is None else policies.backoff
        retry = Retry(policies.retries, backoff, max_delay=max(LONGEST_BACKOFF, backoff))
    return Settling(retry, recorders, _halter(policies), lose, journal)


def _halter(policies: Policies) -> Halter | None:
    if policies.halt is None:
        return None
    from headrace.cli.halt import Halter

    return Halter(policies.halt)


def _recorders(policies: Policies, source: Input, *, shell: bool) -> list[Recorder]:
    """The log last: what it had before is gone once it is opened."""
    recorders: list[Recorder] = []
    if policies.results is not None:
        from headrace.cli.results import ResultFolder

        recorders.append(ResultFolder(policies.results))
    if policies.dead is not None:
        from headrace.cli.dead import DeadFile

        recorders.append(DeadFile(policies.dead, source.separator, source.fd, source.heading))
    if policies.joblog is not None:
        from headrace.cli.joblog import JobLog

        recorders.append(JobLog(policies.joblog, source.fd, shell=shell))
    return recorders
