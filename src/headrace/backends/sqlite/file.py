"""``QueueFile``: a queue file with all that this process keeps for it; the files that are open; forks; the end."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections import deque
from importlib import import_module

import apsw

from headrace.backends.sqlite import statements
from headrace.backends.sqlite.connecting import check_header, check_place, connect
from headrace.backends.sqlite.housekeeper import Housekeeper
from headrace.backends.sqlite.lanes import Lanes
from headrace.backends.sqlite.owners import Owner
from headrace.backends.sqlite.side import Side
from headrace.backends.sqlite.storage import Storage
from headrace.errors import StorageError
from headrace.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from headrace.backends.sqlite.storage import Batch

    Key: TypeAlias = tuple[int, int, float]
    # The queue, the owner that holds the item, and the item.
    Settled: TypeAlias = tuple[int, int, int]

__all__ = ["ACK_SECONDS", "CHANGING", "QueueFile", "open_file"]

# A settlement rides with the next transaction, or is written after so many seconds. One that a crash takes with it
# means that the item is done twice.
ACK_SECONDS = 0.05

NOTHING_SENT: tuple[Batch | None, list[Settled]] = (None, [])


class QueueFile:
    """An open file. Shared by all queue objects of the process that have it open in the same way."""

    def __init__(self, path: str, key: Key | None, *, lease: float) -> None:
        self.path = path
        self.key = key
        self.side = Side(path + "-headrace")
        try:
            self.storage = Storage(path, self.side, lambda: connect(path, self.side))
        except BaseException:
            self.side.close()
            raise
        self.storage.before = self._write_settled
        self.owner = Owner(self.storage, lease)
        self.housekeeper = Housekeeper(self)
        self.users = 0
        # What was settled and is not written yet. Appended to by anybody, taken out by who leads a transaction.
        self.settled: deque[Settled] = deque()
        # What is in the transaction at work, or in the last one, and that one.
        self._sent: tuple[Batch | None, list[Settled]] = NOTHING_SENT
        # Where coroutines have their transactions made.
        self.lanes = Lanes(self)
        self.is_abandoned = False
        self.children_may_not = False

    # -- settlements -----------------------------------------------------------------------------

    def settle_soon(self, queue: int, owner: int, number: int) -> None:
        """An item is done: that is written with the next transaction, or in a moment."""
        self.settled.append((queue, owner, number))
        self.housekeeper.write_soon()

    def settle_many_soon(self, queue: int, owner: int, numbers: list[int]) -> None:
        """The same for several."""
        self.settled.extend([(queue, owner, number) for number in numbers])
        self.housekeeper.write_soon()

    def write(self) -> None:
        """Write what was settled, now."""
        if self.settled or not self._is_written():
            self.storage.run(lambda s: None)

    def _is_written(self) -> bool:
        batch, sent = self._sent
        return not sent or (batch is not None and batch.is_committed)

    def _write_settled(self, s: Storage) -> None:
        batch, sent = self._sent
        if not sent and not self.settled:
            return
        if batch is not None and batch.is_committed:
            sent = []
        new = list(self.settled)
        if not new and not sent:
            self._sent = NOTHING_SENT
            return
        everything = sent + new
        self._sent = (s.batch, everything)
        # Should an interrupt end this early, the rest is sent twice, and the second time changes nothing.
        for _ in new:
            self.settled.popleft()
        groups: dict[tuple[int, int], dict[int, None]] = {}
        for queue, owner, number in everything:
            groups.setdefault((queue, owner), {})[number] = None
        for (queue, owner), numbers in groups.items():
            done = statements.settle(s, queue, owner, list(numbers))
            if done < len(numbers):
                log().warning(
                    "%s: %d items were settled too late: their leases had run out, and they may be done twice",
                    self.path,
                    len(numbers) - done,
                )

    # -- the end ---------------------------------------------------------------------------------

    def release(self) -> None:
        """One user less. The last one closes the file."""
        with CHANGING:
            self.users -= 1
            if self.users > 0 or self.is_abandoned:
                return
            if self.key is not None and _open.get(self.key) is self:
                del _open[self.key]
            # A fork must see to it until it is closed.
            _closing.append(self)
        try:
            self.close()
        finally:
            with CHANGING:
                _closing.remove(self)

    def release_soon(self) -> None:
        """One user less, said by a destructor: the housekeeper closes the file if it was the last."""
        self.housekeeper.release()

    def close(self) -> None:
        """Write what is to be written, give back what is held, close the file."""
        self.housekeeper.stop()
        storage = self.storage
        try:
            if not storage.is_closed and (self.owner.number or self.settled):
                storage.run(self._leave)
        except StorageError as error:
            log().warning("%s", error)
        try:
            if storage.hold():
                try:
                    storage.disconnect(for_good=True)
                finally:
                    storage.let_go()
        except apsw.Error as error:  # the log stays, and is read when the file is opened again
            log().warning("%s: %s", self.path, error)
        finally:
            self.side.close()

    def _leave(self, s: Storage) -> None:
        if self.owner.number:
            self.owner.leave(s)

    # -- forks -----------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """SQLite does not bear a fork with the file open: what it remembers of locks would be wrong in the child."""
        if self.storage.hold():
            self.storage.disconnect(for_good=self.storage.is_closed)
        else:
            self.children_may_not = True

    def after_fork_in_parent(self) -> None:
        """It is opened again when it is next used."""
        if self.children_may_not:
            self.children_may_not = False
        else:
            self.storage.let_go()

    def after_fork_in_child(self) -> None:
        """This file is the parent's. Its locks are shared with us as long as we have it open."""
        self.is_abandoned = True
        if self.children_may_not:
            self.storage.abandon()
        self.side.abandon()
        self.housekeeper.forget()


