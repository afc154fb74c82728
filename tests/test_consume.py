"""``consume`` handles all, stops at the first failure and at Ctrl-C, and leaves nothing behind."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import subprocess
import sys
import threading
import traceback
import weakref
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from consumer_support import (
    PATIENCE,
    all_threads,
    eventually,
    main_thread_sleeps,
    none_stays,
    only_two_threads_start,
    with_both_queues,
)
from headrace import Summary, consume
from headrace.consumers import ConsumerSummary
from interrupts import interrupted_at_each_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# `consume` is a module and, in the package around it, the function of the same name.
consume_module = importlib.import_module("headrace.consumers.consume")
run_module = importlib.import_module("headrace.consumers.run")

_queue = with_both_queues(consume_module)
_no_thread_stays = none_stays(all_threads)


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("Consumer-")}


class Thing:
    """An item that can be seen to be gone."""


# ---- the run that goes well ----


def test_every_item_is_handled_once_and_no_thread_is_left() -> None:
    for _ in range(100):
        handled: list[int] = []
        summary = consume(range(50), handled.append, consumers=3, maxsize=2)
        assert threads() == set()
        assert sorted(handled) == list(range(50))
        assert summary.items == 50


def test_an_empty_source_is_a_run_of_no_items() -> None:
    summary = consume([], print)
    assert (summary.items, summary.failed, summary.items_per_second) == (0, 0, 0.0)
    assert [one.items for one in summary.per_consumer] == [0, 0, 0]


@pytest.mark.parametrize("maxsize", [0, 1, 7])
def test_one_consumer_handles_items_in_the_order_of_the_source(maxsize: int) -> None:
    handled: list[int] = []
    consume(iter(range(100)), handled.append, consumers=1, maxsize=maxsize)
    assert handled == list(range(100))


def test_a_source_may_be_a_function_that_returns_one() -> None:
    handled: list[int] = []

    def source() -> Iterator[int]:
        yield from (1, 2, 3)

    consume(source, handled.append)
    assert sorted(handled) == [1, 2, 3]


def test_the_source_is_iterated_over_in_the_calling_thread_and_handlers_run_in_others() -> None:
    places: list[tuple[str, threading.Thread]] = []

    def source() -> Iterator[int]:
        places.append(("source", threading.current_thread()))
        yield 1

    consume(source, lambda item: places.append(("handler", threading.current_thread())))
    (_, in_source), (_, in_handler) = places
    assert in_source is threading.current_thread()
    assert in_handler.name.startswith("Consumer-")


def test_all_consumers_work_at_the_same_time() -> None:
    together = threading.Barrier(4)
    summary = consume(range(4), lambda item: together.wait(PATIENCE), consumers=4)
    assert [one.items for one in summary.per_consumer] == [1, 1, 1, 1]


def test_the_source_runs_no_further_ahead_than_the_bound() -> None:
    taken, handled, ahead = 0, [], []

    def source() -> Iterator[int]:
        nonlocal taken
        for item in range(200):
            taken += 1
            ahead.append(taken - len(handled))
            yield item

    consume(source(), handled.append, consumers=2, maxsize=5)
    assert max(ahead) <= 5 + 2 + 1  # waiting, in hand, and the one that waits for room
    assert len(handled) == 200


def test_a_handler_may_consume_too() -> None:
    total: list[int] = []
    consume(range(3), lambda item: consume(range(item), total.append))
    assert sorted(total) == [0, 0, 1]


def test_nothing_refers_to_the_items_when_the_run_is_over() -> None:
    things = [Thing() for _ in range(10)]
    seen = [weakref.ref(thing) for thing in things]
    consume(things, lambda item: None)
    del things
    assert [reference() for reference in seen] == [None] * 10


def test_no_item_lives_on_while_the_source_waits_and_the_consumers_do() -> None:
    dropped = threading.Event()

    def source() -> Iterator[Thing]:
        item = Thing()
        weakref.finalize(item, dropped.set)
        yield item
        del item
        assert dropped.wait(PATIENCE)

    assert consume(source, lambda item: None).items == 1


# ---- failures ----


def refuse(*bad: int) -> Callable[[int], None]:
    def handler(item: int) -> None:
        if item in bad:
            raise ValueError(f"bad item {item}")

    return handler


def test_a_failure_is_raised_as_itself_with_the_items_number_and_the_handlers_frame() -> None:
    with pytest.raises(ValueError, match="bad item 70") as caught:
        consume(range(0, 1000, 10), refuse(70))
    assert caught.value.__notes__ == ["while handling item 8: 70"]
    assert "handler" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert threads() == set()


def test_nothing_is_begun_after_the_first_failure() -> None:
    begun: list[int] = []

    def handler(item: int) -> None:
        begun.append(item)
        refuse(3)(item)

    with pytest.raises(ValueError, match="bad item 3"):
        consume(range(1_000_000_000_000), handler, consumers=1, maxsize=3)
    assert begun == [0, 1, 2, 3]


def test_waiting_items_are_dropped_when_a_handler_fails_after_the_end_of_the_source() -> None:
    begun: list[int] = []
    source_ended = threading.Event()

    def source() -> Iterator[int]:
        yield from range(10)
        source_ended.set()

    def handler(item: int) -> None:
        begun.append(item)
        source_ended.wait(PATIENCE)
        refuse(0)(item)

    with pytest.raises(ValueError, match="bad item 0"):
        consume(source(), handler, consumers=1, maxsize=0)
    assert begun == [0]


def test_handlers_that_run_come_to_their_end_before_the_failure_is_raised() -> None:
    all_run, handled = threading.Barrier(3), []

    def handler(item: int) -> None:
        all_run.wait(PATIENCE)
        refuse(0)(item)
        eventually(lambda: len(threads()) < 3)  # the one that failed is gone
        handled.append(item)

    with pytest.raises(ValueError, match="bad item 0"):
        consume(range(100), handler, consumers=3)
    assert sorted(handled) == [1, 2]


def test_several_failures_are_one_group_that_names_each_item() -> None:
    all_run = threading.Barrier(3)

    def handler(item: int) -> None:
        all_run.wait(PATIENCE)
        refuse(0, 1, 2)(item)

    with pytest.raises(ExceptionGroup) as caught:
        consume(range(100), handler, consumers=3)
    errors = sorted(caught.value.exceptions, key=str)
    assert [str(error) for error in errors] == ["bad item 0", "bad item 1", "bad item 2"]
    assert [error.__notes__ for error in errors] == [[f"while handling item {n + 1}: {n}"] for n in range(3)]


def test_a_handler_that_exits_stops_all_and_exits() -> None:
    with pytest.raises(SystemExit, match="3"):
        consume(range(100), lambda item: sys.exit(3), consumers=1)


def test_an_exit_among_several_failures_makes_a_base_group() -> None:
    all_run = threading.Barrier(2)

    def handler(item: int) -> None:
        all_run.wait(PATIENCE)
        if item:
            sys.exit(3)
        refuse(0)(item)

    with pytest.raises(BaseExceptionGroup) as caught:
        consume(range(100), handler, consumers=2)
    assert {type(error) for error in caught.value.exceptions} == {SystemExit, ValueError}


def before(monkeypatch: pytest.MonkeyPatch, method: str, action: Callable[[], object]) -> None:
    """Do something before a method of the run is called."""
    original = getattr(consume_module.Run, method)

    def method_and_more(run: Any, *arguments: object) -> object:
        action()
        return original(run, *arguments)

    monkeypatch.setattr(consume_module.Run, method, method_and_more)


def test_a_generator_is_closed_after_a_failure_and_after_the_handlers_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    both_run, waits = threading.Barrier(2), threading.Event()
    before(monkeypatch, "_wait", waits.set)

    def source() -> Iterator[int]:
        try:
            yield from iter(int, 1)  # for ever
        finally:
            events.append("source closed")

    def handler(item: int) -> None:
        if both_run.wait(PATIENCE):
            raise ValueError
        waits.wait(PATIENCE / 2)
        events.append("handler ended")

    with pytest.raises(ValueError):
        consume(source(), handler, consumers=2, maxsize=2)
    assert events == ["handler ended", "source closed"]


def test_a_source_that_is_not_a_generator_is_left_open(tmp_path: Any) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n")
    with path.open() as lines:
        with pytest.raises(ZeroDivisionError):
            consume(lines, lambda line: 1 // 0, consumers=1)
        assert not lines.closed


def test_a_source_that_fails_drops_what_waits_and_its_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, stopped = [], threading.Event()
    before(monkeypatch, "_wait", stopped.set)

    def source() -> Iterator[int]:
        yield from range(4)
        eventually(lambda: begun)
        raise LookupError("no more")

    def handler(item: int) -> None:
        begun.append(item)
        stopped.wait(PATIENCE)

    with pytest.raises(LookupError, match="no more") as caught:
        consume(source, handler, consumers=1)
    assert begun == [0]
    assert caught.value.__notes__ == ["after item 4 of the source"]


def test_a_source_whose_error_refuses_notes_is_raised_all_the_same() -> None:
    class Proud(Exception):
        def add_note(self, note: str) -> None:
            raise TypeError("no notes")

    def source() -> Iterator[int]:
        yield 1
        raise Proud

    with pytest.raises(Proud):
        consume(source, lambda item: None)


def test_failures_of_source_and_handler_are_one_group() -> None:
    handler_failed = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        handler_failed.wait(PATIENCE)
        raise LookupError("no more")

    def handler(item: int) -> None:
        handler_failed.set()
        refuse(0)(item)

    with pytest.raises(ExceptionGroup) as caught:
        consume(source, handler)
    assert {type(error) for error in caught.value.exceptions} == {LookupError, ValueError}


def test_a_source_whose_closing_fails_is_reported_with_the_failure() -> None:
    def source() -> Iterator[int]:
        try:
            yield from iter(int, 1)
        finally:
            raise LookupError("cannot close")

    with pytest.raises(ExceptionGroup) as caught:
        consume(source, refuse(0), maxsize=1)
    kinds = {type(error) for error in caught.value.exceptions}
    assert kinds == {ValueError, LookupError}


def test_a_source_that_cannot_begin_raises_its_error() -> None:
    def source() -> Iterator[int]:
        raise PermissionError("not yours")

    with pytest.raises(PermissionError, match="not yours") as caught:
        consume(source, print)
    assert not hasattr(caught.value, "__notes__")


def test_a_shutdown_of_another_queue_in_the_source_or_handler_is_a_failure() -> None:
    other = headrace.Queue()
    other.shutdown()
    with pytest.raises(headrace.ShutDown):
        consume(iter(other.get, None), print)
    with pytest.raises(headrace.ShutDown):
        consume([1], other.put)


def test_a_thread_that_cannot_be_started_leaves_no_other_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    only_two_threads_start(monkeypatch)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        consume(range(10), print, consumers=5)
    assert threads() == set()


def test_nothing_refers_to_the_items_once_the_exception_is_dropped() -> None:
    things = [Thing() for _ in range(10)]
    seen = [weakref.ref(thing) for thing in things]

    def fail(item: Thing) -> None:
        raise ValueError

    try:
        consume(things, fail, consumers=1)
    except ValueError:
        pass
    del things
    assert [reference() for reference in seen] == [None] * 10


def test_a_run_that_failed_is_gone_with_its_exception_without_the_collector() -> None:
    import gc

    seen: list[weakref.ref[object]] = []

    class Handler:
        def __call__(self, item: int) -> None:
            raise ValueError

    def attempt() -> None:
        handler = Handler()
        seen.append(weakref.ref(handler))
        try:
            consume(range(10), handler, consumers=1)
        except ValueError:
            pass

    gc.disable()
    try:
        attempt()
        eventually(lambda: seen[0]() is None)
    finally:
        gc.enable()


# ---- Ctrl-C ----


@pytest.mark.skipif(sys.gettrace() is not None, reason="another tracer is at work")
@pytest.mark.parametrize("bad", [(), (5,)], ids=["going well", "failing"])
def test_ctrl_c_at_any_line_stops_all_closes_the_source_and_leaves_no_thread(bad: tuple[int, ...]) -> None:
    def run(source: Iterator[int]) -> None:
        consume(source, refuse(*bad), consumers=2, maxsize=2)

    assert interrupted_at_each_line(run, consume_module, run_module, fails=bool(bad), threads=threads) > 50


PROGRAM = """
import os, threading, time
import headrace

