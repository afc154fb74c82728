"""Threads, loops, cancellations, time limits, other bounds and an end, all at once: every item is counted."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from aio_support import LOOPS, Loop
from conftest import scaled
from headrace import aio
from headrace.testing.threads import Call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import SimpleNamespace


@pytest.fixture(autouse=True)
def eager_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Storm:
    """Puts and takes of all kinds until the queue is shut down, and what came of them."""

    def __init__(self, queue: Any, seed: int, count: int) -> None:
        self.queue = queue
        self.dice = random.Random(seed)
        self.numbers = iter(range(count))
        self.put: list[int] = []
        self.taken: list[int] = []
        self.tasks: list[asyncio.Task[Any]] = []

    # -- in loops --

    async def produce(self) -> None:
        face = self.queue.aio
        with suppress(aio.QueueShutDown):
            for number in self.numbers:
                task = asyncio.current_task()
                assert task is not None
                try:
                    if self.dice.random() < 0.2:
                        await self.put_many([number, -1 - number])
                        continue
                    await face.put(number, self.dice.choice([None, None, 0, 0.0005]))
                    self.put.append(number)
                except aio.QueueFull:
                    pass
                except asyncio.CancelledError:
                    task.uncancel()

    async def put_many(self, numbers: list[int]) -> None:
        count = len(numbers)
        try:
            await self.queue.aio.put_many(numbers, self.dice.choice([None, 0.0005]))
        except (aio.QueueFull, aio.QueueShutDown, asyncio.CancelledError) as error:
            count = error.put_count  # type: ignore[union-attr]
            raise
        finally:
            self.put += numbers[:count]

    async def consume(self) -> None:
        face = self.queue.aio
        while True:
            task = asyncio.current_task()
            assert task is not None
            way = self.dice.randrange(5)
            try:
                await asyncio.sleep(0)
                if way == 0:
                    items = [await face.get()]
                elif way == 1:
                    items = [await face.get(self.dice.choice([0, 0.0003]))]
                elif way == 2:
                    items = await face.get_many(3, self.dice.choice([None, 0.0003]))
                elif way == 3:
                    items = [await asyncio.wait_for(face.get(), 0.0005)]
                else:
                    lease = await face.lease(0.001)
                    if self.dice.random() < 0.3:
                        lease.retry()
                        continue
                    lease.done()
                    self.taken.append(lease.item)
                    continue
                self.taken += items
                face.task_done(len(items))
            except aio.QueueShutDown:
                return
            except (aio.QueueEmpty, TimeoutError):
                pass
            except asyncio.CancelledError:
                task.uncancel()

    async def run(self) -> None:
        """Some producers and consumers in this loop, of which one after the other is cancelled."""
        tasks = [asyncio.create_task(each()) for each in [self.produce, self.consume] * 3]
        await asyncio.sleep(0)  # a task that is cancelled before it begins does not begin
        while not all(task.done() for task in tasks):
            self.dice.choice(tasks).cancel()
            await asyncio.sleep(self.dice.choice([0, 0.0002]))
        for task in tasks:
            task.result()

    # -- in threads --

    def produce_here(self) -> None:
        with suppress(headrace.ShutDown):
            for number in self.numbers:
                with suppress(headrace.Full):
                    self.queue.put(number, timeout=self.dice.choice([None, 0, 0.0005]))
                    self.put.append(number)

    def consume_here(self) -> None:
        with suppress(headrace.ShutDown):
            while True:
                with suppress(headrace.Empty):
                    self.taken.append(self.queue.get(timeout=self.dice.choice([None, 0, 0.0005])))
                    self.queue.task_done()

    def end(self) -> None:
        """Other bounds now and then; and when the numbers are used up, the end."""
        until = time.monotonic() + 30
        while next(self.numbers, None) is not None and time.monotonic() < until:
            self.queue.maxsize = self.dice.choice([0, 1, 2, 5])
            time.sleep(0.001)
        self.queue.shutdown()


@pytest.mark.parametrize("seed", range(3))
def test_in_a_storm_every_item_is_counted(implementation: SimpleNamespace, seed: int) -> None:
    queue = implementation.Queue(2)
    storm = Storm(queue, seed, scaled(40_000))
    with Loop(LOOPS[0]) as one, Loop(LOOPS[-1]) as two:
        loops = [one.start(storm.run()), two.start(storm.run())]
        threads = [Call(each) for each in (storm.produce_here, storm.consume_here, storm.end)]
        for future in loops:
            future.result(60)
        for thread in threads:
            thread.result(60)
    while not queue.empty():
        storm.taken.append(queue.get_nowait())
        queue.task_done()
    assert Counter(storm.taken) == Counter(storm.put)
    stats = queue.stats()
    assert (stats.unfinished, stats.waiting, stats.getters_blocked, stats.putters_blocked) == (0, 0, 0, 0)
    assert stats.put_total == len(storm.put)
