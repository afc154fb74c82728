"""``put(item, connection=...)``: an item that is put when the caller's own transaction is committed, or not at all."""

# apsw's annotations leave some types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
from time import time_ns
from weakref import WeakKeyDictionary

import apsw

from headrace.backends.sqlite import bell, statements
from headrace.backends.sqlite.explained import explained
from headrace.errors import Full

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from headrace.backends.sqlite.file import QueueFile
    from headrace.backends.sqlite.queue import FileQueue
    from headrace.backends.sqlite.statements import Put
    from headrace.backends.sqlite.storage import Storage

__all__ = ["put_within"]


class Joined:
    """What a step of a transaction may use, of a transaction that is the caller's."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.executemany = connection.executemany
        self.now = time_ns() // 1000
        self.rings: dict[int, int] = {}

    def ring(self, word: int, count: int = bell.ALL) -> None:
        self.rings[word] = count


def put_within(queue: Any, connection: Any, row: Put, on_duplicate: str, ready_at: int | None) -> None:
    """Put *row* in the transaction that *connection* is in.

    Raises:
        TypeError: it is a connection of another library.
        ValueError: it is to another file, or in no transaction.
        Full, DuplicateKey, StorageError: as ``put``.
    """
    check_connection(queue, connection)
    joined: Any = Joined(connection)
    try:
        if row[4] is not None:
            put = statements.put_keyed(joined, queue._id, row, on_duplicate, ready_at)
        elif ready_at is not None:
            put = statements.put_delayed(joined, queue._id, row, ready_at)
        else:
            put = statements.put(joined, queue._id, (row,))
    except apsw.Error as error:
        raise explained(error, queue.path) from error
    if not put:
        raise Full
    _ring_when_committed(queue, connection, joined.rings)


def check_connection(queue: FileQueue[Any], connection: Any) -> None:
    """Raise unless *connection* is an ``apsw.Connection`` to the queue's file, in a transaction."""
    if not isinstance(connection, apsw.Connection):
        kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
        raise TypeError(
            f"'connection' must be an apsw.Connection, not {kind}: two SQLite libraries in one process must not have "
            "the same file open, for closing it in one drops the locks of the other. Use apsw for this file: "
            "apsw.Connection(queue.path)"
        )
    if not os.path.exists(connection.filename) or not os.path.samefile(connection.filename, queue.path):
        raise ValueError(f"'connection' is to {connection.filename!r}, and the queue is in {queue.path!r}")
    if not connection.in_transaction:
        raise ValueError(
            "'connection' is in no transaction: begin one (connection.execute('BEGIN IMMEDIATE')), put, and commit; or "
            "put without connection="
        )


class Pending:
    """What is to be rung once a connection of the caller's has committed."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._rings: dict[int, int] = {}
        self._file: QueueFile | None = None
        # Beside the hooks of the caller's own; it stays, and has nothing to do where nothing is put.
        connection.set_commit_hook(self._committing, id="headrace")

    def add(self, file: QueueFile, rings: dict[int, int]) -> None:
        self._file = file
        self._rings.update(rings)

    def _committing(self) -> bool:
        """Called just before the commit: too early to ring. The housekeeper's transaction waits until it is over."""
        rings, self._rings = self._rings, {}
        if rings and self._file is not None:

            def ring(s: Storage) -> None:
                for word, count in rings.items():
                    s.ring(word, count)

            self._file.housekeeper.do(ring)
        return False


_pending: WeakKeyDictionary[apsw.Connection, Pending] = WeakKeyDictionary()


def _ring_when_committed(queue: Any, connection: apsw.Connection, rings: dict[int, int]) -> None:
    pending = _pending.get(connection)
    if pending is None:
        pending = _pending[connection] = Pending(connection)
    pending.add(queue._file, rings)
