# pyright: basic
"""``put_many`` and ``get_many``."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from headrace.errors import Empty, Full
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import DEADLINE, Call, calls, give_others_a_chance, until, until_blocked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.testing.promise import Make


@promise("batches", "fifo")
def put_many_puts_in_order_from_any_iterable(make: Make) -> None:
    for source in ([0, 1, 2], (0, 1, 2), range(3), iter([0, 1, 2]), {0: "a", 1: "b", 2: "c"}, (n for n in range(3))):
        queue = make()
        assert queue.put_many(source) is None
        assert drain(queue) == [0, 1, 2]


@promise("batches", "fifo")
def subclasses_of_list_and_tuple_are_iterated_or_indexed_alike(make: Make) -> None:
    class MyList(list):  # type: ignore[type-arg]
        pass

    class MyTuple(tuple):  # type: ignore[type-arg]
        __slots__ = ()

    queue = make()
    queue.put_many(MyList([0, 1]))
    queue.put_many(MyTuple([2, 3]))
    assert drain(queue) == [0, 1, 2, 3]


@promise("batches")
def nothing_is_a_batch_too(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put_many([])
    queue.put_many(())
    queue.put_many(iter([]))
    queue.put(1)
    queue.put_many([])
    queue.put_many([], False)
    queue.put_many(iter([]), timeout=0)
    assert drain(queue) == [1]


@promise("batches")
def what_is_no_iterable_is_refused(make: Make) -> None:
    queue = make()
    with raises(TypeError):
        queue.put_many(5)
    with raises(TypeError):
        queue.put_many()
    with raises(TypeError):
        queue.put_many([1], True, None, None)
    assert queue.empty()


@promise("batches")
def batches_take_their_arguments_by_position_and_by_name(make: Make) -> None:
    queue = make()
    queue.put_many([1], True, 1.0)
    queue.put_many(items=[2], block=False, timeout=None)
    assert sorted(queue.get_many(5, True, 1.0)) == [1, 2]
    queue.put_many([3])
    assert queue.get_many(max_items=1, block=False, timeout=None) == [3]


@promise("batches", "bounded")
def put_many_tells_how_many_found_room(make: Make) -> None:
    for arguments, named in [((False,), {}), ((True, 0), {}), ((), {"timeout": 0.001})]:
        queue = make(maxsize=3)
        with raises(Full) as caught:
            queue.put_many([0, 1, 2, 3, 4], *arguments, **named)
        assert caught.error.put_count == 3
        assert caught.error.pending == ()
        assert sorted(drain(queue)) == [0, 1, 2]


@promise("batches", "bounded")
def of_an_iterator_nothing_is_lost_where_there_is_no_room(make: Make) -> None:
    for arguments, named in [((False,), {}), ((True, 0), {}), ((), {"timeout": 0.001})]:
        queue = make(maxsize=3)
        source = iter(range(10))
        with raises(Full) as caught:
            queue.put_many(source, *arguments, **named)
        assert caught.error.put_count == 3
        assert [*caught.error.pending, *source] == list(range(3, 10))
        assert sorted(drain(queue)) == [0, 1, 2]


@promise("batches", "bounded", "lazy")
def put_many_gives_back_what_it_had_drawn_from_an_iterator(make: Make) -> None:
    for arguments, named in [((False,), {}), ((True, 0), {}), ((), {"timeout": 0.001})]:
        queue = make(maxsize=3)
        source = iter(range(10))
        with raises(Full) as caught:
            queue.put_many(source, *arguments, **named)
        assert caught.error.put_count == 3
        assert caught.error.pending == (3,)
        assert next(source) == 4
        assert sorted(drain(queue)) == [0, 1, 2]


@promise("batches", "bounded")
def a_full_queue_takes_none_of_a_batch(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(0)
    with raises(Full) as caught:
        queue.put_many([1, 2], False)
    assert caught.error.put_count == 0
    assert drain(queue) == [0]


@promise("batches", "bounded")
def put_many_goes_in_as_room_appears(make: Make) -> None:
    for source in (list(range(50)), iter(range(50))):
        queue = make(maxsize=3)
        putter = Call(queue.put_many, source)
        taken = [queue.get(timeout=DEADLINE) for _ in range(50)]
        putter.result()
        assert sorted(taken) == list(range(50))


@promise("batches", "bounded")
def put_many_waits_while_there_is_no_room(make: Make) -> None:
    queue = make(maxsize=2)
    putter = Call(queue.put_many, [0, 1, 2, 3, 4])
    until_blocked(queue, putters=1)
    assert queue.qsize() == 2
    queue.get()
    until(lambda: queue.qsize() == 2, "the next item has gone in")
    until_blocked(queue, putters=1)
    assert not putter.is_over
    for _ in range(4):
        queue.get(timeout=DEADLINE)
    putter.result()


@promise("batches", "bounded")
def the_timeout_of_put_many_is_for_the_whole_call(make: Make) -> None:
    # Room appears again and again, each time sooner than the timeout: a timeout for each item would never run out.
    for source in ([0] * 100_000, itertools.repeat(0)):
        queue = make(maxsize=1)
        start = time.monotonic()
        putter = Call(queue.put_many, source, timeout=0.1)
        taken = 0
        while not putter.is_over and time.monotonic() < start + DEADLINE:
            if queue.full():
                give_others_a_chance()
                queue.get_nowait()
                taken += 1
        error = putter.error()
        assert type(error) is Full
        assert error.put_count == taken + queue.qsize()
        assert time.monotonic() - start >= 0.1


@promise("batches", "bounded")
def put_many_refuses_a_bad_timeout_before_it_puts(make: Make) -> None:
    queue = make(maxsize=3)
    for timeout in (-1, float("nan")):
        with raises(ValueError):
            queue.put_many([1, 2], timeout=timeout)
        with raises(ValueError):
            queue.get_many(2, timeout=timeout)
    with raises(TypeError):
        queue.put_many([1], timeout="1")
    queue.put_many([1], False, -1)
    assert queue.get_many(1, False, -1) == [1]


@promise("batches")
def an_iterator_that_fails_leaves_what_came_before(make: Make) -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("no more")

    queue = make()
    with raises(LookupError):
        queue.put_many(failing())
    assert sorted(drain(queue)) == [1, 2]


@promise("batches")
def an_iterator_may_use_the_queue_itself(make: Make) -> None:
    queue = make()

    def busy() -> Iterator[int]:
        for number in range(10):
            queue.put(-number)
            queue.qsize()
            yield number

    queue.put_many(busy())
    assert sorted(drain(queue)) == sorted([*range(10), *range(-9, 1)])


@promise("batches", "lazy")
def what_an_iterator_has_given_is_there_when_it_goes_on(make: Make) -> None:
    queue = make()
    taken = []

    def greedy() -> Iterator[int]:
        for number in range(10):
            yield number
            taken.append(queue.get_nowait())
            queue.qsize()

    queue.put_many(greedy())
    assert taken == list(range(10))


@promise("batches", "lazy")
def a_generator_is_drawn_from_only_as_far_as_there_is_room(make: Make) -> None:
    drawn = []

    def source() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    queue = make(maxsize=2)
    with raises(Full):
        queue.put_many(source(), False)
    assert drawn == [0, 1, 2]


@promise("batches")
def put_many_serves_every_blocked_get(make: Make) -> None:
    for source in ([0, 1, 2], iter([0, 1, 2])):
        queue = make()
        getters = calls(3, queue.get)
        until_blocked(queue, getters=3)
        queue.put_many(source)
        assert sorted(getter.result() for getter in getters) == [0, 1, 2]


@promise("batches", "settling")
def each_item_of_a_batch_is_a_task_of_its_own(make: Make) -> None:
    queue = make()
    queue.put_many([1, 2, 3])
    queue.get_many(3)
    for _ in range(3):
        with raises(TimeoutError):
            queue.join(timeout=0)
        queue.task_done()
    queue.join(timeout=0)
    with raises(ValueError):
        queue.task_done()


@promise("batches")
def get_many_takes_what_is_there_up_to_its_limit(make: Make) -> None:
    queue = make()
    queue.put_many(range(10))
    batches = [queue.get_many(4), queue.get_many(4), queue.get_many(4)]
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert all(type(batch) is list for batch in batches)
    assert sorted(item for batch in batches for item in batch) == list(range(10))


@promise("batches", "fifo")
def get_many_keeps_the_order_of_a_line(make: Make) -> None:
    queue = make()
    queue.put_many(range(10))
    assert queue.get_many(6) == [0, 1, 2, 3, 4, 5]
    assert queue.get_many(100) == [6, 7, 8, 9]


@promise("batches", "lifo")
def get_many_takes_the_top_of_the_stack_first(make: Make) -> None:
    queue = make()
    queue.put_many(range(5))
    assert queue.get_many(3) == [4, 3, 2]
    assert queue.get_many(3) == [1, 0]


@promise("batches")
def get_many_takes_any_limit_from_one_on(make: Make) -> None:
    queue = make()
    for limit in (1, 2, 10**9, 10**18, 10**30):
        queue.put_many([1, 2])
        assert len(queue.get_many(limit)) == min(limit, 2)
        drain(queue)
    for limit in (0, -1, -(10**18), -(10**30)):
        with raises(ValueError):
            queue.get_many(limit)
    wrong: list[Any] = ["3", None, [1]]
    for limit in wrong:
        with raises(TypeError):
            queue.get_many(limit)
    with raises(TypeError):
        queue.get_many()


@promise("batches")
def get_many_from_an_empty_queue_raises_empty(make: Make) -> None:
    queue = make()
    with raises(Empty):
        queue.get_many(5, False)
    with raises(Empty):
        queue.get_many(5, timeout=0)
    start = time.monotonic()
    with raises(Empty):
        queue.get_many(5, True, 0.02)
    assert time.monotonic() - start >= 0.02


@promise("batches")
def get_many_waits_for_the_first_item_only(make: Make) -> None:
    queue = make()
    getter = Call(queue.get_many, 5)
    until_blocked(queue, getters=1)
    queue.put(1)
    assert getter.result() == [1]


@promise("batches", "bounded")
def get_many_lets_as_many_in_as_it_took_out(make: Make) -> None:
    queue = make(maxsize=3)
    queue.put_many([0, 0, 0])
    putters = [Call(queue.put, item) for item in (1, 2, 3, 4)]
    until_blocked(queue, putters=4)
    assert queue.get_many(3) == [0, 0, 0]
    until(lambda: queue.qsize() == 3, "three have gone in")
    until_blocked(queue, putters=1)
    rest = queue.get_many(3)
    for putter in putters:
        putter.result()
    assert sorted(rest + drain(queue)) == [1, 2, 3, 4]


@promise("batches", "bounded")
def batches_of_many_threads_pass_everything_on(make: Make) -> None:
    queue = make(maxsize=5)
    total = 1200
    taken: list[int] = []
    producers = [Call(_put_in_batches, queue, list(range(first, total, 3))) for first in range(3)]
    consumers = calls(3, _get_in_batches, queue, taken, total)
    for call in [*producers, *consumers]:
        call.result()
    assert sorted(taken) == list(range(total))


def _put_in_batches(queue: Any, items: list[int]) -> None:
    for start in range(0, len(items), 7):
        queue.put_many(items[start : start + 7])


def _get_in_batches(queue: Any, taken: list[int], total: int) -> None:
    while len(taken) < total:
        try:
            taken.extend(queue.get_many(4, timeout=0.01))
        except Empty:
            continue
