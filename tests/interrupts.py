"""Ctrl-C where nobody expects it: at each line of some modules in turn, and at a random moment of a program."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from consumer_support import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


class Interrupt:
    """A tracer that raises KeyboardInterrupt at the n-th line of *modules* that the traced thread executes."""

    def __init__(self, at: int, *modules: ModuleType) -> None:
        self.left = at
        self.files = [module.__file__ for module in modules]

    def __call__(self, frame: Any, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in self.files:
            return None
        # What a finalizer raises goes nowhere: an object of an earlier run may be collected here.
        if "__del__" in (frame.f_code.co_name, frame.f_back.f_code.co_name):
            return None
        if event == "line":
            self.left -= 1
            if not self.left:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


def at_each_line(attempt: Callable[[int], bool]) -> int:
    """Call *attempt* with 1, 2, 3 and so on, until it returns that there was no such line; return that number."""
    at = 1
    # In threads of their own: a tracer that raises inside an except clause makes the interpreter believe that
    # the exception is still being handled.
    with ThreadPoolExecutor(1) as pool:
        while pool.submit(attempt, at).result():
            at += 1
    return at


def interrupted_at_each_line(
    run: Callable[[Iterator[int]], object], *modules: ModuleType, fails: bool, threads: Callable[[], object]
) -> int:
    """Let *run* work off a generator, with Ctrl-C at each line of *modules* in turn; return the first one not reached.

    However a run ends, *threads* must come to be none, and a generator that was begun must be closed. A run ends with
    ValueError only if it *fails*.
    """

    def attempt(at: int) -> bool:
        begun, closed = [], []

        def source() -> Iterator[int]:
            begun.append(1)
            try:
                yield from range(8)
            finally:
                closed.append(1)

        sys.settrace(Interrupt(at, *modules))
        try:
            run(source())
        except KeyboardInterrupt:
            return True
        except ValueError:
            assert fails
        finally:
            sys.settrace(None)
            eventually(lambda: not threads())
            assert closed == begun
        return False

    return at_each_line(attempt)


def interrupted_at_a_random_moment(program: str) -> str:
    """Run *program*, interrupt it soon after it said ``busy``, and return what else it printed.

    It must end soon, of SIGINT, and show one traceback.
    """
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "busy\n"
        sleep(random.random() / 20)
        sent = monotonic()
        child.send_signal(signal.SIGINT)
        try:
            output, errors = child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
    assert child.returncode == -signal.SIGINT, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1, errors
    assert monotonic() - sent < 5  # one second on a machine that has nothing else to do
    return output
