"""One run of a ``Pipeline`` that is awaited: its coroutines run on the loop of the caller."""

from __future__ import annotations

import asyncio
from time import monotonic

from headrace.backends.memory import Queue
from headrace.consumers.arguments import SHUT_DOWN
from headrace.consumers.async_source import close, iterate_asynchronously
from headrace.consumers.failure import note, note_earlier, raise_all
from headrace.consumers.pipeline_run import Run
from headrace.consumers.run import GRACE
from headrace.errors import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any

    from headrace.consumers.pipeline_run import Stage

__all__ = ["AsyncRun"]


class AsyncRun(Run):
    """One run of a pipeline. All methods but those of ``Run`` are for the task that awaits ``athrough``."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        super().__init__(stages)
        # One item for each consumer that has ended.
        self._ends: Queue[None] = Queue()
        # How many were begun whose end has not been heard of.
        self._at_work = 0
        self._begun_threads: list[threading.Thread] = []
        self._tasks: list[asyncio.Task[None]] = []

    def _loop_thread(self) -> None:
        """There is none: the loop is the caller's."""

    def leave(self) -> None:
        """A consumer has ended. Called by itself."""
        self._ends.put(None)

    async def athrough(self, source: Any) -> None:
        """Hand all items of *source* to the consumers, wait for their end, and raise what went wrong."""
        items = iterate_asynchronously(source)
        feeder = asyncio.create_task(self._feed_all(items), name="Pipeline source")
        try:
            self._begin_all()
            await self._wait_for_all()
            await self._end_feeder(feeder)
        except GeneratorExit:  # dropped, as its loop is: nothing can be awaited
            raise
        except BaseException as interrupt:
            feeder.cancel()
            await self._give_up_all(feeder)
            await self._close(items)
            note_earlier(interrupt, self.errors)
            raise
        finally:
            self.stop()  # whatever happened, no thread may stay behind, waiting for items
        await self._close(items)
        if self.errors:
            raise_all(self.errors, f"{self._what} was stopped by several failures")

    def _begin_all(self) -> None:
        for station in self._stations:
            for one in station.coroutines:
                self._tasks.append(asyncio.create_task(one.run(), name=one.name))
                self._at_work += 1
        try:
            for thread in self.threads:
                thread.start()
                self._begun_threads.append(thread)
                self._at_work += 1
        except Exception as error:
            self.fail(error)

    async def _feed_all(self, items: Any) -> None:
        """Put what the source yields until it ends or fails, or the run is stopped."""
        first = self._stations[0].queue
        put = first.aio.put
        try:
            async for item in items:
                self._read += 1
                try:
                    await put(item)
                except SHUT_DOWN:
                    return
                del item  # or it would live until the source yields another
            first.shutdown()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if self.is_stopped() and isinstance(error, asyncio.CancelledError):
                return
            if self._read:
                note(error, f"after item {self._read} of the source")
            self.fail(error)

    async def _wait_for_all(self, timeout: float | None = None) -> None:
        """Wait for the end of all consumers. Raises Empty when that takes longer."""
        deadline = None if timeout is None else monotonic() + timeout
        while self._at_work:
            await self._ends.aio.get(None if deadline is None else max(0.0, deadline - monotonic()))
            self._at_work -= 1
        for thread in self._begun_threads:
            thread.join()  # it has said that it ends

    async def _end_feeder(self, feeder: asyncio.Task[None]) -> None:
        """Nobody takes any more: end the source, which may be waiting for its next item."""
        self.stop()
        feeder.cancel()
        await asyncio.wait([feeder])

    async def _give_up_all(self, feeder: asyncio.Task[None]) -> None:
        """Stop all, cancel the coroutines and wait for them; and for the threads, no longer than the grace."""
        self.stop()
        for station in self._stations:
            for one in station.coroutines:
                one.is_given_up = True
        for task in self._tasks:
            task.cancel()
        await _ended([feeder, *self._tasks])
        try:
            await self._wait_for_all(GRACE)
        except (Empty, asyncio.CancelledError):
            pass  # out of time, or of patience

    async def _close(self, items: Any) -> None:
        """Close the source if it is a generator. After the consumers have ended: they may use what it holds open."""
        try:
            await close(items)
        except Exception as error:
            self.errors.append(error)


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    """Wait until all have ended, though the caller is cancelled again."""
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            pass
