"""``headrace run --pipe``: long-lived commands that are fed lines, and what becomes of lines when one ends early."""

from __future__ import annotations

import os
import random
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, cast

import pytest

from cli_support import HEADRACE, PATIENCE, eventually, headrace, lines, running, state
from test_cli_run import ODD_ITEMS

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.cli.pipe_command import OutputStream, PipeCommand
    from headrace.cli.pipe_dealing import Dealer
    from headrace.cli.pipe_output import PipeWriter

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="headrace run is for POSIX systems"),
    pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc to look at processes"),
]

PYTHON_CAT = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line)"
SHELL_CAT = 'while IFS= read -r line; do printf "%s\\n" "$line"; done'


def numbers(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(count))


@pytest.mark.parametrize("consumers", ["1", "2", "5"])
@pytest.mark.parametrize("block", ["1", "4K", "256K"])
def test_every_line_reaches_one_command_once(consumers: str, block: str) -> None:
    items = numbers(2000 if block == "1" else 200_000)
    done = headrace("run", "--pipe", "-j", consumers, "--block", block, "cat", stdin=items)
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == lines(items)


def test_one_command_keeps_the_order() -> None:
    items = numbers(100_000)
    assert headrace("run", "--pipe", "-j1", "cat", stdin=items).stdout == items


