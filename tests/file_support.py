"""What all tests of queues in files share."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

import headrace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Maker", "make", "path"]


class Maker:
    """Makes queues in files of their own, as ``headrace.testing`` asks for them, and closes them all in the end."""

    def __init__(self, folder: Path, **options: Any) -> None:
        """Make them in *folder*, with *options* of ``headrace.open``."""
        self._folder = folder
        self._options = options
        self._numbers = itertools.count()
        self._made: list[Any] = []

    def __call__(self, maxsize: int | None = 0, *, again: Any = None, **options: Any) -> Any:
        """A fresh queue; or another object of the queue that *again* is one of, with its bound."""
        if again is not None:
            return self._kept(headrace.open(again.path, queue=again.name, **self._options, **options))
        path = self._folder / f"{next(self._numbers)}.db"
        return self._kept(headrace.open(path, maxsize=maxsize, **{**self._options, **options}))

    def _kept(self, queue: Any) -> Any:
        self._made.append(queue)
        return queue

    def close(self) -> None:
        """Close what was made."""
        for queue in self._made:
            queue.close()
        self._made.clear()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a queue file may be made."""
    return str(tmp_path / "jobs.db")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Maker]:
    """Makes queues that survive kill -9; what is committed is not synced, so that tests are fast."""
    maker = Maker(tmp_path, durability="process")
    yield maker
    maker.close()
