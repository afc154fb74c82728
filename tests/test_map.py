"""``map`` is lazy and bounded, raises a failure at its place, and leaves no thread behind however it is left."""

from __future__ import annotations

import gc
import os
import random
import sqlite3
import sys
import threading
import tracemalloc
import weakref
from itertools import count, islice
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from conftest import scaled
from consumer_support import PATIENCE, eventually, only_two_threads_start, with_both_queues
from headrace import imap_unordered
from headrace import map as headrace_map
from headrace.consumers import calls as calls_module
from headrace.consumers import map_iterator as map_module
from interrupts import Interrupt, at_each_line, interrupted_at_a_random_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace.consumers.map_iterator import MapIterator

_queue = with_both_queues(calls_module)


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    eventually(lambda: not threads())


both = pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "unordered"])


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("Map-")}


def same(item: Any) -> Any:
    return item


def refuse(*bad: int) -> Callable[[int], int]:
    def function(item: int) -> int:
        if item in bad:
            raise ValueError(f"bad item {item}")
        return item

    return function


def drain(results: Iterator[int], into: list[int]) -> None:
    for result in results:
        into.append(result)  # noqa: PERF402 - extend would lose what came before a failure


class Thing:
    """An item that can be seen to be gone."""


class Source:
    """Yields numbers, and knows how many it has yielded and whether it was closed."""

    def __init__(self, end: int = 10**12) -> None:
        self.read = 0
        self.closed = False
        self.items = self._items(end)

    def _items(self, end: int) -> Iterator[int]:
        try:
            for item in range(end):
                self.read = item + 1
                yield item
        finally:
            self.closed = True


# ---- results ----


@pytest.mark.parametrize("maxsize", [1, 2, 7, 100, 10_000])
@pytest.mark.parametrize("consumers", [1, 3, 8])
def test_results_come_in_the_order_of_the_items(consumers: int, maxsize: int) -> None:
    results = headrace_map(lambda item: -item, range(1000), consumers, maxsize=maxsize)
    assert list(results) == [-item for item in range(1000)]
    assert threads() == set()


@pytest.mark.parametrize("maxsize", [1, 100])
def test_unordered_results_are_those_of_all_items(maxsize: int) -> None:
    assert sorted(imap_unordered(same, range(1000), maxsize=maxsize)) == list(range(1000))
    assert threads() == set()


def test_the_order_holds_whatever_the_calls_take() -> None:
    def function(item: int) -> int:
        sleep(random.random() / 1000)
        return item

    assert list(headrace_map(function, range(200), 8, maxsize=20)) == list(range(200))


def test_unordered_a_slow_item_does_not_hold_back_others() -> None:
    others_are_there = threading.Event()

    def function(item: int) -> int:
        if item == 0:
            others_are_there.wait(PATIENCE)
        return item

    results = imap_unordered(function, range(50), 2)
    first = list(islice(results, 49))
    others_are_there.set()
    assert sorted(first) == list(range(1, 50))
    assert list(results) == [0]


@both
def test_no_items_are_no_results(ordered: bool) -> None:
    assert list(headrace_map(same, [], ordered=ordered)) == []


@both
def test_all_consumers_work_at_the_same_time(ordered: bool) -> None:
    together = threading.Barrier(4)
    results = headrace_map(lambda item: together.wait(PATIENCE), range(4), 4, ordered=ordered)
    assert sorted(results) == [0, 1, 2, 3]


def test_results_may_be_anything() -> None:
    odd = [None, ValueError("a result"), StopIteration, 0, [], Thing]
    assert list(headrace_map(same, odd)) == odd


def test_the_end_is_final() -> None:
    results = headrace_map(same, [1])
    assert list(results) == [1]
    assert list(results) == []


def test_a_map_of_a_map_of_a_map() -> None:
    inner = headrace_map(lambda item: item + 1, count(), 2, maxsize=5)
    middle = headrace_map(lambda item: item * 2, inner, 2, maxsize=5)
    with headrace_map(lambda item: item - 1, middle, 2, maxsize=5) as outer:
        assert list(islice(outer, 100)) == [2 * item + 1 for item in range(100)]
    middle.close()
    inner.close()


def test_a_function_may_use_a_map_itself() -> None:
    results = headrace_map(lambda item: sum(headrace_map(same, range(item))), range(20))
    assert list(results) == [sum(range(item)) for item in range(20)]


