"""Who works on a queue: when the last producer has ended, or the last consumer has failed, it is shut down.

Nothing here takes a lock. Places are given up by finalizers too, and the garbage collector runs those in
any thread at any moment: in one that is inside a queue, or inside this module. What threads share is one
``dict`` and some ``set`` objects, changed by single calls that are atomic on every build (setdefault, add,
remove, len). The rule that makes this enough:

    Each departure removes its place first and looks whether any is left afterwards.

Of several that leave at once, the one that removed last sees an empty set; others may see it too, and
``shutdown`` does the same twice as once.
"""

from __future__ import annotations

import _thread
import os
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class CanShutDown(Protocol):
        def shutdown(self, immediate: bool = ...) -> None: ...


__all__ = ["Place", "Side", "consumers_of", "producers_of"]


class Side:
    """The producers of a queue, or its consumers."""

    __slots__ = ("immediate", "over", "places")

    def __init__(self, *, immediate: bool) -> None:
        # How the queue is shut down when nobody is left. Never changes.
        self.immediate = immediate
        # One token for each worker that counts. Not the workers: those that nobody refers to must be able to go.
        self.places: set[object] = set()
        # Whether somebody left for a reason to shut down. Set before a place is removed, unset by a fork alone.
        self.over = False

    def forget_all(self) -> None:
        """Begin anew, as in a process that has just been forked."""
        self.places.clear()
        self.over = False


class Crew:
    """Both sides of one queue."""

    __slots__ = ("consumers", "producers")

    def __init__(self) -> None:
        self.producers = Side(immediate=False)
        self.consumers = Side(immediate=True)


# The keys refer weakly to the queues: a dead reference equals itself alone, so removing it removes no other.
_crews: dict[weakref.ref[CanShutDown], Crew] = {}


def _forget_queue(reference: weakref.ref[CanShutDown]) -> None:
    _crews.pop(reference, None)


def crew_of(queue: CanShutDown) -> Crew:
    # setdefault, not get and set: two threads that come first at once must get the same crew.
    return _crews.setdefault(weakref.ref(queue, _forget_queue), Crew())


def producers_of(queue: CanShutDown) -> Side:
    """The producers of *queue*."""
    return crew_of(queue).producers


def consumers_of(queue: CanShutDown) -> Side:
    """The consumers of *queue*."""
    return crew_of(queue).consumers


class Place:
    """One worker's place at a queue, taken by making it. Only the worker may refer to it.

    It is given up by ``leave``, or by disappearing together with a worker that never ran.
    """

    __slots__ = ("_queue", "_side", "_token")

    def __init__(self, queue: CanShutDown, side: Side) -> None:
        self._queue = queue
        self._side = side
        self._token = object()
        self.take()

    def take(self) -> None:
        """Count from now on, if not already."""
        self._side.places.add(self._token)

    def leave(self, *, shut_down: bool) -> None:
        """Count no more.

        Args:
            shut_down: the queue is to be shut down once nobody is left. It stays so: those who leave later
                for another reason may be the last.
        """
        if self._gave_up(shut_down):
            self._queue.shutdown(self._side.immediate)

    def shut_down_now(self) -> None:
        """Shut the queue down, and drop what waits in it."""
        self._queue.shutdown(True)

    def _gave_up(self, shut_down: bool) -> bool:
        """Give up the place, and say whether the queue is to be shut down now."""
        side = self._side
        if self._token not in side.places:
            return False  # given up before; or a fork has made another process's workers of all that counted
        side.over = side.over or shut_down
        side.places.discard(self._token)
        return side.over and not side.places

    def __del__(self) -> None:
        if self._gave_up(shut_down=False):
            # Never from here: a finalizer may run while this thread holds the queue's lock, and the standard
            # library's is not reentrant. A bare thread, as starting a Thread takes locks too.
            try:
                _thread.start_new_thread(self._queue.shutdown, (self._side.immediate,))
            except RuntimeError:
                pass  # at the end of the interpreter there are no new threads, nor any that wait


def _forget_workers() -> None:
    """Forget everybody: a fork takes along only the thread that called it."""
    for crew in list(_crews.values()):
        crew.producers.forget_all()
        crew.consumers.forget_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
