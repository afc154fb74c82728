"""Whether an operation costs the same however many items wait."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.contenders import OURS, SIMPLE_QUEUE, STDLIB, Handles, contenders
from benchmarks.measure import without_collections
from benchmarks.results import Outcome, Spread, Table, Verdict
from benchmarks.throughput import put_and_get

if TYPE_CHECKING:
    from benchmarks.plan import Plan

__all__ = ["depth"]

DEPTHS = [10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000]
SMALL_DEPTHS = DEPTHS[:4]
COMPARED = [OURS, STDLIB, SIMPLE_QUEUE]
PAIRS = {OURS: 500_000, STDLIB: 50_000, SIMPLE_QUEUE: 500_000}
FLAT = 1.5  # times: what we still call flat, for a deeper queue is a larger walk through the caches
WAITING = object()  # one for all, so that the items' own memory plays no part


def depth(plan: Plan) -> Outcome:
    """Nanoseconds for a put, a get and a task_done, by the number of items that wait meanwhile."""
    depths = SMALL_DEPTHS if plan.small else DEPTHS
    queues = {(name, deep): _filled(name, deep) for name in COMPARED for deep in depths}
    costs: dict[tuple[str, int], list[float]] = {cell: [] for cell in queues}
    for _ in range(plan.rounds):
        for name, deep in plan.shuffled(queues):
            costs[name, deep].append(_cost_ns(queues[name, deep], plan.size(PAIRS[name])))
    return Outcome(
        name="depth",
        title="cost of an operation, by the number of items waiting",
        how="One thread; put, get and task_done with so many items waiting (one object, put again and again).",
        table=_table(costs, depths),
        figures={f"{name}, {deep:,} waiting": values for (name, deep), values in costs.items()},
        verdicts=[_verdict(costs, depths)],
    )


def _filled(name: str, deep: int) -> Handles:
    queue = next(contender for contender in contenders() if contender.name == name).open(0)
    for _ in range(deep):
        queue.put(WAITING)
    return queue


def _cost_ns(queue: Handles, pairs: int) -> float:
    with without_collections():
        begin = perf_counter()
        put_and_get(queue, [WAITING] * pairs)
        return (perf_counter() - begin) / pairs * 1e9


def _table(costs: dict[tuple[str, int], list[float]], depths: list[int]) -> Table:
    return Table(
        ("items waiting", *(f"{name}, ns" for name in COMPARED)),
        [(f"{deep:,}", *(_cell(costs[name, deep]) for name in COMPARED)) for deep in depths],
    )


def _cell(values: list[float]) -> str:
    spread = Spread.of(values)
    return f"{spread.median:.0f} ({spread.lowest:.0f} to {spread.highest:.0f})"


def _verdict(costs: dict[tuple[str, int], list[float]], depths: list[int]) -> Verdict:
    medians = {deep: Spread.of(costs[OURS, deep]).median for deep in depths}
    dearest = max(medians, key=medians.__getitem__)
    factor = medians[dearest] / medians[depths[0]]
    return Verdict(
        claim=f"{OURS}: an operation costs the same from {depths[0]:,} to {depths[-1]:,} items waiting",
        target=f"the dearest at most {FLAT} times the first",
        measured=f"{factor:.2f} times (at {dearest:,})",
        met=factor <= FLAT,
    )
