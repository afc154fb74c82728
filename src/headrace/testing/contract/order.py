# pyright: basic
"""In which order items come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.testing.promise import drain, promise

if TYPE_CHECKING:
    from headrace.testing.promise import Make

ITEMS = [5, 1, 4, 1, 3, 9, 2, 6]


@promise("fifo")
def first_in_first_out(make: Make) -> None:
    queue = make()
    for item in ITEMS:
        queue.put(item)
    assert drain(queue) == ITEMS


@promise("lifo")
def last_in_first_out(make: Make) -> None:
    queue = make()
    for item in ITEMS:
        queue.put(item)
    assert drain(queue) == ITEMS[::-1]


@promise("priority")
def lowest_first(make: Make) -> None:
    queue = make()
    for item in ITEMS:
        queue.put(item)
    assert drain(queue) == sorted(ITEMS)


@promise("fifo")
def order_holds_while_the_queue_grows_and_shrinks(make: Make) -> None:
    queue = make()
    sent = received = 0
    for step in (3, -2, 20, -15, 100, -50, 7, -63, 1000, -999, 5, -6):
        for _ in range(step):
            queue.put(sent)
            sent += 1
        for _ in range(-step):
            assert queue.get() == received
            received += 1
    assert queue.empty()


@promise("lifo")
def the_stack_holds_while_it_grows_and_shrinks(make: Make) -> None:
    queue = make()
    stack: list[int] = []
    for step in (3, -2, 20, -15, 100, -50, 7, -63, 1000, -999, 5, -6):
        for _ in range(step):
            stack.append(len(stack) * 7)
            queue.put(stack[-1])
        for _ in range(-step):
            assert queue.get() == stack.pop()
    assert queue.empty()


@promise("fifo", "bounded")
def order_holds_round_and_round_a_bounded_queue(make: Make) -> None:
    for maxsize in (1, 2, 3, 5, 8, 13):
        queue = make(maxsize=maxsize)
        expected = 0
        for item in range(10 * maxsize):
            if queue.full():
                assert queue.get() == expected
                expected += 1
            queue.put_nowait(item)
        assert drain(queue) == list(range(expected, 10 * maxsize))
