"""A pool's time limit, its rate and its bound for a key: kept to, and no item is lost to them."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from consumer_support import PATIENCE, eventually, none_stays
from headrace import ConsumerPool, Retry
from headrace.pool import limits as limits_module
from headrace.pool.limits import TOLERANCE, Pace
from pool_support import threads, waiting_in, whereabouts, with_hooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

    Make = Callable[..., Any]

_no_thread_stays = none_stays(threads)

SHORT = 0.03  # seconds: a time limit that is meant to be broken


@pytest.fixture(params=["Queue", "LifoQueue", "PriorityQueue", "with hooks"])
def make(request: pytest.FixtureRequest, implementation: SimpleNamespace) -> Make:
    """The queues of both implementations, and a class of a program's own."""
    if request.param == "with hooks":
        return with_hooks(implementation.Queue)
    made: Make = getattr(implementation, request.param)
    return made


# ---- the time limit ----


class Hanging:
    """A handler that hangs at some items, the first time only or always, until it is released."""

    def __init__(self, *bad: int, always: bool = False, then: BaseException | None = None) -> None:
        self.bad = set(bad)
        self.always = always
        self.then = then
        self.go_on = threading.Event()
        self.done: list[int] = []
        self.late: list[int] = []

    def __call__(self, item: int) -> None:
        if item in self.bad:
            if not self.always:
                self.bad.discard(item)
            self.go_on.wait(PATIENCE)
            self.late.append(item)
            if self.then is not None:
                raise self.then
            return
        self.done.append(item)


def test_a_handler_that_takes_too_long_is_written_off_and_replaced_and_its_item_dies(make: Make) -> None:
    queue, handler = make(), Hanging(1, 2, always=True)
    with ConsumerPool(queue, handler, consumers=2, timeout=SHORT, on_error="dead") as pool:
        queue.put_many(range(10))
        queue.join(PATIENCE)
        assert pool.running == 2
        assert not handler.late
    summary = pool.summary()
    assert (summary.items, summary.dead, summary.timed_out, summary.replaced) == (8, 2, 2, 2)
    assert {type(letter.error) for letter in queue.dead} == {TimeoutError}
    assert "took longer than 0.03 s" in str(next(iter(queue.dead)).error)
    handler.go_on.set()
    eventually(lambda: len(handler.late) == 2)
    assert whereabouts(queue, handler.done) == Counter(range(10))


@pytest.mark.parametrize("then", [None, ValueError(), SystemExit()], ids=["done", "failed", "exited"])
def test_a_late_result_is_ignored(make: Make, then: BaseException | None) -> None:
    queue, handler = make(), Hanging(1, 2, then=then)
    with ConsumerPool(queue, handler, timeout=SHORT, retry=Retry(delay=0)) as pool:
        queue.put_many(range(10))
        queue.join(PATIENCE)
        handler.go_on.set()
        eventually(lambda: len(handler.late) == 2)
        queue.put_many(range(10, 20))
    summary = pool.summary()
    assert (summary.items, summary.dead, summary.retried, summary.timed_out) == (20, 0, 2, 2)
    assert queue.unfinished_tasks == 0
    assert whereabouts(queue, handler.done) == Counter(range(20))


def test_an_item_that_takes_too_long_stops_all_if_that_is_wanted(make: Make) -> None:
    queue, handler = make(), Hanging(1)
    with pytest.raises(ExceptionGroup) as caught, ConsumerPool(queue, handler, timeout=SHORT, grace=0.01):
        queue.put_many(range(10))
    (error,) = caught.value.exceptions
    assert isinstance(error, TimeoutError)
    assert error.__notes__ == ["while handling 1"]
    handler.go_on.set()


def test_a_function_decides_about_items_that_take_too_long_in_a_consumer_s_thread(make: Make) -> None:
    queue, handler, asked = make(), Hanging(1, always=True), []

    def decide(item: Any, error: BaseException, attempt: int) -> Any:
        asked.append((item, type(error), attempt, threading.current_thread().name.startswith("ConsumerPool-")))
        return Retry(attempts=2, delay=0)

    with ConsumerPool(queue, handler, timeout=SHORT, on_error=decide):
        queue.put(1)
    assert asked == [(1, TimeoutError, 1, True), (1, TimeoutError, 2, True)]
    handler.go_on.set()


def test_a_consumer_that_was_told_to_end_is_not_replaced_when_it_takes_too_long(make: Make) -> None:
    queue, handler = make(), Hanging(0, 1, 2, always=True)
    with ConsumerPool(queue, handler, timeout=5 * SHORT, on_error="dead") as pool:
        queue.put_many(range(3))
        eventually(lambda: pool.busy == 3)
        pool.resize(1)
        queue.join(PATIENCE)
        eventually(lambda: len(pool._work.consumers) == 1)
        assert pool.running == 1
    assert pool.summary().timed_out == 3
    handler.go_on.set()


