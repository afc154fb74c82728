"""Ten million items that wait: what single operations cost then, how large the file is, how long ``stats()`` takes."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice, repeat
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.durable_disk import disk_note, scratch
from benchmarks.durable_ours import open_queue
from benchmarks.durable_targets import at_most, ms, of_ratio
from benchmarks.measure import without_collections
from benchmarks.results import Outcome, Spread, Table, ratio

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.plan import Plan

__all__ = ["backlog"]

ITEMS, SMALL_ITEMS = 10_000_000, 20_000
TEXTS = 1_000_000
TEXT = "x" * 100
CHUNK = 10_000
PAIRS = 500  # put, get and task_done of one queue before the other has its turn
ROUNDS_FOR_EACH = 5
STATS_CALLS = 20
MOST_SLOWER = 1.5
MOST_STATS = 0.005

EMPTY, FULL = "empty", "full"


@dataclass(slots=True)
class Costs:
    """Seconds for one operation, a figure a round."""

    put: list[float] = field(default_factory=list)
    get: list[float] = field(default_factory=list)
    stats: list[float] = field(default_factory=list)


def backlog(plan: Plan) -> Outcome:
    """An empty queue and a full one in small turns."""
    items = SMALL_ITEMS if plan.small else ITEMS
    pairs = plan.size(PAIRS, 50)
    costs = {EMPTY: Costs(), FULL: Costs()}
    with scratch() as folder, ExitStack() as opened:
        filled, fill_seconds = _fill(folder / "full.db", range(items))
        texts, _ = _fill(folder / "texts.db", repeat(TEXT, plan.size(TEXTS, 1000)))
        sizes = {"small integers": filled / items, "texts of 100 characters": texts / plan.size(TEXTS, 1000)}
        queues = {
            name: opened.enter_context(closing(open_queue(folder / f"{name}.db", durability="process")))
            for name in costs
        }
        for _ in range(plan.rounds * (1 if plan.small else ROUNDS_FOR_EACH)):
            for name in plan.shuffled(queues):
                _turn(queues[name], pairs, costs[name])
        for name, expected in ((EMPTY, 0), (FULL, items)):
            if queues[name].stats().unfinished != expected:
                raise RuntimeError(f"{name}: {queues[name].stats()}, not {expected} items")
        note = disk_note(folder, plan)
    rate = f"The file was filled by `put_many` of {CHUNK:,} at a time, {items / fill_seconds:,.0f} items/s."
    return _outcome(costs, sizes, items, [rate, note])


def _fill(file: Path, items: Iterable[Any]) -> tuple[int, float]:
    """Bytes of the file with its WAL once the queue is closed, and the seconds that filling took."""
    begun = perf_counter()
    with closing(open_queue(file, durability="process")) as queue:
        waiting = iter(items)
        expected = 0
        while chunk := list(islice(waiting, CHUNK)):
            queue.put_many(chunk)
            expected += len(chunk)
        if queue.qsize() != expected:
            raise RuntimeError(f"{queue.qsize()} of {expected} items wait")
    seconds = perf_counter() - begun
    return sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*")), seconds


def _turn(queue: Any, pairs: int, costs: Costs) -> None:
    put_seconds = get_seconds = 0.0
    with without_collections():
        for number in range(pairs):
            begun = perf_counter()
            queue.put(number)
            between = perf_counter()
            queue.get()
            queue.task_done()
            put_seconds += between - begun
            get_seconds += perf_counter() - between
        begun = perf_counter()
        for _ in range(STATS_CALLS):
            queue.stats()
        costs.stats.append((perf_counter() - begun) / STATS_CALLS)
    costs.put.append(put_seconds / pairs)
    costs.get.append(get_seconds / pairs)


def _outcome(costs: dict[str, Costs], sizes: dict[str, float], items: int, notes: list[str]) -> Outcome:
    title = f"durable: a backlog of {items:,} items"
    full, empty = costs[FULL], costs[EMPTY]
    pairs = {"put": (full.put, empty.put), "get and task_done": (full.get, empty.get)}
    pairs["stats"] = (full.stats, empty.stats)
    return Outcome(
        name="durable-backlog",
        title=title,
        how=f'One thread, `durability="process"`; put, get and task_done of one item after the other while {items:,} '
        "small integers wait in the file, and, in turns, in a file in which nothing else waits.",
        table=Table(
            ("operation", f"{items:,} waiting", "empty", "times"),
            [
                *((name, _cell(one), _cell(other), _ratio(one, other)) for name, (one, other) in pairs.items()),
                *((f"bytes of file an item, {kind}", f"{size:.1f}", "", "") for kind, size in sizes.items()),
            ],
        ),
        figures={
            **{f"{name}, {items:,} waiting, seconds": one for name, (one, _) in pairs.items()},
            **{f"{name}, empty, seconds": other for name, (_, other) in pairs.items()},
            **{f"bytes an item, {kind}": [size] for kind, size in sizes.items()},
        },
        verdicts=[
            *(
                of_ratio(f"{title}: {name}, against an empty queue", ratio(one, other), most=MOST_SLOWER)
                for name, (one, other) in list(pairs.items())[:2]
            ),
            at_most(f"{title}: stats()", full.stats, MOST_STATS),
        ],
        notes=notes,
    )


def _cell(seconds: list[float]) -> str:
    spread = Spread.of(seconds)
    return f"{ms(spread.median)} ({ms(spread.lowest)} to {ms(spread.highest)})"


def _ratio(full: list[float], empty: list[float]) -> str:
    return f"{ratio(full, empty).median:.2f}"
