"""``headrace run COMMAND``: what commands get, what becomes of their output, and how a run ends."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from cli_support import HEADRACE, eventually, headrace, lines, measures_memory, running

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands need posix_spawn and process groups")
needs_xargs = pytest.mark.skipif(shutil.which("xargs") is None, reason="there is no xargs to compare with")
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc to look at processes")

ODD_ITEMS = [
    b"plain",
    b"two words",
    b"  spaces around  ",
    b"",
    b"'single' \"double\" `back`",
    b"$HOME $(echo no) ; echo no & | > <",
    b"back\\slash \\n",
    b"*",
    b"-n",
    b"--help",
    b"{}",
    b"a{}b",
    b"tab\there",
    b"carriage\rreturn\r",
    b"not UTF-8: \xff\xfe\x80",
    "grüße 漢字 \U0001f600".encode(),
    b"control \x01\x1b[31m",
    b"long " + b"x" * 100_000,
]


def python_sources() -> list[bytes]:
    """The standard library of this Python without its tests: some hundred real files."""
    library = Path(sysconfig.get_path("stdlib"))
    left_out = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
    return [os.fsencode(path) for path in library.rglob("*.py") if left_out.isdisjoint(path.parts)]


def xargs(*arguments: str | bytes, stdin: bytes) -> bytes:
    done = subprocess.run(["xargs", *arguments], input=stdin, capture_output=True, timeout=60, check=True)
    return done.stdout


@needs_xargs
def test_real_files_give_the_same_lines_as_xargs() -> None:
    files = b"".join(path + b"\n" for path in python_sources())
    done = headrace("run", "-j", "3", "--", "sha256sum", "{}", stdin=files)
    assert done.returncode == 0
    assert done.stderr == b""
    assert len(lines(done.stdout)) > 300
    assert lines(done.stdout) == lines(xargs("-n1", "sha256sum", stdin=files))


@needs_xargs
@pytest.mark.parametrize("last", [b"\n", b""], ids=["ended", "unended"])
def test_odd_items_arrive_as_they_arrive_from_xargs(last: bytes) -> None:
    items = b"\n".join(ODD_ITEMS) + last
    done = headrace("run", "-j1", "--", "printf", "<%s>\n", stdin=items)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == xargs("-d", "\n", "-n1", "printf", "<%s>\n", stdin=items)


@needs_xargs
def test_items_that_end_with_nul_may_have_line_breaks() -> None:
    items = b"\0".join([*ODD_ITEMS, b"line\nbreak", b"\n", b"last"])
    done = headrace("run", "-0", "-j1", "--", "printf", "<%s>", stdin=items)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == xargs("-0", "-n1", "printf", "<%s>", stdin=items)


def test_an_empty_line_is_an_empty_argument() -> None:
    assert headrace("run", "-j1", "printf", "<%s>", stdin=b"a\n\nb\n").stdout == b"<a><><b>"


def test_no_input_runs_nothing() -> None:
    done = headrace("run", "touch", "/nonexistent/file")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_placeholder_is_replaced_wherever_it_occurs() -> None:
    done = headrace("run", "-j1", "printf", "%s|", "{}", "x{}y{}", "--{}", "}{", stdin=b"1\n2\n")
    assert done.stdout == b"1|x1y1|--1|}{|2|x2y2|--2|}{|"


def test_without_a_placeholder_the_item_comes_last() -> None:
    assert headrace("run", "echo", "-n", "first", stdin=b"item\n").stdout == b"first item"


def test_the_command_itself_may_be_the_item() -> None:
    done = headrace("run", "-j1", "{}", "said", stdin=b"echo\nno-such-command\nprintf\n")
    assert done.returncode == 1
    assert done.stdout == b"said\nsaid"
    assert b"item 'no-such-command' failed: command 'no-such-command' is not on PATH" in done.stderr


def test_options_behind_the_command_are_its_own() -> None:
    assert headrace("run", "echo", "-j", "--shell", "{}", stdin=b"1\n").stdout == b"-j --shell 1\n"


def test_input_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "items"
    file.write_bytes(b"1\n2")
    assert lines(headrace("run", "--input", file, "echo", stdin=None).stdout) == [b"1", b"2"]


def test_the_shell_gets_items_quoted() -> None:
    items = b"\n".join(item for item in ODD_ITEMS if len(item) < 1000)
    done = headrace("run", "-j1", "--shell", "printf '<%s>\\n'", "{} | cat", stdin=items)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"".join(b"<%s>\n" % item for item in items.split(b"\n"))


def test_the_shell_gets_the_item_at_the_end_without_a_placeholder() -> None:
    assert headrace("run", "--shell", "echo one;  echo", stdin=b"a  b\n").stdout == b"one\na  b\n"


def test_a_failure_is_told_with_its_item_and_status_and_the_others_go_on() -> None:
    done = headrace("run", "-j1", "--shell", "echo {}; test {} != 2 || exit 7", stdin=b"1\n2\n3\n")
    assert done.returncode == 1
    assert done.stdout == b"1\n2\n3\n"
    first, last = done.stderr.splitlines()
    assert first == b"headrace: item '2' failed: exit status 7"
    assert re.fullmatch(rb"headrace: 2 done, 1 failed in \d+\.\d+ s.*", last)


def test_a_signal_that_killed_a_command_is_told_by_name() -> None:
    done = headrace("run", "--shell", "kill -KILL $$; :", stdin=b"x\n")
    assert done.returncode == 1
    assert b"item 'x' failed: killed by SIGKILL\n" in done.stderr


def test_an_argument_that_is_too_long_fails_alone() -> None:
    done = headrace("run", "-j1", "printf", "%.3s ", stdin=b"abc\n" + b"x" * (1 << 20) + b"\ndef\n")
    assert done.returncode == 1
    assert done.stdout == b"abc def "
    assert b"xxx'\xe2\x80\xa6 (1,048,576 bytes) failed: not started: Argument list too long" in done.stderr


def test_an_item_with_a_nul_byte_fails_alone() -> None:
    done = headrace("run", "-j1", "echo", stdin=b"a\nb\0c\nd\n")
    assert (done.returncode, done.stdout) == (1, b"a\nd\n")
    assert rb"item 'b\x00c' failed: not started: there is a NUL byte in it" in done.stderr


def test_a_failed_item_is_shown_without_control_characters() -> None:
    done = headrace("run", "false", stdin=b"\x1b[31m\xff\r\xc3\xbc\n")
    assert b"item '\\x1b[31m\\xff\\r\xc3\xbc' failed" in done.stderr


def test_a_script_that_names_no_interpreter_is_run_by_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo script $1\n")
    script.chmod(0o755)
    done = headrace("run", script, stdin=b"1\n")
    assert (done.returncode, done.stdout) == (0, b"script 1\n")


@pytest.mark.parametrize("merged", [False, True], ids=["apart", "together"])
def test_output_of_two_commands_never_mixes(merged: bool) -> None:
    # Each line is written by itself, with a pause of a process's life in between.
    talk = 'for n in 1 2 3 4 5; do echo "$0 $n"; echo "$0 $n" >&2; /bin/true; done'
    items = [b"%d" % number for number in range(100)]
    stderr = subprocess.STDOUT if merged else subprocess.PIPE
    done = headrace(
        "run",
        "-j8",
        "sh",
        "-c",
        talk,
        stdin=b"\n".join(items),
        capture_output=False,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
    streams = [done.stdout] if merged else [done.stdout, done.stderr]
    # Where both go to the same place even the order of the two is kept.
    whole = [b"".join(b"%s %d\n" % (item, n) * (2 if merged else 1) for n in range(1, 6)) for item in items]
    for stream in streams:
        assert len(stream) == sum(map(len, whole))
        assert all(block in stream for block in whole)


def test_output_of_any_size_is_kept_whole() -> None:
    size = 3_000_000
    done = headrace("run", "-j4", "--shell", f"head -c {size} /dev/zero | tr '\\0'", stdin=b"a\nb\nc\nd\n")
    assert len(done.stdout) == 4 * size
    assert sorted(run.group()[:1] for run in re.finditer(rb"a+|b+|c+|d+", done.stdout)) == [b"a", b"b", b"c", b"d"]


def test_a_command_that_opens_its_output_again_overwrites_nothing() -> None:
    done = headrace("run", "-j1", "--shell", "echo 1; echo {} >> /dev/stdout; echo 3", stdin=b"2\n")
    assert done.stdout == b"1\n2\n3\n"


def test_what_a_command_leaves_behind_does_not_write_into_the_next_ones_output(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(
        "case $1 in\n"
        "first) (until test -e go; do sleep 0.01; done; echo late; touch done) & echo first;;\n"
        "second) touch go; until test -e done; do sleep 0.01; done; echo second;;\n"
        "esac\n"
    )
    done = headrace("run", "-j1", "sh", script, stdin=b"first\nsecond\n", cwd=tmp_path)
    assert done.stdout == b"first\nsecond\n"


def test_commands_have_no_standard_input() -> None:
    done = headrace("run", "-j1", "sh", "-c", "cat; readlink /proc/self/fd/0 || echo /dev/null", stdin=b"1\n2\n3\n")
    assert done.stdout == b"/dev/null\n" * 3


@needs_proc
def test_commands_are_started_with_all_signals_as_usual() -> None:
    done = headrace("run", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", "-e", stdin=b"^Sig(Blk|Ign)\n")
    blocked, ignored = (int(line.split()[1], 16) for line in done.stdout.splitlines())
    of_the_c_library = 1 << (32 - 1) | 1 << (33 - 1)  # glibc has these two ignored in what it spawns
    assert blocked == 0
    assert ignored & ~of_the_c_library == 0


@needs_proc
def test_commands_are_started_with_three_open_files() -> None:
    look = "for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do test -e /proc/$$/fd/$n && echo $n; done; :"
    done = headrace("run", "-j2", "sh", "-c", look, stdin=b"x\ny\n")
    assert done.stdout == b"0\n1\n2\n" * 2


@needs_proc
def test_so_many_run_at_the_same_time_and_no_more(tmp_path: Path) -> None:
    wait = f"until test -e {tmp_path}/go; do sleep 0.01; done"
    with running("run", "-j3", "sh", "-c", f"touch {tmp_path}/started-$0; {wait}") as run:
        assert run.process.stdin is not None
        run.process.stdin.write(b"".join(b"%d\n" % number for number in range(10)))
        run.process.stdin.close()
        eventually(lambda: len(list(tmp_path.glob("started-*"))) >= 3)
        # In the end, and not at each look: between its fork and its exec a `sleep` is one more shell.
        eventually(lambda: sum(map(is_shell, run.family())) == 3)
        assert len(list(tmp_path.glob("started-*"))) == 3
        (tmp_path / "go").touch()
        run.process.wait(30)
        assert len(list(tmp_path.glob("started-*"))) == 10


def is_shell(pid: int) -> bool:
    try:
        return b"started-" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_input_is_taken_as_it_comes() -> None:
    with running("run", "-j1", "echo", "got") as run:
        assert run.process.stdin is not None
        assert run.process.stdout is not None
        for item in (b"1\n", b"2\n", b"3\n"):
            run.process.stdin.write(item)
            run.process.stdin.flush()
            assert run.process.stdout.readline() == b"got " + item
        run.process.stdin.close()
        assert run.process.wait(30) == 0


def test_standard_files_that_are_closed_do_no_harm() -> None:
    command = shlex.join(HEADRACE)
    for script, expected in [
        (f"{command} run echo <&-", b""),
        (f"echo 1 | {command} run echo 2>&-", b"1\n"),
        (f"echo 1 | {command} run echo >&-", b""),
    ]:
        done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


def test_a_full_disk_is_told() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "wb") as full:
        done = headrace("run", "echo", stdin=b"1\n", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"headrace: cannot write the output: No space left on device\n")


def test_an_item_without_an_end_is_refused_before_memory_is_full() -> None:
    with open("/dev/zero", "rb") as endless:
        done = subprocess.run([*HEADRACE, "run", "echo"], stdin=endless, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"cannot read the input to its end: an item does not end within 67,108,864 bytes" in done.stderr


@pytest.mark.parametrize("item_bytes", [2, 1024, 1 << 20])
def test_reading_stops_while_nobody_consumes(tmp_path: Path, item_bytes: int) -> None:
    (tmp_path / "stuck.py").write_text(
        "import threading\nfor_ever = threading.Event()\ndef wait(item): for_ever.wait()\n"
    )
    item = b"x" * (item_bytes - 1) + b"\n"
    block = item * max(1, (1 << 16) // item_bytes)
    taken = 0
    with running("run", "-j2", "--call", "stuck:wait", cwd=tmp_path) as run:
        assert run.process.stdin is not None
        fd = run.process.stdin.fileno()
        os.set_blocking(fd, False)
        rest = memoryview(b"")
        # A reader that is slow for longer than this lets the test pass; none that is right makes it fail.
        while select.select((), (fd,), (), 0.5)[1]:
            rest = rest or memoryview(block)
            written = os.write(fd, rest)
            rest = rest[written:]
            taken += written
            assert taken < 20 << 20


@needs_proc
@measures_memory
@pytest.mark.parametrize("item_bytes", [2, 1024, 1 << 20])
def test_endless_input_takes_bounded_memory(item_bytes: int) -> None:
    item = b"x" * (item_bytes - 1) + b"\n"
    total = max(200 * item_bytes, 2 << 20)
    block = item * max(1, (1 << 16) // item_bytes)
    with running("run", "--call", "builtins:len", stdout=subprocess.DEVNULL) as run:
        assert run.process.stdin is not None
        for _ in range(total // len(block)):
            run.process.stdin.write(block)
        status = Path(f"/proc/{run.process.pid}/status").read_text()
        peak_kib = int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))  # type: ignore[union-attr]
        assert peak_kib < 100 << 10
