"""Pools under storms, with threads that switch as often as they can: each item ends in one place, and nothing stays."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from conftest import scaled

if TYPE_CHECKING:
    from conftest import Child

KINDS = ["Queue", "LifoQueue", "PriorityQueue"]


def storm(kind: str, rounds: int, items: int, seed: int) -> None:
    """Pools of all sorts, resized all the time, with handlers that fail, hang and exit by chance."""
    import random
    import sys
    import threading
    import time
    from collections import Counter

    import headrace
    from consumer_support import eventually
    from pool_support import threads, whereabouts

    sys.setswitchinterval(1e-6)
    chance = random.Random(seed)

    class Round:
        """What one pool did, against what it should have done."""

        def __init__(self) -> None:
            self.queue = getattr(headrace, kind)(chance.choice([0, 1, 10]))
            self.attempts: Counter[int] = Counter()
            self.done: list[int] = []
            self.over = threading.Event()
            self.attempts_each = chance.choice([1, 2, 4])
            self.options = {
                "retry": headrace.Retry(self.attempts_each, delay=chance.choice([0.0, 0.0005]), on=BaseException),
                "timeout": chance.choice([None, 0.02]),
                **chance.choice([{}, {"key": lambda item: item % 5, "per_key": chance.choice([1, 2])}]),
                "rate": chance.choice([None, 1e5]),
                "listeners": chance.choice([[], [lambda event: None]]),
                "grace": 30.0,
            }

        def handle(self, item: int) -> None:
            self.attempts[item] += 1  # by one thread at a time: an item is in one place
            fate = hash((item, self.attempts[item], seed)) % 20
            if fate == 0:
                raise ValueError(item)
            if fate == 1:
                raise SystemExit(item)
            if fate == 2 and item % 50 == 0 and self.options["timeout"]:
                self.over.wait(30)  # written off
                return
            self.done.append(item)

        def run(self) -> None:
            with headrace.ConsumerPool(self.queue, self.handle, 3, **self.options) as pool:
                for item in range(items):
                    self.queue.put(item)
                    if item % 20 == 0:
                        pool.resize(chance.randrange(1, 7))
                if chance.random() < 0.3:
                    pool.stop()
            self.over.set()
            eventually(lambda: not any(thread.name.startswith("ConsumerPool") for thread in threads()))
            summary = pool.summary()
            dead = Counter(letter.item for letter in self.queue.dead)
            waiting_attempts = sum(self.attempts.values())
            where = whereabouts(self.queue, self.done)
            slow = {item for item in self.done if where[item] > 1}
            # With a time limit of 20 ms a handler may be written off by mere load just before it is done.
            assert not slow or self.options["timeout"], slow
            assert where.keys() == set(range(items)), set(range(items)) ^ where.keys()
            assert self.queue.unfinished_tasks == 0
            assert summary.dead == sum(dead.values())
            assert all(letter.attempts == self.attempts_each for letter in self.queue.dead)
            assert waiting_attempts >= summary.items + summary.dead
            assert max(self.attempts.values(), default=0) <= self.attempts_each or self.options["timeout"]

    del time
    for _ in range(rounds):
        Round().run()


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_storm_of_failures_and_resizings_each_item_ends_in_one_place(child: Child, kind: str) -> None:
    child.run(storm, kind, scaled(8), 150, os.getpid(), seconds=60)


@pytest.mark.stress
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_in_many_storms_each_item_ends_in_one_place(child: Child, kind: str, seed: int) -> None:
    child.run(storm, kind, scaled(200), 400, seed, seconds=600)


def all_fail(kind: str, items: int, delay: float) -> None:
    """Every item fails twice and is done at its third attempt, or dies at its second."""
    from collections import Counter

    import headrace

    attempts = [0] * items

    def handler(item: int) -> None:
        attempts[item] += 1
        if attempts[item] < 3:
            raise ValueError

    queue = getattr(headrace, kind)()
    queue.put_many(range(items))
    with headrace.ConsumerPool(queue, handler, retry=headrace.Retry(3, delay=delay)) as pool:
        pass
    assert Counter(attempts) == {3: items}
    assert (pool.summary().items, pool.summary().retried, pool.summary().dead) == (items, 2 * items, 0)
    assert queue.stats().delayed == queue.unfinished_tasks == queue.qsize() == 0

    with headrace.ConsumerPool(queue, lambda item: 1 / 0, retry=headrace.Retry(2, delay=delay)) as pool:
        queue.put_many(range(items))
    assert len(queue.dead) == pool.summary().dead == pool.summary().retried == items
    assert sorted(letter.item for letter in queue.dead) == list(range(items))
    assert queue.dead.retry_all() == items
    with headrace.ConsumerPool(queue, lambda item: None) as pool:
        pass
    assert pool.summary().items == items


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delay", [0.0, 0.01])
def test_very_many_items_that_all_fail_are_all_tried_again(child: Child, kind: str, delay: float) -> None:
    child.run(all_fail, kind, scaled(2_000), delay)


@pytest.mark.stress
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_a_hundred_thousand_items_that_all_fail_are_all_tried_again(child: Child, kind: str, delay: float) -> None:
    child.run(all_fail, kind, scaled(100_000), delay, seconds=300)


def made_and_dropped(way: str, pools: int) -> None:
    """Pools that end in one way, again and again: nothing may grow."""
    import gc
    import sys
    import threading

    import headrace
    from consumer_support import eventually

    class Item:
        """An item that can be counted."""

    options = {
        "limited": {"rate": 1e6, "key": lambda item: 1, "timeout": 1e5},
        "listened to": {"listeners": [lambda event: None]},
        "dead": {"on_error": "dead"},
        "retried": {"retry": headrace.Retry(2, delay=0.0001)},
        "exits": {"on_error": "dead"},
    }.get(way, {})

    def handler(item: object) -> None:
        if way in ("failing", "dead", "retried"):
            raise ValueError
        if way == "exits":
            raise SystemExit

    def once() -> None:
        queue = headrace.Queue()
        try:
            with headrace.ConsumerPool(queue, handler, 2, **options):
                queue.put_many([Item(), Item()])
                if way == "raising":
                    raise LookupError
        except* (ValueError, LookupError, headrace.ShutDown):
            assert way in ("failing", "raising")

    def living() -> tuple[int, int]:
        eventually(lambda: not any(one.name.startswith("ConsumerPool") for one in threading.enumerate()))
        gc.collect()
        objects = gc.get_objects()
        assert not any(isinstance(one, Item) for one in objects), "an item lives on"
        assert not any(type(one).__name__ in ("PoolConsumer", "Work", "ConsumerPool") for one in objects)
        return len(objects), sys.getallocatedblocks()

    for _ in range(pools // 10):
        once()
    objects, blocks = living()
    for _ in range(pools):
        once()
    later_objects, later_blocks = living()
    # A time limit that is long over stays in the timer as one small function a pool.
    allowed = 12 * pools if way == "limited" else pools // 10
    assert later_objects - objects < max(100, allowed), (objects, later_objects)
    assert later_blocks - blocks < max(1000, 3 * allowed), (blocks, later_blocks)
    names = {thread.name for thread in threading.enumerate()}
    assert names <= {"MainThread", "headrace timer"}, names


WAYS = ["plain", "limited", "listened to", "dead", "retried", "exits", "failing", "raising"]


@pytest.mark.parametrize("way", ["plain", "limited", "retried", "failing"])
def test_pools_that_are_left_leave_nothing_behind(child: Child, way: str) -> None:
    child.run(made_and_dropped, way, scaled(100))


@pytest.mark.stress
@pytest.mark.parametrize("way", WAYS)
def test_very_many_pools_that_are_left_leave_nothing_behind(child: Child, way: str) -> None:
    child.run(made_and_dropped, way, scaled(3000), seconds=300)


def forked_while_it_runs(forks: int) -> None:
    """Children that are forked while a pool works: they can leave, and they do none of its work."""
    import os
    import threading
    import time

    import headrace
    from forking import run_forked

    parent = os.getpid()
    seen: set[int] = set()
    queue = headrace.Queue()
    stop = threading.Event()

    def handler(item: int) -> None:
        seen.add(os.getpid())
        assert os.getpid() == parent, "a forked child works for its parent's pool"
        time.sleep(0.0001)
        if item % 10 == 0:
            raise ValueError

    def feed() -> None:
        number = 0
        while not stop.is_set():
            queue.put(number)
            number += 1
            time.sleep(0.0001)

    feeder = threading.Thread(target=feed)
    options = {"retry": headrace.Retry(2, delay=0.001), "timeout": 0.3, "key": lambda item: item % 4}
    pool = headrace.ConsumerPool(queue, handler, 3, **options)

    def leave() -> None:
        assert pool.__exit__(None, None, None) is None

    def work() -> None:
        mine, handled = headrace.Queue(), []
        with headrace.ConsumerPool(mine, handled.append, timeout=60, retry=headrace.Retry(delay=0.001)):
            mine.put_many(range(10))
        assert sorted(handled) == list(range(10))
        time.sleep(0.4)  # longer than the parent's time limit: its watch must not strike here

    with pool:
        feeder.start()
        for number in range(forks):
            run_forked(work if number % 5 == 0 else leave)
        stop.set()
        feeder.join()
    assert seen == {parent}
    assert queue.unfinished_tasks == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_child_that_is_forked_while_a_pool_runs_does_none_of_its_work(child: Child) -> None:
    child.run(forked_while_it_runs, scaled(10))
