"""What is done to the tables: each function is a step of a transaction of ``Storage.run``.

Every function keeps the counters of ``queue`` true: after each, ``waiting`` is the number of rows in ``ready``,
and so on (``checking.py`` recounts them).
"""

# apsw's annotations leave some types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from array import array

import apsw

from headrace.backends.sqlite.schema import ITEM
from headrace.backends.sqlite.side import DRAINED, ITEMS, SPACE, word
from headrace.errors import DuplicateKey, LeaseLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    from headrace.backends.sqlite.storage import Storage

    # serializer, body, priority, expires_at, key, headers: what is to be put.
    Put: TypeAlias = tuple[int, bytes, int, "int | None", "bytes | None", "str | None"]
    Claimed: TypeAlias = tuple[Any, ...]

__all__ = [
    "LONG_BODY",
    "bury",
    "claim",
    "clear",
    "drop_expired_records",
    "promote",
    "put",
    "put_delayed",
    "put_keyed",
    "put_one",
    "retry",
    "return_lost",
    "revive",
    "settle",
    "undo",
]

# Bodies longer than this lie in a table of their own.
LONG_BODY = 16_384
# Times that an item came back are kept in its history, the first one and the latest ones.
LONGEST_HISTORY = 10
# How the history says that a process was lost with an item.
LOST = "LeaseLost: "
# Delayed items that one transaction makes ready.
MOST_PROMOTED = 10_000

_PLACES = ", ".join("?" * 12)
_RESERVE_ONE = """
UPDATE queue SET sequence = sequence + 1, waiting = waiting + 1, put_total = put_total + 1
WHERE id = ? AND (maxsize <= 0 OR waiting < maxsize) RETURNING sequence
"""
_INTO_READY = f"INSERT INTO ready(queue, {ITEM}) VALUES(?, {_PLACES})"
_INTO_DELAYED = f"INSERT INTO delayed(queue, ready_at, {ITEM}) VALUES(?, ?, {_PLACES})"
_INTO_DEAD = f"INSERT INTO dead(queue, died_at, error, traceback, {ITEM}) VALUES(?, ?, ?, ?, {_PLACES})"


# -- putting -------------------------------------------------------------------------------------


def put(s: Storage, queue: int, items: Sequence[Put], is_bounded: bool = True) -> int:
    """Put as many of *items* as there is room for: in their order, the others not at all."""
    count = len(items)
    given = _reserve(s, queue, count, is_bounded)
    while given is None:
        ((maxsize, waiting),) = s.execute("SELECT maxsize, waiting FROM queue WHERE id = ?", (queue,)).fetchall()
        count = min(count, maxsize - waiting)
        if count <= 0:
            return 0 if not drop_expired(s, queue) else put(s, queue, items)
        given = _reserve(s, queue, count)
    now = s.now
    rows: list[tuple[Any, ...]] = []
    for number, (kind, body, priority, expires_at, key, headers) in enumerate(items[:count], given - count + 1):
        inline = body if len(body) <= LONG_BODY else keep_long(s, queue, number, body)
        rows.append((queue, number, priority, number, 0, kind, inline, now, expires_at, key, headers, None, None))
    s.executemany(_INTO_READY, rows)
    s.ring(word(queue, ITEMS), count)
    return count


def put_one(s: Storage, queue: int, item: Put) -> int:
    """``put`` of one item, which is what most programs do: 1, or 0 where there is no room."""
    rows = s.execute(_RESERVE_ONE, (queue,)).fetchall()
    if not rows:
        return put(s, queue, (item,))  # which looks whether something that takes room has expired
    number: int = rows[0][0]
    kind, body, priority, expires_at, key, headers = item
    inline = body if len(body) <= LONG_BODY else keep_long(s, queue, number, body)
    s.execute(
        _INTO_READY, (queue, number, priority, number, 0, kind, inline, s.now, expires_at, key, headers, None, None)
    )
    s.ring(word(queue, ITEMS), 1)
    return 1


