"""``Pipeline`` takes every item through its stages, stops everywhere at a failure, and leaves nothing behind."""

from __future__ import annotations

import functools
import gc
import importlib
import os
import random
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from conftest import scaled
from consumer_support import PATIENCE, Flaky, eventually, only_two_threads_start, with_both_queues
from headrace import Pipeline, PipelineSummary, Retry
from headrace.consumers.pipeline_summary import StageSummary
from interrupts import interrupted_at_a_random_moment, interrupted_at_each_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

run_module = importlib.import_module("headrace.consumers.pipeline_run")
source_run_module = importlib.import_module("headrace.consumers.run")

_queue = with_both_queues(run_module)


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    eventually(lambda: not threads())


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if isinstance(thread, run_module.Consumer)}


def same(item: Any) -> Any:
    return item


def refuse(*bad: int) -> Callable[[int], int]:
    def function(item: int) -> int:
        if item in bad:
            raise ValueError(f"bad item {item}")
        return item

    return function


def twice(item: Any) -> Iterator[Any]:
    yield item
    yield item


class Thing:
    """An item that can be seen to be gone."""


# ---- what goes through ----


def test_every_item_goes_through_every_stage_once() -> None:
    stored: list[int] = []
    pipeline = (
        Pipeline(range(1000))
        .stage(lambda item: item + 1, consumers=2, maxsize=3)
        .stage(lambda item: item * 2, consumers=4, maxsize=2)
        .sink(stored.append, consumers=3, maxsize=1)
    )
    summary = pipeline.run()
    assert threads() == set()
    assert sorted(stored) == [2 * (item + 1) for item in range(1000)]
    assert summary.items == 1000
    assert [(one.items_in, one.items_out) for one in summary.stages] == [(1000, 1000), (1000, 1000), (1000, 0)]


def test_stages_of_one_consumer_keep_the_order() -> None:
    stored: list[int] = []
    Pipeline(range(500)).stage(same).stage(same, maxsize=1).sink(stored.append).run()
    assert stored == list(range(500))


def test_none_is_no_item_and_a_list_is_one() -> None:
    stored: list[object] = []
    pipeline = Pipeline(range(6)).stage(lambda item: [item, item] if item % 2 else None).sink(stored.append)
    summary = pipeline.run()
    assert stored == [[1, 1], [3, 3], [5, 5]]
    assert summary.stages[0].items_out == summary.stages[1].items_in == 3


def test_a_generator_gives_several_items_and_none_of_them_is_lost_for_being_none() -> None:
    stored: list[object] = []

    def several(item: int) -> Iterator[int | None]:
        yield from range(item)
        yield None

    Pipeline([0, 2, 1]).stage(several).sink(stored.append).run()
    assert stored == [None, 0, 1, None, 0, None]


def test_what_a_generator_yields_goes_on_as_it_is_yielded() -> None:
    arrived = threading.Event()

    def several(item: int) -> Iterator[int]:
        yield 1
        assert arrived.wait(PATIENCE)
        yield 2

    Pipeline([0]).stage(several).sink(lambda item: arrived.set()).run()


def test_a_function_that_returns_a_generator_is_a_stage_too() -> None:
    stored: list[int] = []
    Pipeline([3]).stage(lambda item: (one for one in range(item))).sink(stored.append).run()
    assert stored == [0, 1, 2]


def test_a_map_or_a_file_is_one_item() -> None:
    stored: list[object] = []
    Pipeline([3]).stage(lambda item: map(str, range(item))).sink(stored.append).run()
    assert len(stored) == 1


def test_items_of_the_source_may_be_none() -> None:
    stored: list[object] = []
    Pipeline([None, 1]).sink(stored.append).run()
    assert stored == [None, 1]


def test_without_a_sink_the_last_results_are_dropped() -> None:
    ran: list[int] = []

    def several(item: int) -> Iterator[int]:
        ran.append(item)
        yield item
        ran.append(-item)

    summary = Pipeline([1, 2]).stage(several).run()
    assert ran == [1, -1, 2, -2]
    assert summary.stages[0].items_out == 2


