"""``AsyncWork``: what the consumers of a pool share when they are tasks of one event loop."""

from __future__ import annotations

import threading
from contextlib import suppress

from headrace.aio.queue import AsyncQueue
from headrace.errors import Empty
from headrace.pool.async_consumer import AsyncConsumer
from headrace.pool.async_limits import AsyncLimits
from headrace.pool.async_turns import Turns
from headrace.pool.work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Hashable
    from typing import Any

    from headrace.backends.memory.envelope import Envelope

__all__ = ["REACTION", "AsyncWork"]

# Seconds that a handler has to end once it was cancelled.
REACTION = 1.0

# Consumers that were cancelled and have not ended. A loop refers to its tasks weakly, and these may have no pool any
# more that does.
_cancelled: set[asyncio.Task[None]] = set()


class AsyncWork(Work):
    """``Work`` in a loop. What is called from other threads is handed to the loop, or is as safe as in ``Work``."""

    # Set by belong_to, before anything else is called.
    loop: asyncio.AbstractEventLoop
    turns: Turns
    _thread: int
    # Takes an item as it lies in the queue, waiting for it.
    _wait_for_item: Callable[[list[int]], Coroutine[Any, Any, Any]]
    # Whether the queue's own method, where it waits for nothing, is as good: it is quicker.
    _takes_at_once: bool
    # The same as limits.
    async_limits: AsyncLimits | None = None

    def __init__(self, *arguments: Any, **policies: Any) -> None:
        super().__init__(*arguments, **policies)
        # Those of this pool that have not ended. Of the loop's thread.
        self.tasks: set[asyncio.Task[None]] = set()

    def new_consumer(self, number: int, expired: tuple[Envelope, BaseException, float] | None) -> AsyncConsumer:
        """One more consumer, which is not started yet."""
        return AsyncConsumer(self, number, expired)

    def new_limits(self, rate: float | None, key: Callable[[Any], Hashable] | None, per_key: int) -> AsyncLimits:
        """What says which item is begun next."""
        self.async_limits = AsyncLimits(self, rate, key, per_key)
        return self.async_limits

    def belong_to(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        """Consumers will be tasks of *loop*, which runs in the thread with that number."""
        self.loop = loop
        self._thread = thread
        self.turns = Turns(loop)
        face: Any = self.queue.aio
        self._wait_for_item = face._take
        kind: Any = type(face)  # pyright: ignore[reportUnknownVariableType]
        self._takes_at_once = kind._take is getattr(AsyncQueue, "_take")  # noqa: B009
        if self.async_limits is not None:
            self.async_limits.belong_to(loop)

    async def take(self, stop: list[int]) -> Any:
        """The next item as it lies in the queue, waited for. Who is cancelled has taken nothing."""
        if self._takes_at_once:
            try:
                return self.queue._take(stop, False)
            except Empty:
                pass
        return await self._wait_for_item(stop)

    # -- the loop --------------------------------------------------------------------------------

    def call(self, function: Callable[[], object]) -> None:
        """Call *function* in the loop's thread: now if this is that one, else soon.

        Raises:
            RuntimeError: the loop is closed.
        """
        if threading.get_ident() == self._thread:
            function()
        else:
            self.loop.call_soon_threadsafe(function)

    def call_if_running(self, function: Callable[[], object]) -> None:
        """The same where a loop that is closed is as good."""
        with suppress(RuntimeError):
            self.call(function)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call *function* in the loop's thread, not now. Safe in a signal handler."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function)

    def task(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task, which is not forgotten as long as the pool is not."""
        task = self.loop.create_task(coroutine, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def cancel(self, task: asyncio.Task[None]) -> None:
        """Cancel a task, which is not forgotten if it goes on."""
        _cancelled.add(task)
        task.add_done_callback(_cancelled.discard)
        task.cancel()

    # -- the end ---------------------------------------------------------------------------------

    def cancel_handlers(self) -> None:
        """Cancel what is still running. In any thread."""
        with self.lock:
            busy = [one for one in self.consumers if isinstance(one, AsyncConsumer)]
        for consumer in busy:
            self.call_if_running(consumer.give_up)

    def time_is_over(self) -> TimeoutError:
        """What an item fails with whose handler has taken too long."""
        return TimeoutError(f"the handler took longer than {self.timeout:g} s")
