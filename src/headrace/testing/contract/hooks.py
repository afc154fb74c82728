# pyright: basic
"""Subclasses and instances that override ``_init``, ``_qsize``, ``_put``, ``_get``, or put and get themselves."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from headrace.errors import Empty, Full, NotSupported, ShutDown
from headrace.testing.promise import drain, promise, raises
from headrace.testing.threads import Call, calls, until_blocked

if TYPE_CHECKING:
    from headrace.testing.promise import Make


class Failure(Exception):
    """What a hook raises here."""


def unique_queue(base: Any) -> Any:
    """The recipe that is found everywhere: a queue whose waiting items are a set."""

    class UniqueQueue(base):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self.queue: set[Any] = set()

        def _put(self, item: Any) -> None:
            self.queue.add(item)

        def _get(self) -> Any:
            return self.queue.pop()

    return UniqueQueue


def ordered_unique_queue(base: Any) -> Any:
    """The same, keeping the order of the first put; with a ``_qsize`` of its own."""

    class OrderedUniqueQueue(base):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self.items: OrderedDict[Any, None] = OrderedDict()

        def _qsize(self) -> int:
            return len(self.items)

        def _put(self, item: Any) -> None:
            self.items[item] = None

        def _get(self) -> Any:
            return self.items.popitem(last=False)[0]

        def _peek(self) -> Any:
            return next(iter(self.items))

    return OrderedUniqueQueue


@promise("hooks")
def a_queue_of_unique_items_can_be_made_of_the_hooks(make: Make) -> None:
    queue = unique_queue(type(make()))()
    for item in (1, 2, 2, 3, 1):
        queue.put(item)
    assert queue.qsize() == len(queue) == 3
    assert sorted(drain(queue)) == [1, 2, 3]
    assert queue.empty()


@promise("hooks", "batches", "peek", "clear", "iteration", "shutdown", "stats")
def a_queue_of_hooks_has_all_the_methods(make: Make) -> None:
    queue = ordered_unique_queue(type(make()))(3)
    with raises(Full) as caught:
        queue.put_many([1, 1, 2, 2, 3, 4], False)
    assert caught.error.put_count == 5
    assert queue.peek() == 1
    assert queue.get_many(2) == [1, 2]
    assert queue.stats().waiting == 1
    assert queue.clear() == 1
    queue.put(7)
    queue.shutdown()
    assert list(queue) == [7]


@promise("hooks")
def a_queue_of_hooks_blocks_and_wakes(make: Make) -> None:
    queue = ordered_unique_queue(type(make()))(2)
    getters = calls(2, queue.get)
    until_blocked(queue, getters=2)
    queue.put(1)
    queue.put(2)
    assert sorted(getter.result() for getter in getters) == [1, 2]
    queue.put(3)
    queue.put(4)
    putter = Call(queue.put, 5)
    until_blocked(queue, putters=1)
    assert queue.get() == 3
    putter.result()
    assert drain(queue) == [4, 5]


@promise("hooks")
def init_is_called_once_and_with_the_maxsize(make: Make) -> None:
    base: Any = type(make())
    seen = []

    class Observed(base):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            seen.append((maxsize, self.maxsize))
            super()._init(maxsize)

    queue = Observed(5)
    assert seen == [(5, 5)]
    queue.put(1)
    assert queue.get() == 1
    Observed()
    assert seen == [(5, 5), (0, 0)]


@promise("hooks")
def hooks_are_called_for_every_operation(make: Make) -> None:
    seen = []

    class Observed(type(make())):  # type: ignore[misc]
        def _put(self, item: Any) -> None:
            seen.append(("put", item))
            super()._put(item)

        def _get(self) -> Any:
            item = super()._get()
            seen.append(("get", item))
            return item

    queue = Observed()
    queue.put(1)
    queue.put_nowait(2)
    queue.put_many([3])
    first, second = queue.get(), queue.get_nowait()
    third = queue.get_many(5)[0]
    queue.put(4)
    queue.clear()
    queue.put(5)
    queue.shutdown(immediate=True)
    puts = [item for kind, item in seen if kind == "put"]
    gets = [item for kind, item in seen if kind == "get"]
    assert puts == [1, 2, 3, 4, 5]
    assert gets == [first, second, third, 4, 5]


@promise("hooks")
def a_hook_may_change_what_goes_in_and_what_comes_out(make: Make) -> None:
    class Changing(type(make())):  # type: ignore[misc]
        def _put(self, item: Any) -> None:
            super()._put(item + 1)

        def _get(self) -> Any:
            return super()._get() * 10

    queue = Changing()
    queue.put(1)
    assert queue.get() == 20


@promise("hooks")
def hooks_can_be_called_explicitly_on_the_base_class(make: Make) -> None:
    base: Any = type(make())

    class Explicit(base):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            base._init(self, maxsize)

        def _qsize(self) -> int:
            return int(base._qsize(self))

        def _put(self, item: Any) -> None:
            base._put(self, item)

        def _get(self) -> Any:
            return base._get(self)

    queue = Explicit(3)
    for item in (2, 1, 3):
        queue.put(item)
    assert queue.full()
    plain = make()
    for item in (2, 1, 3):
        plain.put(item)
    assert drain(queue) == drain(plain)


@promise("hooks")
def each_hook_may_be_overridden_alone(make: Make) -> None:
    base: Any = type(make())

    def calling(name: str) -> Any:
        def hook(self: Any, *arguments: Any) -> Any:
            seen.append(name)
            return getattr(base, name)(self, *arguments)

        return hook

    for name in ("_init", "_qsize", "_put", "_get"):
        seen: list[str] = []
        queue = type("Queue", (base,), {name: calling(name)})(2)
        queue.put(1)
        queue.put(2)
        with raises(Full):
            queue.put(3, timeout=0.001)
        assert sorted([queue.get(), queue.get()]) == [1, 2]
        with raises(Empty):
            queue.get_nowait()
        assert seen
        assert set(seen) == {name}


@promise("hooks")
def hooks_may_be_inherited_from_a_mixin(make: Make) -> None:
    class Doubling:
        def _put(self, item: Any) -> None:
            super()._put(item * 2)  # type: ignore[misc]

    class Mixed(Doubling, type(make())):  # type: ignore[misc]
        pass

    class Derived(Mixed):
        pass

    queue = Derived()
    queue.put(1)
    assert queue.get() == 2


@promise("hooks")
def a_hook_may_be_given_to_one_queue_alone(make: Make) -> None:
    queue, other = make(), make()
    original = queue._put
    seen = []

    def noting_put(item: Any) -> None:
        seen.append(item)
        original(item)

    queue.put(1)
    queue._put = noting_put
    queue.put(2)
    other.put(3)
    assert seen == [2]
    assert sorted(drain(queue)) == [1, 2]
    del queue._put
    queue.put(4)
    assert seen == [2]
    assert drain(queue) == [4]


@promise("hooks")
def a_hook_may_be_given_while_others_wait(make: Make) -> None:
    queue = make()
    getters = calls(2, queue.get)
    until_blocked(queue, getters=2)
    original = queue._get
    queue._get = lambda: original() * 10
    queue.put(1)
    queue.put(2)
    assert sorted(getter.result() for getter in getters) == [10, 20]


@promise("hooks")
def a_hook_may_be_given_to_a_class_that_has_queues_already(make: Make) -> None:
    class Later(type(make())):  # type: ignore[misc]
        pass

    queue = Later()
    queue.put(1)
    Later._put = lambda self, item: super(Later, self)._put(item * 10)
    queue.put(2)
    assert sorted(drain(queue)) == [1, 20]


@promise("hooks", "stats")
def a_put_hook_that_raises_counts_and_changes_nothing(make: Make) -> None:
    queue = failing_queue(make)(2)
    queue.put(1)
    for put in (
        queue.put,
        queue.put_nowait,
        lambda item: queue.put(item, timeout=1),
        lambda item: queue.put_many([item]),
    ):
        queue.fail_put = True
        with raises(Failure):
            put(2)
        stats = queue.stats()
        assert (stats.waiting, stats.unfinished, stats.put_total) == (1, 1, 1)
    queue.put(2)
    assert sorted(drain(queue)) == [1, 2]


@promise("hooks", "stats")
def a_get_hook_that_raises_takes_nothing(make: Make) -> None:
    queue = failing_queue(make)(2)
    queue.put(1)
    for get in (queue.get, queue.get_nowait, lambda: queue.get(timeout=1), lambda: queue.get_many(3)):
        queue.fail_get = True
        with raises(Failure):
            get()
        stats = queue.stats()
        assert (stats.waiting, stats.unfinished, stats.get_total) == (1, 1, 0)
    assert queue.get() == 1


@promise("hooks")
def a_hook_that_raises_for_a_blocked_caller_passes_the_wake_up_on(make: Make) -> None:
    queue = failing_queue(make)()
    queue.fail_get = True
    getters = calls(2, queue.get)
    until_blocked(queue, getters=2)
    queue.put(1)
    errors = [getter.error() for getter in getters if _ends_soon(getter)]
    assert len(errors) >= 1
    rest = [getter for getter in getters if getter.is_over is False]
    for _ in rest:
        queue.put(2)
    outcomes = [getter.error() for getter in getters]
    assert sorted(type(error).__name__ for error in outcomes) == ["Failure", "NoneType"]


def _ends_soon(call: Call) -> bool:
    call.join(0.2)
    return call.is_over


@promise("hooks")
def get_many_keeps_what_it_has_when_a_hook_fails_later(make: Make) -> None:
    class FailsSecond(type(make())):  # type: ignore[misc]
        count = 0

        def _get(self) -> Any:
            self.count += 1
            if self.count == 2:
                raise Failure
            return super()._get()

    queue = FailsSecond()
    queue.put_many([1, 2, 3])
    taken = queue.get_many(3)
    assert len(taken) == 1
    assert sorted(taken + queue.get_many(3)) == [1, 2, 3]


@promise("hooks", "shutdown", "settling")
def an_immediate_shutdown_whose_hook_fails_still_shuts_down(make: Make) -> None:
    queue = failing_queue(make)(2)
    queue.put(1)
    queue.put(2)
    putter = Call(queue.put, 3)
    until_blocked(queue, putters=1)
    queue.fail_get = True
    with raises(Failure):
        queue.shutdown(immediate=True)
    assert queue.is_shutdown
    assert type(putter.error()) is ShutDown
    assert sorted(drain(queue)) == [1, 2]


@promise("hooks")
def an_init_hook_that_raises_makes_no_queue(make: Make) -> None:
    class Stillborn(type(make())):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            raise Failure

    with raises(Failure):
        Stillborn()


def failing_queue(make: Make) -> Any:
    """A class whose next ``_put`` or ``_get`` fails on demand."""

    class FailingQueue(type(make())):  # type: ignore[misc]
        fail_put = False
        fail_get = False

        def _put(self, item: Any) -> None:
            if self.fail_put:
                self.fail_put = False
                raise Failure
            super()._put(item)

        def _get(self) -> Any:
            if self.fail_get:
                self.fail_get = False
                raise Failure
            return super()._get()

    return FailingQueue


@promise("hooks", "peek")
def peek_does_not_guess_what_an_overridden_get_would_take(make: Make) -> None:
    class Backwards(type(make())):  # type: ignore[misc]
        def _get(self) -> Any:
            return super()._get()

    queue = Backwards()
    with raises(Empty):
        queue.peek()
    queue.put(1)
    with raises(NotSupported):
        queue.peek()
    assert queue.get() == 1


@promise("hooks")
def overridden_put_and_get_serve_their_nowait_forms(make: Make) -> None:
    class Wrapped(type(make())):  # type: ignore[misc]
        def put(self, item: Any, *arguments: Any, **named: Any) -> None:
            super().put(item + 1, *arguments, **named)

        def get(self, *arguments: Any, **named: Any) -> Any:
            return super().get(*arguments, **named) * 10

    queue = Wrapped(1)
    queue.put_nowait(1)
    with raises(Full):
        queue.put_nowait(1)
    assert queue.get_nowait() == 20
    with raises(Empty):
        queue.get_nowait()
    queue.put(2)
    assert queue.get() == 30


@promise("hooks", "iteration", "item", "shutdown")
def overridden_get_serves_iteration_and_item(make: Make) -> None:
    class Wrapped(type(make())):  # type: ignore[misc]
        def get(self, *arguments: Any, **named: Any) -> Any:
            return super().get(*arguments, **named) * 10

    queue = Wrapped()
    queue.put(1)
    queue.put(2)
    with queue.item() as item:
        assert item in (10, 20)
    queue.shutdown()
    assert [*queue, item] in ([20, 10], [10, 20])


@promise("hooks", "settling")
def an_overridden_task_done_serves_item(make: Make) -> None:
    settled = []

    class Wrapped(type(make())):  # type: ignore[misc]
        def task_done(self) -> None:
            super().task_done()
            settled.append(True)

    queue = Wrapped()
    queue.put(1)
    with queue.item():
        assert not settled
    assert settled == [True]


@promise("hooks", "internals")
def a_hook_runs_with_the_mutex_held(make: Make) -> None:
    seen = []

    class Curious(type(make())):  # type: ignore[misc]
        def _put(self, item: Any) -> None:
            seen.append(self.mutex.locked())
            seen.append(Call(self.mutex.acquire, False).result())
            super()._put(item)

    Curious().put(1)
    assert seen == [True, False]


@promise("hooks")
def a_subclass_may_keep_its_items_in_a_container_of_its_own(make: Make) -> None:
    class Reversed(type(make())):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self.queue: deque[Any] = deque(maxlen=3)

        def _put(self, item: Any) -> None:
            self.queue.appendleft(item)

        def _get(self) -> Any:
            return self.queue.popleft()

    queue = Reversed()
    for item in range(5):
        queue.put(item)
    assert queue.qsize() == 3
    assert drain(queue) == [4, 3, 2]
