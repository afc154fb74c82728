"""What every rung promises: the names, their meanings, and the record that ``stats()`` returns."""

from __future__ import annotations

from collections import namedtuple

__all__ = ["Stats"]

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any, NamedTuple, Protocol, TypeVar

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

        ``_take``, ``_give_back``, ``_interrupt`` and ``_join`` are said in full in ``csrc/returned.c``.
        """

        @property
        def dead(self) -> Any: ...
        def lease(self, block: bool = True, timeout: float | None = None) -> Any: ...
        def _take(self, stop: list[Any] | None, block: bool = True, timeout: float | None = None) -> Any: ...
        def _give_back(self, item: Any, front: bool = False, /) -> None: ...
        def _interrupt(self) -> None: ...
        def _join(self, stop: list[Any], /) -> None: ...

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
