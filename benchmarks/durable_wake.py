"""How soon a ``get`` that waits in another process has the item, and what waiting costs.

The waiting process: ``python -m benchmarks.durable_wake (wait|pipe|idle) FILE COUNT``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import headrace
from benchmarks.durable_child import children, told_to_begin
from benchmarks.durable_disk import quantile, scratch
from benchmarks.durable_ours import OURS, open_queue
from benchmarks.durable_targets import at_most, ms
from benchmarks.results import Outcome, Spread, Table, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.plan import Plan

__all__ = ["wake"]

WAKES = 500
PAUSE = 0.004  # seconds between two puts: the other process sleeps again long before the next
IDLE_SECONDS = 5.0
MOST_P50, MOST_P99 = 0.0003, 0.001
MOST_IDLE = 0.001  # of one core
PIPE = "a byte through a pipe"
NS = 1e9

HOW = """
A process waits in `get`; another one puts the time into the queue (CLOCK_MONOTONIC on Linux), read before `put` is
called, with `durability="process"`: the commit is in the figure, and no fsync. It ends when `get` has returned.
{wakes} puts a round, {pause:g} ms apart, so that the process sleeps before each. For comparison the same with eight
bytes through a pipe, which is the least that waking a process costs here. Then a process waits {idle:g} s in `get` for
nothing: the processor time of all its threads.
"""


def wake(plan: Plan) -> Outcome:
    """Seconds by quantile, a pair a round; then the idle process, once a round at most three times."""
    wakes = plan.size(WAKES, 30)
    idle = 0.5 if plan.small else IDLE_SECONDS
    with scratch() as folder:
        runs: dict[str, Callable[[], list[float]]] = {OURS: lambda: _wake_ours(folder / "ours.db", wakes)}
        if hasattr(os, "mkfifo"):
            runs[PIPE] = lambda: _wake_pipe(folder / "pipe", wakes)
        seconds: dict[str, list[list[float]]] = {name: [] for name in runs}
        for _ in range(plan.rounds):
            for name in plan.shuffled(runs):
                seconds[name].append(runs[name]())
        busy = [_idle(folder / "idle.db", idle) for _ in range(1 if plan.small else 3)]
    how = " ".join(HOW.split()).format(wakes=wakes, pause=1e3 * PAUSE, idle=idle)
    return _outcome(seconds, busy, how)


def _outcome(seconds: dict[str, list[list[float]]], busy: list[float], how: str) -> Outcome:
    title = "durable: waking a get in another process"
    p50 = {name: [quantile(one, 0.5) for one in rounds] for name, rounds in seconds.items()}
    p99 = {name: [quantile(one, 0.99) for one in rounds] for name, rounds in seconds.items()}
    share = Spread.of(busy)
    return Outcome(
        name="durable-wake",
        title=title,
        how=how,
        table=Table(
            ("", "p50", "p99", "the longest of all rounds"),
            [
                (name, ms(Spread.of(p50[name]).median), ms(Spread.of(p99[name]).median), ms(max(map(max, rounds))))
                for name, rounds in seconds.items()
            ],
        ),
        figures={
            **{f"{name}, p50": values for name, values in p50.items()},
            **{f"{name}, p99": values for name, values in p99.items()},
            "idle, of a core": busy,
        },
        verdicts=[
            at_most(f"{title}: p50", p50[OURS], MOST_P50),
            at_most(f"{title}: p99", p99[OURS], MOST_P99),
            Verdict(
                claim="durable: a process that waits in get, of one core",
                target=f"at most {MOST_IDLE:.1%}",
                measured=f"{share.median:.4%} ({share.lowest:.4%} to {share.highest:.4%})",
                met=share.median <= MOST_IDLE,
            ),
        ],
    )


def _wake_ours(file: Path, count: int) -> list[float]:
    with closing(open_queue(file, durability="process")) as queue, children(_command("wait", file, count)) as (child,):
        child.begin()
        for _ in range(count):
            time.sleep(PAUSE)
            queue.put(time.perf_counter_ns())
        return list(child.result())


def _wake_pipe(file: Path, count: int) -> list[float]:
    if not file.exists():
        os.mkfifo(file)
    with children(_command("pipe", file, count)) as (child,):
        child.begin()
        with open(file, "wb", buffering=0) as pipe:
            for _ in range(count):
                time.sleep(PAUSE)
                pipe.write(time.perf_counter_ns().to_bytes(8, "little"))
            return list(child.result())


def _idle(file: Path, seconds: float) -> float:
    """The part of one core that a process takes that waits."""
    with children(_command("idle", file, seconds)) as (child,):
        child.begin()
        return float(child.result())


def _command(what: str, file: Path, number: float) -> tuple[str, ...]:
    return "-m", "benchmarks.durable_wake", what, str(file), str(number)


# ---- in the process that waits ----


def _wait(file: Path, count: float) -> list[float]:
    late = []
    with closing(open_queue(file, durability="process")) as queue:
        told_to_begin()
        for _ in range(int(count)):
            put = queue.get()
            late.append((time.perf_counter_ns() - put) / NS)
            queue.task_done()
    return late


def _pipe(file: Path, count: float) -> list[float]:
    late = []
    told_to_begin()
    with open(file, "rb", buffering=0) as pipe:
        for _ in range(int(count)):
            put = int.from_bytes(pipe.read(8), "little")
            late.append((time.perf_counter_ns() - put) / NS)
    return late


def _wait_for_nothing(file: Path, seconds: float) -> float:
    with closing(open_queue(file)) as queue:
        told_to_begin()
        busy, begun = time.process_time(), time.monotonic()
        try:
            queue.get(timeout=seconds)
        except headrace.Empty:
            return (time.process_time() - busy) / (time.monotonic() - begun)
    raise RuntimeError("there was an item")


if __name__ == "__main__":
    parts: dict[str, Callable[[Path, float], object]] = {"wait": _wait, "pipe": _pipe, "idle": _wait_for_nothing}
    print(json.dumps(parts[sys.argv[1]](Path(sys.argv[2]), float(sys.argv[3]))))
