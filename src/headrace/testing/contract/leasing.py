# pyright: basic
"""``lease`` and ``dead``: items that are settled, come back, or fail for good."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

from headrace.errors import Empty, Full, LeaseLost, ShutDown
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import Call, calls, give_others_a_chance, until, until_blocked

if TYPE_CHECKING:
    from headrace.testing.promise import Make

SOON = 0.03  # seconds: a delay that is over soon
NEVER = 1e6  # seconds: one that is not over while a test runs


@promise("leases")
def a_lease_has_the_item_and_is_its_first_attempt(make: Make) -> None:
    queue = make()
    queue.put("a")
    lease = queue.lease()
    assert (lease.item, lease.attempt, lease.is_held) == ("a", 1, True)
    assert queue.empty()


@promise("leases")
def done_settles_the_item(make: Make) -> None:
    queue = make()
    queue.put("a")
    lease = queue.lease()
    with raises(TimeoutError):
        queue.join(timeout=0)
    lease.done()
    queue.join(timeout=0)
    assert not lease.is_held


@promise("leases")
def a_lease_that_is_settled_refuses_to_be_settled_again(make: Make) -> None:
    settlements: list[Any] = [
        lambda lease: lease.done(),
        lambda lease: lease.retry(),
        lambda lease: lease.fail("no"),
    ]
    for settle in settlements:
        queue = make()
        queue.put("a")
        queue.put("b")
        lease = queue.lease()
        settle(lease)
        before = queue.stats()
        for again in (lease.done, lease.retry, lambda lease=lease: lease.fail("again")):
            with raises(LeaseLost):
                again()
        assert queue.stats() == before


@promise("leases")
def of_many_threads_that_settle_a_lease_one_does(make: Make) -> None:
    queue = make()
    for item in range(50):
        queue.put(item)
        lease = queue.lease()
        errors = [call.error() for call in calls(4, lease.done)]
        assert sum(isinstance(error, LeaseLost) for error in errors) == 3
        queue.join(timeout=0)


@promise("leases")
def a_block_that_ends_is_done(make: Make) -> None:
    queue = make()
    queue.put("a")
    with queue.lease() as lease:
        assert lease.item == "a"
    queue.join(timeout=0)


@promise("leases")
def a_block_that_raises_gives_the_item_back_and_lets_the_error_out(make: Make) -> None:
    queue = make()
    queue.put("a")
    with raises(KeyError), queue.lease():
        raise KeyError
    lease = queue.lease(block=False)
    assert (lease.item, lease.attempt) == ("a", 2)


@promise("leases")
def a_lease_that_was_settled_in_its_block_stays_so(make: Make) -> None:
    queue = make()
    queue.put("a")
    with queue.lease() as lease:
        lease.done()
    queue.put("b")
    with raises(KeyError), queue.lease() as lease:
        lease.fail("no")
        raise KeyError
    assert queue.empty()
    queue.join(timeout=0)


@promise("leases")
def a_lease_that_nobody_holds_any_more_gives_the_item_back(make: Make) -> None:
    queue = make()
    queue.put("a")
    lease = queue.lease()
    del lease
    gc.collect()
    assert queue.lease(block=False).attempt == 2


@promise("leases")
def an_item_that_comes_back_is_its_next_attempt_with_the_same_id(make: Make) -> None:
    queue = make()
    queue.put("a")
    queue.put("b")
    ids: dict[str, set[int]] = {"a": set(), "b": set()}
    for _ in range(4):
        for _ in range(2):
            lease = queue.lease()
            ids[lease.item].add(lease.id)
            attempt = lease.attempt
            lease.retry()
    assert attempt == 4 or attempt == 8  # last in, first out gives one of them eight times
    assert all(len(numbers) <= 1 for numbers in ids.values())
    assert ids["a"] != ids["b"]


@promise("leases")
def get_takes_an_item_that_came_back_as_it_was_put(make: Make) -> None:
    queue = make()
    for take in (queue.get, lambda: queue.get(timeout=1), queue.get_nowait):
        queue.put("a")
        queue.lease().retry()
        assert take() == "a"
        queue.task_done()
    queue.join(timeout=0)


@promise("leases", "batches", "iteration", "peek", "item")
def every_way_to_take_an_item_that_came_back_gives_the_item(make: Make) -> None:
    queue = make()
    queue.put("a")
    queue.lease().retry()
    assert queue.peek() == "a"
    assert queue.get_many(5) == ["a"]
    queue.put("b")
    queue.lease().retry()
    with queue.item() as item:
        assert item == "b"
    queue.put("c")
    queue.lease().retry()
    assert next(iter(queue)) == "c"


@promise("leases", "objects")
def the_object_that_comes_back_is_the_object_that_was_put(make: Make) -> None:
    class Thing:
        def __lt__(self, other: Any) -> bool:
            return False

    queue, thing = make(), Thing()
    queue.put(thing)
    queue.lease().retry()
    assert queue.get() is thing


@promise("leases", "priorities")
def an_item_that_comes_back_keeps_its_priority(make: Make) -> None:
    queue = make()
    queue.put("middle", priority=2)
    lease = queue.lease()
    queue.put("last", priority=3)
    queue.put("first", priority=1)
    lease.retry()
    assert drain(queue) == ["first", "middle", "last"]


@promise("leases", "bounded")
def an_item_comes_back_into_a_queue_that_is_full(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1)
    lease = queue.lease()
    queue.put(2)
    lease.retry()
    assert queue.qsize() == 2
    with raises(Full):
        queue.put_nowait(3)
    assert sorted(drain(queue)) == [1, 2]


@promise("leases", "shutdown")
def an_item_comes_back_into_a_queue_that_is_shut_down(make: Make) -> None:
    queue = make()
    queue.put(1)
    lease = queue.lease()
    queue.shutdown()
    with raises(ShutDown):
        queue.get()
    lease.retry()
    assert queue.get() == 1
    with raises(ShutDown):
        queue.get()


@promise("leases")
def an_item_that_comes_back_wakes_who_waits_for_one(make: Make) -> None:
    queue = make()
    queue.put(1)
    lease = queue.lease()
    waiting = Call(queue.get)
    until_blocked(queue, getters=1)
    lease.retry()
    assert waiting.result() == 1


@promise("leases")
def a_delayed_item_is_neither_there_nor_done_until_its_time(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.lease().retry(NEVER)
    assert (queue.qsize(), queue.empty()) == (0, True)
    with raises(Empty):
        queue.lease(block=False)
    with raises(Empty):
        queue.get(timeout=SOON)
    with raises(TimeoutError):
        queue.join(timeout=0)


@promise("leases")
def a_delayed_item_is_ready_at_its_time_and_not_before(make: Make) -> None:
    queue = make()
    queue.put(1)
    lease = queue.lease()
    before = time.monotonic()
    lease.retry(SOON)
    assert queue.get() == 1
    assert time.monotonic() - before >= SOON


@promise("leases", "fifo")
def delayed_items_are_ready_in_the_order_of_their_times(make: Make) -> None:
    queue = make()
    for number in range(3):
        queue.put(number)
    leases = [queue.lease() for _ in range(3)]
    for lease, delay in zip(leases, (0.4, SOON, 0.2), strict=True):
        lease.retry(delay)
    assert [queue.get() for _ in range(3)] == [1, 2, 0]


@promise("leases", "shutdown")
def a_queue_that_is_shut_down_waits_for_its_delayed_items(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.lease().retry(SOON)
    queue.shutdown()
    assert queue.get() == 1
    with raises(ShutDown):
        queue.get()


@promise("leases", "shutdown", "iteration")
def iteration_ends_after_the_last_delayed_item(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    queue.lease().retry(SOON)
    queue.shutdown()
    # It comes last, unless SOON has gone by before the others were taken.
    assert sorted(queue) == [0, 1, 2]


@promise("leases", "shutdown", "dropping")
def an_immediate_shutdown_drops_delayed_items(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    queue.lease().retry(NEVER)
    waiting = Call(queue.join)
    give_others_a_chance()
    queue.shutdown(immediate=True)
    waiting.result()
    with raises(ShutDown):
        queue.get()
    stats = queue.stats()
    assert (stats.delayed, stats.dropped_total, stats.unfinished) == (0, 3, 0)


@promise("leases", "shutdown")
def an_immediate_shutdown_wakes_who_waits_for_a_delayed_item(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.lease().retry(NEVER)
    queue.shutdown()
    waiting = Call(queue.get)
    until_blocked(queue, getters=1)
    queue.shutdown(immediate=True)
    assert isinstance(waiting.error(), ShutDown)


@promise("leases", "shutdown", "dropping")
def what_comes_back_after_an_immediate_shutdown_is_dropped(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    leases = [queue.lease() for _ in range(3)]
    queue.shutdown(immediate=True)
    waiting = Call(queue.join)
    leases[0].retry()
    leases[1].retry(NEVER)
    assert not waiting.is_over
    leases[2].done()
    waiting.result()
    stats = queue.stats()
    assert (stats.waiting, stats.delayed, stats.unfinished, stats.put_total, stats.dropped_total) == (0, 0, 0, 3, 2)


@promise("leases", "clear")
def clear_drops_delayed_items_too(make: Make) -> None:
    queue = make()
    for item in range(3):
        queue.put(item)
    queue.lease().retry(NEVER)
    assert queue.clear() == 3
    queue.join(timeout=0)


@promise("leases")
def a_negative_delay_is_refused_and_the_lease_is_kept(make: Make) -> None:
    queue = make()
    queue.put(1)
    lease = queue.lease()
    for delay in (-1, float("nan")):
        with raises(ValueError):
            lease.retry(delay)
    assert lease.is_held
    lease.done()


@promise("leases", "stats")
def stats_tell_where_each_item_is(make: Make) -> None:
    queue = make()
    for item in range(10):
        queue.put(item)
    leases = [queue.lease() for _ in range(6)]
    leases.pop().done()
    leases.pop().retry(NEVER)
    leases.pop().retry()
    leases.pop().fail("no")
    stats = queue.stats()
    assert (stats.waiting, stats.delayed, stats.leased, stats.dead) == (5, 1, 2, 1)
    assert (stats.unfinished, stats.put_total, stats.get_total) == (8, 10, 6)


@promise("leases")
def a_failed_item_is_a_dead_letter_and_counts_as_done(make: Make) -> None:
    queue = make()
    queue.put("a")
    lease = queue.lease()
    number = lease.id
    lease.fail(ValueError("no"))
    queue.join(timeout=0)
    (letter,) = queue.dead
    assert len(queue.dead) == 1
    assert (letter.item, letter.id, letter.attempts) == ("a", number, 1)
    assert "no" in str(letter.error)
    assert "ValueError: no" in letter.traceback
    assert (queue.dead[number].id, queue.dead[number].item) == (number, "a")
    assert number in queue.dead
    assert letter.first_failed_at <= letter.failed_at <= time.time()


@promise("leases", "objects")
def a_dead_letter_has_the_error_itself_and_is_one_object(make: Make) -> None:
    queue = make()
    queue.put("a")
    lease = queue.lease()
    number, error = lease.id, ValueError("no")
    lease.fail(error)
    (letter,) = queue.dead
    assert letter.error is error
    assert queue.dead[number] is letter
    assert queue.dead.drop(number) is letter


@promise("leases")
def a_dead_letter_tells_where_it_failed(make: Make) -> None:
    def raise_it() -> None:
        try:
            raise KeyError("the cause")
        except KeyError as cause:
            raise ValueError("the end") from cause

    queue = make()
    queue.put("a")
    lease = queue.lease()
    try:
        raise_it()
    except ValueError as error:
        lease.fail(error)
    (letter,) = queue.dead
    text = letter.traceback
    assert "raise_it" in text
    assert text.index("the cause") < text.index("direct cause") < text.index("the end")
    assert letter.error.__traceback__ is None  # it would keep all that the failed function held


@promise("leases")
def an_error_that_refuses_attributes_buries_its_item_too(make: Make) -> None:
    class Frozen(Exception):
        __notes__: Any = 5

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

        def __str__(self) -> str:
            raise ValueError

    queue = make()
    queue.put("a")
    lease = queue.lease()
    try:
        raise Frozen
    except Frozen as error:
        lease.fail(error)
    queue.join(timeout=0)
    (letter,) = queue.dead
    assert "Frozen" in letter.traceback
    assert "DeadLetter" in repr(letter)


@promise("leases")
def a_dead_letter_may_be_retried_as_a_new_item(make: Make) -> None:
    queue = make()
    queue.put("a")
    queue.lease().retry()
    lease = queue.lease()
    number = lease.id
    lease.fail("no")
    queue.dead.retry(number)
    assert len(queue.dead) == 0
    with raises(KeyError):
        queue.dead.retry(number)
    with raises(TimeoutError):
        queue.join(timeout=0)
    with queue.lease() as lease:
        assert (lease.item, lease.attempt) == ("a", 1)
    queue.join(timeout=0)


@promise("leases", "priorities")
def a_dead_letter_that_is_retried_keeps_its_priority(make: Make) -> None:
    queue = make()
    queue.put("middle", priority=2)
    queue.lease().fail("no")
    queue.put("last", priority=3)
    queue.put("first", priority=1)
    queue.dead.retry_all()
    assert drain(queue) == ["first", "middle", "last"]


@promise("leases", "bounded")
def a_dead_letter_that_finds_no_room_stays(make: Make) -> None:
    queue = make(maxsize=1)
    queue.put(1)
    lease = queue.lease()
    number = lease.id
    lease.fail("no")
    queue.put(2)
    with raises(Full):
        queue.dead.retry(number, block=False)
    assert number in queue.dead


@promise("leases", "shutdown")
def a_dead_letter_of_a_queue_that_is_shut_down_stays(make: Make) -> None:
    queue = make()
    queue.put(1)
    queue.lease().fail("no")
    queue.shutdown(immediate=True)
    with raises(ShutDown):
        queue.dead.retry_all()
    assert len(queue.dead) == 1


@promise("leases")
def dead_letters_may_be_dropped(make: Make) -> None:
    queue = make()
    for item in range(4):
        queue.put(item)
        queue.lease().fail("no")
    first = next(iter(queue.dead))
    dropped = queue.dead.drop(first.id)
    assert (dropped.id, dropped.item) == (first.id, first.item)
    with raises(KeyError):
        queue.dead.drop(first.id)
    with raises(KeyError):
        _ = queue.dead[first.id]
    assert queue.dead.drop_all() == 3
    assert list(queue.dead) == []


@promise("leases")
def lease_waits_times_out_and_raises_as_get_does(make: Make) -> None:
    queue = make()
    with raises(Empty):
        queue.lease(block=False)
    with raises(Empty):
        queue.lease(timeout=0.01)
    with raises(ValueError):
        queue.lease(timeout=-1)
    waiting = Call(queue.lease)
    until_blocked(queue, getters=1)
    queue.put(1)
    waiting.result().done()


@promise("leases", "hooks")
def a_class_with_hooks_of_its_own_gets_its_bare_items_back(make: Make) -> None:
    seen: list[Any] = []

    class Hooked(type(make())):  # type: ignore[misc]
        def _put(self, item: Any) -> None:
            seen.append(item)
            super()._put(item)

    queue = Hooked()
    queue.put("a")
    lease = queue.lease()
    number = lease.id
    lease.retry()
    assert seen == ["a", "a"]
    lease = queue.lease()
    assert (lease.item, lease.attempt, lease.id) == ("a", 2, number)
    lease.retry(SOON)
    assert queue.get() == "a"
    assert seen == ["a", "a", "a"]


@promise("leases", "hooks")
def an_item_that_the_queue_does_not_take_back_is_a_dead_letter_and_not_lost(make: Make) -> None:
    class Refusing(type(make())):  # type: ignore[misc]
        refuses = False

        def _put(self, item: Any) -> None:
            if self.refuses:
                raise OverflowError("no more")
            super()._put(item)

    ways: list[Any] = [lambda lease: lease.retry(), lambda lease: lease.retry(SOON), lambda lease: lease.__del__()]
    for give_back in ways:
        queue = Refusing()
        queue.put("a")
        lease = queue.lease()
        queue.refuses = True
        give_back(lease)
        queue.join()
        (letter,) = queue.dead
        assert (letter.item, type(letter.error), queue.qsize()) == ("a", OverflowError, 0)


@promise("leases", "hooks", "clear")
def what_a_cleared_queue_remembered_of_an_item_is_gone_with_it(make: Make) -> None:
    class Hooked(type(make())):  # type: ignore[misc]
        def _put(self, item: Any) -> None:
            super()._put(item)

    queue = Hooked()
    queue.put("a")
    queue.lease().retry()
    queue.clear()
    queue.put("a")
    assert queue.lease().attempt == 1


@promise("leases", "internals")
def leases_outlast_the_opening_of_the_queue(make: Make) -> None:
    queue = make()
    for item in "abc":
        queue.put(item)
    held, back = queue.lease(), queue.lease()
    second = back.item
    back.retry()
    assert queue.mutex
    third = queue.lease()
    assert (third.item, third.attempt) in ((second, 2), ("c", 1))
    held.retry()
    third.retry()
    attempts = {}
    for _ in range(3):
        lease = queue.lease()
        attempts[lease.item] = lease.attempt
        lease.done()
    assert sorted(attempts) == ["a", "b", "c"]
    assert attempts[held.item] == 2
    queue.join(timeout=0)


@promise("leases", "settling")
def threads_that_fail_and_retry_at_random_lose_nothing(make: Make) -> None:
    queue = make()
    count = 400
    done: list[int] = []

    def work() -> None:
        while True:
            try:
                lease = queue.lease()
            except ShutDown:
                return
            chance = (lease.item * 7 + lease.attempt * 3) % 5
            if chance == 0 and lease.attempt < 4:
                lease.retry(0.001 * (lease.item % 3))
            elif chance == 1 and lease.attempt < 4:
                with raises(OSError), lease:
                    raise OSError
            elif chance == 2:
                lease.fail("no")
            else:
                done.append(lease.item)
                lease.done()

    workers = calls(4, work)
    for item in range(count):
        queue.put(item)
    queue.join(timeout=20)
    queue.shutdown()
    for worker in workers:
        worker.result()
    assert sorted(done + [letter.item for letter in queue.dead]) == list(range(count))
    until(lambda: queue.stats().leased == 0, "nothing is held any more")
