"""``aio.map`` is lazy and bounded, raises a failure at its place, and leaves no task behind however it is left."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import random
import subprocess
import sys
import threading
import weakref
from contextlib import asynccontextmanager
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio

import headrace
from aio_support import Loop, until
from aio_support import run as run  # noqa: PLC0414 - a fixture
from conftest import scaled
from headrace import aio
from headrace.aio.hub import here
from headrace.aio.map import map as aio_map
from interrupts import interrupted_at_a_random_moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from headrace.aio.map_iterator import AsyncMapIterator

    Run = Callable[[Callable[[], Awaitable[None]]], None]

both = pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "unordered"])


async def same(item: Any) -> Any:
    return item


async def later(item: Any) -> Any:
    for _ in range(random.randrange(5)):
        await anyio.sleep(0)
    return item


async def forever(item: Any) -> Any:
    await anyio.sleep_forever()


def refuse(*bad: int) -> Callable[[int], Awaitable[int]]:
    async def function(item: int) -> int:
        await anyio.sleep(0)
        if item in bad:
            raise ValueError(f"bad item {item}")
        return item

    return function


class Source:
    """Yields numbers, in one of two ways, and knows how many it has yielded and whether it was closed."""

    def __init__(self, end: int = 10**12) -> None:
        self.end = end
        self.read = 0
        self.closed = 0

    def plain(self) -> Iterator[int]:
        try:
            for item in range(self.end):
                self.read = item + 1
                yield item
        finally:
            self.closed += 1

    async def asynchronous(self) -> AsyncIterator[int]:
        try:
            for item in range(self.end):
                self.read = item + 1
                yield item
                if item % 3 == 0:
                    await anyio.sleep(0)
        finally:
            self.closed += 1


either = pytest.mark.parametrize("way", ["plain", "asynchronous"])


def tasks_now() -> int:
    """How many tasks the loop has that runs here."""
    here()  # which has a task in trio
    try:
        return trio.lowlevel.current_statistics().tasks_living
    except RuntimeError:
        return len(asyncio.all_tasks())


@asynccontextmanager
async def no_task_stays(at_once: bool = False) -> AsyncIterator[None]:
    before = tasks_now()
    yield
    if at_once:
        assert tasks_now() == before
    await until(lambda: tasks_now() == before, "no task is left")


async def drain(results: AsyncIterator[int], into: list[int]) -> None:
    async for result in results:
        into.append(result)  # noqa: PERF401 - a comprehension would lose what came before a failure


async def taken(results: AsyncIterator[Any]) -> list[Any]:
    return [result async for result in results]


# ---- results ----


@either
@pytest.mark.parametrize(("consumers", "maxsize"), [(1, 1), (3, 2), (8, 100), (50, 1), (3, 10_000)])
def test_results_come_in_the_order_of_the_items(run: Run, way: str, consumers: int, maxsize: int) -> None:
    async def main() -> None:
        async with no_task_stays(at_once=True):
            results = aio.map(later, getattr(Source(300), way)(), consumers, maxsize=maxsize)
            assert await taken(results) == list(range(300))
            assert await taken(results) == []

    run(main)


@either
def test_unordered_results_are_those_of_all_items(run: Run, way: str) -> None:
    async def main() -> None:
        async with no_task_stays(at_once=True):
            results = aio.imap_unordered(later, getattr(Source(300), way)(), 7, maxsize=5)
            assert sorted(await taken(results)) == list(range(300))

    run(main)


def test_unordered_a_slow_item_does_not_hold_back_others(run: Run) -> None:
    async def main() -> None:
        go = anyio.Event()

        async def function(item: int) -> int:
            if item == 0:
                await go.wait()
            return item

        results = aio.imap_unordered(function, range(50), 2)
        first = [await anext(results) for _ in range(49)]
        assert sorted(first) == list(range(1, 50))
        go.set()
        assert await taken(results) == [0]

    run(main)


@both
def test_as_many_calls_run_at_a_time_as_there_are_consumers_and_no_more(run: Run, ordered: bool) -> None:
    async def main() -> None:
        running, most = 0, 0
        full = anyio.Event()

        async def function(item: int) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 20:
                full.set()
            await full.wait()
            running -= 1
            return item

        results = aio.map(function, range(200), 20, maxsize=1, ordered=ordered)
        assert sorted(await taken(results)) == list(range(200))
        assert most == 20

    run(main)


@both
def test_results_may_be_anything(run: Run, ordered: bool) -> None:
    async def main() -> None:
        odd: list[Any] = [None, ValueError("a result"), StopAsyncIteration, 0, []]
        assert await taken(aio.map(same, odd, 1, ordered=ordered)) == odd
        assert await taken(aio.map(same, [], ordered=ordered)) == []

    run(main)


def test_anything_that_makes_an_awaitable_is_a_function() -> None:
    async def main() -> None:
        def future(item: int) -> asyncio.Future[int]:
            made = asyncio.get_running_loop().create_future()
            made.set_result(item)
            return made

        assert await taken(aio.map(future, [1])) == [1]
        assert await taken(aio.map(lambda item: later(-item), [1])) == [-1]

    asyncio.run(main())


def test_a_source_may_be_any_iterable_or_a_function_that_returns_one(run: Run) -> None:
    async def main() -> None:
        source = Source(3)
        queue: headrace.Queue[int] = headrace.Queue()
        for items in (
            [0, 1, 2],
            source.plain,
            source.asynchronous,
            source.asynchronous(),
            lambda: (0, 1, 2),
            aio.map(same, range(3)),
        ):
            assert await taken(aio_map(same, items)) == [0, 1, 2]  # type: ignore[arg-type]
        queue.put_many([0, 1, 2])
        queue.shutdown()
        assert await taken(aio.map(same, queue.aio)) == [0, 1, 2]

    run(main)


def test_a_map_of_a_map_of_a_map(run: Run) -> None:
    async def main() -> None:
        async def add(item: int) -> int:
            return item + 1

        async with no_task_stays():
            inner = aio.map(add, count(), 2, maxsize=5)
            middle = aio.map(add, inner, 2, maxsize=5)
            async with aio.map(add, middle, 2, maxsize=5) as outer:
                assert [await anext(outer) for _ in range(100)] == [item + 3 for item in range(100)]
            await middle.aclose()
            await inner.aclose()

    run(main)


def test_each_call_has_a_copy_of_the_context_of_the_first_anext(run: Run) -> None:
    variable: ContextVar[object] = ContextVar("variable")

    async def function(item: int) -> object:
        before = variable.get()
        variable.set(item)
        return before

    async def main() -> None:
        variable.set("main")
        assert set(await taken(aio.map(function, range(20), 2, maxsize=1))) == {"main"}
        assert variable.get() == "main"

    run(main)


# ---- how far it reads ----


@both
@either
def test_nothing_happens_before_the_first_anext(run: Run, way: str, ordered: bool) -> None:
    async def main() -> None:
        source = Source()
        async with no_task_stays(at_once=True):
            results = aio.map(same, getattr(source, way)(), ordered=ordered)
            await anyio.sleep(0)
            assert source.read == 0
            await anext(results)
            assert source.read
            await results.aclose()

    run(main)


@both
@either
@pytest.mark.parametrize(("consumers", "maxsize"), [(1, 1), (3, 1), (3, 10), (2, 100)])
def test_never_more_is_read_than_maxsize_and_consumers_beyond_what_is_yielded(
    run: Run, way: str, consumers: int, maxsize: int, ordered: bool
) -> None:
    async def main() -> None:
        source = Source()
        async with aio.map(later, getattr(source, way)(), consumers, maxsize=maxsize, ordered=ordered) as results:
            for yielded in range(300):
                if yielded % 10 == 0:
                    await anyio.sleep(0)
                assert source.read - yielded <= maxsize + consumers
                await anext(results)
                assert source.read - yielded <= maxsize + consumers

    run(main)


@either
def test_the_whole_window_is_read_while_the_first_call_runs(run: Run, way: str) -> None:
    async def main() -> None:
        source, go = Source(), anyio.Event()

        async def function(item: int) -> int:
            if item == 0:
                await go.wait()
            return item

        results = aio.map(function, getattr(source, way)(), 2, maxsize=10)
        async with anyio.create_task_group() as group:
            group.start_soon(anext, results)
            await until(lambda: source.read == 12)
            for _ in range(20):
                await anyio.sleep(0)
            assert source.read == 12
            go.set()
        await results.aclose()

    run(main)


@both
def test_a_slow_asynchronous_source_does_not_hold_back_a_result_that_is_ready(run: Run, ordered: bool) -> None:
    async def main() -> None:
        more = anyio.Event()

        async def source() -> AsyncIterator[int]:
            yield 1
            await more.wait()
            yield 2

        results = aio.map(same, source, ordered=ordered)
        assert await anext(results) == 1  # or it would hang
        more.set()
        assert await taken(results) == [2]

    run(main)


def test_a_plain_source_that_takes_its_time_lets_the_loop_run_between_its_items(run: Run) -> None:
    async def main() -> None:
        turns, asked = 0, []

        async def clock() -> None:
            nonlocal turns
            while True:
                turns += 1
                await anyio.sleep(0)

        def source() -> Iterator[int]:
            for item in range(10):
                threading.Event().wait(0.002)
                asked.append(turns)
                yield item

        async with anyio.create_task_group() as group:
            group.start_soon(clock)
            assert await taken(aio.map(same, source)) == list(range(10))
            group.cancel_scope.cancel()
        assert len(set(asked)) > 2  # trio changes the order of tasks at will

    run(main)


# ---- failures ----


@either
def test_a_failure_is_raised_at_its_place_with_a_note_that_names_the_item(run: Run, way: str) -> None:
    async def main() -> None:
        source, got = Source(), []
        async with no_task_stays(at_once=True):
            results = aio.map(refuse(7), getattr(source, way)())
            with pytest.raises(ValueError, match="bad item 7") as caught:
                await drain(results, got)
            assert got == [0, 1, 2, 3, 4, 5, 6]
            assert caught.value.__notes__ == ["while handling item 8: 7"]
            assert source.closed == 1
            assert await taken(results) == []

    run(main)


def test_unordered_a_failure_is_raised_among_the_others(run: Run) -> None:
    async def main() -> None:
        async with no_task_stays(at_once=True):
            with pytest.raises(ValueError, match="bad item 70") as caught:
                await taken(aio.imap_unordered(refuse(70), count()))
            assert caught.value.__notes__[0] == "while handling item 71: 70"

    run(main)


@both
def test_nothing_is_begun_after_a_failure(run: Run, ordered: bool) -> None:
    async def main() -> None:
        begun: list[int] = []

        async def function(item: int) -> int:
            begun.append(item)
            return await refuse(3)(item)

        with pytest.raises(ValueError, match="bad item 3"):
            await taken(aio.map(function, count(), 1, ordered=ordered))
        assert begun == [0, 1, 2, 3]

    run(main)


@both
@either
def test_calls_that_run_come_to_their_end_before_the_failure_is_raised_and_the_source_is_closed_then(
    run: Run, way: str, ordered: bool
) -> None:
    async def main() -> None:
        events: list[str] = []
        both_run, failed = anyio.Event(), anyio.Event()

        def source() -> Iterator[int]:
            try:
                yield from count()
            finally:
                events.append("source closed")

        async def asynchronous() -> AsyncIterator[int]:
            try:
                for item in count():
                    yield item
            finally:
                events.append("source closed")

        async def function(item: int) -> None:
            if item == 0:
                await both_run.wait()
                failed.set()
                raise ValueError
            both_run.set()
            await failed.wait()
            for _ in range(10):
                await anyio.sleep(0)
            events.append("call ended")

        with pytest.raises(ValueError):
            await anext(
                aio_map(function, source if way == "plain" else asynchronous, 2, maxsize=1, ordered=ordered)  # type: ignore[arg-type]
            )
        assert events == ["call ended", "source closed"]

    run(main)


def test_results_before_a_failure_come_although_it_is_known_already(run: Run) -> None:
    async def main() -> None:
        failed = anyio.Event()

        async def function(item: int) -> int:
            if item == 0:
                await failed.wait()
                await anyio.sleep(0)
            elif item == 1:
                failed.set()
                raise ValueError("bad item 1")
            return item

        results = aio.map(function, count(), 2)
        assert await anext(results) == 0
        with pytest.raises(ValueError, match="bad item 1"):
            await anext(results)

    run(main)


@both
def test_other_failures_become_notes_of_the_one_that_is_raised(run: Run, ordered: bool) -> None:
    async def main() -> None:
        begun, all_run = [], anyio.Event()

        async def function(item: int) -> None:
            begun.append(item)
            if len(begun) == 3:
                all_run.set()
            await all_run.wait()
            raise ValueError(f"bad item {item}")

        with pytest.raises(ValueError) as caught:
            await anext(aio.map(function, range(3), 3, ordered=ordered))
        raised = str(caught.value)
        others = {f"bad item {item}" for item in range(3)} - {raised}
        assert not ordered or raised == "bad item 0"
        noted = [note for note in caught.value.__notes__ if "another item had failed" in note]
        assert len(noted) == 2
        assert all(any(other in note for note in noted) for other in others)

    run(main)


@both
@either
def test_a_failing_source_is_raised_after_the_results_of_what_came_before(run: Run, way: str, ordered: bool) -> None:
    def plain() -> Iterator[int]:
        yield from range(20)
        raise LookupError("no more")

    async def asynchronous() -> AsyncIterator[int]:
        for item in range(20):
            yield item
        raise LookupError("no more")

    async def main() -> None:
        got: list[int] = []
        async with no_task_stays(at_once=True):
            results = aio_map(later, plain if way == "plain" else asynchronous, ordered=ordered)  # type: ignore[arg-type]
            with pytest.raises(LookupError, match="no more") as caught:
                await drain(results, got)
            assert sorted(got) == list(range(20))
            assert caught.value.__notes__ == ["after item 20 of the source"]
            assert await taken(results) == []

    run(main)


def test_a_source_that_cannot_begin_raises_its_error(run: Run) -> None:
    def source() -> Iterator[int]:
        raise PermissionError("not yours")

    async def main() -> None:
        results = aio.map(same, source)
        with pytest.raises(PermissionError, match="not yours"):
            await anext(results)
        assert await taken(results) == []
        with pytest.raises(TypeError, match="returned 7, which is not iterable"):
            await anext(aio.map(same, lambda: 7))  # type: ignore[arg-type, return-value]

    run(main)


@pytest.mark.parametrize("kind", [StopAsyncIteration, StopIteration, asyncio.CancelledError])
@pytest.mark.parametrize("whose", ["function", "source"])
def test_what_would_mean_something_else_to_the_loop_is_raised_as_a_runtime_error(
    kind: type[BaseException], whose: str
) -> None:
    def fail(item: int = 0) -> Any:
        raise kind

    class Failing:
        def __iter__(self) -> Failing:
            return self

        def __next__(self) -> int:
            return fail()  # type: ignore[no-any-return]

    async def main() -> None:
        if whose == "function":
            with pytest.raises(RuntimeError, match=r"which would mean something else|raised StopIteration"):
                await taken(aio_map(fail, [1]))
        elif kind is not StopIteration:
            with pytest.raises(RuntimeError, match="which would mean something else"):
                await taken(aio_map(same, Failing()))
        assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]

    asyncio.run(main())


def test_a_function_that_exits_exits(run: Run) -> None:
    async def leave(item: int) -> None:
        sys.exit(3)

    async def main() -> None:
        with pytest.raises(SystemExit, match="3"):
            await taken(aio.map(leave, range(100)))

    run(main)


def test_a_function_that_makes_nothing_to_await_is_told_of_the_map_for_threads(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match=r"returned '1', which cannot be awaited.*headrace.map"):
            await taken(aio.map(str, [1]))  # type: ignore[arg-type]

    run(main)


@both
def test_an_iterator_that_failed_is_gone_with_its_exception_without_the_collector(run: Run, ordered: bool) -> None:
    seen: list[weakref.ref[object]] = []

    class Function:
        async def __call__(self, item: int) -> None:
            raise ValueError

    async def attempt() -> None:
        function = Function()
        seen.append(weakref.ref(function))
        try:
            await anext(aio.map(function, range(10), ordered=ordered))
        except ValueError:
            pass

    async def main() -> None:
        gc.collect()
        gc.disable()
        try:
            await attempt()
            await until(lambda: seen[0]() is None)
        finally:
            gc.enable()

    run(main)


# ---- how it is left ----


@both
@either
def test_breaking_out_of_the_loop_cancels_the_calls(run: Run, way: str, ordered: bool) -> None:
    async def main() -> None:
        items = getattr(Source(), way)()  # trio warns when an asynchronous generator is dropped
        async with no_task_stays():
            async for item in aio.map(later, items, ordered=ordered):
                if item > 50:
                    break
        if way == "asynchronous":
            await items.aclose()

    run(main)


def test_a_dropped_iterator_cancels_calls_that_are_running_and_leaves_a_generator_to_its_owner(run: Run) -> None:
    async def main() -> None:
        source, cancelled = Source(), []

        async def function(item: int) -> int:
            try:
                if item:
                    await anyio.sleep_forever()
                return item
            finally:
                cancelled.append(item)

        items = source.plain()
        async with no_task_stays():
            results = aio.map(function, items, 3, maxsize=1)
            assert await anext(results) == 0
            del results
        assert len(cancelled) > 1
        assert not source.closed
        assert next(items) == source.read - 1

    run(main)


def test_an_iterator_that_another_thread_drops_cancels_its_calls(run: Run) -> None:
    async def function(item: int) -> int:
        if item:
            await anyio.sleep_forever()
        return item

    async def main() -> None:
        await anyio.to_thread.run_sync(int)  # trio keeps a thread, and a task for it
        async with no_task_stays():
            box = [aio.map(function, count(), 3)]
            assert await anext(box[0]) == 0
            await anyio.to_thread.run_sync(box.clear)

    run(main)


@both
@either
def test_aclose_cancels_what_runs_waits_for_it_and_closes_the_source(run: Run, way: str, ordered: bool) -> None:
    async def main() -> None:
        source, begun, ended = Source(), [], []

        async def function(item: int) -> int:
            begun.append(item)
            try:
                if item:
                    await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.001)
                assert not source.closed
                ended.append(item)
            return item

        async with no_task_stays(at_once=True):
            results = aio.map(function, getattr(source, way)(), 3, maxsize=5, ordered=ordered)
            assert await anext(results) == 0
            await until(lambda: len(begun) == 4)
            await results.aclose()
            assert sorted(ended) == sorted(begun) == [0, 1, 2, 3]
            assert source.closed == 1
            assert await taken(results) == []
            await results.aclose()

    run(main)


@either
def test_the_end_of_an_async_with_closes_it(run: Run, way: str) -> None:
    async def main() -> None:
        source = Source()
        async with no_task_stays(at_once=True):
            with pytest.raises(LookupError):  # noqa: PT012
                async with aio.map(later, getattr(source, way)()) as results:
                    assert await anext(results) == 0
                    raise LookupError
        assert source.closed == 1

    run(main)


def test_closing_before_the_first_anext_begins_nothing(run: Run) -> None:
    async def main() -> None:
        source = Source()
        items = source.plain()
        results = aio.map(same, items)
        await results.aclose()
        assert await taken(results) == []
        assert list(items) == []
        assert source.read == 0

    run(main)


@both
@either
def test_a_task_that_is_cancelled_while_it_waits_has_no_call_left_when_it_ends(
    run: Run, way: str, ordered: bool
) -> None:
    async def main() -> None:
        source, running = Source(), 0

        async def function(item: int) -> int:
            nonlocal running
            running += 1
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.001)
                running -= 1
            return item

        async with no_task_stays(at_once=True):
            results = aio.map(function, getattr(source, way)(), 4, ordered=ordered)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(anext, results)
                    await until(lambda: running == 4)
                    scope.cancel()
            assert running == 0
            assert source.closed == 1
            assert await taken(results) == []

    run(main)


def test_a_time_limit_ends_it_and_is_a_time_out() -> None:
    async def main() -> None:
        async with no_task_stays(at_once=True):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await taken(aio.map(forever, count()))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(aio.map(forever, count())), 0.01)

    asyncio.run(main())


def test_a_second_cancellation_does_not_leave_calls_behind() -> None:
    async def main() -> None:
        ended = []

        async def function(item: int) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                await asyncio.sleep(0.001)
                ended.append(item)

        async with no_task_stays(at_once=True):
            task = asyncio.create_task(taken(aio.map(function, count(), 3)))
            await until(lambda: tasks_now() == 5)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert sorted(ended) == [0, 1, 2]

    asyncio.run(main())


def test_a_failure_that_waits_for_running_calls_becomes_a_note_of_a_cancellation() -> None:
    async def main() -> None:
        async def function(item: int) -> None:
            if item == 0:
                raise ValueError("bad item 0")
            await anyio.sleep_forever()

        async with no_task_stays(at_once=True):
            task = asyncio.create_task(taken(aio.map(function, count(), 2)))
            for _ in range(10):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert any("ValueError('bad item 0')" in note for note in caught.value.__notes__)

    asyncio.run(main())


def test_the_function_may_close_the_map(run: Run) -> None:
    async def main() -> None:
        source = Source()

        async def function(item: int) -> int:
            if item == 5:
                await results.aclose()
            return item

        async with no_task_stays(at_once=True):
            results = aio.map(function, source.plain(), 2, maxsize=3)
            got = await taken(results)
            assert got == list(range(len(got)))
            assert len(got) <= 6
            assert source.closed == 1

    run(main)


def test_closing_ends_the_wait_of_another_task(run: Run) -> None:
    async def main() -> None:
        got: list[object] = []
        results = aio.map(forever, [1])

        async def wait() -> None:
            got.append(await taken(results))

        async with no_task_stays(at_once=True):
            async with anyio.create_task_group() as group:
                before = tasks_now()
                group.start_soon(wait)
                await until(lambda: tasks_now() == before + 2)
                await results.aclose()
            assert got == [[]]

    run(main)


def leave_in_every_way() -> None:  # noqa: C901 - a program of its own
    import asyncio
    import itertools
    import sys

    from headrace import aio

    kept = []

    async def function(item: int) -> int:
        if item > 20:
            await asyncio.sleep(3600)
        return item

    async def source():  # type: ignore[no-untyped-def]
        for item in itertools.count():
            yield item
            await asyncio.sleep(0)

    async def main(keep: bool) -> None:
        for items in (itertools.count(), source()):
            results = aio.map(function, items, 5)
            if keep:
                kept.append(results)
            async for item in results:
                if item == 10:
                    break
            async for item in results:
                if item == 12:
                    break

    async def cancelled() -> None:
        task = asyncio.create_task(aio.map(function, iter([100] * 10)).__anext__())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()

    for keep in (False, True):
        asyncio.run(main(keep))
    asyncio.run(cancelled())
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main(False))
    loop.close()
    sys.stdout.write("done\n")


def test_no_task_is_destroyed_while_it_is_pending_and_no_coroutine_is_never_awaited() -> None:
    program = f"from __future__ import annotations\n{inspect.getsource(leave_in_every_way)}\nleave_in_every_way()\n"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


@both
@either
@pytest.mark.parametrize("bad", [(), (6,)], ids=["going well", "failing"])
def test_a_cancellation_at_any_step_leaves_no_task_and_closes_the_source(
    loop_steps: Callable[..., bool], way: str, bad: tuple[int, ...], ordered: bool
) -> None:
    at = 0
    while loop_steps(at, way, bad, ordered):
        at += 1
    assert at > 10


@pytest.fixture
def loop_steps() -> Callable[..., bool]:
    """Cancels a task that works off a map when the loop has made so many steps; False when it had ended by then."""

    def attempt(at: int, way: str, bad: tuple[int, ...], ordered: bool) -> bool:
        source = Source(12)

        async def main() -> bool:
            task = asyncio.create_task(
                taken(aio.map(refuse(*bad), getattr(source, way)(), 2, maxsize=2, ordered=ordered))
            )
            for _ in range(at):
                await asyncio.sleep(0)
            cancels = task.cancel()
            await asyncio.wait([task])
            assert len(asyncio.all_tasks()) == 1
            assert source.closed == (1 if source.read else 0)
            if not task.cancelled():
                assert (type(task.exception()) is ValueError) is bool(bad)
            return cancels

        return asyncio.run(main())

    return attempt


PROGRAM = """
import itertools, os
import LIBRARY
from headrace import aio

