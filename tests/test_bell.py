"""The bell: threads of several processes wait on words of a mapped file."""

from __future__ import annotations

import importlib
import mmap
import os
import re
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from conftest import UNDER_SANITIZER, scaled
from consumer_support import PATIENCE, eventually
from headrace.backends.sqlite import bell as chosen
from test_interpreters import interpreters_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

IMPLEMENTATIONS = {
    "c": "headrace.backends.sqlite._bell",
    "ctypes": "headrace.backends.sqlite.bell_ctypes",
    "poll": "headrace.backends.sqlite.bell_poll",
}
FUTEX = {"x86_64": 202, "aarch64": 98}

with_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
with_posix_signals = pytest.mark.skipif(sys.platform == "win32", reason="this system has no such signals")


def load(name: str) -> ModuleType:
    """One of the three, if this system can have it. Only HEADRACE_ALLOW_NO_C=1 lets off one without a C module."""
    try:
        return importlib.import_module(IMPLEMENTATIONS[name])
    except ImportError:
        if name == "ctypes" and (sys.platform != "linux" or os.uname().machine not in FUTEX):
            pytest.skip("the system call is known for 64-bit Linux on x86 and ARM only")
        if name == "c" and os.environ.get("HEADRACE_ALLOW_NO_C") == "1":
            pytest.skip("the C module is not built, and HEADRACE_ALLOW_NO_C=1 allows that")
        raise


@pytest.fixture(params=list(IMPLEMENTATIONS))
def bell(request: pytest.FixtureRequest) -> ModuleType:
    """Each of the three in turn."""
    return load(request.param)


@pytest.fixture
def sleeping_bell(bell: ModuleType) -> ModuleType:
    """Those that sleep until they are rung."""
    if bell.polls:
        pytest.skip("this one polls: whoever waits looks for itself")
    return bell


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bells"
    path.write_bytes(bytes(4096))
    return path


@pytest.fixture
def words(file: Path) -> Iterator[mmap.mmap]:
    with file.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 0)
    yield mapped
    mapped.close()


def name_of(bell: ModuleType) -> str:
    return {module: name for name, module in IMPLEMENTATIONS.items()}[bell.__name__]


