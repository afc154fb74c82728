"""Both implementations under the same tests, and children of this process for what could end or hang it."""

from __future__ import annotations

import faulthandler
import importlib
import inspect
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

pytest.register_assert_rewrite("headrace.testing", "consumer_support", "interrupts")

import headrace  # noqa: E402
from file_support import folder_in_memory  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMPLEMENTATIONS = {"c": "headrace.backends.memory._core", "python": "headrace.backends.memory.python"}
UNDER_SANITIZER = bool(os.environ.get("HEADRACE_SANITIZER"))


def scaled(size: int) -> int:
    """*size*, or a tenth of it under a sanitizer, where everything is slow."""
    return max(1, size // 10) if UNDER_SANITIZER else size


def load(name: str) -> SimpleNamespace:
    """The queue types of one implementation with the errors they raise, like the module ``queue``.

    A C core that is not built is a failure, never a silent skip: set HEADRACE_ALLOW_NO_C=1 to test the twin alone.
    """
    try:
        module = importlib.import_module(IMPLEMENTATIONS[name])
    except ModuleNotFoundError:
        if name == "c" and os.environ.get("HEADRACE_ALLOW_NO_C") == "1":
            pytest.skip("the C core is not built, and HEADRACE_ALLOW_NO_C=1 allows that")
        raise
    return SimpleNamespace(
        name=name,
        Queue=module.Queue,
        LifoQueue=module.LifoQueue,
        PriorityQueue=module.PriorityQueue,
        SimpleQueue=module.SimpleQueue,
        Empty=headrace.Empty,
        Full=headrace.Full,
        ShutDown=headrace.ShutDown,
    )


@pytest.fixture(params=list(IMPLEMENTATIONS))
def implementation(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The C core and its Python twin, one after the other."""
    return load(request.param)


@pytest.fixture(params=["Queue", "LifoQueue", "PriorityQueue"])
def make(request: pytest.FixtureRequest, implementation: SimpleNamespace) -> Callable[..., Any]:
    """The three bounded queues of both implementations."""
    made: Callable[..., Any] = getattr(implementation, request.param)
    return made


class Child:
    """Runs scenarios in a Python process of their own, where a crash or a deadlock is a failed test and no more."""

    def __init__(self, implementation: str) -> None:
        self._implementation = implementation

    def run(
        self, scenario: Callable[..., None], *arguments: Any, seconds: float = 60, options: tuple[str, ...] = ()
    ) -> str:
        """Run the source of *scenario* with *arguments* there; return what it printed.

        Fails with everything that the process wrote unless it ends with status 0 within *seconds*. The scenario
        stands alone: it imports what it needs, and `import headrace` gives it the implementation under test.
        """
        seconds = seconds * 5 if UNDER_SANITIZER else seconds
        done = self.start(scenario, *arguments, seconds=seconds, options=options)
        if done.returncode != 0:
            pytest.fail(f"{scenario.__name__} ended with status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def start(
        self, scenario: Callable[..., None], *arguments: Any, seconds: float, options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """The same without judging how it ended."""
        source = "\n".join(
            [
                "from __future__ import annotations",
                "import faulthandler",
                f"faulthandler.dump_traceback_later({seconds}, exit=True)",
                textwrap.dedent(inspect.getsource(scenario)),
                f"{scenario.__name__}(*{arguments!r})",
            ]
        )
        # The scenarios may import the helpers that lie beside the tests.
        path = [os.path.dirname(__file__), *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", *options, "-c", source],
            env={**os.environ, "HEADRACE_IMPL": self._implementation, "PYTHONPATH": os.pathsep.join(path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=seconds + 30)
        except subprocess.TimeoutExpired:
            end_session(process)
            out, err = process.communicate()
            err += f"\nit had to be killed after {seconds + 30} seconds"
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def end_session(process: subprocess.Popen[str]) -> None:
    """Kill a child with all that it has forked."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


@pytest.fixture
def child(implementation: SimpleNamespace) -> Child:
    """A child process that uses the implementation under test."""
    return Child(implementation.name)


def pytest_configure() -> None:
    """A deadlock that holds the interpreter's lock is beyond pytest: SIGABRT from outside then shows where."""
    faulthandler.enable()
    # Tests sync files by the thousand, and a sync takes 50 ms and more on some disks.
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 2**30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.fixture
def path_in_memory() -> Iterator[str]:
    """Where a queue file may be made for a test that opens it, or puts into it, thousands of times."""
    with tempfile.TemporaryDirectory(prefix="headrace-", dir=folder_in_memory()) as folder:
        yield os.path.join(folder, "jobs.db")


@pytest.fixture
def checked_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The test is in a folder of its own; afterwards the counters of jobs.db there must be those of a recount."""
    from headrace.backends.sqlite.checking import check

    monkeypatch.chdir(tmp_path)
    yield tmp_path
    path = tmp_path / "jobs.db"
    if path.exists() and path.read_bytes()[:6] == b"SQLite":
        assert check(str(path)) == []
