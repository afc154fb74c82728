"""``headrace run --pipe``: long-lived commands that are fed lines, each as fast as it takes them.

All of it happens in the main thread, which waits for whatever comes first: input, room in the pipe of a command,
output of one, a signal. Only what may have to be waited for alone has a thread: writing, and each command's end.

A command's pipe is kept no larger than what is put into it at once, so that room in it means that the command has
taken that. What it gets next is as much as it takes in some milliseconds. So little is lost by serving many with one
thread, and little waits at a slow command while others have nothing to do.
"""

from __future__ import annotations

import errno
import select
import signal
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from headrace.cli import status
from headrace.cli.describe import describe_exit, describe_item
from headrace.cli.ending import LOOK_SECONDS, Ending
from headrace.cli.pipe_dealing import Dealer
from headrace.cli.pipe_output import PipeWriter
from headrace.cli.pipe_printing import Printing
from headrace.cli.signals import ENDED, OUTPUT_LOST, suspend_this_process
from headrace.cli.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.cli.output import Output
    from headrace.cli.pipe_command import PipeCommand
    from headrace.cli.pipe_dealing import PipeSettings
    from headrace.cli.progress import Progress
    from headrace.cli.signals import Events
    from headrace.cli.spawn import Children

__all__ = ["PipeRun"]

ROOM = 210
"""Event: there is room again for output to be written."""


class PipeTally(Tally):
    """How far a run has come, in lines. What a running command was given is on its way, and nobody knows how far."""

    word = "fed"

    def __init__(self, run: PipeRun, dealer: Dealer, total_bytes: int | None) -> None:
        super().__init__([], total_bytes)
        self._run = run
        self._dealer = dealer

    @property
    def done(self) -> int:
        """Lines that commands were given which did not fail. While none runs any more, they had read them."""
        return self._run.done + sum([each.lines for each in self._dealer.commands if not each.has_ended])

    @property
    def failed(self) -> int:
        """Lines that commands had read which failed."""
        return self._run.failed

    @property
    def handled_bytes(self) -> int:
        """How much of the input was given to commands."""
        return self._dealer.given_bytes

    def summary(self) -> str:
        """All of it in words; what was read by commands that were ended is told apart, for it may be done or not."""
        read = self._run.cut_short
        if not read:
            return super().summary()
        return f"{super().summary()}; commands that were ended had read {read:,} line{'s' if read > 1 else ''}"


