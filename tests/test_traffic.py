"""Threads in every mix of calls, switching as often as they can: nothing is lost, and nobody sleeps on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conftest import scaled

if TYPE_CHECKING:
    from conftest import Child


def rush(kind: str, maxsize: int, threads: int, items: int, seed: int) -> None:  # noqa: C901 - a whole program
    """Producers and consumers with random calls and time-outs. A lost wake-up hangs it."""
    import random
    import sys
    import threading

    import headrace

    sys.setswitchinterval(1e-6)
    queue = getattr(headrace, kind)(maxsize)
    got: list[list[int]] = [[] for _ in range(threads)]

    def produce(number: int) -> None:
        chance = random.Random(seed + number)
        mine = list(range(number * items, (number + 1) * items))
        while mine:
            way = chance.randrange(4)
            count = 1
            try:
                if way == 0:
                    queue.put(mine[0])
                elif way == 1:
                    queue.put(mine[0], timeout=chance.random() / 10_000)
                elif way == 2:
                    count = len(mine[:5])
                    queue.put_many(mine[:5])
                else:
                    count = len(mine[:5])
                    queue.put_many(mine[:5], timeout=chance.random() / 10_000)
            except headrace.Full as full:
                count = full.put_count
            del mine[:count]

    def consume(number: int) -> None:
        chance = random.Random(-seed - number)
        while True:
            way = chance.randrange(4)
            try:
                if way == 0:
                    taken = [queue.get()]
                elif way == 1:
                    taken = [queue.get(timeout=chance.random() / 10_000)]
                elif way == 2:
                    taken = queue.get_many(chance.randrange(1, 5))
                else:
                    with queue.item() as item:
                        got[number].append(item)
                    continue
            except headrace.Empty:
                continue
            except headrace.ShutDown:
                return
            got[number] += taken
            queue.task_done(len(taken))

    producers = [threading.Thread(target=produce, args=(n,)) for n in range(threads)]
    consumers = [threading.Thread(target=consume, args=(n,)) for n in range(threads)]
    for thread in producers + consumers:
        thread.start()
    for thread in producers:
        thread.join()
    queue.join()
    queue.shutdown()
    for thread in consumers:
        thread.join()
    assert sorted(item for items_of_one in got for item in items_of_one) == list(range(threads * items))
    assert queue.stats().unfinished == queue.stats().waiting == 0


@pytest.mark.parametrize("maxsize", [1, 2, 0])
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_nothing_is_lost_and_nobody_sleeps_on(child: Child, kind: str, maxsize: int) -> None:
    child.run(rush, kind, maxsize, 4, scaled(400), 1, seconds=60)


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("maxsize", [1, 2, 3, 100])
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_nothing_is_lost_in_a_long_rush(child: Child, kind: str, maxsize: int, seed: int) -> None:
    child.run(rush, kind, maxsize, 8, 5000, seed, seconds=300)
