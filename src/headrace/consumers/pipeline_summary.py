"""``PipelineSummary``: what came of a pipeline's run, stage by stage."""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NamedTuple

    class StageSummary(NamedTuple):
        """One stage's part in a run."""

        name: str
        consumers: int
        items_in: int
        items_out: int
        retried: int
        busy_seconds: float

    class _SummaryFields(NamedTuple):
        items: int
        seconds: float
        stages: tuple[StageSummary, ...]

else:
    # typing costs several milliseconds at import; a namedtuple is the same record.
    class StageSummary(namedtuple("StageSummary", "name consumers items_in items_out retried busy_seconds")):
        """One stage's part in a run.

        Attributes:
            name: the stage's name.
            consumers: how many threads, or coroutines, it had.
            items_in: how many items it took, each counted once however often it was tried.
            items_out: how many it handed on, or, after the last stage, returned or yielded; 0 for a sink.
            retried: how often an item was tried again.
            busy_seconds: how long its function ran, the sum over all consumers. What a coroutine waits for is part
                of it.
        """

        __slots__ = ()

    _SummaryFields = namedtuple("_SummaryFields", "items seconds stages")

__all__ = ["PipelineSummary", "StageSummary"]

HEADER = ("stage", "consumers", "items in", "items out", "retried", "busy")


class PipelineSummary(_SummaryFields):
    """What came of a pipeline's run. ``print`` it for a small table; the busiest stage is the one to give consumers to.

    Attributes:
        items: how many items the source had.
        seconds: how long the run took, from the call to the end of the last consumer.
        stages: a ``StageSummary`` for each, the sink being the last.
    """

    __slots__ = ()

    @property
    def items_per_second(self) -> float:
        """How many items of the source went through in a second, on average; 0 when there was none."""
        return self.items / self.seconds if self.items and self.seconds else 0.0

    def __str__(self) -> str:
        rows = [HEADER, *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join([self._headline(), *(_line(row, widths) for row in rows)])

    def _headline(self) -> str:
        items = "1 item" if self.items == 1 else f"{self.items:,} items"
        return f"{items} in {_shown(self.seconds)} s ({_shown(self.items_per_second)} items/s)"

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for one in self.stages:
            # Of the time that its consumers had.
            busy = one.busy_seconds / (self.seconds * one.consumers) if self.seconds else 0.0
            numbers = (one.consumers, one.items_in, one.items_out, one.retried)
            yield (one.name, *(f"{number:,}" for number in numbers), f"{min(busy, 1.0):.0%}")

    def _repr_html_(self) -> str:
        from headrace.consumers.html import table

        rows = [
            (one.name, one.consumers, one.items_in, one.items_out, one.retried, row[-1])
            for one, row in zip(self.stages, self._rows(), strict=True)
        ]
        return table(self._headline(), rows, HEADER)


def _shown(value: float) -> str:
    """Three digits, or all those of the whole part."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first, *numbers = zip(row, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in numbers)])
