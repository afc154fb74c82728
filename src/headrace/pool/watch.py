"""The time limit of a pool: who looks whether a handler has taken too long, and what then."""

from __future__ import annotations

import os
from time import monotonic
from weakref import ref

from headrace.pool.member import let_go
from headrace.pool.work import ENDED
from headrace.timer import timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from headrace.pool.member import Member
    from headrace.pool.work import Work

__all__ = ["watch"]


def watch(work: Work, limit: float) -> None:
    """Look after *limit* seconds which handlers have run for so long, and again whenever the next one could have.

    That is at most one look in *limit* seconds beyond those that find something, however many items there are.
    """
    reference = ref(work)

    def look() -> None:
        it = reference()
        # In a child that was forked, nobody works for this pool.
        if it is not None and it.process == os.getpid() and not (it.is_stopping and not it.consumers):
            timer.call_at(look_at_all(it, limit), look)

    timer.call_at(monotonic() + limit, look)


def look_at_all(work: Work, limit: float) -> float:
    """Write off the consumers whose time has run out; return when the next one's could."""
    now = monotonic()
    earliest = now + limit
    with work.lock:
        for consumer in list(work.consumers):
            due = look_at(work, consumer, limit, now)
            if due is not None:
                earliest = min(earliest, due)
    return earliest


def look_at(work: Work, consumer: Member, limit: float, now: float) -> float | None:
    """When the time of the item in the consumer's hand runs out; None if there is none, or it has been dealt with.

    The item is looked at first and the time after it: if the consumer goes on to another item in between, the time is
    that one's, which is not over, or the item is not in its hand any more.
    """
    try:
        envelope = consumer.hand[0]
    except IndexError:
        return None
    begun = consumer.begun
    if now < begun + limit:
        return begun + limit
    if not let_go(consumer, envelope):
        return None
    work.timed_out += 1
    work.consumers.remove(consumer)
    is_one_too_many = bool(consumer.stop)
    consumer.stop.append(1)
    if work.limits:
        work.limits.written_off(consumer)
    error = TimeoutError(f"the handler took longer than {limit:g} s")
    if work.is_stopping:
        work.give_back(envelope)
        work.news.put(ENDED)
    else:
        work.replace((envelope, error, now - begun), for_long=not is_one_too_many)
    return None
