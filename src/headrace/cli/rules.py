"""What holds for all items of a run, and beyond the plain run: each is None where nothing was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from headrace.cli.deadlines import CommandDeadlines
    from headrace.cli.journal import Journal
    from headrace.cli.order import Order
    from headrace.cli.pace import Pace
    from headrace.cli.settling import Settling

__all__ = ["NO_RULES", "Rules"]


class Rules(NamedTuple):
    """The rules.

    Attributes:
        pace: how soon after one item the next may be started.
        order: who sees to it that output is written in the order of the input.
        settling: what becomes of an item when an attempt at it has ended.
        deadlines: when each running command has to have ended.
        call_seconds: how long a call may take.
        journal: who writes down in a queue file how items ended.
    """

    pace: Pace | None = None
    order: Order | None = None
    settling: Settling | None = None
    deadlines: CommandDeadlines | None = None
    call_seconds: float | None = None
    journal: Journal | None = None

    def stop(self) -> None:
        """Let no item be started any more, and nobody wait for its time to come."""
        for each in (self.settling, self.pace, self.order):
            if each is not None:
                each.stop()


NO_RULES = Rules()
