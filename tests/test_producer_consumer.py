"""Producers and consumers end by themselves, lose nothing, and hide no failure."""

from __future__ import annotations

import _thread
import asyncio
import functools
import gc
import os
import queue as standard
import signal
import subprocess
import sys
import threading
import traceback
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from consumer_support import PATIENCE, all_threads, eventually, none_stays
from headrace import Consumer, Producer
from headrace.backends.memory import python as twin
from headrace.consumers import failure, registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUEUES = {"headrace": headrace.Queue, "twin": twin.Queue, "headrace-lifo": headrace.LifoQueue}
if hasattr(standard, "ShutDown"):
    QUEUES["standard"] = standard.Queue

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(params=QUEUES, ids=str)
def new_queue(request: pytest.FixtureRequest) -> Any:
    return QUEUES[request.param]


_no_thread_stays = none_stays(all_threads)


def finish(*workers: threading.Thread) -> None:
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive(), f"{worker} did not end"


def run(*workers: threading.Thread) -> None:
    for worker in workers:
        worker.start()
    finish(*workers)


def joined(queue: Any) -> bool:
    """Whether ``queue.join()`` returns."""
    joiner = threading.Thread(target=queue.join, daemon=True)
    joiner.start()
    joiner.join(PATIENCE)
    return not joiner.is_alive()


@contextmanager
def thread_reports() -> Iterator[list[threading.ExceptHookArgs]]:
    reports: list[threading.ExceptHookArgs] = []
    before, threading.excepthook = threading.excepthook, reports.append
    try:
        yield reports
    finally:
        threading.excepthook = before


def in_new_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


class Thing:
    """An item that can be seen to be gone."""


# ---- the run that ends by itself ----


def test_producers_and_consumers_end_by_themselves_and_every_item_comes_once(new_queue: Any) -> None:
    queue, handled = new_queue(2), []
    producers = [Producer(queue, range(start, start + 10)) for start in (0, 100)]
    consumers = [Consumer(queue, handled.append) for _ in range(3)]
    run(*consumers, *producers)
    assert sorted(handled) == [*range(10), *range(100, 110)]
    assert joined(queue)


def test_subclasses_write_produce_and_consume(new_queue: Any) -> None:
    class Countdown(Producer[int]):
        def produce(self) -> Iterator[int]:
            yield from range(3, 0, -1)

    class Store(Consumer[int]):
        def __init__(self, queue: Any) -> None:
            super().__init__(queue)
            self.items: list[int] = []

        def consume(self, item: int) -> None:
            self.items.append(item)

    queue = new_queue()
    store = Store(queue)
    run(store, Countdown(queue))
    assert sorted(store.items) == [1, 2, 3]


def test_an_overridden_produce_can_work_on_the_source() -> None:
    class Doubled(Producer[int]):
        def produce(self) -> Iterator[int]:
            return (2 * item for item in super().produce())

    queue, handled = headrace.Queue(), []
    run(Doubled(queue, [1, 2]), Consumer(queue, handled.append))
    assert handled == [2, 4]


def test_an_overridden_consume_can_call_the_handler() -> None:
    class Doubled(Consumer[int]):
        def consume(self, item: int) -> None:
            super().consume(2 * item)

    queue, handled = headrace.Queue(), []
    run(Producer(queue, [1, 2]), Doubled(queue, handled.append))
    assert handled == [2, 4]


def test_a_source_that_is_a_function_is_called_in_the_producers_thread() -> None:
    queue, called_in = headrace.Queue(), []

    def source() -> Iterator[int]:
        called_in.append(threading.current_thread())
        yield 1

    producer = Producer(queue, source)
    assert called_in == []
    run(producer)
    assert called_in == [producer]
    assert list(queue) == [1]


def test_workers_have_numbered_names_unless_named() -> None:
    class Named(Producer[int]):
        pass

    queue = headrace.Queue()
    first, second, third = Producer(queue, []), Named(queue, []), Producer(queue, [], name="loader")
    number = int(first.name.removeprefix("Producer-"))
    assert (second.name, third.name) == (f"Producer-{number + 1}", "loader")
    one, other = Consumer(queue, print), Consumer(queue, print)
    assert int(other.name.removeprefix("Consumer-")) == int(one.name.removeprefix("Consumer-")) + 1