class Waiters:
    """Threads that each wait once, and are waited for however the test ends."""

    def __init__(self, bell: ModuleType, words: mmap.mmap, count: int, timeout: float | None = None) -> None:
        self._bell, self._words = bell, words
        self.results: list[bool] = []
        seen = bell.read(words, 0)

        def wait() -> None:
            self.results.append(bell.wait(words, 0, seen, timeout))

        self.threads = [threading.Thread(target=wait, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def asleep(self) -> int:
        """How many are in the system call that sleeps."""
        alive = [thread for thread in self.threads if thread.is_alive()]
        return sum(is_in_futex(os.getpid(), thread.native_id) for thread in alive)

    def end(self) -> None:
        while any(thread.is_alive() for thread in self.threads):
            self._bell.ring(self._words, 0)
            self.threads[-1].join(0.01)
            self.threads = [thread for thread in self.threads if thread.is_alive()]


def is_in_futex(process: int, thread: int | None) -> bool:
    """Is this thread in the system call? Not for its own or its interpreter's locks: those are in private memory."""
    try:
        with open(f"/proc/{process}/task/{thread}/syscall") as told:
            call = told.read().split()
    except (ProcessLookupError, FileNotFoundError):
        return False  # it has ended
    except PermissionError as error:
        pytest.skip(f"this system does not tell in which call a thread is: {error}")
    # futex(word, FUTEX_WAIT_BITSET without FUTEX_PRIVATE_FLAG, ...)
    return call[0] == str(FUTEX[os.uname().machine]) and int(call[2], 16) == 9


@contextmanager
def program(bell: ModuleType, file: Path, source: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, in which *source* runs with the same bells as `words`; killed at the end if it still runs."""
    prelude = f"""
        import faulthandler, mmap, os, signal, sys, threading, time
        from headrace.backends.sqlite import bell
        assert bell.implementation == {name_of(bell)!r}
        with open({str(file)!r}, "r+b") as opened:
            words = mmap.mmap(opened.fileno(), 0)
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(source)
    child = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", code],
        env={**os.environ, "HEADRACE_BELL": name_of(bell)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


def run(bell: ModuleType, file: Path, source: str) -> str:
    """Run a whole program to its end, which must be a good one, and return what it printed."""
    with program(bell, file, source) as child:
        out, err = child.communicate(timeout=PATIENCE * 2)
    assert (child.returncode, err) == (0, ""), err
    return out


def expect(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdout is not None
    told = child.stdout.readline()
    assert told == f"{line}\n", told + child.communicate(timeout=PATIENCE)[1]


def until_asleep(bell: ModuleType, child: subprocess.Popen[str]) -> None:
    """Until the first thread of *child* sleeps at a bell; where that cannot be seen, until it is about to."""
    if not bell.polls:
        eventually(lambda: is_in_futex(child.pid, child.pid))


# ---- the word ----


def test_a_ring_changes_the_word_and_no_other(bell: ModuleType, words: mmap.mmap) -> None:
    for _ in range(100):
        before = bell.read(words, 1)
        bell.ring(words, 1)
        assert bell.read(words, 1) != before
    assert words[:4] == words[8:12] == bytes(4)
    assert bell.read(words, 1) == struct.unpack_from("=I", words, 4)[0]


def test_a_ring_adds_one(bell: ModuleType, words: mmap.mmap) -> None:
    if name_of(bell) == "poll":
        pytest.skip("without an atomic addition the word is made a random one")
    words[:4] = b"\xff" * 4
    assert bell.read(words, 0) == 2**32 - 1
    bell.ring(words, 0)
    assert bell.read(words, 0) == 0
    bell.ring(words, 0, count=3)
    assert bell.read(words, 0) == 1
    assert bell.read(words, 1) == 0


@with_fork
def test_rings_of_several_processes_at_once_are_all_counted(bell: ModuleType, words: mmap.mmap) -> None:
    if name_of(bell) == "poll":
        pytest.skip("without an atomic addition the word is made a random one")
    rings = scaled(20000)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            for _ in range(rings):
                bell.ring(words, 0)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert bell.read(words, 0) == 4 * rings


def test_the_last_word_can_be_used(bell: ModuleType, words: mmap.mmap) -> None:
    last = len(words) // 4 - 1
    bell.ring(words, last)
    assert bell.read(words, last)
    assert bell.wait(words, last, 0)


# ---- waiting ----


def test_a_ring_before_the_wait_is_not_lost(bell: ModuleType, words: mmap.mmap) -> None:
    seen = bell.read(words, 0)
    bell.ring(words, 0)
    assert bell.wait(words, 0, seen) is True
    assert bell.wait(words, index=0, seen=seen, timeout=None) is True
    assert bell.wait(words, 0, seen, 0) is True


def test_a_wait_ends_when_its_time_is_up_and_not_before(bell: ModuleType, words: mmap.mmap) -> None:
    for timeout in (0, -1, -0.0, 0.05, 0.7, 1):
        began = time.monotonic()
        assert bell.wait(words, 0, 0, timeout) is False
        assert time.monotonic() - began >= timeout - 1e-6
    began = time.monotonic()
    assert bell.wait(words, 0, 0, timeout=0.7) is False
    assert time.monotonic() - began < 0.7 + PATIENCE / 2


def test_a_wait_of_another_thread_ends_when_its_time_is_up(bell: ModuleType, words: mmap.mmap) -> None:
    waiters = Waiters(bell, words, 3, timeout=0.6)
    eventually(lambda: waiters.results == [False] * 3)
    waiters.end()


@pytest.mark.parametrize("timeout", [None, 1000, 1e10, 1e300, float("inf")])
def test_a_ring_wakes_a_thread_of_the_same_process(bell: ModuleType, words: mmap.mmap, timeout: float | None) -> None:
    waiters = Waiters(bell, words, 1, timeout)
    if not bell.polls:
        eventually(lambda: waiters.asleep() == 1)
    bell.ring(words, 0)
    eventually(lambda: waiters.results == [True])


def test_a_ring_wakes_a_thread_of_another_process(bell: ModuleType, words: mmap.mmap, file: Path) -> None:
    with program(bell, file, "print('waiting', flush=True); print(bell.wait(words, 5, 0), flush=True)") as child:
        expect(child, "waiting")
        until_asleep(bell, child)
        bell.ring(words, 4)
        bell.ring(words, 5)
        expect(child, "True")


def test_a_waiting_thread_keeps_no_other_from_running(bell: ModuleType, words: mmap.mmap) -> None:
    waiters = Waiters(bell, words, 2)
    counted = sum(1 for _ in range(100_000))  # hangs if the waiting ones hold the interpreter's lock
    assert counted == 100_000
    waiters.end()


def test_as_many_wake_as_were_rung_for(sleeping_bell: ModuleType, words: mmap.mmap) -> None:
    waiters = Waiters(sleeping_bell, words, 6)
    try:
        eventually(lambda: waiters.asleep() == 6)
        for count, left in ((1, 5), (2, 3)):
            sleeping_bell.ring(words, 0, count)
            eventually(lambda left=left: waiters.asleep() == left)
            eventually(lambda left=left: len(waiters.results) == 6 - left)
        assert waiters.asleep() == 3  # though the word has changed: only a ring wakes them
        sleeping_bell.ring(words, 1)
        assert waiters.asleep() == 3
        sleeping_bell.ring(words, 0, chosen.ALL)
        eventually(lambda: waiters.results == [True] * 6)
    finally:
        waiters.end()


def play(bell: ModuleType, words: mmap.mmap, mine: int, other: int, rounds: int, *, begins: bool) -> None:
    """Wait for each ring of *mine* and answer it with one of *other*."""
    seen = 0
    for number in range(rounds):
        if begins or number > 0:
            bell.ring(words, other)
        while bell.read(words, mine) == seen:
            bell.wait(words, mine, seen)
        seen = bell.read(words, mine)
    if not begins:
        bell.ring(words, other)


@with_fork
def test_no_wake_up_is_lost_between_processes(bell: ModuleType, words: mmap.mmap) -> None:
    # In threads that are not the first of their process: that one looks twice a second anyway, and this must hang.
    rounds = scaled(200 if bell.polls else 20000)
    child = os.fork()
    begins = child != 0
    player = threading.Thread(
        target=play, args=(bell, words, int(begins), int(not begins), rounds), kwargs={"begins": begins}
    )
    player.start()
    player.join()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_no_wake_up_is_lost_when_many_ring_for_one(bell: ModuleType, words: mmap.mmap) -> None:
    """Four put, four take, each item rings for one; nobody looks unless it was rung."""
    items: list[int] = []
    taken: list[int] = []
    each = scaled(50 if bell.polls else 2000)

    def put() -> None:
        for number in range(each):
            items.append(number)
            bell.ring(words, 0, 1)

    def take() -> None:
        while True:
            seen = bell.read(words, 0)
            try:
                item = items.pop()
            except IndexError:
                bell.wait(words, 0, seen)
            else:
                if item < 0:
                    return
                taken.append(item)

    takers = [threading.Thread(target=take) for _ in range(4)]
    putters = [threading.Thread(target=put) for _ in range(4)]
    for thread in takers + putters:
        thread.start()
    for thread in putters:
        thread.join()
    eventually(lambda: len(taken) == 4 * each)
    for _ in takers:
        items.append(-1)
        bell.ring(words, 0, 1)
    for thread in takers:
        thread.join()


# ---- processes that die, fork, end ----


@with_posix_signals
def test_a_ring_goes_to_the_living_after_another_waiter_was_killed(
    sleeping_bell: ModuleType, words: mmap.mmap, file: Path
) -> None:
    with program(sleeping_bell, file, "print('waiting', flush=True); bell.wait(words, 0, 0)") as child:
        expect(child, "waiting")
        until_asleep(sleeping_bell, child)
        waiters = Waiters(sleeping_bell, words, 1)  # behind the other in the line
        eventually(lambda: waiters.asleep() == 1)
        child.kill()
        child.wait()
        sleeping_bell.ring(words, 0, 1)
        eventually(lambda: waiters.results == [True])


@with_posix_signals
def test_a_killed_waiter_breaks_nothing(bell: ModuleType, words: mmap.mmap, file: Path) -> None:
    for _ in range(3):
        with program(bell, file, "print('waiting', flush=True); bell.wait(words, 0, bell.read(words, 0))") as child:
            expect(child, "waiting")
            until_asleep(bell, child)
            child.kill()
        waiters = Waiters(bell, words, 2)
        bell.ring(words, 0)
        eventually(lambda waiters=waiters: waiters.results == [True, True])


@with_fork
def test_a_fork_while_threads_wait_changes_nothing_for_either_side(bell: ModuleType, words: mmap.mmap) -> None:
    waiters = Waiters(bell, words, 2)
    if not bell.polls:
        eventually(lambda: waiters.asleep() == 2)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(int(PATIENCE))
            assert bell.wait(words, 1, 0, 0.01) is False
            bell.ring(words, 0)  # wakes the parent's
            mine = Waiters(bell, words, 1)
            mine.end()
            status = 0
        finally:
            os._exit(status)
    eventually(lambda: waiters.results == [True, True])
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("timeout", [None, 0.001])
def test_the_program_ends_while_daemon_threads_wait(bell: ModuleType, file: Path, timeout: float | None) -> None:
    source = f"""
        started = []
        def wait():
            started.append(1)
            while True:
                bell.wait(words, 0, 0, {timeout})
        for _ in range(6):
            threading.Thread(target=wait, daemon=True).start()
        while len(started) < 6:
            pass
        print("end")
    """
    for _ in range(scaled(3)):
        assert run(bell, file, source) == "end\n"


def test_threads_that_wake_while_the_interpreter_goes_down_break_nothing(bell: ModuleType, file: Path) -> None:
    source = """
        import atexit
        started = []
        def wait():
            started.append(1)
            bell.wait(words, 0, 0)
            bell.wait(words, 0, bell.read(words, 0))
        for _ in range(6):
            threading.Thread(target=wait, daemon=True).start()
        while len(started) < 6:
            pass
        class Last:
            def __del__(self, ring=bell.ring, words=words):
                ring(words, 0)
        last = Last()
        atexit.register(bell.ring, words, 0)
        print("end")
    """
    for _ in range(scaled(5)):
        file.write_bytes(bytes(4096))
        assert run(bell, file, source) == "end\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters have a GIL of their own since Python 3.12")
def test_the_c_module_works_in_interpreters_of_their_own(words: mmap.mmap, file: Path) -> None:
    bell = load("c")
    interpreters = importlib.import_module(interpreters_module())
    code = f"""
import mmap
from headrace.backends.sqlite import _bell
with open({str(file)!r}, "r+b") as opened:
    words = mmap.mmap(opened.fileno(), 0)
_bell.ring(words, 1)
_bell.wait(words, 0, 0)
_bell.ring(words, 1)
"""

    def other() -> None:
        number = interpreters.create()
        failures.append(interpreters.run_string(number, code))
        interpreters.destroy(number)

    failures: list[Any] = []
    threads = [threading.Thread(target=other) for _ in range(2)]
    for thread in threads:
        thread.start()
    while bell.read(words, 1) < 2:
        bell.wait(words, 1, bell.read(words, 1), 1)
    bell.ring(words, 0)
    for thread in threads:
        thread.join()
    assert (failures, bell.read(words, 1)) == ([None, None], 4)


# ---- signals ----


@with_posix_signals
def test_ctrl_c_ends_a_wait_within_a_second(bell: ModuleType, file: Path) -> None:
    source = """
        try:
            print("waiting", flush=True)
            bell.wait(words, 0, 0)
        except KeyboardInterrupt:
            words.close()  # not held any more, not even by the exception
            print("interrupted", flush=True)
    """
    for pause in (False, True):
        with program(bell, file, source) as child:
            expect(child, "waiting")
            if pause:
                until_asleep(bell, child)
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=PATIENCE)
            assert (child.returncode, out, err) == (0, "interrupted\n", "")
            if not UNDER_SANITIZER:
                assert time.monotonic() - sent < 5  # one second on a machine that has nothing else to do


@with_posix_signals
def test_ctrl_c_that_nobody_catches_ends_the_program_with_one_traceback(bell: ModuleType, file: Path) -> None:
    with program(bell, file, "print('waiting', flush=True); bell.wait(words, 0, 0)") as child:
        expect(child, "waiting")
        until_asleep(bell, child)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == -signal.SIGINT
    assert err.startswith("Traceback")
    assert err.endswith("\nKeyboardInterrupt\n")
    assert err.count("Traceback") == 1
    assert "During handling" not in err


@with_posix_signals
def test_a_signal_in_the_instant_before_the_sleep_is_heard_within_a_second(bell: ModuleType, file: Path) -> None:
    """Its C handler runs in another thread, so it ends no sleep: like one that comes just before the sleep."""
    source = """
        def other():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
            time.sleep(0.1)
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        def handle(number, frame):
            raise InterruptedError("heard")
        signal.signal(signal.SIGUSR1, handle)
        threading.Thread(target=other, daemon=True).start()
        began = time.monotonic()
        try:
            bell.wait(words, 0, 0)
        except InterruptedError as error:
            print(error, time.monotonic() - began < 5)
    """
    assert run(bell, file, source) == "heard True\n"


@with_posix_signals
def test_a_signal_handler_may_ring(bell: ModuleType, file: Path) -> None:
    source = """
        def ring(number, frame):
            bell.ring(words, 0)
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        for _ in range(20):
            seen = bell.read(words, 0)
            while bell.read(words, 0) == seen:
                bell.wait(words, 0, seen)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("rung")
    """
    assert run(bell, file, source) == "rung\n"


@with_posix_signals
def test_signals_do_not_shorten_a_wait_that_is_taken_up_again(bell: ModuleType, file: Path) -> None:
    source = """
        heard = []
        signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        end = time.monotonic() + 0.7
        while bell.wait(words, 0, 0, end - time.monotonic()):
            assert bell.read(words, 0) == 0
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(time.monotonic() >= end, len(heard) > 3)
    """
    assert run(bell, file, source) == "True True\n"


# ---- closing, bad input ----


def test_words_cannot_be_closed_under_a_waiter(bell: ModuleType, words: mmap.mmap) -> None:
    waiters = Waiters(bell, words, 1)
    if not bell.polls:
        eventually(lambda: waiters.asleep() == 1)
        with pytest.raises(BufferError):
            words.close()
    waiters.end()
    words.close()


def test_nothing_holds_the_words_after_a_call(bell: ModuleType, words: mmap.mmap) -> None:
    bell.ring(words, 0)
    bell.wait(words, 0, 0)
    bell.wait(words, 0, bell.read(words, 0), 0.001)
    for index in (-1, 2**20):
        with pytest.raises(IndexError):
            bell.wait(words, index, 0)
    words.close()


def test_closed_words_are_refused(bell: ModuleType, words: mmap.mmap) -> None:
    words.close()
    for call in (lambda: bell.read(words, 0), lambda: bell.ring(words, 0), lambda: bell.wait(words, 0, 0)):
        with pytest.raises(ValueError, match="closed"):
            call()


@pytest.mark.parametrize("index", [1024, -1, 2**31, 2**62, 2**64, -(2**64)])
def test_a_word_that_is_not_there_is_refused(bell: ModuleType, words: mmap.mmap, index: int) -> None:
    for call in (bell.read, bell.ring, lambda words, index: bell.wait(words, index, 0)):
        with pytest.raises(IndexError):
            call(words, index)
    assert words[:] == bytes(4096)


def test_the_refusal_tells_how_many_words_there_are(bell: ModuleType, words: mmap.mmap) -> None:
    with pytest.raises(IndexError, match=re.escape("there is no word 1024: the mapping has 1024, counted from 0")):
        bell.read(words, 1024)


def test_read_only_words_are_refused(bell: ModuleType, file: Path) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as words:
        for call in (lambda: bell.read(words, 0), lambda: bell.ring(words, 0), lambda: bell.wait(words, 0, 0)):
            with pytest.raises(BufferError, match="read-only: map them with access="):
                call()


def test_what_is_no_memory_is_refused(bell: ModuleType) -> None:
    for nonsense in (None, 7, "words"):
        for call in (bell.read, bell.ring, lambda words, index: bell.wait(words, index, 0)):
            with pytest.raises(TypeError, match="bytes-like"):
                call(nonsense, 0)


def test_arguments_of_the_wrong_kind_are_refused(bell: ModuleType, words: mmap.mmap) -> None:
    for arguments in (("0", 0), (0, "0"), (0, 0.5), (0, 0, "1"), (None, 0)):
        with pytest.raises(TypeError):
            bell.wait(words, *arguments)
    with pytest.raises(ValueError, match="NaN"):
        bell.wait(words, 0, 0, float("nan"))
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"count must be 1 or more, not {count}"):
            bell.ring(words, 0, count)
    with pytest.raises(TypeError):
        bell.ring(words, 0, "1")
    assert words[:] == bytes(4096)


# ---- which one is used ----


def picked(**environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("HEADRACE_IMPL", "HEADRACE_BELL")}
    hidden = environment.pop("hidden", "")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden.split()!r})); "
        "from headrace.backends.sqlite import bell; print(bell.implementation, 'ctypes' in sys.modules)"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )


