"""The benchmarks run, and their page is made: no more is said of the figures, which small sizes make meaningless."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
WITHOUT_C_CORE = os.environ.get("HEADRACE_ALLOW_NO_C") == "1"
IMPLEMENTATION = {} if WITHOUT_C_CORE else {"HEADRACE_IMPL": "c"}
SCENARIOS = [
    *("one-thread", "textbook", "bounded", "crowd", "ping-pong", "batches", "lifo", "priority", "priority-tuples"),
    *("pool", "retries", "map"),
    *("aio-coroutines", *(["aio-uvloop"] if find_spec("uvloop") else []), "aio-from-thread", "aio-to-thread"),
    *("aio-ping-pong", "aio-crowd", "aio-loops"),
    *("depth", "memory", "import"),
    *("durable-cycle", "durable-single", "durable-crowd", "durable-pool"),
    *("durable-wake", "durable-processes", "durable-backlog", "durable-open"),
]

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("HEADRACE_SANITIZER")), reason="a sanitizer's runtime makes time and memory meaningless"
)


class Run:
    """What one small run of all scenarios left behind."""

    def __init__(self, folder: Path) -> None:
        figures = folder / "figures.json"
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "--small", "--output", str(folder), "--json", str(figures)],
            cwd=ROOT,
            env={**os.environ, **IMPLEMENTATION},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.output = done.stdout
        self.page = (folder / "benchmarks.md").read_text(encoding="utf-8")
        self.picture = folder / "benchmarks.svg"
        self.scenarios: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))["scenarios"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("benchmarks"))


BETWEEN_THREADS_AND_LOOPS = ("aio-from-thread", "aio-to-thread", "aio-ping-pong", "aio-loops")


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_scenario_yields_positive_figures(run: Run, name: str) -> None:
    if name == "memory" and not Path("/proc/self/statm").exists():
        pytest.skip("resident memory is read from /proc")
    if name.startswith("durable-"):
        pytest.importorskip("apsw")
        pytest.importorskip("msgspec")
    figures = run.scenarios[name]["figures"]
    # Between threads and loops there is nothing in the standard library to compare with.
    has_others = name not in BETWEEN_THREADS_AND_LOOPS or find_spec("culsans") is not None
    assert len(figures) >= (2 if has_others else 1)
    assert all(values and min(values) > 0 for values in figures.values()), figures


def test_no_scenario_is_left_out(run: Run) -> None:
    assert [*SCENARIOS, "commands"] == list(run.scenarios)


def test_each_target_is_on_the_page_whether_met_or_not(run: Run) -> None:
    verdicts = [verdict for scenario in run.scenarios.values() for verdict in scenario["verdicts"]]
    assert len(verdicts) >= 14
    for verdict in verdicts:
        line = next(line for line in run.page.splitlines() if verdict["claim"] in line)
        assert verdict["measured"] in line
        assert ("not met" in line) != verdict["met"]


def test_the_page_says_that_a_small_run_means_nothing(run: Run) -> None:
    assert "figures mean nothing" in run.page
    assert "figures mean nothing" in run.output


def test_the_page_names_no_path_of_this_machine(run: Run) -> None:
    assert str(ROOT) not in run.page
    assert sys.prefix not in run.page


def test_the_picture_is_drawn_where_matplotlib_is_installed(run: Run) -> None:
    pytest.importorskip("matplotlib")
    assert "<svg" in run.picture.read_text(encoding="utf-8")
    assert "](benchmarks.svg)" in run.page


def test_one_scenario_alone_writes_no_page(tmp_path: Path) -> None:
    before = sorted((ROOT / "docs").glob("benchmarks.*"))
    times = [file.stat().st_mtime_ns for file in before]
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "--small", "--only", "lifo", "--json", str(tmp_path / "lifo.json")],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert list(json.loads((tmp_path / "lifo.json").read_text())["scenarios"]) == ["lifo"]
    assert [file.stat().st_mtime_ns for file in before] == times
