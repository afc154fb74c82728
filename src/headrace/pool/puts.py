"""What is put into a queue while somebody listens: told of, and given headers."""

from __future__ import annotations

from time import time

from headrace.backends.memory.envelope import Envelope
from headrace.backends.memory.returning import is_ours
from headrace.consumers.events import Event
from headrace.errors import Full, ShutDown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from headrace.pool.work import Work

__all__ = ["PutListening"]


class PutListening:
    """Has every put into the queue of *work* told to its listeners, from ``start`` to ``stop``.

    The object's own ``put`` and ``put_many`` hide its class's for so long; ``put_nowait`` calls ``put``.
    """

    def __init__(self, work: Work) -> None:
        queue: Any = work.queue
        self._queue = queue
        self._dispatch = work.dispatch
        self._name = work.name
        self._put = queue.put
        # A class with a _put of its own must not meet envelopes, nor must a container that its class has made.
        self._encloses = is_ours(queue, "_put") and is_ours(queue, "_init")
        self._has_priorities = hasattr(queue, "_entries")
        self._hidden: dict[str, Any] = {}
        # False: whoever wrapped this one still calls it, and it tells nobody.
        self._is_on = False

    def start(self) -> None:
        """Begin to listen."""
        self._is_on = True
        self._queue._expect_envelopes()
        for name, mine in (("put", self.put), ("put_many", self.put_many)):
            if name in vars(self._queue):
                self._hidden[name] = vars(self._queue)[name]
            setattr(self._queue, name, mine)

    def stop(self) -> None:
        """End it. Somebody else's wrapper that came later stays, and goes on calling this one."""
        self._is_on = False
        for name, mine in (("put", self.put), ("put_many", self.put_many)):
            if self._queue.__dict__.get(name) != mine:
                continue
            if name in self._hidden:
                setattr(self._queue, name, self._hidden[name])
            else:
                delattr(self._queue, name)

    def put(self, item: Any, block: bool = True, timeout: float | None = None, **more: Any) -> None:
        """The queue's ``put``, told of."""
        if not self._is_on:
            self._put(item, block, timeout, **more)
            return
        headers = self._dispatch.headers_for(item)
        raw = item
        if headers is not None and self._encloses:
            raw = Envelope(item, headers)
            if self._has_priorities and more.get("priority") is None:
                more["priority"] = item
        self._put(raw, block, timeout, **more)
        if self._dispatch.wants("put"):
            self._dispatch.emit(Event("put", self._name, "", item, None, 0, time(), headers=headers))

    def put_many(self, items: Iterable[Any], block: bool = True, timeout: float | None = None) -> None:
        """The queue's ``put_many``, told of, item by item."""
        from headrace.backends.memory.python import deadline_after, remaining_until

        deadline = deadline_after(timeout) if block else None
        for count, item in enumerate(items):
            try:
                self._queue.put(item, block, remaining_until(deadline))
            except (Full, ShutDown) as error:
                error.put_count = count
                error.pending = () if isinstance(items, (list, tuple)) else (item,)
                raise
