"""Watches: how event loops wait for a queue file without a thread for each coroutine that waits.

For each line of a queue object in which any loop waits (for items, for room, for ``join``) there is one thread, which
sleeps on the queue's bell (``bell.py``) for all of them. When it rings it counts what there is to do, and wakes the
posts of the loops that stand there; each rouses so many of its coroutines, the longest asleep first, and they try for
themselves. So one item does not send ten thousand coroutines to the file.

Nothing is missed: who waits reads the bell, tries, stands here, and sleeps only if the bell has not rung since. A ring
that comes later finds the thread on the bell, or about to count. A post that was woken stands here again when all whom
it has roused are back, and then it is counted anew for those who still sleep. A wake-up is a hint: who is roused and
goes away without having tried rings for somebody else.
"""

# A queue's watches are a part of it, in a file of their own.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from weakref import WeakValueDictionary, ref

from headrace.backends.memory import loops
from headrace.backends.sqlite import bell, statements
from headrace.backends.sqlite.handle import SAFETY_SECONDS
from headrace.backends.sqlite.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from headrace.backends.sqlite.queue import FileQueue
    from headrace.backends.sqlite.storage import Storage

__all__ = ["GETTERS", "JOINERS", "PUTTERS", "Waiters", "Watches"]

# The lines, as in aio/post.py.
GETTERS, PUTTERS, JOINERS = range(3)
# More than may ever wait: all are to look.
EVERYBODY = sys.maxsize
# Seconds after which a thread ends for which nobody waits.
LINGER_SECONDS = 1.0


class Waiters(loops.Post):
    """The coroutines of one loop that wait in one line. Only the loop's thread calls this, save for ``wake``."""

    hub: Any
    watch: Watch
    # Asleep, the longest first.
    sleepers: OrderedDict[Any, None]
    # How many were roused and are not back.
    roused: int
    # What there was to do when it was woken. Written by who wakes it.
    found: int
    # How many times all were woken that this one has heard of.
    alarms: int | None

    def __new__(cls, hub: Any, watch: Watch) -> Self:
        """Of the loop of *hub*."""
        self = super().__new__(cls, hub)
        self.hub = hub
        self.watch = watch
        self.sleepers = OrderedDict()
        self.roused = self.found = 0
        self.alarms = None
        return self

    def enter(self, *, first: bool = False) -> Any:
        """Begin to wait: what is returned may be slept on."""
        sleeper = self.hub.sleeper()
        self.sleepers[sleeper] = None
        if first:
            self.sleepers.move_to_end(sleeper, last=False)
        if not self.roused:
            self.watch.stand(self)
        return sleeper

    def is_roused(self, sleeper: Any) -> bool:
        """Whether its sleep is over."""
        return sleeper not in self.sleepers

    def enter_again(self, sleeper: Any) -> Any:
        """The same for one who tried and found nothing: at the front, if it was roused."""
        if sleeper in self.sleepers:
            return sleeper
        self.roused -= 1
        return self.enter(first=True)

    def leave(self, sleeper: Any) -> None:
        """Be back, however the wait ended."""
        if sleeper in self.sleepers:
            del self.sleepers[sleeper]
        else:
            self.roused -= 1
        if not self.sleepers:
            self.watch.step_out(self)
        elif not self.roused:
            self.watch.stand(self, look=True)

    def deliver(self) -> None:
        """Rouse those who find something to do. Called by the loop when it was woken."""
        sleepers = self.sleepers
        found, self.found = self.found, 0
        count = len(sleepers) if self.take_all() else min(found - self.roused, len(sleepers))
        for _ in range(count):
            sleeper, _none = sleepers.popitem(last=False)
            self.roused += 1
            if not self.hub.rouse(sleeper):  # the loop is closed
                sleepers.clear()
                return
        if sleepers and not self.roused:
            self.watch.stand(self)


