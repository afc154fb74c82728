"""The ready-made listeners, fed with events by hand: what they write, draw, count and trace."""

import io
import json
import logging
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from opentelemetry import propagate, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry, Counter, generate_latest

import headrace
from headrace.consumers.events import Dispatch, Event
from headrace.listeners import LogListener, OpenTelemetryListener, ProgressListener, PrometheusListener


def event(kind: str, **fields: object) -> Event:
    given: dict[str, object] = {"queue": "mail", "consumer": "Consumer-1", "item": "x", "id": 7, "attempt": 1}
    if kind == "put":
        given.update(consumer="", id=None, attempt=0)
    if kind == "stopped":
        given.update(item=None, id=None, attempt=0)
    if kind in ("done", "retried", "dead"):
        given.update(seconds=0.25)
    if kind in ("retried", "dead"):
        given.update(error=ValueError("no such host"))
    if kind == "retried":
        given.update(delay=1.5)
    return Event(kind, **{**given, "time": time.time(), **fields})


def pool(name: str | None = "mail", queue: object = None) -> SimpleNamespace:
    return SimpleNamespace(name=name, queue=headrace.Queue() if queue is None else queue)


# --- the log ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, list[logging.LogRecord]]]:
    records: list[logging.LogRecord] = []
    logger = logging.getLogger("test_listeners")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    yield logger, records
    logger.removeHandler(handler)


Log = tuple[logging.Logger, list[logging.LogRecord]]


def test_each_event_is_one_line_of_pairs(log: Log) -> None:
    logger, records = log
    listener = LogListener(logger)
    for kind in ("put", "started", "done", "retried", "dead", "stopped"):
        listener(event(kind))
    error = "error=\"ValueError('no such host')\""
    assert [record.getMessage() for record in records] == [
        "put queue=mail item='x'",
        "started queue=mail consumer=Consumer-1 id=7 attempt=1 item='x'",
        "done queue=mail consumer=Consumer-1 id=7 attempt=1 seconds=0.25 item='x'",
        f"retried queue=mail consumer=Consumer-1 id=7 attempt=1 seconds=0.25 delay=1.5 {error} item='x'",
        f"dead queue=mail consumer=Consumer-1 id=7 attempt=1 seconds=0.25 {error} item='x'",
        "stopped queue=mail consumer=Consumer-1",
    ]


def test_levels_say_how_bad_it_is_and_failures_bring_their_traceback(log: Log) -> None:
    logger, records = log
    listener = LogListener(logger)
    for kind in ("put", "started", "done", "stopped", "retried", "dead"):
        listener(event(kind))
    levels = [logging.DEBUG, logging.DEBUG, logging.INFO, logging.INFO, logging.WARNING, logging.ERROR]
    assert [record.levelno for record in records] == levels
    assert [bool(record.exc_info) for record in records] == [False] * 4 + [True] * 2


def test_a_json_formatter_finds_the_fields_in_the_record(log: Log) -> None:
    logger, records = log
    LogListener(logger)(event("retried", item={"to": "anna"}, attempt=2))
    (record,) = records
    names = ("event", "queue", "consumer", "item_id", "attempt", "seconds", "delay", "error", "item")
    assert json.loads(json.dumps({name: vars(record)[name] for name in names})) == {
        "event": "retried",
        "queue": "mail",
        "consumer": "Consumer-1",
        "item_id": 7,
        "attempt": 2,
        "seconds": 0.25,
        "delay": 1.5,
        "error": "ValueError('no such host')",
        "item": "{'to': 'anna'}",
    }


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ("100% sure %s", "\"'100% sure %s'\""),
        ("two\nlines", "'two\\nlines'"),
        ('he said "no"', json.dumps("'he said \"no\"'")),
        ("ünïcödé", "'ünïcödé'"),
    ],
)
def test_no_item_breaks_the_line(log: Log, item: object, shown: str) -> None:
    logger, records = log
    LogListener(logger)(event("done", item=item))
    assert records[0].getMessage().endswith(f" item={shown}")
    assert "\n" not in records[0].getMessage()


