"""What a run has done so far, counted and in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headrace.cli.describe import describe_rate

if TYPE_CHECKING:
    from headrace.cli.worker import Worker

__all__ = ["Before", "Tally"]


class Before:
    """Items of the input that have ended in earlier runs. Written by the reader, read by any thread.

    Attributes:
        bytes: how much of the input they are.
    """

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.bytes = 0


class Tally:
    """What the consumers have done so far. May be read at any time, from any thread.

    Attributes:
        word: what it says of items that have not failed, while the run goes on.
        workers: those that count, and those that did. The main thread adds some.
        given_up: items that failed while no consumer had them. Written by the main thread.
        before: what was passed over, for earlier runs have done it.
    """

    word = "done"

    def __init__(self, workers: list[Worker], total_bytes: int | None, before: Before | None = None) -> None:
        self.workers = workers
        self.before = before or Before()
        self.given_up = 0
        self._begun = time.monotonic()
        self.total_bytes = total_bytes

    @property
    def done(self) -> int:
        """Items that succeeded."""
        return sum([worker.done for worker in self.workers])

    @property
    def failed(self) -> int:
        """Items that failed."""
        return sum([worker.failed for worker in self.workers]) + self.given_up

    @property
    def retried(self) -> int:
        """Attempts that failed and were not the last."""
        return sum([worker.retried for worker in self.workers])

    @property
    def handled_bytes(self) -> int:
        """How much of the input those items were."""
        return sum([worker.handled_bytes for worker in self.workers])

    @property
    def seconds(self) -> float:
        """How long it took until now."""
        return time.monotonic() - self._begun

    def summary(self) -> str:
        """All of it in words."""
        seconds, done, failed, retried = self.seconds, self.done, self.failed, self.retried
        words = f"{done:,} done"
        if failed:
            words += f", {failed:,} failed"
        if retried:
            words += f", {retried:,} retried"
        if self.before.done:
            words += f", {self.before.done:,} done before"
        if self.before.failed:
            words += f", {self.before.failed:,} failed before"
        if seconds < 1:
            return f"{words} in {seconds:.2f} s"  # too short for a rate that means anything
        if self.before.done and not done + failed:
            return f"{words} in {seconds:.1f} s"
        return f"{words} in {seconds:.1f} s ({describe_rate((done + failed) / seconds)})"
