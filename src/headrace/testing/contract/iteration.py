# pyright: basic
"""``for item in queue`` and ``with queue.item()``."""

from __future__ import annotations

import operator
import weakref
from typing import TYPE_CHECKING, Any

from headrace.errors import Empty
from headrace.testing.promise import promise, raises
from headrace.testing.threads import Call, calls, until_blocked

if TYPE_CHECKING:
    from headrace.testing.promise import Make


@promise("iteration", "shutdown")
def iteration_ends_when_the_queue_is_shut_down_and_drained(make: Make) -> None:
    queue = make()
    for item in range(5):
        queue.put(item)
    queue.shutdown()
    assert sorted(queue) == [0, 1, 2, 3, 4]
    assert list(queue) == []


@promise("iteration", "shutdown")
def iteration_waits_for_items_and_for_the_shutdown(make: Make) -> None:
    queue = make()
    reader = Call(lambda: list(queue))
    until_blocked(queue, getters=1)
    queue.put(1)
    until_blocked(queue, getters=1)
    queue.put(2)
    until_blocked(queue, getters=1)
    assert not reader.is_over
    queue.shutdown()
    assert reader.result() == [1, 2]


@promise("iteration", "objects", "stats")
def no_item_lives_on_while_iteration_waits_for_the_next(make: Make) -> None:
    class Item:
        pass

    def read() -> None:
        for item in queue:
            references.append(weakref.ref(item))
            del item

    queue = make()
    references: list[weakref.ref[Item]] = []
    queue.put(Item())
    reader = Call(read)
    until_blocked(queue, getters=1)
    assert [reference() for reference in references] == [None]
    queue.shutdown()
    reader.result()


@promise("iteration", "shutdown")
def immediate_shutdown_ends_iteration_at_once(make: Make) -> None:
    queue = make()
    for item in range(5):
        queue.put(item)
    iterator = iter(queue)
    next(iterator)
    queue.shutdown(immediate=True)
    with raises(StopIteration):
        next(iterator)


@promise("iteration", "shutdown")
def several_iterations_share_the_items(make: Make) -> None:
    queue = make()
    readers = calls(3, lambda: list(queue))
    for item in range(300):
        queue.put(item)
    queue.shutdown()
    assert sorted(item for reader in readers for item in reader.result()) == list(range(300))


@promise("iteration", "shutdown")
def an_iterator_takes_one_item_at_a_time_and_stays_ended(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    iterator = iter(queue)
    assert iter(iterator) is iterator
    next(iterator)
    assert queue.qsize() == 2
    queue.shutdown()
    next(iterator)
    next(iterator)
    for _ in range(2):
        with raises(StopIteration):
            next(iterator)


@promise("iteration", "shutdown", "settling")
def iteration_leaves_settling_to_the_caller(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.shutdown()
    for _ in queue:
        with raises(TimeoutError):
            queue.join(timeout=0)
        queue.task_done()
    queue.join(timeout=0)


@promise("iteration", "length")
def asking_whether_an_item_is_in_a_queue_is_refused(make: Make) -> None:
    # It would be answered by taking items out.
    queue = make()
    queue.put(1)
    with raises(TypeError):
        operator.contains(queue, 1)
    with raises(TypeError):
        assert 2 in queue
    assert queue.qsize() == 1


@promise("item", "settling")
def item_gets_and_settles(make: Make) -> None:
    queue = make()
    queue.put(1)
    with queue.item() as item:
        assert item == 1
        assert queue.empty()
        with raises(TimeoutError):
            queue.join(timeout=0)
    queue.join(timeout=0)
    with raises(ValueError):
        queue.task_done()


@promise("item", "settling")
def item_settles_whatever_happens(make: Make) -> None:
    queue = make()
    for failure in (LookupError, KeyboardInterrupt, GeneratorExit, Empty):
        queue.put(1)
        with raises(failure), queue.item():
            raise failure
        queue.join(timeout=0)
    for _ in range(3):
        queue.put(1)
        with queue.item():
            continue
    queue.join(timeout=0)


@promise("item", "settling")
def item_settles_nothing_when_there_was_nothing_to_get(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.get()
    for manager in (queue.item(False), queue.item(True, 0), queue.item(timeout=0.001), queue.item(block=False)):
        with raises(Empty), manager:
            raise AssertionError("there was nothing to get")
    with raises(ValueError), queue.item(timeout=-1):
        raise AssertionError("the timeout was negative")
    with raises(TimeoutError):
        queue.join(timeout=0)
    queue.task_done()
    queue.join(timeout=0)


@promise("item")
def item_waits_like_get(make: Make) -> None:
    queue = make()

    def take() -> Any:
        with queue.item() as item:
            return item

    getter = Call(take)
    until_blocked(queue, getters=1)
    queue.put(1)
    assert getter.result() == 1


@promise("item")
def asking_for_item_takes_nothing_before_the_block_is_entered(make: Make) -> None:
    queue = make()
    queue.put(1)
    manager = queue.item()
    assert queue.qsize() == 1
    with manager as item:
        assert item == 1
    assert queue.empty()


@promise("item", "settling")
def items_may_be_held_inside_one_another(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    with queue.item() as first, queue.item() as second, queue.item() as third:
        assert sorted([first, second, third]) == [0, 1, 2]
        with raises(TimeoutError):
            queue.join(timeout=0)
    queue.join(timeout=0)
