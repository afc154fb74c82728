"""``queue.aio``: one queue for threads and event loops at once."""

from __future__ import annotations

import asyncio
import gc
import io
import itertools
import os
import queue as standard
import signal
import sys
import threading
import time
import warnings
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

import headrace
from aio_support import PATIENCE, Loop, loop, new_loop, open_descriptors, run, starves_nobody, steps, until, waiters
from conftest import scaled
from headrace import aio
from headrace.aio.hub import here
from headrace.testing.threads import Call, calls
from pool_support import with_hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import SimpleNamespace

    from conftest import Child

__all__ = ["loop", "run"]  # fixtures

Run = "Callable[..., Any]"


async def in_time(awaitable: Any) -> Any:
    """What it returns; it may not take long."""
    with anyio.fail_after(PATIENCE):
        return await awaitable


# -- what it can do, everywhere --------------------------------------------------------------------------------------


def test_items_come_out_in_order(make: Callable[..., Any], run: Run) -> None:
    queue = make()

    async def main() -> list[int]:
        for item in (2, 3, 1):
            await queue.aio.put(item)
        return [await queue.aio.get() for _ in range(3)]

    orders = {"Queue": [2, 3, 1], "LifoQueue": [1, 3, 2], "PriorityQueue": [1, 2, 3]}
    assert run(main) == orders[make.__name__]


def test_a_get_that_waits_has_what_is_put(make: Callable[..., Any], run: Run) -> None:
    queue = make()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await waiters(queue, getters=1)
            await queue.aio.put("item")

    async def receive() -> None:
        assert await in_time(queue.aio.get()) == "item"

    run(main)
    assert queue.stats().getters_blocked == 0


def test_a_put_that_waits_has_the_room_that_comes(make: Callable[..., Any], run: Run) -> None:
    queue = make(1)
    queue.put(1)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.put, 2)
            await waiters(queue, putters=1)
            assert await in_time(queue.aio.get()) == 1
        assert await in_time(queue.aio.get()) == 2

    run(main)
    assert queue.stats().putters_blocked == 0


def test_all_methods_have_the_queue_s_own_items(implementation: SimpleNamespace, run: Run) -> None:
    queue = implementation.Queue(5)
    face = queue.aio

    async def main() -> None:
        assert (face.maxsize, face.empty(), face.full(), face.qsize(), len(face), bool(face)) == (5, 1, 0, 0, 0, 1)
        face.put_nowait(0)
        await face.put(1)
        await face.put(2, timeout=1)
        await face.put_many([3])
        await face.put_many(iter([4]), timeout=1)
        assert (face.empty(), face.full(), len(face), face.peek()) == (False, True, 5, 0)
        assert queue.qsize() == 5
        assert face.get_nowait() == 0
        assert await face.get() == 1
        assert await face.get(timeout=1) == 2
        assert await face.get_many(9) == [3, 4]
        assert face.stats() == queue.stats()
        assert face.stats().unfinished == 5
        face.task_done()
        face.task_done(4)
        await face.join()
        await face.join(timeout=0)
        assert not face.is_shutdown
        face.shutdown()
        assert face.is_shutdown
        assert queue.is_shutdown
        assert list(face.dead) == []

    run(main)


def test_iteration_ends_with_the_queue(make: Callable[..., Any], run: Run) -> None:
    queue = make()
    seen = []

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            await waiters(queue, getters=1)
            await queue.aio.put_many(range(10))
            queue.aio.shutdown()
        await in_time(queue.aio.join())

    async def consume() -> None:
        async for item in queue.aio:
            seen.append(item)
            queue.aio.task_done()

    run(main)
    assert sorted(seen) == list(range(10))


def test_an_item_of_a_block_is_settled_however_the_block_ends(make: Callable[..., Any], run: Run) -> None:
    queue = make()
    queue.put_many([1, 2])

    async def main() -> None:
        async with queue.aio.item() as item:
            assert item in (1, 2)
        with pytest.raises(ZeroDivisionError):
            async with queue.aio.item():
                raise ZeroDivisionError
        await in_time(queue.aio.join())
        with pytest.raises(asyncio.QueueEmpty):
            async with queue.aio.item(timeout=0):
                raise AssertionError
        assert queue.aio.stats().unfinished == 0

    run(main)


def test_a_lease_settles_or_gives_back(make: Callable[..., Any], run: Run) -> None:
    queue = make()
    queue.put("item")

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with queue.aio.lease() as lease:
                assert (lease.item, lease.attempt) == ("item", 1)
                raise ZeroDivisionError
        with anyio.CancelScope() as scope:
            async with queue.aio.lease() as lease:
                assert lease.attempt == 2
                scope.cancel()
                await anyio.sleep_forever()
        lease = await queue.aio.lease()
        assert lease.attempt == 3
        lease.retry()
        async with queue.aio.lease() as lease:
            assert lease.attempt == 4
        await in_time(queue.aio.join())
        with pytest.raises(asyncio.QueueEmpty):
            await queue.aio.lease(timeout=0)
        queue.shutdown()
        with pytest.raises(headrace.ShutDown):
            await queue.aio.lease()

    run(main)


def test_a_lease_is_waited_for(make: Callable[..., Any], run: Run) -> None:
    queue = make()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            await waiters(queue, getters=1)
            queue.put("item")
        assert queue.stats().unfinished == 0

    async def work() -> None:
        async with queue.aio.lease() as lease:
            assert lease.item == "item"

    run(main)


def test_put_takes_what_the_queue_s_put_takes(implementation: SimpleNamespace, run: Run) -> None:
    queue = implementation.PriorityQueue(3)

    async def main() -> None:
        await queue.aio.put("late", priority=2)
        await queue.aio.put("soon", None, priority=1)
        queue.aio.put_nowait("now", priority=0)
        assert [await queue.aio.get() for _ in range(3)] == ["now", "soon", "late"]

    run(main)


# -- errors ----------------------------------------------------------------------------------------------------------


def test_errors_are_those_of_queue_and_of_asyncio() -> None:
    for theirs in (headrace.Empty, standard.Empty, asyncio.QueueEmpty):
        assert issubclass(aio.QueueEmpty, theirs)
    for theirs in (headrace.Full, standard.Full, asyncio.QueueFull):
        assert issubclass(aio.QueueFull, theirs)
    assert issubclass(aio.QueueShutDown, headrace.ShutDown)
    for module in (asyncio, standard):
        theirs = getattr(module, "QueueShutDown", getattr(module, "ShutDown", aio.QueueShutDown))
        assert issubclass(aio.QueueShutDown, theirs)