def test_workers_are_not_daemons_even_when_a_daemon_thread_makes_them() -> None:
    made: list[threading.Thread] = []

    def make() -> None:
        queue: headrace.Queue[int] = headrace.Queue()
        made.extend([Producer(queue, []), Consumer(queue, print)])

    maker = threading.Thread(target=make, daemon=True)
    run(maker)
    assert [worker.daemon for worker in made] == [False, False]


def test_the_classes_are_generic() -> None:
    assert Producer[int].__origin__ is Producer
    assert Consumer[str].__origin__ is Consumer


def test_what_a_consumer_has_no_end_for_is_drained_after_the_shutdown(new_queue: Any) -> None:
    queue, handled = new_queue(), []
    run(Producer(queue, range(100)))
    run(Consumer(queue, handled.append))
    assert sorted(handled) == list(range(100))


# ---- when the last producer has ended ----


def test_a_producer_that_is_done_before_the_next_is_started_does_not_shut_the_queue_down(new_queue: Any) -> None:
    queue = new_queue()
    first, second = Producer(queue, [1]), Producer(queue, [2])
    run(first)
    assert not queue.is_shutdown
    run(second)
    assert queue.is_shutdown
    assert sorted([queue.get(), queue.get()]) == [1, 2]


def test_quick_producers_lose_no_item_however_their_ends_meet(new_queue: Any) -> None:
    for _ in range(100):
        queue, handled = new_queue(), []
        producers = [Producer(queue, [number]) for number in range(3)]
        run(Consumer(queue, handled.append), *producers)
        assert sorted(handled) == [0, 1, 2]


