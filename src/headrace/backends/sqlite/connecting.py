"""How a queue file is opened, and which are refused before anything is touched."""

# apsw's annotations leave some types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
import stat
from time import monotonic, sleep

import apsw

from headrace.backends.sqlite.explained import explained
from headrace.backends.sqlite.schema import APPLICATION_ID, VERSION, FileRefused, newer_version, prepare
from headrace.backends.sqlite.storage import BUSY_MS, CHECKPOINT_PAGES
from headrace.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from headrace.backends.sqlite.side import Side

__all__ = ["check_place", "connect"]

# Where several machines may write, or the shared memory of a write-ahead log is not shared.
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ceph", "glusterfs", "lustre", "ncpfs", "ocfs2", "gfs2"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "virtiofs", "vboxsf"}
)
CACHE_KIB = 16_384
# Of new files. A commit writes whole pages: smaller ones make single puts cheaper, and long bodies dearer.
PAGE_SIZE = 2048
HEADER = 100  # bytes
MAGIC = b"SQLite format 3\0"


def check_place(path: str) -> None:
    """Raise StorageError unless a queue file can be at *path*."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise StorageError(f"{path} is a folder: name a file in it, as in {os.path.join(path, 'jobs.db')}")
    if not os.path.isdir(folder):
        raise StorageError(f"{path}: there is no folder {folder}: make it first")
    for name in (folder, path):
        if os.path.exists(name) and not os.access(name, os.W_OK):
            raise StorageError(f"{path}: {name} cannot be written: a queue needs the file and its folder")
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise StorageError(f"{path} is no regular file")
    if os.path.exists(path) and os.stat(path).st_nlink > 1:
        raise StorageError(
            f"{path} has another name too (a hard link): who opens it under that does not know of us; copy the file"
        )
    kind = file_system(folder)
    if kind in NETWORK:
        raise StorageError(
            f"{path} is on a network file system ({kind}), on which locks and shared memory do not hold: keep the "
            "queue on a local disk"
        )


def file_system(folder: str) -> str:
    """The type of the file system that *folder* is on; "" where the system does not say."""
    folder = os.path.realpath(folder)
    kind, longest = "", -1
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                left, _, right = line.partition(" - ")
                mounted_at = left.split()[4].replace("\\040", " ")
                is_above = folder == mounted_at or folder.startswith(mounted_at.rstrip("/") + "/")
                if is_above and len(mounted_at) >= longest:
                    kind, longest = right.split()[0], len(mounted_at)
    except (OSError, IndexError):
        return ""
    return kind


def check_header(path: str) -> None:
    """Raise StorageError if *path* is a file that is no queue's. It is only read."""
    try:
        with open(path, "rb") as file:
            header = file.read(HEADER)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    # Of zeros: what a power cut leaves of a file that was just being made, and SQLite has a journal that says so.
    if not header.strip(b"\0"):
        return
    if not header.startswith(MAGIC):
        raise StorageError(f"{path} is not a database: a queue wants a file of its own, and this one was left alone")
    application = int.from_bytes(header[68:72], "big")
    if application != APPLICATION_ID:
        raise StorageError(
            f"{path} is a database of another program (its application_id is {application}): a queue wants a file of "
            "its own, and this one was left alone"
        )
    version = int.from_bytes(header[60:64], "big")
    if version > VERSION:
        raise StorageError(f"{path}: {newer_version(version)}; it was left alone")


def connect(path: str, side: Side) -> apsw.Connection:
    """A connection to the queue file, which is made if it is not there.

    Raises StorageError.
    """
    connection: apsw.Connection | None = None
    try:
        connection = apsw.Connection(path, statementcachesize=128)
        connection.set_busy_timeout(BUSY_MS)
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}").fetchall()
        # The tables first: so the header of the file itself tells what it is, whatever becomes of the log.
        _prepare(connection, side)
        _use_write_ahead_log(connection, path)
        for pragma in (
            # Not OFF, whatever durability was asked for: the log is copied into the database for all, and a copy that
            # nobody waited for is what others lose.
            "synchronous = NORMAL",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            f"journal_size_limit = {CHECKPOINT_PAGES * PAGE_SIZE}",
            f"cache_size = -{CACHE_KIB}",
            "trusted_schema = OFF",
            "checkpoint_fullfsync = ON",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection
    except FileRefused as refusal:
        if connection is not None:
            connection.close(True)
        raise StorageError(f"{path}: {refusal}; it was left alone") from None
    except apsw.Error as error:
        if connection is not None:
            connection.close(True)
        raise explained(error, path) from error


def _use_write_ahead_log(connection: apsw.Connection, path: str) -> None:
    """Switch it on. SQLite does not wait here when others are just opening the file."""
    give_up_at = monotonic() + BUSY_MS / 1000
    while True:
        try:
            mode = connection.pragma("journal_mode", "wal")
            break
        except apsw.BusyError:
            if monotonic() > give_up_at:
                raise
            sleep(0.002)
    if mode != "wal":
        raise StorageError(f"{path}: this file system has no shared memory for a write-ahead log: use a local disk")


def _prepare(connection: apsw.Connection, side: Side) -> None:
    if connection.pragma("user_version") == VERSION and connection.pragma("application_id") == APPLICATION_ID:
        return
    side.enter()
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            prepare(connection)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    finally:
        side.leave()
