# pyright: basic
"""``shutdown`` in all its corners: what Python 3.13 specifies, and what its own tests check, restated."""

from __future__ import annotations

import queue as standard
import threading
from typing import TYPE_CHECKING, Any

from headrace.errors import Empty, Full, ShutDown
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import DEADLINE, Call, calls, give_others_a_chance, until, until_blocked

if TYPE_CHECKING:
    from headrace.testing.promise import Make


@promise("shutdown")
def shutdown_returns_nothing_and_is_told(make: Make) -> None:
    queue = make()
    assert queue.is_shutdown is False
    assert queue.shutdown() is None
    assert queue.is_shutdown is True


@promise("shutdown")
def shutdown_is_the_standard_library_s_where_it_has_one(make: Make) -> None:
    queue = make()
    queue.shutdown()
    with raises(getattr(standard, "ShutDown", ShutDown)) as caught:
        queue.get()
    assert type(caught.error) is ShutDown
    assert not isinstance(caught.error, (Empty, Full))


@promise("shutdown")
def after_shutdown_an_empty_queue_gives_and_takes_nothing(make: Make) -> None:
    for immediate in (False, True):
        queue = make()
        queue.shutdown(immediate)
        _refuses_every_put(queue)
        _refuses_every_get(queue)


def _refuses_every_put(queue: Any) -> None:
    for arguments in [(1,), (1, False), (1, True, 1.0), (1, True, 0)]:
        with raises(ShutDown):
            queue.put(*arguments)
    with raises(ShutDown):
        queue.put_nowait(1)


def _refuses_every_get(queue: Any) -> None:
    for arguments in [(), (False,), (True, 1.0), (True, 0)]:
        with raises(ShutDown):
            queue.get(*arguments)
    with raises(ShutDown):
        queue.get_nowait()


@promise("shutdown")
def after_shutdown_the_rest_is_served(make: Make) -> None:
    queue = make()
    for item in range(4):
        queue.put(item)
    queue.shutdown()
    _refuses_every_put(queue)
    taken = [queue.get(), queue.get_nowait(), queue.get(timeout=1), queue.get(False)]
    assert sorted(taken) == [0, 1, 2, 3]
    _refuses_every_get(queue)


@promise("shutdown")
def immediate_shutdown_serves_nothing(make: Make) -> None:
    for arguments, named in [((True,), {}), ((), {"immediate": True}), ((1,), {})]:
        queue = make()
        queue.put(1)
        queue.shutdown(*arguments, **named)
        _refuses_every_put(queue)
        _refuses_every_get(queue)


@promise("shutdown", "dropping")
def immediate_shutdown_drops_what_waits(make: Make) -> None:
    for arguments, named in [((True,), {}), ((), {"immediate": True}), ((1,), {})]:
        queue = make()
        queue.put(1)
        queue.shutdown(*arguments, **named)
        assert queue.qsize() == 0
        assert queue.empty()


