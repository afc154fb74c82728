"""``Ledger``: what ``headrace run --queue`` has put into a queue, by content, so that it can be resumed.

For each distinct content there is one row: ``total`` is how often it was put, in all runs together. How often it is
done is not noted anywhere, it follows: those of ``total`` that do not lie in the file any more, or lie among the dead.
So whoever settles an item (this run, a worker, a program of the user's) need not know that there is a ledger, and no
crash can leave the two at odds.

A run has a number. When it meets a content for the first time, ``base`` of the row becomes what it finds done:
``total`` less what still waits. ``seen`` counts the occurrences in this run's input: those up to ``base`` are done and
passed over, the next ones are those that wait, and only what is beyond them is put. Two lines that are the same are
two items.

The items that a run reads are leased to it in the transaction that counts them, and no delivery is counted for that:
the death of a run says nothing against the items that it had read. What was waiting from earlier runs stays where it
is until its line is met.

The row with the empty digest is the last run itself: ``run`` its number, ``total`` its process, ``seen`` its owner,
``base`` when it began. That it is alive is told by a lock in the side file, which the kernel drops when it dies.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
from hashlib import blake2b

import msgspec

from headrace.backends.sqlite import statements
from headrace.backends.sqlite.schema import ITEM
from headrace.backends.sqlite.side import ITEMS, SLOTS, SPACE, word
from headrace.errors import DecodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, NamedTuple, TypeAlias

    from headrace.backends.sqlite.handle import Handle
    from headrace.backends.sqlite.queue import FileQueue
    from headrace.backends.sqlite.storage import Storage

    # Where an item lies that a run may take: its table, its number, and the two columns that it is found by there.
    Place: TypeAlias = tuple[str, int, int, int]
    # The digest of a content, the code of its serializer, its body.
    Content: TypeAlias = tuple[bytes, int, bytes]

    class Holder(NamedTuple):
        """The run that is at work."""

        process: int
        since: float

else:
    from collections import namedtuple

    Holder = namedtuple("Holder", "process since")

__all__ = ["DONE_BEFORE", "FAILED_BEFORE", "Holder", "Ledger", "digest_of", "forget_waiting", "give_back"]

DONE_BEFORE, FAILED_BEFORE = -1, -2
"""What stands for the number of an item that is not to be run."""

THE_RUN = b""
PAGE = 2000

_PLACES = ", ".join("?" * 12)
_INTO_LEASED = f"INSERT INTO leased(queue, owner, {ITEM}) VALUES(?, ?, {_PLACES})"

# ?4: how many with this content lay in the file when the run began; ?5: those of them that it may take.
_SEE = """
INSERT INTO ledger(queue, digest, total, run, seen, base) VALUES(?1, ?2, max(?4, 1), ?3, 1, ?4 - ?5)
ON CONFLICT DO UPDATE SET
    base = CASE run WHEN ?3 THEN base ELSE max(total, ?4) - ?5 END,
    total = max(total, ?4, CASE run WHEN ?3 THEN seen + 1 ELSE 1 END),
    seen = CASE run WHEN ?3 THEN seen + 1 ELSE 1 END,
    run = ?3
RETURNING seen, base
"""


def digest_of(item: object) -> bytes:
    """What an item is known by: text and bytes by their bytes, anything else by its MessagePack."""
    if isinstance(item, str):
        item = bytes_of(item)
    if isinstance(item, bytes):
        return blake2b(item, digest_size=16).digest()
    try:
        packed = msgspec.msgpack.encode(item, enc_hook=repr)
    except Exception:  # an int beyond 64 bits, and what else it has no form for
        packed = repr(item).encode("utf-8", "surrogatepass")
    return blake2b(packed, digest_size=16, person=b"record").digest()


def bytes_of(text: str) -> bytes:
    """What *text* was read from: lone surrogates stand for bytes that are no UTF-8, as the command line reads them."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


