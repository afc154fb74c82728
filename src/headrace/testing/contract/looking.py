# pyright: basic
"""Looking into a queue without taking: ``peek``, ``len``, ``stats``; and ``clear``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.contract import Stats
from headrace.errors import Empty, Full
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import Call, calls, give_others_a_chance, until_blocked

if TYPE_CHECKING:
    from headrace.testing.promise import Make


@promise("peek")
def peek_shows_what_get_would_take_and_leaves_it(make: Make) -> None:
    queue = make()
    for item in (2, 1, 3):
        queue.put(item)
    while not queue.empty():
        size = queue.qsize()
        item = queue.peek()
        assert queue.peek() == item
        assert queue.qsize() == size
        assert queue.get() == item


@promise("peek")
def peeking_into_an_empty_queue_raises_empty(make: Make) -> None:
    queue = make()
    with raises(Empty):
        queue.peek()
    queue.put(1)
    queue.get()
    with raises(Empty):
        queue.peek()


@promise("peek", "settling", "stats")
def peek_changes_no_counter(make: Make) -> None:
    queue = make(maxsize=2)
    queue.put(1)
    before = queue.stats()
    queue.peek()
    assert queue.stats() == before


@promise("peek", "objects")
def peek_shows_the_object_itself(make: Make) -> None:
    queue = make()
    item = object()
    queue.put(item)
    assert queue.peek() is item
    assert queue.get() is item


@promise("length")
def its_length_is_the_number_of_waiting_items(make: Make) -> None:
    queue = make()
    for size in range(5):
        assert len(queue) == queue.qsize() == size
        queue.put(size)


@promise("length")
def a_queue_is_always_true(make: Make) -> None:
    queue: Any = make()
    other: Any = make()
    assert bool(queue) is True
    assert (queue or other) is queue
    queue.put(1)
    assert bool(queue) is True


@promise("clear")
def clear_drops_what_waits_and_counts_it(make: Make) -> None:
    queue = make()
    assert queue.clear() == 0
    for item in range(5):
        queue.put(item)
    assert queue.clear() == 5
    assert queue.empty()
    with raises(Empty):
        queue.get_nowait()
    queue.put(1)
    assert drain(queue) == [1]
    assert queue.clear() == 0


@promise("clear", "settling")
def clear_settles_what_it_drops_and_no_more(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    queue.get()
    assert queue.clear() == 2
    with raises(TimeoutError):
        queue.join(timeout=0)
    queue.task_done()
    queue.join(timeout=0)
    with raises(ValueError):
        queue.task_done()


@promise("clear", "settling")
def clear_wakes_who_joins(make: Make) -> None:
    queue = make()
    queue.put(1)
    joiners = calls(2, queue.join)
    give_others_a_chance()
    queue.clear()
    for joiner in joiners:
        joiner.result()


@promise("clear", "bounded")
def clear_makes_room_for_who_waits(make: Make) -> None:
    queue = make(maxsize=2)
    queue.put(0)
    queue.put(0)
    putters = [Call(queue.put, item) for item in (1, 2)]
    until_blocked(queue, putters=2)
    assert queue.clear() == 2
    for putter in putters:
        putter.result()
    assert sorted(drain(queue)) == [1, 2]


@promise("clear", "bounded")
def clear_lets_in_no_more_than_there_is_room_for(make: Make) -> None:
    queue = make(maxsize=2)
    queue.put(0)
    queue.put(0)
    putters = [Call(queue.put, item) for item in (1, 2, 3, 4, 5)]
    until_blocked(queue, putters=5)
    queue.clear()
    until_blocked(queue, putters=3)
    assert queue.qsize() == 2
    with raises(Full):
        queue.put_nowait(6)
    taken = [queue.get(timeout=10) for _ in range(5)]
    for putter in putters:
        putter.result()
    assert sorted(taken) == [1, 2, 3, 4, 5]


@promise("stats")
def stats_of_a_fresh_queue_are_zero(make: Make) -> None:
    stats = make().stats()
    assert isinstance(stats, Stats)
    assert stats == Stats(0, 0, 0, 0, 0, 0, 0, 0, False, 0, 0)


@promise("stats", "settling", "bounded")
def stats_count_what_happened(make: Make) -> None:
    queue = make(maxsize=7)
    for item in range(5):
        queue.put(item)
    queue.get()
    queue.get()
    queue.task_done()
    stats = queue.stats()
    assert stats.waiting == 3
    assert stats.unfinished == 4
    assert stats.maxsize == 7
    assert stats.put_total == 5
    assert stats.get_total == 2
    assert stats.dropped_total == 0
    assert stats.getters_blocked == stats.putters_blocked == 0
    assert stats.is_shutdown is False


@promise("stats", "bounded")
def what_failed_is_not_counted(make: Make) -> None:
    queue = make(maxsize=1)
    with raises(Empty):
        queue.get_nowait()
    queue.put(1)
    for timeout in (0, 0.001):
        with raises(Full):
            queue.put(2, timeout=timeout)
    queue.get()
    with raises(Empty):
        queue.get(timeout=0.001)
    stats = queue.stats()
    assert (stats.put_total, stats.get_total, stats.waiting, stats.unfinished) == (1, 1, 0, 1)


@promise("stats", "batches", "clear", "shutdown")
def stats_count_batches_and_drops(make: Make) -> None:
    queue = make()
    queue.put_many(range(10))
    queue.get_many(3)
    queue.clear()
    _counts(queue.stats(), put=10, got=3, dropped=7, unfinished=3)
    queue.put_many([1, 2])
    queue.shutdown()
    _counts(queue.stats(), put=12, got=3, dropped=7, unfinished=5)
    assert queue.stats().is_shutdown is True


@promise("stats", "batches", "clear", "shutdown", "dropping")
def stats_count_what_an_immediate_shutdown_dropped(make: Make) -> None:
    queue = make()
    queue.put_many(range(10))
    queue.get_many(3)
    queue.clear()
    queue.put_many([1, 2])
    queue.shutdown(immediate=True)
    _counts(queue.stats(), put=12, got=3, dropped=9, unfinished=3)
    assert queue.stats().is_shutdown is True


def _counts(stats: Any, *, put: int, got: int, dropped: int, unfinished: int) -> None:
    assert (stats.put_total, stats.get_total, stats.dropped_total) == (put, got, dropped)
    assert stats.unfinished == unfinished
    assert stats.waiting == put - got - dropped


@promise("stats", "bounded")
def stats_tell_who_is_blocked(make: Make) -> None:
    queue = make(maxsize=1)
    getters = calls(2, queue.get)
    until_blocked(queue, getters=2)
    queue.put(1)
    queue.put(2)
    for getter in getters:
        getter.result()
    until_blocked(queue)
    queue.put(3)
    putters = calls(3, queue.put, 4)
    until_blocked(queue, putters=3)
    queue.clear()
    for _ in putters:
        queue.get(timeout=10)
    for putter in putters:
        putter.result()
    until_blocked(queue)


@promise("stats")
def stats_are_a_record_of_one_instant(make: Make) -> None:
    queue = make()
    before = queue.stats()
    queue.put(1)
    assert before.waiting == 0
    assert queue.stats()._asdict()["put_total"] == 1
    with raises(AttributeError):
        before.waiting = 5