def test_what_a_sink_returns_is_ignored() -> None:
    assert Pipeline([1]).sink(lambda item: twice(1 // item - 1)).run().stages[0].items_out == 0


def test_no_items_end_at_once() -> None:
    assert Pipeline([]).stage(same, 3).stage(same, 3).sink(same).run().items == 0


def test_all_stages_and_consumers_work_at_the_same_time() -> None:
    together = threading.Barrier(5)

    def meet(item: int) -> int:
        together.wait(PATIENCE)
        return item

    # Two items are in the first stage while three that have passed it... are in the second: five at once.
    passed: list[int] = []

    def first(item: int) -> int:
        return item if item < 3 else meet(item)

    def second(item: int) -> None:
        if item < 3:
            meet(item)
        passed.append(item)

    Pipeline(range(5)).stage(first, 2).sink(second, 3).run()
    assert sorted(passed) == list(range(5))


def test_the_source_is_read_in_the_calling_thread() -> None:
    places: list[threading.Thread] = []

    def source() -> Iterator[int]:
        places.append(threading.current_thread())
        yield 1

    Pipeline(source).sink(same).run()
    assert places == [threading.current_thread()]


def test_threads_are_called_after_their_stages() -> None:
    names: list[str] = []

    def parse(item: int) -> int:
        names.append(threading.current_thread().name)
        return item

    Pipeline([1]).stage(parse).stage(functools.partial(parse)).sink(parse, name="store").run()
    assert names == ["parse-1", "parse-1", "store-1"]


def test_a_pipeline_may_run_in_a_stage_of_another() -> None:
    total: list[int] = []
    Pipeline(range(4)).sink(lambda item: Pipeline(range(item)).sink(total.append).run(), 2).run()
    assert sorted(total) == [0, 0, 0, 1, 1, 2]


# ---- the plan ----


def test_stages_are_added_to_a_new_pipeline() -> None:
    stored: list[int] = []
    source = Pipeline([1, 2])
    plain, doubled = source.sink(stored.append), source.stage(lambda item: 2 * item).sink(stored.append)
    plain.run()
    assert stored == [1, 2]
    doubled.run()
    assert stored == [1, 2, 2, 4]


def test_it_runs_again_when_its_source_can_be_iterated_over_again() -> None:
    stored: list[int] = []
    pipeline = Pipeline([1, 2]).sink(stored.append)
    assert pipeline.run().items == pipeline.run().items == 2
    assert stored == [1, 2, 1, 2]
    made = Pipeline(lambda: iter([3])).sink(stored.append)
    made.run()
    made.run()
    assert stored[4:] == [3, 3]
    once = Pipeline(iter([4])).sink(stored.append)
    assert (once.run().items, once.run().items) == (1, 0)


def test_its_repr_shows_the_stages() -> None:
    pipeline = Pipeline([]).stage(same, 2).sink(print, name="show")
    assert repr(pipeline) == "<Pipeline: source -> same x2 -> show x1>"


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ({"function": "print"}, TypeError, "a stage's function must be a function of one item, not str: 'print'"),
        ({"consumers": 0}, ValueError, "consumers must be at least 1 .*not 0"),
        ({"consumers": "2"}, TypeError, "consumers must be a whole number .*not str"),
        ({"maxsize": -1}, ValueError, "maxsize must be at least 0 .*not -1"),
        ({"retry": 3}, TypeError, r"retry must be headrace.Retry\(...\) or None, not int: 3"),
        ({"retry": Retry}, TypeError, r"write Retry\(\), with parentheses"),
        ({"name": 3}, TypeError, "name must be a string, not int: 3"),
    ],
)
def test_arguments_that_cannot_work_are_refused_at_once(
    arguments: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        Pipeline([]).stage(**{"function": same, **arguments})


def test_a_plan_that_cannot_work_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a source is an iterable.*not int: 7"):
        Pipeline(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"add one with .stage\(function\)"):
        Pipeline([]).run()
    ended = Pipeline([]).sink(print)
    with pytest.raises(ValueError, match=r"nothing comes after the sink \(print\)"):
        ended.stage(same)
    with pytest.raises(ValueError, match="nothing comes after the sink"):
        ended.sink(same)
    with pytest.raises(TypeError, match="is a generator function"):
        Pipeline([]).sink(twice)


# ---- back-pressure ----


def test_a_slow_sink_holds_the_source_back() -> None:
    read, stored, ahead = 0, [], []

    def source() -> Iterator[int]:
        nonlocal read
        for item in range(300):
            read += 1
            ahead.append(read - len(stored))
            yield item

    Pipeline(source).stage(same, 2, maxsize=3).stage(same, 1, maxsize=2).sink(stored.append, 2, maxsize=1).run()
    # Waiting in three queues, in the hands of five consumers, and the one that the source has for the first queue.
    assert max(ahead) <= (3 + 2 + 1) + (2 + 1 + 2) + 1
    assert len(stored) == 300


def test_the_source_is_read_as_far_as_the_queues_have_room_and_no_further() -> None:
    read, go = 0, threading.Event()

    def source() -> Iterator[int]:
        nonlocal read
        for item in range(100):
            read += 1
            yield item

    pipeline = Pipeline(source).stage(same, 2, maxsize=3).sink(lambda item: go.wait(PATIENCE), 1, maxsize=4)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pipeline.run)
        # Five in the sink's queue and hands, two in the hands of the stage, three before it, one that has no room.
        eventually(lambda: read == 1 + 4 + 2 + 3 + 1)
        sleep(0.02)
        assert read == 11
        go.set()
        assert running.result().items == 100


