"""Waiting on several queues: ``headrace.select``, and what it shares with ``headrace.aio.select``.

Each case is tried as its queue's own ``get`` or ``put`` that does not block. Before a select sleeps it stands in the
line of each case's queue, as an event loop does (``csrc/loops.c``), and then tries all cases once more: whatever has
changed by then is found, whatever changes later wakes it. It holds nothing while it sleeps. So a select that is
interrupted, or runs out of time, leaves nothing behind but its places in the lines, which it gives up; and a wake-up
that it does not use is another's.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import namedtuple
from random import Random

from headrace.backends.memory import loops
from headrace.backends.memory.envelope import enclosed
from headrace.backends.memory.python import deadline_after, remaining_until
from headrace.backends.memory.returning import bare, is_ours
from headrace.backends.memory.undivided import exhaust
from headrace.errors import Empty, Full, ShutDown
from headrace.generic import Subscriptable, T

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Generic, NamedTuple, Protocol, TypeVar

    T_co = TypeVar("T_co", covariant=True)

    class Source(Protocol[T_co]):
        """A queue, or its ``aio``."""

        def get_nowait(self) -> T_co: ...

    class Case(Protocol[T_co]):
        """``Getting`` or ``Putting``."""

        queue: Any

        def _now(self, hand: list[Any]) -> None: ...
        def _result(self, hand: list[Any]) -> T_co: ...
        def _undo(self, raw: Any) -> None: ...


__all__ = ["Choice", "Getting", "NothingReady", "Putting", "Selected", "select"]

# The lines of a queue: see its _watch().
GETTERS, PUTTERS = 0, 1

# Not the module's own, whose sequence a program may have seeded.
random = Random().random


class NothingReady(Empty, Full, TimeoutError):
    """No case of a ``select`` was ready within the timeout: nothing was taken, nothing was put.

    It is an ``Empty``, a ``Full`` and a ``TimeoutError``, whatever the cases were.
    """

    def __str__(self) -> str:
        return Exception.__str__(self) or "no case of the select was ready"


if TYPE_CHECKING:

    class Selected(NamedTuple, Generic[T]):
        """What a ``select`` has done."""

        queue: Any
        item: T

        @property
        def case(self) -> Any:
            """What was chosen."""
            ...

else:

    class Selected(namedtuple("Selected", "queue item")):  # noqa: SLOT002 - for `case`, which is not unpacked
        """What a ``select`` has done: ``queue, item = select(q1, q2)``.

        Attributes:
            queue: the queue, or its ``aio``, as it was given.
            item: what was taken from it, or put into it.
            case: the ``Getting`` or ``Putting``: the one that was given, or that was made of the queue.
        """


# -- cases -------------------------------------------------------------------------------------------


def core_of(queue: Any) -> Any:
    """The queue itself, of a queue or its asynchronous face. TypeError where nobody can wait among others."""
    if hasattr(queue, "_watch"):
        return queue
    core = getattr(queue, "sync", None)
    if hasattr(core, "_watch"):
        return core
    hint = ": write select(*queues)" if queue.__class__ is list else ""
    raise TypeError(
        f"select() waits on queues of headrace (SimpleQueue has none of what it needs), their .aio, and what their "
        f"getting() and putting() return, not {type(queue).__name__}{hint}"
    )


class Getting(Subscriptable[T]):
    """A case of ``select``: take the next item of a queue. Made by ``queue.getting()``.

    A queue by itself means the same. May be used any number of times, by several threads.

    Args:
        queue: which.
        required: a queue that was shut down and has no item left ends the select: ``ShutDown`` is raised. Otherwise
            it is left out, unless that is so of all.
    """

    __slots__ = ("_core", "_is_plain", "queue", "required")

    line = GETTERS

    def __init__(self, queue: Any, *, required: bool = False) -> None:
        self.queue = queue
        self.required = required
        self._core = core_of(queue)
        # Where nobody has a get of his own to be called, what an interrupt finds in our hand can go back.
        self._is_plain = is_ours(self._core, "get")

    def _now(self, hand: list[Any]) -> None:
        """Do it, into *hand*, or raise ``Empty`` or ``ShutDown``."""
        if self._is_plain:
            self._core._take(None, False, None, hand)
        else:
            hand.append(self._core.get_nowait())

    def _result(self, hand: list[Any]) -> T:
        item: T = bare(hand[0])
        return item

    def _undo(self, raw: Any) -> None:
        if self._is_plain:
            self._core._put_back(enclosed(raw))

    def __repr__(self) -> str:
        return f"<Getting from {self.queue!r}>"


class Putting(Subscriptable[T]):
    """A case of ``select``: put an item. Made by ``queue.putting(item)``.

    May be used any number of times, by several threads: the item is put each time that this case is chosen.

    Args:
        queue: into which.
        item: what to put.
        more: what else the ``put`` of that queue has, as ``priority=``.
    """

    __slots__ = ("_core", "_more", "item", "queue")

    line = PUTTERS
    required = True

    def __init__(self, queue: Any, item: T, **more: Any) -> None:
        self.queue = queue
        self.item = item
        self._more = more
        self._core = core_of(queue)

    def _now(self, hand: list[Any]) -> None:
        """Do it, or raise ``Full`` or ``ShutDown``. Nothing is kept in *hand*: what is in the queue stays there."""
        if self._more:
            self._core.put(self.item, block=False, **self._more)
        else:
            self._core.put_nowait(self.item)

    def _result(self, hand: list[Any]) -> T:
        return self.item

    def _undo(self, raw: Any) -> None:
        """Nothing to do: see ``_now``."""

    def __repr__(self) -> str:
        return f"<Putting into {self.queue!r}>"


def cases_of(given: Iterable[Any]) -> list[Any]:
    """The cases that the arguments of a select are. None is no case."""
    cases: list[Any] = [
        case if isinstance(case, (Getting, Putting)) else Getting(case) for case in given if case is not None
    ]
    if not cases:
        raise ValueError("select() has nothing to wait for: give it a queue")
    return cases


# -- choosing ----------------------------------------------------------------------------------------


class Choice:
    """One select: its cases, and what came of them.

    Until ``selected`` has returned, what was taken lies in the hand, and ``undo`` gives it back: an interrupt may come
    between any two instructions.
    """

    __slots__ = ("_case", "_hand", "cases")

    def __init__(self, given: Iterable[Any]) -> None:
        self.cases = cases_of(given)
        self._case: Any = None
        self._hand: list[Any] = []

    def is_made(self) -> bool:
        """Do one of the cases, if any can be done now; each that can is as likely as the others.

        Raises ``ShutDown`` when a required queue, or every queue, is at its end; and what else a get or put raises.
        """
        cases, ended = self.cases, 0
        count = len(cases)
        for turn in range(count):
            # Shuffled as far as it is needed. The order of the list means nothing.
            other = turn + int(random() * (count - turn))
            self._case = case = cases[other]
            cases[other], cases[turn] = cases[turn], case
            try:
                case._now(self._hand)
                return True
            except (Empty, Full):
                pass
            except ShutDown as error:
                if case.required:
                    error.queue = case.queue
                    raise
                ended += 1
        if ended == count:
            raise ShutDown
        return False

    def selected(self) -> Any:
        """What was done, for the caller of the select."""
        case = self._case
        selected: Any = Selected(case.queue, case._result(self._hand))
        selected.case = case
        return selected

    def undo(self) -> None:
        """Have done nothing, as far as that is possible: what was taken is the queue's again."""
        if self._hand:
            self._case._undo(self._hand.pop())


