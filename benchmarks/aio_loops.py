"""One thread puts, coroutines in the loops of three other threads take: is anything lost, and how fast is it?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.aio_contenders import OURS, contenders
from benchmarks.measure import time_threads, without_collections
from benchmarks.results import Outcome, Spread, Table, Verdict
from benchmarks.throughput import produce, si

if TYPE_CHECKING:
    from benchmarks.aio_contenders import Contender, Faces
    from benchmarks.plan import Plan

__all__ = ["Loops"]

LOOPS = 3
IN_ALL = 10_000_000
PEERS_PART = 20  # a peer moves this part of what ours does: it is there for the rate alone
BOUND = 100

HOW = f"""
One thread puts {IN_ALL:,} numbers in all rounds together, maxsize {BOUND}; in each of {LOOPS} other threads a loop of
asyncio runs one coroutine that takes, sums what it has and marks it. At the end of each round every number must have
been marked once.
"""


@dataclass(frozen=True, slots=True)
class Loops:
    """Items a second through several loops, of which none is lost and none doubled."""

    name: str = "aio-loops"
    title: str = f"1 producer thread, {LOOPS} loops in {LOOPS} threads"

    def __call__(self, plan: Plan) -> Outcome:
        share = -(-plan.size(IN_ALL) // plan.rounds)
        rates: dict[str, list[float]] = {}
        wrong: list[str] = []
        counts: dict[str, int] = {}
        running = contenders(threads=True, many_loops=True)
        for _ in range(plan.rounds):
            for contender in plan.shuffled(running):
                count = share if contender.name == OURS else max(1, share // PEERS_PART)
                with without_collections():
                    seconds, errors = one_round(contender, count)
                rates.setdefault(contender.name, []).append(count / seconds)
                counts[contender.name] = counts.get(contender.name, 0) + count
                wrong += [f"{contender.name}: {error}" for error in errors]
        return self._outcome({one.name: rates[one.name] for one in running}, counts, wrong)

    def _outcome(self, rates: dict[str, list[float]], counts: dict[str, int], wrong: list[str]) -> Outcome:
        of_ours = [note for note in wrong if note.startswith(OURS)]
        return Outcome(
            name=self.name,
            title=self.title,
            how=" ".join(HOW.split()),
            table=Table(
                ("queue", "items/s", "lowest to highest", "items in all"),
                [
                    (name, si(rate.median), f"{si(rate.lowest)} to {si(rate.highest)}", f"{counts[name]:,}")
                    for name, values in rates.items()
                    for rate in (Spread.of(values),)
                ],
            ),
            figures=rates,
            verdicts=[
                Verdict(
                    claim=f"{self.title}: items lost or doubled",
                    target=f"none in {IN_ALL:,}",
                    measured=f"{len(of_ours)} of the rounds wrong, {counts[OURS]:,} items"
                    if of_ours
                    else f"none in {counts[OURS]:,}",
                    met=not of_ours,
                )
            ],
            notes=wrong,
        )


def one_round(contender: Contender, count: int) -> tuple[float, list[str]]:
    """The seconds that *count* items took, and what was wrong with what arrived."""
    queue = contender.open(BOUND)
    assert queue.threads is not None
    marks = [bytearray(count) for _ in range(LOOPS)]
    sums = [0] * LOOPS
    seconds = time_threads(
        [partial(produce, queue.threads, count, [None], LOOPS)],
        [partial(asyncio.run, take_all(queue, number, marks[number], sums)) for number in range(LOOPS)],
    )
    return seconds, faults(marks, sums, count)


async def take_all(queue: Faces, number: int, marks: bytearray, sums: list[int]) -> None:
    get, task_done = queue.get, queue.task_done
    total = 0
    while (item := await get()) is not None:
        marks[item] += 1
        total += item
        task_done()
    sums[number] = total


def faults(marks: list[bytearray], sums: list[int], count: int) -> list[str]:
    """What is wrong: every number from 0 to *count* must have been marked once, by whichever loop."""
    # As three numbers in base 256 their sum has a digit for each item: there is no carry, for no mark reaches 85.
    together = sum(int.from_bytes(each, "little") for each in marks).to_bytes(count + 1, "little")[:count]
    lost, once = together.count(0), together.count(1)
    found = []
    if lost:
        found.append(f"{lost:,} of {count:,} items were lost")
    if once + lost < count:
        found.append(f"{count - once - lost:,} of {count:,} items were doubled")
    if sum(sums) != count * (count - 1) // 2:
        found.append(f"the sum of {count:,} items is wrong by {sum(sums) - count * (count - 1) // 2:,}")
    return found