def test_every_method_raises_the_errors_of_asyncio(make: Callable[..., Any], run: Run) -> None:
    queue = make(1)
    face = queue.aio

    async def main() -> None:
        for call in (face.get_nowait, face.peek):
            with pytest.raises(aio.QueueEmpty):
                call()
        for awaitable in (face.get(0), face.get(timeout=0.001), face.get_many(2, 0), face.get_many(2, timeout=0.001)):
            with pytest.raises(aio.QueueEmpty):
                await awaitable
        await face.put(1)
        with pytest.raises(aio.QueueFull):
            face.put_nowait(2)
        for awaitable in (face.put(2, 0), face.put(2, timeout=0.001)):
            with pytest.raises(aio.QueueFull):
                await awaitable
        with pytest.raises(aio.QueueFull) as full:
            await face.put_many([2, 3], timeout=0.001)
        assert full.value.put_count == 0
        face.shutdown()
        with pytest.raises(aio.QueueShutDown):
            face.put_nowait(2)
        for awaitable in (face.put(2), face.put(2, 1), face.put_many([2])):
            with pytest.raises(aio.QueueShutDown):
                await awaitable
        assert await face.get() == 1
        with pytest.raises(aio.QueueShutDown):
            face.get_nowait()
        for awaitable in (face.get(), face.get(1), face.get_many(2)):
            with pytest.raises(aio.QueueShutDown):
                await awaitable

    run(main)


def test_timeouts_that_are_none_are_refused(make: Callable[..., Any], run: Run) -> None:
    queue = make(1)
    face = queue.aio
    queue.put(1)

    async def main() -> None:
        for timeout in (-1, float("nan")):
            for awaitable in (
                face.get(timeout),
                face.put(1, timeout),
                face.get_many(1, timeout),
                face.put_many([1], timeout),
                face.join(timeout),
                face._take(None, timeout),
            ):
                with pytest.raises(ValueError, match="'timeout' must be"):
                    await awaitable
            with pytest.raises(ValueError, match="'timeout' must be"):
                async with face.item(timeout):
                    raise AssertionError
            with pytest.raises(ValueError, match="'timeout' must be"):
                await face.lease(timeout)
        with pytest.raises(ValueError, match="'max_items' must be at least 1"):
            await face.get_many(0)
        with pytest.raises(ValueError, match="task_done"):
            face.task_done(2)

    run(main)
    assert queue.stats().waiting == queue.stats().unfinished == 1


def test_a_timeout_is_how_long_it_waits(make: Callable[..., Any], run: Run) -> None:
    queue = make(1)

    async def main() -> None:
        begin = time.monotonic()
        with pytest.raises(aio.QueueEmpty):
            await queue.aio.get(timeout=0.05)
        queue.put(1)
        with pytest.raises(aio.QueueFull):
            await queue.aio.put(2, timeout=0.05)
        with pytest.raises(TimeoutError):
            await queue.aio.join(timeout=0.05)
        assert time.monotonic() - begin >= 0.15

    run(main)
    assert queue.stats().getters_blocked == queue.stats().putters_blocked == 0


def test_what_comes_within_the_timeout_is_had(make: Callable[..., Any], run: Run) -> None:
    queue = make(1)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(take)
            await waiters(queue, getters=1)
            queue.put(1)
        queue.put(2)
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.put, 3, PATIENCE)
            await waiters(queue, putters=1)
            assert queue.get() == 2
        assert queue.get() == 3
        queue.task_done(2)
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.join, PATIENCE)
            await anyio.sleep(0)
            queue.task_done()

    async def take() -> None:
        assert await queue.aio.get(PATIENCE) == 1

    run(main)


