"""The calls of an asynchronous ``map`` that are open: waiting, running, or ended and not yet yielded."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable

from headrace.consumers.arguments import is_asynchronous
from headrace.consumers.failure import note, note_item, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Any, TypeAlias

    from headrace.aio.hub import Hub
    from headrace.aio.tasks import Tasks

    # [state, item, number]: once the state is no longer WAITING, the result or the error is in the place of the item.
    Call: TypeAlias = list[Any]

__all__ = ["Calls"]

STATE, ITEM, NUMBER = 0, 1, 2
RESULT = ITEM
WAITING, DONE, FAILED = 0, 1, 2


class Calls:
    """The calls of one map, and the tasks that run them. All is done in the thread of the loop, so there are no locks.

    Args:
        function: makes what is awaited for an item.
        hub: of the loop.
        tasks: of the same; these calls alone start any.
        consumers: how many calls run at a time.
        maxsize: how many more may be open.
        ordered: whether their turn is that of the items in the source, or that in which they end.
    """

    __slots__ = (
        "_cancel_reader",
        "_consumers",
        "_function",
        "_hub",
        "_is_beginning",
        "_is_certain",
        "_line",
        "_listeners",
        "_ordered",
        "_reader",
        "_running",
        "_step",
        "_waiting",
        "_window",
        "has_failed",
        "is_read",
        "is_stopped",
        "number",
        "source_error",
        "tasks",
        "yielded",
    )

    def __init__(
        self, function: Callable[[Any], Any], hub: Hub, tasks: Tasks, consumers: int, maxsize: int, ordered: bool
    ) -> None:
        self._function = function
        self._is_certain = is_asynchronous(function)
        self._hub = hub
        self.tasks = tasks
        self._consumers = consumers
        self._window = maxsize + consumers
        # The room that is read for at a time. The calls that are left then are no fewer than the consumers.
        self._step = max(1, maxsize // 4)
        self._ordered = ordered
        self._waiting: deque[Call] = deque()
        # In the order of their turns: all that are open if ordered, else those that have ended.
        self._line: deque[Call] = deque()
        self._running = 0
        self._is_beginning = False
        # Of tasks that wait for a change; and of the reader, when it waits for room.
        self._listeners: list[Any] = []
        self._reader: Any = None
        self._cancel_reader: Callable[[], object] | None = None
        self.number = 0  # of the item that was read last, counted from 1
        self.yielded = 0
        self.is_read = False  # the source has ended or failed
        self.source_error: BaseException | None = None
        self.has_failed = False  # one of them: no other is begun
        self.is_stopped = False  # the same, and nobody wants what comes of those that are running

    # ---- items ----

    def room(self) -> int:
        """How many items may be read."""
        return self._window - (self.number - self.yielded)

    def has_much_room(self) -> bool:
        """Whether it is worth while to read."""
        return self.room() >= self._step

    def is_over(self) -> bool:
        """Whether no more calls are begun."""
        return self.has_failed or self.is_stopped

    def add(self, item: Any) -> None:
        """Call the function with *item*, now or when others have ended."""
        self.number += 1
        call = [WAITING, item, self.number]
        if self._ordered:
            self._line.append(call)
        self._waiting.append(call)
        self._begin()

    def read(self, items: AsyncIterator[Any]) -> None:
        """Add all *items*, as there is room for them, in a task of its own."""
        self._cancel_reader = self.tasks.start(self._read(items))

    async def _read(self, items: AsyncIterator[Any]) -> None:
        try:
            while not self.is_over():
                if not self.room():
                    await self._sleep_until_there_is_room()
                    continue
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                if not self.is_over():
                    self.add(item)
                del item
        except self.tasks.untouchable:
            raise
        except BaseException as error:
            if not self.is_over():
                self.keep_source_error(error)
        finally:
            self.is_read = True
            self._tell()

    async def _sleep_until_there_is_room(self) -> None:
        self._reader = self._hub.sleeper()
        try:
            await self._hub.sleep(self._reader, None)
        finally:
            self._reader = None

    def keep_source_error(self, error: BaseException) -> None:
        """The source has failed: *error* is raised after the results of what came before."""
        if self.number:
            note(error, f"after item {self.number} of the source")
        self.source_error = error
        self.is_read = True

    # ---- calls ----

    def _begin(self) -> None:
        """Begin calls that wait, as many as may run."""
        if self._is_beginning:
            return  # by a loop that starts tasks within create_task; the one below goes on
        self._is_beginning = True
        try:
            while self._waiting and self._running < self._consumers:
                self._running += 1
                self.tasks.start(self._run(self._waiting.popleft()))
        finally:
            self._is_beginning = False

    async def _run(self, call: Call) -> None:
        try:
            call[RESULT] = await self._awaitable(call[ITEM])
            call[STATE] = DONE
        except self.tasks.untouchable:
            self.is_stopped = True  # the loop ends
            raise
        except BaseException as error:
            if not self.is_stopped:
                self._fail(call, error)
        finally:
            self._running -= 1
            if not self.is_stopped:
                self._end(call)
            del call  # an error's traceback refers to this frame: no cycle

    def _awaitable(self, item: Any) -> Awaitable[Any]:
        awaitable: Awaitable[Any] = self._function(item)
        if self._is_certain or isinstance(awaitable, Awaitable):  # pyright: ignore[reportUnnecessaryIsInstance]
            return awaitable
        raise TypeError(
            f"{self._function!r} returned {shown(awaitable)}, which cannot be awaited: make it a coroutine function "
            "(async def), or use headrace.map, which calls it in threads"
        )

    def _fail(self, call: Call, error: BaseException) -> None:
        note_item(error, call[ITEM], call[NUMBER])
        call[RESULT] = error
        call[STATE] = FAILED
        self.has_failed = True
        self._waiting.clear()
        if self._cancel_reader is not None and not self.is_read:
            self._cancel_reader()

    def _end(self, call: Call) -> None:
        if not self._ordered:
            self._line.append(call)
        self._begin()
        if self.has_result():
            self._tell()

    # ---- results ----

    def has_result(self) -> bool:
        """Whether the call whose turn it is has ended."""
        return bool(self._line) and self._line[0][STATE] != WAITING

    def next_has_failed(self) -> bool:
        """Whether it has failed, given that it has ended."""
        return bool(self._line[0][STATE] == FAILED)

    def take(self) -> Any:
        """Take out what the call has returned or raised whose turn it is. It has ended."""
        self.yielded += 1
        if self._reader is not None and self.has_much_room():
            self._hub.rouse(self._reader)
        return self._line.popleft()[RESULT]

    def failures(self) -> list[BaseException]:
        """What has been raised by now and was not taken."""
        return [call[RESULT] for call in self._line if call[STATE] == FAILED]

    def are_at_their_end(self) -> bool:
        """Whether none is open, and there is no other item."""
        return self.is_read and self.number == self.yielded

    async def turn(self) -> None:
        """Let the loop do what else it has to do."""
        await self._hub.turn()

    async def listen(self) -> None:
        """Wait until the call whose turn it is has ended, the source has, or they are stopped."""
        sleeper = self._hub.sleeper()
        self._listeners.append(sleeper)
        try:
            await self._hub.sleep(sleeper, None)
        finally:
            self._listeners.remove(sleeper)

    def _tell(self) -> None:
        for sleeper in self._listeners:
            self._hub.rouse(sleeper)

    def stop(self) -> None:
        """Cancel all, begin nothing more, and drop what they return or raise. May be called again."""
        self.is_stopped = True
        self._waiting.clear()
        self.tasks.cancel()
        self._tell()

    def drop(self) -> None:
        """Forget what was not taken. For when all have ended."""
        self._line.clear()
