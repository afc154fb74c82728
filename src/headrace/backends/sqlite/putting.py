"""Putting: ``put``, ``put_at``, ``put_many``."""

from __future__ import annotations

import json
from datetime import datetime
from time import monotonic, time, time_ns

from headrace.backends.memory.python import deadline_after, remaining_until
from headrace.backends.sqlite import bell, statements
from headrace.backends.sqlite.handle import Blocked, Handle
from headrace.errors import Full, ShutDown
from headrace.generic import T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Literal

    from headrace.backends.sqlite.statements import Put
    from headrace.backends.sqlite.storage import Operation, Storage

__all__ = ["Putting", "check_when", "microseconds"]

# Items that one transaction puts.
MOST_AT_ONCE = 10_000
# Items, and seconds, that put_many draws from an iterator before it puts them.
MOST_DRAWN = 1000
DRAWING_SECONDS = 0.005


class Putting(Handle[T]):
    """The methods that put."""

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
            ttl: time to live: if it waits after so many seconds, be it for the first time or again, it is dead.
            key: of the unfinished items with the same key there is one: see *on_duplicate*.
            on_duplicate: if an unfinished item has the key: ``"ignore"`` puts nothing; ``"raise"`` raises;
                ``"replace"`` drops the other one if it waits, and takes the key from it if a consumer has it.
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
        if delay is None and ttl is None and key is None and priority == 0 and on_duplicate == "ignore":
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
        self._put_encoded(row, ready_at, on_duplicate, block, timeout)

    def _put_encoded(
        self, row: Put, ready_at: int | None, on_duplicate: str, block: bool, timeout: float | None
    ) -> None:
        self._put_with(self._putting_of(row, ready_at, on_duplicate), block, timeout)

    def _putting_of(self, row: Put, ready_at: int | None, on_duplicate: str) -> Operation:
        """The step of a transaction that puts *row*, if there is room."""
        if row[4] is not None:
            return lambda s: statements.put_keyed(s, self._id, row, on_duplicate, ready_at)
        if ready_at is not None:
            return lambda s: statements.put_delayed(s, self._id, row, ready_at)
        return lambda s: statements.put_one(s, self._id, row)

    def _prepared(
        self,
        item: Any,
        *,
        priority: int = 0,
        delay: float | None = None,
        ttl: float | None = None,
        key: str | None = None,
        on_duplicate: str = "ignore",
        headers: dict[str, str] | None = None,
    ) -> Operation:
        """The step that puts *item*, encoded now, as ``put`` would."""
        row, ready_at = self._row(item, priority, delay, ttl, key, on_duplicate, headers)
        return self._putting_of(row, ready_at, on_duplicate)

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
            raise TypeError(
                f"'priority' must be a whole number below 2**63, not {priority!r}: lower ones come out first"
            )
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
        check_when(when)
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
        self._put_with(lambda s: statements.put_one(s, self._id, row), block, timeout)

    def _put_with(self, step: Operation, block: bool, timeout: float | None, *, sync: bool = True) -> int:
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
        self, step: Operation, block: bool, timeout: float | None, seen: int, is_synced: bool
    ) -> int:
        deadline = deadline_after(timeout) if block and timeout is not None else None
        if not block:
            raise Full
        with Blocked(self, self._putters) as blocked:
            while True:
                blocked.begin()
                self._wait(self._space_word, seen, deadline, Full, self._until_one_expires())
                if self._state:
                    raise ShutDown
                seen = bell.read(self._words, self._space_word)
                put: int = self._storage.run(step, is_synced)
                if put:
                    return put

    def _until_one_expires(self) -> float | None:
        """Seconds until an item that waits makes room because its time is over; None where none has a time."""
        rows = self._storage.look(
            "SELECT expires_at FROM ready WHERE queue = ? AND expires_at IS NOT NULL ORDER BY expires_at LIMIT 1",
            (self._id,),
        )
        return max(0.0005, rows[0][0] / 1e6 - time()) if rows else None

    def _put_with_headers(
        self, item: Any, headers: dict[str, str] | None, block: bool, timeout: float | None, **more: Any
    ) -> None:
        if self._state:
            raise ShutDown
        on_duplicate = more.get("on_duplicate", "ignore")
        row, ready_at = self._row(
            item, more.get("priority", 0), more.get("delay"), more.get("ttl"), more.get("key"), on_duplicate, headers
        )
        self._put_encoded(row, ready_at, on_duplicate, block, timeout)


def check_when(when: datetime) -> None:
    """Raise unless it is a ``datetime``."""
    if not isinstance(when, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"'when' must be a datetime, not {type(when).__name__}: {when!r}")


def microseconds(name: str, seconds: float) -> int:
    """Seconds in whole microseconds. Raises unless they are a number, 0 or more."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name!r} must be a number of seconds, not {type(seconds).__name__}: {seconds!r}")
    if not 0 <= seconds < 1e12:
        raise ValueError(f"{name!r} must be a number of seconds, 0 or more, not {seconds!r}")
    return int(seconds * 1e6)
