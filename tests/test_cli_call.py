"""``headrace run --call``: a Python function in place of a command."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from cli_support import HEADRACE, PATIENCE, eventually, headrace, lines, running
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
def interrupt(item): raise KeyboardInterrupt

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

COROUTINES = """
import asyncio, sys

together = 0
most = 0

async def same(item): return item

async def talk(item):
    global together, most
    together += 1
    most = max(most, together)
    for letter in "printed " + item:
        print(letter, end="", flush=True)
        await asyncio.sleep(0)
    print()
    await asyncio.to_thread(print, "from a thread")
    together -= 1
    return f"returned {item}"

async def count(item):
    global together
    together += 1
    while together < 50: await asyncio.sleep(0.001)
    return item

semaphore = asyncio.Semaphore(2)

async def share(item):
    global together
    async with semaphore:
        together += 1
        assert together <= 2
        await asyncio.sleep(0.001)
        together -= 1

async def leave(item): sys.exit("leaving")
async def interrupt(item): raise KeyboardInterrupt
async def cancel(item): asyncio.current_task().cancel(); await asyncio.sleep(1)
async def fail(item): raise ValueError(item)

async def hang(item):
    open("begun-" + item, "w").close()
    try:
        await asyncio.sleep(1000)
    finally:
        open("tidied-" + item, "w").close()

class Callable:
    async def __call__(self, item): return "called " + item

instance = Callable()

def hidden(item): return same(item)
"""

BROKEN_LAZILY = """
def __getattr__(name):
    import no_such_dependency
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "coroutines.py").write_text(COROUTINES)
    (tmp_path / "lazy.py").write_text(BROKEN_LAZILY)
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


def test_a_function_that_raises_an_interrupt_fails_its_item_alone(here: Path) -> None:
    done = headrace("run", "-j2", "--call", "functions:interrupt", stdin=b"1\n2\n", cwd=here)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.count(b"failed: KeyboardInterrupt\n") == 2
    assert b"Traceback" not in done.stderr


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


def test_coroutine_functions_are_awaited(here: Path) -> None:
    items = [b"%d" % number for number in range(3000)]
    done = headrace("run", "-j10", "--call", "coroutines:same", stdin=b"\n".join(items), cwd=here)
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == sorted(items)
    assert headrace("run", "--call", "coroutines:instance", stdin=b"1\n", cwd=here).stdout == b"called 1\n"


def test_coroutines_run_at_the_same_time(here: Path) -> None:
    items = [b"%d" % number for number in range(50)]
    done = headrace("run", "-j50", "--call", "coroutines:count", stdin=b"\n".join(items), cwd=here)
    assert lines(done.stdout) == sorted(items)


def test_what_a_coroutine_prints_is_kept_together_with_its_result(here: Path) -> None:
    items = [b"%d" % number for number in range(100)]
    done = headrace("run", "-j8", "--call", "coroutines:talk", stdin=b"\n".join(items), cwd=here)
    assert done.returncode == 0
    whole = [b"printed %s\nfrom a thread\nreturned %s\n" % (item, item) for item in items]
    assert len(done.stdout) == sum(map(len, whole))
    assert all(part in done.stdout for part in whole)


def test_coroutines_share_what_belongs_to_their_loop(here: Path) -> None:
    done = headrace("run", "-j8", "--call", "coroutines:share", stdin=b"x\n" * 100, cwd=here)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("leave", b"SystemExit: leaving"),
        ("interrupt", b"KeyboardInterrupt"),
        ("cancel", b"RuntimeError: the coroutine was cancelled"),
        ("fail", b"ValueError: "),
        ("hidden", b"TypeError: it returned a coroutine, which nobody runs"),
    ],
)
def test_a_coroutine_that_fails_fails_its_item_alone(here: Path, name: str, why: bytes) -> None:
    done = headrace("run", "-j2", "--call", f"coroutines:{name}", stdin=b"1\n2\n", cwd=here)
    assert done.returncode == 1
    assert done.stderr.count(b"failed: " + why) == 2
    assert b"Traceback" not in done.stderr
    assert b"Warning" not in done.stderr


def test_coroutines_are_cancelled_at_ctrl_c(here: Path) -> None:
    with running("run", "-j2", "--call", "coroutines:hang", cwd=here) as run:
        assert run.process.stdin is not None
        run.process.stdin.write(b"1\n2\n3\n")
        run.process.stdin.flush()
        eventually(lambda: len(list(here.glob("begun-*"))) == 2)
        run.send(signal.SIGINT)
        status, out, error = run.end()
    assert (status, out) == (130, b"")
    assert error.startswith(b"headrace: ended by SIGINT: 0 done")
    assert sorted(file.name for file in here.glob("tidied-*")) == ["tidied-1", "tidied-2"]


def test_a_part_of_a_module_that_cannot_be_imported_shows_its_own_error(here: Path) -> None:
    done = headrace("run", "--call", "lazy:function", stdin=b"1\n", cwd=here)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"headrace: 'lazy.function' cannot be imported:\nTraceback")
    assert b"No module named 'no_such_dependency'" in done.stderr
    assert b"headrace/cli" not in done.stderr


@pytest.mark.parametrize("name", ["generate", "generate_later"])
def test_a_generator_function_is_refused_before_anything_runs(tmp_path: Path, name: str) -> None:
    (tmp_path / "generators.py").write_text(
        "def generate(item): yield item\nasync def generate_later(item): yield item\n"
    )
    done = headrace("run", "--call", f"generators:{name}", stdin=b"1\n", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"that is a generator function, and calling one runs nothing of it" in done.stderr


@pytest.mark.parametrize(
    ("signature", "fits"),
    [("a", True), ("*a", True), ("a, b=1", True), ("a, *, b=1", True), ("", False), ("a, b", False), ("*, a", False)],
)
def test_a_function_that_cannot_take_an_item_is_refused_before_anything_runs(
    tmp_path: Path, signature: str, fits: bool
) -> None:
    (tmp_path / "takes.py").write_text(f"def f({signature}): return 'called'\n")
    done = headrace("run", "--call", "takes:f", stdin=b"1\n", cwd=tmp_path)
    if fits:
        assert (done.returncode, done.stdout) == (0, b"called\n")
    else:
        assert (done.returncode, done.stdout) == (2, b"")
        assert f"and takes ({signature}): ".encode() in done.stderr


def test_classes_and_built_in_functions_can_be_called() -> None:
    assert headrace("run", "--call", "pathlib:PurePosixPath", stdin=b"a//b\n").stdout == b"a/b\n"
    assert headrace("run", "--call", "builtins:int", stdin=b" 07\n").stdout == b"7\n"
    assert headrace("run", "--call", "builtins:str.upper", stdin=b"a\n").stdout == b"A\n"
