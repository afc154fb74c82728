"""The side file, ``jobs.db-headrace``: what the processes of one queue file share beside the database.

It has four things, none of which has to survive a crash:

- *the gate*: a lock on the whole file (``flock``). Whoever writes holds it, for some microseconds. SQLite's own lock is
  taken by who asks at the right moment, so that of many one may wait for seconds; here the kernel keeps the line.
- *words*: 32-bit numbers in shared memory, on which threads of any process wait (``bell.py``).
- *slots*: for each process that may hold leases, its number, when it was last seen alive, and a lock on one byte, which
  the kernel drops when the process dies, however it dies.
- *marks*: since when somebody is behind the gate. If that was long (a process was stopped there), all others stood
  before it, and could not say that they are alive.

The locks on bytes belong to the open file and not to the process ("open file description locks"), for those of the
process are dropped by any ``close`` of the file in it. A forked child shares them: it closes the file at once, see
``storage.py``.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_UN, flock
from time import monotonic_ns

from headrace.errors import StorageError

__all__ = ["DRAINED", "ITEMS", "SLOTS", "SPACE", "Side", "word"]

_MARKS_AT = 64
# When somebody came through the gate who is inside, or 0; until when silence means nothing. Monotonic nanoseconds.
ENTERED, PATIENT_UNTIL = range(2)
LONG_STAY_NS = 1_000_000_000
PATIENCE_NS = 10_000_000_000  # time for everybody's next sign of life
WORDS = 4096  # bytes where they begin
QUEUES = 1024  # beyond that, queues share words: they are woken for each other's sake
KINDS = 4
ITEMS, SPACE, DRAINED = range(3)
SLOTS = 4096
_SLOTS_AT = WORDS + 4 * KINDS * QUEUES
_SLOT_BYTES = 16  # the owner's number, and when it was seen alive, in nanoseconds of the monotonic clock
SIZE = _SLOTS_AT + SLOTS * _SLOT_BYTES
_LOCKS_AT = 1 << 30  # bytes behind the end: a lock needs none that are there

_HEADER = struct.Struct("@8sQ")
_MAGIC = b"headrace"
_FLOCK = struct.Struct("@hhqqi4x")
_SET_LOCK = getattr(fcntl, "F_OFD_SETLK", None)


def word(queue: int, kind: int) -> int:
    """The index of a queue's word of a kind."""
    return WORDS // 4 + (queue % QUEUES) * KINDS + kind


def refused(path: str, error: OSError) -> StorageError:
    told = StorageError(f"{path}: {error.strerror}: a queue needs this file beside its own")
    told.errno = error.errno
    return told


class Side:
    """An open side file. Used by one thread at a time, but for ``words``.

    Attributes:
        words: the shared memory.
        number: which file this is, for the database: there may be another at the same path one day.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise refused(path, error) from error
        try:
            if os.fstat(self.fd).st_size < SIZE:
                # Only ever longer, so that of two who do it none takes anything away.
                self._lengthen()
            self.words = self._mapped()
            # Each slot is two numbers of 8 bytes. Not written with the struct module, which fills its place with zeros
            # first: who looked just then would take the owner for one that has been silent since the machine's start.
            self._marks = memoryview(self.words)[_MARKS_AT : _MARKS_AT + 16].cast("Q")
            self._is_inside = False
            self._cells = memoryview(self.words)[_SLOTS_AT : _SLOTS_AT + SLOTS * _SLOT_BYTES].cast("Q")
            self.number = self._number()
        except OSError as error:
            os.close(self.fd)
            raise refused(path, error) from error
        except BaseException:
            os.close(self.fd)
            raise

    def _mapped(self) -> mmap.mmap:
        """The file in memory.

        Opened once more for that: a mapping keeps the file open, and with it the locks of that opening; in a forked
        child, where threads may wait on a word, it cannot be closed.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if not os.path.samestat(os.fstat(fd), os.fstat(self.fd)):
                raise OSError(errno.ESTALE, "it was replaced just now")
            return mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)

    def _lengthen(self) -> None:
        """With room on the disk: who touched memory for which there is none would be killed (SIGBUS)."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self.fd, 0, SIZE)
        else:
            os.ftruncate(self.fd, SIZE)

    def _number(self) -> int:
        """The number of this file, given by whoever opens it first."""
        self.enter()
        try:
            magic, number = _HEADER.unpack_from(self.words)
            if magic != _MAGIC:
                number = int.from_bytes(os.urandom(7), "big")
                _HEADER.pack_into(self.words, 0, _MAGIC, number)
            return int(number)
        finally:
            self.leave()

    # -- the gate --------------------------------------------------------------------------------

    def enter(self) -> None:
        """Wait for the gate, and close it behind oneself."""
        flock(self.fd, LOCK_EX)
        now = monotonic_ns()
        marks = self._marks
        if marks[ENTERED]:  # who was here before has died inside
            self._note_stay(now)
        marks[ENTERED] = now
        self._is_inside = True

    def leave(self) -> None:
        """Open it for the next. Also if it was not closed."""
        if self._is_inside:
            self._is_inside = False
            self._note_stay(monotonic_ns())
            self._marks[ENTERED] = 0
        if self.fd >= 0:
            flock(self.fd, LOCK_UN)

    def _note_stay(self, now: int) -> None:
        """If somebody was behind the gate for long, those before it could not say meanwhile that they are alive."""
        if not 0 <= now - self._marks[ENTERED] < LONG_STAY_NS:
            self._marks[PATIENT_UNTIL] = now + PATIENCE_NS

    def is_patient(self) -> bool:
        """Whether the gate was closed for long just before, so that nobody's silence means anything."""
        return 0 < self._marks[PATIENT_UNTIL] - monotonic_ns() <= PATIENCE_NS

    # -- slots -----------------------------------------------------------------------------------

    def try_lock(self, slot: int) -> bool:
        """Lock a slot, unless another process has. True if it is ours now."""
        try:
            self._lock(slot, fcntl.F_WRLCK)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def unlock(self, slot: int) -> None:
        """Let go of a slot."""
        self._lock(slot, fcntl.F_UNLCK)

    def _lock(self, slot: int, kind: int) -> None:
        if _SET_LOCK is None:
            how = fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB
            fcntl.lockf(self.fd, how, 1, _LOCKS_AT + slot)
            return
        fcntl.fcntl(self.fd, _SET_LOCK, _FLOCK.pack(kind, os.SEEK_SET, _LOCKS_AT + slot, 1, 0))

    def slot(self, number: int) -> tuple[int, int]:
        """The owner of a slot, and when it was last seen alive."""
        return self._cells[2 * number], self._cells[2 * number + 1]

    def set_owner(self, number: int, owner: int, seen: int) -> None:
        """Say whose a slot is; 0 is nobody's. Only behind the gate."""
        self._cells[2 * number + 1] = seen
        self._cells[2 * number] = owner

    def beat(self, number: int, seen: int) -> None:
        """Say that the owner of a slot is alive. Touches no more than that: somebody may just be taking its leases."""
        self._cells[2 * number + 1] = seen

    def abandon(self) -> None:
        """In a forked child: the file is the parent's, and so are its locks, as long as we have it open."""
        fd, self.fd = self.fd, -1
        self._is_inside = False
        with suppress(OSError):
            os.close(fd)

    def close(self) -> None:
        """Let go of the file, and with it of its locks. Who still waits on a word keeps the memory."""
        os.close(self.fd)
        try:
            self._cells.release()
            self._marks.release()
            self.words.close()
        except BufferError:
            pass
