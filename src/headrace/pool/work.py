"""``Work``: what the consumers of a pool share, and who they are."""

from __future__ import annotations

import os
import threading
from time import time

from headrace.backends.memory import SimpleQueue
from headrace.backends.memory.envelope import enclosed
from headrace.consumers.events import Dispatch, Event
from headrace.consumers.failure import shown
from headrace.errors import LeaseLost
from headrace.log import log
from headrace.pool.consumer import PoolConsumer
from headrace.pool.failures import Failures
from headrace.pool.limits import Limits
from headrace.pool.member import take_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from typing import Any

    from headrace.backends.memory.envelope import Envelope
    from headrace.consumers.events import Listener
    from headrace.consumers.retry import Retry
    from headrace.pool.failures import OnError
    from headrace.pool.member import Member

__all__ = ["ENDED", "SIGNAL", "STOPPED", "Work"]

# What is told to who waits for the end.
ENDED, STOPPED, SIGNAL = "a consumer has ended", "all are told to stop", "a signal came"


class Work:
    """The queue, the handler, the policies and the consumers of one pool.

    ``lock`` guards ``consumers`` and ``everybody``: it is taken to start, stop and replace consumers, and never while
    an item is handled. Reentrant, since a listener or a destructor may call the pool.
    """

    def __init__(
        self,
        queue: Any,
        handler: Callable[[Any], object],
        name: str,
        *,
        retry: Retry | None,
        on_error: OnError,
        timeout: float | None,
        rate: float | None,
        key: Callable[[Any], Hashable] | None,
        per_key: int,
        listeners: Iterable[Listener],
    ) -> None:
        self.queue = queue
        self.handler = handler
        self.name = name
        self.timeout = timeout
        self.is_timed = timeout is not None
        self.dispatch = Dispatch(listeners)
        self.tell_started = self.dispatch.wants("started")
        self.tell_done = self.dispatch.wants("done")
        self.tell_retried = self.dispatch.wants("retried")
        self.tell_dead = self.dispatch.wants("dead")
        self.limits = None if rate is None and key is None else self.new_limits(rate, key, per_key)
        self.failures = Failures(self, retry, on_error)
        self.is_observed = self.is_timed or self.limits is not None or bool(self.dispatch)
        self.lock = threading.RLock()
        # Those that take items, or will end when they have been told to. Not those that were written off.
        self.consumers: list[Member] = []
        # Those that have left the list above, and still tell that they end.
        self.ending: set[Member] = set()
        # All that there ever were, for the summary.
        self.everybody: list[Member] = []
        self.replaced = 0
        self.timed_out = 0
        # Whether everything is to end; set once. And whether it is because of a failure.
        self.is_stopping = False
        self.errors: list[BaseException] = []
        # In a child that was forked, there are none of these consumers.
        self.process = os.getpid()
        # Ends the wait of who joins the queue.
        self.stop_joining: list[int] = []
        # For who waits for the end: see ENDED and the others. Safe to put into from a signal handler.
        self.news: SimpleQueue[str] = SimpleQueue()

    # -- what it is made of ----------------------------------------------------------------------

    def new_consumer(self, number: int, expired: tuple[Envelope, BaseException, float] | None) -> Member:
        """One more consumer, which is not started yet."""
        return PoolConsumer(self, number, expired)

    def new_limits(self, rate: float | None, key: Callable[[Any], Hashable] | None, per_key: int) -> Limits:
        """What says which item is begun next."""
        return Limits(self, rate, key, per_key)

    # -- who works -------------------------------------------------------------------------------

    def start(self, expired: tuple[Envelope, BaseException, float] | None = None, *, for_long: bool = True) -> None:
        """Start one more consumer. The lock must be held. Raises RuntimeError when the system has no thread left.

        Args:
            expired: an item for it to deal with first: see Member.
            for_long: whether it takes items after that.
        """
        consumer = self.new_consumer(len(self.everybody) + 1, expired)
        if not for_long:
            consumer.tell_to_stop()
        self.consumers.append(consumer)
        self.everybody.append(consumer)
        try:
            consumer.start()
        except BaseException:
            # It may have been started, if this is an interrupt: then it ends by itself.
            consumer.tell_to_stop()
            self.consumers.remove(consumer)
            self.everybody.remove(consumer)
            raise

    def ended(self, consumer: Member, died: BaseException | None) -> None:
        """A consumer ends; called by itself at its end. Replaces it if it was not meant to."""
        try:
            with self.lock:
                if consumer in self.consumers:
                    self.ending.add(consumer)
                    self.consumers.remove(consumer)
                    if died is not None:
                        self._replace_dead(consumer, died)
            if self.dispatch.wants("stopped"):
                self.dispatch.emit(Event("stopped", self.name, consumer.name, None, None, 0, time()))
        finally:
            consumer.has_ended = True
            self.ending.discard(consumer)
            self.news.put(ENDED)

    def _replace_dead(self, consumer: Member, died: BaseException) -> None:
        if self.is_stopping or consumer.stop:
            if isinstance(died, Exception):
                log().error("%s died on its way to its end", consumer.name, exc_info=died)
            return
        if self.limits:
            self.limits.written_off(consumer)
        if isinstance(died, Exception):
            # One that has done nothing before it died would die again and again.
            if not consumer.items + consumer.dead + consumer.retried:
                self.fail(died)
                return
            log().error("%s died, and is replaced", consumer.name, exc_info=died)
        self.replace()

    def replace(self, expired: tuple[Envelope, BaseException, float] | None = None, *, for_long: bool = True) -> None:
        """Start a consumer in the place of one that is lost. The lock must be held."""
        try:
            self.start(expired, for_long=for_long)
            self.replaced += for_long
        except RuntimeError as error:  # no thread left: with fewer consumers the work goes on
            if expired is not None:
                self.give_back(*expired[:2])
            if not self.consumers:
                self.fail(error)

    def resize(self, count: int) -> bool:
        """Have *count* consumers: start more, or tell some to stop. False when all are to stop."""
        with self.lock:
            if self.is_stopping:
                return False
            staying = [one for one in self.consumers if not one.stop]
            for consumer in staying[count:]:
                consumer.tell_to_stop()
            for _ in range(count - len(staying)):
                self.start()
        self._let_look()
        return True

    # -- the end ---------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """Stop everything because of *error*, which is raised by who leaves the pool."""
        self.errors.append(error)
        self.stop_all(shut_down=True)

    def stop_all(self, *, shut_down: bool) -> None:
        """Tell all consumers to take no more, and whoever waits for the end.

        Args:
            shut_down: put no more either: who is blocked in a put would stay so, for nobody takes any more.
        """
        with self.lock:
            self.is_stopping = True
            for consumer in self.consumers:
                consumer.tell_to_stop()
        self.stop_joining.append(1)
        if shut_down:
            self.queue.shutdown()
        self._let_look()
        self.news.put(STOPPED)

    def _let_look(self) -> None:
        self.queue._interrupt()
        if self.limits:
            self.limits.wake()

    def write_off_all(self) -> None:
        """Do not wait any longer: what consumers hold goes back to the queue, and what they still do does not count."""
        with self.lock:
            for consumer in self.consumers:
                for envelope in take_from(consumer):
                    self.give_back(envelope)
            self.consumers.clear()

    def begin_taking(self, consumers: int) -> None:
        """Tell the queue, if it wants to know, that so many consumers will take: it may read ahead for them."""
        begin = getattr(self.queue, "_begin_taking", None)
        if begin is not None:
            begin(consumers)

    def end_taking(self) -> None:
        """Tell it that none of them takes any more. Raises nothing: what came of the items is the news."""
        end = getattr(self.queue, "_end_taking", None)
        try:
            if end is not None:
                end()
        except Exception as error:
            log().error("%s: the queue could not give back what it had read ahead", self.name, exc_info=error)

    # -- what becomes of an item -----------------------------------------------------------------

    # Where leases run out, each of these may find that somebody else has the item: then it is not ours to count.

    def settle(self, envelope: Envelope) -> bool:
        """The item is done. Returns False when it is somebody else's."""
        try:
            self.queue._settle(envelope)
        except LeaseLost:
            self.say_lost(envelope)
            return False
        return True

    def give_back(self, envelope: Envelope, error: BaseException | None = None) -> None:
        """Let an item that was begun be delivered again."""
        try:
            self.queue._retry(envelope, 0.0, error)
        except LeaseLost:
            self.say_lost(envelope)

    def put_back(self, envelope: Envelope) -> None:
        """Let an item that was not begun be the next one again."""
        try:
            self.queue._put_back(envelope)
        except LeaseLost:
            pass  # somebody else begins it, and nobody else has

    def say_lost(self, raw: Any) -> None:
        """Warn that the lease of an item that was begun is lost: this process was stopped, or asleep, for too long."""
        log().warning(
            "%s lost the lease of %s, somebody else has it: it may have been done twice",
            self.name,
            shown(enclosed(raw).item),
        )

    # -- what is told ----------------------------------------------------------------------------

    def tell(
        self,
        kind: str,
        consumer: Member,
        envelope: Envelope,
        *,
        seconds: float | None = None,
        error: BaseException | None = None,
        delay: float | None = None,
    ) -> None:
        """Tell the listeners what happens to an item."""
        number = self.queue._number(envelope)
        self.dispatch.emit(
            Event(
                kind,
                self.name,
                consumer.name,
                envelope.item,
                number,
                envelope.attempt,
                time(),
                seconds,
                error,
                delay,
                envelope.headers,
            )
        )
