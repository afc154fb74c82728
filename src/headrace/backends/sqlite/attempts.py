"""Attempts: what a coroutine wants done with a queue file, once, without blocking its loop; and how it waits for that.

An attempt is done by a thread (``lanes.py``) while the coroutine sleeps. **Cancelled** meanwhile, it is withdrawn if it
has not begun. If it has, the coroutine waits for its end, which takes a transaction, and then:

- what was taken is undone: it waits in its old place, its delivery does not count, and the cancellation goes on. (Were
  it returned instead, as ``asyncio.Queue.get`` may, it would be lost with programs that cancel a task and do not ask
  for its result, and with ``asyncio.wait_for`` before Python 3.12.)
- what was put cannot be taken back, since somebody may have it already: the call returns, and the task is cancelled
  at its next ``await`` that waits for anything.
"""

# What the methods of all attempts mean is said in Attempt. Each has a __new__ and an __init__ for its own arguments.
# ruff: noqa: D102
# pyright: reportPrivateUsage=false, reportInconsistentConstructor=false

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from weakref import WeakSet, ref

from headrace.aio.hub import TrioHub
from headrace.backends.memory import loops
from headrace.backends.sqlite import statements
from headrace.backends.sqlite.states import ENDED
from headrace.errors import Empty, Full, LeaseLost, ShutDown, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from headrace.backends.sqlite.delivery import Delivery
    from headrace.backends.sqlite.queue import FileQueue
    from headrace.backends.sqlite.statements import Claimed
    from headrace.backends.sqlite.storage import Operation, Storage

    # An item's number, and its owner's.
    Pair = tuple[int, int]

__all__ = ["Call", "Claim", "Settle", "Store", "Sync", "Take", "holder", "outcome"]


class Attempt(loops.Post):
    """Something that a coroutine wants done, once. An ``Errand`` of a lane; its loop is woken when it is over."""

    __slots__ = ("_fresh", "_spoils", "error", "has_begun", "hub", "is_done", "is_left", "is_over", "queue", "result",
                 "sleeper", "weight")  # fmt: skip

    hub: Any
    queue: FileQueue[Any]
    weight: int
    # What came of it. Written before is_done.
    result: Any
    error: BaseException | None
    # A token: who takes it out begins the attempt, or has withdrawn it.
    _fresh: list[None]
    has_begun: bool
    # Whether the thread is through with it, and whether the coroutine is gone for good, each written by its own side
    # before it reads the other: one at least sees both. Who takes the token out gives back what was taken.
    is_done: bool
    is_left: bool
    _spoils: list[None]
    # Whether its loop knows that it is done. The loop's own, as is what the coroutine sleeps on.
    is_over: bool
    sleeper: Any

    has_step = True
    # Whether what has succeeded stays so, whatever becomes of the coroutine.
    is_final = False

    def __new__(cls, hub: Any, queue: FileQueue[Any], *_: Any) -> Self:
        """Made by a coroutine of the loop of *hub*."""
        self = super().__new__(cls, hub)
        self.hub = hub
        self.queue = queue
        self.weight = 1
        self.result = self.error = None
        self._fresh = [None]
        self._spoils = [None]
        self.has_begun = self.is_done = self.is_left = self.is_over = False
        self.sleeper = hub.sleeper()
        return self

    # -- the coroutine's -------------------------------------------------------------------------

    def withdraw(self) -> bool:
        """Have it not done. False if it has begun."""
        try:
            self._fresh.pop()
        except IndexError:
            return False
        return True

    def deliver(self) -> None:
        """Hear that it is done. Called by the loop."""
        self.is_over = True
        self.hub.rouse(self.sleeper)

    def leave(self) -> None:
        """The coroutine is closed, and will never ask what came of it."""
        self.is_left = True
        if not self.withdraw() and self.is_done:
            self._give_up()

    @property
    def has_acted(self) -> bool:
        """Whether it has changed something that stays so."""
        return self.is_final and bool(self.result)

    # -- the thread's ----------------------------------------------------------------------------

    def begins(self) -> bool:
        """Whether it is to be done, or was begun before."""
        try:
            self._fresh.pop()
            self.has_begun = True
        except IndexError:
            pass
        return self.has_begun

    def announce(self) -> None:
        """Others that are done with it may do some of its work."""

    def step(self, s: Storage) -> None:
        """Its part of a transaction. It may be done again, if that fails."""
        if self.begins():
            self.act(s)

    def proceed(self, error: BaseException | None) -> bool:
        """The rest, outside of the transaction."""
        if self.begins():
            if error is not None:
                self.forget()
                raise error
            self.result = self.finish()
            return self.wants_sync()
        return False

    def end(self, error: BaseException | None) -> None:
        """It is done."""
        if error is not None:
            closed = isinstance(error, StorageError) and self.queue.is_closed
            self.error = ShutDown() if closed else error
            self._give_up()
        self.is_done = True
        if self.is_left:
            self._give_up()
        else:
            self.wake(False)

    def act(self, s: Storage) -> None:
        """What is done in the transaction."""

    def finish(self) -> Any:
        """What is done behind it. Returns the result."""

    def wants_sync(self) -> bool:
        """Whether what was done shall be safe on disk before anybody hears of it."""
        return False

    def forget(self) -> None:
        """The transaction has failed: nothing was done."""

    # -- what was taken --------------------------------------------------------------------------

    def taken(self) -> list[Pair]:
        """What it has taken and nobody has: to be given back."""
        return []

    def _give_up(self) -> None:
        """Give it back, by the housekeeper, for nobody waits for that."""
        with suppress(IndexError):
            self._spoils.pop()
            pairs = self.taken()
            if pairs:
                self.queue._file.housekeeper.do(self.undoing(pairs))

    def undoing(self, pairs: list[Pair]) -> Operation:
        """A step of a transaction: *pairs* were not delivered."""

        def step(s: Storage) -> None:
            for number, owner in pairs:
                with suppress(LeaseLost):
                    statements.undo(s, self.queue._id, owner, number)

        return step


