"""What the tests of consumers share: patience, both queues in turn, and threads that must end or cannot begin."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace.backends.memory import python as twin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

PATIENCE = 30.0  # seconds after which something that must happen has not


def eventually(condition: Callable[[], object]) -> None:
    """Wait for a state that is certain to come."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline, "it did not come"
        sleep(0.001)


def main_thread_sleeps(pid: int) -> bool:
    """Whether another process's main thread is seen to be asleep, and not just about to be; or has ended.

    Python does not notice a signal that comes after it looked for signals and before it went to sleep.
    """

    def state() -> list[str]:
        # Not the memory, which other threads use.
        lines = status.read_text().splitlines()
        return [line for line in lines if line.startswith("State:") or "ctxt_switches" in line]

    status = Path(f"/proc/{pid}/task/{pid}/status")
    try:
        before = state()
        sleep(0.05)
        return "\tZ" in before[0] or ("\tS" in before[0] and before == state())
    except OSError:
        sleep(0.05)
        return True


def all_threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def none_stays(threads: Callable[[], set[threading.Thread]]) -> Any:
    """A fixture for each test of a file: when it is over, all *threads* end that there were not before it."""

    @pytest.fixture(autouse=True)
    def fixture() -> Iterator[None]:
        before = threads()
        yield
        eventually(lambda: threads() <= before)

    return fixture


def with_both_queues(module: ModuleType) -> Any:
    """A fixture for each test of a file: *module* works with the queue of ``headrace``, and then with the twin's."""

    @pytest.fixture(autouse=True, params=[headrace.Queue, twin.Queue], ids=["headrace", "twin"])
    def fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "Queue", request.param)
        if request.param is twin.Queue:
            monkeypatch.setenv("HEADRACE_IMPL", "python")  # for the programs that tests run

    return fixture


def only_two_threads_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the system refuses the third thread, and all that come after it."""
    start, started = threading.Thread.start, []

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)


class Flaky:
    """Fails at the first attempts of some items."""

    def __init__(self, failures: int, every: int = 3) -> None:
        self.failures = failures
        self.every = every
        self.attempts: Counter[int] = Counter()

    def __call__(self, item: int) -> int:
        self.attempts[item] += 1
        if item % self.every == 0 and self.attempts[item] <= self.failures:
            raise ValueError(f"attempt {self.attempts[item]} at {item}")
        return item
