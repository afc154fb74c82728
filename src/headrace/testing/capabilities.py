"""What a queue may declare that it can do. A promise names those that it needs."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CAPABILITIES", "LIFO_QUEUE", "PRIORITY_QUEUE", "QUEUE", "SIMPLE_QUEUE", "checked"]

CAPABILITIES = {
    "fifo": "items come out in the order in which they were put",
    "lifo": "the item that was put last comes out first",
    "priority": "the lowest item comes out first, equal ones in order, and put takes priority=",
    "bounded": "maxsize bounds the waiting items",
    "resizable": "maxsize may be assigned while the queue is in use",
    "settling": "task_done and join",
    "shutdown": "shutdown and is_shutdown",
    "batches": "put_many and get_many",
    "iteration": "for item in queue, until it is shut down and drained",
    "item": "with queue.item() as item",
    "peek": "peek",
    "clear": "clear",
    "length": "len, and a truth value that is always True",
    "stats": "stats",
    "objects": "items are any objects, and what comes out is the object itself, not a copy",
    "leases": "lease, dead, and what they do to join, shutdown and stats",
    "identity": "class names, generic aliases, weak references and attributes as the classes of queue have them",
    "hooks": "subclasses and instances may override _init, _qsize, _put and _get",
    "internals": "mutex, not_empty, not_full, all_tasks_done, queue and unfinished_tasks",
}
"""Each capability, and what it means. Beyond them every queue puts, gets, waits and times out."""

_ORDERS = frozenset({"fifo", "lifo", "priority"})
_WITHOUT_ORDER = frozenset(CAPABILITIES) - _ORDERS

QUEUE = _WITHOUT_ORDER | {"fifo"}
"""All that ``headrace.Queue`` can do."""

LIFO_QUEUE = _WITHOUT_ORDER | {"lifo"}
"""All that ``headrace.LifoQueue`` can do."""

PRIORITY_QUEUE = _WITHOUT_ORDER | {"priority"}
"""All that ``headrace.PriorityQueue`` can do."""

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
