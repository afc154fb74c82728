# pyright: basic
"""``put(key=)``: of the unfinished items with a key there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.errors import DuplicateKey, Empty, Full
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import DEADLINE

if TYPE_CHECKING:
    from headrace.testing.promise import Make

NEVER = 1e6  # seconds: a delay that is not over while a test runs


@promise("keys", "stats")
def a_second_item_with_a_key_is_ignored(make: Make) -> None:
    queue = make()
    queue.put(1, key="k")
    queue.put(2, key="k")
    queue.put(3, key="k", on_duplicate="ignore")
    queue.put(4, key="other")
    queue.put(5)
    assert drain(queue) == [1, 4, 5]
    assert queue.stats().put_total == 3


@promise("keys", "stats")
def a_second_item_with_a_key_may_be_refused(make: Make) -> None:
    queue = make()
    queue.put(1, key="k", on_duplicate="raise")
    with raises(DuplicateKey) as caught:
        queue.put(2, key="k", on_duplicate="raise")
    assert caught.error.key == "k"
    assert caught.error.id > 0
    assert queue.stats().put_total == 1
    assert drain(queue) == [1]


@promise("keys", "stats", "settling")
def a_second_item_with_a_key_may_take_the_place_of_the_first(make: Make) -> None:
    queue = make()
    queue.put("old", key="k")
    queue.put("between")
    queue.put("new", key="k", on_duplicate="replace")
    stats = queue.stats()
    assert (stats.waiting, stats.put_total, stats.dropped_total) == (2, 3, 1)
    assert sorted(drain(queue)) == ["between", "new"]
    for _ in range(2):
        queue.task_done()
    queue.join(timeout=0)


@promise("keys", "leases", "settling")
def a_key_is_held_until_its_item_is_settled(make: Make) -> None:
    queue = make()
    endings: list[Any] = [
        lambda lease: lease.done(),
        lambda lease: lease.fail("no"),
    ]
    for ending in endings:
        queue.put(1, key="k")
        lease = queue.lease()
        with raises(DuplicateKey):
            queue.put(2, key="k", on_duplicate="raise")
        lease.retry()
        lease = queue.lease()
        queue.put(3, key="k")
        with raises(Empty):
            queue.get_nowait()
        ending(lease)
        queue.join(timeout=DEADLINE)
        queue.put(4, key="k", on_duplicate="raise")
        assert queue.get() == 4
        queue.task_done()


@promise("keys", "leases")
def an_item_that_a_consumer_holds_leaves_its_key_to_the_one_that_replaces_it(make: Make) -> None:
    queue = make()
    queue.put("old", key="k")
    lease = queue.lease()
    queue.put("new", key="k", on_duplicate="replace")
    lease.retry()
    assert sorted(drain(queue)) == ["new", "old"]
    with raises(DuplicateKey):
        queue.put("newer", key="k", on_duplicate="raise")


@promise("keys", "delays")
def a_delayed_item_holds_its_key_and_may_be_replaced(make: Make) -> None:
    queue = make()
    queue.put("late", key="k", delay=NEVER)
    queue.put("ignored", key="k")
    assert queue.empty()
    queue.put("now", key="k", on_duplicate="replace")
    assert queue.stats().delayed == 0
    queue.put("late again", key="k", on_duplicate="replace", delay=NEVER)
    assert (queue.qsize(), queue.stats().delayed) == (0, 1)


@promise("keys", "clear")
def cleared_items_leave_their_keys(make: Make) -> None:
    queue = make()
    queue.put(1, key="k")
    assert queue.clear() == 1
    queue.put(2, key="k", on_duplicate="raise")
    assert drain(queue) == [2]


@promise("keys", "bounded")
def in_a_full_queue_a_duplicate_is_told_from_a_lack_of_room(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1, key="k")
    queue.put(2, block=False, key="k")
    with raises(DuplicateKey):
        queue.put(3, block=False, key="k", on_duplicate="raise")
    with raises(Full):
        queue.put(4, block=False, key="other")
    queue.put(5, block=False, key="k", on_duplicate="replace")
    assert drain(queue) == [5]
    queue.put(6, block=False, key="other")
    assert drain(queue) == [6]


@promise("keys", "bounded", "leases", "delays", "stats")
def a_replacement_that_finds_no_room_leaves_everything_as_it_was(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put("held", key="held")
    lease = queue.lease()
    queue.put("delayed", key="delayed", delay=NEVER)
    queue.put("there")
    before = queue.stats()
    for key in ("held", "delayed"):
        with raises(Full):
            queue.put("new", block=False, key=key, on_duplicate="replace")
        with raises(DuplicateKey):
            queue.put("new", block=False, key=key, on_duplicate="raise")
    assert queue.stats() == before
    lease.done()


@promise("keys", "bounded", "resizable")
def what_waits_may_be_replaced_in_a_queue_that_is_more_than_full(make: Make) -> None:
    queue = make(maxsize=3)
    for key in "abc":
        queue.put(key, key=key)
    queue.maxsize = 1
    queue.put("new", block=False, key="b", on_duplicate="replace")
    assert sorted(drain(queue)) == ["a", "c", "new"]


@promise("keys", "leases")
def a_dead_letter_that_is_retried_has_its_key_again_if_it_is_free(make: Make) -> None:
    queue = make()
    queue.put(1, key="k")
    queue.lease().fail("no")
    queue.dead.retry_all()
    with raises(DuplicateKey):
        queue.put(2, key="k", on_duplicate="raise")
    queue.lease().fail("no")
    queue.put(3, key="k")
    queue.dead.retry_all()
    assert sorted(drain(queue)) == [1, 3]


@promise("keys")
def what_is_no_key_is_refused(make: Make) -> None:
    queue = make()
    wrong: list[Any] = [5, 1.5, ("k",)]
    for key in wrong:
        with raises(TypeError):
            queue.put(1, key=key)
    with raises(ValueError):
        queue.put(1, key="k", on_duplicate="again")
    assert queue.empty()
    for key in ("", "a\0b", "ü", "\ud800", "k" * 1000):
        queue.put(1, key=key)
        queue.put(2, key=key)
    assert queue.qsize() == 5
