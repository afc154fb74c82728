"""The limits of a pool whose consumers are tasks: who waits for its turn does not hold up the loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress

from headrace.backends.memory.envelope import enclosed
from headrace.pool.limits import LONGEST_WAIT, Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any

    from headrace.backends.memory.envelope import Envelope
    from headrace.pool.async_consumer import AsyncConsumer
    from headrace.pool.async_work import AsyncWork
    from headrace.pool.limits import Pace

__all__ = ["AsyncLimits"]


class LoopCondition(threading.Condition):
    """A condition that tasks of one loop wait for. Any thread may notify them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(threading.Lock())
        self._loop = loop
        # Of the loop's thread.
        self._sleepers: deque[asyncio.Future[None]] = deque()

    async def sleep(self) -> None:
        """Wait until notified. The lock must not be held."""
        sleeper = self._loop.create_future()
        self._sleepers.append(sleeper)
        try:
            await sleeper
        except BaseException:
            if sleeper.done() and not sleeper.cancelled():
                self._rouse(1)  # it was meant for one that goes on
            raise
        finally:
            with suppress(ValueError):
                self._sleepers.remove(sleeper)

    def notify(self, n: int = 1) -> None:
        """Wake so many."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._rouse, n)

    def notify_all(self) -> None:
        """Wake all."""
        self.notify(-1)

    def _rouse(self, count: int) -> None:
        while self._sleepers and count:
            sleeper = self._sleepers.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                count -= 1


class AsyncLimits(Limits):
    """Says which item a consumer begins next: ``Limits`` for tasks. Made in the loop's thread, or before it runs.

    A consumer is cancelled to be stopped. What it has not begun then goes back to the queue.
    """

    def __init__(
        self, work: AsyncWork, rate: float | None, key: Callable[[Any], Hashable] | None, per_key: int
    ) -> None:
        super().__init__(work, rate, key, per_key)
        self._of_loop = work
        # The same as _changed. Set by belong_to, before anybody waits.
        self._in_loop: LoopCondition

    def belong_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Consumers will be tasks of *loop*."""
        self._changed = self._in_loop = LoopCondition(loop)

    async def take(self, consumer: AsyncConsumer) -> Envelope:
        """The next item for *consumer*, waited for. Raises TakingStopped and ShutDown as the queue does."""
        number, envelope = self._parked_for(consumer) if consumer.next else await self._take_for(consumer)
        if self._pace is not None:
            await self._sleep_until_turn(self._pace, consumer, number, envelope)
        return envelope

    async def _sleep_until_turn(self, pace: Pace, consumer: AsyncConsumer, number: int, envelope: Envelope) -> None:
        seconds, reserved = pace.reserve()
        try:
            if seconds > 0:
                await asyncio.sleep(min(seconds, LONGEST_WAIT))
        except BaseException:
            pace.give_back(reserved)
            self._return([(number, envelope)])
            self._leave_key(consumer)
            raise

    async def _take_for(self, consumer: AsyncConsumer) -> tuple[int, Envelope]:
        while True:
            while self._key is not None and self._parked_count >= self._most_parked():
                await self._in_loop.sleep()
            envelope = enclosed(await self._of_loop.take(consumer.stop))
            number = next(self._numbers)
            if self._key is None:
                return number, envelope
            try:
                begins = self._enter(consumer, self._key(envelope.item), number, envelope)
            except (KeyboardInterrupt, GeneratorExit):
                self._return([(number, envelope)])
                raise
            except BaseException as error:  # the item has no key: it fails as if its handler had
                self._of_loop.failures.deal_with(consumer, envelope, error, None)
                continue
            if begins:
                return number, envelope
