"""A pool of consumers handles all, loses nothing, ends when it should, and says what went wrong."""

# ruff: noqa: PT012 - what a pool raises comes out of its whole block

from __future__ import annotations

import dataclasses
import functools
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import headrace
import headrace.pool.work as work_module
from consumer_support import PATIENCE, eventually, none_stays, only_two_threads_start
from headrace import ConsumerPool, Dead, Ignore, Producer, Retry, Stop
from pool_support import threads, waiting_in, whereabouts, with_hooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

    Make = Callable[..., Any]

_no_thread_stays = none_stays(threads)

AT_ONCE = Retry(attempts=3, delay=0.0)


@pytest.fixture(params=["Queue", "LifoQueue", "PriorityQueue", "with hooks"])
def make(request: pytest.FixtureRequest, implementation: SimpleNamespace) -> Make:
    """The queues of both implementations, and a class of a program's own."""
    if request.param == "with hooks":
        return with_hooks(implementation.Queue)
    made: Make = getattr(implementation, request.param)
    return made


def refuse(*bad: Any, error: type[BaseException] = ValueError) -> Callable[[Any], None]:
    """A handler that fails for the items *bad*."""

    def handler(item: Any) -> None:
        if item in bad:
            raise error(f"bad item {item}")

    return handler


# ---- life ----


def test_every_item_is_handled_once_and_no_thread_is_left(make: Make) -> None:
    before = set(threading.enumerate())
    for _ in range(20):
        queue, handled = make(7), []
        with ConsumerPool(queue, handled.append) as pool:
            queue.put_many(range(50))
        assert set(threading.enumerate()) == before
        assert sorted(handled) == list(range(50))
        assert (pool.summary().items, queue.unfinished_tasks, queue.qsize()) == (50, 0, 0)


def test_a_pool_of_no_items_ends(make: Make) -> None:
    with ConsumerPool(make(), print) as pool:
        assert pool.running == 3
    assert pool.running == 0
    assert [one.items for one in pool.summary().per_consumer] == [0, 0, 0]


def test_items_that_were_put_before_the_pool_are_handled(make: Make) -> None:
    queue, handled = make(), []
    queue.put_many(range(20))
    with ConsumerPool(queue, handled.append):
        pass
    assert sorted(handled) == list(range(20))


def test_a_queue_that_was_shut_down_before_the_pool_is_drained(make: Make) -> None:
    queue, handled = make(), []
    queue.put_many(range(20))
    queue.shutdown()
    with ConsumerPool(queue, handled.append):
        pass
    assert sorted(handled) == list(range(20))


def test_a_queue_that_is_shut_down_in_the_block_is_drained(make: Make) -> None:
    queue, handled = make(), []
    with ConsumerPool(queue, handled.append):
        queue.put_many(range(20))
        queue.shutdown()
    assert sorted(handled) == list(range(20))


def test_items_whose_retries_come_after_the_shutdown_are_handled(make: Make) -> None:
    queue, attempts = make(), Counter[int]()

    def fails_once(item: int) -> None:
        attempts[item] += 1
        if attempts[item] == 1:
            raise ValueError

    queue.put_many(range(10))
    queue.shutdown()
    with ConsumerPool(queue, fails_once, retry=Retry(delay=0.02)) as pool:
        pass
    assert attempts == dict.fromkeys(range(10), 2)
    assert (pool.summary().items, pool.summary().retried, len(queue.dead)) == (10, 10, 0)


def test_a_queue_that_is_dropped_at_once_ends_the_pool(make: Make) -> None:
    queue, begun, go_on = make(), threading.Event(), threading.Event()

    def handler(item: int) -> None:
        begun.set()
        go_on.wait(PATIENCE)

    with ConsumerPool(queue, handler, consumers=1) as pool:
        queue.put_many(range(20))
        begun.wait(PATIENCE)
        queue.shutdown(immediate=True)
        go_on.set()
    assert pool.summary().items == 1


def test_producers_are_waited_for(make: Make) -> None:
    queue, handled, go_on = make(2), [], threading.Event()

    def late() -> Any:
        go_on.wait(PATIENCE)
        yield from range(100, 150)

    producers = [Producer(queue, range(50)), Producer(queue, late)]
    with ConsumerPool(queue, handled.append):
        for producer in producers:
            producer.start()
        threading.Timer(0.05, go_on.set).start()
    assert sorted(handled) == [*range(50), *range(100, 150)]