def test_a_huge_item_is_cut_and_a_bad_repr_is_survived(log: Log) -> None:
    class Bad:
        def __repr__(self) -> str:
            raise ValueError

    logger, records = log
    listener = LogListener(logger)
    listener(event("done", item="x" * 1_000_000))
    listener(event("done", item=Bad()))
    assert len(records[0].getMessage()) < 400
    assert 'item="<Bad instance at ' in records[1].getMessage()


def test_a_level_that_is_off_costs_no_line(log: Log) -> None:
    logger, records = log
    logger.setLevel(logging.WARNING)
    listener = LogListener(logger)
    listener(event("done"))
    assert records == []
    LogListener(logger, level=logging.ERROR)(event("done"))
    assert [record.levelno for record in records] == [logging.ERROR]


def test_puts_and_starts_are_wanted_only_where_they_are_seen(log: Log) -> None:
    logger, _ = log
    assert Dispatch([LogListener(logger)]).wants("put")
    logger.setLevel(logging.INFO)
    dispatch = Dispatch([LogListener(logger)])
    assert [kind for kind in ("put", "started", "done", "stopped") if dispatch.wants(kind)] == ["done", "stopped"]


def test_the_log_is_headraces_own_unless_another_is_given(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="headrace"):
        LogListener()(event("done"))
    assert [record.name for record in caplog.records] == ["headrace"]


# --- progress --------------------------------------------------------------------------------------------------------


class FakeTerminal(io.StringIO):
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._monkeypatch = monkeypatch

    def isatty(self) -> bool:
        return True

    def plug_in(self) -> None:
        """Make this stderr. By the test itself: pytest sets its own between fixtures and test."""
        self._monkeypatch.setattr(sys, "stderr", self)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return FakeTerminal(monkeypatch)


def last_line(screen: FakeTerminal) -> str:
    from rich.text import Text

    lines = [Text.from_ansi(line).plain for line in screen.getvalue().splitlines()]
    return " ".join([line for line in lines if line.strip()][-1].split())


def drawing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "headrace-progress"]


def test_progress_says_what_was_done_and_what_is_left(terminal: FakeTerminal) -> None:
    terminal.plug_in()
    queue: headrace.Queue[int] = headrace.Queue()
    queue.put_many(range(10))
    listener = ProgressListener()
    listener.start(pool(queue=queue))
    for kind in ("done", "done", "retried", "dead"):
        listener(event(kind))
    for _ in range(3):
        queue.get()
        queue.task_done()
    listener.stop()
    line = last_line(terminal)
    assert line.startswith("mail ")
    assert "3/10" in line
    assert line.endswith("1 failed, 1 retried, 7 waiting")
    assert drawing_threads() == []


def test_progress_gives_the_terminal_back(terminal: FakeTerminal) -> None:
    terminal.plug_in()
    listener = ProgressListener()
    listener.start(pool())
    listener.stop()
    screen = terminal.getvalue()
    assert screen.count("\x1b[?25l") == screen.count("\x1b[?25h") == 1  # the cursor, hidden and shown
    assert sys.stderr is terminal


def test_pools_that_share_a_listener_have_a_line_each(terminal: FakeTerminal) -> None:
    terminal.plug_in()
    listener = ProgressListener()
    listener.start(pool("first"))
    listener.start(pool("second"))
    assert len(drawing_threads()) == 1
    listener(event("done", queue="first"))
    listener(event("dead", queue="second"))
    listener.stop()
    assert len(drawing_threads()) == 1
    listener.stop()
    assert "first" in terminal.getvalue()
    assert last_line(terminal).startswith("second ")
    assert last_line(terminal).endswith("1 failed")


def test_pools_of_the_same_name_are_added_up(terminal: FakeTerminal) -> None:
    terminal.plug_in()
    listener = ProgressListener()
    for count in (2, 3):
        queue: headrace.Queue[int] = headrace.Queue()
        queue.put_many(range(count))
        listener.start(pool(queue=queue))
        listener(event("done"))
    for _ in range(2):
        listener.stop()
    assert "2/7" in last_line(terminal)
    assert last_line(terminal).endswith("5 waiting")


