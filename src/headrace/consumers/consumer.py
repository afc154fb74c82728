"""``Consumer``: the thread that takes items out of a queue and handles them."""

from __future__ import annotations

from itertools import count

from headrace.consumers.arguments import (
    SHUT_DOWN,
    check_handler,
    check_queue,
    is_overridden,
    refuse_coroutine,
)
from headrace.consumers.failure import note_item
from headrace.consumers.registry import consumers_of
from headrace.consumers.worker import Worker
from headrace.generic import T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    T_co = TypeVar("T_co", covariant=True)

    class GetQueue(Protocol[T_co]):
        """What a consumer needs of a queue."""

        def get(self) -> T_co: ...
        def task_done(self) -> Any: ...
        def shutdown(self, immediate: bool = ...) -> Any: ...


__all__ = ["Consumer"]

_numbers = count(1)


class Consumer(Worker[T]):
    """A thread that takes items out of a queue, and handles each, until the queue is shut down and drained.

    Either give it a handler, or write a subclass with a method ``consume(item)``::

        Consumer(queue, print).start()

        class Store(Consumer):
            def consume(self, item):
                self.table.insert(item)

    Each item that is taken is settled (``task_done``) exactly once, after it was handled, whatever happens: the
    handler must not call ``task_done`` itself. An exception ends the consumer and is raised by its ``join``, with a
    note that shows the item. The other consumers go on. When the last consumer of the queue has failed,
    the queue is shut down at once (``immediate=True``): what waits in it is dropped, so that no producer
    stays blocked and ``queue.join()`` returns. A consumer counts from the moment it is made, and one that is
    never started only for as long as something refers to it.

    The threads are not daemons: the program ends after they have.

    Args:
        queue: a Headrace queue, or any other for threads with ``get``, ``task_done`` and ``shutdown``
            (``queue.Queue`` from Python 3.13 on). Shared with other threads as they like.
        handler: called with each item, in the new thread; what it returns is ignored. Not needed when
            ``consume`` is overridden.
        name: the thread's name; ``Consumer-1``, ``Consumer-2``, … when left out.

    Raises:
        TypeError: there is neither a handler nor a ``consume``, or it is a coroutine or generator function;
            *queue* is something else.
        NotSupported: the queue has no ``shutdown``.
    """

    def __init__(
        self, queue: GetQueue[T], handler: Callable[[T], object] | None = None, *, name: str | None = None
    ) -> None:
        check_queue(queue, ("get", "task_done", "shutdown"), "consumer")
        if handler is not None:
            check_handler(handler)
        if is_overridden("consume", self, Consumer):
            check_handler(type(self).consume, "consume()")
        elif handler is None:
            raise TypeError(
                "a consumer needs something to do: write Consumer(queue, handler) with a function of one item, "
                "or a subclass with a method consume(item)"
            )
        super().__init__(queue, consumers_of(queue), name or f"Consumer-{next(_numbers)}")
        self.queue = queue
        self._handler = handler

    def consume(self, item: T) -> object:
        """Handle one item: call the handler. Override it. Called in the thread."""
        assert self._handler is not None
        return self._handler(item)

    def run(self) -> None:
        """Take and handle items until the queue is shut down and drained. Called in the thread by ``start``."""
        get, settle = self.queue.get, self.queue.task_done
        # Without the step through consume() that nobody has overridden.
        consume = self.consume if self._handler is None or is_overridden("consume", self, Consumer) else self._handler
        while True:
            try:
                item = get()
            except SHUT_DOWN:
                return
            try:
                result = consume(item)
                if result is not None:
                    refuse_coroutine(consume, result)
                    del result
            except BaseException as error:
                note_item(error, item)
                raise
            finally:
                settle()
            del item  # or it would live until the next one comes
