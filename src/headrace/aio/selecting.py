"""``headrace.aio.select``: waiting on several queues in a coroutine.

A select stands in several posts (``post.py``) with one sleeper. It may be roused by one of them and then act on another
queue: leaving a post passes on what it was roused for there.
"""

from __future__ import annotations

import asyncio
import threading
from time import monotonic

from headrace import selecting
from headrace.aio.errors import QueueEmpty, QueueFull, as_asynchronous
from headrace.aio.hub import AsyncioHub, here
from headrace.aio.post import post_of
from headrace.backends.memory.python import deadline_after
from headrace.errors import HeadraceError
from headrace.selecting import Choice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from headrace.aio.hub import Hub
    from headrace.aio.post import Post
    from headrace.generic import T
    from headrace.selecting import Case, Selected, Source

__all__ = ["NothingReady", "select"]

# Seconds for which selects that wait for nothing may keep a loop to themselves.
TURN = 0.002


class NothingReady(selecting.NothingReady, QueueEmpty, QueueFull):
    """No case of a ``select`` was ready within the timeout: ``headrace.NothingReady``, with the errors of asyncio."""


async def select(*cases: Source[T] | Case[T] | None, timeout: float | None = None) -> Selected[T]:
    """``headrace.select`` for coroutines.

    ``queue, item = await headrace.aio.select(q1, q2)``. Cases are as there: queues or their ``aio``, what the
    ``getting()`` and ``putting()`` of either return, or None. A select that is cancelled has taken nothing and put
    nothing. Like the other methods of ``aio`` it returns without letting the loop run when a case is ready, save that
    it does let it run every few milliseconds.

    Raises:
        NothingReady, QueueShutDown, ValueError, TypeError: as ``headrace.select``, each also the error of ``asyncio``.
    """
    deadline = deadline_after(timeout)
    choice = Choice(cases)
    hub = here()
    if monotonic() - turns.last > TURN:
        await hub.turn()
        turns.last = monotonic()
    try:
        if not has_made(choice, hub):
            if timeout == 0:
                raise NothingReady
            await wait_for(choice, hub, deadline)
        selected: Selected[T] = choice.selected()
        return selected
    except HeadraceError as error:
        raise as_asynchronous(error) from None
    except BaseException:
        choice.undo()
        raise


class Turns(threading.local):
    """When a select of this thread's loop last let it run, on the monotonic clock."""

    last = 0.0


turns = Turns()


def has_made(choice: Choice, hub: Hub) -> bool:
    """Whether one of the cases could be done."""
    # Whom this wakes in this loop is roused by this coroutine, and not when the loop hears of it.
    hub.hush()
    try:
        return choice.is_made()
    finally:
        hub.let_look()


async def wait_for(choice: Choice, hub: Hub, deadline: float | None) -> None:
    """Sleep until the choice is made."""
    sleeper = sleeper_of(hub)
    entered: list[Post] = []
    try:
        for case in choice.cases:
            post = post_of(hub, case._core, case.line)
            if post not in entered:  # two cases may be in one line
                entered.append(post)
                enter(post, sleeper)
        while not has_made(choice, hub):
            if deadline is not None and deadline <= monotonic():
                raise NothingReady
            enter_again(entered, sleeper)
            await hub.sleep(sleeper, deadline)
            turns.last = monotonic()
    finally:
        for post in entered:
            post.leave(sleeper)


def enter(post: Post, sleeper: Any) -> None:
    """Begin to wait there. From now on a change of the queue is noticed."""
    post.sleepers[sleeper] = None
    post.stands_for = len(post.sleepers)
    if not post.roused:
        post.queue._watch(post.line, post)


def enter_again(posts: list[Post], sleeper: Any) -> None:
    """The same for one who was roused and found nothing: in front, where it was roused; elsewhere it has its place."""
    renew(sleeper)
    for post in posts:
        if sleeper not in post.sleepers:
            post.roused -= 1
            post.sleepers[sleeper] = None
            post.sleepers.move_to_end(sleeper, last=False)
            post.deliver()


# -- sleepers that can be slept on again, so that they keep their places in the lines ------------------


class Renewable:
    """What stands for one future of asyncio after the other."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future

    def done(self) -> bool:
        return self.future.done()

    def set_result(self, result: None) -> None:
        self.future.set_result(result)

    def __await__(self) -> Generator[Any, None, None]:
        return self.future.__await__()


def sleeper_of(hub: Hub) -> Any:
    """A new sleeper that can be renewed."""
    sleeper = hub.sleeper()
    return Renewable(sleeper) if isinstance(hub, AsyncioHub) else sleeper


def renew(sleeper: Any) -> None:
    """Have it not be roused."""
    if not isinstance(sleeper, Renewable):  # of trio
        sleeper.is_roused = False
    elif sleeper.done():
        sleeper.future = asyncio.get_running_loop().create_future()