def test_the_queue_can_be_used_by_pool_after_pool(make: Make) -> None:
    queue, handled = make(), []
    for number in range(3):
        with ConsumerPool(queue, handled.append):
            queue.put(number)
    queue.put(3)
    assert queue.get() == 3
    assert sorted(handled) == [0, 1, 2]


def test_two_pools_may_share_a_queue(make: Make) -> None:
    queue, handled = make(5), []
    with ConsumerPool(queue, handled.append) as one, ConsumerPool(queue, handled.append) as other:
        queue.put_many(range(200))
    assert sorted(handled) == list(range(200))
    assert one.summary().items + other.summary().items == 200


def test_a_handler_may_put_and_leaving_waits_for_that_too(make: Make) -> None:
    queue, handled = make(), []

    def handler(item: int) -> None:
        handled.append(item)
        if item:
            queue.put(item - 1)

    with ConsumerPool(queue, handler):
        queue.put(30)
    assert sorted(handled) == list(range(31))


def test_an_exception_in_the_block_stops_at_once_and_what_was_not_begun_stays(make: Make) -> None:
    queue, done, go_on, begun = make(), [], threading.Event(), threading.Semaphore(0)

    def handler(item: int) -> None:
        begun.release()
        go_on.wait(PATIENCE)
        done.append(item)

    with pytest.raises(LookupError, match="mine"), ConsumerPool(queue, handler, consumers=2):
        queue.put_many(range(10))
        begun.acquire(timeout=PATIENCE)
        begun.acquire(timeout=PATIENCE)
        threading.Timer(0.02, go_on.set).start()
        raise LookupError("mine")
    assert len(done) == 2
    assert queue.qsize() == queue.unfinished_tasks == 8
    assert whereabouts(queue, done) == Counter(range(10))


def test_running_handlers_are_given_up_when_the_grace_is_over_and_their_items_are_given_back(make: Make) -> None:
    queue, done, go_on, begun = make(), [], threading.Event(), threading.Semaphore(0)

    def handler(item: int) -> None:
        begun.release()
        go_on.wait(PATIENCE)
        done.append(item)

    with pytest.raises(LookupError), ConsumerPool(queue, handler, consumers=2, grace=0.01) as pool:
        queue.put_many(range(10))
        begun.acquire(timeout=PATIENCE)
        begun.acquire(timeout=PATIENCE)
        raise LookupError
    assert done == []
    assert queue.unfinished_tasks == 10
    assert sorted(waiting_in(queue)) == list(range(10))
    go_on.set()
    eventually(lambda: len(done) == 2)
    eventually(lambda: not any(thread.name.startswith("ConsumerPool") for thread in threads()))
    assert queue.unfinished_tasks == 0  # their late results changed nothing
    assert pool.summary().items == 0


def test_stop_leaves_the_rest_in_the_queue_which_goes_on(make: Make) -> None:
    queue, done = make(), []

    def handler(item: int) -> None:
        done.append(item)
        pool.stop()

    with ConsumerPool(queue, handler, consumers=1) as pool:
        queue.put_many(range(10))
    assert len(done) == 1
    assert not queue.is_shutdown
    assert whereabouts(queue, done) == Counter(range(10))


def test_stop_from_another_thread_ends_a_pool_that_waits_for_its_queue(make: Make) -> None:
    queue = make()
    queue.put(1)
    assert queue.get() == 1  # somebody else holds it: the queue is never drained
    pool = ConsumerPool(queue, print)
    threading.Timer(0.05, pool.stop).start()
    with pool:
        pass
    assert queue.unfinished_tasks == 1


def test_stop_from_another_thread_ends_a_pool_that_waits_for_producers(make: Make) -> None:
    queue = make()
    producer = Producer(queue, [1])  # never started
    pool = ConsumerPool(queue, print)
    threading.Timer(0.05, pool.stop).start()
    with pool:
        pass
    assert producer.queue is queue


