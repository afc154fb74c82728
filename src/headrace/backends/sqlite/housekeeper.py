"""``Housekeeper``: the one thread that looks after a queue file for its process.

It says that the process is alive, writes settlements that nobody else has taken along, does what destructors could not,
gives back what was prefetched and not begun, drops what was kept long enough, and hears at once when another process
that holds leases dies (``pidfd_open``, where the system has it).

It sleeps in ``poll`` until the earliest of these, or until it is told of something through a pipe.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from time import monotonic
from weakref import WeakSet, ref

from headrace.backends.sqlite import statements
from headrace.errors import HeadraceError, StorageError
from headrace.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from headrace.backends.sqlite.file import QueueFile
    from headrace.backends.sqlite.storage import Storage

__all__ = ["Housekeeper"]

# Seconds between two looks whether something was kept for long enough.
SWEEP_SECONDS = 60.0
MOST_BEATS_SECONDS = 5.0
# What the disk refused is tried again after so many seconds, and then after twice as many each time.
AGAIN_SECONDS = 0.5
MOST_AGAIN_SECONDS = 5.0


class Housekeeper:
    """Started when there is something to look after.

    Every method may be called from any thread; ``do``, ``release`` and ``nudge`` from a destructor or a signal handler
    too.
    """

    def __init__(self, file: QueueFile) -> None:
        self._file = ref(file)
        self._path = file.path
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._pipe: tuple[int, int] | None = None
        # Steps of transactions that somebody wants done who cannot do them himself.
        self._errands: deque[Callable[[Storage], object]] = deque()
        # One for each user of the file that is gone without having said so.
        self._gone: deque[int] = deque()
        # When settlements are to be written; None where nothing is to be.
        self._write_at: float | None = None
        self._is_stopped = False
        # When something is to be written again that was refused, and how long that was waited for. The thread's own.
        self._again_at = 0.0
        self._patience = AGAIN_SECONDS
        # Processes whose ends are waited for: by their numbers, the descriptor of each. The thread's own.
        self._watched: dict[int, int] = {}
        self._wants_watch = False
        # Those that have prefetched items.
        self.prefetching: WeakSet[Any] = WeakSet()

    # -- what it is told -------------------------------------------------------------------------

    def write_soon(self) -> None:
        """Something was settled: it must be written within a moment, with the next transaction or by itself."""
        if self._write_at is None:
            from headrace.backends.sqlite.file import ACK_SECONDS

            self._write_at = monotonic() + ACK_SECONDS
            self.nudge()

    def do(self, errand: Callable[[Storage], object]) -> None:
        """Do a step of a transaction, soon. A LeaseLost in it is nothing."""
        self._errands.append(errand)
        self.nudge()

    def release(self) -> None:
        """A user of the file is gone."""
        self._gone.append(1)
        self.nudge()

    def watch_owners(self) -> None:
        """Somebody waits for what other processes hold: hear when one of them dies."""
        self._wants_watch = True
        self.nudge()

    def nudge(self) -> None:
        """Have it look, and start it if it is not there."""
        if self._thread is None:
            self.start()
        pipe = self._pipe
        if pipe is not None:
            try:
                os.write(pipe[1], b"\0")
            except OSError:  # it is full: it will look; or closed
                pass

    def start(self) -> None:
        """Start the thread, unless it is there."""
        if self._thread is not None or self._is_stopped or not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                if self._pipe is None:
                    reader, writer = os.pipe()
                    os.set_blocking(reader, False)
                    os.set_blocking(writer, False)
                    self._pipe = (reader, writer)
                thread = threading.Thread(target=self._run, name="headrace housekeeper", daemon=True)
                thread.start()
                self._thread = thread
        except (RuntimeError, OSError):
            # The interpreter ends, or the system has no thread or no descriptor left: somebody else's next call tries
            # again. What a caller has claimed is his all the same.
            pass
        finally:
            self._starting.release()

    def stop(self) -> None:
        """End the thread, and wait for that."""
        self._is_stopped = True
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self.nudge()
            thread.join(10.0)
        pipe, self._pipe = self._pipe, None
        for descriptor in pipe or ():
            os.close(descriptor)
        self._do_errands()

    def forget(self) -> None:
        """In a forked child, where the thread is not."""
        self._is_stopped = True
        pipe, self._pipe = self._pipe, None
        for descriptor in (*(pipe or ()), *self._watched.values()):
            try:
                os.close(descriptor)
            except OSError:
                pass

    # -- what it does ----------------------------------------------------------------------------

    def _run(self) -> None:
        pipe = self._pipe
        assert pipe is not None
        poll = select.poll()
        poll.register(pipe[0], select.POLLIN)
        swept_at = monotonic()
        while not self._is_stopped:
            wait = self._seconds_to_wait(swept_at)
            if wait is None:
                break
            try:
                found = poll.poll(wait * 1000)
                self._look(found, pipe[0], poll)
                self._patience = AGAIN_SECONDS if monotonic() >= self._again_at else self._patience
                self._release_the_gone()
                if monotonic() >= swept_at + SWEEP_SECONDS:
                    swept_at = monotonic()
                    self._in_transaction(statements.drop_expired_records)
            except StorageError as error:
                self._try_again_later(error)
            except Exception:
                log().exception("%s: the housekeeper goes on", self._path)
                threading.Event().wait(0.5)
        for descriptor in self._watched.values():
            os.close(descriptor)
        self._watched.clear()

    def _try_again_later(self, error: StorageError) -> None:
        if self._patience == AGAIN_SECONDS:
            log().warning("%s", error)
        self._again_at = monotonic() + self._patience
        self._patience = min(2 * self._patience, MOST_AGAIN_SECONDS)

    def _seconds_to_wait(self, swept_at: float) -> float | None:
        file = self._file()
        if file is None:
            return None
        beats = min(MOST_BEATS_SECONDS, file.owner.lease_ns / 1e9 / 4)
        now = monotonic()
        file.owner.beat()
        due = [beats, swept_at + SWEEP_SECONDS - now]
        again = self._again_at - now
        if self._write_at is not None:
            due.append(max(self._write_at - now, again))
        due += [queue.stale_at() - now for queue in list(self.prefetching)]
        if self._errands:
            due.append(again)
        return max(0.0, min(due))

    def _look(self, found: list[tuple[int, int]], reader: int, poll: Any) -> None:
        file = self._file()
        if file is None:
            return
        ready = {descriptor for descriptor, _ in found}
        if reader in ready:
            try:
                os.read(reader, 4096)
            except BlockingIOError:
                pass
        file.owner.beat()
        now = monotonic()
        if now >= self._again_at:
            self._do_errands()
            self._write(file, now)
        for queue in list(self.prefetching):
            queue.return_stale()
        self._see_the_dead(file, ready, poll)

    def _write(self, file: QueueFile, now: float) -> None:
        """Write settlements, if it is time."""
        if self._write_at is None or now < self._write_at:
            return
        self._write_at = None
        try:
            file.write()
        except StorageError:
            self._write_at = now
            raise

    def _release_the_gone(self) -> None:
        file = self._file()
        while self._gone and file is not None:
            self._gone.popleft()
            file.release()

    def _do_errands(self) -> None:
        """Those that the disk refuses stay, or items would be held by nobody, for ever. Raises StorageError."""
        while self._errands:
            errand = self._errands.popleft()
            try:
                self._in_transaction(errand)
            except StorageError:
                if not self._is_stopped:
                    self._errands.appendleft(errand)
                    raise
            except HeadraceError:
                pass

    def _in_transaction(self, step: Callable[[Storage], object]) -> None:
        file = self._file()
        if file is not None and not file.storage.is_closed:
            file.storage.run(step)

    # -- the others ------------------------------------------------------------------------------

    def _see_the_dead(self, file: QueueFile, ready: set[int], poll: Any) -> None:
        """Give back what processes held that have died, and watch those that are new."""
        dead = [pid for pid, descriptor in self._watched.items() if descriptor in ready]
        for pid in dead:
            descriptor = self._watched.pop(pid)
            poll.unregister(descriptor)
            os.close(descriptor)
        if dead:
            file.storage.run(file.owner.return_leases_of_others)
        if not self._wants_watch:
            return
        self._wants_watch = False
        pids = {pid for (pid,) in file.storage.look("SELECT pid FROM owner WHERE id <> ?", (file.owner.number,))}
        for pid in pids - self._watched.keys() - {os.getpid()}:
            try:
                descriptor = os.pidfd_open(pid)
            except (
                OSError,
                AttributeError,
            ):  # gone, in another container, or not on this system: the slow look finds it
                continue
            self._watched[pid] = descriptor
            poll.register(descriptor, select.POLLIN)
