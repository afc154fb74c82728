"""An event loop in a thread of its own, for a pool of coroutines that is entered by code without one."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

__all__ = ["LoopThread"]


class LoopThread:
    """Runs a loop until ``close``, and then for as long as tasks of the pool go on.

    What else handlers have started in the loop is cancelled at its end, as ``asyncio.run`` does.

    Args:
        name: of the thread.
        tasks: the pool's tasks in this loop that have not ended.
    """

    def __init__(self, name: str, tasks: set[asyncio.Task[None]]) -> None:
        self._name = name
        self._tasks = tasks
        self._thread: threading.Thread | None = None
        self._has_begun = threading.Event()
        # Of the loop's thread, as is the next. Set before it has begun.
        self._is_to_end: asyncio.Event
        self.loop: asyncio.AbstractEventLoop

    @property
    def ident(self) -> int:
        """The number of the thread, which has been started."""
        assert self._thread is not None
        return self._thread.ident or 0

    def start(self) -> None:
        """Start the loop. Blocks until it runs."""
        # A daemon: what ignores that it was cancelled must not keep the program.
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        self._has_begun.wait()

    def close(self, timeout: float) -> None:
        """End the loop when the pool's tasks have ended, and wait for that for *timeout* seconds at most."""
        if self._thread is None or not self._thread.is_alive():
            return
        with suppress(RuntimeError):  # closed in between
            self.loop.call_soon_threadsafe(self._is_to_end.set)
        self._thread.join(timeout)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self.loop = runner.get_loop()
            self._is_to_end = asyncio.Event()
            self.loop.call_soon(self._has_begun.set)
            runner.run(self._serve())

    async def _serve(self) -> None:
        await self._is_to_end.wait()
        while self._tasks:
            await asyncio.wait(self._tasks)
