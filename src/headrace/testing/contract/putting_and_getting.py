# pyright: basic
"""What every queue promises: put, get, their arguments, and what they raise when there is nothing to do."""

from __future__ import annotations

import math
import queue as standard
import time
from typing import TYPE_CHECKING, Any

from headrace.errors import Empty, Full
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import Call, until_blocked

if TYPE_CHECKING:
    from headrace.testing.promise import Make


@promise()
def each_item_comes_out_once(make: Make) -> None:
    queue = make()
    for item in range(100):
        queue.put(item)
    assert sorted(drain(queue)) == list(range(100))
    assert queue.empty()


@promise()
def a_queue_can_be_filled_and_emptied_many_times(make: Make) -> None:
    queue = make()
    for size in (1, 2, 3, 7, 8, 9, 100, 1000, 5, 1):
        for item in range(size):
            queue.put(item)
        assert queue.qsize() == size
        assert sorted(drain(queue)) == list(range(size))


@promise()
def falsy_items_are_items(make: Make) -> None:
    queue = make()
    falsy: list[Any] = [None, False, 0, 0.0, "", (), [], {}]
    for item in falsy:
        queue.put(item)
        assert not queue.empty()
        assert queue.get() == item


@promise("objects")
def what_comes_out_is_the_object_that_went_in(make: Make) -> None:
    queue = make()
    for item in (object(), [], {}, print, type, make):
        queue.put(item)
        assert queue.get() is item


@promise("objects")
def an_exception_is_an_item_like_any_other(make: Make) -> None:
    queue = make()
    for item in (Empty(), Full(), StopIteration(), NotImplemented):
        queue.put(item)
        assert queue.get() is item


@promise()
def putting_returns_nothing(make: Make) -> None:
    queue = make()
    assert queue.put(1) is None
    assert queue.put_nowait(2) is None


@promise()
def arguments_may_be_given_by_position(make: Make) -> None:
    queue = make()
    queue.put(1, True, 5.0)
    queue.put(2, False)
    queue.put(3, False, None)
    assert sorted([queue.get(True, 5.0), queue.get(False), queue.get(False, None)]) == [1, 2, 3]


@promise()
def arguments_may_be_given_by_name(make: Make) -> None:
    queue = make()
    queue.put(item=1, block=True, timeout=5.0)
    queue.put(2, timeout=None, block=False)
    queue.put_nowait(item=3)
    assert sorted([queue.get(block=True, timeout=5.0), queue.get(timeout=5), queue.get(block=False)]) == [1, 2, 3]


@promise()
def unknown_missing_and_surplus_arguments_are_type_errors(make: Make) -> None:
    queue = make()
    with raises(TypeError):
        queue.put()
    with raises(TypeError):
        queue.put_nowait()
    with raises(TypeError):
        queue.put(1, wait=True)
    with raises(TypeError):
        queue.put(1, True, None, None)
    with raises(TypeError):
        queue.get(True, None, None)
    with raises(TypeError):
        queue.get(timeout_s=1)
    with raises(TypeError):
        queue.get_nowait(1)
    with raises(TypeError):
        queue.put(1, True, timeout=None, block=True)
    assert queue.empty()


@promise()
def any_truth_value_may_say_whether_to_block(make: Make) -> None:
    queue = make()
    queue.put(1, 1)
    queue.put(2, 0)
    assert sorted([queue.get("yes"), queue.get([])]) == [1, 2]
    with raises(Empty):
        queue.get(0)
    with raises(Empty):
        queue.get(None)


@promise()
def a_truth_value_that_raises_is_passed_on(make: Make) -> None:
    class Undecided:
        def __bool__(self) -> bool:
            raise LookupError("neither")

    queue = make()
    with raises(LookupError):
        queue.get(Undecided())
    queue.put(1)
    assert queue.get() == 1


@promise()
def a_get_that_does_not_block_raises_empty(make: Make) -> None:
    queue = make()
    with raises(Empty):
        queue.get_nowait()
    with raises(Empty):
        queue.get(False)
    with raises(Empty):
        queue.get(block=False)


@promise()
def without_blocking_the_timeout_is_ignored(make: Make) -> None:
    queue = make()
    with raises(Empty):
        queue.get(False, 100)
    with raises(Empty):
        queue.get(False, -1)
    queue.put(1, False, -1)
    assert queue.get(False, -1) == 1


@promise()
def a_get_with_a_timeout_of_zero_takes_what_is_there(make: Make) -> None:
    queue = make()
    with raises(Empty):
        queue.get(timeout=0)
    with raises(Empty):
        queue.get(True, 0.0)
    queue.put(1)
    assert queue.get(timeout=0) == 1


@promise()
def a_negative_timeout_for_get_is_refused(make: Make) -> None:
    queue = make()
    for timeout in (-1, -0.001, -math.inf):
        with raises(ValueError):
            queue.get(timeout=timeout)
    queue.put(1)
    for timeout in (-1, -0.001, -math.inf):
        with raises(ValueError):
            queue.get(timeout=timeout)
    assert queue.get() == 1


