"""A ``Pipeline`` of functions and coroutine functions in any order: nothing deadlocks, all ends, all is told."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import os
import random
import sys
import threading
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from itertools import count, product
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

import consumer_support
import headrace
from conftest import scaled
from consumer_support import PATIENCE, eventually, only_two_threads_start, with_both_queues
from headrace import Pipeline, Retry
from headrace.consumers import pipeline_coroutines as coroutines_module
from interrupts import interrupted_at_a_random_moment, interrupted_at_each_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

run_module = importlib.import_module("headrace.consumers.pipeline_run")
source_run_module = importlib.import_module("headrace.consumers.run")

_queue = with_both_queues(run_module)


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    eventually(lambda: not threads())


def threads() -> set[threading.Thread]:
    ours = (run_module.Consumer, coroutines_module.LoopThread)
    return {thread for thread in threading.enumerate() if isinstance(thread, ours)}


# Every order of functions (s) and coroutine functions (a) in up to four stages, with one coroutine function at least.
ORDERS = ["".join(order) for length in range(1, 5) for order in product("sa", repeat=length) if "a" in order]
SHORT = [order for order in ORDERS if len(order) <= 3]


def made(kind: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """*function*, or a coroutine function that lets the loop run and then does the same."""
    if kind == "s":
        return function

    async def coroutine(item: Any) -> Any:
        await asyncio.sleep(0)
        return function(item)

    return coroutine


def of(order: str, source: Any, function: Callable[[int, Any], Any], **options: Any) -> Pipeline[Any]:
    """A pipeline whose stage number n calls ``function(n, item)``."""
    pipeline: Pipeline[Any] = Pipeline(source)
    for number, kind in enumerate(order):
        stage = made(kind, functools.partial(function, number))
        pipeline = pipeline.stage(stage, name=f"stage {number}", **options)
    return pipeline


async def same(item: Any) -> Any:
    return item


def refuse(*bad: int) -> Callable[[int], Awaitable[int]]:
    async def function(item: int) -> int:
        await asyncio.sleep(0)
        if item in bad:
            raise ValueError(f"bad item {item}")
        return item

    return function


class Closing:
    """A source that knows whether it was closed."""

    def __init__(self, end: int = 10**12) -> None:
        self.read = 0
        self.closed = 0
        self.items = self._items(end)

    def _items(self, end: int) -> Iterator[int]:
        try:
            for item in range(end):
                self.read = item + 1
                yield item
        finally:
            self.closed += 1


# ---- what goes through ----


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("consumers", "maxsize"), [(1, 1), (3, 1), (2, 7)])
@pytest.mark.parametrize("retry", [None, Retry(attempts=2)], ids=["plain", "leased"])
def test_every_item_goes_through_every_stage_once(
    order: str, consumers: int, maxsize: int, retry: Retry | None
) -> None:
    seen: list[Counter[int]] = [Counter() for _ in order]

    def function(number: int, item: int) -> int:
        seen[number][item] += 1
        return item

    summary = of(order, range(60), function, consumers=consumers, maxsize=maxsize, retry=retry).run()
    assert threads() == set()
    assert seen == [Counter(range(60))] * len(order)
    assert [(one.name, one.consumers, one.items_in, one.items_out) for one in summary.stages] == [
        (f"stage {number}", consumers, 60, 60) for number in range(len(order))
    ]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("end", [0, 1, 2])
def test_a_source_that_ends_early_ends_all(order: str, end: int) -> None:
    stored: list[int] = []
    of(order, range(end), lambda number, item: item, consumers=3, maxsize=1).sink(stored.append).run()
    assert sorted(stored) == list(range(end))


@pytest.mark.parametrize("order", ORDERS)
def test_stages_of_one_consumer_keep_the_order(order: str) -> None:
    stored: list[int] = []
    of(order, range(100), lambda number, item: item, maxsize=2).sink(stored.append).run()
    assert stored == list(range(100))


def test_none_is_no_item_and_a_list_is_one() -> None:
    stored: list[object] = []

    async def function(item: int) -> object:
        return [item, item] if item % 2 else None

    summary = Pipeline(range(6)).stage(function).sink(stored.append).run()
    assert stored == [[1, 1], [3, 3], [5, 5]]
    assert summary.stages[0].items_out == 3


async def several(item: int) -> AsyncIterator[int | None]:
    for one in range(item):
        yield one
    yield None


async def generator_of(item: int) -> Iterator[int | None]:
    return (one for one in [*range(item), None])


@pytest.mark.parametrize("function", [several, generator_of])
@pytest.mark.parametrize("retry", [None, Retry()], ids=["plain", "leased"])
def test_a_generator_gives_several_items(function: Any, retry: Retry | None) -> None:
    stored: list[object] = []
    Pipeline([0, 2, 1]).stage(function, retry=retry).sink(stored.append).run()
    assert stored == [None, 0, 1, None, 0, None]


def test_what_a_generator_yields_goes_on_as_it_is_yielded() -> None:
    arrived = threading.Event()

    async def two(item: int) -> AsyncIterator[int]:
        yield 1
        while not arrived.is_set():
            await asyncio.sleep(0)
        yield 2

    Pipeline([0]).stage(two).sink(lambda item: arrived.set()).run()


def test_as_many_coroutines_run_at_a_time_as_there_are_consumers() -> None:
    running = most = 0
    full = asyncio.Event()

    async def function(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 200:
            full.set()
        await full.wait()
        running -= 1

    Pipeline(range(1000)).sink(function, 200, maxsize=1).run()
    assert most == 200


def test_all_coroutines_of_a_run_share_one_loop_and_one_thread_and_each_run_has_its_own() -> None:
    loops: list[object] = []

    async def function(item: int) -> int:
        loops.append((asyncio.get_running_loop(), threading.current_thread().name))
        return item

    pipeline = Pipeline(range(9)).stage(function, 3).stage(lambda item: item).stage(function, 2)
    pipeline.run()
    assert len(set(loops)) == 1
    assert loops[0][1] == "Pipeline-loop"  # type: ignore[index]
    pipeline.run()
    assert len(set(loops)) == 2


def test_a_pipeline_of_coroutines_may_run_beside_a_loop_that_is_running() -> None:
    async def main() -> list[int]:
        stored: list[int] = []
        await asyncio.to_thread(Pipeline(range(10)).stage(same, 3).sink(stored.append).run)
        return sorted(stored)

    assert asyncio.run(main()) == list(range(10))


def test_consumers_that_are_coroutines_have_contexts_of_their_own() -> None:
    variable: ContextVar[int] = ContextVar("variable", default=0)
    seen: list[int] = []

    async def function(item: int) -> None:
        seen.append(variable.get())
        variable.set(item)
        while len(seen) < 3:
            await asyncio.sleep(0)

    Pipeline([1, 2, 3]).sink(function, 3).run()
    assert seen == [0, 0, 0]


def test_coroutine_functions_are_known_in_every_form() -> None:
    class Caller:
        async def __call__(self, item: int) -> int:
            return item

        async def method(self, item: int) -> int:
            return item

    stored: list[int] = []
    pipeline = Pipeline([1]).stage(functools.partial(same)).stage(Caller()).stage(Caller().method)
    pipeline.sink(stored.append).run()
    assert stored == [1]


def test_a_function_that_returns_a_coroutine_is_told_to_be_a_coroutine_function() -> None:
    with pytest.raises(TypeError, match="returned a coroutine and is no coroutine function"):
        Pipeline([1]).stage(lambda item: same(item)).run()


def test_an_asynchronous_generator_is_no_sink() -> None:
    with pytest.raises(TypeError, match="is a generator function"):
        Pipeline([1]).sink(several)


# ---- back-pressure ----


@pytest.mark.parametrize("order", SHORT)
def test_a_slow_sink_holds_the_source_back(order: str) -> None:
    go, source = threading.Event(), Closing(100)

    async def wait(item: int) -> None:
        while not go.is_set():
            await asyncio.sleep(0.001)

    pipeline = of(order, source.items, lambda number, item: item, consumers=2, maxsize=3)
    pipeline = pipeline.sink(wait, 1, maxsize=4)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pipeline.run)
        # In the sink's queue and hands; before each stage and in its hands; and one that the source has no room for.
        full = (4 + 1) + len(order) * (3 + 2) + 1
        eventually(lambda: source.read == full)
        sleep(0.01)
        assert source.read == full
        go.set()
        assert running.result().items == 100


# ---- failures ----


@pytest.mark.parametrize(("order", "place"), [(order, place) for order in ORDERS for place in range(-1, len(order))])
@pytest.mark.parametrize("retry", [None, Retry(attempts=1)], ids=["plain", "leased"])
def test_a_failure_anywhere_with_all_queues_full_stops_all(  # noqa: C901 - one function for each kind of stage
    order: str, place: int, retry: Retry | None
) -> None:
    """The last stage holds item 0 until somebody has failed, and everything is full before that."""
    last = len(order) - 1
    # One in the hands of each stage, two before it; the first is in the last stage.
    in_hand = 0 if place == last else 3 * (last - place)
    full = 3 * len(order) + 1
    failed = threading.Event()
    source: Closing

    def fail() -> None:
        failed.set()
        raise ValueError("it failed")

    def items() -> Iterator[int]:
        for item in source.items:
            if place == -1 and item == full - 1:
                fail()
            yield item

    async def waits(number: int, item: int) -> int:
        while (number == place and item == in_hand) and source.read < full:
            await asyncio.sleep(0)
        if number == place and item == in_hand:
            fail()
        while number == last and not failed.is_set():
            await asyncio.sleep(0)
        return item

    def blocks(number: int, item: int) -> int:
        if number == place and item == in_hand:
            eventually(lambda: source.read == full)
            fail()
        if number == last:
            assert failed.wait(PATIENCE)
        return item

    source = Closing()
    pipeline = Pipeline(items())
    for number, kind in enumerate(order):
        function = functools.partial(blocks if kind == "s" else waits, number)
        pipeline = pipeline.stage(function, name=f"stage {number}", maxsize=2, retry=retry)
    with pytest.raises(ValueError, match="it failed") as caught:
        pipeline.run()
    assert threads() == set()
    del source.items
    assert source.closed == 1
    if place == -1:
        assert caught.value.__notes__ == [f"after item {full - 1} of the source"]
    else:
        assert caught.value.__notes__ == [f"in the stage stage {place}", f"while handling {in_hand}"]


def test_coroutines_that_run_come_to_their_end_before_the_failure_is_raised_and_the_source_is_closed_then() -> None:
    events: list[str] = []
    both_run = asyncio.Event()

    def source() -> Iterator[int]:
        try:
            yield from count()
        finally:
            events.append("source closed")

    async def function(item: int) -> None:
        if item == 0:
            await both_run.wait()
            raise ValueError
        both_run.set()
        for _ in range(20):
            await asyncio.sleep(0)
        events.append("coroutine ended")

    with pytest.raises(ValueError):
        Pipeline(source()).sink(function, 2, maxsize=1).run()
    assert events == ["coroutine ended", "source closed"]


def test_several_failures_are_one_group_that_names_each() -> None:
    begun: list[int] = []

    async def function(item: int) -> None:
        begun.append(item)
        while len(begun) < 3:
            await asyncio.sleep(0)
        raise ValueError(f"bad item {item}")

    with pytest.raises(ExceptionGroup) as caught:
        Pipeline(range(3)).stage(same).sink(function, 3).run()
    errors = sorted(caught.value.exceptions, key=str)
    assert [str(error) for error in errors] == ["bad item 0", "bad item 1", "bad item 2"]
    assert [error.__notes__ for error in errors] == [["in the stage function", f"while handling {n}"] for n in range(3)]


@pytest.mark.parametrize("retry", [None, Retry()], ids=["plain", "leased"])
def test_a_generator_that_is_stopped_while_it_hands_on_is_closed(retry: Retry | None) -> None:
    closed: list[int] = []

    async def numbers(item: int) -> AsyncIterator[int]:
        try:
            for one in range(1000) if retry else count():
                yield one
        finally:
            await asyncio.sleep(0)
            closed.append(item)

    with pytest.raises(ValueError, match="bad item 7"):
        Pipeline([5]).stage(numbers, retry=retry).sink(refuse(7), maxsize=1).run()
    assert closed == [5]


def test_a_shutdown_of_another_queue_in_a_coroutine_is_a_failure() -> None:
    other: headrace.Queue[int] = headrace.Queue()
    other.shutdown()

    async def put(item: int) -> None:
        await other.aio.put(item)

    for retry in (None, Retry(attempts=1)):
        with pytest.raises(headrace.ShutDown):
            Pipeline([1]).stage(put, retry=retry).run()


@pytest.mark.parametrize("retry", [None, Retry(attempts=1)], ids=["plain", "leased"])
def test_an_exit_in_a_coroutine_exits(retry: Retry | None) -> None:
    async def leave(item: int) -> None:
        sys.exit(3)

    with pytest.raises(SystemExit, match="3"):
        Pipeline(range(100)).stage(lambda item: item).sink(leave, 3, retry=retry).run()


def test_a_coroutine_that_cancels_itself_is_a_failure_and_does_not_cancel_the_caller() -> None:
    async def cancelled(item: int) -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled, and not by the pipeline") as caught:
        Pipeline(range(3)).stage(cancelled).run()
    assert caught.value.__notes__ == ["in the stage cancelled", "while handling 0"]
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


def test_a_loop_that_is_stopped_ends_the_run() -> None:
    async def stop(item: int) -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(PATIENCE)

    with pytest.raises(BaseExceptionGroup) as caught:
        Pipeline(count()).stage(lambda item: item).sink(stop).run()
    assert any("Event loop stopped" in str(error) for error in caught.value.exceptions)


def test_a_loop_that_cannot_be_made_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_loop() -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(asyncio.events, "new_event_loop", refuse_loop)
    monkeypatch.setattr(asyncio, "Runner", functools.partial(asyncio.Runner, loop_factory=refuse_loop))
    with pytest.raises(OSError, match="too many open files"):
        Pipeline(count()).stage(lambda item: item, 2).sink(same, 2).run()


def test_a_thread_that_cannot_be_started_leaves_no_other_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    for pipeline in (
        Pipeline(range(10)).stage(same, 2).sink(lambda item: item, 3),
        Pipeline(range(10)).stage(lambda item: item, 2).sink(same, 3),
    ):
        with monkeypatch.context() as patch:
            only_two_threads_start(patch)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                pipeline.run()
        assert threads() == set()


class Thing:
    """An item that can be seen to be gone."""


@pytest.mark.parametrize("retry", [None, Retry(attempts=1)], ids=["plain", "leased"])
def test_nothing_refers_to_the_items_when_it_is_over(retry: Retry | None) -> None:
    things = [Thing() for _ in range(10)]
    seen = [weakref.ref(thing) for thing in things]
    Pipeline(things).stage(same, retry=retry).stage(lambda item: item).sink(same, retry=retry).run()
    del things
    eventually(lambda: [reference() for reference in seen] == [None] * 10)


def test_a_run_that_failed_is_gone_with_its_exception_without_the_collector() -> None:
    seen: list[weakref.ref[object]] = []

    class Function:
        async def __call__(self, item: int) -> None:
            raise ValueError

    def attempt() -> None:
        function = Function()
        seen.append(weakref.ref(function))
        try:
            Pipeline(range(10)).stage(same).sink(function).run()
        except ValueError:
            pass

    gc.collect()
    gc.disable()
    try:
        attempt()
        eventually(lambda: seen[0]() is None)
    finally:
        gc.enable()


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="descriptors are not to be counted here")
def test_runs_leave_no_descriptor_open() -> None:
    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    pipeline = Pipeline(range(10)).stage(same, 3).sink(lambda item: item)
    pipeline.run()
    before = descriptors()
    for _ in range(10):
        pipeline.run()
    eventually(lambda: descriptors() <= before)  # a thread's last ones are closed when it is gone


# ---- retries ----


class Flaky(consumer_support.Flaky):
    """Fails at the first attempts of some items, as a coroutine."""

    async def __call__(self, item: int) -> int:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().__call__(item)


@pytest.mark.parametrize("delay", [0.0, 0.005])
def test_failed_items_are_tried_again_and_every_item_arrives_once(delay: float) -> None:
    stored: list[int] = []
    flaky = Flaky(failures=2)
    retry = Retry(attempts=3, delay=delay, factor=1)
    summary = Pipeline(range(90)).stage(flaky, 30, maxsize=4, retry=retry).sink(stored.append).run()
    assert sorted(stored) == list(range(90))
    assert (summary.stages[0].items_in, summary.stages[0].items_out, summary.stages[0].retried) == (90, 90, 60)


def test_a_stage_waits_for_items_that_are_still_to_be_tried_again() -> None:
    stored: list[int] = []
    flaky = Flaky(failures=1, every=1)
    Pipeline([1]).stage(flaky, 4, retry=Retry(attempts=2, delay=0.1, jitter=False)).sink(stored.append).run()
    assert stored == [1]


def test_an_item_that_fails_at_its_last_attempt_stops_all() -> None:
    flaky = Flaky(failures=10)
    with pytest.raises(ValueError, match="attempt 3 at 0") as caught:
        Pipeline(range(3)).stage(flaky, 2, retry=Retry(attempts=3, delay=0.001)).sink(same).run()
    assert caught.value.__notes__ == ["in the stage Flaky", "while handling 0", "at attempt 3 of 3"]
    assert flaky.attempts[0] == 3


def test_a_generator_that_is_tried_again_hands_nothing_on_twice() -> None:
    stored: list[int] = []
    flaky = Flaky(failures=1, every=1)

    async def two(item: int) -> AsyncIterator[int]:
        yield item
        await flaky(item)
        yield -item

    Pipeline([1, 2]).stage(two, retry=Retry(attempts=2, delay=0.001)).sink(stored.append).run()
    assert sorted(stored) == [-2, -1, 1, 2]


def test_a_failure_does_not_wait_for_items_that_were_to_be_tried_again_much_later() -> None:
    begin = monotonic()
    waits = asyncio.Event()

    async def later(item: int) -> int:
        if item == 0:
            waits.set()
            raise ValueError("try me again in an hour")
        return item

    async def fail(item: int) -> None:
        await waits.wait()
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        Pipeline(range(5)).stage(later, 2, retry=Retry(attempts=2, delay=3600)).sink(fail).run()
    assert monotonic() - begin < PATIENCE / 2


# ---- Ctrl-C ----


@pytest.mark.skipif(sys.gettrace() is not None, reason="another tracer is at work")
@pytest.mark.parametrize("order", ["as", "sa"])
@pytest.mark.parametrize("bad", [(), (5,)], ids=["going well", "failing"])
def test_ctrl_c_at_any_line_stops_all_closes_the_source_and_leaves_no_thread(bad: tuple[int, ...], order: str) -> None:
    def run(source: Iterator[int]) -> None:
        first = refuse(*bad) if order[0] == "a" else int
        Pipeline(source).stage(first, maxsize=2).sink(int if order[0] == "a" else refuse(*bad), maxsize=1).run()

    modules = (run_module, source_run_module, coroutines_module)
    assert interrupted_at_each_line(run, *modules, fails=bool(bad), threads=threads) > 50


def test_ctrl_c_cancels_coroutines_that_take_long_and_lets_them_clean_up() -> None:
    events: list[str] = []
    begun = threading.Event()

    async def function(item: int) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            events.append("cleaned up")

    def source() -> Iterator[int]:
        try:
            yield 1
            begun.wait(PATIENCE)
            raise KeyboardInterrupt
        finally:
            events.append("source closed")

    begin = monotonic()
    with pytest.raises(KeyboardInterrupt) as caught:
        Pipeline(source()).sink(function).run()
    assert monotonic() - begin < PATIENCE / 2
    assert events == ["source closed", "cleaned up"]
    assert not hasattr(caught.value, "__notes__")


PROGRAM = """
import asyncio, itertools, os, time
import headrace