# -- threads -----------------------------------------------------------------------------------------


def select(*cases: Source[T] | Case[T] | None, timeout: float | None = None) -> Selected[T]:
    """Wait until one of several queues has an item, and take it.

    ``queue, item = headrace.select(q1, q2)``. A case is a queue to get from (or its ``aio``, or what its ``getting()``
    returns), or ``queue.putting(item)``. One case is done, the others are as if they had not been there. Of several
    that are ready each is as likely as the others. A case that is None is left out. Blocks; may be called from any
    thread, on any kinds of queues together.

    Args:
        cases: of which one is to be done. The same queue may be in several.
        timeout: seconds to wait; None waits for as long as it takes, 0 does not wait.

    Returns:
        ``Selected``: the queue, and the item that was taken or put. What was taken is owed a ``task_done``.

    Raises:
        NothingReady: no case was ready within the timeout. It is an ``Empty``, a ``Full`` and a ``TimeoutError``.
        ShutDown: of all queues to get from, each was shut down and has no item left (one that has is left out while
            there are other cases, unless it is ``queue.getting(required=True)``); or a queue to put into is shut down.
            Its attribute ``queue`` is the one that was required, or to be put into.
        ValueError: there is no case, or *timeout* is negative.
        TypeError: a case is none.
    """
    deadline = deadline_after(timeout)
    choice = Choice(cases)
    try:
        if not choice.is_made():
            wait_for(choice, deadline)
        selected: Selected[T] = choice.selected()
        return selected
    except BaseException:
        choice.undo()
        raise


class Place(loops.Post):
    """Where one case of a thread's select stands in the line of its queue."""

    core: Any
    line: int
    # For queues that run in Python: see Condition.stand.
    alarms: int | None

    __slots__ = ("__weakref__", "alarms", "core", "line")

    def __new__(cls, hub: Any, case: Any) -> Place:
        """Of *case*; *hub* is to hear of wake-ups. Nobody stands there yet."""
        self = super().__new__(cls, hub)
        self.core = case._core
        self.line = case.line
        self.alarms = None
        return self

    def stand(self) -> None:
        """Stand there until the next wake-up, which is at once if there is something to do."""
        self.core._watch(self.line, self)

    def leave(self) -> None:
        """Stand there no more. A wake-up that was had there is passed on."""
        self.core._unwatch(self.line, self)


def wait_for(choice: Choice, deadline: float | None) -> None:
    """Sleep until the choice is made."""
    sleep = allocate_lock()
    sleep.acquire()
    # A wake-up releases the lock, which is C, and only the first does until it is collected what woke.
    hub = loops.Hub(-1, sleep.release)
    places = [Place(hub, case) for case in choice.cases]
    try:
        look_and_sleep(choice, places, hub, sleep, deadline)
    finally:
        # Without a loop, and without a function of ours: an interrupt may fall on its first instruction.
        try:
            exhaust(map(Place.leave, places))
        except BaseException:
            exhaust(map(Place.leave, places))
            raise


def look_and_sleep(choice: Choice, places: list[Place], hub: Any, sleep: Any, deadline: float | None) -> None:
    """Stand in all lines, look, sleep, until the choice is made or the time is up.

    The time is up only when nothing has woken any place since it began to stand, and there was nothing to do when it
    did. So there was a moment at which no case was ready, even where others take the items from one queue as they put
    some into the next. (Looking at one queue after the other does not show that.)
    """
    for each in places:
        each.stand()
    while not choice.is_made():
        remaining = remaining_until(deadline)
        if not sleep.acquire(True, -1 if remaining is None else remaining):
            raise NothingReady
        for each in hub.collect():
            each.stand()
