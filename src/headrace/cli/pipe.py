"""``headrace run --pipe``: long-lived commands that are fed lines, each as fast as it takes them.

All of it happens in the main thread, which waits for whatever comes first: input, room in the pipe of a command,
output of one, a signal. Only what may have to be waited for alone has a thread: writing, and each command's end.

A command's pipe is kept no larger than what is put into it at once, so that room in it means that the command has
taken that. What it gets next is as much as it takes in some milliseconds. So little is lost by serving many with one
thread, and little waits at a slow command while others have nothing to do.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from headrace.cli import status
from headrace.cli.describe import describe_exit, describe_item
from headrace.cli.ending import LOOK_SECONDS, Ending
from headrace.cli.pipe_command import OutputStream, PipeCommand
from headrace.cli.pipe_lines import LineBuffer
from headrace.cli.pipe_output import PipeWriter
from headrace.cli.reader import LONGEST_ITEM_BYTES
from headrace.cli.signals import ENDED, OUTPUT_LOST, suspend_this_process
from headrace.cli.spawn import RunEnded
from headrace.cli.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.cli.output import Output
    from headrace.cli.progress import Progress
    from headrace.cli.signals import Events
    from headrace.cli.spawn import Children

__all__ = ["DEFAULT_BLOCK", "PipeRun", "PipeSettings"]

STDOUT, STDERR = 1, 2
DEFAULT_BLOCK = 256 << 10
READ_BYTES = 256 << 10
# A line of output that is longer than this is passed on as it comes, while the others' output waits.
MOST_UNENDED_BYTES = 1 << 20
ROOM = 210
"""Event: there is room again for output to be written."""


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


class PipeTally(Tally):
    """How far a run has come, in lines. What a running command was given counts as done until it fails."""

    def __init__(self, run: PipeRun, total_bytes: int | None) -> None:
        super().__init__([], total_bytes)
        self._run = run

    @property
    def done(self) -> int:
        """Lines that commands were given which did not fail."""
        return self._run.done + sum([each.lines for each in self._run.commands if not each.has_ended])

    @property
    def failed(self) -> int:
        """Lines that commands had read which failed."""
        return self._run.failed

    @property
    def handled_bytes(self) -> int:
        """How much of the input was given to commands."""
        return self._run.given_bytes


class PipeRun:
    """Feeds commands until the input ends, or the run is ended early. Only the main thread may use it.

    Attributes:
        commands: those that run, or have printed what was not read yet.
        done, failed: how many lines those had read that have ended.
        given_bytes: how much of the input was given to commands.
    """

    def __init__(self, settings: PipeSettings, children: Children, events: Events, output: Output) -> None:
        self._settings = settings
        self._children = children
        self._events = events
        self._output = output
        self._lines = LineBuffer(settings.separator)
        self._writer = PipeWriter(output, settings.separator, lambda: events.post(ROOM))
        self._together = _same_place()
        self.commands: list[PipeCommand] = []
        # Who is in the middle of a long line of output: only that one's output is read.
        self._in_long_line: PipeCommand | None = None
        # Commands that have ended: put by the threads that wait for them.
        self._ends: deque[tuple[PipeCommand, int, str | None]] = deque()
        self._most_commands = settings.consumers
        self._input_has_ended = False
        self._ending: Ending | None = None
        self._poll = select.poll()
        self._polled: dict[int, int] = {}
        self.done = 0
        self.failed = 0
        self.given_bytes = 0
        self._early_ends = 0
        self._exit_status = status.DONE
        self.tally: Tally = PipeTally(self, _size(settings.input_fd))

    def run(self, progress: Progress) -> int:
        """Run it to its end, and return the exit status."""
        try:
            self._feed()
            while not self._is_over():
                self._wait(progress)
                self._finish_commands()
                if self._ending is not None:
                    self._ending.go_on()
                progress.tick()
                self._feed()
        except BaseException:
            # A mistake of ours. Nothing may go on running behind the traceback.
            self._end(signal.SIGTERM, status.FAILED)
            raise
        if self._ending is not None:
            return self._ending.status
        if self._early_ends:
            self._output.say(_describe_early_ends(self._early_ends))
        return status.FAILED if self.failed else self._exit_status

    def _is_over(self) -> bool:
        if self._ending is not None:
            return self._ending.is_over() or not (self._children.any_left() or self._writer_may_go_on())
        if self._input_has_ended and not self._lines and not self.commands:
            self._writer.close()
            return self._writer.is_done
        return False

    def _writer_may_go_on(self) -> bool:
        self._writer.close()
        return self._output.error is None and not self._writer.is_done

    # What commands are given.

    def _feed(self) -> None:
        """Give lines to those that can take some; start commands while there is nobody who can."""
        while self._ending is None and self._lines.has_line():
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
        if self._input_has_ended and not self._lines:
            for each in self.commands:
                if not each.is_full:
                    each.close_stdin()

    def _running(self) -> int:
        return sum([not each.has_ended for each in self.commands])

    def _start(self, startable: int) -> PipeCommand | None:
        """One more command, if there may be one; without any, the run is over."""
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
            self._most_commands = self._running()
            why = error.strerror if isinstance(error, OSError) else str(error)
            if self._most_commands:
                self._writer.note(f"cannot start more than {self._most_commands} commands: {why} (lower -j)")
            else:
                self._give_up(f"the command was not started: {why}")
            return None
        self.commands.append(command)
        threading.Thread(target=self._wait_for_end, args=(command,), daemon=True).start()
        return command

    def _wait_for_end(self, command: PipeCommand) -> None:
        code, why = self._children.wait(command.pid)
        self._ends.append((command, code, why))
        self._events.post(ENDED)

    def _give_up(self, why: str) -> None:
        self._writer.note(f"{why}: the rest of the input was not handled")
        self._exit_status = status.FAILED
        self._input_has_ended = True
        self._lines = LineBuffer(self._settings.separator)

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
        if self._wants_input():
            wanted[self._settings.input_fd] = (select.POLLIN, self._read_input)
        no_output = self._writer.is_full()
        for command in self.commands:
            if command.is_fed and self._ending is None and (command.is_full or not command.can_take):
                wanted[command.stdin] = (select.POLLOUT, command.when_writable)
            if not no_output and self._in_long_line in (None, command):
                for stream in command.streams:
                    if stream.is_open:
                        wanted[stream.fd] = (select.POLLIN, _reading(self._read_output, command, stream))
        return wanted

    def _wants_input(self) -> bool:
        if self._input_has_ended or self._ending is not None:
            return False
        return len(self._lines) < 2 * self._settings.block or not self._lines.has_line()

    def _read_input(self) -> None:
        try:
            data = os.read(self._settings.input_fd, READ_BYTES)
        except BlockingIOError:
            return  # someone else reads from the same pipe and was faster
        except OSError as error:
            self._fail_input(error.strerror or str(error))
            return
        if data:
            self._lines.add(data)
            if len(self._lines) > LONGEST_ITEM_BYTES and not self._lines.has_line():
                self._lines = LineBuffer(self._settings.separator)
                self._fail_input(f"a line does not end within {LONGEST_ITEM_BYTES:,} bytes")
        else:
            self._lines.end()
            self._input_has_ended = True

    def _fail_input(self, why: str) -> None:
        self._writer.note(f"cannot read the input to its end: {why}")
        self._exit_status = status.FAILED
        self._input_has_ended = True

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
        self._input_has_ended = True
        self._ending = Ending(self._children, signal_number, exit_status)

    # What commands print.

    def _read_output(self, command: PipeCommand, stream: OutputStream) -> bool:
        """Pass on what there is of whole lines. Returns whether there may be more at once."""
        data = stream.read()
        if data is None:
            return False
        if self._ending is not None:
            return True
        unended = stream.unended
        unended += data
        end = stream.end_of_lines(self._settings.separator) if data else len(unended)
        if end:
            stream.is_in_long_line = False
        elif stream.is_in_long_line or len(unended) > MOST_UNENDED_BYTES:
            stream.is_in_long_line = bool(data)
            end = len(unended)
        if end:
            self._writer.add(command, stream.target, bytes(unended[:end]))
            del unended[:end]
        if any(each.is_in_long_line for each in command.streams):
            self._in_long_line = command
        elif self._in_long_line is command:
            self._in_long_line = None
        return bool(data)

    # Commands that have ended.

    def _finish_commands(self) -> None:
        while self._ends:
            self._account_for(*self._ends.popleft())
        for command in [each for each in self.commands if each.has_ended]:
            if self._in_long_line not in (None, command):
                continue
            for stream in command.streams:
                # What it has printed was in the pipe when it ended. Who else has the pipe open is not waited for.
                while stream.is_open and not self._writer.is_full():
                    if not self._read_output(command, stream):
                        stream.close()
                        self._read_rest(command, stream)
            if not any(stream.is_open for stream in command.streams):
                self.commands.remove(command)

    def _read_rest(self, command: PipeCommand, stream: OutputStream) -> None:
        if stream.unended and self._ending is None:
            self._writer.add(command, stream.target, bytes(stream.unended))
            stream.unended.clear()
        stream.is_in_long_line = False
        if self._in_long_line is command and not any(each.is_in_long_line for each in command.streams):
            self._in_long_line = None

    def _account_for(self, command: PipeCommand, code: int, why: str | None) -> None:
        """Count what the command has done, and give what it has not read to others."""
        is_early = command.is_fed
        end = command.end()
        if self._ending is not None:
            return
        self._lines.give_back(end.rest)
        self.given_bytes -= len(end.rest)
        is_early = is_early or bool(end.rest)
        if code:
            self.failed += end.lines
            self._exit_status = status.FAILED
            self._writer.note(_describe_failure(why or describe_exit(code), end.lines, end.last_line))
        else:
            self.done += end.lines
            self._early_ends += is_early and end.lines > 0
        if is_early and not end.lines:
            # Another one would do the same, for ever.
            self._most_commands -= 1


def _reading(
    read: Callable[[PipeCommand, OutputStream], object], command: PipeCommand, stream: OutputStream
) -> Callable[[], object]:
    return lambda: read(command, stream)


def _describe_failure(how: str, lines: int, last_line: bytes) -> str:
    if not lines:
        return f"a command failed: {how}; it had read nothing"
    count = "1 line," if lines == 1 else f"{lines:,} lines, the last one"
    return f"a command failed: {how}; it had read {count} {describe_item(last_line)}"


def _describe_early_ends(count: int) -> str:
    who = "a command" if count == 1 else f"{count:,} commands"
    return f"{who} ended with exit status 0 before the input did: what was read counts as done, others got the rest"


def _same_place() -> bool:
    try:
        return os.path.sameopenfile(STDOUT, STDERR)
    except OSError:
        return False


def _size(fd: int) -> int | None:
    from headrace.cli.reader import Reader

    reader = Reader(fd)
    try:
        return reader.size_bytes()
    finally:
        reader.close()
