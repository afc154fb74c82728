"""Bare SQLite: the tables and statements that a queue needs at least, through apsw, with nothing around them.

This is what the durable queue is held against: no leases that run out, no bodies to encode, no waking, no closing.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import apsw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["BareQueue"]

BUSY_MS = 60_000
TABLES = """
create table if not exists queue(
  id integer primary key, name text unique, maxsize int, waiting int, leased int, sequence int) strict;
create table if not exists ready(
  queue int, priority int, position int, body blob, serializer int, deliveries int, put_at int, expires int, key blob,
  history text, primary key(queue, priority, position)) strict, without rowid;
create table if not exists leased(
  id integer primary key, queue int, priority int, body blob, serializer int, deliveries int, put_at int, expires int,
  key blob, history text, owner int) strict;
insert or ignore into queue values(1, 'default', 0, 0, 0, 0);
"""
COUNT_PUT = "update queue set waiting = waiting + ?2, sequence = sequence + ?2 where id = ?1 returning sequence"
PUT = "insert into ready values(1, 0, ?, ?, 1, 0, 1234567890123, null, null, null)"
CLAIM = """
insert into leased
select position, 1, priority, body, serializer, deliveries + 1, put_at, expires, key, history, ?1
from ready where queue = 1 order by priority, position limit ?2
returning priority, id, body, serializer, deliveries, put_at, expires, key, history
"""
UNREADY = "delete from ready where queue = 1 and (priority, position) <= (?, ?)"
COUNT_CLAIM = "update queue set waiting = waiting - ?2, leased = leased + ?2 where id = ?1"
SETTLE = "delete from leased where id in carray(?1) and owner = ?2"
COUNT_SETTLE = "update queue set leased = leased - ?2 where id = ?1"
OWNER = 77


class BareQueue:
    """One connection to one file. Not for two threads at once.

    *fsync* says whether a put is on the disk when it returns. Claims and settlements are not: losing one makes an item
    run again, and no item is lost by it.
    """

    def __init__(self, file: Path, *, fsync: bool = True) -> None:
        self._connection = apsw.Connection(str(file))
        self._connection.setbusytimeout(BUSY_MS)
        self._execute: Any = self._connection.execute
        self._execute("pragma journal_mode = wal").fetchall()
        self._prepare()
        self._fsync = fsync
        self._full = not fsync  # so that the next line says it, whatever a connection begins with
        self._synchronous(fsync)

    def put_many(self, bodies: Sequence[bytes]) -> None:
        """One transaction, on the disk afterwards."""
        self._synchronous(self._fsync)
        execute = self._execute
        execute("begin immediate")
        ((sequence,),) = execute(COUNT_PUT, (1, len(bodies)))
        self._connection.executemany(PUT, enumerate(bodies, sequence - len(bodies)))
        execute("commit")

    def put(self, body: bytes) -> None:
        """One transaction for one item."""
        execute = self._execute
        execute("begin immediate")
        ((sequence,),) = execute(COUNT_PUT, (1, 1))
        execute(PUT, (sequence - 1, body))
        execute("commit")

    def insert(self, body: bytes) -> None:
        """One insert, which is a transaction by itself, and not even a counter."""
        self._execute("insert into leased(body) values(?)", (body,))

    def claim(self, most: int) -> list[tuple[int, bytes]]:
        """The first items, with the numbers that settle them. One transaction."""
        self._synchronous(False)
        execute = self._execute
        execute("begin immediate")
        rows = execute(CLAIM, (OWNER, most)).fetchall()
        # The order of what RETURNING returns is not promised.
        rows.sort()
        if rows:
            execute(UNREADY, rows[-1][:2])
            execute(COUNT_CLAIM, (1, len(rows)))
        execute("commit")
        return [row[1:3] for row in rows]

    def settle(self, numbers: list[int]) -> None:
        """One transaction."""
        self._synchronous(False)
        execute = self._execute
        execute("begin immediate")
        execute(SETTLE, (apsw.carray(array("q", numbers)), OWNER))
        execute(COUNT_SETTLE, (1, self._connection.changes()))
        execute("commit")

    def cycle(self, items: list[bytes]) -> list[bytes]:
        """Put, claim and settle: the bodies that were settled."""
        self.put_many(items)
        claimed = self.claim(len(items))
        self.settle([number for number, _ in claimed])
        return [body for _, body in claimed]

    def unfinished(self) -> int:
        """Items that wait or are claimed, counted and not taken from the counter."""
        ((count,),) = self._execute("select (select count(*) from ready) + (select count(*) from leased)")
        return int(count)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _prepare(self) -> None:
        self._execute(TABLES).fetchall()

    def _synchronous(self, full: bool) -> None:
        if full != self._full:
            self._execute("pragma synchronous = full" if full else "pragma synchronous = normal")
            self._full = full
