"""``Producer``: the thread that puts items into a queue."""

from __future__ import annotations

from itertools import count

from headrace.consumers.arguments import (
    SHUT_DOWN,
    check_open,
    check_queue,
    check_source,
    close_if_generator,
    is_overridden,
    iterate,
)
from headrace.consumers.registry import producers_of
from headrace.consumers.worker import Worker
from headrace.generic import T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol, TypeVar

    from headrace.consumers.arguments import Source

    T_contra = TypeVar("T_contra", contravariant=True)

    class PutQueue(Protocol[T_contra]):
        """What a producer needs of a queue."""

        def put(self, item: T_contra) -> Any: ...
        def shutdown(self, immediate: bool = ...) -> Any: ...


__all__ = ["Producer"]

_numbers = count(1)


class Producer(Worker[T]):
    """A thread that puts items into a queue and, when it was the last one to do so, shuts the queue down.

    Either give it a source, or write a subclass with a method ``produce()``, a generator::

        Producer(queue, open("names.txt")).start()

        class Countdown(Producer):
            def produce(self):
                yield from range(10, 0, -1)

    The queue knows its producers. When the last of them ends, the queue is shut down: its consumers get the
    items that are left, and end too. A producer counts from the moment it is made, so that one that is
    quickly done does not shut the queue down before the next is started. One that is never started
    counts only for as long as something refers to it. A producer that fails has ended like any other: what it put
    is consumed, and its ``join`` raises the error. When the queue is shut down by somebody else, the producer
    ends quietly and closes its generator; the item that could not be put any more is lost.

    The threads are not daemons: the program ends after they have.

    Args:
        queue: a Headrace queue, or any other for threads with ``put`` and ``shutdown`` (``queue.Queue`` from
            Python 3.13 on). Shared with other threads as they like.
        source: an iterable, or a function without arguments that returns one (a generator function, say).
            Both are called and iterated over in the new thread. Not needed when ``produce`` is overridden.
        name: the thread's name; ``Producer-1``, ``Producer-2``, … when left out.

    Raises:
        TypeError: there is neither a source nor a ``produce``; *source* or *queue* is something else.
        NotSupported: the queue has no ``shutdown``.
        ShutDown: the queue has been shut down already, by the end of an earlier run, say.
    """

    _ends_the_queue = True

    def __init__(self, queue: PutQueue[T], source: Source[T] | None = None, *, name: str | None = None) -> None:
        check_queue(queue, ("put", "shutdown"), "producer")
        check_open(queue, "producer")
        if source is not None:
            check_source(source)
        elif not is_overridden("produce", self, Producer):
            raise TypeError(
                "a producer needs something to produce: write Producer(queue, source) with an iterable or a generator "
                "function, or a subclass with a method produce()"
            )
        super().__init__(queue, producers_of(queue), name or f"Producer-{next(_numbers)}")
        self.queue = queue
        self._source = source

    def produce(self) -> Iterable[T]:
        """Return the items to put: those of the source. Override it with a generator; called once, in the thread."""
        assert self._source is not None
        return iterate(self._source)

    def run(self) -> None:
        """Put all that ``produce`` yields. Called in the thread by ``start``."""
        items = iterate(self.produce)
        self._source = None  # what was produced must not live as long as this object
        put = self.queue.put
        try:
            for item in items:
                try:
                    put(item)
                except SHUT_DOWN:
                    return
                del item  # or it would live until the source yields another
        finally:
            close_if_generator(items)
