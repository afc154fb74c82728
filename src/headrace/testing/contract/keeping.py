# pyright: basic
"""Queues that outlive the objects through which they are used: what is kept, and what several objects of one share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headrace.errors import Empty, Full, ShutDown, StorageError
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import DEADLINE, Call, give_others_a_chance, until, until_blocked

if TYPE_CHECKING:
    from headrace.testing.promise import Make

NEVER = 1e6  # seconds: a delay that is not over while a test runs


@promise("durable", "fifo")
def what_was_put_is_there_when_the_queue_is_opened_again(make: Make) -> None:
    queue = make()
    for item in (1, "two", None, [4.5], {"six": 6}):
        queue.put(item)
    queue.close()
    again = make(again=queue)
    assert drain(again) == [1, "two", None, [4.5], {"six": 6}]


@promise("durable", "settling")
def what_was_settled_does_not_come_back(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    settled = [queue.get(), queue.get()]
    queue.task_done()
    queue.task_done()
    queue.close()
    again = make(again=queue)
    assert sorted([*settled, *drain(again)]) == [0, 1, 2]
    again.task_done()
    again.join(timeout=0)


@promise("durable", "leases", "batches")
def what_was_taken_and_not_settled_comes_back_as_a_further_attempt(make: Make) -> None:
    queue = make()
    queue.put_many(range(4))
    queue.get()
    queue.get_many(2)
    lease = queue.lease()
    queue.close()
    again = make(again=queue)
    leases = [again.lease(block=False) for _ in range(4)]
    assert sorted(one.item for one in leases) == [0, 1, 2, 3]
    assert [one.attempt for one in leases] == [2, 2, 2, 2]
    assert lease.attempt == 1


@promise("durable", "leases")
def what_a_closed_object_held_comes_back_to_one_that_is_open(make: Make) -> None:
    queue = make()
    queue.put("got")
    queue.put("leased")
    other = make(again=queue)
    queue.get()
    lease = queue.lease()
    queue.close()
    taken = [other.lease(timeout=DEADLINE) for _ in range(2)]
    assert sorted(one.item for one in taken) == ["got", "leased"]
    assert lease.attempt == 1
    for one in taken:
        one.done()
    other.join(timeout=0)


@promise("durable", "leases")
def dead_letters_are_there_when_the_queue_is_opened_again(make: Make) -> None:
    queue = make()
    queue.put("a")
    lease = queue.lease()
    lease.fail(ValueError("no"))
    queue.close()
    again = make(again=queue)
    (letter,) = again.dead
    assert (letter.item, letter.id, letter.attempts) == ("a", lease.id, 1)
    assert "ValueError: no" in letter.traceback
    again.dead.retry(letter.id)
    assert again.get() == "a"


@promise("durable", "leases", "delays")
def delayed_items_are_still_delayed_when_the_queue_is_opened_again(make: Make) -> None:
    queue = make()
    queue.put("a", delay=NEVER)
    queue.put("b")
    queue.lease().retry(NEVER)
    queue.close()
    stats = make(again=queue).stats()
    assert (stats.waiting, stats.delayed, stats.unfinished) == (0, 2, 2)


@promise("durable", "keys", "priorities")
def keys_and_priorities_are_kept(make: Make) -> None:
    queue = make()
    queue.put("b", priority=1, key="k")
    queue.put("a", priority=0)
    queue.close()
    again = make(again=queue)
    again.put("c", key="k")
    assert drain(again) == ["a", "b"]


@promise("durable", "stats", "leases")
def the_counters_go_on_where_they_were(make: Make) -> None:
    queue = make()
    for item in range(6):
        queue.put(item)
    queue.get()
    queue.task_done()
    queue.lease().fail("no")
    before = queue.stats()
    queue.close()
    assert make(again=queue).stats() == before
    assert (before.put_total, before.get_total, before.waiting, before.dead) == (6, 2, 4, 1)


@promise("durable", "bounded", "resizable")
def the_bound_is_kept_and_is_one_for_all(make: Make) -> None:
    queue = make(maxsize=2)
    other = make(again=queue)
    assert other.maxsize == 2
    other.maxsize = 1
    queue.put(1)
    with raises(Full):
        queue.put_nowait(2)
    queue.close()
    other.close()
    assert make(again=queue).maxsize == 1


@promise("durable")
def closing_twice_is_closing_once_and_a_block_may_do_it(make: Make) -> None:
    with make() as queue:
        queue.put(1)
    queue.close()
    queue.close()
    assert make(again=queue).get() == 1


@promise("durable")
def a_closed_queue_does_nothing_any_more(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.close()
    for call in (lambda: queue.put(2), queue.get, queue.get_nowait):
        with raises(ShutDown):
            call()
    with raises(StorageError):
        queue.qsize()
    assert drain(make(again=queue)) == [1]


@promise("durable", "bounded")
def closing_wakes_who_waits_in_that_object(make: Make) -> None:
    queue = make(maxsize=1)
    getter = Call(queue.get)
    until_blocked(queue, getters=1)
    queue.close()
    assert type(getter.error()) is ShutDown
    again = make(again=queue)
    again.put(1)
    putter = Call(again.put, 2)
    until_blocked(again, putters=1)
    again.close()
    assert type(putter.error()) is ShutDown


# -- several objects of one queue ------------------------------------------------------------------------------------


@promise("durable")
def what_one_object_puts_another_one_gets(make: Make) -> None:
    queue = make()
    other = make(again=queue)
    getter = Call(other.get)
    until_blocked(other, getters=1)
    queue.put(1)
    assert getter.result() == 1
    queue.put(2)
    assert (other.qsize(), other.get_nowait()) == (1, 2)
    with raises(Empty):
        queue.get_nowait()


@promise("durable", "bounded")
def a_get_of_one_object_lets_a_put_of_another_in(make: Make) -> None:
    queue = make(maxsize=1)
    other = make(again=queue)
    queue.put(1)
    putter = Call(queue.put, 2)
    until_blocked(queue, putters=1)
    assert other.get() == 1
    putter.result()
    assert other.get() == 2


@promise("durable", "bounded", "resizable")
def a_greater_bound_lets_in_who_waits_in_another_object(make: Make) -> None:
    queue = make(maxsize=1)
    other = make(again=queue)
    queue.put(1)
    putter = Call(queue.put, 2)
    until_blocked(queue, putters=1)
    other.maxsize = 2
    putter.result()
    assert queue.qsize() == 2


@promise("durable", "settling")
def join_waits_for_what_other_objects_hold(make: Make) -> None:
    queue = make()
    other = make(again=queue)
    queue.put(1)
    joiner = Call(queue.join)
    assert other.get() == 1
    give_others_a_chance()
    assert not joiner.is_over
    with raises(ValueError):
        queue.task_done()
    other.task_done()
    joiner.result()


@promise("durable", "clear", "bounded", "settling")
def clear_of_one_object_is_seen_by_who_waits_in_another(make: Make) -> None:
    queue = make(maxsize=1)
    other = make(again=queue)
    queue.put(1)
    putter = Call(queue.put, 2)
    until_blocked(queue, putters=1)
    assert other.clear() == 1
    putter.result()
    joiner = Call(queue.join)
    assert other.clear() == 1
    joiner.result()


# -- the end of one object -------------------------------------------------------------------------------------------


@promise("kept", "durable", "shutdown")
def shutdown_ends_one_object_and_others_go_on(make: Make) -> None:
    queue = make()
    other = make(again=queue)
    queue.put(1)
    queue.shutdown()
    with raises(ShutDown):
        queue.put(2)
    assert (queue.is_shutdown, other.is_shutdown) == (True, False)
    other.put(2)
    assert sorted(drain(queue)) == [1, 2]
    with raises(ShutDown):
        queue.get()
    with raises(Empty):
        other.get_nowait()


@promise("kept", "durable", "shutdown", "stats")
def an_immediate_shutdown_leaves_what_waits_to_the_others(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.put(2)
    queue.shutdown(immediate=True)
    with raises(ShutDown):
        queue.get()
    stats = queue.stats()
    assert (stats.waiting, stats.unfinished, stats.dropped_total) == (2, 2, 0)
    assert sorted(drain(make(again=queue))) == [1, 2]


@promise("kept", "durable", "shutdown", "leases")
def what_comes_back_after_an_immediate_shutdown_waits_for_the_others(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    leases = [queue.lease() for _ in range(3)]
    queue.shutdown(immediate=True)
    leases[0].retry()
    leases[1].retry(NEVER)
    leases[2].done()
    queue.join(timeout=DEADLINE)
    other = make(again=queue)
    stats = other.stats()
    assert (stats.waiting, stats.delayed, stats.unfinished, stats.dropped_total) == (1, 1, 2, 0)
    assert other.get() == leases[0].item


@promise("kept", "durable", "shutdown", "settling")
def after_an_immediate_shutdown_join_waits_for_what_the_object_holds(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    queue.get()
    other = make(again=queue)
    other.get()
    queue.shutdown(immediate=True)
    with raises(TimeoutError):
        queue.join(timeout=0)
    joiner = Call(queue.join)
    queue.task_done()
    joiner.result()
    with raises(TimeoutError):
        other.join(timeout=0)


@promise("kept", "durable", "shutdown", "batches")
def a_getter_of_an_object_that_was_shut_down_waits_for_what_is_delayed(make: Make) -> None:
    queue = make()
    queue.put(1)
    started = time.monotonic()
    queue.lease().retry(0.05)
    queue.shutdown()
    assert queue.get_many(5) == [1]
    assert time.monotonic() - started >= 0.05
    until(lambda: queue.stats().waiting == 0, "nothing waits any more")
    with raises(ShutDown):
        queue.get_many(5)