def source():
    try:
        yield from itertools.count()
    finally:
        os.write(1, b"closed\\n")

def busy(item):
    if item == 40:
        os.write(1, b"busy\\n")
    return item

async def coroutine(item):
    await asyncio.sleep(SECONDS)
    return item

async def flaky(item):
    if item % 7 == 0 and RETRY:
        raise ValueError(item)
    return item

def function(item):
    time.sleep(SECONDS)
    return item

retry = headrace.Retry(attempts=100, delay=0.01) if RETRY else None
pipeline = headrace.Pipeline(source()).stage(busy).stage(flaky, 2, retry=retry)
for kind in "ORDER":
    pipeline = pipeline.stage({"s": function, "a": coroutine}[kind], 2, maxsize=3)
pipeline.run()
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("order", ["sas"])
@pytest.mark.parametrize("retry", [False, True], ids=["plain", "leased"])
@pytest.mark.parametrize("seconds", [60, 0, 0.001])
def test_ctrl_c_at_a_random_moment_ends_a_program_within_a_second(order: str, retry: bool, seconds: float) -> None:
    interrupt_a_program(order, retry, seconds)


@pytest.mark.stress
@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("retry", [False, True], ids=["plain", "leased"])
@pytest.mark.parametrize("seconds", [60, 0, 0.001])
def test_ctrl_c_at_many_random_moments_ends_a_program_within_a_second(order: str, retry: bool, seconds: float) -> None:
    for _ in range(scaled(5)):
        interrupt_a_program(order, retry, seconds)


