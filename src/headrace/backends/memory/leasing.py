"""What leases and pools ask of a memory queue: one text for the C core and for its twin.

Each function is a method of the queue that it is given first: what these mean is said in
``contract.LeasingContract``. On the memory rung an item is held by being away from the queue: no time runs out, and
nothing here raises ``LeaseLost``.
"""

from __future__ import annotations

from time import time

from headrace.backends.memory import dead
from headrace.backends.memory.book import book_of
from headrace.backends.memory.envelope import Envelope
from headrace.backends.memory.returning import is_ours

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from typing import Any

    from headrace.lease import Lease

__all__ = ["bury", "dead_letters_of", "extend", "lease", "number_of", "put_back_in_front", "put_with_headers", "retry"]


def lease(queue: Any, block: bool = True, timeout: float | None = None) -> Lease[Any]:
    """Take the next item under a lease. Waits, and raises, as ``queue.get(block, timeout)`` does."""
    from headrace.lease import Lease

    return Lease(queue, block, timeout)


def dead_letters_of(queue: Any) -> dead.DeadLetters:
    """What ``queue.dead`` is."""
    return dead.DeadLetters(queue, book_of(queue))


def retry(queue: Any, envelope: Envelope, delay: float, error: BaseException | None = None) -> dead.DeadLetter | None:
    """Have a taken item delivered again after *delay* seconds, as its next attempt.

    Returns its dead letter if the queue refuses it (see ``dead.put_back``), which counts as no further attempt. What it
    failed with is not kept: an item that comes back has no history here.
    """
    if envelope.first_failed is None:
        envelope.first_failed = time()
    envelope.attempt += 1
    if delay > 0:
        book_of(queue).delay(queue, envelope, delay)
        return None
    letter = dead.put_back(queue, envelope)
    if letter is not None:
        envelope.attempt -= 1
        letter.attempts = envelope.attempt
    return letter


def put_back_in_front(queue: Any, envelope: Envelope) -> dead.DeadLetter | None:
    """Have a taken item that was not begun be the next one again. Returns its dead letter if the queue refuses it."""
    return dead.put_back(queue, envelope, front=True)


def bury(queue: Any, envelope: Envelope, error: BaseException) -> dead.DeadLetter:
    """Make a dead letter of a taken item. It counts as done."""
    return dead.bury(queue, book_of(queue), envelope, error)


def number_of(queue: Any, envelope: Envelope) -> int:
    """The id of an item, given now if it has none."""
    return book_of(queue).number(envelope)


def extend(queue: Any, envelope: Envelope) -> None:
    """Nothing to do: an item that was taken is held until it is settled or given back."""


def put_with_headers(
    queue: Any,
    item: Any,
    headers: dict[str, str] | None,
    block: bool = True,
    timeout: float | None = None,
    **more: Any,
) -> None:
    """Put *item* with what a listener attached to it: by the ``put`` of the class, for the object's own listens.

    A class with a ``_put`` of its own must not meet envelopes, nor must a container that its class has made: there the
    headers are lost.
    """
    if headers is not None and is_ours(queue, "_put") and is_ours(queue, "_init"):
        queue._expect_envelopes()
        envelope = Envelope(item, headers)
        if hasattr(queue, "_entries"):
            # An envelope does not compare: it is ordered by what is given here, and by what it remembers when it
            # comes back.
            envelope.priority = more.get("priority")
            if envelope.priority is None:
                more["priority"] = item
        item = envelope
    queue.__class__.put(queue, item, block, timeout, **more)
