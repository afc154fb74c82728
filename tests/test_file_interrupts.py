"""Ctrl-C at each line that a call on a queue file executes: the queue works on, nothing is lost or held for ever."""

from __future__ import annotations

import linecache
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from consumer_support import eventually
from headrace.backends.sqlite import (
    file,
    handle,
    housekeeper,
    owners,
    prefetch,
    putting,
    queue,
    settling,
    side,
    statements,
    storage,
    taking,
)
from headrace.backends.sqlite.checking import check
from headrace.errors import Empty
from interrupts import Interrupt, at_each_line

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there are no queue files on Windows"),
    # Each opens and closes a file hundreds of times.
    pytest.mark.timeout(600),
]

MODULES = (
    file,
    handle,
    housekeeper,
    owners,
    prefetch,
    putting,
    queue,
    settling,
    side,
    statements,
    storage,
    taking,
)
PATIENCE = 10.0


class Strike(Interrupt):
    """Spares lines at which the interpreter does not look for signals, although it tells tracers of them.

    It tells of a line with ``with`` once more just before it calls ``__exit__``, and of one with ``try`` where no
    handler holds, not even one around it: a lock would be kept that no Ctrl-C can have it keep.
    """

    def __call__(self, frame: Any, event: str, argument: object) -> Any:
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        if event == "line" and line.startswith(("with ", "try:")):
            return self
        result = super().__call__(frame, event, argument)
        return self if result is not None else None


class Attempt:
    """One run of an operation in a fresh queue object, with Ctrl-C at a line."""

    def __init__(self, path: str) -> None:
        self.path = path
        # What a caller was given.
        self.got: list[str] = []
        self.queue: Any = None

    def run(self, prepare: Callable[[Any], Any], operate: Callable[[Attempt, Any], object], at: int) -> bool:
        """Whether there was such a line."""
        self.queue = q = headrace.open(self.path)
        q.clear()
        prepare(q)
        was_interrupted = False
        sys.settrace(Strike(at, *MODULES))
        try:
            operate(self, q)
        except KeyboardInterrupt:
            was_interrupted = True
        finally:
            sys.settrace(None)
        return was_interrupted


def others_can_put(path: str) -> None:
    """A process that comes through the gate by another descriptor, as another process does."""

    def put() -> None:
        with headrace.open(path + "?lease=31&durability=process#others") as other:
            other.put("other")

    thread = threading.Thread(target=put, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the gate was left closed"


def drained(q: Any) -> list[str]:
    items: list[str] = []
    while True:
        try:
            items.append(q.get_nowait())
        except Empty:
            break
        q.task_done()
    return items


def put_one(attempt: Attempt, q: Any) -> None:
    q.put("b")


def put_with_a_key(attempt: Attempt, q: Any) -> None:
    q.put("b", key="k", on_duplicate="replace")


def put_many(attempt: Attempt, q: Any) -> None:
    q.put_many(["b", "c"])


def get_one(attempt: Attempt, q: Any) -> None:
    attempt.got.append(q.get())


def get_many(attempt: Attempt, q: Any) -> None:
    attempt.got.extend(q.get_many(2))


def wait_for_one(attempt: Attempt, q: Any) -> None:
    with pytest.raises(Empty):
        q.get(timeout=0.002)


def settle_one(attempt: Attempt, q: Any) -> None:
    q.task_done()


def lease_one(attempt: Attempt, q: Any) -> None:
    with q.lease():
        pass


def retry_one(attempt: Attempt, q: Any) -> None:
    with pytest.raises(OSError), q.lease():
        raise OSError


def join(attempt: Attempt, q: Any) -> None:
    q.join()


def look(attempt: Attempt, q: Any) -> None:
    q.stats()


def nothing(q: Any) -> None:
    pass


def put_two(q: Any) -> None:
    q.put_many(["a", "b"])


def take_one(q: Any) -> None:
    q.put("a")
    q.get()


@pytest.mark.parametrize(
    ("prepare", "operate", "allowed"),
    [
        (nothing, put_one, ([], ["b"])),
        (nothing, put_with_a_key, ([], ["b"])),
        (nothing, put_many, ([], ["b", "c"])),
        (put_two, get_one, (["a", "b"],)),
        (put_two, get_many, (["a", "b"],)),
        (nothing, wait_for_one, ([],)),
        # The last: it was not done, for Ctrl-C came in the middle of done(), and is delivered again.
        (put_two, lease_one, (["a", "b"], ["b"], ["b", "a"])),
        (put_two, retry_one, (["a", "b"], ["b", "a"])),
        (take_one, settle_one, ([],)),
        (nothing, join, ([],)),
        (put_two, look, (["a", "b"],)),
    ],
)
def test_an_interrupt_at_any_line_leaves_a_queue_that_works_and_nothing_held(
    path_in_memory: str, prepare: Callable[[Any], Any], operate: Callable[[Attempt, Any], object], allowed: Any
) -> None:
    path = path_in_memory

    def attempt(at: int) -> bool:
        one = Attempt(path)
        was_interrupted = one.run(prepare, operate, at)
        q = one.queue
        others_can_put(path)
        if prepare is take_one:
            # It was settled, or can be.
            try:
                q.task_done()
            except ValueError:
                pass
        eventually(lambda: q.stats().leased == len(one.got))
        if one.got:
            q.task_done(len(one.got))
        left = [*one.got, *drained(q)]
        assert left in allowed, at
        q.put("z")
        assert q.get_nowait() == "z"
        q.task_done()
        q.join(timeout=PATIENCE)
        assert check(q) == [], at
        q.close()
        return was_interrupted

    assert at_each_line(attempt) > 10


def test_an_interrupt_at_any_line_of_a_pools_begin_and_end_leaves_nothing_held(path_in_memory: str) -> None:
    path = path_in_memory

    def attempt(at: int) -> bool:
        handled: list[str] = []

        def work(one: Attempt, q: Any) -> None:
            with headrace.ConsumerPool(q, handled.append, consumers=2, signals=False):
                q.join(PATIENCE)
                q.shutdown()

        one = Attempt(path)
        was_interrupted = one.run(put_two, work, at)
        others_can_put(path)
        one.queue.close()
        with headrace.open(path) as q:
            eventually(lambda: q.stats().leased == 0)
            # One that was being handled when Ctrl-C came is repeated.
            assert set(handled) | set(drained(q)) == {"a", "b"}, at
            assert check(q) == [], at
        return was_interrupted

    assert at_each_line(attempt) > 10
