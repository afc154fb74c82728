"""How a run is ended early: ever more firmly, and within a second."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.cli.spawn import Children

__all__ = ["Ending"]

# Seconds from the first signal. SIGINT first, for that is what Ctrl-C would have sent the commands and some tidy up on
# it; then SIGTERM, because shells start their background commands with SIGINT ignored; then there is no choice left.
TERMINATE_AFTER = 0.25
KILL_AFTER = 0.5
GIVE_UP_AFTER = 0.7

LOOK_SECONDS = 0.01


class Ending:
    """Sends the running commands *first_signal* when it is made, and then what ``go_on`` finds to be due.

    Args:
        status: the exit status of the run.
    """

    def __init__(self, children: Children, first_signal: int, status: int) -> None:
        self.status = status
        self._children = children
        begun = time.monotonic()
        self._due = [(begun + TERMINATE_AFTER, signal.SIGTERM), (begun + KILL_AFTER, signal.SIGKILL)]
        self._give_up_at = begun + GIVE_UP_AFTER
        children.end(first_signal)

    def hurry(self) -> None:
        """Kill at once what still runs: the second Ctrl-C."""
        self._due.clear()
        self._children.end(signal.SIGKILL)

    def go_on(self) -> None:
        """Send what is due by now."""
        while self._due and time.monotonic() >= self._due[0][0]:
            self._children.end(self._due.pop(0)[1])

    def is_over(self) -> bool:
        """Whether waiting any longer makes no sense: what still runs is a call that cannot be ended."""
        # Never before the last signal was sent, however late this process had its turn.
        return not self._due and time.monotonic() >= self._give_up_at
