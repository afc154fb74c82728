"""``OpenTelemetryListener``: spans that link the put of an item with its handling, and metrics.

Attributes, names and metrics are those of the semantic conventions for messaging,
https://opentelemetry.io/docs/specs/semconv/messaging/.
"""

from __future__ import annotations

import threading

from headrace.listeners.missing import needs

with needs("OpenTelemetryListener", "opentelemetry-api", extra="otel"):
    from opentelemetry import context, metrics, propagate, trace
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from headrace.consumers.events import Event

    Attributes = dict[str, str | int]
    Delivery = tuple[str, int | None, int]  # queue, id and attempt

__all__ = ["OpenTelemetryListener"]

# The boundaries that the conventions want for durations, in seconds.
BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class OpenTelemetryListener:
    """Makes a span for each put and one for each time that an item is handled, and the metrics that go with them.

    A put makes a PRODUCER span "send QUEUE", a child of what is current in the putting thread. Its context travels with
    the item as headers (the W3C's traceparent, or what else ``opentelemetry.propagate`` is set to). Each
    attempt at the item is a CONSUMER span "process QUEUE" with a link to it. Not its child: an item may wait for days
    and be tried many times. While the handler runs that span is current: spans that the handler makes are its children.

    The metrics are ``messaging.client.sent.messages``, ``messaging.client.consumed.messages`` and
    ``messaging.process.duration`` (seconds). QUEUE is the pool's name. Give each pool a listener of its own: spans
    of puts do not name the queue while one listener serves several. Safe to use from several threads.

    Args:
        tracer_provider: makes the spans; the program's global one when left out.
        meter_provider: makes the metrics, likewise.

    Raises:
        ModuleNotFoundError: opentelemetry-api is not installed (on import).
    """

    kinds = frozenset({"put", "started", "done", "retried", "dead"})

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        from headrace import __version__

        self._tracer = trace.get_tracer("headrace", __version__, tracer_provider)
        meter = metrics.get_meter("headrace", __version__, meter_provider)
        self._sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Number of messages producer attempted to send."
        )
        self._consumed = meter.create_counter(
            "messaging.client.consumed.messages", "{message}", "Number of messages delivered to the application."
        )
        self._duration = meter.create_histogram(
            "messaging.process.duration",
            "s",
            "Duration of processing operation.",
            explicit_bucket_boundaries_advisory=BOUNDARIES,
        )
        # Guards what follows; pools are entered and left, and items written off, by any thread.
        self._lock = threading.Lock()
        self._entered = 0
        # Of the pools since there was none: stop() does not say which one is left.
        self._names: set[str] = set()
        self._spans: dict[Delivery, Span] = {}
        # What the thread at hand handles: only in its own thread can a span be stopped from being current.
        self._here = threading.local()

    def start(self, pool: Any) -> None:
        """Keep the name of *pool*, for the spans of puts."""
        with self._lock:
            self._entered += 1
            self._names.add(getattr(pool, "name", None) or "queue")

    def stop(self) -> None:
        """Forget one pool, and end the spans of handlers that were left behind when it is the last."""
        with self._lock:
            self._entered -= 1
            if self._entered:
                return
            self._names.clear()
            left = list(self._spans)
        for delivery in left:
            self._finish(delivery)

    def on_put(self, item: object) -> dict[str, str]:
        """Make the span of a put, and return the headers that carry its context."""
        with self._lock:
            name = next(iter(self._names)) if len(self._names) == 1 else None
        attributes = described("send", name)
        with self._tracer.start_as_current_span(span_name(attributes), kind=SpanKind.PRODUCER, attributes=attributes):
            headers: dict[str, str] = {}
            propagate.inject(headers)
        return headers

    def __call__(self, event: Event) -> None:
        """Begin or end the span that *event* is about."""
        if event.kind == "put":
            self._sent.add(1, of_metric("send", event.queue))
        elif event.kind == "started":
            self._begin(event)
        else:
            self._end(event)

    def _begin(self, event: Event) -> None:
        """Begin the span of a handler, and make it current in this thread, which is the handler's."""
        delivery = event.queue, event.id, event.attempt
        before: Delivery | None = getattr(self._here, "delivery", None)
        if before is not None:  # whose end nobody was told of
            self._finish(before)
        attributes = described("process", event.queue)
        attributes["messaging.message.id"] = str(event.id)
        attributes["messaging.headrace.message.delivery_attempt"] = event.attempt
        span = self._tracer.start_span(
            span_name(attributes), kind=SpanKind.CONSUMER, attributes=attributes, links=links_to(event.headers)
        )
        with self._lock:
            self._spans[delivery] = span
        self._here.delivery = delivery
        self._here.token = context.attach(trace.set_span_in_context(span))
        self._consumed.add(1, of_metric("process", event.queue))

    def _end(self, event: Event) -> None:
        """End the span of a handler that has returned or raised, or was written off (then in another thread)."""
        attributes = of_metric("process", event.queue)
        if event.error is not None:
            attributes["error.type"] = type_name(event.error)
        if event.seconds is not None:
            self._duration.record(event.seconds, attributes)
        self._finish((event.queue, event.id, event.attempt), event.kind, event.error)

    def _finish(self, delivery: Delivery, outcome: str | None = None, error: BaseException | None = None) -> None:
        """End a span, if it has not ended before, and stop it from being current if it is that here."""
        if getattr(self._here, "delivery", None) == delivery:
            context.detach(self._here.token)
            self._here.delivery = self._here.token = None
        with self._lock:
            span = self._spans.pop(delivery, None)
        if span is None:
            return
        if outcome is not None:
            span.set_attribute("messaging.headrace.outcome", outcome)
        if error is not None:
            span.set_attribute("error.type", type_name(error))
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        span.end()


def described(operation: str, queue: str | None) -> Attributes:
    """The attributes of a span. The operations "send" and "process" are also types of the conventions."""
    attributes: Attributes = {
        "messaging.system": "headrace",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
    if queue is not None:
        attributes["messaging.destination.name"] = queue
    return attributes


def of_metric(operation: str, queue: str) -> Attributes:
    """The attributes of a number: those of a span without the type, which the conventions leave out here."""
    attributes = described(operation, queue)
    del attributes["messaging.operation.type"]
    return attributes


def span_name(attributes: Attributes) -> str:
    """The name that the conventions give to a span: what is done, and where."""
    queue = attributes.get("messaging.destination.name", "")
    return f"{attributes['messaging.operation.name']} {queue}".rstrip()


def links_to(headers: dict[str, str] | None) -> list[Link]:
    """A link to the span of the put whose headers these are, if they name one."""
    if not headers:
        return []
    put = trace.get_current_span(propagate.extract(headers, context.Context())).get_span_context()
    return [Link(put)] if put.is_valid else []


def type_name(error: BaseException) -> str:
    """The error's class as the conventions write it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
