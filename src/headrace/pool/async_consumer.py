"""One consumer of a pool that is a task of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from time import monotonic

from headrace.backends.memory.envelope import enclosed
from headrace.consumers.failure import shown
from headrace.pool.failures import NotAwaitable, with_context
from headrace.pool.guard import of_loop
from headrace.pool.member import ENDED, Member, let_go

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from headrace.backends.memory.envelope import Envelope
    from headrace.pool.async_work import AsyncWork

__all__ = ["AsyncConsumer"]


class AsyncConsumer(Member):
    """A consumer that is a task. It waits for items, for its turn, and for its handler, which it awaits itself.

    Everything but ``start`` and ``tell_to_stop`` happens in the loop's thread. It is cancelled for three reasons: it
    waits for an item and is to stop; its handler takes too long; its handler is given up. In none of them does an item
    lie between the queue and its hand.
    """

    def __init__(
        self, work: AsyncWork, number: int, expired: tuple[Envelope, BaseException, float] | None = None
    ) -> None:
        super().__init__(work, expired)
        self.name = f"{work.name}-{number}"
        self._of_loop = work
        self._task: asyncio.Task[None] | None = None
        # Whether it waits with nothing in hand.
        self._is_idle = False
        # Whether the handler was cancelled because its time is over.
        self.is_late = False
        # Whether it was cancelled because the pool is left.
        self._is_given_up = False

    def start(self) -> None:
        """Make the task, in the loop's thread: now, if this is that one."""
        self._of_loop.call(self._begin)

    def _begin(self) -> None:
        self._task = self._of_loop.task(self._run(), self.name)
        self._task.add_done_callback(self._is_over)

    def _is_over(self, task: asyncio.Task[None]) -> None:
        """The task has ended, before it began perhaps. Called by the loop."""
        if not self.has_ended:
            self._of_loop.ended(self, None)
        # What a consumer raises was seen to, save for what ends the loop with all that it runs.
        if not task.cancelled():
            task.exception()

    def join(self) -> None:
        """Nothing is left of a task that has ended."""

    def tell_to_stop(self) -> None:
        """Take no more items, and wait for none. Safe in any thread."""
        self.stop.append(1)
        self._of_loop.call_if_running(self.stop_waiting)

    def stop_waiting(self) -> None:
        """End the wait for an item, if that is what it does."""
        if self._is_idle and self._task is not None:
            self._task.cancel()

    def cancel_late(self) -> None:
        """The time of the item in hand is over: cancel its handler."""
        self.is_late = True
        self._cancel()

    def give_up(self) -> None:
        """The pool is left: cancel the handler that is still running."""
        self._is_given_up = True
        self._cancel()

    def _cancel(self) -> None:
        if self._task is not None and not self._task.done():
            self._of_loop.cancel(self._task)

    # -- the task --------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Handle items until told to stop, or until there will be no more."""
        died: BaseException | None = None
        of_loop.set(self)
        try:
            await asyncio.sleep(0)  # a loop may run a task as soon as it is made, inside of the call that makes it
            self.deal_with_expired()
            while await self._handle(await self._next()):
                pass
        except ENDED:
            pass
        except asyncio.CancelledError:
            if not self.stop:
                self._was_cancelled()
        except (KeyboardInterrupt, GeneratorExit) as error:
            self.give_back(error)
            raise
        except BaseException as error:
            died = error
            self.give_back(error)
        finally:
            if self._of_loop.limits is not None:
                self._of_loop.limits.written_off(self)
            self._of_loop.ended(self, died)

    def _was_cancelled(self) -> None:
        """Somebody has cancelled this task. It is not replaced: the loop may be coming to its end."""
        if not self._of_loop.is_stopping:
            self._of_loop.fail(RuntimeError(f"{self.name} was cancelled, and not by its pool"))

    async def _next(self) -> Envelope:
        """Take the next item into hand, waiting for it. Raises ENDED."""
        work = self._of_loop
        self._is_idle = True
        try:
            if work.turns.is_over():
                await work.turns.next()
            envelope: Envelope = (
                enclosed(await work.take(self.stop))
                if work.async_limits is None
                else await work.async_limits.take(self)
            )
        finally:
            self._is_idle = False
        self.begun = monotonic()
        self.hand.append(envelope)
        if self.stop:
            self.begin_no_more()
        return envelope

    async def _handle(self, envelope: Envelope) -> bool:
        """Handle the item in hand and settle it; False when it was the last, or not this consumer's to settle."""
        work = self._of_loop
        if work.tell_started:
            work.tell("started", self, envelope)
        try:
            await awaitable(work.handler, envelope.item)
        except (KeyboardInterrupt, GeneratorExit):
            raise  # they mean the loop, not the item
        except BaseException as error:
            goes_on = self._failed(envelope, error)
        else:
            goes_on = self._done(envelope)
        if goes_on and work.limits is not None:
            work.limits.finished(self)
        return goes_on

    def _done(self, envelope: Envelope) -> bool:
        work = self._of_loop
        if not let_go(self, envelope):
            return False
        if self.is_late:
            self._deal_with_late(envelope, None)
            return True
        self.items += 1
        try:
            if work.tell_done:
                # Before it is settled: after join() all has been told.
                work.tell("done", self, envelope, seconds=monotonic() - self.begun)
        finally:
            if not work.settle(envelope):
                self.items -= 1
        return True

    def _failed(self, envelope: Envelope, error: BaseException) -> bool:
        work = self._of_loop
        if not let_go(self, envelope):
            return False
        if self.is_late:
            self._deal_with_late(envelope, error)
        elif isinstance(error, asyncio.CancelledError) and self._task is not None and self._task.cancelling():
            work.give_back(envelope)
            if not self._is_given_up:
                self._was_cancelled()
            return False
        else:
            work.failures.deal_with(self, envelope, error, monotonic() - self.begun)
        return True

    def _deal_with_late(self, envelope: Envelope, error: BaseException | None) -> None:
        """The handler has ended after its time was over. How it ended does not count."""
        work = self._of_loop
        self.is_late = False
        work.timed_out += 1
        if self._task is not None:
            self._task.uncancel()
        if work.is_stopping:
            work.give_back(envelope)
            return
        late = work.time_is_over()
        if error is not None and not isinstance(error, asyncio.CancelledError):
            with_context(late, error)
        work.failures.deal_with(self, envelope, late, monotonic() - self.begun)


def awaitable(handler: Any, item: Any) -> Awaitable[object]:
    """What *handler* returns for *item*, or an error that says that it is the wrong kind of function."""
    outcome = handler(item)
    if isinstance(outcome, Awaitable):
        return outcome  # pyright: ignore[reportUnknownVariableType]
    raise NotAwaitable(
        f"the handler {handler!r} has returned {shown(outcome)}, which cannot be awaited: a handler here is a "
        "coroutine function (async def), or returns an awaitable; for a plain function use kind='thread', or consume()"
    )
