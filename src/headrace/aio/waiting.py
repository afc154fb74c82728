"""How a coroutine waits: for an item, for room, for the end of all work."""

from __future__ import annotations

from time import monotonic

from headrace.aio.errors import as_asynchronous
from headrace.aio.hub import here
from headrace.aio.post import GETTERS, JOINERS, PUTTERS, post_of
from headrace.backends.memory.python import deadline_after
from headrace.errors import Empty, Full, ShutDown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["get", "join", "put", "wait_until"]


async def wait_until(
    queue: Any, line: int, attempt: Callable[[], Any], refusal: type[Exception], deadline: float | None
) -> Any:
    """Try *attempt* until it does not raise *refusal*, at each change of the queue that concerns *line*.

    It is tried once more when *deadline*, on the monotonic clock, is over, and its refusal raised then. A wait that is
    cancelled has done nothing; what it was roused for goes to another.
    """
    post = post_of(here(), queue, line)
    sleeper = post.enter()
    try:
        while True:
            try:
                return attempt()
            except refusal:
                if deadline is not None and deadline <= monotonic():
                    raise
            if sleeper not in post.sleepers:
                sleeper = post.enter_again(sleeper)
            await post.hub.sleep(sleeper, deadline)
    finally:
        post.leave(sleeper)


async def get(queue: Any, yields: bool = False) -> Any:
    """Take the next item. With *yields* the loop may do something else before."""
    if yields:
        await here().turn()
    try:
        return await wait_until(queue, GETTERS, queue.get_nowait, Empty, None)
    except (Empty, ShutDown) as error:
        raise as_asynchronous(error) from None


async def put(queue: Any, yields: bool, item: Any) -> None:
    """Put *item*. With *yields* the loop may do something else before."""
    if yields:
        await here().turn()
    try:
        await wait_until(queue, PUTTERS, lambda: queue.put_nowait(item), Full, None)
    except (Full, ShutDown) as error:
        raise as_asynchronous(error) from None


async def join(queue: Any, timeout: float | None) -> None:
    """Wait until every item is settled."""
    deadline = deadline_after(timeout)
    try:
        await wait_until(queue, JOINERS, lambda: queue.join(0), TimeoutError, deadline)
    except TimeoutError:
        queue.join(0)  # to say how many are left
        raise
