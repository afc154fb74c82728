"""One consumer of a pool: a thread that takes items and hands them to the handler."""

from __future__ import annotations

import threading
from time import monotonic

from headrace.backends.memory.envelope import Envelope, enclosed
from headrace.consumers.arguments import refuse_coroutine
from headrace.errors import LeaseLost
from headrace.pool.member import ENDED, Member, let_go, take_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from headrace.pool.work import Work

__all__ = ["PoolConsumer"]


class PoolConsumer(threading.Thread, Member):
    """A consumer that is a thread: see ``Member``."""

    def __init__(self, work: Work, number: int, expired: tuple[Envelope, BaseException, float] | None = None) -> None:
        # A daemon: a pool waits for its consumers by itself, and what it has written off must not keep the program.
        threading.Thread.__init__(self, name=f"{work.name}-{number}", daemon=True)
        Member.__init__(self, work, expired)
        # Wakes who waits for its turn under a rate.
        self.alarm = threading.Event()

    def tell_to_stop(self) -> None:
        """Take no more items. The queue must be interrupted after this."""
        self.stop.append(1)
        self.alarm.set()

    def run(self) -> None:
        """Handle items until told to stop, or until there will be no more; called in the thread."""
        work = self._work
        died: BaseException | None = None
        try:
            self.deal_with_expired()
            (observe if work.is_observed else handle_all)(self, work)
        except ENDED:
            pass
        except BaseException as error:
            died = error
            self.give_back(error)
        finally:
            work.ended(self, died)


def handle_all(consumer: PoolConsumer, work: Work) -> None:
    """The loop of a pool without a time limit, limits and listeners. Ends with one of ENDED, or when written off."""
    take, settle, handle = work.queue._take, work.queue._settle, work.handler
    hold, release, stop = consumer.hand.append, consumer.hand.pop, consumer.stop
    # The class of the last item that lay bare in the queue, most often that of the next one: to ask a class costs more.
    bare: Any = None
    while True:
        raw = take(stop)
        hold(raw)
        if stop:
            consumer.begin_no_more()
        if type(raw) is bare:
            item = raw
        elif issubclass(type(raw), Envelope):
            item = raw.item
        else:
            bare = type(raw)  # pyright: ignore[reportUnknownVariableType]
            item = raw
        try:
            result = handle(item)
            if result is not None:
                refuse_coroutine(handle, result)
                result = None  # or it would live until the next item comes
        except BaseException as error:
            if not take_from(consumer):
                return
            work.failures.deal_with(consumer, enclosed(raw), error, None)
            if not isinstance(error, Exception):
                raise  # SystemExit: it meant this thread
        else:
            try:
                release()
            except IndexError:
                return
            try:
                settle(raw)
                consumer.items += 1
            except LeaseLost:
                work.say_lost(raw)
        del raw, item  # or they would live until the next one comes


def observe(consumer: PoolConsumer, work: Work) -> None:
    """The loop of a pool with a time limit, limits or listeners: the same, with times, turns and events."""
    while True:
        envelope = enclosed(work.limits.next(consumer) if work.limits else work.queue._take(consumer.stop))
        if work.is_timed:
            consumer.begun = monotonic()
        consumer.hand.append(envelope)
        if consumer.stop:
            consumer.begin_no_more()
        if work.tell_started:
            work.tell("started", consumer, envelope)
        if not handle_one(consumer, work, envelope):
            return
        if work.limits:
            work.limits.finished(consumer)
        del envelope


def handle_one(consumer: PoolConsumer, work: Work, envelope: Envelope) -> bool:
    """Handle the item in hand and settle it; False when that was not this consumer's to do any more."""
    begun = monotonic()
    try:
        result = work.handler(envelope.item)
        if result is not None:
            refuse_coroutine(work.handler, result)
            result = None
    except BaseException as error:
        if not let_go(consumer, envelope):
            return False
        work.failures.deal_with(consumer, envelope, error, monotonic() - begun)
        if not isinstance(error, Exception):
            if work.limits:
                work.limits.written_off(consumer)
            raise
        return True
    if not let_go(consumer, envelope):
        return False
    consumer.items += 1
    if work.tell_done:
        # Before it is settled: after join() all has been told.
        work.tell("done", consumer, envelope, seconds=monotonic() - begun)
    if not work.settle(envelope):
        consumer.items -= 1
    return True
