"""A consumer as its pool sees it, whatever it runs in: what it has in hand, whether it is to stop, what it has done."""

from __future__ import annotations

from abc import ABC, abstractmethod

from headrace.backends.memory.envelope import enclosed
from headrace.consumers.arguments import SHUT_DOWN
from headrace.errors import TakingStopped
from headrace.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from headrace.backends.memory.envelope import Envelope
    from headrace.pool.work import Work

__all__ = ["ENDED", "Member", "let_go", "take_from"]

# What ends a consumer that was meant to end.
ENDED: tuple[type[Exception], ...] = (TakingStopped, *SHUT_DOWN)


class Member(ABC):
    """One of the consumers of a pool: a thread (``consumer.py``) or a task of an event loop (``async_consumer.py``).

    Who takes an item out of ``hand`` has it to settle: the consumer, when the handler has ended, or somebody who has
    written the consumer off because that takes too long. Taking it out is one call, which one of them wins; a
    consumer that finds its hand empty knows that it was written off, and that its result does not count.

    Args:
        expired: an item that another consumer has not finished in time, with the error that this is. It is dealt with
            first, here and not in the timer's thread, for that may call the user's code.
    """

    name: str

    def __init__(self, work: Work, expired: tuple[Envelope, BaseException, float] | None = None) -> None:
        self._work = work
        self._expired = expired
        # The item that is being handled, if any, as it came out of the queue.
        self.hand: list[Any] = []
        # When its handler began, on the monotonic clock. Written before the item is in hand, where anybody looks at it.
        self.begun = 0.0
        # Anything in it: take no more. Appended to by whoever wants that, read by the queue.
        self.stop: list[int] = []
        # What a limit has to remember of this consumer: see limits.py.
        self.key: Any = None
        self.next: list[Any] = []
        # Written by this consumer alone, read by all at any time.
        self.items = 0
        self.dead = 0
        self.retried = 0
        # Set as its last deed.
        self.has_ended = False

    @abstractmethod
    def start(self) -> None:
        """Begin to take items. Raises RuntimeError when that cannot be."""

    @abstractmethod
    def join(self) -> None:
        """Wait for what is left of one that has ended."""

    @abstractmethod
    def tell_to_stop(self) -> None:
        """Take no more items. The queue must be interrupted after this."""

    def is_handling_item_of(self, queue: object) -> bool:
        """Whether the handler is at work on an item of *queue*."""
        return bool(self.hand) and self._work.queue is queue

    def deal_with_expired(self) -> None:
        """Settle the item that this one was started for, if it was."""
        if self._expired is not None:
            self._work.failures.deal_with(self, *self._expired)
            self._expired = None

    def give_back(self, error: BaseException) -> None:
        """This one dies of a mistake of ours, or because its queue's code failed: what it holds is another's."""
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


def take_from(consumer: Member) -> list[Envelope]:
    """Take the item out of the hand of a consumer, which is written off by that. A list of one, or of none."""
    try:
        return [enclosed(consumer.hand.pop())]
    except IndexError:
        return []


def let_go(consumer: Member, envelope: Envelope) -> bool:
    """Take *envelope* out of the consumer's hand; False when somebody else has."""
    try:
        consumer.hand.remove(envelope)
    except ValueError:
        return False
    return True
