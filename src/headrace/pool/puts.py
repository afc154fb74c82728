"""What is put into a queue while somebody listens: told of, and given headers."""

from __future__ import annotations

from time import time

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
        # What is called below this one: by the object's own put, if it has one, which may be another pool's listening.
        self._put = queue.put
        self._is_wrapping = "put" in vars(queue)
        self._hidden: dict[str, Any] = {}
        # False: whoever wrapped this one still calls it, and it tells nobody.
        self._is_on = False

    def start(self) -> None:
        """Begin to listen."""
        self._is_on = True
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
        self._tell_of_put(item, None, block, timeout, more)

    def _tell_of_put(
        self, item: Any, headers: dict[str, str] | None, block: bool, timeout: float | None, more: dict[str, Any]
    ) -> None:
        """``put`` with what the listeners of another pool have attached, whose ``put`` is called before this one."""
        if not self._is_on:
            self._pass_on(item, headers, block, timeout, more)
            return
        mine = self._dispatch.headers_for(item)
        headers = {**mine, **(headers or {})} if mine else headers
        self._pass_on(item, headers, block, timeout, more)
        if self._dispatch.wants("put"):
            self._dispatch.emit(Event("put", self._name, "", item, None, 0, time(), headers=headers))

    def _pass_on(
        self, item: Any, headers: dict[str, str] | None, block: bool, timeout: float | None, more: dict[str, Any]
    ) -> None:
        below = getattr(self._put, "__self__", None)
        if not self._is_wrapping:
            self._queue._put_with_headers(item, headers, block, timeout, **more)
        elif isinstance(below, PutListening):
            below._tell_of_put(item, headers, block, timeout, more)
        else:
            # A wrapper of the program's, which is given what its callers give: it knows no headers.
            self._put(item, block, timeout, **more)

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
