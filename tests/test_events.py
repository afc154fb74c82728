"""Events reach those who want them, and nobody who listens can harm a pool."""

import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from headrace.consumers.events import KINDS, Dispatch, Event


def event(kind: str = "done", **fields: object) -> Event:
    given = {"queue": "mail", "consumer": "Consumer-1", "item": "x", "id": 1, "attempt": 1, "time": time.time()}
    return Event(kind, **{**given, **fields})


class Recorder:
    def __init__(self, kinds: frozenset[str] | None = None) -> None:
        if kinds is not None:
            self.kinds = kinds
        self.seen: list[object] = []

    def __call__(self, event: Event) -> None:
        self.seen.append(event.kind)


class WithLife(Recorder):
    def start(self, pool: object) -> None:
        self.seen.append(("start", pool))

    def stop(self) -> None:
        self.seen.append("stop")


def test_a_listener_without_kinds_hears_of_everything() -> None:
    listener = Recorder()
    dispatch = Dispatch([listener])
    for kind in sorted(KINDS):
        dispatch.emit(event(kind))
    assert listener.seen == sorted(KINDS)
    assert all(dispatch.wants(kind) for kind in KINDS)


def test_a_listener_hears_only_of_the_kinds_that_it_wants() -> None:
    listener, other = Recorder(frozenset({"dead"})), Recorder(frozenset({"done", "dead"}))
    dispatch = Dispatch([listener, other])
    for kind in sorted(KINDS):
        dispatch.emit(event(kind))
    assert listener.seen == ["dead"]
    assert other.seen == ["dead", "done"]
    assert [kind for kind in sorted(KINDS) if dispatch.wants(kind)] == ["dead", "done"]


def test_without_listeners_nothing_is_wanted() -> None:
    dispatch = Dispatch()
    assert not dispatch
    assert not any(dispatch.wants(kind) for kind in KINDS)
    assert dispatch.headers_for("x") is None
    dispatch.start(object())
    dispatch.emit(event())
    dispatch.stop()


def test_listeners_are_called_in_their_order_in_the_thread_of_the_event() -> None:
    calls: list[tuple[str, int]] = []
    dispatch = Dispatch(
        [lambda _: calls.append(("first", threading.get_ident())), lambda _: calls.append(("second", 0))]
    )
    thread = threading.Thread(target=dispatch.emit, args=(event(),))
    thread.start()
    thread.join()
    assert calls == [("first", thread.ident), ("second", 0)]


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_a_listener_raises_is_logged_once_and_hurts_nobody(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(_: Event) -> None:
        raise error

    listener = Recorder()
    dispatch = Dispatch([failing, listener])
    with ThreadPoolExecutor(1) as consumer:  # where events are told of, and where no signal raises anything
        for _ in range(3):
            consumer.submit(dispatch.emit, event()).result()
    assert listener.seen == ["done"] * 3
    (record,) = caplog.records
    assert record.name == "headrace"
    assert record.levelno == logging.ERROR
    assert "failing failed in the event 'done'" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_each_failing_listener_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    dispatch = Dispatch([lambda _: 1 / 0, lambda _: {}["x"]])
    for _ in range(3):
        dispatch.emit(event())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError, KeyError]


def test_a_listener_that_fails_in_many_threads_at_once_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    barrier = threading.Barrier(4)

    def failing(_: Event) -> None:
        barrier.wait()
        raise ValueError

    dispatch = Dispatch([failing])
    threads = [threading.Thread(target=dispatch.emit, args=(event(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caplog.records) == 1


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(143)], ids=repr)
def test_what_a_signal_raises_within_a_listener_is_not_taken_for_its_failure(raised: BaseException) -> None:
    def interrupted(_: object) -> None:
        raise raised

    tagging, starting = (lambda _: None), (lambda _: None)
    tagging.on_put = interrupted  # type: ignore[attr-defined]
    starting.start = interrupted  # type: ignore[attr-defined]
    with pytest.raises(type(raised)):
        Dispatch([interrupted]).emit(event())
    with pytest.raises(type(raised)):
        Dispatch([tagging]).headers_for("item")
    with pytest.raises(type(raised)):
        Dispatch([starting]).start(None)


def test_listeners_are_started_with_the_pool_and_stopped_in_the_opposite_order() -> None:
    order: list[str] = []

    def make(name: str) -> Recorder:
        listener = Recorder()
        listener.start = lambda pool: order.append(f"start {name} {pool}")  # type: ignore[attr-defined]
        listener.stop = lambda: order.append(f"stop {name}")  # type: ignore[attr-defined]
        return listener

    dispatch = Dispatch([make("a"), Recorder(), make("b")])
    dispatch.start("pool")
    dispatch.stop()
    dispatch.stop()
    assert order == ["start a pool", "start b pool", "stop b", "stop a"]


def test_a_listener_that_cannot_start_is_not_stopped_and_the_others_are(caplog: pytest.LogCaptureFixture) -> None:
    bad, good = WithLife(), WithLife()
    bad.start = lambda pool: 1 / 0  # type: ignore[method-assign,assignment]
    dispatch = Dispatch([bad, good])
    dispatch.start("pool")
    dispatch.stop()
    assert bad.seen == []
    assert good.seen == [("start", "pool"), "stop"]
    assert "WithLife failed in start()" in caplog.text


def tagging(function: Callable[[object], object]) -> Recorder:
    listener = Recorder(frozenset())
    listener.on_put = function  # type: ignore[attr-defined]
    return listener


def test_the_headers_of_all_listeners_travel_together() -> None:
    dispatch = Dispatch(
        [tagging(lambda item: {"a": str(item)}), tagging(lambda _: None), tagging(lambda _: {"b": "2"})]
    )
    assert dispatch.headers_for(7) == {"a": "7", "b": "2"}
    assert Dispatch([tagging(lambda _: None), tagging(lambda _: {})]).headers_for(7) is None


def test_a_listener_that_only_attaches_headers_wants_puts() -> None:
    dispatch = Dispatch([tagging(lambda _: {"a": "1"})])
    assert [kind for kind in KINDS if dispatch.wants(kind)] == ["put"]


def test_headers_that_fail_are_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    dispatch = Dispatch([tagging(lambda _: 1 / 0), tagging(lambda _: {"b": "2"}), tagging(lambda _: 3)])
    assert dispatch.headers_for(7) == {"b": "2"}
    assert dispatch.headers_for(7) == {"b": "2"}
    assert len(caplog.records) == 2


@pytest.mark.parametrize("listener", [3, "done", Recorder], ids=["number", "name", "class"])
def test_what_is_no_listener_is_refused(listener: object) -> None:
    with pytest.raises(TypeError, match="a listener is a function of one event"):
        Dispatch([listener])  # type: ignore[list-item]


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"'finished', which is no kind of event: use some of dead, done, put"):
        Dispatch([Recorder(frozenset({"done", "finished"}))])
    with pytest.raises(TypeError, match="a set of names, not a string"):
        Dispatch([Recorder("done")])  # type: ignore[arg-type]


def test_an_event_is_a_record_that_can_be_pickled() -> None:
    one = event("retried", error=None, delay=1.5)
    assert pickle.loads(pickle.dumps(one)) == one
    assert (one.kind, one.delay, one.headers, one.seconds) == ("retried", 1.5, None, None)


def test_events_bring_neither_typing_nor_logging_with_them() -> None:
    code = "import sys; import headrace.consumers.events; print(sorted({'typing', 'logging'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    before = subprocess.run(
        [sys.executable, "-c", code.replace(" import headrace.consumers.events;", "")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout == before.stdout