def interrupt_a_program(order: str, retry: bool, seconds: float) -> None:
    program = PROGRAM.replace("SECONDS", str(seconds)).replace("RETRY", str(retry)).replace("ORDER", order)
    assert interrupted_at_a_random_moment(program) == "closed\n"


# ---- awaited ----


async def numbers(source: Closing) -> AsyncIterator[int]:
    try:
        for item in source.items:
            yield item
            await asyncio.sleep(0)
    finally:
        source.items.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("order", ["s", *ORDERS])
@pytest.mark.parametrize("way", ["plain", "asynchronous"])
def test_awaited_every_item_goes_through_every_stage_once(order: str, way: str) -> None:
    stored: list[int] = []
    source = Closing(60)

    async def main() -> None:
        items = numbers(source) if way == "asynchronous" else source.items
        pipeline = of(order, items, lambda number, item: item, consumers=2, maxsize=1)
        summary = await pipeline.sink(stored.append).arun()
        assert summary.items == 60
        assert len(asyncio.all_tasks()) == 1
        assert threads() == set()

    asyncio.run(main())
    assert sorted(stored) == list(range(60))
    assert source.closed == 1


def test_awaited_it_runs_on_the_loop_of_the_caller_and_holds_it_up_nowhere() -> None:
    async def main() -> None:
        here, arrived, answered = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        async def function(item: int) -> int:
            assert asyncio.get_running_loop() is here
            return item

        def block(item: int) -> None:
            here.call_soon_threadsafe(arrived.set)
            assert answered.wait(PATIENCE)

        async def answer() -> None:
            await arrived.wait()
            answered.set()

        answering = asyncio.create_task(answer())
        await Pipeline([1]).stage(function).sink(block).arun()
        await answering

    asyncio.run(main())