def test_join_says_how_long_it_waited_and_how_many_are_left(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put_many([1, 2])
    with pytest.raises(TimeoutError, match=r"join\(\) waited 0\.01 seconds, and 2 put items are not settled yet"):
        asyncio.run(queue.aio.join(timeout=0.01))


def test_without_a_loop_a_wait_is_an_error_and_leaves_nothing(make: Callable[..., Any]) -> None:
    queue = make()
    with pytest.raises(RuntimeError, match="no event loop is running here"):
        queue.aio.get().send(None)
    assert queue.stats().getters_blocked == 0


# -- shutting down ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("from_thread", [False, True])
def test_shutdown_wakes_all_who_wait(make: Callable[..., Any], run: Run, immediate: bool, from_thread: bool) -> None:
    empty, full = make(), make(1)
    full.put(1)
    ends: list[str] = []

    async def expect(awaitable: Any, name: str) -> None:
        with pytest.raises(aio.QueueShutDown):
            await in_time(awaitable)
        ends.append(name)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(expect, empty.aio.get(), f"get {number}")
                group.start_soon(expect, full.aio.put(2), f"put {number}")
            await waiters(empty, getters=3)
            await waiters(full, putters=3)
            for queue in (empty, full):
                if from_thread:
                    await anyio.to_thread.run_sync(queue.shutdown, immediate)
                else:
                    queue.aio.shutdown(immediate)

    run(main)
    assert sorted(ends) == [f"{name} {number}" for name in ("get", "put") for number in range(3)]


def test_join_ends_when_all_is_settled(make: Callable[..., Any], run: Run) -> None:
    queue = make()
    queue.put_many(range(5))
    joined = []

    async def join() -> None:
        await in_time(queue.aio.join())
        joined.append(queue.stats().unfinished)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(join)
            for _ in range(5):
                await anyio.sleep(0)
                assert not joined
                await anyio.to_thread.run_sync(queue.get)
                queue.aio.task_done()

    run(main)
    assert joined == [0, 0, 0]


def test_maxsize_that_is_raised_lets_coroutines_in(make: Callable[..., Any], run: Run) -> None:
    queue = make(1)
    queue.put(0)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(1, 6):
                group.start_soon(queue.aio.put, number)
            await waiters(queue, putters=5)
            queue.maxsize = 3
            await waiters(queue, putters=3)
            assert queue.qsize() == 3
            queue.maxsize = 0

    run(main)
    assert sorted(queue.get_many(9)) == list(range(6))


# -- order and fairness ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_who_waits_in_a_loop_is_served_in_order_of_arrival(implementation: SimpleNamespace, kind: str) -> None:
    queue = implementation.Queue(1)
    served: list[int] = []

    async def get(number: int) -> None:
        await queue.aio.get()
        served.append(number)

    async def put(number: int) -> None:
        await queue.aio.put(number)

    async def main() -> None:
        tasks = [asyncio.create_task(get(number)) for number in range(20)]
        await waiters(queue, getters=20)
        for number in range(20):
            queue.put(number)
            await until(lambda many=number + 1: len(served) == many)
        assert served == list(range(20))
        queue.put(-1)
        tasks = [asyncio.create_task(put(number)) for number in range(20)]
        await waiters(queue, putters=20)
        taken = []
        while len(taken) < 21:
            taken.append(queue.get(timeout=0) if queue.qsize() else -2)
            if taken[-1] == -2:
                taken.pop()
                await asyncio.sleep(0)
        assert taken == list(range(-1, 20))
        await asyncio.gather(*tasks)

    run_on(kind, main)


def run_on(kind: str, main: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=lambda: new_loop(kind)) as runner:
        return runner.run(main())


def test_who_was_roused_in_vain_keeps_his_place(implementation: SimpleNamespace, loop: Any) -> None:
    queue = implementation.Queue()
    served: list[int] = []

    async def get(number: int) -> None:
        await queue.aio.get()
        served.append(number)

    tasks = [loop.create_task(get(number)) for number in range(4)]
    steps(loop, 3)
    for turns in range(8):
        # They are on their way to the items, or not yet, when a thief takes those.
        queue.put_many([1, 2, 3])
        steps(loop, turns)
        while not queue.empty():
            queue.get_nowait()
        steps(loop, 8)
    # All look, and find nothing.
    queue.maxsize = 7
    queue.maxsize = 0
    steps(loop, 8)
    while len(served) < 4:
        queue.put(0)
        steps(loop, 8)
    assert served == [0, 1, 2, 3]
    assert all(task.done() for task in tasks)


BUSY = {
    "get": lambda face: face.get(),
    "get within a time": lambda face: face.get(5),
    "get_many": lambda face: face.get_many(1),
    "anext": lambda face: anext(aiter(face)),
}


@pytest.mark.parametrize("way", list(BUSY))
def test_who_always_finds_an_item_does_not_starve_his_loop(implementation: SimpleNamespace, run: Run, way: str) -> None:
    queue = implementation.Queue()

    async def once() -> None:
        queue.put_nowait(1)
        await BUSY[way](queue.aio)

    run(lambda: starves_nobody(once))


def test_who_always_finds_room_does_not_starve_his_loop(implementation: SimpleNamespace, run: Run) -> None:
    queue = implementation.Queue()

    async def once() -> None:
        await queue.aio.put(1)
        queue.clear()

    run(lambda: starves_nobody(once))


def test_what_does_not_wait_rouses_who_waits_in_its_loop_in_the_same_turn(make: Callable[..., Any], loop: Any) -> None:
    queue = make(1)
    face = queue.aio

    async def main() -> None:
        got = asyncio.create_task(face.get())
        await waiters(queue, getters=1)
        face.put_nowait("first")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert got.done()
        face.put_nowait("second")
        put = asyncio.create_task(face.put("third"))
        await waiters(queue, putters=1)
        assert face.get_nowait() == "second"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert put.done()
        joined = asyncio.create_task(face.join())
        steps_of_join = 3  # it has nothing else to wait for
        for _ in range(steps_of_join):
            await asyncio.sleep(0)
        assert face.get_nowait() == "third"
        face.task_done(count=2)
        face.task_done()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert joined.done()

    loop.run_until_complete(main())


def test_the_last_task_of_a_queue_with_hooks_rouses_who_joins_in_the_same_turn(
    implementation: SimpleNamespace, loop: Any
) -> None:
    queue = with_hooks(implementation.Queue)()
    face = queue.aio

    async def main() -> None:
        face.put_nowait(1)
        joined = asyncio.create_task(face.join())
        for _ in range(3):
            await asyncio.sleep(0)
        assert face.get_nowait() == 1
        face.task_done()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert joined.done()

    loop.run_until_complete(main())


def test_a_queues_own_task_done_is_called(implementation: SimpleNamespace, loop: Any) -> None:
    class Own(implementation.Queue):  # type: ignore[misc, name-defined]
        def task_done(self, count: int = 1) -> None:
            called.append(count)
            super().task_done(count)

    called: list[Any] = []
    queue = Own()
    queue.put_many([1, 2, 3])
    assert [queue.aio.get_nowait() for _ in range(3)] == [1, 2, 3]
    queue.aio.task_done()
    assert called == [1]
    queue.task_done = called.append
    queue.aio.task_done("hidden")
    del queue.task_done
    queue.aio.task_done(2)
    assert called == [1, "hidden", 2]
    for bad in (0, -1):
        with pytest.raises(ValueError, match="count"):
            queue.aio.task_done(bad)
    for bad in (("a",), (), (1, 2)):
        with pytest.raises(TypeError):
            queue.aio.get_nowait(*bad, nothing=1)
    with pytest.raises(TypeError):
        queue.aio.put_nowait()
    with pytest.raises(TypeError):
        queue.aio.put_nowait(1, 2)
    queue.aio.put_nowait(item="named")
    assert queue.aio.get_nowait() == "named"


# -- what get and put return -----------------------------------------------------------------------------------------


def test_all_of_asyncio_takes_what_get_returns(make: Callable[..., Any], loop: Any) -> None:
    queue = make()
    face = queue.aio

    async def main() -> None:
        assert asyncio.iscoroutine(closed(face.get()))
        for number in range(8):
            queue.put(number)
        assert await asyncio.wait_for(face.get(), 5) is not None
        async with asyncio.timeout(5):
            await face.get()
        async with asyncio.TaskGroup() as group:
            one, two = group.create_task(face.get()), group.create_task(face.get(), name="named")
        assert {one.done(), two.done()} == {True}
        await asyncio.gather(face.get(), face.get())
        await asyncio.shield(face.get())
        await asyncio.ensure_future(face.get())
        task = asyncio.create_task(face.get())
        await waiters(queue, getters=1)
        assert "pending" in repr(task)
        assert task.get_stack() is not None
        task.print_stack(file=io.StringIO())
        done, pending = await asyncio.wait([task], timeout=0.001)
        assert (done, pending) == (set(), {task})
        await face.put("end")
        assert await task == "end"
        for waiting in asyncio.as_completed([face.put("a"), face.put("b")]):
            await waiting

    loop.run_until_complete(main())
    assert asyncio.run(face.get()) in "ab"
    assert loop.run_until_complete(face.get()) in "ab"


def closed(coroutine: Any) -> Any:
    coroutine.close()
    return coroutine


def test_trio_and_anyio_take_get_as_a_function(make: Callable[..., Any], run: Run) -> None:
    queue = make()
    queue.put_many([1, 2])

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.get)
            group.start_soon(queue.aio.get)
            group.start_soon(queue.aio.get)
            await waiters(queue, getters=1)
            group.start_soon(queue.aio.put, 3)

    run(main)
    assert queue.empty()
    queue.put("item")
    if run.__name__ in ("run", "on_anyio", "on_anyio_with_trio"):
        assert run(queue.aio.get) == "item"


