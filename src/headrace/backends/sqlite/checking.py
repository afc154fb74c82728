"""Whether a queue file is whole: SQLite's own check, and every counter recounted.

What should hold of the tables is said here once, as queries that find what does not.
"""

# apsw's annotations leave some types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os

import apsw

from headrace.backends.sqlite.explained import explained
from headrace.backends.sqlite.schema import APPLICATION_ID, VERSION
from headrace.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from headrace.backends.sqlite.storage import Storage

__all__ = ["check", "problems"]

# The counters of ``queue``, and the table whose rows each of them counts.
COUNTERS = {
    "waiting": "ready",
    "delayed": "delayed",
    "leased": "leased",
    "dead": "dead",
    "keyed": "key",
    "large": "large",
}
HOLDING = ("ready", "delayed", "leased", "dead")
UNFINISHED = ("ready", "delayed", "leased")
EVERYWHERE = (*HOLDING, "done")
BUSY_MS = 10_000
# Of each kind of problem so many are told.
MOST_TOLD = 20


def _all(tables: tuple[str, ...], columns: str, where: str = "1") -> str:
    return " UNION ALL ".join(f"SELECT {columns} FROM {table} WHERE {where}" for table in tables)


# What each row means (its columns go into the text) that a query finds, and that must not be there.
RULES: dict[str, str] = {
    "queue {0}: the item {1} is there {2} times": f"""
        SELECT queue, id, count(*) FROM ({_all(HOLDING, "queue, id")}) GROUP BY queue, id HAVING count(*) > 1""",
    "queue {0}: the long body of the item {1} is missing": f"""
        SELECT queue, id FROM ({_all(EVERYWHERE, "queue, id", "body IS NULL")}) EXCEPT SELECT queue, id FROM large""",
    "queue {0}: there is a long body of an item {1}, and no such item": f"""
        SELECT queue, id FROM large EXCEPT SELECT queue, id FROM ({_all(EVERYWHERE, "queue, id", "body IS NULL")})""",
    "queue {0}: a key is held by an item {1}, which is not unfinished": f"""
        SELECT queue, id FROM key EXCEPT SELECT queue, id FROM ({_all(UNFINISHED, "queue, id")})""",
    "queue {0}: the item {1} does not hold its key": f"""
        SELECT queue, id FROM ({_all(UNFINISHED, "queue, id, key", "key IS NOT NULL")}) AS item
        WHERE NOT EXISTS (SELECT 1 FROM key WHERE queue = item.queue AND id = item.id AND key = item.key)""",
    "there are items of a queue {0}, and no such queue": f"""
        SELECT DISTINCT queue FROM ({_all(EVERYWHERE, "queue")}) EXCEPT SELECT id FROM queue""",
    "queue {0}: an item has the number {1}, and only {2} were given": f"""
        SELECT item.queue, max(item.id), sequence FROM ({_all(EVERYWHERE, "queue, id")}) AS item
        JOIN queue ON queue.id = item.queue GROUP BY item.queue HAVING max(item.id) > sequence""",
    "queue {0}: items are leased to {1}, which is no owner: nobody would give them back": """
        SELECT DISTINCT queue, owner FROM leased WHERE owner NOT IN (SELECT id FROM owner)""",
}


def check(path_or_queue: Any) -> list[str]:
    """The problems of a queue file, each in a sentence; none if it is whole.

    Reads all of it, in one look: others may go on using it meanwhile. Nothing is changed.

    Args:
        path_or_queue: the file's path, or a queue that is open (what it has settled is written first).

    Raises StorageError: there is no such file, or it cannot be read.
    """
    file = getattr(path_or_queue, "_file", None)
    if file is not None:
        file.write()
        path_or_queue = path_or_queue.path
    path = os.fspath(path_or_queue)
    if not os.path.isfile(path):
        raise StorageError(f"{path}: there is no such file")
    connection: apsw.Connection | None = None
    try:
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(BUSY_MS)
        return problems(connection)
    except apsw.Error as error:
        raise explained(error, path) from error
    finally:
        if connection is not None:
            connection.close(True)


def problems(storage: Storage | apsw.Connection) -> list[str]:
    """The same for a file that is open: of a connection of one's own, or behind all other threads."""
    if isinstance(storage, apsw.Connection):
        return list(_damaged(storage))
    found: list[str] = storage.run(lambda s: list(_damaged(s.connection)))
    return found


def _damaged(connection: apsw.Connection) -> Iterator[str]:
    """As ``_problems``, and what keeps SQLite from reading on is one too."""
    begun = not connection.in_transaction
    try:
        if begun:
            connection.execute("BEGIN").fetchall()
        yield from _problems(connection)
    except (apsw.CorruptError, apsw.NotADBError) as error:
        yield f"it cannot be read on: {error}"
    finally:
        if begun and connection.in_transaction:
            connection.execute("ROLLBACK").fetchall()


def _problems(connection: apsw.Connection) -> Iterator[str]:
    application, version = connection.pragma("application_id"), connection.pragma("user_version")
    if application != APPLICATION_ID:
        yield f"it is no queue file: its application_id is {application}"
        return
    if version != VERSION:
        yield f"its schema is {version}, and this Headrace knows {VERSION}"
        return
    for (told,) in _rows(connection, f"PRAGMA integrity_check({MOST_TOLD})"):
        if told != "ok":
            yield f"SQLite: {told}"
    yield from _miscounted(connection)
    for meaning, query in RULES.items():
        for row in _rows(connection, f"{query} LIMIT {MOST_TOLD}"):
            yield meaning.format(*row)


def _miscounted(connection: apsw.Connection) -> Iterator[str]:
    for counter, table in COUNTERS.items():
        rows = _rows(
            connection,
            f"SELECT id, name, {counter}, (SELECT count(*) FROM {table} WHERE {table}.queue = queue.id) FROM queue",
        )
        for number, name, told, there in rows:
            if told != there:
                yield f"queue {number} ({name!r}): {told} are counted as {counter}, and {there} are there"


def _rows(connection: apsw.Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()
