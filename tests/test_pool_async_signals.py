"""A pool of coroutines that is interrupted: no item is lost, and the program ends as with a pool of threads."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

import headrace
from aio_support import LOOPS
from conftest import IMPLEMENTATIONS
from headrace import ConsumerPool
from test_pool_async import ignore, run
from test_pool_signals import STATUSES
from test_pool_signals import Program as ProgramWithPool

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no such signals")

PROGRAM = """
import asyncio, os, signal, sys, threading, time
import headrace

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

queue = headrace.Queue()
inside, done = [], []

def released():
    return bool(signs)

signs = []

def wait_for_release():
    if os.read(0, 1):  # not the end of the input
        signs.append(1)

threading.Thread(target=wait_for_release, daemon=True).start()

async def handle(item):
    inside.append(item)
    while item < 3 and not released():
        await asyncio.sleep(0.001)
    done.append(item)

def make_pool(**more):
    return headrace.ConsumerPool(queue, handle, 3, "async", grace=1000, name="Pool", **more)

def left():
    say("left", len(done), queue.qsize(), queue.unfinished_tasks)

async def in_loop():
    try:
        async with make_pool():
            await queue.aio.put_many(range(20))
            while len(inside) < 3:
                await asyncio.sleep(0.001)
            say("busy")
            BLOCK_LOOP
    finally:
        left()
    say("after")

def in_thread():
    try:
        with make_pool():
            queue.put_many(range(20))
            while len(inside) < 3:
                time.sleep(0.001)
            say("busy")
            BLOCK_THREAD
    finally:
        left()
    say("after")

RUN
"""

WAYS = {
    "asyncio.run": "asyncio.run(in_loop())",
    "in a task": """
async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(in_loop())

asyncio.run(main())
""",
    "nested": """
async def main():
    async with headrace.ConsumerPool(headrace.Queue(), handle, 2, 'async'):
        await in_loop()

asyncio.run(main())
""",
    "no runner": "asyncio.new_event_loop().run_until_complete(in_loop())",
    "with": "in_thread()",
    **({"uvloop": "import uvloop; uvloop.run(in_loop())"} if "uvloop" in LOOPS else {}),
}


def program(way: str, *, leaves: bool = False, options: str = "") -> list[str]:
    """What to give to Python. The signal comes in the block of the pool, or while it is being left."""
    text = PROGRAM.replace("BLOCK_LOOP", "pass" if leaves else "await asyncio.sleep(1000)")
    text = text.replace("BLOCK_THREAD", "pass" if leaves else "time.sleep(1000)")
    return ["-c", text.replace("RUN", WAYS[way]).replace("make_pool()", f"make_pool({options})")]


# The implementation, how the pool is run, and whether the signal comes while it is being left.
CASES: list[tuple[str, str, bool]] = [
    *(("c", way, False) for way in WAYS),
    *((name, way, True) for name in IMPLEMENTATIONS for way in ("asyncio.run", "with")),
    *(("python", way, False) for way in ("asyncio.run", "with")),
]


class Program(ProgramWithPool):
    """A program that works with a pool of coroutines."""

    def __init__(self, implementation: str, way: str, **options: Any) -> None:
        super().__init__(implementation, *program(way, **options))
        self.is_in_loop = way != "with"

    def __enter__(self) -> Program:
        return self

    def send(self, number: int) -> None:
        """Send a signal. A loop in the main thread is seldom asleep for long, and notices it at any time."""
        if self.is_in_loop:
            self.process.send_signal(number)
        else:
            super().send(number)

    def wait_until_stopped(self) -> None:
        """Wait until it says that it is being stopped, and why it does not end."""
        assert self.process.stderr is not None
        line = ""
        while "is being stopped and waits for 3 handlers" not in line:
            line = self.process.stderr.readline()
            assert line


@pytest.mark.parametrize(("number", "status"), STATUSES)
@pytest.mark.parametrize(("implementation", "way", "leaves"), CASES)
def test_the_first_signal_lets_running_handlers_end_and_gives_back_the_rest(
    implementation: str, number: signal.Signals, status: int, way: str, leaves: bool
) -> None:
    with Program(implementation, way, leaves=leaves) as running:
        running.wait_until("busy")
        running.send(number)
        running.release()
        ended, errors = running.end()
    assert ended == status, errors
    assert "after" not in running.said
    assert running.left() == [3, 17, 17]
    assert "was destroyed" not in errors
    # asyncio itself complains of a task group that SystemExit goes through.
    assert not errors or errors.rstrip().endswith("KeyboardInterrupt") or way == "in a task"


@pytest.mark.parametrize(("number", "status"), STATUSES)
@pytest.mark.parametrize(("implementation", "way"), [case[:2] for case in CASES if not case[2]])
def test_the_second_signal_does_not_wait_for_handlers(
    implementation: str, number: signal.Signals, status: int, way: str
) -> None:
    with Program(implementation, way) as running:
        running.wait_until("busy")
        running.send(number)
        running.wait_until_stopped()
        running.send(number)
        ended, errors = running.end()
    assert ended == status, errors
    assert "after" not in running.said
    assert running.left() == [0, 20, 20]
    assert "was destroyed" not in errors


def test_a_program_that_wants_no_signals_taken_keeps_those_of_its_loop() -> None:
    with Program("c", "asyncio.run", options="signals=False") as running:
        running.wait_until("busy")
        running.send(signal.SIGINT)
        running.wait_until_stopped()
        running.release()
        ended, errors = running.end()
    assert ended == -signal.SIGINT, errors
    assert running.left() == [3, 17, 17]


def test_signal_handlers_are_put_back() -> None:
    async def main() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        async with ConsumerPool(headrace.Queue(), ignore, kind="async"):
            within = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
            assert not set(within) & set(before)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    run(main)
