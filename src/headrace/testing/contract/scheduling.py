# pyright: basic
"""When an item may be taken: ``put(delay=)``, ``put_at``, ``put(ttl=)``, ``pause``."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from headrace.errors import Empty, Full
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import DEADLINE, Call, give_others_a_chance, until, until_blocked

if TYPE_CHECKING:
    from headrace.testing.promise import Make

SOON = 0.05  # seconds: a time that is over soon
NEVER = 1e6  # seconds: one that is not over while a test runs


# -- delays ----------------------------------------------------------------------------------------------------------


@promise("delays", "stats", "settling")
def an_item_put_with_a_delay_is_neither_there_nor_done_until_its_time(make: Make) -> None:
    queue = make()
    queue.put(1, delay=NEVER)
    assert (queue.qsize(), queue.empty()) == (0, True)
    for take in (queue.get_nowait, lambda: queue.get(timeout=SOON), lambda: queue.get(timeout=0)):
        with raises(Empty):
            take()
    with raises(TimeoutError):
        queue.join(timeout=0)
    stats = queue.stats()
    assert (stats.waiting, stats.delayed, stats.unfinished, stats.put_total) == (0, 1, 1, 1)


@promise("delays")
def an_item_put_with_a_delay_is_ready_at_its_time_and_not_before(make: Make) -> None:
    queue = make()
    before = time.monotonic()
    queue.put(1, delay=SOON)
    assert queue.get() == 1
    assert time.monotonic() - before >= SOON


@promise("delays")
def items_put_with_delays_come_in_the_order_of_their_times(make: Make) -> None:
    queue = make()
    for item, delay in ((0, 8 * SOON), (1, SOON), (2, 4 * SOON)):
        queue.put(item, delay=delay)
    assert [queue.get() for _ in range(3)] == [1, 2, 0]


@promise("delays")
def a_delay_of_zero_is_none(make: Make) -> None:
    queue = make()
    queue.put(1, delay=0)
    assert queue.get_nowait() == 1


@promise("delays")
def who_waits_for_an_item_is_woken_for_an_earlier_one(make: Make) -> None:
    queue = make()
    queue.put("late", delay=NEVER)
    getter = Call(queue.get)
    until_blocked(queue, getters=1)
    queue.put("early", delay=SOON)
    assert getter.result() == "early"


@promise("delays", "bounded")
def a_delayed_item_takes_no_room_and_becomes_ready_in_a_full_queue(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put_nowait(1)
    queue.put(2, block=False, delay=SOON)
    until(lambda: queue.qsize() == 2, "the second one is ready")
    with raises(Full):
        queue.put_nowait(3)
    assert sorted(drain(queue)) == [1, 2]


@promise("delays", "priorities")
def a_delayed_item_keeps_its_priority(make: Make) -> None:
    queue = make()
    queue.put("b", priority=1)
    queue.put("a", priority=0, delay=SOON)
    until(lambda: queue.qsize() == 2, "both are ready")
    assert drain(queue) == ["a", "b"]


@promise("delays", "clear", "settling")
def clear_drops_what_was_put_with_a_delay(make: Make) -> None:
    queue = make()
    queue.put(1, delay=NEVER)
    queue.put(2)
    assert queue.clear() == 2
    queue.join(timeout=0)


@promise("delays")
def a_delay_that_is_no_time_is_refused(make: Make) -> None:
    queue = make()
    wrong: list[Any] = ["1", [1]]
    for delay in wrong:
        with raises(TypeError):
            queue.put(1, delay=delay)
    for delay in (-1, -0.001, float("nan"), float("inf")):
        with raises(ValueError):
            queue.put(1, delay=delay)
    with raises(TypeError):
        queue.put(1, True, None, 5)
    assert queue.stats().put_total == 0


@promise("delays")
def an_item_may_be_put_for_a_time_of_day(make: Make) -> None:
    queue = make()
    now = datetime.now()
    queue.put_at("past", now - timedelta(days=1))
    assert queue.get_nowait() == "past"
    queue.put_at("local", datetime.now() + timedelta(seconds=SOON))
    assert queue.get(timeout=DEADLINE) == "local"
    elsewhere = timezone(timedelta(hours=-7))
    queue.put_at("elsewhere", datetime.now(elsewhere) + timedelta(seconds=SOON))
    assert queue.get(timeout=DEADLINE) == "elsewhere"
    queue.put_at("far", now + timedelta(days=10))
    assert queue.stats().delayed == 1
    wrong: list[Any] = [time.time(), "tomorrow", None]
    for when in wrong:
        with raises(TypeError):
            queue.put_at(1, when)


@promise("delays", "priorities")
def put_at_takes_what_put_takes(make: Make) -> None:
    queue = make()
    past = datetime.now() - timedelta(seconds=1)
    queue.put_at("b", past, priority=2)
    queue.put_at("a", past, priority=1)
    assert drain(queue) == ["a", "b"]


# -- time to live ----------------------------------------------------------------------------------------------------


@promise("ttl")
def an_item_that_is_taken_in_time_is_as_any_other(make: Make) -> None:
    queue = make()
    queue.put(1, ttl=NEVER)
    assert queue.get() == 1
    assert list(queue.dead) == []


@promise("ttl", "settling", "stats")
def an_item_that_nobody_takes_in_time_is_dead(make: Make) -> None:
    queue = make()
    queue.put("late", ttl=0)
    queue.put("good")
    assert queue.get() == "good"
    queue.task_done()
    queue.join(timeout=0)
    (letter,) = queue.dead
    assert letter.item == "late"
    assert "time to live" in str(letter.error)
    assert queue.stats().dead == 1
    with raises(Empty):
        queue.get_nowait()


@promise("ttl", "leases")
def an_item_that_was_taken_in_time_may_last_longer(make: Make) -> None:
    queue = make()
    queue.put(1, ttl=SOON)
    started = time.monotonic()
    lease = queue.lease()
    until(lambda: time.monotonic() > started + 2 * SOON, "its time is over")
    lease.done()
    assert list(queue.dead) == []


@promise("ttl", "bounded")
def what_has_expired_makes_room(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1, ttl=0)
    queue.put(2, timeout=DEADLINE)
    assert drain(queue) == [2]


@promise("ttl", "batches")
def of_a_batch_what_has_expired_is_left_out(make: Make) -> None:
    queue = make()
    for item in range(6):
        queue.put(item, ttl=0 if item % 2 else None)
    assert sorted(queue.get_many(6)) == [0, 2, 4]
    with raises(Empty):
        queue.get_many(6, False)
    assert sorted(letter.item for letter in queue.dead) == [1, 3, 5]


@promise("ttl", "delays")
def an_item_may_expire_before_it_is_ready(make: Make) -> None:
    queue = make()
    queue.put(1, delay=SOON, ttl=0)
    with raises(Empty):
        queue.get(timeout=4 * SOON)
    assert [letter.item for letter in queue.dead] == [1]


@promise("ttl")
def a_time_to_live_that_is_no_time_is_refused(make: Make) -> None:
    queue = make()
    for ttl in (-1, float("nan")):
        with raises(ValueError):
            queue.put(1, ttl=ttl)
    with raises(TypeError):
        queue.put(1, ttl="1")
    assert queue.empty()


# -- pause -----------------------------------------------------------------------------------------------------------


@promise("pause", "batches", "leases")
def a_paused_queue_takes_items_and_gives_none(make: Make) -> None:
    queue = make()
    queue.pause()
    queue.put(1)
    queue.put_many([2, 3])
    takes: list[Any] = [
        queue.get_nowait,
        lambda: queue.get(timeout=0.01),
        lambda: queue.get_many(5, False),
        lambda: queue.lease(block=False),
    ]
    for take in takes:
        with raises(Empty):
            take()
    assert queue.qsize() == 3
    queue.resume()
    assert sorted(queue.get_many(5)) == [1, 2, 3]


@promise("pause")
def pausing_twice_is_pausing_once(make: Make) -> None:
    queue = make()
    told = [queue.is_paused]
    for step in (queue.resume, queue.pause, queue.pause, queue.resume):
        step()
        told.append(queue.is_paused)
    assert told == [False, False, True, True, False]
    queue.put(1)
    assert queue.get_nowait() == 1


@promise("pause")
def resume_wakes_who_waits(make: Make) -> None:
    queue = make()
    queue.pause()
    queue.put(1)
    getter = Call(queue.get)
    until_blocked(queue, getters=1)
    give_others_a_chance()
    assert not getter.is_over
    queue.resume()
    assert getter.result() == 1


@promise("pause", "leases", "settling")
def what_is_held_may_be_settled_while_the_queue_is_paused(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.put(2)
    first, second = queue.lease(), queue.lease()
    queue.pause()
    first.done()
    second.retry()
    with raises(Empty):
        queue.get_nowait()
    queue.resume()
    assert queue.get() == second.item
    queue.task_done()
    queue.join(timeout=0)


@promise("pause", "durable")
def a_pause_is_for_all_objects_and_is_kept(make: Make) -> None:
    queue = make()
    other = make(again=queue)
    getter = Call(other.get)
    until_blocked(other, getters=1)
    queue.pause()
    other.put(1)
    give_others_a_chance()
    assert not getter.is_over
    queue.close()
    again = make(again=queue)
    assert again.is_paused is True
    again.resume()
    assert getter.result() == 1
