"""``headrace run`` beside GNU parallel and xargs: the same input gives the same output.

Where a peer is missing its tests are skipped; with HEADRACE_REQUIRE_PEERS, which ``.ci/run`` sets, they fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli_support import headrace, lines
from test_cli_run import ODD_ITEMS, python_sources

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="headrace run is for POSIX systems"),
    pytest.mark.skipif(
        bool(os.environ.get("HEADRACE_SANITIZER")), reason="what is compared is the same, and a sanitizer is slow"
    ),
]

# What an argument of a command cannot be longer than, on Linux: 32 pages.
LONGEST_ARGUMENT = 128 << 10
has_that_limit = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.sysconf("SC_PAGE_SIZE") * 32 != LONGEST_ARGUMENT,
    reason="an argument may be longer, or shorter, here",
)
SHOW = "printf '<%s>\\n' {}"
# Parallel refuses commands of half the length that the system takes.
SHORT_ODD_ITEMS = [item for item in ODD_ITEMS if len(item) < 50_000]
LINE_BREAKS = [b"line\nbreak", b"\n", b"\n\n", b"last"]


def peer(name: str, says: str) -> str:
    """The path of a peer that says *says* about itself."""
    path = shutil.which(name)
    if path is not None:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        if told.startswith(says):
            return path
    if os.environ.get("HEADRACE_REQUIRE_PEERS"):
        pytest.fail(f"{says} is not here, and HEADRACE_REQUIRE_PEERS wants it to be compared with")
    pytest.skip(f"{says} is not here to compare with (Debian: apt-get install parallel findutils)")


@pytest.fixture
def parallel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """GNU parallel, for which the words of ours are written alike; it asks for no citation."""
    home = tmp_path / "home"
    (home / ".parallel").mkdir(parents=True)
    (home / ".parallel" / "will-cite").touch()
    monkeypatch.setenv("HOME", str(home))
    # It quotes for the shell that it thinks to be ours.
    monkeypatch.setenv("PARALLEL_SHELL", "/bin/sh")
    return [peer("parallel", "GNU parallel")]


@pytest.fixture
def xargs() -> list[str]:
    return [peer("xargs", "xargs (GNU findutils)")]


def run(words: list[str], stdin: bytes, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, input=stdin, capture_output=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


def table(log: Path) -> list[list[str]]:
    """A joblog, by number, without what depends on the clock."""
    header, *rest = [line.split("\t", 8) for line in log.read_text().splitlines()]
    kept = [[*row[:2], *row[4:]] for row in rest]
    return [header, *sorted(kept, key=lambda row: int(row[0]))]


# ---- items ----


@pytest.mark.parametrize("last", [b"\n", b""], ids=["ended", "unended"])
def test_lines_arrive_as_they_arrive_from_parallel(parallel: list[str], last: bytes) -> None:
    items = b"\n".join(SHORT_ODD_ITEMS) + last
    theirs = run([*parallel, "-k", "-j4", SHOW], items)
    ours = headrace("run", "-k", "-j4", "--shell", SHOW, stdin=items)
    assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr) == (0, b"")
    assert ours.stdout == theirs.stdout


def test_items_with_line_breaks_arrive_as_they_arrive_from_parallel(parallel: list[str]) -> None:
    items = b"\0".join([*SHORT_ODD_ITEMS, *LINE_BREAKS])
    theirs = run([*parallel, "-0", "-k", "-j4", SHOW], items)
    ours = headrace("run", "-0", "-k", "-j4", "--shell", SHOW, stdin=items)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)


@pytest.mark.parametrize(("options", "separator"), [(["-d", "\n"], b"\n"), (["-0"], b"\0")], ids=["lines", "nul"])
def test_items_arrive_as_they_arrive_from_xargs(xargs: list[str], options: list[str], separator: bytes) -> None:
    items = separator.join(ODD_ITEMS if separator == b"\n" else [*ODD_ITEMS, *LINE_BREAKS])
    theirs = run([*xargs, *options, "-n1", "printf", "<%s>\n"], items)
    ours = headrace("run", *(["-0"] if separator == b"\0" else []), "-k", "-j4", "printf", "<%s>\n", stdin=items)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)


def test_items_that_are_arguments_of_their_own_are_the_same_three_times(parallel: list[str], xargs: list[str]) -> None:
    files = b"".join(path + b"\n" for path in python_sources()[:60])
    ours = headrace("run", "-k", "sha256sum", stdin=files)
    assert ours.stdout == run([*parallel, "-k", "-j2", "sha256sum"], files).stdout
    assert ours.stdout == run([*xargs, "-d", "\n", "-n1", "sha256sum"], files).stdout
    assert lines(headrace("run", "-j3", "sha256sum", stdin=files).stdout) == lines(ours.stdout)


@has_that_limit
def test_a_line_of_a_mebibyte_stops_the_others_and_fails_alone_here(parallel: list[str], xargs: list[str]) -> None:
    items = b"first\n" + b"x" * (1 << 20) + b"\nlast\n"
    ours = headrace("run", "-k", "-j1", "printf", "%.5s\n", stdin=items)
    assert (ours.returncode, ours.stdout) == (1, b"first\nlast\n")
    assert b"(1,048,576 bytes) failed: not started: Argument list too long" in ours.stderr
    # Both give up, and say what is too long, and do not come to the last item.
    for words in ([*parallel, "-k", "-j1", "printf", "%.5s\\\\n"], [*xargs, "-d", "\n", "-n1", "printf", "%.5s\n"]):
        theirs = run(words, items)
        assert theirs.returncode != 0
        assert b"too long" in theirs.stderr
        assert b"last" not in theirs.stdout


@has_that_limit
def test_the_longest_argument_that_xargs_takes_arrives(xargs: list[str]) -> None:
    # With the NUL that ends it an argument may fill the room that it may have.
    items = b"x" * (LONGEST_ARGUMENT - 1) + b"\n"
    ours = headrace("run", "printf", "%s", stdin=items)
    assert (ours.returncode, ours.stdout) == (0, items[:-1])
    assert ours.stdout == run([*xargs, "-d", "\n", "-n1", "-s", "200000", "printf", "%s"], items).stdout
    assert headrace("run", "printf", "%s", stdin=b"x" + items).returncode == 1


def test_a_million_lines_come_out_as_xargs_has_them(xargs: list[str]) -> None:
    items = b"".join(b"/some/where/%d\n" % number for number in range(1_000_000))
    theirs = run([*xargs, "-d", "\n", "basename", "-a"], items)
    ours = headrace("run", "-k", "--call", "os.path:basename", stdin=items)
    assert (ours.returncode, ours.stderr) == (0, b"")
    assert ours.stdout == theirs.stdout


# ---- options ----


def test_tags_are_those_of_parallel(parallel: list[str]) -> None:
    script = "printf 'one\\n\\nthree\\nunended'; echo err {} >&2"
    items = b"a b\n\nc'd\n"
    theirs = run([*parallel, "-k", "--tag", script], items)
    ours = headrace("run", "-k", "--tag", "--shell", script, stdin=items)
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)


def test_the_joblog_is_that_of_parallel(parallel: list[str], tmp_path: Path) -> None:
    script = "echo 12345; case {} in kill) kill -9 $$;; slow) sleep 60;; *) exit {};; esac"
    items = b"0\n3\nkill\nslow\n"
    run([*parallel, "-j2", "--timeout", "1", "--joblog", str(tmp_path / "theirs"), script], items)
    headrace("run", "-j2", "--timeout", "1", "--joblog", tmp_path / "ours", "--shell", script, stdin=items)
    assert table(tmp_path / "ours") == table(tmp_path / "theirs")


@pytest.mark.parametrize("retries", ["1", "2", "4"])
def test_retries_are_counted_as_by_parallel(parallel: list[str], tmp_path: Path, retries: str) -> None:
    script = "echo {} >> tried-%s; test {} = b"
    run([*parallel, "-j1", "--retries", retries, script % "theirs"], b"a\nb\n", cwd=tmp_path)
    options = ["--retries", retries, *(["--backoff", "0"] if retries != "1" else [])]
    headrace("run", "-j1", *options, "--shell", script % "ours", stdin=b"a\nb\n", cwd=tmp_path)
    ours, theirs = ((tmp_path / f"tried-{who}").read_bytes() for who in ("ours", "theirs"))
    assert lines(ours) == lines(theirs) == [b"a"] * int(retries) + [b"b"]


@pytest.mark.parametrize(
    "rule", ["soon,fail=1", "now,fail=2", "soon,success=2", "now,done=3", "soon,fail=20%", "never"]
)
def test_a_halt_is_reached_when_it_is_by_parallel(parallel: list[str], rule: str) -> None:
    script = "echo {}; test {} -lt 6 -a {} != 3"
    items = b"".join(b"%d\n" % number for number in range(1, 11))
    theirs = run([*parallel, "-k", "-j1", "--halt", rule, script], items)
    ours = headrace("run", "-k", "-j1", "--halt", rule, "--shell", script, stdin=items)
    assert ours.stdout == theirs.stdout
    # It counts the failed ones; here it is 1 if there are any.
    assert ours.returncode == min(theirs.returncode, 1)
