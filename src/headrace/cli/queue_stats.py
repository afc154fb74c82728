"""What ``headrace stats`` knows of a queue file, at one moment."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.cli.queue_opening import find

if TYPE_CHECKING:
    from headrace.backends.sqlite.overview import Overview, OwnerNow, QueueNow
    from headrace.cli.queue_opening import Place

__all__ = ["Moment", "Rates", "as_object", "observe", "rates_between"]


class Moment(NamedTuple):
    """One look at a file.

    Attributes:
        at: on the monotonic clock.
    """

    path: str
    at: float
    queues: list[QueueNow]
    owners: list[OwnerNow]
    file_bytes: int
    wal_bytes: int

    @property
    def owners_alive(self) -> int:
        """The processes that take items, or did and still run."""
        return sum(owner.is_alive for owner in self.owners)


class Rates(NamedTuple):
    """Of one queue, in items a second."""

    put: float
    done: float


def observe(look: Overview, place: Place) -> Moment:
    """What is there now: of the queue that *place* names, or of all. Raises ``Refused`` where that is not there."""
    queues = look.queues()
    if place.is_named:
        find(place, [queue.name for queue in queues])
        queues = [queue for queue in queues if queue.name == place.queue]
    return Moment(place.path, monotonic(), queues, look.owners(), look.size_bytes(), look.log_bytes())


def rates_between(before: Moment, now: Moment) -> dict[str, Rates]:
    """How fast each queue was from one moment to the other."""
    seconds = max(now.at - before.at, 1e-9)
    totals = {queue.name: queue for queue in before.queues}
    rates: dict[str, Rates] = {}
    for queue in now.queues:
        old = totals.get(queue.name)
        if old is None:
            rates[queue.name] = Rates(queue.put_total / seconds, queue.done_total / seconds)
        else:
            put, done = queue.put_total - old.put_total, queue.done_total - old.done_total
            rates[queue.name] = Rates(put / seconds, done / seconds)
    return rates


def as_object(moment: Moment, rates: dict[str, Rates] | None = None) -> dict[str, Any]:
    """*moment* as ``--json`` prints it. docs/command-line.md has the keys."""
    return {
        "path": moment.path,
        "file_bytes": moment.file_bytes,
        "wal_bytes": moment.wal_bytes,
        "owners_alive": moment.owners_alive,
        "owners": [{"pid": one.pid, "since": one.since, "alive": one.is_alive} for one in moment.owners],
        "queues": [_queue(queue, None if rates is None else rates[queue.name]) for queue in moment.queues],
    }


def _queue(queue: QueueNow, rates: Rates | None) -> dict[str, Any]:
    found = queue._asdict()
    found["paused"] = found.pop("is_paused")
    found["unfinished"] = queue.unfinished
    if rates is not None:
        found["put_per_second"], found["done_per_second"] = round(rates.put, 3), round(rates.done, 3)
    return found
