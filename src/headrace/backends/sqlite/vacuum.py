"""What makes a queue file smaller: ``vacuum``, and dropping the records of what is done."""

# apsw's annotations leave some types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import apsw

from headrace.backends.sqlite import connecting, statements
from headrace.backends.sqlite.explained import explained
from headrace.backends.sqlite.side import Side

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from headrace.backends.sqlite.storage import Storage

__all__ = ["Vacuumed", "drop_done", "vacuum"]

# Instructions of SQLite's machine from one look at whether to go on to the next: some hundred rows that are copied.
LOOK_EVERY = 1000
DROPPED_AT_ONCE = 5000


class Vacuumed(NamedTuple):
    """The size of the file with its log.

    Attributes:
        is_log_left: others were reading, so that the log could not be emptied yet: it is, when they have closed.
    """

    before_bytes: int
    after_bytes: int
    is_log_left: bool


def vacuum(path: str, is_to_end: Callable[[], bool] = lambda: False) -> Vacuumed:
    """Write the file anew, without what was dropped in it. Others that use it stand still meanwhile, and then go on.

    It takes up to twice the file's size on the disk while it lasts. A crash in the middle changes nothing.

    Args:
        path: of a queue file.
        is_to_end: looked at now and then; nothing is changed if it says so.

    Raises:
        StorageError: the disk is full, another program has the file locked, it is damaged, ...
        InterruptedError: *is_to_end* said so.
    """
    connecting.check_place(path)
    connecting.check_header(path)
    side = Side(path + "-headrace")
    try:
        connection = connecting.connect(path, side)
        try:
            return _vacuum(path, side, connection, is_to_end)
        finally:
            connection.close(True)
    finally:
        side.close()


def _vacuum(path: str, side: Side, connection: Any, is_to_end: Callable[[], bool]) -> Vacuumed:
    try:
        side.enter()
        before = _size(path)
        connection.set_progress_handler(is_to_end, LOOK_EVERY)
        try:
            connection.execute("VACUUM").fetchall()
        except apsw.InterruptError:
            raise InterruptedError(f"{path} is as it was") from None
        finally:
            connection.set_progress_handler(None)
        try:
            ((is_log_left, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except apsw.BusyError:
            is_log_left = True
        return Vacuumed(before, _size(path), bool(is_log_left))
    except apsw.Error as error:
        raise explained(error, path) from error
    finally:
        side.leave()


def _size(path: str) -> int:
    return sum(os.stat(name).st_size for name in (path, path + "-wal") if os.path.exists(name))


def drop_done(queue: Any) -> int:
    """Drop what *queue*, one in a file, keeps of items that are done, some thousands at a time. Returns how many."""

    def step(s: Storage) -> int:
        rows = s.execute(
            "SELECT done_at, id, body IS NULL FROM done WHERE queue = ? LIMIT ?", (queue._id, DROPPED_AT_ONCE)
        ).fetchall()
        for done_at, number, _ in rows:
            s.execute("DELETE FROM done WHERE queue = ? AND done_at = ? AND id = ?", (queue._id, done_at, number))
        long = [number for _, number, is_long in rows if is_long]
        if long:
            statements.forget(s, queue._id, long)
        return len(rows)

    dropped = 0
    while count := queue._storage.run(step, queue._is_synced):
        dropped += count
    return dropped
