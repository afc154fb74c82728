"""Who holds items, as other processes see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import headrace

if TYPE_CHECKING:
    from pathlib import Path

LOOKS = 3000

BEATING = """
import sys, headrace
queue = headrace.open(sys.argv[1])
queue.get()
print("holds it", flush=True)
while True:
    queue._file.owner.beat()
"""


def test_a_sign_of_life_is_never_seen_half_written(tmp_path: Path) -> None:
    """A process that beats all the time is never taken for one that has been silent."""
    path = str(tmp_path / "jobs.db")
    with headrace.open(path) as queue:
        queue.put("a")
        with subprocess.Popen([sys.executable, "-c", BEATING, path], stdout=subprocess.PIPE, text=True) as child:
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == "holds it\n"
                file = queue._file
                lost = sum(file.storage.run(file.owner.return_leases_of_others) for _ in range(LOOKS))
                assert lost == 0
            finally:
                os.kill(child.pid, signal.SIGKILL)
        with queue.lease(timeout=10) as lease:
            assert (lease.item, lease.attempt) == ("a", 2)


HOLDING_WITH_A_CHILD = """
import os, sys, time, headrace
queue = headrace.open(sys.argv[1])
queue.get()
if os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_forked_child_keeps_no_lease_of_its_dead_parent(tmp_path: Path) -> None:
    """It shares what its parent has open, and must not pass for it."""
    path = str(tmp_path / "jobs.db")
    with headrace.open(path) as queue:
        queue.put("a")
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", HOLDING_WITH_A_CHILD, path], stdout=subprocess.PIPE, text=True
        ) as parent:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            try:
                parent.kill()
                parent.wait()
                with queue.lease(timeout=10) as lease:
                    assert (lease.item, lease.attempt) == ("a", 2)
            finally:
                os.kill(child, signal.SIGKILL)
