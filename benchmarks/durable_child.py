"""Child processes that are told to begin, and say in JSON what they measured."""

from __future__ import annotations

import faulthandler
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from benchmarks.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Child", "children", "told_to_begin"]

GIVE_UP_AFTER = 300.0  # seconds


class Child:
    """``python ARGUMENTS`` in the checkout: says that it is ready, is told to begin, and ends with a line of JSON."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait_until_ready(self) -> None:
        """Blocks until the child has prepared itself."""
        line = self._stream(self._process.stdout).readline()
        if line.strip() != "ready":
            raise RuntimeError(f"a child said {line!r}, and not that it is ready")

    def begin(self) -> None:
        """Lets the child begin."""
        stdin = self._stream(self._process.stdin)
        stdin.write("\n")
        stdin.flush()

    def result(self) -> Any:
        """What the child measured; blocks until it has ended."""
        output, _ = self._process.communicate(timeout=2 * GIVE_UP_AFTER)
        if self._process.returncode:
            raise RuntimeError(f"a child failed: it ended with {self._process.returncode}")
        return json.loads(output)

    def end(self) -> None:
        """Whatever it is doing."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None  # both are pipes
        return stream


@contextmanager
def children(*commands: tuple[str, ...]) -> Iterator[list[Child]]:
    """All of them started and ready; none is left at the end."""
    started: list[Child] = []
    try:
        started.extend(Child(*command) for command in commands)
        for child in started:
            child.wait_until_ready()
        yield started
    finally:
        for child in started:
            child.end()


def told_to_begin() -> None:
    """In the child: says that it is ready and blocks until it is told. One that hangs later tells where, and ends."""
    faulthandler.dump_traceback_later(GIVE_UP_AFTER, exit=True)
    print("ready", flush=True)
    sys.stdin.readline()
