"""Queues in files, beyond the contract: URLs, options, refusals, transactions of the caller's, and other processes."""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest

import headrace
from file_support import Clock, Maker, make, path, recounted
from headrace.backends.sqlite import connecting, handle, storage
from headrace.backends.sqlite.location import is_path, parse
from headrace.backends.sqlite.schema import APPLICATION_ID, VERSION
from headrace.errors import (
    Empty,
    EncodeError,
    Full,
    InvalidURL,
    LeaseLost,
    NotSupported,
    StorageError,
)
from headrace.testing.threads import DEADLINE, Call, until, until_blocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["make", "path"]  # fixtures


@pytest.fixture(autouse=True)
def _switch_threads_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(autouse=True)
def _look_for_nothing_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up that is lost hangs the test: the poll that would make up for it is out of reach."""
    monkeypatch.setattr(handle, "SAFETY_SECONDS", 1000.0)


# -- URLs ------------------------------------------------------------------------------------------------------------

URLS = {
    "jobs.db": ("jobs.db", {}),
    "jobs.db#emails": ("jobs.db", {"queue": "emails"}),
    "./jobs": ("./jobs", {}),
    "sqlite:jobs": ("jobs", {}),
    "sqlite:/var/jobs.db": ("/var/jobs.db", {}),
    "sqlite:///var/jobs.db": ("/var/jobs.db", {}),
    "sqlite://localhost/var/jobs.db#q": ("/var/jobs.db", {"queue": "q"}),
    "a%23b%3Fc%25.db": ("a#b?c%.db", {}),
    "jobs.db#a%20b": ("jobs.db", {"queue": "a b"}),
    "jobs.db?durability=process&maxsize=10#q": ("jobs.db", {"durability": "process", "maxsize": 10, "queue": "q"}),
    "jobs.db?lease=0.5&keep_dead=60&keep_done=1e3": ("jobs.db", {"lease": 0.5, "keep_dead": 60.0, "keep_done": 1e3}),
    "jobs.db?max_deliveries=0&serializer=json": ("jobs.db", {"max_deliveries": 0, "serializer": "json"}),
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_says_where_the_file_is_and_how_it_is_opened(url: str) -> None:
    assert parse(url) == URLS[url]


WRONG_URLS = {
    "sqlite:": "names no file",
    "folder/": "names no file",
    "sqlite://server/jobs.db": "on this machine",
    "jobs.db#": "behind '#' is the name",
    "jobs.db?durabilty=process": "did you mean 'durability'",
    "jobs.db?colour=red": "there are durability",
    "jobs.db?maxsize=many": "maxsize is a number, not 'many'",
    "jobs.db?maxsize": "jobs.db",
    "a%00b.db": "no NUL",
}


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_url_that_is_none_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(InvalidURL, match=WRONG_URLS[url].replace("(", r"\(")):
        headrace.open(url)


def test_what_looks_like_a_slip_is_no_path() -> None:
    assert all(map(is_path, ("jobs.db", "a/b", "jobs.sqlite", "jobs.sqlite3#q", "x.queue?lease=1")))
    assert not any(map(is_path, ("jobs", "memory", "redis://server", "http:x.db")))
    with pytest.raises(InvalidURL, match="has no scheme"):
        headrace.open("jobs")
    with pytest.raises(NotSupported, match="'redis' queues"):
        headrace.open("redis://server/0")


def test_an_option_is_given_once(path: str) -> None:
    with pytest.raises(InvalidURL, match="says maxsize, and so does an argument"):
        headrace.open(f"{path}?maxsize=1", maxsize=2)
    with pytest.raises(InvalidURL, match="says queue"):
        headrace.open(f"{path}#a", queue="b")
    assert not os.path.exists(path)


WRONG_OPTIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"durabilty": "power"}, TypeError, "did you mean 'durability'"),
    ({"durability": "strong"}, ValueError, "'power', 'process' or 'none'"),
    ({"queue": ""}, ValueError, "the name of a queue"),
    ({"maxsize": "10"}, TypeError, "whole number"),
    ({"max_deliveries": -1}, ValueError, "no limit"),
    ({"lease": 0}, ValueError, "at least 0.1 seconds"),
    ({"keep_dead": "1"}, TypeError, "number of seconds"),
    ({"serializer": "yaml"}, ValueError, "yaml"),
]


@pytest.mark.parametrize(("options", "error", "reason"), WRONG_OPTIONS)
def test_an_option_that_is_none_is_refused_before_a_file_is_made(
    path: str, options: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        headrace.open(path, **options)
    assert not os.path.exists(path)


def test_a_path_object_is_taken_as_it_is(tmp_path: Path) -> None:
    odd = tmp_path / "50%23?x#y"
    with headrace.open(odd) as queue:
        queue.put(1)
        assert (queue.path, queue.name) == (str(odd), "default")
    assert odd.exists()


# -- several queues in a file, and what is kept in it ----------------------------------------------------------------


def test_queues_of_one_file_do_not_see_one_another(path: str) -> None:
    with headrace.open(path) as one, headrace.open(f"{path}#two", maxsize=1) as two:
        one.put("a", key="k")
        two.put("b", key="k")
        with pytest.raises(Full):
            two.put_nowait("c")
        two.pause()
        assert (one.get_nowait(), one.qsize(), two.qsize()) == ("a", 0, 1)
        one.task_done()
        one.join(timeout=0)
        assert one.clear() == 0
        two.resume()
        two.lease().fail("no")
        assert (len(one.dead), len(two.dead)) == (0, 1)
        assert recounted(one) == recounted(two) == {}


def test_what_is_the_queue_s_is_kept_and_what_is_the_object_s_is_not(path: str) -> None:
    kept = "maxsize, max_deliveries, keep_dead, keep_done"
    with headrace.open(path, maxsize=3, max_deliveries=2, keep_dead=60.0, keep_done=5, durability="process") as queue:
        assert queue.durability == "process"
    with headrace.open(path, max_deliveries=7) as queue:
        assert queue.durability == "power"
        assert queue._storage.look(f"SELECT {kept} FROM queue") == [(3, 7, 60_000_000, 5_000_000)]


def test_done_items_and_dead_letters_are_kept_for_as_long_as_was_asked(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.backends.sqlite.statements import drop_expired_records

    clock = Clock(monkeypatch)
    with headrace.open(path, keep_dead=60, keep_done=30) as queue:
        for item in ("done", "x" * 20_000):
            queue.put(item)
            queue.get()
            queue.task_done()
        queue.put("y" * 20_000)
        queue.lease().fail("no")
        counts = "SELECT (SELECT count(*) FROM done), (SELECT count(*) FROM dead), (SELECT count(*) FROM large)"
        told = []
        for _ in range(3):
            queue._storage.run(drop_expired_records)
            told.append(queue._storage.look(counts)[0])
            clock.wall += 31
        assert told == [(2, 1, 2), (0, 1, 1), (0, 0, 0)]
        assert recounted(queue) == {}


def test_each_item_remembers_its_serializer(path: str) -> None:
    for serializer, item in [("json", {"a": [1]}), ("msgpack", (1, b"2")), ("bytes", b"\xff\0")]:
        with headrace.open(path, serializer=serializer) as queue:
            queue.put(item)
    with headrace.open(path) as queue:
        assert queue.get_many(3) == [{"a": [1]}, (1, b"2"), b"\xff\0"]


def test_a_pickle_is_read_only_by_who_asked_for_pickles(path: str) -> None:
    with headrace.open(path, serializer="pickle") as queue:
        queue.put({1, 2})
        queue.put({3})
    with headrace.open(path, serializer="pickle") as queue:
        assert queue.get() == {1, 2}
        queue.task_done()
    with headrace.open(path) as queue:
        with pytest.raises(Empty):
            queue.get_nowait()
        (letter,) = queue.dead
        assert letter.item is None
        assert "pickle" in letter.undecodable
        assert "pickle" in str(letter.error)
    with headrace.open(path, serializer="pickle") as queue:
        queue.dead.retry_all()
        assert queue.get() == {3}


@dataclass
class Order:
    number: int
    name: str = ""


def test_a_typed_queue_checks_what_is_put_and_what_is_taken(path: str) -> None:
    with headrace.open(path) as queue:
        queue.put({"number": "five"})
        queue.put({"number": 6, "name": "six"})
    with headrace.open(path, type=Order) as queue:
        with pytest.raises(EncodeError, match="Order"):
            queue.put({"number": 7})
        queue.put(Order(8))
        assert queue.get_many(5) == [Order(6, "six"), Order(8)]
        (letter,) = queue.dead
        assert "number" in letter.undecodable


def leased(queue: Any) -> Any:
    with queue.lease() as lease:
        return lease.item


TAKES: dict[str, Callable[[Any], Any]] = {
    "get": lambda queue: queue.get(timeout=DEADLINE),
    "get_many": lambda queue: queue.get_many(1)[0],
    "lease": leased,
}


@pytest.mark.parametrize("take", TAKES)
def test_a_body_that_cannot_be_decoded_is_dead_and_blocks_nobody(path: str, take: str) -> None:
    with headrace.open(path) as queue:
        for item in ("bad", "worse", "good"):
            queue.put(item)
        queue._storage.run(lambda s: s.execute("UPDATE ready SET body = x'c1' WHERE id = 1"))
        queue._storage.run(lambda s: s.execute("UPDATE ready SET serializer = 99 WHERE id = 2"))
        assert TAKES[take](queue) == "good"
        bad, worse = queue.dead
        assert bad.undecodable
        assert "99" in worse.undecodable
        assert all("DecodeError" in str(letter.error) for letter in (bad, worse))
        queue.dead.edit(bad.id, "mended")
        queue.dead.retry(bad.id)
        assert TAKES[take](queue) == "mended"
        assert recounted(queue) == {}


def test_an_item_that_no_serializer_takes_is_refused_and_nothing_is_put(make: Maker) -> None:
    queue = make()
    with pytest.raises(EncodeError, match="object"):
        queue.put(object())
    with pytest.raises(EncodeError):
        queue.put_many([object()])
    assert queue.stats().put_total == 0


@pytest.mark.parametrize("size", [0, 16_384, 16_385, 3_000_000])
def test_long_bodies_go_all_the_way(make: Maker, size: int) -> None:
    queue = make()
    item = os.urandom(size)
    queue.put(item)
    queue.put(item, delay=0)
    queue.put_many([item, item])
    assert queue.peek() == item
    assert queue.get() == item
    queue.task_done()
    lease = queue.lease()
    lease.retry()
    assert queue.get_many(2) == [item, item]
    lease = queue.lease()
    lease.fail("no")
    assert [letter.item for letter in queue.dead] == [item]
    assert recounted(queue) == {}
    queue.dead.drop_all()
    queue.task_done(2)
    queue.join(timeout=DEADLINE)
    assert recounted(queue) == {}
    assert queue._storage.look("SELECT count(*) FROM large") == [(0,)]


# -- a transaction of the caller's -----------------------------------------------------------------------------------


@pytest.fixture
def joined(make: Maker) -> Iterator[tuple[Any, apsw.Connection]]:
    """A queue, and a connection of the caller's to the same file, with a table in it."""
    queue = make()
    connection = apsw.Connection(queue.path)
    connection.execute("CREATE TABLE orders(number)")
    yield queue, connection
    connection.close(True)


