"""Errors of SQLite, said so that a user knows what to do."""

from __future__ import annotations

import errno

import apsw

from headrace.errors import StorageError

__all__ = ["explained"]

_KNOWN: tuple[tuple[type[apsw.Error], int, str], ...] = (
    (apsw.FullError, errno.ENOSPC, "the disk is full, and nothing was changed: make room and try again"),
    (apsw.ReadOnlyError, errno.EROFS, "the file or its folder cannot be written: a queue needs both"),
    (apsw.CorruptError, errno.EIO, "the file is damaged: look with headrace check, and restore a copy"),
    (apsw.NotADBError, errno.EINVAL, "it is not a database: a queue wants a file of its own"),
    (apsw.BusyError, errno.EBUSY, "another program has had the file locked for 10 seconds: end it, and try again"),
    (apsw.CantOpenError, errno.ENOENT, "it cannot be opened: is the folder there, and may you write in it?"),
    (apsw.IOError, errno.EIO, "the disk failed, and nothing was changed"),
    (apsw.NoMemError, errno.ENOMEM, "there is no memory left, and nothing was changed"),
    (apsw.TooBigError, errno.EFBIG, "the item is too long: SQLite takes up to 1,000,000,000 bytes"),
)


def explained(error: apsw.Error, path: str) -> StorageError:
    """A StorageError that says what *error* means for the user of the queue file *path*."""
    for kind, number, meaning in _KNOWN:
        if isinstance(error, kind):
            told = StorageError(f"{path}: {meaning} ({error})")
            told.errno = number
            return told
    return StorageError(f"{path}: {error}")