def test_resizing_changes_how_many_work_at_a_time(make: Make) -> None:
    queue, go_on, lock = make(), threading.Semaphore(0), threading.Lock()
    at_work = 0

    def handler(item: int) -> None:
        nonlocal at_work
        with lock:
            at_work += 1
        go_on.acquire(timeout=PATIENCE)
        with lock:
            at_work -= 1

    def at_work_are(size: int) -> bool:
        if at_work > size:
            go_on.release()
        return at_work == pool.busy == size

    with ConsumerPool(queue, handler, consumers=2) as pool:
        queue.put_many(range(1000))
        for size in (2, 6, 1, 4):
            pool.resize(size)
            assert pool.running == size
            eventually(functools.partial(at_work_are, size))
        go_on.release(1000)
    assert pool.summary().items == 1000


def test_resizing_down_ends_idle_consumers_and_no_item_is_lost(make: Make) -> None:
    queue, handled = make(), []
    with ConsumerPool(queue, handled.append, consumers=8) as pool:
        pool.resize(1)
        eventually(lambda: sum(thread.name.startswith("ConsumerPool-") for thread in threads()) == 1)
        queue.put_many(range(20))
    assert sorted(handled) == list(range(20))


def test_a_pool_that_is_not_at_work_is_not_resized(make: Make) -> None:
    pool = ConsumerPool(make(), print)
    with pytest.raises(RuntimeError, match="not at work"):
        pool.resize(2)
    with pool:
        pool.resize(2)
    with pytest.raises(RuntimeError, match="not at work"):
        pool.resize(2)


def test_resizing_while_the_pool_is_left_starts_nobody_who_stays(make: Make) -> None:
    queue = make()
    pool = ConsumerPool(queue, print)
    resize = pool._work.resize
    left = threading.Event()

    def late(count: int) -> None:
        left.wait(PATIENCE)  # between the question whether the pool is at work, and the deed
        resize(count)

    pool._work.resize = late  # type: ignore[method-assign]
    refused: list[BaseException] = []

    def resizing() -> None:
        try:
            pool.resize(5)
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=resizing)
    with pool:
        thread.start()
        eventually(thread.is_alive)
    left.set()
    thread.join(PATIENCE)
    assert len(refused) == 1
    assert pool.running == 0


def test_a_pool_is_entered_once() -> None:
    pool = ConsumerPool(headrace.Queue(), print)
    with pool, pytest.raises(RuntimeError, match="entered before"):
        pool.__enter__()
    with pytest.raises(RuntimeError, match="entered before"):
        pool.__enter__()


