"""Who is given which lines of the input under ``headrace run --pipe``, and when another command is started."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NamedTuple

from headrace.cli import status
from headrace.cli.pipe_command import PipeCommand
from headrace.cli.pipe_lines import LineBuffer
from headrace.cli.reader import LONGEST_ITEM_BYTES
from headrace.cli.spawn import RunEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.cli.pipe_command import End
    from headrace.cli.spawn import Children

__all__ = ["DEFAULT_BLOCK", "Dealer", "PipeSettings"]

STDOUT, STDERR = 1, 2
DEFAULT_BLOCK = 256 << 10
READ_BYTES = 256 << 10


class PipeSettings(NamedTuple):
    """What is to be run, on what.

    Attributes:
        input_fd: where the lines are read from.
        separator: what ends them.
        words: of the command, its name first.
        program: its path.
        consumers: how many of it run at the same time, at most.
        block: the most bytes that one is given at a time.
    """

    input_fd: int
    separator: bytes
    words: list[bytes]
    program: bytes
    consumers: int
    block: int = DEFAULT_BLOCK


class Dealer:
    """Reads lines, and deals them out to commands, which it starts. For the main thread.

    Args:
        note: tells the user something.
        when_ended: called in another thread when a command has ended, with how ``Children.wait`` tells it.

    Attributes:
        commands: those that run, or have printed what was not read yet.
        given_bytes: how much of the input was given to commands.
        exit_status: ``FAILED`` once a part of the input was not read or not given to anybody.
    """

    def __init__(
        self,
        settings: PipeSettings,
        children: Children,
        note: Callable[[str], None],
        when_ended: Callable[[PipeCommand, int, str | None], None],
    ) -> None:
        self._settings = settings
        self._children = children
        self._note = note
        self._when_ended = when_ended
        self._lines = LineBuffer(settings.separator)
        self._together = _same_place()
        self._most_commands = settings.consumers
        self._input_has_ended = False
        self.commands: list[PipeCommand] = []
        self.given_bytes = 0
        self.exit_status = status.DONE

    def has_dealt_all(self) -> bool:
        """Whether the input has ended, and all of it was given to somebody."""
        return self._input_has_ended and not self._lines

    def deal(self) -> None:
        """Give lines to those that can take some; start commands while there is nobody who can."""
        while self._lines.has_line():
            takers = [each for each in self.commands if each.can_take and each.is_fed]
            startable = self._most_commands - self._running()
            command = takers[0] if takers else self._start(startable)
            if command is None:
                break
            share = len(self._lines) // max(1, len(takers) + max(0, startable))
            given = self._lines.cut(max(1, min(command.size_to_give(), share)))
            self.given_bytes += len(given)
            command.give(given)
            # The others first, next time.
            self.commands.remove(command)
            self.commands.append(command)
        if self.has_dealt_all():
            for each in self.commands:
                if not each.is_full:
                    each.close_stdin()

    def take_back(self, end: End, *, is_early: bool) -> None:
        """A command has ended: others get what it had not begun to read."""
        self._lines.give_back(end.rest)
        self.given_bytes -= len(end.rest)
        if is_early and not end.lines:
            # Another one would do the same, for ever.
            self._most_commands -= 1

    def _running(self) -> int:
        return sum([not each.has_ended for each in self.commands])

    def _start(self, startable: int) -> PipeCommand | None:
        """One more command, if there may be one; where there is none and may be none, nothing more is dealt."""
        if startable <= 0:
            if self._most_commands == 0 and not self.commands:
                self._give_up("no command is left that reads its input")
            return None
        settings = self._settings
        try:
            command = PipeCommand(
                settings.program,
                settings.words,
                self._children,
                settings.separator,
                settings.block,
                together=self._together,
            )
        except RunEnded:
            return None
        except (OSError, ValueError) as error:
            self._make_do_without(error)
            return None
        self.commands.append(command)
        threading.Thread(target=self._wait_for_end, args=(command,), daemon=True).start()
        return command

    def _make_do_without(self, error: OSError | ValueError) -> None:
        self._most_commands = self._running()
        why = error.strerror if isinstance(error, OSError) else str(error)
        if self._most_commands:
            self._note(f"cannot start more than {self._most_commands} commands: {why} (lower -j)")
        else:
            self._give_up(f"the command was not started: {why}")

    def _wait_for_end(self, command: PipeCommand) -> None:
        self._when_ended(command, *self._children.wait(command.pid))

    def _give_up(self, why: str) -> None:
        self._lines = LineBuffer(self._settings.separator)
        self._stop_reading(f"{why}: the rest of the input was not handled")

    def wants_input(self) -> bool:
        """Whether more is to be read: there is not much left to give."""
        if self._input_has_ended:
            return False
        return len(self._lines) < 2 * self._settings.block or not self._lines.has_line()

    def read_input(self) -> None:
        """Read what there is. Does not wait, if there is something to read."""
        try:
            data = os.read(self._settings.input_fd, READ_BYTES)
        except BlockingIOError:
            return  # someone else reads from the same pipe and was faster
        except OSError as error:
            self._stop_reading(f"cannot read the input to its end: {error.strerror}")
            return
        if not data:
            self._lines.end()
            self._input_has_ended = True
            return
        self._lines.add(data)
        if len(self._lines) > LONGEST_ITEM_BYTES and not self._lines.has_line():
            self._lines = LineBuffer(self._settings.separator)
            why = f"a line does not end within {LONGEST_ITEM_BYTES:,} bytes"
            self._stop_reading(f"cannot read the input to its end: {why}")

    def _stop_reading(self, why: str) -> None:
        self._note(why)
        self.exit_status = status.FAILED
        self._input_has_ended = True


def _same_place() -> bool:
    """Whether what commands print goes to the same place as what they complain."""
    try:
        return os.path.sameopenfile(STDOUT, STDERR)
    except OSError:
        return False
