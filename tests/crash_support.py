"""Processes that are killed where it hurts, and what a queue file must be after that.

Run as a program it is one of those processes: see ``main``. An operation has *points*: before and after each statement,
each write of SQLite to a file, each lock and each ring. ``Points`` kills the process at one of them. What a process was
told of (a put that returned, an item that it ran) it writes into a log outside, a line with one ``write``.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import traceback
from collections import Counter, defaultdict
from itertools import pairwise
from time import monotonic, monotonic_ns, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import msgspec

import headrace
from headrace.backends.sqlite import bell, file, statements, storage
from headrace.backends.sqlite.checking import check
from headrace.backends.sqlite.side import Side
from headrace.errors import DuplicateKey, Empty

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = "L" * 20_000
FAR = 3600.0  # seconds
# A settlement that the process was told of is in the file after file.ACK_SECONDS, and this is a busy machine.
WRITTEN_AFTER = 1.0


# -- the log -------------------------------------------------------------------------------------


class Line(NamedTuple):
    what: str
    process: int
    at: float
    item: str


class Log:
    """What processes were told, in the order in which they were."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def write(self, what: str, *items: str) -> None:
        now, own = monotonic_ns(), os.getpid()
        os.write(self._file, "".join(f"{what} {own} {now} {item}\n" for item in items).encode())

    def close(self) -> None:
        os.close(self._file)


def read_log(path: str) -> list[Line]:
    with open(path, encoding="utf-8") as lines:
        split = [line.split() for line in lines]
    return [Line(what, int(process), int(at) / 1e9, item) for what, process, at, item in split]


# -- points --------------------------------------------------------------------------------------


