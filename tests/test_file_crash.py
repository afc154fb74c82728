"""Killed at any moment, a process leaves a queue file that is whole, and has lost, invented and repeated nothing.

Two ways: at each point of each operation in turn, and at random moments of several producers and consumers at once.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from consumer_support import eventually
from crash_support import OPERATIONS, Killer, Storm, found, start
from headrace.backends.sqlite import handle
from headrace.backends.sqlite.checking import check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills what was forked, watches pidfds")

# In the default run each so-manieth point, another one in each operation.
STRIDE = 17


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    killer = Killer(str(tmp_path_factory.mktemp("killed")))
    yield killer
    killer.close()
    print(f"{killer.kills} kills")


def kill_at(killer: Killer, name: str, point: int, passed: list[str]) -> None:
    path, was_told, _ = killer.run(name, point)
    where = f"killed {passed[point - 1]} ({point} of {len(passed)})"
    assert not was_told, where
    began = monotonic()
    headrace.open(path).close()
    assert monotonic() - began < 1, where
    assert check(path) == [], where
    state = found(path)
    assert state in (OPERATIONS[name].before, OPERATIONS[name].after), where
    assert check(path) == [], where


def points_of(killer: Killer, name: str) -> list[str]:
    """Those that the operation passes when nobody kills it. It does then what it should."""
    path, was_told, passed = killer.run(name, 0)
    assert was_told
    assert found(path) == OPERATIONS[name].after
    assert check(path) == []
    return passed


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_is_killed_was_done_or_was_not(killer: Killer, name: str) -> None:
    passed = points_of(killer, name)
    for point in range(1 + list(OPERATIONS).index(name) % STRIDE, len(passed) + 1, STRIDE):
        kill_at(killer, name, point, passed)


@pytest.mark.stress
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_is_killed_at_any_point_was_done_or_was_not(killer: Killer, name: str) -> None:
    passed = points_of(killer, name)
    for point in range(1, len(passed) + 1):
        kill_at(killer, name, point, passed)


@pytest.mark.parametrize(
    ("seed", "kills"), [(1, 20), *(pytest.param(seed, 100, marks=pytest.mark.stress) for seed in range(2, 6))]
)
def test_many_that_are_killed_at_random_lose_invent_and_repeat_nothing(tmp_path: Path, seed: int, kills: int) -> None:
    storm = Storm(str(tmp_path / "jobs.db"), seed)
    storm.blow(kills)
    figures = storm.judge()
    assert figures["run"]


def holder(url: str, count: int) -> subprocess.Popen[Any]:
    process = start("hold", url, "", str(count), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("holds")
    return process


def test_who_waits_gets_the_items_of_a_killed_process_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No look that comes by itself finds them.
    monkeypatch.setattr(handle, "SAFETY_SECONDS", 60.0)
    took: list[float] = []
    with headrace.open(str(tmp_path / "jobs.db") + "?max_deliveries=0") as q:
        q.put("a")
        for _ in range(5):
            with holder(str(tmp_path / "jobs.db"), 1) as process:
                got: list[tuple[str, float]] = []
                thread = threading.Thread(target=lambda got=got: got.append((q.get(timeout=30), monotonic())))
                thread.start()
                wait_until_it_waits(q)
                killed_at = monotonic()
                process.kill()
                thread.join()
                took.append(got[0][1] - killed_at)
                q.task_done()
                q.put("a")
    print("seconds until another process had the item:", *(f"{one:.4f}" for one in took))
    assert sorted(took)[2] < 0.1, took


def wait_until_it_waits(q: Any) -> None:
    eventually(lambda: q.stats().getters_blocked)
    # The housekeeper has seen to it that it hears of the holder's end.
    eventually(lambda: q._file.housekeeper._watched)
