"""``headrace work``: the items of a queue in a file, taken by as many workers as there are."""

from __future__ import annotations

import json
import time
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

from headrace.cli.describe import encode
from headrace.cli.item import Item
from headrace.cli.journal import Journal
from headrace.cli.reader import InputError
from headrace.errors import HeadraceError, TakingStopped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.backends.sqlite.queue import FileQueue
    from headrace.backends.sqlite.statements import Claimed

__all__ = ["ValueItem", "WorkFeed", "WorkJournal", "item_of"]

# Items are claimed ahead of the consumers for so long as they take in this time, as far as is known, and no further:
# others could be at work on them.
AHEAD_SECONDS = 0.05
MOST_AHEAD = 1000


class ValueItem(Item):
    """An item that was put by anybody.

    Attributes:
        value: what was put.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any, line: bytes, number: int, fields: Mapping[str, Any] | None) -> None:
        super().__init__(line, number, fields)
        self.value = value


def item_of(value: Any, number: int) -> ValueItem:
    """*value* as an item: text and bytes as they are, anything else as JSON; the members of a dictionary by name."""
    if isinstance(value, str):
        return ValueItem(value, encode(value), number, None)
    if isinstance(value, bytes):
        return ValueItem(value, value, number, None)
    line = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    # No dictionary has no names, and says so when it is asked for one.
    return ValueItem(value, encode(line), number, cast("dict[str, Any]", value) if isinstance(value, dict) else None)


class WorkJournal(Journal):
    """The journal of a worker. Claiming an item counted as a delivery."""

    def __init__(self, queue: FileQueue[Any], url: str) -> None:
        super().__init__(queue, url, deliveries=1)


class WorkFeed:
    """Claims items when there are consumers for them. It is what a run is fed, and the source of its items.

    Args:
        until_empty: end when nothing waits, is delayed, or is held by anybody.
        max_items: end after so many; None for never.
    """

    fd = -1
    separator = b"\n"
    heading = b""

    def __init__(self, journal: WorkJournal, consumers: int, *, until_empty: bool, max_items: int | None) -> None:
        self._journal = journal
        self._holding = journal.holding
        self._consumers = consumers
        self._until_empty = until_empty
        self._most = max_items
        # Something is put in here when nothing is to be claimed any more.
        self._stop: list[str] = []
        self._number = 0
        self._looked_at = time.monotonic()
        self._ended_then = 0
        self._ahead = 0

    @property
    def source(self) -> WorkFeed:
        """Itself."""
        return self

    def size_bytes(self) -> None:
        """Nobody knows."""
        return

    def stop(self) -> None:
        """End the iteration, at once. May be called from any thread, and again."""
        self._stop_for("told to")

    def _stop_for(self, why: str) -> None:
        self._stop.append(why)
        self._holding.interrupt()
        with self._journal.room:
            self._journal.room.notify_all()

    def blocks(self) -> Iterator[list[Item]]:
        """The items, as many at a time as there are consumers for. Waits for them. Raises ``InputError``."""
        if self._until_empty:
            Thread(target=self._wait_until_empty, name="Until empty", daemon=True).start()
        try:
            while self._most is None or self._number < self._most:
                items = self._claim(self._demand())
                if items:
                    yield items
        except TakingStopped:
            pass
        except HeadraceError as error:
            raise InputError(str(error)) from error
        finally:
            if "told to" in self._stop:
                self._journal.give_back_what_was_not_begun()

    def _wait_until_empty(self) -> None:
        try:
            self._holding.join()
        except HeadraceError:
            pass  # whoever claims finds it too
        self._stop_for("empty")

    def _demand(self) -> int:
        """How many items to claim: at least one, and that is waited for. Raises ``TakingStopped``."""
        journal = self._journal
        with journal.room:
            # Few at a time where items are quick: a transaction for each would cost as much as they do.
            least = max(1, self._ahead // 2)
            journal.room.wait_for(lambda: self._stop or self._free() >= least)
            if self._stop:
                raise TakingStopped
            self._adapt(journal.ended)
            free = max(1, self._free())
        return free if self._most is None else min(free, self._most - self._number)

    def _free(self) -> int:
        return self._consumers + self._ahead - self._journal.at_work()

    def _adapt(self, ended: int) -> None:
        """Say how far ahead of the consumers to claim."""
        now = time.monotonic()
        passed = now - self._looked_at
        if passed < AHEAD_SECONDS:
            return
        self._ahead = min(MOST_AHEAD, int((ended - self._ended_then) * AHEAD_SECONDS / passed))
        self._looked_at, self._ended_then = now, ended

    def _claim(self, count: int) -> list[Item]:
        """Up to *count* items. Waits for the first. Raises ``TakingStopped``."""
        rows: list[Claimed] = []
        try:
            self._holding.claim(count, self._stop, rows)
        finally:
            # Also of a claim that was stopped in the last moment: they are given back with the others.
            first = self._number + 1
            self._journal.hold([(first + place, row[2], row[10]) for place, row in enumerate(rows)])
            self._number += len(rows)
        items: list[Item] = []
        for place, row in enumerate(rows):
            delivery = self._holding.delivery(row)
            if delivery is None:  # it cannot be decoded, and is dead
                self._journal.forget(first + place)
            else:
                items.append(item_of(delivery.item, first + place))
        return items
