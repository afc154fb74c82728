"""A function over many items in threads, lazily: map and imap_unordered, and what the standard library has."""

from __future__ import annotations

import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from multiprocessing.pool import ThreadPool
from time import perf_counter
from typing import TYPE_CHECKING

import headrace
from benchmarks.throughput import Throughput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["MAPPING"]

CONSUMERS = 3
MAXSIZE = 100
WINDOW = MAXSIZE + CONSUMERS  # what headrace.map reads ahead at most
ITEMS = 500_000
MAP_NAME = f"headrace.map, {CONSUMERS} consumers"
EXECUTOR = f"ThreadPoolExecutor({CONSUMERS}).map, a buffer of {WINDOW}"


def work(item: object) -> None:
    """The empty function."""


def ours(count: int) -> float:
    begun = perf_counter()
    run_out(headrace.map(work, range(count), CONSUMERS, maxsize=MAXSIZE))
    return perf_counter() - begun


def ours_unordered(count: int) -> float:
    begun = perf_counter()
    run_out(headrace.imap_unordered(work, range(count), CONSUMERS, maxsize=MAXSIZE))
    return perf_counter() - begun


def executor_with_buffer(count: int) -> float:
    begun = perf_counter()
    with ThreadPoolExecutor(CONSUMERS) as threads:
        if sys.version_info >= (3, 14):
            run_out(threads.map(work, range(count), buffersize=WINDOW))
        else:
            run_out(map_with_buffer(threads, range(count)))
    return perf_counter() - begun


def map_with_buffer(threads: ThreadPoolExecutor, items: range) -> Iterator[object]:
    """What ``ThreadPoolExecutor.map`` does with ``buffersize=WINDOW`` from Python 3.14 on."""
    rest = iter(items)
    futures = deque(threads.submit(work, item) for item in islice(rest, WINDOW))
    while futures:
        for item in islice(rest, 1):
            futures.append(threads.submit(work, item))
        yield futures.popleft().result()


def executor(count: int) -> float:
    begun = perf_counter()
    with ThreadPoolExecutor(CONSUMERS) as threads:
        run_out(threads.map(work, range(count)))
    return perf_counter() - begun


def thread_pool(count: int) -> float:
    begun = perf_counter()
    with ThreadPool(CONSUMERS) as threads:
        run_out(threads.imap(work, range(count)))
    return perf_counter() - begun


def run_out(results: Iterator[object]) -> None:
    deque(results, maxlen=0)


def runs() -> Mapping[str, Callable[[int], float]]:
    return {
        MAP_NAME: ours,
        "headrace.imap_unordered": ours_unordered,
        EXECUTOR: executor_with_buffer,
        f"ThreadPoolExecutor({CONSUMERS}).map": executor,
        f"multiprocessing.pool.ThreadPool({CONSUMERS}).imap": thread_pool,
    }


MAPPING = Throughput(
    name="map",
    title="map ordered, 3 consumers, empty function",
    how=f"A range is mapped over and the results are thrown away, threads started and ended included. At most {WINDOW} "
    "items are read ahead; ThreadPoolExecutor.map without a buffer, and ThreadPool.imap, read the whole range at once.",
    items=ITEMS,
    runs=runs,
    ours=MAP_NAME,
    targets={EXECUTOR: 5},
)
