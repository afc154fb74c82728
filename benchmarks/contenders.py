"""The queues that are compared: ours, the standard library's, and the peers that are installed."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

import headrace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["OURS", "SIMPLE_QUEUE", "STDLIB", "Contender", "Handles", "absent_peers", "contenders", "peer_versions"]

OURS = "headrace.Queue"
STDLIB = "queue.Queue"
SIMPLE_QUEUE = "queue.SimpleQueue"

# The distribution that each peer's import name comes from.
PEERS = {"janus": "janus", "culsans": "culsans", "aiologic": "aiologic", "ft_utils": "ft-utils", "uvloop": "uvloop"}


@dataclass(frozen=True, slots=True)
class Handles:
    """What a benchmark calls: the queue's own bound methods, with nothing of ours between.

    ``task_done`` is None where the queue has none; its contender then does that much less.
    """

    put: Callable[[Any], object]
    get: Callable[[], Any]
    task_done: Callable[[], object] | None


@dataclass(frozen=True, slots=True)
class Contender:
    """A queue class of somebody's. ``open(maxsize)`` makes a queue; ``bounded`` says whether it heeds a maxsize > 0."""

    name: str
    open: Callable[[int], Handles]
    bounded: bool = True


def contenders(kind: str = "Queue", *, bounded: bool = False) -> list[Contender]:
    """All that are installed and have a queue of that *kind*: ``Queue``, ``LifoQueue`` or ``PriorityQueue``."""
    found = [*_ours_and_stdlib(kind), *_peers(kind)]
    return [contender for contender in found if contender.bounded or not bounded]


def _ours_and_stdlib(kind: str) -> Iterator[Contender]:
    yield Contender(f"headrace.{kind}", lambda maxsize: _methods(getattr(headrace, kind)(maxsize)))
    yield Contender(f"queue.{kind}", lambda maxsize: _methods(getattr(queue, kind)(maxsize)))
    if kind == "Queue":
        yield Contender("headrace.SimpleQueue", lambda _: _methods(headrace.SimpleQueue()), bounded=False)
        yield Contender(SIMPLE_QUEUE, lambda _: _methods(queue.SimpleQueue()), bounded=False)


def _peers(kind: str) -> Iterator[Contender]:
    for name in ("janus", "culsans"):
        module = _module(name)
        if module:
            yield _synchronous_side(name, getattr(module, kind))
    aiologic = _module("aiologic")
    if aiologic:
        cls = getattr(aiologic, kind)
        yield Contender(f"aiologic.{kind}", lambda maxsize: _green(cls(maxsize or None)))
        if kind == "Queue":
            simple = aiologic.SimpleQueue
            yield Contender("aiologic.SimpleQueue", lambda _: _green(simple()), bounded=False)
    ft_utils = _module("ft_utils.concurrency")
    if ft_utils and kind == "Queue":
        std = ft_utils.StdConcurrentQueue
        yield Contender("ft_utils.StdConcurrentQueue", lambda maxsize: _methods(std(maxsize)))


def _synchronous_side(name: str, cls: Any) -> Contender:
    return Contender(f"{name}.{cls.__name__} (sync)", lambda maxsize: _methods(cls(maxsize).sync_q))


def _methods(made: Any) -> Handles:
    return Handles(made.put, made.get, getattr(made, "task_done", None))


def _green(made: Any) -> Handles:
    return Handles(made.green_put, made.green_get, None)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def peer_versions() -> dict[str, str]:
    return {name: metadata.version(PEERS[name]) for name in PEERS if _module(name)}


def absent_peers() -> list[str]:
    return [name for name in PEERS if not _module(name)]