def _reserve(s: Storage, queue: int, count: int, is_bounded: bool = True) -> int | None:
    """The last of *count* new numbers, whose items count as waiting; None where there is no room for them."""
    rows = s.execute(
        "UPDATE queue SET sequence = sequence + ?2, waiting = waiting + ?2, put_total = put_total + ?2 "
        "WHERE id = ?1 AND (maxsize <= 0 OR waiting + ?2 <= maxsize OR NOT ?3) RETURNING sequence",
        (queue, count, is_bounded),
    ).fetchall()
    return rows[0][0] if rows else None


def put_keyed(s: Storage, queue: int, item: Put, on_duplicate: str, ready_at: int | None) -> int:
    """Put an item that has a key; returns 1, or 0 if there is no room.

    Of the unfinished items with a key there is one. ``"replace"`` gives the one that waits the new body, priority and
    time; one that a consumer holds already leaves its key to the new one.
    """
    key = item[4]
    found = s.execute("SELECT id FROM key WHERE queue = ? AND key = ?", (queue, key)).fetchall()
    is_bounded = ready_at is None
    if found:
        number = found[0][0]
        if on_duplicate == "ignore":
            s.ring(word(queue, SPACE), 1)  # it may have been woken for room, which it does not take
            return 1
        if on_duplicate == "raise":
            assert key is not None
            raise DuplicateKey(key.decode(errors="replace"), number)
        table = _table_of(s, queue, number)
        if is_bounded and table != "ready" and not _has_room(s, queue):
            # What has expired goes first; whether that was enough is to be seen.
            drop_expired(s, queue)
            if not _has_room(s, queue):
                return 0
        # One that waits makes room for the other.
        is_bounded = is_bounded and table != "ready"
        if table == "leased":
            s.execute("DELETE FROM key WHERE queue = ? AND key = ?", (queue, key))
            s.execute("UPDATE queue SET keyed = keyed - 1 WHERE id = ?", (queue,))
            s.execute("UPDATE leased SET key = NULL WHERE queue = ? AND id = ?", (queue, number))
        else:
            _drop_waiting(s, queue, table, number)
    went_in = put_delayed(s, queue, item, ready_at) if ready_at is not None else put(s, queue, [item], is_bounded)
    if went_in:
        s.execute("INSERT INTO key(queue, key, id) SELECT id, ?2, sequence FROM queue WHERE id = ?1", (queue, key))
        s.execute("UPDATE queue SET keyed = keyed + 1 WHERE id = ?", (queue,))
    return went_in


def _table_of(s: Storage, queue: int, number: int) -> str:
    """Where an unfinished item is. A scan where it waits: replacing is for queues whose items are not many."""
    for table in ("leased", "ready", "delayed"):
        if s.execute(f"SELECT 1 FROM {table} WHERE queue = ? AND id = ?", (queue, number)).fetchall():
            return table
    raise AssertionError(f"item {number} has a key and is in no table")


def _has_room(s: Storage, queue: int) -> bool:
    return bool(
        s.execute("SELECT 1 FROM queue WHERE id = ? AND (maxsize <= 0 OR waiting < maxsize)", (queue,)).fetchall()
    )


def _drop_waiting(s: Storage, queue: int, table: str, number: int) -> None:
    """Drop an item that no consumer holds, its key and its long body too."""
    s.execute(f"DELETE FROM {table} WHERE queue = ? AND id = ?", (queue, number))
    counter = "waiting" if table == "ready" else "delayed"
    s.execute(f"UPDATE queue SET {counter} = {counter} - 1, dropped_total = dropped_total + 1 WHERE id = ?", (queue,))
    forget(s, queue, [number])
    if table == "ready":
        s.ring(word(queue, SPACE), 1)


