"""What the commands of ``headrace run --pipe`` print, passed on line by line as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.cli.pipe_command import OutputStream, PipeCommand
    from headrace.cli.pipe_output import PipeWriter

__all__ = ["Printing"]

# A line that is longer than this is passed on as it comes, while the others' output waits.
MOST_UNENDED_BYTES = 1 << 20


class Printing:
    """Reads what commands print, and gives whole lines of it to a writer. For the main thread.

    Attributes:
        is_dropped: what is read is not written: the run is being ended.
    """

    def __init__(self, writer: PipeWriter, separator: bytes) -> None:
        self._writer = writer
        self._separator = separator
        # Who is in the middle of a long line: only that one's output is read. Both outputs of it are, or it could
        # wait for the one while the other is waited for here.
        self._in_long_line: PipeCommand | None = None
        self.is_dropped = False

    def may_read(self, command: PipeCommand) -> bool:
        """Whether it is the turn of *command*, and there is room for what it prints."""
        return self._has_turn(command) and not self._writer.is_full()

    def _has_turn(self, command: PipeCommand) -> bool:
        return self._in_long_line in (None, command)

    def read(self, command: PipeCommand, stream: OutputStream) -> bool:
        """Pass on what there is of whole lines. Returns whether there may be more at once."""
        if not self._has_turn(command):
            return False  # another one has begun a long line since this one was found to have its turn
        data = stream.read()
        if data is None:
            return False
        if self.is_dropped:
            return True
        unended = stream.unended
        unended += data
        end = stream.end_of_lines(self._separator) if data else len(unended)
        if end:
            stream.is_in_long_line = False
        elif stream.is_in_long_line or len(unended) > MOST_UNENDED_BYTES:
            stream.is_in_long_line = bool(data)
            end = len(unended)
        self._pass_on(command, stream, end)
        return bool(data)

    def finish(self, command: PipeCommand) -> bool:
        """Read what *command* had printed when it ended, as far as there is room. Returns whether that was all."""
        for stream in command.streams:
            # It is all in the pipe. Who else has the pipe open is not waited for.
            while stream.is_open and self.may_read(command):
                if not self.read(command, stream):
                    stream.close()
                    stream.is_in_long_line = False
                    self._pass_on(command, stream, len(stream.unended))
        return not any(stream.is_open for stream in command.streams)

    def _pass_on(self, command: PipeCommand, stream: OutputStream, end: int) -> None:
        """Write the first *end* bytes of what was read, and note whose turn it is."""
        if end and not self.is_dropped:
            self._writer.add(command, stream.target, bytes(stream.unended[:end]))
            del stream.unended[:end]
        if any(each.is_in_long_line for each in command.streams):
            self._in_long_line = command
        elif self._in_long_line is command:
            self._in_long_line = None