def test_what_is_put_in_a_transaction_is_there_when_that_is_committed(joined: Any) -> None:
    queue, connection = joined
    connection.execute("BEGIN IMMEDIATE; INSERT INTO orders VALUES(1)")
    queue.put("order 1", connection=connection)
    queue.put("later", connection=connection, delay=1000)
    queue.put("once", connection=connection, key="k")
    queue.put("twice", connection=connection, key="k")
    assert queue.qsize() == 0
    connection.execute("COMMIT")
    stats = queue.stats()
    assert (stats.waiting, stats.delayed, stats.put_total) == (2, 1, 3)
    assert queue.get_many(5) == ["order 1", "once"]
    assert recounted(queue) == {}


def put_and_raise(queue: Any, connection: apsw.Connection) -> None:
    queue.put("order 2", connection=connection)
    raise LookupError


def test_what_is_put_in_a_transaction_that_is_rolled_back_was_never_put(joined: Any) -> None:
    queue, connection = joined
    connection.execute("BEGIN IMMEDIATE; INSERT INTO orders VALUES(1)")
    queue.put("order 1", connection=connection)
    connection.execute("ROLLBACK")
    with pytest.raises(LookupError), connection:
        put_and_raise(queue, connection)
    assert (queue.qsize(), queue.stats().put_total) == (0, 0)
    with connection:
        queue.put("order 3", connection=connection)
    assert queue.get_nowait() == "order 3"