def test_a_get_that_nobody_awaits_does_nothing_and_warns(implementation: SimpleNamespace) -> None:
    queue = implementation.Queue()
    queue.put("item")
    for make_one in (queue.aio.get, lambda: queue.aio.put(1), lambda: queue.aio.get(5)):
        with pytest.warns(RuntimeWarning, match="was never awaited"):  # noqa: PT031
            make_one()
            gc.collect()
    assert queue.get_nowait() == "item"
    assert queue.empty()


def test_a_warning_that_is_an_error_goes_the_way_of_errors_in_destructors(implementation: SimpleNamespace) -> None:
    queue = implementation.Queue()
    caught: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, caught.append
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            queue.aio.put("item")
            gc.collect()
    finally:
        sys.unraisablehook = hook
    assert [event.exc_type for event in caught] == [RuntimeWarning]


@pytest.mark.parametrize("waits", [False, True])
def test_to_await_twice_is_an_error(implementation: SimpleNamespace, loop: Any, waits: bool) -> None:
    queue = implementation.Queue()

    async def main() -> None:
        for one in (queue.aio.get(), queue.aio.put(5)):
            task = asyncio.create_task(one)
            if waits:
                await asyncio.sleep(0)
            queue.put_nowait("item")
            await task
            with pytest.raises(RuntimeError, match=r"cannot reuse already awaited"):
                await one
        # Two at a time.
        while not queue.empty():
            queue.get_nowait()
        one = queue.aio.get()
        task = asyncio.create_task(one)
        await waiters(queue, getters=1)
        with pytest.raises(RuntimeError, match="being awaited already"):
            await one
        queue.put("item")
        assert await task == "item"

    loop.run_until_complete(main())


def test_get_has_the_protocol_of_coroutines(implementation: SimpleNamespace, loop: Any) -> None:
    queue = implementation.Queue()
    queue.put("item")
    # Thrown into before it began, or closed: it has done nothing.
    one = queue.aio.get()
    with pytest.raises(ZeroDivisionError):
        one.throw(ZeroDivisionError())
    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        one.send(None)
    one = queue.aio.get()
    one.close()
    one.close()
    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        one.send(None)
    one = queue.aio.get()
    with pytest.raises(TypeError, match="can't send non-None value"):
        one.send(1)
    assert queue.qsize() == 1
    one.close()

    async def main() -> None:
        one = queue.aio.get()
        with pytest.raises(StopIteration) as stop:  # noqa: PT012
            while True:
                one.send(None)
        assert stop.value.value == "item"
        # Thrown into, or closed, while it waits: the same.
        for end in ("throw", "close"):
            one = queue.aio.get()
            future = one.send(None)
            assert queue.stats().getters_blocked == 1
            if end == "throw":
                with pytest.raises(ZeroDivisionError):
                    one.throw(ZeroDivisionError)
            else:
                one.close()
            assert queue.stats().getters_blocked == 0
            del future
        # And gone without a word.
        one = queue.aio.get()
        one.send(None)
        del one
        gc.collect()
        assert queue.stats().getters_blocked == 0
        assert not here().posts

    loop.run_until_complete(main())


@pytest.mark.parametrize("result", [None, (1, 2), StopIteration(3), ValueError("no"), ()])
def test_whatever_the_item_is_await_returns_it(implementation: SimpleNamespace, loop: Any, result: Any) -> None:
    queue = implementation.Queue()

    async def main() -> None:
        for _ in range(3):
            queue.put(result)
            assert await queue.aio.get() is result
            task = asyncio.create_task(queue.aio.get())
            await waiters(queue, getters=1)
            queue.put(result)
            assert await task is result
            queue.put(result)
            assert await anext(aiter(queue.aio)) is result
            queue.put(result)
            assert last_word(queue.aio.get()).value is result
            queue.put(result)
            assert await asyncio.create_task(queue.aio.get()) is result

    if isinstance(result, StopIteration):
        return  # a task cannot have it as its result
    loop.run_until_complete(main())


def test_exceptions_that_a_get_raises_are_not_shared(implementation: SimpleNamespace) -> None:
    queue = implementation.Queue()
    queue.put_many(["a", "b", "c"])

    async def main() -> None:
        stops = [last_word(queue.aio.get()) for _ in range(3)]
        assert [stop.value for stop in stops] == ["a", "b", "c"]
        assert len(set(map(id, stops))) == 3

    asyncio.run(main())


def last_word(awaitable: Any) -> StopIteration:
    """What it ends with, stepped by hand."""
    iterator = awaitable.__await__()
    with pytest.raises(StopIteration) as stop:  # noqa: PT012
        while True:
            next(iterator)
    return stop.value


# -- threads and loops -----------------------------------------------------------------------------------------------


def test_threads_and_a_loop_share_a_queue(make: Callable[..., Any], run: Run) -> None:
    queue = make(10)
    count = scaled(2000)

    async def main() -> Counter[int]:
        threads = calls(2, put_all)
        seen = Counter([await in_time(queue.aio.get()) for _ in range(2 * count)])
        for thread in threads:
            thread.result()
        return seen

    def put_all() -> None:
        for number in range(count):
            queue.put(number)

    assert run(main) == Counter([*range(count)] * 2)
    assert queue.stats().getters_blocked == queue.stats().putters_blocked == 0


def test_a_loop_gives_to_threads(make: Callable[..., Any], run: Run) -> None:
    queue = make(10)
    count = scaled(2000)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(put_all)
        queue.aio.shutdown()

    async def put_all() -> None:
        for number in range(count):
            await in_time(queue.aio.put(number))

    threads = calls(2, lambda: list(queue))
    run(main)
    assert Counter(item for thread in threads for item in thread.result()) == Counter([*range(count)] * 2)


@pytest.mark.parametrize("maxsize", [0, 1, 7])
def test_several_loops_and_threads_share_a_queue_and_every_item_is_counted(
    implementation: SimpleNamespace, maxsize: int
) -> None:
    queue = implementation.Queue(maxsize)
    count = scaled(600)

    async def consume(seen: list[int]) -> None:
        async for item in queue.aio:
            seen.append(item)
            queue.aio.task_done()

    async def produce(base: int) -> None:
        for number in range(count):
            await queue.aio.put(base + number)
            if number % 50 == 0:
                await asyncio.sleep(0)

    def produce_here(base: int) -> None:
        for number in range(count):
            queue.put(base + number)

    def consume_here() -> list[int]:
        return [(item, queue.task_done())[0] for item in queue]

    with Loop("asyncio") as one, Loop("uvloop") as two, Loop("asyncio") as three:
        lists: list[list[int]] = [[] for _ in range(6)]
        consumers = [(one, two, three)[n % 3].start(consume(seen)) for n, seen in enumerate(lists)]
        producers = [each.start(produce(n * count)) for n, each in enumerate((one, two, three))]
        threads = [Call(produce_here, (3 + n) * count) for n in range(2)]
        taker = Call(consume_here)
        for producer in producers:
            producer.result(60)
        for thread in threads:
            thread.result(60)
        Call(queue.join).result(60)
        queue.shutdown()
        for consumer in consumers:
            consumer.result(60)
        seen = sorted(sum(lists, taker.result()))
    assert seen == list(range(5 * count))
    stats = queue.stats()
    assert (stats.getters_blocked, stats.putters_blocked, stats.unfinished) == (0, 0, 0)


