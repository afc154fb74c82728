"""``headrace.aio.select``: one of several queues, for coroutines, beside threads that select too."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

import headrace
from aio_support import PATIENCE, Loop, loop, run, starves_nobody, steps, until, waiters
from conftest import scaled
from headrace import aio, selecting
from headrace.aio.hub import here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import SimpleNamespace

__all__ = ["loop", "run"]  # fixtures

Run = "Callable[..., Any]"


@pytest.fixture
def quick_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


async def in_time(awaitable: Any) -> Any:
    """What it returns; it may not take long."""
    with anyio.fail_after(PATIENCE):
        return await awaitable


def drained(queue: Any) -> list[Any]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


# -- what it returns, and what it leaves alone ---------------------------------------------------------------------


def test_one_case_is_done_and_the_others_are_not(make: Callable[..., Any], run: Run) -> None:
    first, second = make(1), make(1)

    async def main() -> None:
        second.put(1)
        queue, item = await aio.select(first, second.aio)
        assert (queue, item) == (second.aio, 1)
        assert await aio.select(first.getting(), second.aio.putting(2)) == (second.aio, 2)
        putting = first.putting(3)
        chosen = await aio.select(second.putting(4), putting, None)
        assert (chosen.queue, chosen.item) == (first, 3)
        assert chosen.case is putting
        assert chosen.queue is first
        assert (drained(first), drained(second)) == ([3], [2])
        assert await headrace.aio.select(first.putting(5), timeout=0) == (first, 5)

    run(main)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_select_that_sleeps_is_woken_by_each_of_its_queues(make: Callable[..., Any], run: Run, which: int) -> None:
    queues = [make(), make(), make()]

    async def receive() -> None:
        assert await in_time(aio.select(*queues)) == (queues[which], which)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            for queue in queues:
                await waiters(queue, getters=1)
            queues[which].put(which)
        for queue in queues:
            await waiters(queue)
        assert not here().posts

    run(main)


def test_a_select_that_waits_for_room_is_woken_by_it(make: Callable[..., Any], run: Run) -> None:
    queues = [make(1), make(1)]
    for queue in queues:
        queue.put(0)

    async def send() -> None:
        assert await in_time(aio.select(*(queue.putting(1) for queue in queues))) == (queues[1], 1)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(send)
            for queue in queues:
                await waiters(queue, putters=1)
            assert await queues[1].aio.get() == 0
        assert (drained(queues[0]), drained(queues[1])) == ([0], [1])
        assert not here().posts

    run(main)


def test_a_thread_wakes_a_select_and_is_woken_by_one(make: Callable[..., Any], run: Run) -> None:
    there, back, never, count = make(1), make(1), make(), scaled(200)

    def player() -> None:
        for _ in range(count):
            item = headrace.select(never, there, timeout=PATIENCE).item
            headrace.select(never, back.putting(item + 1), timeout=PATIENCE)

    async def main() -> None:
        got = []
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(player)
            for number in range(count):
                await in_time(aio.select(never, there.putting(number)))
                got.append((await in_time(aio.select(never, back))).item)
            future.result(PATIENCE)
        assert got == list(range(1, count + 1))

    run(main)


def test_the_same_queue_may_be_in_several_cases(make: Callable[..., Any], run: Run) -> None:
    queue = make(1)

    async def receive() -> None:
        assert (await in_time(aio.select(queue, queue.aio, queue))).item == 1

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await waiters(queue, getters=1)
            queue.put(1)
        await aio.select(queue.putting(2), queue)
        assert drained(queue) == [2]
        async with anyio.create_task_group() as group:  # and leaves it as it was for the next one
            group.start_soon(receive)
            await waiters(queue, getters=1)
            queue.put(1)
        assert not here().posts

    run(main)


def test_what_is_no_case_is_refused(implementation: SimpleNamespace, run: Run) -> None:
    queue = implementation.Queue()

    async def main() -> None:
        with pytest.raises(TypeError, match="select"):
            await aio.select(queue, asyncio.Queue())
        with pytest.raises(ValueError, match="nothing to wait for"):
            await aio.select()
        with pytest.raises(ValueError, match="timeout"):
            await aio.select(queue, timeout=-1)

    run(main)


def test_without_a_loop_it_is_an_error(implementation: SimpleNamespace) -> None:
    queue = implementation.Queue()
    queue.put(1)
    with pytest.raises(RuntimeError, match="no event loop"):
        aio.select(queue).send(None)
    assert queue.qsize() == 1


# -- time, and the end of queues ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_without_anything_ready_it_raises_after_its_time(make: Callable[..., Any], run: Run, timeout: float) -> None:
    empty, full = make(), make(1)
    full.put(0)

    async def main() -> None:
        begin = monotonic()
        with pytest.raises(aio.NothingReady) as raised:
            await aio.select(empty, full.putting(1), timeout=timeout)
        assert timeout <= monotonic() - begin < timeout + 5
        for kind in (headrace.NothingReady, asyncio.QueueEmpty, asyncio.QueueFull, asyncio.TimeoutError):
            assert isinstance(raised.value, kind)
        assert (empty.qsize(), drained(full)) == (0, [0])
        assert not here().posts

    run(main)


def test_queues_that_have_ended_are_left_out_until_all_have(make: Callable[..., Any], run: Run) -> None:
    queues = [make(), make()]

    async def ends() -> None:
        with pytest.raises(aio.QueueShutDown):
            await in_time(aio.select(*queues))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ends)
            group.start_soon(ends)
            await waiters(queues[0], getters=2)
            queues[0].shutdown()
            await anyio.sleep(0.01)
            await waiters(queues[1], getters=2)
            queues[1].shutdown()
        queues[1].stats()
        assert not here().posts

    run(main)


def test_the_end_of_a_required_queue_ends_the_select(make: Callable[..., Any], run: Run) -> None:
    work, stop = make(), make()

    async def ends() -> None:
        with pytest.raises(aio.QueueShutDown) as raised:
            await in_time(aio.select(work, stop.aio.getting(required=True)))
        assert raised.value.queue == stop.aio

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(ends)
            await waiters(stop, getters=3)
            stop.shutdown()
        with pytest.raises(aio.QueueShutDown):
            await aio.select(work, stop.putting(1))

    run(main)


# -- fairness ----------------------------------------------------------------------------------------------------------


def test_of_cases_that_are_always_ready_each_is_as_likely(implementation: SimpleNamespace, run: Run) -> None:
    first, second, sink = (implementation.Queue() for _ in range(3))
    count = 3000
    first.put_many([0] * count)
    second.put_many([1] * count)

    async def main() -> None:
        found = Counter([(await aio.select(first, sink.putting(2), second)).item for _ in range(count)])
        assert all(abs(found[kind] - count / 3) < 7 * (count * 2 / 9) ** 0.5 for kind in range(3)), found

    run(main)


def test_who_always_finds_something_does_not_starve_his_loop(implementation: SimpleNamespace, run: Run) -> None:
    queue, other = implementation.Queue(), implementation.Queue()

    async def once() -> None:
        await aio.select(queue.putting(1), other)
        queue.clear()

    run(lambda: starves_nobody(once))


def test_a_select_keeps_its_place_in_the_line_where_it_was_not_roused(
    implementation: SimpleNamespace, loop: asyncio.AbstractEventLoop
) -> None:
    """It is roused by one queue again and again, in vain; in the other it stays before those who came later."""
    first, second = implementation.Queue(), implementation.Queue()
    served: list[str] = []

    async def select() -> None:
        served.append(f"select {(await aio.select(first, second)).item}")

    async def get() -> None:
        served.append(f"get {await second.aio.get()}")

    tasks = [loop.create_task(select())]
    steps(loop, 3)
    tasks.append(loop.create_task(get()))
    steps(loop, 3)
    for queue in (first, second, first, second, first):
        queue._interrupt()  # all look, and find nothing
        steps(loop, 6)
    assert not served
    second.put("one")
    steps(loop, 8)
    assert served == ["select one"]
    second.put("two")
    steps(loop, 8)
    assert served == ["select one", "get two"]


def test_as_many_are_roused_as_there_are_items(implementation: SimpleNamespace, loop: Any) -> None:
    """Of a thousand selects before the same queues one item rouses one, not all."""
    queues = [implementation.Queue(), implementation.Queue()]
    looks = 0
    original = selecting.Choice.is_made

    def counted(choice: Any) -> bool:
        nonlocal looks
        looks += 1
        return original(choice)

    async def receive() -> Any:
        return (await aio.select(*queues)).item

    tasks = [loop.create_task(receive()) for _ in range(1000)]
    steps(loop, 3)
    assert queues[0].stats().getters_blocked == 1000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selecting.Choice, "is_made", counted)
        for number in range(1000):
            queues[number % 2].put(number)
            if number % 10 == 0:
                steps(loop, 5)
        steps(loop, 20)
    assert all(task.done() for task in tasks)
    assert sorted(task.result() for task in tasks) == list(range(1000))
    assert looks < 3000


# -- cancelling --------------------------------------------------------------------------------------------------------


def test_a_select_that_is_cancelled_has_done_nothing_and_stands_nowhere(make: Callable[..., Any], run: Run) -> None:
    empty, full = make(), make(1)
    full.put(0)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(aio.select, empty, full.putting(1))
            await waiters(empty, getters=1)
            group.cancel_scope.cancel()
        await waiters(empty)
        await waiters(full)
        assert not here().posts
        empty.put(1)
        assert (drained(empty), drained(full)) == ([1], [0])

    run(main)


@pytest.mark.parametrize("turns", range(4))
def test_a_select_that_was_roused_and_is_cancelled_passes_it_on(
    make: Callable[..., Any], loop: Any, turns: int
) -> None:
    for which in range(2):
        queues = [make(), make()]
        chosen = loop.create_task(aio.select(*queues))
        steps(loop, 2)
        others = [loop.create_task(aio.select(*queues)), loop.create_task(queues[which].aio.get())]
        steps(loop, 2)
        queues[which].put("item")
        steps(loop, turns)
        chosen.cancel()
        steps(loop, 8)
        done = [task for task in (chosen, *others) if task.done() and not task.cancelled()]
        assert len(done) == 1
        assert not queues[which].qsize()
        for task in others:
            task.cancel()
        steps(loop, 8)
        assert all(task.done() for task in (chosen, *others))
        assert [queue.stats().getters_blocked for queue in queues] == [0, 0]


@pytest.mark.usefixtures("quick_switches")
def test_thousands_of_cancels_and_time_outs_lose_and_double_nothing(implementation: SimpleNamespace, run: Run) -> None:
    """Selects that are cancelled, run out of time, or go through, while threads put into what they wait for."""
    queues = [implementation.Queue(2), implementation.Queue(2)]
    count = scaled(600)
    got: list[int] = []

    def put(name: int) -> None:
        for number in range(count):
            headrace.select(*(queue.putting(name * count + number) for queue in queues), timeout=PATIENCE)

    async def take() -> None:
        while len(got) < 2 * count:
            try:
                with anyio.move_on_after(random.random() / 2000):
                    chosen = await aio.select(*queues, timeout=random.random() / 1000)
                    got.append(chosen.item)
            except aio.NothingReady:
                pass
            await anyio.lowlevel.checkpoint()

    async def main() -> None:
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(put, name) for name in range(2)]
            with anyio.fail_after(60):
                async with anyio.create_task_group() as group:
                    for _ in range(5):
                        group.start_soon(take)
            for future in futures:
                future.result(PATIENCE)
        assert not here().posts

    run(main)
    assert sorted(got) == list(range(2 * count))
    assert [queue.qsize() for queue in queues] == [0, 0]


def test_cancelled_puts_have_put_nothing(implementation: SimpleNamespace, run: Run) -> None:
    queues = [implementation.Queue(1), implementation.Queue(1)]
    count = scaled(500)
    went_in: list[int] = []
    got: list[int] = []

    async def send(number: int) -> None:
        with anyio.move_on_after(random.random() / 3000):
            await aio.select(*(queue.putting(number) for queue in queues))
            went_in.append(number)

    async def send_all() -> None:
        for number in range(count):
            await send(number)
        for queue in queues:
            queue.shutdown()

    async def receive() -> None:
        try:
            while True:
                got.append((await aio.select(*queues)).item)
                await anyio.sleep(random.random() / 3000)
        except aio.QueueShutDown:
            pass

    async def main() -> None:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(send_all)
                group.start_soon(receive)

    run(main)
    assert sorted(got) == sorted(went_in)


# -- loops, threads, and their ends ------------------------------------------------------------------------------------


async def put_all(queues: list[Any], items: range) -> None:
    for item in items:
        await aio.select(*(queue.putting(item) for queue in queues))


async def take_all(queues: list[Any]) -> list[int]:
    got: list[int] = []
    try:
        while True:
            got.append((await aio.select(*queues)).item)
    except aio.QueueShutDown:
        return got


def put_all_in_a_thread(queues: list[Any], items: range) -> None:
    for item in items:
        headrace.select(*(queue.putting(item) for queue in queues), timeout=PATIENCE)


def take_all_in_a_thread(queues: list[Any]) -> list[int]:
    got: list[int] = []
    try:
        while True:
            got.append(headrace.select(*queues, timeout=PATIENCE).item)
    except headrace.ShutDown:
        return got


@pytest.mark.usefixtures("quick_switches")
def test_loops_and_threads_that_select_share_all_items(implementation: SimpleNamespace) -> None:
    queues = [implementation.Queue(3), implementation.LifoQueue(2), implementation.PriorityQueue(3)]
    count = scaled(500)
    shares = [range(name * count, (name + 1) * count) for name in range(4)]
    with Loop("asyncio") as first, Loop("uvloop") as second, ThreadPoolExecutor(6) as pool:
        takers = [loop.start(take_all(queues)) for loop in (first, second) for _ in range(3)]
        takers += [pool.submit(take_all_in_a_thread, queues) for _ in range(2)]
        takers += [pool.submit(list, queues[0])]
        putters = [loop.start(put_all(queues, shares.pop())) for loop in (first, second)]
        putters += [pool.submit(put_all_in_a_thread, queues, shares.pop()) for _ in range(2)]
        for putter in putters:
            putter.result(60)
        for queue in queues:
            queue.shutdown()
        got = [item for taker in takers for item in taker.result(60)]
    assert sorted(got) == list(range(4 * count))


def test_a_loop_that_ends_with_selects_in_it_keeps_nothing_from_others(make: Callable[..., Any]) -> None:
    queues = [make(), make()]
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(aio.select(*queues)) for _ in range(3)]
    steps(loop, 2)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(headrace.select(*queues, timeout=PATIENCE)))
    thread.start()
    for task in tasks:
        task._log_destroy_pending = False
    loop.close()
    queues[1].put(1)
    thread.join(PATIENCE)
    assert results == [(queues[1], 1)]
    del tasks, loop, task
    gc.collect()


def test_a_shutdown_reaches_selects_of_all_loops_and_threads(make: Callable[..., Any]) -> None:
    queues = [make(), make()]
    ended: list[str] = []

    async def ends() -> None:
        with pytest.raises(aio.QueueShutDown):
            await aio.select(*queues)
        ended.append("coroutine")

    def ends_too() -> None:
        with pytest.raises(headrace.ShutDown):
            headrace.select(*queues, timeout=PATIENCE)
        ended.append("thread")

    with Loop("asyncio") as first, Loop("uvloop") as second, ThreadPoolExecutor(1) as pool:
        futures = [each.start(ends()) for each in (first, second)] + [pool.submit(ends_too)]
        for queue in queues:
            first.call(waiters(queue, getters=3))
        queues[1].shutdown()
        first.call(waiters(queues[0], getters=3))
        queues[0].shutdown()
        for future in futures:
            future.result(PATIENCE)
    assert len(ended) == 3


def test_selects_that_come_and_go_leave_nothing(implementation: SimpleNamespace, loop: Any) -> None:
    queues = [implementation.Queue(1), implementation.Queue(1)]

    async def rounds(count: int) -> None:
        for _ in range(count):
            with pytest.raises(aio.NothingReady):
                await aio.select(*queues, timeout=0.00001)
            waiting = asyncio.ensure_future(aio.select(*queues))
            await asyncio.sleep(0)
            await aio.select(queues[0].putting(1), queues[1].putting(1))
            await waiting
            assert not here().posts

    def blocks() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    loop.run_until_complete(rounds(200))
    before = blocks()
    loop.run_until_complete(rounds(300))
    assert blocks() - before < 200


def test_a_queue_in_a_file_is_selected_beside_others(run: Run, path_in_memory: str) -> None:
    pytest.importorskip("apsw")

    async def main() -> None:
        memory = headrace.Queue[Any](1)
        with headrace.open(path_in_memory, maxsize=2, durability="process") as file:
            got: list[Any] = []

            async def receive() -> None:
                while len(got) < 3:
                    got.append(await in_time(aio.select(file.aio, memory)))

            async with anyio.create_task_group() as group:
                group.start_soon(receive)
                await waiters(memory, getters=1)
                file.put("file")
                await until(lambda: len(got) == 1)
                await waiters(memory, getters=1)
                memory.put("memory")
                await until(lambda: len(got) == 2)
                await file.aio.put("file again")
            assert got == [(file.aio, "file"), (memory, "memory"), (file.aio, "file again")]
            file.aio.task_done()
            file.task_done()
            memory.put(0)
            assert await aio.select(file.putting(1), memory.putting(1)) == (file, 1)
            assert await aio.select(file.aio.putting(2), memory.putting(1)) == (file.aio, 2)
            async with anyio.create_task_group() as group:
                group.start_soon(aio.select, file.putting(3), memory.putting(3))
                await waiters(memory, putters=1)
                assert await file.aio.get() == 1
                file.aio.task_done()
            assert [file.get_nowait(), file.get_nowait()] == [2, 3]
            file.task_done(2)
            await file.aio.join()
            file.shutdown()
            memory.get()
            with pytest.raises(aio.NothingReady):
                await aio.select(file, memory, timeout=0.05)
            memory.shutdown()
            with pytest.raises(aio.QueueShutDown):
                await aio.select(file, memory)

    run(main)