class Ledger:
    """The ledger of one queue, for one run. ``take`` is for one thread at a time.

    Args:
        retry_dead: dead letters whose lines are met are run again.
        again: what was done is forgotten.

    Attributes:
        waiting: how many items of earlier runs wait, and have not been met in the input so far.
    """

    def __init__(self, queue: FileQueue[Any], *, retry_dead: bool = False, again: bool = False) -> None:
        self._queue = queue
        self._retries_dead = retry_dead or again
        self._again = again
        self._run = 0
        # By digest: what the run may take, in the order in which it does, and how many are dead for good. As found when
        # the run began: where something is not there any more, a worker has it, or has done it.
        self._left: dict[bytes, list[Place]] = {}
        self._dead: dict[bytes, int] = {}
        self.waiting = 0

    def begin(self) -> Holder | None:
        """Begin a run. Returns the one that is at work already, if there is one: nothing has begun then.

        Raises StorageError.
        """
        storage = self._queue._storage
        holder: Holder | None = storage.run(self._begin)
        if holder is None:
            self._survey()
        return holder

    def _begin(self, s: Storage) -> Holder | None:
        queue = self._queue._id
        rows = s.execute(
            "SELECT run, total, seen, base FROM ledger WHERE queue = ? AND digest = ?", (queue, THE_RUN)
        ).fetchall()
        run, process, its_owner, since = rows[0] if rows else (0, 0, 0, 0)
        if not s.side.try_lock(SLOTS + queue % SLOTS):
            return Holder(process, since / 1e6)
        owner = self._queue._file.owner
        owner.enlist(s)
        owner.return_leases_of_others(s)
        self._return_what_was_copied(s, its_owner, process)
        if self._again:
            s.execute("DELETE FROM ledger WHERE queue = ?", (queue,))
        self._run = run + 1
        s.execute(
            "INSERT OR REPLACE INTO ledger(queue, digest, total, run, seen, base) VALUES(?, ?, ?, ?, ?, ?)",
            (queue, THE_RUN, os.getpid(), self._run, owner.number, s.now),
        )
        return None

    def _return_what_was_copied(self, s: Storage, owner: int, process: int) -> None:
        """The file was copied, or lost its side file, after its last run was killed: nobody else could tell."""
        rows = s.execute("SELECT 1 FROM owner WHERE id = ? AND side <> ?", (owner, s.side.number)).fetchall()
        if rows and not os.path.exists(f"/proc/{process}"):
            statements.return_lost(s, owner, "its process is gone")
            s.execute("DELETE FROM owner WHERE id = ?", (owner,))

    # -- what lies in the file -------------------------------------------------------------------

    def _survey(self) -> None:
        """Note what waits, and what is dead. Takes some hundred bytes of memory for each."""
        for table, columns in (("ready", "priority, position"), ("delayed", "ready_at, position")):
            for row in self._rows(table, columns):
                self._left.setdefault(self._digest(row), []).append((table, row[0], row[3], row[4]))
                self.waiting += 1
        for row in self._rows("dead", "died_at, id"):
            digest = self._digest(row)
            if self._retries_dead:
                self._left.setdefault(digest, []).append(("dead", row[0], row[3], row[4]))
            else:
                self._dead[digest] = self._dead.get(digest, 0) + 1

    def _rows(self, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
        """Of all items in a table: number, serializer, body, and the columns; in the order of the columns."""
        last = (-(2**63), -(2**63))
        queue = self._queue
        while True:
            rows = queue._storage.look(
                f"SELECT id, serializer, coalesce({table}.body, large.body), {columns} "
                f"FROM {table} LEFT JOIN large USING (queue, id) "
                f"WHERE queue = ? AND ({columns}) > (?, ?) ORDER BY {columns} LIMIT {PAGE}",
                (queue._id, *last),
            )
            yield from rows
            if len(rows) < PAGE:
                return
            last = rows[-1][3:5]

    def _digest(self, row: tuple[Any, ...]) -> bytes:
        return digest_of_body(self._queue, row[1], row[2])

    # -- the input -------------------------------------------------------------------------------

    def take(self, contents: Sequence[Content]) -> list[tuple[int, int]] | None:
        """Count *contents*, and lease what is to be run. In one transaction, so that no crash comes in between.

        Returns:
            For each, the item's number and its owner's, or ``DONE_BEFORE`` or ``FAILED_BEFORE`` and 0. None while the
            queue is paused: nothing was counted.

        Raises StorageError.
        """
        queue = self._queue

        def step(s: Storage) -> tuple[list[tuple[int, int]], int] | None:
            ((paused,),) = s.execute("SELECT paused FROM queue WHERE id = ?", (queue._id,)).fetchall()
            return None if paused else self._take(s, contents)

        taken: tuple[list[tuple[int, int]], int] | None = queue._storage.run(step, queue._is_synced)
        if taken is None:
            return None
        queue._file.housekeeper.start()
        self.waiting -= taken[1]
        return taken[0]

    def _take(self, s: Storage, contents: Sequence[Content]) -> tuple[list[tuple[int, int]], int]:
        """A step. Changes nothing but the file: it may be undone, and taken again."""
        queue = self._queue._id
        owner = self._queue._file.owner
        owner.enlist(s)
        nothing: list[Place] = []
        numbers: list[tuple[int, int]] = []
        new: list[int] = []
        waited = 0
        for place, (digest, _, _) in enumerate(contents):
            left = self._left.get(digest, nothing)
            dead = self._dead.get(digest, 0) if self._dead else 0
            rows: list[tuple[int, int]] = s.execute(
                _SEE, (queue, digest, self._run, len(left) + dead, len(left))
            ).fetchall()
            seen, base = rows[0]
            number = 0
            if seen <= base:
                number = FAILED_BEFORE if seen > base - dead else DONE_BEFORE
            elif seen - base <= len(left):
                table, item, first, second = left[seen - base - 1]
                found = _lease_from(s, queue, owner.number, table, item, first, second)
                number = item if found else DONE_BEFORE
                waited += table != "dead"
            else:
                new.append(place)
            numbers.append((number, owner.number if number >= 0 else 0))
        if new:
            for place, number in zip(new, _lease_new(s, queue, owner.number, [contents[n] for n in new]), strict=True):
                numbers[place] = number, owner.number
        if any(number >= 0 for number, _ in numbers) and self._queue._announced != owner.number:
            # Workers that wait learn that there is one more process whose death they want to hear of.
            self._queue._announced = owner.number
            s.ring(word(queue, ITEMS))
        return numbers, waited


def _lease_new(s: Storage, queue: int, owner: int, contents: Sequence[Content]) -> range:
    """Put items, and lease them to *owner* at once. Returns their numbers."""
    count = len(contents)
    ((last,),) = s.execute(
        "UPDATE queue SET sequence = sequence + ?2, leased = leased + ?2, put_total = put_total + ?2, "
        "get_total = get_total + ?2 WHERE id = ?1 RETURNING sequence",
        (queue, count),
    ).fetchall()
    numbers = range(last - count + 1, last + 1)
    rows: list[tuple[Any, ...]] = []
    for number, (_, code, body) in zip(numbers, contents, strict=True):
        kept: bytes | None = body
        if len(body) > statements.LONG_BODY:
            statements.keep_long(s, queue, number, body)
            kept = None
        rows.append((queue, owner, number, 0, number, 0, code, kept, s.now, None, None, None, None, None))
    s.executemany(_INTO_LEASED, rows)
    return numbers


_FIND = {
    "ready": "priority = ? AND position = ?",
    "delayed": "ready_at = ? AND position = ?",
    "dead": "died_at = ? AND id = ?",
}
_COUNT = {
    "ready": "waiting = waiting - 1",
    "delayed": "delayed = delayed - 1",
    "dead": "dead = dead - 1, put_total = put_total + 1",
}


def _lease_from(s: Storage, queue: int, owner: int, table: str, number: int, first: int, second: int) -> bool:
    """Lease an item that waits, or a dead letter, to *owner*. False if it is not there any more."""
    rows = s.execute(
        f"DELETE FROM {table} WHERE queue = ? AND {_FIND[table]} AND id = ? RETURNING {ITEM}",
        (queue, first, second, number),
    ).fetchall()
    if not rows:
        return False
    row = list(rows[0])
    s.execute(
        f"UPDATE queue SET {_COUNT[table]}, leased = leased + 1, get_total = get_total + 1 WHERE id = ?", (queue,)
    )
    if table == "dead":
        _begin_anew(s, queue, row)
    elif table == "ready":
        s.ring(word(queue, SPACE), 1)
    s.execute(_INTO_LEASED, (queue, owner, *row))
    return True


def _begin_anew(s: Storage, queue: int, row: list[Any]) -> None:
    """A dead letter is an item again, as one that was never delivered. It has its key again unless another one has."""
    row[statements.DELIVERIES], row[statements.EXPIRES_AT] = 0, None
    key = row[statements.KEY]
    if key is None:
        return
    s.execute("INSERT OR IGNORE INTO key(queue, key, id) VALUES(?, ?, ?)", (queue, key, row[0]))
    if s.connection.changes():
        s.execute("UPDATE queue SET keyed = keyed + 1 WHERE id = ?", (queue,))
    else:
        row[statements.KEY] = None


_INTO_READY = f"""
INSERT INTO ready(queue, {ITEM})
SELECT queue, id, priority, position, max(0, deliveries - ?4), serializer, body, put_at, expires_at, key, headers,
    first_failed_at, history
FROM leased WHERE queue = ?1 AND owner = ?2 AND id IN carray(?3)
"""


def give_back(s: Storage, queue: int, owner: int, numbers: Sequence[int], deliveries: int) -> int:
    """These items, as far as *owner* holds them, were not done: they wait in their old places. Returns how many.

    Args:
        deliveries: how many were counted for taking them, and do not count now.
    """
    listed = statements.listed_numbers(numbers)
    s.execute(_INTO_READY, (queue, owner, listed, deliveries))
    count = s.connection.changes()
    s.execute("DELETE FROM leased WHERE queue = ?1 AND owner = ?2 AND id IN carray(?3)", (queue, owner, listed))
    if count:
        s.execute(
            "UPDATE queue SET leased = leased - ?2, waiting = waiting + ?2, get_total = get_total - ?2 WHERE id = ?1",
            (queue, count),
        )
        s.ring(word(queue, ITEMS), count)
    return count


def digest_of_body(queue: Handle[Any], code: int, body: bytes) -> bytes:
    """``digest_of`` what the body of an item says."""
    try:
        return digest_of(queue._decoded(code, body))
    except DecodeError:
        return blake2b(body, digest_size=16, person=b"undecodable").digest()


def forget_waiting(s: Storage, queue: Handle[Any]) -> None:
    """All that waits is about to be dropped: it was not put, as far as the ledger goes. A step of a transaction."""
    number = queue._id
    if not s.execute("SELECT 1 FROM ledger WHERE queue = ? LIMIT 1", (number,)).fetchall():
        return
    for table in ("ready", "delayed"):
        rows = s.execute(
            f"SELECT serializer, coalesce({table}.body, large.body) FROM {table} LEFT JOIN large USING (queue, id) "
            "WHERE queue = ?",
            (number,),
        )
        digests = [(number, digest_of_body(queue, code, body)) for code, body in rows]
        s.executemany("UPDATE ledger SET total = max(0, total - 1) WHERE queue = ? AND digest = ?", digests)
