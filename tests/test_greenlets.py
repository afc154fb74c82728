"""Under gevent and eventlet a greenlet that waits before a queue blocks no other, and threads may be greenlets."""

from __future__ import annotations

import platform
import sys
import sysconfig
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from conftest import UNDER_SANITIZER, Child, load, scaled

if TYPE_CHECKING:
    from collections.abc import Callable

# There is a wheel of gevent for these, as pyproject.toml's extra `test` says, and there it must be installed.
HAS_WHEELS = (
    sys.version_info < (3, 16)
    and platform.machine() in {"x86_64", "AMD64", "aarch64", "arm64", "ARM64"}
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
)

pytestmark = pytest.mark.skipif(
    UNDER_SANITIZER, reason="a sanitizer takes the change of stacks for an error; there is no C of ours in these tests"
)


def or_skip(name: str) -> str:
    if find_spec(name) is None and not HAS_WHEELS:
        pytest.skip(f"{name} is not installed: there is no wheel of it, or of greenlet, for this Python and system")
    return name


@pytest.fixture(params=["gevent", "eventlet"])
def library(request: pytest.FixtureRequest) -> str:
    return or_skip(request.param)


@pytest.fixture
def child() -> Child:
    """A child process in which nobody has picked an implementation."""
    return Child("")


# ---- which implementation is chosen ----


def shown_after(statements: str) -> None:
    exec(statements)
    import headrace

    print(headrace.implementation)


PATCHED = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
IMPORTED = {"gevent": "import gevent, gevent.monkey", "eventlet": "import eventlet"}
OTHERWISE_PATCHED = {
    "gevent": "from gevent import monkey; monkey.patch_all(thread=False)",
    "eventlet": "import eventlet; eventlet.monkey_patch(socket=True)",
}


def test_the_twin_is_chosen_where_threads_are_greenlets(child: Child, library: str) -> None:
    assert child.run(shown_after, PATCHED[library]) == "python\n"


@pytest.mark.parametrize("statements", [IMPORTED, OTHERWISE_PATCHED], ids=["imported", "threads left alone"])
def test_the_core_is_chosen_where_threads_are_threads(child: Child, library: str, statements: dict[str, str]) -> None:
    load("c")
    assert child.run(shown_after, statements[library]) == "c\n"


def test_the_core_can_be_picked_all_the_same(library: str) -> None:
    load("c")
    assert Child("c").run(shown_after, PATCHED[library]) == "c\n"


# ---- a greenlet that waits ----


def others_run_during_each_wait(library: str) -> None:
    from greenlet_support import patch

    green = patch(library)
    import headrace

    for kind in (headrace.Queue, headrace.LifoQueue, headrace.PriorityQueue):
        queue = kind(1)

        def settle_one(queue: headrace.Queue[int] = queue) -> None:
            with queue.item():
                pass

        def next_item(queue: headrace.Queue[int] = queue) -> int:
            return next(iter(queue))

        for take in (queue.get, lambda queue=queue: queue.get_many(5), next_item):
            green.counts_while(take, lambda queue=queue: queue.put(1))
            queue.task_done()
        green.counts_while(settle_one, lambda queue=queue: queue.put(1))
        green.counts_while(lambda queue=queue: queue.lease().done(), lambda queue=queue: queue.put(1))
        queue.put(1)
        green.counts_while(lambda queue=queue: queue.put(2), queue.get)
        green.counts_while(lambda queue=queue: queue.put_many([3]), queue.get)
        queue.get()
        green.counts_while(queue.join, lambda queue=queue: queue.task_done(3))
        assert queue.stats().unfinished == 0
    simple = headrace.SimpleQueue()
    green.counts_while(simple.get, lambda: simple.put(1))


def test_others_run_while_a_greenlet_waits(child: Child, library: str) -> None:
    child.run(others_run_during_each_wait, library)


def limited_waits_end(library: str) -> None:
    from greenlet_support import patch

    green = patch(library)
    from time import monotonic

    import headrace

    queue = headrace.Queue(1)
    queue.put(1)
    counted = [0]
    over: list[int] = []

    def count() -> None:
        while not over:
            counted[0] += 1
            green.let_run()

    counter = green.spawn(count)

    def refuses(error: type[Exception], wait: Callable[..., object], *arguments: object) -> None:
        before, begun = counted[0], monotonic()
        try:
            wait(*arguments)
        except error:
            assert monotonic() - begun >= 0.05
            assert counted[0] > before + 1
            return
        raise AssertionError(f"no {error.__name__}")

    refuses(headrace.Full, queue.put, 2, True, 0.05)
    refuses(TimeoutError, queue.join, 0.05)
    queue.get()
    refuses(headrace.Empty, queue.get, True, 0.05)
    refuses(headrace.Empty, queue.get_many, 3, True, 0.05)
    refuses(headrace.Empty, queue.lease, True, 0.05)
    refuses(headrace.Empty, headrace.SimpleQueue().get, True, 0.05)
    over.append(1)
    green.wait(counter)
    assert queue.stats().getters_blocked == queue.stats().putters_blocked == 0


