"""Sixteen processes that put into one file: how long a put waits at worst, and whether all have their turn.

One of them: ``python -m benchmarks.durable_processes NAME FILE SECONDS``.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from benchmarks.durable_child import children, told_to_begin
from benchmarks.durable_disk import disk_note, scratch
from benchmarks.durable_ours import OURS, open_queue
from benchmarks.durable_sqlite import BareQueue
from benchmarks.durable_targets import at_most, ms, of_ratio
from benchmarks.results import Outcome, Spread, Table, times, times_range
from benchmarks.throughput import si

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.plan import Plan

__all__ = ["processes"]

PROCESSES, SMALL_PROCESSES = 16, 4
SECONDS = 3.0
ROUNDS_AT_MOST = 5
MOST_WAIT = 0.150
MOST_UNFAIR = 2.0
BARE = "bare SQLite, busy time-out"

Round = list[tuple[int, float]]  # of each process: how many items it put, and its longest put in seconds


def processes(plan: Plan) -> Outcome:
    """Rounds of some seconds, in turns."""
    count = SMALL_PROCESSES if plan.small else PROCESSES
    seconds = 0.2 if plan.small else SECONDS
    rounds: dict[str, list[Round]] = {OURS: [], BARE: []}
    with scratch() as folder:
        for number in range(min(plan.rounds, ROUNDS_AT_MOST)):
            for name in plan.shuffled(rounds):
                file = folder / f"{number}-{len(name)}.db"
                rounds[name].append(_round(name, file, count, seconds))
        note = disk_note(folder, plan)
    return _outcome(rounds, count, seconds, note)


def _round(name: str, file: Path, count: int, seconds: float) -> Round:
    # The file is made before the processes open it, and held open: neither is what is measured here.
    with closing(OPENED[name](file)) as held:
        command = ("-m", "benchmarks.durable_processes", name, str(file), str(seconds))
        with children(*[command] * count) as started:
            for child in started:
                child.begin()
            results = [child.result() for child in started]
        waiting = held.qsize() if name == OURS else held.unfinished()
    if waiting != sum(puts for puts, _ in results):
        raise RuntimeError(f"{name}: {waiting} items arrived of {sum(puts for puts, _ in results)}")
    return [(puts, longest) for puts, longest in results]


def _outcome(rounds: dict[str, list[Round]], count: int, seconds: float, note: str) -> Outcome:
    title = f"durable: {count} processes put into one file"
    worst = {name: [max(longest for _, longest in one) for one in all_] for name, all_ in rounds.items()}
    unfair = {name: [_unfairness(one) for one in all_] for name, all_ in rounds.items()}
    rates = {name: [sum(puts for puts, _ in one) / seconds for one in all_] for name, all_ in rounds.items()}
    return Outcome(
        name="durable-processes",
        title=title,
        how=f"{count} processes put one item at a time for {seconds:g} s, each waiting until its item is on the disk. "
        "The worst wait is the longest of all puts of all processes in a round. Fair is how many times as many items "
        "the busiest put as the least busy. Bare SQLite waits by its busy time-out, which sleeps and tries again, in "
        "no order.",
        table=Table(
            ("queue", "the worst wait", "lowest to highest", "most / fewest puts", "items/s of all"),
            [_row(name, *map(Spread.of, (worst[name], unfair[name], rates[name]))) for name in rounds],
        ),
        figures={
            f"{name}, {what}": values[name]
            for what, values in (("worst wait", worst), ("most / fewest", unfair), ("items/s", rates))
            for name in rounds
        },
        verdicts=[
            at_most(f"{title}: the worst single wait", worst[OURS], MOST_WAIT),
            of_ratio(f"{title}: most against fewest puts", Spread.of(unfair[OURS]), most=MOST_UNFAIR),
        ],
        notes=[note],
    )


def _unfairness(one: Round) -> float:
    puts = [puts for puts, _ in one]
    return max(puts) / max(1, min(puts))


def _row(name: str, worst: Spread, unfair: Spread, rate: Spread) -> tuple[str, ...]:
    return (
        name,
        ms(worst.median),
        f"{ms(worst.lowest)} to {ms(worst.highest)}",
        f"{times(unfair.median)} ({times_range(unfair)})",
        si(rate.median),
    )


# ---- in one of the processes ----

OPENED = {OURS: open_queue, BARE: BareQueue}


def _put_for(name: str, file: Path, seconds: float) -> tuple[int, float]:
    """How many items went in, and the longest put."""
    with closing(OPENED[name](file)) as queue:
        put: Callable[[], object] = partial(queue.put, 0 if name == OURS else msgspec.msgpack.encode(0))
        count, longest = 0, 0.0
        told_to_begin()
        now = perf_counter()
        deadline = now + seconds
        while now < deadline:
            begun = now
            put()
            now = perf_counter()
            count += 1
            longest = max(longest, now - begun)
    return count, longest


if __name__ == "__main__":
    print(json.dumps(_put_for(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))))