def test_a_source_may_be_a_function_that_returns_one() -> None:
    source = Source(3)
    assert list(headrace_map(same, lambda: source.items)) == [0, 1, 2]


def test_the_source_is_read_in_the_calling_thread_as_a_cursor_demands() -> None:
    with sqlite3.connect(":memory:") as database:
        database.execute("create table numbers (number)")
        database.executemany("insert into numbers values (?)", [(item,) for item in range(500)])
        rows = database.execute("select number from numbers order by number")
        assert list(headrace_map(lambda row: row[0], rows)) == list(range(500))
    database.close()


# ---- how far it reads ----


@both
def test_nothing_happens_before_the_first_next(ordered: bool) -> None:
    source = Source()
    results = headrace_map(same, source.items, ordered=ordered)
    assert source.read == 0
    assert threads() == set()
    next(results)
    assert len(threads()) == 3
    results.close()


@both
@pytest.mark.parametrize(("consumers", "maxsize"), [(1, 1), (3, 1), (3, 10), (2, 100)])
def test_never_more_is_read_than_maxsize_and_consumers_beyond_what_is_yielded(
    consumers: int, maxsize: int, ordered: bool
) -> None:
    source = Source()
    with headrace_map(same, source.items, consumers, maxsize=maxsize, ordered=ordered) as results:
        for yielded in range(2000):
            assert source.read - yielded <= maxsize + consumers
            next(results)
            assert source.read - yielded <= maxsize + consumers


def test_the_whole_window_is_read_while_the_first_call_runs() -> None:
    source, go = Source(), threading.Event()

    def function(item: int) -> int:
        if item == 0:
            go.wait(PATIENCE)
        return item

    results = headrace_map(function, source.items, 2, maxsize=10)
    reader = threading.Thread(target=next, args=(results,))
    reader.start()
    eventually(lambda: source.read == 12)
    sleep(0.02)
    assert source.read == 12
    go.set()
    reader.join()
    results.close()


@both
def test_an_infinite_source_works_in_constant_memory(ordered: bool) -> None:
    results = headrace_map(lambda item: bytes(1000), count(), ordered=ordered)
    for _ in islice(results, 1000):
        pass
    tracemalloc.start()
    try:
        for _ in islice(results, scaled(20_000)):
            pass
        # 103 results at most are about; 20,000 would be 20 MB.
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
        results.close()


@both
def test_memory_is_constant_too_when_the_caller_is_slower_than_the_threads(ordered: bool) -> None:
    results = headrace_map(same, count(), ordered=ordered)
    calls = results._calls  # type: ignore[attr-defined]
    for _ in range(3000):
        next(results)
        if threads() and not calls._waiting.qsize():
            sleep(0.00001)
        assert calls._ended.qsize() <= 2 * 103 + 13
    results.close()


def test_no_item_or_result_lives_on_when_its_time_is_over() -> None:
    things: list[weakref.ref[Thing]] = []

    def thing() -> Thing:
        made = Thing()
        things.append(weakref.ref(made))
        return made

    results = headrace_map(lambda item: Thing(), (thing() for _ in range(20)))
    result = next(results)
    eventually(lambda: not any(reference() for reference in things))
    seen = weakref.ref(result)
    del result
    assert seen() is None
    results.close()


# ---- slow sources ----


class Tap:
    """A source whose items come when a test lets them, with a pause before each."""

    def __init__(self, pause: float) -> None:
        self.pause = pause
        self.asked = 0

    def __iter__(self) -> Tap:
        return self

    def __next__(self) -> int:
        self.asked += 1
        sleep(self.pause)
        return self.asked


@both
def test_a_slow_source_does_not_hold_back_a_result_that_is_ready(ordered: bool) -> None:
    tap = Tap(0.05)
    with headrace_map(same, tap, ordered=ordered) as results:
        for yielded in range(1, 5):
            assert next(results) == yielded
            assert (
                tap.asked <= yielded + 1
            )  # one more when the machine is so busy that a call took a quarter of a pause


def test_a_slow_source_keeps_all_consumers_busy() -> None:
    together = threading.Barrier(4)
    results = headrace_map(lambda item: together.wait(PATIENCE), islice(Tap(0.005), 8), 4)
    assert len(list(results)) == 8


# ---- failures ----