def test_each_can_be_picked(bell: ModuleType) -> None:
    assert picked(HEADRACE_BELL=name_of(bell)).stdout.split()[0] == name_of(bell)
    assert picked(HEADRACE_BELL=name_of(bell), HEADRACE_IMPL="python").stdout.split()[0] == name_of(bell)


@pytest.mark.skipif(chosen.implementation != "c", reason="the C module is not built, or not wanted")
def test_the_c_module_is_preferred_and_needs_no_ctypes() -> None:
    assert picked().stdout == picked(HEADRACE_IMPL="c").stdout == "c False\n"


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine not in FUTEX, reason="ctypes can do it on Linux only")
def test_the_next_best_is_taken_where_one_cannot_be_had() -> None:
    assert picked(HEADRACE_IMPL="python").stdout == "ctypes True\n"
    assert picked(hidden=IMPLEMENTATIONS["c"]).stdout == "ctypes True\n"
    assert picked(hidden=f"{IMPLEMENTATIONS['c']} ctypes").stdout.startswith("poll ")


@pytest.mark.parametrize("name", ["c", "ctypes", "poll"])
def test_one_that_was_picked_and_cannot_be_had_is_an_error(name: str) -> None:
    done = picked(HEADRACE_BELL=name, hidden=IMPLEMENTATIONS[name])
    assert f"ImportError: the '{name}' bell was picked, and this installation cannot have it" in done.stderr


def test_an_unknown_name_is_refused() -> None:
    done = picked(HEADRACE_BELL="gong")
    assert done.stderr.endswith("ImportError: HEADRACE_BELL='gong': write 'c', 'ctypes' or 'poll', or leave it unset\n")
