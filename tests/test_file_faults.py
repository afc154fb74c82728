# ruff: noqa: PT017 - what runs in processes of its own has no pytest
"""A queue file when the disk, the clock, the file or the process does what it should not."""

from __future__ import annotations

import errno
import inspect
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import apsw
import pytest

import headrace
from consumer_support import eventually
from crash_support import found, start
from headrace.backends.sqlite import storage
from headrace.backends.sqlite.checking import check
from headrace.errors import Empty, LeaseLost, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux is what these faults are made of")

DAY = 86_400 * 10**9  # nanoseconds


def in_process(scenario: Callable[..., None], *arguments: Any, prefix: tuple[str, ...] = (), seconds: int = 60) -> str:
    """Run the source of *scenario* in a process of its own, begun by *prefix*; return what it printed."""
    source = "\n".join(
        [
            "from __future__ import annotations",
            "import faulthandler, os, signal, sys, threading, time",
            f"faulthandler.dump_traceback_later({seconds}, exit=True)",
            "import headrace",
            "from headrace.backends.sqlite.checking import check",
            "from headrace.errors import *",
            "from consumer_support import eventually",
            textwrap.dedent(inspect.getsource(scenario)),
            f"{scenario.__name__}(*{arguments!r})",
        ]
    )
    paths = [os.path.dirname(__file__), *filter(None, [os.environ.get("PYTHONPATH")])]
    # A sanitizer keeps what was freed, 256 MB of it: less, where the memory of the process is looked at.
    sanitizer = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=1"]))
    done = subprocess.run(
        [*prefix, sys.executable, "-W", "ignore::DeprecationWarning", "-c", source],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "ASAN_OPTIONS": sanitizer},
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "jobs.db")


# -- the disk ------------------------------------------------------------------------------------


def can_mount() -> bool:
    return shutil.which("unshare") is not None and (
        subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
    )


def put_until_the_disk_is_full(folder: str) -> None:
    import subprocess

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=True)
    with open(folder + "/ballast", "wb") as ballast:
        ballast.write(bytes(700_000))
    q = headrace.open(folder + "/jobs.db")
    q.put("held")
    assert q.get() == "held"
    put = []
    try:
        while True:
            q.put(f"{len(put)}" + "x" * 5000)
            put.append(len(put))
    except StorageError as error:
        assert "disk is full" in str(error), error
        assert error.errno == 28
    # What is settled now is written when there is room again.
    q.task_done()
    try:
        headrace.open(folder + "/other.db")
    except StorageError:
        pass
    else:
        raise AssertionError("there was room for another file")
    os.unlink(folder + "/ballast")
    eventually(lambda: not q._file.settled and q._file._is_written())
    q.put("last")
    assert check(q) == []
    got = []
    while not q.empty():
        got += q.get_many(1000)
    assert [item.rstrip("x") for item in got] == [*map(str, put), "last"]
    q.task_done(len(got))
    q.close()
    assert check(folder + "/jobs.db") == []
    print(len(put))


@pytest.mark.skipif(not can_mount(), reason="may not mount a small file system")
def test_a_full_disk_refuses_a_put_and_loses_nothing(tmp_path: Path) -> None:
    assert int(in_process(put_until_the_disk_is_full, str(tmp_path), prefix=("unshare", "-m"))) > 20


def put_until_the_file_may_not_grow(path: str) -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    q = headrace.open(path)
    q.put("first")
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    put = 1
    try:
        while True:
            q.put("x" * 5000)
            put += 1
    except StorageError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    q.put("last")
    assert q.qsize() == put + 1
    assert check(q) == []


def test_a_file_that_may_not_grow_refuses_a_put_and_loses_nothing(path: str) -> None:
    assert path in in_process(put_until_the_file_may_not_grow, path)


class FaultyFiles(apsw.VFS):
    """The unix file system, a call of which fails: the one with a number, of those of a kind."""

    def __init__(self) -> None:
        self.kind = ""
        self.left = 0
        self.error: type[apsw.Error] = apsw.IOError
        super().__init__("faulty", "unix", makedefault=True)

    def fail(self, kind: str, at: int, error: type[apsw.Error]) -> None:
        self.kind, self.left, self.error = kind, at, error

    def called(self, kind: str) -> None:
        if kind == self.kind:
            self.left -= 1
            if not self.left:
                raise self.error("injected")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return FaultyFile(self, name, flags)


