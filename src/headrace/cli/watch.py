"""``--timeout`` for calls: a call that runs over time is given up, for it cannot be ended.

The main thread looks, and takes the item away from its consumer, which is replaced. Whatever the call does or returns
later is ignored.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.cli.item import Item

__all__ = ["CallWatch", "WrittenOff"]


class WrittenOff(Exception):
    """The item of this consumer was taken away from it: it is to end, and to touch nothing."""


class CallWatch:
    """What one consumer is doing, and since when. Made for one that calls functions."""

    def __init__(self) -> None:
        # Guards both below: of the consumer that has done its item and the main thread that gives it up, one is first.
        self._lock = threading.Lock()
        self._item: Item | None = None
        self._since = 0.0

    def begin(self, item: Item) -> None:
        """The consumer begins with *item*."""
        with self._lock:
            self._item = item
            self._since = time.monotonic()

    def end(self) -> None:
        """The consumer has done it. Raises ``WrittenOff`` when that was too late."""
        with self._lock:
            if self._item is None:
                raise WrittenOff
            self._item = None

    def postpone(self, seconds: float) -> None:
        """For so long nothing could be done."""
        with self._lock:
            self._since += seconds

    def seconds_left(self, limit: float) -> float:
        """How long the item that is being done may still take; *limit* when there is none."""
        with self._lock:
            return limit if self._item is None else self._since + limit - time.monotonic()

    def take_away(self, limit: float) -> tuple[Item, float] | None:
        """The item, and how long it was being done, if that is *limit* seconds or more; it is another's from now on."""
        with self._lock:
            item, seconds = self._item, time.monotonic() - self._since
            if item is None or seconds < limit:
                return None
            self._item = None
            return item, seconds
