"""The full cycle of a durable item, in batches: put, claim, settle."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.durable_disk import disk_note, scratch
from benchmarks.durable_ours import OURS, OurCycle
from benchmarks.durable_peers import LITEQUEUE, absent, peers
from benchmarks.durable_sqlite import BareQueue
from benchmarks.durable_sqlite_own import OwnTables
from benchmarks.durable_targets import at_least
from benchmarks.throughput import Throughput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.durable_peers import Cycle
    from benchmarks.plan import Plan
    from benchmarks.results import Outcome

__all__ = ["cycle"]

BATCH = 100
ITEMS = 100_000
LEAST_RATE = 75_000
OF_BARE = 0.8
OF_PEERS = 20
BARE = "bare SQLite, the least statements"
OWN = "bare SQLite, headrace's tables and statements"

HOW = f"""
One thread; {BATCH} items go in, are claimed and are settled, again and again, in a file that stays open. headrace:
`put_many`, `get_many`, `task_done({BATCH})` with `durability="power"`. Bare SQLite: three transactions through apsw,
with bodies that are bytes already, once by the statements and tables that headrace itself has, and once by the least
that a queue could do with. In all of these, and in litequeue, a put is on the disk when it returns; claims and
settlements are not, for losing one means a repeat and no loss; headrace writes what is settled together with the next
put, or 50 ms later. litequeue: one transaction for {BATCH} puts, one for {BATCH} `done`; its `pop` takes one item and
begins a transaction itself; what is done is pruned outside the time.
persist-queue has no call for several items and syncs every transaction: `SQLiteQueue(auto_commit=False)`, whose `get`
writes nothing and whose one `task_done` settles {BATCH}, for one consumer only; and `SQLiteAckQueue`, the one of its
queues that tells items that are taken from items that wait, and so the one that does what ours does.
"""


def cycle(plan: Plan) -> Outcome:
    """Items a second, in turns."""
    with scratch() as folder, ExitStack() as opened:
        runs = {name: partial(_run, opened.enter_context(closing(queue)), kind) for name, queue, kind in _open(folder)}
        ratios = {OWN: OF_BARE, BARE: OF_BARE, **dict.fromkeys(peers(), OF_PEERS)}
        outcome = Throughput(
            name="durable-cycle",
            title=f"durable: put, claim and settle {BATCH}",
            how=" ".join(HOW.split()),
            items=ITEMS,
            runs=lambda: runs,
            ours=OURS,
            targets=ratios,
        )(plan)
        claim = f"{outcome.title}: items through the whole cycle"
        outcome.verdicts.insert(0, at_least(claim, outcome.figures[OURS], LEAST_RATE))
        outcome.notes += [
            disk_note(folder, plan),
            *(f"{name} is not installed." for name in absent() if name != "huey"),
        ]
        return outcome


def _open(folder: Path) -> list[tuple[str, Cycle, Callable[[int], Any]]]:
    """Each contender with its queue and what makes an item of its kind from a number."""
    return [
        (OURS, OurCycle(folder / "ours.db"), int),
        (OWN, OwnTables(folder / "own.db"), msgspec.msgpack.encode),
        (BARE, BareQueue(folder / "bare.db"), msgspec.msgpack.encode),
        *((name, make(folder / name), str if name == LITEQUEUE else int) for name, make in peers().items()),
    ]


def _run(queue: Cycle, kind: Callable[[int], Any], count: int) -> float:
    """Seconds for *count* items, measured with whole batches."""
    items = [kind(number) for number in range(BATCH)]
    cycles = max(1, count // BATCH)
    begun = perf_counter()
    for _ in range(cycles):
        if queue.cycle(items) != items:
            raise RuntimeError("what came out is not what went in")
    seconds = perf_counter() - begun
    if left := queue.unfinished():
        raise RuntimeError(f"{left} items were not settled")
    return seconds * count / (cycles * BATCH)