source_ended = threading.Event()

def busy(item):
    if item == SAYS_BUSY_AT:
        WAIT
        os.write(1, b"busy\\n")
    time.sleep(60)

def source():
    try:
        SOURCE
    finally:
        os.write(1, b"closed\\n")
        source_ended.set()

headrace.consume(source(), busy, consumers=2, maxsize=1)
"""


INTERRUPTED_WHILE = {
    "the source waits": {"SAYS_BUSY_AT": "0", "WAIT": "pass", "SOURCE": "yield 0; time.sleep(60)"},
    "the queue is full": {"SAYS_BUSY_AT": "1", "WAIT": "pass", "SOURCE": "yield from range(10**12)"},
    "handlers end": {"SAYS_BUSY_AT": "1", "WAIT": "source_ended.wait()", "SOURCE": "yield from range(2)"},
}


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("moment", INTERRUPTED_WHILE)
def test_ctrl_c_ends_a_program_whose_handlers_would_take_a_minute(moment: str) -> None:
    program = functools.reduce(lambda text, pair: text.replace(*pair), INTERRUPTED_WHILE[moment].items(), PROGRAM)
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        said = [child.stdout.readline()]
        while said[-1] not in ("busy\n", ""):
            said.append(child.stdout.readline())
        eventually(lambda: main_thread_sleeps(child.pid))
        child.send_signal(signal.SIGINT)
        try:
            output, errors = child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
    assert sorted([*said, *output.splitlines(keepends=True)]) == ["busy\n", "closed\n"]
    assert child.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_ctrl_c_waits_for_a_handler_that_is_about_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, waits, handled = threading.Event(), threading.Event(), []
    before(monkeypatch, "_wait", waits.set)
    monkeypatch.setattr(run_module, "GRACE", PATIENCE)

    def handler(item: int) -> None:
        begun.set()
        waits.wait(PATIENCE)
        handled.append(item)

    def source() -> Iterator[int]:
        yield 1
        begun.wait(PATIENCE)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume(source(), handler, consumers=1)
    assert handled == [1]


@pytest.mark.parametrize("second_comes_before", ["_give_up", "_wait", "_close_source"])
def test_a_second_ctrl_c_leaves_no_thread_waiting_either(
    second_comes_before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def source() -> Iterator[int]:
        yield 1
        before(monkeypatch, second_comes_before, interrupt)
        raise KeyboardInterrupt

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume(source(), lambda item: None)
    eventually(lambda: not threads())


def test_failures_before_a_ctrl_c_are_notes_and_do_not_hide_it() -> None:
    failed = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        failed.wait(PATIENCE)
        eventually(lambda: len(threads()) < 3)  # the one that failed is gone
        raise KeyboardInterrupt

    def handler(item: int) -> None:
        failed.set()
        refuse(0)(item)

    with pytest.raises(KeyboardInterrupt) as caught:
        consume(source(), handler)
    (note,) = caught.value.__notes__
    assert "ValueError('bad item 0')" in note


# ---- progress ----

CONSUMING = "import headrace; print(headrace.consume(range(10), lambda item: None, progress=True).items)"
WITHOUT_RICH = "import sys; sys.modules['rich'] = None; " + CONSUMING


def on_terminal(program: str) -> tuple[int, str]:
    """Exit status of a program, and what it shows on a terminal that is its stderr."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    shown = b""
    with child:
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not read:
                break
            shown += read
    os.close(ours)
    return child.returncode, shown.decode()


