# pyright: basic
"""What is not documented and real code uses: the mutex, the conditions, the container, the count."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from headrace.errors import Empty, Full, ShutDown
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import Call, calls, give_others_a_chance, until_blocked

if TYPE_CHECKING:
    from headrace.testing.promise import Make


def filled(make: Make, items: list[Any], maxsize: int = 0) -> Any:
    """A queue with *items* in it."""
    queue = make(maxsize=maxsize)
    for item in items:
        queue.put(item)
    return queue


@promise("internals", "fifo")
def the_container_of_a_line_is_a_deque(make: Make) -> None:
    queue = filled(make, [1, 2, 3])
    assert type(queue.queue) is deque
    assert queue.queue == deque([1, 2, 3])
    assert queue.queue[0] == 1
    assert queue.queue[-1] == 3


@promise("internals", "lifo")
def the_container_of_a_stack_is_a_list(make: Make) -> None:
    queue = filled(make, [1, 2, 3])
    assert type(queue.queue) is list
    assert queue.queue == [1, 2, 3]


@promise("internals", "priority")
def the_container_of_a_priority_queue_is_a_heap_of_the_items(make: Make) -> None:
    queue = filled(make, [3, 1, 2])
    assert type(queue.queue) is list
    assert queue.queue[0] == 1
    assert sorted(queue.queue) == [1, 2, 3]


@promise("internals")
def the_container_is_live(make: Make) -> None:
    queue = filled(make, [1, 2])
    container = queue.queue
    assert queue.queue is container
    queue.put(3)
    assert sorted(container) == [1, 2, 3]
    assert len(container) == 3
    assert 3 in container
    assert sorted(item for item in container) == [1, 2, 3]
    queue.get()
    queue.get()
    queue.get()
    assert not container


@promise("internals")
def the_container_of_an_empty_queue_can_be_asked_for(make: Make) -> None:
    queue = make()
    assert len(queue.queue) == 0
    queue.put(1)
    assert list(queue.queue) == [1]
    assert queue.get() == 1


@promise("internals")
def clearing_the_container_under_the_mutex_empties_the_queue(make: Make) -> None:
    queue = filled(make, [1, 2, 3])
    with queue.mutex:
        queue.queue.clear()
    assert queue.qsize() == 0
    assert queue.empty()
    with raises(Empty):
        queue.get_nowait()
    queue.put(4)
    assert queue.get() == 4


@promise("internals", "settling")
def the_count_is_left_alone_by_clearing_the_container(make: Make) -> None:
    queue = filled(make, [1, 2, 3])
    with queue.mutex:
        queue.queue.clear()
    assert queue.unfinished_tasks == 3
    for _ in range(3):
        queue.task_done()
    queue.join(timeout=0)


@promise("internals", "settling")
def the_usual_way_to_clear_everything_lets_joiners_go(make: Make) -> None:
    queue = filled(make, [1, 2, 3])
    joiners = calls(2, queue.join)
    give_others_a_chance()
    with queue.mutex:
        queue.queue.clear()
        queue.all_tasks_done.notify_all()
        queue.unfinished_tasks = 0
    for joiner in joiners:
        joiner.result()
    with raises(ValueError):
        queue.task_done()


@promise("internals", "settling")
def the_usual_way_to_join_with_a_timeout_works(make: Make) -> None:
    def join(timeout: float) -> bool:
        with queue.all_tasks_done:
            while queue.unfinished_tasks:
                if not queue.all_tasks_done.wait(timeout):
                    return False
        return True

    queue = filled(make, [1])
    assert join(0.001) is False
    queue.get()
    joiner = Call(join, 20.0)
    give_others_a_chance()
    queue.task_done()
    assert joiner.result() is True


@promise("internals", "settling")
def the_count_of_unfinished_tasks_is_told_and_can_be_set(make: Make) -> None:
    queue = make()
    assert queue.unfinished_tasks == 0
    queue.put(1)
    queue.put(2)
    assert queue.unfinished_tasks == 2
    queue.get()
    assert queue.unfinished_tasks == 2
    queue.task_done()
    assert queue.unfinished_tasks == 1
    queue.unfinished_tasks = 0
    queue.join(timeout=0)
    with raises(ValueError):
        queue.task_done()
    queue.unfinished_tasks += 2
    queue.task_done()
    queue.task_done()
    queue.join(timeout=0)


@promise("internals", "fifo")
def an_item_can_be_put_back_in_front(make: Make) -> None:
    queue = filled(make, [1, 2])
    with queue.mutex:
        queue.queue.appendleft(0)
    assert drain(queue) == [0, 1, 2]


@promise("internals", "fifo")
def an_item_put_in_front_with_a_notify_wakes_who_waits(make: Make) -> None:
    queue = make()
    getter = Call(queue.get)
    until_blocked(queue, getters=1)
    with queue.not_empty:
        queue.queue.appendleft(1)
        queue.unfinished_tasks += 1
        queue.not_empty.notify()
    assert getter.result() == 1


@promise("internals")
def removing_one_item_and_notifying_lets_a_put_in(make: Make) -> None:
    queue = filled(make, [1], maxsize=1)
    putter = Call(queue.put, 2)
    until_blocked(queue, putters=1)
    with queue.not_full:
        queue.queue.remove(1)
        queue.not_full.notify()
    putter.result()
    assert drain(queue) == [2]


@promise("internals")
def another_container_can_be_assigned(make: Make) -> None:
    queue = filled(make, [1, 2])
    with queue.mutex:
        queue.queue = type(queue.queue)([7])
    assert queue.qsize() == 1
    assert queue.get() == 7
    with raises(Empty):
        queue.get_nowait()


@promise("internals")
def who_holds_the_mutex_excludes_all_others(make: Make) -> None:
    queue = filled(make, [1, 2, 3], maxsize=5)
    with queue.mutex:
        others = [
            Call(queue.put, 4),
            Call(queue.get),
            Call(queue.put_nowait, 5),
            Call(queue.get_nowait),
            Call(queue.qsize),
            Call(queue.empty),
            Call(queue.task_done),
            Call(queue.put_many, [6]),
            Call(queue.get_many, 1),
            Call(queue.clear),
            Call(queue.shutdown),
        ]
        give_others_a_chance()
        assert [other.is_over for other in others] == [False] * len(others)
        assert sorted(queue.queue) == [1, 2, 3]
    for other in others:
        error = other.error()
        assert error is None or isinstance(error, (Empty, Full, ShutDown, ValueError))


@promise("internals")
def each_condition_holds_the_same_mutex(make: Make) -> None:
    queue = make()
    for guard in (queue.mutex, queue.not_empty, queue.not_full, queue.all_tasks_done):
        with guard:
            assert queue.mutex.locked()
            assert Call(queue.mutex.acquire, False).result() is False
            assert Call(queue.mutex.acquire, True, 0.001).result() is False
        assert not queue.mutex.locked()
    assert queue.mutex.acquire() is True
    queue.mutex.release()
    assert queue.not_empty is queue.not_empty
    assert queue.mutex is queue.mutex


@promise("internals")
def conditions_must_be_held_to_be_used(make: Make) -> None:
    queue = make()
    for condition in (queue.not_empty, queue.not_full, queue.all_tasks_done):
        with raises(RuntimeError):
            condition.notify()
        with raises(RuntimeError):
            condition.notify_all()
        with raises(RuntimeError):
            condition.wait(0)
    with raises(RuntimeError):
        queue.mutex.release()


@promise("internals")
def a_spurious_notification_wakes_nobody_for_good(make: Make) -> None:
    queue = make(maxsize=1)
    getters = calls(2, queue.get)
    until_blocked(queue, getters=2)
    with queue.not_empty:
        queue.not_empty.notify_all()
        queue.not_full.notify_all()
        queue.all_tasks_done.notify_all()
    give_others_a_chance()
    until_blocked(queue, getters=2)
    queue.put(1)
    queue.put(2)
    assert sorted(getter.result() for getter in getters) == [1, 2]


@promise("internals")
def who_waits_goes_on_waiting_when_a_queue_is_looked_into(make: Make) -> None:
    # Asking for an internal may change how a queue works inside: callers that are blocked must not notice.
    for name in ("mutex", "not_empty", "not_full", "all_tasks_done", "queue"):
        queue = make()
        getters = [*calls(2, queue.get), Call(queue.get, timeout=20)]
        until_blocked(queue, getters=3)
        getattr(queue, name)
        give_others_a_chance()
        assert [getter.is_over for getter in getters] == [False] * 3
        for item in range(3):
            queue.put(item)
        assert sorted(getter.result() for getter in getters) == [0, 1, 2]


@promise("internals")
def who_waits_for_room_goes_on_waiting_when_a_queue_is_looked_into(make: Make) -> None:
    for name in ("mutex", "not_empty", "not_full", "all_tasks_done", "queue"):
        queue = filled(make, [0], maxsize=1)
        putters = [Call(queue.put, 1), Call(queue.put, 2, timeout=20), Call(queue.put_many, [3])]
        until_blocked(queue, putters=3)
        getattr(queue, name)
        give_others_a_chance()
        assert [putter.is_over for putter in putters] == [False] * 3
        taken = [queue.get(timeout=20) for _ in range(4)]
        for putter in putters:
            putter.result()
        assert sorted(taken) == [0, 1, 2, 3]


@promise("internals", "settling")
def who_joins_goes_on_waiting_when_a_queue_is_looked_into(make: Make) -> None:
    for name in ("mutex", "not_empty", "not_full", "all_tasks_done", "queue"):
        queue = filled(make, [0])
        joiners = [Call(queue.join), Call(queue.join, timeout=20)]
        give_others_a_chance()
        getattr(queue, name)
        give_others_a_chance()
        assert [joiner.is_over for joiner in joiners] == [False] * 2
        queue.get()
        queue.task_done()
        for joiner in joiners:
            joiner.result()


@promise("internals", "shutdown")
def who_waits_learns_of_a_shutdown_after_a_queue_was_looked_into(make: Make) -> None:
    queue = make()
    getters = calls(2, queue.get)
    until_blocked(queue, getters=2)
    with queue.mutex:
        pass
    queue.shutdown()
    for getter in getters:
        assert type(getter.error()) is ShutDown


@promise("internals")
def order_and_counts_survive_being_looked_into(make: Make) -> None:
    plain, opened = make(), make()
    for item in (3, 1, 4, 1, 5):
        plain.put(item)
        opened.put(item)
    assert plain.get() == opened.get()
    opened.task_done()
    with opened.mutex:
        assert len(opened.queue) == 4
    assert opened.unfinished_tasks == 4
    assert drain(plain) == drain(opened)


@promise("internals", "stats")
def stats_survive_being_looked_into(make: Make) -> None:
    queue = filled(make, [3, 1, 2], maxsize=5)
    queue.get()
    queue.task_done()
    before = queue.stats()
    with queue.mutex:
        pass
    assert queue.stats() == before
    queue.put(4)
    queue.get()
    assert queue.stats().put_total == 4
    assert queue.stats().get_total == 2


@promise("internals", "priority")
def priorities_survive_being_looked_into(make: Make) -> None:
    queue = make()
    queue.put("b", priority=2)
    queue.put("a", priority=1)
    assert len(queue.queue) == 2
    queue.put("c", priority=3)
    assert drain(queue) == ["a", "b", "c"]


@promise("internals", "shutdown")
def a_queue_that_is_shut_down_can_be_looked_into(make: Make) -> None:
    queue = filled(make, [1])
    queue.shutdown()
    with queue.mutex:
        assert len(queue.queue) == 1
        assert queue.is_shutdown
    assert queue.get() == 1
    with raises(ShutDown):
        queue.get()
    with raises(ShutDown):
        queue.put(2)


@promise("internals", "resizable")
def maxsize_can_be_assigned_under_the_mutex(make: Make) -> None:
    queue = filled(make, [1], maxsize=1)
    with queue.mutex:
        queue.maxsize = 2
    queue.put_nowait(2)
    with raises(Full):
        queue.put_nowait(3)


@promise("internals")
def methods_may_be_called_with_the_mutex_held(make: Make) -> None:
    # With the standard library that is a deadlock, so no program relies on it, and many a bug was one.
    queue = filled(make, [1, 2])
    with queue.mutex:
        assert queue.qsize() == 2
        queue.put(3)
        assert not queue.empty()
        assert queue.get() in (1, 2, 3)
    assert queue.qsize() == 2
