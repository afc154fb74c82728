# pyright: basic
"""Priorities: stability, put(priority=…), and comparisons that raise."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from headrace.errors import Full
from headrace.testing.promise import drain, promise, raises

if TYPE_CHECKING:
    from headrace.testing.promise import Make


class Labelled:
    """Compares by its key alone, so that equal ones can be told apart."""

    def __init__(self, key: int, label: object = None) -> None:
        self.key = key
        self.label = label

    def __lt__(self, other: Any) -> bool:
        return bool(self.key < other.key)


class Fragile(int):
    """A number that does not compare while ``broken``."""

    broken = False

    def __lt__(self, other: Any) -> bool:
        if Fragile.broken:
            raise ArithmeticError("does not compare today")
        return int.__lt__(self, other)

    def __gt__(self, other: Any) -> bool:
        return Fragile(other) < self


@promise("priority")
def equal_items_come_out_in_the_order_of_their_puts(make: Make) -> None:
    chance = random.Random(1)
    queue = make()
    items = [Labelled(chance.randrange(5), label) for label in range(500)]
    for item in items:
        queue.put(item)
    taken = [(item.key, item.label) for item in drain(queue)]
    assert taken == sorted(taken)


@promise("priority")
def order_among_equals_holds_across_gets(make: Make) -> None:
    chance = random.Random(2)
    queue = make()
    waiting: list[tuple[int, int]] = []
    for label in range(2000):
        if waiting and chance.random() < 0.45:
            item = queue.get()
            waiting.sort()
            assert (item.key, item.label) == waiting.pop(0)
        else:
            key = chance.randrange(4)
            queue.put(Labelled(key, label))
            waiting.append((key, label))


@promise("priority")
def tuples_with_a_number_in_front_work_as_they_always_did(make: Make) -> None:
    queue = make()
    items = [(3, "c"), (1, "z"), (1, "a"), (2, "b")]
    for item in items:
        queue.put(item)
    assert drain(queue) == sorted(items)


@promise("priorities")
def a_priority_takes_the_place_of_the_item_s_own_order(make: Make) -> None:
    queue = make()
    for item, priority in [("low", 3), ("high", 1), ("middle", 2)]:
        queue.put(item, priority=priority)
    assert drain(queue) == ["high", "middle", "low"]


@promise("priority", "objects")
def with_a_priority_items_need_not_be_comparable(make: Make) -> None:
    queue = make()
    items = [object() for _ in range(50)]
    for number, item in enumerate(items):
        queue.put(item, priority=number % 5)
    expected = [item for rest in range(5) for item in items[rest::5]]
    assert drain(queue) == expected


@promise("priority")
def all_ways_of_putting_one_item_take_a_priority(make: Make) -> None:
    queue = make()
    queue.put_nowait("b", priority=2)
    queue.put("a", True, None, priority=1)
    queue.put("c", block=False, timeout=None, priority=3)
    queue.put(item="d", priority=4)
    assert drain(queue) == ["a", "b", "c", "d"]


@promise("priority")
def a_priority_is_given_by_name_only(make: Make) -> None:
    queue = make()
    with raises(TypeError):
        queue.put("a", True, None, 1)
    with raises(TypeError):
        queue.put_nowait("a", 1)
    assert queue.empty()


@promise("priority", "bounded")
def put_nowait_takes_a_priority_as_put_does(make: Make) -> None:
    queue = make(maxsize=3)
    queue.put_nowait("b", priority=0)
    queue.put_nowait("a", priority=-1)
    queue.put_nowait("c", priority=0)
    with raises(Full):
        queue.put_nowait("d", priority=-2)
    assert drain(queue) == ["a", "b", "c"]


@promise("priorities", "batches")
def get_many_takes_the_lowest_priorities_first(make: Make) -> None:
    queue = make()
    for item, priority in [("f", 2), ("a", -1), ("e", 1), ("c", 0)]:
        queue.put(item, priority=priority)
    assert queue.get_many(2) == ["a", "c"]
    queue.put("b", priority=0)
    assert queue.get_many(9) == ["b", "e", "f"]


@promise("priorities")
def equal_priorities_keep_the_order_of_their_puts_across_gets(make: Make) -> None:
    chance = random.Random(6)
    queue = make()
    waiting: list[tuple[int, int]] = []
    for label in range(600):
        if waiting and chance.random() < 0.45:
            waiting.sort()
            assert queue.get() == waiting.pop(0)[1]
        else:
            priority = chance.randrange(-2, 2)
            queue.put(label, priority=priority)
            waiting.append((priority, label))


@promise("priority")
def a_priority_of_none_is_no_priority(make: Make) -> None:
    queue = make()
    queue.put(2, priority=None)
    queue.put_nowait(1, priority=None)
    assert drain(queue) == [1, 2]


@promise("priorities")
def zero_is_a_priority(make: Make) -> None:
    queue = make()
    queue.put("b", priority=0)
    queue.put("a", priority=-1)
    queue.put("c", priority=0)
    assert drain(queue) == ["a", "b", "c"]


@promise("priority")
def bare_items_and_priorities_share_one_order(make: Make) -> None:
    queue = make()
    queue.put(2)
    queue.put("by priority 1", priority=1)
    queue.put(0)
    queue.put("by priority 2", priority=2)
    queue.put("by priority 0", priority=0)
    assert drain(queue) == [0, "by priority 0", "by priority 1", 2, "by priority 2"]


@promise("priority")
def priorities_may_be_of_any_kind_that_compares(make: Make) -> None:
    queue = make()
    for priority in ["b", "a", "c"]:
        queue.put(priority.upper(), priority=priority)
    assert drain(queue) == ["A", "B", "C"]
    for pair in [(1, "b"), (0, "z"), (1, "a")]:
        queue.put(pair[::-1], priority=pair)
    assert drain(queue) == [("z", 0), ("a", 1), ("b", 1)]
    for number in (10**30, 1.5, -(10**30), True):
        queue.put(number, priority=number)
    assert drain(queue) == [-(10**30), True, 1.5, 10**30]


@promise("priority")
def one_item_is_never_compared(make: Make) -> None:
    queue = make()
    for _ in range(3):
        item = object()
        queue.put(item)
        assert queue.get() is item


@promise("priority")
def an_item_that_does_not_compare_stays_outside(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.put(2)
    with raises(TypeError):
        queue.put("three")
    with raises(TypeError):
        queue.put("three", priority="3")
    with raises(TypeError):
        queue.put_nowait(object())
    assert queue.qsize() == 2
    assert drain(queue) == [1, 2]


@promise("priority", "settling", "stats")
def an_item_that_does_not_compare_is_not_counted(make: Make) -> None:
    queue = make()
    queue.put(1)
    with raises(TypeError):
        queue.put("two")
    stats = queue.stats()
    assert (stats.waiting, stats.unfinished, stats.put_total) == (1, 1, 1)
    queue.get()
    queue.task_done()
    queue.join(timeout=0)


@promise("priority", "objects")
def a_put_whose_comparison_raises_leaves_the_heap_as_it_was(make: Make) -> None:
    chance = random.Random(3)
    for size in (1, 2, 3, 10, 50):
        queue = make()
        items = [Fragile(chance.randrange(100)) for _ in range(size)]
        for item in items:
            queue.put(item)
        Fragile.broken = True
        try:
            with raises(ArithmeticError):
                queue.put(Fragile(-1))
        finally:
            Fragile.broken = False
        assert queue.qsize() == size
        assert drain(queue) == sorted(items)


@promise("priority", "objects")
def a_get_whose_comparison_raises_takes_nothing(make: Make) -> None:
    chance = random.Random(4)
    for size in (3, 4, 10, 50):
        queue = make()
        items = [Fragile(chance.randrange(100)) for _ in range(size)]
        for item in items:
            queue.put(item)
        Fragile.broken = True
        try:
            with raises(ArithmeticError):
                queue.get()
            with raises(ArithmeticError):
                queue.get(timeout=1)
        finally:
            Fragile.broken = False
        assert queue.qsize() == size
        assert drain(queue) == sorted(items)


class Rigged:
    """Compares by key; the comparison number ``countdown`` from now raises, wherever in the heap it happens."""

    countdown = -1

    def __init__(self, key: int) -> None:
        self.key = key

    def __lt__(self, other: Any) -> bool:
        Rigged.countdown -= 1
        if Rigged.countdown == 0:
            raise ArithmeticError("the rigged comparison")
        return bool(self.key < other.key)

    def __gt__(self, other: Any) -> bool:
        return bool(other < self)


@promise("priority", "objects")
def wherever_a_comparison_raises_nothing_is_lost(make: Make) -> None:
    chance = random.Random(5)
    keys = [chance.randrange(20) for _ in range(40)]
    for countdown in range(1, 12):
        assert _keys_after_a_rigged_put(make, keys, countdown) in (sorted(keys), sorted([0, *keys]))
        assert _keys_after_a_rigged_get(make, keys, countdown) == sorted(keys)


def _keys_after_a_rigged_put(make: Make, keys: list[int], countdown: int) -> list[int]:
    queue = _filled(make, keys)
    Rigged.countdown = countdown
    try:
        queue.put(Rigged(0))
        expected = len(keys) + 1
    except ArithmeticError:
        expected = len(keys)
    finally:
        Rigged.countdown = -1
    assert queue.qsize() == expected
    return [item.key for item in drain(queue)]


def _keys_after_a_rigged_get(make: Make, keys: list[int], countdown: int) -> list[int]:
    queue = _filled(make, keys)
    Rigged.countdown = countdown
    taken = []
    try:
        taken.append(queue.get().key)
    except ArithmeticError:
        pass
    finally:
        Rigged.countdown = -1
    return taken + [item.key for item in drain(queue)]


def _filled(make: Make, keys: list[int]) -> Any:
    queue = make()
    for key in keys:
        queue.put(Rigged(key))
    return queue


@promise("priorities", "bounded")
def a_full_queue_refuses_whatever_the_priority(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put("a", priority=5)
    with raises(Full):
        queue.put("b", block=False, priority=1)
    with raises(Full):
        queue.put("b", timeout=0.001, priority=1)
    assert drain(queue) == ["a"]


@promise("priority", "batches")
def a_batch_is_ordered_by_priority_too(make: Make) -> None:
    queue = make()
    queue.put_many([Labelled(key, label) for label, key in enumerate([2, 1, 2, 0, 1])])
    assert [item.label for item in queue.get_many(10)] == [3, 1, 4, 0, 2]


@promise("priority", "batches")
def a_batch_that_stops_comparing_keeps_what_went_in(make: Make) -> None:
    queue = make()
    with raises(TypeError):
        queue.put_many([3, 1, "two", 0])
    assert drain(queue) == [1, 3]


@promise("priorities", "peek")
def peeking_sees_the_lowest(make: Make) -> None:
    queue = make()
    for item, priority in [("c", 3), ("a", 1), ("b", 2)]:
        queue.put(item, priority=priority)
    assert queue.peek() == "a"
    assert drain(queue) == ["a", "b", "c"]
