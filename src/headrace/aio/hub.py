"""Hubs: what wakes the coroutines of one event loop, from any thread.

A hub belongs to one running loop of ``asyncio`` (``uvloop``'s too) or one run of ``trio``. Its posts (``post.py``) are
woken by whoever changes a queue; the first of a burst writes to a descriptor that the loop watches, and the loop then
lets all posts that were woken look. So a wake-up runs none of the loop's code in another thread, and a burst of them
costs one system call.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from abc import ABCMeta, abstractmethod
from time import monotonic
from weakref import WeakKeyDictionary, ref

from headrace.backends.memory import loops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, Self

    from headrace.aio.post import Post

__all__ = ["Hub", "here", "look_here"]

# Whether loops can watch a descriptor: those of Windows, most of which wait for completions, are called instead.
WATCHES = sys.platform != "win32"


class Bell:
    """A descriptor that others write to and a loop watches: an eventfd where there is one, else a pair of sockets.

    The writer is the hub's, which closes it: as long as there are posts that could ring, the hub lives.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        if hasattr(os, "eventfd"):
            self.reader = self.writer = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._socket, other = socket.socketpair()
            for end in (self._socket, other):
                end.setblocking(False)
            self.reader, self.writer = self._socket.fileno(), other.detach()

    def silence(self) -> None:
        """Take out what was written."""
        try:
            while len(os.read(self.reader, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def __del__(self) -> None:
        if self._socket is not None:
            self._socket.close()


class Hub(loops.Hub, metaclass=ABCMeta):
    """The waiting coroutines of one loop. Everything but the wake-up of a post is done in the loop's thread."""

    bell: Bell | None
    # Those with coroutines that wait, by queue and line.
    posts: dict[tuple[int, int], Post]
    # One that nobody waits at, to be used again.
    spare: Post | None
    is_looking: bool
    process: int

    def __new__(cls, bell: Bell | None, callback: Callable[[], object] | None = None) -> Self:
        """A hub that is woken by a bell, or else by calling *callback* in any thread."""
        self = super().__new__(cls, -1, callback) if bell is None else super().__new__(cls, bell.writer)
        self.bell = bell
        self.posts = {}
        self.spare = None
        self.is_looking = False
        self.process = os.getpid()
        return self

    def __init__(self, bell: Bell | None, callback: Callable[[], object] | None = None) -> None:
        """Nothing more."""

    def ring_out(self) -> None:
        """Let the posts that were woken look. Called by the loop."""
        if self.bell is not None:
            self.bell.silence()
        self.let_look()

    def let_look(self) -> None:
        """Let the posts that were woken so far look. In the loop's thread."""
        if self.is_looking:
            return  # a destructor's or a signal handler's, just here: the loop hears of those whom it woke
        self.is_looking = True
        try:
            self._let_look(self.collect())
        finally:
            self.is_looking = False

    def _let_look(self, woken: list[Post]) -> None:
        try:
            while woken:
                woken[-1].deliver()
                woken.pop()
        except BaseException:  # a signal handler's
            for post in woken:
                post.wake(True)
            raise

    # -- what the libraries do each in its way ---------------------------------------------------

    @abstractmethod
    def sleeper(self) -> Any:
        """What one coroutine sleeps on, once."""

    @abstractmethod
    def sleep(self, sleeper: Any, deadline: float | None) -> Awaitable[None]:
        """To be awaited: sleep until roused, or until *deadline* on the monotonic clock."""

    @abstractmethod
    def rouse(self, sleeper: Any) -> bool:
        """End the sleep. False if the loop is closed, and nobody will ever look."""

    @abstractmethod
    async def turn(self) -> None:
        """Let the loop do what else it has to do, unless it has since this was last called."""


def expire(sleeper: asyncio.Future[None]) -> None:
    """The time is up."""
    if not sleeper.done():
        sleeper.set_result(None)


class AsyncioHub(Hub):
    """Of a loop of asyncio, or of one that is like it."""

    def __init__(self, bell: Bell | None, callback: Callable[[], object] | None = None) -> None:
        """Belong to the running loop."""
        self.loop = ref(asyncio.get_running_loop())
        # Whether it has had a turn since turn() was last called.
        self.has_run = True

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> AsyncioHub:
        """A new one for the running *loop*."""
        if WATCHES:
            bell = Bell()
            hub = cls(bell)
            try:
                loop.add_reader(bell.reader, hub.ring_out)
                return hub
            except NotImplementedError:
                pass  # by loops that wait for completions: they are called, as on Windows
        weak = ref(loop)

        def call() -> None:
            loop = weak()
            if loop is not None:
                loop.call_soon_threadsafe(called.ring_out)

        called = cls(None, call)
        return called

    def sleeper(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def sleep(self, sleeper: asyncio.Future[None], deadline: float | None) -> Awaitable[None]:
        if sleeper.done():
            # Awaiting it would not let the loop run: who is roused again and again, for a class that refuses what it
            # has, would keep it for ever.
            return asyncio.sleep(0)
        return sleeper if deadline is None else self._sleep_until(sleeper, deadline)

    async def _sleep_until(self, sleeper: asyncio.Future[None], deadline: float) -> None:
        alarm = asyncio.get_running_loop().call_later(max(0.0, deadline - monotonic()), expire, sleeper)
        try:
            await sleeper
        finally:
            alarm.cancel()

    def rouse(self, sleeper: asyncio.Future[None]) -> bool:
        if not sleeper.done():
            try:
                sleeper.set_result(None)
            except RuntimeError:  # the loop is closed
                return False
        return True

    async def turn(self) -> None:
        if self.has_run:
            self.has_run = False
            asyncio.get_running_loop().call_soon(self._note_turn)
        else:
            await asyncio.sleep(0)

    def _note_turn(self) -> None:
        self.has_run = True


class TrioSleeper:
    """A task of trio that sleeps, or does not yet."""

    __slots__ = ("is_roused", "task")

    def __init__(self) -> None:
        self.task: Any = None
        self.is_roused = False


class TrioHub(Hub):
    """Of one run of trio."""

    def __init__(self, bell: Bell | None, callback: Callable[[], object] | None = None) -> None:
        """Belong to the run that is at work."""
        # Not imported by its name: type checkers need not have it.
        self.trio: Any = sys.modules["trio"]

    @classmethod
    def of_this_run(cls) -> TrioHub:
        """A new one for the run that is at work."""
        lowlevel = sys.modules["trio"].lowlevel
        if WATCHES:
            hub = cls(Bell())
            lowlevel.spawn_system_task(hub.pump, name="headrace hub")
            return hub
        token = lowlevel.current_trio_token()
        called = cls(None, lambda: token.run_sync_soon(called.ring_out, idempotent=True))
        return called

    async def pump(self) -> None:
        """A system task: hears the bell for as long as the run lasts."""
        assert self.bell is not None
        while True:
            await self.trio.lowlevel.wait_readable(self.bell.reader)
            self.ring_out()

    def sleeper(self) -> TrioSleeper:
        return TrioSleeper()

    async def sleep(self, sleeper: TrioSleeper, deadline: float | None) -> None:
        trio = self.trio
        if sleeper.is_roused:
            await trio.lowlevel.checkpoint()
            return

        def abort(_: object) -> Any:
            sleeper.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        sleeper.task = trio.lowlevel.current_task()
        if deadline is None:
            await trio.lowlevel.wait_task_rescheduled(abort)
            return
        with trio.move_on_after(max(0.0, deadline - monotonic())):
            await trio.lowlevel.wait_task_rescheduled(abort)

    def rouse(self, sleeper: TrioSleeper) -> bool:
        sleeper.is_roused = True
        task, sleeper.task = sleeper.task, None
        if task is not None:
            self.trio.lowlevel.reschedule(task)
        return True

    async def turn(self) -> None:
        await self.trio.lowlevel.checkpoint()


class _Here(threading.local):
    """The hub of this thread's last loop."""

    hub: Callable[[], AsyncioHub | None] = staticmethod(lambda: None)


_here = _Here()
# Weak on both sides, for a hub leads to its loop when coroutines wait. The loop keeps the hub, as who hears its bell;
# and where loops watch no descriptors, those who wait keep it.
_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, ref[AsyncioHub]] = WeakKeyDictionary()
# The RunVar of trio that has the hub of each run; made when trio is first met.
_trio_hub: list[Any] = []


def here() -> Hub:
    """The hub of the event loop that runs in this thread.

    Raises:
        RuntimeError: none runs.
    """
    # First, for trio may be the guest of a loop of asyncio.
    if "trio" in sys.modules and sys.modules["trio"].lowlevel.in_trio_task():
        return _trio_here()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "no event loop is running here: await the queue's aio methods in asyncio, uvloop, trio or anyio"
        ) from None
    known = _here.hub()
    if known is not None and known.loop() is loop and known.process == os.getpid():
        return known
    weak = _hubs.get(loop)
    hub = None if weak is None else weak()
    if weak is None or hub is None or hub.process != os.getpid():
        hub = AsyncioHub.of(loop)
        weak = _hubs[loop] = ref(hub)
    _here.hub = weak
    return hub


def look_here() -> None:
    """Let those look whom the caller has woken in the loop that runs in this thread: a turn before it hears of them.

    Only a loop of asyncio's kind counts its turns.
    """
    hub = _here.hub()
    # No loop runs for asyncio in a forked child, where this hub is the parent's.
    if hub is not None and hub.posts and hub.loop() is asyncio._get_running_loop():
        hub.let_look()


def _trio_here() -> Hub:
    """The hub of the run of trio that this is called in."""
    trio: Any = sys.modules["trio"]
    if not _trio_hub:
        _trio_hub.append(trio.lowlevel.RunVar("headrace hub", None))
    variable = _trio_hub[0]
    known: TrioHub | None = variable.get()
    if known is not None and known.process == os.getpid():
        return known
    hub = TrioHub.of_this_run()
    variable.set(hub)
    return hub