class Watch:
    """One line of one queue object: the posts that stand there, and the thread that sleeps for them.

    Not itself referring to the queue, nor to posts of ours: they are what waiting coroutines have. A loop that is gone
    with its coroutines stands nowhere any more.
    """

    def __init__(self, queue: FileQueue[Any], line: int) -> None:
        self._queue = ref(queue)
        self.line = line
        # Those that stand, by their id. Changed by single steps, so that a signal handler may do it anywhere.
        self._standing: dict[int, Callable[[], Any]] = {}
        # Those of the loops that wait here, by the id of their hub, which they keep alive.
        self._waiters: WeakValueDictionary[int, Waiters] = WeakValueDictionary()
        # How often all were woken.
        self._alarms = 0
        # What the last count came to, for posts of other kinds, once.
        self._found = 0
        self._thread: threading.Thread | None = None
        # Held to start the thread, and for it to end.
        self._changing = threading.Lock()
        self._is_wanted = threading.Event()
        # Set when the queue is closed.
        self._is_over = False
        # Whether somebody is about to count.
        self._is_looking = False
        # Whether the thread has begun to count and sleeps then: for those who come later it has not counted.
        self._is_on_bell = False

    # -- for the loops ---------------------------------------------------------------------------

    def waiters_of(self, hub: Any) -> Waiters:
        """Those of the loop of *hub*. In its thread."""
        waiters = self._waiters.get(id(hub))
        if waiters is None:
            waiters = self._waiters[id(hub)] = Waiters(hub, self)
        return waiters

    def stand(self, post: Any, *, look: bool = False) -> None:
        """Have *post* woken at the next ring that brings something to do; at once if all were since it stood here last.

        It may stand here. Without *look*, whoever comes tries once after this if the bell has rung since he last did.

        Args:
            look: wake it also if there is something to do already.
        """
        if id(post) in self._standing and self._standing[id(post)]() is post:
            return
        if sys.is_finalizing():
            return  # coroutines end with the interpreter: its other threads have stopped, with our locks in their hands
        missed, post.alarms = post.alarms not in (None, self._alarms), self._alarms
        if missed or self._is_over:
            post.wake(True)
            return
        self._standing[id(post)] = ref(post) if isinstance(post, Waiters) else lambda: post
        if post.alarms != self._alarms:  # a signal handler's, or another thread's, just now
            self.wake(EVERYBODY)
        self._want_thread()
        if look and self._is_on_bell:
            self._look_soon()

    def stands(self, post: Any) -> bool:
        """Whether it was not woken since it stood here."""
        return id(post) in self._standing

    def step_out(self, post: Any) -> None:
        """Have it stand here no more."""
        self._standing.pop(id(post), None)

    def others(self) -> int:
        """How many stand here that are of another kind, such as a thread's ``select``."""
        posts = [find() for find in list(self._standing.values())]
        return sum(post.stands_for for post in posts if post is not None and not isinstance(post, Waiters))

    def take_found(self) -> int:
        """What the last count came to, if nobody has asked for it."""
        found, self._found = self._found, 0
        return found

    def _look_soon(self) -> None:
        """Count, in another thread."""
        queue = self._queue()
        if queue is not None and self._standing and not self._is_looking and not self._is_over:
            self._is_looking = True
            queue._file.lanes.add(Look(self))

    # -- waking ----------------------------------------------------------------------------------

    def alarm(self) -> None:
        """Let all look, now: the queue was shut down, say. Also in a signal handler."""
        self._alarms += 1
        self.wake(EVERYBODY)

    def wake(self, found: int) -> None:
        """Wake those who stand here: there is something to do for so many of them."""
        self._found = found
        for number in list(self._standing):
            find = self._standing.pop(number, None)
            post = None if find is None else find()
            if post is not None:
                if isinstance(post, Waiters):
                    post.found = found
                post.wake(found == EVERYBODY)

    def end(self) -> None:
        """The queue is closed: nobody stands here any more. Also in a signal handler."""
        self._is_over = True
        self.alarm()
        if self._thread is not None:
            self._is_wanted.set()

    def look(self, *, has_rung: bool = False) -> None:
        """Count, and wake those who have something to do. What fails there is theirs to see.

        Args:
            has_rung: whether something has changed, or may have. If not, none is woken just to see that this object was
                shut down and drained, for a pool's consumers stay all the same, and come back at once.
        """
        self._is_looking = False
        queue = self._queue()
        if queue is None:
            return
        try:
            found = count_of(queue, self.line, has_rung)
        except Exception:
            found = EVERYBODY
        if found > 0:
            self.wake(found)

    # -- the thread ------------------------------------------------------------------------------

    def _want_thread(self) -> None:
        with self._changing:
            if self._thread is None:
                name = f"headrace watch {('items', 'space', 'end')[self.line]}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                thread.start()
                self._thread = thread
            elif not self._is_wanted.is_set():
                self._is_wanted.set()

    def _run(self) -> None:
        has_rung = False
        while True:
            if self._standing and not self._is_over:
                has_rung = self._sleep(has_rung)
                continue
            has_rung = False
            # Not on the bell, where it would take wake-ups from those who wait.
            self._is_wanted.clear()
            if not self._is_over and (self._standing or self._is_wanted.wait(LINGER_SECONDS)):
                continue
            with self._changing:
                if self._is_over or not self._standing:
                    self._thread = None
                    return

    def _sleep(self, has_rung: bool) -> bool:
        """Look, and sleep on the bell until it rings, or until it is time to look all the same.

        Returns whether it has rung, or has not for so long that it should have.
        """
        self._forget_the_gone()
        self._is_on_bell = True
        try:
            words, index, seen, longest = self._look_first(has_rung)
            if not self._standing:
                return False
            # Nothing refers to the queue meanwhile.
            has_rung = bell.wait(words, index, seen, longest)
            if has_rung and not self._standing:
                # It was for somebody, and is nobody's here.
                bell.ring(words, index, 1)
            return has_rung or longest >= SAFETY_SECONDS
        finally:
            self._is_on_bell = False

    def _look_first(self, has_rung: bool) -> tuple[Any, int, int, float]:
        """What to sleep on, what was seen of it before the look, and for how long."""
        queue = self._queue()
        if queue is None:
            self._standing.clear()
            return None, 0, 0, 0.0
        words, index = queue._words, queue._word_of(self.line)
        seen = bell.read(words, index)
        self.look(has_rung=has_rung)
        try:
            return words, index, seen, longest_wait(queue, self.line)
        except Exception:  # who waits has been told by now
            return words, index, seen, SAFETY_SECONDS

    def _forget_the_gone(self) -> None:
        for number, find in list(self._standing.items()):
            if find() is None and self._standing.get(number) is find:
                del self._standing[number]


