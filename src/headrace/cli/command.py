"""One step of a consumer of ``headrace run COMMAND``: start the command for an item, wait, print what it printed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headrace.cli.capture import Capture
from headrace.cli.describe import describe_exit, describe_item
from headrace.cli.programs import find_program
from headrace.cli.refusal import Refused
from headrace.cli.spawn import RunEnded, outlived

if TYPE_CHECKING:
    from headrace.cli.crew import Handler
    from headrace.cli.item import Item
    from headrace.cli.output import Output
    from headrace.cli.placeholder import Template
    from headrace.cli.spawn import Children

__all__ = ["CommandStep"]


class CommandStep:
    """Run a command for each item.

    Args:
        template: the command's words.
        program: its path; None where it depends on the item.
    """

    is_done_by_commands = True

    def __init__(self, template: Template, program: bytes | None) -> None:
        self._template = template
        self._program = program

    def begin(self, consumers: int, children: Children, output: Output) -> list[Handler]:
        """A runner for each consumer.

        Raises:
            Refused: there cannot be so many.
        """
        try:
            return [CommandRunner(self._template, self._program, children, output) for _ in range(consumers)]
        except OSError as error:
            raise Refused(
                f"-j {consumers}: {error.strerror}: each consumer keeps what its command prints in two files "
                "(fewer consumers, or a higher ulimit -n, or TMPDIR elsewhere)"
            ) from error

    def end(self) -> None:
        """Nothing is held."""


class CommandRunner:
    """Runs the command for one item after the other. Each consumer has one of its own."""

    def __init__(self, template: Template, program: bytes | None, children: Children, output: Output) -> None:
        self._template = template
        self._program = program
        self._children = children
        self._output = output
        self._capture = Capture()

    def handle(self, item: Item) -> bool:
        """Run the command for *item* to its end; True if it succeeded. Failures are reported here.

        Raises:
            RunEnded: the run is being ended, and so was the command.
            OutputLost: what it printed cannot be written.
        """
        try:
            words = self._template.fill(item)
            pid = self._children.start(self._program or _program_of(words), words, self._capture)
        except (OSError, ValueError, Refused) as error:
            self._write(item, _why_not_started(error))
            return False
        code, wanted_terminal = self._children.wait(pid)
        if code and self._children.is_ending():
            raise RunEnded
        failure = describe_exit(code) if code else None
        if wanted_terminal:
            failure = "it asked for the terminal, which the commands do not have"
        self._write(item, failure)
        if outlived(pid):
            self._capture.abandon()
        return failure is None

    def _write(self, item: Item, failure: str | None) -> None:
        """Write what the command printed and how it failed, without anything else in between."""
        empty = self._capture.is_empty()
        if empty and failure is None:
            return
        with self._output.turn():
            self._capture.copy_to(self._output)
            if failure is not None:
                self._output.note(f"item {describe_item(item.line)} failed: {failure}")
        if not empty:
            self._capture.clear()

    def finish(self) -> None:
        """Nothing is kept back."""


def _program_of(words: list[bytes]) -> bytes:
    return find_program(os.fsdecode(words[0]), suggest=False)


def _why_not_started(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"not started: {error.strerror}"
    if isinstance(error, Refused):
        return error.message
    return "not started: there is a NUL byte in it, which no argument can have (is the input separated by them? -0)"
