"""The queues that coroutines can use: ours, asyncio's, and the peers that serve threads as well."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import headrace
from benchmarks.contenders import Handles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["ASYNCIO", "CULSANS", "JANUS", "OURS", "Contender", "Faces", "contenders"]

OURS = "headrace.Queue.aio"
ASYNCIO = "asyncio.Queue"
CULSANS = "culsans.Queue"
JANUS = "janus.Queue"


async def nothing_to_close() -> None:
    """Of queues that need not be told that they are used no more."""


@dataclass(frozen=True, slots=True)
class Faces:
    """What a benchmark calls of one queue: its own bound methods, with nothing of ours between.

    ``threads`` is None for a queue that threads must not touch. ``close`` is awaited in the loop, at the end.
    """

    put: Callable[[Any], Awaitable[object]]
    get: Callable[[], Awaitable[Any]]
    put_nowait: Callable[[Any], object]
    task_done: Callable[[], object]
    threads: Handles | None
    close: Callable[[], Awaitable[None]] = nothing_to_close


@dataclass(frozen=True, slots=True)
class Contender:
    """A queue of somebody's. ``many_loops`` says whether loops in several threads may use it at a time."""

    name: str
    open: Callable[[int], Faces]
    many_loops: bool = False
    threads: bool = True


def contenders(*, threads: bool = False, many_loops: bool = False) -> list[Contender]:
    """All that are installed, or those of them that serve threads as well, or several loops."""
    return [one for one in _all() if (one.threads or not threads) and (one.many_loops or not many_loops)]


def _all() -> Iterator[Contender]:
    yield Contender(OURS, _ours, many_loops=True)
    yield Contender(ASYNCIO, _asyncio, threads=False)
    if _is_installed("culsans"):
        yield Contender(CULSANS, _culsans, many_loops=True)
    if _is_installed("janus"):
        yield Contender(JANUS, _janus)


def _ours(maxsize: int) -> Faces:
    queue: headrace.Queue[Any] = headrace.Queue(maxsize)
    aio = queue.aio
    return Faces(aio.put, aio.get, aio.put_nowait, aio.task_done, Handles(queue.put, queue.get, queue.task_done))


def _asyncio(maxsize: int) -> Faces:
    queue: asyncio.Queue[Any] = asyncio.Queue(maxsize)
    return Faces(queue.put, queue.get, queue.put_nowait, queue.task_done, None)


def _culsans(maxsize: int) -> Faces:
    """By the methods of the queue itself, which its two proxies call: that is one call less for everything."""
    queue = import_module("culsans").Queue(maxsize)
    threads = Handles(queue.sync_put, queue.sync_get, queue.task_done)
    return Faces(queue.async_put, queue.async_get, queue.put_nowait, queue.task_done, threads)


def _janus(maxsize: int) -> Faces:
    queue = import_module("janus").Queue(maxsize)
    aio, sync = queue.async_q, queue.sync_q
    threads = Handles(sync.put, sync.get, sync.task_done)
    return Faces(aio.put, aio.get, aio.put_nowait, aio.task_done, threads, queue.aclose)


def _is_installed(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return False
    return True
