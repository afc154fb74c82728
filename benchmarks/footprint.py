"""Memory: what a waiting item costs, and what is given back after a burst.

Each queue is filled in a process of its own: ``python -m benchmarks.footprint NAME COUNT``.
"""

from __future__ import annotations

import json
import queue
import sys
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import headrace
from benchmarks.process import run_python
from benchmarks.results import Outcome, Spread, Table, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.plan import Plan

__all__ = ["footprint"]

ITEMS = 5_000_000
ROUNDS_AT_MOST = 3  # each process takes up to half a minute, and memory hardly varies
BYTES_AT_MOST = 10
KEPT_AT_MOST = 0.10
MIB = 2**20
STATM = Path("/proc/self/statm")


def _queue(cls: Callable[[], Any]) -> tuple[Callable[[Any], object], Callable[[], object]]:
    made = cls()
    task_done = getattr(made, "task_done", None)
    if task_done is None:
        return made.put, made.get
    return made.put, lambda: (made.get(), task_done())


def _deque() -> tuple[Callable[[Any], object], Callable[[], object]]:
    made: deque[Any] = deque()
    return made.append, made.popleft


HOLDERS: dict[str, Callable[[], tuple[Callable[[Any], object], Callable[[], object]]]] = {
    "headrace.Queue": partial(_queue, headrace.Queue),
    "headrace.SimpleQueue": partial(_queue, headrace.SimpleQueue),
    "headrace.LifoQueue": partial(_queue, headrace.LifoQueue),
    "headrace.PriorityQueue": partial(_queue, headrace.PriorityQueue),
    "queue.Queue": partial(_queue, queue.Queue),
    "queue.SimpleQueue": partial(_queue, queue.SimpleQueue),
    "collections.deque": _deque,
}


def footprint(plan: Plan) -> Outcome:
    """Bytes for each waiting item beyond the item itself, and the share of a burst's memory that comes back."""
    count = plan.size(ITEMS, 500_000)
    sizes: dict[str, list[list[int]]] = {name: [] for name in HOLDERS}
    if STATM.exists():
        for _ in range(1 if plan.small else min(plan.rounds, ROUNDS_AT_MOST)):
            for name in plan.shuffled(HOLDERS):
                sizes[name].append(json.loads(run_python("-m", "benchmarks.footprint", name, str(count))))
    measured = {name: rounds for name, rounds in sizes.items() if rounds}
    return Outcome(
        name="memory",
        title="memory",
        how=f"{count:,} times one and the same object is put, then all come out; the resident memory of the process "
        "before, full and emptied, the queue still alive. What is not given back to the system can still serve the "
        "process itself.",
        table=Table(
            ("queue", "bytes an item", "before, MiB", "full, MiB", "emptied, MiB", "given back"),
            [_row(name, rounds, count) for name, rounds in measured.items()],
        ),
        figures={name: _bytes_an_item(rounds, count) for name, rounds in measured.items()},
        verdicts=_verdicts(measured["headrace.Queue"], count) if measured else [],
        notes=[] if measured else ["not measured: this system does not tell resident memory in /proc/self/statm"],
    )


def _bytes_an_item(rounds: list[list[int]], count: int) -> list[float]:
    return [(full - before) / count for before, full, _ in rounds]


def _kept(rounds: list[list[int]]) -> float:
    """The part of what filling took that emptying did not give back."""
    return Spread.of(max(0, emptied - before) / max(1, full - before) for before, full, emptied in rounds).median


def _row(name: str, rounds: list[list[int]], count: int) -> tuple[str, ...]:
    resident = (f"{Spread.of(sizes).median / MIB:.1f}" for sizes in zip(*rounds, strict=True))
    return (name, f"{Spread.of(_bytes_an_item(rounds, count)).median:.2f}", *resident, f"{1 - _kept(rounds):.0%}")


def _verdicts(rounds: list[list[int]], count: int) -> list[Verdict]:
    item = Spread.of(_bytes_an_item(rounds, count))
    kept = _kept(rounds)
    return [
        Verdict(
            claim="headrace.Queue: memory for a waiting item beyond the item itself",
            target=f"at most {BYTES_AT_MOST} bytes",
            measured=f"{item.median:.2f} bytes",
            met=item.median <= BYTES_AT_MOST,
        ),
        Verdict(
            claim="headrace.Queue: memory is given back after a burst",
            target=f"at least {1 - KEPT_AT_MOST:.0%}",
            measured=f"{1 - kept:.0%}",
            met=kept <= KEPT_AT_MOST,
        ),
    ]


# ---- in the process of its own ----


def resident_bytes() -> int:
    import resource

    return int(STATM.read_text().split()[1]) * resource.getpagesize()


def fill_and_empty(name: str, count: int) -> list[int]:
    """Resident bytes before, full and emptied."""
    put, take = HOLDERS[name]()
    item = count  # an integer, for what a PriorityQueue holds has to be comparable
    put(item)
    take()
    before = resident_bytes()
    for _ in range(count):
        put(item)
    full = resident_bytes()
    for _ in range(count):
        take()
    return [before, full, resident_bytes()]


if __name__ == "__main__":
    print(json.dumps(fill_and_empty(sys.argv[1], int(sys.argv[2]))))
