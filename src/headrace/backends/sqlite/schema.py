"""The tables of a queue file, how they are made, and which files are refused.

Look into a file with any SQLite shell, read-only (``sqlite3 -readonly jobs.db``), never from a process that has it open
through Headrace. An item is in one of four tables, by what can happen to it next: ``ready``, ``delayed``, ``leased``,
``dead``. Each is ordered by what it is asked for, so that no further index has to be kept, and an item is moved and not
marked: what is taken leaves the table that is searched.

Times are microseconds since the epoch. ``position`` is the place of an item among those of its priority, ``id`` its
number for good. ``queue`` has the counters of each table, kept in the same transactions.
"""

# apsw's annotations leave some types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import apsw

__all__ = ["APPLICATION_ID", "ITEM", "VERSION", "FileRefused", "newer_version", "prepare"]

# "Hdrc": what `file` and PRAGMA application_id tell of a file.
APPLICATION_ID = 0x48647263
VERSION = 1

# What every table of items has, in this order: see statements.py.
ITEM = (
    "id, priority, position, deliveries, serializer, body, put_at, expires_at, key, headers, first_failed_at, history"
)

_ITEM_COLUMNS = """
    id INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    position INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,  -- how often it was handed to a consumer
    serializer INTEGER NOT NULL,  -- 1 MessagePack, 2 JSON, 3 bytes, 4 pickle, 5 cloudpickle
    body BLOB,                    -- NULL: it is long, and in the table large
    put_at INTEGER NOT NULL,
    expires_at INTEGER,
    key BLOB,                     -- of which only one item is unfinished
    headers TEXT,                 -- JSON: what a listener attached
    first_failed_at INTEGER,
    history TEXT                  -- JSON: [[when, why], ...] for each time that it came back
"""

TABLES = f"""
CREATE TABLE queue(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    maxsize INTEGER NOT NULL DEFAULT 0,
    max_deliveries INTEGER NOT NULL DEFAULT 5,
    keep_dead INTEGER,            -- microseconds; NULL: for good
    keep_done INTEGER NOT NULL DEFAULT 0,
    paused INTEGER NOT NULL DEFAULT 0,
    sequence INTEGER NOT NULL DEFAULT 0,   -- the last id or position that was given
    waiting INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0,
    leased INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0,
    keyed INTEGER NOT NULL DEFAULT 0,
    large INTEGER NOT NULL DEFAULT 0,
    put_total INTEGER NOT NULL DEFAULT 0,
    get_total INTEGER NOT NULL DEFAULT 0,
    done_total INTEGER NOT NULL DEFAULT 0,
    dropped_total INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE ready(queue INTEGER NOT NULL, {_ITEM_COLUMNS},
    PRIMARY KEY(queue, priority, position)) STRICT, WITHOUT ROWID;
CREATE INDEX ready_expires ON ready(expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE delayed(queue INTEGER NOT NULL, ready_at INTEGER NOT NULL, {_ITEM_COLUMNS},
    PRIMARY KEY(queue, ready_at, position)) STRICT, WITHOUT ROWID;
CREATE TABLE leased(queue INTEGER NOT NULL, owner INTEGER NOT NULL, {_ITEM_COLUMNS},
    PRIMARY KEY(queue, id)) STRICT, WITHOUT ROWID;
CREATE TABLE dead(queue INTEGER NOT NULL, died_at INTEGER NOT NULL, error TEXT NOT NULL, traceback TEXT NOT NULL,
    {_ITEM_COLUMNS}, PRIMARY KEY(queue, id)) STRICT, WITHOUT ROWID;
CREATE INDEX dead_died ON dead(queue, died_at);
CREATE TABLE done(queue INTEGER NOT NULL, done_at INTEGER NOT NULL, {_ITEM_COLUMNS},
    PRIMARY KEY(queue, done_at, id)) STRICT, WITHOUT ROWID;
-- Bodies that are too long to be moved from table to table.
CREATE TABLE large(queue INTEGER NOT NULL, id INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY(queue, id)) STRICT, WITHOUT ROWID;
-- The keys of unfinished items.
CREATE TABLE key(queue INTEGER NOT NULL, key BLOB NOT NULL, id INTEGER NOT NULL,
    PRIMARY KEY(queue, key)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX key_id ON key(queue, id);
-- The processes that have leases or may take some: see owners.py.
CREATE TABLE owner(id INTEGER PRIMARY KEY AUTOINCREMENT, slot INTEGER NOT NULL, side INTEGER NOT NULL,
    pid INTEGER NOT NULL, started_at INTEGER NOT NULL, lease INTEGER NOT NULL) STRICT;
-- What `headrace run --queue` has put, by content: see ledger.py.
CREATE TABLE ledger(queue INTEGER NOT NULL, digest BLOB NOT NULL, total INTEGER NOT NULL, run INTEGER NOT NULL,
    seen INTEGER NOT NULL, base INTEGER NOT NULL, PRIMARY KEY(queue, digest)) STRICT, WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""

# How a file of version N becomes one of version N + 1: statements, run in one transaction with all that follow.
MIGRATIONS: dict[int, str] = {}


class FileRefused(Exception):
    """The file is not one that this version may touch. The message says why."""


def newer_version(version: int) -> str:
    """Why a file of a *version* that is to come is refused."""
    return f"it was written by a newer Headrace (schema {version}; this one knows up to {VERSION}): update headrace"


def prepare(connection: apsw.Connection) -> None:
    """Make the tables if the file is empty, migrate them if they are old. In a transaction of the caller's.

    Raises:
        FileRefused: it is somebody else's file, or of a newer version. Nothing was changed.
    """
    application = connection.pragma("application_id")
    version: int = connection.pragma("user_version")
    if application == 0 and version == 0 and not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall():
        connection.execute(TABLES).fetchall()
        return
    if application != APPLICATION_ID:
        raise FileRefused(
            "it is a database of another program (its application_id is "
            f"{application}): a queue wants a file of its own"
        )
    if version > VERSION:
        raise FileRefused(newer_version(version))
    for step in range(version, VERSION):
        connection.execute(MIGRATIONS[step]).fetchall()
        connection.execute(f"PRAGMA user_version = {step + 1}").fetchall()
