"""``Envelope``: an item that was taken and came back, with what is to be remembered of it."""

from __future__ import annotations

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Envelope", "enclosed"]


class Envelope:
    """An item and its history. It lies in the queue in the item's place; who gets the item never sees it.

    The C core makes some too, attribute by attribute (see ``csrc/returned.c``): an attribute that is added here must be
    added there.

    Attributes:
        item: what was put.
        priority: what it was put with, None if it was put without.
        attempt: which delivery this is, or will be, counted from 1.
        id: the number of the item in its queue's book, None until somebody asks.
        headers: what a listener attached when it was put.
        first_failed: when it failed for the first time, in seconds since the epoch.
    """

    __slots__ = ("attempt", "first_failed", "headers", "id", "item", "priority")

    def __init__(self, item: Any, headers: dict[str, str] | None = None) -> None:
        self.item = item
        self.priority: Any = None
        self.attempt = 1
        self.id: int | None = None
        self.headers = headers
        self.first_failed: float | None = None


def enclosed(raw: Any) -> Envelope:
    """*raw*, as ``_take`` gave it, in an envelope: a backend's own class of them perhaps.

    By its type: an item may lie about its ``__class__``, or raise when it is asked for it.
    """
    return raw if issubclass(type(raw), Envelope) else Envelope(raw)