# ---- failures ----

# With a bound of 2 and one consumer a stage, the sink holding item 0, all is full when these are in hand.
IN_HAND = {"sink": 0, "middle": 3, "first": 6, "source": 9}


@pytest.mark.parametrize("place", IN_HAND)
@pytest.mark.parametrize("retry", [None, Retry(attempts=1)], ids=["plain", "leased"])
def test_a_failure_anywhere_with_all_queues_full_stops_all(place: str, retry: Retry | None) -> None:
    closed, read, failed = [], 0, threading.Event()

    def source() -> Iterator[int]:
        nonlocal read
        try:
            for item in count():
                read += 1
                if place == "source" and item == IN_HAND["source"]:
                    fail()
                yield item
        finally:
            closed.append(1)

    def fail() -> None:
        eventually(lambda: read == 10)
        sleep(0.005)
        failed.set()
        raise ValueError("it failed")

    def function(name: str, item: int) -> int:
        if name == place and item == IN_HAND[name]:
            fail()
        if name == "sink":
            failed.wait(PATIENCE)
        return item

    pipeline = Pipeline(source())
    for name in ("first", "middle"):
        pipeline = pipeline.stage(functools.partial(function, name), name=name, maxsize=2, retry=retry)
    with pytest.raises(ValueError, match="it failed") as caught:
        pipeline.sink(functools.partial(function, "sink"), name="sink", maxsize=2, retry=retry).run()
    assert threads() == set()
    assert closed == [1]
    if place == "source":
        assert caught.value.__notes__ == ["after item 9 of the source"]
    else:
        assert caught.value.__notes__ == [f"in the stage {place}", f"while handling {IN_HAND[place]}"]


def test_nothing_is_begun_after_a_failure() -> None:
    begun: list[int] = []

    def function(item: int) -> int:
        begun.append(item)
        return refuse(3)(item)

    with pytest.raises(ValueError, match="bad item 3"):
        Pipeline(count()).stage(function).sink(same).run()
    assert begun == [0, 1, 2, 3]


def test_functions_that_run_come_to_their_end_before_the_failure_is_raised_and_the_source_is_closed_then() -> None:
    events: list[str] = []
    all_run = threading.Barrier(2)

    def source() -> Iterator[int]:
        try:
            yield from count()
        finally:
            events.append("source closed")

    def function(item: int) -> int:
        if item == 1:
            all_run.wait(PATIENCE)
            eventually(lambda: len(threads()) < 2)  # the one that failed is gone
            events.append("function ended")
        return item

    def fail(item: int) -> None:
        all_run.wait(PATIENCE)
        raise ValueError

    with pytest.raises(ValueError):
        Pipeline(source()).stage(function, maxsize=1).sink(fail, maxsize=1).run()
    assert events == ["function ended", "source closed"]


