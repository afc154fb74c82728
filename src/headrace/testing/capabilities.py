"""What a queue may declare that it can do. A promise names those that it needs."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CAPABILITIES", "FILE_QUEUE", "LIFO_QUEUE", "PRIORITY_QUEUE", "QUEUE", "SIMPLE_QUEUE", "checked"]

CAPABILITIES = {
    "fifo": "items come out in the order in which they were put",
    "lifo": "the item that was put last comes out first",
    "priority": "the lowest item comes out first, equal ones in order, and every put takes priority= of any kind",
    "priorities": "put takes a whole number as priority=: lower ones come out first, equal ones in order",
    "bounded": "maxsize bounds the waiting items",
    "resizable": "maxsize may be assigned while the queue is in use",
    "settling": "task_done and join",
    "counted": "task_done only counts: it may come before the get, from any thread",
    "shutdown": "shutdown and is_shutdown",
    "dropping": "shutdown(immediate=True) drops what waits, and what comes back later",
    "kept": "shutdown ends one object of the queue, and what waits is left to the others",
    "batches": "put_many and get_many",
    "lazy": "put_many puts each item of an iterator before it draws the next one",
    "iteration": "for item in queue, until it is shut down and drained",
    "item": "with queue.item() as item",
    "peek": "peek",
    "clear": "clear",
    "length": "len, and a truth value that is always True",
    "stats": "stats",
    "objects": "items are any objects, and what comes out is the object itself, not a copy",
    "leases": "lease, dead, and what they do to join, shutdown and stats",
    "deliveries": "max_deliveries bounds how often an item is delivered, and make takes it",
    "edits": "dead letters have a history, and may be edited",
    "delays": "put takes delay=, and there is put_at",
    "keys": "put takes key= and on_duplicate=: of the unfinished items with a key there is one",
    "ttl": "put takes ttl=: an item that nobody takes in time is dead",
    "pause": "pause, resume and is_paused",
    "durable": "items outlive the object: close() it, and make(again=queue) is another one of the same queue",
    "identity": "class names, generic aliases, weak references and attributes as the classes of queue have them",
    "hooks": "subclasses and instances may override _init, _qsize, _put and _get",
    "internals": "mutex, not_empty, not_full, all_tasks_done, queue and unfinished_tasks",
}
"""Each capability, and what it means. Beyond them every queue puts, gets, waits and times out."""

_ORDERS = frozenset({"fifo", "lifo", "priority", "priorities"})
_OF_STORES = frozenset({"kept", "deliveries", "edits", "delays", "keys", "ttl", "pause", "durable"})
_OF_OBJECTS = frozenset({"counted", "dropping", "lazy", "objects", "identity", "hooks", "internals"})
_IN_MEMORY = frozenset(CAPABILITIES) - _ORDERS - _OF_STORES

QUEUE = _IN_MEMORY | {"fifo"}
"""All that ``headrace.Queue`` can do."""

LIFO_QUEUE = _IN_MEMORY | {"lifo"}
"""All that ``headrace.LifoQueue`` can do."""

PRIORITY_QUEUE = _IN_MEMORY | {"priority", "priorities"}
"""All that ``headrace.PriorityQueue`` can do."""

FILE_QUEUE = frozenset(CAPABILITIES) - _OF_OBJECTS - {"lifo", "priority"}
"""All that a queue in a file can do, as ``headrace.open("jobs.db")`` returns it."""

SIMPLE_QUEUE = frozenset({"fifo", "objects", "identity"})
"""All that ``headrace.SimpleQueue`` can do."""


def checked(names: Iterable[str]) -> frozenset[str]:
    """Return *names* as a set.

    Raises:
        ValueError: a name is not one of ``CAPABILITIES``; the message suggests the nearest.
    """
    names = frozenset(names)
    for name in sorted(names - frozenset(CAPABILITIES)):
        near = get_close_matches(name, CAPABILITIES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the known ones are {', '.join(CAPABILITIES)}"
        raise ValueError(f"{name!r} is not a capability: {hint}")
    return names
