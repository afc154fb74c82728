"""The dead letters of a queue in a file: ``queue.dead``."""

from __future__ import annotations

import json

from headrace.backends.memory.dead import without_tracebacks
from headrace.backends.sqlite import statements
from headrace.backends.sqlite.schema import ITEM
from headrace.errors import DecodeError, ShutDown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from headrace.backends.sqlite.storage import Storage

__all__ = ["FileDeadLetter", "FileDeadLetters", "StoredError", "traceback_of"]

_SELECT = (
    "SELECT died_at, error, traceback, dead.id, priority, deliveries, serializer, coalesce(dead.body, large.body), "
    "put_at, dead.key, headers, first_failed_at, history FROM dead LEFT JOIN large ON large.queue = dead.queue "
    "AND large.id = dead.id WHERE dead.queue = ?"
)
PAGE = 500


class StoredError(Exception):
    """What an item failed with, as its last line of a traceback said it. The error itself was in another process."""


class FileDeadLetter:
    """An item that failed for good, as it lies in the file. A copy: it does not change with the file.

    Attributes:
        item: what was put; None if it cannot be decoded (then *undecodable* says why).
        id: its number in its queue.
        error: a ``StoredError`` with the last line of what the last attempt raised.
        traceback: the traceback of that, as Python prints it, where there is one.
        priority, key: what it was put with.
        attempts: how often it was delivered.
        put_at, first_failed_at, failed_at: in seconds since the epoch.
        history: (time, why) for each time that it failed or its lease was lost: the first one and the latest.
        undecodable: why the item cannot be decoded; "" if it can.
    """

    __slots__ = (
        "attempts",
        "error",
        "failed_at",
        "first_failed_at",
        "history",
        "id",
        "item",
        "key",
        "priority",
        "put_at",
        "traceback",
        "undecodable",
    )

    def __init__(self, queue: Any, row: tuple[Any, ...]) -> None:
        died_at, error, traceback, number, priority, deliveries, code, body, put_at, key, _, failed, history = row
        self.id: int = number
        self.undecodable = ""
        try:
            self.item: Any = queue._decoded(code, body)
        except DecodeError as problem:
            self.item = None
            self.undecodable = str(problem)
        self.error = StoredError(error)
        self.traceback: str = traceback or f"{error}\n"
        self.priority: int = priority
        self.key: str | None = None if key is None else key.decode("utf-8", "surrogatepass")
        self.attempts: int = deliveries
        self.put_at: float = put_at / 1e6
        self.failed_at: float = died_at / 1e6
        self.first_failed_at: float = (failed or died_at) / 1e6
        self.history: list[tuple[float, str]] = [(when, why) for when, why in json.loads(history or "[]")]

    def __repr__(self) -> str:
        from headrace.consumers.failure import shown

        times = "attempt" if self.attempts == 1 else "attempts"
        return f"<FileDeadLetter {self.id}: {shown(self.item)}, {self.attempts} {times}, {self.error}>"