def put_delayed(s: Storage, queue: int, item: Put, ready_at: int) -> int:
    """Put an item that is ready at a time. It takes no room until then."""
    ((number,),) = s.execute(
        "UPDATE queue SET sequence = sequence + 1, delayed = delayed + 1, put_total = put_total + 1 "
        "WHERE id = ? RETURNING sequence",
        (queue,),
    ).fetchall()
    kind, body, priority, expires_at, key, headers = item
    inline = body if len(body) <= LONG_BODY else keep_long(s, queue, number, body)
    s.execute(
        _INTO_DELAYED,
        (queue, ready_at, number, priority, number, 0, kind, inline, s.now, expires_at, key, headers, None, None),
    )
    s.ring(word(queue, ITEMS))  # who waits may wait for a later one
    return 1


def keep_long(s: Storage, queue: int, number: int, body: bytes) -> bytes | None:
    """Keep a long body apart. Returns what is kept in its place: nothing."""
    s.execute("INSERT INTO large(queue, id, body) VALUES(?, ?, ?)", (queue, number, body))
    s.execute("UPDATE queue SET large = large + 1 WHERE id = ?", (queue,))
    return None


def long_body(s: Storage, queue: int, number: int) -> bytes:
    """A body that is kept apart."""
    ((body,),) = s.execute("SELECT body FROM large WHERE queue = ? AND id = ?", (queue, number)).fetchall()
    return body  # type: ignore[no-any-return]


# -- taking --------------------------------------------------------------------------------------


_CLAIM = f"""
INSERT INTO leased(queue, owner, {ITEM})
SELECT queue, ?2, id, priority, position, deliveries + 1, serializer, body, put_at, expires_at, key, headers,
    first_failed_at, history
FROM ready WHERE queue = ?1 ORDER BY priority, position LIMIT ?3
RETURNING priority, position, id, deliveries, serializer, body, expires_at, headers, put_at, first_failed_at, owner,
    history
"""


def claim(s: Storage, queue: int, owner: int, count: int, alone: bool = False) -> list[Claimed]:
    """Lease up to *count* items to *owner*, the first ones. An empty list if there are none.

    Args:
        alone: an item that a process was lost with comes by itself: if it kills the next one too, no other counts as
            delivered with it.

    Returns:
        For each: priority, position, id, deliveries, serializer, body, expires_at, headers, put_at, first_failed_at,
        owner, history.
    """
    while True:
        rows, large = _lease(s, queue, owner, count)
        if not any(row[6] is not None and row[6] <= s.now for row in rows):
            break
        rows = _without_expired(s, queue, owner, rows)
        if rows:
            break
    if alone and len(rows) > 1:
        rows = _without_suspects(s, queue, owner, rows)
    if large:
        rows = [row if row[5] is not None else (*row[:5], long_body(s, queue, row[2]), *row[6:]) for row in rows]
    return rows


def _lease(s: Storage, queue: int, owner: int, count: int) -> tuple[list[Claimed], int]:
    """Lease the first *count* items, whatever they are. Returns them, and how many long bodies there are."""
    ((waiting, delayed, paused),) = s.execute(
        "SELECT waiting, delayed, paused FROM queue WHERE id = ?", (queue,)
    ).fetchall()
    if delayed:
        waiting += promote(s, queue)
    if paused or not waiting:
        return [], 0
    rows: list[Claimed] = s.execute(_CLAIM, (queue, owner, count)).fetchall()
    rows.sort()
    last = rows[-1]
    s.execute("DELETE FROM ready WHERE queue = ? AND (priority, position) <= (?, ?)", (queue, last[0], last[1]))
    taken = len(rows)
    ((maxsize, large),) = s.execute(
        "UPDATE queue SET waiting = waiting - ?2, leased = leased + ?2, get_total = get_total + ?2 WHERE id = ?1 "
        "RETURNING maxsize, large",
        (queue, taken),
    ).fetchall()
    if maxsize > 0:
        s.ring(word(queue, SPACE), taken)
    return rows, large


