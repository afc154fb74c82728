"""The stages of a ``Pipeline`` that are coroutine functions: their consumers, and the loop that runs them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from time import perf_counter
from types import AsyncGeneratorType, GeneratorType

from headrace.consumers.arguments import SHUT_DOWN
from headrace.consumers.pipeline_run import END, Share, Stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Sequence
    from typing import Any

    from headrace.consumers.pipeline_run import Run, Station
    from headrace.consumers.retry import Retry

__all__ = ["CoroutineConsumer", "LoopThread"]


class CoroutineConsumer(Share):
    """One consumer of a stage whose function is a coroutine function: a task. It does what ``Consumer`` does."""

    def __init__(self, run: Run, station: Station, number: int) -> None:
        super().__init__(run, station)
        self.name = f"{station.stage.name}-{number}"
        # Set before the task is cancelled by the run itself.
        self.is_given_up = False

    async def run(self) -> None:
        """Handle items to the end. Raises nothing."""
        try:
            if self._station.stage.retry is None:
                await self._handle_all()
            else:
                await self._handle_all_with_retry(self._station.stage.retry)
        except Stopped:
            pass
        except asyncio.CancelledError as error:
            if not self.is_given_up:
                self._of_run.fail(_as_failure(error))
        except BaseException as error:
            self._of_run.fail(error)
        finally:
            self._leave()

    async def _handle_all(self) -> None:
        get = self._station.queue.aio.get
        while True:
            try:
                item = await get()
            except SHUT_DOWN:
                return
            self.items_in += 1
            try:
                async with aclosing(self._results(item)) as results:
                    async for result in results:
                        await self._hand_on(result)
            except BaseException as error:
                self._note(error, item)
                raise
            del item  # or it would live until the next one comes

    async def _handle_all_with_retry(self, retry: Retry) -> None:
        lease_next = self._station.queue.aio.lease
        while not self._of_run.is_stopped():
            try:
                lease = await lease_next()
            except SHUT_DOWN:
                return
            if self._of_run.is_stopped():  # it may have been given back after the queue was emptied
                lease.done()
                return
            self.items_in += lease.attempt == 1
            try:
                async with aclosing(self._results(lease.item)) as each:
                    results = [result async for result in each]
            except BaseException as error:
                if not retry.covers(error, lease.attempt):
                    lease.done()  # for else it would go back to the queue
                    self._note_last(error, lease, retry)
                    raise
                self.retried += 1
                lease.retry(retry.delay_before(lease.attempt + 1))
            else:
                lease.done()
                for result in results:
                    await self._hand_on(result)
                del results
            del lease  # or the item would live until the next one comes
        self._station.queue.shutdown(immediate=True)  # what was given back after the run was stopped

    async def _hand_on(self, result: Any) -> None:
        await self._station.hand_on_from_loop(result)
        self.items_out += 1

    async def _results(self, item: Any) -> AsyncGenerator[Any, None]:
        """What comes of *item*, as it comes. The function's own time is counted."""
        result = await self._timed(self._call(item))
        if self._station.stage.is_sink or result is None:
            return
        each = _generator_of(result)
        if each is None:
            yield result
            return
        async with aclosing(each):
            while (one := await self._timed(anext(each, END))) is not END:
                yield one

    async def _call(self, item: Any) -> Any:
        result: Any = self._station.stage.function(item)
        return result if isinstance(result, AsyncGeneratorType) else await result  # pyright: ignore[reportUnknownVariableType]

    async def _timed(self, awaitable: Awaitable[Any]) -> Any:
        begun = perf_counter()
        try:
            return await awaitable
        finally:
            self.busy += perf_counter() - begun


def _generator_of(result: Any) -> AsyncGenerator[Any, None] | None:
    """The generator that *result* is, as an asynchronous one; None if it is none."""
    if isinstance(result, GeneratorType):
        return _in_steps(result)  # pyright: ignore[reportUnknownArgumentType]
    return result if isinstance(result, AsyncGeneratorType) else None  # pyright: ignore[reportUnknownVariableType]


async def _in_steps(generator: GeneratorType[Any, Any, Any]) -> AsyncGenerator[Any, None]:
    """The same as an asynchronous generator."""
    try:
        for one in generator:
            yield one
    finally:
        generator.close()


def _as_failure(error: asyncio.CancelledError) -> BaseException:
    """A failure in place of *error*: whoever ran the pipeline was not cancelled."""
    failure = RuntimeError("a coroutine was cancelled, and not by the pipeline")
    failure.__cause__ = error
    for text in getattr(error, "__notes__", ()):
        failure.add_note(text)
    return failure


class LoopThread(threading.Thread):
    """The thread of the event loop that all coroutines of a run share."""

    def __init__(self, run: Run, consumers: Sequence[CoroutineConsumer]) -> None:
        # As the threads of the other stages it is left behind after Ctrl-C, if a coroutine refuses to be cancelled.
        super().__init__(name="Pipeline-loop", daemon=True)
        self._of_run = run
        self._consumers = consumers
        # Set by another thread before it looks for the loop, which is set before this thread looks for that.
        self._is_given_up = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def run(self) -> None:
        """Run all to their ends."""
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._serve())
        except BaseException as error:  # no loop, or one that was stopped: the consumers did not come to their end
            self._of_run.fail(error)
        finally:
            self._tasks.clear()
            del self._of_run, self._consumers  # which refer to this thread

    async def _serve(self) -> None:
        self._tasks += [asyncio.create_task(one.run(), name=one.name) for one in self._consumers]
        if self._is_given_up:
            self._cancel()
        await asyncio.wait(self._tasks)

    def cancel(self) -> None:
        """Cancel the coroutines that are running, and wait for nothing. May be called again, and from any thread."""
        self._is_given_up = True
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._cancel)
            except RuntimeError:
                pass  # the loop is closed

    def _cancel(self) -> None:
        for one in self._consumers:
            one.is_given_up = True
        for task in self._tasks:
            task.cancel()
