"""What every rung promises: the names, their meanings, and the record that ``stats()`` returns."""

from __future__ import annotations

from collections import namedtuple

__all__ = ["Stats"]

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any, NamedTuple, Protocol, TypeVar

    from headrace.backends.memory.dead import DeadLetter
    from headrace.backends.memory.envelope import Envelope

    T = TypeVar("T")

    class Stats(NamedTuple):
        """One look at a queue, taken at one instant."""

        waiting: int
        unfinished: int
        maxsize: int
        put_total: int
        get_total: int
        dropped_total: int
        getters_blocked: int
        putters_blocked: int
        is_shutdown: bool
        delayed: int = 0
        dead: int = 0

        @property
        def leased(self) -> int:
            """Items that consumers hold."""
            ...

        def _repr_html_(self) -> str: ...

    class QueueContract(Protocol[T]):
        """The methods that producers, consumers and the command line rely on, and no others."""

        @property
        def maxsize(self) -> int: ...
        @property
        def is_shutdown(self) -> bool: ...
        def put(self, item: T, block: bool = True, timeout: float | None = None) -> None: ...
        def put_nowait(self, item: T) -> None: ...
        def put_many(self, items: Iterable[T], block: bool = True, timeout: float | None = None) -> None: ...
        def get(self, block: bool = True, timeout: float | None = None) -> T: ...
        def get_nowait(self) -> T: ...
        def get_many(self, max_items: int, block: bool = True, timeout: float | None = None) -> list[T]: ...
        def item(self, block: bool = True, timeout: float | None = None) -> AbstractContextManager[T]: ...
        def task_done(self, count: int = 1) -> None: ...
        def join(self, timeout: float | None = None) -> None: ...
        def qsize(self) -> int: ...
        def empty(self) -> bool: ...
        def full(self) -> bool: ...
        def shutdown(self, immediate: bool = False) -> None: ...
        def stats(self) -> Stats: ...
        def __iter__(self) -> Iterator[T]: ...

    class LeasingContract(QueueContract[T], Protocol[T]):
        """What leases and pools rely on beside it. A backend that has these has pools, retries and dead letters.

        What is taken is *raw*: a bare item, or an ``Envelope``, which may be of a class of the backend's own with
        more in it. What was taken is settled by one call of ``_settle``, ``_retry``, ``_put_back`` or ``_bury``, by
        any thread, and when a pool was told not to wait for its handlers, after the pool has ended too. These four and
        ``_extend`` raise ``LeaseLost`` where the item is not ours any more, and change nothing then. The first three
        never wait for room, and work in a queue that is shut down.

        The queue has a ``__dict__`` and can be referred to weakly: a pool hides ``task_done``, ``put`` and ``put_many``
        by attributes of the object. So the methods here call those of the class (``_settle``, ``_put_with_headers``),
        and ``put_nowait`` calls ``put`` by its name.

        ``shutdown`` and ``_interrupt`` are called in signal handlers too, at any point of the main thread, be it inside
        of a method of this queue.
        """

        @property
        def dead(self) -> Any:
            """The dead letters: iterable, the oldest first. See ``headrace.DeadLetters``."""
            ...

        def lease(self, block: bool = True, timeout: float | None = None) -> Any:
            """``headrace.lease.Lease(self, block, timeout)``."""
            ...

        def _take(
            self,
            stop: list[Any] | None,
            block: bool = True,
            timeout: float | None = None,
            hand: list[Any] | None = None,
        ) -> Any:
            """Take the next item, waiting for one, as it lies in the queue. Raises as ``get`` does.

            With a list *stop* it is for who works in a pool: it raises ``TakingStopped`` as soon as there is something
            in the list, be it from the beginning (who puts it there calls ``_interrupt``), and once the queue is shut
            down ``ShutDown`` when every item is settled, not before: what others hold may fail and come back.

            With a list *hand* what is taken is appended to that, and not returned: no interrupt can fall between.
            """
            ...

        def _settle(self, raw: Any, /) -> None:
            """The item of *raw* is done. *raw* is as ``_take`` gave it, or in an ``Envelope`` if that was bare."""
            ...

        def _retry(self, envelope: Envelope, delay: float, error: BaseException | None = None) -> DeadLetter | None:
            """Deliver the item again in *delay* seconds, as its next attempt: ``attempt`` goes up.

            Until then it counts as unfinished, not as waiting. *error* is what it failed with, if that is known.
            Returns its dead letter if the queue refuses to have it again; ``attempt`` is as it was then.
            """
            ...

        def _put_back(self, envelope: Envelope) -> DeadLetter | None:
            """Have an item that was not begun be the next one to be taken, as if it had not been taken.

            Returns its dead letter if the queue refuses to have it again.
            """
            ...

        def _bury(self, envelope: Envelope, error: BaseException) -> DeadLetter:
            """Make a dead letter of the item. It counts as done. The traceback is taken off *error*."""
            ...

        def _number(self, envelope: Envelope) -> int:
            """The id of the item, which stays the same for all its deliveries."""
            ...

        def _extend(self, envelope: Envelope) -> None:
            """Check that the item is still ours, and have the lease last longer where it can run out."""
            ...

        def _put_with_headers(
            self,
            item: T,
            headers: dict[str, str] | None,
            block: bool = True,
            timeout: float | None = None,
            **more: Any,
        ) -> None:
            """``put`` of the class, with what a listener attached: the envelopes of the item have these ``headers``."""
            ...

        def _interrupt(self) -> None:
            """Let all who wait in ``_take`` and ``_join`` look at their lists. Never blocks for long."""
            ...

        def _join(self, stop: list[Any], /) -> None:
            """``join`` that raises ``TakingStopped`` once there is something in *stop*."""
            ...

    class ReadingAheadContract(LeasingContract[T], Protocol[T]):
        """What a backend has beside it that takes items before they are asked for. Both methods, or neither."""

        def _begin_taking(self, consumers: int) -> None:
            """A pool is about to take, with so many consumers: ``resize`` may make them more or fewer.

            Called before the first of them starts. Several pools may do it at a time, each once.
            """
            ...

        def _end_taking(self) -> None:
            """A pool that has begun takes no more, however it ended: what was read ahead for it is not to be begun.

            Called once for each ``_begin_taking`` that returned. Handlers that the pool has given up may still be
            running; consumers that were told to stop may still come to ``_take``, which refuses, and to ``_put_back``.
            """
            ...