def test_several_failures_are_one_group_that_names_each() -> None:
    all_run = threading.Barrier(3)

    def function(item: int) -> None:
        all_run.wait(PATIENCE)
        raise ValueError(f"bad item {item}")

    with pytest.raises(ExceptionGroup) as caught:
        Pipeline(range(3)).stage(same).sink(function, 3).run()
    errors = sorted(caught.value.exceptions, key=str)
    assert [str(error) for error in errors] == ["bad item 0", "bad item 1", "bad item 2"]
    assert [error.__notes__ for error in errors] == [["in the stage function", f"while handling {n}"] for n in range(3)]


def test_a_generator_stage_that_fails_in_the_middle_has_handed_on_what_it_yielded() -> None:
    stored, there = [], threading.Event()

    def several(item: int) -> Iterator[int]:
        yield 1
        there.wait(PATIENCE)
        raise ValueError("in the middle")

    def store(item: int) -> None:
        stored.append(item)
        there.set()

    with pytest.raises(ValueError, match="in the middle"):
        Pipeline([0]).stage(several).sink(store).run()
    assert stored == [1]


def test_a_generator_that_is_stopped_while_it_hands_on_is_closed() -> None:
    closed: list[int] = []

    def several(item: int) -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.append(item)

    with pytest.raises(ValueError, match="bad item 7"):
        Pipeline([5]).stage(several).sink(refuse(7), maxsize=1).run()
    assert closed == [5]


def test_a_shutdown_of_another_queue_in_a_stage_is_a_failure() -> None:
    other: headrace.Queue[int] = headrace.Queue()
    other.shutdown()
    for retry in (None, Retry(attempts=1)):
        with pytest.raises(headrace.ShutDown):
            Pipeline([1]).stage(other.put, retry=retry).run()
    with pytest.raises(headrace.ShutDown):
        Pipeline(iter(other.get, None)).stage(same).run()


def test_an_exit_in_a_stage_exits() -> None:
    for retry in (None, Retry()):
        with pytest.raises(SystemExit, match="3"):
            Pipeline(range(100)).sink(lambda item: sys.exit(3), retry=retry).run()


def test_a_thread_that_cannot_be_started_leaves_no_other_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    only_two_threads_start(monkeypatch)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Pipeline(range(10)).stage(same, 2).sink(same, 2).run()
    assert threads() == set()


@pytest.mark.parametrize("retry", [None, Retry(attempts=1)], ids=["plain", "leased"])
def test_nothing_refers_to_the_items_when_it_is_over(retry: Retry | None) -> None:
    things = [Thing() for _ in range(10)]
    seen = [weakref.ref(thing) for thing in things]
    Pipeline(things).stage(same, retry=retry).sink(same, retry=retry).run()
    del things
    eventually(lambda: [reference() for reference in seen] == [None] * 10)


def test_a_run_that_failed_is_gone_with_its_exception_without_the_collector() -> None:
    seen: list[weakref.ref[object]] = []

    class Function:
        def __call__(self, item: int) -> None:
            raise ValueError

    def attempt() -> None:
        function = Function()
        seen.append(weakref.ref(function))
        try:
            Pipeline(range(10)).stage(same).sink(function).run()
        except ValueError:
            pass

    gc.collect()
    gc.disable()
    try:
        attempt()
        eventually(lambda: seen[0]() is None)
    finally:
        gc.enable()


# ---- retries ----


@pytest.mark.parametrize("delay", [0.0, 0.005])
def test_failed_items_are_tried_again_and_every_item_arrives_once(delay: float) -> None:
    stored: list[int] = []
    flaky = Flaky(failures=2)
    retry = Retry(attempts=3, delay=delay, factor=1)
    summary = Pipeline(range(90)).stage(flaky, 3, maxsize=4, retry=retry).sink(stored.append).run()
    assert sorted(stored) == list(range(90))
    assert (summary.stages[0].items_in, summary.stages[0].items_out, summary.stages[0].retried) == (90, 90, 60)


