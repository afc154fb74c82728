"""What a user sees: headrace in a pseudo-terminal, and the screen that comes of it."""

from __future__ import annotations

import os
import re
import select
import signal
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cli_support import PATIENCE, Run, eventually, headrace, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")

COLUMNS, ROWS = 100, 30
WAIT = "until test -e {0}/go; do sleep 0.01; done"


class Terminal:
    """The other side of a terminal in which a headrace runs."""

    def __init__(self, fd: int, run: Run) -> None:
        self._fd = fd
        self.run = run
        self.written = b""

    def read(self) -> bool:
        """Take what was written; False when the last writer has gone."""
        if select.select((self._fd,), (), (), 0.05)[0]:
            try:
                data = os.read(self._fd, 1 << 16)
            except OSError:  # Linux says so at the end
                return False
            self.written += data
            return bool(data)
        return True

    def until(self, pattern: bytes) -> None:
        """Read until *pattern* was written."""
        give_up_at = time.monotonic() + PATIENCE
        while not re.search(pattern, self.written):
            assert time.monotonic() < give_up_at, self.written
            assert self.read(), self.written

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def end(self) -> int:
        """Read all and return the exit status."""
        while self.read():
            pass
        return self.run.process.wait(PATIENCE)

    def screen(self) -> list[str]:
        """The lines that one sees in the end."""
        return draw(self.written.decode())


def draw(written: str) -> list[str]:
    """What a terminal shows of *written*: just as much of one as headrace uses."""
    lines, column = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", written, re.DOTALL):
        line = lines[-1]
        if part == "\n":
            lines.append("")
            column = 0  # a terminal's line discipline writes \r\n
        elif part == "\r":
            column = 0
        elif part == "\x1b[K":
            lines[-1] = line[:column]
        elif part.endswith("m") and part.startswith("\x1b["):
            pass  # a colour
        else:
            assert not part.startswith("\x1b"), f"{part!r} is more than headrace is meant to use"
            lines[-1] = line[:column].ljust(column) + part + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


