"""How long opening a file takes: a new one, one that was closed, and one whose process was killed with a large WAL."""

from __future__ import annotations

import compileall
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import headrace
from benchmarks.durable_disk import disk_note, scratch
from benchmarks.durable_targets import at_most, ms
from benchmarks.process import ROOT, run_python
from benchmarks.results import Outcome, Spread, Table

if TYPE_CHECKING:
    from benchmarks.plan import Plan

__all__ = ["opening"]

ROUNDS_AT_MOST = 5  # the large WAL is made once, and copied for each
WAL_BYTES, SMALL_WAL_BYTES = 100 * 2**20, 2**20
MOST_OPEN, MOST_KILLED = 0.030, 1.0

NEW = "a file that is not there yet"
CLOSED = "a file that was closed"
KILLED = "a file whose process was killed"
KILLED_BARE = "the same, by bare SQLite"
IMPORTS = "imports"
AGAIN = "once more, in the same process"

HOW = """
In a fresh process each time, whose files are in the system's cache: from `headrace.open` until `qsize()` has answered,
headrace, apsw and msgspec being imported already. The first time in a process, `open` imports those modules of headrace
that only queues in files need; "once more" is the closed file opened again by the same process. For the killed one, a
process puts texts of 100 characters while a reader keeps SQLite from starting its WAL anew, and is killed when the WAL
has {size:.0f} MiB; a copy of those files is opened each time, and all items must be there. Bare SQLite opens the same
files and counts the items by their index.
"""


def opening(plan: Plan) -> Outcome:
    """Seconds for each kind of file."""
    rounds = plan.rounds if plan.small else min(plan.rounds, ROUNDS_AT_MOST)
    wal_bytes = SMALL_WAL_BYTES if plan.small else WAL_BYTES
    with scratch() as folder:
        items = _kill_with_large_wal(folder / "killed", wal_bytes)
        seconds: dict[str, list[float]] = {IMPORTS: [], NEW: [], CLOSED: [], AGAIN: [], KILLED: [], KILLED_BARE: []}
        # As an installation has it, whatever the environment says of writing bytecode; and in the system's cache.
        compileall.compile_dir(Path(headrace.__file__).parent, quiet=2)
        _open("ours", folder / "warm.db", 0)
        for number in range(rounds):
            file = folder / f"{number}.db"
            for name in (NEW, CLOSED):
                one = _open("ours", file, 0)
                seconds[name].append(one["open"])
                seconds[IMPORTS].append(one["import"])
            seconds[AGAIN].append(one["again"])
            for name, whose in ((KILLED, "ours"), (KILLED_BARE, "bare")):
                copy = folder / f"{number}-{whose}"
                shutil.copytree(folder / "killed", copy)
                seconds[name].append(_open(whose, copy / "queue.db", items)["open"])
                shutil.rmtree(copy)
        note = disk_note(folder, plan)
    return _outcome(seconds, items, wal_bytes, note)


def _open(whose: str, file: Path, expected: int) -> dict[str, float]:
    """What the child says, once it has found all items."""
    told: dict[str, float] = json.loads(run_python("-m", "benchmarks.durable_opened", whose, str(file), "0"))
    if told["items"] != expected:
        raise RuntimeError(f"{told['items']} of {expected} items are there after opening")
    return told


def _kill_with_large_wal(folder: Path, wal_bytes: int) -> int:
    """The number of items that the killed process had put."""
    folder.mkdir()
    words = [sys.executable, "-m", "benchmarks.durable_opened", "fill", str(folder / "queue.db"), str(wal_bytes)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # it is a pipe
            return int(process.stdout.readline())
        finally:
            process.kill()


def _outcome(seconds: dict[str, list[float]], items: int, wal_bytes: int, note: str) -> Outcome:
    title = "durable: opening a file"
    imports = Spread.of(seconds.pop(IMPORTS)).median
    return Outcome(
        name="durable-open",
        title=title,
        how=" ".join(HOW.split()).format(size=wal_bytes / 2**20),
        table=Table(
            ("", "median", "lowest to highest", "with the imports"),
            [
                (name, ms(one.median), f"{ms(one.lowest)} to {ms(one.highest)}", ms(one.median + imports))
                for name, one in ((name, Spread.of(values)) for name, values in seconds.items())
            ],
        ),
        figures=seconds,
        verdicts=[
            at_most(f"{title}, {NEW}", seconds[NEW], MOST_OPEN),
            at_most(f"{title}, {CLOSED}", seconds[CLOSED], MOST_OPEN),
            at_most(f"{title}, {KILLED} with a WAL of {wal_bytes / 2**20:.0f} MiB", seconds[KILLED], MOST_KILLED),
        ],
        notes=[f"In the WAL of the killed process: {items:,} items.", note],
    )
