"""A crowd of coroutines that all wait in ``get``, and are woken at once."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.aio_contenders import OURS, contenders
from benchmarks.durable_targets import of_ratio
from benchmarks.measure import GIVE_UP_AFTER, without_collections
from benchmarks.results import Outcome, Spread, Table, Verdict, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.aio_contenders import Contender
    from benchmarks.plan import Plan

__all__ = ["Crowd"]

FEW, MANY = 1_000, 10_000
MOST_SECONDS = 20e-6
MOST_GROWTH = 1.5
TURNS = 3  # of the loop, until all wait: who takes a lock of asyncio first needs more than one
LOOP, THREAD = "by their own loop", "by a thread"

HOW = f"""
{MANY:,} coroutines of one loop wait in `get`; so many items are put, by a coroutine of theirs (`put_nowait`) or by a
thread, and the time ends when the last coroutine has its item. It is divided by their number; that of the coroutines'
beginning is not in it. Then the same with {FEW:,}, {MANY // FEW} times: what grows no faster than the crowd takes the
same time for each.
"""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Seconds for each coroutine that is woken."""

    name: str = "aio-crowd"
    title: str = f"{MANY:,} waiting coroutines woken"

    def __call__(self, plan: Plan) -> Outcome:
        few, many = plan.size(FEW), plan.size(MANY)
        kinds = [(contender, LOOP) for contender in contenders()]
        kinds += [(contender, THREAD) for contender in contenders(threads=True)]
        seconds: dict[tuple[str, str, int], list[float]] = {
            (contender.name, how, count): [] for contender, how in kinds for count in (few, many)
        }
        for _ in range(plan.rounds):
            for contender, how in plan.shuffled(kinds):
                for count in (few, many):
                    seconds[contender.name, how, count].append(seconds_each(contender, how, count, many // count))
        return self._outcome(seconds, few, many)

    def _outcome(self, seconds: dict[tuple[str, str, int], list[float]], few: int, many: int) -> Outcome:
        rows: list[tuple[str, ...]] = []
        verdicts = []
        for name, how in dict.fromkeys((name, how) for name, how, _ in seconds):
            each = seconds[name, how, many]
            growth = ratio(each, seconds[name, how, few])
            smaller = Spread.of(seconds[name, how, few])
            rows.append((f"{name}, {how}", told(each), told_range(each), us(smaller.median), f"{growth.median:.2f}"))
            if name == OURS:
                verdicts += [
                    Verdict(
                        claim=f"{self.title} {how}, each",
                        target=f"under {us(MOST_SECONDS)}",
                        measured=f"{told(each)} ({told_range(each)})",
                        met=Spread.of(each).median < MOST_SECONDS,
                    ),
                    of_ratio(f"{self.title} {how}: the time for each, to that of {FEW:,}", growth, most=MOST_GROWTH),
                ]
        return Outcome(
            name=self.name,
            title=self.title,
            how=" ".join(HOW.split()),
            table=Table(("queue", "for each", "lowest to highest", f"of {few:,}", "growth"), rows),
            figures={f"{name}, {how}, of {count:,}": values for (name, how, count), values in seconds.items()},
            verdicts=verdicts,
        )


def seconds_each(contender: Contender, how: str, count: int, times: int) -> float:
    """What it takes to wake *count* coroutines, so many *times*, divided by the number of all."""
    with without_collections():
        return sum(asyncio.run(_wake(contender, how, count)) for _ in range(times)) / (count * times)


async def _wake(contender: Contender, how: str, count: int) -> float:
    queue = contender.open(0)
    left: list[None] = [None] * count
    begun: list[float] = []
    all_have: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        await queue.get()
        left.pop()
        if not left:
            all_have.set_result(perf_counter())

    def put_all(put: Callable[[int], object]) -> None:
        begun.append(perf_counter())
        for item in range(count):
            put(item)

    tasks = [asyncio.ensure_future(wait()) for _ in range(count)]
    for _ in range(TURNS):
        await asyncio.sleep(0)
    async with asyncio.timeout(GIVE_UP_AFTER):
        if how == THREAD and queue.threads is not None:
            thread = threading.Thread(target=put_all, args=(queue.threads.put,), daemon=True)
            thread.start()
            ended = await all_have
            thread.join()
        else:
            put_all(queue.put_nowait)
            ended = await all_have
        await asyncio.gather(*tasks)
    await queue.close()
    return ended - begun[0]


def us(seconds: float) -> str:
    return f"{1e6 * seconds:.3g} µs"


def told(seconds: Iterable[float]) -> str:
    return us(Spread.of(seconds).median)


def told_range(seconds: Iterable[float]) -> str:
    spread = Spread.of(seconds)
    return f"{us(spread.lowest)} to {us(spread.highest)}"
