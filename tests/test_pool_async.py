"""Coroutines as consumers: a pool of them does what one of threads does, and leaves nothing in the loop behind."""

# ruff: noqa: PT012 - what a pool raises comes out of its whole block

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import logging
import random
import threading
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from aio_support import LOOPS, new_loop, until
from conftest import load
from consumer_support import PATIENCE, eventually, none_stays
from headrace import ConsumerPool, Dead, Ignore, Producer, Retry, Stop
from headrace.pool import async_pool, async_watch
from headrace.pool.async_news import LoopNews
from pool_support import waiting_in, whereabouts, with_hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from pathlib import Path

    Make = Callable[..., Any]


def threads() -> set[threading.Thread]:
    """All threads but those of the package, which end when nobody has needed them for a while."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("headrace")}


_no_thread_stays = none_stays(threads)

AT_ONCE = Retry(attempts=3, delay=0.0)
FORMS = ["async with", "with"]


@pytest.fixture(autouse=True, scope="module")
def _what_there_was_before() -> Iterator[None]:
    """Is no garbage of ours: to look for that takes a tenth of a second otherwise, after each test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _no_task_is_destroyed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """asyncio logs what a loop has forgotten, and what nobody has looked at."""
    yield
    gc.collect()
    told = [record for record in caplog.get_records("call") if record.name == "asyncio"]
    assert not told, [record.getMessage() for record in told]