def test_a_listener_can_be_used_for_one_pool_after_another(terminal: FakeTerminal) -> None:
    terminal.plug_in()
    listener = ProgressListener()
    for name in ("first", "second"):
        listener.start(pool(name))
        listener(event("done", queue=name))
        listener.stop()
    assert last_line(terminal).startswith("second ")
    assert [row.name for row in listener.rows()] == []


def test_progress_draws_nothing_where_there_is_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    listener = ProgressListener()
    listener.start(pool())
    listener(event("done"))
    assert drawing_threads() == []
    listener.stop()
    assert screen.getvalue() == ""


def test_a_closed_or_missing_stderr_is_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stderr in (None, closed):
        monkeypatch.setattr(sys, "stderr", stderr)
        listener = ProgressListener()
        listener.start(pool())
        assert drawing_threads() == []
        listener.stop()


def test_a_terminal_that_goes_away_ends_the_progress_and_nothing_else(
    terminal: FakeTerminal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: str) -> int:
        raise BrokenPipeError

    terminal.plug_in()
    listener = ProgressListener()
    dispatch = Dispatch([listener])
    dispatch.start(pool())
    monkeypatch.setattr(terminal, "write", broken)
    monkeypatch.setattr(sys.modules["headrace.listeners.rich_screens"].TerminalScreen, "interval", 0.001)
    (drawing,) = drawing_threads()
    drawing.join(10)
    dispatch.emit(event("done"))
    dispatch.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "progress cannot be shown any more: the pool goes on without it"
    ]


def test_a_queue_that_cannot_be_asked_is_drawn_without_what_it_knows(terminal: FakeTerminal) -> None:
    terminal.plug_in()
    listener = ProgressListener()
    listener.start(pool(queue=object()))
    listener(event("done"))
    listener.stop()
    assert "1/?" in last_line(terminal)


def test_progress_is_seen_on_a_real_terminal_and_prints_scroll_by_above_it() -> None:
    code = """
import headrace
from types import SimpleNamespace
from headrace.consumers.events import Event
from headrace.listeners import ProgressListener
queue = headrace.Queue(); queue.put_many(range(4))
listener = ProgressListener()
listener.start(SimpleNamespace(name="mail", queue=queue))
for n in queue.get_many(4):
    print("handled", n)
    listener(Event("done", "mail", "Consumer-1", n, n, 1, 0.0, 0.1))
    queue.task_done()
listener.stop()
"""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment) as child:
        os.close(theirs)
        seen = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how a pseudo-terminal says that the other side is gone
                break
            if not chunk:
                break
            seen += chunk
        os.close(ours)
        assert child.wait(30) == 0
    text = seen.decode()
    assert [f"handled {n}\r\n" in text for n in range(4)] == [True] * 4
    assert "4/4" in text.splitlines()[-2] + text.splitlines()[-1]


# --- Prometheus ------------------------------------------------------------------------------------------------------


