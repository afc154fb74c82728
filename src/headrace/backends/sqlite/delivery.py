"""``Delivery``: an item that was taken from a queue file, with what is known of it."""

from __future__ import annotations

from headrace.backends.memory.envelope import Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Delivery"]


class Delivery(Envelope):
    """A leased item. See ``Envelope``.

    One that nobody has any more, and that was not settled, is given back: an interrupt may have come just when it was
    taken out of somebody's hand.

    Attributes:
        owner: the number under which this process holds it: the token of the lease.
        put_at: when it was put, in seconds since the epoch.
        is_settled: whether it is known what became of it, so that nothing is to be given back.
        is_limited: whether it dies when it was delivered as often as its queue allows. Not where a pool decides.
    """

    __slots__ = ("__weakref__", "_queue", "is_limited", "is_settled", "owner", "put_at")

    def __init__(self, queue: Any, item: Any, number: int, attempt: int, owner: int) -> None:
        # First, so that one that is not made to its end gives nothing back.
        self.is_settled = True
        self._queue = queue
        self.item = item
        self.id = number
        self.attempt = attempt
        self.owner = owner
        self.priority = 0
        self.headers = None
        self.first_failed = None
        self.put_at = 0.0
        self.is_limited = True
        self.is_settled = False

    def __del__(self) -> None:
        if not self.is_settled:
            self.is_settled = True
            self._queue._forgotten(self)
