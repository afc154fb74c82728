"""``headrace run --call``: a Python function in place of a command."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from cli_support import HEADRACE, PATIENCE, headrace, lines, running
from test_cli_run import ODD_ITEMS, python_sources, xargs

pytestmark = pytest.mark.skipif(os.name != "posix", reason="headrace run is for POSIX systems")

EXAMPLES = Path(__file__).parent.parent / "examples"

FUNCTIONS = """
import sys, threading, time

def same(item): return item
def nothing(item): pass
def number(item): return int(item)
def raw(item): return b"raw \\xff"
def bad_text(item): return "\\ud800"
def leave(item): sys.exit("leaving")

def talk(item):
    for letter in "printed " + item:
        print(letter, end="", flush=True)
        time.sleep(0)
    print()
    return "returned " + item

def two_lines(item): raise ValueError("one\\ntwo")

def write(item):
    sys.stdout.buffer.write(b"raw \\xff ")
    sys.stdout.write(item)
    sys.stdout.flush()

def fail_late(item):
    print("printed before")
    raise KeyError(item)

def by_thread(item):
    thread = threading.Thread(target=print, args=(item,))
    thread.start()
    thread.join()
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    return tmp_path


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum to compare with")
def test_the_example_prints_the_same_lines_as_sha256sum() -> None:
    files = python_sources()
    done = headrace(
        "run",
        "-j",
        "3",
        "--call",
        "hashlib_example:digest",
        stdin=b"".join(path + b"\n" for path in files),
        cwd=EXAMPLES,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == lines(xargs("sha256sum", stdin=b"\n".join(files)))


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum to compare with")
def test_the_example_writes_odd_names_as_sha256sum_does(tmp_path: Path) -> None:
    names = [b"back\\slash", b"line\nbreak", b"\r", b"two words", "grüße".encode()]
    for name in names:
        Path(sys.intern(str(tmp_path)), name.decode()).write_bytes(name)
    paths = b"\0".join(bytes(tmp_path) + b"/" + name for name in names)
    done = headrace("run", "-0", "--call", "hashlib_example:digest", stdin=paths, cwd=EXAMPLES)
    assert done.returncode == 0
    assert lines(done.stdout) == lines(xargs("-0", "sha256sum", stdin=paths))


def test_what_a_function_returns_is_printed_a_line_each(here: Path) -> None:
    assert lines(headrace("run", "--call", "functions:number", stdin=b"1\n 02 \n3", cwd=here).stdout) == [
        b"1",
        b"2",
        b"3",
    ]
    assert headrace("run", "--call", "functions:nothing", stdin=b"1\n2\n", cwd=here).stdout == b""
    assert headrace("run", "--call", "functions:raw", stdin=b"1\n", cwd=here).stdout == b"raw \xff\n"
    assert headrace("run", "--call", "functions:bad_text", stdin=b"1\n", cwd=here).stdout == b"\\ud800\n"


def test_items_arrive_as_they_are(here: Path) -> None:
    items = [*ODD_ITEMS, b"x" * (1 << 20)]
    done = headrace("run", "--call", "functions:same", stdin=b"\n".join(items), cwd=here)
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == sorted(items)


def test_every_one_of_many_lines_is_handled_once(here: Path) -> None:
    items = [b"%d" % number for number in range(300_000)]
    done = headrace("run", "-j4", "--call", "functions:same", stdin=b"\n".join(items), cwd=here)
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == sorted(items)


def test_an_exception_is_that_items_failure_and_told_in_one_line(here: Path) -> None:
    done = headrace("run", "-j1", "--call", "functions:number", stdin=b"1\ntwo\n3\n", cwd=here)
    assert done.returncode == 1
    assert done.stdout == b"1\n3\n"
    first, last = done.stderr.splitlines()
    assert first == b"headrace: item 'two' failed: ValueError: invalid literal for int() with base 10: 'two'"
    assert re.fullmatch(rb"headrace: 2 done, 1 failed in \d+\.\d+ s.*", last)


def test_a_message_of_several_lines_is_told_in_one(here: Path) -> None:
    done = headrace("run", "--call", "functions:two_lines", stdin=b"x\n", cwd=here)
    assert b"item 'x' failed: ValueError: one two\n" in done.stderr


def test_a_function_that_exits_fails_its_item_alone(here: Path) -> None:
    done = headrace("run", "-j1", "--call", "functions:leave", stdin=b"1\n2\n", cwd=here)
    assert done.returncode == 1
    assert done.stderr.count(b"failed: SystemExit: leaving\n") == 2


def test_what_a_function_prints_is_kept_together_with_its_result(here: Path) -> None:
    items = [b"%d" % number for number in range(200)]
    done = headrace("run", "-j8", "--call", "functions:talk", stdin=b"\n".join(items), cwd=here)
    assert done.returncode == 0
    assert len(done.stdout) == sum(len(b"printed %s\nreturned %s\n" % (item, item)) for item in items)
    assert all(b"printed %s\nreturned %s\n" % (item, item) in done.stdout for item in items)


def test_a_function_may_write_bytes_to_standard_output(here: Path) -> None:
    assert headrace("run", "--call", "functions:write", stdin=b"x\n", cwd=here).stdout == b"raw \xff x"


def test_what_a_failing_function_has_printed_is_not_lost(here: Path) -> None:
    done = headrace("run", "--call", "functions:fail_late", stdin=b"x\n", cwd=here)
    assert (done.returncode, done.stdout) == (1, b"printed before\n")
    assert b"item 'x' failed: KeyError: 'x'" in done.stderr


def test_what_a_functions_thread_prints_is_printed(here: Path) -> None:
    assert lines(headrace("run", "--call", "functions:by_thread", stdin=b"1\n2\n", cwd=here).stdout) == [b"1", b"2"]


def test_a_result_does_not_wait_for_the_next_item(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, time\n"
        "def slow(item):\n"
        "    while item == 'slow' and not os.path.exists('go'): time.sleep(0.01)\n"
        "    return item\n"
    )
    with running("run", "-j1", "--call", "slow:slow", cwd=tmp_path) as run:
        assert run.process.stdin is not None
        assert run.process.stdout is not None
        run.process.stdin.write(b"fast\nslow\n")
        run.process.stdin.close()
        assert run.process.stdout.readline() == b"fast\n"
        (tmp_path / "go").touch()
        assert run.process.stdout.readline() == b"slow\n"
        assert run.process.wait(PATIENCE) == 0


def test_the_command_and_the_module_both_find_what_is_in_the_current_directory(here: Path) -> None:
    script = shutil.which("headrace", path=str(Path(HEADRACE[0]).parent))
    if script is None:
        pytest.skip("the command headrace is not installed beside this Python")
    import subprocess

    done = subprocess.run(
        [script, "run", "--call", "functions:same"],
        input=b"1\n",
        cwd=here,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"1\n")