def _without_expired(s: Storage, queue: int, owner: int, rows: list[Claimed]) -> list[Claimed]:
    """Those whose time is not over. The others were never delivered, and are dead."""
    kept: list[Claimed] = []
    for row in rows:
        if row[6] is not None and row[6] <= s.now:
            undo(s, queue, owner, row[2])
        else:
            kept.append(row)
    drop_expired(s, queue)
    return kept


def is_suspect(row: Claimed) -> bool:
    """Whether a process that held it has died, or was stopped: perhaps because of it."""
    return has_lost_a_process(row[11])


def is_next_suspect(s: Storage, queue: int) -> bool:
    """Whether the next item that would be claimed is one."""
    rows = s.execute(
        "SELECT history FROM ready WHERE queue = ? ORDER BY priority, position LIMIT 1", (queue,)
    ).fetchall()
    return bool(rows) and has_lost_a_process(rows[0][0])


def has_lost_a_process(history: str | None) -> bool:
    """Whether *history* has it that a process was lost."""
    return history is not None and f'"{LOST}' in history


def _without_suspects(s: Storage, queue: int, owner: int, rows: list[Claimed]) -> list[Claimed]:
    """Those before the first suspect, or that one alone; the others go back."""
    end = next((place for place, row in enumerate(rows) if is_suspect(row)), len(rows))
    end = max(end, 1)
    for row in rows[end:]:
        undo(s, queue, owner, row[2])
    return rows[:end]


# Their places are behind all that are there, in the order of their times.
_PROMOTE = f"""
INSERT INTO ready(queue, {ITEM})
SELECT queue, id, priority, ?4 + row_number() OVER (ORDER BY ready_at, position), deliveries, serializer, body, put_at,
    expires_at, key, headers, first_failed_at, history
FROM delayed WHERE queue = ?1 AND (ready_at, position) <= (?2, ?3)
"""


def promote(s: Storage, queue: int) -> int:
    """Move the delayed items that are due to those that are ready, whatever the bound. Returns how many."""
    rows = s.execute(
        "SELECT ready_at, position FROM delayed WHERE queue = ? AND ready_at <= ? ORDER BY ready_at, position LIMIT ?",
        (queue, s.now, MOST_PROMOTED),
    ).fetchall()
    count = len(rows)
    if count:
        ((last,),) = s.execute(
            "UPDATE queue SET waiting = waiting + ?2, delayed = delayed - ?2, sequence = sequence + ?2 WHERE id = ?1 "
            "RETURNING sequence",
            (queue, count),
        ).fetchall()
        s.execute(_PROMOTE, (queue, *rows[-1], last - count))
        s.execute("DELETE FROM delayed WHERE queue = ? AND (ready_at, position) <= (?, ?)", (queue, *rows[-1]))
        s.ring(word(queue, ITEMS), count)
    return count


# -- settling ------------------------------------------------------------------------------------


def settle(s: Storage, queue: int, owner: int, numbers: Sequence[int]) -> int:
    """The items with these numbers are done, those of them that *owner* still holds. Returns how many did."""
    count = len(numbers)
    ((unfinished, keyed, large, keep_done),) = s.execute(
        "UPDATE queue SET leased = leased - ?2, done_total = done_total + ?2 WHERE id = ?1 "
        "RETURNING waiting + delayed + leased, keyed, large, keep_done",
        (queue, count),
    ).fetchall()
    if keyed or large or keep_done:
        rows = s.execute(
            "SELECT id FROM leased WHERE queue = ?1 AND owner = ?2 AND id IN carray(?3)",
            (queue, owner, listed_numbers(numbers)),
        ).fetchall()
        numbers = [number for (number,) in rows]
    listed = listed_numbers(numbers)
    if keep_done:
        s.execute(
            f"INSERT INTO done(queue, done_at, {ITEM}) SELECT queue, ?3, {ITEM} FROM leased "
            "WHERE queue = ?1 AND owner = ?2 AND id IN carray(?4)",
            (queue, owner, s.now, listed),
        )
    s.execute("DELETE FROM leased WHERE queue = ?1 AND owner = ?2 AND id IN carray(?3)", (queue, owner, listed))
    settled = s.connection.changes() if numbers else 0
    if settled != count:
        s.execute(
            "UPDATE queue SET leased = leased + ?2, done_total = done_total - ?2 WHERE id = ?1",
            (queue, count - settled),
        )
        unfinished += count - settled
    if (keyed or large) and numbers:
        forget(s, queue, numbers, keep_large=bool(keep_done))
    if not unfinished:
        s.ring(word(queue, DRAINED))
    return settled


