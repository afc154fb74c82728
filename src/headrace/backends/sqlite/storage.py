"""``Storage``: one queue file, as one process has it open. Every change goes through ``run``.

*One transaction at a time.* The threads of a process line up at a lock, its processes at the gate of the side file.
Whoever comes through does what all threads behind it are waiting to do as well, in one transaction (flat combining:
Hendler, Incze, Shavit, Tzafrir, 2010). A lone thread finds the lock free and hands nothing over.

*Safe on disk.* Commits do not wait for the disk (``synchronous=NORMAL``): what is committed survives the death of
every process, and a power cut leaves the file whole, without the last moments. A put that promises more calls
``fdatasync`` on the write-ahead log after its commit, outside of all locks, so that one call serves everybody who has
committed before it began. That is what ``synchronous=FULL`` does, but for the lock. It would stop being right if the
log could be another file than the one that is open here, and it cannot: SQLite deletes it only when nobody has the
database open.

*Interrupts* (Ctrl-C, a signal handler that raises) may strike between any two instructions. So the fate of a batch is
never noted down, it is read off: who comes next, or the interrupted thread itself, asks the connection whether the
transaction is still open (``_repair``), and there is one word, ``Batch.is_committed``, that says it to all who wait.
"""

# apsw's annotations leave some types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
import threading
from collections import deque
from time import time_ns

import apsw

from headrace.backends.sqlite import bell
from headrace.backends.sqlite.explained import explained
from headrace.errors import HeadraceError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from headrace.backends.sqlite.side import Side

    Operation: TypeAlias = Callable[["Storage"], Any]

__all__ = ["Storage"]

# The write-ahead log is copied into the database, in a commit, when it has so many pages: 8 MB.
CHECKPOINT_PAGES = 4000
# Milliseconds to wait for a writer that does not know the gate.
BUSY_MS = 10_000
# Nanoseconds that nobody looks again whether the file is still there. What was put before it was deleted went with it;
# what is put so shortly after that cannot be told from it.
CHECK_NS = 1_000_000


class Batch:
    """What is done in one transaction."""

    __slots__ = ("has_begun", "is_committed", "number", "rings")

    def __init__(self, number: int) -> None:
        self.number = number
        self.has_begun = False
        self.is_committed = False
        # Words to ring once it is committed, and for how many.
        self.rings: dict[int, int] = {}


class Ticket:
    """Something that a thread wants done."""

    __slots__ = ("batch", "error", "operation", "result")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.batch: Batch | None = None
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.batch is not None and self.batch.is_committed


