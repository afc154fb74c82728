"""Bare SQLite again, with the tables and the statements that headrace really has: what the library adds to them.

``durable_sqlite`` has the least that a queue could do with. Between that and this lies what leases, keys, delays, times
to live and counters cost in SQLite; between this and the queue, what the library costs in Python.
"""

from __future__ import annotations

from array import array
from time import time_ns
from typing import TYPE_CHECKING

import apsw

from benchmarks.durable_sqlite import BareQueue
from headrace.backends.sqlite.schema import ITEM, TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OwnTables"]

OWNER = 1
COUNT_PUT = """
UPDATE queue SET sequence = sequence + ?2, waiting = waiting + ?2, put_total = put_total + ?2
WHERE id = ?1 AND (maxsize <= 0 OR waiting + ?2 <= maxsize) RETURNING sequence
"""
PUT = f"INSERT INTO ready(queue, {ITEM}) VALUES(1, ?1, 0, ?1, 0, 1, ?2, ?3, NULL, NULL, NULL, NULL, NULL)"
LOOK = "SELECT waiting, delayed, paused FROM queue WHERE id = ?"
CLAIM = f"""
INSERT INTO leased(queue, owner, {ITEM})
SELECT queue, ?1, id, priority, position, deliveries + 1, serializer, body, put_at, expires_at, key, headers,
    first_failed_at, history
FROM ready WHERE queue = 1 ORDER BY priority, position LIMIT ?2
RETURNING priority, position, id, deliveries, serializer, body, expires_at, headers, put_at, first_failed_at, owner
"""
UNREADY = "DELETE FROM ready WHERE queue = 1 AND (priority, position) <= (?, ?)"
COUNT_CLAIM = """
UPDATE queue SET waiting = waiting - ?2, leased = leased + ?2, get_total = get_total + ?2 WHERE id = ?1
RETURNING maxsize, large
"""
COUNT_SETTLE = """
UPDATE queue SET leased = leased - ?2, done_total = done_total + ?2 WHERE id = ?1
RETURNING waiting + delayed + leased, keyed, large, keep_done
"""
SETTLE = "DELETE FROM leased WHERE queue = 1 AND owner = ?2 AND id IN carray(?1)"


class OwnTables(BareQueue):
    """The same methods, by the statements of ``headrace/backends/sqlite/statements.py``."""

    def put_many(self, bodies: Sequence[bytes]) -> None:
        self._synchronous(self._fsync)
        execute, now = self._execute, time_ns() // 1000
        execute("BEGIN IMMEDIATE")
        ((last,),) = execute(COUNT_PUT, (1, len(bodies))).fetchall()
        rows = [(number, body, now) for number, body in enumerate(bodies, last - len(bodies) + 1)]
        self._connection.executemany(PUT, rows)
        execute("COMMIT")

    def put(self, body: bytes) -> None:
        execute = self._execute
        execute("BEGIN IMMEDIATE")
        ((last,),) = execute(COUNT_PUT, (1, 1)).fetchall()
        execute(PUT, (last, body, time_ns() // 1000))
        execute("COMMIT")

    def claim(self, most: int) -> list[tuple[int, bytes]]:
        self._synchronous(False)
        execute = self._execute
        execute("BEGIN IMMEDIATE")
        execute(LOOK, (1,)).fetchall()
        rows = execute(CLAIM, (OWNER, most)).fetchall()
        rows.sort()
        if rows:
            execute(UNREADY, rows[-1][:2])
            execute(COUNT_CLAIM, (1, len(rows))).fetchall()
        execute("COMMIT")
        return [(row[2], row[5]) for row in rows]

    def settle(self, numbers: list[int]) -> None:
        self._synchronous(False)
        execute = self._execute
        execute("BEGIN IMMEDIATE")
        execute(COUNT_SETTLE, (1, len(numbers))).fetchall()
        execute(SETTLE, (apsw.carray(array("q", numbers)), OWNER))
        execute("COMMIT")

    def _prepare(self) -> None:
        if not self._execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall():
            self._execute(TABLES).fetchall()
            self._execute("INSERT INTO queue(name) VALUES('default')")
