"""How ``headrace run`` ends early: by signals, and when nobody reads its output any more."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cli_support import HEADRACE, PATIENCE, Run, eventually, headrace, running, state

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="signals"),
    pytest.mark.skipif(
        not os.path.exists("/proc/self/environ"), reason="needs /proc to look for processes left behind"
    ),
]

MARK_START = "touch started-$0; "
# A shell that ends at SIGINT but has started something that does not (shells make background commands ignore it);
# one that ignores the polite signals; one that tidies up; one that just sleeps.
LEAVES_SOMETHING = MARK_START + "sleep 1000 & sleep 1000"
STUBBORN = "trap '' INT TERM HUP; " + MARK_START + "while :; do sleep 1000; done"
TIDY = "trap 'touch tidied-$0; exit 0' INT TERM HUP; " + MARK_START + "while :; do sleep 0.01; done"
PLAIN = MARK_START + "sleep 1000"

ENDING = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def start_items(run: Run, count: int = 100) -> None:
    assert run.process.stdin is not None
    run.process.stdin.write(b"".join(b"%d\n" % number for number in range(count)))
    run.process.stdin.flush()


def started(folder: Path) -> int:
    return len(list(folder.glob("started-*")))


def assert_ended(run: Run, status: int) -> bytes:
    """The run ends with *status*, leaves nothing behind and has no traceback; returns its standard error."""
    ended, _, error = run.end()
    assert ended == status, error
    eventually(lambda: run.family() == [])
    assert b"Traceback" not in error
    return error


@pytest.mark.parametrize(("number", "status"), ENDING)
@pytest.mark.parametrize("script", [PLAIN, LEAVES_SOMETHING, STUBBORN], ids=["plain", "leaves-something", "stubborn"])
def test_a_signal_ends_the_commands_and_what_they_have_started(
    tmp_path: Path, script: str, number: signal.Signals, status: int
) -> None:
    with running("run", "-j3", "sh", "-c", script, cwd=tmp_path) as run:
        start_items(run)
        eventually(lambda: started(tmp_path) == 3)
        begun = time.monotonic()
        run.send(number)
        error = assert_ended(run, status)
        seconds = time.monotonic() - begun
    assert error.startswith(b"headrace: ended by %s: 0 done in " % number.name.encode())
    assert started(tmp_path) == 3  # nothing more was taken
    # A second is promised. A machine that is busy with other tests may take longer, but none hangs.
    assert seconds < 5


@pytest.mark.parametrize("attempt", range(12))
def test_ctrl_c_at_any_moment_leaves_nothing_behind(tmp_path: Path, attempt: int) -> None:
    when = random.Random(attempt)
    with running("run", "-j4", "sh", "-c", "touch started-$0; sleep 0.0$0 & sleep 0.0$0; wait", cwd=tmp_path) as run:
        assert run.process.stdin is not None
        run.process.stdin.write(b"".join(b"%d\n" % when.randrange(100) for _ in range(1000)))
        run.process.stdin.close()
        run.process.stdin = None
        eventually(lambda: started(tmp_path))
        time.sleep(when.uniform(0, 0.3))  # any moment is right
        run.send(signal.SIGINT)
        assert_ended(run, 130)


def test_ctrl_c_while_it_starts_is_quiet(tmp_path: Path) -> None:
    (tmp_path / "slow_import.py").write_text("print('importing', flush=True)\nimport time\ntime.sleep(1000)\n")
    with running("run", "--call", "slow_import:f", cwd=tmp_path) as run:
        assert run.process.stdout is not None
        assert run.process.stdout.readline() == b"importing\n"
        run.send(signal.SIGINT)
        assert assert_ended(run, 130) == b""


def test_commands_may_tidy_up(tmp_path: Path) -> None:
    with running("run", "-j2", "sh", "-c", TIDY, cwd=tmp_path) as run:
        start_items(run)
        eventually(lambda: started(tmp_path) == 2)
        run.send(signal.SIGINT)
        assert_ended(run, 130)
    assert len(list(tmp_path.glob("tidied-*"))) == 2


def test_output_of_commands_that_were_ended_is_dropped_and_of_others_kept(tmp_path: Path) -> None:
    script = "echo begun; test $0 = 1 && exit; touch started-$0; sleep 1000"
    with running("run", "-j2", "sh", "-c", script, cwd=tmp_path) as run:
        start_items(run)
        eventually(lambda: started(tmp_path) == 2)
        run.send(signal.SIGINT)
        status, out, error = run.end()
    assert (status, out) == (130, b"begun\n")
    assert error.startswith(b"headrace: ended by SIGINT: 1 done in ")


def test_a_wait_for_input_ends_at_once() -> None:
    with running("run", "--call", "builtins:str") as run:
        run.echoes(b"1\n")
        run.send(signal.SIGTERM)
        assert_ended(run, 143)


def test_a_call_that_never_returns_does_not_keep_ctrl_c_waiting(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "import threading\ndef f(item):\n    if item == '2': threading.Event().wait()\n    return item\n"
    )
    with running("run", "-j1", "--call", "stuck:f", cwd=tmp_path) as run:
        start_items(run, 5)
        assert run.process.stdout is not None
        assert run.process.stdout.readline() == b"0\n"
        assert run.process.stdout.readline() == b"1\n"
        run.send(signal.SIGINT)
        assert_ended(run, 130)


@pytest.mark.parametrize("step", [["head", "-c", "1000000"], ["--call", "builtins:str"]], ids=["command", "call"])
def test_a_reader_that_does_not_read_does_not_keep_ctrl_c_waiting(step: list[str]) -> None:
    with (
        subprocess.Popen(["yes", "/dev/zero"], stdout=subprocess.PIPE) as endless,
        running("run", *step, stdin=endless.stdout) as run,
    ):
        assert endless.stdout is not None
        endless.stdout.close()
        eventually(lambda: is_writing(run.process.pid))
        run.send(signal.SIGINT)
        assert run.process.wait(PATIENCE) == 130


def is_writing(pid: int) -> bool:
    """Whether a thread of the process is asleep in write(1, ...), as it is when the pipe is full."""
    calls = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            calls.append((thread / "syscall").read_text().split()[:2])
        except OSError:
            continue
    return any(call[1:] == ["0x1"] for call in calls)


def test_a_signal_that_was_ignored_stays_ignored(tmp_path: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    script = "touch started-$0; until test -e go; do sleep 0.01; done"
    with running("run", "sh", "-c", script, cwd=tmp_path, preexec_fn=ignore) as run:
        start_items(run, 1)
        eventually(lambda: started(tmp_path) == 1)
        run.send(signal.SIGINT)
        run.send(signal.SIGHUP)
        (tmp_path / "go").touch()
        status, _, error = run.end()
    assert (status, error) == (0, b"")


def test_how_commands_end_is_known_where_that_was_to_be_ignored() -> None:
    done = headrace(
        "run", "sh", "-c", "exit 3", stdin=b"x\n", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    )
    assert done.returncode == 1
    assert b"item 'x' failed: exit status 3\n" in done.stderr


def test_a_second_ctrl_c_kills_at_once(tmp_path: Path) -> None:
    with running("run", "-j2", "sh", "-c", STUBBORN, cwd=tmp_path) as run:
        start_items(run)
        eventually(lambda: started(tmp_path) == 2)
        run.send(signal.SIGINT)
        run.send(signal.SIGINT)
        assert_ended(run, 130)


def test_a_stop_stops_the_commands_too_and_a_continue_continues_them(tmp_path: Path) -> None:
    script = "touch started-$0; until test -e go; do sleep 0.01; done; echo $0"
    # A group whose parent is in another one of the session: only such a group can be stopped from a terminal.
    with running("run", "-j2", "sh", "-c", script, cwd=tmp_path, process_group=0) as run:
        start_items(run, 2)
        assert run.process.stdin is not None
        run.process.stdin.close()
        run.process.stdin = None
        eventually(lambda: started(tmp_path) == 2)
        run.send(signal.SIGTSTP)
        eventually(lambda: state(run.process.pid) == "T")
        # D is a shell that waits for its child, stopped on the way to its program.
        eventually(lambda: {state(pid) for pid in run.family()} <= {"T", "D"})
        (tmp_path / "go").touch()
        run.send(signal.SIGCONT)
        status, out, error = run.end()
    assert (status, sorted(out.split()), error) == (0, [b"0", b"1"], b"")


@pytest.mark.parametrize("step", [["echo"], ["--call", "builtins:str"]], ids=["command", "call"])
def test_it_ends_quietly_when_nobody_reads_on(step: list[str]) -> None:
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        with running("run", "-j2", *step, stdin=endless.stdout) as run:
            assert endless.stdout is not None
            endless.stdout.close()
            assert run.process.stdout is not None
            assert run.process.stdout.readline() == b"y\n"
            run.process.stdout.close()
            run.process.stdout = None
            error = assert_ended(run, 141)
        assert endless.wait(PATIENCE) == -signal.SIGPIPE
    assert error == b""


def test_commands_that_still_run_are_ended_when_nobody_reads_on(tmp_path: Path) -> None:
    script = "test $0 = 0 || { touch started-$0; sleep 1000; }; until test -e started-1; do sleep 0.01; done; echo $0"
    with running("run", "-j2", "sh", "-c", script, cwd=tmp_path) as run:
        assert run.process.stdout is not None
        run.process.stdout.close()
        run.process.stdout = None
        start_items(run)
        assert assert_ended(run, 141) == b""


def test_head_ends_a_pipeline() -> None:
    script = f"yes | {shlex.join(HEADRACE)} run --call builtins:str | head -n 3"
    done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"y\ny\ny\n", b"")


def test_the_users_module_is_told_of_the_end_at_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "tidy.py").write_text(
        "import atexit, pathlib\natexit.register(pathlib.Path('tidied').touch)\ndef f(item): return item\n"
    )
    with running("run", "--call", "tidy:f", cwd=tmp_path) as run:
        run.echoes(b"1\n")
        run.send(signal.SIGINT)
        assert_ended(run, 130)
    assert (tmp_path / "tidied").exists()