def listed_numbers(numbers: Sequence[int]) -> Any:
    """*numbers* as ``carray`` takes them."""
    # carray takes no empty one, and no item has a number below 1.
    return apsw.carray(array("q", numbers or (0,)))


def forget(s: Storage, queue: int, numbers: Sequence[int], keep_large: bool = False) -> None:
    """Forget keys and long bodies of items that are finished, and of records that are dropped."""
    listed = listed_numbers(numbers)
    s.execute("DELETE FROM key WHERE queue = ?1 AND id IN carray(?2)", (queue, listed))
    keys = s.connection.changes()
    bodies = 0
    if not keep_large:
        s.execute("DELETE FROM large WHERE queue = ?1 AND id IN carray(?2)", (queue, listed))
        bodies = s.connection.changes()
    if keys or bodies:
        s.execute("UPDATE queue SET keyed = keyed - ?2, large = large - ?3 WHERE id = ?1", (queue, keys, bodies))


# -- coming back ---------------------------------------------------------------------------------

_TAKE_BACK = f"DELETE FROM leased WHERE queue = ? AND id = ? AND owner = ? RETURNING {ITEM}"


def _take_back(s: Storage, queue: int, owner: int, number: int) -> list[Any]:
    """Take a leased item out. Raises LeaseLost where *owner* does not hold it."""
    rows = s.execute(_TAKE_BACK, (queue, number, owner)).fetchall()
    if not rows:
        raise lost(number)
    return list(rows[0])


def lost(number: int) -> LeaseLost:
    """The error that an item is somebody else's by now, or nobody's."""
    return LeaseLost(
        f"item {number} is not this process's any more: its lease ran out, and it was given to somebody else or waits "
        "to be; it may be done twice"
    )


# Where things are in a row, as ITEM has them.
PRIORITY, POSITION, DELIVERIES, EXPIRES_AT, KEY, FIRST_FAILED_AT, HISTORY = 1, 2, 3, 7, 8, 10, 11


def undo(s: Storage, queue: int, owner: int, number: int) -> None:
    """It was not begun: it waits in its old place again, and its delivery does not count."""
    row = _take_back(s, queue, owner, number)
    row[DELIVERIES] -= 1
    s.execute(_INTO_READY, (queue, *row))
    s.execute(
        "UPDATE queue SET leased = leased - 1, waiting = waiting + 1, get_total = get_total - 1 WHERE id = ?", (queue,)
    )
    s.ring(word(queue, ITEMS), 1)


def retry(
    s: Storage, queue: int, owner: int, number: int, ready_at: int | None, why: str, *, limited: bool = True
) -> bool:
    """Let it be delivered again, now or at a time. False if it was delivered too often: it is dead then.

    Args:
        why: what goes into its history.
        limited: whether the queue's ``max_deliveries`` holds.
    """
    row = _take_back(s, queue, owner, number)
    _note(row, s.now, why)
    ((most,),) = s.execute("SELECT max_deliveries FROM queue WHERE id = ?", (queue,)).fetchall()
    if limited and most and row[DELIVERIES] >= most:
        _into_dead(s, queue, row, why, "", from_leased=True)
        return False
    ((row[POSITION],),) = s.execute(
        "UPDATE queue SET sequence = sequence + 1 WHERE id = ? RETURNING sequence", (queue,)
    ).fetchall()
    if ready_at is None:
        s.execute(_INTO_READY, (queue, *row))
        s.execute("UPDATE queue SET leased = leased - 1, waiting = waiting + 1 WHERE id = ?", (queue,))
        s.ring(word(queue, ITEMS), 1)
    else:
        s.execute(_INTO_DELAYED, (queue, ready_at, *row))
        s.execute("UPDATE queue SET leased = leased - 1, delayed = delayed + 1 WHERE id = ?", (queue,))
        s.ring(word(queue, ITEMS))
    return True


