"""``FileQueue``: a queue in a file, under the names and with the meanings of ``queue.Queue``."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from contextlib import contextmanager, suppress
from datetime import datetime
from time import monotonic, time, time_ns
from weakref import finalize

from headrace.backends.memory.python import deadline_after, remaining_until
from headrace.backends.sqlite import bell, statements
from headrace.backends.sqlite.delivery import Delivery
from headrace.backends.sqlite.file import open_file
from headrace.backends.sqlite.prefetch import Prefetch
from headrace.backends.sqlite.settings import Settings
from headrace.backends.sqlite.side import DRAINED, ITEMS, SPACE, word
from headrace.contract import Stats
from headrace.errors import DecodeError, Empty, Full, LeaseLost, ShutDown, StorageError, TakingStopped
from headrace.generic import Subscriptable, T
from headrace.serializers import decoder_by_code, serializer_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Literal

    from headrace.backends.sqlite.dead import FileDeadLetter, FileDeadLetters
    from headrace.backends.sqlite.file import QueueFile
    from headrace.backends.sqlite.statements import Claimed, Put
    from headrace.backends.sqlite.storage import Storage
    from headrace.lease import Lease

__all__ = ["FileQueue"]

# Whoever waits looks again after so many seconds, although nobody has rung: for programs that write into the file
# without Headrace, and for processes that were killed with a wake-up in hand.
SAFETY_SECONDS = 1.0
# Items that one transaction puts or claims.
MOST_AT_ONCE = 10_000
# Items, and seconds, that put_many draws from an iterator before it puts them.
MOST_DRAWN = 1000
DRAWING_SECONDS = 0.005

OPEN, DRAINING, ENDED = range(3)


class FileQueue(Subscriptable[T]):
    """A queue in a file, for any number of threads and processes of this machine. Made by ``headrace.open``.

    It has the methods of ``queue.Queue``. What ``put`` has returned from is in the file, as safe as *durability* says.
    What ``get`` returns is leased: it is the queue's again if this process dies before ``task_done``, or is stopped for
    longer than *lease* seconds. So an item is delivered at least once, and twice only where a lease was lost.

    ``shutdown`` ends this object, not the queue in the file, which outlives all objects: its ``put`` raises, its ``get``
    raises when nothing waits any more, and other objects and processes go on. ``shutdown(immediate=True)`` takes no
    more although items wait: they stay in the file.

    Attributes:
        name: of the queue in its file.
        path: of the file.
        durability: what ``put`` waits for: ``"power"``: that the item is on disk; ``"process"``: that the item
            survives the death of all processes (a power cut may take the last moments); ``"none"``: the same, and a
            power cut may take the file.

    All methods may be called from any thread. After a fork the child opens the file anew by itself; what the parent
    holds stays the parent's.
    """

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        settings = Settings(**options)
        settings.check()
        self.path = path
        self.name = settings.queue
        self.durability = settings.durability
        self._settings = settings
        self._serializer = serializer_for(settings.serializer, settings.type)
        self._encode = self._serializer.encode
        self._code = self._serializer.code
        self._readable = frozenset({self._code})
        self._is_synced = settings.durability == "power"
        self._state = OPEN
        self._is_closed = False
        self._opening = threading.Lock()
        self._open()
        self._file.storage.run(self._apply_settings)

    # -- opening ---------------------------------------------------------------------------------

    def _open(self) -> None:
        settings = self._settings
        self._file: QueueFile = open_file(
            self.path, is_safe=settings.durability != "none", lease=settings.lease
        )
        self._process = os.getpid()
        try:
            self._id: int = self._file.storage.run(self._find_queue)
        except BaseException:
            self._file.release()
            raise
        self._words = self._file.side.words
        self._items_word = word(self._id, ITEMS)
        self._space_word = word(self._id, SPACE)
        self._drained_word = word(self._id, DRAINED)
        # What get() has taken and task_done() is to settle: for each thread, (item's number, owner's number).
        self._held: dict[int, deque[tuple[int, int]]] = {}
        self._getters: list[int] = []
        self._putters: list[int] = []
        self._prefetch = Prefetch(self)
        # The owner's number under which others were told that we may hold items.
        self._announced = 0
        # An object that nobody has any more gives up what it holds.
        self._finalizer = finalize(self, abandon, self._file, self._id, self._held, self._prefetch.ready, self._process)
        self._finalizer.atexit = False

    def _find_queue(self, s: Storage) -> int:
        rows = s.execute("SELECT id FROM queue WHERE name = ?", (self.name,)).fetchall()
        if rows:
            return int(rows[0][0])
        ((number,),) = s.execute("INSERT INTO queue(name) VALUES(?) RETURNING id", (self.name,)).fetchall()
        return int(number)

    def _apply_settings(self, s: Storage) -> None:
        """Write those that were given: they are the queue's, for all processes."""
        for name, value in self._settings.of_the_queue().items():
            s.execute(f"UPDATE queue SET {name} = ? WHERE id = ?", (value, self._id))
            if name == "maxsize":
                s.ring(self._space_word)

    @property
    def _storage(self) -> Storage:
        """The storage, reopened in a forked child."""
        if self._process != os.getpid():
            self._reopen()
        if self._is_closed:
            raise StorageError(f"{self!r} was closed: open it again")
        return self._file.storage

    def _reopen(self) -> None:
        if self._file.children_may_not:
            raise StorageError(
                f"{self.path}: this process was forked in the middle of its parent's own call on the queue (from a "
                "signal handler): it cannot use the file"
            )
        # The parent's thread may have held it.
        self._opening = threading.Lock()
        self._open()

    def close(self) -> None:
        """Give up this object: what it holds is given back, as further attempts; other objects go on.

        Who waits in one of its methods gets a ``ShutDown``. Closing twice does nothing.
        """
        if self._is_closed:
            return
        if self._process != os.getpid():
            self._is_closed = True
            return
        self.shutdown(immediate=True)
        self._prefetch.end()
        held = [pair for pairs in list(self._held.values()) for pair in list(pairs)]
        self._held.clear()
        for number, owner in held:
            try:
                self._file.storage.run(
                    lambda s, number=number, owner=owner: statements.retry(
                        s, self._id, owner, number, None, "its queue was closed"
                    )
                )
            except LeaseLost:
                pass
        self._is_closed = True
        self._finalizer.detach()
        self._file.write()
        self._file.release()

    def __enter__(self) -> FileQueue[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- putting ---------------------------------------------------------------------------------

    def put(
        self,
        item: T,
        block: bool = True,
        timeout: float | None = None,
        *,
        priority: int = 0,
        delay: float | None = None,
        ttl: float | None = None,
        key: str | None = None,
        on_duplicate: Literal["ignore", "raise", "replace"] = "ignore",
        connection: Any = None,
    ) -> None:
        """Put an item into the queue. On return it is as safe as ``durability`` says.

        Args:
            item: what the serializer can encode.
            block: whether to wait while the queue is full.
            timeout: seconds to wait at most; None is for ever.
            priority: lower ones come out first; equal ones in the order in which they were put.
            delay: seconds after which it is ready. It takes no room before. The clock is that on the wall.
            ttl: time to live: if no consumer has taken it after so many seconds it is dead.
            key: of the unfinished items with the same key there is one: see *on_duplicate*.
            on_duplicate: if an unfinished item has the key: ``"ignore"`` puts nothing; ``"raise"`` raises; ``"replace"``
                drops the other one if it waits, and takes the key from it if a consumer has it.
            connection: an ``apsw.Connection`` of yours to the same file, in a transaction: the item is put when that is
                committed. Never blocks; the bound holds.

        Raises:
            Full: there was no room, or none came in time.
            ShutDown: this object was shut down.
            EncodeError: the item cannot be encoded. Nothing was put.
            DuplicateKey: see *on_duplicate*.
            StorageError: the file failed.
        """
        if self._state:
            raise ShutDown
        row: Put
        if delay is None and ttl is None and key is None and priority == 0:
            row = (self._code, self._encode(item), 0, None, None, None)
            if connection is None:
                self._put_row(row, block, timeout)
                return
            ready_at = None
        else:
            row, ready_at = self._row(item, priority, delay, ttl, key, on_duplicate, None)
        if connection is not None:
            from headrace.backends.sqlite.joining import put_within

            put_within(self, connection, row, on_duplicate, ready_at)
            return
        if key is not None:
            self._put_with(
                lambda s: statements.put_keyed(s, self._id, row, on_duplicate, ready_at), block, timeout
            )
        elif ready_at is not None:
            self._put_with(lambda s: statements.put_delayed(s, self._id, row, ready_at), block, timeout)
        else:
            self._put_row(row, block, timeout)

    def _row(
        self,
        item: Any,
        priority: int,
        delay: float | None,
        ttl: float | None,
        key: str | None,
        on_duplicate: str,
        headers: dict[str, str] | None,
    ) -> tuple[Put, int | None]:
        if not isinstance(priority, int) or not -(2**63) <= priority < 2**63:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"'priority' must be a whole number below 2**63, not {priority!r}: lower ones come out first")
        now = time_ns() // 1000
        ready_at = None if delay is None else now + microseconds("delay", delay)
        expires_at = None if ttl is None else now + microseconds("ttl", ttl)
        if key is not None and not isinstance(key, (str, bytes)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"'key' must be a str or bytes, not {type(key).__name__}: {key!r}")
        if on_duplicate not in ("ignore", "raise", "replace"):
            raise ValueError(f"'on_duplicate' must be 'ignore', 'raise' or 'replace', not {on_duplicate!r}")
        raw_key = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
        text = None if headers is None else json.dumps(headers)
        return (self._code, self._encode(item), priority, expires_at, raw_key, text), ready_at

    def put_at(self, item: T, when: datetime, **more: Any) -> None:
        """Put an item that is ready at a time: a ``datetime`` (one without a zone is local time). *more* as ``put``."""
        if not isinstance(when, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"'when' must be a datetime, not {type(when).__name__}: {when!r}")
        self.put(item, delay=max(0.0, when.timestamp() - time()), **more)

    def put_nowait(self, item: T) -> None:
        """``put(item, block=False)``."""
        self.put(item, False)

    def put_many(
        self, items: Iterable[T], block: bool = True, timeout: float | None = None, *, priority: int = 0
    ) -> None:
        """Put all *items*, in their order, as many in a transaction as there are and as there is room for.

        A list or tuple goes in by ten thousands. From other iterables it draws as many as there is room for, a
        thousand at most, and puts them; sooner, when drawing them takes longer than some milliseconds.

        Raises:
            Full, ShutDown: ``put_count`` of the error says how many went in; ``pending`` holds what had been drawn from
                an iterator already.
            EncodeError: an item cannot be encoded; it and those behind it were not put, and perhaps some before it.
        """
        deadline = deadline_after(timeout) if block else None
        if isinstance(items, (list, tuple)):
            self._put_sequence(items, block, deadline, priority)
        else:
            self._put_iterable(iter(items), block, deadline, priority)

    def _put_sequence(self, items: Any, block: bool, deadline: float | None, priority: int) -> None:
        encode, code = self._encode, self._code
        for start in range(0, len(items), MOST_AT_ONCE):
            some = items[start : start + MOST_AT_ONCE] if len(items) > MOST_AT_ONCE else items
            rows: list[Put] = [(code, encode(item), priority, None, None, None) for item in some]
            try:
                self._put_rows(rows, block, deadline)
            except (Full, ShutDown) as error:
                error.put_count += start
                raise

    def _put_iterable(self, source: Iterator[Any], block: bool, deadline: float | None, priority: int) -> None:
        count = 0
        while True:
            items: list[Any] = []
            rows: list[Put] = []
            problem: BaseException | None = None
            try:
                self._draw(source, items, rows, priority)
            except Exception as error:
                problem = error
            try:
                self._put_rows(rows, block, deadline)
            except (Full, ShutDown) as error:
                error.pending = tuple(items[error.put_count :])
                error.put_count += count
                raise
            count += len(rows)
            if problem is not None:
                raise problem
            if not rows:
                return

    def _draw(self, source: Iterator[Any], items: list[Any], rows: list[Put], priority: int) -> None:
        """Draw as much as there is room for, and encode it."""
        encode, code = self._encode, self._code
        maxsize, waiting = self._counters("maxsize, waiting")
        most = MOST_DRAWN if maxsize <= 0 else max(1, min(maxsize - waiting, MOST_DRAWN))
        if self._state:
            most = 1  # it will be refused
        give_up_at = monotonic() + DRAWING_SECONDS
        for item in source:
            items.append(item)
            rows.append((code, encode(item), priority, None, None, None))
            if len(rows) >= most or monotonic() > give_up_at:
                return

    def _put_rows(self, rows: list[Put], block: bool, deadline: float | None) -> None:
        put = 0
        try:
            while put < len(rows):
                rest = rows[put:] if put else rows

                def step(s: Storage, rest: list[Put] = rest) -> int:
                    return statements.put(s, self._id, rest)

                put += self._put_with(step, block, remaining_until(deadline), sync=False)
        except (Full, ShutDown) as error:
            error.put_count = put
            if put:
                self._sync()
            raise
        if put:
            self._sync()

    def _sync(self) -> None:
        if self._is_synced:
            self._storage.sync()

    def _put_row(self, row: Put, block: bool, timeout: float | None) -> None:
        rows = (row,)
        self._put_with(lambda s: statements.put(s, self._id, rows), block, timeout)

    def _put_with(self, step: Any, block: bool, timeout: float | None, *, sync: bool = True) -> int:
        """Take a step that puts something, when there is room for it. Returns what it does: how many went in."""
        if self._state:
            raise ShutDown
        # As in queue.Queue, a time limit is looked at where there is a bound.
        if timeout is not None and block and self.maxsize > 0:
            deadline_after(timeout)
        is_synced = sync and self._is_synced
        storage = self._storage
        seen = bell.read(self._words, self._space_word)
        put: int = storage.run(step, is_synced)
        if put:
            return put
        return self._put_when_there_is_room(step, block, timeout, seen, is_synced)

    def _put_when_there_is_room(
        self, step: Any, block: bool, timeout: float | None, seen: int, is_synced: bool
    ) -> int:
        deadline = deadline_after(timeout) if block and timeout is not None else None
        if not block:
            raise Full
        with Blocked(self._putters) as blocked:
            while True:
                blocked.begin()
                self._wait(self._space_word, seen, deadline, Full)
                if self._state:
                    raise ShutDown
                seen = bell.read(self._words, self._space_word)
                put: int = self._storage.run(step, is_synced)
                if put:
                    return put

    def _wait(
        self, index: int, seen: int, deadline: float | None, late: type[Exception], longest: float = SAFETY_SECONDS
    ) -> None:
        """Sleep until a word is rung, or for *longest* seconds. Raises *late* behind the deadline."""
        remaining = remaining_until(deadline)
        if remaining is not None and remaining <= 0:
            raise late
        try:
            bell.wait(self._words, index, seen, longest if remaining is None else min(longest, remaining))
        except BaseException:
            # The ring may have been for this thread: let another one have it.
            bell.ring(self._words, index, 1)
            raise

    # -- taking ----------------------------------------------------------------------------------

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the next item under a lease that ``task_done`` settles, in the thread that got it.

        Raises:
            Empty: there was none, or none came in time.
            ShutDown: this object was shut down, and nothing waits any more.
            StorageError: the file failed.
        """
        hand: list[Claimed] = []
        try:
            while True:
                self._claim(1, block, timeout, hand)
                row = hand[0]
                try:
                    item: T = self._decoded(row)
                except DecodeError as error:
                    self._bury_undecodable(row, error)
                    hand.clear()
                    continue
                self._held_here().append((row[2], row[10]))
                return item
        except BaseException as interrupt:
            self._undo_later(hand, interrupt)
            raise

    def get_nowait(self) -> T:
        """``get(block=False)``."""
        return self.get(False)

    def get_many(self, max_items: int, block: bool = True, timeout: float | None = None) -> list[T]:
        """Take up to *max_items* items that are there, in one transaction; wait for the first. Never an empty list.

        Each is leased, and counts for one ``task_done``. Raises as ``get``.
        """
        if not isinstance(max_items, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"'max_items' must be a whole number, not {type(max_items).__name__}: {max_items!r}")
        if max_items < 1:
            raise ValueError(f"'max_items' must be at least 1, not {max_items!r}")
        hand: list[Claimed] = []
        try:
            while True:
                self._claim(min(max_items, MOST_AT_ONCE), block, timeout, hand)
                items: list[T] = []
                good: list[Claimed] = []
                for row in hand:
                    try:
                        items.append(self._decoded(row))
                        good.append(row)
                    except DecodeError as error:
                        self._bury_undecodable(row, error)
                if items:
                    self._held_here().extend([(row[2], row[10]) for row in good])
                    return items
                hand.clear()
        except BaseException as interrupt:
            self._undo_later(hand, interrupt)
            raise

    def _claim(
        self,
        count: int,
        block: bool,
        timeout: float | None,
        hand: list[Claimed],
        stop: list[Any] | None = None,
        alone: bool = False,
    ) -> None:
        """Lease items into *hand*: at least one on return."""
        try:
            deadline = deadline_after(timeout) if block and timeout is not None else None
        except ValueError:
            self._raise_if_drained(stop)
            raise
        storage = self._storage
        withdrawn = False

        def step(s: Storage) -> None:
            hand.clear()
            if withdrawn:
                return
            owner = self._file.owner
            owner.enlist(s)
            hand.extend(statements.claim(s, self._id, owner.number, count, alone))
            if not hand and self._return_lost(s):
                hand.extend(statements.claim(s, self._id, owner.number, count, alone))
            if hand and self._announced != owner.number:
                # Others that wait learn that there is one more process whose death they want to hear of.
                self._announced = owner.number
                s.ring(self._items_word)

        try:
            with Blocked(self._getters) as blocked:
                while True:
                    if stop:
                        raise TakingStopped
                    if self._state == ENDED:
                        raise ShutDown
                    seen = bell.read(self._words, self._items_word)
                    storage.run(step)
                    if hand:
                        if stop:
                            # Told to end meanwhile: it is not begun.
                            raise TakingStopped
                        self._file.housekeeper.start()
                        return
                    self._raise_if_drained(stop)
                    if not block:
                        raise Empty
                    blocked.begin()
                    self._wait(self._items_word, seen, deadline, Empty, self._longest_wait())
        except BaseException:
            withdrawn = True
            raise

    def _return_lost(self, s: Storage) -> int:
        """Have what dead processes held wait again. Returns how many items. A step of a transaction."""
        ((leased,),) = s.execute("SELECT leased FROM queue WHERE id = ?", (self._id,)).fetchall()
        if not leased:
            return 0
        count = self._file.owner.return_leases_of_others(s)
        self._file.housekeeper.watch_owners()
        return count

    def _longest_wait(self) -> float:
        """Until the next delayed item is ready."""
        ((due,),) = self._storage.look("SELECT min(ready_at) FROM delayed WHERE queue = ?", (self._id,))
        if due is None:
            return SAFETY_SECONDS
        return min(SAFETY_SECONDS, max(0.0005, due / 1e6 - time()))

    def _raise_if_drained(self, stop: list[Any] | None) -> None:
        """Raise ShutDown if this object was shut down and nothing more will come."""
        if not self._state:
            return
        waiting, delayed = self._counters("waiting, delayed")
        if waiting or delayed:
            return
        # A pool's consumer stays as long as what another one holds may come back.
        if stop is not None and self._holds_any():
            return
        raise ShutDown

    def _holds_any(self) -> bool:
        self._file.write()
        rows = self._storage.look(
            "SELECT 1 FROM leased WHERE queue = ? AND owner = ? LIMIT 1", (self._id, self._file.owner.number)
        )
        return bool(rows)

    def _decoded(self, row: Claimed) -> Any:
        code = row[4]
        if code == self._code:
            return self._serializer.decode(row[5])
        return decoder_by_code(code, self._readable, self._settings.type).decode(row[5])

    def _bury_undecodable(self, row: Claimed, error: DecodeError) -> None:
        self._file.storage.run(lambda s: statements.bury(s, self._id, row[10], row[2], said(error), ""))

    def _held_here(self) -> deque[tuple[int, int]]:
        thread = threading.get_ident()
        held = self._held.get(thread)
        if held is None:
            held = self._held[thread] = deque()
        return held

    def _undo_later(self, hand: list[Claimed], interrupt: BaseException) -> None:
        """What was claimed was given to nobody, for an interrupt came: it was not delivered."""

        def undo(s: Storage) -> None:
            # The claim may only just have been committed, by another thread.
            for row in hand:
                for held in list(self._held.values()):
                    if (row[2], row[10]) in held:
                        held.remove((row[2], row[10]))
                try:
                    statements.undo(s, self._id, row[10], row[2])
                except LeaseLost:
                    pass
            hand.clear()

        # Ended by itself, as a rule: nothing was claimed.
        if self._process == os.getpid() and (hand or not isinstance(interrupt, Exception)):
            self._file.housekeeper.do(undo)

    def __iter__(self) -> Iterator[T]:
        """The items until the queue is shut down and nothing waits. Each is leased as by ``get``."""
        while True:
            try:
                item = self.get()
            except ShutDown:
                return
            yield item

    @contextmanager
    def item(self, block: bool = True, timeout: float | None = None) -> Iterator[T]:
        """A block that has an item, which is done when it ends, however it does. ``lease`` gives back what fails."""
        lease = self.lease(block, timeout)
        try:
            yield lease.item
        finally:
            lease.done()

    # -- settling --------------------------------------------------------------------------------

    def task_done(self, count: int = 1) -> None:
        """The oldest *count* items that this thread got, and has not settled, are done.

        If it holds no more, those that other threads got are settled, the oldest first. It is written with the next
        transaction, or a twentieth of a second later: what a crash takes of it is done twice.

        Raises:
            ValueError: this object holds fewer items. Nothing was settled.
            LeaseLost: the lease ran out, because this process was stopped for long.
        """
        check_task_count(count)
        pairs = self._unhold(count)
        for place, (number, owner) in enumerate(pairs):
            try:
                self._done(number, owner)
            except LeaseLost:
                for other, its_owner in pairs[place + 1 :]:
                    try:
                        self._done(other, its_owner)
                    except LeaseLost:
                        pass
                raise

    def _unhold(self, count: int) -> list[tuple[int, int]]:
        held = self._held.get(threading.get_ident())
        if held is not None and len(held) >= count:
            return [held.popleft() for _ in range(count)]
        pairs: list[tuple[int, int]] = []
        own = threading.get_ident()
        for thread in sorted(list(self._held), key=lambda one: one != own):
            theirs = self._held[thread]
            while theirs and len(pairs) < count:
                try:
                    pairs.append(theirs.popleft())
                except IndexError:
                    break
        if len(pairs) < count:
            self._held_here().extendleft(reversed(pairs))
            raise ValueError(
                f"task_done({count}) for {len(pairs)} items that this object holds: only what get() returned can be "
                "settled, once"
            )
        return pairs

    def _done(self, number: int, owner: int) -> None:
        file = self._file
        self._check_is_own(owner)
        if file.owner.number == owner and file.owner.is_sure():
            file.settle_soon(self._id, owner, number)
            self._tell_the_end()
            return
        if not self._storage.run(lambda s: statements.settle(s, self._id, owner, [number])):
            raise lost(number)

    def _tell_the_end(self) -> None:
        """If this object was shut down, what it holds may have been the last: let those look who wait for that."""
        if self._state:
            self._file.write()
            bell.ring(self._words, self._items_word)
            bell.ring(self._words, self._drained_word)

    def _check_is_own(self, owner: int) -> None:
        if self._process != os.getpid():
            raise LeaseLost("the item was taken by the process that this one was forked from, and is that one's")
        if self._is_closed:
            raise LeaseLost("the queue was closed, and what it held was given back")

    def join(self, timeout: float | None = None) -> None:
        """Wait until every item of the queue is done or dead, whatever process has it.

        Raises TimeoutError after *timeout* seconds. After ``shutdown(immediate=True)`` it waits only for what this
        object holds.
        """
        self._join(None, timeout)

    def _join(self, stop: list[Any] | None, timeout: float | None = None) -> None:
        deadline = deadline_after(timeout)
        storage = self._storage
        while True:
            if stop:
                raise TakingStopped
            seen = bell.read(self._words, self._drained_word)
            storage.run(self._return_lost)
            unfinished, leased = self._counters("waiting + delayed + leased, leased")
            if not unfinished or (self._state == ENDED and not (leased and self._holds_any())):
                return
            self._wait(self._drained_word, seen, deadline, TimeoutError)

    # -- looking ---------------------------------------------------------------------------------

    def _counters(self, columns: str) -> tuple[Any, ...]:
        storage = self._storage
        self._file.write()
        rows = storage.look(f"SELECT {columns} FROM queue WHERE id = ?", (self._id,))
        if not rows:
            raise StorageError(f"{self.path}: the queue {self.name!r} is not in the file any more: open it again")
        return rows[0]  # type: ignore[no-any-return]

    def qsize(self) -> int:
        """How many items wait, those among them whose delay is over."""
        waiting, delayed = self._counters("waiting, delayed")
        return waiting + (self._due() if delayed else 0)

    def _due(self) -> int:
        ((due,),) = self._storage.look(
            "SELECT count(*) FROM delayed WHERE queue = ? AND ready_at <= ?", (self._id, time_ns() // 1000)
        )
        return int(due)

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        return True

    def __contains__(self, item: object) -> bool:
        raise TypeError("'in' would have to look at every item: ask for peek(), stats() or queue.dead")

    def empty(self) -> bool:
        """Whether no item waits."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether there is no room."""
        maxsize, waiting = self._counters("maxsize, waiting")
        return 0 < maxsize <= waiting

    @property
    def maxsize(self) -> int:
        """The bound on the waiting items; 0 or less is none. Kept in the file, for all. May be assigned."""
        return int(self._counters("maxsize")[0])

    @maxsize.setter
    def maxsize(self, value: int) -> None:
        if not isinstance(value, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"'maxsize' must be a whole number, not {type(value).__name__}: {value!r}")
        self._change("maxsize", value, self._space_word)

    def _change(self, name: str, value: int, index: int) -> None:
        def step(s: Storage) -> None:
            s.execute(f"UPDATE queue SET {name} = ? WHERE id = ?", (value, self._id))
            s.ring(index)

        self._storage.run(step, self._is_synced)

    @property
    def is_paused(self) -> bool:
        """Whether the queue gives out no items: see ``pause``."""
        return bool(self._counters("paused")[0])

    def pause(self) -> None:
        """Have no consumer, in whatever process, get items until ``resume``. Items may be put."""
        self._change("paused", 1, self._items_word)

    def resume(self) -> None:
        """End ``pause``."""
        self._change("paused", 0, self._items_word)

    def peek(self) -> T:
        """The next item, which stays where it is. Raises Empty."""
        for item in self.peek_many(1):
            return item
        raise Empty

    def peek_many(self, max_items: int) -> list[T]:
        """The next items, which stay where they are; what cannot be decoded is left out. Never blocks."""
        self._storage.run(lambda s: statements.promote(s, self._id))
        rows = self._storage.look(
            "SELECT priority, position, id, deliveries, serializer, coalesce(ready.body, large.body) "
            "FROM ready LEFT JOIN large USING (queue, id) WHERE queue = ? ORDER BY priority, position LIMIT ?",
            (self._id, max_items),
        )
        items: list[T] = []
        for row in rows:
            try:
                items.append(self._decoded(row))
            except DecodeError:
                continue
        return items

    def clear(self) -> int:
        """Drop all items that wait or are delayed, and return how many."""
        self._prefetch.give_back()
        return int(self._storage.run(lambda s: statements.clear(s, self._id), self._is_synced))

    def stats(self) -> Stats:
        """One look at the queue. Takes the same time however many items there are."""
        waiting, delayed, leased, maxsize, put, got, dropped, dead = self._counters(
            "waiting, delayed, leased, maxsize, put_total, get_total, dropped_total, dead"
        )
        due = self._due() if delayed else 0
        return Stats(
            waiting + due,
            waiting + delayed + leased,
            maxsize,
            put,
            got,
            dropped,
            len(self._getters),
            len(self._putters),
            self.is_shutdown,
            delayed - due,
            dead,
        )

    # -- the end ---------------------------------------------------------------------------------

    @property
    def is_shutdown(self) -> bool:
        """Whether this object was shut down."""
        return self._state != OPEN

    def shutdown(self, immediate: bool = False) -> None:
        """Put no more with this object, and let its ``get`` raise when nothing waits any more.

        Args:
            immediate: take no more either. What waits stays in the file.
        """
        self._state = max(self._state, ENDED if immediate else DRAINING)
        self._let_look()

    def _let_look(self) -> None:
        for index in (self._items_word, self._space_word, self._drained_word):
            bell.ring(self._words, index)

    # -- leases ----------------------------------------------------------------------------------

    def lease(self, block: bool = True, timeout: float | None = None) -> Lease[T]:
        """Take the next item under a lease of its own. Waits, and raises, as ``get``."""
        from headrace.lease import Lease

        return Lease(self, block, timeout)

    @property
    def dead(self) -> FileDeadLetters:
        """The dead letters: what has failed for good."""
        from headrace.backends.sqlite.dead import FileDeadLetters

        return FileDeadLetters(self)

    def _take(
        self,
        stop: list[Any] | None,
        block: bool = True,
        timeout: float | None = None,
        hand: list[Any] | None = None,
    ) -> Delivery:
        return self._prefetch.take(stop, block, timeout, hand)

    def _delivery(self, row: Claimed) -> Delivery | None:
        """What was claimed, decoded; None if that cannot be, and it is dead now."""
        try:
            item = self._decoded(row)
        except DecodeError as error:
            try:
                self._bury_undecodable(row, error)
            except LeaseLost:
                pass
            return None
        delivery = Delivery(item, row[2], row[3], row[10])
        delivery.priority = row[0]
        delivery.put_at = row[8] / 1e6
        if row[7] is not None:
            delivery.headers = json.loads(row[7])
        if row[9] is not None:
            delivery.first_failed = row[9] / 1e6
        return delivery

    def _settle(self, raw: Delivery) -> None:
        self._done(raw.id, raw.owner)  # type: ignore[arg-type]

    def _retry(
        self, envelope: Delivery, delay: float, error: BaseException | None = None
    ) -> FileDeadLetter | None:
        self._check_is_own(envelope.owner)
        ready_at = time_ns() // 1000 + microseconds("delay", delay) if delay > 0 else None
        why = "given back" if error is None else said(error)
        number = envelope.id
        assert number is not None

        def step(s: Storage) -> bool:
            return statements.retry(s, self._id, envelope.owner, number, ready_at, why, limited=envelope.is_limited)

        is_alive = self._run_or_later(step)
        self._tell_the_end_unless_leading()
        envelope.attempt += 1
        return None if is_alive is not False else self.dead[number]

    def _tell_the_end_unless_leading(self) -> None:
        if not self._file.storage.is_leading():
            self._tell_the_end()

    def _run_or_later(self, step: Any) -> Any:
        """Take a step now; by the housekeeper where this is a destructor that has interrupted a transaction."""
        if self._file.storage.is_leading():
            self._file.housekeeper.do(step)
            return None
        return self._storage.run(step)

    def _put_back(self, envelope: Delivery) -> None:
        self._check_is_own(envelope.owner)
        number = envelope.id
        self._run_or_later(lambda s: statements.undo(s, self._id, envelope.owner, number))
        self._tell_the_end_unless_leading()

    def _bury(self, envelope: Delivery, error: BaseException) -> FileDeadLetter:
        from headrace.backends.memory.dead import said as last_line
        from headrace.backends.sqlite.dead import traceback_of

        self._check_is_own(envelope.owner)
        number = envelope.id
        assert number is not None
        text, traceback = last_line(error).strip(), traceback_of(error)
        self._storage.run(lambda s: statements.bury(s, self._id, envelope.owner, number, text, traceback))
        self._tell_the_end()
        return self.dead[number]

    def _number(self, envelope: Delivery) -> int:
        assert envelope.id is not None
        return envelope.id

    def _extend(self, envelope: Delivery) -> None:
        """A lease is prolonged by this process being alive: see that it is still held."""
        self._check_is_own(envelope.owner)
        file = self._file
        if file.owner.number == envelope.owner and file.owner.is_sure():
            return
        file.owner.beat()
        if not self._storage.look(
            "SELECT 1 FROM leased WHERE queue = ? AND id = ? AND owner = ?", (self._id, envelope.id, envelope.owner)
        ):
            raise lost(self._number(envelope))

    def _put_with_headers(
        self, item: Any, headers: dict[str, str] | None, block: bool, timeout: float | None, **more: Any
    ) -> None:
        if self._state:
            raise ShutDown
        on_duplicate = more.get("on_duplicate", "ignore")
        row, ready_at = self._row(
            item, more.get("priority", 0), more.get("delay"), more.get("ttl"), more.get("key"), on_duplicate, headers
        )
        if more.get("key") is not None:
            self._put_with(lambda s: statements.put_keyed(s, self._id, row, on_duplicate, ready_at), block, timeout)
        elif ready_at is not None:
            self._put_with(lambda s: statements.put_delayed(s, self._id, row, ready_at), block, timeout)
        else:
            self._put_row(row, block, timeout)

    def _begin_taking(self, consumers: int) -> None:
        self._prefetch.begin(consumers)

    def _end_taking(self) -> None:
        self._prefetch.end()

    def _interrupt(self) -> None:
        bell.ring(self._words, self._items_word)
        bell.ring(self._words, self._drained_word)

    def __repr__(self) -> str:
        return f"<FileQueue {self.path}#{self.name}>"


