"""Queues for event loops: asyncio, uvloop, trio and anyio, and threads beside them.

``from headrace import aio`` and ``aio.Queue``, ``aio.LifoQueue``, ``aio.PriorityQueue`` stand in for those of
``asyncio``, with their errors. ``queue.aio`` is the same for the items of a queue that threads use.
"""

from __future__ import annotations

from headrace.aio.errors import QueueEmpty, QueueFull, QueueShutDown
from headrace.aio.map import imap_unordered

# Not in __all__: `from headrace.aio import *` must not replace Python's own. Imported here and not when it is first
# asked for, or the module of this name would be found in its place.
from headrace.aio.map import map as map  # noqa: A004 - what it is in Python
from headrace.aio.queue import AsyncQueue, LifoQueue, PriorityQueue
from headrace.aio.selecting import NothingReady, select

Queue = AsyncQueue

__all__ = [
    "AsyncQueue",
    "LifoQueue",
    "NothingReady",
    "PriorityQueue",
    "Queue",
    "QueueEmpty",
    "QueueFull",
    "QueueShutDown",
    "imap_unordered",
    "select",
]
