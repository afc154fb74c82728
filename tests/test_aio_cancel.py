"""Cancellation: a get that is cancelled has taken nothing, a put has put nothing, and a wake-up is passed on."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
import trio

import headrace
from aio_support import LOOPS, PATIENCE, Loop, loop, new_loop, run, steps, until, waiters
from conftest import scaled
from headrace import aio
from headrace.aio.hub import here
from headrace.testing.threads import Call

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

__all__ = ["loop", "run"]  # fixtures

Run = "Callable[..., Any]"

# Each takes one item, or more, in another way: a coroutine that returns a list of what it has.
TAKERS: dict[str, Callable[[Any], Any]] = {}
# Each puts "new" in another way.
PUTTERS: dict[str, Callable[[Any], Any]] = {
    "put": lambda face: face.put("new"),
    "put within a time": lambda face: face.put("new", 60),
    "put_many": lambda face: face.put_many(["new"]),
}


def taker(function: Any) -> Any:
    TAKERS[function.__name__] = function
    return function


@taker
async def get(face: Any) -> list[Any]:
    return [await face.get()]


@taker
async def get_within_a_time(face: Any) -> list[Any]:
    return [await face.get(60)]


@taker
async def get_many(face: Any) -> list[Any]:
    items: list[Any] = await face.get_many(5)
    return items


@taker
async def iteration(face: Any) -> list[Any]:
    return [await anext(aiter(face))]


@taker
async def wait_for(face: Any) -> list[Any]:
    return [await asyncio.wait_for(face.get(), 60)]


@taker
async def within_a_timeout(face: Any) -> list[Any]:
    async with asyncio.timeout(60):
        return [await face.get()]
    raise AssertionError


@taker
async def in_a_group(face: Any) -> list[Any]:
    taken = []

    async def take() -> None:
        taken.append(await face.get())

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(take())
    except asyncio.CancelledError:
        if not taken:
            raise
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
    return taken


# A task that is cancelled may have become done in the same turn: asyncio's own affair, which these look after.
def result_of(task: Any) -> Any:
    """What the task has returned; None if it was cancelled."""
    assert task.done()
    return None if task.cancelled() else task.result()


@pytest.mark.parametrize("turns", range(9))
@pytest.mark.parametrize("way", list(TAKERS))
@pytest.mark.parametrize("put_first", [False, True])
def test_a_get_cancelled_after_so_many_turns_has_taken_nothing_or_returned(
    implementation: SimpleNamespace, loop: Any, way: str, turns: int, put_first: bool
) -> None:
    """The item is put, and the task is cancelled so many turns of the loop after that, or the other way round."""
    for from_thread in (False, True):
        for before in range(4):
            queue = implementation.Queue()
            task = loop.create_task(TAKERS[way](queue.aio))
            other = loop.create_task(queue.aio.get())
            steps(loop, before)
            put = partial(Call, queue.put) if from_thread else queue.put
            acts = [partial(put, "item"), task.cancel]
            for act in acts if put_first else reversed(acts):
                until_over(act())
                steps(loop, turns)
            steps(loop, 8 - turns)
            finish(loop, task)
            taken = result_of(task) or []
            # Whatever became of it, the item is taken once: by one of the two, and if by neither it is there.
            steps(loop, 8)
            if taken:
                assert taken == ["item"]
                assert not other.done()
                queue.put("item")
            assert loop.run_until_complete(asyncio.wait_for(other, PATIENCE)) == "item"
            assert queue.empty()
            assert queue.stats().getters_blocked == 0
            assert queue.stats().get_total == len(taken) + 1


def until_over(call: Any) -> None:
    if isinstance(call, Call):
        call.result()


def finish(loop: Any, task: Any) -> None:
    """Let a task that was cancelled come to its end."""
    for _ in range(50):
        if task.done():
            return
        steps(loop)
    raise AssertionError(f"{task} does not end")


@pytest.mark.parametrize("turns", range(9))
@pytest.mark.parametrize("way", list(PUTTERS))
@pytest.mark.parametrize("get_first", [False, True])
def test_a_put_cancelled_after_so_many_turns_has_put_nothing_or_returned(
    implementation: SimpleNamespace, loop: Any, way: str, turns: int, get_first: bool
) -> None:
    for before in range(4):
        queue = implementation.Queue(1)
        queue.put("old")
        task = loop.create_task(PUTTERS[way](queue.aio))
        other = loop.create_task(queue.aio.put("other"))
        steps(loop, before)
        acts = [partial(queue.get, timeout=PATIENCE), task.cancel]
        taken = []
        for act in acts if get_first else reversed(acts):
            item = act()
            taken += [item] if isinstance(item, str) else []  # else it is what cancel() says
            steps(loop, turns)
        steps(loop, 8 - turns)
        finish(loop, task)
        is_in = not task.cancelled()
        if is_in:
            task.result()
            taken.append(queue.get(timeout=PATIENCE))
        loop.run_until_complete(asyncio.wait_for(other, PATIENCE))
        taken.append(queue.get_nowait())
        assert Counter(taken) == Counter(["old", "other", *["new"] * is_in])
        assert queue.empty()
        assert queue.stats().putters_blocked == 0


@pytest.mark.parametrize("turns", range(9))
def test_a_join_cancelled_after_so_many_turns_lets_the_others_go_on(
    implementation: SimpleNamespace, loop: Any, turns: int
) -> None:
    for task_first in (False, True):
        queue = implementation.Queue()
        queue.put("item")
        queue.get()
        task, other = (loop.create_task(queue.aio.join()) for _ in range(2))
        steps(loop, 2)
        acts = [queue.task_done, task.cancel]
        for act in acts if task_first else reversed(acts):
            act()
            steps(loop, turns)
        finish(loop, task)
        loop.run_until_complete(asyncio.wait_for(other, PATIENCE))


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("kind", LOOPS)
def test_a_wake_up_is_passed_on_to_another_loop_and_to_threads(
    implementation: SimpleNamespace, loop: Any, turns: int, kind: str
) -> None:
    queue = implementation.Queue()
    with Loop(kind) as other:
        tasks = [loop.create_task(queue.aio.get()) for _ in range(3)]
        steps(loop, 3)
        waiting = other.start(queue.aio.get())
        thread = Call(queue.get)
        queue.put("one")
        steps(loop, turns)
        for task in tasks:
            task.cancel()
        steps(loop, 5)
        queue.put_many(["two", "three"])
        taken = [waiting.result(PATIENCE), thread.result()]
        taken += [task.result() for task in tasks if not task.cancelled()]
        if len(taken) < 3:
            taken.append(queue.get_nowait())
        assert Counter(taken) == Counter(["one", "two", "three"])
        assert queue.empty()


@pytest.mark.parametrize("turns", range(8))
def test_a_lease_cancelled_after_so_many_turns_gives_back(
    implementation: SimpleNamespace, loop: Any, turns: int
) -> None:
    async def work() -> str:
        async with queue.aio.lease() as lease:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            item: str = lease.item
            return item

    for after_put in (False, True):
        queue = implementation.Queue()
        task = loop.create_task(work())
        if after_put:
            steps(loop, 2)
        queue.put("item")
        steps(loop, turns)
        task.cancel()
        finish(loop, task)
        if result_of(task) is None:
            with queue.lease(timeout=PATIENCE) as lease:
                assert lease.item == "item"
        assert queue.stats().unfinished == 0
        assert queue.empty()


@pytest.mark.parametrize("turns", range(8))
def test_an_item_of_a_block_cancelled_after_so_many_turns_is_settled_or_waits(
    implementation: SimpleNamespace, loop: Any, turns: int
) -> None:
    async def work() -> None:
        async with queue.aio.item():
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    queue = implementation.Queue()
    task = loop.create_task(work())
    steps(loop, 1)
    queue.put("item")
    steps(loop, turns)
    task.cancel()
    finish(loop, task)
    stats = queue.stats()
    assert stats.unfinished == stats.waiting


@pytest.mark.parametrize("turns", range(6))
def test_a_put_of_many_cancelled_after_so_many_turns_says_how_many_are_in(
    implementation: SimpleNamespace, loop: Any, turns: int
) -> None:
    queue = implementation.Queue(2)
    said = []

    async def work() -> None:
        try:
            await queue.aio.put_many(list(range(10)))
        except asyncio.CancelledError as error:
            said.append(error.put_count)  # type: ignore[attr-defined]
            raise

    task = loop.create_task(work())
    steps(loop, 2)
    taken = []
    for number in range(20):
        if number == 3:
            steps(loop, turns)
            task.cancel()
        if not queue.empty():
            taken.append(queue.get())
        steps(loop)
    finish(loop, task)
    assert task.cancelled()
    assert taken == list(range(said[0]))
    assert queue.empty()


# -- by the scopes of trio and anyio, everywhere ---------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(7))
def test_a_scope_cancelled_after_so_many_turns_takes_nothing_that_nobody_gets(
    make: Callable[..., Any], run: Run, turns: int
) -> None:
    queue = make()
    taken: list[Any] = []

    async def take(scope: Any) -> None:
        with scope:
            taken.append(await queue.aio.get())

    async def main() -> None:
        for put_first in (False, True):
            scope = anyio.CancelScope()
            async with anyio.create_task_group() as group:
                group.start_soon(take, scope)
                await waiters(queue, getters=1)
                group.start_soon(take, anyio.CancelScope())
                await waiters(queue, getters=2)
                acts = [lambda: queue.put("item"), scope.cancel]
                for act in acts if put_first else reversed(acts):
                    act()
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                with anyio.fail_after(PATIENCE):
                    await until(lambda: queue.empty())
                    await anyio.sleep(0.001)
                if queue.stats().getters_blocked:
                    queue.put("item")
            stats = queue.stats()
            assert len(taken) == stats.get_total == stats.put_total
            assert stats.getters_blocked == stats.waiting == 0
        assert not here().posts

    run(main)


@pytest.mark.parametrize("turns", range(7))
def test_a_scope_cancelled_after_so_many_turns_puts_nothing_that_nobody_put(
    make: Callable[..., Any], run: Run, turns: int
) -> None:
    queue = make(1)
    done = left = 0

    async def put(scope: Any) -> None:
        nonlocal done, left
        with scope:
            await queue.aio.put("item")
            done += 1
        left -= 1

    async def main() -> None:
        nonlocal done, left
        for get_first in (False, True):
            queue.put("item")
            done += 1
            scope = anyio.CancelScope()
            left = 2
            async with anyio.create_task_group() as group:
                group.start_soon(put, scope)
                await waiters(queue, putters=1)
                group.start_soon(put, anyio.CancelScope())
                await waiters(queue, putters=2)
                acts = [queue.get, scope.cancel]
                for act in acts if get_first else reversed(acts):
                    act()
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                with anyio.fail_after(PATIENCE):
                    while left or not queue.empty():
                        if not queue.empty():
                            queue.get_nowait()
                        await anyio.lowlevel.checkpoint()
            while not queue.empty():
                queue.get_nowait()
            assert done == queue.stats().put_total
        assert not here().posts

    run(main)


def test_a_scope_that_is_cancelled_already_takes_nothing_where_it_has_to_wait(
    make: Callable[..., Any], run: Run
) -> None:
    queue, full = make(), make(1)
    full.put("item")

    async def main() -> None:
        for awaitable in (queue.aio.get, lambda: full.aio.put("more"), full.aio.join, queue.aio.lease()._begin):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await awaitable()
            assert scope.cancelled_caught
        for stats in (queue.stats(), full.stats()):
            assert stats.getters_blocked == stats.putters_blocked == 0

    run(main)


def test_a_group_that_fails_cancels_its_gets_and_puts(make: Callable[..., Any], run: Run) -> None:
    queue, full = make(), make(1)
    full.put("item")

    async def main() -> None:
        for _ in range(scaled(50)):
            with pytest.raises(BaseExceptionGroup):  # noqa: PT012
                async with anyio.create_task_group() as group:
                    for _ in range(3):
                        group.start_soon(queue.aio.get)
                        group.start_soon(full.aio.put, "more")
                        group.start_soon(full.aio.join)
                    await waiters(queue, getters=3)
                    await waiters(full, putters=3)
                    raise ZeroDivisionError
        assert not here().posts

    run(main)
    assert queue.stats().getters_blocked == full.stats().putters_blocked == 0
    assert full.qsize() == 1


# -- time-outs, by the thousand --------------------------------------------------------------------------------------


def timeout_asyncio(face: Any, seconds: float) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(seconds):
            return await face.get()

    return within()


# Those of asyncio, and our own.
TIMEOUTS: dict[str, Callable[[Any, float], Any]] = {
    "timeout=": lambda face, seconds: face.get(timeout=seconds),
    "asyncio.timeout": timeout_asyncio,
    "asyncio.wait_for": lambda face, seconds: asyncio.wait_for(face.get(), seconds),
}


@pytest.mark.parametrize("way", list(TIMEOUTS))
@pytest.mark.parametrize("kind", LOOPS)
def test_thousands_of_gets_that_time_out_as_items_come_lose_none(
    implementation: SimpleNamespace, way: str, kind: str
) -> None:
    queue = implementation.Queue()
    count = scaled(1500)
    dice = random.Random(5)
    taken: list[int] = []

    async def consume() -> int:
        late = 0
        while True:
            try:
                taken.append(await TIMEOUTS[way](queue.aio, dice.choice([0, 0.00001, 0.0003, 0.001])))
            except aio.QueueShutDown:
                return late
            except (TimeoutError, aio.QueueEmpty):
                late += 1
                await asyncio.sleep(0)

    async def main() -> None:
        thread = Call(produce)
        late = await asyncio.wait_for(asyncio.gather(*[consume() for _ in range(5)]), 60)
        thread.result()
        assert sum(late) > 0

    def produce() -> None:
        for number in range(count):
            queue.put(number)
            if number % 10 == 0:
                Call(int).result()  # some tenth of a millisecond
        queue.shutdown()

    with asyncio.Runner(loop_factory=lambda: new_loop(kind)) as runner:
        runner.run(main())
    assert sorted(taken) == list(range(count))
    assert queue.stats().getters_blocked == 0


def test_thousands_of_scopes_that_end_as_items_come_lose_none(implementation: SimpleNamespace, run: Run) -> None:
    queue = implementation.Queue(3)
    count = scaled(600)
    dice = random.Random(6)
    taken: list[int] = []
    put: list[int] = []

    async def consume() -> None:
        while True:
            with anyio.move_on_after(dice.choice([0, 0.00001, 0.0005])):
                try:
                    taken.append(await queue.aio.get())
                except aio.QueueShutDown:
                    return
            await anyio.lowlevel.checkpoint()

    async def produce(base: int) -> None:
        for number in range(count):
            while True:
                with anyio.move_on_after(dice.choice([0, 0.00001, 0.0005])):
                    await queue.aio.put(base + number)
                    put.append(base + number)
                    break
                await anyio.lowlevel.checkpoint()

    async def main() -> None:
        async with anyio.create_task_group() as consumers:
            for _ in range(3):
                consumers.start_soon(consume)
            async with anyio.create_task_group() as producers:
                for number in range(3):
                    producers.start_soon(produce, number * count)
            queue.shutdown()
        assert not here().posts

    run(main)
    assert sorted(taken) == sorted(put) == list(range(3 * count))
    assert queue.stats().put_total == queue.stats().get_total == 3 * count


@pytest.mark.parametrize("kind", [*LOOPS, "trio"])
def test_thousands_of_cancels_at_random_moments_leave_every_item_counted(  # noqa: C901
    implementation: SimpleNamespace, kind: str
) -> None:
    """Tasks are cancelled by a third one, while threads put and take."""
    queue = implementation.Queue(4)
    count = scaled(1500)
    dice = random.Random(7)
    taken: list[int] = []
    put: list[int] = []
    over = False

    async def worker() -> None:
        while not over:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                if dice.random() < 0.5:
                    taken.append(await queue.aio.get())
                else:
                    number = next(numbers)
                    await queue.aio.put(number)
                    put.append(number)
            await anyio.lowlevel.checkpoint()

    scopes: list[Any] = []
    numbers = iter(range(1_000_000, 2_000_000))

    async def main() -> None:
        nonlocal over
        threads = [Call(produce), Call(consume)]
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(worker)
            for _ in range(count):
                await anyio.lowlevel.checkpoint()
                if scopes:
                    scopes.pop(dice.randrange(len(scopes))).cancel()
            over = True
            stop.append(1)
            while any(not thread.is_over for thread in threads):
                await anyio.sleep(0.0001)
            group.cancel_scope.cancel()
        for thread in threads:
            thread.result()
        assert not here().posts

    stop: list[int] = []

    def produce() -> None:
        for number in range(10_000_000):
            if stop:
                return
            try:
                queue.put(number, timeout=0.001)
                put.append(number)
            except headrace.Full:
                pass

    def consume() -> None:
        while not stop:
            try:
                taken.append(queue.get(timeout=0.001))
            except headrace.Empty:
                pass

    if kind == "trio":
        trio.run(main)
    else:
        with asyncio.Runner(loop_factory=lambda: new_loop(kind)) as runner:
            runner.run(main())
    while not queue.empty():
        taken.append(queue.get_nowait())
    assert Counter(taken) == Counter(put)
    stats = queue.stats()
    assert (stats.getters_blocked, stats.putters_blocked) == (0, 0)
    assert stats.put_total == len(put)
