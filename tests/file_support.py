"""What all tests of queues in files share."""

from __future__ import annotations

import itertools
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import headrace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Clock", "Maker", "folder_in_memory", "make", "path", "recounted"]


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


def folder_in_memory() -> str | None:
    """Where a folder of files that are synced thousands of times may be made; None where only disks are.

    A sync takes 50 ms and more on some disks. What such a test shows does not depend on it.
    """
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2**25 else None


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Maker]:
    """Makes queues that survive kill -9; what is committed is not synced, so that tests are fast."""
    maker = Maker(tmp_path, durability="process")
    yield maker
    maker.close()


class Clock:
    """The clocks that queues in files read, which stand still until a test moves them.

    Attributes:
        wall: seconds since the epoch.
        steady: seconds of the monotonic clock, by which leases run out.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the machine's, until the end of the test."""
        from headrace.backends.sqlite import counting, owners, putting, settling, storage, taking

        self.wall = 1_800_000_000
        self.steady = 1_000_000
        for module in (storage, putting, settling, counting):
            monkeypatch.setattr(module, "time_ns", lambda: self.wall * 1_000_000_000)
        for reader in (putting, taking):
            monkeypatch.setattr(reader, "time", lambda: float(self.wall))
        monkeypatch.setattr(owners, "monotonic_ns", lambda: self.steady * 1_000_000_000)


def recounted(queue: Any) -> dict[str, tuple[int, int]]:
    """The counters of a queue in a file that are wrong: what each says, and how many rows there are."""
    wrong: dict[str, tuple[int, int]] = {}
    tables = {"waiting": "ready", "keyed": "key", **{name: name for name in ("delayed", "leased", "dead", "large")}}
    for counter, table in tables.items():
        ((told, there),) = queue._storage.look(
            f"SELECT {counter}, (SELECT count(*) FROM {table} WHERE {table}.queue = queue.id) FROM queue "
            "WHERE name = ?",
            (queue.name,),
        )
        if told != there:
            wrong[counter] = (told, there)
    return wrong
