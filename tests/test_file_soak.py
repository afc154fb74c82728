"""Many processes come, go and are killed for long: what is left is as small as it was at the beginning."""

from __future__ import annotations

import os
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import headrace
from consumer_support import eventually
from crash_support import Storm

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.stress,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

# Of these, half a minute shows most of what ten minutes do.
SECONDS = float(os.environ.get("HEADRACE_SOAK_SECONDS", "600"))
KILLS_A_ROUND = 40
MIB = 1 << 20
# The log is copied into the database at 16 MB, and a reader may keep it from that for a while.
MOST_LOG = 40 * MIB
# What waits at once is bounded, and so is the file.
MOST_FILE = 40 * MIB
MOST_GROWTH = 16 * MIB


class Sample(NamedTuple):
    descriptors: int
    threads: int
    resident: int
    log: int
    file: int
    owners: int


def sample(q: Any) -> Sample:
    with open("/proc/self/statm", encoding="utf-8") as statm:
        pages = int(statm.read().split()[1])
    ((owners,),) = q._file.storage.look("SELECT count(*) FROM owner")
    return Sample(
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        pages * os.sysconf("SC_PAGE_SIZE"),
        os.path.getsize(q.path + "-wal"),
        os.path.getsize(q.path),
        owners,
    )


@pytest.mark.timeout(SECONDS + 300)
def test_processes_that_come_and_go_for_long_leave_nothing_behind(tmp_path: Path) -> None:
    path = str(tmp_path / "jobs.db")
    samples: list[Sample] = []
    ends_at = monotonic() + SECONDS
    kills = 0
    # One process has the file open all the time, and hears of each that comes and goes.
    with headrace.open(path + "?max_deliveries=0") as q:
        while monotonic() < ends_at or len(samples) < 3:
            storm = Storm(path, seed=kills, producers=3, consumers=5)
            storm.blow(KILLS_A_ROUND)
            kills += len(storm.killed)
            storm.judge()
            os.unlink(storm.log)
            q.put("own")
            assert q.get(timeout=10) == "own"
            q.task_done()
            eventually(lambda: q.stats().unfinished == 0)
            # Those of the dead are closed when it has heard of them.
            eventually(lambda: not samples or len(os.listdir("/proc/self/fd")) <= samples[0].descriptors)
            samples.append(sample(q))
            print(kills, samples[-1], flush=True)
    first, last = samples[1], samples[-1]
    assert last.descriptors <= samples[0].descriptors
    assert last.threads <= first.threads
    assert last.resident - first.resident < MOST_GROWTH
    assert max(one.log for one in samples) < MOST_LOG
    assert max(one.file for one in samples) < MOST_FILE
    # Those of the dead go when somebody next looks for what they held.
    assert last.owners <= 20