_open: dict[Key, QueueFile] = {}
_closing: list[QueueFile] = []
# Those that were opened in the parent of this process: kept, so that nobody finalizes them.
_abandoned: list[QueueFile] = []
# Held to open and close files, and during a fork.
CHANGING = threading.RLock()


def open_file(path: str, *, lease: float) -> QueueFile:
    """The file at *path*, opened now unless it is open. Each call is one user more.

    Raises StorageError.
    """
    # Without links, as SQLite sees it: what lies beside it is found by its name.
    path = os.path.realpath(path)
    with CHANGING:
        key = _key(path, lease)
        file = None if key is None else _open.get(key)
        if file is None:
            check_place(path)
            if not any(path == other.path for other in _open.values()):
                check_header(path)
            file = QueueFile(path, key, lease=lease)
            file.key = _key(path, lease)
            assert file.key is not None
            _open[file.key] = file
        file.users += 1
        _close_at_the_end()
        return file


def _key(path: str, lease: float) -> Key | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, lease)


_has_arranged = -1


def _close_at_the_end() -> None:
    """Have the files closed when this process ends. Processes of multiprocessing end without telling atexit."""
    global _has_arranged  # noqa: PLW0603 - which process it was done in
    if _has_arranged == os.getpid():
        return
    if _has_arranged < 0:
        atexit.register(_close_all)
    _has_arranged = os.getpid()
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util.Finalize(None, _close_all, exitpriority=0)


def _before_fork() -> None:
    if _open or "headrace.serializers.messagepack" in sys.modules:
        # Another thread may be in the middle of loading it for its first item; in the child it would never be ready.
        import_module("headrace.serializers.messagepack")
    CHANGING.acquire()
    for file in [*_open.values(), *_closing]:
        file.before_fork()


def _after_fork_in_parent() -> None:
    for file in [*_open.values(), *_closing]:
        file.after_fork_in_parent()
    CHANGING.release()


def _after_fork_in_child() -> None:
    # Another thread of the parent may have held it.
    CHANGING._at_fork_reinit()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    for file in [*_open.values(), *_closing]:
        file.after_fork_in_child()
        _abandoned.append(file)
    _open.clear()
    _closing.clear()


def _close_all() -> None:
    for file in list(_open.values()):
        try:
            file.close()
        except Exception as error:  # the interpreter ends: the others shall be closed too
            log().warning("%s: %s", file.path, error)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