class Blocked:
    """Counts a thread among those that are blocked, from ``begin`` to the end of the block."""

    __slots__ = ("_count", "_has_begun")

    def __init__(self, count: list[int]) -> None:
        self._count = count
        self._has_begun = False

    def begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._count.append(1)

    def __enter__(self) -> Blocked:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_begun:
            self._count.pop()


def abandon(
    file: QueueFile,
    queue: int,
    held: dict[int, deque[tuple[int, int]]],
    ahead: deque[Claimed],
    process: int,
) -> None:
    """A queue object is gone. In a destructor, so everything is left to the housekeeper."""
    if process != os.getpid():
        return

    def give_back(s: Storage) -> None:
        for row in ahead:
            with suppress(LeaseLost):
                statements.undo(s, queue, row[10], row[2])
        for pairs in held.values():
            for number, owner in pairs:
                with suppress(LeaseLost):
                    statements.retry(s, queue, owner, number, None, "its queue object was dropped")

    if ahead or any(held.values()):
        file.housekeeper.do(give_back)
    file.release_soon()


def microseconds(name: str, seconds: float) -> int:
    """Seconds in whole microseconds. Raises unless they are a number, 0 or more."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name!r} must be a number of seconds, not {type(seconds).__name__}: {seconds!r}")
    if not 0 <= seconds < 1e12:
        raise ValueError(f"{name!r} must be a number of seconds, 0 or more, not {seconds!r}")
    return int(seconds * 1e6)


def said(error: BaseException) -> str:
    """An error in a line, as a traceback ends."""
    from headrace.backends.memory.dead import said as last_line

    return last_line(error).strip()


def lost(number: int) -> LeaseLost:
    return LeaseLost(
        f"item {number} is not this process's any more: its lease ran out, and it was given to somebody else or waits "
        "to be; it may be done twice"
    )


def check_task_count(count: object) -> None:
    """Raise unless *count* is a whole number of at least 1."""
    if not isinstance(count, int):
        raise TypeError(f"'count' must be a whole number, not {type(count).__name__}: {count!r}")
    if count < 1:
        raise ValueError(f"'count' must be at least 1, not {count!r}")
