"""A power cut at any moment takes no item whose ``put`` had returned, and leaves a queue file that is whole.

A virtual file system of SQLite writes down what is written and when it is synced. From that each test builds the files
as a disk may have them at a moment: what was synced, and of the rest nothing, all, some writes, or halves of writes.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import pytest

import headrace
from file_support import folder_in_memory
from headrace.backends.sqlite import connecting, storage
from headrace.backends.sqlite.checking import check
from headrace.errors import Empty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the file system is recorded through unix")

SECTOR = 512
JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
LONG = "L" * 20_000
# Copied into the database when it has so many pages, so that there are many copies to be cut in.
CHECKPOINT_PAGES = 25


class Event(NamedTuple):
    """Something that happened to a file, or that the program was told (then *what* is ``putting``, ``put``...)."""

    what: str
    file: str = ""
    offset: int = 0
    data: bytes = b""
    item: str = ""


class Recorder(apsw.VFS):
    """The unix file system, with a record of what is done to it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        super().__init__("recorder", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return RecordedFile(self.events, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(name, syncdir)
        self.events.append(Event("delete", name))
        if syncdir:
            self.events.append(Event("sync folder"))

    def sync_data(self, descriptor: int) -> None:
        """What the queue does itself: see ``storage.sync_data``. What is written while it goes on may not be in it."""
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        self._synced(name, len(self.events))

    def _synced(self, name: str, before: int) -> None:
        self.events.append(Event("sync", name, before))

    def tell(self, what: str, *items: str) -> None:
        self.events.extend([Event(what, item=item) for item in items])


class RecordedFile(apsw.VFSFile):
    def __init__(self, events: list[Event], name: Any, flags: list[int]) -> None:
        self._events = events
        # As os_unix.c does it: the folder with the first sync of a journal or log.
        self._syncs_folder = bool(flags[0] & JOURNALS) and bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._events.append(Event("write", self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._events.append(Event("cut", self._name, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        before = len(self._events)
        self._events.append(Event("sync", self._name, before))
        if self._syncs_folder:
            self._syncs_folder = False
            self._events.append(Event("sync folder"))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    recorder = Recorder()
    monkeypatch.setattr(storage, "sync_data", recorder.sync_data)
    monkeypatch.setattr(connecting, "CHECKPOINT_PAGES", CHECKPOINT_PAGES)
    yield recorder
    recorder.unregister()


# -- what a disk has -----------------------------------------------------------------------------


class Disk:
    """The files at a moment: for each, what is safe, and what was done to it since.

    A new name, and that one is gone, is safe when the folder was synced; what is in a file when that was.
    """

    def __init__(self) -> None:
        self._safe: dict[str, bytes | None] = {}
        self._pending: dict[str, list[tuple[int, Event]]] = {}
        # Names that are new and not safe.
        self._new: dict[str, Event] = {}

    def follow(self, number: int, event: Event) -> None:
        if event.what == "sync folder":
            self._new.clear()
            for name, pending in self._pending.items():
                deleted = [place for place, (_, one) in enumerate(pending) if one.what == "delete"]
                if deleted:
                    self._safe[name] = None
                    del pending[: deleted[-1] + 1]
        if not event.file:
            return
        pending = self._pending.setdefault(event.file, [])
        if event.what != "sync":
            if not pending and self._safe.get(event.file) is None:
                self._new[event.file] = Event("create", event.file)
            pending.append((number, event))
            return
        self._safe[event.file] = applied(self._safe.get(event.file), [one for at, one in pending if at < event.offset])
        self._pending[event.file] = [(at, one) for at, one in pending if at >= event.offset]

    def image(self, kept: Callable[[list[Event]], list[Event]]) -> dict[str, bytes]:
        """The files, of which of the unsafe events those are there that *kept* says."""
        files: dict[str, bytes] = {}
        for name in self._safe.keys() | self._pending.keys():
            if name in self._new and not kept([self._new[name]]):
                continue
            content = applied(self._safe.get(name), kept([event for _, event in self._pending.get(name, [])]))
            if content is not None:
                files[name] = content
        return files


def applied(content: bytes | None, events: list[Event]) -> bytes | None:
    for event in events:
        if event.what == "delete":
            content = None
            continue
        there = bytearray(content or b"")
        if event.what == "cut":
            del there[event.offset :]
        else:
            there.extend(bytes(max(0, event.offset - len(there))))
            there[event.offset : event.offset + len(event.data)] = event.data
        content = bytes(there)
    return content


def none(pending: list[Event]) -> list[Event]:
    return []


def all_(pending: list[Event]) -> list[Event]:
    return pending


def some(chance: random.Random) -> Callable[[list[Event]], list[Event]]:
    return lambda pending: [event for event in pending if chance.random() < 0.5]


def torn(chance: random.Random) -> Callable[[list[Event]], list[Event]]:
    """Of each write some of its sectors."""

    def kept(pending: list[Event]) -> list[Event]:
        parts: list[Event] = []
        for event in pending:
            if event.what != "write":
                parts += [event] if chance.random() < 0.5 else []
                continue
            # Sectors are those of the disk, not of the write.
            begin = event.offset
            end = begin + len(event.data)
            while begin < end:
                behind = min(end, (begin // SECTOR + 1) * SECTOR)
                if chance.random() < 0.5:
                    data = event.data[begin - event.offset : behind - event.offset]
                    parts.append(Event("write", event.file, begin, data))
                begin = behind
        return parts

    return kept


# -- judging -------------------------------------------------------------------------------------


class Judge:
    """Opens images and says whether they are what they must be."""

    def __init__(self, recorder: Recorder, path: str) -> None:
        self.events = recorder.events
        self.images = 0
        # It tells whose the leases were. Without it they would have to run out.
        self._side_file = path + "-headrace"
        self._folder = tempfile.mkdtemp(prefix="headrace-power-", dir=folder_in_memory())

    def close(self) -> None:
        shutil.rmtree(self._folder)

    def judge(self, moments: set[int], seeds: int) -> None:
        """Cut the power before each of the events with these numbers."""
        disk = Disk()
        putting: set[str] = set()
        there: set[str] = set()
        # One thread may have settled an item before the one that put it is told so.
        settling: set[str] = set()
        for number, event in enumerate(self.events):
            if number in moments:
                self._cut(number, disk, putting, there, seeds)
            disk.follow(number, event)
            if event.what == "putting":
                putting.add(event.item)
            elif event.what == "put" and event.item not in settling:
                there.add(event.item)
            elif event.what == "settling":
                settling.add(event.item)
                there.discard(event.item)
        self._cut(len(self.events), disk, putting, there, seeds)

    def _cut(self, number: int, disk: Disk, putting: set[str], there: set[str], seeds: int) -> None:
        ways = {"nothing": none, "all": all_}
        for seed in range(seeds):
            chance = random.Random(number * 100 + seed)
            ways[f"some ({seed})"] = some(chance)
            ways[f"halves ({seed})"] = torn(chance)
        for way, kept in ways.items():
            self._open(f"before event {number}, {way} of what was not synced", disk.image(kept), putting, there)

    def _open(self, where: str, files: dict[str, bytes], putting: set[str], there: set[str]) -> None:
        self.images += 1
        folder = os.path.join(self._folder, str(self.images))
        os.mkdir(folder)
        for name, content in files.items():
            with open(os.path.join(folder, os.path.basename(name)), "wb") as file:
                file.write(content)
        path = os.path.join(folder, "jobs.db")
        shutil.copy(self._side_file, folder)
        with headrace.open(path + "?durability=none&max_deliveries=0") as q:
            assert check(q) == [], where
            left: list[str] = []
            while True:
                try:
                    left += q.get_many(1000, block=False)
                except Empty:
                    break
            found = {item[:10] for item in left}
            assert max(Counter(left).values(), default=1) == 1, where
            assert there - found == set(), f"lost: {where}"
            assert found - putting == set(), f"invented: {where}"
            if left:
                q.task_done(len(left))
        assert check(path) == [], where
        shutil.rmtree(folder)


# -- programs ------------------------------------------------------------------------------------


def put(recorder: Recorder, q: Any, item: str, **more: Any) -> None:
    recorder.tell("putting", item[:10])
    q.put(item, **more)
    recorder.tell("put", item[:10])


def settle(recorder: Recorder, q: Any, count: int) -> None:
    items = q.get_many(count)
    recorder.tell("settling", *(item[:10] for item in items))
    q.task_done(len(items))


def one_thread(recorder: Recorder, path: str) -> None:
    with headrace.open(path) as q:
        for number in range(12):
            put(recorder, q, f"{number}")
        settle(recorder, q, 3)
        many = [f"m{number}" for number in range(40)]
        recorder.tell("putting", *many)
        q.put_many(many)
        recorder.tell("put", *many)
        put(recorder, q, "long" + LONG)
        put(recorder, q, "keyed", key="k")
        put(recorder, q, "soon", delay=0.0)
        settle(recorder, q, 20)
        for number in range(20, 40):
            put(recorder, q, f"{number}")
    # And once more, from a file that was closed.
    with headrace.open(path) as q:
        settle(recorder, q, 5)
        for number in range(40, 50):
            put(recorder, q, f"{number}")


def many_threads(recorder: Recorder, path: str) -> None:
    with headrace.open(path) as q:

        def work(own: int) -> None:
            for number in range(12):
                put(recorder, q, f"{own}.{number}")
                if number % 3 == 2:
                    settle(recorder, q, 1)

        threads = [threading.Thread(target=work, args=(own,)) for own in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def two_that_have_it_open(recorder: Recorder, path: str, other: str = "") -> None:
    """As two processes would: each with a connection of its own."""
    with headrace.open(path) as q, headrace.open(path + f"?lease=31{other}") as other_q:
        for number in range(25):
            put(recorder, q, f"a{number}")
            if other:
                other_q.put(f"none{number}")
            else:
                put(recorder, other_q, f"b{number}")
            if number % 5 == 4:
                settle(recorder, other_q, 3)


def one_that_cares_and_one_that_does_not(recorder: Recorder, path: str) -> None:
    recorder.tell("putting", *(f"none{number}" for number in range(25)))
    two_that_have_it_open(recorder, path, other="&durability=none")


PROGRAMS = [
    one_thread,
    many_threads,
    two_that_have_it_open,
    one_that_cares_and_one_that_does_not,
]


def boundaries(events: list[Event]) -> list[int]:
    """The moments just before and just after each sync, and before each thing that the program was told."""
    found: set[int] = set()
    for number, event in enumerate(events):
        if event.what == "sync":
            found |= {number, number + 1}
        elif event.what in ("put", "settling"):
            found.add(number + 1)
    return sorted(found)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_power_cut_takes_nothing_whose_put_had_returned(
    path_in_memory: str, recorder: Recorder, program: Callable[[Recorder, str], None]
) -> None:
    path = path_in_memory
    program(recorder, path)
    recorder.unregister()
    judge = Judge(recorder, path)
    try:
        moments = boundaries(recorder.events)
        judge.judge(set(random.Random(1).sample(moments, min(60, len(moments)))), 1)
    finally:
        judge.close()
    assert judge.images >= 200


@pytest.mark.stress
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_power_cut_at_any_write_takes_nothing_whose_put_had_returned(
    path_in_memory: str, recorder: Recorder, program: Callable[[Recorder, str], None]
) -> None:
    path = path_in_memory
    program(recorder, path)
    recorder.unregister()
    judge = Judge(recorder, path)
    try:
        judge.judge(set(range(len(recorder.events))), 2)
    finally:
        judge.close()
    print(f"{judge.images} images")
    assert judge.images >= 1000


def test_the_proof_would_see_a_put_that_does_not_wait_for_the_disk(path_in_memory: str, recorder: Recorder) -> None:
    path = path_in_memory
    with headrace.open(path + "?durability=process") as q:
        for number in range(5):
            put(recorder, q, f"{number}")
    recorder.unregister()
    judge = Judge(recorder, path)
    try:
        with pytest.raises(AssertionError, match="lost"):
            judge.judge(set(boundaries(recorder.events)), 1)
    finally:
        judge.close()