def test_a_commit_wakes_who_waits(joined: Any) -> None:
    queue, connection = joined
    for number in range(5):
        getter = Call(queue.get)
        until_blocked(queue, getters=1)
        connection.execute("BEGIN IMMEDIATE")
        queue.put(number, connection=connection)
        assert not getter.is_over
        connection.execute("COMMIT")
        assert getter.result() == number


def test_the_bound_holds_in_a_transaction_and_it_never_blocks(joined: Any) -> None:
    queue, connection = joined
    queue.maxsize = 1
    connection.execute("BEGIN IMMEDIATE")
    queue.put(1, connection=connection)
    with pytest.raises(Full):
        queue.put(2, connection=connection)
    connection.execute("COMMIT")
    assert queue.qsize() == 1


def test_a_connection_that_cannot_be_joined_is_refused_with_the_reason(joined: Any, tmp_path: Path) -> None:
    queue, connection = joined
    with pytest.raises(ValueError, match="in no transaction"):
        queue.put(1, connection=connection)
    elsewhere = apsw.Connection(str(tmp_path / "elsewhere.db"))
    elsewhere.execute("BEGIN IMMEDIATE")
    with pytest.raises(ValueError, match=r"is to .*elsewhere"):
        queue.put(1, connection=elsewhere)
    elsewhere.close(True)
    inside = apsw.Connection(":memory:")
    inside.execute("BEGIN")
    with pytest.raises(ValueError, match="is to"):
        queue.put(1, connection=inside)
    other = sqlite3.connect(":memory:")
    with pytest.raises(TypeError, match=r"not sqlite3.Connection: two SQLite libraries in one process"):
        queue.put(1, connection=other)
    other.close()
    assert queue.stats().put_total == 0


