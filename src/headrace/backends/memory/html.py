"""How a queue shows itself in a notebook."""

from __future__ import annotations

from headrace.html import meter, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from headrace.contract import Stats

    class HasStats(Protocol):
        """All that is needed of a queue."""

        def stats(self) -> Stats: ...


__all__ = ["queue_html"]


def queue_html(queue: HasStats) -> str:
    """A small table of how full *queue* is and what went through it. All numbers are of one instant."""
    stats = queue.stats()
    bounded = stats.maxsize > 0
    rows: list[tuple[object, ...]] = [
        ("waiting", meter(stats.waiting, stats.maxsize) if bounded else f"{stats.waiting:,}, without a bound")
    ]
    # Most queues have nothing to say of these.
    rows += [(name, number) for name in ("delayed", "leased", "dead") if (number := getattr(stats, name, 0))]
    rows += [("unfinished", stats.unfinished), ("put in all", stats.put_total), ("taken in all", stats.get_total)]
    if stats.dropped_total:
        rows.append(("dropped", stats.dropped_total))
    if stats.is_shutdown:
        rows.append(("shut down", "yes"))
    return table(type(queue).__name__, rows)
