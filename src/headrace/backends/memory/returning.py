"""Items that were taken and come back, in a queue that runs in Python: taken as they lie there, and put back.

In such a queue an envelope lies in the container in its item's place, and in a heap inside of an ``Entry``. A class
with a ``_put`` of its own never sees an envelope: it is given the bare item again, and the envelope waits in the
queue's book under the identity of that object (of two waiting items that are the same object either may be in it).
"""

from __future__ import annotations

from heapq import heappop, heappush
from types import MethodDescriptorType

from headrace.backends.memory.book import book_of
from headrace.backends.memory.envelope import Envelope
from headrace.backends.memory.heap import Entry

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["bare", "content", "put_back", "take_raw"]


def bare(raw: Any) -> Any:
    """The item in *raw*, which is an envelope or the item itself."""
    return raw.item if type(raw) is Envelope else raw


def content(entry: Any) -> Any:
    """What is in *entry*, which is no entry in a heap that was laid bare: a moment ago, by a signal handler."""
    return entry.item if isinstance(entry, Entry) else entry


def is_ours(queue: Any, hook: str) -> bool:
    """Whether neither the class of *queue* nor itself overrides *hook*."""
    method: Any = getattr(queue.__class__, hook)
    ours = isinstance(method, MethodDescriptorType) or method.__module__ == "headrace.backends.memory.python"
    return ours and hook not in vars(queue)


def take_raw(queue: Any) -> Any:
    """Take the next item out of the container, in the envelope that it has. The mutex must be held."""
    if hasattr(queue, "_entries") and is_ours(queue, "_get"):
        item = opened_entry(heappop(queue.queue) if queue._entries is None else queue._entries.remove_first())
    else:
        item = queue._get()
    if queue._book is not None and queue._book.strays:
        return queue._book.strays.pop(id(item), item)
    return item


def opened_entry(entry: Any) -> Any:
    """What is in *entry*, in an envelope that knows the priority if it was given one."""
    if not isinstance(entry, Entry) or not entry.keyed or type(entry.item) is Envelope:
        return content(entry)
    envelope = Envelope(entry.item)
    envelope.priority = entry.key
    return envelope


def put_back(queue: Any, raw: Any, front: bool) -> None:
    """Put *raw* into the container again, with *front* where it is taken from next. The mutex must be held."""
    if not is_ours(queue, "_put"):
        put_stray(queue, raw)
    elif hasattr(queue, "_entries"):
        put_entry(queue, raw, front)
    elif front and hasattr(queue.queue, "appendleft"):
        queue.queue.appendleft(raw)
    else:
        queue.queue.append(raw)


def put_stray(queue: Any, raw: Any) -> None:
    if type(raw) is not Envelope:
        queue._put(raw)
        return
    strays = book_of(queue).strays
    strays[id(raw.item)] = raw  # first: with the item in the container, somebody may take it
    try:
        queue._put(raw.item)
    except BaseException:
        strays.pop(id(raw.item), None)
        raise


def put_entry(queue: Any, raw: Any, front: bool) -> None:
    priority = raw.priority if type(raw) is Envelope else None
    key = bare(raw) if priority is None else priority
    entries = queue._entries
    if entries is None:
        heappush(queue.queue, Entry(key, 0, raw, keyed=True))
        return
    queue._turn += 1
    # The turn 0 is before all that are given.
    entries.insert(Entry(key, 0 if front else queue._turn, raw, keyed=True))
