"""The durable queue as the benchmarks open it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import headrace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["OURS", "OurCycle", "open_queue"]

OURS = "headrace.open"


def open_queue(file: Path, **options: object) -> Any:
    """The queue in *file*; with ``durability="power"``, the default, unless *options* say otherwise."""
    opening: Callable[..., Any] = headrace.open
    return opening(str(file), **options)


class OurCycle:
    """put_many, get_many and task_done."""

    def __init__(self, file: Path) -> None:
        self._queue = open_queue(file)

    def cycle(self, items: list[int]) -> list[int]:
        queue = self._queue
        queue.put_many(items)
        taken: list[int] = queue.get_many(len(items))
        queue.task_done(len(taken))
        return taken

    def unfinished(self) -> int:
        return int(self._queue.stats().unfinished)

    def close(self) -> None:
        self._queue.close()
