"""The command line for longer: ``make stress``."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cli_support import PATIENCE, headrace, lines, measures_memory, running

pytestmark = [
    pytest.mark.stress,
    pytest.mark.skipif(
        not os.path.exists("/proc/self/environ"), reason="needs /proc to look for processes left behind"
    ),
]

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize("attempt", range(150))
def test_signals_at_any_moment_lose_no_output_and_leave_nothing_behind(tmp_path: Path, attempt: int) -> None:
    when = random.Random(attempt)
    number, status = when.choice(SIGNALS)
    talk = 'echo "begin $0"; sleep 0.00$0 & sleep 0.00$0; echo "end $0"'
    with running("run", f"-j{when.randrange(1, 9)}", "sh", "-c", talk, cwd=tmp_path) as run:
        assert run.process.stdin is not None
        run.process.stdin.write(b"".join(b"%d\n" % when.randrange(100) for _ in range(5000)))
        run.process.stdin.close()
        run.process.stdin = None
        assert run.process.stdout is not None
        first = os.read(run.process.stdout.fileno(), 1)
        time.sleep(when.uniform(0, 0.5))
        run.send(number)
        ended, out, error = run.end()
        assert run.family() == []
    assert (ended, b"Traceback" in error) == (status, False), error
    assert re.fullmatch(rb"(begin (\d+)\nend \2\n)*", first + out)
    done = re.match(rb"headrace: ended by SIG\w+: ([\d,]+) done", error)
    assert done
    assert int(done[1].replace(b",", b"")) == (first + out).count(b"end ")


def test_two_million_lines_are_each_handled_once() -> None:
    items = [b"%d" % number for number in range(2_000_000)]
    done = headrace("run", "-j8", "--call", "builtins:str", stdin=b"\n".join(items))
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == sorted(items)


def test_twenty_thousand_commands_are_each_run_once() -> None:
    items = [b"%d" % number for number in range(20_000)]
    done = headrace("run", "-j8", "echo", stdin=b"\n".join(items))
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == sorted(items)


@measures_memory
def test_gigabytes_of_input_take_bounded_memory() -> None:
    block = (b"x" * 1023 + b"\n") * 1024
    with running("run", "--call", "builtins:str", stdout=subprocess.DEVNULL) as run:
        assert run.process.stdin is not None
        for _ in range(3 << 10):
            run.process.stdin.write(block)
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{run.process.pid}/status").read_text())
        assert peak
        assert int(peak[1]) < 100 << 10
        run.process.stdin.close()
        assert run.process.wait(PATIENCE) == 0
