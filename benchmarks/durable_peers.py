"""The durable queues of others, each used as it is fastest, with every put on the disk when it counts as done."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["LITEQUEUE", "PERSIST_ACK", "PERSIST_QUEUE", "Cycle", "absent", "peers", "versions"]

PERSIST_QUEUE = "persist-queue, SQLiteQueue"
PERSIST_ACK = "persist-queue, SQLiteAckQueue"
LITEQUEUE = "litequeue"

DISTRIBUTIONS = {"apsw": "apsw", "msgspec": "msgspec", "persistqueue": "persist-queue", "litequeue": "litequeue"}
DISTRIBUTIONS["huey"] = "huey"


class Cycle(Protocol):
    """What moves a batch of items through a file and back, and how many it has not settled."""

    def cycle(self, items: list[Any]) -> list[Any]: ...
    def unfinished(self) -> int: ...
    def close(self) -> None: ...


class PersistQueue:
    """``SQLiteQueue(auto_commit=False)``: ``get`` writes nothing, one ``task_done`` settles all taken before it.

    ``put`` commits each item by itself, whatever ``auto_commit`` says, and there is no put of several. It is for one
    consumer: what it has taken, a second one would take too.
    """

    def __init__(self, folder: Path) -> None:
        self._queue = import_module("persistqueue").SQLiteQueue(str(folder), auto_commit=False)

    def cycle(self, items: list[Any]) -> list[Any]:
        put, get = self._queue.put, self._queue.get
        for item in items:
            put(item)
        taken = [get(block=False) for _ in items]
        self._queue.task_done()
        return taken

    def unfinished(self) -> int:
        return len(self._queue.queue())

    def close(self) -> None:
        self._queue.close()


class PersistAckQueue:
    """``SQLiteAckQueue``, which keeps what was taken and not acknowledged: three transactions an item."""

    def __init__(self, folder: Path) -> None:
        self._queue = import_module("persistqueue").SQLiteAckQueue(str(folder))

    def cycle(self, items: list[Any]) -> list[Any]:
        put, get, ack = self._queue.put, self._queue.get, self._queue.ack
        for item in items:
            put(item)
        taken = [get(block=False, raw=True) for _ in items]
        for one in taken:
            ack(id=one["pqid"])
        return [one["data"] for one in taken]

    def unfinished(self) -> int:
        return int(self._queue.size + self._queue.unack_count())

    def close(self) -> None:
        self._queue.close()


class LiteQueue:
    """A transaction for a batch of puts and one for a batch of ``done``. ``pop`` begins one itself, for one item.

    Puts are synced (its own setting is NORMAL, which syncs nothing), pops and ``done`` are not, as in ours.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._queue = import_module("litequeue").LiteQueue(folder / "queue.db")

    def cycle(self, items: list[Any]) -> list[Any]:
        queue = self._queue
        put, pop, done = queue.put, queue.pop, queue.done
        queue.conn.execute("PRAGMA synchronous = FULL")
        with queue.transaction("IMMEDIATE"):
            for item in items:
                put(item)
        queue.conn.execute("PRAGMA synchronous = NORMAL")
        taken = [pop() for _ in items]
        with queue.transaction("IMMEDIATE"):
            for message in taken:
                done(message.message_id, claim_id=message.claim_id)
        return [message.data for message in taken]

    def unfinished(self) -> int:
        """Also prunes what is done, which no turn has to pay for."""
        self._queue.prune()
        return int(self._queue.stored_count())

    def close(self) -> None:
        self._queue.close()


def peers() -> dict[str, Callable[[Path], Cycle]]:
    """How each peer that is installed is opened in a folder of its own."""
    found: dict[str, Callable[[Path], Cycle]] = {}
    if _installed("persistqueue"):
        found |= {PERSIST_QUEUE: PersistQueue, PERSIST_ACK: PersistAckQueue}
    if _installed("litequeue"):
        found[LITEQUEUE] = LiteQueue
    return found


def versions() -> str:
    """What the durable scenarios ran with, in one line."""
    found = [f"{name} {metadata.version(name)}" for module, name in DISTRIBUTIONS.items() if _installed(module)]
    if _installed("apsw"):
        found.append(f"SQLite {import_module('apsw').sqlite_lib_version()} in apsw")
    found.append(f"SQLite {import_module('sqlite3').sqlite_version} in Python's sqlite3, which the others use")
    return ", ".join([*found, *(f"{name} is not installed" for name in absent())])


def absent() -> list[str]:
    """The distributions that are not there."""
    return [name for module, name in DISTRIBUTIONS.items() if not _installed(module)]


def _installed(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True
