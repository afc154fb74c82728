"""The mutex and the conditions of a queue that runs in Python.

They are ``threading.RLock`` and ``threading.Condition``, hardened where those can be hurt:

* The mutex is reentrant, so a ``put`` from a destructor, from the garbage collector or from a signal
  handler that strikes while the same thread is inside the queue goes through in place of deadlocking.
* A waiter is taken off its condition's list before it is woken, so that a nested or interrupted
  ``notify`` cannot wake one twice; and a wake-up whose receiver was interrupted is passed on.
* An interrupt at any point at which Python delivers signals leaves the mutex as it was and forgets no waiter.
* A fork waits until nobody is inside a queue; in the child the mutex is free (unless the forking thread held it) and
  nobody waits.
"""

from __future__ import annotations

import os
import threading
from _thread import LockType, RLock, allocate_lock, get_ident
from itertools import islice, starmap
from time import monotonic
from weakref import WeakKeyDictionary, WeakSet

from headrace.backends.memory.undivided import exhaust

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from threading import Lock
    from typing import Any

    from headrace.aio.post import Post

__all__ = ["Condition", "Mutex"]


# Final in the type stubs only: the C type allows it.
class Mutex(RLock):  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    """A reentrant lock with the ``locked()`` that ``threading.Lock`` has and older ``RLock``s lack."""

    if TYPE_CHECKING:  # what the standard library's conditions call on a lock

        def _is_owned(self) -> bool: ...
        def _at_fork_reinit(self) -> None: ...

    def locked(self) -> bool:
        """Whether any thread holds the mutex now. Never blocks."""
        if self._is_owned():
            return True
        if self.acquire(blocking=False):
            self.release()
            return False
        return True


class Condition(threading.Condition):
    """``threading.Condition`` whose wake-ups survive interrupts, reentrancy and forks."""

    if TYPE_CHECKING:  # set by threading.Condition.__init__
        _lock: Mutex
        _waiters: deque[Lock]

        def _is_owned(self) -> bool: ...
        def _release_save(self) -> Any: ...
        def _acquire_restore(self, saved: Any, /) -> None: ...

    def __init__(self, mutex: Mutex) -> None:
        """Make a condition of *mutex*, known to the at-fork handler for as long as it lives."""
        super().__init__(mutex)
        # Of event loops that wait here. Weak, for a loop that was closed is to be forgotten with all that waited in it.
        self._posts: WeakKeyDictionary[Post, None] = WeakKeyDictionary()
        # How often all were woken.
        self._alarms = 0
        _conditions.add(self)

    def waiter_count(self) -> int:
        """How many threads and coroutines are asleep here and not yet woken."""
        return len(self._waiters) + sum(post.stands_for for post in list(self._posts))

    def stand(self, post: Any, is_ready: bool) -> None:
        """Have the post of an event loop stand here until the next notification. The mutex must be held.

        It is woken at once if *is_ready*, or if all were notified since it stood here last.
        """
        missed, post.alarms = post.alarms not in (None, self._alarms), self._alarms
        self._posts[post] = None
        if missed or is_ready:
            self._wake_posts(missed)

    def step_out(self, post: Any) -> None:
        """Have the post of an event loop stand here no more. The mutex must be held."""
        self._posts.pop(post, None)

    def _wake_posts(self, all: bool) -> None:
        # All of them: whether a loop runs is not known here. Woken first: an interrupt then wakes one twice.
        for post in list(self._posts):
            post.wake(all)
            self._posts.pop(post, None)

    def wait(self, timeout: float | None = None, unless: Callable[[], object] | None = None) -> bool:
        """Release the mutex, sleep until notified, hold the mutex again.

        Returns whether a notification came, within *timeout* seconds when that is given. If an
        exception (Ctrl-C) ends the wait, a notification that had come is given to another waiter.

        With *unless* it does not sleep where that is true already. It is asked when this waiter can be notified: who
        asks before he calls sleeps for ever when a signal handler of his own thread notifies in between.
        """
        if not self._is_owned():
            raise RuntimeError("cannot wait on an un-acquired lock")
        waiter = allocate_lock()
        waiter.acquire()
        try:
            self._waiters.append(waiter)
            if unless is not None and unless():
                return not self._withdraw(waiter)
            return self._sleep(waiter, timeout)
        except BaseException:
            if not self._withdraw(waiter):
                self.notify()
            raise

    def _sleep(self, waiter: Lock, timeout: float | None) -> bool:
        saved: list[Any] = []
        try:
            # Undivided, so that no interrupt falls between releasing and noting what was released.
            saved.extend(starmap(self._release_save, [()]))
            if timeout is None:
                woken = waiter.acquire()
            else:
                woken = waiter.acquire(True, timeout) if timeout > 0 else waiter.acquire(False)
        finally:
            # Not by a function of ours: an interrupt could fall on its first instruction.
            if saved:
                self._acquire_restore(saved[0])
        # Not woken, and no longer on the list: the notification came as the time ran out.
        return woken or not self._withdraw(waiter)

    def _withdraw(self, waiter: Lock) -> bool:
        """Take *waiter* off the list; False when somebody has woken it already."""
        try:
            self._waiters.remove(waiter)
        except ValueError:
            return False
        return True

    def notify(self, n: int = 1) -> None:
        """Wake up to *n* waiters, the longest asleep first. The mutex must be held."""
        if not self._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        if self._posts:
            self._wake_posts(False)
        if not self._waiters:
            return
        try:
            # Each leaves the list and is woken, undivided, or an interrupt between the two would leave it asleep.
            exhaust(map(_release, islice(iter(self._waiters.popleft, None), n)))
        except IndexError:
            return  # there were no more

    def forget_other_threads(self) -> None:
        """In a forked child: nobody waits, and nobody but this thread can hold the mutex."""
        self._waiters.clear()
        self._posts.clear()
        if not self._is_owned():
            self._lock._at_fork_reinit()  # pyright: ignore[reportPrivateUsage]

    def notify_all(self) -> None:
        """Wake every waiter. The mutex must be held."""
        self._alarms += 1
        if self._posts:
            self._wake_posts(True)
        self.notify(len(self._waiters))


_conditions: WeakSet[Condition] = WeakSet()
_release = LockType.release

# A fork waits this many seconds, all in all, for those who are inside a queue. Who is inside for longer has his own
# code running there, and may be waiting for the very thread that forks.
FORK_PATIENCE = 0.25

# What each thread that is about to fork has acquired. A thread touches its own entry only.
_held: dict[int, list[Condition]] = {}


def _before_fork() -> None:
    """Be inside every queue, so that the child finds none that another thread was half-way through changing."""
    held = _held[get_ident()] = []
    deadline = monotonic() + FORK_PATIENCE
    everything = list(_conditions)
    held.extend(each for each in everything if each.acquire(timeout=max(0.0, deadline - monotonic())))


def _after_fork() -> None:
    """Come out again, in the parent and in the child."""
    for condition in _held.pop(get_ident(), ()):
        condition.release()


def _reset_after_fork() -> None:
    """In the child: free what threads held that the fork did not bring along."""
    _after_fork()
    _held.clear()
    for condition in list(_conditions):
        condition.forget_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_reset_after_fork)
