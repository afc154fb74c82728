"""Queues for event loops: asyncio, uvloop, trio and anyio, and threads beside them.

``from headrace import aio`` and ``aio.Queue``, ``aio.LifoQueue``, ``aio.PriorityQueue`` stand in for those of
``asyncio``, with their errors. ``queue.aio`` is the same for the items of a queue that threads use.
"""

from __future__ import annotations

from headrace.aio.errors import QueueEmpty, QueueFull, QueueShutDown
from headrace.aio.queue import AsyncQueue, LifoQueue, PriorityQueue

Queue = AsyncQueue

__all__ = ["AsyncQueue", "LifoQueue", "PriorityQueue", "Queue", "QueueEmpty", "QueueFull", "QueueShutDown"]
