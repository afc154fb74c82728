"""Single puts that return when they are safe: from one thread, and from sixteen."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.durable_disk import disk_note, scratch
from benchmarks.durable_ours import OURS, open_queue
from benchmarks.durable_sqlite import BareQueue
from benchmarks.durable_sqlite_own import OwnTables
from benchmarks.durable_targets import at_least, of_ratio
from benchmarks.measure import time_threads, without_collections
from benchmarks.results import Outcome, Spread, Table, ratio, times, times_range
from benchmarks.throughput import si

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.plan import Plan

__all__ = ["crowd", "single"]

THREADS = 16
CROWD_SECONDS = 1.0
LEAST_FROM_THREADS = 18_000
CROWD_BARE = f"bare SQLite, {THREADS} connections"

ROUND = 200  # puts of one contender before the next has its turn: some 30 ms
ROUNDS_FOR_EACH = 10
LEAST_OF_BARE = 0.95
LEAST_PROCESS = 35_000
POWER = f"{OURS}, durability=power"
PROCESS = f"{OURS}, durability=process"
BARE_FULL = "bare SQLite, synchronous=FULL"
BARE_NORMAL = "bare SQLite, synchronous=NORMAL"
OWN_FULL = "bare SQLite, headrace's tables and statements, synchronous=FULL"
FSYNCED = "bare SQLite, one insert and nothing else, synchronous=FULL"


# ---- sixteen threads ----


def crowd(plan: Plan) -> Outcome:
    """Items a second from sixteen threads, each of which waits for its put."""
    seconds = 0.1 if plan.small else CROWD_SECONDS
    with scratch() as folder, ExitStack() as opened:
        ours = opened.enter_context(closing(open_queue(folder / "ours.db")))
        bare = [opened.enter_context(closing(BareQueue(folder / "bare.db"))) for _ in range(THREADS)]
        body = msgspec.msgpack.encode(0)
        runs = {
            OURS: partial(_from_threads, [partial(ours.put, 0)] * THREADS, ours.qsize, seconds),
            CROWD_BARE: partial(_from_threads, [partial(one.put, body) for one in bare], bare[0].unfinished, seconds),
        }
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(plan.rounds):
            for name in plan.shuffled(runs):
                rates[name].append(runs[name]())
        note = disk_note(folder, plan)
    return _crowd_outcome(rates, seconds, note)


def _crowd_outcome(rates: dict[str, list[float]], seconds: float, note: str) -> Outcome:
    title = f"durable: single puts from {THREADS} threads"
    against = ratio(rates[OURS], rates[CROWD_BARE])
    return Outcome(
        name="durable-crowd",
        title=title,
        how=f"{THREADS} threads of one process put one item at a time into one queue for {seconds:g} s, each waiting "
        "until its item is on the disk. Bare SQLite: each thread has a connection of its own, and waits for the others "
        "by SQLite's busy time-out.",
        table=Table(
            ("queue", "items/s", "lowest to highest", f"{OURS} is … times as fast"),
            [_row(OURS, Spread.of(rates[OURS]), None), _row(CROWD_BARE, Spread.of(rates[CROWD_BARE]), against)],
        ),
        figures=rates,
        verdicts=[at_least(title, rates[OURS], LEAST_FROM_THREADS)],
        notes=[note],
    )


def _from_threads(puts: list[Callable[[], object]], waiting: Callable[[], int], seconds: float) -> float:
    """Items a second, until the last of the threads has seen that the time is over."""
    before = waiting()
    done: list[int] = []
    with without_collections():
        took = time_threads([], [partial(_put_for, put, seconds, done) for put in puts])
    arrived = waiting() - before
    if arrived != sum(done) or len(done) != len(puts):
        raise RuntimeError(f"{arrived} of {sum(done)} items arrived")
    return arrived / took


def _put_for(put: Callable[[], object], seconds: float, done: list[int]) -> None:
    """Puts until *seconds* are over, and then says how many."""
    count, deadline = 0, perf_counter() + seconds
    while perf_counter() < deadline:
        put()
        count += 1
    done.append(count)


# ---- one thread ----


def single(plan: Plan) -> Outcome:
    """Every contender in small rounds, so that what the disk does meanwhile falls on all."""
    puts = plan.size(ROUND, 10)
    with scratch() as folder, ExitStack() as opened:
        contenders = _contenders(folder, opened)
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(plan.rounds * (1 if plan.small else ROUNDS_FOR_EACH)):
            for name in plan.shuffled(contenders):
                put, _ = contenders[name]
                rates[name].append(_rate(put, puts))
        expected = puts * len(rates[POWER])
        for name, (_, arrived) in contenders.items():
            if arrived() != expected:
                raise RuntimeError(f"{name}: {arrived()} of {expected} items arrived")
        return _outcome(rates, puts, disk_note(folder, plan))


def _contenders(folder: Any, opened: ExitStack) -> dict[str, tuple[Callable[[], object], Callable[[], int]]]:
    """By name: what puts one item, and what counts those that are there."""
    body = msgspec.msgpack.encode(0)
    found: dict[str, tuple[Callable[[], object], Callable[[], int]]] = {}
    for name, durability in ((POWER, "power"), (PROCESS, "process")):
        ours = opened.enter_context(closing(open_queue(folder / f"{durability}.db", durability=durability)))
        found[name] = partial(ours.put, 0), ours.qsize
    for name, fsync in ((BARE_FULL, True), (BARE_NORMAL, False)):
        bare = opened.enter_context(closing(BareQueue(folder / f"bare-{fsync}.db", fsync=fsync)))
        found[name] = partial(bare.put, body), bare.unfinished
    own = opened.enter_context(closing(OwnTables(folder / "own.db")))
    found[OWN_FULL] = partial(own.put, body), own.unfinished
    insert = opened.enter_context(closing(BareQueue(folder / "insert.db")))
    found[FSYNCED] = partial(insert.insert, body), insert.unfinished
    return found


def _rate(put: Callable[[], object], count: int) -> float:
    with without_collections():
        begun = perf_counter()
        for _ in range(count):
            put()
        return count / (perf_counter() - begun)


def _outcome(rates: dict[str, list[float]], puts: int, note: str) -> Outcome:
    beside = {BARE_FULL: POWER, OWN_FULL: POWER, FSYNCED: POWER, BARE_NORMAL: PROCESS}
    ratios = {bare: ratio(rates[ours], rates[bare]) for bare, ours in beside.items()}
    title = "durable: single puts from one thread"
    return Outcome(
        name="durable-single",
        title=title,
        how=f"One thread, one item in each put, {puts} puts of each in turns. Bare SQLite: one transaction for each "
        "item through apsw, an update of a counter and an insert, with a body that is bytes already; for comparison, "
        "the same with the tables that headrace has, and one insert by itself, without the counter that a queue needs.",
        table=Table(
            ("queue", "items/s", "lowest to highest", "headrace, equally durable, is … times as fast"),
            [_row(name, Spread.of(values), ratios.get(name)) for name, values in rates.items()],
        ),
        figures=rates,
        verdicts=[
            of_ratio(f"{title}, power, against {BARE_FULL}", ratios[BARE_FULL], least=LEAST_OF_BARE),
            at_least(f"{title}, process", rates[PROCESS], LEAST_PROCESS),
        ],
        notes=[note],
    )


def _row(name: str, rate: Spread, against: Spread | None) -> tuple[str, ...]:
    compared = f"{times(against.median)} ({times_range(against)})" if against else ""
    return name, si(rate.median), f"{si(rate.lowest)} to {si(rate.highest)}", compared