class Storage:
    """An open queue file. All methods may be called from any thread.

    Attributes:
        execute: the connection's; for operations, in their transaction, alone.
        now: the time of the transaction, in microseconds since the epoch.
        path: of the file.
    """

    def __init__(self, path: str, side: Side, connect: Callable[[], apsw.Connection]) -> None:
        self.path = path
        self.side = side
        self._connect = connect
        self._use(connect())
        self.now = 0
        self.inode = os.stat(path).st_ino
        # Called in each transaction before all else.
        self.before: Callable[[Storage], None] = lambda storage: None
        # Reentrant only so that it can be asked whose it is.
        self._leading = threading.RLock()
        self._is_ours: Callable[[], bool] = getattr(self._leading, "_is_owned")  # noqa: B009 - it is in no type stub
        self._pending: deque[Ticket] = deque()
        # The one at work, whose fate is read off by _repair. Changed by the leader.
        self.batch: Batch | None = None
        self._number = 0
        self._syncing = threading.RLock()
        self._is_syncing: Callable[[], bool] = getattr(self._syncing, "_is_owned")  # noqa: B009
        self._synced = 0
        self._committed = 0
        # When it was last seen that the path leads to this file, on the clock of the wall.
        self._checked_at = 0
        # Why nothing can be promised any more.
        self._broken: OSError | None = None
        self._wal: int | None = None
        self.is_closed = False

    def _use(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.execute: Callable[..., Any] = connection.execute
        self.executemany: Callable[..., Any] = connection.executemany
        # Emptied by SQLite when it rolls back, at our word or by itself at an error, before we hear of that: a call
        # of C alone, so that no interrupt can come in between.
        self._is_whole: list[bool] = []
        connection.set_rollback_hook(self._is_whole.clear)
        self._is_connected = True

    # -- changes ---------------------------------------------------------------------------------

    def run(self, operation: Operation, sync: bool = False) -> Any:
        """Call *operation* in a transaction, and return what it returns when that is committed.

        An operation that raises a HeadraceError must have changed nothing. With *sync*, what was committed is
        safe on disk on return.

        Raises:
            StorageError: the file failed; nothing was changed, unless it says so.
        """
        leading = self._leading
        if self._is_ours():
            self._refuse_nested()
        ticket = Ticket(operation)
        self._pending.append(ticket)
        try:
            with leading:
                if ticket.batch is None or not ticket.batch.is_committed:
                    self._lead(ticket)
        except BaseException:
            self._withdraw(ticket)
            raise
        if ticket.error is not None:
            raise ticket.error
        if sync:
            assert ticket.batch is not None
            self._sync(ticket.batch.number)
        return ticket.result

    def run_all(self, operations: list[Operation]) -> list[Ticket]:
        """Call *operations*, in their order, in one transaction. What came of each is in its ticket.

        Each has its own ``error``: as ``run`` would raise it. Nothing is synced. For threads of ours, where no
        interrupt comes.
        """
        tickets = [Ticket(operation) for operation in operations]
        pending = self._pending
        pending.extend(tickets)
        try:
            with self._leading:
                for ticket in tickets:
                    if not ticket.is_done:
                        self._lead(ticket)  # which does all others that are pending, too
        except BaseException as error:
            for ticket in tickets:
                if not ticket.is_done:
                    ticket.error = error
                    pending.remove(ticket)
        return tickets

    def is_leading(self) -> bool:
        """Whether this thread is in the middle of a transaction: we are in a destructor or a signal handler."""
        return self._is_ours()

    def _refuse_nested(self) -> None:
        if self.is_leading():
            raise StorageError(
                f"{self.path}: a signal handler or a destructor has interrupted this thread in the middle of its own "
                "call on the queue, and cannot use the queue now: put from another thread, or into a queue.SimpleQueue"
            )

    def _withdraw(self, ticket: Ticket) -> None:
        """An interrupt has ended the wait for *ticket*: it is not to be done any more, if it has not been."""
        # It may have come between a commit and the opening of the gate, for which all others wait. Whoever leads now
        # has seen to that first.
        if self.batch is not None and self._leading.acquire(blocking=False):
            try:
                self._repair()
            finally:
                self._leading.release()
        if not ticket.is_done:
            try:
                self._pending.remove(ticket)
            except ValueError:
                pass

    def _lead(self, ticket: Ticket) -> None:
        """Do everything that is pending."""
        if self.batch is not None:
            self._repair()
        tickets = [ticket]
        if len(self._pending) > 1:
            tickets = [one for one in list(self._pending) if not one.is_done]
        try:
            self._do(tickets)
        except Exception as error:
            if len(tickets) == 1:
                if isinstance(error, apsw.Error):
                    raise explained(error, self.path) from error
                raise
            # Of several, each shall have its own verdict: the others' would not be told apart from it.
            for one in tickets:
                self._do_alone(one)
        finally:
            self._forget_done()

    def _do_alone(self, ticket: Ticket) -> None:
        try:
            self._do([ticket])
        except Exception as error:
            ticket.error = error
            if isinstance(error, apsw.Error):
                ticket.error = explained(error, self.path)
                ticket.error.__cause__ = error
            batch = Batch(self._number)
            batch.is_committed = True  # there is nothing more to come
            ticket.batch = batch

    def _forget_done(self) -> None:
        pending = self._pending
        while pending and pending[0].is_done:
            pending.popleft()

    def _do(self, tickets: list[Ticket]) -> None:
        if self.is_closed:
            raise StorageError(f"{self.path} was closed")
        number = self._number = self._number + 1
        batch = Batch(number)
        for ticket in tickets:
            ticket.batch = batch
            ticket.error = None
        self.batch = batch
        try:
            self.side.enter()
            if self.is_closed:
                raise StorageError(f"{self.path} was closed")
            now = time_ns()
            if not self._is_connected or not 0 <= now - self._checked_at < CHECK_NS:
                self._check_file()
                self._checked_at = now
            if not self._is_connected:
                self._use(self._connect())
            self.now = now // 1000
            self._is_whole[:] = (True,)
            self.execute("BEGIN IMMEDIATE")
            batch.has_begun = True
            self.before(self)
            for ticket in tickets:
                try:
                    ticket.result = ticket.operation(self)
                except HeadraceError as error:
                    ticket.error = error
            # Looked up anew: in a child that was forked meanwhile it refuses.
            self.execute("COMMIT")
        finally:
            self._repair()

    def _repair(self) -> None:
        """Find out what became of the batch at work, and leave nothing open. By the leader."""
        batch = self.batch
        if batch is None:
            return
        try:
            if self._is_connected and self.connection.in_transaction:
                self.execute("ROLLBACK")
            elif batch.has_begun and self._is_whole:
                self._committed = batch.number
                batch.is_committed = True
        finally:
            self.side.leave()
        if batch.is_committed:
            for word, count in batch.rings.items():
                bell.ring(self.side.words, word, count)
        self.batch = None

    def ring(self, word: int, count: int = bell.ALL) -> None:
        """Have a word rung once the transaction is committed. For operations."""
        assert self.batch is not None
        rings = self.batch.rings
        rings[word] = min(rings[word] + count, bell.ALL) if word in rings else count

    def _check_file(self) -> None:
        """Raise if the path leads to another file: what was put into this one would be gone with it."""
        try:
            if os.stat(self.path).st_ino == self.inode:
                return
            what = "was replaced by another file"
        except FileNotFoundError:
            what = "was deleted"
        raise StorageError(f"{self.path} {what} while it was open: nothing is put into it any more; open it again")

    # -- the disk --------------------------------------------------------------------------------

    def _sync(self, number: int) -> None:
        """Wait until the batch *number*, which is committed, is safe on disk."""
        if self._synced >= number:
            return
        if self._is_syncing():
            # A signal handler that has interrupted this thread just here: what it has put must be on disk as well.
            sync_data(self._wal_descriptor())
            return
        with self._syncing:
            if self._synced >= number:
                return
            if self._broken is not None:
                raise StorageError(f"{self.path}: {self._broken.strerror}; open the file again") from self._broken
            committed = self._committed
            try:
                sync_data(self._wal_descriptor())
            except OSError as error:
                # What the kernel could not write it has thrown away, and it says so only once.
                self._broken = error
                raise StorageError(
                    f"{self.path}: the disk does not take what was put ({error.strerror}); whether it is there after "
                    "a power cut is not known: open the file again"
                ) from error
            self._synced = committed

    def sync(self) -> None:
        """Wait until all that this process has committed so far is safe on disk. Raises StorageError."""
        self._sync(self._committed)

    # -- looking ---------------------------------------------------------------------------------

    def look(self, statement: str, bindings: tuple[object, ...] = ()) -> list[Any]:
        """The rows that a query finds. Waits for other processes only as long as another thread's transaction does."""
        self._refuse_nested()
        try:
            with self._leading:
                self._repair()
                if self.is_closed:
                    raise StorageError(f"{self.path} was closed")
                if not self._is_connected:
                    self._use(self._connect())
                rows: list[Any] = self.execute(statement, bindings).fetchall()
                return rows
        except apsw.Error as error:
            raise explained(error, self.path) from error

    # -- forks and the end -----------------------------------------------------------------------

    def disconnect(self, *, for_good: bool) -> None:
        """Close the database. With the lock held by who calls; not in the middle of a transaction.

        Args:
            for_good: copy the write-ahead log into the database, if nobody else has it open, and connect no more.
        """
        with self._syncing:
            if self._wal is not None:
                wal, self._wal = self._wal, None
                os.close(wal)
            if for_good:
                self.is_closed = True
            if self._is_connected:
                if not for_good:
                    self.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                self._is_connected = False
                self.connection.close(True)

    def abandon(self) -> None:
        """In a child that was forked in the middle of a transaction: whatever goes on with that goes no further."""

        def refuse(*_: object) -> None:
            raise StorageError(
                f"{self.path}: this process was forked in the middle of a call on it, and has no part in it"
            )

        self.is_closed = True
        self._is_connected = False
        self._is_whole.clear()
        self.execute = self.executemany = refuse
        # Its end would touch what is the parent's: it has none.
        self._immortal = count_up(self.connection)

    def hold(self) -> bool:
        """Keep all other threads out, before a fork. False if this thread is in the middle of a transaction itself."""
        if self.is_leading():
            return False
        self._leading.acquire()
        self._repair()
        return True

    def let_go(self) -> None:
        """Let them in again."""
        self._leading.release()

    def _wal_descriptor(self) -> int:
        if self._wal is None:
            self._wal = os.open(self.path + "-wal", os.O_RDWR | os.O_CLOEXEC)
        return self._wal


def count_up(thing: object) -> bool:
    """Let nobody ever finalize *thing*. False where that cannot be done."""
    try:
        import ctypes
    except ImportError:
        return False
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    return True


def sync_data(descriptor: int) -> None:
    """Have what was written to a file safe on disk. A function of its own, for tests to cut the power at."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
        return
    import fcntl

    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync alone leaves it in the disk's cache
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # pyright: ignore[reportAttributeAccessIssue]
    else:
        os.fsync(descriptor)
