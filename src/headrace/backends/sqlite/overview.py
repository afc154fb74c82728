"""``Overview``: a queue file, opened only to be read, by somebody who puts and takes nothing (``headrace stats``).

It waits for nobody: a reader of a write-ahead log sees the file as the last transaction left it. Nothing is made that
is not there, neither a file nor a queue in it.
"""

# apsw's annotations leave some types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import contextmanager
from time import time, time_ns
from typing import TYPE_CHECKING, NamedTuple

import apsw

from headrace.backends.sqlite import connecting, side
from headrace.backends.sqlite.explained import explained
from headrace.backends.sqlite.schema import APPLICATION_ID, VERSION
from headrace.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

__all__ = ["Overview", "OwnerNow", "QueueNow"]

# Milliseconds: only a file that is just being made or vacuumed is ever locked for readers.
BUSY_MS = 10_000
_GET_LOCK = getattr(fcntl, "F_OFD_GETLK", None)
_LOCK = struct.Struct("@hhqqi4x")

_QUEUES = (
    "SELECT id, name, waiting, delayed, leased, dead, maxsize, max_deliveries, paused, put_total, get_total, "
    "done_total, dropped_total FROM queue ORDER BY name"
)


class QueueNow(NamedTuple):
    """A queue in the file.

    Attributes:
        waiting: items that are ready to be taken, those among them whose delay is over.
        delayed: items whose time has not come.
        leased: items that consumers hold.
        dead: dead letters.
        maxsize: the bound on *waiting*; 0 or less is none.
        next_item_age: seconds since the item that is next was put; None where none waits.
    """

    name: str
    waiting: int
    delayed: int
    leased: int
    dead: int
    maxsize: int
    max_deliveries: int
    is_paused: bool
    put_total: int
    get_total: int
    done_total: int
    dropped_total: int
    next_item_age: float | None

    @property
    def unfinished(self) -> int:
        """What ``join`` waits for."""
        return self.waiting + self.delayed + self.leased


class OwnerNow(NamedTuple):
    """A process that takes items, or has done so and was not missed yet.

    Attributes:
        since: when it began, in seconds since the epoch.
        is_alive: whether it still is, as the kernel says.
    """

    pid: int
    since: float
    is_alive: bool


class Overview:
    """A queue file to look at. One thread at a time; also a context manager, which closes it.

    Raises StorageError: it is not there, cannot be read, or is no queue's; so do all methods.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        _check_place(path)
        connecting.check_header(path)
        with self.explaining():
            self.connection: Any = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            with self.explaining():
                self.connection.set_busy_timeout(BUSY_MS)
                self.connection.execute("PRAGMA query_only = ON").fetchall()
            self._check_version()
            self._inode = os.stat(path).st_ino
        except BaseException:
            self.connection.close(True)
            raise

    def _check_version(self) -> None:
        with self.explaining():
            self.schema = int(str(self.connection.pragma("user_version")))
            application = self.connection.pragma("application_id")
        if application != APPLICATION_ID:
            raise StorageError(f"{self.path} is no queue file (or is just being made): it was left alone")
        if self.schema > VERSION:
            raise StorageError(
                f"{self.path} was written by a newer Headrace (schema {self.schema}; this one knows up to {VERSION}): "
                "update headrace; it was left alone"
            )

    @contextmanager
    def explaining(self) -> Generator[None, None, None]:
        """A context in which SQLite's errors become StorageErrors that say what they mean."""
        try:
            yield
        except apsw.Error as error:
            raise explained(error, self.path) from error

    def queues(self) -> list[QueueNow]:
        """All queues in the file by their names, at one instant. The time does not depend on how many items wait."""
        self._check_file()
        with self.explaining(), self._snapshot():
            return [self._queue(*row) for row in self._rows(_QUEUES)]

    def _check_file(self) -> None:
        """Raise if the path leads to another file: what is seen in this one would be nobody's."""
        try:
            if os.stat(self.path).st_ino == self._inode:
                return
            what = "was replaced by another file"
        except FileNotFoundError:
            what = "was deleted"
        raise StorageError(f"{self.path} {what} while it was looked at")

    def _rows(self, query: str, bindings: tuple[object, ...] = ()) -> list[Any]:
        with self.explaining():
            rows: list[Any] = self.connection.execute(query, bindings).fetchall()
            return rows

    def _queue(self, number: int, name: str, waiting: int, delayed: int, *more: Any) -> QueueNow:
        due = 0
        if delayed:
            ((due,),) = self._rows(
                "SELECT count(*) FROM delayed WHERE queue = ? AND ready_at <= ?", (number, time_ns() // 1000)
            )
        age = None
        for (put_at,) in self._rows(
            "SELECT put_at FROM ready WHERE queue = ? ORDER BY priority, position LIMIT 1", (number,)
        ):
            age = max(0.0, time() - put_at / 1e6)
        leased, dead, maxsize, max_deliveries, paused, put, got, done, dropped = more
        return QueueNow(
            name,
            waiting + due,
            delayed - due,
            leased,
            dead,
            maxsize,
            max_deliveries,
            bool(paused),
            put,
            got,
            done,
            dropped,
            age,
        )

    def names(self) -> list[str]:
        """The names of all queues in the file."""
        return [name for (name,) in self._rows("SELECT name FROM queue ORDER BY name")]

    def owners(self) -> list[OwnerNow]:
        """The processes that take items from the file."""
        rows = self._rows("SELECT pid, started_at, slot FROM owner ORDER BY id")
        if not rows:
            return []
        try:
            fd = os.open(self.path + "-headrace", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return [OwnerNow(pid, started / 1e6, False) for pid, started, _ in rows]
        try:
            return [OwnerNow(pid, started / 1e6, _is_locked(fd, slot)) for pid, started, slot in rows]
        finally:
            os.close(fd)

    def size_bytes(self) -> int:
        """The size of the database."""
        return _size(self.path)

    def log_bytes(self) -> int:
        """The size of its write-ahead log, which is copied into it from time to time."""
        return _size(self.path + "-wal")

    @contextmanager
    def _snapshot(self) -> Generator[None, None, None]:
        """A context in which everything is seen as it is at one instant."""
        self.connection.execute("BEGIN").fetchall()
        try:
            yield
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK").fetchall()

    def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        self.connection.close(True)

    def __enter__(self) -> Overview:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_place(path: str) -> None:
    """Raise StorageError unless there is a file to look at. It need not be one that may be written."""
    if os.path.isdir(path):
        raise StorageError(f"{path} is a folder: name a file in it, as in {os.path.join(path, 'jobs.db')}")
    if not os.path.exists(path):
        raise StorageError(f"{path}: there is no such file")
    if not os.path.isfile(path):
        raise StorageError(f"{path} is no regular file")
    kind = connecting.file_system(os.path.dirname(path) or ".")
    if kind in connecting.NETWORK:
        raise StorageError(f"{path} is on a network file system ({kind}): look at it where its queue is used")


def _is_locked(fd: int, slot: int) -> bool:
    """Whether a process holds the lock of a slot in the side file. Asks only."""
    if _GET_LOCK is None:
        return True  # this system cannot be asked without trying
    found = fcntl.fcntl(fd, _GET_LOCK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, side._LOCKS_AT + slot, 1, 0))  # pyright: ignore[reportPrivateUsage]
    return int(_LOCK.unpack(found)[0]) != fcntl.F_UNLCK


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
