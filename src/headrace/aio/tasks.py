"""Tasks that run beside the caller, in ``asyncio`` or ``trio``, and are ended by who started them."""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from contextvars import copy_context

from headrace.aio.hub import TrioHub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from headrace.aio.hub import Hub

__all__ = ["Tasks", "tasks_of"]


class Tasks(ABC):
    """Tasks of one event loop. Each begins in the context that they were made in, and must raise nothing.

    All but ``call`` is for the loop's thread.
    """

    # What a task must not keep for itself: its library wants it.
    untouchable: tuple[type[BaseException], ...] = (GeneratorExit,)

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._context = copy_context()
        # What cancels it, for each that has not ended.
        self._running: dict[Any, Callable[[], object]] = {}
        self._waiting: list[Any] = []

    @abstractmethod
    def start(self, coroutine: Coroutine[Any, Any, None]) -> Callable[[], object]:
        """Start a task, and return what cancels it."""

    @abstractmethod
    def call(self, function: Callable[[], object]) -> None:
        """Call *function* in the loop's thread: now if this is it, else soon, if the loop has not ended."""

    def is_inside(self) -> bool:
        """Whether the caller runs in one of them."""
        return self._current() in self._running

    def cancel(self) -> None:
        """Cancel all, but for the one that calls this."""
        current = self._current()
        for task, cancel in [*self._running.items()]:
            if task is not current:
                cancel()

    async def wait(self) -> None:
        """Wait until all have ended."""
        while self._running:
            sleeper = self._hub.sleeper()
            self._waiting.append(sleeper)
            try:
                await self._hub.sleep(sleeper, None)
            finally:
                self._waiting.remove(sleeper)

    @abstractmethod
    async def wait_in_any_case(self) -> None:
        """The same though the caller is cancelled. That is raised afterwards."""

    @abstractmethod
    def _current(self) -> Any:
        """The task that runs, in which the caller is; None if it is in none."""

    def _end(self, task: Any) -> None:
        self._running.pop(task, None)
        if not self._running:
            for sleeper in self._waiting:
                self._hub.rouse(sleeper)


class AsyncioTasks(Tasks):
    """Of a loop of asyncio."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._loop = asyncio.get_running_loop()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> Callable[[], object]:
        task = self._loop.create_task(coroutine, context=self._context.copy())
        self._running[task] = task.cancel
        # Not the task's last step: one that is cancelled before its first has none.
        task.add_done_callback(self._end)
        return task.cancel

    def call(self, function: Callable[[], object]) -> None:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            function()
            return
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # it is closed, and its tasks run no more

    async def wait_in_any_case(self) -> None:
        cancelled: BaseException | None = None
        while self._running:
            try:
                await self.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        try:
            if cancelled is not None:
                raise cancelled
        finally:
            del cancelled  # its traceback refers to this frame

    def _current(self) -> Any:
        try:
            return asyncio.current_task()
        except RuntimeError:
            return None


class TrioTasks(Tasks):
    """Of a run of trio: system tasks, for only those need no nursery that ends where it began."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._trio: Any = sys.modules["trio"]
        self._token = self._trio.lowlevel.current_trio_token()
        self.untouchable = (GeneratorExit, self._trio.Cancelled)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> Callable[[], object]:
        scope = self._trio.CancelScope()
        task = self._trio.lowlevel.spawn_system_task(
            self._run, scope, coroutine, name="headrace map", context=self._context.copy()
        )
        self._running[task] = scope.cancel
        cancel: Callable[[], object] = scope.cancel
        return cancel

    async def _run(self, scope: Any, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            with scope:
                await coroutine
        finally:
            self._end(self._current())

    def call(self, function: Callable[[], object]) -> None:
        lowlevel = self._trio.lowlevel
        if lowlevel.in_trio_run() and lowlevel.current_trio_token() is self._token:
            function()
            return
        try:
            self._token.run_sync_soon(function)
        except self._trio.RunFinishedError:
            pass

    async def wait_in_any_case(self) -> None:
        with self._trio.CancelScope(shield=True):
            await self.wait()

    def _current(self) -> Any:
        try:
            return self._trio.lowlevel.current_task()
        except RuntimeError:
            return None


def tasks_of(hub: Hub) -> Tasks:
    """Tasks of the loop whose hub it is, which is the one that runs here."""
    return TrioTasks(hub) if isinstance(hub, TrioHub) else AsyncioTasks(hub)
