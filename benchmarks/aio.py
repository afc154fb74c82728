"""Items a second between coroutines, and between coroutines and threads."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks import aio_crowd, aio_loops
from benchmarks.aio_contenders import ASYNCIO, CULSANS, JANUS, OURS, contenders
from benchmarks.measure import GIVE_UP_AFTER, time_threads
from benchmarks.throughput import Throughput, consume, ping, produce

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from benchmarks.aio_contenders import Contender, Faces
    from benchmarks.contenders import Handles

    Run = Callable[[int], float]

__all__ = ["AIO"]

BOUND = 100
ITEMS = 1_000_000  # in a turn of the fastest: about half a second
ROUND_TRIPS = 50_000


# ---- what coroutines do ----


async def put_all(queue: Faces, count: int) -> None:
    put = queue.put
    for item in range(count):
        await put(item)
    await put(None)


async def take_all(queue: Faces) -> None:
    get, task_done = queue.get, queue.task_done
    while await get() is not None:
        task_done()


async def answer(there: Faces, back: Faces) -> None:
    get, task_done, put = there.get, there.task_done, back.put
    while (ball := await get()) is not None:
        task_done()
        await put(ball)


# ---- contenders: from a number of items to seconds ----


def coroutines(contender: Contender, new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Run:
    """One puts and one takes, in one loop of this thread. The time is that of the two, without their loop's."""

    async def both(count: int) -> float:
        queue = contender.open(BOUND)
        async with asyncio.timeout(GIVE_UP_AFTER):
            begin = perf_counter()
            await asyncio.gather(put_all(queue, count), take_all(queue))
            seconds = perf_counter() - begin
        await queue.close()
        return seconds

    def run(count: int) -> float:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(both(count))

    return run


def in_a_loop(task: Coroutine[Any, Any, object], *queues: Faces) -> None:
    """Run *task* in a new loop of this thread."""

    async def main() -> None:
        await task
        for queue in queues:
            await queue.close()

    asyncio.run(main())


def of_threads(queue: Faces) -> Handles:
    assert queue.threads is not None
    return queue.threads


def to_coroutine(contender: Contender, count: int) -> float:
    queue = contender.open(BOUND)
    return time_threads(
        [partial(produce, of_threads(queue), count, [None], 1)], [lambda: in_a_loop(take_all(queue), queue)]
    )


def to_thread(contender: Contender, count: int) -> float:
    queue = contender.open(BOUND)
    is_taken: list[bool] = []

    async def put_and_stay() -> None:
        """The loop stays until all is taken, which has ended the time: janus is closed by its loop, when empty."""
        await put_all(queue, count)
        while not is_taken:
            await asyncio.sleep(0.001)

    def take() -> None:
        try:
            consume(of_threads(queue))
        finally:
            is_taken.append(True)

    return time_threads([lambda: in_a_loop(put_and_stay(), queue)], [take])


def there_and_back(contender: Contender, count: int) -> float:
    there, back = contender.open(0), contender.open(0)
    return time_threads(
        [],
        [
            partial(ping, of_threads(there), of_threads(back), count),
            lambda: in_a_loop(answer(there, back), there, back),
        ],
    )


def each_with_threads(run: Callable[[Contender, int], float]) -> dict[str, Run]:
    return {contender.name: partial(run, contender) for contender in contenders(threads=True)}


def in_asyncio() -> dict[str, Run]:
    return {contender.name: coroutines(contender) for contender in contenders()}


def in_uvloop() -> dict[str, Run]:
    new_loop = import_module("uvloop").new_event_loop
    return {contender.name: coroutines(contender, new_loop) for contender in contenders()}


AIO: list[Throughput | aio_crowd.Crowd | aio_loops.Loops] = [
    Throughput(
        name="aio-coroutines",
        title=f"coroutine to coroutine, one loop, maxsize {BOUND}",
        how="One coroutine puts, another takes, in one loop of asyncio.",
        items=ITEMS,
        runs=in_asyncio,
        ours=OURS,
        targets={ASYNCIO: 1.5, CULSANS: 5, JANUS: 5},
    ),
    Throughput(
        name="aio-from-thread",
        title=f"thread to coroutine, maxsize {BOUND}",
        how="A thread puts, a coroutine takes, in a loop of asyncio in another thread.",
        items=ITEMS,
        runs=partial(each_with_threads, to_coroutine),
        ours=OURS,
        targets={CULSANS: 5},
    ),
    Throughput(
        name="aio-to-thread",
        title=f"coroutine to thread, maxsize {BOUND}",
        how="The other way round.",
        items=ITEMS,
        runs=partial(each_with_threads, to_thread),
        ours=OURS,
        targets={CULSANS: 5},
    ),
    Throughput(
        name="aio-ping-pong",
        title="ping-pong between a thread and a coroutine",
        how="Two queues; a thread puts into one and waits for the answer of a coroutine, which runs in another thread.",
        items=ROUND_TRIPS,
        runs=partial(each_with_threads, there_and_back),
        ours=OURS,
        targets={CULSANS: 1.5},
        unit="round trips/s",
    ),
    aio_crowd.Crowd(),
    aio_loops.Loops(),
]
if find_spec("uvloop") is not None:
    AIO.insert(
        1,
        Throughput(
            name="aio-uvloop",
            title=f"coroutine to coroutine, uvloop, maxsize {BOUND}",
            how="The same in a loop of uvloop. There is no target for it.",
            items=ITEMS,
            runs=in_uvloop,
            ours=OURS,
        ),
    )