class FaultyFile(apsw.VFSFile):
    def __init__(self, files: FaultyFiles, name: Any, flags: list[int]) -> None:
        self.files = files
        super().__init__("unix", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self.files.called("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.files.called("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.files.called("sync")
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self.files.called("cut")
        super().xTruncate(size)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyFiles]:
    # SQLite itself tells of each in its log, which apsw hands on to sys.unraisablehook.
    monkeypatch.setattr(sys, "unraisablehook", lambda told: None)
    faults = FaultyFiles()
    yield faults
    faults.unregister()


def put_it(q: Any) -> None:
    q.put("b")


def put_many(q: Any) -> None:
    q.put_many(["b", "c"])


def get_it(q: Any) -> None:
    q.get_nowait()


def settle_it(q: Any) -> None:
    q.get_nowait()
    q.task_done()
    q.stats()


def checkpoint(q: Any) -> None:
    q._file.storage.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError])
@pytest.mark.parametrize("kind", ["write", "read", "sync", "cut"])
@pytest.mark.parametrize("operate", [put_it, put_many, get_it, settle_it, checkpoint])
def test_what_fails_at_the_disk_is_not_done_and_what_comes_next_is(
    tmp_path: Path, faults: FaultyFiles, operate: Callable[[Any], None], kind: str, error: type[apsw.Error]
) -> None:
    waiting = {
        put_it: ("a", "b"),
        put_many: ("a", "b", "c"),
        settle_it: (),
    }.get(operate, ("a",))
    at = 0
    while True:
        at += 1
        path = str(tmp_path / f"{at}.db")
        q: Any = headrace.open(path + "?max_deliveries=0")
        q.put("a")
        faults.fail(kind, at, error)
        failed = False
        try:
            operate(q)
        except (StorageError, apsw.Error) as problem:
            failed = True
            assert isinstance(problem, StorageError) or operate is checkpoint
        was_reached = faults.left <= 0
        faults.fail("", 0, error)
        # It goes on, with this object and with others.
        q.put("z")
        assert check(q) == []
        q.close()
        left = found(path).waiting
        assert left[-1] == "z" or operate is get_it
        assert check(path) == []
        if not failed:
            assert sorted(left) == sorted((*waiting, "z"))
        else:
            assert sorted(left) in (sorted((*waiting, "z")), ["a", "z"])
        if not was_reached:
            return


@pytest.mark.parametrize("kind", ["write", "read", "sync"])
def test_a_file_that_cannot_be_opened_for_an_error_of_the_disk_can_be_when_that_is_over(
    tmp_path: Path, faults: FaultyFiles, kind: str
) -> None:
    at = 0
    while True:
        at += 1
        path = str(tmp_path / f"{at}.db")
        faults.fail(kind, at, apsw.IOError)
        try:
            headrace.open(path).close()
        except (StorageError, apsw.IOError):  # the latter is raised through Connection.close by a VFS in Python alone
            pass
        was_reached = faults.left <= 0
        faults.fail("", 0, apsw.IOError)
        with headrace.open(path) as q:
            q.put("a")
            assert check(q) == []
        if not was_reached:
            return