else:
    # typing costs several milliseconds at import; a namedtuple is the same record.
    class Stats(
        namedtuple(
            "Stats",
            "waiting unfinished maxsize put_total get_total dropped_total getters_blocked putters_blocked is_shutdown "
            "delayed dead",
            defaults=(0, 0),
        )
    ):
        """One look at a queue, taken at one instant.

        Attributes:
            waiting: items in the queue now.
            unfinished: items put and not yet settled by ``task_done``; ``join`` waits for 0.
            maxsize: the bound on ``waiting``; 0 or less is no bound.
            put_total: items that went in since the queue was made.
            get_total: deliveries: items that came out to a consumer, each time that they did.
            dropped_total: items that ``clear`` or ``shutdown(immediate=True)`` dropped.
            getters_blocked: threads asleep in ``get``.
            putters_blocked: threads asleep in ``put``.
            is_shutdown: whether ``shutdown`` was called.
            delayed: unfinished items that failed and wait for their time to be ready again. Not in ``waiting``.
            dead: dead letters, which count as done.
        """

        __slots__ = ()

        @property
        def leased(self) -> int:
            """Items that consumers hold: taken, and neither settled nor given back."""
            return max(0, self.unfinished - self.waiting - self.delayed)

        def _repr_html_(self) -> str:
            from headrace.html import table

            return table("Stats", list(zip(self._fields, self, strict=True)))
