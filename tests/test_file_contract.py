"""Every promise of the contract, for queues in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from file_support import Maker
from headrace.testing import FILE_QUEUE, Promise, promises

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = [promise for promise in promises() if not promise.absent(FILE_QUEUE)]
"""The promises that a queue in a file keeps."""

OF_ONE_OBJECT = {"shutdown", "settling", "durable"}
"""What concerns the object that is called, so that two of them are not one queue."""

SHARED = [promise for promise in KEPT if not OF_ONE_OBJECT & promise.needs]


class Twins:
    """Two objects of one queue: one for those who put, one for all others."""

    def __init__(self, putting: Any, taking: Any) -> None:
        """Make one of two."""
        self._putting = putting
        self._taking = taking
        for name in ("put", "put_nowait", "put_many", "put_at"):
            setattr(self, name, getattr(putting, name))

    def __getattr__(self, name: str) -> Any:
        """What is not said here the taking one says."""
        return getattr(self._taking, name)

    @property
    def maxsize(self) -> int:
        """As the taking one reads it."""
        maxsize: int = self._taking.maxsize
        return maxsize

    @maxsize.setter
    def maxsize(self, value: int) -> None:
        self._taking.maxsize = value

    def stats(self) -> Any:
        """What the taking one says, with the threads that wait in the putting one."""
        return self._taking.stats()._replace(putters_blocked=self._putting.stats().putters_blocked)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._taking)

    def __bool__(self) -> bool:
        """Always."""
        return bool(self._taking)

    def __iter__(self) -> Any:
        """The items."""
        return iter(self._taking)

    def __contains__(self, item: object) -> bool:
        return item in self._taking


def twins(make: Maker) -> Callable[..., Twins]:
    """Makes pairs of objects of one queue."""

    def made(maxsize: int = 0, **options: Any) -> Twins:
        putting = make(maxsize, **options)
        # Opened in another way, it has a connection and an identity of its own, as in another process.
        return Twins(putting, make(again=putting, lease=31))

    return made


@pytest.mark.parametrize("promise", KEPT, ids=str)
@pytest.mark.parametrize("durability", ["power", "process"])
def test_promise(promise: Promise, durability: str, path_in_memory: str) -> None:
    make = Maker(Path(path_in_memory).parent, durability=durability)
    try:
        promise.run(make)
    finally:
        make.close()


@pytest.mark.parametrize("promise", SHARED, ids=str)
def test_promise_where_two_objects_share_a_queue(promise: Promise, path_in_memory: str) -> None:
    make = Maker(Path(path_in_memory).parent, durability="process")
    try:
        promise.run(twins(make))
    finally:
        make.close()


def test_a_queue_in_a_file_has_all_capabilities_but_those_of_objects_in_memory() -> None:
    from headrace.testing import CAPABILITIES, QUEUE

    assert {"counted", "dropping", "lazy", "objects", "identity", "hooks", "internals"} == QUEUE - FILE_QUEUE
    assert set(CAPABILITIES) - QUEUE - FILE_QUEUE == {"lifo", "priority"}
