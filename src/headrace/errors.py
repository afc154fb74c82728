"""The errors of every rung, under one base, each also the standard one that it stands for."""

from __future__ import annotations

import queue as _standard

__all__ = [
    "DecodeError",
    "DuplicateKey",
    "Empty",
    "EncodeError",
    "Full",
    "HandlerSettled",
    "HeadraceError",
    "InvalidURL",
    "LeaseLost",
    "NotSupported",
    "ShutDown",
    "StorageError",
    "TakingStopped",
]


class HeadraceError(Exception):
    """The base of everything that Headrace raises by itself."""


class Empty(HeadraceError, _standard.Empty):
    """No item was there, or none came within the timeout. Also a ``queue.Empty``."""

    def __str__(self) -> str:
        return super().__str__() or "no item: the queue is empty"


class Full(HeadraceError, _standard.Full):
    """There was no room, or none came within the timeout. Also a ``queue.Full``.

    Attributes:
        put_count: how many items of the call went in (0 for ``put``; for ``put_many`` the first
            ``put_count`` items are in the queue and the others are not).
        pending: items that ``put_many`` had already drawn from an iterator and could not put.
    """

    put_count: int = 0
    pending: tuple[object, ...] = ()

    def __str__(self) -> str:
        return super().__str__() or "no room: the queue is full" + _how_far(self.put_count, self.pending)


def _how_far(put_count: int, pending: tuple[object, ...]) -> str:
    """What a call that put several items came to, as the end of a sentence."""
    went_in = f"; {put_count} items of this call went in" if put_count or pending else ""
    return went_in + (", and one more was drawn from the iterator: see .pending" if pending else "")


# Python 3.13 brought queue.ShutDown; before it there is nothing that old code could catch.
_StandardShutDown: type[Exception] = getattr(_standard, "ShutDown", Exception)
_shutdown_bases = (HeadraceError,) if _StandardShutDown is Exception else (HeadraceError, _StandardShutDown)


class ShutDown(*_shutdown_bases):  # type: ignore[misc]
    """The queue was shut down: nothing goes in any more, or nothing is left to come out.

    Also a ``queue.ShutDown`` where the standard library has one (Python 3.13 and later).

    Attributes:
        put_count: how many items of the call went in before (see ``Full``).
        pending: items that ``put_many`` had already drawn from an iterator and could not put.
        queue: the one of the queues of a ``select`` that ended it; None where none did alone.
    """

    put_count: int = 0
    pending: tuple[object, ...] = ()
    queue: object = None

    def __str__(self) -> str:
        return Exception.__str__(self) or "the queue has been shut down" + _how_far(self.put_count, self.pending)


class NotSupported(HeadraceError):
    """This backend, or this build, cannot honour what was asked. The message says what can."""


class LeaseLost(HeadraceError):
    """The lease is not yours any more: it was settled before, or taken away because it ran over its time limit.

    Nothing was changed. The work may have been done twice.
    """


class HandlerSettled(HeadraceError, RuntimeError):
    """A handler of a pool called ``task_done()``, which its pool does. A mistake in the program: it stops the pool."""


class TakingStopped(HeadraceError):
    """Internal: who waited for an item was told to stop. Never leaves Headrace."""


class InvalidURL(HeadraceError, ValueError):
    """``headrace.open`` was given something that is not the URL of a queue."""


class StorageError(HeadraceError, OSError):
    """What keeps the items failed: a full disk, a file that is damaged, gone or somebody else's, a server that is down.

    The call that raises it has changed nothing, unless the message says that this is not known.
    """


class DuplicateKey(HeadraceError, ValueError):
    """An unfinished item has the key already, and ``on_duplicate="raise"`` was asked for. Nothing was put.

    Attributes:
        key: the key.
        id: the number of the item that has it.
    """

    def __init__(self, key: object, number: int) -> None:
        super().__init__(key, number)
        self.key = key
        self.id = number

    def __str__(self) -> str:
        return f"item {self.id} has the key {self.key!r} and is not done: on_duplicate='ignore' or 'replace' allow this"


class EncodeError(HeadraceError, TypeError):
    """An item that its queue cannot keep as bytes. The message names its type and what to do; nothing was put."""


class DecodeError(HeadraceError, ValueError):
    """A stored body that cannot be turned back into an item. The message says why."""
