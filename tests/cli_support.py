"""The command line as its users have it: a process, its output, its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADRACE = [sys.executable, "-m", "headrace"]
PATIENCE = 30.0
"""Seconds after which a test that waits for something gives up. Nothing is right because it took less."""

MARK = "HEADRACE_TEST_MARK"

measures_memory = pytest.mark.skipif(
    bool(os.environ.get("HEADRACE_SANITIZER")),
    reason="a sanitizer takes memory of its own, and address space without end",
)


def headrace(
    *arguments: str | bytes | Path, stdin: bytes | None = b"", **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run headrace to its end, with *stdin* as its input, and capture its output."""
    options.setdefault("capture_output", True)
    return subprocess.run([*HEADRACE, *arguments], input=stdin, timeout=PATIENCE * 2, check=False, **options)


def lines(output: bytes) -> list[bytes]:
    """The lines of *output*, sorted: consumers end in any order."""
    assert not output or output.endswith(b"\n")
    return sorted(output.split(b"\n")[:-1])


def eventually(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait until *condition* returns something true, and return that."""
    give_up_at = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"this never came true: {what or condition}"
        time.sleep(0.005)
    return found


class Run:
    """A headrace that is running.

    Attributes:
        mark: is in the environment of it and of everything that it starts.
    """

    def __init__(self, arguments: tuple[str | bytes | Path, ...], options: dict[str, Any]) -> None:
        self.mark = uuid.uuid4().hex
        options.setdefault("stdin", subprocess.PIPE)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options["env"] = {**options.get("env", os.environ), MARK: self.mark}
        self.process = subprocess.Popen([*HEADRACE, *arguments], **options)

    def echoes(self, *lines: bytes) -> None:
        """Give it *lines* one at a time, each when it has printed the one before it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        for line in lines:
            self.process.stdin.write(line)
            self.process.stdin.flush()
            assert self.process.stdout.readline() == line

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, bytes, bytes]:
        """Wait for its end: status, the rest of its output, of its standard error."""
        out, error = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out or b"", error or b""

    def family(self) -> list[int]:
        """The processes that it has started, and those that they have started, as far as they still run."""
        return [pid for pid in marked(self.mark) if pid != self.process.pid]


@contextmanager
def running(*arguments: str | bytes | Path, **options: Any) -> Iterator[Run]:
    """A headrace that is running, and is killed with all that it started when the block ends."""
    run = Run(arguments, options)
    try:
        yield run
    finally:
        for pid in marked(run.mark):
            kill(pid)
        run.process.kill()
        for file in (run.process.stdin, run.process.stdout, run.process.stderr):
            if file is not None and not file.closed:
                try:
                    file.close()
                except BrokenPipeError:
                    pass
        run.process.wait()


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def marked(mark: str) -> list[int]:
    """The processes with *mark* in their environment. What has ended and waits for its parent has none."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in environment:
                found.append(int(entry.name))
    return found


def state(pid: int) -> str:
    """The state of a process: ``T`` for a stopped one; empty for one that has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
