"""Where the files of the durable scenarios lie, and how long that disk takes for an fsync."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.plan import Plan

__all__ = ["disk_note", "quantile", "scratch"]

APPENDS = 1_000
PAGE = b"\x5a" * 4096
IN_MEMORY = {"tmpfs", "ramfs"}
MOUNTS = Path("/proc/mounts")


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one scenario, in the system's temporary folder (TMPDIR moves it), gone at the end."""
    with TemporaryDirectory(prefix="headrace-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def disk_note(folder: Path, plan: Plan) -> str:
    """A sentence about the disk below *folder*, measured now: figures with an fsync mean little without it."""
    seconds = fsync_seconds(folder / "fsync", plan.size(APPENDS, 50))
    kind = file_system(folder)
    note = (
        f"Beside it, on the same file system ({kind}): an append of 4 KiB with fdatasync takes "
        f"{1e3 * quantile(seconds, 0.5):.3f} ms (p50), {1e3 * quantile(seconds, 0.99):.3f} ms (p99)."
    )
    return f"{note} It is memory: an fsync does nothing there, and neither do these figures." if _memory(kind) else note


def fsync_seconds(file: Path, count: int) -> list[float]:
    """How long each of *count* appends of 4 KiB took until it was on the disk."""
    sync = getattr(os, "fdatasync", os.fsync)
    seconds = []
    with open(file, "ab", buffering=0) as log:
        for _ in range(count):
            begun = perf_counter()
            log.write(PAGE)
            sync(log.fileno())
            seconds.append(perf_counter() - begun)
    file.unlink()
    return seconds


def file_system(folder: Path) -> str:
    """The kind of file system, as ``ext4``."""
    try:
        mounts = [line.split()[1:3] for line in MOUNTS.read_text().splitlines()]
    except OSError:
        return "of unknown kind"
    above = {str(folder.resolve()), *map(str, folder.resolve().parents)}
    found = [(len(point), kind) for point, kind in mounts if point in above]
    # Of several mounts on one point the last one is seen.
    return max(enumerate(found), key=lambda one: (one[1][0], one[0]))[1][1] if found else "of unknown kind"


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest of *values* that *part* of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _memory(kind: str) -> bool:
    return kind in IN_MEMORY