@promise()
def a_timeout_that_is_no_number_is_refused(make: Make) -> None:
    queue = make()
    with raises(TypeError):
        queue.get(timeout="1")
    with raises(TypeError):
        queue.get(timeout=[])
    with raises(ValueError):
        queue.get(timeout=math.nan)
    queue.put(1)
    assert queue.get() == 1


@promise()
def a_timed_get_waits_no_less_than_its_timeout(make: Make) -> None:
    queue = make()
    for timeout in (0.001, 0.05):
        start = time.monotonic()
        with raises(Empty):
            queue.get(timeout=timeout)
        assert time.monotonic() - start >= timeout


@promise()
def any_length_of_time_is_a_timeout(make: Make) -> None:
    queue = make()
    for timeout in (True, 1, 10**6, 10**12, 1e300, math.inf):
        getter = Call(queue.get, timeout=timeout)
        if timeout is not True:
            until_blocked(queue, getters=1)
        queue.put(timeout)
        assert getter.result() == timeout
        queue.put(timeout)
        assert queue.get(True, timeout) == timeout


@promise()
def sizes_are_told_truly_at_rest(make: Make) -> None:
    queue = make()
    assert queue.qsize() == 0
    assert queue.empty() is True
    for size in range(1, 20):
        queue.put(size)
        assert queue.qsize() == size
        assert queue.empty() is False
    for size in reversed(range(19)):
        queue.get()
        assert queue.qsize() == size
    assert queue.empty() is True


@promise()
def empty_is_the_standard_library_s(make: Make) -> None:
    with raises(standard.Empty) as caught:
        make().get_nowait()
    assert type(caught.error) is Empty


@promise("bounded")
def full_is_the_standard_library_s(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1)
    with raises(standard.Full) as caught:
        queue.put_nowait(2)
    assert type(caught.error) is Full
    assert caught.error.put_count == 0


@promise("bounded")
def a_full_queue_takes_nothing_more(make: Make) -> None:
    queue = make(maxsize=3)
    for item in range(3):
        assert not queue.full()
        queue.put(item)
    with raises(Full):
        queue.put_nowait(3)
    with raises(Full):
        queue.put(3, False)
    with raises(Full):
        queue.put(3, block=False)
    with raises(Full):
        queue.put(3, False, -1)
    with raises(Full):
        queue.put(3, timeout=0)
    with raises(Full):
        queue.put(3, True, 0.01)
    assert queue.full() is True
    assert queue.qsize() == 3
    assert sorted(drain(queue)) == [0, 1, 2]
    assert queue.full() is False


@promise("bounded")
def room_is_for_waiting_items_not_for_unfinished_ones(make: Make) -> None:
    queue = make(maxsize=2)
    for item in range(10):
        queue.put_nowait(item)
        queue.get_nowait()
    queue.put_nowait(10)
    queue.put_nowait(11)
    assert queue.full()


@promise("bounded")
def maxsize_may_be_given_by_position_or_name_and_is_told(make: Make) -> None:
    assert make().maxsize == 0
    assert make(maxsize=7).maxsize == 7
    assert make(7).maxsize == 7
    assert make(-7).maxsize == -7


@promise("bounded")
def a_maxsize_of_zero_or_less_is_no_bound(make: Make) -> None:
    for maxsize in (0, -1, -1000):
        queue = make(maxsize=maxsize)
        for item in range(1000):
            queue.put_nowait(item)
            assert not queue.full()
        assert queue.qsize() == 1000


@promise("bounded")
def a_maxsize_that_is_no_number_is_refused(make: Make) -> None:
    wrong: list[Any] = ["10", []]
    for maxsize in wrong:
        with raises(TypeError):
            make(maxsize=maxsize)


@promise("bounded", "identity")
def a_maxsize_of_none_is_refused(make: Make) -> None:
    with raises(TypeError):
        make(maxsize=None)


@promise("bounded")
def a_negative_timeout_for_put_is_refused_where_there_is_a_bound(make: Make) -> None:
    queue = make(maxsize=1)
    with raises(ValueError):
        queue.put(1, timeout=-1)
    queue.put(1)
    with raises(ValueError):
        queue.put(2, timeout=-0.001)
    with raises(ValueError):
        queue.put(2, True, -math.inf)
    with raises(ValueError):
        queue.put(2, timeout=math.nan)
    assert drain(queue) == [1]


@promise()
def a_put_without_a_bound_ignores_its_timeout(make: Make) -> None:
    queue = make()
    queue.put(1, True, -1)
    queue.put(2, timeout=math.nan)
    assert sorted(drain(queue)) == [1, 2]


@promise("bounded")
def a_timed_put_waits_no_less_than_its_timeout(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1)
    for timeout in (0.001, 0.05):
        start = time.monotonic()
        with raises(Full):
            queue.put(2, timeout=timeout)
        assert time.monotonic() - start >= timeout
    assert drain(queue) == [1]