class PipeRun:
    """Feeds commands until the input ends, or the run is ended early. Only the main thread may use it.

    Args:
        total_bytes: how large the input is; None where that is not known.

    Attributes:
        done, failed: how many lines those commands had read that have ended.
        cut_short: how many those had read that were ended with the run.
    """

    def __init__(
        self, settings: PipeSettings, total_bytes: int | None, children: Children, events: Events, output: Output
    ) -> None:
        self._input_fd = settings.input_fd
        self._children = children
        self._events = events
        self._output = output
        self._writer = PipeWriter(output, settings.separator, lambda: events.post(ROOM))
        self._printing = Printing(self._writer, settings.separator)
        self._dealer = Dealer(settings, children, self._writer.note, self._note_end)
        # Commands that have ended and how: put by the threads that wait for them.
        self._ends: deque[tuple[PipeCommand, int, str | None]] = deque()
        self._ending: Ending | None = None
        self._poll = select.poll()
        self._polled: dict[int, int] = {}
        self._early_ends = 0
        self._a_command_failed = False
        self.done = 0
        self.failed = 0
        self.cut_short = 0
        self.tally: Tally = PipeTally(self, self._dealer, total_bytes)

    def run(self, progress: Progress) -> int:
        """Run it to its end, and return the exit status."""
        try:
            self._dealer.deal()
            while not self._is_over():
                self._wait(progress)
                self._finish_commands()
                if self._ending is None:
                    self._dealer.deal()
                else:
                    self._ending.go_on()
                progress.tick()
        except BaseException:
            # A mistake of ours. Nothing may go on running behind the traceback.
            self._end(signal.SIGTERM, status.FAILED)
            raise
        if self._ending is not None:
            # Those too that were killed and of whose end we were not told yet.
            self.cut_short += sum([each.end().lines for each in self._dealer.commands if not each.has_ended])
            return self._ending.status
        if self._early_ends:
            self._output.say(_describe_early_ends(self._early_ends))
        return status.FAILED if self._a_command_failed else self._dealer.exit_status

    def _is_over(self) -> bool:
        if self._ending is not None:
            return self._ending.is_over() or not (self._children.any_left() or self._may_write_on())
        return self._dealer.has_dealt_all() and not self._dealer.commands and not self._may_write_on()

    def _may_write_on(self) -> bool:
        """Whether the last of the output is not written yet. There is no more to come."""
        self._writer.close()
        return not self._writer.is_done

    # What is waited for.

    def _wait(self, progress: Progress) -> None:
        """Wait until there is something to do, and do it."""
        wanted = self._wanted()
        for fd in self._polled.keys() - wanted.keys():
            self._poll.unregister(fd)
        for fd, (mask, _) in wanted.items():
            if self._polled.get(fd) != mask:
                self._poll.register(fd, mask)
        self._polled = {fd: mask for fd, (mask, _) in wanted.items()}
        seconds = progress.seconds_to_wait if self._ending is None else LOOK_SECONDS
        for fd, _ in self._poll.poll(None if seconds is None else seconds * 1000):
            wanted[fd][1]()

    def _wanted(self) -> dict[int, tuple[int, Callable[[], object]]]:
        """Which files are waited for, for what, and what is done then."""
        wanted: dict[int, tuple[int, Callable[[], object]]] = {
            self._events.fileno(): (select.POLLIN, self._react_to_events)
        }
        is_dealing = self._ending is None
        if is_dealing and self._dealer.wants_input():
            wanted[self._input_fd] = (select.POLLIN, self._dealer.read_input)
        for command in self._dealer.commands:
            if is_dealing and command.is_fed and (command.is_full or not command.can_take):
                wanted[command.stdin] = (select.POLLOUT, command.when_writable)
            if self._printing.may_read(command):
                for stream in command.streams:
                    if stream.is_open:
                        wanted[stream.fd] = (select.POLLIN, partial(self._printing.read, command, stream))
        return wanted

    def _react_to_events(self) -> None:
        for event in self._events.wait(0):
            if event == signal.SIGTSTP:
                self._output.draw(b"")
                self._children.suspend_while(suspend_this_process)
            elif event not in (ENDED, ROOM):
                self._react_to_end(event)

    def _react_to_end(self, event: int) -> None:
        if self._ending is not None:
            self._ending.hurry()
        elif event == OUTPUT_LOST:
            error = self._output.error
            lost = error is not None and error.errno != errno.EPIPE
            self._end(signal.SIGTERM, status.FAILED if lost else status.BROKEN_PIPE)
        else:
            self._end(event, status.by_signal(event))

    def _end(self, signal_number: int, exit_status: int) -> None:
        self._printing.is_dropped = True
        self._ending = Ending(self._children, signal_number, exit_status)

    # Commands that have ended.

    def _note_end(self, command: PipeCommand, code: int, why: str | None) -> None:
        """*command* has ended. Called in the thread that has waited for it."""
        self._ends.append((command, code, why))
        self._events.post(ENDED)

    def _finish_commands(self) -> None:
        while self._ends:
            self._account_for(*self._ends.popleft())
        for command in [each for each in self._dealer.commands if each.has_ended]:
            if self._printing.finish(command):
                self._dealer.commands.remove(command)

    def _account_for(self, command: PipeCommand, code: int, why: str | None) -> None:
        """Count what *command* has done; what it has not read is for others."""
        is_early = command.is_fed
        end = command.end()
        if self._ending is not None:
            self.cut_short += end.lines
            return
        is_early = is_early or bool(end.rest)
        self._dealer.take_back(end, is_early=is_early)
        if code:
            self.failed += end.lines
            self._a_command_failed = True
            self._writer.note(_describe_failure(why or describe_exit(code), end.lines, end.last_line))
        else:
            self.done += end.lines
            self._early_ends += is_early and end.lines > 0


def _describe_failure(how: str, lines: int, last_line: bytes) -> str:
    if not lines:
        return f"a command failed: {how}; it had read nothing"
    count = "1 line," if lines == 1 else f"{lines:,} lines, the last one"
    return f"a command failed: {how}; it had read {count} {describe_item(last_line)}"


def _describe_early_ends(count: int) -> str:
    who = "a command" if count == 1 else f"{count:,} commands"
    return f"{who} ended with exit status 0 before the input did: what was read counts as done, others got the rest"
