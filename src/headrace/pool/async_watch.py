"""The time limit of a pool whose consumers are tasks: a handler that has taken too long is cancelled."""

from __future__ import annotations

from time import monotonic

from headrace.pool.async_consumer import AsyncConsumer
from headrace.pool.async_work import REACTION
from headrace.pool.member import let_go
from headrace.pool.work import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

    from headrace.pool.async_work import AsyncWork

__all__ = ["AsyncWatch"]


class AsyncWatch:
    """Looks which handlers have run for too long, and again whenever the next one could have; see ``watch.py``.

    Everything happens in the loop's thread.
    """

    def __init__(self, work: AsyncWork, limit: float) -> None:
        self._work = work
        self._limit = limit
        self._alarm: asyncio.TimerHandle | None = None
        self._is_over = False

    def start(self) -> None:
        """Begin. In any thread."""
        self._work.call(self._look)

    def stop(self) -> None:
        """End. In any thread."""
        self._is_over = True
        self._work.call_if_running(self._forget)

    def _forget(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    def _look(self) -> None:
        if self._is_over:
            return
        now = monotonic()
        earliest = now + self._limit
        for consumer in list(self._work.consumers):
            due = self._look_at(consumer, now) if isinstance(consumer, AsyncConsumer) else None
            earliest = earliest if due is None else min(earliest, due)
        self._alarm = self._work.loop.call_later(max(0.0, earliest - now), self._look)

    def _look_at(self, consumer: AsyncConsumer, now: float) -> float | None:
        """When something is to be done about the item in hand; None if there is none, or it has been dealt with."""
        if not consumer.hand:
            return None
        due = consumer.begun + self._limit
        if now < due:
            return due
        if not consumer.is_late:
            consumer.cancel_late()
            return now + REACTION
        if now < due + REACTION:
            return due + REACTION
        self._write_off(consumer, now)
        return None

    def _write_off(self, consumer: AsyncConsumer, now: float) -> None:
        """It was cancelled, and goes on: another takes its place. What it does from now on does not count."""
        work = self._work
        with work.lock:
            envelope = consumer.hand[0]
            if consumer not in work.consumers or not let_go(consumer, envelope):
                return
            work.timed_out += 1
            work.consumers.remove(consumer)
            is_one_too_many = bool(consumer.stop)
            consumer.stop.append(1)
            if work.limits is not None:
                work.limits.written_off(consumer)
            if work.is_stopping:
                work.give_back(envelope)
                work.news.put(ENDED)
            else:
                expired = (envelope, work.time_is_over(), now - consumer.begun)
                work.replace(expired, for_long=not is_one_too_many)
