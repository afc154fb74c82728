"""How summaries show themselves in a notebook."""

from __future__ import annotations

from headrace.consumers.summary import NAMED_CONSUMERS
from headrace.html import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from headrace.consumers.summary import Summary

__all__ = ["summary_html", "table"]


def summary_html(summary: Summary) -> str:
    """A table of what came of a run."""
    rows: list[tuple[object, ...]] = [
        ("items", summary.items),
        ("failed", summary.failed),
        ("seconds", float(summary.seconds)),
        ("items a second", summary.items_per_second),
        ("consumers", len(summary.per_consumer)),
    ]
    if len(summary.per_consumer) <= NAMED_CONSUMERS:
        rows += [(one.name, one.items) for one in summary.per_consumer]
    else:
        counts = [one.items for one in summary.per_consumer]
        rows.append(("items each", f"{min(counts):,} to {max(counts):,}"))
    return table("Summary", rows)