def test_producers_made_in_several_threads_at_once_belong_to_one_queue() -> None:
    for _ in range(100):
        queue, made, barrier = headrace.Queue(), [], threading.Barrier(3)

        def make(queue: Any = queue, made: list[Any] = made, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            made.append(Producer(queue, [1]))

        run(*(threading.Thread(target=make) for _ in range(3)))
        run(made[0], made[1])
        assert not queue.is_shutdown
        run(made[2])
        assert queue.is_shutdown


def test_a_producer_that_was_never_started_counts_only_while_something_refers_to_it(new_queue: Any) -> None:
    queue, handled = new_queue(), []
    consumer, first, second = Consumer(queue, handled.append), Producer(queue, [1]), Producer(queue, [2])
    consumer.start()
    run(first)
    assert not queue.is_shutdown
    del second
    finish(consumer)
    assert handled == [1]


def test_a_forgotten_producer_in_a_reference_cycle_counts_until_it_is_collected() -> None:
    queue = headrace.Queue()
    first, second = Producer(queue, [1]), Producer(queue, [2])
    second.myself = second  # type: ignore[attr-defined]
    run(first)
    del second
    gc.collect()
    eventually(lambda: queue.is_shutdown)


def test_a_worker_may_be_collected_while_its_thread_holds_the_queues_lock(new_queue: Any) -> None:
    queue = new_queue()
    first, second = Producer(queue, [1]), Producer(queue, [2])
    run(first)

    def forget_it() -> None:
        nonlocal second
        with queue.mutex:
            del second

    run(threading.Thread(target=forget_it, daemon=True))
    eventually(lambda: queue.is_shutdown)


def test_a_queue_whose_only_producer_was_never_started_stays_open() -> None:
    queue = headrace.Queue()
    producer = Producer(queue, [1])
    del producer
    gc.collect()
    run(Producer(headrace.Queue(), []))  # were a shut-down under way in another thread, this would take longer
    assert not queue.is_shutdown


def test_queues_do_not_share_their_producers() -> None:
    one, other = headrace.Queue(), headrace.Queue()
    waiting = Producer(other, [])
    run(Producer(one, []))
    assert one.is_shutdown
    assert not other.is_shutdown
    run(waiting)


def start_of_no_thread(*_arguments: object, **_more: object) -> None:
    raise RuntimeError("can't start new thread")


THREAD_START = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"


def fail_to_start(worker: threading.Thread, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading, THREAD_START, start_of_no_thread)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            worker.start()


def test_a_producer_that_the_system_could_not_start_does_not_keep_the_queue_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = headrace.Queue()
    first, second = Producer(queue, [1]), Producer(queue, [2])
    fail_to_start(second, monkeypatch)
    run(first)
    assert queue.is_shutdown


def test_a_failed_start_of_the_last_producer_shuts_the_queue_down(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = headrace.Queue()
    first, second = Producer(queue, [1]), Producer(queue, [2])
    run(first)
    fail_to_start(second, monkeypatch)
    assert queue.is_shutdown


def test_a_producer_that_could_not_be_started_counts_again_when_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, may_end = headrace.Queue(), threading.Event()

    def slow() -> Iterator[int]:
        may_end.wait(PATIENCE)
        yield 2

    first, second = Producer(queue, [1]), Producer(queue, slow)
    fail_to_start(second, monkeypatch)
    second.start()
    run(first)
    assert not queue.is_shutdown
    may_end.set()
    finish(second)
    assert list(queue) == [1, 2]


def test_starting_a_producer_twice_is_an_error_that_changes_nothing() -> None:
    queue, may_end = headrace.Queue(), threading.Event()
    running, ended = Producer(queue, lambda: iter(may_end.wait, True)), Producer(queue, [1])
    running.start()
    with pytest.raises(RuntimeError, match="once"):
        running.start()
    run(ended)
    assert not queue.is_shutdown
    with pytest.raises(RuntimeError, match="once"):
        ended.start()
    may_end.set()
    finish(running)
    assert queue.is_shutdown


def test_a_producer_whose_queue_is_shut_down_ends_quietly_and_closes_its_generator(new_queue: Any) -> None:
    queue, closed = new_queue(1), threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    source = endless()  # referred to from here, so that it is closed only by being closed
    producer = Producer(queue, source)
    producer.start()
    eventually(queue.full)
    queue.shutdown()
    finish(producer)
    assert closed.is_set()


# ---- failures of producers ----


def test_a_failed_producer_has_ended_and_what_it_put_is_consumed(new_queue: Any) -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("no more")

    queue, handled = new_queue(), []
    consumer, producer = Consumer(queue, handled.append), Producer(queue, source)
    consumer.start()
    producer.start()
    finish(consumer)
    assert sorted(handled) == [1, 2]
    with pytest.raises(LookupError, match="no more"):
        producer.join(PATIENCE)


def test_join_raises_the_same_exception_each_time_and_its_traceback_does_not_grow() -> None:
    producer = Producer(headrace.Queue(), lambda: [1 // 0])
    producer.start()
    raised, lengths = [], []
    for _ in range(5):
        with pytest.raises(ZeroDivisionError) as caught:
            producer.join(PATIENCE)
        raised.append(caught.value)
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(set(map(id, raised))) == 1
    assert len(set(lengths)) == 1
    assert "<lambda>" in [frame.name for frame in traceback.extract_tb(raised[0].__traceback__)]


def test_a_run_of_ones_own_that_fails_is_an_end_like_any_other(new_queue: Any) -> None:
    class Unlucky(Producer[int]):
        def run(self) -> None:
            raise ConnectionError("no database")

    queue = new_queue()
    consumer, producer = Consumer(queue, print), Unlucky(queue, [1])
    producer.start()
    run(consumer)
    with pytest.raises(ConnectionError, match="no database"):
        producer.join(PATIENCE)


def test_a_produce_that_returns_nothing_iterable_is_named() -> None:
    class Forgetful(Producer[int]):
        def produce(self) -> Any:
            return None

    producer = Forgetful(headrace.Queue())
    producer.start()
    with pytest.raises(TypeError, match=r"produce.*returned None.*yield"):
        producer.join(PATIENCE)


# ---- failures of consumers ----


def test_a_failed_consumer_has_settled_its_item_and_the_others_go_on(new_queue: Any) -> None:
    failed, handled = threading.Event(), []

    def fail(item: object) -> None:
        failed.set()
        raise ValueError("bad item")

    def handle(item: int) -> None:
        failed.wait(PATIENCE)
        handled.append(item)

    queue = new_queue(1)
    unlucky, other = Consumer(queue, fail), Consumer(queue, handle)
    unlucky.start()
    other.start()
    run(Producer(queue, range(20)))
    finish(other)
    with pytest.raises(ValueError, match="bad item"):
        unlucky.join(PATIENCE)
    assert len(handled) == 19
    assert joined(queue)


def test_when_the_last_consumer_has_failed_no_producer_and_no_join_stays_blocked(new_queue: Any) -> None:
    queue, closed = new_queue(3), []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(1)

    def fail(item: object) -> None:
        eventually(queue.full)
        raise ValueError("bad item")

    producers = [Producer(queue, endless) for _ in range(2)]
    consumers = [Consumer(queue, fail) for _ in range(2)]
    for worker in (*producers, *consumers):
        worker.start()
    finish(*producers)
    assert closed == [1, 1]
    assert joined(queue)
    assert queue.empty()
    for consumer in consumers:
        with pytest.raises(ValueError, match="bad item"):
            consumer.join(PATIENCE)


def test_a_consumer_that_is_not_started_yet_keeps_the_items_of_a_failed_one(new_queue: Any) -> None:
    queue, handled = new_queue(), []
    unlucky, later = Consumer(queue, lambda item: 1 // 0), Consumer(queue, handled.append)
    run(Producer(queue, [1, 2, 3]))
    unlucky.start()
    with pytest.raises(ZeroDivisionError):
        unlucky.join(PATIENCE)
    run(later)
    assert len(handled) == 2


def test_a_consumer_that_was_never_started_counts_only_while_something_refers_to_it(new_queue: Any) -> None:
    queue = new_queue(1)
    unlucky, later, producer = Consumer(queue, lambda item: 1 // 0), Consumer(queue, print), Producer(queue, range(9))
    producer.start()
    unlucky.start()
    with pytest.raises(ZeroDivisionError):
        unlucky.join(PATIENCE)
    assert not queue.is_shutdown
    del later
    finish(producer)
    assert joined(queue)


def test_a_consumer_with_a_run_of_its_own_that_returns_has_not_failed(new_queue: Any) -> None:
    class OneOnly(Consumer[int]):
        def run(self) -> None:
            self.queue.get()
            self.queue.task_done()

    queue = new_queue()
    for item in (1, 2):
        queue.put(item)
    run(OneOnly(queue, print))
    assert not queue.is_shutdown
    assert queue.qsize() == 1


def test_a_handler_that_exits_is_a_failure_that_join_raises(new_queue: Any) -> None:
    queue = new_queue()
    consumer = Consumer(queue, lambda item: sys.exit(3))
    consumer.start()
    run(Producer(queue, [1, 2]))
    with pytest.raises(SystemExit, match="3"):
        consumer.join(PATIENCE)
    assert joined(queue)


def test_a_shutdown_of_another_queue_in_a_handler_is_a_failure_and_not_the_end() -> None:
    queue, downstream = headrace.Queue(), headrace.Queue()
    downstream.shutdown()
    consumer = Consumer(queue, downstream.put)
    consumer.start()
    run(Producer(queue, [1]))
    with pytest.raises(headrace.ShutDown):
        consumer.join(PATIENCE)


def test_a_failure_has_a_note_that_shows_the_item() -> None:
    queue = headrace.Queue()
    consumer = Consumer(queue, lambda item: 1 // 0)
    consumer.start()
    queue.put("x" * 10_000)
    with pytest.raises(ZeroDivisionError) as caught:
        consumer.join(PATIENCE)
    (note,) = caught.value.__notes__
    assert note.startswith("while handling 'xxx")
    assert len(note) < 250


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


class array:  # noqa: N801 - a name that reprlib has a method for
    pass


@pytest.mark.parametrize("item", [Unprintable(), array(), bytes(10**6), [[10**400] * 50] * 50, "\ud800", None])
def test_an_item_is_shown_shortly_whatever_it_is(item: object) -> None:
    error = ValueError()
    failure.note_item(error, item, 7)
    (note,) = error.__notes__
    assert note.startswith("while handling item 7: ")
    assert len(note) < 250
    assert "\n" not in note


def test_an_error_whose_class_refuses_notes_is_raised_all_the_same() -> None:
    class Proud(Exception):
        def add_note(self, note: str) -> None:
            raise TypeError("no notes")

    def fail(item: object) -> None:
        raise Proud

    queue = headrace.Queue()
    consumer = Consumer(queue, fail)
    consumer.start()
    queue.put(1)
    with pytest.raises(Proud):
        consumer.join(PATIENCE)


def test_join_returns_after_its_timeout_while_the_thread_runs() -> None:
    queue = headrace.Queue()
    consumer = Consumer(queue, print)
    consumer.start()
    assert consumer.join(0.001) is None
    assert consumer.is_alive()
    queue.shutdown()
    finish(consumer)


def test_join_does_not_raise_before_the_thread_has_ended() -> None:
    class Slow(headrace.Queue[int]):
        def shutdown(self, immediate: bool = False) -> None:
            shutting_down.set()
            may_shut_down.wait(PATIENCE)
            super().shutdown(immediate)

    shutting_down, may_shut_down = threading.Event(), threading.Event()
    producer = Producer(Slow(), lambda: [1 // 0])
    producer.start()
    assert shutting_down.wait(PATIENCE)
    assert producer.join(0.001) is None
    may_shut_down.set()
    with pytest.raises(ZeroDivisionError):
        producer.join(PATIENCE)


# ---- failures that nobody joined ----


def failed_consumer() -> Consumer[int]:
    """A consumer that has failed, and that no join was called for."""
    queue: headrace.Queue[int] = headrace.Queue()
    consumer = Consumer(queue, lambda item: 1 // 0)
    consumer.start()
    queue.put(1)
    eventually(lambda: not consumer.is_alive())
    return consumer


def test_a_failure_that_nobody_joined_is_reported_once_when_the_thread_object_goes() -> None:
    with thread_reports() as reports:
        consumer = failed_consumer()
        name = consumer.name
        gc.collect()
        assert reports == []
        del consumer
        gc.collect()
        gc.collect()
        ((kind, error, trace, thread),) = reports
        assert (kind, type(error), thread.name) == (ZeroDivisionError, ZeroDivisionError, name)
        assert trace is not None
        del reports[:], error, trace, thread
        gc.collect()
        assert reports == []


def test_a_failure_that_join_raised_is_not_reported() -> None:
    with thread_reports() as reports:
        consumer = failed_consumer()
        with pytest.raises(ZeroDivisionError):
            consumer.join()
        del consumer
        gc.collect()
        assert reports == []


UNJOINED = """
import headrace
queue = headrace.Queue()
consumer = headrace.Consumer(queue, lambda item: 1 // item, name="the consumer")
consumer.start()
queue.put(0)
"""


def test_a_failure_that_nobody_joined_is_reported_once_at_the_end_of_the_program() -> None:
    ended = in_new_python(UNJOINED)
    assert ended.stderr.count("ZeroDivisionError") == 1
    assert "the consumer" in ended.stderr
    assert "while handling 0" in ended.stderr
    assert ended.returncode == 0


def test_a_failure_that_ends_the_program_is_shown_once() -> None:
    ended = in_new_python(UNJOINED + "consumer.join()")
    assert ended.stderr.count("ZeroDivisionError") == 1
    assert ended.returncode == 1


def test_every_unjoined_failure_is_reported_even_if_the_hook_fails() -> None:
    ended = in_new_python(
        """
import headrace, threading
def hook(report):
    raise LookupError(report.thread.name)
threading.excepthook = hook
consumers = [headrace.Consumer(headrace.Queue(), lambda item: 1 // item, name=name) for name in ("one", "two")]
for consumer in consumers:
    consumer.start()
    consumer.queue.put(0)
"""
    )
    assert "LookupError: one" in ended.stderr
    assert "LookupError: two" in ended.stderr


@needs_fork
def test_a_forked_child_does_not_report_its_parents_failures() -> None:
    ended = in_new_python(
        UNJOINED
        + """
import os, sys
while consumer.is_alive(): pass
child = os.fork()
if not child: sys.exit()
assert os.waitpid(child, 0)[1] == 0
"""
    )
    assert ended.stderr.count("ZeroDivisionError") == 1


# ---- forks ----


def in_child(work: Callable[[], bool]) -> bool:
    """What *work* says in a forked process; False if it fails or hangs."""
    child = os.fork()
    if not child:
        signal.alarm(int(PATIENCE))
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


@needs_fork
def test_a_forked_child_starts_with_no_producer_and_its_own_end_the_queue() -> None:
    queue, may_end = headrace.Queue(), threading.Event()

    def slow() -> Iterator[int]:
        may_end.wait(PATIENCE)
        yield 1

    def work() -> bool:
        handled: list[int] = []
        run(Consumer(queue, handled.append), Producer(queue, [7]))
        return handled == [7]

    producer = Producer(queue, slow)
    producer.start()
    try:
        assert in_child(work)
        assert not queue.is_shutdown
    finally:
        may_end.set()
    finish(producer)
    assert list(queue) == [1]


@needs_fork
def test_a_producer_that_is_made_before_a_fork_counts_where_it_is_started() -> None:
    queue, plain = headrace.Queue(), threading.Thread()
    made, other = Producer(queue, [1]), Producer(queue, [2])

    def work() -> bool:
        try:
            run(plain)
        except RuntimeError:
            return True  # Python 3.13 starts no thread in a child that was made in the parent
        run(made)
        return queue.is_shutdown and list(queue) == [1]

    assert in_child(work)
    run(made)
    assert not queue.is_shutdown
    run(other)
    assert queue.is_shutdown


@needs_fork
def test_a_producer_that_goes_on_in_a_forked_child_does_not_shut_down_what_it_left() -> None:
    class Noted(headrace.Queue[int]):
        shut_down_in: list[int]

        def shutdown(self, immediate: bool = False) -> None:
            shut_down_in.append(os.getpid())
            super().shutdown(immediate)

    queue, shut_down_in, children = Noted(), [], []

    def forking() -> Iterator[int]:
        children.append(os.fork())
        yield 1

    class Leaving(Producer[int]):
        def _live(self) -> None:
            super()._live()
            if children == [0]:
                os._exit(len(shut_down_in))

    run(Leaving(queue, forking))
    assert os.waitpid(children[0], 0)[1] == 0
    assert shut_down_in == [os.getpid()]


# ---- nothing is left ----


def test_no_item_lives_on_while_its_consumer_waits_for_the_next(new_queue: Any) -> None:
    queue, dropped = new_queue(), threading.Event()
    consumer = Consumer(queue, lambda item: None)
    consumer.start()
    item = Thing()
    weakref.finalize(item, dropped.set)
    queue.put(item)
    del item
    assert dropped.wait(PATIENCE)
    queue.shutdown()
    finish(consumer)


def test_no_item_lives_on_while_its_producer_waits_for_the_source(new_queue: Any) -> None:
    queue, dropped, may_end = new_queue(), threading.Event(), threading.Event()

    def source() -> Iterator[Thing]:
        item = Thing()
        weakref.finalize(item, dropped.set)
        yield item
        del item
        may_end.wait(PATIENCE)

    producer, consumer = Producer(queue, source), Consumer(queue, lambda item: None)
    producer.start()
    consumer.start()
    assert dropped.wait(PATIENCE)
    may_end.set()
    finish(producer, consumer)


def test_an_ended_producer_keeps_nothing_of_its_source() -> None:
    thing = Thing()
    seen = weakref.ref(thing)
    queue = headrace.Queue()
    producer = Producer(queue, [thing])
    del thing
    run(producer)
    queue.clear()
    assert seen() is None


def test_a_queue_is_gone_with_its_workers_and_so_is_all_that_was_known_of_it(new_queue: Any) -> None:
    known = len(registry._crews)
    queue = new_queue()
    seen = weakref.ref(queue)
    producer, consumer, never = Producer(queue, [1]), Consumer(queue, print), Producer(queue, [])
    del never
    run(producer, consumer)
    del queue, producer, consumer
    eventually(lambda: seen() is None)  # a thread that has ended may have a frame left for a moment
    assert len(registry._crews) == known


# ---- what is refused ----


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Producer(headrace.Queue()), r"Producer\(queue, source\).*produce\(\)"),
        (lambda: Consumer(headrace.Queue()), r"Consumer\(queue, handler\).*consume\(item\)"),
        (lambda: Producer(headrace.Queue(), 7), "iterable, or a function.*not int: 7"),  # type: ignore[arg-type]
        (lambda: Consumer(headrace.Queue(), "print"), "function of one item, not str: 'print'"),  # type: ignore[arg-type]
        (lambda: Producer([], [1]), r"\[\] is no queue for a producer.*put, shutdown.*headrace.Queue"),  # type: ignore[arg-type]
        (lambda: Consumer(None, print), "None is no queue for a consumer"),  # type: ignore[arg-type]
    ],
)
def test_arguments_that_cannot_work_are_refused_with_a_remedy(make: Callable[[], object], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        make()


async def coroutine(item: object) -> None: ...


def generator(item: object) -> Iterator[object]:
    yield item


async def async_generator() -> Any:
    yield 1


class Callables:
    async def __call__(self, item: object) -> None: ...

    def method(self, item: object) -> Iterator[object]:
        yield item


@pytest.mark.parametrize(
    "handler",
    [coroutine, generator, functools.partial(coroutine, 1), Callables(), Callables().method, async_generator],
    ids=str,
)
def test_a_handler_that_would_do_nothing_when_called_is_refused(handler: Any) -> None:
    with pytest.raises(TypeError, match=r"coroutine function|generator function"):
        Consumer(headrace.Queue(), handler)


def test_a_consume_that_would_do_nothing_when_called_is_refused() -> None:
    class Lazy(Consumer[int]):
        async def consume(self, item: int) -> None: ...

    with pytest.raises(TypeError, match=r"consume\(\).*coroutine function"):
        Lazy(headrace.Queue())


@pytest.mark.parametrize("source", [async_generator, coroutine, 7])
def test_a_source_that_cannot_be_iterated_over_is_refused(source: Any) -> None:
    with pytest.raises(TypeError, match="a source is an iterable"):
        Producer(headrace.Queue(), source)


def test_a_queue_that_cannot_be_shut_down_is_refused() -> None:
    class Old:
        def put(self, item: object) -> None: ...
        def get(self) -> object: ...
        def task_done(self) -> None: ...

    for make in (lambda: Producer(Old(), [1]), lambda: Consumer(Old(), print)):  # type: ignore[arg-type]
        with pytest.raises(headrace.NotSupported, match=r"shut down.*headrace.Queue\(\)"):
            make()


def test_a_queue_for_coroutines_is_refused() -> None:
    class Asynchronous(asyncio.Queue[int]):
        def shutdown(self, immediate: bool = False) -> None: ...

    with pytest.raises(TypeError, match="queue for coroutines"):
        Producer(Asynchronous(), [1])


def test_a_refused_worker_does_not_count() -> None:
    queue = headrace.Queue()
    with pytest.raises(TypeError):
        Producer(queue)
    run(Producer(queue, []))
    assert queue.is_shutdown


def test_a_class_that_forgets_the_init_is_told_so() -> None:
    class Forgetful(Producer[int]):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match=r"__init__\(\) not called"):
        Forgetful().start()


def test_no_thread_can_be_started_for_a_forgotten_worker_at_the_end_of_the_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = headrace.Queue()
    first, second = Producer(queue, []), Producer(queue, [])
    run(first)
    unraisable: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "unraisablehook", unraisable.append)
        patch.setattr(_thread, "start_new_thread", start_of_no_thread)
        del second
        gc.collect()
    assert unraisable == []


CTRL_C_IN_JOIN = """
import os, signal, threading, time
import headrace

queue = headrace.Queue()
handling = threading.Event()

def handle(item):
    handling.set()
    time.sleep(0.05)

producer = headrace.Producer(queue, range(10_000))
consumer = headrace.Consumer(queue, handle)
producer.start()
consumer.start()
handling.wait()
main = threading.get_native_id()

def interrupt():
    while open(f"/proc/self/task/{main}/stat").read().rsplit(")", 1)[1].split()[0] != "S":
        pass
    os.kill(os.getpid(), signal.SIGINT)

threading.Timer(0.1, interrupt).start()
try:
    producer.join()
    consumer.join()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc to see the main thread asleep")
def test_ctrl_c_while_joining_ends_the_program_in_place_of_working_on() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CTRL_C_IN_JOIN], capture_output=True, text=True, timeout=20, check=False
    )
    # 10,000 items of 0.05 s would take minutes.
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "interrupted\n", "")


def test_a_producer_for_a_queue_that_was_shut_down_is_refused() -> None:
    queue: headrace.Queue[int] = headrace.Queue()
    queue.shutdown()
    with pytest.raises(headrace.ShutDown, match="make a new queue"):
        Producer(queue, range(3))


def test_the_class_of_a_queue_is_not_taken_for_a_queue() -> None:
    with pytest.raises(TypeError, match="with parentheses"):
        Consumer(headrace.Queue, print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="with parentheses"):
        Producer(headrace.Queue, range(3))  # type: ignore[arg-type]
