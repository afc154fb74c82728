"""What the tests of pools share: queues with hooks, and where the items of a pool are in the end."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import headrace
from consumer_support import eventually

TIMER = "headrace timer"  # the one thread of a process that may stay


def threads() -> set[threading.Thread]:
    """All threads but the timer."""
    return {thread for thread in threading.enumerate() if thread.name != TIMER}


def with_hooks(base: type) -> type:
    """A subclass of a queue with hooks of its own, as programs of ``queue.Queue`` have them: a stack in a dict."""

    class Hooked(base):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self.items: dict[int, Any] = {}

        def _qsize(self) -> int:
            return len(self.items)

        def _put(self, item: Any) -> None:
            self.items[len(self.items)] = item

        def _get(self) -> Any:
            return self.items.pop(len(self.items) - 1)

    return Hooked


def waiting_in(queue: Any) -> list[Any]:
    """Take out what waits in *queue*, in its order. Delayed items are waited for."""
    eventually(lambda: not queue.stats().delayed)
    items: list[Any] = []
    while queue.qsize():
        items.append(queue.get_nowait())
        settle(queue)
    return items


def settle(queue: Any) -> None:
    """``task_done``. In the Python twin, unlike in the C core, an interrupted put may leave its item in uncounted."""
    if queue.unfinished_tasks or headrace.implementation == "c":
        queue.task_done()


def whereabouts(queue: Any, done: list[Any]) -> Counter[Any]:
    """How often each item is done, dead, or waits."""
    return Counter(done) + Counter(letter.item for letter in queue.dead) + Counter(waiting_in(queue))
