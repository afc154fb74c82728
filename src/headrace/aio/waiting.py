"""How a coroutine waits: for an item, for room, for the end of all work."""

from __future__ import annotations

from functools import partial
from time import monotonic

from headrace.aio.errors import as_asynchronous
from headrace.aio.hub import here
from headrace.aio.post import GETTERS, JOINERS, PUTTERS, post_of
from headrace.backends.memory.python import deadline_after
from headrace.errors import Empty, Full, HeadraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

__all__ = ["get", "join", "put", "wait_until"]


class Turns:
    """When a coroutine that always finds what it waits for lets its loop run: as in ``csrc/awaitable.c``."""

    # Operations between two looks at the clock, and seconds after which the loop is let run.
    LOOKS = 16
    SECONDS = 0.002

    def __init__(self) -> None:
        self._left = self.LOOKS
        self._since = monotonic()

    def is_due(self) -> bool:
        """Whether it is time, which is not asked again before some time has gone by."""
        self._left -= 1
        if self._left > 0:
            return False
        now = monotonic()
        is_due = now - self._since >= self.SECONDS
        # Where so many operations take longer than that, each looks.
        self._left = 1 if is_due else self.LOOKS
        if is_due:
            self._since = now
        return is_due


turns = Turns()


async def wait_until(
    queue: Any,
    line: int,
    attempt: Callable[[], Any],
    refusal: type[Exception],
    deadline: float | None,
    looks_first: bool = True,
) -> Any:
    """Try *attempt* until it does not raise *refusal*, at each change of the queue that concerns *line*.

    It is tried once more when *deadline*, on the monotonic clock, is over, and its refusal raised then. A wait that is
    cancelled has done nothing; what it was roused for goes to another. Without *looks_first* *attempt* has been tried
    just now.
    """
    hub = here()
    if turns.is_due() and queue._ready(line):
        await hub.turn()
    if looks_first:
        try:
            hub.hush()
            return attempt()
        except refusal:
            pass  # begin to wait, and try again
        except HeadraceError as error:
            raise as_asynchronous(error) from None
        finally:
            hub.let_look()
    post = post_of(hub, queue, line)
    sleeper = post.enter()
    try:
        while True:
            # Whom this wakes in this loop is roused by this coroutine, and not when the loop hears of it.
            try:
                hub.hush()
                return attempt()
            except refusal:
                if deadline is not None and deadline <= monotonic():
                    raise
            finally:
                hub.let_look()
            if not post.is_asleep(sleeper):
                sleeper = post.enter_again()
            await hub.sleep(sleeper, deadline)
    except HeadraceError as error:
        raise as_asynchronous(error) from None
    finally:
        post.leave(sleeper)


def get(queue: Any, yields: bool, looks_first: bool) -> Coroutine[Any, Any, Any]:
    """Take the next item, waiting for it. With *yields* the loop may do something else before. For the C core."""
    if yields:
        return _get_next_time(queue)
    return wait_until(queue, GETTERS, queue.get_nowait, Empty, None, looks_first)


async def _get_next_time(queue: Any) -> Any:
    await here().turn()
    return await wait_until(queue, GETTERS, queue.get_nowait, Empty, None)


def put(queue: Any, yields: bool, looks_first: bool, item: Any) -> Coroutine[Any, Any, None]:
    """Put *item*, waiting for room. With *yields* the loop may do something else before. For the C core."""
    if yields:
        return _put_next_time(queue, item)
    return wait_until(queue, PUTTERS, partial(queue.put_nowait, item), Full, None, looks_first)


async def _put_next_time(queue: Any, item: Any) -> None:
    await here().turn()
    await wait_until(queue, PUTTERS, partial(queue.put_nowait, item), Full, None)


async def join(queue: Any, timeout: float | None) -> None:
    """Wait until every item is settled."""
    deadline = deadline_after(timeout)
    try:
        await wait_until(queue, JOINERS, partial(queue.join, 0), TimeoutError, deadline)
    except TimeoutError:
        left = queue.stats().unfinished
        raise TimeoutError(f"join() waited {timeout} seconds, and {left} put items are not settled yet") from None