@pytest.mark.parametrize(("order", "place"), [(order, place) for order in SHORT for place in range(-1, len(order))])
def test_awaited_a_failure_anywhere_stops_all_and_does_not_wait_for_the_source(order: str, place: int) -> None:
    closed: list[int] = []

    async def source() -> AsyncIterator[int]:
        try:
            for item in range(20):
                yield item
            if place == -1:
                raise ValueError("it failed")
            await asyncio.sleep(3600)
        finally:
            closed.append(1)

    def function(number: int, item: int) -> int:
        if number == place and item == 19:
            raise ValueError("it failed")
        return item

    async def main() -> None:
        with pytest.raises(ValueError, match="it failed"):
            await of(order, source, function, consumers=2, maxsize=2).arun()
        assert len(asyncio.all_tasks()) == 1
        assert threads() == set()
        assert closed == [1]

    asyncio.run(main())


@pytest.mark.parametrize("order", ["a", "as", "sa"])
@pytest.mark.parametrize("bad", [(), (3,)], ids=["going well", "failing"])
def test_awaited_a_cancellation_at_any_step_leaves_nothing_behind(order: str, bad: tuple[int, ...]) -> None:
    def function(number: int, item: int) -> int:
        if item in bad:
            raise ValueError(f"bad item {item}")
        return item

    async def attempt(at: int) -> bool:
        source = Closing(6)
        task = asyncio.create_task(of(order, numbers(source), function, consumers=2, maxsize=1).arun())
        for _ in range(at):
            await asyncio.sleep(0)
        was_on_its_way = task.cancel()
        await asyncio.wait([task])
        assert len(asyncio.all_tasks()) == 1
        assert threads() == set()
        assert source.closed == (1 if source.read else 0)
        if not task.cancelled():
            assert (type(task.exception()) is ValueError) is bool(bad)
        return was_on_its_way

    at = 0
    while asyncio.run(attempt(at)) and at < 200:
        at += 1
    assert at > 5