class Watches:
    """The three lines of one queue object."""

    def __init__(self, queue: FileQueue[Any]) -> None:
        self._lines = tuple(Watch(queue, line) for line in (GETTERS, PUTTERS, JOINERS))

    def __getitem__(self, line: int) -> Watch:
        return self._lines[line]

    def alarm(self) -> None:
        """Let all look."""
        for watch in self._lines:
            watch.alarm()

    def end(self) -> None:
        """The queue is closed."""
        for watch in self._lines:
            watch.end()


class Look:
    """Counting for a watch, as something that is done in the lane of a file: see ``lanes.Errand``."""

    weight = 0
    has_step = False

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def announce(self) -> None:
        """Nothing."""

    def step(self, s: Storage) -> None:
        """Nothing."""

    def proceed(self, error: BaseException | None) -> bool:
        """Count."""
        self._watch.look()
        return False

    def end(self, error: BaseException | None) -> None:
        """Nothing."""


# -- counting ----------------------------------------------------------------------------------------


def count_of(queue: FileQueue[Any], line: int, has_rung: bool) -> int:
    """How many of those who wait in a line would find something to do. Takes a transaction, maybe."""
    if line == GETTERS:
        return _items(queue, has_rung)
    if line == PUTTERS:
        return _room(queue)
    return _ends(queue)


def _items(queue: FileQueue[Any], has_rung: bool) -> int:
    if queue._state == ENDED:
        return EVERYBODY
    waiting, delayed, leased, paused = queue._counters("waiting, delayed, leased, paused")
    ready = int(waiting) + (queue._due() if delayed else 0)
    if not ready and leased:
        ready = queue._storage.run(lambda s: queue._return_lost(s, patient=True))
    if queue._state and not ready and not delayed:
        return EVERYBODY if has_rung else 0
    if paused:
        return 0
    # What was claimed ahead for a pool is its consumers' although it waits in the file no more.
    ahead = len(queue._prefetch.ready)
    if ahead:
        return ready + ahead
    if ready and queue._prefetch.has_suspect_at_work():
        return 0 if queue._storage.run(lambda s: statements.is_next_suspect(s, queue._id)) else 1
    return ready


def _room(queue: FileQueue[Any]) -> int:
    maxsize, waiting = queue._counters("maxsize, waiting")
    if queue._state or maxsize <= 0:
        return EVERYBODY
    if waiting < maxsize:
        return int(maxsize - waiting)
    soonest = queue._until_one_expires()
    return 1 if soonest is not None and soonest < 0.001 else 0


def _ends(queue: FileQueue[Any]) -> int:
    queue._storage.run(lambda s: queue._return_lost(s, patient=True))
    unfinished, leased = queue._counters("waiting + delayed + leased, leased")
    is_over = not unfinished or (queue._state == ENDED and not (leased and queue._holds_any()))
    return EVERYBODY if is_over else 0


def longest_wait(queue: FileQueue[Any], line: int) -> float:
    """Seconds after which it is looked although the bell has not rung."""
    seconds = None
    if line == GETTERS:
        seconds = queue._longest_wait()
    elif line == PUTTERS:
        seconds = queue._until_one_expires()
    return SAFETY_SECONDS if seconds is None else min(seconds, SAFETY_SECONDS)