def test_trio_and_asyncio_share_a_queue(implementation: SimpleNamespace) -> None:
    import trio

    queue = implementation.Queue(3)
    count = scaled(1000)

    async def put_all() -> None:
        for number in range(count):
            await queue.aio.put(number)

    async def take_all() -> list[int]:
        return [await queue.aio.get() for _ in range(count)]

    with Loop() as other:
        producer = other.start(put_all())
        assert Call(trio.run, take_all).result(60) == list(range(count))
        producer.result()
        taker = other.start(take_all())
        Call(trio.run, put_all).result(60)
        assert taker.result(60) == list(range(count))


def test_a_coroutine_and_a_thread_answer_each_other(implementation: SimpleNamespace, run: Run) -> None:
    there, back = implementation.Queue(), implementation.Queue()
    rounds = scaled(300)

    def echo() -> None:
        for item in there:
            back.put(item + 1)

    async def main() -> None:
        thread = Call(echo)
        for number in range(rounds):
            await there.aio.put(number)
            assert await in_time(back.aio.get()) == number + 1
        there.shutdown()
        thread.result()

    run(main)


def test_many_waiting_coroutines_are_all_woken(implementation: SimpleNamespace, loop: Any) -> None:
    queue = implementation.Queue()
    count = scaled(5000)

    async def main() -> list[int]:
        tasks = [asyncio.create_task(queue.aio.get()) for _ in range(count)]
        await waiters(queue, getters=count)
        Call(queue.put_many, list(range(count)))
        return await in_time(asyncio.gather(*tasks))

    assert loop.run_until_complete(main()) == list(range(count))


def test_many_waiting_coroutines_may_all_be_woken_in_vain(implementation: SimpleNamespace, loop: Any) -> None:
    queue = implementation.Queue(1)
    queue.put(-1)
    count = scaled(5000)

    async def main() -> None:
        tasks = [asyncio.create_task(queue.aio.put(number)) for number in range(count)]
        await waiters(queue, putters=count)
        begin = time.monotonic()
        for _ in range(3):
            queue.maxsize = 1  # all look
            await asyncio.sleep(0.001)
            await waiters(queue, putters=count)
        assert time.monotonic() - begin < 10
        queue.maxsize = 0
        await in_time(asyncio.gather(*tasks))

    loop.run_until_complete(main())
    assert queue.get_many(count + 1) == list(range(-1, count))


# -- loops that end --------------------------------------------------------------------------------------------------


def forget(tasks: list[Any]) -> None:
    """Their loop has ended: that they are pending is meant."""
    for task in tasks:
        task._log_destroy_pending = False


@pytest.mark.parametrize("ends", ["closed", "stopped"])
@pytest.mark.parametrize("turns", range(6))
def test_a_loop_that_ends_with_getters_keeps_no_item_from_others(
    implementation: SimpleNamespace, loop: Any, ends: str, turns: int
) -> None:
    """It ends so many turns after an item was put."""
    queue = implementation.Queue()
    tasks = [loop.create_task(queue.aio.get()) for _ in range(3)]
    steps(loop, 3)
    assert queue.stats().getters_blocked == 3
    with Loop() as other:
        waiting = other.start(queue.aio.get())
        thread = Call(queue.get)
        while queue.stats().getters_blocked != 5:
            time.sleep(0.001)
        queue.put("first")
        steps(loop, turns)
        forget(tasks)
        if ends == "closed":
            loop.close()
        queue.put_many(["second", "third", "fourth", "fifth"])
        taken = [waiting.result(PATIENCE), thread.result()]
        taken += [task.result() for task in tasks if task.done()]
        rest = [queue.get(timeout=PATIENCE) for _ in range(5 - len(taken))]
        assert Counter(taken + rest) == Counter(["first", "second", "third", "fourth", "fifth"])
        assert len(taken) <= 3
        # And it goes on being so.
        for number in range(20):
            waiting = other.start(queue.aio.get())
            queue.put(number)
            assert waiting.result(PATIENCE) == number


@pytest.mark.parametrize("ends", ["closed", "stopped"])
@pytest.mark.parametrize("turns", range(6))
def test_a_loop_that_ends_with_putters_keeps_no_room_from_others(
    implementation: SimpleNamespace, loop: Any, ends: str, turns: int
) -> None:
    queue = implementation.Queue(1)
    queue.put("first")
    tasks = [loop.create_task(queue.aio.put("theirs")) for _ in range(2)]
    steps(loop, 3)
    with Loop() as other:
        waiting = other.start(queue.aio.put("other loop's"))
        thread = Call(queue.put, "thread's")
        while queue.stats().putters_blocked != 4:
            time.sleep(0.001)
        assert queue.get() == "first"
        steps(loop, turns)
        forget(tasks)
        if ends == "closed":
            loop.close()
        taken = [queue.get(timeout=PATIENCE) for _ in range(2)]
        done = sum(task.done() for task in tasks)
        taken += [queue.get(timeout=PATIENCE) for _ in range(done)]
        waiting.result(PATIENCE)
        thread.result()
        assert Counter(taken) == Counter(["other loop's", "thread's", *["theirs"] * done])


def test_a_loop_that_stood_still_goes_on(implementation: SimpleNamespace, loop: Any) -> None:
    queue = implementation.Queue()
    tasks = [loop.create_task(queue.aio.get()) for _ in range(3)]
    steps(loop, 3)
    queue.put_many(["a", "b"])
    assert queue.get() == "a"
    assert loop.run_until_complete(asyncio.wait_for(tasks[0], PATIENCE)) == "b"
    steps(loop, 5)
    queue.put("c")
    assert loop.run_until_complete(asyncio.wait_for(tasks[1], PATIENCE)) == "c"


@pytest.mark.parametrize("turns", range(6))
def test_a_loop_that_crashes_leaves_the_queue_whole(implementation: SimpleNamespace, loop: Any, turns: int) -> None:
    queue = implementation.Queue()

    def crash() -> None:
        raise SystemExit

    tasks = [loop.create_task(queue.aio.get()) for _ in range(2)]
    steps(loop, 3)
    queue.put("item")
    steps(loop, turns)
    loop.call_soon(crash)
    with pytest.raises(SystemExit):
        loop.run_forever()
    forget(tasks)
    taken = [task.result() for task in tasks if task.done()] or [queue.get(timeout=PATIENCE)]
    assert taken == ["item"]


