"""Items a second: one thread, several threads, ping-pong, batches, and the queues with another order."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import headrace
from benchmarks.contenders import OURS, SIMPLE_QUEUE, STDLIB, Contender, Handles, contenders
from benchmarks.measure import Race, time_threads
from benchmarks.results import Bar, Outcome, Spread, Table, Verdict, ratio, times, times_range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.plan import Plan

__all__ = ["SCENARIOS"]

BATCH = 100
FILLING = 1_000

LONG = 2_000_000  # items in a turn of the fastest: about a tenth of a second
SWITCHING = 300_000  # where threads have to be switched for every few items
BATCHES_TITLE = f"put_many and get_many of {BATCH}"


@dataclass(frozen=True, slots=True)
class Throughput:
    """A scenario in which each contender moves the same kind of items, and the items a second count.

    Attributes:
        ours: the contender that the others are compared with.
        runs: makes the contenders, by name: functions from a number of items to seconds.
        items: how many items a turn has at most.
        targets: how many times as fast as a contender ours shall be at least.
    """

    name: str
    title: str
    how: str
    items: int
    runs: Callable[[], Mapping[str, Callable[[int], float]]]
    ours: str = OURS
    targets: Mapping[str, float] = field(default_factory=dict)
    unit: str = "items/s"

    def __call__(self, plan: Plan) -> Outcome:
        race = Race(self.runs(), plan.size(self.items), plan)
        bars = [
            Bar(peer, ratio(race.rates[self.ours], rates), self.targets.get(peer))
            for peer, rates in race.rates.items()
            if peer != self.ours
        ]
        return Outcome(
            name=self.name,
            title=self.title,
            how=self.how,
            table=self._table(race, bars),
            figures=race.rates,
            verdicts=[self._verdict(peer, target, bars) for peer, target in self.targets.items()],
            bars=bars,
            notes=race.failures,
        )

    def _table(self, race: Race, bars: list[Bar]) -> Table:
        ratios = {bar.peer: f"{times(bar.ratio.median)} ({times_range(bar.ratio)})" for bar in bars}
        return Table(
            ("queue", self.unit, "lowest to highest", f"{self.ours} is … times as fast", "items in a turn"),
            [
                (name, si(rate.median), f"{si(rate.lowest)} to {si(rate.highest)}", ratios.get(name, ""), si(items))
                for name, items in race.items.items()
                for rate in (Spread.of(race.rates[name]),)
            ],
        )

    def _verdict(self, peer: str, target: float, bars: list[Bar]) -> Verdict:
        measured = next((bar.ratio for bar in bars if bar.peer == peer), None)
        return Verdict(
            claim=f"{self.title}, against {peer}",
            target=f"at least {target:g} times",
            measured=f"{times(measured.median)} ({times_range(measured)})" if measured else "no figure",
            met=measured is not None and measured.median >= target,
        )


def si(value: float) -> str:
    """1234567 as ``1.23 M``."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


# ---- what the contenders do ----


def put_and_get(queue: Handles, items: Iterable[Any]) -> None:
    put, get, task_done = queue.put, queue.get, queue.task_done
    if task_done:
        for item in items:
            put(item)
            get()
            task_done()
    else:
        for item in items:
            put(item)
            get()


def fill_and_empty(queue: Handles, items: Sequence[Any], times: int) -> None:
    put, get, task_done = queue.put, queue.get, queue.task_done
    for _ in range(times):
        for item in items:
            put(item)
        if task_done:
            for _ in items:
                get()
                task_done()
        else:
            for _ in items:
                get()


def batches_settled_singly(queue: headrace.Queue[int], items: list[int], times: int) -> None:
    put_many, get_many, task_done = queue.put_many, queue.get_many, queue.task_done
    for _ in range(times):
        put_many(items)
        for _ in get_many(BATCH):
            task_done()


def settled_batches(queue: headrace.Queue[int], items: list[int], times: int) -> None:
    put_many, get_many, task_done = queue.put_many, queue.get_many, queue.task_done
    for _ in range(times):
        put_many(items)
        task_done(len(get_many(BATCH)))


def produce(queue: Handles, count: int, others: list[None], consumers: int) -> None:
    """The last producer to finish puts one None for each consumer. Taking one out of *others* is atomic."""
    put = queue.put
    for item in range(count):
        put(item)
    others.pop()
    if not others:
        for _ in range(consumers):
            put(None)


def consume(queue: Handles) -> None:
    get, task_done = queue.get, queue.task_done
    if task_done:
        while get() is not None:
            task_done()
    else:
        while get() is not None:
            pass


def ping(there: Handles, back: Handles, count: int) -> None:
    put, get, task_done = there.put, back.get, back.task_done
    for ball in range(count):
        put(ball)
        get()
        if task_done:
            task_done()
    put(None)


def pong(there: Handles, back: Handles) -> None:
    get, task_done, put = there.get, there.task_done, back.put
    while (ball := get()) is not None:
        if task_done:
            task_done()
        put(ball)


# ---- contenders: from a number of items to seconds ----


def timed(task: Callable[..., object], *arguments: object) -> float:
    begin = perf_counter()
    task(*arguments)
    return perf_counter() - begin


