"""A fork while other threads are inside a queue or wait at it: the child's queue works, and so does the parent's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from conftest import scaled

if TYPE_CHECKING:
    from conftest import Child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


def fork_while_others_are_inside(kind: str, forks: int, opened: bool) -> None:  # noqa: C901 - a whole program
    """Threads hammer a queue; the main thread forks again and again, and each child uses what it inherits."""
    import sys
    import threading

    import headrace
    from forking import run_forked
    from headrace.testing.threads import Call, until_blocked

    sys.setswitchinterval(1e-6)
    queue = getattr(headrace, kind)(50)
    if opened:
        assert queue.mutex
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            try:
                queue.put_many([1, 2, 3], timeout=0.0001)
                queue.put(1, timeout=0.0001)
            except headrace.Full:
                pass
            try:
                for _ in queue.get_many(3, timeout=0.0001):
                    queue.task_done()
                queue.get_nowait()
                queue.task_done()
            except headrace.Empty:
                pass

    def use() -> None:
        """All of it, in the child: with itself, with a new thread that is blocked in get, in put, in join."""
        stats = queue.stats()
        assert (stats.getters_blocked, stats.putters_blocked) == (0, 0), stats
        while not queue.empty():
            queue.get(timeout=5)
            queue.task_done()
        assert queue.clear() == 0
        # Threads that were between their get and their task_done are no more.
        while queue.unfinished_tasks:
            queue.task_done()
        queue.put(7)
        assert queue.get() == 7
        getter = Call(queue.get)
        until_blocked(queue, getters=1)
        queue.put(8)
        assert getter.result() == 8
        for item in range(50):
            queue.put(item)
        putter = Call(queue.put, 50)
        until_blocked(queue, putters=1)
        assert len(queue.get_many(100)) == 50
        putter.result()
        assert queue.get() == 50
        joiner = Call(queue.join)
        for _ in range(53):
            queue.task_done()
        joiner.result()
        assert queue.unfinished_tasks == 0
        queue.shutdown()

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(forks):
            run_forked(use)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    queue.clear()
    queue.put(1)
    assert queue.get() == 1


@pytest.mark.parametrize("opened", [False, True], ids=["", "looked into"])
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_child_can_use_a_queue_that_others_were_inside_of(child: Child, kind: str, opened: bool) -> None:
    child.run(fork_while_others_are_inside, kind, scaled(25), opened)


@pytest.mark.stress
@pytest.mark.timeout(900)
@pytest.mark.parametrize("opened", [False, True], ids=["", "looked into"])
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_thousand_children_can_use_such_a_queue(child: Child, kind: str, opened: bool) -> None:
    child.run(fork_while_others_are_inside, kind, scaled(1000), opened, seconds=800)


def fork_while_others_wait(opened: bool) -> None:
    """Threads wait in get, put and join; in the child they are no more, and nothing is kept for them."""
    import threading

    import headrace
    from forking import run_forked
    from headrace.testing.threads import Call, calls, until_blocked

    empty, full, unfinished = headrace.Queue(), headrace.Queue(1), headrace.Queue()
    simple = headrace.SimpleQueue()
    full.put(0)
    unfinished.put(0)
    if opened:
        assert empty.mutex
        assert full.mutex
        assert unfinished.mutex
    getters = [*calls(3, empty.get), Call(empty.get, timeout=100)]
    putters = [Call(full.put, item) for item in (1, 2, 3)]
    joiners = calls(3, unfinished.join)
    simple_getters = calls(3, simple.get)
    until_blocked(empty, getters=4)
    until_blocked(full, putters=3)

    def use() -> None:
        assert threading.active_count() == 1
        assert empty.stats().getters_blocked == 0
        assert full.stats().putters_blocked == 0
        for queue in (empty, simple):
            queue.put(1)
            queue.put(2)
            assert queue.qsize() == 2
            assert [queue.get_nowait(), queue.get_nowait()] == [1, 2]
            getter = Call(queue.get)
            if queue is empty:
                until_blocked(queue, getters=1)
            queue.put(3)
            assert getter.result() == 3
        assert full.get() == 0
        assert full.empty()
        full.put(4)
        putter = Call(full.put, 5)
        until_blocked(full, putters=1)
        assert full.get() == 4
        putter.result()
        assert full.get() == 5
        joiner = Call(unfinished.join)
        unfinished.task_done()
        joiner.result()
        for queue in (empty, full, unfinished):
            queue.shutdown(immediate=True)

    run_forked(use)

    # In the parent everybody still waits, and is served.
    until_blocked(empty, getters=4)
    until_blocked(full, putters=3)
    for item in range(4):
        empty.put(item)
    assert sorted(getter.result() for getter in getters) == [0, 1, 2, 3]
    taken = [full.get(timeout=10) for _ in range(4)]
    for putter in putters:
        putter.result()
    assert sorted(taken) == [0, 1, 2, 3]
    unfinished.task_done()
    for joiner in joiners:
        joiner.result()
    for item in range(3):
        simple.put(item)
    assert sorted(getter.result() for getter in simple_getters) == [0, 1, 2]


@pytest.mark.parametrize("opened", [False, True], ids=["", "looked into"])
def test_who_waits_is_left_behind_by_a_fork(child: Child, opened: bool) -> None:
    child.run(fork_while_others_wait, opened)


def fork_with_the_mutex_held() -> None:
    """Who forks inside `with queue.mutex` holds it in the child too, and releases it there."""

    import headrace
    from forking import run_forked
    from headrace.testing.threads import Call

    queue = headrace.Queue()
    queue.put(1)

    def use() -> None:
        assert queue.mutex.locked()
        assert len(queue.queue) == 1
        getter = Call(queue.get)
        assert Call(queue.mutex.acquire, False).result() is False
        queue.mutex.release()
        assert getter.result() == 1

    with queue.mutex:
        run_forked(use)
    assert Call(queue.get).result() == 1


def test_a_fork_with_the_mutex_held_keeps_it_held(child: Child) -> None:
    child.run(fork_with_the_mutex_held)


def fork_while_another_holds_the_mutex() -> None:
    """The holder does not exist in the child, so there the mutex is free."""
    import threading

    import headrace
    from forking import run_forked
    from headrace.testing.threads import Call

    queue = headrace.Queue()
    queue.put(1)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with queue.mutex:
            held.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()

    def use() -> None:
        assert Call(queue.get).result() == 1
        queue.put(2)
        with queue.mutex:
            assert queue.queue[0] == 2

    run_forked(use)
    release.set()
    holder.join()
    assert queue.get() == 1


def test_a_mutex_held_by_another_thread_is_free_in_the_child(child: Child) -> None:
    child.run(fork_while_another_holds_the_mutex)


def fork_from_a_thread() -> None:
    """The thread that forks becomes the child's only one, whichever it was."""

    import headrace
    from forking import run_forked
    from headrace.testing.threads import Call, until_blocked

    queue = headrace.Queue(1)
    waiting = Call(queue.get)
    until_blocked(queue, getters=1)

    def use_again() -> None:
        queue.put(3)
        assert queue.get(timeout=10) == 3

    def use() -> None:
        queue.put(1)
        assert queue.get(timeout=10) == 1
        getter = Call(queue.get, timeout=10)
        queue.put(2)
        assert getter.result() == 2
        run_forked(use_again)

    Call(run_forked, use).result(60)
    queue.put(4)
    assert waiting.result() == 4


def test_a_thread_may_fork_and_its_child_fork_again(child: Child) -> None:
    child.run(fork_from_a_thread)


def multiprocessing_with_fork() -> None:
    """The way most programs fork: a worker process started while threads wait."""
    import multiprocessing

    import headrace
    from headrace.testing.threads import calls, until_blocked

    queue = headrace.Queue()
    getters = calls(2, queue.get)
    until_blocked(queue, getters=2)

    def work(results: object) -> None:
        queue.put("in the child")
        results.put(queue.get(timeout=10))  # type: ignore[attr-defined]

    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=work, args=(results,))
    process.start()
    assert results.get(timeout=30) == "in the child"
    process.join(30)
    assert process.exitcode == 0
    queue.put(1)
    queue.put(2)
    assert sorted(getter.result() for getter in getters) == [1, 2]


def test_a_worker_process_may_use_what_it_inherits(child: Child) -> None:
    child.run(multiprocessing_with_fork)