def test_awaited_a_cancellation_leaves_a_function_behind_that_takes_long() -> None:
    go, begun = threading.Event(), threading.Event()

    def block(item: int) -> None:
        begun.set()
        go.wait(PATIENCE)

    async def main() -> None:
        task = asyncio.create_task(Pipeline(count()).stage(same).sink(block).arun())
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begin = monotonic()
    asyncio.run(main())
    assert monotonic() - begin < PATIENCE / 2
    go.set()


def test_an_asynchronous_source_is_only_for_arun_and_arun_only_for_asyncio() -> None:
    import trio

    with pytest.raises(TypeError, match=r"is asynchronous: await pipeline.arun\(\)"):
        Pipeline(numbers).sink(same).run()  # type: ignore[arg-type]
    with pytest.raises(headrace.NotSupported, match="arun"):
        trio.run(Pipeline([1]).sink(same).arun)
    with pytest.raises(ValueError, match=r"add one with .stage\(function\)"):
        asyncio.run(Pipeline([]).arun())


# ---- stress ----


def test_it_holds_when_threads_are_switched_all_the_time() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(scaled(20)):
            stored: list[int] = []
            size = functools.partial(random.randint, 1, 5)
            order = random.choice(ORDERS)
            retry = Retry(attempts=3, delay=random.choice([0.0, 0.001]))
            pipeline = of(order, range(100), lambda number, item: item, consumers=size(), maxsize=size())
            pipeline = pipeline.stage(Flaky(1), size(), maxsize=size(), retry=retry).stage(same, size(), maxsize=size())
            pipeline.sink(stored.append, size(), maxsize=size()).run()
            assert sorted(stored) == list(range(100))
            with pytest.raises(ValueError, match="bad item 50"):
                pipeline.sink(refuse(50), size(), maxsize=size()).run()
    finally:
        sys.setswitchinterval(interval)


def test_the_summary_counts_what_a_coroutine_waits_for() -> None:
    async def wait(item: int) -> None:
        await asyncio.sleep(0.01)

    summary = Pipeline(range(8)).stage(wait, 4).sink(same).run()
    assert 0.07 <= summary.stages[0].busy_seconds <= 4 * summary.seconds
    assert "wait           4         8          0        0" in str(summary)