def test_a_failure_is_raised_at_its_place_with_a_note_that_names_the_item() -> None:
    results, got = headrace_map(refuse(70), range(0, 1000, 10)), []
    with pytest.raises(ValueError, match="bad item 70") as caught:
        drain(results, got)
    assert got == [0, 10, 20, 30, 40, 50, 60]
    assert caught.value.__notes__ == ["while handling item 8: 70"]
    assert threads() == set()
    assert list(results) == []


def test_unordered_a_failure_is_raised_among_the_others() -> None:
    results = imap_unordered(refuse(70), count())
    with pytest.raises(ValueError, match="bad item 70") as caught:
        drain(results, [])
    assert caught.value.__notes__[0] == "while handling item 71: 70"
    assert list(results) == []


@both
def test_nothing_is_begun_after_a_failure(ordered: bool) -> None:
    begun: list[int] = []

    def function(item: int) -> int:
        begun.append(item)
        return refuse(3)(item)

    with pytest.raises(ValueError, match="bad item 3"):
        list(headrace_map(function, count(), 1, ordered=ordered))
    assert begun == [0, 1, 2, 3]


def test_results_before_a_failure_come_although_it_is_known_already() -> None:
    failed = threading.Event()

    def function(item: int) -> int:
        if item == 0:
            failed.wait(PATIENCE)
            sleep(0.01)
        elif item == 1:
            failed.set()
            raise ValueError("bad item 1")
        return item

    source = Source()
    results = headrace_map(function, source.items, 2)
    assert next(results) == 0
    read = source.read
    with pytest.raises(ValueError, match="bad item 1"):
        next(results)
    assert source.read == read
    assert source.closed


def test_calls_that_run_come_to_their_end_before_the_failure_is_raised_and_the_source_is_closed_then() -> None:
    events: list[str] = []
    both_run = threading.Barrier(2)

    def source() -> Iterator[int]:
        try:
            yield from count()
        finally:
            events.append("source closed")

    def function(item: int) -> None:
        if item < 2:
            both_run.wait(PATIENCE)
        if item == 0:
            raise ValueError
        eventually(lambda: len(threads()) < 2)  # the one that failed is gone
        events.append("call ended")

    with pytest.raises(ValueError):
        next(headrace_map(function, source(), 2, maxsize=1))
    assert events == ["call ended", "source closed"]


@both
def test_other_failures_become_notes_of_the_one_that_is_raised(ordered: bool) -> None:
    all_run = threading.Barrier(3)

    def function(item: int) -> None:
        all_run.wait(PATIENCE)
        raise ValueError(f"bad item {item}")

    with pytest.raises(ValueError) as caught:
        next(headrace_map(function, range(3), 3, ordered=ordered))
    raised = str(caught.value)
    others = {f"bad item {item}" for item in range(3)} - {raised}
    assert not ordered or raised == "bad item 0"
    noted = [note for note in caught.value.__notes__ if "another item had failed" in note]
    assert len(noted) == 2
    assert all(any(other in note for note in noted) for other in others)


@both
def test_a_failing_source_is_raised_after_the_results_of_what_came_before(ordered: bool) -> None:
    def source() -> Iterator[int]:
        yield from range(20)
        raise LookupError("no more")

    results, got = headrace_map(same, source, ordered=ordered), []
    with pytest.raises(LookupError, match="no more") as caught:
        drain(results, got)
    assert sorted(got) == list(range(20))
    assert caught.value.__notes__ == ["after item 20 of the source"]
    assert threads() == set()
    assert list(results) == []


def test_the_failure_of_an_item_tells_of_a_source_that_failed_too() -> None:
    source_failed = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        source_failed.set()
        raise LookupError("no more")

    def function(item: int) -> None:
        source_failed.wait(PATIENCE)
        raise ValueError

    with pytest.raises(ValueError) as caught:
        next(headrace_map(function, source))
    assert caught.value.__notes__[-1] == "the source had failed too: LookupError('no more')"


def test_a_source_that_cannot_begin_raises_its_error() -> None:
    def source() -> Iterator[int]:
        raise PermissionError("not yours")

    results = headrace_map(same, source)
    with pytest.raises(PermissionError, match="not yours") as caught:
        next(results)
    assert not hasattr(caught.value, "__notes__")
    assert list(results) == []


def test_a_source_that_is_no_iterable_is_found_at_the_first_next() -> None:
    results = headrace_map(same, lambda: 7)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="returned 7, which is not iterable"):
        next(results)
    assert list(results) == []