@pytest.fixture(params=["c", "python", "c, with hooks", "python, with hooks", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Queues of both implementations, of a class of a program's own, and in a file."""
    name, *hooks = request.param.split(", ")
    if name != "file":
        queue = load(name).Queue
        yield with_hooks(queue) if hooks else queue
        return
    made: list[Any] = []

    def make_file(maxsize: int = 0) -> Any:
        made.append(headrace.open(tmp_path / f"{len(made)}.db", maxsize=maxsize, durability="process"))
        return made[-1]

    yield make_file
    for queue in made:
        queue.close()


def run(main: Callable[[], Coroutine[Any, Any, Any]], loop: str = "asyncio") -> Any:
    """Run *main* to its end in a new loop, where nothing may stay behind."""

    async def whole() -> Any:
        result = await main()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return result

    with asyncio.Runner(loop_factory=lambda: new_loop(loop)) as runner:
        return runner.run(whole())


def work(form: str, queue: Any, handler: Any, items: Iterable[Any], loop: str = "asyncio", **options: Any) -> Any:
    """Handle *items* with a pool that is entered in that form. Returns it."""
    pool: Any = ConsumerPool(queue, handler, kind="async", **options)

    async def main() -> None:
        async with pool:
            await queue.aio.put_many(items)

    if form == "async with":
        run(main, loop)
    else:
        with pool:
            queue.put_many(items)
    return pool


def refuse(*bad: Any, error: type[BaseException] = ValueError) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """A handler that fails for the items *bad*."""

    async def handler(item: Any) -> None:
        await asyncio.sleep(0)
        if item in bad:
            raise error(f"bad item {item}")

    return handler


async def ignore(item: object) -> None:
    """A handler that never waits."""


class Gate:
    """A handler that waits until it is let go, and says how many came in, and how they went out."""

    def __init__(self) -> None:
        self.inside = 0
        self.done: list[Any] = []
        self.cancelled: list[Any] = []
        self.open = asyncio.Event()

    async def __call__(self, item: Any) -> None:
        self.inside += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        finally:
            self.inside -= 1
        self.done.append(item)


# ---- life ----


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("form", FORMS)
def test_every_item_is_handled_once_and_nothing_is_left(make: Make, form: str, loop: str) -> None:
    queue, handled = make(7), []

    async def handler(item: int) -> None:
        await asyncio.sleep(0)
        handled.append(item)

    pool = work(form, queue, handler, range(100), loop, consumers=10)
    assert sorted(handled) == list(range(100))
    assert (pool.running, pool.busy, pool.errors) == (0, 0, ())
    assert (pool.summary().items, len(pool.summary().per_consumer), queue.stats().unfinished) == (100, 10, 0)


@pytest.mark.parametrize("form", FORMS)
def test_a_pool_of_no_items_ends(make: Make, form: str) -> None:
    assert work(form, make(), ignore, []).summary().items == 0


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_a_queue_that_is_shut_down_is_drained(make: Make, form: str, before: bool) -> None:
    queue, handled = make(), []

    async def handler(item: int) -> None:
        handled.append(item)
        if item == 0 and not before:
            queue.shutdown()

    queue.put_many(range(20))
    if before:
        queue.shutdown()
    work(form, queue, handler, [])
    assert sorted(handled) == list(range(20))


def test_items_whose_retries_come_after_the_shutdown_are_handled(make: Make) -> None:
    queue, attempts = make(), Counter[int]()

    async def fails_once(item: int) -> None:
        attempts[item] += 1
        if attempts[item] == 1:
            raise ValueError

    queue.put_many(range(10))
    if hasattr(queue, "path"):
        pytest.skip("an object of a file that is shut down leaves what is tried again later to others")
    queue.shutdown()
    pool = work("async with", queue, fails_once, [], retry=Retry(delay=0.02))
    assert attempts == dict.fromkeys(range(10), 2)
    assert (pool.summary().items, pool.summary().retried) == (10, 10)


@pytest.mark.parametrize("form", FORMS)
def test_as_many_handlers_run_at_a_time_as_there_are_consumers(make: Make, form: str) -> None:
    inside, most = 0, 0

    async def handler(item: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        while most < 100:  # all are needed
            await asyncio.sleep(0)
        inside -= 1

    work(form, make(), handler, range(200), consumers=100)
    assert most == 100


def test_the_consumers_of_a_plain_with_share_one_loop_in_a_thread_of_its_own(make: Make) -> None:
    homes: set[Any] = set()

    async def handler(item: int) -> None:
        homes.add((threading.current_thread(), asyncio.get_running_loop()))

    work("with", make(), handler, range(50), name="Fetch")
    ((thread, loop),) = homes
    assert thread is not threading.current_thread()
    assert thread.name == "Fetch-loop"
    assert loop.is_closed()
    assert not thread.is_alive()


def test_threads_put_for_coroutines(make: Make) -> None:
    queue, handled = make(3), []

    async def handler(item: int) -> None:
        handled.append(item)

    async def main() -> None:
        async with ConsumerPool(queue, handler, kind="async"):
            for producer in (one, other):
                producer.start()

    one, other = (Producer(queue, range(start, start + 100)) for start in (0, 100))
    run(main)
    one.join()
    other.join()
    assert sorted(handled) == list(range(200))


def test_one_consumer_keeps_the_order(make: Make) -> None:
    queue, handled = make(), []

    async def handler(item: int) -> None:
        await asyncio.sleep(0)
        handled.append(item)

    work("async with", queue, handler, range(50), consumers=1)
    assert handled == sorted(handled, reverse="Hooked" in type(queue).__name__ and handled[0] != 0)


def test_the_asynchronous_face_of_a_queue_is_as_good_as_the_queue() -> None:
    queue: headrace.AsyncQueue[int] = headrace.AsyncQueue()

    async def main() -> int:
        async with ConsumerPool(queue, ignore, kind="async") as pool:
            await queue.put_many(range(10))
        return pool.summary().items

    assert run(main) == 10


def test_handlers_that_never_wait_let_the_loop_run(make: Make) -> None:
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def handler(item: int) -> Any:
        end = monotonic() + 0.001
        while monotonic() < end:
            pass
        return ignore(item)

    async def main() -> None:
        ticking = asyncio.create_task(tick())
        queue.put_many(range(100))
        async with ConsumerPool(queue, handler, consumers=20, kind="async"):
            pass
        ticking.cancel()
        await asyncio.wait([ticking])

    queue = make()
    run(main)
    assert turns > 10, turns  # some 40 of 2 ms, and not one for each round of the consumers


def test_handlers_see_the_context_that_the_pool_was_entered_in(make: Make) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="other")
    seen = set()

    async def handler(item: int) -> None:
        seen.add(variable.get())

    variable.set("mine")
    work("async with", make(), handler, range(5))
    work("with", make(), handler, range(5))
    assert seen == {"mine"}


@pytest.mark.parametrize("form", FORMS)
def test_a_handler_is_whatever_returns_something_to_await(form: str) -> None:
    handled: list[Any] = []

    async def append(to: list[Any], item: Any) -> None:
        to.append(item)

    class Handler:
        async def __call__(self, item: Any) -> None:
            handled.append(item)

    def to_a_future(item: Any) -> asyncio.Future[None]:
        handled.append(item)
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    ways: list[Any] = [functools.partial(append, handled), lambda item: append(handled, item), Handler(), to_a_future]
    for handler in ways:
        work(form, headrace.Queue(), handler, [1])
    assert handled == [1, 1, 1, 1]


# ---- what is refused ----


@pytest.mark.parametrize("form", FORMS)
def test_a_plain_function_is_refused_when_it_returns(make: Make, form: str) -> None:
    queue = make()
    with pytest.raises(TypeError, match=r"returned None, which cannot be awaited.*kind='thread'"):
        work(form, queue, print, [1, 2, 3], consumers=1, retry=AT_ONCE, on_error="dead")
    assert len(whereabouts(queue, [])) == 3


def test_a_coroutine_function_is_refused_by_a_pool_of_threads() -> None:
    with pytest.raises(TypeError, match=r"coroutine function.*say kind='async'"):
        ConsumerPool(headrace.Queue(), ignore)


def test_functions_that_do_nothing_when_called_are_refused() -> None:
    def generator(item: int) -> Any:
        yield item

    async def agenerator(item: int) -> Any:
        yield item

    async def decide(*arguments: Any) -> None: ...

    for handler in (generator, agenerator):
        with pytest.raises(TypeError, match="generator function"):
            ConsumerPool(headrace.Queue(), handler, kind="async")
    for more in ({"on_error": decide}, {"key": decide}):
        with pytest.raises(TypeError, match="plain function"):
            ConsumerPool(headrace.Queue(), ignore, kind="async", **more)  # type: ignore[arg-type]


def test_each_form_is_refused_where_it_would_hold_up_the_loop() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="async with"), ConsumerPool(headrace.Queue(), ignore, kind="async"):
            pass
        with pytest.raises(TypeError, match="kind='async'"):
            async with ConsumerPool(headrace.Queue(), print):
                pass

    run(main)


def test_a_pool_is_entered_once() -> None:
    async def main() -> None:
        pool = ConsumerPool(headrace.Queue(), ignore, kind="async")
        async with pool:
            with pytest.raises(RuntimeError, match="was entered before"):
                await pool.__aenter__()
        with pytest.raises(RuntimeError, match="was entered before"), pool:
            pass

    run(main)


def test_trio_is_refused() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        with pytest.raises(headrace.NotSupported, match="trio"):
            async with ConsumerPool(headrace.Queue(), ignore, kind="async"):
                pass
        with pytest.raises(headrace.NotSupported, match="trio"):
            await headrace.aconsume([1], ignore)

    trio.run(main)


# ---- failures ----


@pytest.mark.parametrize("form", FORMS)
def test_what_fails_is_tried_again_and_dies(make: Make, form: str, caplog: pytest.LogCaptureFixture) -> None:
    queue = make()
    pool = work(form, queue, refuse(3, 5), range(10), retry=AT_ONCE)
    assert (pool.summary().items, pool.summary().dead, pool.summary().retried) == (8, 2, 4)
    assert sorted((letter.item, letter.attempts) for letter in queue.dead) == [(3, 3), (5, 3)]
    assert "2 items have failed for good" in caplog.text


@pytest.mark.parametrize("form", FORMS)
def test_without_a_retry_the_first_failure_stops_all(make: Make, form: str) -> None:
    queue = make()
    queue.put_many(range(10))
    with pytest.raises(ExceptionGroup, match="was stopped: an item failed") as raised:
        work(form, queue, refuse(*range(10)), [], consumers=1)
    (error,) = raised.value.exceptions
    assert isinstance(error, ValueError)
    assert error.__notes__[0].startswith("while handling ")
    assert error.__traceback__ is not None
    assert queue.is_shutdown
    assert (len(queue.dead), queue.qsize()) == (1, 9)


@pytest.mark.parametrize("form", FORMS)
def test_a_function_decides_what_becomes_of_a_failure(make: Make, form: str) -> None:
    queue = make()

    def decide(item: int, error: BaseException, attempt: int) -> Any:
        return {0: Ignore, 1: Dead, 2: Retry(attempts=2, delay=0.0), 3: Stop}[item % 4]

    pool = work(form, queue, refuse(0, 1, 2), range(3), on_error=decide, consumers=1)
    assert (pool.summary().items, pool.summary().dead, pool.summary().retried) == (1, 2, 1)
    with pytest.raises(ExceptionGroup):
        work(form, make(), refuse(3), [3], on_error=decide)


@pytest.mark.parametrize("form", FORMS)
def test_a_handler_that_exits_has_failed_and_ends_neither_loop_nor_program(make: Make, form: str) -> None:
    queue = make()
    pool = work(form, queue, refuse(3, error=SystemExit), range(6), on_error="dead")
    assert (pool.summary().items, pool.summary().dead) == (5, 1)


def test_a_cancellation_that_comes_from_what_a_handler_awaits_is_its_failure(make: Make) -> None:
    async def handler(item: int) -> None:
        if item == 1:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

    queue = make()
    pool = work("async with", queue, handler, range(3), on_error="dead")
    assert (pool.summary().items, [letter.item for letter in queue.dead]) == (2, [1])


def test_a_consumer_that_somebody_else_cancels_stops_the_pool_and_gives_its_item_back(make: Make) -> None:
    queue = make()

    async def handler(item: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(PATIENCE)

    with pytest.raises(ExceptionGroup) as raised:
        work("async with", queue, handler, range(3), consumers=1)
    assert "not by its pool" in str(raised.value.exceptions[0])
    assert sorted(waiting_in(queue)) == [0, 1, 2]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("face", ["queue", "aio"])
def test_a_handler_that_settles_its_item_itself_is_told_not_to(make: Make, form: str, face: str) -> None:
    queue = make()

    async def handler(item: int) -> None:
        await asyncio.sleep(0)
        (queue if face == "queue" else queue.aio).task_done()

    with pytest.raises(ExceptionGroup, match="stopped") as raised:
        work(form, queue, handler, [1], retry=AT_ONCE)
    assert "must not call task_done" in str(raised.value.exceptions[0])


# ---- time limits ----


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("form", FORMS)
def test_a_handler_that_takes_too_long_is_cancelled_and_its_item_fails(make: Make, form: str, loop: str) -> None:
    queue, cleaned = make(), []

    async def handler(item: int) -> None:
        if item % 2:
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                await asyncio.sleep(0)
                cleaned.append(item)

    pool = work(form, queue, handler, range(6), loop, timeout=0.05, on_error="dead", consumers=2)
    assert sorted(cleaned) == [1, 3, 5]
    assert (pool.summary().items, pool.summary().timed_out, pool.summary().replaced) == (3, 3, 0)
    assert sorted(letter.item for letter in queue.dead) == [1, 3, 5]
    assert all("took longer than 0.05 s" in str(letter.error) for letter in queue.dead)


def test_how_a_cancelled_handler_ends_does_not_count(make: Make) -> None:
    queue = make()

    async def handler(item: str) -> None:
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            if item == "raises":
                raise ValueError from None

    pool = work("async with", queue, handler, ["returns", "raises"], timeout=0.03, on_error="dead")
    assert (pool.summary().items, pool.summary().timed_out) == (0, 2)
    assert all("took longer" in str(letter.error) for letter in queue.dead)


def test_what_was_cancelled_in_time_is_tried_again(make: Make) -> None:
    queue, attempts = make(), Counter[int]()

    async def handler(item: int) -> None:
        attempts[item] += 1
        async with asyncio.timeout(PATIENCE):  # which must not take our cancellation for its own
            await asyncio.sleep(PATIENCE if attempts[item] == 1 else 0)

    pool = work("async with", queue, handler, range(3), timeout=0.05, retry=AT_ONCE, consumers=1)
    assert (pool.summary().items, pool.summary().retried, pool.summary().timed_out) == (3, 3, 3)


@pytest.mark.parametrize("form", FORMS)
def test_who_ignores_the_time_limit_is_written_off_and_replaced(
    make: Make, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_watch, "REACTION", 0.03)
    queue, ended, has_ended = make(), [], threading.Event()

    async def handler(item: int) -> None:
        if item == 0:
            while queue.stats().unfinished:
                try:
                    await asyncio.sleep(0.001)
                except asyncio.CancelledError:
                    ended.append("cancelled")
            ended.append("ended")
            has_ended.set()

    async def until_it_has_ended() -> None:
        async with pool:
            await queue.aio.put_many(range(3))
        await until(has_ended.is_set)
        await asyncio.sleep(0)

    pool: Any = ConsumerPool(queue, handler, 1, "async", timeout=0.05, on_error="dead")
    if form == "async with":
        run(until_it_has_ended)
    else:
        with pool:
            queue.put_many(range(3))
        assert has_ended.wait(PATIENCE)
    assert (pool.summary().items, pool.summary().timed_out, pool.summary().replaced) == (2, 1, 1)
    assert [letter.item for letter in queue.dead] == [0]
    assert ended == ["cancelled", "ended"]


# ---- limits ----


@pytest.mark.parametrize("form", FORMS)
def test_a_rate_holds_for_the_whole_pool(make: Make, form: str) -> None:
    begun: list[float] = []

    async def handler(item: int) -> None:
        begun.append(monotonic())

    work(form, make(), handler, range(20), consumers=10, rate=200.0)
    assert len(begun) == 20
    assert max(begun) - min(begun) >= 19 / 200 - 0.02


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("per_key", [1, 2])
def test_of_items_with_the_same_key_few_are_handled_at_a_time(make: Make, form: str, per_key: int) -> None:
    inside, most, handled = Counter[int](), Counter[int](), []

    async def handler(item: int) -> None:
        key = item % 3
        inside[key] += 1
        most[key] = max(most[key], inside[key])
        await asyncio.sleep(0.001)
        inside[key] -= 1
        handled.append(item)

    work(form, make(4), handler, range(45), consumers=9, key=lambda item: item % 3, per_key=per_key)
    assert sorted(handled) == list(range(45))
    assert set(most.values()) == {per_key}


def test_an_item_without_a_key_fails(make: Make) -> None:
    queue = make()
    pool = work("async with", queue, ignore, [1, 0, 2], key=lambda item: 1 // item, on_error="dead")
    assert (pool.summary().items, [letter.item for letter in queue.dead]) == (2, [0])


def test_what_waits_for_its_turn_goes_back_when_the_pool_is_stopped(make: Make) -> None:
    queue, done = make(), []

    async def handler(item: int) -> None:
        done.append(item)

    async def main() -> None:
        queue.put_many(range(20))
        async with ConsumerPool(queue, handler, 4, "async", rate=1.0, key=lambda item: item % 2) as pool:
            await until(lambda: done)
            pool.stop()

    run(main)
    assert whereabouts(queue, done) == dict.fromkeys(range(20), 1)


# ---- while it works ----


@pytest.mark.parametrize("form", FORMS)
def test_a_pool_is_resized(make: Make, form: str) -> None:
    queue = make()

    async def main() -> None:
        gate = Gate()
        async with ConsumerPool(queue, gate, 2, "async") as pool:
            await queue.aio.put_many(range(50))
            await until(lambda: gate.inside == 2)
            pool.resize(10)
            await until(lambda: gate.inside == 10)
            assert (pool.running, pool.busy) == (10, 10)
            pool.resize(3)
            assert (pool.running, pool.busy) == (3, 10)
            gate.open.set()
            await until(lambda: len(gate.done) == 50)
            await until(lambda: len(pool._work.consumers) == 3)
            await asyncio.to_thread(pool.resize, 5)
            assert pool.running == 5
        with pytest.raises(RuntimeError):
            pool.resize(2)

    def in_threads() -> None:
        inside, go_on = [], threading.Event()

        async def handler(item: int) -> None:
            inside.append(item)
            while not go_on.is_set():
                await asyncio.sleep(0.001)

        with ConsumerPool(queue, handler, 2, "async") as pool:
            queue.put_many(range(50))
            pool.resize(10)
            eventually(lambda: len(inside) == 10)
            pool.resize(3)
            assert (pool.running, pool.busy) == (3, 10)
            go_on.set()
        assert len(inside) == 50

    run(main) if form == "async with" else in_threads()


@pytest.mark.parametrize("form", FORMS)
def test_after_stop_what_waits_stays_in_the_queue(make: Make, form: str) -> None:
    queue, done = make(), []

    async def handler(item: int) -> None:
        done.append(item)
        pool.stop()
        await asyncio.sleep(0.01)

    queue.put_many(range(20))
    pool: Any = ConsumerPool(queue, handler, 3, "async")

    async def main() -> None:
        async with pool:
            pass

    if form == "async with":
        run(main)
    else:
        with pool:
            pass
    assert 1 <= len(done) <= 3
    assert not queue.is_shutdown
    assert whereabouts(queue, done) == dict.fromkeys(range(20), 1)


@pytest.mark.parametrize("form", FORMS)
def test_listeners_are_told_of_everything(make: Make, form: str) -> None:
    queue, told, attempts = make(), Counter[str](), Counter[int]()

    async def handler(item: int) -> None:
        attempts[item] += 1
        if item == 1 or (item == 2 and attempts[item] == 1):
            raise ValueError

    pool: Any = ConsumerPool(
        queue, handler, 2, "async", retry=AT_ONCE, on_error="dead", listeners=[lambda event: told.update([event.kind])]
    )

    async def main() -> None:
        async with pool:
            for item in range(4):
                await asyncio.to_thread(queue.put, item)

    if form == "async with":
        run(main)
    else:
        with pool:
            queue.put_many(range(4))
    assert told == {"put": 4, "started": 7, "done": 3, "retried": 3, "dead": 1, "stopped": 2}


# ---- the end ----


def test_leaving_with_an_exception_lets_handlers_come_to_their_end(make: Make) -> None:
    queue = make()

    async def main() -> Gate:
        gate = Gate()
        with pytest.raises(ZeroDivisionError):
            async with ConsumerPool(queue, gate, 3, "async"):
                await queue.aio.put_many(range(10))
                await until(lambda: gate.inside == 3)
                asyncio.get_running_loop().call_later(0.01, gate.open.set)
                raise ZeroDivisionError
        return gate

    gate = run(main)
    assert (len(gate.done), gate.cancelled) == (3, [])
    assert queue.is_shutdown
    assert whereabouts(queue, gate.done) == dict.fromkeys(range(10), 1)


@pytest.mark.parametrize("form", FORMS)
def test_when_the_grace_is_over_handlers_are_cancelled_and_their_items_given_back(make: Make, form: str) -> None:
    queue, inside, cancelled = make(), [], []

    async def handler(item: int) -> None:
        inside.append(item)
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            await asyncio.sleep(0)
            cancelled.append(item)

    pool: Any = ConsumerPool(queue, handler, 3, "async", grace=0.02)

    async def main() -> None:
        async with pool:
            await queue.aio.put_many(range(10))
            await until(lambda: len(inside) == 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        if form == "async with":
            run(main)
        else:
            with pool:
                queue.put_many(range(10))
                eventually(lambda: len(inside) == 3)
                raise ZeroDivisionError
    assert sorted(cancelled) == sorted(inside)
    assert whereabouts(queue, []) == dict.fromkeys(range(10), 1)


@pytest.mark.parametrize("form", FORMS)
def test_who_ignores_being_cancelled_is_left_behind_and_its_item_given_back(
    make: Make, form: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(async_pool, "REACTION", 0.05)
    queue, inside, go_on = make(), [], threading.Event()

    async def handler(item: int) -> None:
        inside.append(item)
        while not go_on.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                inside.append("cancelled")

    pool: Any = ConsumerPool(queue, handler, 1, "async", grace=0.02, name="Stubborn")

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with pool:
                await queue.aio.put_many(range(3))
                await until(lambda: inside)
                raise ZeroDivisionError
        gc.collect()
        go_on.set()
        await until(lambda: len(asyncio.all_tasks()) == 1)

    if form == "async with":
        run(main)
    else:
        with pytest.raises(ZeroDivisionError), pool:
            queue.put_many(range(3))
            eventually(lambda: inside)
            raise ZeroDivisionError
        go_on.set()
    assert inside[1:] == ["cancelled"]
    assert whereabouts(queue, []) == dict.fromkeys(range(3), 1)
    assert "a handler was cancelled, and not ended" in caplog.text


def test_cancelling_the_task_again_does_not_wait_for_handlers(make: Make) -> None:
    queue = make()

    async def main() -> Gate:
        gate = Gate()

        async def whole() -> None:
            async with ConsumerPool(queue, gate, 3, "async", grace=1000):
                await queue.aio.put_many(range(10))
                await asyncio.sleep(PATIENCE)

        task = asyncio.create_task(whole())
        await until(lambda: gate.inside == 3)
        task.cancel()
        await until(lambda: queue.is_shutdown)
        for _ in range(5):
            await asyncio.sleep(0)
        assert gate.inside == 3
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return gate

    gate = run(main)
    assert (len(gate.cancelled), gate.done) == (3, [])
    assert whereabouts(queue, []) == dict.fromkeys(range(10), 1)


def test_a_task_that_is_cancelled_as_it_waits_for_the_end_stops_the_pool(make: Make) -> None:
    queue = make()

    async def main() -> Gate:
        gate = Gate()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                async with ConsumerPool(queue, gate, 3, "async", grace=0):
                    await queue.aio.put_many(range(10))
        return gate

    gate = run(main)
    assert len(gate.cancelled) == 3
    assert whereabouts(queue, []) == dict.fromkeys(range(10), 1)


POLICIES: list[dict[str, Any]] = [
    {},
    {"on_error": "dead"},
    {"retry": AT_ONCE},
    {"timeout": 0.002, "retry": AT_ONCE},
    {"key": lambda item: item % 3, "per_key": 2},
    {"rate": 5000.0},
    {"rate": 5000.0, "key": lambda item: item % 3, "timeout": 60.0},
    {"listeners": [lambda event: None]},
]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("seed", range(3))
def test_wherever_the_task_is_cancelled_no_item_is_lost_or_done_twice(  # noqa: C901 - a whole program
    make: Make, loop: str, seed: int
) -> None:
    chance = random.Random(seed)

    async def once() -> None:
        queue = make(chance.choice([0, 5]))
        options = chance.choice(POLICIES)
        done: list[int] = []
        put = 0

        async def handler(item: int) -> None:
            for _ in range(chance.choice([0, 0, 1, 3])):
                await asyncio.sleep(chance.choice([0, 0.0005]))
            if item % 7 == 0 and chance.random() < 0.3:
                raise ValueError(item)
            done.append(item)

        async def whole() -> None:
            nonlocal put
            async with ConsumerPool(queue, handler, chance.choice([1, 3, 8]), "async", grace=60, **options):
                for item in range(40):
                    await queue.aio.put(item)
                    put += 1
                    if chance.random() < 0.3:
                        await asyncio.sleep(0)

        task = asyncio.create_task(whole())
        for _ in range(chance.randrange(150)):
            await asyncio.sleep(chance.choice([0, 0, 0, 0.0002]))
        for _ in range(chance.choice([1, 1, 2])):
            task.cancel()
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
        await asyncio.wait([task])
        outcome = None if task.cancelled() else task.exception()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, (left, outcome, options)
        # In a file what was taken as the pool was stopped may be given back a moment later.
        await until(lambda: not queue.stats().leased, f"all is given back: {options}")
        where = whereabouts(queue, done)
        assert all(where[item] == 1 for item in range(put)), (options, where, put, queue.stats(), list(queue.dead))
        assert set(where) <= set(range(put + 1))

    async def main() -> None:
        for _ in range(15):
            await once()

    run(main, loop)


def test_pools_may_be_nested(make: Make) -> None:
    first, second, done = make(2), make(2), []

    async def pass_on(item: int) -> None:
        await second.aio.put(item)

    async def finish(item: int) -> None:
        await asyncio.sleep(0)
        done.append(item)

    async def main() -> None:
        async with (
            ConsumerPool(second, finish, 3, "async"),
            ConsumerPool(first, pass_on, 3, "async"),
        ):
            await first.aio.put_many(range(50))

    run(main)
    assert sorted(done) == list(range(50))


def test_when_an_inner_pool_fails_the_outer_one_gives_back_what_waits(make: Make) -> None:
    first, second, done = make(2), make(), []

    async def pass_on(item: int) -> None:
        await second.aio.put(item)
        if item == 5:
            raise ValueError(item)

    async def finish(item: int) -> None:
        done.append(item)

    async def main() -> int:
        put = 0
        with pytest.raises(ExceptionGroup, match="First was stopped"):
            async with (
                ConsumerPool(second, finish, 3, "async", name="Second"),
                ConsumerPool(first, pass_on, 1, "async", name="First"),
            ):
                for put in range(50):
                    await first.aio.put(put)
        return put

    put = run(main)
    passed_on, kept = [*done, *waiting_in(second)], whereabouts(first, [])
    assert len(set(passed_on)) == len(passed_on)
    assert set(range(put)) <= set(passed_on) | kept.keys()
    assert set(passed_on) & kept.keys() == {5}


def test_a_loop_that_is_closed_in_the_middle_leaves_the_queue_whole(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    queue, inside = make(), []

    async def handler(item: int) -> None:
        inside.append(item)
        await asyncio.get_running_loop().create_future()

    async def whole() -> None:
        async with ConsumerPool(queue, handler, 3, "async"):
            await queue.aio.put_many(range(10))
            await asyncio.get_running_loop().create_future()

    loop = asyncio.new_event_loop()
    task = loop.create_task(whole())
    while len(inside) < 3:
        loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    del task
    gc.collect()
    caplog.clear()  # asyncio says rightly that tasks were destroyed
    assert whereabouts(queue, []) == dict.fromkeys(range(10), 1)


def test_many_consumers_that_wait_end_at_once(make: Make) -> None:
    async def main() -> float:
        begun = monotonic()
        async with ConsumerPool(make(), ignore, 500, "async") as pool:
            await until(lambda: pool.running == 500)
        return monotonic() - begun

    assert run(main) < 5  # some 30 ms


def test_the_log_says_whom_a_pool_that_is_stopped_waits_for(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        gate = Gate()
        with pytest.raises(ZeroDivisionError):
            async with ConsumerPool(queue, gate, 1, "async", grace=0.6, name="Slow"):
                await queue.aio.put(1)
                await until(lambda: gate.inside)
                raise ZeroDivisionError

    queue = make()
    with caplog.at_level(logging.WARNING):
        run(main)
    assert "Slow is being stopped and waits for a handler that is running" in caplog.text


@pytest.mark.parametrize("loop", LOOPS)
def test_a_wait_for_news_ends_when_its_time_is_over(loop: str) -> None:
    async def main() -> None:
        news = LoopNews(asyncio.get_running_loop())
        for number in range(60):  # of a clock of milliseconds some end a moment too early
            with pytest.raises(headrace.Empty):
                await asyncio.wait_for(news.hear(0.0013 * (number % 4)), PATIENCE)
        asyncio.get_running_loop().call_soon(news.put, "news")
        assert await news.hear(None) == "news"

    run(main, loop)