def test_progress_is_shown_on_a_terminal() -> None:
    status, shown = on_terminal(CONSUMING)
    assert status == 0
    assert "consuming" in shown
    assert "10/10" in shown


def test_progress_on_a_terminal_counts_a_source_whose_length_nobody_knows() -> None:
    status, shown = on_terminal(CONSUMING.replace("range(10)", "(item for item in range(10))"))
    assert status == 0
    assert "10/10" in shown


def test_progress_without_a_terminal_is_nothing_and_needs_nothing() -> None:
    ended = subprocess.run([sys.executable, "-c", WITHOUT_RICH], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "10\n", "")


def test_progress_without_rich_says_what_to_install() -> None:
    status, shown = on_terminal(WITHOUT_RICH)
    assert status == 1
    assert "pip install 'headrace[cli]'" in shown.replace("\r\n", "")


# ---- what is refused ----


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ({"source": 7}, TypeError, "a source is an iterable.*not int: 7"),
        ({"handler": "print"}, TypeError, "handler must be a function of one item, not str: 'print'"),
        ({"consumers": 0}, ValueError, "consumers must be at least 1 .*not 0"),
        ({"consumers": 2.0}, TypeError, "consumers must be a whole number .*not float: 2.0"),
        ({"consumers": True}, TypeError, "consumers must be a whole number .*not bool: True"),
        ({"maxsize": -1}, ValueError, "maxsize must be at least 0 .*not -1"),
        ({"maxsize": None}, TypeError, "maxsize must be a whole number .*not NoneType"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        consume(**{"source": [], "handler": print, **arguments})


def test_a_source_is_not_touched_when_another_argument_is_refused() -> None:
    touched: list[int] = []
    with pytest.raises(ValueError):
        consume(lambda: touched.append(1) or [], print, consumers=0)
    assert touched == []


# ---- the summary ----

THREE = (ConsumerSummary("Consumer-1", 4), ConsumerSummary("Consumer-2", 3), ConsumerSummary("Consumer-3", 3))


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (
            Summary(10, 0, 2.1302, THREE),
            "10 items in 2.13 s (4.69 items/s) by 3 consumers: Consumer-1 4, Consumer-2 3, Consumer-3 3",
        ),
        (Summary(1, 0, 0.5, THREE[:1]), "1 item in 0.500 s (2.00 items/s) by 1 consumer: Consumer-1 4"),
        (
            Summary(1_500_000, 2, 1000.4, tuple(ConsumerSummary(f"Consumer-{n}", n * 1000) for n in range(1, 65))),
            "1,500,000 items, 2 failed, in 1,000 s (1,499 items/s) by 64 consumers: 1,000 to 64,000 each",
        ),
        (Summary(0, 0, 0.00012, ()), "0 items in 0.000120 s (0.00 items/s) by 0 consumers: "),
    ],
)
def test_a_summary_is_a_line_of_text(summary: Summary, text: str) -> None:
    assert str(summary) == text


def test_a_summary_counts_what_each_consumer_did() -> None:
    summary = consume(range(100), lambda item: None, consumers=2)
    assert [one.name for one in summary.per_consumer] == ["Consumer-1", "Consumer-2"]
    assert sum(one.items for one in summary.per_consumer) == summary.items == 100
    assert summary.items_per_second == pytest.approx(100 / summary.seconds)


def test_a_summary_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Summary(1, 0, 1.0, ()).items = 2  # type: ignore[misc]
