"""The process in which a file is opened: ``python -m benchmarks.durable_opened (ours|bare|fill) FILE BYTES``.

It imports nothing before it is timed, for the imports are one of the figures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

CHUNK = 10_000
ITEM = "x" * 100


def _ours(file: Path) -> dict[str, float]:
    begun = perf_counter()
    import apsw  # noqa: F401
    import msgspec  # noqa: F401

    import headrace

    imported = perf_counter()
    open_url: Any = headrace.open
    queue = open_url(str(file))
    items = queue.qsize()
    opened = perf_counter()
    queue.close()
    closed = perf_counter()
    queue = open_url(str(file))
    queue.qsize()
    again = perf_counter() - closed
    queue.close()
    return {"import": imported - begun, "open": opened - imported, "again": again, "items": items}


def _bare(file: Path) -> dict[str, float]:
    """Whatever tables are in it: all rows of the one that has the most."""
    begun = perf_counter()
    import apsw

    imported = perf_counter()
    connection = apsw.Connection(str(file))
    tables = [name for (name,) in connection.execute("select name from sqlite_schema where type = 'table'")]
    items = max(connection.execute(f'select count(*) from "{name}"').get for name in tables)
    opened = perf_counter()
    connection.close()
    return {"import": imported - begun, "open": opened - imported, "items": items}


def _fill(file: Path, wal_bytes: int) -> None:
    """Puts until the WAL is as large, says how many items, and waits to be killed."""
    import apsw

    from benchmarks.durable_ours import open_queue

    queue = open_queue(file, durability="process")
    reader = apsw.Connection(str(file))
    reader.execute("begin; select count(*) from sqlite_schema").fetchall()
    wal, count = Path(f"{file}-wal"), 0
    while not wal.exists() or wal.stat().st_size < wal_bytes:
        queue.put_many([ITEM] * CHUNK)
        count += CHUNK
    print(count, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    what, path = sys.argv[1], Path(sys.argv[2])
    if what == "fill":
        _fill(path, int(sys.argv[3]))
    else:
        print(json.dumps(_ours(path) if what == "ours" else _bare(path)))