@contextmanager
def terminal(*arguments: str | Path, stdin: Any = None, **options: Any) -> Iterator[Terminal]:
    """A headrace whose controlling terminal is ours; standard error and, unless given, the two others are it."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    options.setdefault("stdout", theirs)
    environment = {**os.environ, "TERM": "xterm-256color", **options.pop("env", {})}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        environment.pop(name, None)
    try:
        with running(
            *arguments,
            stdin=theirs if stdin is None else stdin,
            stderr=theirs,
            env=environment,
            preexec_fn=take_terminal,
            **options,
        ) as run:
            os.close(theirs)
            theirs = -1
            yield Terminal(ours, run)
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


@pytest.fixture
def items(tmp_path: Path) -> Path:
    file = tmp_path / "items"
    file.write_text("".join(f"{number}\n" for number in range(10)))
    return file


BAR = rb"4 done\S* .*1 failed\S* .*50%\S* .*\d+:\d\d left"


def test_progress_is_a_line_below_the_output_that_goes_when_all_is_done(items: Path) -> None:
    script = f"test {{}} -lt 5 || {WAIT.format(items.parent)}; echo item {{}}; test {{}} != 3"
    with terminal("run", "-j1", "--input", items, "--shell", script) as seen:
        seen.until(BAR)
        (items.parent / "go").touch()
        assert seen.end() == 1
    *shown, last, empty = seen.screen()
    assert empty == ""
    assert shown == [
        *(f"item {number}" for number in range(4)),
        "headrace: item '3' failed: exit status 1",
        *(f"item {number}" for number in range(4, 10)),
    ]
    assert re.fullmatch(r"headrace: 9 done, 1 failed in \d+\.\d+ s.*", last)


def test_progress_and_summary_tell_of_further_attempts(items: Path) -> None:
    script = f"test {{}} -lt 5 || {WAIT.format(items.parent)}; test {{}} != 3"
    options = ["--retries", "3", "--backoff", "0.01"]
    with terminal("run", "-j8", "--input", items, *options, "--shell", script) as seen:
        seen.until(rb"4 done\S* .*1 failed\S* .*2 retried\S* .*50%")
        (items.parent / "go").touch()
        assert seen.end() == 1
    shown, last, _ = seen.screen()
    assert shown == "headrace: item '3' failed: exit status 1 (attempt 3)"
    assert last.startswith("headrace: 9 done, 1 failed, 2 retried in ")


def test_progress_stands_below_what_is_held_for_its_turn(items: Path) -> None:
    script = f"test {{}} != 2 || {WAIT.format(items.parent)}; echo item {{}}"
    with terminal("run", "-j2", "-k", "--input", items, "--shell", script) as seen:
        seen.until(rb"9 done")
        assert [line for line in seen.screen() if line.startswith("item")] == ["item 0", "item 1"]
        (items.parent / "go").touch()
        assert seen.end() == 0
    assert seen.screen()[:-2] == [f"item {number}" for number in range(10)]


def test_progress_is_no_wider_than_the_terminal(items: Path) -> None:
    with terminal("run", "-j1", "--input", items, "--shell", f": {{}}; {WAIT.format(items.parent)}") as seen:
        seen.until(rb"0 done")
        assert len(seen.screen()[-1]) < COLUMNS
        (items.parent / "go").touch()
        assert seen.end() == 0


def test_output_without_a_line_break_is_not_lost_to_the_progress_line(items: Path) -> None:
    script = f"test {{}} -lt 5 || {WAIT.format(items.parent)}; printf {{}}"
    with terminal("run", "-j1", "--input", items, "--shell", script) as seen:
        seen.until(rb"5 done")
        (items.parent / "go").touch()
        assert seen.end() == 0
    assert "".join(seen.screen()[:-2]) == "0123456789"


def test_a_short_run_shows_no_progress(items: Path) -> None:
    with terminal("run", "-j1", "--input", items, "echo") as seen:
        assert seen.end() == 0
    assert seen.screen() == [*map(str, range(10)), ""]


def test_output_that_goes_elsewhere_leaves_the_progress_line_alone(items: Path, tmp_path: Path) -> None:
    script = f"test {{}} -lt 5 || {WAIT.format(items.parent)}; echo {{}}"
    with (
        open(tmp_path / "out", "wb") as out,
        terminal("run", "-j1", "--input", items, "--shell", script, stdout=out) as seen,
    ):
        seen.until(rb"5 done")
        (items.parent / "go").touch()
        assert seen.end() == 0
    assert (tmp_path / "out").read_bytes() == b"".join(b"%d\n" % number for number in range(10))
    assert re.fullmatch(r"headrace: 10 done in \d+\.\d+ s.*\n", "\n".join(seen.screen()))


@pytest.mark.parametrize(
    ("options", "environment"), [(["--no-progress"], {}), ([], {"TERM": "dumb"})], ids=["unwanted", "dumb terminal"]
)
def test_no_progress_is_shown(items: Path, options: list[str], environment: dict[str, str]) -> None:
    # The first command takes longer than it takes to show the line elsewhere.
    script = "test {} != 0 || sleep 0.7"
    with terminal("run", "-j1", "--input", items, *options, "--shell", script, env=environment) as seen:
        assert seen.end() == 0
    assert seen.written == b""


def test_progress_that_is_wanted_elsewhere_is_plain_text(items: Path) -> None:
    done = headrace("run", "-j1", "--input", items, "--progress", "true", stdin=None)
    assert re.fullmatch(rb"headrace: 10 done in \d+\.\d+ s.*\n", done.stderr)


def test_input_from_a_terminal_is_announced_and_read() -> None:
    with terminal("run", "-j1", "--no-progress", "echo", "got") as seen:
        seen.until(rb"reading items from the terminal, one a line; Ctrl-D ends them")
        seen.type(b"first\n")
        seen.until(rb"got first")
        seen.type(b"\x04")
        assert seen.end() == 0


def test_ctrl_c_typed_at_a_terminal_ends_it(items: Path) -> None:
    with terminal("run", "-j2", "--input", items, "--shell", "echo {}; sleep 1000") as seen:
        seen.until(rb"0 done")
        seen.type(b"\x03")
        assert seen.end() == 130
        eventually(lambda: seen.run.family() == [])
    *_, last, empty = seen.screen()
    assert re.fullmatch(r"headrace: ended by SIGINT: 0 done in \d+\.\d+ s.*", last)
    assert empty == ""


def test_a_terminal_that_goes_away_ends_it(items: Path) -> None:
    with terminal("run", "-j2", "--input", items, "--shell", "sleep 1000") as seen:
        seen.until(rb"0 done")
        os.kill(seen.run.process.pid, signal.SIGHUP)
        assert seen.end() == 129
        eventually(lambda: seen.run.family() == [])


def test_a_command_that_asks_for_the_terminal_fails_and_does_not_hang(items: Path) -> None:
    with terminal("run", "-j2", "--input", items, "--shell", "head -n1 /dev/tty") as seen:
        assert seen.end() == 1
    assert (
        sum("failed: it asked for the terminal, which the commands do not have" in line for line in seen.screen()) == 10
    )


def test_bench_gives_the_cursor_back_at_ctrl_c() -> None:
    with terminal("bench") as seen:
        seen.until(rb"1 of 8")
        seen.type(b"\x03")
        assert seen.end() == 130
    assert seen.written.rindex(b"\x1b[?25h") > seen.written.rindex(b"\x1b[?25l")
    assert b"Traceback" not in seen.written


def test_the_demo_ends_at_ctrl_c_typed_at_a_terminal() -> None:
    with terminal("demo", "--delay", "1000") as seen:
        seen.until(rb"popped from queue by Consumer-1")
        seen.type(b"\x03")
        assert seen.end() == 130
    assert "Traceback" not in "".join(seen.screen())
