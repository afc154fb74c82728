"""What queues cost, and that they give it back."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import pytest

from conftest import UNDER_SANITIZER, load, scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

    from conftest import Child

    Make = Callable[..., Any]


class Item:
    """Compares, so that priority queues take it."""

    def __lt__(self, other: object) -> bool:
        return False


def every_method(queue: Any, item: Item) -> None:
    """All methods once, their errors too, on a queue that is bounded at 3."""
    queue.put(item)
    queue.put(item, True, 1.0)
    queue.put(item, block=False)
    for call in (
        lambda: queue.put_nowait(item),
        lambda: queue.put(item, timeout=0),
        lambda: queue.put_many([item, item], timeout=0.0001),
        lambda: queue.put_many(iter([item]), block=False),
        lambda: queue.put(item, no=1),
        lambda: queue.put(item, timeout=-1),
        lambda: queue.put(item, timeout="soon"),
        lambda: queue.get_many(0),
        lambda: queue.task_done(9),
        lambda: queue.join(timeout=0),
        lambda: item in queue,
    ):
        with pytest.raises((Exception,)):
            call()
    assert queue.peek() is item
    assert len(queue.get_many(2)) == 2
    queue.task_done(2)
    with queue.item() as taken:
        assert taken is item
    for call in (queue.get_nowait, lambda: queue.get(timeout=0), lambda: queue.get_many(2, False), queue.peek):
        with pytest.raises((Exception,)):
            call()
    queue.put_many([item, item])
    assert queue.clear() == 2
    assert queue.stats().waiting == queue.qsize() == len(queue) == 0
    repr(queue)
    queue.maxsize = 3


@pytest.mark.parametrize("opened", [False, True])
def test_no_method_keeps_or_drops_a_reference(make: Make, opened: bool) -> None:
    queue = make(3)
    item = Item()
    if opened:
        assert queue.mutex
    for _ in range(3):
        every_method(queue, item)
    gc.collect()
    before = sys.getrefcount(item), sys.getrefcount(queue), sys.getrefcount(type(queue)), sys.getrefcount(None)
    for _ in range(50):
        every_method(queue, item)
    gc.collect()
    after = sys.getrefcount(item), sys.getrefcount(queue), sys.getrefcount(type(queue)), sys.getrefcount(None)
    assert after[:3] == before[:3]
    assert abs(after[3] - before[3]) < 50


def test_queues_that_come_and_go_leave_no_object(make: Make) -> None:
    def come_and_go() -> None:
        queue = make(3)
        every_method(queue, Item())
        queue.put(Item())
        for _ in (queue.put_many, queue.item()):
            pass
        iterator = iter(queue)
        next(iterator)

    for _ in range(10):
        come_and_go()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(scaled(200)):
        come_and_go()
    gc.collect()
    assert len(gc.get_objects()) - before < 50


def waiters_come_and_go(kind: str, rounds: int) -> None:
    """Very many waits that run out of time: memory, and the count of who waits, end where they began."""
    import threading

    import headrace

    def resident() -> int:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    empty = getattr(headrace, kind)()
    full = getattr(headrace, kind)(1)
    full.put(1)

    def wait(times: int) -> None:
        for _ in range(times):
            try:
                empty.get(timeout=1e-9)
            except headrace.Empty:
                pass
            try:
                full.put(2, timeout=1e-9)
            except headrace.Full:
                pass

    def wait_in_threads(times: int) -> None:
        threads = [threading.Thread(target=wait, args=(times // 4,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    wait_in_threads(2000)
    before = resident()
    wait_in_threads(rounds)
    assert resident() - before < 4 << 20, (before, resident())
    assert (empty.stats().getters_blocked, full.stats().putters_blocked) == (0, 0)


LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads its memory from /proc")
PLAIN = pytest.mark.skipif(UNDER_SANITIZER, reason="a sanitizer keeps freed memory for a while")


@LINUX
@PLAIN
@pytest.mark.parametrize("kind", ["Queue", "PriorityQueue"])
def test_many_waiters_come_and_go_and_leave_nothing(child: Child, kind: str) -> None:
    child.run(waiters_come_and_go, kind, 20_000)


@LINUX
@PLAIN
@pytest.mark.stress
def test_a_million_waiters_come_and_go_and_leave_nothing(child: Child) -> None:
    child.run(waiters_come_and_go, "Queue", 1_000_000, seconds=600)


def burst(kind: str, count: int) -> None:
    """Print the bytes that each of many waiting items takes beyond itself, and what share comes back."""
    import headrace

    def resident() -> int:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    queue = getattr(headrace, kind)()
    item = object()
    for _ in range(1000):
        queue.put(item)
    for _ in range(1000):
        queue.get()
    before = resident()
    for _ in range(count):
        queue.put(item)
    peak = resident()
    for _ in range(count):
        queue.get()
    print((peak - before) / count, (peak - resident()) / (peak - before))


@LINUX
@PLAIN
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "SimpleQueue"])
def test_a_waiting_item_costs_at_most_ten_bytes_and_they_are_given_back(kind: str) -> None:
    from conftest import Child

    load("c")
    cost, given_back = map(float, Child("c").run(burst, kind, 2_000_000).split())
    assert cost <= 10
    assert given_back > 0.9


def test_the_size_that_is_told_is_what_the_items_take(implementation: SimpleNamespace) -> None:
    if implementation.name != "c":
        pytest.skip("the twin's items are in a deque, which tells its own size")
    for count in (100, 1000, 100_000):
        queue = implementation.Queue()
        empty = sys.getsizeof(queue)
        queue.put_many([None] * count)
        assert 8 <= (sys.getsizeof(queue) - empty) / count <= 10 + 512 / count
