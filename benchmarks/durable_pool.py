"""A pool of consumers that empties a file, against huey's consumer on its SQLite storage."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

import headrace
from benchmarks.durable_disk import disk_note, scratch
from benchmarks.durable_huey import consume
from benchmarks.durable_ours import open_queue
from benchmarks.durable_peers import absent
from benchmarks.durable_sqlite_own import OwnTables
from benchmarks.durable_targets import at_least
from benchmarks.throughput import Throughput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.plan import Plan
    from benchmarks.results import Outcome

__all__ = ["pool"]

CONSUMERS = 3
BATCH = 100
ITEMS = 60_000
LEAST_RATE = 30_000
OF_HUEY = 10
OURS = f"headrace.ConsumerPool({CONSUMERS})"
BARE = "bare SQLite, one thread in a loop"
HUEY = f"huey, Consumer(workers={CONSUMERS})"

HOW = f"""
The items are in the file before the time begins, which runs from the start of the consumers to when the last item is
settled. headrace: `durability="power"`, a handler that does nothing, `join()`. huey: `SqliteHuey(fsync=True,
results=False)`, {CONSUMERS} threads of its own Consumer in a process of its own, and a task that only counts, which is
how it is known when all are done. Bare SQLite: one thread claims and settles {BATCH} at a time, through apsw, by
headrace's tables and statements. huey takes a task out for good before it runs it, so one that is killed loses what it
runs; headrace keeps it until it is settled.
"""


def pool(plan: Plan) -> Outcome:
    """Items settled in a second, in turns."""
    with scratch() as folder:
        runs: dict[str, Callable[[int], float]] = {
            OURS: partial(_ours, folder / "ours.db"),
            BARE: partial(_bare, folder / "bare.db"),
        }
        if "huey" not in absent():
            runs[HUEY] = partial(consume, folder / "huey.db", CONSUMERS)
        outcome = Throughput(
            name="durable-pool",
            title=f"durable: a pool of {CONSUMERS}, empty handler, items waiting in the file",
            how=" ".join(HOW.split()),
            items=ITEMS,
            runs=lambda: runs,
            ours=OURS,
            targets={HUEY: OF_HUEY} if HUEY in runs else {},
        )(plan)
        claim = f"{outcome.title}: settled"
        outcome.verdicts.insert(0, at_least(claim, outcome.figures[OURS], LEAST_RATE))
        outcome.notes += [disk_note(folder, plan), *(["huey is not installed."] if HUEY not in runs else [])]
        return outcome


def handle(item: object) -> None:
    """The empty handler."""


def _ours(file: Path, count: int) -> float:
    with closing(open_queue(file)) as queue:
        queue.put_many(range(count))
        begun = perf_counter()
        with headrace.ConsumerPool(queue, handle, consumers=CONSUMERS):
            queue.join()
            seconds = perf_counter() - begun
        stats = queue.stats()
    if stats.unfinished or stats.dead:
        raise RuntimeError(f"not all were handled: {stats}")
    return seconds


def _bare(file: Path, count: int) -> float:
    """Claims and settles batches, by headrace's statements: what the pool adds is its threads, handler and events."""
    with closing(OwnTables(file)) as bare:
        bare.put_many([msgspec.msgpack.encode(number) for number in range(count)])
        begun = perf_counter()
        while claimed := bare.claim(BATCH):
            bare.settle([number for number, _ in claimed])
        seconds = perf_counter() - begun
        if left := bare.unfinished():
            raise RuntimeError(f"{left} items were not settled")
    return seconds