class Call(Attempt):
    """Calling a function that does not block for long."""

    __slots__ = ("_function",)

    has_step = False

    def __init__(self, hub: Any, queue: FileQueue[Any], function: Callable[[], Any]) -> None:
        self._function = function

    def finish(self) -> Any:
        return self._function()


class Settle(Call):
    """Calling a function that must be called. Begun when it is made, so that it is waited for."""

    __slots__ = ()

    is_final = True

    def __init__(self, hub: Any, queue: FileQueue[Any], function: Callable[[], Any]) -> None:
        super().__init__(hub, queue, function)
        self.begins()

    def finish(self) -> Any:
        self._function()
        return True


class Sync(Attempt):
    """Waiting until all that was put is safe on disk. Begun when it is made."""

    __slots__ = ()

    has_step = False
    is_final = True

    def __init__(self, hub: Any, queue: FileQueue[Any]) -> None:
        self.begins()

    def finish(self) -> Any:
        return True

    def wants_sync(self) -> bool:
        return True


class Store(Attempt):
    """Putting something, if there is room: the result is how much was put."""

    __slots__ = ("_is_synced", "_operation", "_put")

    is_final = True

    def __init__(self, hub: Any, queue: FileQueue[Any], operation: Operation, is_synced: bool, weight: int = 1) -> None:
        self._operation = operation
        self._is_synced = is_synced
        self._put = 0
        self.weight = weight

    def act(self, s: Storage) -> None:
        self._put = 0
        if not self.queue._state:
            self._put = self._operation(s)

    def finish(self) -> Any:
        if not self._put:
            raise ShutDown if self.queue._state else Full
        return self._put

    def wants_sync(self) -> bool:
        return self._is_synced


class Claim(Attempt):
    """Taking up to *count* items, if there are any: the result is the items. They are in ``_out`` until held."""

    __slots__ = ("_count", "_hand", "_is_patient", "_pairs")

    def __init__(self, hub: Any, queue: FileQueue[Any], count: int, is_patient: bool) -> None:
        self._count = count
        self._is_patient = is_patient
        self._hand: list[Claimed] = []
        self._pairs: list[Pair] = []

    def act(self, s: Storage) -> None:
        self._hand.clear()
        self.queue._claim_now(s, self._hand, self._count, False, self._is_patient)

    def forget(self) -> None:
        self._hand.clear()

    def finish(self) -> Any:
        queue, hand = self.queue, self._hand
        while hand:
            queue._file.housekeeper.start()
            pairs = self._pairs = [(row[2], row[10]) for row in hand]
            queue._out.update(pairs)
            if queue.is_closed:  # which may not have seen them
                self._give_up()
                raise ShutDown
            items, good = queue._decoded_all(hand)
            if items:
                self._pairs = [(row[2], row[10]) for row in good]
                queue._out.difference_update(set(pairs).difference(self._pairs))
                return items
            queue._out.difference_update(pairs)
            self._pairs = []
            queue._storage.run(self.act)
        if queue._state == ENDED:
            raise ShutDown
        queue._raise_if_drained(None)
        raise Empty

    def taken(self) -> list[Pair]:
        """What it has taken, which is this caller's to give back from now on; not what ``close`` has given back."""
        pairs, self._pairs = self._pairs, []
        out = self.queue._out
        found = [pair for pair in pairs if pair in out]
        out.difference_update(found)
        return found

    def held_by(self, who: object) -> None:
        """What was taken is *who*'s to settle. Raises ShutDown where the queue was closed, and has it back."""
        queue = self.queue
        if queue.is_closed:
            raise ShutDown
        with queue._unholding:
            queue._held_by(who).extend(self._pairs)
        queue._out.difference_update(self._pairs)
        self._pairs = []