def return_lost(s: Storage, owner: int, why: str) -> int:
    """All that *owner* holds waits in its old place again, or is dead if it was delivered too often. How many."""
    rows = s.execute(f"DELETE FROM leased WHERE owner = ? RETURNING queue, {ITEM}", (owner,)).fetchall()
    if not rows:
        return 0
    most = dict(s.execute("SELECT id, max_deliveries FROM queue").fetchall())
    for queue, *row in rows:
        _note(row, s.now, LOST + why)
        if most[queue] and row[DELIVERIES] >= most[queue]:
            told = f"{LOST}{why}; it was delivered {row[DELIVERIES]} times and never settled"
            _into_dead(s, queue, row, told, "", from_leased=True)
            continue
        s.execute(_INTO_READY, (queue, *row))
        s.execute("UPDATE queue SET leased = leased - 1, waiting = waiting + 1 WHERE id = ?", (queue,))
        s.ring(word(queue, ITEMS), 1)
    return len(rows)


def bury(s: Storage, queue: int, owner: int, number: int, error: str, traceback: str) -> None:
    """It is dead. Raises LeaseLost."""
    row = _take_back(s, queue, owner, number)
    _note(row, s.now, error)
    _into_dead(s, queue, row, error, traceback, from_leased=True)


def _into_dead(s: Storage, queue: int, row: list[Any], error: str, traceback: str, *, from_leased: bool) -> None:
    if row[FIRST_FAILED_AT] is None:
        row[FIRST_FAILED_AT] = s.now
    had_key = row[KEY] is not None
    s.execute(_INTO_DEAD, (queue, s.now, encodable(error), encodable(traceback), *row))
    source = "leased" if from_leased else "waiting"
    ((unfinished,),) = s.execute(
        f"UPDATE queue SET {source} = {source} - 1, dead = dead + 1 WHERE id = ? RETURNING waiting + delayed + leased",
        (queue,),
    ).fetchall()
    if had_key:
        s.execute("DELETE FROM key WHERE queue = ? AND id = ?", (queue, row[0]))
        s.execute("UPDATE queue SET keyed = keyed - ?2 WHERE id = ?1", (queue, s.connection.changes()))
    if not unfinished:
        s.ring(word(queue, DRAINED))


