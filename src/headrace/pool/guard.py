"""What keeps a handler from settling the item that its pool settles.

Old code ends with ``queue.task_done()``, and so does a handler that was made of it. The item would be settled twice:
the second time another's would be, and ``join()`` and the pool would be over with items still waiting.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from weakref import ref

from headrace.errors import HandlerSettled
from headrace.pool.consumer import PoolConsumer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from headrace.pool.member import Member

__all__ = ["guard", "of_loop", "unguard"]

# The consumer that is at work in this context, where consumers are tasks of an event loop.
of_loop: ContextVar[Member | None] = ContextVar("headrace consumer", default=None)


class Guard:
    """Stands before the ``task_done`` of a queue as long as pools handle its items. These use ``_settle``."""

    def __init__(self, queue: Any) -> None:
        self.task_done: Callable[..., None] = queue.task_done
        self._queue = ref(queue)
        self.pools = 0

    def __call__(self, count: int = 1) -> None:
        self.check()
        self.task_done(count)

    def check(self) -> None:
        """Raise HandlerSettled if a handler of one of the pools calls this. For other ways to settle an item."""
        thread = threading.current_thread()
        consumer = thread if isinstance(thread, PoolConsumer) else of_loop.get()
        if consumer is not None and consumer.is_handling_item_of(self._queue()):
            raise HandlerSettled(
                "a handler must not call task_done(): its ConsumerPool settles the item when the handler has ended "
                "(take what else you need from the queue with queue.lease())"
            )


_changing = threading.Lock()


def guard(queue: Any) -> None:
    """Put a guard before ``queue.task_done``, or count one more pool at the one that is there."""
    with _changing:
        standing = queue.__dict__.get("task_done")
        if standing is None:
            standing = queue.task_done = Guard(queue)
        if isinstance(standing, Guard):
            standing.pools += 1


def unguard(queue: Any) -> None:
    """Take it away behind the last pool."""
    with _changing:
        standing = queue.__dict__.get("task_done")
        if isinstance(standing, Guard):
            standing.pools -= 1
            if not standing.pools:
                del queue.task_done
