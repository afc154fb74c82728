"""One step of a consumer of ``headrace run COMMAND``: start the command for an item, wait, print what it printed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from headrace.cli import status
from headrace.cli.capture import Capture
from headrace.cli.delivery import write_whole
from headrace.cli.describe import describe_exit, describe_failure, describe_over_time
from headrace.cli.outcome import Outcome
from headrace.cli.output import OutputLost
from headrace.cli.programs import find_program
from headrace.cli.refusal import Refused
from headrace.cli.spawn import OVER_TIME, RunEnded, outlived

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.cli.delivery import Delivery, Piece
    from headrace.cli.item import Item
    from headrace.cli.output import Output
    from headrace.cli.placeholder import Template
    from headrace.cli.spawn import Children
    from headrace.cli.worker import Handler

__all__ = ["CommandStep"]


class CommandStep:
    """Run a command for each item.

    Args:
        template: the command's words.
        program: its path; None where it depends on the item.
        apart: standard output and standard error are captured apart even where they go to the same place.
        feeds: a command finds its item on its standard input.
    """

    is_done_by_commands = True

    def __init__(self, template: Template, program: bytes | None, *, apart: bool = False, feeds: bool = False) -> None:
        self._template = template
        self._program = program
        self._apart = apart
        self._feeds = feeds

    def begin(self, consumers: int, children: Children, output: Output, delivery: Delivery) -> list[Handler]:
        """A runner for each consumer.

        Raises:
            Refused: there cannot be so many.
        """
        try:
            return [
                CommandRunner(self._template, self._program, children, output, delivery, self._capture())
                for _ in range(consumers)
            ]
        except OSError as error:
            raise Refused(
                f"-j {consumers}: {error.strerror}: each consumer keeps what its command prints in two files "
                "(fewer consumers, or a higher ulimit -n, or TMPDIR elsewhere)"
            ) from error

    def _capture(self) -> Capture:
        return Capture(apart=self._apart, feeds=self._feeds)

    def write_rest(self, output: Output, delivery: Delivery) -> None:
        """Write what is held until its turn, though that has not come. Raises ``OutputLost``."""
        if delivery.order is not None:
            delivery.order.write_rest(lambda pieces, note: write_whole(output, pieces, note))

    def flush(self, output: Output) -> None:
        """Nothing is gathered. Raises ``OutputLost`` where nothing can be written."""
        if output.error is not None:
            raise OutputLost

    def end(self) -> None:
        """Nothing is held."""


class CommandRunner:
    """Runs the command for one item after the other. Each consumer has one of its own."""

    def __init__(
        self,
        template: Template,
        program: bytes | None,
        children: Children,
        output: Output,
        delivery: Delivery,
        capture: Capture,
    ) -> None:
        self._template = template
        self._program = program
        self._children = children
        self._output = output
        self._delivery = delivery
        self._capture = capture
        # The last command, when something that it has started may still write to its output.
        self._left_behind: int | None = None

    def attempt(self, item: Item) -> Outcome:
        """Run the command for *item* to its end. What it printed is kept.

        Raises:
            RunEnded: the run is being ended, and so was the command.
        """
        begun, since = time.time(), time.perf_counter()
        words: list[bytes] = []
        try:
            words = self._template.fill(item)
            if self._capture.feeds:
                self._capture.feed(item.line + b"\n")
            pid = self._children.start(self._program or _program_of(words), words, self._capture)
        except (OSError, ValueError, Refused) as error:
            return Outcome(_why_not_started(error), _status_of(error), begun, 0.0, words)
        code, why_ended = self._children.wait(pid)
        if code and self._children.is_ending():
            raise RunEnded
        self._left_behind = pid
        seconds = time.perf_counter() - since
        if why_ended is OVER_TIME:
            over = describe_over_time(self._children.seconds_each)
            return Outcome(over, code, begun, seconds, words, over_time=True)
        failure = why_ended or (describe_exit(code) if code else None)
        return Outcome(failure, code, begun, seconds, words)

    def deliver(self, item: Item, outcome: Outcome) -> None:
        """Write what the command printed and how it failed, now or in its turn. Raises ``OutputLost``."""
        failure = outcome.failure
        pieces: Iterable[Piece] = () if self._capture.is_empty() else self._capture.pieces()
        if pieces or failure is not None or not self._delivery.is_plain:
            note = None if failure is None else describe_failure(item, failure)
            self._delivery.deliver(item, pieces, note, self._write)

    def _write(self, pieces: Iterable[Piece], note: str | None) -> None:
        write_whole(self._output, pieces, note)

    def pieces(self) -> Iterator[Piece]:
        """What the command printed."""
        return self._capture.pieces()

    def stdout_bytes(self) -> int:
        """How much it printed to standard output."""
        return self._capture.stdout_bytes()

    def drop(self) -> None:
        """Forget what the command printed."""
        if not self._capture.is_empty():
            self._capture.clear()
        if self._left_behind is not None:
            if outlived(self._left_behind):
                self._capture.abandon()
            self._left_behind = None

    def finish(self) -> None:
        """Nothing is kept back."""


def _program_of(words: list[bytes]) -> bytes:
    return find_program(os.fsdecode(words[0]), suggest=False)


def _status_of(error: Exception) -> int:
    """The exit status that a shell would have had."""
    if isinstance(error, Refused):
        return error.exit_status
    return status.NOT_FOUND if isinstance(error, FileNotFoundError) else status.NOT_EXECUTABLE


def _why_not_started(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"not started: {error.strerror}"
    if isinstance(error, Refused):
        return error.message
    return "not started: there is a NUL byte in it, which no argument can have (is the input separated by them? -0)"
