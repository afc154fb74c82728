"""``queue.aio`` of queues in files: for coroutines, in this process and others, with no thread for each that waits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio

import headrace
from conftest import scaled
from file_support import recounted
from forking import run_forked
from headrace import aio
from headrace.backends.sqlite import handle, lanes, statements, storage, watching
from headrace.errors import TakingStopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Run = Callable[[Callable[[], Awaitable[Any]]], Any]

PATIENCE = 20.0
"""Seconds after which what should have come to pass is taken to hang."""


def on_asyncio(main: Callable[[], Any]) -> Any:
    return asyncio.run(main())


def on_uvloop(main: Callable[[], Any]) -> Any:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


RUNNERS = {"asyncio": on_asyncio, "uvloop": on_uvloop, "trio": trio.run}


@pytest.fixture(params=list(RUNNERS))
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine function without arguments, in the loops that are supported. In it anyio works everywhere."""
    runner: Any = RUNNERS[request.param]

    async def in_time(main: Callable[[], Awaitable[Any]]) -> Any:
        with anyio.fail_after(PATIENCE):
            return await main()

    return lambda main: runner(partial(in_time, main))


@pytest.fixture
def queue(path_in_memory: str) -> Iterator[Any]:
    """A queue whose items survive kill -9."""
    with headrace.open(path_in_memory, durability="process") as opened:
        yield opened


