"""Pools of consumers: against executors and a bare loop of threads, and a million items that fail."""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING

import headrace
from benchmarks.footprint import STATM, resident_bytes
from benchmarks.process import run_python
from benchmarks.results import Outcome, Spread, Table, Verdict
from benchmarks.throughput import Throughput, si

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.plan import Plan

__all__ = ["POOL", "retries"]

CONSUMERS = 3
ITEMS = 1_000_000
POOL_NAME = "headrace.ConsumerPool"
EXECUTOR = "ThreadPoolExecutor(3).map"
BARE = "threads with a bare loop"

LEAST_RATE = 1_000_000
MOST_OVERHEAD = 1e-6  # seconds an item beyond the bare loop
DELAY = 10.0  # seconds before a failed item is tried again: longer than all take to fail
MOST_LATE = 0.020


def handle(item: object) -> None:
    """The empty handler."""


def pool(count: int) -> float:
    queue: headrace.Queue[int] = headrace.Queue()
    begun = time.perf_counter()
    with headrace.ConsumerPool(queue, handle, consumers=CONSUMERS):
        queue.put_many(range(count))
    return time.perf_counter() - begun


def pool_with_listener(count: int) -> float:
    queue: headrace.Queue[int] = headrace.Queue()
    heard = 0

    def listen(event: object) -> None:
        nonlocal heard
        heard += 1

    begun = time.perf_counter()
    with headrace.ConsumerPool(queue, handle, consumers=CONSUMERS, listeners=[listen]):
        queue.put_many(range(count))
    return time.perf_counter() - begun


def bare_loop(count: int) -> float:
    queue: headrace.Queue[int] = headrace.Queue()

    def work() -> None:
        get, task_done = queue.get, queue.task_done
        while True:
            try:
                item = get()
            except headrace.ShutDown:
                return
            handle(item)
            task_done()

    threads = [threading.Thread(target=work) for _ in range(CONSUMERS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    queue.put_many(range(count))
    queue.join()
    queue.shutdown()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def executor(count: int) -> float:
    begun = time.perf_counter()
    with ThreadPoolExecutor(CONSUMERS) as threads:
        for _ in threads.map(handle, range(count)):
            pass
    return time.perf_counter() - begun


def thread_pool(count: int) -> float:
    begun = time.perf_counter()
    with ThreadPool(CONSUMERS) as threads:
        for _ in threads.imap_unordered(handle, range(count)):
            pass
    return time.perf_counter() - begun


def runs() -> Mapping[str, Callable[[int], float]]:
    return {
        POOL_NAME: pool,
        f"{POOL_NAME}, one listener": pool_with_listener,
        BARE: bare_loop,
        EXECUTOR: executor,
        "multiprocessing.pool.ThreadPool(3)": thread_pool,
    }


@dataclass(frozen=True, slots=True)
class PoolThroughput(Throughput):
    """The same, with the targets that are not ratios."""

    def __call__(self, plan: Plan) -> Outcome:
        outcome = Throughput.__call__(self, plan)
        rates = outcome.figures
        if POOL_NAME in rates and BARE in rates:
            outcome.verdicts += [_rate(rates[POOL_NAME]), _overhead(rates[POOL_NAME], rates[BARE])]
        return outcome


def _rate(rates: list[float]) -> Verdict:
    rate = Spread.of(rates)
    return Verdict(
        claim=f"{POOL_NAME} of {CONSUMERS}, empty handler",
        target=f"at least {si(LEAST_RATE)} items/s",
        measured=f"{si(rate.median)} items/s",
        met=rate.median >= LEAST_RATE,
    )


def _overhead(pool_rates: list[float], bare_rates: list[float]) -> Verdict:
    seconds = Spread.of(1 / ours - 1 / bare for ours, bare in zip(pool_rates, bare_rates, strict=True))
    return Verdict(
        claim=f"{POOL_NAME} without listeners, beyond a bare loop",
        target=f"at most {MOST_OVERHEAD * 1e9:.0f} ns an item",
        measured=f"{seconds.median * 1e9:.0f} ns",
        met=seconds.median <= MOST_OVERHEAD,
    )


POOL = PoolThroughput(
    name="pool",
    title=f"a pool of {CONSUMERS} threads, empty handler",
    how="From the start of the pool to its end; the items are put by one call of put_many, or mapped over a range.",
    items=ITEMS,
    runs=runs,
    ours=POOL_NAME,
    targets={EXECUTOR: 5},
)


# ---- a million items that fail ----


def retries(plan: Plan) -> Outcome:
    """Memory and punctuality of items that wait to be tried again."""
    count = plan.size(ITEMS, 20_000)
    delay = 1.0 if plan.small else DELAY
    rounds = [
        json.loads(run_python("-m", "benchmarks.pool", str(count), str(delay))) for _ in range(1 if plan.small else 3)
    ]
    size = Spread.of(one["bytes"] for one in rounds)
    late = {name: Spread.of(one[name] for one in rounds) for name in ("median", "p99", "most")}
    return Outcome(
        name="retries",
        title="a million items that fail once",
        how=f"{count:,} items fail in a pool of {CONSUMERS}, and wait {delay:g} s to be tried again. The memory is "
        "that of the process while all of them wait, beyond that of the same items before. How late an item is, is "
        "measured from when it was due to when its handler runs, the way through the queue included.",
        table=Table(
            ("figure", "median of the rounds", "lowest to highest"),
            [
                ("bytes for an item that waits", f"{size.median:.0f}", f"{size.lowest:.0f} to {size.highest:.0f}"),
                *(
                    (
                        f"late: {name}",
                        f"{1e3 * spread.median:.2f} ms",
                        f"{1e3 * spread.lowest:.2f} to {1e3 * spread.highest:.2f}",
                    )
                    for name, spread in late.items()
                ),
            ],
        ),
        figures={name: [one[name] for one in rounds] for name in ("bytes", "median", "p99", "most")},
        verdicts=[
            Verdict(
                claim="items that wait to be tried again: how late 99 in 100 of them are at most",
                target=f"at most {1e3 * MOST_LATE:.0f} ms",
                measured=f"{1e3 * late['p99'].median:.1f} ms; the latest one {1e3 * late['most'].median:.1f} ms",
                met=late["p99"].median <= MOST_LATE,
            )
        ],
        notes=[] if STATM.exists() else ["memory: this system does not tell it in /proc/self/statm"],
    )


class Failure(Exception):
    """What each item raises at first."""


def fail_all(count: int, delay: float) -> dict[str, float]:
    """In a process of its own: what one round measures."""
    queue: headrace.Queue[int] = headrace.Queue()
    begun = [0.0] * count
    late = [0.0] * count
    queue.put_many(range(count))
    sizes = [resident_bytes() if STATM.exists() else 0]

    def handler(item: int) -> None:
        now = time.monotonic()
        if begun[item]:
            late[item] = now - begun[item] - delay
            return
        begun[item] = now
        raise Failure

    retry = headrace.Retry(2, delay=delay, jitter=False)
    with headrace.ConsumerPool(queue, handler, consumers=CONSUMERS, retry=retry):
        while queue.stats().waiting or queue.stats().leased:
            time.sleep(0.01)
        delayed = queue.stats().delayed
        sizes.append(resident_bytes() if STATM.exists() else 0)
    late.sort()
    return {
        "bytes": (sizes[1] - sizes[0]) / max(1, delayed),
        "median": late[count // 2],
        "p99": late[int(count * 0.99)],
        "most": late[-1],
    }


if __name__ == "__main__":
    print(json.dumps(fail_all(int(sys.argv[1]), float(sys.argv[2]))))