class FileDeadLetters:
    """The dead letters of a queue in a file, in the order of their numbers. All methods may be called from any thread.

    A live view: ``len`` and iteration show what is there at the moment; ``queue.dead[id]`` is one of them.
    """

    __slots__ = ("_queue",)

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def __len__(self) -> int:
        return int(self._queue._counters("dead")[0])

    def __iter__(self) -> Iterator[FileDeadLetter]:
        last = -1
        while True:
            rows = self._queue._storage.look(
                f"{_SELECT} AND dead.id > ? ORDER BY dead.id LIMIT {PAGE}", (self._queue._id, last)
            )
            for row in rows:
                yield FileDeadLetter(self._queue, row)
            if len(rows) < PAGE:
                return
            last = rows[-1][3]

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and bool(self._rows(number))

    def __getitem__(self, number: int) -> FileDeadLetter:
        rows = self._rows(number)
        if not rows:
            raise self._missing(number)
        return FileDeadLetter(self._queue, rows[0])

    def _rows(self, number: int) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._queue._storage.look(f"{_SELECT} AND dead.id = ?", (self._queue._id, number))
        return rows

    def _missing(self, number: object) -> KeyError:
        return KeyError(f"no dead letter has the id {number!r}: it was dropped or retried, or never was")

    def retry(self, number: int, block: bool = True, timeout: float | None = None) -> None:
        """Put the item of the dead letter with the id *number* into its queue again, as a new one.

        Blocks for room as ``put`` does. If that raises, the letter stays.

        Raises:
            KeyError: there is no such letter.
            Full, ShutDown: as ``put``.
        """
        queue = self._queue
        if queue.is_shutdown:
            if number not in self:
                raise self._missing(number)
            raise ShutDown
        missing = False

        def step(s: Storage) -> int:
            nonlocal missing
            missing = False
            put = _retry(s, queue._id, number)
            if put is None:
                missing = True
                return 1
            return put

        queue._put_with(step, block, timeout)
        if missing:
            raise self._missing(number)

    def retry_all(self, block: bool = True, timeout: float | None = None) -> int:
        """Put all items that are here now into the queue again, and return how many. As ``retry`` for each."""
        queue = self._queue
        count = 0
        last = -1
        while True:
            rows = queue._storage.look(
                f"SELECT id FROM dead WHERE queue = ? AND id > ? ORDER BY id LIMIT {PAGE}", (queue._id, last)
            )
            for (number,) in rows:
                try:
                    self.retry(number, block, timeout)
                except KeyError:
                    continue
                count += 1
            if len(rows) < PAGE:
                return count
            last = rows[-1][0]

    def edit(self, number: int, item: Any) -> None:
        """Put another item in the place of the one in a dead letter. It keeps its history, and is retried as any.

        Raises KeyError when there is no such letter, EncodeError.
        """
        queue = self._queue
        code, body = queue._code, queue._encode(item)

        def step(s: Storage) -> bool:
            rows = s.execute("SELECT body IS NULL FROM dead WHERE queue = ? AND id = ?", (queue._id, number)).fetchall()
            if not rows:
                return False
            if rows[0][0]:
                statements.forget(s, queue._id, [number])
            kept: bytes | None = body
            if len(body) > statements.LONG_BODY:
                kept = statements.keep_long(s, queue._id, number, body)
            s.execute(
                "UPDATE dead SET body = ?, serializer = ? WHERE queue = ? AND id = ?", (kept, code, queue._id, number)
            )
            return True

        if not queue._storage.run(step, queue._is_synced):
            raise self._missing(number)

    def drop(self, number: int) -> FileDeadLetter:
        """Take the dead letter with the id *number* away and return it. Raises KeyError when there is none."""
        letter = self[number]
        if not self._drop([number]):
            raise self._missing(number)
        return letter

    def drop_all(self) -> int:
        """Take all dead letters away, and return how many there were."""
        return self._drop(None)

    def _drop(self, numbers: list[int] | None) -> int:
        queue = self._queue

        def step(s: Storage) -> int:
            if numbers is None:
                rows = s.execute("DELETE FROM dead WHERE queue = ? RETURNING id, body IS NULL", (queue._id,)).fetchall()
            else:
                rows = s.execute(
                    "DELETE FROM dead WHERE queue = ? AND id IN carray(?) RETURNING id, body IS NULL",
                    (queue._id, statements.listed_numbers(numbers)),
                ).fetchall()
            s.execute("UPDATE queue SET dead = dead - ?2 WHERE id = ?1", (queue._id, len(rows)))
            long = [one for one, is_long in rows if is_long]
            if long:
                statements.forget(s, queue._id, long)
            return len(rows)

        return int(queue._storage.run(step, queue._is_synced))

    def __repr__(self) -> str:
        return f"<{len(self)} dead letters of {self._queue!r}>"

    def _repr_html_(self) -> str:
        from headrace.consumers.failure import shown
        from headrace.html import table

        rows = [(letter.id, shown(letter.item), letter.attempts, str(letter.error)) for letter in self]
        return table("dead letters: id, item, attempts, error", rows)


def _retry(s: Storage, queue: int, number: int) -> int | None:
    """Move a dead letter to the items that wait, as a new one with its old number. None where there is none.

    Returns how many went in: 1, or 0 where there is no room, or where an unfinished item has its key.
    """
    rows = s.execute(f"SELECT {ITEM} FROM dead WHERE queue = ? AND id = ?", (queue, number)).fetchall()
    if not rows:
        return None
    row = list(rows[0])
    key = row[statements.KEY]
    if key is not None and s.execute("SELECT 1 FROM key WHERE queue = ? AND key = ?", (queue, key)).fetchall():
        row[statements.KEY] = key = None
    return statements.revive(s, queue, row, key)


def traceback_of(error: BaseException) -> str:
    """The traceback of an error, with those of its causes, as Python prints it. It is taken off the error."""
    import traceback as tools

    parts: list[str] = []
    for text, places in without_tracebacks(error):
        frames = [tools.FrameSummary(file, line, name) for file, line, name in places]
        if frames:
            parts += ["Traceback (most recent call last):\n", *tools.StackSummary.from_list(frames).format()]
        parts.append(text)
    return "".join(parts)
