"""What is told to a coroutine that waits for the end of a pool, by whichever thread."""

from __future__ import annotations

from contextlib import suppress

from headrace.backends.memory import SimpleQueue
from headrace.errors import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

__all__ = ["LoopNews"]


class LoopNews(SimpleQueue[str]):
    """News for one coroutine of a loop. ``put`` is safe in any thread, and in a signal handler."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        # What that coroutine sleeps on. Of the loop's thread.
        self._sleeper: asyncio.Future[None] | None = None
        # Whether its time is over.
        self._is_late = False

    def put(self, item: str, block: bool = True, timeout: float | None = None) -> None:
        """Tell it."""
        super().put(item)
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._rouse)

    async def hear(self, timeout: float | None) -> str:
        """Wait for news. Raises Empty when there is none within *timeout* seconds."""
        self._is_late = False
        alarm = None if timeout is None else self._loop.call_later(timeout, self._expire)
        try:
            while True:
                try:
                    return self.get_nowait()
                except Empty:
                    if self._is_late:
                        raise
                self._sleeper = self._loop.create_future()
                await self._sleeper
        finally:
            self._sleeper = None
            if alarm is not None:
                alarm.cancel()

    def _expire(self) -> None:
        self._is_late = True
        self._rouse()

    def _rouse(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)