def test_a_time_limit_ends_the_wait_of_a_greenlet_and_others_run_meanwhile(child: Child, library: str) -> None:
    child.run(limited_waits_end, library)


def shutdown_wakes_all(library: str) -> None:
    from greenlet_support import patch

    green = patch(library)
    import headrace

    empty, full = headrace.Queue(), headrace.Queue(1)
    full.put(1)
    ended: list[str] = []

    def until_shut_down(name: str, wait: Callable[..., object], *arguments: object) -> None:
        try:
            wait(*arguments)
        except headrace.ShutDown:
            ended.append(name)

    greenlets = [green.spawn(until_shut_down, "get", empty.get) for _ in range(10)]
    greenlets += [green.spawn(until_shut_down, "put", full.put, 2) for _ in range(10)]
    iterating = green.spawn(list, empty)
    while empty.stats().getters_blocked < 11 or full.stats().putters_blocked < 10:
        green.let_run()
    empty.shutdown()
    full.shutdown()
    for greenlet in greenlets:
        green.wait(greenlet)
    assert sorted(ended) == ["get"] * 10 + ["put"] * 10
    assert green.wait(iterating) == []


def test_a_shutdown_wakes_all_greenlets_that_wait(child: Child, library: str) -> None:
    child.run(shutdown_wakes_all, library)


def items_are_handed_on_one_at_a_time(library: str, count: int) -> None:
    from greenlet_support import patch

    green = patch(library)
    import headrace

    queue = headrace.Queue(1)
    taken: list[list[int]] = [[], [], []]

    def take(hand: list[int]) -> None:
        for item in queue:
            hand.append(item)
            queue.task_done()

    consumers = [green.spawn(take, hand) for hand in taken]
    for item in range(count):
        queue.put(item)
    queue.join()
    queue.shutdown()
    for consumer in consumers:
        green.wait(consumer)
    assert sorted(item for hand in taken for item in hand) == list(range(count))
    assert all(hand == sorted(hand) for hand in taken)


def test_1000_items_go_through_a_bound_of_1(child: Child, library: str) -> None:
    child.run(items_are_handed_on_one_at_a_time, library, scaled(1000))


def greenlets_are_served_in_order(library: str) -> None:
    from greenlet_support import patch

    green = patch(library)
    import headrace

    queue = headrace.Queue()
    served: list[int] = []

    def take(number: int) -> None:
        queue.get()
        served.append(number)

    greenlets = []
    for number in range(20):
        greenlets.append(green.spawn(take, number))
        while queue.stats().getters_blocked <= number:
            green.let_run()
    for item in range(20):
        queue.put(item)
    for greenlet in greenlets:
        green.wait(greenlet)
    assert served == list(range(20))


def test_greenlets_that_wait_are_served_in_order_of_arrival(child: Child, library: str) -> None:
    child.run(greenlets_are_served_in_order, library)


def a_killed_greenlet_loses_nothing(library: str) -> None:
    from greenlet_support import patch

    green = patch(library)
    import headrace

    def two_wait_and_one_is_killed(steps: list[str]) -> None:
        queue: headrace.Queue[int] = headrace.Queue()
        taken: list[int] = []
        first, second = (green.spawn(lambda: taken.append(queue.get())) for _ in range(2))
        while queue.stats().getters_blocked < 2:
            green.let_run()
        for step in steps:
            if step == "put":
                queue.put(1)
            else:
                green.kill(first)
        while not (taken and first.dead):
            green.let_run()
        if not second.dead:  # the first had the item before its end came
            queue.put(2)
            green.wait(second)
        assert taken[0] == 1
        assert queue.stats().getters_blocked == 0

    two_wait_and_one_is_killed(["put", "kill"])
    two_wait_and_one_is_killed(["kill", "put"])
    with green.timeout(0.05):
        headrace.Queue().get()
        raise AssertionError("it did not wait")


def test_an_item_goes_to_another_when_the_greenlet_that_was_woken_for_it_is_killed(child: Child, library: str) -> None:
    child.run(a_killed_greenlet_loses_nothing, library)


# ---- what runs in threads of its own ----


