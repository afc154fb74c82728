"""Lanes: what coroutines want done with a queue file is done by a few threads, which all files of the process share.

A file has two lanes, and in each one thread works at a time. In that of *transactions* it takes all that have come
since it last looked, and does them in one. What shall be safe on disk goes on to that of *syncs*: there one call of
``fdatasync`` serves all that were committed before it began, while the next transaction is made in the other lane. So
a hundred coroutines that put at a time share a few syncs, and a slow disk holds up nobody but who waits for it.
"""

from __future__ import annotations

import os
import threading
from collections import deque

from headrace.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from headrace.backends.sqlite.file import QueueFile
    from headrace.backends.sqlite.storage import Storage

    class Errand(Protocol):
        """Something to be done. All methods are called by one thread after the other.

        Attributes:
            weight: of how many items it may be.
            has_step: whether it has a part in the transaction.
        """

        weight: int
        has_step: bool

        def announce(self) -> None:
            """It will be done in a moment, with others that hear this before any of them is done."""
            ...

        def step(self, s: Storage, /) -> object:
            """What is done in the transaction. Maybe more than once, if that fails."""
            ...

        def proceed(self, error: BaseException | None, /) -> bool:
            """Do the rest, outside of it; *error* is what became of the step. True if it is to be synced."""
            ...

        def end(self, error: BaseException | None, /) -> None:
            """All is done; *error* is what became of the sync."""
            ...


__all__ = ["Lanes", "threads"]

# Threads for all files of a process together. More than a few only where several disks are slow at a time.
MOST_THREADS = 8
# Seconds after which a thread that has nothing to do ends.
IDLE_SECONDS = 2.0
# What one transaction has of errands, and of items: the other processes shall have their turn.
MOST_ERRANDS = 200
MOST_WEIGHT = 10_000


class Lane:
    """What waits to be done by one thread at a time, in its order."""

    def __init__(self, work: Callable[[list[Errand]], None]) -> None:
        self._work = work
        self._pending: deque[Errand] = deque()
        # Whether a thread works here, or is on its way. Under _lock.
        self._is_served = False
        self._lock = threading.Lock()

    def add(self, errand: Errand) -> None:
        """Have *errand* done by another thread. Does not block."""
        self._pending.append(errand)
        with self._lock:
            if self._is_served:
                return
            # In this order: an interrupt in between brings one thread too many, and not one too few.
            mine = _workers.give(self)
            self._is_served = True
        if mine is not None:
            mine.serve()

    def serve(self) -> None:
        """Do some of what waits here, in the thread that calls. The rest is for the next one."""
        try:
            some = self._some()
            if some:
                self._work(some)
        finally:
            with self._lock:
                self._is_served = bool(self._pending)
                mine = _workers.give(self) if self._is_served else None
            if mine is not None:
                mine.serve()

    def _some(self) -> list[Errand]:
        some: list[Errand] = []
        weight = 0
        while self._pending and len(some) < MOST_ERRANDS and weight < MOST_WEIGHT:
            some.append(self._pending.popleft())
            weight += some[-1].weight
        return some


class Workers:
    """The threads that serve the lanes. Each is there as long as there is something to do, and a little longer."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        # Under the lock of _changed: lanes that no thread has come to, threads that wait for one, and all threads.
        self._lanes: deque[Lane] = deque()
        self._idle = 0
        self.count = 0

    def give(self, lane: Lane) -> Lane | None:
        """Have a thread serve *lane*, once, as soon as one is free. Returns a lane to be served by who calls."""
        with self._changed:
            self._lanes.append(lane)
            if self._idle >= len(self._lanes):
                self._changed.notify()
                return None
            if self.count >= MOST_THREADS:
                return None
            self.count += 1
        try:
            threading.Thread(target=self._run, name="headrace file worker", daemon=True).start()
        except RuntimeError:  # the system has no thread left, or the interpreter ends
            with self._changed:
                self.count -= 1
                if not self.count and self._lanes:
                    return self._lanes.popleft()
        return None

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lanes:
                    self._idle += 1
                    try:
                        is_told = self._changed.wait(IDLE_SECONDS)
                    finally:
                        self._idle -= 1
                    if not is_told and not self._lanes:
                        self.count -= 1
                        return
                lane = self._lanes.popleft()
            lane.serve()
            del lane


_workers = Workers()


def threads() -> int:
    """How many threads serve the lanes of all files now."""
    return _workers.count


def _begin_anew() -> None:
    """In a forked child, where the threads are not, and the files are opened anew."""
    global _workers  # noqa: PLW0603 - the process's own
    _workers = Workers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


class Lanes:
    """The two lanes of one file."""

    def __init__(self, file: QueueFile) -> None:
        self._storage = file.storage
        self._transactions = Lane(self._do)
        self._syncs = Lane(self._sync)
        # Does not block. From any thread.
        self.add = self._transactions.add

    def _do(self, errands: list[Errand]) -> None:
        for each in errands:
            each.announce()
        tickets = iter(self._storage.run_all([each.step for each in errands if each.has_step]))
        for each in errands:
            error = next(tickets).error if each.has_step else None
            try:
                wants_sync = each.proceed(error)
            except BaseException as problem:
                each.end(problem)
                continue
            if wants_sync:
                self._syncs.add(each)
            else:
                each.end(None)

    def _sync(self, errands: list[Errand]) -> None:
        problem: BaseException | None = None
        try:
            self._storage.sync()
        except BaseException as error:
            problem = error
        for each in errands:
            # An error object for each: several coroutines cannot raise the same one.
            each.end(problem if not isinstance(problem, StorageError) else StorageError(*problem.args))
