"""``Delivery``: an item that was taken from a queue file, with what is known of it."""

from __future__ import annotations

from headrace.backends.memory.envelope import Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Delivery"]


class Delivery(Envelope):
    """A leased item. See ``Envelope``.

    Attributes:
        owner: the number under which this process holds it: the token of the lease.
        put_at: when it was put, in seconds since the epoch.
        is_limited: whether it dies when it was delivered as often as its queue allows. Not where a pool decides.
    """

    __slots__ = ("is_limited", "owner", "put_at")

    def __init__(self, item: Any, number: int, attempt: int, owner: int) -> None:
        self.item = item
        self.id = number
        self.attempt = attempt
        self.owner = owner
        self.priority = 0
        self.headers = None
        self.first_failed = None
        self.put_at = 0.0
        self.is_limited = True