async def function(item):
    await LIBRARY.sleep(SECONDS)
    return item

def source():
    try:
        for item in itertools.count():
            if item == 40:
                os.write(1, b"busy\\n")
            yield item
    finally:
        os.write(1, b"closed\\n")

async def main():
    async with aio.map(function, source(), 50, ordered=ORDERED) as results:
        async for result in results:
            pass

try:
    LIBRARY.run(main() if "LIBRARY" == "asyncio" else main)
except KeyboardInterrupt:
    raise KeyboardInterrupt from None  # asyncio shows a cancellation before it
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@both
@pytest.mark.parametrize("library", ["asyncio", "trio"])
@pytest.mark.parametrize("seconds", [60, 0, 0.001])
def test_ctrl_c_at_a_random_moment_ends_a_program_and_closes_the_source(
    library: str, seconds: float, ordered: bool
) -> None:
    program = PROGRAM.replace("LIBRARY", library).replace("SECONDS", str(seconds)).replace("ORDERED", str(ordered))
    assert interrupted_at_a_random_moment(program) == "closed\n"


# ---- several tasks, and itself ----


@both
def test_several_tasks_may_iterate_and_each_result_goes_to_one(run: Run, ordered: bool) -> None:
    async def main() -> None:
        results = aio.map(later, range(300), maxsize=10, ordered=ordered)
        got: list[list[int]] = [[] for _ in range(4)]
        async with no_task_stays(at_once=True), anyio.create_task_group() as group:
            for mine in got:
                group.start_soon(drain, results, mine)
        assert sorted(item for mine in got for item in mine) == list(range(300))
        assert not ordered or all(mine == sorted(mine) for mine in got)

    run(main)