class Take(Attempt):
    """Taking the next item as it lies in the queue, into *hand*: see ``contract.LeasingContract``."""

    __slots__ = ("_hand", "_stop")

    has_step = False

    def __init__(self, hub: Any, queue: FileQueue[Any], stop: list[Any] | None, hand: list[Any]) -> None:
        self._stop = stop
        self._hand = hand

    def announce(self) -> None:
        if self.begins():
            self.queue._prefetch.announce()

    def finish(self) -> Any:
        self.queue._prefetch.take_announced(self._stop, self._hand)
        return self._hand[0]

    def taken(self) -> list[Pair]:
        try:
            delivery: Delivery = self._hand.pop()
        except IndexError:
            return []
        self.result = None
        delivery.is_settled = True
        pair = (self.queue._number(delivery), delivery.owner)
        self.queue._out.discard(pair)
        return [pair]


class Undo(Attempt):
    """Giving back what an attempt has taken, as if it had not. Begun when it is made, so that it is waited for."""

    __slots__ = ("_step",)

    is_final = True

    def __init__(self, hub: Any, queue: FileQueue[Any], step: Operation) -> None:
        self._step = step
        self.begins()

    def act(self, s: Storage) -> None:
        self._step(s)

    def finish(self) -> Any:
        return True


# -- the coroutine's side ----------------------------------------------------------------------------


async def outcome(attempt: Attempt) -> Any:
    """Have it done, and return or raise what came of it. See above for cancellation."""
    queue = attempt.queue
    if _late and not attempt.has_begun and not isinstance(attempt.hub, TrioHub) and asyncio.current_task() in _late:
        await asyncio.sleep(0)
    try:
        queue._file.lanes.add(attempt)
        await attempt.hub.sleep(attempt.sleeper, None)
    except GeneratorExit:
        attempt.leave()
        raise
    except BaseException as cancellation:
        if attempt.withdraw():
            raise
        await until_over(attempt)
        if not attempt.has_acted:
            await undo(attempt)
            raise
        cancel_again(cancellation)
    error, attempt.error = attempt.error, None
    if error is not None:
        try:
            raise error
        finally:
            del error  # it refers to this frame
    return attempt.result


async def until_over(attempt: Attempt) -> None:
    """Wait for its end, whatever is cancelled meanwhile."""
    hub = attempt.hub
    try:
        if isinstance(hub, TrioHub):
            with hub.trio.CancelScope(shield=True):
                while not attempt.is_over:
                    attempt.sleeper = hub.sleeper()
                    await hub.sleep(attempt.sleeper, None)
            return
        while not attempt.is_over:
            attempt.sleeper = hub.sleeper()
            try:
                await hub.sleep(attempt.sleeper, None)
            except asyncio.CancelledError:
                continue
    except GeneratorExit:
        attempt.leave()
        raise


async def undo(attempt: Attempt) -> None:
    """Give back what it has taken. What the disk refuses the housekeeper goes on with."""
    pairs = attempt.taken()
    if not pairs:
        return
    step = attempt.undoing(pairs)
    undoing = Undo(attempt.hub, attempt.queue, step)
    attempt.queue._file.lanes.add(undoing)
    await until_over(undoing)
    if undoing.error is not None and not attempt.queue.is_closed:
        attempt.queue._file.housekeeper.do(step)


def cancel_again(cancellation: BaseException) -> None:
    """A cancellation that came too late is for the next ``await``.

    In trio that is so by itself. In asyncio the task is cancelled anew, by its loop, in a moment: unless whoever has
    cancelled it has taken that back by then, as ``asyncio.timeout`` does at the end of its block. (Cancelling at once
    could not be taken back before Python 3.13.)
    """
    if not isinstance(cancellation, asyncio.CancelledError):
        return
    task = asyncio.current_task()
    count = 0 if task is None else task.cancelling()
    if task is not None and count:
        _late.add(task)
        asyncio.get_running_loop().call_soon(cancel_in_a_moment, task, count, *cancellation.args[:1])


# Those that are to be cancelled in a moment. They begin no attempt before that, which would act again.
_late: WeakSet[asyncio.Task[Any]] = WeakSet()


def cancel_in_a_moment(task: asyncio.Task[Any], count: int, *message: Any) -> None:
    """Cancel *task*, if it is still to be: who counts cancellations shall not find one more."""
    _late.discard(task)
    if not task.done() and task.cancelling() >= count:
        task.uncancel()
        task.cancel(*message)


def holder() -> object:
    """Who runs here, for ``FileQueue._held``: a task of asyncio or trio, or else the thread."""
    task: Any = None
    if "trio" in sys.modules and sys.modules["trio"].lowlevel.in_trio_task():
        task = sys.modules["trio"].lowlevel.current_task()
    else:
        with suppress(RuntimeError):
            task = asyncio.current_task()
    return threading.get_ident() if task is None else ref(task)
