"""Pools, producers and consumers over a queue in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace.backends.sqlite.checking import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 30.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "jobs.db")


@pytest.fixture
def queue(path: str) -> Iterator[Any]:
    with headrace.open(path, durability="process") as queue:
        yield queue
    assert check(path) == []


def test_a_pool_handles_every_item_once(queue: Any) -> None:
    handled: list[int] = []
    with headrace.ConsumerPool(queue, handled.append, consumers=3, signals=False) as pool:
        queue.put_many(range(2000))
    assert sorted(handled) == list(range(2000))
    assert pool.summary().items == 2000
    stats = queue.stats()
    assert (stats.unfinished, stats.put_total, stats.get_total, stats.dead) == (0, 2000, 2000, 0)


def test_a_pool_works_on_what_waited_before_it(path: str) -> None:
    with headrace.open(path) as queue:
        queue.put_many(range(100))
    handled: list[int] = []
    with headrace.open(path) as queue, headrace.ConsumerPool(queue, handled.append, signals=False):
        pass
    assert sorted(handled) == list(range(100))


def test_what_fails_is_tried_again_and_dies_with_its_history(queue: Any) -> None:
    attempts: Counter[int] = Counter()

    def handler(item: int) -> None:
        attempts[item] += 1
        if item % 10 == 0:
            raise LookupError(f"no {item}")

    retry = headrace.Retry(attempts=7, delay=0.001)
    with headrace.ConsumerPool(queue, handler, retry=retry, on_error="dead", signals=False) as pool:
        queue.put_many(range(50))
    # More often than max_deliveries, which is 5: the pool's word counts.
    assert attempts == {item: 7 if item % 10 == 0 else 1 for item in range(50)}
    assert (pool.summary().items, pool.summary().dead) == (45, 5)
    letters = list(queue.dead)
    assert [letter.item for letter in letters] == [0, 10, 20, 30, 40]
    assert {letter.attempts for letter in letters} == {7}
    assert "LookupError: no 10" in str(letters[1].error)
    assert "handler" in letters[1].traceback
    assert len(letters[1].history) == 7


def test_a_failure_stops_the_pool_and_not_the_queue(queue: Any, path: str) -> None:
    def handler(item: int) -> None:
        raise LookupError(item)

    queue.put_many(range(10))
    with (
        pytest.raises(ExceptionGroup),
        headrace.ConsumerPool(queue, handler, consumers=1, on_error="stop", signals=False),
    ):
        pass
    assert queue.is_shutdown
    with headrace.open(path) as again:
        again.put("more")  # the queue in the file goes on
        stats = again.stats()
        assert (stats.waiting, stats.leased, stats.dead) == (10, 0, 1)


def test_a_time_limit_gives_the_item_to_another_consumer(queue: Any) -> None:
    release = threading.Event()
    seen: Counter[str] = Counter()

    def handler(item: str) -> None:
        seen[item] += 1
        if item == "slow" and seen[item] == 1:
            release.wait(PATIENCE)

    retry = headrace.Retry(attempts=2, delay=0)
    with headrace.ConsumerPool(queue, handler, consumers=1, timeout=0.2, retry=retry, signals=False) as pool:
        queue.put("slow")
        queue.put("quick")
    release.set()
    assert seen == {"slow": 2, "quick": 1}
    assert pool.summary().timed_out == 1
    assert queue.stats().unfinished == 0


def test_rate_and_key_hold(queue: Any) -> None:
    running: Counter[int] = Counter()
    most = 0
    lock = threading.Lock()

    def handler(item: int) -> None:
        nonlocal most
        with lock:
            running[item % 3] += 1
            most = max(most, *running.values())
        with lock:
            running[item % 3] -= 1

    with headrace.ConsumerPool(queue, handler, consumers=4, key=lambda item: item % 3, rate=2000, signals=False):
        queue.put_many(range(60))
    assert most == 1
    assert queue.stats().unfinished == 0


def test_what_a_pool_has_claimed_ahead_and_not_begun_goes_back_undone(queue: Any, path: str) -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def handler(item: int) -> None:
        begun.append(item)
        if item == 500:
            pool.stop()
            go_on.set()

    queue.put_many(range(5000))
    pool = headrace.ConsumerPool(queue, handler, consumers=2, signals=False)
    with pool:
        assert go_on.wait(PATIENCE)
    assert len(begun) < 5000
    stats = queue.stats()
    assert (stats.leased, stats.waiting) == (0, 5000 - len(begun))
    assert stats.get_total == len(begun)
    rest: list[tuple[Any, int]] = []
    while not queue.empty():
        lease = queue.lease()
        rest.append((lease.item, lease.attempt))
        lease.done()
    # In their places, and delivered for the first time.
    assert rest == [(item, 1) for item in sorted(set(range(5000)) - set(begun))]


def test_items_that_lie_claimed_for_long_go_back_to_who_can_use_them(queue: Any, path: str) -> None:
    """A pool whose handlers become slow does not sit on what it has claimed while they were quick."""
    release = threading.Event()
    handled: list[int] = []

    def handler(item: int) -> None:
        if item >= 3000:
            release.wait(PATIENCE)
        handled.append(item)

    queue.put_many(range(4000))
    with headrace.open(path) as other, headrace.ConsumerPool(queue, handler, consumers=2, signals=False):
        while len(handled) < 3000:
            release.wait(0.01)
        # All but the two that are at work can be had elsewhere.
        elsewhere = [other.get(timeout=PATIENCE) for _ in range(998)]
        other.task_done(len(elsewhere))
        release.set()
    assert sorted(handled + elsewhere) == list(range(4000))


def test_headers_of_listeners_travel_through_the_file(path: str) -> None:
    class Listener:
        def on_put(self, item: Any) -> dict[str, str]:
            return {"trace": f"t-{item}"}

        def __call__(self, event: headrace.Event) -> None:
            events.append((event.kind, event.item, event.headers))

    events: list[tuple[str, Any, Any]] = []
    with headrace.open(path) as queue:
        with headrace.ConsumerPool(queue, print, listeners=[Listener()], signals=False) as pool:
            pool.stop()
            queue.put("a")
        assert queue.qsize() == 1
    with (
        headrace.open(path) as queue,
        headrace.ConsumerPool(queue, lambda item: None, listeners=[Listener()], signals=False),
    ):
        pass
    assert ("done", "a", {"trace": "t-a"}) in events


def test_the_textbook_runs_on_a_file(path: str) -> None:
    with headrace.open(path, maxsize=3) as queue:
        squares: list[int] = []
        producer = headrace.Producer(queue, range(10))
        consumers = [headrace.Consumer(queue, lambda n: squares.append(n * n)) for _ in range(3)]
        for thread in [producer, *consumers]:
            thread.start()
        for thread in [producer, *consumers]:
            thread.join(PATIENCE)
        assert sorted(squares) == [n * n for n in range(10)]
        assert queue.stats().unfinished == 0


def test_a_pipeline_may_end_in_a_file(queue: Any) -> None:
    headrace.Pipeline(range(20)).stage(lambda n: n * 2).sink(queue.put).run()
    assert sorted(queue.get_many(50)) == [n * 2 for n in range(20)]
    queue.task_done(20)


CHILD = """
import sys, threading, headrace
path, log = sys.argv[1:]
def handler(item):
    with open(log, "a") as file:
        file.write(f"{item}\\n")
    print(item, flush=True)
    threading.Event().wait(0.01)