def one_thread() -> dict[str, Callable[[int], float]]:
    def run(contender: Contender, count: int) -> float:
        return timed(put_and_get, contender.open(0), range(count))

    return {contender.name: partial(run, contender) for contender in contenders()}


def threads(producers: int, consumers: int, maxsize: int = 0) -> dict[str, Callable[[int], float]]:
    def run(contender: Contender, count: int) -> float:
        queue = contender.open(maxsize)
        share = max(1, count // producers)
        others: list[None] = [None] * producers
        return time_threads(
            [partial(produce, queue, share, others, consumers)] * producers,
            [partial(consume, queue)] * consumers,
        )

    return {contender.name: partial(run, contender) for contender in contenders(bounded=maxsize > 0)}


def ping_pong() -> dict[str, Callable[[int], float]]:
    def run(contender: Contender, count: int) -> float:
        there, back = contender.open(0), contender.open(0)
        return time_threads([], [partial(ping, there, back, count), partial(pong, there, back)])

    return {contender.name: partial(run, contender) for contender in contenders()}


def whole_batches() -> dict[str, Callable[[int], float]]:
    hundred = list(range(BATCH))

    def ours(task: Callable[..., None], count: int) -> float:
        return timed(task, headrace.Queue(), hundred, max(1, count // BATCH))

    def singly(contender: Contender, count: int) -> float:
        return timed(fill_and_empty, contender.open(0), hundred, max(1, count // BATCH))

    return {
        OURS: partial(ours, settled_batches),
        f"{OURS}, a task_done for each item": partial(ours, batches_settled_singly),
        f"{OURS}, singly": partial(singly, next(c for c in contenders() if c.name == OURS)),
        **{c.name: partial(singly, c) for c in contenders() if c.name in {STDLIB, SIMPLE_QUEUE}},
    }


def ordered(kind: str, items: Sequence[Any]) -> dict[str, Callable[[int], float]]:
    def run(contender: Contender, count: int) -> float:
        return timed(fill_and_empty, contender.open(0), items, max(1, count // len(items)))

    return {contender.name: partial(run, contender) for contender in contenders(kind)}


def mixed(count: int) -> list[int]:
    return random.Random(count).sample(range(count), count)


SCENARIOS = [
    Throughput(
        name="one-thread",
        title="put, get and task_done, one thread",
        how="Each item is put and taken out again at once.",
        items=LONG,
        runs=one_thread,
        targets={STDLIB: 25, SIMPLE_QUEUE: 0.9},
    ),
    Throughput(
        name="textbook",
        title="1 producer, 3 consumers, unbounded",
        how="The textbook's shape: the producer may run ahead as far as it likes.",
        items=LONG,
        runs=partial(threads, 1, 3),
        targets={STDLIB: 25, SIMPLE_QUEUE: 0.9},
    ),
    Throughput(
        name="bounded",
        title="1 producer, 3 consumers, maxsize 100",
        how="The producer waits when 100 items wait; queues without a bound are left out.",
        items=LONG,
        runs=partial(threads, 1, 3, 100),
        targets={STDLIB: 8},
    ),
    Throughput(
        name="crowd",
        title="4 producers, 4 consumers, maxsize 100",
        how="As before with eight threads, all of which want to work at once.",
        items=LONG,
        runs=partial(threads, 4, 4, 100),
        targets={STDLIB: 8},
    ),
    Throughput(
        name="ping-pong",
        title="ping-pong between two threads",
        how="Two queues; each thread puts into one and waits for the other's answer. It measures above all how fast "
        "the system switches threads.",
        items=50_000,
        runs=ping_pong,
        targets={STDLIB: 1.5, SIMPLE_QUEUE: 0.95},
        unit="round trips/s",
    ),
    Throughput(
        name="batches",
        title=BATCHES_TITLE,
        how=f"One thread; {BATCH} items go in by one call, come out by one call, and are settled by one call of "
        f"task_done({BATCH}); the others move {BATCH} in and {BATCH} out one at a time.",
        items=LONG,
        runs=whole_batches,
        targets={STDLIB: 100, SIMPLE_QUEUE: 5},
    ),
    Throughput(
        name="lifo",
        title="LIFO",
        how=f"One thread; {FILLING:,} items go in, then all come out.",
        items=LONG,
        runs=partial(ordered, "LifoQueue", range(FILLING)),
        ours="headrace.LifoQueue",
        targets={"queue.LifoQueue": 15},
    ),
    Throughput(
        name="priority",
        title="priority, integers",
        how=f"One thread; {FILLING:,} different integers go in, in an order of chance, then all come out.",
        items=SWITCHING,
        runs=partial(ordered, "PriorityQueue", mixed(FILLING)),
        ours="headrace.PriorityQueue",
        targets={"queue.PriorityQueue": 3},
    ),
    Throughput(
        name="priority-tuples",
        title="priority, tuples",
        how=f"The same with tuples (priority, text), ten priorities, {FILLING:,} texts. There is no target for it.",
        items=SWITCHING,
        runs=partial(ordered, "PriorityQueue", [(n % 10, f"item {n}") for n in mixed(FILLING)]),
        ours="headrace.PriorityQueue",
    ),
]
