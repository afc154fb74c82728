"""Turns of an event loop: consumers that never have to wait let it run all the same."""

from __future__ import annotations

import asyncio
from time import monotonic

__all__ = ["Turns"]

# Seconds for which all consumers of a pool together may go on without a wait.
TURN = 0.002


class Turns:
    """Says when the consumers of a pool have kept their loop for long enough, all of them together.

    A consumer that always finds an item, and whose handler never waits, would keep its loop for ever. When a turn is
    over each of them ends its item, and waits until the loop has done what else it had to do.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # On the monotonic clock.
        self._end = monotonic() + TURN
        self._is_renewing = False

    def is_over(self) -> bool:
        """Whether the next item is to wait."""
        return monotonic() >= self._end

    async def next(self) -> None:
        """Let the loop run."""
        if not self._is_renewing:
            self._is_renewing = True
            self._loop.call_soon(self._renew)  # which stands before all that waits here
        await asyncio.sleep(0)

    def _renew(self) -> None:
        self._is_renewing = False
        self._end = monotonic() + TURN