def delayed_items_come_back(library: str) -> None:
    from greenlet_support import patch

    green = patch(library)
    from time import monotonic

    import headrace

    queue = headrace.Queue()
    queue.put("item")
    begun = monotonic()
    queue.lease().retry(delay=0.05)
    counted = [0]
    getter = green.spawn(queue.get)
    while not getter.dead:
        counted[0] += 1
        green.let_run()
    assert green.wait(getter) == "item"
    assert monotonic() - begun >= 0.05
    assert counted[0] > 1


def test_a_delayed_item_comes_back_and_others_run_meanwhile(child: Child, library: str) -> None:
    child.run(delayed_items_come_back, library)


def consumers_work_side_by_side(library: str) -> None:
    from greenlet_support import patch

    patch(library)
    import threading

    import headrace

    # Three handlers meet: only greenlets that wait at the same time get past it.
    barrier = threading.Barrier(3)
    handled: list[int] = []

    def handle(item: int) -> int:
        barrier.wait(30)
        handled.append(item)
        return 2 * item

    assert headrace.consume(range(30), handle, consumers=3, maxsize=2).items == 30
    assert sorted(handled) == list(range(30))
    assert list(headrace.map(handle, range(30), consumers=3)) == list(range(0, 60, 2))
    stored: list[int] = []
    headrace.Pipeline(range(30)).stage(handle, consumers=3).sink(stored.append).run()
    assert sorted(stored) == list(range(0, 60, 2))


def test_consume_map_and_pipelines_work_in_greenlets(child: Child, library: str) -> None:
    child.run(consumers_work_side_by_side, library)


def a_pool_of_three_works(library: str) -> None:
    from greenlet_support import patch

    patch(library)
    import threading

    import headrace

    queue = headrace.Queue(2)
    barrier = threading.Barrier(3)
    attempts: list[int] = []

    def handle(item: int) -> None:
        attempts.append(item)
        if item == 7 and attempts.count(7) < 3:
            raise OSError("a failure that passes")
        barrier.wait(30)

    with headrace.ConsumerPool(queue, handle, 3, retry=headrace.Retry(3, delay=0.01), timeout=30) as pool:
        queue.put_many(range(30))
    assert sorted(attempts) == sorted([*range(30), 7, 7])
    assert pool.summary().items == 30


def test_a_pool_of_three_retries_and_ends_in_greenlets(child: Child, library: str) -> None:
    child.run(a_pool_of_three_works, library)


# ---- real threads beside ----


def items_cross_between_threads_and_greenlets(count: int) -> None:
    from greenlet_support import patch

    green = patch("gevent")
    import gevent

    import headrace

    for maxsize in (0, 1):
        queue = headrace.Queue(maxsize)
        taken: list[tuple[int, int]] = []

        def put_all(number: int, queue: headrace.Queue[tuple[int, int]] = queue) -> None:
            for item in range(count):
                queue.put((number, item))

        def take_all(queue: headrace.Queue[tuple[int, int]] = queue, taken: list[tuple[int, int]] = taken) -> None:
            for item in queue:
                taken.append(item)
                queue.task_done()

        in_thread = gevent.get_hub().threadpool.spawn
        producers = [green.spawn(put_all, 0), in_thread(put_all, 1), in_thread(put_all, 2)]
        consumers = [green.spawn(take_all), in_thread(take_all), in_thread(take_all)]
        for producer in producers:
            producer.get()
        queue.join()
        queue.shutdown()
        for consumer in consumers:
            consumer.get()
        assert sorted(taken) == [(number, item) for number in range(3) for item in range(count)]


def test_real_threads_and_greenlets_of_gevent_share_a_queue(child: Child) -> None:
    or_skip("gevent")
    child.run(items_cross_between_threads_and_greenlets, scaled(1000))


def the_core_waits_in_a_thread_of_the_library(library: str) -> None:
    from greenlet_support import patch

    green = patch(library)
    import headrace

    assert headrace.implementation == "c"
    if library == "gevent":
        import gevent

        def in_thread(function: Callable[..., object], *arguments: object) -> object:
            return gevent.get_hub().threadpool.apply(function, arguments)
    else:
        from eventlet.tpool import execute as in_thread

    queue = headrace.Queue()
    green.counts_while(lambda: in_thread(queue.get), lambda: queue.put(1))
    green.counts_while(lambda: in_thread(queue.join), queue.task_done)


def test_the_core_waits_in_real_threads_where_it_was_picked(library: str) -> None:
    load("c")
    Child("c").run(the_core_waits_in_a_thread_of_the_library, library)