@pytest.fixture(autouse=True)
def nobody_looks_for_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up that is lost is a hang here, and not a second."""
    for module in (handle, watching):
        monkeypatch.setattr(module, "SAFETY_SECONDS", 3 * PATIENCE)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await anyio.sleep(0.001)


async def waiting(queue: Any, getters: int = 0, putters: int = 0) -> None:
    """Let the loop run until so many wait."""
    await until(lambda: queue.stats()[6:8] == (getters, putters))


class Gate:
    """Stops whoever comes, in the middle of something, until it is opened."""

    def __init__(self) -> None:
        """Closed."""
        self.close()

    def close(self) -> None:
        self.arrived = threading.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def pass_through(self) -> None:
        self.arrived.set()
        assert self._opened.wait(PATIENCE)


def gated(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> Gate:
    """Put a gate before a function of a module."""
    gate = Gate()
    function = getattr(module, name)

    def guarded(*arguments: Any) -> Any:
        gate.pass_through()
        return function(*arguments)

    monkeypatch.setattr(module, name, guarded)
    return gate


# -- what it can do, in every loop -------------------------------------------------------------------


def test_items_come_out_in_order(queue: Any, run: Run) -> None:
    async def main() -> list[int]:
        for item in range(3):
            await queue.aio.put(item)
        return [await queue.aio.get() for _ in range(3)]

    assert run(main) == [0, 1, 2]


def test_a_get_waits_for_an_item_that_a_thread_puts(queue: Any, run: Run) -> None:
    async def main() -> Any:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, queue.put, "late")
            return await queue.aio.get()

    assert run(main) == "late"


def test_a_put_waits_for_room(queue: Any, run: Run) -> None:
    queue.maxsize = 1

    async def main() -> list[int]:
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.put, 1)
            group.start_soon(queue.aio.put, 2)
            await waiting(queue, putters=1)
            return [await queue.aio.get(), await queue.aio.get()]

    assert sorted(run(main)) == [1, 2]


def test_time_limits_are_kept_and_their_errors_are_those_of_asyncio(queue: Any, run: Run) -> None:
    queue.maxsize = 1

    async def main() -> None:
        with pytest.raises(asyncio.QueueEmpty):
            await queue.aio.get(timeout=0.01)
        with pytest.raises(aio.QueueEmpty):
            await queue.aio.get_many(2, timeout=0)
        await queue.aio.put(1)
        with pytest.raises(asyncio.QueueFull):
            await queue.aio.put(2, timeout=0.01)
        with pytest.raises(TimeoutError, match="1 items are not done"):
            await queue.aio.join(timeout=0.01)
        for call in (queue.aio.get(timeout=-1), queue.aio.put(1, timeout=-1), queue.aio.join(timeout=-1)):
            with pytest.raises(ValueError, match="non-negative"):
                await call
        assert queue.stats()[6:8] == (0, 0)

    run(main)


def test_many_items_go_in_and_come_out_at_a_time(queue: Any, run: Run) -> None:
    async def main() -> list[int]:
        await queue.aio.put_many([1, 2])
        await queue.aio.put_many(iter([3, 4]), priority=-1)
        await queue.aio.put_many([])
        return await queue.aio.get_many(3)

    assert run(main) == [3, 4, 1]


def test_put_many_says_how_many_went_in(queue: Any, run: Run) -> None:
    queue.maxsize = 2

    async def main() -> None:
        with pytest.raises(aio.QueueFull) as full:
            await queue.aio.put_many(iter("abc"), timeout=0.01)
        assert (full.value.put_count, full.value.pending) == (2, ("c",))
        with pytest.raises(headrace.EncodeError):
            await queue.aio.put_many([object()])
        queue.shutdown()
        with pytest.raises(aio.QueueShutDown) as refused:
            await queue.aio.put_many([1])
        assert refused.value.put_count == 0

    run(main)


def test_put_many_goes_on_as_room_is_made(queue: Any, run: Run) -> None:
    queue.maxsize = 3

    async def main() -> list[int]:
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.put_many, range(20))
            return [await queue.aio.get() for _ in range(20)]

    assert run(main) == list(range(20))


def test_put_takes_what_the_blocking_put_takes(queue: Any, run: Run) -> None:
    async def main() -> None:
        await queue.aio.put("last")
        await queue.aio.put("first", priority=-1)
        await queue.aio.put("once", key="k")
        await queue.aio.put("not again", key="k")
        with pytest.raises(headrace.DuplicateKey):
            await queue.aio.put("neither", key="k", on_duplicate="raise")
        await queue.aio.put("later", delay=100)
        await queue.aio.put_at("tomorrow", datetime.now() + timedelta(days=1))
        with pytest.raises(headrace.EncodeError):
            await queue.aio.put(object())
        with pytest.raises(TypeError):
            await queue.aio.put(1, prority=2)
        assert queue.stats().delayed == 2

    run(main)
    assert queue.get_many(10) == ["first", "last", "once"]


def test_an_item_is_put_in_a_transaction_of_the_callers(queue: Any, run: Run) -> None:
    apsw = pytest.importorskip("apsw")
    connection = apsw.Connection(queue.path)

    async def main() -> None:
        connection.execute("BEGIN IMMEDIATE")
        await queue.aio.put("a", connection=connection)
        connection.execute("ROLLBACK")
        assert queue.qsize() == 0
        with connection:
            await queue.aio.put("b", connection=connection)
        assert await queue.aio.get() == "b"

    run(main)
    connection.close()


def test_what_does_not_wait_says_at_once_that_it_cannot(queue: Any, run: Run) -> None:
    queue.maxsize = 1

    async def main() -> None:
        with pytest.raises(asyncio.QueueEmpty):
            queue.aio.get_nowait()
        queue.aio.put_nowait("a", priority=1)
        with pytest.raises(asyncio.QueueFull):
            queue.aio.put_nowait("b")
        assert (queue.aio.qsize(), queue.aio.full(), queue.aio.empty(), queue.aio.maxsize) == (1, True, False, 1)
        assert queue.aio.peek() == "a"
        assert queue.aio.get_nowait() == "a"
        queue.aio.task_done()
        with pytest.raises(ValueError, match="task_done"):
            queue.aio.task_done()
        await queue.aio.join()

    run(main)


def test_iteration_ends_when_the_queue_is_shut_down_and_drained(queue: Any, run: Run) -> None:
    queue.put_many("abc")
    queue.shutdown()

    async def main() -> list[str]:
        found = []
        async for item in queue.aio:
            found.append(item)
            queue.aio.task_done()
        await queue.aio.join()
        return found

    assert run(main) == ["a", "b", "c"]


def test_a_lease_is_settled_by_how_its_block_ends(queue: Any, run: Run) -> None:
    queue.put_many(["good", "bad"])

    async def main() -> None:
        async with queue.aio.lease() as lease:
            assert (lease.item, lease.attempt) == ("good", 1)
        with pytest.raises(ZeroDivisionError):
            async with queue.aio.lease() as lease:
                raise ZeroDivisionError
        lease = await queue.aio.lease()
        assert (lease.item, lease.attempt) == ("bad", 2)
        lease.fail("really")
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.put, "x")
            async with queue.aio.item() as item:
                assert item == "x"
        with pytest.raises(asyncio.QueueEmpty):
            await queue.aio.lease(timeout=0)

    run(main)
    assert (queue.stats().unfinished, [letter.item for letter in queue.dead]) == (0, ["bad"])


def test_a_lease_is_given_back_when_its_block_is_cancelled(queue: Any, run: Run) -> None:
    queue.put("a")

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with queue.aio.lease():
                scope.cancel()
                await anyio.sleep(PATIENCE)
        assert queue.qsize() == 1
        queue.shutdown()  # the last settlement is told to who waits, which takes a transaction
        with anyio.CancelScope() as scope:
            async with queue.aio.item():
                scope.cancel()
                await anyio.sleep(PATIENCE)
        await queue.aio.join()

    run(main)


def test_task_done_settles_what_its_own_task_got(queue: Any, run: Run, path_in_memory: str) -> None:
    queue.put_many(["a", "b"])

    async def main() -> None:
        async def get_second(task_status: Any) -> None:
            await queue.aio.get()
            task_status.started()
            await anyio.sleep(0)
            queue.aio.task_done()

        await queue.aio.get()
        async with anyio.create_task_group() as group:
            await group.start(lambda task_status: get_second(task_status))

    run(main)
    queue.close()  # gives back what was not settled
    with headrace.open(path_in_memory) as again:
        assert again.get_many(2) == ["a"]


def test_a_task_that_ends_leaves_nothing_unless_it_holds_something(queue: Any, run: Run) -> None:
    queue.put_many(range(20))

    async def main() -> None:
        async def get(settles: bool) -> None:
            await queue.aio.get()
            if settles:
                queue.aio.task_done()

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(get, number != 7)
        assert len(queue._held) == 1
        queue.aio.task_done()  # what another got, who has not settled it
        await queue.aio.join(timeout=PATIENCE)
        assert not queue._held

    run(main)


def test_shutdown_ends_all_waits(queue: Any, run: Run) -> None:
    queue.maxsize = 1
    other = headrace.open(queue.path, queue="other")
    ended = []

    async def main() -> None:
        async def waits(call: Any) -> None:
            with pytest.raises(aio.QueueShutDown):
                await call()
            ended.append(call)

        queue.put(1)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(waits, other.aio.get)
                group.start_soon(waits, partial(queue.aio.put, 1))
            group.start_soon(waits, partial(other.aio.get_many, 3))
            group.start_soon(waits, other.aio.lease(1000).__aenter__)
            await waiting(queue, putters=3)
            await waiting(other, getters=5)
            queue.shutdown()
            other.shutdown()
        with pytest.raises(aio.QueueShutDown):
            await queue.aio.put(2)
        assert await queue.aio.get() == 1
        with pytest.raises(aio.QueueShutDown):
            await queue.aio.get()

    run(main)
    other.close()
    assert len(ended) == 8


def test_closing_ends_all_waits(queue: Any, run: Run) -> None:
    async def main() -> None:
        async def waits() -> None:
            with pytest.raises(aio.QueueShutDown):
                await queue.aio.get()

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(waits)
            await waiting(queue, getters=3)
            queue.close()
        with pytest.raises(aio.QueueShutDown):
            await queue.aio.get()
        with pytest.raises(aio.QueueShutDown):
            await queue.aio.put(1)

    run(main)


def test_join_waits_for_the_last_task(queue: Any, run: Run) -> None:
    queue.put_many([1, 2])

    async def main() -> list[int]:
        done = []
        async with anyio.create_task_group() as group:

            async def join() -> None:
                await queue.aio.join()
                done.append(3)

            group.start_soon(join)
            for number in await queue.aio.get_many(2):
                await anyio.sleep(0.01)
                done.append(number)
                queue.aio.task_done()
        return done

    assert run(main) == [1, 2, 3]


def test_who_takes_for_a_pool_stops_when_told(queue: Any, run: Run) -> None:
    stop: list[Any] = []

    async def main() -> None:
        async def take() -> None:
            with pytest.raises(TakingStopped):
                await queue.aio._take(stop)

        async with anyio.create_task_group() as group:
            group.start_soon(take)
            await waiting(queue, getters=1)
            stop.append(True)
            queue._interrupt()
        queue.put("x")
        delivery = await queue.aio._take([])
        assert (delivery.item, delivery.attempt) == ("x", 1)
        queue._settle(delivery)

    run(main)
    assert queue.stats().unfinished == 0


def test_consumers_of_a_pool_stay_while_others_hold_something_and_do_not_spin(queue: Any, run: Run) -> None:
    queue.put("x")

    async def main() -> None:
        attempts = 0
        ended = []

        async def take() -> None:
            with pytest.raises(aio.QueueShutDown):
                await queue.aio._take([])
            ended.append(1)

        held = await queue.aio._take([])
        queue.shutdown()
        original = queue._take

        def counted(*arguments: Any) -> Any:
            nonlocal attempts
            attempts += 1
            return original(*arguments)

        queue._take = counted
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(take)
            await waiting(queue, getters=3)
            begun = attempts
            await anyio.sleep(0.3)
            assert attempts - begun <= 3, "they look once a second"
            assert not ended
            queue._settle(held)

    run(main)


def test_an_item_that_cannot_be_decoded_is_passed_over(queue: Any, run: Run) -> None:
    queue.put_many(["bad", "good", "bad"])
    queue._storage.run(lambda s: s.execute("UPDATE ready SET body = x'c1' WHERE id <> 2"))

    async def main() -> None:
        assert await queue.aio.get() == "good"
        with pytest.raises(asyncio.QueueEmpty):
            await queue.aio.get(timeout=0)
        queue.aio.task_done()
        await queue.aio.join()

    run(main)
    assert (len(list(queue.dead)), queue._out, recounted(queue)) == (2, set(), {})


def test_a_delayed_item_comes_in_time_and_room_is_made_by_what_expires(queue: Any, run: Run) -> None:
    async def main() -> None:
        await queue.aio.put("later", delay=0.05)
        assert await queue.aio.get() == "later"
        queue.maxsize = 1
        await queue.aio.put("short", ttl=0.05)
        await queue.aio.put("next")
        assert await queue.aio.get() == "next"

    run(main)


# -- cancellation ------------------------------------------------------------------------------------


def test_a_get_that_is_cancelled_in_its_transaction_gives_back(
    queue: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.put_many(["a", "b"])
    gate = gated(monkeypatch, statements, "claim")
    ended = []

    async def main() -> None:
        async def get(call: Any) -> None:
            try:
                await call()
            finally:
                ended.append(call)

        for call in (queue.aio.get, partial(queue.aio.get_many, 2), partial(queue.aio._take, None)):
            gate.close()
            async with anyio.create_task_group() as group:
                group.start_soon(get, call)
                await until(gate.arrived.is_set)
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.01)
                    assert call not in ended, "it waits for its transaction"
                    gate.open()
            assert (queue.qsize(), queue._out, queue._held) == (2, set(), {})
        lease = await queue.aio.lease()
        assert (lease.item, lease.attempt) == ("a", 1)
        lease.done()

    run(main)
    assert len(ended) == 3
    assert queue.stats().get_total == 1
    assert recounted(queue) == {}


def test_a_put_that_is_cancelled_in_its_transaction_returns_and_the_next_await_is_cancelled(
    queue: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = gated(monkeypatch, statements, "put_one")
    passed = []

    async def main() -> None:
        async def put() -> None:
            await queue.aio.put("a")
            passed.append("put")
            await anyio.sleep(PATIENCE)
            passed.append("slept")

        async with anyio.create_task_group() as group:
            group.start_soon(put)
            await until(gate.arrived.is_set)
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
                assert passed == []
                gate.open()

    run(main)
    assert (passed, queue.get_nowait()) == (["put"], "a")


def test_what_has_not_begun_is_withdrawn_at_once(queue: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.put("there")
    gate = gated(monkeypatch, statements, "put_one")

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.put, "first")
            await until(gate.arrived.is_set)
            with anyio.move_on_after(0.01) as scope:
                await queue.aio.put("second")
            assert scope.cancelled_caught
            with anyio.move_on_after(0.01) as scope:
                await queue.aio.get()
            assert scope.cancelled_caught
            gate.open()

    run(main)
    assert queue.get_many(5) == ["there", "first"]


def test_a_cancelled_put_many_says_how_many_are_in(queue: Any) -> None:
    queue.maxsize = 3

    async def main() -> None:
        task = asyncio.create_task(queue.aio.put_many(range(10)))
        await waiting(queue, putters=1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        assert cancelled.value.put_count == 3  # type: ignore[attr-defined]

    on_asyncio(main)
    assert queue.get_many(10) == [0, 1, 2]


def test_a_time_limit_that_comes_too_late_for_a_put_leaves_no_cancellation_behind(
    queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = gated(monkeypatch, statements, "put_one")

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None

        async def run_out(limit: asyncio.Timeout) -> None:
            """In the middle of the transaction."""
            await until(gate.arrived.is_set)
            limit.reschedule(0)
            await until(task.cancelling)
            gate.open()

        async with asyncio.timeout(None) as limit:
            other = asyncio.create_task(run_out(limit))
            await queue.aio.put("a")
        await other
        for _ in range(3):
            await asyncio.sleep(0)
        assert task.cancelling() == 0
        gate.close()
        passed = False
        limit = asyncio.timeout(None)
        with pytest.raises(TimeoutError):  # noqa: PT012 - what is in the block is what this is about
            async with limit:
                other = asyncio.create_task(run_out(limit))
                await queue.aio.put("b")
                passed = True
                await asyncio.sleep(PATIENCE)
        await other
        assert passed
        for _ in range(3):
            await asyncio.sleep(0)
        assert task.cancelling() == 0

    on_asyncio(main)
    assert queue.get_many(5) == ["a", "b"]


def test_a_task_group_that_fails_ends_a_task_that_puts_again_and_again(
    queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = gated(monkeypatch, statements, "put_one")
    count = 0

    async def main() -> None:
        async def put() -> None:
            nonlocal count
            while True:
                await queue.aio.put(count)
                count += 1

        async def fail() -> None:
            await until(gate.arrived.is_set)
            asyncio.get_running_loop().call_later(0.01, gate.open)
            raise ZeroDivisionError

        async def both() -> None:
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                group.create_task(put())
                group.create_task(fail())

        with pytest.raises(ExceptionGroup):
            await both()

    on_asyncio(main)
    assert (count, queue.qsize()) == (1, 1)


async def jitter() -> None:
    """Wait a little: as long as an attempt takes, more or less."""
    for _ in range(random.randrange(12)):
        await asyncio.sleep(0)
    if random.random() < 0.3:
        await asyncio.sleep(random.random() * 0.001)


async def cancelled_natively(call: Callable[[], Awaitable[Any]]) -> Any:
    task = asyncio.ensure_future(call())
    await jitter()
    task.cancel()
    await asyncio.wait([task])
    return None if task.cancelled() else (task.result(),)


async def cancelled_by_timeout(call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        async with asyncio.timeout(random.random() * 0.002):
            return (await call(),)
    except TimeoutError:
        return None


async def cancelled_by_wait_for(call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return (await asyncio.wait_for(call(), random.random() * 0.002),)
    except TimeoutError:
        return None


async def cancelled_by_group(call: Callable[[], Awaitable[Any]]) -> Any:
    result = None

    async def act() -> None:
        nonlocal result
        result = (await call(),)

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(act())
            await jitter()
            raise ZeroDivisionError
    return result


async def cancelled_by_scope(call: Callable[[], Awaitable[Any]]) -> Any:
    with anyio.move_on_after(random.random() * 0.002):
        return (await call(),)
    return None


WAYS = {
    "natively": (on_asyncio, cancelled_natively),
    "timeout": (on_asyncio, cancelled_by_timeout),
    "wait_for": (on_uvloop, cancelled_by_wait_for),
    "group": (on_asyncio, cancelled_by_group),
    "scope": (on_asyncio, cancelled_by_scope),
    "trio": (trio.run, cancelled_by_scope),
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_is_cancelled_every_item_is_accounted_for(queue: Any, way: str) -> None:
    runner, cancelled = WAYS[way]
    queue.maxsize = 5
    turns, tasks = scaled(100), 10
    put: Counter[int] = Counter()
    got: Counter[int] = Counter()

    async def main() -> None:
        async def produce(place: int) -> None:
            for turn in range(turns):
                item = place * turns + turn
                if await cancelled(partial(queue.aio.put, item)) is not None:
                    put[item] += 1

        async def consume() -> None:
            for _ in range(turns):
                result = await cancelled(queue.aio.get)
                if result is not None:
                    got[result[0]] += 1
                    queue.aio.task_done()

        with anyio.fail_after(2 * PATIENCE):
            async with anyio.create_task_group() as group:
                for place in range(tasks):
                    group.start_soon(produce, place)
                    group.start_soon(consume)
        assert queue.stats()[6:8] == (0, 0)

    runner(main)
    got.update(queue.get_many(100) if queue.qsize() else [])
    assert got == put
    assert set(put.values()) <= {1}
    assert (queue._out, recounted(queue)) == (set(), {})
    assert queue.stats().get_total == len(got)


def test_who_was_roused_and_is_cancelled_passes_the_wake_up_on(queue: Any) -> None:
    got: list[str] = []

    async def main() -> None:
        task = asyncio.create_task(queue.aio.get())
        await waiting(queue, getters=1)
        thread = threading.Thread(target=lambda: got.append(queue.get()))
        thread.start()
        await waiting(queue, getters=2)
        await asyncio.sleep(0.05)  # both sleep on the bell, the coroutine's watch first
        queue.put("x")
        deadline = time.monotonic() + 0.2
        while queue._watched(0)._standing and time.monotonic() < deadline:
            time.sleep(0.001)  # the loop does not run
        task.cancel()
        await asyncio.wait([task])
        thread.join(PATIENCE)
        assert got == ["x"]

    on_asyncio(main)


def test_a_coroutine_that_is_closed_gives_back_what_it_was_about_to_get(
    queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.put_many(["a", "b"])
    gate = gated(monkeypatch, statements, "claim")

    async def main() -> None:
        coroutine = queue.aio.get()
        coroutine.send(None)
        await until(gate.arrived.is_set)
        coroutine.close()
        gate.open()
        await until(lambda: queue.stats().get_total == 0 and queue.qsize() == 2)
        coroutine = queue.aio.get()
        coroutine.send(None)
        await until(lambda: queue._out)
        coroutine.close()
        await until(lambda: not queue._out and queue.qsize() == 2)

    on_asyncio(main)


# -- the loop, and threads ---------------------------------------------------------------------------


def test_the_loop_runs_while_the_disk_is_slow(path_in_memory: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = gated(monkeypatch, storage, "sync_data")

    async def main() -> None:
        with headrace.open(path_in_memory) as queue:
            done = []

            async def put(call: Any) -> None:
                await call
                done.append(call)

            async with anyio.create_task_group() as group:
                group.start_soon(put, queue.aio.put(1))
                group.start_soon(put, queue.aio.put_many([2, 3]))
                await until(lambda: gate.arrived.is_set() and queue.qsize() == 3)
                for _ in range(20):
                    await anyio.sleep(0)
                # What needs no disk is done meanwhile.
                assert await queue.aio.get_many(3) in ([1, 2, 3], [2, 3, 1])
                assert not done
                gate.open()

    run(main)


def test_those_who_put_at_a_time_share_their_syncs(path_in_memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = gated(monkeypatch, storage, "sync_data")
    syncs = 0
    sync_data = storage.sync_data

    def counted(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        sync_data(descriptor)

    monkeypatch.setattr(storage, "sync_data", counted)

    async def main() -> None:
        with headrace.open(path_in_memory) as queue:
            puts = [asyncio.create_task(queue.aio.put(number)) for number in range(300)]
            await until(lambda: queue.qsize() == 300)
            gate.open()
            await asyncio.gather(*puts)

    on_asyncio(main)
    assert syncs <= 3


def test_a_sync_that_fails_is_told_to_each_who_put(path_in_memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    async def main() -> None:
        with headrace.open(path_in_memory) as queue:
            monkeypatch.setattr(storage, "sync_data", refuse)
            results = await asyncio.gather(*[queue.aio.put(n) for n in range(3)], return_exceptions=True)
            assert [type(error) for error in results] == [headrace.StorageError] * 3
            assert len(set(map(id, results))) == 3

    on_asyncio(main)


def lasting_threads() -> set[threading.Thread]:
    """Those that are not this test's to end: the timer of all queues, and what other tests left to the collector."""
    return {each for each in threading.enumerate() if each.name in ("headrace timer", "headrace housekeeper")}