def test_a_shutdown_of_another_queue_in_source_or_function_is_a_failure() -> None:
    other: headrace.Queue[int] = headrace.Queue()
    other.shutdown()
    with pytest.raises(headrace.ShutDown):
        next(headrace_map(same, iter(other.get, None)))
    with pytest.raises(headrace.ShutDown):
        next(headrace_map(other.put, [1]))


def test_a_function_that_raises_stop_iteration_does_not_end_the_loop_in_silence() -> None:
    with pytest.raises(RuntimeError, match="raised StopIteration") as caught:
        list(headrace_map(next, [iter([1]), iter([])]))
    assert isinstance(caught.value.__cause__, StopIteration)


def test_a_function_that_exits_exits() -> None:
    with pytest.raises(SystemExit, match="3"):
        list(headrace_map(lambda item: sys.exit(3), range(100)))
    with pytest.raises(SystemExit, match="3"):
        list(headrace_map(same, (sys.exit(3) for _ in range(3))))


def test_a_closing_that_fails_is_a_note_on_the_failure() -> None:
    def source() -> Iterator[int]:
        try:
            yield from count()
        finally:
            raise LookupError("cannot close")

    with pytest.raises(ValueError, match="bad item 0") as caught:
        next(headrace_map(refuse(0), source))
    assert any("closing the source failed too" in note for note in caught.value.__notes__)


def test_a_thread_that_cannot_be_started_leaves_no_other_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    only_two_threads_start(monkeypatch)
    results = headrace_map(same, range(10), 5)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        next(results)
    assert threads() == set()
    assert list(results) == []


@both
def test_an_iterator_that_failed_is_gone_with_its_exception_without_the_collector(ordered: bool) -> None:
    seen: list[weakref.ref[object]] = []

    class Function:
        def __call__(self, item: int) -> None:
            raise ValueError

    def attempt() -> None:
        function = Function()
        seen.append(weakref.ref(function))
        try:
            next(headrace_map(function, range(10), ordered=ordered))
        except ValueError:
            pass

    gc.collect()
    gc.disable()
    try:
        attempt()
        eventually(lambda: seen[0]() is None)
    finally:
        gc.enable()


# ---- how it is left ----


@both
def test_breaking_out_of_the_loop_ends_the_threads(ordered: bool) -> None:
    for item in headrace_map(same, count(), ordered=ordered):
        if item > 200:
            break
    eventually(lambda: not threads())


@both
def test_a_dropped_iterator_ends_its_threads_though_calls_are_running(ordered: bool) -> None:
    go, running = threading.Event(), threading.Event()

    def function(item: int) -> int:
        if item:
            running.set()
            go.wait(PATIENCE)
        running.wait(PATIENCE)
        return item

    results = headrace_map(function, count(), ordered=ordered)
    assert next(results) == 0
    begin = monotonic()
    del results
    assert monotonic() - begin < PATIENCE / 2
    go.set()
    eventually(lambda: not threads())


def test_a_dropped_iterator_leaves_a_generator_to_its_owner() -> None:
    source = Source(1000)
    results = headrace_map(same, source.items, 1, maxsize=1)
    assert next(results) == 0
    del results
    eventually(lambda: not threads())
    assert not source.closed
    assert next(source.items) == source.read - 1


@both
def test_close_waits_for_the_calls_that_run_begins_no_other_and_closes_the_source(ordered: bool) -> None:
    begun, ended, all_run, both_run = [], [], threading.Barrier(3), threading.Barrier(3)
    source = Source()

    def function(item: int) -> int:
        begun.append(item)
        if item <= 2:
            all_run.wait(PATIENCE)
        if 1 <= item <= 2:
            both_run.wait(PATIENCE)
            sleep(0.02)
        ended.append(item)
        return item

    results = headrace_map(function, source.items, 3, maxsize=5, ordered=ordered)
    assert next(results) == 0
    both_run.wait(PATIENCE)
    results.close()
    assert threads() == set()
    assert sorted(begun) == sorted(ended)
    assert source.closed
    assert list(results) == []
    results.close()


def test_a_with_block_closes_it() -> None:
    source = Source()
    with headrace_map(same, source.items) as results:
        assert next(results) == 0
    assert source.closed
    assert threads() == set()


def test_closing_before_the_first_next_begins_nothing() -> None:
    source = Source()
    results = headrace_map(same, source.items)
    results.close()
    assert list(results) == []
    assert source.read == 0
    assert list(source.items) == []


