"""``PoolSummary``: what came of a pool's work, in numbers."""

from __future__ import annotations

from collections import namedtuple

from headrace.consumers.summary import counted, shown_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from headrace.consumers.summary import ConsumerSummary

    class _Fields(NamedTuple):
        items: int
        dead: int
        retried: int
        timed_out: int
        replaced: int
        seconds: float
        per_consumer: tuple[ConsumerSummary, ...]

else:
    # typing costs several milliseconds at import; a namedtuple is the same record.
    _Fields = namedtuple("_Fields", "items dead retried timed_out replaced seconds per_consumer")

__all__ = ["PoolSummary"]


class PoolSummary(_Fields):
    """What came of a pool's work so far. ``print`` it for a line of text.

    Attributes:
        items: how many items were handled.
        dead: how many failed for good.
        retried: how many times an item was given back to be tried again.
        timed_out: how many times a handler ran over the time limit.
        replaced: how many consumers were lost, to the time limit or otherwise, and replaced.
        seconds: how long the pool has been working, from its start.
        per_consumer: name and items of each consumer that there was.
    """

    __slots__ = ()

    @property
    def items_per_second(self) -> float:
        """How many items were handled in a second, on average; 0 when there was none."""
        return self.items / self.seconds if self.items and self.seconds else 0.0

    def __str__(self) -> str:
        more = [
            (self.dead, "dead"),
            (self.retried, "retried"),
            (self.timed_out, "timed out"),
            (self.replaced, "replaced"),
        ]
        told = "".join(f", {number:,} {what}" for number, what in more if number)
        return (
            f"{counted(self.items, 'item')} done{told} in {shown_number(self.seconds)} s "
            f"({shown_number(self.items_per_second)} items/s) by {counted(len(self.per_consumer), 'consumer')}"
        )

    def _repr_html_(self) -> str:
        from headrace.html import table

        rows = [(name.replace("_", " "), getattr(self, name)) for name in self._fields[:-1]]
        return table("consumer pool", rows)
