"""What a user sees of the commands that look after a queue, in a pseudo-terminal."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("apsw")
pytest.importorskip("rich")

import headrace as package
from cli_support import eventually, headrace
from test_cli_terminal import COLUMNS, terminal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")

COLOURS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def jobs(tmp_path: Path) -> str:
    path = str(tmp_path / "jobs.db")
    with package.open(path, queue="emails", maxsize=50) as queue:
        queue.put_many(["a", "b", "c"])
    with package.open(path, queue="images") as queue:
        queue.put("x")
        queue.lease().fail(ValueError("no picture " * 30))
        queue.pause()
    return path


def text_of(written: bytes) -> str:
    return COLOURS.sub(b"", written).decode().replace("\r\n", "\n")


def test_a_table_fits_the_terminal(jobs: str) -> None:
    with terminal("stats", jobs) as screen:
        assert screen.end() == 0
        lines = text_of(screen.written).splitlines()
    assert lines[0].split() == ["queue", "waiting", "delayed", "leased", "dead", "put", "done", "next", "item"]
    assert re.match(r"emails +3/50 +0 +0 +0 +3 +0 .* old", lines[2])
    assert lines[3].startswith("images (paused) ")
    assert max(map(len, lines[:4])) <= COLUMNS


def test_a_long_error_is_cut_at_the_edge(jobs: str) -> None:
    with terminal("dead", "list", f"{jobs}#images") as screen:
        assert screen.end() == 0
        lines = text_of(screen.written).splitlines()
    assert re.match(r" 1  'x' +1 +\S+ s ago  ValueError: no picture", lines[2])
    assert lines[2].endswith("…")
    assert len(lines[2]) == COLUMNS


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_watching_is_live_and_ends_with_q_and_ctrl_c(jobs: str, key: bytes) -> None:
    with terminal("stats", jobs, "--watch=100ms") as screen:
        screen.until(rb"3/50")
        assert headrace("put", f"{jobs}#emails", "d").returncode == 0
        screen.until(rb"4/50")
        screen.type(key)
        assert screen.end() == 0
    # The cursor is there again, and the keys are echoed.
    assert screen.written.rindex(b"\x1b[?25h") > screen.written.rindex(b"\x1b[?25l")
    assert "▁" in text_of(screen.written)


def test_watching_ends_quietly_when_it_is_terminated(jobs: str) -> None:
    with terminal("stats", jobs, "--watch") as screen:
        screen.until(rb"3/50")
        screen.run.send(signal.SIGTERM)
        assert screen.end() == 0
    assert b"Traceback" not in screen.written


@pytest.mark.parametrize(("answer", "status", "left"), [(b"y\n", 0, 0), (b"n\n", 1, 3), (b"\n", 1, 3)])
def test_purge_asks_on_a_terminal(jobs: str, answer: bytes, status: int, left: int) -> None:
    with terminal("purge", f"{jobs}#emails") as screen:
        screen.until(rb"drop 3 waiting and 0 delayed items\? \[y/N\]")
        screen.type(answer)
        assert screen.end() == status
    with package.open(jobs, queue="emails") as queue:
        assert queue.qsize() == left


def test_ctrl_c_at_the_question_drops_nothing(jobs: str) -> None:
    with terminal("purge", f"{jobs}#emails") as screen:
        screen.until(rb"\[y/N\]")
        screen.type(b"\x03")
        assert screen.end() == 130
    assert b"Traceback" not in screen.written
    with package.open(jobs, queue="emails") as queue:
        assert queue.qsize() == 3


def test_items_typed_on_a_terminal_are_put_one_a_line(jobs: str) -> None:
    with terminal("put", f"{jobs}#typed") as screen:
        screen.until(rb"reading items from the terminal")
        screen.type(b"one\n")
        eventually(lambda: b'"waiting": 1' in headrace("stats", f"{jobs}#typed", "--json").stdout)
        screen.type(b"two\n\x04")
        assert screen.end() == 0
    assert b"2 items put" in screen.written
    assert headrace("get", f"{jobs}#typed", "--all").stdout == b"one\ntwo\n"


def test_items_that_would_command_the_terminal_are_shown_harmless(jobs: str) -> None:
    with package.open(jobs, queue="evil") as queue:
        queue.put("\x1b]0;title\x07")
        queue.lease().fail(ValueError("\x1b[2J gone"))
    for words in (["list", f"{jobs}#evil"], ["show", f"{jobs}#evil", "1"]):
        with terminal("dead", *words) as screen:
            assert screen.end() == 0
        assert b"\x1b]0" not in screen.written
        assert b"\x1b[2J" not in screen.written