def test_every_consumer_may_hang_and_the_pool_goes_on(make: Make) -> None:
    queue, handler = make(), Hanging(*range(20), always=True)
    with ConsumerPool(queue, handler, timeout=0.01, on_error="dead") as pool:
        queue.put_many(range(30))
    assert (pool.summary().items, pool.summary().dead, pool.summary().timed_out) == (10, 20, 20)
    handler.go_on.set()


def test_who_is_quick_enough_is_left_alone(make: Make) -> None:
    queue, handler = make(), Hanging()
    with ConsumerPool(queue, handler, timeout=PATIENCE) as pool:
        queue.put_many(range(500))
    assert (pool.summary().items, pool.summary().timed_out, pool.summary().replaced) == (500, 0, 0)


@pytest.mark.parametrize("seconds", [float("inf"), 1e300, 10**12])
def test_limits_beyond_all_times_are_no_limits(make: Make, seconds: float) -> None:
    queue, handled = make(), []
    with ConsumerPool(queue, handled.append, timeout=seconds, grace=seconds) as pool:
        queue.put_many(range(5))
    assert pool.summary().items == 5
    # and the timer, which serves the whole process, lives
    with ConsumerPool(queue, Hanging(1).__call__, timeout=SHORT, on_error="dead") as pool:
        pool.queue.put(0)


def test_a_pool_with_a_time_limit_is_gone_when_nobody_has_it() -> None:
    import gc
    import weakref

    pool = ConsumerPool(headrace.Queue(), print, timeout=1e6)
    with pool:
        pass
    seen = weakref.ref(pool._work)
    del pool
    gc.collect()
    assert seen() is None


# ---- the rate ----


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits_module, "monotonic", clock)
    return clock


@pytest.mark.parametrize("rate", [0.5, 10.0, 150.0])
def test_turns_come_at_the_rate_and_are_not_saved_up(clock: Clock, rate: float) -> None:
    pace = Pace(rate)
    assert [pace.reserve()[0] for _ in range(4)] == pytest.approx([n / rate - TOLERANCE for n in range(4)])
    clock.now += 1000 / rate
    assert [pace.reserve()[0] for _ in range(3)] == pytest.approx([n / rate - TOLERANCE for n in range(3)])


def test_in_no_span_of_time_begin_more_than_the_rate_and_the_tolerance_allow(clock: Clock) -> None:
    import random

    chance = random.Random(5)
    for rate in (3.0, 40.0, 500.0):
        pace, begun = Pace(rate), []
        for _ in range(300):
            clock.now += chance.choice([0.0, 0.3, 1.0, 5.0]) * chance.random() / rate
            begun.append(clock.now + max(0.0, pace.reserve()[0]))
        for first in range(0, 300, 7):
            for last in range(first + 1, 300):
                span = begun[last] - begun[first] + TOLERANCE
                assert last - first <= rate * span + 1e-6


def test_a_turn_that_is_given_back_is_given_to_nobody_twice(clock: Clock) -> None:
    pace = Pace(1.0)
    turns = [pace.reserve() for _ in range(3)]
    pace.give_back(turns[0][1])  # in the middle: lost
    assert pace.reserve()[0] == pytest.approx(3.0 - TOLERANCE)
    last = pace.reserve()
    pace.give_back(last[1])  # the last: the next one's
    assert pace.reserve() == last


def test_the_rate_is_the_whole_pool_s(make: Make) -> None:
    queue, handled = make(), []
    queue.put_many(range(21))
    begun = monotonic()
    with ConsumerPool(queue, handled.append, consumers=5, rate=100):
        pass
    assert monotonic() - begun >= 0.2 - TOLERANCE
    assert sorted(handled) == list(range(21))


def test_who_waits_for_his_turn_gives_his_item_back_when_the_pool_stops(make: Make) -> None:
    queue, handled = make(), []
    queue.put_many(range(10))
    with ConsumerPool(queue, handled.append, consumers=4, rate=1e-3) as pool:
        eventually(lambda: len(handled) == 1 and queue.qsize() <= 6)
        pool.stop()
    assert len(handled) == 1
    assert queue.unfinished_tasks == 9
    assert whereabouts(queue, handled) == Counter(range(10))


