"""``Summary``: what came of a run, in numbers."""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class ConsumerSummary(NamedTuple):
        """One consumer's part in a run."""

        name: str
        items: int

    class _SummaryFields(NamedTuple):
        items: int
        failed: int
        seconds: float
        per_consumer: tuple[ConsumerSummary, ...]

else:
    # typing costs several milliseconds at import; a namedtuple is the same record.
    class ConsumerSummary(namedtuple("ConsumerSummary", "name items")):
        """One consumer's part in a run.

        Attributes:
            name: its thread's name.
            items: how many items it handled.
        """

        __slots__ = ()

    _SummaryFields = namedtuple("_SummaryFields", "items failed seconds per_consumer")

__all__ = ["ConsumerSummary", "Summary"]

# With more consumers than this, the text has the range of their counts in place of each.
NAMED_CONSUMERS = 8


class Summary(_SummaryFields):
    """What came of a run. ``print`` it for a line of text.

    Attributes:
        items: how many items were handled.
        failed: how many more were taken and could not be handled.
        seconds: how long the run took, from the call to the end of the last consumer.
        per_consumer: name and items of each consumer.
    """

    __slots__ = ()

    @property
    def items_per_second(self) -> float:
        """How many items were handled in a second, on average; 0 when there was none."""
        return self.items / self.seconds if self.items and self.seconds else 0.0

    def __str__(self) -> str:
        failed = f", {self.failed:,} failed," if self.failed else ""
        return (
            f"{counted(self.items, 'item')}{failed} in {shown_number(self.seconds)} s "
            f"({shown_number(self.items_per_second)} items/s) by {self._consumers()}"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from headrace.consumers.html import summary_html

        return summary_html(self)

    def _consumers(self) -> str:
        consumers = counted(len(self.per_consumer), "consumer")
        if len(self.per_consumer) <= NAMED_CONSUMERS:
            return f"{consumers}: " + ", ".join(f"{one.name} {one.items:,}" for one in self.per_consumer)
        counts = [one.items for one in self.per_consumer]
        return f"{consumers}: {min(counts):,} to {max(counts):,} each"


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def shown_number(value: float) -> str:
    """Three digits, or all those of the whole part: 0.000213, 4.69, 1,530,112."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value >= 0.001 or not value else f"{value:.6f}"