def test_a_stage_waits_for_items_that_are_still_to_be_tried_again() -> None:
    stored: list[int] = []
    flaky = Flaky(failures=1, every=1)
    Pipeline([1]).stage(flaky, 4, retry=Retry(attempts=2, delay=0.1, jitter=False)).sink(stored.append).run()
    assert stored == [1]


def test_others_go_on_while_an_item_waits_for_its_next_attempt() -> None:
    stored: list[int] = []
    flaky = Flaky(failures=1, every=100)
    Pipeline(range(5)).stage(flaky, 1, retry=Retry(attempts=2, delay=0.05)).sink(stored.append).run()
    assert stored == [1, 2, 3, 4, 0]


def test_an_item_that_fails_at_its_last_attempt_stops_all() -> None:
    flaky = Flaky(failures=10)
    with pytest.raises(ValueError, match="attempt 3 at 0") as caught:
        Pipeline(range(3)).stage(flaky, 2, retry=Retry(attempts=3, delay=0.001)).sink(same).run()
    assert caught.value.__notes__ == ["in the stage Flaky", "while handling 0", "at attempt 3 of 3"]
    assert flaky.attempts[0] == 3


def test_a_failure_that_retry_is_not_for_is_not_tried_again() -> None:
    flaky = Flaky(failures=1)
    with pytest.raises(ValueError, match="attempt 1 at 0"):
        Pipeline([0]).stage(flaky, retry=Retry(on=OSError)).run()


def test_a_generator_that_is_tried_again_hands_nothing_on_twice() -> None:
    stored: list[int] = []
    flaky = Flaky(failures=1, every=1)

    def several(item: int) -> Iterator[int]:
        yield item
        flaky(item)
        yield -item

    Pipeline([1, 2]).stage(several, retry=Retry(attempts=2, delay=0.001)).sink(stored.append).run()
    assert sorted(stored) == [-2, -1, 1, 2]


def test_a_sink_may_retry() -> None:
    flaky = Flaky(failures=1)
    summary = Pipeline(range(30)).sink(flaky, 2, retry=Retry(attempts=2, delay=0.001)).run()
    assert summary.stages[0].retried == 10
    assert set(flaky.attempts) == set(range(30))


def test_a_failure_does_not_wait_for_items_that_were_to_be_tried_again_much_later() -> None:
    begin = monotonic()
    waits = threading.Event()

    def later(item: int) -> int:
        if item == 0:
            waits.set()
            raise ValueError("try me again in an hour")
        return item

    def fail(item: int) -> None:
        waits.wait(PATIENCE)
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        Pipeline(range(5)).stage(later, 2, retry=Retry(attempts=2, delay=3600)).sink(fail).run()
    assert monotonic() - begin < PATIENCE / 2


def test_an_item_that_fails_after_the_run_was_stopped_is_not_tried_again() -> None:
    attempts: list[int] = []
    begun = threading.Event()

    def function(item: int) -> int:
        if item == 0:
            begun.wait(PATIENCE)
            raise LookupError("no")
        attempts.append(item)
        begun.set()
        eventually(lambda: len(threads()) < 2)  # the one that failed is gone
        raise ValueError("again")

    with pytest.raises(LookupError, match="no"):
        Pipeline(range(2)).stage(function, 2, retry=Retry(attempts=9, delay=0.0, on=ValueError)).run()
    assert attempts == [1]


# ---- Ctrl-C ----


@pytest.mark.skipif(sys.gettrace() is not None, reason="another tracer is at work")
@pytest.mark.parametrize("bad", [(), (5,)], ids=["going well", "failing"])
def test_ctrl_c_at_any_line_stops_all_closes_the_source_and_leaves_no_thread(bad: tuple[int, ...]) -> None:
    def run(source: Iterator[int]) -> None:
        Pipeline(source).stage(refuse(*bad), maxsize=2).sink(same, maxsize=1).run()

    assert interrupted_at_each_line(run, run_module, source_run_module, fails=bool(bad), threads=threads) > 50