def test_a_closed_loop_with_waiters_is_forgotten(implementation: SimpleNamespace, loop: Any) -> None:
    queue = implementation.Queue()
    before = open_descriptors()
    own = new_loop("uvloop" if "uvloop" in type(loop).__module__ else "asyncio")
    tasks = [own.create_task(queue.aio.get()) for _ in range(3)]
    steps(own, 3)
    forget(tasks)
    own.close()
    gone = weakref.ref(own)
    del own, tasks
    gc.collect()
    assert gone() is None
    assert open_descriptors() <= before
    assert queue.stats().getters_blocked == 0
    queue.put("item")
    assert queue.get_nowait() == "item"


# -- signals, destructors, forks -------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_a_signal_handler_puts_while_the_loop_waits(implementation: SimpleNamespace, run: Run) -> None:
    queue = implementation.Queue()
    before = signal.signal(signal.SIGALRM, lambda number, frame: queue.put("signal"))
    try:

        async def main() -> None:
            for _ in range(10):
                signal.setitimer(signal.ITIMER_REAL, 0.002)
                assert await in_time(queue.aio.get()) == "signal"

        run(main)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_signal_handlers_put_while_the_loop_works(implementation: SimpleNamespace) -> None:
    queue = implementation.Queue()
    put = taken = 0

    def handler(number: int, frame: object) -> None:
        nonlocal put
        put += 1
        queue.aio.put_nowait("signal")

    async def main() -> None:
        nonlocal taken
        while put < 200:
            # Now it waits, now it finds one.
            await in_time(queue.aio.get())
            taken += 1

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        asyncio.run(main())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert taken + queue.qsize() == put


class Last:
    """Puts into a queue when it is no more."""

    def __init__(self, put: Callable[[object], object]) -> None:
        self.put = put
        self.me = self

    def __del__(self) -> None:
        self.put("last words")


def test_destructors_put_while_a_loop_waits(make: Callable[..., Any], run: Run) -> None:
    queue = make()

    async def main() -> None:
        for _ in range(20):
            async with anyio.create_task_group() as group:
                group.start_soon(take)
                await waiters(queue, getters=1)
                Last(queue.put)
                Last(queue.aio.put_nowait).me = None
                gc.collect()
            assert queue.aio.get_nowait() == "last words"

    async def take() -> None:
        assert await in_time(queue.aio.get()) == "last words"

    gc.freeze()  # the collector need not look at what other tests have left
    try:
        run(main)
    finally:
        gc.unfreeze()


def test_destructors_put_at_every_allocation_of_a_waiting_loop(implementation: SimpleNamespace, loop: Any) -> None:
    """The collector runs at nearly every allocation, also within the hub's and the posts' own code."""
    queue, other = implementation.Queue(), implementation.Queue()
    rounds = scaled(300)

    async def collect() -> None:
        """What has survived some collections is seldom looked at, and in a loop that sleeps never."""
        while True:
            await asyncio.sleep(0.01)
            gc.collect()

    async def main() -> None:
        threshold = gc.get_threshold()
        gc.set_threshold(1)
        collector = asyncio.create_task(collect())
        try:
            tasks = [asyncio.create_task(other.aio.get()) for _ in range(3)]
            for _ in range(rounds):
                Last(queue.aio.put_nowait)
                Last(other.put)
                assert await in_time(queue.aio.get()) == "last words"
            gc.collect()
            await in_time(asyncio.gather(*tasks))
        finally:
            collector.cancel()
            gc.set_threshold(*threshold)

    gc.collect()
    gc.freeze()
    try:
        loop.run_until_complete(main())
    finally:
        gc.unfreeze()
    gc.collect()
    assert queue.stats().put_total == rounds
    assert other.stats().put_total == rounds


def forked(kind: str) -> None:
    import asyncio
    import gc
    import os
    import sys
    import warnings

    import headrace
    from aio_support import new_loop, steps
    from forking import run_forked
    from headrace.aio.hub import here

    warnings.simplefilter("ignore", DeprecationWarning)
    queue = headrace.Queue(2)
    full = headrace.Queue(1)
    full.put("full")
    loop = new_loop(kind)
    hubs = []

    async def begin() -> list[asyncio.Task]:
        hubs.append(here())
        return [asyncio.create_task(queue.aio.get()) for _ in range(3)] + [asyncio.create_task(full.aio.put("more"))]

    tasks = loop.run_until_complete(begin())
    steps(loop, 3)

    def child() -> None:
        # Nobody of the parent's waits here.
        queue.put("child's")
        assert queue.get() == "child's"
        full.get()
        full.put("again")
        # And a loop of the child's own serves it.
        own = asyncio.new_event_loop()

        async def main() -> None:
            assert here() is not hubs[0]
            task = asyncio.create_task(queue.aio.get())
            await asyncio.sleep(0.01)
            assert not task.done()
            queue.put("item")
            assert await asyncio.wait_for(task, 10) == "item"
            # Those of the parent's, let go of.
            for each in tasks:
                each._log_destroy_pending = False
            tasks.clear()
            gc.collect()
            queue.put_nowait("more")
            assert await asyncio.wait_for(queue.aio.get(), 10) == "more"

        own.run_until_complete(main())
        queue.shutdown()
        queue.stats()

    def child_with_the_same_loop_object() -> None:
        # As a child that goes on with what it was: the coroutine that forked is the child's own now.
        for each in tasks:
            each._log_destroy_pending = False
            each.get_coro().close()
        queue.put("x")
        assert queue.get() == "x"

    reader = hubs[0].bell.reader
    run_forked(child)
    run_forked(child_with_the_same_loop_object)
    try:
        woken = os.read(reader, 8)
    except BlockingIOError:
        woken = b""
    assert not woken, "a child woke the parent's loop"
    queue.put_many(["a", "b"])
    full.get()
    loop.run_until_complete(asyncio.wait_for(asyncio.gather(tasks[0], tasks[1], tasks[3]), 10))
    assert [tasks[0].result(), tasks[1].result()] == ["a", "b"]
    tasks[2].cancel()
    steps(loop, 3)
    loop.close()
    sys.stdout.write("the parent is whole\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_child_that_is_forked_while_loops_wait_hangs_nowhere_and_wakes_no_loop_of_the_parent(
    child: Child, kind: str
) -> None:
    assert "the parent is whole" in child.run(forked, kind)