def names_of_threads(others: set[threading.Thread] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Of those that are ours and none of *others*."""
    everybody = [each for each in threading.enumerate() if each not in others]
    return [each.name for each in everybody if each.name.startswith("headrace") and each.name != "headrace timer"]


def test_a_thousand_coroutines_wait_without_threads_of_their_own(queue: Any, run: Run) -> None:
    count = scaled(1000)

    async def main() -> None:
        got = []

        async def get() -> None:
            got.append(await queue.aio.get())

        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(get)
            await waiting(queue, getters=count)
            await until(lambda: names_of_threads().count("headrace watch items") == 1)
            names = Counter(names_of_threads())
            assert names["headrace file worker"] <= lanes.MOST_THREADS
            assert sum(names.values()) <= lanes.MOST_THREADS + 2  # and the housekeeper
            await queue.aio.put_many(range(count))
        assert sorted(got) == list(range(count))

    run(main)


def counted_claims(queue: Any) -> list[None]:
    """One for each look at the file for something to take, from now on."""
    claims: list[None] = []
    original = queue._claim_now

    def counted(*arguments: Any) -> None:
        claims.append(None)
        original(*arguments)

    queue._claim_now = counted
    return claims


def test_one_item_does_not_send_all_who_wait_to_the_file(queue: Any, run: Run) -> None:
    claims = counted_claims(queue)

    async def main() -> None:
        got = []

        async def get() -> None:
            got.append(await queue.aio.get())

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(get)
            await waiting(queue, getters=100)
            await anyio.sleep(0.05)  # those who have heard of each other's beginning
            claims.clear()
            for number in range(10):
                await queue.aio.put(number)
                await until(lambda: len(got) > number)  # noqa: B023
            assert len(claims) <= 30
            group.cancel_scope.cancel()
        assert got == list(range(10)), "who has waited longest is first"

    run(main)


@pytest.mark.parametrize("reads_ahead", [True, False])
def test_those_who_take_at_a_time_look_once_for_all(queue: Any, run: Run, reads_ahead: bool) -> None:
    claims = counted_claims(queue)

    async def main() -> None:
        taken: list[Any] = []

        async def take() -> None:
            taken.append(await queue.aio._take([]))

        async with anyio.create_task_group() as group:
            gate = Gate()
            group.start_soon(queue.aio._call, gate.pass_through)
            await until(gate.arrived.is_set)
            for _ in range(100):
                group.start_soon(take)
            await until(lambda: len(queue._file.lanes._transactions._pending) == 100)
            gate.open()
            await waiting(queue, getters=100)
            assert len(claims) <= 6  # once, and once more for those who have heard of another's beginning
            await queue.aio.put_many(range(100))
        assert sorted(one.item for one in taken) == list(range(100))
        for one in taken:
            queue._settle(one)

    if reads_ahead:
        queue._begin_taking(100)
    run(main)
    if reads_ahead:
        queue._end_taking()
    assert queue.stats().unfinished == 0


def test_several_loops_and_threads_share_a_queue(queue: Any) -> None:
    queue.maxsize = 50
    count, loops = scaled(3000), 3
    got: list[list[int]] = [[] for _ in range(loops)]

    async def consume(found: list[int]) -> None:
        async for item in queue.aio:
            found.append(item)
            queue.aio.task_done()

    async def both(found: list[int]) -> None:
        await asyncio.gather(consume(found), consume(found))

    threads = [threading.Thread(target=on_asyncio, args=[partial(both, found)]) for found in got]
    for thread in threads:
        thread.start()
    queue.put_many(range(count))
    queue.shutdown()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(item for found in got for item in found) == list(range(count))
    queue.join(PATIENCE)


def test_a_thread_may_wait_for_several_queues_in_files(queue: Any) -> None:
    with headrace.open(queue.path, queue="other") as other:
        timer = threading.Timer(0.05, other.put, ["x"])
        timer.start()
        assert headrace.select(queue, other, timeout=PATIENCE) == (other, "x")
        other.task_done()
        timer.join()
        assert other.stats().unfinished == 0


# -- other processes ---------------------------------------------------------------------------------

PARTNER = """
import sys, headrace
queue = headrace.open(sys.argv[1], durability="process")
print("ready", flush=True)
for line in sys.stdin:
    if line == "put\\n": queue.put("x")
    if line == "get\\n": queue.get(timeout=20)
    if line == "done\\n": queue.task_done()
    print(line, end="", flush=True)
queue.close()
"""


class Partner:
    """Another process with the same queue, which does what it is told."""

    def __init__(self, path: str) -> None:
        """Start it."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARTNER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._hear("ready")

    def _hear(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == word + "\n"

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def do(self, word: str) -> None:
        self.tell(word)
        self._hear(word)

    def end(self) -> None:
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def partner(queue: Any) -> Iterator[Partner]:
    """A second process."""
    other = Partner(queue.path)
    yield other
    other.end()


def test_a_get_hears_of_what_another_process_puts(queue: Any, partner: Partner, run: Run) -> None:
    async def main() -> None:
        seconds = []

        async def get() -> None:
            await queue.aio.get()
            seconds.append(time.monotonic() - began)

        for _ in range(10):
            async with anyio.create_task_group() as group:
                group.start_soon(get)
                await waiting(queue, getters=1)
                began = time.monotonic()
                partner.tell("put")
        # Loosely: who looks by himself does so once a second.
        assert sorted(seconds)[5] < 0.5

    run(main)
    for _ in range(10):
        partner._hear("put")


def test_join_waits_for_another_process(queue: Any, partner: Partner, run: Run) -> None:
    queue.put(1)
    partner.do("get")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await queue.aio.join(timeout=0.05)
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.join)
            await anyio.sleep(0.02)
            partner.tell("done")
        assert queue.stats().unfinished == 0

    run(main)
    partner._hear("done")


def test_a_get_takes_what_a_process_that_was_killed_held(queue: Any, partner: Partner, run: Run) -> None:
    queue.put("a")
    partner.do("get")

    async def main() -> None:
        async with anyio.create_task_group() as group:

            async def get() -> None:
                lease = await queue.aio.lease()
                assert (lease.item, lease.attempt) == ("a", 2)
                lease.done()

            group.start_soon(get)
            await waiting(queue, getters=1)
            partner.process.send_signal(signal.SIGKILL)

    run(main)


# -- ends --------------------------------------------------------------------------------------------


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("runner", ["asyncio", "uvloop"])
def test_a_loop_that_is_closed_with_waiters_leaves_the_queue_whole(queue: Any, runner: str) -> None:
    make_loop: Any = asyncio.new_event_loop if runner == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    async def begin(keep: list[Any]) -> None:
        keep += [asyncio.ensure_future(queue.aio.get()) for _ in range(5)]
        await waiting(queue, getters=5)

    def crash() -> None:
        keep: list[Any] = []
        loop = make_loop()
        loop.run_until_complete(begin(keep))
        loop.close()
        for task in keep:
            task._log_destroy_pending = False  # the test's own doing

    crash()
    queue.put_many([1, 2])
    gc.collect()

    async def main() -> list[int]:
        return [await queue.aio.get(), await queue.aio.get()]

    assert on_asyncio(main) == [1, 2]
    wait_until(lambda: (gc.collect(), queue.stats().getters_blocked)[1] == 0)


def test_threads_and_descriptors_are_gone_some_time_after(
    path_in_memory: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.1)
    others = lasting_threads()

    async def main() -> None:
        with headrace.open(path_in_memory, maxsize=1, durability="process") as queue:
            queue.clear()
            async with anyio.create_task_group() as group:
                group.start_soon(queue.aio.get)
                await waiting(queue, getters=1)
                await queue.aio.put(1)
            await queue.aio.put(2)
            with anyio.move_on_after(0.01):
                await queue.aio.put(3)
            with anyio.move_on_after(0.01):
                await queue.aio.join()
            assert len(names_of_threads(others)) > 3

    run(main)
    wait_until(lambda: not names_of_threads(others))
    gc.collect()
    before = open_descriptors()
    for _ in range(3):
        run(main)
    wait_until(lambda: not names_of_threads(others))
    wait_until(lambda: (gc.collect(), open_descriptors())[1] <= before)


def test_the_threads_of_a_queue_that_nobody_has_any_more_end(
    path_in_memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(watching, "SAFETY_SECONDS", 0.1)
    others = lasting_threads()

    async def main() -> None:
        with pytest.raises(asyncio.QueueEmpty):
            await headrace.open(path_in_memory).aio.get(timeout=0.01)

    on_asyncio(main)
    wait_until(lambda: (gc.collect(), names_of_threads(others))[1] == [])


def test_a_watch_ends_when_nobody_waits_and_begins_anew(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LINGER_SECONDS", 0.01)

    async def main() -> None:
        for _ in range(3):
            task = asyncio.create_task(queue.aio.get())
            await waiting(queue, getters=1)
            queue.put(1)
            await task
            await until(lambda: "headrace watch items" not in names_of_threads())

    on_asyncio(main)


def test_a_child_that_is_forked_while_coroutines_wait_uses_the_queue(queue: Any) -> None:
    async def in_child() -> None:
        assert queue.stats().getters_blocked == 0
        task = asyncio.create_task(queue.aio.get())
        await waiting(queue, getters=1)
        await queue.aio.put("child's")
        assert await task == "child's"
        queue.aio.task_done()
        queue.close()  # an item that it dies with would be the parent's

    async def main() -> None:
        task = asyncio.create_task(queue.aio.get())
        await waiting(queue, getters=1)
        task.cancel()
        await asyncio.wait([task])

        def child() -> None:
            asyncio.set_event_loop(None)
            asyncio.events._set_running_loop(None)
            on_asyncio(in_child)

        run_forked(child)
        task = asyncio.create_task(queue.aio.get())
        await waiting(queue, getters=1)
        queue.put("parent's")
        assert await task == "parent's"

    on_asyncio(main)


def test_waiters_of_the_parent_go_on_after_a_fork(queue: Any) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(queue.aio.get()) for _ in range(3)]
        await waiting(queue, getters=3)
        run_forked(lambda: None)
        await queue.aio.put_many([1, 2, 3])
        assert sorted(await asyncio.gather(*tasks)) == [1, 2, 3]

    on_asyncio(main)


EXITING = """
import asyncio, sys, threading, headrace
queue = headrace.open(sys.argv[1])
queue.maxsize = 1
queue.put(1)
async def main():
    tasks = [asyncio.ensure_future(call) for call in (queue.aio.put(2), queue.aio.join(), queue.aio.put(3))]
    tasks.append(asyncio.ensure_future(headrace.open(sys.argv[1] + "#other").aio.get()))
    while len(queue._putters) < 2: await asyncio.sleep(0.001)
    return tasks
if sys.argv[2] == "daemon":
    ready = threading.Event()
    async def for_ever():
        tasks = await main()
        ready.set()
        await asyncio.sleep(1000)
    threading.Thread(target=asyncio.run, args=[for_ever()], daemon=True).start()
    ready.wait()
elif sys.argv[2] == "run":
    asyncio.run(main())
else:
    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(main())
print("end")
"""


@pytest.mark.parametrize("how", ["run", "open loop", "daemon"])
def test_a_process_ends_with_coroutines_that_wait(path_in_memory: str, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", EXITING, path_in_memory, how],
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert "Traceback" not in done.stderr
    with headrace.open(path_in_memory) as queue:
        assert queue.get_nowait() == 1
