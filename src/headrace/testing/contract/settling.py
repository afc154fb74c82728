# pyright: basic
"""``task_done`` and ``join``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from headrace.testing.promise import promise, raises
from headrace.testing.threads import Call, calls, give_others_a_chance

if TYPE_CHECKING:
    from headrace.testing.promise import Make


@promise("settling")
def a_surplus_task_done_is_refused(make: Make) -> None:
    queue = make()
    with raises(ValueError):
        queue.task_done()
    queue.put(1)
    queue.get()
    assert queue.task_done() is None
    for _ in range(3):
        with raises(ValueError):
            queue.task_done()


@promise("settling")
def a_surplus_task_done_changes_nothing(make: Make) -> None:
    queue = make()
    for _ in range(3):
        with raises(ValueError):
            queue.task_done()
    queue.put(1)
    with raises(TimeoutError):
        queue.join(timeout=0)
    queue.get()
    queue.task_done()
    queue.join()


@promise("settling", "batches")
def a_batch_may_be_settled_in_one_call(make: Make) -> None:
    queue = make()
    queue.put_many([1, 2, 3, 4])
    taken = queue.get_many(3)
    assert queue.task_done(len(taken)) is None
    with raises(TimeoutError):
        queue.join(timeout=0)
    queue.get()
    queue.task_done(count=1)
    queue.join()


@promise("settling", "batches", "counted")
def a_batch_may_be_settled_before_it_is_taken(make: Make) -> None:
    queue = make()
    queue.put_many([1, 2, 3, 4])
    queue.get_many(3)
    queue.task_done(3)
    queue.task_done(count=1)
    queue.join()


@promise("settling", "batches")
def settling_more_than_there_is_settles_nothing(make: Make) -> None:
    queue = make()
    queue.put_many([1, 2])
    with raises(ValueError):
        queue.task_done(3)
    assert queue.stats().unfinished == 2
    for count in (0, -1):
        with raises(ValueError):
            queue.task_done(count)
    for no_count in ("1", None, 1.5):
        with raises(TypeError):
            queue.task_done(no_count)
    assert queue.stats().unfinished == 2


@promise("settling", "batches")
def settling_a_batch_lets_joiners_go(make: Make) -> None:
    queue = make()
    events: list[str] = []
    queue.put_many([1, 2, 3])
    joiners = calls(2, _join_and_note, queue, events)
    queue.get_many(3)
    give_others_a_chance()
    assert events == []
    queue.task_done(3)
    for joiner in joiners:
        joiner.result()
    assert events == ["joined", "joined"]


@promise("settling")
def joining_a_fresh_queue_returns_at_once(make: Make) -> None:
    queue = make()
    assert queue.join() is None
    assert queue.join(timeout=0) is None
    assert queue.join(0) is None


@promise("settling")
def join_waits_for_the_last_task(make: Make) -> None:
    queue = make()
    events: list[str] = []
    for item in range(3):
        queue.put(item)
    joiners = calls(3, _join_and_note, queue, events)
    for _ in range(3):
        queue.get()
    for _ in range(2):
        queue.task_done()
    give_others_a_chance()
    events.append("last one done")
    queue.task_done()
    for joiner in joiners:
        joiner.result()
    assert events == ["last one done", "joined", "joined", "joined"]


@promise("settling")
def join_waits_for_items_that_nobody_has_taken(make: Make) -> None:
    queue = make()
    events: list[str] = []
    queue.put(1)
    joiner = Call(_join_and_note, queue, events)
    give_others_a_chance()
    queue.get()
    give_others_a_chance()
    events.append("done")
    queue.task_done()
    joiner.result()
    assert events == ["done", "joined"]


def _join_and_note(queue: Any, events: list[str]) -> None:
    queue.join()
    events.append("joined")


@promise("settling")
def a_queue_can_be_joined_again_and_again(make: Make) -> None:
    queue = make()
    for _ in range(3):
        queue.put(1)
        queue.get()
        joiner = Call(queue.join)
        queue.task_done()
        joiner.result()
        queue.join()


@promise("settling")
def join_raises_when_its_time_runs_out(make: Make) -> None:
    queue = make()
    queue.put(1)
    with raises(TimeoutError):
        queue.join(timeout=0)
    start = time.monotonic()
    with raises(TimeoutError):
        queue.join(timeout=0.02)
    assert time.monotonic() - start >= 0.02
    with raises(TimeoutError):
        queue.join(0.001)
    queue.get()
    with raises(TimeoutError):
        queue.join(0.001)
    queue.task_done()
    queue.join(0)


@promise("settling")
def join_with_a_timeout_ends_when_the_work_does(make: Make) -> None:
    queue = make()
    queue.put(1)
    joiners = [Call(queue.join, timeout) for timeout in (100, 10**12, float("inf"), None)]
    give_others_a_chance()
    queue.get()
    queue.task_done()
    for joiner in joiners:
        assert joiner.result() is None


@promise("settling")
def join_refuses_a_timeout_that_is_none(make: Make) -> None:
    queue = make()
    with raises(ValueError):
        queue.join(-1)
    with raises(ValueError):
        queue.join(timeout=float("nan"))
    with raises(TypeError):
        queue.join("soon")


@promise("settling")
def a_task_may_be_settled_by_another_thread(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.get()
    Call(queue.task_done).result()
    queue.join(timeout=0)
    with raises(ValueError):
        queue.task_done()


@promise("settling", "counted")
def a_task_may_be_settled_by_another_thread_and_before_the_get(make: Make) -> None:
    queue = make()
    queue.put(1)
    Call(queue.task_done).result()
    queue.join(timeout=0)
    assert queue.get() == 1
    with raises(ValueError):
        queue.task_done()


@promise("settling")
def get_alone_settles_nothing(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.get()
    with raises(TimeoutError):
        queue.join(timeout=0.001)


@promise("settling")
def items_put_while_others_join_are_waited_for(make: Make) -> None:
    queue = make()
    events: list[str] = []
    queue.put(1)
    joiner = Call(_join_and_note, queue, events)
    give_others_a_chance()
    queue.put(2)
    queue.get()
    queue.task_done()
    give_others_a_chance()
    queue.get()
    events.append("done")
    queue.task_done()
    joiner.result()
    assert events == ["done", "joined"]


@promise("settling", "bounded")
def workers_can_be_joined(make: Make) -> None:
    queue = make(maxsize=5)
    done: list[int] = []
    workers = calls(2, _work, queue, done)
    for item in range(1, 101):
        queue.put(item)
    queue.join()
    assert sorted(done) == list(range(1, 101))
    for _ in workers:
        queue.put(0)
    queue.join()
    for worker in workers:
        worker.result()


def _work(queue: Any, done: list[int]) -> None:
    while item := queue.get():
        done.append(item)
        queue.task_done()
    queue.task_done()