class Points:
    """Counts the points that the thread passes which has armed it, and kills the process at the one with a number."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.kill_at = 0
        self._thread = 0

    def arm(self, kill_at: int) -> None:
        self.passed = []
        self.kill_at = kill_at
        self._thread = threading.get_ident()

    def disarm(self) -> None:
        self._thread = 0

    def at(self, name: str) -> None:
        if self._thread != threading.get_ident():
            return
        self.passed.append(name)
        if len(self.passed) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def pointed(*arguments: Any, **more: Any) -> Any:
            self.at("before " + name)
            result = function(*arguments, **more)
            self.at("after " + name)
            return result

        return pointed


class PointedFiles(apsw.VFS):
    """SQLite's files, each write of which has a point before and behind it."""

    def __init__(self, points: Points) -> None:
        self.points = points
        super().__init__("points", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return PointedFile(self.points, name, flags)


class PointedFile(apsw.VFSFile):
    def __init__(self, points: Points, name: Any, flags: list[int]) -> None:
        self.points = points
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.points.at("before a write")
        super().xWrite(data, offset)
        self.points.at("after a write")

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.points.at("before a sync")
        super().xSync(flags)
        self.points.at("after a sync")

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self.points.at("before a cut")
        super().xTruncate(size)
        self.points.at("after a cut")


def install(points: Points) -> apsw.VFS:
    """Put points around all that changes anything."""

    class Pointed(apsw.Connection):
        execute = points.around("execute", apsw.Connection.execute)
        executemany = points.around("executemany", apsw.Connection.executemany)
        pragma = points.around("a pragma", apsw.Connection.pragma)
        close = points.around("close", apsw.Connection.close)

    apsw.Connection = Pointed  # type: ignore[misc]
    for name in ("enter", "leave", "try_lock", "set_owner"):
        setattr(Side, name, points.around(f"side.{name}", getattr(Side, name)))
    file.QueueFile._write_settled = points.around(  # type: ignore[method-assign]
        "writing what was settled", file.QueueFile._write_settled
    )
    storage.sync_data = points.around("sync_data", storage.sync_data)
    bell.ring = points.around("a ring", bell.ring)
    return PointedFiles(points)


# -- operations ----------------------------------------------------------------------------------


class State(NamedTuple):
    """What is in a file: those that wait, in their order, those that are delayed, and the dead."""

    waiting: tuple[str, ...] = ()
    delayed: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()


class Operation(NamedTuple):
    """One that a process is killed in. *before* and *after* are what the file has then, with no lease held."""

    prepare: Callable[[Any], Any]
    operate: Callable[[Any, Any], object]
    before: State
    after: State
    options: str = ""


OPERATIONS: dict[str, Operation] = {}


def operation(
    before: State, after: State | None = None, *, prepare: Callable[[Any], Any] = lambda q: None, options: str = ""
) -> Callable[[Callable[[Any, Any], object]], Callable[[Any, Any], object]]:
    def add(operate: Callable[[Any, Any], object]) -> Callable[[Any, Any], object]:
        OPERATIONS[operate.__name__] = Operation(prepare, operate, before, before if after is None else after, options)
        return operate

    return add


def put(*items: str, **more: Any) -> Callable[[Any], None]:
    def prepare(q: Any) -> None:
        for item in items:
            q.put(item, **more)

    return prepare


def leased(*items: str, **more: Any) -> Callable[[Any], Any]:
    def prepare(q: Any) -> Any:
        put(*items, **more)(q)
        return q.lease()

    return prepare


def got(count: int, *items: str, **more: Any) -> Callable[[Any], Any]:
    def prepare(q: Any) -> Any:
        put(*items, **more)(q)
        return q.get_many(count)

    return prepare


def buried(*items: str) -> Callable[[Any], Any]:
    """All of them dead. Returns the numbers of their letters."""

    def prepare(q: Any) -> Any:
        put(*items)(q)
        for _ in items:
            q.lease().fail("no")
        return [letter.id for letter in q.dead]

    return prepare


def in_process(function: Callable[[], None]) -> None:
    """Call it in a forked process, which is killed then."""
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


@operation(State(("a",)), State(("a", "b")), prepare=put("a"))
def put_one(q: Any, _: Any) -> None:
    q.put("b")


@operation(State(("a",)), State(("a", "b")), prepare=put("a"), options="?durability=process")
def put_one_in_process(q: Any, _: Any) -> None:
    q.put("b")


@operation(State(("a",)), State(("a", "b", "c", "d")), prepare=put("a"))
def put_many(q: Any, _: Any) -> None:
    q.put_many(["b", "c", "d"])


@operation(State(("a",)), State(("a", LONG)), prepare=put("a"))
def put_long(q: Any, _: Any) -> None:
    q.put(LONG)


@operation(State(("a",)), State(("a",), ("b",)), prepare=put("a"))
def put_delayed(q: Any, _: Any) -> None:
    q.put("b", delay=FAR)


@operation(State(("a",)), State(("b", "a")), prepare=put("a"))
def put_first(q: Any, _: Any) -> None:
    q.put("b", priority=-1, ttl=FAR)


@operation(State(("a",)), State(("a", "b")), prepare=put("a"))
def put_keyed(q: Any, _: Any) -> None:
    q.put("b", key="k")


@operation(State(("a",)), prepare=put("a", key="k"))
def put_keyed_ignored(q: Any, _: Any) -> None:
    q.put("b", key="k", on_duplicate="ignore")


@operation(State(("a",)), prepare=put("a", key="k"))
def put_keyed_refused(q: Any, _: Any) -> None:
    try:
        q.put("b", key="k", on_duplicate="raise")
    except DuplicateKey:
        return
    raise AssertionError


@operation(State((LONG,)), State(("b",)), prepare=put(LONG, key="k"))
def put_keyed_replacing(q: Any, _: Any) -> None:
    q.put("b", key="k", on_duplicate="replace")


@operation(State((), ("a",)), State(("b",)), prepare=put("a", key="k", delay=FAR))
def put_keyed_replacing_delayed(q: Any, _: Any) -> None:
    q.put("b", key="k", on_duplicate="replace")


@operation(State(("a",)), State(("a", "b")), prepare=got(1, "a", key="k"))
def put_keyed_replacing_leased(q: Any, _: Any) -> None:
    q.put("b", key="k", on_duplicate="replace")


@operation(State(("a",)), State(("a", "b")), prepare=put("a"))
def put_within_a_transaction(q: Any, _: Any) -> None:
    connection = apsw.Connection(q.path)
    connection.execute("BEGIN IMMEDIATE")
    q.put("b", connection=connection)
    connection.execute("COMMIT")
    connection.close()


@operation(State(("a", "b")), prepare=put("a", "b"))
def get_one(q: Any, _: Any) -> None:
    assert q.get() == "a"


@operation(State(("a", LONG, "c")), prepare=put("a", LONG, "c"), options="?maxsize=3")
def get_many(q: Any, _: Any) -> None:
    assert q.get_many(2) == ["a", LONG]


@operation(State(("a",)), prepare=put("a", delay=0.0))
def get_one_that_is_due(q: Any, _: Any) -> None:
    assert q.get() == "a"


@operation(State(("b",), (), ("a",)), prepare=lambda q: (put("a", ttl=0.0)(q), put("b")(q)))
def get_behind_an_expired_one(q: Any, _: Any) -> None:
    assert q.get() == "b"


@operation(State(("a", "b")), State(("b",)), prepare=got(1, "a", "b"))
def settle_one(q: Any, _: Any) -> None:
    q.task_done()
    q.stats()


@operation(State((LONG, "b")), State(("b",)), prepare=got(1, LONG, "b"), options="?keep_done=100")
def settle_one_and_keep_it(q: Any, _: Any) -> None:
    q.task_done()
    q.stats()


@operation(State((LONG, "b")), State(("b",)), prepare=lambda q: (put(LONG, key="k")(q), put("b")(q), q.get()))
def settle_one_that_has_a_key(q: Any, _: Any) -> None:
    q.task_done()
    q.stats()


@operation(State(("a", "b", "c", "d")), State(("d",)), prepare=got(3, "a", "b", "c", "d"))
def settle_many(q: Any, _: Any) -> None:
    q.task_done(3)
    q.stats()


@operation(State(("a", "b")), State(("b", "c")), prepare=got(1, "a", "b"))
def settle_with_the_next_put(q: Any, _: Any) -> None:
    q.task_done()
    q.put("c")


@operation(State(("a", "b")), State(("b", "a")), prepare=leased("a", "b"))
def retry(q: Any, lease: Any) -> None:
    lease.retry()


@operation(State(("a", "b")), State(("b",), ("a",)), prepare=leased("a", "b"))
def retry_later(q: Any, lease: Any) -> None:
    lease.retry(FAR)


@operation(State(("b",), (), ("a",)), prepare=leased("a", "b"), options="?max_deliveries=1")
def retry_for_the_last_time(q: Any, lease: Any) -> None:
    lease.retry()


@operation(State(("a", "b")), State(("b",), (), ("a",)), prepare=leased("a", "b"))
def bury(q: Any, lease: Any) -> None:
    lease.fail("no")


@operation(
    State(("a", "b")),
    prepare=lambda q: (put("a", "b")(q), in_process(lambda: q.get())),
)
def take_over_from_the_dead(q: Any, _: Any) -> None:
    assert sorted([q.get(), q.get_nowait()]) == ["a", "b"]


@operation(State((), (), ("a", "b")), State(("a",), (), ("b",)), prepare=buried("a", "b"))
def retry_a_dead_one(q: Any, numbers: Any) -> None:
    q.dead.retry(numbers[0])


@operation(State((), (), ("a",)), State((), (), (LONG,)), prepare=buried("a"))
def edit_a_dead_one(q: Any, numbers: Any) -> None:
    q.dead.edit(numbers[0], LONG)


@operation(State((), (), (LONG,)), State((), (), ("b",)), prepare=buried(LONG))
def edit_a_long_dead_one(q: Any, numbers: Any) -> None:
    q.dead.edit(numbers[0], "b")


@operation(State((), (), (LONG, "b")), State((), (), ("b",)), prepare=buried(LONG, "b"))
def drop_a_dead_one(q: Any, numbers: Any) -> None:
    q.dead.drop(numbers[0])


@operation(State((), (), (LONG, "b")), State(), prepare=buried(LONG, "b"))
def drop_all_dead_ones(q: Any, _: Any) -> None:
    q.dead.drop_all()


@operation(State((), (), (LONG, "b")), State(), prepare=buried(LONG, "b"), options="?keep_dead=0")
def drop_what_was_kept_for_long_enough(q: Any, _: Any) -> None:
    q._file.storage.run(statements.drop_expired_records, True)


@operation(
    State(("a", LONG), ("b",)),
    State(),
    prepare=lambda q: (put("a", LONG)(q), put("b", key="k", delay=FAR)(q)),
)
def clear(q: Any, _: Any) -> None:
    q.clear()


@operation(State(("a",)), prepare=put("a"))
def change_the_bound(q: Any, _: Any) -> None:
    q.maxsize = 7


@operation(State(("a", "b")), State(("b", "a")), prepare=got(1, "a", "b"))
def close_with_an_item(q: Any, _: Any) -> None:
    q.close()


@operation(State(("a", "b")), State(("b",)), prepare=lambda q: (got(1, "a", "b")(q), q.task_done()))
def close_with_a_settlement(q: Any, _: Any) -> None:
    q.close()


@operation(State(("a",)), State(("a", "b")), prepare=lambda q: (put("a")(q), in_process(lambda: None)))
def put_after_a_fork(q: Any, _: Any) -> None:
    q.put("b")


@operation(State())
def open_a_new_file(q: Any, _: Any) -> None:
    """See ``operate``: there is no file yet."""
    headrace.open(q)


@operation(State(("a",)), prepare=put("a"))
def open_a_file(q: Any, _: Any) -> None:
    """See ``operate``: it is closed."""
    headrace.open(q)


@operation(State(("a",)), prepare=put("a"))
def open_another_queue_of_a_file(q: Any, _: Any) -> None:
    headrace.open(q + "#other")


def operate(points: Points, name: str, path: str, kill_at: int, log: Log) -> None:
    """Prepare for an operation, and do it."""
    chosen = OPERATIONS[name]
    opens = name.startswith("open_")
    q: Any = None
    prepared: Any = None
    if name != "open_a_new_file":
        q = headrace.open(path + chosen.options)
        prepared = chosen.prepare(q)
    if opens and q is not None:
        q.close()
    points.arm(kill_at)
    chosen.operate(path if opens else q, prepared)
    points.disarm()
    log.write("did", name)


def found(path: str) -> State:
    """What is in a file, everything that was leased given back. The file is drained."""
    with headrace.open(path) as q:
        waiting: list[str] = []
        while True:
            try:
                waiting.append(q.get_nowait())
            except Empty:
                break
        dead = sorted(letter.item for letter in q.dead)
        if waiting:
            q.task_done(len(waiting))
    return State(tuple(waiting), delayed_in(path), tuple(dead))


def delayed_in(path: str) -> tuple[str, ...]:
    connection = apsw.Connection(path)
    rows = connection.execute(
        "SELECT coalesce(delayed.body, large.body) FROM delayed LEFT JOIN large USING (queue, id)"
    ).fetchall()
    connection.close()
    return tuple(sorted(msgspec.msgpack.decode(body) for (body,) in rows))


# -- the one who forks those that are killed -----------------------------------------------------


class Killer:
    """A process that has everything imported, and forks one for each kill."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process = start("operate", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.kills = 0
        self._runs = 0

    def run(self, name: str, kill_at: int) -> tuple[str, bool, list[str]]:
        """Have an operation done by a process that is killed at a point; 0 is none.

        Returns the path of the file, whether the process was told that it was done, and the points that it passed,
        if it lived on.
        """
        self._runs += 1
        path = os.path.join(self._folder, f"{name}-{self._runs}.db")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, path, kill_at]) + "\n")
        self._process.stdin.flush()
        status, passed = json.loads(self._process.stdout.readline())
        assert status in (0, signal.SIGKILL), status
        self.kills += status == signal.SIGKILL
        return path, bool(read_log(path + ".log")), passed

    def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.stdout.close()  # type: ignore[union-attr]
        self._process.wait()


def fork_for_each_line() -> None:
    points = Points()
    keep = install(points)
    for line in sys.stdin:
        name, path, kill_at = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                operate(points, name, path, kill_at, Log(path + ".log"))
                os.write(writer, json.dumps(points.passed).encode())
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader) as told:
            passed = json.loads(told.read() or "[]")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if not os.path.exists(path + ".log"):
            Log(path + ".log")
        print(json.dumps([abs(status) if status <= 0 else status + 1000, passed]), flush=True)
    del keep


def start(role: str, *arguments: str, **more: Any) -> subprocess.Popen[Any]:
    """Start a process of this module."""
    paths = [os.path.dirname(__file__), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, __file__, role, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        **more,
    )


# -- producers and consumers ---------------------------------------------------------------------


def produce(url: str, log_path: str, seed: str) -> None:
    """Put items until killed."""
    log, chance, own = Log(log_path), random.Random(seed), os.getpid()
    q: Any = headrace.open(url)
    number = 0
    while True:
        how = chance.random()
        items = [f"{own}.{number + step}" for step in range(chance.randrange(1, 20) if how < 0.3 else 1)]
        number += len(items)
        log.write("putting", *items)
        if how < 0.3:
            q.put_many(items)
        elif how < 0.4:
            q.put(items[0], delay=chance.random() / 10)
        elif how < 0.5:
            q.put(items[0], key=items[0], on_duplicate="raise")
        elif how < 0.6:
            q.put(items[0], priority=chance.randrange(-3, 3))
        else:
            q.put(items[0])
        log.write("put", *items)
        sleep(chance.random() / 500)


def consume(url: str, log_path: str, seed: str) -> None:
    """Get items until killed, in one of several ways."""
    log, chance = Log(log_path), random.Random(seed)
    q: Any = headrace.open(url)
    way = chance.randrange(4)
    if way == 0:

        def handle(item: str) -> None:
            log.write("run", item)
            sleep(chance.random() / 500)

        with headrace.ConsumerPool(q, handle, consumers=3, signals=False):
            q.join()
            threading.Event().wait()
    while True:
        if way == 1:
            with q.lease() as lease:
                log.write("run", lease.item)
            log.write("settled", lease.item)
        elif way == 2:
            items = q.get_many(5)
            log.write("run", *items)
            q.task_done(len(items))
            log.write("settled", *items)
        else:
            item = q.get()
            log.write("run", item)
            sleep(chance.random() / 500)
            q.task_done()
            log.write("settled", item)


def hold(url: str, log_path: str, count: str) -> None:
    """Get items, say so, and hold them until killed."""
    q: Any = headrace.open(url)
    items = [q.get() for _ in range(int(count))]
    print("holds", *items, flush=True)
    threading.Event().wait()


class Storm:
    """Producers and consumers on one file, of which one after the other is killed at a random moment."""

    def __init__(self, path: str, seed: int, producers: int = 2, consumers: int = 3) -> None:
        self.url = path + "?max_deliveries=0&maxsize=500"
        self.path = path
        self.log = path + ".log"
        Log(self.log).close()
        self._chance = random.Random(seed)
        self._roles = ["produce"] * producers + ["consume"] * consumers
        self._running: list[subprocess.Popen[Any]] = []
        self.killed: dict[int, float] = {}

    def blow(self, kills: int) -> None:
        """Kill so many; each is replaced."""
        try:
            for role in self._roles:
                self._start(role)
            while len(self.killed) < kills:
                sleep(self._chance.random() * 0.15)
                place = self._chance.randrange(len(self._roles))
                self._kill(place)
                self._start(self._roles[place], place)
        finally:
            for place in range(len(self._running)):
                self._kill(place)

    def _start(self, role: str, place: int | None = None) -> None:
        process = start(role, self.url, self.log, str(self._chance.random()))
        if place is None:
            self._running.append(process)
        else:
            self._running[place] = process

    def _kill(self, place: int) -> None:
        process = self._running[place]
        assert process.poll() is None, f"a process has ended by itself, with {process.returncode}"
        process.kill()
        process.wait()
        self.killed[process.pid] = monotonic()

    def judge(self) -> Counter[str]:
        """Raise AssertionError unless nothing was lost, invented, or run twice without a reason. Returns figures."""
        began = monotonic()
        q: Any = headrace.open(self.path)
        opened_in = monotonic() - began
        assert opened_in < 1, f"it took {opened_in} s to open"
        assert check(q) == []
        lines = read_log(self.log)
        told = {what: {line.item for line in lines if line.what == what} for what in ("putting", "put", "run")}
        left: list[str] = []
        while q.stats().unfinished > len(left):
            left.append(q.get(timeout=10))
        twice = [item for item, count in Counter(left).items() if count > 1]
        assert twice == []
        assert len(q.dead) == 0
        assert check(q) == []
        assert told["put"] - told["run"] - set(left) == set(), "lost"
        assert (told["run"] | set(left)) - told["putting"] == set(), "invented"
        self._judge_repeats(lines, left)
        q.task_done(len(left)) if left else None
        q.close()
        return Counter(put=len(told["put"]), run=len(told["run"]), left=len(left))

    def _judge_repeats(self, lines: list[Line], left: list[str]) -> None:
        runs: dict[str, list[Line]] = defaultdict(list)
        settled: dict[tuple[str, int], float] = {}
        for line in lines:
            if line.what == "run":
                runs[line.item].append(line)
            elif line.what == "settled":
                settled[line.item, line.process] = line.at
        for item in left:
            runs[item].append(Line("left", 0, monotonic(), item))
        for item, times in runs.items():
            times.sort(key=lambda line: line.at)
            for earlier, later in pairwise(times):
                died_at = self.killed[earlier.process]
                assert later.at >= died_at - WRITTEN_AFTER, f"{item} was run by two that lived"
                done_at = settled.get((item, earlier.process), died_at)
                assert died_at - done_at < WRITTEN_AFTER, f"{item} was run again although it was settled"


def main() -> None:
    role, *arguments = sys.argv[1:]
    if role == "operate":
        fork_for_each_line()
    else:
        {"produce": produce, "consume": consume, "hold": hold}[role](*arguments)


if __name__ == "__main__":
    main()
