"""huey's own consumer on its SQLite storage, in a process of its own, as it runs in life.

``python -m benchmarks.durable_huey FILE COUNT WORKERS``
"""

from __future__ import annotations

import itertools
import sys
import threading
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.durable_child import children, told_to_begin

__all__ = ["consume"]


def consume(file: Path, workers: int, count: int) -> float:
    """Seconds for *count* tasks, which are enqueued without fsync, untimed, and taken with it."""
    huey, task, _ = _tasks(file, count, fsync=False)
    with huey.storage.db(commit=True) as cursor:
        for number in range(count):
            data = huey.serialize_task(task.s(number))
            cursor.execute("insert into task (queue, data, priority) values (?, ?, 0)", (huey.name, data))
    huey.storage.close()
    with children(("-m", "benchmarks.durable_huey", str(file), str(count), str(workers))) as (child,):
        child.begin()
        return float(child.result())


def _tasks(file: Path, count: int, *, fsync: bool) -> tuple[Any, Any, threading.Event]:
    """huey, its task, and what is set when it has run *count* times."""
    huey = import_module("huey").SqliteHuey(filename=str(file), fsync=fsync, results=False)
    finished = threading.Event()
    run = itertools.count(1)

    def handle(number: int) -> None:
        if next(run) == count:
            finished.set()

    handle.__module__ = "benchmarks.durable_huey"  # which is part of the task's name, and "__main__" in the child
    return huey, huey.task()(handle), finished


def _consume(file: Path, count: int, workers: int) -> float:
    huey, _, finished = _tasks(file, count, fsync=True)
    if huey.pending_count() != count:
        raise RuntimeError(f"{huey.pending_count()} of {count} tasks wait")
    consumer = huey.create_consumer(workers=workers, periodic=False)
    told_to_begin()
    begun = perf_counter()
    consumer.start()
    finished.wait()
    seconds = perf_counter() - begun
    consumer.stop(graceful=True)
    if huey.pending_count():
        raise RuntimeError(f"{huey.pending_count()} of {count} tasks are left")
    return seconds


if __name__ == "__main__":
    print(_consume(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