with headrace.open(path, durability="process") as queue:
    with headrace.ConsumerPool(queue, handler, consumers=2, grace=5):
        threading.Event().wait()
"""


def started(path: str, log: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, path, str(log)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_a_signal_drains_a_pool_and_counts_no_delivery_of_what_was_not_begun(
    path: str, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    log = tmp_path / "log"
    with headrace.open(path, durability="process") as queue:
        queue.put_many(range(2000))
        with started(path, log) as child:
            assert child.stdout is not None
            for _ in range(20):
                child.stdout.readline()
            child.send_signal(number)
            child.stdout.read()
            assert child.wait(PATIENCE) in (status, 130, 1)
        done = [int(line) for line in log.read_text().split()]
        assert len(done) == len(set(done))
        stats = queue.stats()
        assert (stats.leased, stats.waiting) == (0, 2000 - len(done))
        lease = queue.lease()
        assert lease.attempt == 1
        lease.done()


def test_what_a_killed_pool_held_is_handled_by_another_at_once(path: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with headrace.open(path, durability="process") as queue:
        queue.put_many(range(300))
        for _ in range(3):
            with started(path, log) as child:
                assert child.stdout is not None
                for _ in range(20):
                    child.stdout.readline()
                child.kill()
                child.stdout.read()
        handled: list[int] = []
        with headrace.ConsumerPool(queue, handled.append, consumers=3, signals=False):
            pass
        done = [int(line) for line in log.read_text().split()]
        assert set(done) | set(handled) == set(range(300))
        assert queue.stats().unfinished == 0
        assert queue.stats().dead == 0


def test_a_forked_child_leaves_the_pool_of_its_parent_alone(queue: Any) -> None:
    handled: list[int] = []
    with headrace.ConsumerPool(queue, handled.append, consumers=2, signals=False):
        queue.put_many(range(200))
        pid = os.fork()
        if pid == 0:
            try:
                queue.put("of the child")
                queue.close()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        queue.put_many(range(200, 400))
    assert sorted(item for item in handled if isinstance(item, int)) == list(range(400))
    assert handled.count("of the child") == 1  # type: ignore[arg-type]


def test_two_pools_in_one_process_share_the_items(queue: Any) -> None:
    handled: list[tuple[str, int]] = []

    def by(name: str) -> Callable[[int], None]:
        return lambda item: handled.append((name, item))

    queue.put_many(range(3000))
    with (
        headrace.ConsumerPool(queue, by("a"), consumers=2, signals=False),
        headrace.ConsumerPool(queue, by("b"), consumers=2, signals=False),
    ):
        pass
    assert sorted(item for _, item in handled) == list(range(3000))


POISONED = """
import os, sys, threading, headrace
path, log = sys.argv[1:]
def handler(item):
    threading.Event().wait(0.05)
    if item == "poison":
        os._exit(9)
    threading.Event().wait(0.05)
    with open(log, "a") as file:
        file.write(f"{item}\\n")
with headrace.open(path, durability="process") as queue:
    with headrace.ConsumerPool(queue, handler, consumers=4, retry=headrace.Retry()):
        pass
"""


def test_an_item_that_kills_its_process_is_dead_in_the_end_and_takes_no_other_with_it(
    path: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with headrace.open(path, durability="process") as queue:
        queue.put_many(["poison", *map(str, range(8))])
    for _ in range(12):
        if not subprocess.run([sys.executable, "-c", POISONED, path, str(log)], check=False).returncode:
            break
    with headrace.open(path) as queue:
        assert [letter.item for letter in queue.dead] == ["poison"]
        assert queue.stats().unfinished == 0
    assert set(log.read_text().split()) == set(map(str, range(8)))