# -- files that are refused ------------------------------------------------------------------------------------------


def newer(file: Path) -> None:
    connection = apsw.Connection(str(file))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION + 1}")
    connection.execute("CREATE TABLE t(x)")
    connection.close()


def foreign(file: Path) -> None:
    connection = apsw.Connection(str(file))
    connection.execute("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
    connection.close()


def text(file: Path) -> None:
    file.write_text("number,name\n1,one\n")


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "newer": (newer, "written by a newer Headrace"),
    "foreign": (foreign, "a database of another program"),
    "text": (text, "is not a database"),
    "folder": (Path.mkdir, "is a folder"),
    "pipe": (os.mkfifo, "no regular file"),
    "missing folder": (lambda file: None, "there is no folder"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_is_not_ours_is_refused_and_nothing_is_touched(tmp_path: Path, kind: str) -> None:
    make_it, reason = REFUSED[kind]
    file = tmp_path / ("nowhere/jobs.db" if kind == "missing folder" else "jobs.db")
    make_it(file)
    before = contents(tmp_path)
    with pytest.raises(StorageError, match=reason) as caught:
        headrace.open(file)
    assert str(file) in str(caught.value)
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file in a folder, byte by byte."""
    return {str(one): one.read_bytes() if one.is_file() else None for one in folder.rglob("*")}


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Makes a folder with a queue in it read-only, for root too."""
    folder = tmp_path / "folder"
    folder.mkdir()
    headrace.open(folder / "jobs.db").close()
    mounted = []

    def lock() -> Path:
        if os.geteuid() != 0:
            folder.chmod(0o555)
            return folder
        for options in (["--bind"], ["-o", "remount,ro,bind"]):
            mount = shutil.which("mount")
            if mount is None or subprocess.run([mount, *options, folder, folder], check=False).returncode:
                pytest.skip("root may write everywhere, and may not mount here")
            mounted.append(folder)
        return folder

    yield lock
    for _ in mounted[:1]:
        subprocess.run(["umount", folder], check=True)
    folder.chmod(0o755)


def test_a_folder_that_cannot_be_written_is_refused(read_only: Callable[[], Path]) -> None:
    folder = read_only()
    before = contents(folder)
    for name in ("jobs.db", "new.db"):
        with pytest.raises(StorageError, match="cannot be written"):
            headrace.open(folder / name)
    assert contents(folder) == before


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused(path: str, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    folder = os.path.dirname(os.path.realpath(path)).replace(" ", "\\040")
    mounts = f"1 0 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / {folder} rw shared:1 - {kind} server:/x rw\n"
    monkeypatch.setattr(connecting, "open", lambda *_, **__: io.StringIO(mounts), raising=False)
    with pytest.raises(StorageError, match=f"network file system .{kind}.*local disk"):
        headrace.open(path)
    assert os.listdir(folder) == []


# -- a file that is gone ---------------------------------------------------------------------------------------------


@pytest.fixture
def _look_at_the_file_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not once a millisecond."""
    monkeypatch.setattr(storage, "CHECK_NS", 0)


@pytest.mark.usefixtures("_look_at_the_file_each_time")
def test_nothing_is_put_into_a_file_that_was_deleted(make: Maker) -> None:
    queue = make()
    queue.put(1)
    os.unlink(queue.path)
    with pytest.raises(StorageError, match="was deleted while it was open"):
        queue.put(2)
    with pytest.raises(StorageError, match="was deleted"):
        queue.get_nowait()


@pytest.mark.usefixtures("_look_at_the_file_each_time")
def test_nothing_is_put_into_a_file_that_was_replaced(make: Maker) -> None:
    queue = make()
    queue.put(1)
    other = make()
    other.put("other")
    other.close()
    os.replace(other.path, queue.path)
    with pytest.raises(StorageError, match="was replaced by another file"):
        queue.put(2)


@pytest.mark.usefixtures("_look_at_the_file_each_time")
def test_a_deleted_file_is_made_anew_by_who_opens_it(make: Maker) -> None:
    queue = make()
    queue.put(1)
    os.unlink(queue.path)
    again = make(again=queue)
    again.put(2)
    assert again.get_many(5) == [2]
    with pytest.raises(StorageError):
        queue.put(3)
    queue.close()
    again.put(4)
    assert again.get_nowait() == 4


# -- threads and leases ----------------------------------------------------------------------------------------------


def test_a_thread_settles_its_own_items_first_and_then_the_oldest_of_others(make: Maker) -> None:
    queue = make()
    queue.put_many(["first", "second", "mine"])
    Call(lambda: queue.get_many(2)).result()
    queue.get()
    left = "SELECT id FROM leased ORDER BY id"
    settled = []
    for _ in range(3):
        queue.task_done()
        queue.qsize()
        settled.append([number for (number,) in queue._storage.look(left)])
    assert settled == [[1, 2], [2], []]
    with pytest.raises(ValueError, match="only what get"):
        queue.task_done()


def test_threads_that_get_and_settle_at_once_lose_nothing(make: Maker) -> None:
    queue = make(maxsize=10)
    seen: list[int] = []

    def work() -> None:
        for item in queue:
            seen.append(item)
            if item % 3:
                queue.task_done()
            else:
                threading.Thread(target=queue.task_done).start()

    workers = [Call(work) for _ in range(4)]
    for item in range(300):
        queue.put(item)
    queue.join(timeout=DEADLINE)
    queue.shutdown()
    for worker in workers:
        worker.result()
    assert sorted(seen) == list(range(300))
    assert recounted(queue) == {}


def test_threads_that_settle_what_others_hold_find_everything(make: Maker) -> None:
    queue = make()
    for _ in range(20):
        queue.put_many(range(60))
        holders = [Call(get_some_and_settle_half, queue, 20) for _ in range(3)]
        settlers = [Call(settle_when_there_is_some, queue) for _ in range(30)]
        for call in [*holders, *settlers]:
            call.result()
        with pytest.raises(ValueError, match="only what get"):
            queue.task_done()
        queue.join(timeout=DEADLINE)


def get_some_and_settle_half(queue: Any, count: int) -> None:
    queue.get_many(count)
    for _ in range(count // 2):
        settle_when_there_is_some(queue)


def settle_when_there_is_some(queue: Any) -> None:
    """One of those that are held, or that are about to be."""

    def is_settled() -> bool:
        try:
            queue.task_done()
        except ValueError:
            return False
        return True

    until(is_settled, "there is something to settle")


def test_a_late_settlement_says_that_the_lease_is_lost(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with headrace.open(path, lease=30) as stopped, headrace.open(path, lease=31) as other:
        stopped._file.owner.beat = lambda: None
        stopped.put_many(["a", "b", "c"])
        stopped.get()
        leases = [stopped.lease(), stopped.lease()]
        clock.steady += 32
        other._file.owner.beat()
        taken = [other.lease(block=False) for _ in range(3)]
        assert [(lease.item, lease.attempt) for lease in taken] == [("a", 2), ("b", 2), ("c", 2)]
        for late in (stopped.task_done, leases[0].extend, leases[1].done):
            with pytest.raises(LeaseLost, match=r"may be done twice|its time had run out"):
                late()
        for lease in taken:
            lease.fail("no")
        history = [[why for _, why in letter.history] for letter in other.dead]
        assert history == [["LeaseLost: its lease ran out", "RuntimeError: no"]] * 3


def test_settling_after_close_says_that_it_was_given_back(make: Maker) -> None:
    queue = make()
    queue.put(1)
    lease = queue.lease()
    queue.close()
    with pytest.raises(LeaseLost, match="closed"):
        lease.done()


# -- two processes ---------------------------------------------------------------------------------------------------

spawn = multiprocessing.get_context("spawn")


class Other:
    """A function in another process, on a queue of its own of the same file, which polls as little as this one."""

    def __init__(self, function: Callable[..., object], path: str, *arguments: Any) -> None:
        """Start it; on return it is about to be called."""
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_run, args=(function, path, theirs, arguments), daemon=True)
        self.process.start()
        theirs.close()
        assert self.result() == "ready"

    def result(self) -> Any:
        """What it has sent, or returns."""
        assert self.pipe.poll(DEADLINE), "the other process does not answer"
        return self.pipe.recv()

    def until_it_sleeps(self) -> None:
        """Return once its main thread is blocked."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S", "the other process sleeps")

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join(DEADLINE)


def _run(function: Callable[..., object], path: str, pipe: Any, arguments: tuple[Any, ...]) -> None:
    handle.SAFETY_SECONDS = 1000.0
    with headrace.open(path, durability="process") as queue:
        pipe.send("ready")
        pipe.send(function(queue, *arguments))


def get_one(queue: Any) -> Any:
    item = queue.get()
    queue.task_done()
    return item


def put_all(queue: Any, items: list[Any]) -> str:
    for item in items:
        queue.put(item)
    return "put"


def join(queue: Any) -> str:
    queue.join()
    return "joined"


def hold(queue: Any, file: str) -> None:
    queue.get()
    Path(file).touch()
    threading.Event().wait()


def echo(queue: Any, rounds: int) -> int:
    with headrace.open(f"{queue.path}#back", durability="process") as back:
        for _ in range(rounds):
            back.put(queue.get())
            queue.task_done()
    return rounds


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


@needs_proc
def test_a_get_in_another_process_is_woken(make: Maker) -> None:
    queue = make()
    wakes: list[Callable[[], object]] = [
        lambda: queue.put("put"),
        lambda: queue.put_many(["put_many"]),
        lambda: queue.put("delayed", delay=0.05),
        lambda: queue.put("keyed", key="k"),
    ]
    for wake, expected in zip(wakes, ("put", "put_many", "delayed", "keyed"), strict=True):
        other = Other(get_one, queue.path)
        other.until_it_sleeps()
        wake()
        assert other.result() == expected
        other.process.join(DEADLINE)
    queue.pause()
    queue.put("resumed")
    other = Other(get_one, queue.path)
    other.until_it_sleeps()
    queue.resume()
    assert other.result() == "resumed"


@needs_proc
def test_a_put_in_another_process_waits_for_room_and_is_woken(make: Maker) -> None:
    queue = make(maxsize=2)
    other = Other(put_all, queue.path, list(range(50)))
    other.until_it_sleeps()
    assert queue.qsize() == 2
    assert [queue.get(timeout=DEADLINE) for _ in range(50)] == list(range(50))
    assert other.result() == "put"
    queue.put_many(["x", "y"])
    wakes: list[Callable[[], object]] = [lambda: setattr(queue, "maxsize", 3), queue.clear]
    for wake in wakes:
        other = Other(put_all, queue.path, ["more"])
        other.until_it_sleeps()
        wake()
        assert other.result() == "put"


@needs_proc
def test_join_in_another_process_ends_with_the_last_item(make: Maker) -> None:
    queue = make()
    endings: list[Callable[[], object]] = [
        lambda: (queue.get(), queue.task_done()),
        lambda: queue.lease().fail("no"),
        queue.clear,
        lambda: queue.get_many(5) and queue.task_done(1),
    ]
    for end in endings:
        queue.put(1)
        other = Other(join, queue.path)
        other.until_it_sleeps()
        end()
        assert other.result() == "joined"


@needs_proc
def test_what_a_killed_process_held_is_taken_at_once(make: Maker, tmp_path: Path) -> None:
    queue = make()
    queue.put("held")
    mark = tmp_path / "mark"
    other = Other(hold, queue.path, str(mark))
    until(mark.exists, "the other process holds the item")
    getter = Call(queue.lease)
    until_blocked(queue, getters=1)
    joiner = Call(queue.join)
    os.kill(other.process.pid or 0, signal.SIGKILL)
    lease = getter.result()
    assert (lease.item, lease.attempt) == ("held", 2)
    lease.done()
    joiner.result()


@needs_proc
def test_many_hand_overs_between_processes_lose_no_wake_up(make: Maker) -> None:
    queue = make()
    rounds = 300
    with headrace.open(f"{queue.path}#back", durability="process") as back:
        other = Other(echo, queue.path, rounds)
        for number in range(rounds):
            queue.put(number)
            assert back.get(timeout=DEADLINE) == number
            back.task_done()
        assert other.result() == rounds
        queue.join(timeout=DEADLINE)


def test_a_put_that_waits_behind_expired_items_goes_in_when_they_do(make: Maker) -> None:
    queue = make(maxsize=1)
    queue.put("short-lived", ttl=0.1)
    putter = Call(queue.put, "next")
    putter.result()
    assert queue.get() == "next"
