"""``MapIterator``: reads a source, has threads work on its items, and yields their results."""

from __future__ import annotations

import threading
from _thread import get_ident
from collections import deque
from time import monotonic

from headrace.backends.memory.waiting import Mutex
from headrace.consumers.arguments import SHUT_DOWN, close_if_generator, iterate
from headrace.consumers.calls import WAITING, Calls
from headrace.consumers.failure import note, shown, wait_for
from headrace.consumers.run import GRACE
from headrace.generic import Subscriptable, T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, NoReturn

    from headrace.consumers.arguments import Source

__all__ = ["MapIterator"]

# A source that takes longer than this for its next item (seconds) is slow: results that are ready go before it.
QUICK = 0.001

# The part of a slow source's last time that the only open call is waited for before the source is asked again. A source
# can then lose so much of its speed at most, and a result that comes sooner is not held back until there is another
# item. With several open calls nothing is waited for: they take longer than the source, and none is about to end.
PATIENCE = 0.25


class MapIterator(Subscriptable[T]):
    """The results of a ``map``, one for each ``next()``. Made by ``headrace.map``."""

    # The threads know the calls and not this object: so it can be dropped while they run, which ends them.
    __slots__ = (
        "__weakref__",
        "_batch",
        "_calls",
        "_closed",
        "_consumers",
        "_inside",
        "_items",
        "_number",
        "_read_seconds",
        "_results",
        "_source_error",
        "_threads",
        "_turn",
        "_unread",
        "_window",
    )

    def __init__(
        self, function: Callable[[Any], T], source: Source[Any], consumers: int, maxsize: int, ordered: bool
    ) -> None:
        self._window = maxsize + consumers
        # How many results are collected in one turn. Not all that are ready, for the source is read only between two
        # turns, which must not wait until the caller has worked through so many.
        self._batch = max(1, maxsize // 4)
        self._consumers = consumers
        self._calls = Calls(function, self._window, ordered)
        # What was collected. Filled by whoever has the turn, emptied by all.
        self._results: deque[T] = deque()
        # Held while a thread reads the source and collects results. Guards all that follows, but for `_closed`.
        # Reentrant, for a thread that was interrupted just as it let go of it.
        self._turn = Mutex()
        self._inside = 0  # the thread that holds it, if it is held
        self._closed = False  # set by any thread, for good
        self._threads: dict[int | None, threading.Thread] = {}
        self._items: Any = source  # the iterator over it, once there are threads
        self._unread = True  # until the source has ended or failed
        self._number = 0  # of the item that was read last, counted from 1
        self._read_seconds = 0.0  # how long the source took for it
        self._source_error: BaseException | None = None

    def __iter__(self) -> MapIterator[T]:
        return self

    def __next__(self) -> T:
        """The next result, waited for.

        Raises:
            StopIteration: there is no other one, or the iterator was closed.
            Exception: what the function raised for the item whose turn it is, or the source in the end.
            RuntimeError: called from within: by the function or by the source of this very map, which would wait for
                itself; or the function raised StopIteration, which here would mean the end.
        """
        try:
            return self._results.popleft()
        except IndexError:
            pass  # and not from in here: what is raised there has nothing to do with this
        return self._take_turn()

    def close(self) -> None:
        """End it: begin no further item, wait for calls that are running, and close the source if it is a generator.

        What those calls return or raise is dropped. Another thread's ``next()`` that is waiting raises StopIteration.
        May be called several times, and from any thread; the function itself may call it too, which does not wait.
        """
        self._close(None)

    def __enter__(self) -> MapIterator[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close(GRACE if isinstance(error, KeyboardInterrupt) else None)

    def __del__(self) -> None:
        calls = getattr(self, "_calls", None)  # Ctrl-C may have come before there were any
        if calls is not None:
            calls.stop()

    # ---- a turn ----

    def _take_turn(self) -> T:
        """Read ahead, collect results, and return the first of them."""
        me = get_ident()
        if me == self._inside or me in self._threads:
            self._refuse_to_wait_for_itself()
        with self._turn:
            try:
                self._inside = me
                return self._collect()
            except KeyboardInterrupt as interrupt:
                self._give_up(interrupt)
                raise
            finally:
                self._inside = 0

    def _collect(self) -> T:
        if not self._threads and not self._closed:
            self._start()
        calls, results = self._calls, self._results
        while True:
            if self._unread:
                self._read_ahead()
            if self._closed:
                break  # by another thread, or by the source
            calls.collect(results, self._batch)
            try:
                return results.popleft()
            except IndexError:
                pass  # none is ready; or other threads were faster
            if calls.has_failure():
                self._raise_failure()
            if self._number == calls.collected:
                self._end()
            if not calls.ready():
                calls.hear(None)
        self._finish(None)
        raise StopIteration

    def _start(self) -> None:
        """Begin to iterate over the source, and start the threads."""
        try:
            self._items = iterate(self._items)
            for number in range(1, self._consumers + 1):
                thread = self._calls.start_thread(f"Map-{number}")
                self._threads[thread.ident] = thread
        except Exception:
            self._finish(None)
            raise

    def _read_ahead(self) -> None:
        """Read items and hand them to the threads, while the window has room and no result is held back by it."""
        calls = self._calls
        if calls.are_over():
            return
        begun = last = monotonic()
        slow = self._read_seconds > QUICK
        for _ in range(self._window - self._unyielded()):
            if slow:
                if self._result_comes_first():
                    return
                last = monotonic()
            try:
                item = next(self._items)
            except StopIteration:
                self._unread = False
                return
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                self._unread = False
                self._keep_source_error(error)
                return
            self._number += 1
            try:
                calls.add([WAITING, item, self._number])
            except SHUT_DOWN:
                return
            del item
            now = monotonic()
            slow = now - begun > QUICK
            self._read_seconds, last = now - last, now

    def _unyielded(self) -> int:
        """How many items were read whose results were not yielded."""
        return self._number - self._calls.collected + len(self._results)

    def _keep_source_error(self, error: BaseException) -> None:
        if self._number:
            note(error, f"after item {self._number} of the source")
        self._source_error = error

    def _result_comes_first(self) -> bool:
        """Whether a result is ready, or gets ready in a time that is short for so slow a source."""
        calls = self._calls
        if calls.ready():
            return True
        if self._read_seconds <= QUICK or self._number - calls.collected != 1:
            return False
        deadline = monotonic() + self._read_seconds * PATIENCE
        while not calls.ready():
            if not calls.hear(max(0.0, deadline - monotonic())):
                return False
        return True

    def _end(self) -> NoReturn:
        """There is no call left: raise what the source raised, or StopIteration."""
        error = self._source_error
        self._source_error = None
        self._finish(None)
        try:
            raise StopIteration if error is None else error
        finally:
            del error  # its traceback refers to this frame

    def _raise_failure(self) -> NoReturn:
        """Wait for the calls that are running, and raise the failure whose turn it is. Others become notes on it."""
        error = self._calls.take_failure()
        try:
            self._calls.begin_no_more()
            self._wait(None)
            self._note_others(error)
            try:
                self._finish(None)
            except Exception as closing:
                note(error, f"closing the source failed too: {shown(closing)}")
            if isinstance(error, StopIteration):
                raise RuntimeError("the function of a map raised StopIteration, which would end the loop") from error
            raise error
        except KeyboardInterrupt as interrupt:
            if interrupt is not error:
                note(interrupt, f"before this was raised, an item had failed: {shown(error)}")
            raise
        finally:
            del error  # its traceback refers to this frame

    def _note_others(self, error: BaseException) -> None:
        for other in self._calls.failures():
            if other is not error:
                note(error, f"at the same time another item had failed: {shown(other)}")
        if self._source_error is not None:
            note(error, f"the source had failed too: {shown(self._source_error)}")

    def _give_up(self, interrupt: KeyboardInterrupt) -> None:
        """Stop all and wait no longer than the grace. Failures become notes: they must not hide the Ctrl-C."""
        try:
            self._calls.begin_no_more()
            self._wait(GRACE)
            self._note_others(interrupt)
            self._finish(0.0)
        except KeyboardInterrupt:
            self._calls.stop()  # pressed again, out of patience; the first is raised
        except Exception as closing:
            note(interrupt, f"closing the source failed too: {shown(closing)}")

    # ---- the end ----

    def _close(self, grace: float | None) -> None:
        self._closed = True
        self._calls.stop()
        self._results.clear()
        if self._has_turn():
            return  # called by the source: the `next()` that reads it closes it
        self._wait(grace)
        if get_ident() not in self._threads:
            with self._turn:
                self._finish(grace)

    def _finish(self, grace: float | None) -> None:
        """End the threads, for *grace* seconds at most, and then close the source: calls may use what it holds open."""
        self._closed = True
        self._calls.stop()
        self._wait(grace)
        self._results.clear()
        self._threads = {}
        self._unread = False
        close_if_generator(self._items)
        self._items = ()  # after that: an interrupt may make this necessary once more

    def _wait(self, grace: float | None) -> None:
        """Wait until all threads have ended, for *grace* seconds at most."""
        if get_ident() not in self._threads:  # or it would wait for itself
            wait_for(list(self._threads.values()), grace)

    def _has_turn(self) -> bool:
        return self._inside == get_ident() and self._turn.locked()

    def _refuse_to_wait_for_itself(self) -> None:
        """Raise RuntimeError if this thread has the turn, or if it is one of those that the turn waits for."""
        # An ident may be another's by now, but a thread object may not.
        of_the_function = self._threads.get(get_ident()) is threading.current_thread()
        if of_the_function or self._has_turn():
            raise RuntimeError(
                f"the {'function' if of_the_function else 'source'} of a map called next() on that map, "
                "which would wait for itself: iterate over it where it was made"
            )
