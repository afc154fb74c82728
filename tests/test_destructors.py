"""Destructors and the garbage collector use a queue while the same thread is inside it."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from conftest import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import SimpleNamespace

    from conftest import Child

    Make = Callable[..., Any]


class Cyclic:
    """Garbage that only the collector finds, and that calls a function when it does."""

    def __init__(self, last_words: Callable[[], object]) -> None:
        self.itself = self
        self.last_words = last_words

    def __del__(self) -> None:
        self.last_words()

    def __lt__(self, other: object) -> bool:
        return False


@pytest.fixture
def collecting_all_the_time() -> Iterator[None]:
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("collecting_all_the_time")
def test_the_collector_may_put_while_its_thread_is_inside_the_queue(make: Make) -> None:
    queue = make()
    put_by_destructors = 0

    def last_words() -> None:
        nonlocal put_by_destructors
        put_by_destructors += 1
        queue.put((1, 0))

    rounds = scaled(300)
    got: list[tuple[int, int]] = []
    for number in range(rounds):
        Cyclic(last_words)
        queue.put((0, number))
        queue.put_many([(0, number)])
        got += queue.get_many(1)
    gc.collect()
    assert put_by_destructors == rounds
    got += queue.get_many(10 * rounds)
    assert sorted(got) == sorted([(0, number) for number in range(rounds)] * 2 + [(1, 0)] * rounds)


@pytest.mark.usefixtures("collecting_all_the_time")
def test_the_collector_may_take_and_settle_while_its_thread_is_inside_the_queue(make: Make) -> None:
    queue = make()
    taken: list[int] = []

    def last_words() -> None:
        try:
            taken.append(queue.get_nowait())
        except Exception as error:
            taken.append(-1)
            assert type(error).__name__ == "Empty"  # noqa: PT017 - of either implementation
        else:
            queue.task_done()

    rounds = scaled(300)
    left = 0
    for _ in range(rounds):
        Cyclic(last_words)
        queue.put(1)
        queue.put(2)
        left += sum(1 for _ in queue.get_many(1))
        queue.task_done()
    gc.collect()
    stats = queue.stats()
    taken_by_destructors = sum(item > 0 for item in taken)
    assert stats.put_total == 2 * rounds
    assert left + taken_by_destructors + stats.waiting == 2 * rounds
    assert stats.unfinished == stats.waiting


def test_destructors_of_dropped_items_find_a_working_queue(make: Make) -> None:
    for drop in ("clear", "shutdown"):
        queue = make()
        seen: list[Any] = []

        def last_words(queue: Any = queue, seen: list[Any] = seen) -> None:
            seen.append((queue.qsize(), queue.is_shutdown, queue.stats().waiting))
            if not queue.is_shutdown:
                queue.put(1)

        for _ in range(5):
            item = Cyclic(last_words)
            item.itself = None  # type: ignore[assignment]
            queue.put(item)
        del item
        if drop == "clear":
            assert queue.clear() == 5
            assert len(queue) == 5
        else:
            queue.shutdown(immediate=True)
            assert queue.empty()
            queue.join(timeout=5)
        assert len(seen) == 5


def test_items_whose_destructors_use_the_queue_die_with_it(make: Make) -> None:
    ended = []

    class Item:
        def __init__(self, queue: Any) -> None:
            self.queue = queue

        def __lt__(self, other: object) -> bool:
            return False

        def __del__(self) -> None:
            ended.append(self.queue.qsize() >= 0)

    queue = make()
    for _ in range(4):
        queue.put(Item(queue))
    del queue
    gc.collect()
    assert ended == [True] * 4


def put_from_a_signal_handler_in_a_blocked_get(kind: str) -> None:
    """The main thread waits in get; a handler that runs in it puts what it waits for."""
    import signal

    import headrace

    queue = getattr(headrace, kind)()
    signal.signal(signal.SIGALRM, lambda *_: queue.put(1))
    for _ in range(50):
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        assert queue.get(timeout=20) == 1
        queue.task_done()
    queue.join()


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_signal_handler_may_put_what_its_own_thread_waits_for(child: Child, kind: str) -> None:
    child.run(put_from_a_signal_handler_in_a_blocked_get, kind)


def test_a_queue_in_a_queue_in_a_queue_is_let_go_of_without_using_up_the_stack(
    make: Make, implementation: SimpleNamespace
) -> None:
    outer = make()
    for _ in range(scaled(200_000 if implementation.name == "c" else 20_000)):
        inner, outer = outer, make()
        outer.put(inner)
    del inner, outer
    gc.collect()


def test_a_queue_in_a_cycle_with_its_items_is_collected(make: Make) -> None:
    import weakref

    queue = make()
    reference = weakref.ref(queue)
    queue.put([queue])
    queue.name = queue
    del queue
    gc.collect()
    assert reference() is None


def test_threads_and_collector_together_lose_nothing(make: Make) -> None:
    queue = make(5)
    extra: list[int] = []
    lock = threading.Lock()

    def last_words() -> None:
        try:
            queue.put_nowait((1, 0))
        except Exception as error:
            assert type(error).__name__ in ("Full", "ShutDown")  # noqa: PT017
        else:
            with lock:
                extra.append(1)

    got: list[Any] = []

    def consume() -> None:
        for item in queue:
            got.append(item)
            queue.task_done()

    consumers = [threading.Thread(target=consume) for _ in range(2)]
    for thread in consumers:
        thread.start()
    rounds = scaled(1000)
    for number in range(rounds):
        Cyclic(last_words)
        queue.put((0, number))
        if number % 100 == 0:
            gc.collect()
    gc.collect()
    queue.join(timeout=60)
    queue.shutdown()
    for thread in consumers:
        thread.join()
    assert sorted(got) == sorted([(0, n) for n in range(rounds)] + [(1, 0)] * len(extra))