@pytest.mark.parametrize("command", [["cat"], [sys.executable, "-c", PYTHON_CAT], ["sh", "-c", SHELL_CAT]])
def test_odd_lines_arrive_as_they_are(command: list[str]) -> None:
    items = [*ODD_ITEMS, b"x" * (1 << 20)]
    done = headrace("run", "--pipe", "-j3", *command, stdin=b"\n".join(items) + b"\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == sorted(items)


def test_the_last_line_gets_the_line_break_that_it_lacks() -> None:
    assert headrace("run", "--pipe", "cat", stdin=b"a\nb").stdout in (b"a\nb\n", b"b\na\n")


def test_lines_may_end_with_nul() -> None:
    done = headrace("run", "--pipe", "-0", "-j3", "cat", stdin=b"a\nb\0c\0d")
    assert sorted(done.stdout.split(b"\0")) == [b"", b"a\nb", b"c", b"d"]
    done = headrace("run", "--pipe", "-0", "xargs", "-0", "-n1", "echo", stdin=b"a\0b\0")
    assert lines(done.stdout) == [b"a", b"b"]


def test_no_more_commands_are_started_than_there_are_lines_for() -> None:
    done = headrace("run", "--pipe", "-j5", "wc", "-l", stdin=b"a\nb\n")
    assert 1 <= len(done.stdout.split()) <= 2
    assert sum(map(int, done.stdout.split())) == 2
    assert headrace("run", "--pipe", "-j5", "wc", "-l", stdin=b"").stdout == b""


def test_the_same_few_processes_take_all_lines() -> None:
    done = headrace("run", "--pipe", "-j3", "sh", "-c", "while read x; do echo $$; done", stdin=numbers(5000))
    assert len(set(lines(done.stdout))) <= 3
    assert len(lines(done.stdout)) == 5000


def test_a_line_that_comes_alone_is_passed_on_at_once() -> None:
    with running("run", "--pipe", "-j3", "sh", "-c", SHELL_CAT) as run:
        run.echoes(b"1\n", b"2\n", b"3\n")
        assert run.process.stdin is not None
        run.process.stdin.close()
        assert run.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("reader", ["shell", "python"])
def test_a_command_that_is_stuck_holds_few_lines_and_the_others_get_the_rest(tmp_path: Path, reader: str) -> None:
    wait = "until test -e go; do sleep 0.01; done"
    command = ["sh", "-c", f"while read x; do test $x = 3 && {{ touch stuck; {wait}; }}; echo $x; done"]
    if reader == "python":
        source = (
            "import os, sys, time\n"
            "for line in sys.stdin:\n"
            "    while line == '3\\n' and not os.path.exists('go'): time.sleep(0.01)\n"
            "    print(line, end='', flush=True)\n"
        )
        command = [sys.executable, "-c", source]
    with running("run", "--pipe", "-j3", *command, cwd=tmp_path) as run:
        assert run.process.stdin is not None
        assert run.process.stdout is not None
        items = numbers(2000)
        run.process.stdin.write(items)
        run.process.stdin.close()
        run.process.stdin = None
        # With the stuck one there may be a buffer of its own, and what is in its pipe.
        early = [run.process.stdout.readline() for _ in range(1000)]
        assert b"3\n" not in early
        (tmp_path / "go").touch()
        rest = run.process.stdout.read()
        assert run.process.wait(PATIENCE) == 0
    assert lines(b"".join(early) + rest) == lines(items)


def test_lines_of_output_are_not_mixed() -> None:
    # Pieces of lines, with pauses in between in which the others write.
    talk = 'while read x; do printf "%s-" $x; /bin/true; printf "%s" $x; /bin/true; echo " end"; done'
    done = headrace("run", "--pipe", "-j4", "sh", "-c", talk, stdin=numbers(400))
    assert lines(done.stdout) == sorted(b"%d-%d end" % (number, number) for number in range(400))


def test_long_lines_of_output_are_not_mixed() -> None:
    script = "import sys\nfor line in sys.stdin: print(line.strip() * 3_000_000)"
    done = headrace("run", "--pipe", "-j3", sys.executable, "-c", script, stdin=b"a\nb\nc\nd\n")
    assert done.returncode == 0
    assert sorted(Counter(line[:1] for line in done.stdout.split(b"\n")).items()) == [
        (b"", 1),
        (b"a", 1),
        (b"b", 1),
        (b"c", 1),
        (b"d", 1),
    ]
    assert all(len(line) in (0, 3_000_000) and len(set(line)) <= 1 for line in done.stdout.split(b"\n"))


def test_a_long_line_that_begins_while_another_was_about_to_be_read_is_not_broken() -> None:
    from headrace.cli.pipe_printing import MOST_UNENDED_BYTES, Printing

    written: list[object] = []
    writer = SimpleNamespace(add=lambda source, target, data: written.append(source), is_full=lambda: False)
    printing = Printing(cast("PipeWriter", writer), b"\n")
    commands = []
    for text in (b"first", b"second"):
        stream = SimpleNamespace(read=lambda text=text: text, target=1, is_in_long_line=False, end_of_lines=lambda _: 0)
        stream.unended = bytearray(MOST_UNENDED_BYTES)
        commands.append(SimpleNamespace(streams=[stream]))
    # Both were found to have something to read, before either was read.
    for command in commands:
        stream = cast("OutputStream", command.streams[0])
        printing.read(cast("PipeCommand", command), stream)
    assert written == commands[:1]


def test_output_without_a_line_break_stands_on_a_line_of_its_own() -> None:
    done = headrace("run", "--pipe", "-j4", "tr", "-d", "\\n", stdin=numbers(10_000))
    assert len(done.stdout.split(b"\n")) <= 4
    assert sum(map(len, done.stdout.split(b"\n"))) == len(numbers(10_000)) - 10_000


def test_standard_error_is_passed_on_in_whole_lines() -> None:
    done = headrace(
        "run", "--pipe", "-j3", "sh", "-c", "while read x; do echo $x; echo e$x >&2; done", stdin=numbers(99)
    )
    assert lines(done.stdout) == lines(numbers(99))
    assert lines(done.stderr) == sorted(b"e%d" % number for number in range(99))


def test_output_that_goes_to_one_place_keeps_its_order() -> None:
    script = "while read x; do echo o$x; echo e$x >&2; done"
    done = headrace(
        *("run", "--pipe", "-j1", "sh", "-c", script),
        stdin=numbers(50),
        capture_output=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.stdout == b"".join(b"o%d\ne%d\n" % (number, number) for number in range(50))


def test_a_line_for_the_shell_is_fed_too() -> None:
    assert headrace("run", "--pipe", "-j1", "--shell", "tr 0-9 a-j |", "rev", stdin=b"12\n").stdout == b"cb\n"


def test_placeholders_mean_nothing() -> None:
    assert headrace("run", "--pipe", "awk", "{} {print $1 7}", stdin=b"1\n").stdout == b"17\n"
    assert headrace("run", "--pipe", "--dry-run", "awk", "{print}").stdout == b"awk '{print}'\n"


# Commands that end early.


def test_what_a_command_that_ends_has_not_read_goes_to_others() -> None:
    items = numbers(300)
    done = headrace("run", "--pipe", "-j3", "sh", "-c", "read x; read y; echo $x; test $y && echo $y", stdin=items)
    assert lines(done.stdout) == lines(items)
    assert done.returncode == 0 or b"exit status 1; it had read 1 line, " in done.stderr


def test_a_command_that_ends_early_with_success_has_done_what_it_read() -> None:
    done = headrace("run", "--pipe", "-j2", "head", "-n", "1", stdin=numbers(100))
    assert done.returncode == 0
    assert lines(done.stdout)
    assert re.fullmatch(
        rb"headrace: (a command|\d+ commands) ended with exit status 0 before the input did: "
        rb"what was read counts as done, others got the rest\n",
        done.stderr,
    )


def test_what_a_command_that_fails_had_read_is_told() -> None:
    script = "read a; read b; echo $a $b; exit 7"
    done = headrace("run", "--pipe", "-j1", "sh", "-c", script, stdin=b"a\nb\nc\nd\n")
    assert (done.returncode, done.stdout) == (1, b"a b\nc d\n")
    first, second, last = done.stderr.splitlines()
    assert first == b"headrace: a command failed: exit status 7; it had read 2 lines, the last one 'b'"
    assert second == b"headrace: a command failed: exit status 7; it had read 2 lines, the last one 'd'"
    assert re.fullmatch(rb"headrace: 0 done, 4 failed in \d+\.\d+ s.*", last)


def test_a_signal_that_killed_a_command_is_told_by_name() -> None:
    done = headrace("run", "--pipe", "-j1", "sh", "-c", "read a; kill -KILL $$", stdin=b"a\n")
    assert done.returncode == 1
    assert b"a command failed: killed by SIGKILL; it had read 1 line, 'a'\n" in done.stderr


def test_a_command_that_fails_at_the_end_of_its_input_fails_what_it_read() -> None:
    done = headrace("run", "--pipe", "-j1", "grep", "x", stdin=b"a\nb\n")
    assert done.returncode == 1
    assert b"exit status 1; it had read 2 lines, the last one 'b'" in done.stderr


@pytest.mark.parametrize(("command", "how"), [("true", b""), ("false", b"exit status 1; it had read nothing")])
def test_commands_that_read_nothing_are_not_started_for_ever(command: str, how: bytes) -> None:
    done = headrace("run", "--pipe", "-j2", command, stdin=numbers(100_000))
    assert (done.returncode, done.stdout) == (1, b"")
    assert how in done.stderr
    assert b"no command is left that reads its input: the rest of the input was not handled" in done.stderr


def test_a_command_that_closes_its_input_loses_no_line() -> None:
    script = "read x; echo $x; exec <&-; sleep 0.05"
    assert lines(headrace("run", "--pipe", "-j2", "sh", "-c", script, stdin=numbers(20)).stdout) == lines(numbers(20))


@pytest.mark.parametrize("attempt", range(5))
def test_commands_that_are_killed_lose_only_what_they_had_read(tmp_path: Path, attempt: int) -> None:
    chance = random.Random(attempt)
    count = 3000
    with running("run", "--pipe", "-j3", "sh", "-c", SHELL_CAT, cwd=tmp_path) as run:
        assert run.process.stdin is not None
        assert run.process.stdout is not None
        run.process.stdin.write(numbers(count // 2))
        run.process.stdin.flush()
        seen = [run.process.stdout.readline() for _ in range(chance.randrange(1, 500))]
        for pid in run.family()[:2]:
            os.kill(pid, signal.SIGKILL)
        run.process.stdin.write(numbers(count)[len(numbers(count // 2)) :])
        run.process.stdin.close()
        run.process.stdin = None
        # Not communicate(), which knows nothing of what readline() has read ahead.
        out = run.process.stdout.read()
        status, _, error = run.end()
    assert status == 1
    printed = Counter(lines(b"".join(seen) + out))
    assert max(printed.values()) == 1
    # The shell reads byte for byte: what it had read it has printed, but for the line that it was at.
    assert len(printed) >= count - error.count(b"killed by SIGKILL")
    last = error.splitlines()[-1]
    found = re.match(rb"headrace: ([\d,]+) done, ([\d,]+) failed", last)
    assert found is not None
    assert sum(int(number.replace(b",", b"")) for number in found.groups()) == count


# Ends.


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("script", ["sleep 1000 & sleep 1000", "trap '' INT TERM; while :; do sleep 1000; done"])
def test_a_signal_ends_the_commands_and_what_they_have_started(
    script: str, number: signal.Signals, status: int, tmp_path: Path
) -> None:
    with running("run", "--pipe", "-j3", "sh", "-c", f"touch started-$$; {script}", cwd=tmp_path) as run:
        assert run.process.stdin is not None
        run.process.stdin.write(numbers(1000))
        run.process.stdin.flush()
        eventually(lambda: len(list(tmp_path.glob("started-*"))) == 3)
        begun = time.monotonic()
        run.send(number)
        ended, _, error = run.end()
        seconds = time.monotonic() - begun
        # On a busy machine, what was killed may have its last turn only now.
        eventually(lambda: run.family() == [])
    assert ended == status
    assert error.startswith(b"headrace: ended by %s: " % number.name.encode())
    # A second is promised. A machine that is busy with other tests may take longer, but none hangs.
    assert seconds < 5


def test_the_last_line_tells_how_much_the_commands_had_read_that_ctrl_c_ended() -> None:
    with running("run", "--pipe", "-j1", "sh", "-c", SHELL_CAT) as run:
        run.echoes(b"1\n", b"2\n", b"3\n")
        run.send(signal.SIGINT)
        status, _, error = run.end()
    assert status == 130
    assert re.fullmatch(rb"headrace: ended by SIGINT: 0 done in .*; commands that were ended had read 3 lines\n", error)


def test_progress_says_what_running_commands_were_fed() -> None:
    from headrace.cli.pipe import PipeRun, PipeTally
    from headrace.cli.progress import Meter

    run = PipeRun.__new__(PipeRun)
    run.done, run.failed = 2, 0
    command = SimpleNamespace(lines=3, has_ended=False)
    tally = PipeTally(run, cast("Dealer", SimpleNamespace(commands=[command], given_bytes=10)), None)
    assert Meter(tally).read().words()[0] == "5 fed"


@pytest.mark.parametrize("attempt", range(8))
def test_ctrl_c_at_any_moment_leaves_nothing_behind(attempt: int) -> None:
    with (
        subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless,
        running("run", "--pipe", "-j3", "cat", stdin=endless.stdout) as run,
    ):
        assert endless.stdout is not None
        endless.stdout.close()
        assert run.process.stdout is not None
        run.process.stdout.read(1 << attempt)
        time.sleep(random.Random(attempt).uniform(0, 0.1))  # any moment is right
        run.send(signal.SIGINT)
        # Nobody reads what is printed, so that it may be stuck in the middle of writing.
        assert run.process.wait(PATIENCE) == 130
        eventually(lambda: run.family() == [])


def test_it_ends_quietly_when_nobody_reads_on() -> None:
    script = f"yes | {shlex.join(HEADRACE)} run --pipe -j2 cat | head -n 3"
    done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (b"y\ny\ny\n", b"")


def test_a_stop_stops_the_commands_too_and_a_continue_continues_them() -> None:
    with running("run", "--pipe", "-j1", "sh", "-c", SHELL_CAT, process_group=0) as run:
        run.echoes(b"1\n")
        assert run.process.stdin is not None
        run.send(signal.SIGTSTP)
        eventually(lambda: state(run.process.pid) == "T")
        eventually(lambda: {state(pid) for pid in run.family()} == {"T"})
        run.send(signal.SIGCONT)
        run.process.stdin.write(b"2\n")
        run.process.stdin.close()
        run.process.stdin = None
        assert run.end() == (0, b"2\n", b"")


def test_what_is_left_behind_by_a_command_is_not_waited_for(tmp_path: Path) -> None:
    script = "cat; (until test -e go; do sleep 0.01; done) & :"
    with running("run", "--pipe", "-j1", "sh", "-c", script, cwd=tmp_path) as run:
        assert run.process.stdin is not None
        run.process.stdin.write(b"1\n")
        run.process.stdin.close()
        run.process.stdin = None
        assert run.process.wait(PATIENCE) == 0
        (tmp_path / "go").touch()


def test_a_slow_reader_slows_the_commands_and_loses_nothing() -> None:
    items = numbers(600_000)
    taken = 0
    with running("run", "--pipe", "-j2", "cat") as run:
        assert run.process.stdin is not None
        assert run.process.stdout is not None
        fd = run.process.stdin.fileno()
        os.set_blocking(fd, False)
        # Nobody reads: it does not take more than fits into its buffers. One that is slow lets the test pass.
        while taken < len(items) and select.select((), (fd,), (), 0.3)[1]:
            taken += os.write(fd, items[taken : taken + (1 << 16)])
        assert taken < len(items)
        os.set_blocking(fd, True)
        feeder = threading.Thread(target=feed, args=(run.process.stdin, items[taken:]))
        feeder.start()
        out = run.process.stdout.read()
        feeder.join()
        run.process.stdin = None
        assert run.process.wait(PATIENCE) == 0
    assert lines(out) == lines(items)


def feed(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.close()


# What is refused.


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--pipe"], "there is no COMMAND to feed"),
        (["--pipe", "--call", "builtins:str"], "--call and --pipe"),
        (["--pipe", "--csv", "cat"], "--csv and --pipe"),
        (["--pipe", "--stdin", "cat"], "--stdin and --pipe"),
        (["--pipe", "--retries", "3", "cat"], "--retries and --pipe"),
        (["--pipe", "--keep-order", "cat"], "--keep-order and --pipe"),
        (["--pipe", "cat", ":::", "a"], "::: and --pipe"),
        (["--pipe", "--block", "0", "cat"], "'0' is no size"),
        (["--pipe", "--block", "1G", "cat"], "'1G' is no size: write bytes, as 4096, 64K or 1M, up to 64M"),
        (["--block", "1K", "cat"], "--block is for --pipe"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], expected: str) -> None:
    done = headrace("run", *arguments, stdin=b"a\n")
    assert (done.returncode, done.stdout) == (2, b"")
    assert expected in done.stderr.decode()


def test_a_command_that_there_is_not_is_refused() -> None:
    done = headrace("run", "--pipe", "no-such-command", stdin=b"a\n")
    assert done.returncode == 127
    assert b"'no-such-command' is not on PATH" in done.stderr


def test_fewer_commands_than_wished_for_do_it_where_more_cannot_be_started() -> None:
    import resource

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))

    done = headrace("run", "--pipe", "-j50", "sh", "-c", SHELL_CAT, stdin=numbers(5000), preexec_fn=few_files)
    assert lines(done.stdout) == lines(numbers(5000))
    assert done.returncode == 0
    assert b"cannot start more than" in done.stderr


def test_a_line_without_an_end_is_told() -> None:
    with open("/dev/zero", "rb") as endless:
        done = subprocess.run(
            [*HEADRACE, "run", "--pipe", "cat"], stdin=endless, capture_output=True, timeout=60, check=False
        )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"cannot read the input to its end: a line does not end within 67,108,864 bytes" in done.stderr
