"""What ``headrace run`` is told about failures, pace, output and records: the options, and their values together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headrace.cli.halt import HALT, HaltRule
from headrace.cli.option_groups import option
from headrace.cli.quantities import COUNT, DURATION, RATE, Duration

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NO_POLICIES", "Policies", "policy_options"]


class Policies(NamedTuple):
    """The values of the options below, by their names."""

    retries: int = 1
    backoff: float | None = None
    timeout: float | None = None
    halt: HaltRule | None = None
    dead: str | None = None
    rate: float | None = None
    delay: float | None = None
    keep_order: bool = False
    tag: bool = False
    joblog: str | None = None
    results: str | None = None


NO_POLICIES = Policies()

_OPTIONS = (
    option(
        "Failures",
        "--retries",
        type=COUNT,
        default=1,
        metavar="N",
        help="Try an item up to N times in all (as GNU parallel counts) before it has failed. [default: 1]",
    ),
    option(
        "Failures",
        "--backoff",
        type=Duration(zero=True),
        metavar="S",
        help="Wait S seconds before the second attempt, twice as long before each further one, up to 5 minutes, and "
        "by chance up to half of that less. Other items go on. [default: 1]",
    ),
    option(
        "Failures",
        "--timeout",
        type=DURATION,
        metavar="S",
        help="An item that takes longer than S seconds has failed, and its command is ended: SIGTERM, a second later "
        "SIGKILL. 200ms, 5m, 2h are understood too.",
    ),
    option(
        "Failures",
        "--halt",
        type=HALT,
        metavar="WHEN,WHY=N[%]",
        help="Stop early. WHEN: now ends the running commands, soon waits for them. WHY: fail, success or done. "
        "[default: never]",
    ),
    option(
        "Failures",
        "--dead",
        type=click.Path(),
        metavar="FILE",
        help="Append the items that failed to FILE, as they stood in the input: --input FILE tries them again.",
    ),
    option("Pace", "--rate", type=RATE, metavar="N/s", help="Start at most N items a second, or N/m, N/h, N/d."),
    option("Pace", "--delay", type=DURATION, metavar="S", help="Let S seconds pass between the start of two items."),
    option("Output", "-k", "--keep-order", is_flag=True, help="Write the output in the order of the input."),
    option("Output", "--tag", is_flag=True, help="Begin each line of the output with its item and a tab."),
    option(
        "Records",
        "--joblog",
        type=click.Path(),
        metavar="FILE",
        help="Write a line for each item that ended to FILE, in the columns of GNU parallel.",
    ),
    option(
        "Records",
        "--results",
        type=click.Path(),
        metavar="DIR",
        help="Keep the output of each item too, in DIR/<number of the item>: stdout, stderr, item, status.",
    ),
)


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options of all policies."""
    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command