def test_what_waits_for_its_turn_goes_back_in_its_order(implementation: SimpleNamespace) -> None:
    for _ in range(20):
        queue, handled = implementation.Queue(), []
        queue.put_many(range(10))
        with ConsumerPool(queue, handled.append, consumers=5, rate=1e-3) as pool:
            eventually(lambda: handled and queue.qsize() == 4)  # noqa: B023
            pool.stop()
        left = waiting_in(queue)
        assert left[-4:] == [6, 7, 8, 9]
        assert sorted(handled + left) == list(range(10))
        # The numbers are drawn just behind the taking: two consumers may change places, no more.
        assert sum(one > other for one, other in itertools.pairwise(left)) <= 2


def test_resizing_down_frees_who_waits_for_his_turn(make: Make) -> None:
    queue, handled = make(), []
    queue.put_many(range(10))
    with ConsumerPool(queue, handled.append, consumers=6, rate=1e-3) as pool:
        eventually(lambda: queue.qsize() == 3)
        pool.resize(1)
        eventually(lambda: queue.qsize() == 8)
        pool.stop()
    assert whereabouts(queue, handled) == Counter(range(10))


@pytest.mark.parametrize("rate", [1e-300, 1e-10])
def test_a_rate_slower_than_all_times_hangs_nothing(make: Make, rate: float) -> None:
    queue, handled = make(), []
    queue.put_many(range(3))
    with ConsumerPool(queue, handled.append, rate=rate) as pool:
        eventually(lambda: handled and queue.qsize() == 0)
        pool.stop()
    assert len(handled) == 1
    assert not pool.errors
    assert whereabouts(queue, handled) == Counter(range(3))


def test_items_wait_no_longer_for_a_rate_that_is_never_reached(make: Make) -> None:
    queue, handled = make(), []
    with ConsumerPool(queue, handled.append, rate=float("inf")):
        queue.put_many(range(100))
    assert len(handled) == 100


# ---- the bound for a key ----


class Counting:
    """A handler that knows how many of each key it is handling."""

    def __init__(self, key: Callable[[Any], Any]) -> None:
        self.key = key
        self.lock = threading.Lock()
        self.now: Counter[Any] = Counter()
        self.most: Counter[Any] = Counter()
        self.done: list[Any] = []
        self.gates: dict[Any, threading.Event] = {}

    def __call__(self, item: Any) -> None:
        key = self.key(item)
        with self.lock:
            self.now[key] += 1
            self.most[key] = max(self.most[key], self.now[key])
        gate = self.gates.get(key)
        if gate is not None:
            gate.wait(PATIENCE)
        with self.lock:
            self.now[key] -= 1
            self.done.append(item)


def tens(item: int) -> int:
    return item // 10


@pytest.mark.parametrize("per_key", [1, 2, 3])
@pytest.mark.parametrize("maxsize", [0, 1, 5])
def test_of_a_key_no_more_than_the_bound_are_handled_at_a_time(make: Make, per_key: int, maxsize: int) -> None:
    queue, handler = make(maxsize), Counting(tens)
    with ConsumerPool(queue, handler, consumers=6, key=tens, per_key=per_key):
        queue.put_many(range(200))
    assert max(handler.most.values()) <= per_key
    assert sorted(handler.done) == list(range(200))


def test_items_of_other_keys_go_on_while_one_is_busy(make: Make) -> None:
    queue, handler = make(), Counting(tens)
    gate = handler.gates[0] = threading.Event()
    with ConsumerPool(queue, handler, consumers=2, key=tens):
        queue.put_many(range(100))
        eventually(lambda: len(handler.done) == 90)
        assert handler.now[0] == 1
        gate.set()
    assert sorted(handler.done) == list(range(100))


def test_what_is_parked_goes_back_in_its_order_when_the_pool_stops(implementation: SimpleNamespace) -> None:
    queue, handler = implementation.Queue(), Counting(lambda item: item % 3)
    handler.gates = {key: threading.Event() for key in range(3)}
    with ConsumerPool(queue, handler, consumers=4, key=lambda item: item % 3) as pool:
        queue.put_many([0, 1, 2])
        eventually(lambda: pool.busy == 3)
        queue.put_many(range(3, 30))
        eventually(lambda: pool._work.limits._parked_count == 27)  # type: ignore[union-attr]
        assert queue.qsize() == 0
        pool.stop()
        for key in (1, 2, 0):
            handler.gates[key].set()
    assert sorted(handler.done) == [0, 1, 2]
    assert waiting_in(queue) == list(range(3, 30))


def test_what_is_parked_is_not_lost_when_its_consumer_is_resized_away(make: Make) -> None:
    queue, handler = make(), Counting(tens)
    gate = handler.gates[0] = threading.Event()
    with ConsumerPool(queue, handler, consumers=4, key=tens) as pool:
        queue.put_many(range(20))
        eventually(lambda: pool._work.limits._parked_count == 9)  # type: ignore[union-attr]
        busy = next(one for one in pool._work.consumers if one.hand)
        with pool._work.lock:  # as resize does, but this one for certain
            busy.tell_to_stop()
        gate.set()
    assert sorted(handler.done) == list(range(20))
    assert handler.most[0] == 1


