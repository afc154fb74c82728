"""Pools of consumers.

The way of an item: ``consumer.py`` takes it and calls the handler, ``limits.py`` says which may begin and when,
``failures.py`` decides what becomes of one that fails, ``watch.py`` notices one that takes too long. ``work.py`` is
what the consumers share; ``pool.py`` is the life of the whole, ``signals.py`` its signals, ``puts.py`` what is told
of puts. ``member.py`` is what all of these know of a consumer.

``async_*.py`` are the same for coroutines: the consumers are tasks, of the caller's loop or of that in
``async_loop.py``, and nothing there may hold it up. What becomes of an item is the same code.
"""

from __future__ import annotations

from headrace.pool.pool import ConsumerPool
from headrace.pool.summary import PoolSummary

__all__ = ["ConsumerPool", "PoolSummary"]
