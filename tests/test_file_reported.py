"""Defects of queues in files that were reported, each as the promise that it broke."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import apsw
import pytest

import headrace
from consumer_support import eventually
from file_support import path
from headrace.backends.sqlite import handle
from headrace.backends.sqlite.checking import check

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["path"]

PATIENCE = 20.0


@pytest.fixture
def without_the_look_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up that is lost hangs."""
    monkeypatch.setattr(handle, "SAFETY_SECONDS", 1000.0)


def started(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(PATIENCE)
    return not thread.is_alive()


def test_what_is_taken_while_the_object_is_closed_goes_back(path: str) -> None:
    with headrace.open(path, durability="process") as keep:
        keep.put_many(range(2000))
        for _ in range(20):
            closing = headrace.open(path, durability="process")
            began = threading.Event()

            def take(closing: Any = closing, began: threading.Event = began) -> None:
                try:
                    while True:
                        closing.get()
                        began.set()
                except headrace.HeadraceError:
                    pass

            threads = [started(take) for _ in range(2)]
            assert began.wait(PATIENCE)
            closing.close()
            assert all(map(ended, threads))
        eventually(lambda: keep.stats().leased == 0)


def test_what_an_interrupt_left_goes_back_although_the_first_try_is_rolled_back(path: str) -> None:
    with headrace.open(path) as queue:
        queue.put("a")
        hand: list[Any] = []
        queue._claim(1, True, None, hand)
        storage, fails = queue._file.storage, [True]
        execute = storage.execute

        def failing(statement: str, *more: Any) -> Any:
            if statement == "COMMIT" and fails:
                fails.clear()
                raise apsw.FullError("no room, once")
            return execute(statement, *more)

        storage.execute = failing
        queue._undo_later(hand, KeyboardInterrupt())
        eventually(lambda: queue.stats().waiting == 1)


PUTTING_IN_A_HANDLER = """
import os, signal, sys, threading, headrace
queue = headrace.open(sys.argv[1])  # durability=power: the main thread is nearly always in fdatasync
count = [0]
ready = threading.Event()
def handler(*_):
    try:
        queue.put("handler")
        count[0] += 1
    except headrace.StorageError:
        pass  # it came in the middle of a transaction
    ready.set()
signal.signal(signal.SIGUSR1, handler)
def send():
    while True:
        os.kill(os.getpid(), signal.SIGUSR1)
        ready.wait()
        ready.clear()
threading.Thread(target=send, daemon=True).start()
for number in range(300):
    queue.put("main")
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
assert queue.qsize() == 300 + count[0], (queue.qsize(), count)
os._exit(0)
"""


def test_a_put_in_a_signal_handler_ends(path: str) -> None:
    subprocess.run([sys.executable, "-c", PUTTING_IN_A_HANDLER, path], check=True, timeout=PATIENCE)


def test_an_error_whose_text_has_no_utf8_is_buried_like_any(path: str) -> None:
    def handler(item: object) -> None:
        raise ValueError("no file \udcff.txt")

    with headrace.open(path) as queue:
        queue.put("a")
        with headrace.ConsumerPool(queue, handler, on_error="dead", signals=False):
            pass
        assert "udcff" in str(next(iter(queue.dead)).error)
        queue.put("b")
        queue.lease().fail("\ud800")
        assert len(queue.dead) == 2


def test_an_error_in_one_threads_call_is_that_threads(path: str) -> None:
    with headrace.open(path, durability="process") as queue:
        stop = threading.Event()

        def fail() -> None:
            while not stop.is_set():
                with pytest.raises(ZeroDivisionError):
                    queue._storage.run(lambda s: 1 // 0)

        failing = started(fail)
        for number in range(500):
            queue.put(number)
        stop.set()
        assert ended(failing)
        assert queue.get_many(1000) == list(range(500))


def test_a_link_leads_to_the_same_queue_and_a_hard_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("jobs.db")
    with headrace.open(tmp_path / "jobs.db") as queue, headrace.open(tmp_path / "link.db") as linked:
        queue.put("a")
        assert linked.get() == "a"
        assert linked.path == queue.path
    assert not (tmp_path / "link.db-headrace").exists()
    os.link(tmp_path / "jobs.db", tmp_path / "hard.db")
    with pytest.raises(headrace.StorageError, match="another name"):
        headrace.open(tmp_path / "hard.db")


def test_a_relative_path_is_that_of_the_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    with headrace.open("jobs.db") as queue:
        monkeypatch.chdir(tmp_path / "b")
        pid = os.fork()
        if not pid:
            try:
                queue.put("of the child")
                queue.close()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert queue.get() == "of the child"
    assert list((tmp_path / "b").iterdir()) == []


def test_a_forked_child_takes_nothing_that_its_parents_pool_has_claimed_ahead(path: str) -> None:
    done: list[int] = []
    go_on = threading.Event()

    def handler(item: int) -> None:
        done.append(item)
        if len(done) > 200:
            go_on.wait(PATIENCE)

    with headrace.open(path, durability="process") as queue:
        queue.put_many(range(2000))
        with headrace.ConsumerPool(queue, handler, consumers=2, signals=False):
            eventually(lambda: len(done) > 200)
            reader, writer = os.pipe()
            pid = os.fork()
            if not pid:
                try:
                    for _ in range(20):
                        with queue.lease() as lease:
                            os.write(writer, b"%d\n" % lease.item)
                    queue.close()
                finally:
                    os._exit(0)
            os.close(writer)
            with os.fdopen(reader) as lines:
                elsewhere = [int(line) for line in lines]
            os.waitpid(pid, 0)
            go_on.set()
    assert sorted(done + elsewhere) == list(range(2000))


def test_a_fork_in_a_handler_in_the_middle_of_a_put_leaves_the_file_whole(path: str) -> None:
    code = """
import os, signal, sys, headrace
queue = headrace.open(sys.argv[1], durability="process")
parent = os.getpid()
def handler(*_):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    if child := os.fork():
        os.waitpid(child, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.setitimer(signal.ITIMER_REAL, 0.003)
signal.signal(signal.SIGALRM, handler)
queue.put(0)  # imports what it needs: a child that is forked in the middle of an import cannot go on with it
signal.setitimer(signal.ITIMER_REAL, 0.003)
try:
    for number in range(1, 3000):
        queue.put(number)
        if os.getpid() != parent:
            os._exit(0)  # it was not in the middle: the child has put it too
except headrace.HeadraceError:
    assert os.getpid() != parent
    os._exit(0)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
queue.close()
os._exit(0)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, path], check=True, timeout=PATIENCE)
    assert check(path) == []
    with headrace.open(path) as queue:
        items = queue.get_many(100_000)
        assert set(items) == set(range(3000))
        queue.task_done(len(items))


@pytest.mark.usefixtures("without_the_look_each_second")
def test_a_replacement_that_waits_for_its_time_lets_another_put_in(path: str) -> None:
    with headrace.open(path, maxsize=1) as queue:
        queue.put("a", key="k")
        putting = started(lambda: queue.put("b"))
        eventually(lambda: queue.stats().putters_blocked == 1)
        queue.put("later", key="k", delay=1000, on_duplicate="replace")
        assert ended(putting)


@pytest.mark.usefixtures("without_the_look_each_second")
def test_a_put_that_needs_no_room_any_more_passes_its_wake_up_on(path: str) -> None:
    with headrace.open(path, maxsize=1) as queue:
        queue.put("a")
        keyed = started(lambda: queue.put("k", key="K"))
        eventually(lambda: queue.stats().putters_blocked == 1)
        plain = started(lambda: queue.put("plain"))
        eventually(lambda: queue.stats().putters_blocked == 2)
        queue.put("later", key="K", delay=1000)
        queue.get()
        assert ended(plain)
        assert ended(keyed)


def test_a_dead_letter_is_retried_into_a_queue_full_of_what_has_expired(path: str) -> None:
    with headrace.open(path, maxsize=1) as queue:
        queue.put("a")
        lease = queue.lease()
        number = lease.id
        lease.fail("no")
        queue.put("in time or not at all", ttl=0.0)
        queue.dead.retry(number, block=False)
        assert queue.get(timeout=0) == "a"


def test_task_done_in_a_signal_handler_settles_another_item(path: str) -> None:
    with headrace.open(path, durability="process") as queue:
        queue.put_many(range(200))
        queue.get_many(200)
        settled = [0]

        def handler(*_: object) -> None:
            if settled[0] < 50:
                settled[0] += 1
                queue.task_done()

        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        try:
            for _ in range(150):
                queue.task_done()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        while settled[0] < 50:
            handler()
        queue.join(timeout=PATIENCE)
        assert check(queue) == []


def test_a_queue_object_can_be_given_to_another_process(path: str) -> None:
    with headrace.open(path, maxsize=3, durability="process") as queue:
        with pickle.loads(pickle.dumps(queue)) as other:
            other.put("a")
            assert (other.name, other.durability, other.maxsize) == ("default", "process", 3)
        assert queue.get() == "a"
