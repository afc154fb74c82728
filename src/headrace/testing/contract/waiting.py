# pyright: basic
"""Threads that wait: who is woken, by what, and that nobody is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.errors import Empty, Full
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import DEADLINE, Call, calls, give_others_a_chance, until, until_blocked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.testing.promise import Make


@promise()
def a_blocked_get_takes_what_is_put(make: Make) -> None:
    queue = make()
    getter = Call(queue.get)
    until_blocked(queue, getters=1)
    queue.put(1)
    assert getter.result() == 1
    assert queue.empty()


@promise()
def a_blocked_get_with_a_timeout_takes_what_is_put(make: Make) -> None:
    queue = make()
    getter = Call(queue.get, True, DEADLINE)
    until_blocked(queue, getters=1)
    queue.put(1)
    assert getter.result() == 1


@promise("bounded")
def a_blocked_put_goes_in_when_there_is_room(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1)
    putter = Call(queue.put, 2)
    until_blocked(queue, putters=1)
    assert queue.qsize() == 1
    assert queue.get() == 1
    putter.result()
    assert drain(queue) == [2]


@promise("bounded")
def a_blocked_put_with_a_timeout_goes_in_when_there_is_room(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1)
    putter = Call(queue.put, 2, True, DEADLINE)
    until_blocked(queue, putters=1)
    assert queue.get() == 1
    putter.result()
    assert drain(queue) == [2]


@promise()
def every_blocked_get_is_served(make: Make) -> None:
    queue = make()
    getters = calls(5, queue.get)
    until_blocked(queue, getters=5)
    for item in range(5):
        queue.put(item)
    assert sorted(getter.result() for getter in getters) == list(range(5))


@promise("bounded")
def every_blocked_put_goes_in(make: Make) -> None:
    queue = make(maxsize=2)
    queue.put(0)
    queue.put(0)
    putters = [Call(queue.put, item) for item in range(1, 6)]
    until_blocked(queue, putters=5)
    taken = [queue.get(timeout=DEADLINE) for _ in range(7)]
    for putter in putters:
        putter.result()
    assert sorted(taken) == [0, 0, 1, 2, 3, 4, 5]


@promise("stats")
def one_put_serves_one_get(make: Make) -> None:
    queue = make()
    getters = calls(3, queue.get)
    until_blocked(queue, getters=3)
    queue.put(1)
    until(lambda: any(getter.is_over for getter in getters), "one getter is served")
    give_others_a_chance()
    assert sum(getter.is_over for getter in getters) == 1
    until_blocked(queue, getters=2)
    queue.put(2)
    queue.put(3)
    assert sorted(getter.result() for getter in getters) == [1, 2, 3]


@promise("bounded", "stats")
def one_get_lets_one_put_in(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(0)
    putters = [Call(queue.put, item) for item in (1, 2, 3)]
    until_blocked(queue, putters=3)
    taken = [queue.get()]
    until(lambda: any(putter.is_over for putter in putters), "one putter is let in")
    give_others_a_chance()
    assert sum(putter.is_over for putter in putters) == 1
    assert queue.qsize() == 1
    until_blocked(queue, putters=2)
    taken += [queue.get(timeout=DEADLINE) for _ in range(3)]
    assert sorted(taken) == [0, 1, 2, 3]


@promise()
def a_blocked_get_that_runs_out_of_time_raises_empty(make: Make) -> None:
    queue = make()
    getters = calls(3, queue.get, timeout=0.01)
    for getter in getters:
        assert isinstance(getter.error(), Empty)
    queue.put(1)
    assert queue.get_nowait() == 1


@promise("bounded")
def a_blocked_put_that_runs_out_of_time_raises_full(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1)
    putters = calls(3, queue.put, 2, timeout=0.01)
    for putter in putters:
        assert isinstance(putter.error(), Full)
    assert drain(queue) == [1]
    queue.put_nowait(3)


@promise("stats")
def who_runs_out_of_time_leaves_nothing_behind(make: Make) -> None:
    queue = make()
    patient = Call(queue.get)
    until_blocked(queue, getters=1)
    for _ in range(20):
        with raises(Empty):
            queue.get(timeout=0.0005)
    until_blocked(queue, getters=1)
    queue.put(1)
    assert patient.result() == 1
    until_blocked(queue)


@promise()
def an_item_put_as_others_run_out_of_time_reaches_who_waits_on(make: Make) -> None:
    # The wake-up may fall to a getter whose time is up at that very moment: it must not die with it.
    for _ in range(30):
        queue = make()
        impatient = calls(2, queue.get, timeout=0.002)
        patient = Call(queue.get)
        queue.put(1)
        queue.put(2)
        queue.put(3)
        taken = [getter.result() for getter in impatient if getter.error() is None]
        taken += [patient.result(), *drain(queue)]
        assert sorted(taken) == [1, 2, 3]


@promise("bounded")
def room_made_as_others_run_out_of_time_reaches_who_waits_on(make: Make) -> None:
    for _ in range(30):
        queue = make(maxsize=1)
        queue.put(0)
        impatient = [Call(queue.put, item, timeout=0.002) for item in (1, 2)]
        patient = Call(queue.put, 3)
        expected = {0, 3}
        taken = []
        while not all(call.is_over for call in [*impatient, patient]) or not queue.empty():
            try:
                taken.append(queue.get(timeout=0.001))
            except Empty:
                continue
        expected |= {item for item, call in zip((1, 2), impatient, strict=True) if call.error() is None}
        assert sorted(taken) == sorted(expected)


@promise("stats")
def an_item_taken_by_another_leaves_the_waiter_waiting(make: Make) -> None:
    queue = make()
    getter = Call(queue.get)
    until_blocked(queue, getters=1)
    queue.put(1)
    try:
        stolen = [queue.get_nowait()]
    except Empty:
        stolen = []
    queue.put(2)
    assert sorted([*stolen, getter.result(), *drain(queue)]) == [1, 2]


@promise("resizable", "bounded")
def a_greater_maxsize_takes_effect_for_who_waits(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(0)
    putters = [Call(queue.put, item) for item in (1, 2, 3)]
    until_blocked(queue, putters=3)
    queue.maxsize = 3
    assert queue.maxsize == 3
    until(lambda: sum(putter.is_over for putter in putters) == 2, "two more are let in")
    give_others_a_chance()
    assert queue.qsize() == 3
    queue.get()
    for putter in putters:
        putter.result()
    assert queue.qsize() == 3


@promise("resizable", "bounded")
def a_maxsize_of_zero_lets_everybody_in(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(0)
    putters = [Call(queue.put, item) for item in (1, 2, 3)]
    until_blocked(queue, putters=3)
    queue.maxsize = 0
    for putter in putters:
        putter.result()
    assert sorted(drain(queue)) == [0, 1, 2, 3]


@promise("resizable", "bounded")
def a_lesser_maxsize_keeps_the_items_and_closes_the_door(make: Make) -> None:
    queue = make(maxsize=5)
    for item in range(5):
        queue.put(item)
    queue.maxsize = 2
    assert queue.full()
    taken = []
    for _ in range(3):
        with raises(Full):
            queue.put_nowait(9)
        taken.append(queue.get())
    with raises(Full):
        queue.put_nowait(9)
    taken.append(queue.get())
    queue.put_nowait(5)
    with raises(Full):
        queue.put_nowait(9)
    assert sorted(taken + drain(queue)) == list(range(6))


@promise("resizable", "bounded")
def an_unbounded_queue_may_be_bounded_later(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    queue.maxsize = 3
    assert queue.full()
    putter = Call(queue.put, 3)
    until_blocked(queue, putters=1)
    queue.get()
    putter.result()
    assert queue.qsize() == 3


@promise("resizable", "bounded")
def a_maxsize_that_is_no_number_is_not_assigned(make: Make) -> None:
    queue = make(maxsize=3)
    with raises(TypeError):
        queue.maxsize = "3"
    with raises(TypeError):
        queue.maxsize = None
    assert queue.maxsize == 3
    queue.put(1)
    assert queue.get() == 1


@promise("bounded")
def producers_and_consumers_of_a_narrow_queue_pass_everything_on(make: Make) -> None:
    queue = make(maxsize=2)
    producers = [Call(_put_all, queue, range(first, 900, 3)) for first in range(3)]
    consumers = calls(3, _get_count, queue, 300)
    for producer in producers:
        producer.result()
    taken = [item for consumer in consumers for item in consumer.result()]
    assert sorted(taken) == list(range(900))
    assert queue.empty()


@promise("bounded", "fifo")
def each_producer_s_items_arrive_in_its_order(make: Make) -> None:
    queue = make(maxsize=3)
    producers = [Call(_put_all, queue, [(name, number) for number in range(200)]) for name in "ab"]
    taken = _get_count(queue, 400)
    for producer in producers:
        producer.result()
    for name in "ab":
        assert [number for owner, number in taken if owner == name] == list(range(200))


def _put_all(queue: Any, items: Iterable[Any]) -> None:
    for item in items:
        queue.put(item)


def _get_count(queue: Any, count: int) -> list[Any]:
    return [queue.get() for _ in range(count)]