# -- bursts ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="counts what is written to an eventfd")
@pytest.mark.parametrize("way", ["one by one", "put_many", "shutdown", "many queues"])
def test_a_burst_of_wake_ups_rings_once(implementation: SimpleNamespace, loop: Any, way: str) -> None:
    queues = [implementation.Queue() for _ in range(50)]

    async def main() -> None:
        tasks = [asyncio.create_task(queue.aio.get()) for queue in queues for _ in range(3)]
        for queue in queues:
            await waiters(queue, getters=3)
        await asyncio.sleep(0.001)
        reader = here().bell.reader
        with pytest.raises(BlockingIOError):
            os.read(reader, 8)

        def burst() -> None:
            if way == "one by one":
                for number in range(100):
                    queues[0].put(number)
            elif way == "put_many":
                queues[0].put_many(range(100))
            elif way == "shutdown":
                queues[0].shutdown()
            else:
                for queue in queues:
                    queue.put_many(range(3))

        Call(burst).result()  # the loop stands still meanwhile
        rings = int.from_bytes(os.read(reader, 8), sys.byteorder)
        assert rings == 1
        os.eventfd_write(reader, 1)
        for queue in queues:
            queue.shutdown()
        await in_time(asyncio.gather(*tasks, return_exceptions=True))

    loop.run_until_complete(main())


def test_a_loop_that_watches_no_descriptors_is_called(implementation: SimpleNamespace) -> None:
    """As on Windows, where loops wait for completions."""

    class Blind(asyncio.SelectorEventLoop):
        threadsafe_calls = 0

        def add_reader(self, *arguments: object) -> None:
            raise NotImplementedError

        def call_soon_threadsafe(self, *arguments: Any, **named: Any) -> Any:
            self.threadsafe_calls += 1
            return super().call_soon_threadsafe(*arguments, **named)

    queue = implementation.Queue()
    count = scaled(500)

    async def main(loop: Blind) -> None:
        tasks = [asyncio.create_task(queue.aio.get()) for _ in range(5)]
        await waiters(queue, getters=5)
        before = loop.threadsafe_calls
        Call(queue.put_many, list(range(5))).result()
        assert loop.threadsafe_calls - before == 1
        assert await in_time(asyncio.gather(*tasks)) == list(range(5))
        thread = Call(lambda: [queue.put(number) for number in range(count)])
        assert [await in_time(queue.aio.get()) for _ in range(count)] == list(range(count))
        thread.result()
        with pytest.raises(aio.QueueEmpty):
            await queue.aio.get(0.01)

    with asyncio.Runner(loop_factory=Blind) as runner:
        blind = runner.get_loop()
        runner.run(main(blind))
        # In asyncio.run the loop is closed with nobody waiting; here somebody does.
        task = blind.create_task(queue.aio.get())
        steps(blind, 3)
        forget([task])
    queue.put("item")
    assert queue.get(timeout=PATIENCE) == "item"


# -- nothing is left behind ------------------------------------------------------------------------------------------


def test_nothing_is_left_when_all_have_got(make: Callable[..., Any], run: Run) -> None:
    queue = make(2)

    async def main() -> None:
        hub = here()
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(queue.aio.get)
                group.start_soon(queue.aio.put, number)
                group.start_soon(queue.aio.join)
            taken = []
            with anyio.move_on_after(0.01):
                taken.append(await queue.aio.get())
            if taken:
                await queue.aio.put(1)
            await until(lambda: queue.stats().get_total == 20 + len(taken))
            queue.task_done(20 + len(taken))
        assert not hub.posts

    gc.collect()
    before = leftovers()
    run(main)
    assert leftovers() <= before


def test_a_queue_that_coroutines_waited_for_is_let_go_of(make: Callable[..., Any], run: Run) -> None:
    def use() -> Any:
        queue = make()

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(queue.aio.get)
                await waiters(queue, getters=1)
                await queue.aio.put(1)

        run(main)
        return weakref.ref(queue)

    gone = use()
    gc.collect()
    assert gone() is None


def leftovers() -> Counter[str]:
    """How many objects of ours there are that waits are made of."""
    from headrace.aio.hub import Bell, Hub
    from headrace.aio.post import Post

    gc.collect()
    kinds = (Post, Hub, Bell)
    return Counter(kind.__name__ for each in gc.get_objects() for kind in kinds if isinstance(each, kind))


def test_runs_one_after_another_leave_no_descriptors(make: Callable[..., Any], run: Run) -> None:
    queue = make()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.get)
            await waiters(queue, getters=1)
            await queue.aio.put(1)

    run(main)
    before = open_descriptors()
    for _ in range(20):
        run(main)
    assert open_descriptors() <= before


def test_threads_with_loops_leave_no_descriptors(implementation: SimpleNamespace) -> None:
    queue = implementation.Queue()

    async def main() -> None:
        task = asyncio.create_task(queue.aio.get())
        await asyncio.sleep(0)
        queue.put(1)
        await task

    gc.collect()
    before = open_descriptors()
    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    asyncio.run(main())
    assert open_descriptors() <= before


def test_waits_leak_neither_memory_nor_references(implementation: SimpleNamespace, loop: Any) -> None:
    queue = implementation.Queue(1)
    token = object()

    async def rounds(count: int) -> None:
        for _ in range(count):
            task = asyncio.create_task(queue.aio.get())
            await asyncio.sleep(0)
            await queue.aio.put(token)
            assert await task is token
            cancelled = asyncio.create_task(queue.aio.get())
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            with pytest.raises(aio.QueueEmpty):
                await queue.aio.get(0)
            await queue.aio.put(token)
            with pytest.raises(aio.QueueFull):
                await queue.aio.put(token, 0)
            late = asyncio.create_task(queue.aio.put(token))
            await asyncio.sleep(0)
            late.cancel()
            await asyncio.wait([late])
            assert await queue.aio.get() is token
            queue.aio.task_done(2)
            await queue.aio.join()

    loop.run_until_complete(rounds(200))
    gc.collect()
    references, blocks = sys.getrefcount(token), sys.getallocatedblocks()
    loop.run_until_complete(rounds(scaled(1000)))
    gc.collect()
    assert sys.getrefcount(token) == references
    assert sys.getallocatedblocks() - blocks < scaled(1000) / 2
    assert asyncio.all_tasks(loop) == set()


# -- the face itself -------------------------------------------------------------------------------------------------


def test_faces_of_a_queue_are_equal_and_of_two_are_not(make: Callable[..., Any]) -> None:
    one, two = make(), make()
    assert one.aio == one.aio
    assert hash(one.aio) == hash(one.aio)
    assert one.aio != two.aio
    assert one.aio.sync is one
    assert repr(one) in repr(one.aio)
    assert weakref.ref(face := one.aio)() is face
    with pytest.raises(TypeError, match="'in' would take the items out"):
        1 in one.aio  # noqa: B015


