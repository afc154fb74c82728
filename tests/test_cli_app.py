"""The command ``headrace`` itself: its version, its help, what it imports; and ``headrace bench``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import headrace as package
from cli_support import HEADRACE, headrace, lines

posix_only = pytest.mark.skipif(os.name != "posix", reason="headrace run is for POSIX systems")

MANUAL = Path(__file__).parent.parent / "docs" / "command-line.md"


@pytest.mark.parametrize("implementation", ["c", "python"])
def test_the_version_tells_the_implementation_and_the_python(implementation: str) -> None:
    done = headrace("--version", env={**os.environ, "HEADRACE_IMPL": implementation})
    if done.returncode and implementation == "c" and os.environ.get("HEADRACE_ALLOW_NO_C") == "1":
        pytest.skip("the C core is not built, and HEADRACE_ALLOW_NO_C=1 allows that")
    version = re.escape(package.__version__)
    python = ".".join(map(str, sys.version_info[:3]))
    expected = rf"headrace {version} \(implementation: {implementation}; \w+ {python}\S*\)\n"
    assert re.fullmatch(expected, done.stdout.decode()), done


@posix_only
@pytest.mark.parametrize("implementation", ["c", "python"])
def test_a_run_is_the_same_with_both_implementations(implementation: str) -> None:
    if implementation == "c" and package.implementation != "c":
        pytest.skip("the C core is not in use here")
    environment = {**os.environ, "HEADRACE_IMPL": implementation}
    items = [b"%d" % number for number in range(20_000)]
    done = headrace("run", "-j4", "--call", "builtins:str", stdin=b"\n".join(items), env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == sorted(items)


def test_help_lists_the_commands_and_every_commands_options() -> None:
    done = headrace("--help")
    assert done.returncode == 0
    for name in ("demo", "run", "bench"):
        assert f"\n  {name} " in done.stdout.decode()
        help_text = headrace(name, "--help").stdout.decode()
        assert help_text.startswith(f"Usage: headrace {name} ")
        assert max(map(len, help_text.splitlines())) <= 80


def test_help_and_manual_have_the_same_exit_statuses() -> None:
    in_manual = re.findall(r"^\| (\d+) \|", MANUAL.read_text("utf-8"), re.MULTILINE)
    statuses = headrace("run", "--help").stdout.decode().partition("Exit status:")[2]
    # `head -1` is no status.
    assert sorted(re.findall(r"\b(?<!-)\d+\b", statuses), key=int) == in_manual


def test_options_of_help_are_all_in_the_manual() -> None:
    manual = MANUAL.read_text("utf-8")
    for name in ("demo", "run", "bench"):
        options = re.findall(r"--[a-z-]+", headrace(name, "--help").stdout.decode().partition("Examples:")[0])
        assert [option for option in options if f"`{option}" not in manual and option != "--help"] == []


@posix_only
def test_a_run_does_not_import_what_only_a_terminal_needs() -> None:
    done = subprocess.run(
        [HEADRACE[0], "-X", "importtime", *HEADRACE[1:], "run", "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "headrace.cli.crew" in imported
    slow = {"rich", "asyncio", "subprocess", "tempfile", "difflib", "logging", "json", "concurrent.futures"}
    assert imported & slow == set()


def test_without_click_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['click'] = None; from headrace.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == b"headrace: the command line needs 'click': pip install 'headrace[cli]'\n"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a bench take no time; its figures mean nothing then."""
    from headrace.cli import bench

    monkeypatch.setattr(bench, "FULL", bench.Effort(rounds=1, seconds=0.0005))
    monkeypatch.setattr(bench, "SMALLEST_RUN", 100)


@pytest.mark.usefixtures("hasty")
def test_bench_compares_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    from headrace.cli.app import run_command_line

    assert run_command_line(["bench", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["machine"]["headrace"] == package.__version__
    assert len(result["scenarios"]) == 8
    for row in result["scenarios"]:
        assert row["ratio_to"].keys() == row["items_per_second"].keys() - {"headrace"}
        assert all(rate > 0 for rate in row["items_per_second"].values())


@pytest.mark.usefixtures("hasty")
def test_bench_draws_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    from headrace.cli.app import run_command_line

    assert run_command_line(["bench"]) == 0
    table = capsys.readouterr().out
    assert "1 prod., 3 cons., maxsize 100" in table
    assert "; rounds: 1\n" in table
