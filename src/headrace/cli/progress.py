"""How far a run has come: a line at the bottom of a terminal, or lines of plain text, or nothing."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from headrace.cli.describe import describe_rate

if TYPE_CHECKING:
    from headrace.cli.output import Output
    from headrace.cli.tally import Tally

__all__ = ["NoProgress", "PlainProgress", "Progress", "TerminalProgress"]

RATE_SECONDS = 5.0
DRAW_SECONDS = 0.1
# What is over sooner than this shows nothing.
FIRST_DRAW_SECONDS = 0.5
PLAIN_SECONDS = 5.0


class Progress(Protocol):
    """What the main thread does about progress while it waits."""

    @property
    def seconds_to_wait(self) -> float | None:
        """How long it may wait until the next ``tick``; None for as long as it likes."""
        ...

    def tick(self) -> None:
        """Show how far the run has come, if it is time to."""
        ...

    def finish(self) -> bool:
        """Show nothing any more. Returns whether anything was shown."""
        ...


class NoProgress:
    """Shows nothing."""

    seconds_to_wait = None

    def tick(self) -> None:
        """Nothing."""

    def finish(self) -> bool:
        """Nothing was shown."""
        return False


class Reading(NamedTuple):
    """How far a run has come.

    Attributes:
        rate: items a second, over the last seconds.
        fraction: how much of the input is handled, from 0 to 1; None when its size is not known.
        seconds_left: None when that cannot be told.
        word: what is said of what counts as done.
        before: how many were passed over, for earlier runs have ended them.
    """

    done: int
    failed: int
    retried: int
    seconds: float
    rate: float
    fraction: float | None
    seconds_left: float | None
    word: str = "done"
    before: int = 0

    def words(self) -> list[str]:
        """The reading in words, for any kind of display."""
        words = [f"{self.done:,} {self.word}", describe_rate(self.rate)]
        if self.failed:
            words.append(f"{self.failed:,} failed")
        if self.retried:
            words.append(f"{self.retried:,} retried")
        if self.before:
            words.append(f"{self.before:,} before")
        if self.fraction is not None:
            words.append(f"{self.fraction:.0%}")
        if self.seconds_left is not None:
            words.append(f"{clock(self.seconds_left)} left")
        return words


class Meter:
    """Reads a tally, and remembers enough of it to tell the rate."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        # Seconds since the beginning, and what was handled then.
        self._samples: deque[tuple[float, int]] = deque([(0.0, 0)])

    def read(self) -> Reading:
        """How far it is now."""
        seconds = self._tally.seconds
        done, failed = self._tally.done, self._tally.failed
        self._samples.append((seconds, done + failed))
        while len(self._samples) > 2 and self._samples[1][0] < seconds - RATE_SECONDS:
            self._samples.popleft()
        since, handled_before = self._samples[0]
        rate = (done + failed - handled_before) / max(seconds - since, 1e-6)
        tally = self._tally
        before = tally.before.done + tally.before.failed
        return Reading(done, failed, tally.retried, seconds, rate, *self._expect(seconds), tally.word, before)

    def _expect(self, seconds: float) -> tuple[float | None, float | None]:
        total = self._tally.total_bytes
        if not total:
            return None, None
        handled, before = self._tally.handled_bytes, self._tally.before.bytes
        # The last item has no separator perhaps. What was passed over took no time.
        left = max(0, total - handled - before)
        return min(1.0, (handled + before) / total), left * seconds / handled if handled else None


def clock(seconds: float) -> str:
    """``0:07``, ``12:34`` or ``1:02:03``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class PlainProgress:
    """Lines on standard error, one every few seconds and one at the end."""

    seconds_to_wait = PLAIN_SECONDS

    def __init__(self, tally: Tally, output: Output) -> None:
        self._meter = Meter(tally)
        self._output = output
        self._next = time.monotonic() + PLAIN_SECONDS

    def tick(self) -> None:
        """Say how far it is, if the last time was long enough ago."""
        if time.monotonic() >= self._next:
            self._next += PLAIN_SECONDS
            self._output.say(", ".join(self._meter.read().words()), wait=0)

    def finish(self) -> bool:
        """A run that asked for progress gets its summary."""
        return True


class TerminalProgress:
    """A line at the bottom of the terminal on standard error, which gives way to whatever is written."""

    seconds_to_wait = DRAW_SECONDS

    def __init__(self, tally: Tally, output: Output) -> None:
        self._meter = Meter(tally)
        self._output = output
        self._next = time.monotonic() + FIRST_DRAW_SECONDS
        self._was_drawn = False

    def tick(self) -> None:
        """Draw the line anew, if the last time was long enough ago."""
        if time.monotonic() < self._next:
            return
        from headrace.cli.progress_line import render  # with rich, which takes its time

        self._output.draw(render(self._meter.read()))
        self._was_drawn = True
        self._next = time.monotonic() + DRAW_SECONDS

    def finish(self) -> bool:
        """Take the line off."""
        self._output.draw(b"")
        return self._was_drawn


def is_drawable_terminal(fd: int) -> bool:
    """Whether a line can be drawn anew there: a terminal, and not one that calls itself dumb."""
    return os.isatty(fd) and os.environ.get("TERM", "dumb") != "dumb"