def test_queues_for_programs_without_threads(run: Run) -> None:
    async def main() -> None:
        for cls, order in ((aio.Queue, [2, 1]), (aio.LifoQueue, [1, 2]), (aio.PriorityQueue, [1, 2])):
            queue: Any = cls(maxsize=2)
            assert isinstance(queue, headrace.AsyncQueue)
            assert queue.maxsize == 2
            await queue.put(2)
            await queue.put(1)
            assert queue.full()
            assert [await queue.get(), await queue.get()] == order
            assert queue.sync.stats().unfinished == 2
            assert cls[int].__args__ == (int,)

    assert headrace.AsyncQueue is aio.AsyncQueue is aio.Queue
    run(main)


def test_subclasses_of_the_face_have_its_methods(run: Run) -> None:
    class Doubling(headrace.AsyncQueue):  # type: ignore[type-arg]
        async def put(self, item: Any, timeout: float | None = None, **more: Any) -> None:
            await super().put(item * 2, timeout, **more)

    async def main() -> None:
        queue = Doubling(3)
        await queue.put(2)
        assert await queue.get() == 4
        with pytest.raises(aio.QueueEmpty):
            await queue.get(0)
        queue.shutdown()
        async for _ in queue:
            raise AssertionError

    run(main)


def test_subclasses_of_queues_are_heard(implementation: SimpleNamespace, run: Run) -> None:
    class Loud(implementation.Queue):  # type: ignore[misc, name-defined]
        def _put(self, item: Any) -> None:
            super()._put(item + "!")

    class Own(implementation.Queue):  # type: ignore[misc, name-defined]
        def get(self, *arguments: Any, **named: Any) -> Any:
            return super().get(*arguments, **named).upper()

    async def main() -> None:
        for queue, expected in ((Loud(1), "a!"), (Own(1), "A")):
            assert await through(queue) == expected
            await queue.aio.put("a")
            assert await queue.aio.get(1) == expected

    async def through(queue: Any) -> Any:
        taken = []

        async def take() -> None:
            taken.append(await in_time(queue.aio.get()))

        async with anyio.create_task_group() as group:
            group.start_soon(take)
            await waiters(queue, getters=1)
            await queue.aio.put("a")
        return taken[0]

    run(main)


def test_a_queue_that_is_opened_while_coroutines_wait_serves_them(implementation: SimpleNamespace, run: Run) -> None:
    """Whoever asks for the mutex of a queue has it run in Python from then on."""
    queue, full = implementation.Queue(), implementation.Queue(1)
    full.put(0)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(queue.aio.get)
                group.start_soon(full.aio.put, 1)
            await waiters(queue, getters=3)
            await waiters(full, putters=3)
            assert queue.mutex is not None
            assert full.mutex is not None
            await waiters(queue, getters=3)
            await waiters(full, putters=3)
            for number in range(3):
                queue.put(number)
                await in_time(full.aio.get())
        assert not here().posts

    run(main)


@pytest.mark.parametrize("where", ["_qsize", "_get"])
def test_a_hook_that_raises_reaches_its_caller_and_no_other(
    implementation: SimpleNamespace, run: Run, where: str
) -> None:
    """The waits before other queues of the same loop go on, and this queue's too, when the hook has calmed down."""
    fails = False

    def hook(self: Any) -> Any:
        if fails:
            raise ZeroDivisionError
        return getattr(implementation.Queue, where)(self)

    failing = type("Failing", (implementation.Queue,), {where: hook})()
    sound = implementation.Queue()
    ends: list[str] = []

    async def take(queue: Any) -> None:
        try:
            ends.append(await in_time(queue.aio.get()))
        except ZeroDivisionError:
            ends.append("failed")

    async def main() -> None:
        nonlocal fails
        async with anyio.create_task_group() as group:
            group.start_soon(take, failing)
            group.start_soon(take, sound)
            await waiters(failing, getters=1)
            await waiters(sound, getters=1)
            failing.put("first")
            sound.put("sound")
            fails = True
            await until(lambda: len(ends) == 2)
            fails = False
            assert sorted(ends) == ["failed", "sound"]
            group.start_soon(take, failing)
            await until(lambda: "first" in ends)
        assert not here().posts

    run(main)


def test_an_interrupt_of_a_put_of_many_says_how_many_are_in(make: Callable[..., Any], loop: Any) -> None:
    queue = make(3)

    async def main() -> None:
        task = asyncio.create_task(counted())
        await waiters(queue, putters=1)
        task.cancel()
        assert await task == 3
        assert queue.qsize() == 3
        assert len(queue.get_many(2)) == 2
        task = asyncio.create_task(counted())
        await waiters(queue, putters=1)
        queue.shutdown()
        assert await task == 2

    async def counted() -> int:
        try:
            await queue.aio.put_many(list(range(10)))
        except (asyncio.CancelledError, aio.QueueShutDown) as error:
            count: int = error.put_count  # type: ignore[union-attr]
            return count
        raise AssertionError

    loop.run_until_complete(main())


def test_a_put_of_many_draws_from_an_iterator_as_room_is_found(make: Callable[..., Any], run: Run) -> None:
    queue = make(2)
    drawn: list[int] = []

    def endless() -> Iterator[int]:
        for number in itertools.count():
            drawn.append(number)
            yield number

    async def main() -> None:
        with pytest.raises(aio.QueueFull) as full:
            await queue.aio.put_many(endless(), timeout=0.001)
        assert drawn == [0, 1, 2]
        assert (full.value.put_count, full.value.pending) == (2, (2,))

    run(main)


def test_a_put_of_very_many_says_how_many_are_in(implementation: SimpleNamespace, run: Run) -> None:
    queue = implementation.Queue(2500)

    async def main() -> None:
        await queue.aio.put_many(list(range(1200)))
        with pytest.raises(aio.QueueFull) as full:
            await queue.aio.put_many(range(9999), timeout=0)
        assert full.value.put_count == 1300
        with pytest.raises(aio.QueueFull) as full:
            await queue.aio.put_many(tuple(range(9999)), timeout=0)
        assert full.value.put_count == 0
        queue.maxsize = 0
        await queue.aio.put_many(list(range(2500, 10000)))
        assert await queue.aio.get_many(99_999) == [*range(1200), *range(1300), *range(2500, 10000)]

    run(main)


def test_a_put_of_many_goes_in_as_room_is_found(make: Callable[..., Any], run: Run) -> None:
    queue = make(3)

    async def main() -> list[int]:
        taken: list[int] = []
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aio.put_many, list(range(100)))
            group.start_soon(queue.aio.put_many, iter(range(100, 200)))
            while len(taken) < 200:
                taken += await in_time(queue.aio.get_many(2))
        return taken

    taken = run(main)
    assert sorted(taken) == list(range(200))
    if "LIFO" not in repr(make) and make.__name__ == "Queue":
        assert [item for item in taken if item < 100] == list(range(100))
