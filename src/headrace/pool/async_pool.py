"""``ConsumerPool(kind="async")``: consumers that are tasks of an event loop, the caller's or one of their own."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import suppress
from functools import partial
from time import monotonic, perf_counter
from weakref import ref

from headrace.consumers.arguments import check_handler, is_asynchronous
from headrace.consumers.registry import producers_of
from headrace.errors import Empty, NotSupported, TakingStopped
from headrace.log import log
from headrace.pool.async_loop import LoopThread
from headrace.pool.async_news import LoopNews
from headrace.pool.async_watch import AsyncWatch
from headrace.pool.async_work import REACTION, AsyncWork
from headrace.pool.failures import NotAwaitable
from headrace.pool.pool import ConsumerPool
from headrace.pool.signals import Signals
from headrace.pool.work import SIGNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any

__all__ = ["AsyncConsumerPool"]

JOINED = "every item is settled"

# The pools that are in their blocks, by loop; the innermost last. Each loop's thread changes what is its own.
_entered: dict[asyncio.AbstractEventLoop, list[AsyncConsumerPool]] = {}


class AsyncConsumerPool(ConsumerPool):
    """A ``ConsumerPool`` of coroutines: see there, and make it by that.

    By ``with`` it is entered and left as one of threads, whose consumers are in a loop in a thread of its own. By
    ``async with`` all of it is in the caller's loop: what waits here are the methods with ``async``.
    """

    _kind = "async"

    def __init__(self, queue: Any, handler: Any, consumers: int = 3, kind: str = "async", **options: Any) -> None:
        super().__init__(blocking_face(queue), handler, consumers, kind, **options)
        # Where the consumers are if it was entered by `with`.
        self._thread: LoopThread | None = None
        # The task that is in the block if it was entered by `async with`. Not kept by this: where a loop is closed with
        # all that it runs, the task goes, and leaves the block, by which all items are given back.
        self._task: ref[asyncio.Task[Any]] | None = None
        # How often a signal has cancelled it there.
        self._cancelled = 0
        self._watching: AsyncWatch | None = None

    def _check_functions(self, handler: object, on_error: object, key: object) -> None:
        check_handler(handler, may_await=True)
        for name, function in (("on_error", on_error), ("key", key)):
            if is_asynchronous(function):
                raise TypeError(f"{name} must be a plain function, which does not wait, not {function!r}")

    def _new_work(self, *arguments: Any, **policies: Any) -> AsyncWork:
        self._in_loop = work = AsyncWork(*arguments, **policies)
        if not hasattr(work.queue, "aio"):
            raise NotSupported(f"kind='async' needs a queue with an asynchronous face, and {work.queue!r} has no 'aio'")
        return work

    def _new_signals(self) -> Signals:
        return Signals(self._stop_taking, self._on_signal, is_of_runner)

    def _watch(self, limit: float) -> None:
        self._watching = AsyncWatch(self._in_loop, limit)
        self._watching.start()

    # -- by `with`, in a thread of its own -------------------------------------------------------

    def _enter(self) -> None:
        if self._task is None:
            self._start_thread()
        super()._enter()

    def _start_thread(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError(f"the end of {self.name} would hold up the event loop: enter it by 'async with' here")
        self._thread = LoopThread(f"{self.name}-loop", self._in_loop.tasks)
        self._thread.start()
        self._in_loop.belong_to(self._thread.loop, self._thread.ident)

    def _end_handlers(self) -> None:
        work = self._in_loop
        if self._thread is None or not (work.consumers or work.ending):
            return
        work.cancel_handlers()
        deadline = monotonic() + REACTION
        with suppress(Empty):
            while work.consumers or work.ending:
                work.news.get(timeout=max(0.0, deadline - monotonic()))
        self._say_who_goes_on()

    def _end(self) -> None:
        if self._watching is not None:
            self._watching.stop()
        super()._end()
        if self._thread is not None:
            self._thread.close(REACTION)

    def _say_who_goes_on(self) -> None:
        """A coroutine that ignores that it is cancelled keeps its loop from ending: somebody will look for it."""
        busy = self.busy
        if busy:
            log().warning(
                "%s: %s cancelled, and not ended after %.3g s; what was handled is given back",
                self.name,
                "a handler was" if busy == 1 else f"{busy} handlers were",
                REACTION,
            )

    # -- by `async with`, in the caller's loop ---------------------------------------------------

    async def __aenter__(self) -> AsyncConsumerPool:
        """Start the consumers in the loop that runs. Waits for nothing."""
        refuse_trio(self.name)
        if self._begun is not None:
            raise RuntimeError(f"{self.name} was entered before: make a new pool")
        self._begun = perf_counter()
        loop = asyncio.get_running_loop()
        work = self._in_loop
        work.process = os.getpid()
        work.news = LoopNews(loop)
        work.belong_to(loop, threading.get_ident())
        task = asyncio.current_task()
        assert task is not None  # for this is a coroutine, in a loop of asyncio
        self._task = ref(task)
        try:
            self._enter()
        except BaseException:
            try:
                await self._stop_in_loop(abnormal=True, shut_down=False)
            finally:
                self._end()
            raise
        _entered.setdefault(loop, []).append(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave_block()
        if self._work.process != os.getpid():
            return  # a forked child, in which the consumers are not
        interrupt: BaseException | None = None
        try:
            if error is None:
                interrupt = await self._drain_in_loop()
            abnormal = error is not None or interrupt is not None or bool(self._came)
            # The loop has ended if this is one: nothing can be waited for.
            if not isinstance(error or interrupt, GeneratorExit):
                await self._stop_in_loop(abnormal=abnormal, shut_down=abnormal)
        finally:
            self._work.stop_all(shut_down=False)
            self._write_off_all()
            self._end()
        self._raise_outcome(error, interrupt)
        self._warn_of_dead()

    async def run_to_end(self) -> None:
        """Enter, and leave when the queue is shut down and every item is settled, or the pool is stopped.

        Being cancelled it cancels the handlers.
        """
        async with self:
            try:
                await self._until_consumers_end()
            except asyncio.CancelledError:
                self._deadline = monotonic()
                raise

    def _leave_block(self) -> None:
        """From here on a signal cancels nothing, and what one has cancelled is not."""
        standing = _entered.get(self._in_loop.loop, [])
        if self in standing:
            standing.remove(self)
        if not standing:
            _entered.pop(self._in_loop.loop, None)
        task = None if self._task is None else self._task()
        while self._cancelled and task is not None:
            self._cancelled -= 1
            task.uncancel()

    async def _drain_in_loop(self) -> BaseException | None:
        """``_drain`` that does not hold up the loop."""
        if self._came:
            return None  # stopped by a signal, and what that raised was caught in the block
        try:
            if self.queue.is_shutdown or producers_of(self.queue).places:
                # The consumers end when the queue is shut down and every item is settled.
                await self._until_consumers_end()
            await self._join_in_loop()
        except TakingStopped:
            pass
        except BaseException as interrupt:
            return interrupt
        return None

    async def _join_in_loop(self) -> None:
        """Wait until every item is settled. Raises TakingStopped when the pool is stopped."""
        work = self._in_loop
        if work.stop_joining:
            raise TakingStopped
        joining = work.loop.create_task(self.queue.aio.join(), name=f"{self.name} joins")
        joining.add_done_callback(lambda _: work.news.put(JOINED))
        try:
            while not joining.done() and not work.stop_joining:
                await self._hear(None)
        except GeneratorExit:
            raise
        except BaseException:
            await cancel(joining)
            raise
        if not joining.done():
            await cancel(joining)
            raise TakingStopped
        joining.result()

    async def _stop_in_loop(self, *, abnormal: bool, shut_down: bool) -> None:
        """``_stop`` that does not hold up the loop. Being cancelled it does not wait for handlers."""
        work = self._in_loop
        if abnormal or not work.is_stopping:
            work.stop_all(shut_down=shut_down)
        if abnormal or work.errors:
            self._begin_grace()
        try:
            await self._until_consumers_end()
        except asyncio.CancelledError:
            await self._end_handlers_in_loop()
            raise
        await self._end_handlers_in_loop()

    async def _until_consumers_end(self) -> None:
        """``_wait_for_consumers`` that does not hold up the loop."""
        work = self._in_loop
        while (work.consumers or work.ending) and len(self._came) < 2:
            if work.errors:
                self._begin_grace()
            try:
                told = await self._hear(self._patience())
            except Empty:
                if self._patience() == 0:
                    return
                self._say_why_it_waits()
                continue
            if told is SIGNAL:
                self._begin_grace()

    async def _end_handlers_in_loop(self) -> None:
        """Cancel what still runs, and wait for its end for a short time, whatever is cancelled meanwhile."""
        work = self._in_loop
        work.cancel_handlers()
        deadline = monotonic() + REACTION
        interrupt: asyncio.CancelledError | None = None
        with suppress(Empty):
            while work.consumers or work.ending:
                try:
                    await self._hear(max(0.0, deadline - monotonic()))
                except asyncio.CancelledError as again:
                    interrupt = again
        self._say_who_goes_on()
        if interrupt is not None:
            raise interrupt

    async def _hear(self, timeout: float | None) -> str:
        news = self._in_loop.news
        assert isinstance(news, LoopNews)
        return await news.hear(timeout)

    # -- signals ---------------------------------------------------------------------------------

    def _on_signal(self, number: int, frame: FrameType | None) -> bool:
        if self._task is None:
            return super()._on_signal(number, frame)
        # In the signal handler, in the middle of the loop: what can wait is done by the loop.
        self._came.append(number)
        self._noted.append(number)
        self._work.queue.shutdown()
        self._work.stop_joining.append(1)
        self._work.news.put(SIGNAL)
        self._in_loop.call_soon(self._obey_signal)
        return False

    def _obey_signal(self) -> None:
        """Called by the loop: stop, and if the task is in the block, or in what was called there, cancel it there."""
        self._work.stop_all(shut_down=True)
        task = None if self._task is None else self._task()
        mine = [one for one in _entered.get(self._in_loop.loop, ()) if one._task == self._task]
        # Of pools of one task the innermost: who is outside hears of what comes out of its block.
        if task is not None and mine and mine[-1] is self and not task.done():
            self._cancelled += 1
            task.cancel()

    def _raise_errors(self) -> None:
        for error in self._work.errors:
            if isinstance(error, NotAwaitable):
                raise error  # no item has failed, but the program
        super()._raise_errors()


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel *task*, which ends soon then, and wait for that, whatever is cancelled meanwhile."""
    task.cancel()
    interrupt: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as again:
            interrupt = again
    if interrupt is not None:
        raise interrupt


def blocking_face(queue: Any) -> Any:
    """*queue*, or the queue that it is the asynchronous face of."""
    from headrace.aio.queue import AsyncQueue

    return queue.sync if isinstance(queue, AsyncQueue) else queue


def is_of_runner(handler: object) -> bool:
    """Whether a signal handler is that of ``asyncio.run``, which is there by default."""
    function = getattr(handler.func, "__func__", None) if isinstance(handler, partial) else None
    return function is not None and function is getattr(asyncio.Runner, "_on_sigint", None)


def refuse_trio(name: str) -> None:
    """Raise NotSupported in a task of trio."""
    trio = sys.modules.get("trio")
    if trio is None:
        return
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return
    raise NotSupported(
        f"{name} is for asyncio and uvloop, and this is trio: start tasks in a nursery that take from queue.aio, or "
        "enter the pool by a plain 'with' in a thread (trio.to_thread.run_sync): it has a loop of its own then"
    )