def test_a_put_that_the_disk_did_not_take_raises_and_so_do_all_until_the_file_is_opened_again(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with headrace.open(path) as q:
        q.put("a")
        with monkeypatch.context() as failing:
            failing.setattr(storage, "sync_data", fail)
            with pytest.raises(StorageError, match="open the file again"):
                q.put("b")
        # What the kernel threw away it does not tell twice.
        with pytest.raises(StorageError, match="open the file again"):
            q.put("c")
    with headrace.open(path) as q:
        q.put("d")
        items = q.get_many(10)
        assert items[0] == "a"
        assert items[-1] == "d"
        q.task_done(len(items))


# -- the file ------------------------------------------------------------------------------------


def open_what_may_not_be_written(folder: str) -> None:
    headrace.open(folder + "/jobs.db").close()
    os.mkdir(folder + "/sub")
    headrace.open(folder + "/sub/jobs.db").close()
    os.chmod(folder, 0o755)
    os.chmod(folder + "/jobs.db", 0o444)
    os.chmod(folder + "/sub", 0o555)
    if os.getuid() == 0:
        os.setuid(65534)
    for name in ("/jobs.db", "/sub/jobs.db", "/sub/new.db"):
        try:
            headrace.open(folder + name)
        except StorageError as error:
            assert "cannot be written" in str(error), error
        else:
            raise AssertionError(name)


def test_a_file_or_folder_that_may_not_be_written_is_refused() -> None:
    import tempfile

    # Not below the folder of pytest, which nobody else may enter.
    folder = tempfile.mkdtemp(prefix="headrace-test-")
    try:
        in_process(open_what_may_not_be_written, folder)
    finally:
        os.chmod(folder + "/sub", 0o755)
        shutil.rmtree(folder)


def fill(path: str, count: int = 3000) -> None:
    with headrace.open(path) as q:
        q.put_many([f"{number}" + "x" * 50 for number in range(count)])


def drain(q: Any) -> None:
    while True:
        q.get_many(10, block=False)


def overwrite(path: str, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize(
    ("offset", "data"), [(0, b"not a database at all"), (16, b"\x01\x01"), (18, b"\x09\x09"), (28, b"\xff" * 72)]
)
def test_a_file_with_a_damaged_header_is_refused_and_left_alone(path: str, offset: int, data: bytes) -> None:
    fill(path)
    overwrite(path, offset, data)
    with open(path, "rb") as file:
        before = file.read()
    with pytest.raises(StorageError, match=path):
        headrace.open(path).get_nowait()
    with open(path, "rb") as file:
        assert file.read() == before


def test_a_damaged_page_is_an_error_that_says_what_to_do_and_check_finds_it(path: str) -> None:
    fill(path)
    size = os.path.getsize(path)
    overwrite(path, size // 2 // 4096 * 4096, os.urandom(3 * 4096))
    assert check(path) != []
    with headrace.open(path) as q, pytest.raises(StorageError, match="headrace check"):
        drain(q)


def test_a_file_that_was_cut_off_is_an_error_that_says_what_to_do_and_check_finds_it(path: str) -> None:
    fill(path)
    os.truncate(path, os.path.getsize(path) // 2)
    assert check(path) != []
    with pytest.raises(StorageError, match="headrace check"), headrace.open(path) as q:
        drain(q)


def test_the_database_of_another_program_is_refused_and_left_alone(path: str) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs(x)")
    other.commit()
    other.close()
    with open(path, "rb") as file:
        before = file.read()
    with pytest.raises(StorageError, match="another program"):
        headrace.open(path)
    with open(path, "rb") as file:
        assert file.read() == before
    assert os.listdir(os.path.dirname(path)) == ["jobs.db"]


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: str) -> None:
    fill(path, 3)
    connection = apsw.Connection(path)
    connection.pragma("user_version", 99)
    connection.close()
    with open(path, "rb") as file:
        before = file.read()
    with pytest.raises(StorageError, match="newer Headrace"):
        headrace.open(path)
    with open(path, "rb") as file:
        assert file.read() == before


def put_for_ever(q: Any) -> None:
    while True:
        q.put("b")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_was_deleted_or_replaced_while_open_takes_nothing_more(path: str, replaced: bool) -> None:
    q = headrace.open(path)
    q.put("a")
    os.unlink(path)
    if replaced:
        os.rename(path + "-wal", path + "-old-wal")
        os.rename(path + "-shm", path + "-old-shm")
        other = headrace.open(path)
        assert other.qsize() == 0
    told = "was replaced" if replaced else "was deleted"
    # The path is looked at now and then, not for each put.
    with pytest.raises(StorageError, match=told):
        put_for_ever(q)
    with pytest.raises(StorageError, match=told):
        q.get_nowait()
    assert replaced or not os.path.exists(path)
    q.close()
    if replaced:
        other.put("c")
        assert other.get() == "c"
        other.close()


def test_a_log_that_is_deleted_after_a_clean_end_takes_nothing_with_it(path: str) -> None:
    fill(path, 10)
    for end in ("-wal", "-shm", "-headrace"):
        if os.path.exists(path + end):
            os.unlink(path + end)
    with headrace.open(path) as q:
        assert q.qsize() == 10
        assert check(q) == []


# -- other processes -----------------------------------------------------------------------------


def holder(url: str, count: int = 1) -> subprocess.Popen[Any]:
    """A process that holds items."""
    process = start("hold", url, "", str(count), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("holds")
    return process


def is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def test_what_a_process_holds_stays_its_own_when_the_side_file_is_deleted(path: str) -> None:
    with headrace.open(path) as q:
        q.put("a")
    with holder(path + "?lease=2") as process:
        os.unlink(path + "-headrace")
        with headrace.open(path) as q:
            with pytest.raises(Empty):
                q.get_nowait()
            process.kill()
            # Nobody can tell of its death: its lease runs out.
            assert q.get(timeout=10) == "a"
            q.task_done()


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_is_set_ends_no_lease(path: str, jump: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with headrace.open(path) as q:
        q.put("a")
    real = time.time_ns
    for name, module in list(sys.modules.items()):
        if name.startswith("headrace.backends.sqlite") and getattr(module, "time_ns", None) is real:
            monkeypatch.setattr(module, "time_ns", lambda: real() + jump)
    with holder(path) as process, headrace.open(path) as q:
        with pytest.raises(Empty):
            q.get(timeout=0.2)
        q.put("b")
        assert q.get() == "b"
        q.task_done()
        process.kill()
        assert q.get(timeout=10) == "a"
        q.task_done()
        assert check(q) == []


def hold_and_settle_late(url: str) -> None:
    q = headrace.open(url)
    assert q.get() == "a"
    number = q._file.owner.number
    print("holds", flush=True)
    sys.stdin.readline()
    try:
        q.task_done()
    except LeaseLost:
        print("lost", flush=True)
    else:
        print("kept", flush=True)
    assert q.get(timeout=20) == "b"
    assert q._file.owner.number != number
    q.task_done()
    q.close()
    print("went on", flush=True)


def test_a_process_that_is_stopped_loses_its_lease_and_is_told_so(path: str) -> None:
    source = "import sys, headrace\nfrom headrace.errors import LeaseLost\n" + inspect.getsource(hold_and_settle_late)
    url = path + "?lease=0.5"
    with headrace.open(url) as q:
        q.put("a")
        with subprocess.Popen(
            [sys.executable, "-c", f"{source}\nhold_and_settle_late({url!r})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "holds\n"
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            assert q.get(timeout=20) == "a"
            assert time.monotonic() - began > 0.2
            process.stdin.write("\n")
            process.stdin.flush()
            process.send_signal(signal.SIGCONT)
            assert process.stdout.readline() == "lost\n"
            # It has changed nothing: the item is ours.
            assert q.stats().leased == 1
            q.task_done()
            q.put("b")
            assert process.stdout.readline() == "went on\n"
        assert process.returncode == 0
        q.join(timeout=5)
        assert len(q.dead) == 0
        assert check(q) == []


def stop_inside_the_gate(path: str) -> None:
    from headrace.backends.sqlite.side import Side

    q = headrace.open(path)
    enter = Side.enter

    def stopping(side: Side) -> None:
        enter(side)
        Side.enter = enter
        os.kill(os.getpid(), signal.SIGSTOP)

    Side.enter = stopping
    print("ready", flush=True)
    q.put("theirs")
    print("put", flush=True)
    time.sleep(60)


def test_others_wait_for_a_process_that_is_stopped_in_its_transaction_and_go_on_then(path: str) -> None:
    with headrace.open(path) as q:
        source = "import headrace, os, signal, time\n" + inspect.getsource(stop_inside_the_gate)
        with subprocess.Popen(
            [sys.executable, "-c", f"{source}\nstop_inside_the_gate({path!r})"], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            eventually(lambda: is_stopped(process.pid))
            threads = [threading.Thread(target=q.put, args=(f"{number}",)) for number in range(3)]
            for thread in threads:
                thread.start()
            threads[0].join(0.2)
            assert all(thread.is_alive() for thread in threads)
            process.send_signal(signal.SIGCONT)
            for thread in threads:
                thread.join(20)
                assert not thread.is_alive()
            assert process.stdout.readline() == "put\n"
            process.kill()
        items = q.get_many(10)
        assert sorted(items) == ["0", "1", "2", "theirs"]
        q.task_done(4)


# -- forks ---------------------------------------------------------------------------------------


def fork_while_idle(path: str, how: str) -> None:
    import multiprocessing

    from forking import run_forked

    q = headrace.open(path)

    def child() -> None:
        q.put("child's")
        assert q.get_nowait() == "child's"
        q.task_done()
        with headrace.open(path) as again:
            again.put("left")
        if how == "closes":
            q.close()

    if how == "multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 0
    else:
        run_forked(child)
    assert q.get_nowait() == "left"
    q.task_done()
    q.put("parent's")
    assert q.qsize() == 1
    assert check(q) == []


@pytest.mark.parametrize("how", ["exits", "closes", "multiprocessing"])
def test_a_forked_child_opens_the_file_anew_and_closes_nothing_of_its_parents(path: str, how: str) -> None:
    in_process(fork_while_idle, path, how)


def fork_while_holding(path: str) -> None:
    from forking import run_forked

    q = headrace.open(path)
    q.put_many(["a", "b"])
    assert q.get() == "a"
    lease = q.lease()
    assert lease.item == "b"

    def child() -> None:
        for settle in (q.task_done, lease.done):
            try:
                settle()
            except (LeaseLost, ValueError):
                pass
            else:
                raise AssertionError("it was the parent's")
        try:
            q.get(timeout=0.1)
        except Empty:
            pass
        else:
            raise AssertionError("it is the parent's")
        q.close()

    run_forked(child)
    assert q.stats().leased == 2
    q.task_done()
    lease.done()
    assert q.stats().unfinished == 0
    assert check(q) == []


def test_what_a_parent_holds_stays_its_own_in_a_fork(path: str) -> None:
    in_process(fork_while_holding, path)


def fork_while_others_are_at_work(path: str) -> None:
    from forking import run_forked

    q = headrace.open(path)
    blocked = headrace.open(path + "#empty")
    ended = threading.Event()
    count = [0]

    def put() -> None:
        while not ended.is_set():
            q.put(count[0])
            count[0] += 1

    threads = [threading.Thread(target=put) for _ in range(2)]
    got = []
    threads.append(threading.Thread(target=lambda: got.append(blocked.get())))
    for thread in threads:
        thread.start()
    eventually(lambda: blocked.stats().getters_blocked)
    for number in range(20):

        def child() -> None:
            q.put(-1)
            headrace.open(path + "#children").put(number)  # noqa: B023

        run_forked(child)
    ended.set()
    blocked.put("end")
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert got == ["end"]
    items = []
    while not q.empty():
        items += q.get_many(1000)
    assert items.count(-1) == 20
    assert headrace.open(path + "#children").qsize() == 20
    assert check(q) == []


def test_a_fork_in_the_middle_of_other_threads_calls_harms_neither_side(path: str) -> None:
    in_process(fork_while_others_are_at_work, path)


def fork_in_a_pool(path: str) -> None:
    from forking import run_forked

    q = headrace.open(path)
    q.put_many(range(60))
    done = []

    def handle(item: int) -> None:
        if item % 10 == 0:
            run_forked(lambda: headrace.open(path + "#children").put(item))
        done.append(item)

    with headrace.ConsumerPool(q, handle, consumers=3):
        q.join(30)
        q.shutdown()
    assert sorted(done) == list(range(60)), done
    assert headrace.open(path + "#children").qsize() == 6
    assert check(q) == []


def test_a_handler_of_a_pool_may_fork(path: str) -> None:
    in_process(fork_in_a_pool, path)


# -- limits of the system ------------------------------------------------------------------------


def without_descriptors(path: str, face: str) -> None:
    import asyncio

    q = headrace.open(path)

    async def get(timeout: float = 10) -> object:
        return await q.aio.get(timeout=timeout)

    with asyncio.Runner() as runner:
        try:
            runner.run(get(timeout=0.001))  # imports what it needs, and begins to watch
        except asyncio.QueueEmpty:
            pass
        q.put_many(["a", "b"])
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        item = runner.run(get()) if face == "aio" else q.get()
        for descriptor in held:
            os.close(descriptor)
    assert item == "a", item
    q.task_done()
    assert q.get(timeout=10) == "b"
    q.task_done()
    assert check(q) == []
    assert q.unfinished_tasks == 0


@pytest.mark.parametrize("face", ["get", "aio"])
def test_an_item_is_taken_though_the_process_has_no_descriptor_left(path: str, face: str) -> None:
    in_process(without_descriptors, path, face, prefix=("sh", "-c", 'ulimit -n 100; exec "$@"', "sh"))


# -- leaks ---------------------------------------------------------------------------------------


def open_and_close_often(path: str) -> None:
    import gc

    def once() -> None:
        with headrace.open(path) as q, headrace.open(path + "#other") as other:
            q.put("a")
            other.put_many(["b"] * 5)
            assert q.get() == "a"
            q.task_done()
            assert other.get_many(5)
            other.task_done(5)

    def state() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    def resident() -> int:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4

    for _ in range(50):
        once()
    gc.collect()
    before, kib = state(), resident()
    for _ in range(300):
        once()
    # Objects that are dropped and not closed.
    for _ in range(50):
        headrace.open(path).put("a")
    gc.collect()
    eventually(lambda: state() == before)
    assert resident() - kib < 4000, resident() - kib


def test_many_opens_and_closes_leave_no_descriptor_no_thread_and_no_memory(path_in_memory: str) -> None:
    in_process(open_and_close_often, path_in_memory)