def encodable(text: str) -> str:
    """*text*, with what has no form in UTF-8 as an escape: an error may have the name of any file in it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _note(row: list[Any], now: int, why: str) -> None:
    """Add to the history of an item that has failed."""
    if row[FIRST_FAILED_AT] is None:
        row[FIRST_FAILED_AT] = now
    history = json.loads(row[HISTORY]) if row[HISTORY] else []
    history.append([now / 1e6, why])
    if len(history) > LONGEST_HISTORY:
        del history[1]
    row[HISTORY] = json.dumps(history)


def revive(s: Storage, queue: int, row: list[Any], key: bytes | None) -> int:
    """Move a dead letter, *row*, to those that wait, behind them, as one that was never delivered. 0 without room."""
    given = s.execute(
        "UPDATE queue SET sequence = sequence + 1, waiting = waiting + 1, dead = dead - 1, put_total = put_total + 1 "
        "WHERE id = ? AND (maxsize <= 0 OR waiting < maxsize) RETURNING sequence",
        (queue,),
    ).fetchall()
    if not given:
        return revive(s, queue, row, key) if drop_expired(s, queue) else 0
    number = row[0]
    s.execute("DELETE FROM dead WHERE queue = ? AND id = ?", (queue, number))
    row[POSITION], row[DELIVERIES], row[EXPIRES_AT], row[KEY] = given[0][0], 0, None, key
    s.execute(_INTO_READY, (queue, *row))
    if key is not None:
        s.execute("INSERT INTO key(queue, key, id) VALUES(?, ?, ?)", (queue, key, number))
        s.execute("UPDATE queue SET keyed = keyed + 1 WHERE id = ?", (queue,))
    s.ring(word(queue, ITEMS), 1)
    return 1


# -- dropping ------------------------------------------------------------------------------------


def drop_expired(s: Storage, queue: int) -> int:
    """Bury the waiting items whose time to live is over. Returns how many."""
    rows = s.execute(
        "SELECT priority, position FROM ready WHERE queue = ?1 AND expires_at <= ?2 LIMIT 1000", (queue, s.now)
    ).fetchall()
    for priority, position in rows:
        (row,) = s.execute(
            f"DELETE FROM ready WHERE queue = ? AND priority = ? AND position = ? RETURNING {ITEM}",
            (queue, priority, position),
        ).fetchall()
        dead = list(row)
        why = "Expired: its time to live was over before a consumer took it"
        _note(dead, s.now, why)
        _into_dead(s, queue, dead, why, "", from_leased=False)
    if rows:
        s.ring(word(queue, SPACE), len(rows))
    return len(rows)


def clear(s: Storage, queue: int) -> int:
    """Drop all items that wait or are delayed. Returns how many."""
    count = 0
    for table in ("ready", "delayed"):
        rows = s.execute(f"DELETE FROM {table} WHERE queue = ? RETURNING id, key, body IS NULL", (queue,)).fetchall()
        count += len(rows)
        special = [number for number, key, is_long in rows if key is not None or is_long]
        if special:
            forget(s, queue, special)
    ((unfinished,),) = s.execute(
        "UPDATE queue SET waiting = 0, delayed = 0, dropped_total = dropped_total + ?2 WHERE id = ?1 RETURNING leased",
        (queue, count),
    ).fetchall()
    s.ring(word(queue, SPACE))
    if not unfinished:
        s.ring(word(queue, DRAINED))
    return count


def drop_expired_records(s: Storage) -> None:
    """Forget dead letters and done items that were to be kept for a time that is over. A few thousand at a time."""
    for queue, keep_dead, keep_done in s.execute(
        "SELECT id, keep_dead, keep_done FROM queue WHERE keep_dead IS NOT NULL OR keep_done > 0"
    ).fetchall():
        if keep_dead is not None:
            rows = s.execute(
                "SELECT id, body IS NULL FROM dead WHERE queue = ? AND died_at <= ? LIMIT 5000",
                (queue, s.now - keep_dead),
            ).fetchall()
            if rows:
                numbers = [number for number, _ in rows]
                s.execute("DELETE FROM dead WHERE queue = ? AND id IN carray(?)", (queue, listed_numbers(numbers)))
                s.execute("UPDATE queue SET dead = dead - ?2 WHERE id = ?1", (queue, len(numbers)))
                _forget_long(s, queue, rows)
        rows = s.execute(
            "DELETE FROM done WHERE (queue, done_at, id) IN (SELECT queue, done_at, id FROM done WHERE queue = ? "
            "AND done_at <= ? LIMIT 5000) RETURNING id, body IS NULL",
            (queue, s.now - keep_done),
        ).fetchall()
        _forget_long(s, queue, rows)


def _forget_long(s: Storage, queue: int, rows: list[tuple[Any, ...]]) -> None:
    long = [number for number, is_long in rows if is_long]
    if long:
        forget(s, queue, long)
