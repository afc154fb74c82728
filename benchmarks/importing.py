"""What importing headrace costs a program that would otherwise import queue and threading."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.process import run_python
from benchmarks.results import Outcome, Spread, Table, Verdict

if TYPE_CHECKING:
    from benchmarks.plan import Plan

__all__ = ["importing"]

BASE = "queue, threading"
IMPORTED = [BASE, "headrace", "asyncio", "janus", "culsans", "aiologic", "ft_utils.concurrency"]
ROUNDS_FOR_EACH = 2  # a process start varies more than a loop does
MORE_MS_AT_MOST = 15


def importing(plan: Plan) -> Outcome:
    """Milliseconds of the import statement alone, each time in a new process whose files are in the cache."""
    modules = [names for names in IMPORTED if names == BASE or find_spec(names.partition(".")[0])]
    for names in modules:
        _import_ms(names)  # writes the .pyc files and warms the file cache
    costs: dict[str, list[float]] = {names: [] for names in modules}
    for _ in range(plan.rounds if plan.small else plan.rounds * ROUNDS_FOR_EACH):
        for names in plan.shuffled(modules):
            costs[names].append(_import_ms(names))
    return Outcome(
        name="import",
        title="import time",
        how="The import statement alone, in a new process each time, compiled files in the cache. headrace imports "
        "queue and threading itself. asyncio is there for comparison.",
        table=Table(("import", "ms", "lowest to highest"), [_row(names, costs[names]) for names in modules]),
        figures=costs,
        verdicts=[_verdict(costs)],
    )


def _import_ms(names: str) -> float:
    code = f"from time import perf_counter as now; t = now(); import {names}; print((now() - t) * 1e3)"
    return float(run_python("-c", code))


def _row(names: str, costs: list[float]) -> tuple[str, ...]:
    spread = Spread.of(costs)
    return names, f"{spread.median:.1f}", f"{spread.lowest:.1f} to {spread.highest:.1f}"


def _verdict(costs: dict[str, list[float]]) -> Verdict:
    more = Spread.of(ours - base for ours, base in zip(costs["headrace"], costs[BASE], strict=True))
    return Verdict(
        claim=f"import headrace, beyond import {BASE}",
        target=f"at most {MORE_MS_AT_MOST} ms more",
        measured=f"{more.median:.1f} ms ({more.lowest:.1f} to {more.highest:.1f})",
        met=more.median <= MORE_MS_AT_MOST,
    )