PROGRAM = """
import itertools, os, time
import headrace

def source():
    try:
        yield from itertools.count()
    finally:
        os.write(1, b"closed\\n")

def first(item):
    if item == 40:
        os.write(1, b"busy\\n")
    return item

def flaky(item):
    if item % 7 == 0 and RETRY:
        raise ValueError(item)
    return item

def store(item):
    time.sleep(SECONDS)

retry = headrace.Retry(attempts=100, delay=0.01) if RETRY else None
pipeline = headrace.Pipeline(source()).stage(first).stage(flaky, 2, retry=retry)
pipeline.sink(store, 2).run()
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("retry", [False, True], ids=["plain", "leased"])
@pytest.mark.parametrize("seconds", [60, 0, 0.001])
def test_ctrl_c_at_a_random_moment_ends_a_program_within_a_second(retry: bool, seconds: float) -> None:
    interrupt_a_program(retry, seconds)


@pytest.mark.stress
@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("retry", [False, True], ids=["plain", "leased"])
@pytest.mark.parametrize("seconds", [60, 0, 0.001])
def test_ctrl_c_at_many_random_moments_ends_a_program_within_a_second(retry: bool, seconds: float) -> None:
    for _ in range(scaled(30)):
        interrupt_a_program(retry, seconds)


def interrupt_a_program(retry: bool, seconds: float) -> None:
    program = PROGRAM.replace("SECONDS", str(seconds)).replace("RETRY", str(retry))
    assert interrupted_at_a_random_moment(program) == "closed\n"


def test_failures_before_a_ctrl_c_are_notes_and_do_not_hide_it() -> None:
    def source() -> Iterator[int]:
        yield 0
        eventually(lambda: len(threads()) < 2)  # the one that failed is gone
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        Pipeline(source()).stage(same).sink(refuse(0)).run()
    assert any("ValueError('bad item 0')" in note for note in caught.value.__notes__)


# ---- stress ----


def test_it_holds_when_threads_are_switched_all_the_time() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(scaled(20)):
            stored: list[int] = []
            size = functools.partial(random.randint, 1, 5)
            retry = Retry(attempts=3, delay=random.choice([0.0, 0.001]))
            pipeline = Pipeline(range(100)).stage(twice, size(), maxsize=size())
            pipeline = pipeline.stage(Flaky(1), 1, maxsize=size(), retry=retry).stage(same, size(), maxsize=size())
            pipeline.sink(stored.append, size(), maxsize=size()).run()
            assert sorted(stored) == sorted([*range(100)] * 2)
            with pytest.raises(ValueError, match="bad item 50"):
                pipeline.sink(refuse(50), 1, maxsize=size()).run()
    finally:
        sys.setswitchinterval(interval)


# ---- the summary ----

SUMMARY = PipelineSummary(
    1200,
    2.5,
    (StageSummary("parse", 2, 1200, 1150, 0, 0.5), StageSummary("fetch", 8, 1150, 1150, 12, 19.0)),
)


def test_a_summary_is_a_small_table() -> None:
    assert str(SUMMARY).splitlines() == [
        "1,200 items in 2.50 s (480 items/s)",
        "stage  consumers  items in  items out  retried  busy",
        "parse          2     1,200      1,150        0   10%",
        "fetch          8     1,150      1,150       12   95%",
    ]


def test_a_summary_of_nothing_is_one_too() -> None:
    assert str(PipelineSummary(0, 0.0, ())).startswith("0 items in 0.00 s (0.00 items/s)")


def test_a_summary_shows_itself_in_a_notebook() -> None:
    html = SUMMARY._repr_html_()
    assert html.startswith("<table")
    assert "fetch" in html
    assert "95%" in html


def test_a_summary_tells_how_long_functions_ran() -> None:
    summary = Pipeline(range(4)).stage(lambda item: sleep(0.01)).sink(same).run()
    assert 0.04 <= summary.stages[0].busy_seconds <= summary.seconds
    assert summary.items_per_second == pytest.approx(4 / summary.seconds)