def scraped(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_prometheus_counts_by_outcome_and_times_the_handler() -> None:
    registry = CollectorRegistry()
    listener = PrometheusListener(registry)
    for kind in ("done", "done", "retried", "dead"):
        listener(event(kind))
    values = scraped(registry)
    assert values['headrace_items_total{outcome="done",queue="mail"}'] == 2
    assert values['headrace_items_total{outcome="retried",queue="mail"}'] == 1
    assert values['headrace_items_total{outcome="dead",queue="mail"}'] == 1
    assert values['headrace_handler_duration_seconds_count{queue="mail"}'] == 4
    assert values['headrace_handler_duration_seconds_sum{queue="mail"}'] == 1.0
    assert values['headrace_handler_duration_seconds_bucket{le="0.1",queue="mail"}'] == 0
    assert values['headrace_handler_duration_seconds_bucket{le="0.25",queue="mail"}'] == 4


def test_prometheus_asks_the_queue_when_it_is_scraped_while_the_pool_is_entered() -> None:
    registry = CollectorRegistry()
    listener = PrometheusListener(registry)
    queue: headrace.Queue[int] = headrace.Queue()
    listener.start(pool(queue=queue))
    assert scraped(registry)['headrace_items_waiting{queue="mail"}'] == 0
    queue.put_many(range(5))
    queue.get()
    values = scraped(registry)
    assert values['headrace_items_waiting{queue="mail"}'] == 4
    assert values['headrace_items_unfinished{queue="mail"}'] == 5
    assert values['headrace_items_put_total{queue="mail"}'] == 5
    listener.stop()
    assert not [name for name in scraped(registry) if name.startswith("headrace_items_waiting")]


def test_prometheus_shows_what_is_delayed_leased_and_dead() -> None:
    stats = SimpleNamespace(waiting=1, delayed=2, leased=3, unfinished=6, dead=4, put_total=10)
    registry = CollectorRegistry()
    listener = PrometheusListener(registry)
    listener.start(pool(queue=SimpleNamespace(stats=lambda: stats)))
    values = scraped(registry)
    fields = ("waiting", "delayed", "leased", "unfinished", "dead")
    assert [values[f'headrace_items_{field}{{queue="mail"}}'] for field in fields] == [1, 2, 3, 6, 4]


def one_listener_for_both(registry: CollectorRegistry) -> list[PrometheusListener]:
    return [PrometheusListener(registry)] * 2


def one_listener_each(registry: CollectorRegistry) -> list[PrometheusListener]:
    return [PrometheusListener(registry), PrometheusListener(registry)]


@pytest.mark.parametrize("listeners", [one_listener_for_both, one_listener_each])
def test_two_pools_share_a_registry(listeners: Callable[[CollectorRegistry], list[PrometheusListener]]) -> None:
    registry = CollectorRegistry()
    for number, listener in enumerate(listeners(registry), start=1):
        queue: headrace.Queue[int] = headrace.Queue()
        queue.put_many(range(number))
        listener.start(pool(f"pool-{number}", queue))
        listener(event("done", queue=f"pool-{number}"))
    values = scraped(registry)
    assert [values[f'headrace_items_waiting{{queue="pool-{n}"}}'] for n in (1, 2)] == [1, 2]
    assert [values[f'headrace_items_total{{outcome="done",queue="pool-{n}"}}'] for n in (1, 2)] == [1, 1]


def test_queues_of_the_same_name_are_added_up_and_one_queue_is_counted_once() -> None:
    registry = CollectorRegistry()
    shared: headrace.Queue[int] = headrace.Queue()
    shared.put_many(range(3))
    other: headrace.Queue[int] = headrace.Queue()
    other.put(1)
    for queue in (shared, shared, other):
        PrometheusListener(registry).start(pool(None, queue))
    assert scraped(registry)['headrace_items_waiting{queue="queue"}'] == 4


def test_a_queue_that_fails_leaves_the_rest_of_the_scrape_alone() -> None:
    registry = CollectorRegistry()
    listener = PrometheusListener(registry)
    listener.start(pool("bad", queue=SimpleNamespace(stats=lambda: 1 / 0)))
    listener.start(pool("good"))
    Counter("others", "Of the program.", registry=registry).inc()
    values = scraped(registry)
    assert values["others_total"] == 1
    assert values['headrace_items_waiting{queue="good"}'] == 0
    assert 'headrace_items_waiting{queue="bad"}' not in values


def test_a_namespace_of_its_own_and_a_clash_of_names_is_refused() -> None:
    registry = CollectorRegistry()
    PrometheusListener(registry, namespace="shop")(event("done"))
    assert scraped(registry)['shop_items_total{outcome="done",queue="mail"}'] == 1
    Counter("taken_items", "Of the program.", registry=registry)
    with pytest.raises(ValueError, match="taken_items"):
        PrometheusListener(registry, namespace="taken")


# --- OpenTelemetry ---------------------------------------------------------------------------------------------------


class Telemetry:
    """A listener whose spans and metrics stay here."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider(metric_readers=[self.reader])
        self.listener = OpenTelemetryListener(self.tracers, self.meters)
        self.listener.start(pool("mail"))

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def metrics(self) -> dict[str, list[object]]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def test_a_handlers_span_links_to_the_span_of_its_put(telemetry: Telemetry) -> None:
    listener = telemetry.listener
    with telemetry.tracers.get_tracer("program").start_as_current_span("request") as request:
        headers = listener.on_put("x")
    assert trace.get_current_span(propagate.extract(headers)).get_span_context().is_valid
    listener(event("started", headers=headers))
    listener(event("done", headers=headers))
    spans = telemetry.spans()
    put, handled = spans["send mail"], spans["process mail"]
    assert put.kind is SpanKind.PRODUCER
    assert put.parent is not None
    assert put.parent.span_id == request.get_span_context().span_id
    assert handled.kind is SpanKind.CONSUMER
    assert handled.parent is None
    assert [link.context.span_id for link in handled.links] == [put.get_span_context().span_id]
    assert [link.context.trace_id for link in handled.links] == [request.get_span_context().trace_id]


def test_headers_are_the_w3cs_traceparent(telemetry: Telemetry) -> None:
    assert len(telemetry.listener.on_put("x")["traceparent"].split("-")) == 4


def test_spans_have_the_attributes_of_the_conventions(telemetry: Telemetry) -> None:
    listener = telemetry.listener
    listener(event("started", headers=listener.on_put("x"), attempt=2))
    listener(event("done", attempt=2))
    spans = telemetry.spans()
    assert dict(spans["send mail"].attributes or {}) == {
        "messaging.system": "headrace",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "mail",
    }
    assert dict(spans["process mail"].attributes or {}) == {
        "messaging.system": "headrace",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": "7",
        "messaging.headrace.message.delivery_attempt": 2,
        "messaging.headrace.outcome": "done",
    }


def test_a_put_names_its_queue_only_while_there_is_one(telemetry: Telemetry) -> None:
    telemetry.listener.start(pool("other"))
    telemetry.listener.on_put("x")
    telemetry.listener.stop()
    telemetry.listener.on_put("x")
    telemetry.listener.stop()
    telemetry.listener.start(pool("other"))
    telemetry.listener.on_put("x")
    names = [span.name for span in telemetry.exporter.get_finished_spans()]
    assert names == ["send", "send", "send other"]


def test_spans_made_by_the_handler_are_children_of_its_span(telemetry: Telemetry) -> None:
    before = trace.get_current_span()
    telemetry.listener(event("started"))
    with telemetry.tracers.get_tracer("program").start_as_current_span("query"):
        pass
    telemetry.listener(event("done"))
    spans = telemetry.spans()
    assert spans["query"].parent is not None
    assert spans["query"].parent.span_id == spans["process mail"].get_span_context().span_id
    assert trace.get_current_span() is before


@pytest.mark.parametrize("kind", ["retried", "dead"])
def test_a_failure_is_in_the_span_and_in_the_metrics(telemetry: Telemetry, kind: str) -> None:
    telemetry.listener(event("started"))
    telemetry.listener(event(kind, error=headrace.Empty("nothing")))
    span = telemetry.spans()["process mail"]
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "headrace.errors.Empty"
    assert (span.attributes or {})["messaging.headrace.outcome"] == kind
    assert [one.name for one in span.events] == ["exception"]
    (point,) = telemetry.metrics()["messaging.process.duration"]
    assert point.attributes["error.type"] == "headrace.errors.Empty"  # type: ignore[attr-defined]


def test_the_metrics_are_those_of_the_conventions(telemetry: Telemetry) -> None:
    for identity in (1, 2):
        telemetry.listener(event("put"))
        telemetry.listener(event("started", id=identity))
        telemetry.listener(event("done", id=identity))
    metrics = telemetry.metrics()
    assert set(metrics) == {
        "messaging.client.sent.messages",
        "messaging.client.consumed.messages",
        "messaging.process.duration",
    }
    (sent,) = metrics["messaging.client.sent.messages"]
    (consumed,) = metrics["messaging.client.consumed.messages"]
    (duration,) = metrics["messaging.process.duration"]
    assert (sent.value, consumed.value) == (2, 2)  # type: ignore[attr-defined]
    assert (duration.count, duration.sum) == (2, 0.5)  # type: ignore[attr-defined]
    assert duration.explicit_bounds[0] == 0.005  # type: ignore[attr-defined]
    assert dict(consumed.attributes) == {  # type: ignore[attr-defined]
        "messaging.system": "headrace",
        "messaging.operation.name": "process",
        "messaging.destination.name": "mail",
    }


def test_an_item_that_is_written_off_by_another_thread_ends_its_span_there(telemetry: Telemetry) -> None:
    begun, written_off, checked = threading.Event(), threading.Event(), []

    def consumer() -> None:
        telemetry.listener(event("started"))
        begun.set()
        written_off.wait(30)
        telemetry.listener(event("started", id=8))  # the thread came back to life, and goes on
        checked.append(trace.get_current_span())
        telemetry.listener(event("done", id=8))
        checked.append(trace.get_current_span())

    thread = threading.Thread(target=consumer)
    thread.start()
    begun.wait(30)
    telemetry.listener(event("dead", error=TimeoutError("too slow")))
    assert telemetry.spans()["process mail"].status.status_code is StatusCode.ERROR
    written_off.set()
    thread.join()
    assert len(telemetry.exporter.get_finished_spans()) == 2
    assert checked[0].get_span_context().is_valid
    assert not checked[1].get_span_context().is_valid


def test_an_item_whose_end_nobody_told_ends_when_its_consumer_goes_on(telemetry: Telemetry) -> None:
    telemetry.listener(event("started", id=1))
    telemetry.listener(event("started", id=2))
    telemetry.listener(event("done", id=2))
    spans = telemetry.exporter.get_finished_spans()
    assert [(span.attributes or {})["messaging.message.id"] for span in spans] == ["1", "2"]
    assert [span.parent for span in spans] == [None, None]
    assert not trace.get_current_span().get_span_context().is_valid


def test_spans_that_are_left_behind_end_with_the_pool(telemetry: Telemetry) -> None:
    telemetry.listener(event("started"))
    assert telemetry.spans() == {}
    telemetry.listener.stop()
    assert list(telemetry.spans()) == ["process mail"]


def test_headers_that_name_no_span_make_no_link(telemetry: Telemetry) -> None:
    for number, headers in enumerate([None, {}, {"traceparent": "rubbish"}]):
        telemetry.listener(event("started", id=number, headers=headers))
        telemetry.listener(event("done", id=number))
    assert [span.links for span in telemetry.exporter.get_finished_spans()] == [(), (), ()]


def test_without_an_sdk_nothing_is_made_and_nothing_breaks() -> None:
    listener = OpenTelemetryListener()
    dispatch = Dispatch([listener])
    dispatch.start(pool())
    headers = dispatch.headers_for("x")
    for kind in ("put", "started", "done"):
        dispatch.emit(event(kind, headers=headers))
    dispatch.stop()


# --- what is not installed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listener", "module", "extra"),
    [
        ("PrometheusListener", "prometheus_client", "prometheus"),
        ("OpenTelemetryListener", "opentelemetry", "otel"),
    ],
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(listener: str, module: str, extra: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from headrace.listeners import {listener}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    last = ran.stderr.splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: {listener} needs ")
    assert last.endswith(f"pip install 'headrace[{extra}]'")


def test_progress_without_rich_says_so_on_a_terminal_and_is_silent_elsewhere() -> None:
    code = (
        "import sys; sys.modules['rich'] = sys.modules['rich.console'] = None\n"
        "from headrace.listeners import ProgressListener\n"
        "ProgressListener()\n"
        "sys.stderr.isatty = lambda: True\n"
        "try:\n    ProgressListener()\nexcept ModuleNotFoundError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'headrace[cli]'" in ran.stdout


def test_listeners_are_imported_when_they_are_asked_for() -> None:
    code = (
        "import sys, headrace.listeners as listeners\n"
        "print(sorted({'rich', 'opentelemetry', 'prometheus_client', 'logging'} & set(sys.modules)))\n"
        "print(set(listeners.__all__) <= set(dir(listeners)))\n"
        "try:\n    listeners.Missing\nexcept AttributeError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines() == ["[]", "True", "module 'headrace.listeners' has no attribute 'Missing'"]


# --- all of it, on a pool that works ---------------------------------------------------------------------------------


def work_on(queue: "headrace.Queue[int]", listeners: list[object]) -> None:
    """Handle twenty items, of which number 5 fails once and number 7 for good."""
    tried: set[int] = set()

    def handle(number: int) -> None:
        if number == 7 or (number == 5 and number not in tried):
            tried.add(number)
            raise ValueError(f"not {number}")

    retry = headrace.Retry(attempts=2, delay=0.001)
    with headrace.ConsumerPool(queue, handle, retry=retry, listeners=listeners, name="mail"):
        queue.put_many(range(20))


def test_a_pool_logs_each_failure_with_the_line_that_raised(log: Log) -> None:
    logger, records = log
    work_on(headrace.Queue(), [LogListener(logger)])
    kinds = [record.getMessage().split()[0] for record in records]
    assert {kind: kinds.count(kind) for kind in sorted(set(kinds))} == {
        "dead": 1,
        "done": 19,
        "put": 20,
        "retried": 2,
        "started": 22,
        "stopped": 3,
    }
    failed = [record for record in records if record.levelno >= logging.WARNING]
    formatter = logging.Formatter()
    assert all('raise ValueError(f"not {number}")' in formatter.format(record) for record in failed)


def test_a_pool_is_counted_by_prometheus() -> None:
    registry = CollectorRegistry()
    seen: list[float] = []

    def scrape(_: Event) -> None:
        seen.append(scraped(registry)['headrace_items_unfinished{queue="mail"}'])

    scrape.kinds = frozenset({"dead"})  # type: ignore[attr-defined]
    work_on(headrace.Queue(), [PrometheusListener(registry), scrape])
    values = scraped(registry)
    outcomes = {
        kind: values[f'headrace_items_total{{outcome="{kind}",queue="mail"}}'] for kind in ("done", "retried", "dead")
    }
    assert outcomes == {"done": 19, "retried": 2, "dead": 1}
    assert values['headrace_handler_duration_seconds_count{queue="mail"}'] == 22
    assert len(seen) == 1
    assert seen[0] >= 1
    assert 'headrace_items_unfinished{queue="mail"}' not in values


def test_each_attempt_in_a_pool_links_to_the_put_of_its_item(telemetry: Telemetry) -> None:
    telemetry.listener.stop()
    queue: headrace.Queue[int] = headrace.Queue()
    work_on(queue, [telemetry.listener])
    telemetry.listener.start(pool())
    spans = telemetry.exporter.get_finished_spans()
    puts = [span for span in spans if span.name == "send mail"]
    attempts = [span for span in spans if span.name == "process mail"]
    assert (len(puts), len(attempts)) == (20, 22)
    known = {span.get_span_context().span_id for span in puts}
    linked = [link.context.span_id for span in attempts for link in span.links]
    assert len(linked) == 22
    assert set(linked) == known
    (consumed,) = telemetry.metrics()["messaging.client.consumed.messages"]
    assert consumed.value == 22  # type: ignore[attr-defined]


def test_a_pool_shows_its_progress_to_the_end(terminal: FakeTerminal) -> None:
    terminal.plug_in()
    work_on(headrace.Queue(), [ProgressListener()])
    assert "20/20" in last_line(terminal)
    assert last_line(terminal).endswith("1 failed, 2 retried")


def test_all_listeners_at_once_are_told_the_same(log: Log, telemetry: Telemetry, terminal: FakeTerminal) -> None:
    terminal.plug_in()
    registry = CollectorRegistry()
    work_on(
        headrace.Queue(maxsize=3),
        [LogListener(log[0]), telemetry.listener, ProgressListener(), PrometheusListener(registry)],
    )
    assert sum(record.getMessage().startswith("done ") for record in log[1]) == 19
    assert scraped(registry)['headrace_items_total{outcome="done",queue="mail"}'] == 19
    assert "20/20" in last_line(terminal)
