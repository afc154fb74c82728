"""``AsyncMapIterator``: reads a source, has tasks work on its items, and yields their results."""

from __future__ import annotations

from asyncio import CancelledError
from time import monotonic
from types import AsyncGeneratorType

from headrace.aio.hub import here
from headrace.aio.map_calls import Calls
from headrace.aio.tasks import tasks_of
from headrace.consumers.arguments import close_if_generator
from headrace.consumers.async_source import is_asynchronous_iterable, iterate_somehow
from headrace.consumers.failure import note, note_earlier, shown
from headrace.generic import Subscriptable, T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Any, NoReturn

    from headrace.aio.hub import Hub

__all__ = ["AsyncMapIterator"]

# How long an ordinary iterable is read at a time, in seconds, before the loop may do something else.
QUICK = 0.001


class AsyncMapIterator(Subscriptable[T]):
    """The results of an asynchronous ``map``, one for each ``anext()``. Made by ``headrace.aio.map``."""

    # The tasks know the calls and not this object: so it can be dropped while they run, which ends them.
    __slots__ = (
        "__weakref__",
        "_calls",
        "_consumers",
        "_function",
        "_hub",
        "_is_closed",
        "_is_slow",
        "_items",
        "_maxsize",
        "_ordered",
        "_reads",
    )

    def __init__(
        self, function: Callable[[Any], Awaitable[T]], source: Any, consumers: int, maxsize: int, ordered: bool
    ) -> None:
        self._function = function
        self._consumers = consumers
        self._maxsize = maxsize
        self._ordered = ordered
        self._items: Any = source  # the iterator over it, once there are calls
        self._calls: Calls | None = None
        self._hub: Hub | None = None  # of the loop that it was begun in
        self._reads = False  # itself, as the source is an ordinary iterable
        self._is_slow = False  # such a source: it took long for its last item
        self._is_closed = False  # for good: there is nothing more to yield

    def __aiter__(self) -> AsyncMapIterator[T]:
        return self

    async def __anext__(self) -> T:
        """The next result, waited for.

        Being cancelled ends the map as ``aclose`` does, and the cancellation is raised when all calls have ended.

        Raises:
            StopAsyncIteration: there is no other one, or the iterator was closed.
            Exception: what the function raised for the item whose turn it is, or the source in the end.
            RuntimeError: called from within, by the function or by the source of this very map, which would wait for
                itself; or in another event loop; or the function raised StopAsyncIteration or CancelledError, which
                here would mean something else.
        """
        if self._is_closed:
            raise StopAsyncIteration
        calls = self._calls
        if calls is None:
            calls = self._start()
        elif calls.has_result() and not calls.next_has_failed() and not self._should_read(calls):
            result: T = calls.take()
            return result
        elif here() is not self._hub:
            raise RuntimeError("a map yields its results in the event loop where it was begun: this is another one")
        elif calls.tasks.is_inside():
            raise RuntimeError(
                "the function or the source of a map asked that map for a result, which would wait for itself: "
                "iterate over it where it was made"
            )
        try:
            return await self._collect(calls)
        except GeneratorExit:
            calls.stop()  # the caller is dropped and may not wait
            raise
        except BaseException as error:
            if not self._is_closed:
                await self._give_up(calls, error)
            raise

    async def aclose(self) -> None:
        """End it: begin no further item, cancel calls that are running and wait for them, and close a generator.

        What those calls return or raise is dropped. Another task that waits for a result gets StopAsyncIteration. May
        be called several times; the function itself may call it too, which does not wait. If it is cancelled, that is
        raised when the calls have ended.
        """
        self._is_closed = True
        calls = self._calls
        if calls is None:
            await self._close_source()
            return
        calls.stop()
        if not calls.tasks.is_inside():
            await self._finish(calls)

    async def __aenter__(self) -> AsyncMapIterator[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        calls = getattr(self, "_calls", None)
        if calls is not None and not self._is_closed:
            calls.tasks.call(calls.stop)

    # ---- a turn ----

    def _start(self) -> Calls:
        """Begin to iterate over the source."""
        self._hub = here()
        tasks = tasks_of(self._hub)
        try:
            self._items = iterate_somehow(self._items)
        except BaseException:
            self._is_closed = True
            self._items = ()
            raise
        calls = self._calls = Calls(self._function, self._hub, tasks, self._consumers, self._maxsize, self._ordered)
        self._reads = not is_asynchronous_iterable(self._items)
        if not self._reads:
            calls.read(self._items)
        return calls

    async def _collect(self, calls: Calls) -> T:
        while True:
            if self._should_read(calls):
                self._read_ahead(calls)
            if self._is_closed:
                break  # by another task, or by the function
            if calls.has_result():
                if calls.next_has_failed():
                    await self._raise_failure(calls)
                result: T = calls.take()
                return result
            if calls.are_at_their_end():
                await self._end(calls)
            if self._should_read(calls):
                await calls.turn()  # it has been read for long enough at a time
            else:
                await calls.listen()
        await self._finish(calls)
        raise StopAsyncIteration

    def _should_read(self, calls: Calls) -> bool:
        """Whether there are items to read here. A result that is ready comes before few of them, or slow ones."""
        if not self._reads or calls.is_read or calls.is_over():
            return False
        if calls.has_result():
            return calls.has_much_room() and not self._is_slow
        return calls.room() > 0

    def _read_ahead(self, calls: Calls) -> None:
        """Read items of an ordinary iterable while there is room for them, and not for long."""
        begun = last = monotonic()
        while calls.room() and not calls.is_over():
            try:
                item = next(self._items)
            except StopIteration:
                calls.is_read = True
                return
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                calls.keep_source_error(error)
                return
            calls.add(item)
            del item
            now = monotonic()
            self._is_slow = now - last > QUICK
            last = now
            if now - begun > QUICK:
                return

    async def _end(self, calls: Calls) -> NoReturn:
        """There is no call left: raise what the source raised, or StopAsyncIteration."""
        self._is_closed = True
        error = calls.source_error
        calls.source_error = None
        try:
            await self._finish(calls)
            if error is None:
                raise StopAsyncIteration
            _raise(error, "source")
        finally:
            del error  # its traceback refers to this frame

    async def _raise_failure(self, calls: Calls) -> NoReturn:
        """Wait for the calls that are running, and raise the failure whose turn it is. Others become notes on it."""
        error: BaseException = calls.take()
        try:
            try:
                await calls.tasks.wait()
            except BaseException as interrupt:
                note_earlier(interrupt, [error])
                raise
            self._is_closed = True
            self._note_others(calls, error)
            try:
                await self._finish(calls)
            except Exception as closing:
                note(error, f"closing the source failed too: {shown(closing)}")
            _raise(error, "function")
        finally:
            del error  # its traceback refers to this frame

    def _note_others(self, calls: Calls, error: BaseException) -> None:
        for other in calls.failures():
            note(error, f"at the same time another item had failed: {shown(other)}")
        if calls.source_error is not None:
            note(error, f"the source had failed too: {shown(calls.source_error)}")

    async def _give_up(self, calls: Calls, error: BaseException) -> None:
        """Cancel all, and wait for it. Failures become notes: they must not hide why."""
        self._is_closed = True
        calls.stop()
        self._note_others(calls, error)
        try:
            await self._finish(calls)
        except CancelledError:
            pass  # cancelled again; the first is raised
        except Exception as closing:
            note(error, f"closing the source failed too: {shown(closing)}")

    # ---- the end ----

    async def _finish(self, calls: Calls) -> None:
        """Cancel what runs, wait for it, and then close the source: calls may use what it holds open."""
        self._is_closed = True
        calls.stop()
        try:
            await calls.tasks.wait_in_any_case()
        finally:
            calls.drop()
            await self._close_source()

    async def _close_source(self) -> None:
        items = self._items
        if isinstance(items, AsyncGeneratorType):
            self._items = ()  # first: another task may come to close it meanwhile
            await items.aclose()
        else:
            close_if_generator(items)
            self._items = ()  # after that: an interrupt may make this necessary once more


def _raise(error: BaseException, whose: str) -> NoReturn:
    """Raise *error*, or RuntimeError if it would mean something else to the caller."""
    try:
        if isinstance(error, (CancelledError, StopAsyncIteration, StopIteration)):
            raise RuntimeError(
                f"the {whose} of a map raised {type(error).__name__}, which would mean something else to who iterates"
            ) from error
        raise error
    finally:
        del error