def test_a_source_that_is_not_a_generator_is_left_open(tmp_path: Any) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n")
    with path.open() as lines:
        with pytest.raises(ZeroDivisionError):
            list(headrace_map(lambda line: 1 // 0, lines))
        assert not lines.closed


def test_the_function_may_close_the_map() -> None:
    results: MapIterator[int]

    def function(item: int) -> int:
        if item == 5:
            results.close()
        return item

    results = headrace_map(function, count(), 2, maxsize=3)
    got = list(results)
    assert got == list(range(len(got)))
    assert len(got) <= 6
    assert threads() == set()


def test_the_source_may_close_the_map() -> None:
    closed: list[int] = []

    def source() -> Iterator[int]:
        try:
            results.close()
            yield 1
            yield from count()
        finally:
            closed.append(1)

    results = headrace_map(same, source())
    assert list(results) == []
    assert closed == [1]


def test_closing_ends_the_wait_of_another_thread() -> None:
    go = threading.Event()
    results = headrace_map(lambda item: go.wait(PATIENCE), [1])
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.append(list(results)))
    reader.start()
    eventually(threads)
    closer = threading.Thread(target=results.close)
    closer.start()
    eventually(lambda: results._closed)
    reader.join(PATIENCE / 100)  # it ends, once the call that is running has come to its end
    go.set()
    reader.join()
    closer.join()
    assert got == [[]]


# ---- several threads, and itself ----


@pytest.fixture
def _threads_are_switched_all_the_time() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@both
@pytest.mark.usefixtures("_threads_are_switched_all_the_time")
def test_several_threads_may_iterate_and_each_result_goes_to_one(ordered: bool) -> None:
    results = headrace_map(same, range(3000), maxsize=10, ordered=ordered)
    got: list[list[int]] = [[] for _ in range(4)]
    readers = [threading.Thread(target=mine.extend, args=(results,)) for mine in got]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert sorted(item for mine in got for item in mine) == list(range(3000))
    assert not ordered or all(mine == sorted(mine) for mine in got)


def test_a_function_that_waits_for_its_own_map_is_told_so() -> None:
    results: MapIterator[Any]
    results = headrace_map(lambda item: next(results), range(10))
    with pytest.raises(RuntimeError, match="the function of a map called next\\(\\) on that map"):
        next(results)


def test_a_source_that_waits_for_its_own_map_is_told_so() -> None:
    def source() -> Iterator[int]:
        yield next(results)

    results: MapIterator[Any] = headrace_map(same, source())
    with pytest.raises(RuntimeError, match="the source of a map called next\\(\\) on that map"):
        next(results)


# ---- Ctrl-C ----


@both
@pytest.mark.skipif(sys.gettrace() is not None, reason="another tracer is at work")
@pytest.mark.parametrize("bad", [(), (5,)], ids=["going well", "failing"])
@pytest.mark.parametrize("quick", [map_module.QUICK, 0.0], ids=["quick source", "slow source"])
def test_ctrl_c_at_any_line_closes_the_source_and_leaves_no_thread(
    quick: float, bad: tuple[int, ...], ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_module, "QUICK", quick)

    def attempt(at: int) -> bool:
        """Whether there was an at-th line. Fails the test unless all is in order after it."""
        source = Source(8)
        results = headrace_map(refuse(*bad), source.items, 2, maxsize=2, ordered=ordered)
        try:
            with results:
                sys.settrace(Interrupt(at, map_module, calls_module))
                for _ in results:
                    pass
                sys.settrace(None)
        except KeyboardInterrupt:
            return True
        except ValueError:
            assert bad
        finally:
            sys.settrace(None)
            eventually(lambda: not threads())
            assert list(source.items) == []
            assert list(results) == []
        return False

    assert at_each_line(attempt) > 50


PROGRAM = """
import itertools, os, sys, time
import headrace

def busy(item):
    if item == 40:
        os.write(1, b"busy\\n")
    if item >= 40:
        time.sleep(SECONDS)
    return item

def source():
    try:
        yield from itertools.count()
    finally:
        os.write(1, b"closed\\n")

for result in headrace.map(busy, source(), ordered=ORDERED):
    pass
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@both
@pytest.mark.parametrize("seconds", [60, 0, 0.001])
def test_ctrl_c_at_a_random_moment_ends_a_program_within_a_second(ordered: bool, seconds: float) -> None:
    interrupt_a_program(ordered, seconds)


@pytest.mark.stress
@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@both
@pytest.mark.parametrize("seconds", [60, 0, 0.001])
def test_ctrl_c_at_many_random_moments_ends_a_program_within_a_second(ordered: bool, seconds: float) -> None:
    for _ in range(scaled(30)):
        interrupt_a_program(ordered, seconds)


def interrupt_a_program(ordered: bool, seconds: float) -> None:
    program = PROGRAM.replace("SECONDS", str(seconds)).replace("ORDERED", str(ordered))
    assert interrupted_at_a_random_moment(program) in ("closed\n", "")


def test_failures_before_a_ctrl_c_are_notes_and_do_not_hide_it() -> None:
    asked = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        asked.set()
        eventually(lambda: len(threads()) < 2)  # the one that failed is gone
        raise KeyboardInterrupt

    def function(item: int) -> int:
        asked.wait(PATIENCE)
        return refuse(0)(item)

    results = headrace_map(function, source(), 2)
    with pytest.raises(KeyboardInterrupt) as caught:
        next(results)
    assert any("ValueError('bad item 0')" in note for note in caught.value.__notes__)
    assert list(results) == []


def test_ctrl_c_while_a_failure_waits_for_running_calls_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wait, interrupted = map_module.MapIterator._wait, []

    def wait_and_interrupt(results: MapIterator[Any], grace: float | None) -> None:
        wait(results, grace)
        if not interrupted:
            interrupted.append(1)
            raise KeyboardInterrupt

    monkeypatch.setattr(map_module.MapIterator, "_wait", wait_and_interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        next(headrace_map(refuse(0), [0], 2))
    assert caught.value.__notes__ == ["before this was raised, an item had failed: ValueError('bad item 0')"]


def test_ctrl_c_waits_for_calls_that_are_about_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, asked, handled = threading.Event(), threading.Event(), []
    monkeypatch.setattr(map_module, "GRACE", PATIENCE)

    def function(item: int) -> None:
        begun.set()
        asked.wait(PATIENCE)
        sleep(0.02)
        handled.append(item)

    def source() -> Iterator[int]:
        yield 1
        asked.set()
        begun.wait(PATIENCE)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(headrace_map(function, source(), 1))
    assert handled == [1]


def test_ctrl_c_leaves_a_call_behind_that_takes_long() -> None:
    go, begun = threading.Event(), threading.Event()

    def function(item: int) -> None:
        begun.set()
        go.wait(PATIENCE)

    def source() -> Iterator[int]:
        yield 1
        begun.wait(PATIENCE)
        raise KeyboardInterrupt

    results = headrace_map(function, source(), 1)
    begin = monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert monotonic() - begin < PATIENCE / 2
    assert list(results) == []
    go.set()


# ---- stress ----


@both
@pytest.mark.usefixtures("_threads_are_switched_all_the_time")
def test_it_holds_when_threads_are_switched_all_the_time(ordered: bool) -> None:
    for _ in range(scaled(30)):
        maxsize, consumers = random.randint(1, 20), random.randint(1, 6)
        results = list(headrace_map(same, range(300), consumers, maxsize=maxsize, ordered=ordered))
        assert (results if ordered else sorted(results)) == list(range(300))
        got: list[int] = []
        with pytest.raises(ValueError):
            drain(headrace_map(refuse(150), count(), consumers, maxsize=maxsize, ordered=ordered), got)
        assert not ordered or got == list(range(150))
        with headrace_map(same, count(), consumers, maxsize=maxsize, ordered=ordered) as unfinished:
            next(unfinished)


# ---- what is refused ----


async def coroutine(item: int) -> int:
    return item


def generator(item: int) -> Iterator[int]:
    yield item


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ({"iterable": 7}, TypeError, "a source is an iterable.*not int: 7"),
        ({"function": "print"}, TypeError, "function must be a function of one item, not str: 'print'"),
        ({"function": coroutine}, TypeError, "is a coroutine function.*headrace.aio.map"),
        ({"function": generator}, TypeError, "is a generator function"),
        ({"consumers": 0}, ValueError, "consumers must be at least 1 .*not 0"),
        ({"consumers": 2.0}, TypeError, "consumers must be a whole number .*not float: 2.0"),
        ({"maxsize": 0}, ValueError, "maxsize must be at least 1 .*not 0"),
        ({"maxsize": None}, TypeError, "maxsize must be a whole number .*not NoneType"),
    ],
)
def test_arguments_that_cannot_work_are_refused_at_once(
    arguments: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        headrace_map(**{"function": same, "iterable": [], **arguments})
