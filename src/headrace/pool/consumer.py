"""One consumer of a pool: a thread that takes items and hands them to the handler."""

from __future__ import annotations

import threading
from time import monotonic

from headrace.backends.memory.envelope import Envelope, enclosed
from headrace.consumers.arguments import SHUT_DOWN
from headrace.errors import LeaseLost, TakingStopped
from headrace.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from headrace.pool.work import Work

__all__ = ["PoolConsumer"]

ENDED: tuple[type[Exception], ...] = (TakingStopped, *SHUT_DOWN)


class PoolConsumer(threading.Thread):
    """A consumer.

    Who takes an item out of ``hand`` has it to settle: the consumer, when the handler has ended, or somebody who has
    written the consumer off because that takes too long. Taking it out is one call, which one of them wins; a
    consumer that finds its hand empty knows that it was written off, and that its result does not count.

    Args:
        expired: an item that another consumer has not finished in time, with the error that this is. It is dealt with
            first, here and not in the timer's thread, for that may call the user's code.
    """

    def __init__(self, work: Work, number: int, expired: tuple[Envelope, BaseException, float] | None = None) -> None:
        # A daemon: a pool waits for its consumers by itself, and what it has written off must not keep the program.
        super().__init__(name=f"{work.name}-{number}", daemon=True)
        self._work = work
        self._expired = expired
        # The item that is being handled, if any, as it came out of the queue.
        self.hand: list[Any] = []
        # When its handler began, on the monotonic clock. Written before the item is in hand, by the observed loop only.
        self.begun = 0.0
        # Anything in it: take no more. Appended to by whoever wants that, read by the queue.
        self.stop: list[int] = []
        # Wakes who waits for its turn under a rate.
        self.alarm = threading.Event()
        # What a limit has to remember of this consumer: see limits.py.
        self.key: Any = None
        self.next: list[Any] = []
        # Written by this thread alone, read by all at any time.
        self.items = 0
        self.dead = 0
        self.retried = 0
        # Set as its last deed.
        self.has_ended = False

    def tell_to_stop(self) -> None:
        """Take no more items. The queue must be interrupted after this."""
        self.stop.append(1)
        self.alarm.set()

    def is_handling_item_of(self, queue: object) -> bool:
        """Whether the handler is at work on an item of *queue*."""
        return bool(self.hand) and self._work.queue is queue

    def run(self) -> None:
        """Handle items until told to stop, or until there will be no more; called in the thread."""
        work = self._work
        died: BaseException | None = None
        try:
            if self._expired is not None:
                work.failures.deal_with(self, *self._expired)
                self._expired = None
            (observe if work.is_observed else handle_all)(self, work)
        except ENDED:
            pass
        except BaseException as error:
            died = error
            self._give_back(error)
        finally:
            work.ended(self, died)

    def _give_back(self, error: BaseException) -> None:
        """This thread dies of a mistake of ours, or because its queue's code failed: what it holds is another's."""
        for envelope in take_from(self):
            log().error("%s gives back the item that it held", self.name)
            self._work.give_back(envelope, error)

    def begin_no_more(self) -> None:
        """Give back the item in hand, which has not been begun: the pool is being stopped, and may have been left."""
        for envelope in take_from(self):
            self._work.put_back(envelope)
        if self._work.limits:
            self._work.limits.written_off(self)
        raise TakingStopped


def take_from(consumer: PoolConsumer) -> list[Envelope]:
    """Take the item out of the hand of a consumer, which is written off by that. A list of one, or of none."""
    try:
        return [enclosed(consumer.hand.pop())]
    except IndexError:
        return []


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
            handle(item)
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
        work.handler(envelope.item)
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


def let_go(consumer: PoolConsumer, envelope: Envelope) -> bool:
    """Take *envelope* out of the consumer's hand; False when somebody else has."""
    try:
        consumer.hand.remove(envelope)
    except ValueError:
        return False
    return True
