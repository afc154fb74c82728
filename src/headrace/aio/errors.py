"""What the asynchronous face raises: errors of Headrace that are those of ``asyncio`` too."""

from __future__ import annotations

import asyncio

from headrace.errors import Empty, Full, ShutDown

__all__ = ["QueueEmpty", "QueueFull", "QueueShutDown", "as_asynchronous"]


class QueueEmpty(Empty, asyncio.QueueEmpty):
    """No item: ``headrace.Empty``, ``queue.Empty`` and ``asyncio.QueueEmpty``."""


class QueueFull(Full, asyncio.QueueFull):
    """No room: ``headrace.Full``, ``queue.Full`` and ``asyncio.QueueFull``."""


TYPE_CHECKING = False
if TYPE_CHECKING or not hasattr(asyncio, "QueueShutDown"):  # before Python 3.13

    class QueueShutDown(ShutDown):
        """The queue is shut down: ``headrace.ShutDown``, ``queue.ShutDown`` and ``asyncio.QueueShutDown``."""

else:

    class QueueShutDown(ShutDown, asyncio.QueueShutDown):
        """The queue is shut down: ``headrace.ShutDown``, ``queue.ShutDown`` and ``asyncio.QueueShutDown``."""


_SAME: dict[type[Exception], type[Exception]] = {Empty: QueueEmpty, Full: QueueFull, ShutDown: QueueShutDown}


def as_asynchronous(error: Exception) -> Exception:
    """The same error object, as one of ours."""
    better = _SAME.get(type(error))
    if better is not None:
        error.__class__ = better
    return error