def test_threads_that_cannot_be_started_leave_no_other_behind(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = make()
    queue.put_many(range(3))
    handled: list[int] = []
    only_two_threads_start(monkeypatch)
    with pytest.raises(RuntimeError, match="can't start new thread"), ConsumerPool(queue, handled.append, consumers=5):
        pass
    monkeypatch.undo()
    assert not any(thread.name.startswith("ConsumerPool") for thread in threads())
    assert whereabouts(queue, handled) == Counter(range(3))


@pytest.mark.parametrize("way", ["plain", "timed", "keyed"])
@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_a_consumer_that_ends_itself_is_replaced_and_counted(make: Make, end: type[BaseException], way: str) -> None:
    queue, done = make(), []

    def handler(item: int) -> None:
        if item % 5 == 0:
            raise end(item)
        done.append(item)

    ways: dict[str, Any] = {"plain": {}, "timed": {"timeout": PATIENCE}, "keyed": {"key": lambda item: item % 2}}
    with ConsumerPool(queue, handler, consumers=2, on_error="dead", **ways[way]) as pool:
        queue.put_many(range(20))
        eventually(lambda: pool.summary().replaced == 4)
    assert whereabouts(queue, done) == Counter(range(20))
    summary = pool.summary()
    assert (summary.items, summary.dead, summary.replaced) == (16, 4, 4)
    assert [type(letter.error) for letter in queue.dead] == [end] * 4


def test_a_consumer_that_dies_of_a_bug_of_ours_is_replaced_and_its_item_is_handled(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    queue, handled, strikes = make(), [], [5, 10]
    pool = ConsumerPool(queue, handled.append, consumers=1)

    class Buggy(list[Any]):
        """A hand that breaks when the result is to be counted."""

        def pop(self, *arguments: Any) -> Any:
            if len(handled) in strikes:
                strikes.remove(len(handled))
                raise RuntimeError("a bug of ours")
            return super().pop(*arguments)

    class Consumer(work_module.PoolConsumer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.hand = Buggy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work_module, "PoolConsumer", Consumer)
        with pool:
            queue.put_many(range(20))
    assert pool.summary().replaced == 2
    assert set(handled) == set(range(20))
    assert len(handled) == 22  # better twice than lost
    assert queue.unfinished_tasks == 0
    assert "gives back the item that it held" in caplog.text


def test_a_queue_whose_get_always_fails_stops_the_pool(implementation: SimpleNamespace) -> None:
    class Broken(implementation.Queue):  # type: ignore[name-defined,misc]
        def _get(self) -> Any:
            raise ZeroDivisionError("a broken hook")

    queue = Broken()
    queue.put(1)
    with pytest.raises(ExceptionGroup) as caught, ConsumerPool(queue, print):
        pass
    assert {type(error) for error in caught.value.exceptions} == {ZeroDivisionError}
    assert queue.qsize() == 1


# ---- failures ----


def test_without_a_word_the_first_failure_stops_all_and_its_item_is_named(make: Make) -> None:
    queue = make()
    queue.put_many(range(10))
    with pytest.raises(ExceptionGroup) as caught, ConsumerPool(queue, refuse(*range(10)), consumers=1) as pool:
        pass
    (error,) = caught.value.exceptions
    (letter,) = queue.dead
    assert error.__notes__ == [f"while handling {letter.item}"]
    assert error.__traceback__ is not None
    assert "in handler" in letter.traceback
    assert pool.errors == (error,)
    assert queue.is_shutdown
    assert whereabouts(queue, []) == Counter(range(10))


def test_the_group_names_each_item_that_failed(make: Make) -> None:
    queue, together = make(), threading.Barrier(3)
    queue.put_many([1, 2, 3])

    def handler(item: int) -> None:
        together.wait(PATIENCE)
        raise ValueError(item)

    with pytest.raises(ExceptionGroup, match="3 items failed") as caught, ConsumerPool(queue, handler):
        pass
    assert {tuple(error.__notes__) for error in caught.value.exceptions} == {
        (f"while handling {item}",) for item in (1, 2, 3)
    }


def test_a_producer_that_is_blocked_in_put_wakes_when_the_pool_fails(make: Make) -> None:
    queue, ended = make(1), []

    def produce() -> None:
        try:
            for item in range(1000):
                queue.put(item)
        except headrace.ShutDown:
            ended.append(True)

    thread = threading.Thread(target=produce)
    with pytest.raises(ExceptionGroup), ConsumerPool(queue, refuse(5, 6, 7, 8), consumers=2):
        thread.start()
        thread.join(PATIENCE)
        assert ended


def test_a_block_that_is_blocked_in_put_when_the_pool_fails_ends_with_the_failure(make: Make) -> None:
    queue = make(1)
    with pytest.raises(ExceptionGroup) as caught, ConsumerPool(queue, refuse(5), consumers=2):
        queue.put_many(range(1_000_000))
    assert caught.value.exceptions[0].__notes__ == ["while handling 5"]
    assert caught.value.__cause__ is None


def test_producer_objects_end_when_the_pool_fails(make: Make) -> None:
    queue = make(1)
    producers = [Producer(queue, range(number, number + 1000)) for number in (0, 10_000)]
    with pytest.raises(ExceptionGroup), ConsumerPool(queue, refuse(5, 10_005)):
        for producer in producers:
            producer.start()
    for producer in producers:
        producer.join(PATIENCE)
        assert not producer.is_alive()


@pytest.mark.parametrize("fed_by", ["put", "producer", "shut down"])
def test_a_failed_pool_waits_for_hanging_handlers_no_longer_than_the_grace(make: Make, fed_by: str) -> None:
    queue, go_on, hangs = make(), threading.Event(), threading.Event()

    def handler(item: int) -> None:
        if item == 0:
            hangs.set()
            go_on.wait(PATIENCE)
        else:
            hangs.wait(PATIENCE)
            raise ValueError

    pool = ConsumerPool(queue, handler, consumers=2, grace=0.05)
    try:
        with pytest.raises(ExceptionGroup), pool:
            if fed_by == "producer":
                Producer(queue, [0, 1]).start()
            else:
                queue.put_many([0, 1])
            if fed_by == "shut down":
                queue.shutdown()
        assert not go_on.is_set()
        assert waiting_in(queue) == [0]
    finally:
        go_on.set()


def test_a_failure_after_stop_begins_the_grace_too(make: Make) -> None:
    queue, go_on, stopped = make(), threading.Event(), threading.Event()
    both = threading.Barrier(3)

    def handler(item: int) -> None:
        both.wait(PATIENCE)
        if item == 0:
            go_on.wait(PATIENCE)
        else:
            stopped.wait(PATIENCE)
            raise ValueError

    pool = ConsumerPool(queue, handler, consumers=2, grace=0.05)
    try:
        with pytest.raises(ExceptionGroup), pool:
            queue.put_many([0, 1])
            both.wait(PATIENCE)
            pool.stop()
            threading.Timer(0.1, stopped.set).start()
        assert waiting_in(queue) == [0]
    finally:
        go_on.set()


def test_an_error_of_the_block_comes_out_and_tells_of_the_failures_before_it(make: Make) -> None:
    queue = make()
    with pytest.raises(LookupError) as caught, ConsumerPool(queue, refuse(1)) as pool:
        queue.put(1)
        eventually(lambda: pool.errors)
        raise LookupError
    assert "bad item 1" in caught.value.__notes__[0]


def test_dead_items_are_listed_retried_and_dropped(make: Make) -> None:
    queue, done = make(), []
    with ConsumerPool(queue, refuse(3, 4), on_error="dead") as pool:
        queue.put_many(range(6))
    assert (pool.summary().items, pool.summary().dead) == (4, 2)
    assert queue.join(0) is None
    letters = sorted(queue.dead, key=lambda letter: letter.item)
    assert [(letter.item, letter.attempts, str(letter.error)) for letter in letters] == [
        (3, 1, "bad item 3"),
        (4, 1, "bad item 4"),
    ]
    assert all(letter.first_failed_at <= letter.failed_at for letter in letters)
    queue.dead.retry(letters[0].id)
    assert queue.dead.drop(letters[1].id) is letters[1]
    with ConsumerPool(queue, done.append):
        pass
    assert (done, len(queue.dead)) == ([3], 0)


def test_a_failed_item_is_tried_again_and_dies_after_the_last_attempt(make: Make) -> None:
    queue, attempts = make(), Counter[int]()

    def handler(item: int) -> None:
        attempts[item] += 1
        if attempts[item] <= item:
            raise ValueError(f"attempt {attempts[item]}")

    with ConsumerPool(queue, handler, retry=AT_ONCE) as pool:
        queue.put_many([0, 1, 2, 3])
    assert attempts == {0: 1, 1: 2, 2: 3, 3: 3}
    (letter,) = queue.dead
    assert (letter.item, letter.attempts, str(letter.error)) == (3, 3, "attempt 3")
    summary = pool.summary()
    assert (summary.items, summary.dead, summary.retried) == (3, 1, 5)


def test_only_failures_that_are_worth_it_are_tried_again(make: Make) -> None:
    queue = make()
    with ConsumerPool(queue, refuse(1, error=KeyError), retry=Retry(delay=0, on=OSError)) as pool:
        queue.put(1)
    assert [letter.attempts for letter in queue.dead] == [1]
    assert pool.summary().retried == 0


def test_with_stop_an_item_that_failed_for_the_last_time_stops_all(make: Make) -> None:
    queue = make()
    queue.put(1)
    with pytest.raises(ExceptionGroup), ConsumerPool(queue, refuse(1), retry=AT_ONCE, on_error="stop"):
        pass
    assert [letter.attempts for letter in queue.dead] == [3]


def test_while_an_item_waits_for_its_next_attempt_others_go_on(make: Make) -> None:
    queue, done = make(), []

    def handler(item: int) -> None:
        if item == 0 and len(done) < 50:
            raise ValueError
        done.append(item)

    with ConsumerPool(queue, handler, consumers=1, retry=Retry(attempts=10**6, delay=0.01, factor=1)):
        queue.put_many(range(51))
    assert done[-1] == 0
    assert sorted(done) == list(range(51))


def test_join_returns_when_all_are_done_or_dead(make: Make) -> None:
    queue = make()
    with ConsumerPool(queue, refuse(1, 2), retry=Retry(attempts=3, delay=0.01)):
        queue.put_many(range(5))
        queue.join(PATIENCE)
        assert sorted(letter.item for letter in queue.dead) == [1, 2]
        assert queue.stats().delayed == 0


def test_what_waits_for_its_next_attempt_when_the_pool_stops_comes_back_to_the_queue(make: Make) -> None:
    queue = make()
    with ConsumerPool(queue, refuse(*range(5)), retry=Retry(delay=0.1, jitter=False)) as pool:
        queue.put_many(range(5))
        eventually(lambda: queue.stats().delayed == 5)
        pool.stop()
    assert queue.unfinished_tasks == 5
    eventually(lambda: queue.qsize() == 5)
    lease = queue.lease()
    assert lease.attempt == 2
    lease.done()
    assert len(waiting_in(queue)) == 4


VERDICTS: dict[str, tuple[Any, int, int]] = {  # how often item 1 is tried, and how many die
    "Dead": (Dead, 1, 1),
    "Dead()": (Dead(), 1, 1),
    "Ignore": (Ignore, 1, 0),
    "Ignore()": (Ignore(), 1, 0),
    "Retry(2)": (Retry(attempts=2, delay=0), 2, 1),
    "Retry(1)": (Retry(attempts=1, delay=0), 1, 1),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_a_function_decides_for_each_failure(make: Make, name: str) -> None:
    verdict, tried, dead = VERDICTS[name]
    queue, asked = make(), []

    def decide(item: Any, error: BaseException, attempt: int) -> Any:
        asked.append((item, str(error), attempt))
        return verdict

    with ConsumerPool(queue, refuse(1), on_error=decide) as pool:
        queue.put_many(range(3))
    assert asked == [(1, "bad item 1", attempt + 1) for attempt in range(tried)]
    assert len(queue.dead) == pool.summary().dead == dead
    assert queue.unfinished_tasks == 0


@pytest.mark.parametrize("verdict", [Stop, Stop()])
def test_a_function_may_stop_all(make: Make, verdict: Any) -> None:
    queue = make()
    queue.put_many(range(3))
    with pytest.raises(ExceptionGroup), ConsumerPool(queue, refuse(1), on_error=lambda *failure: verdict):
        pass
    assert [letter.item for letter in queue.dead] == [1]


@pytest.mark.parametrize("nonsense", [None, "dead", 5, object, ValueError, type])
def test_a_function_that_returns_nonsense_stops_all_and_says_what_to_return(make: Make, nonsense: Any) -> None:
    queue = make()
    queue.put(1)
    with pytest.raises(ExceptionGroup) as caught, ConsumerPool(queue, refuse(1), on_error=lambda *failure: nonsense):
        pass
    (error,) = caught.value.exceptions
    assert isinstance(error, TypeError)
    assert "return headrace.Retry" in str(error)
    assert isinstance(error.__context__, ValueError)
    assert [letter.item for letter in queue.dead] == [1]


@pytest.mark.parametrize("kind", [LookupError, SystemExit])
def test_a_function_that_raises_stops_all(make: Make, kind: type[BaseException]) -> None:
    queue = make()
    queue.put(1)

    def decide(*failure: Any) -> Any:
        raise kind("of the function")

    with pytest.raises(BaseExceptionGroup) as caught, ConsumerPool(queue, refuse(1), on_error=decide):
        pass
    (error,) = caught.value.exceptions
    assert isinstance(error, kind)
    assert isinstance(error.__context__, ValueError)
    assert [letter.item for letter in queue.dead] == [1]


class Delays(Retry):
    """A policy of a program's own, with a mistake in it."""

    def delay_before(self, attempt: int) -> float:
        raise ZeroDivisionError


def test_a_policy_whose_delays_fail_stops_all_and_loses_nothing(make: Make) -> None:
    queue = make()
    queue.put(1)
    with pytest.raises(ExceptionGroup), ConsumerPool(queue, refuse(1), retry=Delays()):
        pass
    assert whereabouts(queue, []) == {1: 1}


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """An exception that cannot be changed: no notes, no other traceback."""

    number: int


class Nameless(Exception):
    """An exception that has no text."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class Noted(Exception):
    """An exception whose notes are none."""

    __notes__ = 5


@pytest.mark.parametrize("kind", [Frozen, Nameless, Noted])
@pytest.mark.parametrize("on_error", ["dead", "stop"])
def test_exceptions_of_the_odd_sort_lose_no_item(make: Make, kind: Any, on_error: str) -> None:
    queue = make()
    queue.put(1)

    def handler(item: int) -> None:
        raise kind(item)

    try:
        with ConsumerPool(queue, handler, on_error=on_error):
            pass
    except ExceptionGroup as group:
        assert on_error == "stop"
        (error,) = group.exceptions
        assert type(error) is kind
        assert error.__traceback__ is not None
    assert [letter.item for letter in queue.dead] == [1]
    assert queue.unfinished_tasks == 0


def test_an_item_that_the_queue_does_not_take_back_is_dead_and_not_lost(implementation: SimpleNamespace) -> None:
    class Refusing(implementation.Queue):  # type: ignore[name-defined,misc]
        def _put(self, item: Any) -> None:
            if item in tried:
                raise PermissionError("only once")
            super()._put(item)

    tried: set[int] = set()
    queue = Refusing()

    def handler(item: int) -> None:
        tried.add(item)
        raise ValueError

    for delay in (0.0, 0.001):
        tried.clear()
        with ConsumerPool(queue, handler, retry=Retry(delay=delay)):
            queue.put_many(range(3))
        assert sorted(letter.item for letter in queue.dead) == [0, 1, 2]
        queue.dead.drop_all()


def test_retried_items_keep_their_priority(implementation: SimpleNamespace) -> None:
    queue, handled = implementation.PriorityQueue(), []

    def handler(item: str) -> None:
        handled.append(item)
        if handled.count(item) < 2:
            raise ValueError

    for priority, item in enumerate("abc"):
        queue.put(item, priority=-priority)
    with ConsumerPool(queue, handler, consumers=1, retry=AT_ONCE):
        pass
    assert "".join(handled) == "ccbbaa"


@pytest.mark.parametrize("retry", [None, Retry(attempts=3, delay=0)], ids=["", "retry"])
def test_a_handler_that_settles_its_item_itself_stops_all_and_loses_nothing(make: Make, retry: Retry | None) -> None:
    queue = make()
    queue.put_many(range(40))
    with (
        pytest.raises(ExceptionGroup) as caught,
        ConsumerPool(queue, lambda item: queue.task_done(), retry=retry) as pool,
    ):
        eventually(lambda: pool.errors)
    assert "a handler must not call task_done()" in str(caught.value.exceptions[0])
    assert sorted([letter.item for letter in queue.dead] + waiting_in(queue)) == list(range(40))
    queue.join(timeout=0)  # and everybody else's task_done works, in the pool and behind it


def test_others_may_settle_what_they_take_while_a_pool_works(make: Make) -> None:
    queue, other = make(), make()
    other.put_many(range(5))

    def handler(item: int) -> None:
        other.get()
        other.task_done()
        with queue.lease(block=False) as lease:  # a handler may take more than it is given
            assert lease.attempt == 1

    queue.put_many([1, 2, 3])
    queue.get()
    with ConsumerPool(queue, handler, consumers=1, on_error="dead"):
        queue.task_done()
    assert len(queue.dead) == 0
    queue.join(timeout=0)


# ---- what is told ----


def test_a_pool_warns_of_items_that_died_where_nobody_has_said_that_they_may(caplog: pytest.LogCaptureFixture) -> None:
    for on_error, warnings in ((None, 1), ("dead", 0)):
        caplog.clear()
        queue = headrace.Queue()
        with ConsumerPool(queue, lambda item: 1 / item, retry=Retry(attempts=2, delay=0), on_error=on_error):
            queue.put_many([0, 1, 2])
        assert len(caplog.records) == warnings
    assert len(queue.dead) == 1


def test_a_pool_that_is_stopped_says_what_it_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    queue, begun, end = headrace.Queue(), threading.Event(), threading.Event()

    def handler(item: int) -> None:
        begun.set()
        end.wait(PATIENCE)

    threading.Thread(target=lambda: (eventually(lambda: caplog.records), end.set())).start()
    with pytest.raises(LookupError), ConsumerPool(queue, handler, name="Pool"):
        queue.put(1)
        begun.wait(PATIENCE)
        raise LookupError
    (record,) = caplog.records
    assert record.getMessage() == ("Pool is being stopped and waits for a handler that is running, for 10 s at most")


def test_listeners_are_told_all_in_order(make: Make) -> None:
    queue, told = make(), []

    def handler(item: int) -> None:
        if item == 1:
            raise ValueError

    with ConsumerPool(queue, handler, consumers=1, retry=Retry(attempts=2, delay=0), listeners=[told.append]):
        queue.put(0)
        queue.put_nowait(1)
        queue.put_many([2])
    assert Counter(event.kind for event in told) == {
        "put": 3, "started": 4, "done": 2, "retried": 1, "dead": 1, "stopped": 1,
    }  # fmt: skip
    mine = [event for event in told if event.item == 1 and event.kind != "put"]
    assert [(event.kind, event.attempt) for event in mine] == [
        ("started", 1), ("retried", 1), ("started", 2), ("dead", 2),
    ]  # fmt: skip
    assert len({event.id for event in mine}) == 1
    assert told[-1].kind == "stopped"


def test_after_the_pool_is_left_listeners_are_told_nothing(make: Make) -> None:
    queue, told, late = make(), [], threading.Event()
    slow = threading.Lock()

    def listener(event: Any) -> None:
        if event.kind == "stopped" and slow.acquire(blocking=False):
            late.wait(0.1)
        told.append(event.kind)

    with ConsumerPool(queue, lambda item: None, listeners=[listener]):
        queue.put_many(range(5))
    assert told.count("stopped") == 3
    assert not any(thread.name.startswith("ConsumerPool") for thread in threads())
    queue.put(1)
    assert told.count("put") == 5
    assert queue.get() == 1


@pytest.mark.parametrize("first_left", [0, 1])
def test_pools_that_share_a_queue_are_each_told_until_they_are_left(make: Make, first_left: int) -> None:
    queue = make()
    told: tuple[list[str], list[str]] = ([], [])
    pools = [ConsumerPool(queue, print, listeners=[lambda event, one=one: one.append(event.kind)]) for one in told]
    for pool in pools:
        pool.__enter__()
    for pool in pools:
        pool.stop()
    queue.put(1)
    pools[first_left].__exit__(None, None, None)
    queue.put(2)
    pools[1 - first_left].__exit__(None, None, None)
    queue.put(3)
    assert [told[first_left].count("put"), told[1 - first_left].count("put")] == [1, 2]
    assert sorted(waiting_in(queue)) == [1, 2, 3]


# ---- what is refused ----


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ({"queue": 7}, TypeError, "is no queue"),
        ({"queue": headrace.SimpleQueue()}, TypeError, "is no queue for a ConsumerPool"),
        ({"queue": headrace.Queue}, TypeError, "with parentheses"),
        ({"handler": "print"}, TypeError, "handler must be a function of one item, not str: 'print'"),
        ({"consumers": 0}, ValueError, "consumers must be at least 1 .*not 0"),
        ({"consumers": 2.0}, TypeError, "consumers must be a whole number .*not float: 2.0"),
        ({"kind": "process"}, headrace.NotSupported, "kind='thread'"),
        ({"kind": "threads"}, ValueError, "kind must be 'thread'"),
        ({"retry": 3}, TypeError, "retry must be a headrace.Retry"),
        ({"retry": Retry}, TypeError, "with parentheses"),
        ({"on_error": "ignore"}, ValueError, "on_error must be 'stop', 'dead', or a function"),
        ({"on_error": Dead}, ValueError, "on_error must be"),
        ({"timeout": 0}, ValueError, "timeout must be greater than 0"),
        ({"timeout": "1"}, TypeError, "timeout must be a number"),
        ({"timeout": float("nan")}, ValueError, "timeout must be greater than 0"),
        ({"rate": -1}, ValueError, "rate must be greater than 0"),
        ({"rate": True}, TypeError, "rate must be a number"),
        ({"key": "host"}, TypeError, "key must be a function of an item, not str: 'host'"),
        ({"per_key": 0}, ValueError, "per_key must be at least 1"),
        ({"grace": -1}, ValueError, "grace must be"),
        ({"listeners": [print, 5]}, TypeError, "a listener is a function of one event"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        ConsumerPool(**{"queue": headrace.Queue(), "handler": print, **arguments})


def test_a_queue_that_takes_nothing_back_is_refused() -> None:
    import queue as standard

    with pytest.raises(headrace.NotSupported):
        ConsumerPool(standard.Queue(), print)  # type: ignore[type-var,arg-type]


def test_a_summary_is_a_line_of_text(make: Make) -> None:
    queue = make()
    with ConsumerPool(queue, refuse(1), retry=AT_ONCE) as pool:
        queue.put_many(range(3))
    text = str(pool.summary())
    assert text.startswith("2 items done, 1 dead, 2 retried in ")
    assert text.endswith("by 3 consumers")
