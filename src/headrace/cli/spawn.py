"""The commands that are running: started, waited for, and ended together when the run ends early.

Each command is the leader of a process group of its own, so that it can be ended together with what it
started, and so that Ctrl-C and Ctrl-Z in a terminal reach headrace alone, which passes them on.
"""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from headrace.cli.deadlines import CommandDeadlines

    class Files(Protocol):
        """The standard files of a command, as ``posix_spawn`` takes them."""

        file_actions: list[tuple[int, int, int]]


__all__ = ["OVER_TIME", "WANTED_TERMINAL", "Children", "RunEnded", "outlived", "signal_group"]

WANTED_TERMINAL = "it asked for the terminal, which the commands do not have"
OVER_TIME = "over time"

# Python ignores these two signals in itself, and what is ignored stays so in children.
RESTORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
SHELL = b"/bin/sh"
TERMINAL_STOPS = (signal.SIGTTIN, signal.SIGTTOU)


class RunEnded(Exception):
    """The run is being ended: no command is started any more, and what the running ones give is dropped."""


class Children:
    """Starts commands and knows those that run. Its methods may be called from any thread."""

    def __init__(self, deadlines: CommandDeadlines | None = None) -> None:
        self._deadlines = deadlines
        # Held while a command is started: one that runs is always listed here, so that none escapes an end().
        # posix_spawn holds the GIL for as long, so on the default build the lock makes nobody wait.
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._ending: set[int] | None = None
        # None is the environment as it is. Before Python 3.13 it must be given, and is converted for every command.
        self._environment: Any = None if sys.version_info >= (3, 13) else dict(os.environb)

    def start(self, program: bytes, words: list[bytes], files: Files) -> int:
        """Start *program* with *words* (the name first), its standard files being *files*. Returns its process id.

        Raises:
            RunEnded: the run is being ended.
            OSError: the program cannot be started.
            ValueError: a word has a NUL byte in it.
        """
        with self._lock:
            if self._ending is not None:
                raise RunEnded
            pid = self._spawn(program, words, files)
            self._running.add(pid)
        if self._deadlines is not None:
            self._deadlines.begin(pid)
        return pid

    def _spawn(self, program: bytes, words: list[bytes], files: Files) -> int:
        try:
            return os.posix_spawn(
                program,
                words,
                self._environment,
                file_actions=files.file_actions,
                setpgroup=0,
                setsigmask=(),
                setsigdef=RESTORED_SIGNALS,
            )
        except OSError as error:
            if error.errno != errno.ENOEXEC or program == SHELL:
                raise
            # A script that does not say what runs it: the shell does, as with every execvp.
            return self._spawn(SHELL, [SHELL, program, *words[1:]], files)

    def wait(self, pid: int) -> tuple[int, str | None]:
        """Wait until command *pid* has ended.

        Returns:
            Its exit status, or minus the number of the signal that killed it; and why we ended it, if we did:
            ``WANTED_TERMINAL``, for it had stopped to ask for the terminal, which no command gets, or ``OVER_TIME``.
        """
        why = None
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            # Stopped otherwise (by kill -STOP, say) it is left alone until someone continues it.
            if os.WSTOPSIG(status) in TERMINAL_STOPS:
                why = WANTED_TERMINAL
                signal_group(pid, signal.SIGKILL)
        with self._lock:
            self._running.discard(pid)
        if self._deadlines is not None and self._deadlines.end(pid):
            why = OVER_TIME
        return os.waitstatus_to_exitcode(status), why

    def end(self, signal_number: int) -> None:
        """Start no more commands and send *signal_number* to the running ones, and to what they have started."""
        with self._lock:
            if self._ending is None:
                self._ending = set(self._running)
            groups = set(self._ending)
        for group in groups:
            signal_group(group, signal_number)
            # A stopped process would handle the signal only when it is continued.
            signal_group(group, signal.SIGCONT)

    @property
    def seconds_each(self) -> float:
        """How long a command may run."""
        return math.inf if self._deadlines is None else self._deadlines.seconds

    def is_ending(self) -> bool:
        """Whether ``end`` was called."""
        return self._ending is not None

    def any_left(self) -> bool:
        """After ``end``: whether some command, or something that one has started, still runs."""
        with self._lock:
            if self._ending is None:
                return bool(self._running)
            self._ending = self._running | {group for group in self._ending - self._running if _lives(group)}
            return bool(self._ending)

    def suspend_while(self, suspended: Callable[[], None]) -> None:
        """Stop the running commands, call *suspended* (which stops this process too), then continue them."""
        with self._lock:
            groups = set(self._running)
            for group in groups:
                signal_group(group, signal.SIGTSTP)
            suspended()
            for group in groups:
                signal_group(group, signal.SIGCONT)


def signal_group(group: int, signal_number: int) -> None:
    """Send *signal_number* to a command and all that it has started, as far as they still run."""
    try:
        os.killpg(group, signal_number)
    except (ProcessLookupError, PermissionError):
        # It has ended, or is another user's by now (sudo), which only that user can end.
        pass


def outlived(group: int) -> bool:
    """Whether something that the command *group* had started may still run, now that the command has ended."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _lives(group: int) -> bool:
    """Whether a process of *group* still runs."""
    return outlived(group) and not _has_only_dead_members(group)


def _has_only_dead_members(group: int) -> bool:
    """Whether all of *group* have ended and wait for process 1 to notice, which in containers may take for ever."""
    try:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return False
    return not any(_group_if_alive(process) == group for process in processes)


def _group_if_alive(process: str) -> int | None:
    """The group of a process, or None when it has ended."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # The name of the program, in parentheses, may have spaces and parentheses in it.
            state, _, group = file.read().rpartition(b")")[2].split()[:3]
    except OSError:
        return None
    return None if state in b"ZX" else int(group)
