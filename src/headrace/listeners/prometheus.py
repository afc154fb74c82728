"""``PrometheusListener``: what pools do, as metrics to be scraped."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from headrace.listeners.missing import needs

with needs("PrometheusListener", "prometheus-client", extra="prometheus"):
    from prometheus_client import REGISTRY, Counter, Histogram
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from headrace.consumers.events import Event

__all__ = ["PrometheusListener"]

# Fields of stats(), and what they are.
GAUGES = {
    "waiting": "Items that wait in the queue.",
    "delayed": "Items that wait for the time of their next attempt.",
    "leased": "Items that consumers hold.",
    "unfinished": "Items that were put and are not yet done or dead.",
    "dead": "Items among the dead letters.",
}


class PrometheusListener:
    """Counts and times the items of pools for Prometheus.

    ===================================  =========  =================  ===============================================
    name                                 type       labels             what
    ===================================  =========  =================  ===============================================
    headrace_items_total                 counter    queue, outcome     attempts; outcome is done, retried or dead
    headrace_items_put_total             counter    queue              items put since the queue was made
    headrace_handler_duration_seconds    histogram  queue              how long the handler ran
    headrace_items_waiting               gauge      queue              items that wait in the queue
    headrace_items_delayed               gauge      queue              items that wait for their next attempt
    headrace_items_leased                gauge      queue              items that consumers hold
    headrace_items_unfinished            gauge      queue              items put, and neither done nor dead
    headrace_items_dead                  gauge      queue              dead letters
    ===================================  =========  =================  ===============================================

    The label ``queue`` is the pool's name. Gauges, and what was put, are asked of the queue at each scrape, from when
    a pool is entered until it is left. Several pools in one registry share the metrics, with one listener or with one
    each; where two pools have the same name, their queues are added up. Safe to use from several threads.

    Args:
        registry: where the metrics are registered; prometheus_client's own when left out.
        namespace: the first part of all names.

    Raises:
        ModuleNotFoundError: prometheus-client is not installed (on import).
        ValueError: the registry has other metrics of these names.
    """

    kinds = frozenset({"done", "retried", "dead"})

    def __init__(self, registry: CollectorRegistry | None = None, namespace: str = "headrace") -> None:
        self._metrics = metrics_of(REGISTRY if registry is None else registry, namespace)
        # How many pools are entered, and their queues. Under the lock: pools come and go in any threads.
        self._lock = threading.Lock()
        self._entered = 0
        # The metrics of each queue and outcome: finding them by labels takes longer than counting.
        self._counters: dict[tuple[str, str], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def start(self, pool: Any) -> None:
        """Scrape the queue of *pool* from now on."""
        with self._lock:
            self._entered += 1
            self._metrics.queues.watch(self, getattr(pool, "name", None) or "queue", pool.queue)

    def stop(self) -> None:
        """When no pool is left, scrape their queues no more."""
        with self._lock:
            self._entered -= 1
            if not self._entered:
                self._metrics.queues.forget(self)

    def __call__(self, event: Event) -> None:
        """Count *event*."""
        key = event.queue, event.kind
        counter = self._counters.get(key)
        if counter is None:
            # The histogram first: a thread that finds the counter takes it to be there.
            self._histograms[event.queue] = self._metrics.seconds.labels(event.queue)
            counter = self._counters[key] = self._metrics.items.labels(event.queue, event.kind)
        counter.inc()
        if event.seconds is not None:
            self._histograms[event.queue].observe(event.seconds)


class Metrics:
    """The metrics of one registry and namespace, for all listeners."""

    def __init__(self, registry: CollectorRegistry, namespace: str) -> None:
        self.items = Counter(
            "items",
            "Attempts at items, by what came of them.",
            ["queue", "outcome"],
            namespace=namespace,
            registry=registry,
        )
        self.seconds = Histogram(
            "handler_duration_seconds",
            "How long the handler ran for an item.",
            ["queue"],
            namespace=namespace,
            registry=registry,
        )
        self.queues = Queues(namespace)
        registry.register(self.queues)


class Queues(Collector):
    """Asks the queues of the pools that are entered, at each scrape."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._lock = threading.Lock()
        self._watched: list[tuple[object, str, Any]] = []  # listener, name, queue; under the lock

    def watch(self, listener: object, name: str, queue: object) -> None:
        """Ask *queue* from now on."""
        with self._lock:
            self._watched.append((listener, name, queue))

    def forget(self, listener: object) -> None:
        """Ask those of *listener* no more."""
        with self._lock:
            self._watched = [watched for watched in self._watched if watched[0] is not listener]

    def describe(self) -> list[Metric]:
        """The names alone, so that the registry refuses others of the same name."""
        return list(self._families().values())

    def collect(self) -> Iterator[Metric]:
        """What the queues say now."""
        families = self._families()
        for name, numbers in self._asked().items():
            for field, number in numbers.items():
                families[field].add_metric([name], number)
        yield from families.values()

    def _families(self) -> dict[str, CounterMetricFamily | GaugeMetricFamily]:
        """The metrics without a value yet, by the field of ``stats()`` that they show."""
        prefix = f"{self._namespace}_items"
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
            field: GaugeMetricFamily(f"{prefix}_{field}", text, labels=["queue"]) for field, text in GAUGES.items()
        }
        families["put_total"] = CounterMetricFamily(
            f"{prefix}_put", "Items that were put since the queue was made.", labels=["queue"]
        )
        return families

    def _asked(self) -> dict[str, dict[str, float]]:
        """For each name, the sums over its queues."""
        with self._lock:
            watched = {(name, id(queue)): queue for _, name, queue in self._watched}
        sums: dict[str, dict[str, float]] = {}
        for (name, _), queue in watched.items():
            try:
                stats = queue.stats()
            except Exception:  # this queue cannot be reached; the scrape is of all metrics of the program
                continue
            numbers = sums.setdefault(name, {})
            for field in (*GAUGES, "put_total"):
                number = getattr(stats, field, None)  # not every queue has all of them
                if number is not None:
                    numbers[field] = numbers.get(field, 0) + number
        return sums


# The registries that listeners were made for. Under the lock.
_known: WeakKeyDictionary[CollectorRegistry, dict[str, Metrics]] = WeakKeyDictionary()
_known_lock = threading.Lock()


def metrics_of(registry: CollectorRegistry, namespace: str) -> Metrics:
    """The metrics of *registry* under *namespace*, registered when they are first asked for."""
    with _known_lock:
        named = _known.setdefault(registry, {})
        if namespace not in named:
            named[namespace] = Metrics(registry, namespace)
        return named[namespace]