@either
def test_who_waits_for_its_own_map_is_told_so(run: Run, way: str) -> None:
    async def main() -> None:
        results: AsyncMapIterator[Any]

        async def function(item: int) -> int:
            return await anext(results)  # type: ignore[no-any-return]

        async def source() -> AsyncIterator[int]:
            yield await anext(results)

        results = aio.map(function, range(10)) if way == "plain" else aio.map(same, source)
        with pytest.raises(RuntimeError, match="which would wait for itself"):
            await anext(results)

    run(main)


def test_another_event_loop_is_told_that_it_is_not_the_one() -> None:
    async def main() -> AsyncMapIterator[int]:
        results = aio.map(same, count())
        assert await anext(results) == 0
        return results

    async def ask(results: AsyncMapIterator[int]) -> None:
        while True:
            await anext(results)

    with Loop() as one, Loop() as other:
        results = one.call(main())
        with pytest.raises(RuntimeError, match="this is another one"):
            other.call(ask(results))
        one.call(results.aclose())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")
def test_tasks_that_begin_at_once_do_not_pile_up() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        go = asyncio.Event()

        async def function(item: int) -> int:
            if item == 0:
                await go.wait()
            return item

        results = aio.map(function, range(5000), 1, maxsize=10_000)
        asyncio.get_running_loop().call_later(0.05, go.set)
        assert await taken(results) == list(range(5000))

    asyncio.run(main())