@promise("shutdown")
def shutdown_may_be_repeated_and_made_immediate(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.put(2)
    queue.shutdown()
    queue.shutdown(immediate=False)
    queue.get()
    queue.shutdown(immediate=True)
    _refuses_every_get(queue)
    queue.shutdown(immediate=False)
    _refuses_every_get(queue)
    queue.shutdown(immediate=True)
    assert queue.is_shutdown is True


@promise("shutdown", "dropping")
def a_shutdown_that_is_made_immediate_drops_the_rest(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.put(2)
    queue.shutdown()
    queue.get()
    queue.shutdown(immediate=True)
    assert queue.empty()
    _refuses_every_get(queue)


@promise("shutdown", "bounded")
def shutdown_wins_over_full(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1)
    queue.shutdown()
    _refuses_every_put(queue)
    assert queue.full()
    queue.get()
    assert not queue.full()
    _refuses_every_put(queue)


@promise("shutdown", "bounded")
def shutdown_wins_over_a_bad_timeout(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1)
    queue.shutdown()
    with raises(ShutDown):
        queue.put(2, timeout=-1)
    with raises(ValueError):
        queue.get(timeout=-1)
    queue.get()
    with raises(ShutDown):
        queue.get(timeout=-1)


@promise("shutdown")
def shutdown_wakes_every_blocked_get(make: Make) -> None:
    for immediate in (False, True):
        queue = make()
        getters = [*calls(3, queue.get), *calls(2, queue.get, timeout=DEADLINE)]
        until_blocked(queue, getters=5)
        queue.shutdown(immediate)
        for getter in getters:
            assert type(getter.error()) is ShutDown


@promise("shutdown", "bounded")
def shutdown_wakes_every_blocked_put(make: Make) -> None:
    for immediate in (False, True):
        queue = make(maxsize=1)
        queue.put(0)
        putters = [*calls(3, queue.put, 1), *calls(2, queue.put, 2, timeout=DEADLINE)]
        until_blocked(queue, putters=5)
        queue.shutdown(immediate)
        for putter in putters:
            assert type(putter.error()) is ShutDown
        assert immediate or drain(queue) == [0]


@promise("shutdown", "bounded", "dropping")
def a_put_that_waits_while_the_rest_is_dropped_does_not_go_in(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(0)
    putters = calls(3, queue.put, 1)
    until_blocked(queue, putters=3)
    queue.shutdown(immediate=True)
    for putter in putters:
        assert type(putter.error()) is ShutDown
    assert queue.qsize() == 0


@promise("shutdown", "bounded")
def a_put_woken_by_shutdown_does_not_go_in_although_there_is_room(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(0)
    putter = Call(queue.put, 1)
    until_blocked(queue, putters=1)
    queue.shutdown()
    assert type(putter.error()) is ShutDown
    assert drain(queue) == [0]


@promise("shutdown", "settling")
def immediate_shutdown_settles_what_it_drops(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    queue.shutdown(immediate=True)
    queue.join(timeout=0)
    with raises(ValueError):
        queue.task_done()


@promise("shutdown", "settling")
def immediate_shutdown_wakes_who_joins(make: Make) -> None:
    queue = make()
    queue.put(1)
    joiners = calls(3, queue.join)
    give_others_a_chance()
    queue.shutdown(immediate=True)
    for joiner in joiners:
        assert joiner.result() is None


@promise("shutdown", "settling")
def join_still_waits_for_items_that_were_fetched_before_an_immediate_shutdown(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    queue.get()
    queue.shutdown(immediate=True)
    with raises(TimeoutError):
        queue.join(timeout=0.001)
    joiner = Call(queue.join)
    queue.task_done()
    joiner.result()
    with raises(ValueError):
        queue.task_done()


@promise("shutdown", "settling")
def after_a_plain_shutdown_join_waits_for_the_rest(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.put(2)
    joiner = Call(queue.join)
    queue.shutdown()
    for _ in range(2):
        with raises(TimeoutError):
            queue.join(timeout=0)
        queue.get()
        queue.task_done()
    joiner.result()


@promise("shutdown", "settling", "counted")
def the_unfinished_count_never_falls_below_zero(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.put(2)
    queue.task_done()
    queue.task_done()
    queue.shutdown(immediate=True)
    queue.join(timeout=0)
    with raises(ValueError):
        queue.task_done()


@promise("shutdown", "settling", "bounded")
def all_methods_answer_in_one_thread_after_shutdown(make: Make) -> None:
    for immediate in (False, True):
        queue = make(maxsize=2)
        queue.put("L")
        queue.put_nowait("O")
        queue.shutdown(immediate)
        _refuses_every_put(queue)
        if not immediate:
            for _ in range(2):
                assert queue.get() in "LO"
                queue.task_done()
        else:
            with raises(ValueError):
                queue.task_done()
        queue.join()
        _refuses_every_get(queue)


@promise("shutdown", "bounded")
def of_more_getters_than_items_the_rest_learns_of_the_shutdown(make: Make) -> None:
    queue = make(maxsize=2)
    queue.put(1)
    queue.put(2)
    queue.shutdown()
    getters = calls(3, queue.get)
    errors = [getter.error() for getter in getters]
    assert [type(error) for error in errors if error] == [ShutDown]
    assert sorted(getter.result() for getter, error in zip(getters, errors, strict=True) if not error) == [1, 2]


@promise("shutdown", "settling")
def getters_that_settle_let_joiners_go(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.put(2)
    joiners = calls(2, queue.join)
    getters = calls(2, lambda: (queue.get(), queue.task_done()))
    queue.shutdown()
    for call in [*getters, *joiners]:
        call.result()


@promise("shutdown", "settling")
def all_methods_in_many_threads_end_at_shutdown(make: Make) -> None:
    for immediate in (False, True):
        queue = make()
        puts, gets = _traffic_until_shutdown(queue, immediate)
        assert gets <= puts
        if not immediate:
            assert gets == puts
            assert queue.empty()
        queue.join(timeout=DEADLINE)


@promise("shutdown", "settling", "dropping")
def after_an_immediate_shutdown_amid_traffic_nothing_waits(make: Make) -> None:
    queue = make()
    _traffic_until_shutdown(queue, immediate=True)
    assert queue.empty()
    queue.join(timeout=DEADLINE)


def _traffic_until_shutdown(queue: Any, immediate: bool) -> tuple[int, int]:
    """Shut a queue down while three threads put and three get. Returns how many items each side saw."""
    ready = threading.Barrier(7)
    progress: list[int] = []
    producers = calls(3, _put_until_shutdown, queue, ready, progress)
    consumers = calls(3, _get_until_shutdown, queue, ready)
    ready.wait(DEADLINE)
    until(lambda: len(progress) > 10, "items were put")
    queue.shutdown(immediate)
    puts = sum(producer.result() for producer in producers)
    return puts, sum(consumer.result() for consumer in consumers)


def _put_until_shutdown(queue: Any, ready: threading.Barrier, progress: list[int]) -> int:
    count = 0
    ready.wait(DEADLINE)
    try:
        while True:
            queue.put(count)
            count += 1
            if count < 10:
                progress.append(count)
    except ShutDown:
        return count


def _get_until_shutdown(queue: Any, ready: threading.Barrier) -> int:
    count = 0
    ready.wait(DEADLINE)
    try:
        while True:
            queue.get()
            count += 1
            queue.task_done()
    except ShutDown:
        return count


@promise("shutdown", "item")
def item_learns_of_the_shutdown_like_get(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.shutdown()
    with queue.item() as item:
        assert item == 1
    with raises(ShutDown), queue.item():
        raise AssertionError("there was nothing to get")
    queue.join(timeout=0)


@promise("shutdown", "peek")
def after_shutdown_what_waits_can_still_be_peeked_at(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.shutdown()
    assert queue.peek() == 1
    assert queue.get() == 1
    with raises(Empty):
        queue.peek()


@promise("shutdown", "clear", "settling")
def after_shutdown_the_rest_can_be_cleared(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.shutdown()
    assert queue.clear() == 1
    with raises(ShutDown):
        queue.get()
    queue.join(timeout=0)


@promise("shutdown", "batches")
def put_many_says_how_many_went_in_before_the_shutdown(make: Make) -> None:
    queue = make(maxsize=2)
    putter = Call(queue.put_many, [0, 1, 2, 3])
    until_blocked(queue, putters=1)
    queue.shutdown()
    error = putter.error()
    assert type(error) is ShutDown
    assert error.put_count == 2
    assert error.pending == ()
    assert sorted(drain(queue)) == [0, 1]


@promise("shutdown", "batches")
def of_an_iterator_nothing_is_lost_when_the_queue_is_shut_down(make: Make) -> None:
    queue = make(maxsize=2)
    source = iter(range(5))
    putter = Call(queue.put_many, source)
    until_blocked(queue, putters=1)
    queue.shutdown()
    error = putter.error()
    assert type(error) is ShutDown
    assert error.put_count == 2
    assert [*error.pending, *source] == [2, 3, 4]
    assert sorted(drain(queue)) == [0, 1]


@promise("shutdown", "batches", "lazy")
def put_many_from_an_iterator_gives_the_drawn_item_back(make: Make) -> None:
    queue = make(maxsize=2)
    source = iter(range(5))
    putter = Call(queue.put_many, source)
    until_blocked(queue, putters=1)
    queue.shutdown()
    error = putter.error()
    assert type(error) is ShutDown
    assert error.put_count == 2
    assert error.pending == (2,)
    assert list(source) == [3, 4]
    assert sorted(drain(queue)) == [0, 1]


@promise("shutdown", "batches")
def put_many_on_a_queue_that_is_shut_down_puts_nothing(make: Make) -> None:
    queue = make()
    queue.shutdown()
    with raises(ShutDown) as caught:
        queue.put_many([1, 2])
    assert (caught.error.put_count, caught.error.pending) == (0, ())
    source = iter([1, 2])
    with raises(ShutDown) as caught:
        queue.put_many(source)
    assert caught.error.put_count == 0
    assert [*caught.error.pending, *source] == [1, 2]
    assert queue.empty()


@promise("shutdown", "batches", "lazy")
def put_many_on_a_queue_that_is_shut_down_draws_one_item(make: Make) -> None:
    queue = make()
    queue.shutdown()
    with raises(ShutDown) as caught:
        queue.put_many(iter([1, 2]))
    assert (caught.error.put_count, caught.error.pending) == (0, (1,))


@promise("shutdown", "batches")
def get_many_serves_the_rest_and_then_raises(make: Make) -> None:
    queue = make()
    queue.put_many(range(5))
    queue.shutdown()
    assert len(queue.get_many(3)) == 3
    assert len(queue.get_many(3)) == 2
    with raises(ShutDown):
        queue.get_many(3)
    with raises(ShutDown):
        queue.get_many(3, False)


@promise("shutdown", "batches")
def shutdown_wakes_get_many(make: Make) -> None:
    queue = make()
    getter = Call(queue.get_many, 3)
    until_blocked(queue, getters=1)
    queue.shutdown()
    assert type(getter.error()) is ShutDown
