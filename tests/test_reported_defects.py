"""Defects that were found by attack, each as the promise that it broke."""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from headrace.testing.threads import Call, until_blocked

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

    from conftest import Child

    Make = Callable[..., Any]


def whose_time_runs_out_wakes_the_next() -> None:
    """A getter's time is up; before it comes back it is woken by a put, and a fast getter takes the item.

    It must not keep the wake-up to itself: a putter that waits for the room would sleep on.
    """
    import os
    import sys
    import threading
    import time

    import headrace

    sys.setswitchinterval(100)  # the main thread decides who runs

    def keep_the_others_out(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def impatient_getter(queue: headrace.Queue[str]) -> None:
        try:
            queue.get(timeout=0.02)
        except headrace.Empty:
            pass

    def putter(queue: headrace.Queue[str], start: int) -> None:
        os.read(start, 1)
        queue.put("from the putter")

    for _ in range(10):
        queue: headrace.Queue[str] = headrace.Queue(1)
        start, go = os.pipe()
        threads = [
            threading.Thread(target=impatient_getter, args=(queue,)),
            threading.Thread(target=putter, args=(queue, start)),
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.005)
        os.write(go, b"x")
        keep_the_others_out(0.03)
        try:
            queue.put_nowait("from the main thread")
        except headrace.Full:
            pass
        time.sleep(0)
        try:
            queue.get_nowait()
        except headrace.Empty:
            pass
        # Whoever came first, there is room for the putter now, or it has put: it must end by itself.
        for thread in threads:
            thread.join()
        os.close(start)
        os.close(go)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX pipes")
def test_who_runs_out_of_time_passes_the_wake_up_on(child: Child) -> None:
    child.run(whose_time_runs_out_wakes_the_next, seconds=30)


def test_the_base_class_s_put_keeps_a_priority_queue_in_order(implementation: SimpleNamespace) -> None:
    queue = implementation.PriorityQueue()
    for number in (3, 1, 2):
        implementation.Queue.put(queue, number)
    implementation.Queue.put_nowait(queue, 0)
    assert queue.get_many(9) == [0, 1, 2, 3]


def test_of_two_orders_that_of_the_first_base_holds(implementation: SimpleNamespace) -> None:
    class LastFirst(implementation.LifoQueue, implementation.PriorityQueue):  # type: ignore[misc]
        pass

    class LowestFirst(implementation.PriorityQueue, implementation.LifoQueue):  # type: ignore[misc]
        pass

    for kind, expected in ((LowestFirst, [1, 2, 3]), (LastFirst, [2, 1, 3])):
        if implementation.name == "python" and kind is LastFirst:
            continue  # its hooks are LifoQueue's and its put is PriorityQueue's, as the class says
        queue = kind()
        for number in (3, 1, 2):
            queue.put(number)
        assert [queue.get() for _ in range(3)] == expected


def test_a_class_of_another_order_is_refused_and_loses_nothing() -> None:
    from headrace.backends.memory._core import PriorityQueue, Queue

    queue: Any = Queue()
    queue.put(2)
    queue.put(1)
    queue.__class__ = PriorityQueue
    with pytest.raises(TypeError, match="order"):
        queue.put(0)
    queue.__class__ = Queue
    assert [queue.get(), queue.get()] == [2, 1]


@pytest.mark.parametrize("change", ["maxsize", "shutdown"])
def test_opening_loses_no_item_when_the_queue_changes_meanwhile(implementation: SimpleNamespace, change: str) -> None:
    from headrace.backends.memory import python

    entry_made = python.Entry.__init__.__code__
    queue = implementation.PriorityQueue()
    for number in range(5):
        queue.put(str(number), priority=number)

    def meanwhile(frame: Any, event: str, argument: object) -> None:
        if event == "call" and frame.f_code is entry_made:
            sys.setprofile(None)
            if change == "maxsize":
                queue.maxsize = 10
            else:
                queue.shutdown()

    sys.setprofile(meanwhile)
    try:
        waiting = queue.queue
    finally:
        sys.setprofile(None)
    assert len(waiting) == 5
    assert queue.get_many(5) == ["0", "1", "2", "3", "4"]


def fork_with_an_earlier_hook() -> None:
    """An at-fork hook that was registered before headrace was imported starts a thread that waits."""
    import os
    import threading

    got: list[object] = []
    threads: list[threading.Thread] = []

    def hook() -> None:
        thread = threading.Thread(target=lambda: got.append(queue.get(timeout=20)))
        thread.start()
        threads.append(thread)
        while not queue.stats().getters_blocked:
            pass

    os.register_at_fork(after_in_child=hook)
    import headrace

    queue: headrace.Queue[int] = headrace.Queue()
    process = os.fork()
    if process == 0:
        queue.put(1)
        threads[0].join()
        assert got == [1]
        assert queue.stats().getters_blocked == 0
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_thread_that_an_earlier_hook_starts_in_the_child_is_woken(implementation: SimpleNamespace) -> None:
    if implementation.name != "c":
        pytest.skip("the twin can know of a fork by its own hook only, which runs after earlier ones")
    from conftest import Child

    Child("c").run(fork_with_an_earlier_hook, seconds=30)


def test_a_second_init_starts_anew(make: Make) -> None:
    queue = make(5)
    queue.put(1)
    queue.shutdown()
    queue.__init__()
    assert (queue.maxsize, queue.qsize(), queue.unfinished_tasks, queue.is_shutdown) == (0, 0, 0, False)
    queue.put(2)
    assert queue.get() == 2


def test_what_a_queue_refers_to_is_collected_with_it(make: Make) -> None:
    class Size(int):
        pass

    queue = make()
    size = Size(3)
    size.queue = queue  # type: ignore[attr-defined]
    queue.maxsize = size
    reference = weakref.ref(queue)
    del queue, size
    gc.collect()
    assert reference() is None


def test_a_queue_has_a_dict_like_any_object(make: Make) -> None:
    queue = make()
    queue.colour = "blue"
    assert vars(queue)["colour"] == "blue"
    assert "colour" in dir(queue)


def test_an_override_given_later_serves_item_and_iteration(implementation: SimpleNamespace) -> None:
    class Doubling(implementation.Queue):  # type: ignore[misc]
        pass

    queue = Doubling()
    queue.put(1)
    queue.put(2)
    Doubling.get = lambda self, *arguments: 2 * implementation.Queue.get(self, *arguments)
    with queue.item() as item:
        assert item == 2
    assert next(iter(queue)) == 4


def test_a_length_that_is_none_is_an_error_of_its_own(implementation: SimpleNamespace) -> None:
    class Odd(implementation.Queue):  # type: ignore[misc]
        def qsize(self) -> int:
            return -1

    with pytest.raises(ValueError, match=r"-1|should return >= 0"):
        len(Odd())


def test_put_many_leaves_the_errors_of_an_iterator_alone(implementation: SimpleNamespace) -> None:
    def source() -> Any:
        yield 1
        raise implementation.Full

    queue = implementation.Queue()
    with pytest.raises(implementation.Full) as caught:
        queue.put_many(source())
    assert (caught.value.put_count, queue.qsize()) == (0, 1)


def test_a_blocked_joiner_is_let_go_by_a_second_init() -> None:
    from headrace.backends.memory._core import Queue

    queue: Any = Queue()
    queue.put(1)
    thread = threading.Thread(target=queue.join)
    thread.start()
    until_blocked_in_join(thread)
    queue.__init__()
    thread.join(timeout=20)
    assert not thread.is_alive()


def until_blocked_in_join(thread: threading.Thread) -> None:
    """As far as can be seen from outside: it has been asleep in the system for a while, or runs there soon."""
    thread.join(timeout=0.05)
    assert thread.is_alive()


def test_a_getter_that_waits_survives_a_class_that_is_looked_at_again(implementation: SimpleNamespace) -> None:
    class Plain(implementation.Queue):  # type: ignore[misc]
        pass

    queue = Plain()
    waiting = Call(queue.get)
    until_blocked(queue, getters=1)
    Plain.colour = "blue"
    queue.put(1)
    assert waiting.result() == 1
