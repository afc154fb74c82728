"""What ``async for`` and ``async with`` take from a queue."""

from __future__ import annotations

from headrace.aio.post import GETTERS
from headrace.aio.waiting import wait_until
from headrace.backends.memory.python import deadline_after
from headrace.errors import Empty
from headrace.generic import Subscriptable, T
from headrace.lease import Lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator
    from types import TracebackType
    from typing import Any

    from headrace.aio.queue import AsyncQueue

__all__ = ["AsyncItem", "AsyncItems", "AsyncLease"]


class AsyncItems(Subscriptable[T]):
    """The items of a queue until it is shut down and drained."""

    __slots__ = ("_face",)

    def __init__(self, face: Any) -> None:
        self._face = face

    def __aiter__(self) -> AsyncItems[T]:
        return self

    def __anext__(self) -> Awaitable[T]:
        following: Awaitable[T] = self._face._next()
        return following


class AsyncItem(Subscriptable[T]):
    """Gets on entering, and settles on leaving whatever happens. Made by ``AsyncQueue.item``."""

    __slots__ = ("_face", "_timeout")

    def __init__(self, face: AsyncQueue[T], timeout: float | None) -> None:
        self._face = face
        self._timeout = timeout

    async def __aenter__(self) -> T:
        return await self._face.get(self._timeout)

    async def __aexit__(self, *error: object) -> None:
        self._face.task_done()


class AsyncLease(Subscriptable[T]):
    """Takes the next item under a lease: ``async with`` it, or await it. Made by ``AsyncQueue.lease``."""

    __slots__ = ("_face", "_lease", "_timeout")

    def __init__(self, face: AsyncQueue[T], timeout: float | None) -> None:
        self._face = face
        self._timeout = timeout

    def __await__(self) -> Generator[Any, Any, Lease[T]]:
        return self._begin().__await__()

    async def _begin(self) -> Lease[T]:
        queue = self._face.sync
        # What is taken lies in the lease's hand at once: an interrupt leaves it to the lease, which gives it back.
        lease: Any = Lease.__new__(Lease)  # pyright: ignore[reportUnknownVariableType]
        lease._queue = queue
        hand: list[Any] = []
        lease._hand = hand
        await wait_until(
            queue, GETTERS, lambda: queue._take(None, False, None, hand), Empty, deadline_after(self._timeout)
        )
        lease._open()
        begun: Lease[T] = lease
        return begun

    async def __aenter__(self) -> Lease[T]:
        self._lease = await self._begin()
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lease.__exit__(kind, error, traceback)
