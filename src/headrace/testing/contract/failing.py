# pyright: basic
"""Items that fail again and again: ``max_deliveries``; what a dead letter remembers, and its editing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headrace.errors import Empty
from headrace.testing.promise import promise, raises

if TYPE_CHECKING:
    from headrace.testing.promise import Make


@promise("deliveries", "leases", "settling")
def an_item_that_was_delivered_too_often_is_dead(make: Make) -> None:
    queue = make(max_deliveries=3)
    queue.put("poison")
    for attempt in (1, 2, 3):
        lease = queue.lease(block=False)
        assert lease.attempt == attempt
        lease.retry()
    with raises(Empty):
        queue.lease(block=False)
    queue.join(timeout=0)
    (letter,) = queue.dead
    assert (letter.item, letter.attempts, letter.id) == ("poison", 3, lease.id)


@promise("deliveries", "leases")
def blocks_that_raise_count_as_deliveries_and_say_why(make: Make) -> None:
    queue = make(max_deliveries=2)
    queue.put("poison")
    for _ in range(2):
        with raises(LookupError), queue.lease(block=False):
            raise LookupError("not today")
    (letter,) = queue.dead
    assert "LookupError: not today" in str(letter.error)


@promise("deliveries", "leases", "durable")
def deliveries_are_counted_on_when_the_queue_is_opened_again(make: Make) -> None:
    queue = make(max_deliveries=2)
    queue.put("poison")
    queue.lease().retry()
    queue.close()
    again = make(again=queue)
    lease = again.lease(block=False)
    assert lease.attempt == 2
    lease.retry()
    assert [letter.item for letter in again.dead] == ["poison"]


@promise("deliveries", "leases")
def without_a_bound_an_item_is_delivered_for_ever(make: Make) -> None:
    queue = make(max_deliveries=0)
    queue.put(1)
    for attempt in range(1, 30):
        lease = queue.lease(block=False)
        assert lease.attempt == attempt
        lease.retry()
    assert list(queue.dead) == []


@promise("deliveries", "leases")
def a_dead_letter_that_is_retried_is_counted_from_the_beginning(make: Make) -> None:
    queue = make(max_deliveries=1)
    queue.put(1)
    queue.lease().retry()
    (letter,) = queue.dead
    queue.dead.retry(letter.id)
    lease = queue.lease(block=False)
    assert lease.attempt == 1
    lease.done()


@promise("edits", "leases")
def a_dead_letter_has_a_history(make: Make) -> None:
    queue = make()
    queue.put("a")
    before = time.time()
    with raises(KeyError), queue.lease():
        raise KeyError("first")
    queue.lease().fail(ValueError("second"))
    (letter,) = queue.dead
    assert [why for _, why in letter.history] == ["KeyError: 'first'", "ValueError: second"]
    times = [when for when, _ in letter.history]
    assert before - 1 <= times[0] <= times[1] <= time.time()
    assert letter.first_failed_at == times[0]
    assert letter.put_at <= letter.first_failed_at <= letter.failed_at


@promise("edits", "leases", "deliveries")
def a_long_history_keeps_its_beginning_and_its_end(make: Make) -> None:
    queue = make(max_deliveries=0)
    queue.put("a")
    for number in range(40):
        with raises(LookupError), queue.lease():
            raise LookupError(number)
    queue.lease().fail("no")
    (letter,) = queue.dead
    assert "LookupError: 0" in letter.history[0][1]
    assert "no" in letter.history[-1][1]


@promise("edits", "leases")
def a_dead_letter_may_be_edited_and_retried(make: Make) -> None:
    queue = make()
    for item in ("good", "bad"):
        queue.put(item)
    queue.get()
    lease = queue.lease()
    lease.fail("no")
    queue.dead.edit(lease.id, {"better": [1, 2]})
    letter = queue.dead[lease.id]
    assert (letter.item, letter.attempts, len(letter.history)) == ({"better": [1, 2]}, 1, 1)
    queue.dead.retry(lease.id)
    assert queue.get() == {"better": [1, 2]}


@promise("edits", "leases")
def editing_what_is_not_there_is_refused(make: Make) -> None:
    queue = make()
    with raises(KeyError):
        queue.dead.edit(1, "x")
    queue.put("a")
    with raises(KeyError):
        queue.dead.edit(queue.lease().id, "x")