def test_a_key_is_free_again_when_its_handler_is_written_off(make: Make) -> None:
    queue, handler = make(), Hanging(0, always=True)
    with ConsumerPool(queue, handler, consumers=2, key=tens, timeout=SHORT, on_error="dead") as pool:
        queue.put_many(range(10))
    assert pool.summary().timed_out == 1
    handler.go_on.set()
    assert whereabouts(queue, handler.done) == Counter(range(10))


@pytest.mark.parametrize("options", [{}, {"timeout": PATIENCE}, {"rate": 1e6}])
def test_failures_and_retries_leave_the_key_to_the_next(make: Make, options: dict[str, Any]) -> None:
    queue, attempts, done = make(), Counter[int](), []

    def handler(item: int) -> None:
        attempts[item] += 1
        if attempts[item] < 3 and item % 3 == 0:
            raise ValueError
        done.append(item)

    with ConsumerPool(queue, handler, key=tens, retry=Retry(delay=0.001), **options):
        queue.put_many(range(60))
    assert whereabouts(queue, done) == Counter(range(60))


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_a_consumer_that_ends_itself_leaves_its_key_and_what_is_parked(make: Make, end: type[BaseException]) -> None:
    queue, done = make(), []

    def handler(item: int) -> None:
        if item % 4 == 0:
            raise end
        done.append(item)

    with ConsumerPool(queue, handler, key=tens, on_error="dead"):
        queue.put_many(range(60))
    assert whereabouts(queue, done) == Counter(range(60))


def bad_key(item: int) -> Any:
    if item == 3:
        raise LookupError("no key")
    if item == 4:
        return ["unhashable"]
    if item == 5:
        raise SystemExit
    return item % 2


def test_an_item_without_a_key_fails_as_if_its_handler_had(make: Make) -> None:
    queue, done = make(), []
    with ConsumerPool(queue, done.append, key=bad_key, on_error="dead") as pool:
        queue.put_many(range(10))
    assert {letter.item: type(letter.error) for letter in queue.dead} == {3: LookupError, 4: TypeError, 5: SystemExit}
    assert whereabouts(queue, done) == Counter(range(10))
    assert pool.summary().dead == 3


def test_an_item_without_a_key_stops_all_where_failures_do(make: Make) -> None:
    queue, done = make(), []
    with pytest.raises(BaseExceptionGroup), ConsumerPool(queue, done.append, key=bad_key, consumers=1):
        queue.put_many(range(10))
    assert whereabouts(queue, done).keys() <= set(range(10))
    assert len(queue.dead) == 1


def test_a_full_park_wakes_when_the_pool_stops(make: Make) -> None:
    queue, handler = make(2), Counting(lambda item: 0)
    gate = handler.gates[0] = threading.Event()
    with ConsumerPool(queue, handler, consumers=5, key=lambda item: 0, grace=PATIENCE) as pool:
        queue.put_many(range(5))  # one in hand, two are parked, two wait
        eventually(lambda: pool._work.limits._parked_count >= 2)  # type: ignore[union-attr]
        pool.stop()
        gate.set()
    assert len(handler.done) == 1
    assert whereabouts(queue, handler.done) == Counter(range(5))


def test_no_more_are_parked_than_the_queue_s_bound_and_a_few(make: Make) -> None:
    queue, handler = make(3), Counting(lambda item: 0)
    gate = handler.gates[0] = threading.Event()
    most = 0
    with ConsumerPool(queue, handler, consumers=4, key=lambda item: 0) as pool:
        limits: Any = pool._work.limits
        for item in range(40):
            try:
                queue.put(item, timeout=0.002)
            except headrace.Full:
                break
        most = limits._parked_count
        gate.set()
    assert most <= 3 + 4
    assert limits._parked_count == 0
    assert sorted(handler.done) == list(range(len(handler.done)))


def test_rate_key_and_time_limit_go_together(make: Make) -> None:
    queue, handler = make(), Counting(tens)
    with ConsumerPool(queue, handler, consumers=4, key=tens, per_key=2, rate=2000, timeout=PATIENCE) as pool:
        queue.put_many(range(100))
    assert max(handler.most.values()) <= 2
    assert (pool.summary().items, pool.summary().timed_out) == (100, 0)


def test_a_pool_with_limits_leaves_no_thread(make: Make) -> None:
    before = threads()
    for _ in range(10):
        with ConsumerPool(make(), print, rate=10, key=tens, timeout=1):
            pass
    assert threads() == before
