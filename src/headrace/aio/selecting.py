"""``headrace.aio.select``: waiting on several queues in a coroutine.

A select stands in several posts (``post.py``) with one sleeper. It may be roused by one of them and then act on another
queue: leaving a post passes on what it was roused for there.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from headrace import selecting
from headrace.aio.errors import QueueEmpty, QueueFull, as_asynchronous
from headrace.aio.hub import AsyncioHub, here
from headrace.aio.post import post_of
from headrace.aio.waiting import turns
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
    if turns.is_due():
        await hub.turn()
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


def has_made(choice: Choice, hub: Hub) -> bool:
    """Whether one of the cases could be done."""
    # Whom this wakes in this loop is roused by this coroutine, and not when the loop hears of it.
    try:
        hub.hush()
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
                post.enter(sleeper)
        while not has_made(choice, hub):
            if deadline is not None and deadline <= monotonic():
                raise NothingReady
            enter_again(entered, sleeper)
            await hub.sleep(sleeper, deadline)
    finally:
        for post in entered:
            post.leave(sleeper)


def enter_again(posts: list[Post], sleeper: Any) -> None:
    """Wait on after having found nothing, as one who was roused where it was; elsewhere it has its place."""
    renew(sleeper)
    for post in posts:
        if not post.is_asleep(sleeper):
            post.enter_again(sleeper)


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
