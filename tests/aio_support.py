"""What the tests of the asynchronous face share: five ways to run a coroutine, and waiting until others wait."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

try:
    import uvloop
except ImportError:  # it has no wheels for Windows
    uvloop = None  # type: ignore[assignment]

__all__ = ["PATIENCE", "RUNNERS", "Loop", "new_loop", "open_descriptors", "starves_nobody", "steps", "until", "waiters"]

PATIENCE = 20.0
"""Seconds after which what should have come to pass is taken to hang."""


def on_asyncio(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


def on_uvloop(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def on_anyio(main: Callable[[], Awaitable[Any]]) -> Any:
    return anyio.run(main)


def on_anyio_with_trio(main: Callable[[], Awaitable[Any]]) -> Any:
    return anyio.run(main, backend="trio")


RUNNERS = {
    "asyncio": on_asyncio,
    **({"uvloop": on_uvloop} if uvloop else {}),
    "trio": trio.run,
    "anyio": on_anyio,
    "anyio+trio": on_anyio_with_trio,
}
"""Each runs a coroutine function without arguments. Within them the primitives of anyio work everywhere."""


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """A loop of asyncio's kind."""
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop() if name == "uvloop" else asyncio.new_event_loop()
    return loop


LOOPS = ["asyncio", *(["uvloop"] if uvloop else [])]


async def until(condition: Callable[[], object], what: str = "it is so") -> None:
    """Let the loop run until *condition()* is true; AssertionError when that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} seconds in vain until {what}"
        await anyio.sleep(0)


async def waiters(queue: Any, getters: int = 0, putters: int = 0) -> None:
    """Let the loop run until so many wait before *queue*, the sync face of a queue."""

    def all_wait() -> bool:
        stats = queue.stats()
        return (stats.getters_blocked, stats.putters_blocked) == (getters, putters)

    await until(all_wait, f"{getters} wait in get and {putters} in put")


def steps(loop: asyncio.AbstractEventLoop, count: int = 1) -> None:
    """Let *loop* run so many turns."""
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


class Loop:
    """An event loop that runs in a thread of its own, for as long as the ``with`` block lasts."""

    def __init__(self, name: str = "asyncio") -> None:
        self.loop = new_loop(name)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            asyncio.set_event_loop(None)

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        async def cancel_all() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        try:
            self.call(cancel_all())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive(), "the loop does not end"
            self.loop.close()

    def start(self, coroutine: Any) -> Any:
        """Begin it there; returns a ``concurrent.futures.Future``."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, coroutine: Any, timeout: float | None = PATIENCE) -> Any:
        """Run it there, and return what it returns."""
        return self.start(coroutine).result(timeout)


def open_descriptors() -> int:
    """How many descriptors this process has open, what only the collector can close aside."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(params=list(RUNNERS))
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a coroutine function: on asyncio, uvloop, trio, and anyio over both."""
    chosen: Callable[..., Any] = RUNNERS[request.param]
    return chosen


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop to be run by hand, which is closed in the end."""
    made = new_loop(request.param)
    yield made
    if not made.is_closed():
        end_tasks(made)
        made.close()


def end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what still runs there."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True)) if tasks else None


async def starves_nobody(once: Callable[[], Awaitable[Any]]) -> None:
    """Calls that never have to wait, made again and again, let others of the loop run."""
    turns = 0
    over = False

    async def other() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        end = time.monotonic() + 2  # far more than it takes
        while turns < 5:
            await once()
            assert time.monotonic() < end, "the loop does nothing else"
        over = True
