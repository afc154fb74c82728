"""Coroutine functions for ``headrace run --call``: one event loop, in a thread of its own, for all consumers.

One and not one each, so that what belongs to a loop (a session of HTTP connections, a semaphore) can be shared by
all calls, as it is in other programs. A consumer waits for its coroutine, so there run as many as there are consumers.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from headrace.cli.spawn import RunEnded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import ContextVar

    from headrace.cli.spawn import Children

__all__ = ["CoroutineCalls"]

LOOK_SECONDS = 0.05
END_SECONDS = 0.1


class CoroutineCalls:
    """Calls a coroutine function from threads that are not its loop's.

    Args:
        function: makes the coroutines.
        children: knows whether the run is being ended; then the coroutines are cancelled.
        written: where what a coroutine prints is kept; set for each to a list of its own.
    """

    def __init__(
        self,
        function: Callable[..., Awaitable[Any]],
        children: Children,
        written: ContextVar[list[bytes] | None],
    ) -> None:
        self._function = function
        self._children = children
        self._written = written
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="Coroutines", daemon=True)

    def start(self) -> None:
        """Start the loop. Blocks until it runs."""
        self._thread.start()
        self._started.wait()

    def end(self) -> None:
        """Stop the loop, when there is nothing left to run or nobody who waits for it."""
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._closed.set)
            except RuntimeError:
                pass  # closed in between
        self._thread.join(END_SECONDS)

    def call(self, arguments: tuple[object, ...], written: list[bytes]) -> Any:
        """What the coroutine for *arguments* returns. Blocks until then.

        Raises:
            RunEnded: the run is being ended.
            BaseException: what the coroutine has raised.
        """
        outcome: Future[Any] = Future()
        try:
            # Started, so there is one.
            self._loop.call_soon_threadsafe(self._begin, arguments, written, outcome)  # type: ignore[union-attr]
        except RuntimeError as error:
            raise RunEnded from error
        return outcome.result()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._closed = asyncio.Event()
            self._tasks: set[asyncio.Task[None]] = set()
            runner.run(self._serve())
            # The runner cancels what is left.

    async def _serve(self) -> None:
        self._started.set()
        # Nothing tells a loop that the run is being ended, and a look now and then costs nothing.
        while not self._children.is_ending():
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._closed.wait()
                return
            except TimeoutError:
                pass

    def _begin(self, arguments: tuple[object, ...], written: list[bytes], outcome: Future[Any]) -> None:
        context = copy_context()
        context.run(self._written.set, written)
        task = self._loop.create_task(self._finish(arguments, outcome), context=context)  # type: ignore[union-attr]
        # A loop holds its tasks by weak references only.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, arguments: tuple[object, ...], outcome: Future[Any]) -> None:
        try:
            outcome.set_result(await self._function(*arguments))
        except asyncio.CancelledError:
            ended = self._children.is_ending()
            outcome.set_exception(RunEnded() if ended else RuntimeError("the coroutine was cancelled"))
        except BaseException as error:  # SystemExit too, which would end the loop with all that it runs
            outcome.set_exception(error)