# ---- stress ----


@both
@either
def test_it_holds_whatever_the_sizes_are(run: Run, way: str, ordered: bool) -> None:
    async def main() -> None:
        async with no_task_stays(at_once=True):
            for _ in range(scaled(10)):
                maxsize, consumers = random.randint(1, 20), random.randint(1, 20)
                results = await taken(
                    aio.map(later, getattr(Source(200), way)(), consumers, maxsize=maxsize, ordered=ordered)
                )
                assert (results if ordered else sorted(results)) == list(range(200))
                got: list[int] = []
                with pytest.raises(ValueError):
                    await drain(
                        aio.map(refuse(100), getattr(Source(), way)(), consumers, maxsize=maxsize, ordered=ordered), got
                    )
                assert not ordered or got == list(range(100))
                async with aio.map(later, getattr(Source(), way)(), consumers, ordered=ordered) as unfinished:
                    await anext(unfinished)

    run(main)


# ---- what is refused ----


def generator(item: int) -> Iterator[int]:
    yield item


async def async_generator(item: int) -> AsyncIterator[int]:
    yield item


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ({"iterable": 7}, TypeError, "a source is an iterable.*not int: 7"),
        ({"iterable": same}, TypeError, "a source is an iterable.*not function"),
        (
            {"iterable": headrace.Queue()},
            TypeError,
            "would block the event loop: give its asynchronous face, queue.aio",
        ),
        ({"function": "print"}, TypeError, "function must be a function of one item, not str: 'print'"),
        ({"function": generator}, TypeError, "is a generator function"),
        ({"function": async_generator}, TypeError, "is a generator function"),
        ({"consumers": 0}, ValueError, "consumers must be at least 1 .*not 0"),
        ({"consumers": 2.0}, TypeError, "consumers must be a whole number .*not float: 2.0"),
        ({"maxsize": 0}, ValueError, "maxsize must be at least 1 .*not 0"),
    ],
)
def test_arguments_that_cannot_work_are_refused_at_once(
    arguments: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        aio_map(**{"function": same, "iterable": [], **arguments})


def test_import_star_does_not_replace_the_map_of_python() -> None:
    names: dict[str, Any] = {}
    exec("from headrace.aio import *", names)
    assert "map" not in names
    assert names["imap_unordered"] is aio.imap_unordered
