"""The commands that look after a queue: ``headrace put``, ``get``, ``peek``, ``join``, ``stats``, ``dead``, …"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

pytest.importorskip("apsw")
pytest.importorskip("msgspec")

import headrace as package
from cli_support import HEADRACE, PATIENCE, eventually, headrace, running
from headrace.cli.app import GROUPS, run_command_line
from headrace.cli.queue_shown import age, as_line, count, plain, size

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="queue files are for POSIX systems")

COMMANDS = list(GROUPS["Commands that look after a queue"])
LOOKING = [
    ["stats"],
    ["peek"],
    ["check"],
    ["dead", "list"],
    ["join"],
    ["pause"],
    ["resume"],
    ["vacuum"],
    ["purge", "-y"],
]
NOT_THERE = [*LOOKING, ["dead", "retry", "--all"], ["dead", "show", "1"], ["get", "--no-wait"], ["get", "--all"]]


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: bytes
    err: str


Here = Any  # Callable[..., Done]


@pytest.fixture
def here(capfdbinary: pytest.CaptureFixture[bytes]) -> Here:
    """Runs a command line in this process: for what has nothing to do with streams and signals."""

    def run(*arguments: object) -> Done:
        capfdbinary.readouterr()
        exit_status = run_command_line([str(each) for each in arguments])
        out, err = capfdbinary.readouterr()
        return Done(exit_status, out, err.decode())

    return run


@pytest.fixture
def jobs(tmp_path: Path) -> str:
    """The path of a queue file that is not there yet."""
    return str(tmp_path / "jobs.db")


def queue_of(url: str, **options: Any) -> Any:
    return package.open(url, **options)


def put_dead(url: str, *items: Any, **options: Any) -> None:
    """Put *items* and bury them, with an error and its traceback."""
    with queue_of(url, **options) as queue:
        for item in items:
            queue.put(item)
            lease = queue.lease()
            try:
                raise ValueError(f"no good: {item!r}")
            except ValueError as error:
                lease.fail(error)


# -- put and get ---------------------------------------------------------------------------------


def test_what_is_put_comes_out_in_order(here: Here, jobs: str) -> None:
    assert here("put", jobs, "first", "second", "third") == (0, b"", "")
    assert here("get", jobs) == (0, b"first\n", "")
    assert here("get", jobs, "-n", 2) == (0, b"second\nthird\n", "")
    assert here("stats", jobs, "--json").status == 0
    with queue_of(jobs) as queue:
        assert queue.stats().unfinished == 0


def test_each_line_of_the_input_is_an_item_an_empty_one_too(jobs: str) -> None:
    assert headrace("put", jobs, stdin=b"a b\n\n 'c' \nlast").returncode == 0
    assert headrace("get", jobs, "--all", "-0").stdout == b"a b\0\0 'c' \0last\0"


def test_items_may_end_with_nul_bytes(jobs: str) -> None:
    assert headrace("put", "-0", jobs, stdin=b"a\nb\0c\0").returncode == 0
    assert headrace("get", jobs, "--all", "-0").stdout == b"a\nb\0c\0"


def test_bytes_that_are_no_utf8_survive(jobs: str) -> None:
    lines = b"caf\xe9\n\xff\xfe\n\xc3\xa9\n"
    assert headrace("put", jobs, stdin=lines).returncode == 0
    assert headrace("put", jobs, b"\xff argument").returncode == 0
    assert headrace("peek", jobs, "-n", "9").stdout == lines + b"\xff argument\n"
    assert headrace("get", jobs, "--all").stdout == lines + b"\xff argument\n"


def test_bytes_are_put_as_bytes_where_the_serializer_says_so(here: Here, jobs: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\xff\x00a\nb\n")
    assert here("put", jobs, "--serializer", "bytes", "--input", tmp_path / "in").status == 0
    with queue_of(jobs) as queue:
        assert queue.peek_many(9) == [b"\xff\x00a", b"b"]
    assert here("get", f"{jobs}?serializer=bytes", "--all").out == b"\xff\x00a\nb\n"


def test_values_in_json_are_what_they_say(here: Here, jobs: str, tmp_path: Path) -> None:
    values = [{"user": 7, "tags": ["a", None]}, [1, 2.5], "text", True, None, 2**70]
    (tmp_path / "in").write_bytes(b"\xef\xbb\xbf" + b"".join(json.dumps(each).encode() + b"\n\n" for each in values))
    assert here("put", jobs, "--json", "--input", tmp_path / "in") == (0, b"", "")
    with queue_of(jobs) as queue:
        assert queue.peek_many(99) == values
    printed = here("get", jobs, "--all", "--json").out
    assert [json.loads(line) for line in printed.splitlines()] == values


def test_what_get_prints_as_json_can_be_put_again(here: Here, jobs: str, tmp_path: Path) -> None:
    items = ["a\nb", "\udcff", {"\udcfe": 1}, "\x00"]
    with queue_of(jobs) as queue:
        queue.put_many(items)
    (tmp_path / "out").write_bytes(here("get", jobs, "--all", "--json").out)
    assert here("put", jobs, "--json", "--input", tmp_path / "out").status == 0
    with queue_of(jobs) as queue:
        assert queue.peek_many(9) == items


def test_a_line_that_is_no_json_ends_it_and_those_before_it_are_in(here: Here, jobs: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text('1\n{"a"\n3\n')
    done = here("put", jobs, "--json", "--input", tmp_path / "in")
    assert done.status == 1
    assert "item 2, '{\"a\"', is no JSON" in done.err
    assert "; 1 item went in" in done.err
    assert here("get", jobs, "--all").out == b"1\n"


def test_an_argument_that_is_no_json_puts_nothing(jobs: str) -> None:
    done = headrace("put", jobs, "--json", "1", "{")
    assert done.returncode == 2
    assert not os.path.exists(jobs)


def test_many_lines_are_put_and_taken_in_order(jobs: str) -> None:
    lines = b"".join(b"%d\n" % number for number in range(25_000))
    assert headrace("put", jobs, stdin=lines).returncode == 0
    assert headrace("get", jobs, "--all").stdout == lines


def test_lines_of_a_pipe_are_put_as_they_come(jobs: str) -> None:
    with running("put", jobs) as run, queue_of(jobs) as queue:
        assert run.process.stdin is not None
        run.process.stdin.write(b"early\n")
        run.process.stdin.flush()
        assert queue.get(timeout=PATIENCE) == "early"
        queue.task_done()
        assert run.end() == (0, b"", b"")


def test_priority_delay_and_time_to_live_hold_for_every_item(here: Here, jobs: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("a\nb\n")
    here("put", jobs, "late")
    here("put", jobs, "--priority", -1, "--input", tmp_path / "in")
    here("put", jobs, "--delay", "1h", "x", "y")
    here("put", jobs, "--ttl", "1ms", "--priority", 9, "mayfly")
    assert here("get", jobs, "-n", 3).out == b"a\nb\nlate\n"
    assert here("get", jobs, "--timeout", "20ms") == (1, b"", "")
    with queue_of(jobs) as queue:
        assert queue.stats().delayed == 2
        eventually(lambda: queue.stats().dead == 1)


def test_of_items_with_the_same_key_one_is_put(here: Here, jobs: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text('{"id": 1, "v": 1}\n{"id": 2, "v": 1}\n{"id": 1, "v": 2}\n')
    assert here("put", jobs, "--json", "--input", tmp_path / "in", "--key", "user-{id}").status == 0
    with queue_of(jobs) as queue:
        assert [(each["id"], each["v"]) for each in queue.peek_many(9)] == [(1, 1), (2, 1)]
    here("put", jobs, "--json", "--input", tmp_path / "in", "--key", "user-{id}", "--on-duplicate", "replace")
    with queue_of(jobs) as queue:
        assert sorted((each["id"], each["v"]) for each in queue.peek_many(9)) == [(1, 2), (2, 1)]
    done = here("put", jobs, "--key", "user-1", "--on-duplicate", "raise", "text")
    assert done.status == 1
    assert "'user-1'" in done.err
    done = here("put", jobs, "--key", "{name}", "text")
    assert (done.status, "no field 'name'" in done.err) == (1, True)


def test_put_gives_up_when_there_is_no_room_in_time(here: Here, jobs: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("a\nb\nc\nd\n")
    done = here("put", jobs, "--maxsize", 3, "--timeout", "10ms", "--input", tmp_path / "in")
    assert done == (1, b"", "headrace: there was no room for 0.01 s; 3 items went in\n")
    assert here("put", jobs, "--timeout", 0, "d") == (1, b"", "headrace: there was no room; 0 items went in\n")


def test_put_waits_for_room(jobs: str) -> None:
    with running("put", jobs, "--maxsize", "1", "a", "b", "c") as run, queue_of(jobs) as queue:
        for expected in "abc":
            assert queue.get(timeout=PATIENCE) == expected
            queue.task_done()
        assert run.end() == (0, b"", b"")


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_put_that_is_ended_says_how_many_went_in(jobs: str, number: signal.Signals, expected: int) -> None:
    with running("put", jobs, "--maxsize", "2", "a", "b", "c") as run, queue_of(jobs) as queue:
        eventually(lambda: queue.qsize() == 2)
        run.send(number)
        assert run.end() == (expected, b"", b"headrace: ended early; 2 items went in\n")


def test_a_put_that_reads_is_ended_at_once(jobs: str) -> None:
    with running("put", jobs) as run, queue_of(jobs) as queue:
        assert run.process.stdin is not None
        run.process.stdin.write(b"one\nhalf of")
        run.process.stdin.flush()
        eventually(lambda: queue.qsize() == 1)
        run.send(signal.SIGINT)
        assert run.process.wait(PATIENCE) == 130
        assert queue.qsize() == 1


def test_get_waits_for_an_item_of_another_process(jobs: str) -> None:
    with running("get", jobs, "--timeout", "30s") as run:
        eventually(lambda: os.path.exists(jobs))
        assert headrace("put", jobs, "here").returncode == 0
        assert run.end() == (0, b"here\n", b"")


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_get_that_waits_is_ended_by_a_signal(jobs: str, number: signal.Signals, expected: int) -> None:
    with running("get", jobs) as run:
        # The handlers are there when the file is.
        eventually(lambda: os.path.exists(f"{jobs}-headrace"))
        eventually(lambda: catches(run.process.pid, number))
        run.send(number)
        assert run.end() == (expected, b"", b"")


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of the kind that notes a signal: SIGQUIT has none before."""
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGQUIT - 1) & 1 and caught >> (number - 1) & 1)


def test_fewer_items_than_asked_for_are_status_1(here: Here, jobs: str) -> None:
    here("put", jobs, "a", "b")
    assert here("get", jobs, "-n", 3, "--no-wait") == (1, b"a\nb\n", "")
    assert here("get", jobs, "--all").status == 1


def test_a_paused_queue_gives_out_nothing_and_that_is_said(here: Here, jobs: str) -> None:
    here("put", jobs, "a")
    assert here("pause", jobs) == (0, f"{jobs} is paused; 1 waiting\n".encode(), "")
    done = here("get", jobs, "--no-wait")
    assert (done.status, done.out, "is paused" in done.err) == (1, b"", True)
    assert here("resume", jobs).status == 0
    assert here("get", jobs, "--no-wait").out == b"a\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has /dev/full")
def test_an_item_that_cannot_be_written_waits_in_its_place_again(jobs: str) -> None:
    headrace("put", jobs, "a", "b")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*HEADRACE, "get", jobs, "--all"], stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"headrace: standard output cannot be written")
    with queue_of(jobs) as queue:
        assert queue.peek_many(9) == ["a", "b"]
        assert queue.stats().leased == 0
        assert queue.lease().attempt == 1


def test_an_item_whose_reader_has_gone_waits_in_its_place_again(jobs: str) -> None:
    headrace("put", jobs, "a", "b")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*HEADRACE, "get", jobs], stdout=write, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
    assert headrace("peek", jobs).stdout == b"a\n"


def test_nothing_is_taken_for_a_closed_standard_output(jobs: str) -> None:
    headrace("put", jobs, "a")
    done = subprocess.run(
        ["/bin/sh", "-c", f"'{sys.executable}' -m headrace get '{jobs}' >&-"],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"headrace: standard output is closed: what is taken would be lost\n")
    assert headrace("peek", jobs).stdout == b"a\n"


def test_peek_leaves_everything_where_it_is(here: Here, jobs: str) -> None:
    here("put", jobs, "a", "b")
    for _ in range(2):
        assert here("peek", jobs) == (0, b"a\n", "")
    assert here("peek", jobs, "-n", 5, "--json") == (0, b'"a"\n"b"\n', "")
    assert here("get", jobs, "--all").out == b"a\nb\n"
    assert here("peek", jobs).status == 1


def test_what_is_neither_string_nor_bytes_is_printed_as_json_or_as_its_repr() -> None:
    assert as_line("a\nb", is_json=False) == b"a\nb"
    assert as_line(b"\xff", is_json=False) == b"\xff"
    assert as_line({"a": [1, None]}, is_json=False) == b'{"a":[1,null]}'
    assert as_line(1j, is_json=False) == b"1j"
    assert json.loads(as_line(1j, is_json=True)) == "1j"
    assert as_line("\udcff", is_json=False) == b"\xff"


# -- join, pause, purge, vacuum ------------------------------------------------------------------


def test_join_ends_when_all_is_done(jobs: str) -> None:
    with queue_of(jobs) as queue:
        queue.put("a")
        queue.get()
        with running("join", jobs) as run:
            assert headrace("join", jobs, "--timeout", "0").stderr == (
                b"headrace: 1 unfinished: 0 waiting, 0 delayed, 1 with consumers\n"
            )
            queue.task_done()
            assert run.end() == (0, b"", b"")


def test_join_tells_what_is_unfinished_when_its_time_is_over(here: Here, jobs: str) -> None:
    here("put", jobs, "a", "b")
    here("put", jobs, "c", "--delay", "1h")
    done = here("join", jobs, "--timeout", "10ms")
    assert done == (1, b"", "headrace: 3 unfinished: 2 waiting, 1 delayed, 0 with consumers\n")


def test_purge_drops_what_waits_and_nothing_else(here: Here, jobs: str) -> None:
    put_dead(jobs, "dead one")
    here("put", jobs, "a")
    here("put", jobs, "b", "--delay", "1h")
    assert here("purge", jobs, "--yes") == (0, f"{jobs}: 2 items dropped\n".encode(), "")
    with queue_of(jobs) as queue:
        assert queue.stats()[:2] == (0, 0)
        assert len(queue.dead) == 1
    assert here("purge", jobs, "--yes", "--dead").out == f"{jobs}: 1 dead letters dropped\n".encode()
    assert here("stats", jobs, "--json").out.count(b'"dead": 0') == 1


def test_purge_drops_what_is_kept_of_done_items(here: Here, jobs: str) -> None:
    with queue_of(jobs, keep_done=3600.0) as queue:
        queue.put_many(["a", "b" * 50_000])
        queue.get_many(2)
        queue.task_done(2)
        queue.put("left")
    assert here("purge", jobs, "-y", "--done") == (0, f"{jobs}: 2 records of done items dropped\n".encode(), "")
    assert here("check", jobs).status == 0
    assert here("peek", jobs).out == b"left\n"


def test_purge_without_a_terminal_asks_for_yes(jobs: str) -> None:
    headrace("put", jobs, "a")
    done = headrace("purge", jobs)
    assert done.returncode == 2
    assert b"would drop 1 waiting and 0 delayed items" in done.stderr
    assert headrace("peek", jobs).stdout == b"a\n"


def test_vacuum_makes_the_file_smaller_and_loses_nothing(here: Here, jobs: str) -> None:
    with queue_of(jobs, durability="process") as queue:
        queue.put_many(["x" * 1000] * 2000)
        queue.put("kept", priority=1)
        while queue.qsize() > 1:
            queue.task_done(len(queue.get_many(min(500, queue.qsize() - 1))))
        before = os.path.getsize(jobs)
        done = here("vacuum", jobs)  # while the queue is open
        assert done.status == 0
        assert re.search(rb"MB before, .* kB now", done.out)
        assert queue.get(timeout=PATIENCE) == "kept"
        queue.task_done()
        queue.put("after")
    assert os.path.getsize(jobs) < before / 4
    assert here("peek", jobs).out == b"after\n"
    assert here("check", jobs).status == 0


def test_vacuum_waits_for_who_is_in_the_middle_of_a_transaction(jobs: str) -> None:
    from headrace.backends.sqlite.side import Side

    headrace("put", jobs, "a")
    side = Side(f"{jobs}-headrace")
    side.enter()
    with running("vacuum", jobs) as run:
        eventually(lambda: "flock" in waits_in(run.process.pid))
        assert run.process.poll() is None
        side.leave()
        assert run.end()[0] == 0
    side.close()


def test_a_vacuum_that_waits_for_its_turn_is_ended_by_ctrl_c(jobs: str) -> None:
    from headrace.backends.sqlite.side import Side

    headrace("put", jobs, "a")
    side = Side(f"{jobs}-headrace")
    side.enter()
    with running("vacuum", jobs) as run:
        eventually(lambda: "flock" in waits_in(run.process.pid))
        run.send(signal.SIGINT)
        assert run.end() == (130, b"", f"headrace: ended early: {jobs} is as it was\n".encode())
    side.leave()
    side.close()
    assert headrace("check", jobs).returncode == 0


def test_a_vacuum_that_is_ended_in_the_middle_changes_nothing(jobs: str) -> None:
    from headrace.backends.sqlite.vacuum import vacuum

    with queue_of(jobs, durability="process") as queue:
        queue.put_many(["x" * 1000] * 2000)
        queue.clear()
        queue.put("kept")
    before = os.path.getsize(jobs)
    asked: list[int] = []

    def is_to_end() -> bool:
        asked.append(1)
        return True

    with queue_of(jobs, durability="process") as queue:
        queue.put_many(["y" * 1000] * 2000)
    with pytest.raises(InterruptedError):
        vacuum(jobs, is_to_end)
    assert asked
    assert os.path.getsize(jobs) >= before
    assert headrace("check", jobs).returncode == 0
    assert headrace("peek", jobs).stdout == b"kept\n"


def waits_in(pid: int) -> str:
    """``flock`` where a process waits for a lock of that kind."""
    with open("/proc/locks", encoding="ascii") as lines:
        waits = [line.split() for line in lines if "->" in line and "FLOCK" in line]
    return "flock" if any(str(pid) in words for words in waits) else ""


# -- stats and check -----------------------------------------------------------------------------


def test_stats_has_all_queues_of_the_file_or_the_one_that_is_named(here: Here, jobs: str) -> None:
    here("put", f"{jobs}#emails", "a", "b", "--maxsize", 10)
    here("put", jobs, "c")
    found = json.loads(here("stats", jobs, "--json").out)
    assert [queue["name"] for queue in found["queues"]] == ["default", "emails"]
    found = json.loads(here("stats", f"{jobs}#emails", "--json").out)
    (emails,) = found["queues"]
    assert (emails["waiting"], emails["maxsize"], emails["unfinished"]) == (2, 10, 2)
    assert found["file_bytes"] == os.path.getsize(jobs)
    assert 0 <= emails["next_item_age"] < PATIENCE


def test_the_keys_of_stats_are_those_of_the_manual(here: Here, jobs: str) -> None:
    from test_cli_app import MANUAL

    here("put", jobs, "a")
    found = json.loads(here("stats", jobs, "--json").out)
    manual = MANUAL.read_text("utf-8")
    for key in [*found, *found["queues"][0]]:
        assert f"`{key}`" in manual, key


def test_stats_counts_who_takes_items_and_who_died(here: Here, jobs: str) -> None:
    here("put", jobs, "a", "b")
    script = "import headrace, os, sys; q = headrace.open(sys.argv[1]); q.get(); print(flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", script, jobs], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    found = json.loads(here("stats", jobs, "--json").out)
    assert (found["owners_alive"], found["owners"][0]["pid"]) == (1, holder.pid)
    assert found["queues"][0]["leased"] == 1
    holder.kill()
    holder.communicate()
    found = json.loads(here("stats", jobs, "--json").out)
    assert (found["owners_alive"], found["owners"][0]["alive"]) == (0, False)
    assert "1 died and was not missed yet" in here("stats", jobs).out.decode()


def test_looking_changes_nothing(here: Here, jobs: str) -> None:
    here("put", jobs, "a")
    before = Path(jobs).read_bytes()
    for arguments in (["stats"], ["check"], ["dead", "list"]):
        assert here(*arguments, jobs).status == 0
    assert Path(jobs).read_bytes() == before


def test_watching_prints_lines_where_there_is_no_terminal(jobs: str) -> None:
    headrace("put", jobs, "a")
    with running("stats", jobs, "--watch=50ms") as run:
        assert run.process.stdout is not None
        run.process.stdout.readline()
        headrace("put", jobs, "b", "c")
        eventually(lambda: b"default: 3 waiting" in run.process.stdout.readline())
        assert re.search(rb"; \d+\.\d put/s, 0\.0 done/s$", run.process.stdout.readline().strip())
        run.send(signal.SIGINT)
        assert run.end()[0] == 0


def test_watching_prints_objects_with_json(jobs: str) -> None:
    headrace("put", jobs, "a")
    with running("stats", jobs, "--watch=20ms", "--json") as run:
        assert run.process.stdout is not None
        first, second = (json.loads(run.process.stdout.readline()) for _ in range(2))
        assert "put_per_second" not in first["queues"][0]
        assert second["queues"][0]["put_per_second"] == 0
        run.send(signal.SIGTERM)
        assert run.end()[0] == 0


@pytest.mark.parametrize(
    "words", [["--watch", "URL"], ["-w", "URL"], ["URL", "-w"], ["-w", "1h", "URL"], ["URL", "--watch=9s"]]
)
def test_watching_takes_its_interval_or_leaves_it_out(jobs: str, words: list[str]) -> None:
    headrace("put", jobs, "a")
    with running("stats", *(jobs if word == "URL" else word for word in words)) as run:
        assert run.process.stdout is not None
        assert b"1 waiting" in run.process.stdout.readline()
        run.send(signal.SIGINT)
        assert run.end()[0] == 0


def test_watching_ends_when_the_file_is_deleted(jobs: str) -> None:
    headrace("put", jobs, "a")
    with running("stats", jobs, "--watch=20ms") as run:
        assert run.process.stdout is not None
        run.process.stdout.readline()
        os.unlink(jobs)
        status, _, error = run.end()
        assert (status, error) == (1, f"headrace: {jobs} was deleted while it was looked at\n".encode())


def test_a_url_may_be_written_in_every_way_that_open_takes(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "no suffix"
    assert here("put", f"sqlite:{path}?queue=emails", "a").status == 0
    for url in (f"{path}#emails", f"sqlite://{path}#emails", f"{path}?queue=emails&durability=none"):
        assert here("peek", url).out == b"a\n"
        assert json.loads(here("stats", url, "--json").out)["queues"][0]["name"] == "emails"


def test_check_finds_nothing_wrong_with_a_queue_and_tells_its_versions(here: Here, jobs: str) -> None:
    here("put", jobs, "a")
    done = here("check", jobs)
    assert done.status == 0
    assert package.__version__ in done.out.decode()
    found = json.loads(here("check", jobs, "--json").out)
    assert found["problems"] == []
    assert found["schema"] == 1


def test_check_finds_a_counter_that_is_wrong(here: Here, jobs: str) -> None:
    import apsw

    here("put", jobs, "a")
    connection = apsw.Connection(jobs)
    connection.execute("UPDATE queue SET waiting = 7")
    connection.close()
    done = here("check", jobs)
    assert done.status == 1
    assert "7 are counted as waiting, and 1 are there" in done.out.decode()
    assert json.loads(here("check", jobs, "--json").out)["problems"]


def test_check_finds_pages_that_are_damaged(here: Here, jobs: str) -> None:
    here("put", jobs, *["x" * 400] * 200)
    with open(jobs, "r+b") as file:
        file.seek(os.path.getsize(jobs) // 2)
        file.write(b"\xa5" * 8192)
    done = here("check", jobs)
    assert done.status == 1
    assert "NO\n" in done.out.decode()


# -- dead ----------------------------------------------------------------------------------------


def test_dead_letters_are_listed_shown_and_exported(here: Here, jobs: str) -> None:
    assert here("dead", "list", jobs + "#none").status == 2
    put_dead(jobs, {"user": 7}, "text \x1b[31m", b"\xff")
    table = here("dead", "list", jobs).out.decode()
    assert "{'user': 7}" in table
    assert "\x1b" not in table
    shown = here("dead", "show", jobs, 1).out.decode()
    assert 'item      {"user":7}' in shown
    assert "ValueError: no good: {'user': 7}" in shown
    assert "in put_dead" in shown
    exported = [json.loads(line) for line in here("dead", "export", jobs).out.splitlines()]
    assert [each["item"] for each in exported] == [{"user": 7}, "text \x1b[31m", "/w=="]
    assert exported == [json.loads(line) for line in here("dead", "list", jobs, "--json").out.splitlines()]
    assert here("dead", "export", jobs, 2, 3, "--items").out == b"text \x1b[31m\n\xff\n"


def test_the_keys_of_an_exported_letter_are_those_of_the_manual(here: Here, jobs: str) -> None:
    from test_cli_app import MANUAL

    put_dead(jobs, 1)
    manual = MANUAL.read_text("utf-8")
    assert [key for key in json.loads(here("dead", "export", jobs).out) if f"`{key}`" not in manual] == []


def test_dead_letters_are_put_again_or_dropped(here: Here, jobs: str) -> None:
    put_dead(jobs, "a", "b", "c", "d")
    assert here("dead", "retry", jobs, 2, 3) == (0, f"{jobs}: 2 put again\n".encode(), "")
    assert here("dead", "drop", jobs, 1) == (0, f"{jobs}: 1 dropped\n".encode(), "")
    assert here("get", jobs, "--all").out == b"b\nc\n"
    assert here("dead", "retry", jobs, "--all").out == f"{jobs}: 1 put again\n".encode()
    put_dead(jobs, "e")
    assert here("dead", "drop", jobs, "--all").out == f"{jobs}: 1 dropped\n".encode()
    assert here("dead", "list", jobs) == (0, b"", "no dead letters\n")


def test_a_letter_that_is_not_there_is_said_and_the_others_are_done(here: Here, jobs: str) -> None:
    put_dead(jobs, "a")
    done = here("dead", "retry", jobs, 99, 1)
    assert (done.status, done.out) == (1, f"{jobs}: 1 put again\n".encode())
    assert "no dead letter has the ID 99" in done.err
    for arguments in (["drop", jobs, 99], ["show", jobs, 99], ["edit", jobs, 99, "1"], ["export", jobs, 99]):
        done = here("dead", *arguments)
        assert done.status == 1
        assert "no dead letter has the ID 99" in done.err


def test_a_retry_that_has_no_room_leaves_the_letter(here: Here, jobs: str) -> None:
    put_dead(jobs, "a", "b")
    here("put", jobs, "x", "--maxsize", 2)
    done = here("dead", "retry", jobs, "--all")
    assert (done.status, done.out) == (1, f"{jobs}: 1 put again\n".encode())
    assert "no room" in done.err
    with queue_of(jobs) as queue:
        assert [letter.item for letter in queue.dead] == ["b"]


def test_the_item_of_a_letter_is_edited(here: Here, jobs: str) -> None:
    put_dead(jobs, {"user": 7}, "b", "c")
    assert here("dead", "edit", jobs, 1, '{"user": 8}').status == 0
    assert here("dead", "edit", jobs, 2, "--text", "[text").status == 0
    assert headrace("dead", "edit", jobs, "3", stdin=b'["from", "stdin"]\n').returncode == 0
    assert headrace("dead", "edit", jobs, "3", "no JSON").returncode == 2
    here("dead", "retry", jobs, "--all")
    assert here("get", jobs, "--all").out == b'{"user":8}\n[text\n["from","stdin"]\n'


def test_a_letter_that_cannot_be_decoded_is_shown_with_the_reason(here: Here, jobs: str) -> None:
    with queue_of(jobs, serializer="pickle") as queue:
        queue.put({1, 2})
    assert here("get", jobs, "--no-wait").status == 1
    assert "(cannot be decoded)" in here("dead", "list", jobs).out.decode()
    assert "unpickling runs" in here("dead", "show", jobs, 1).out.decode()
    (letter,) = [json.loads(line) for line in here("dead", "export", jobs).out.splitlines()]
    assert letter["item"] is None
    assert "pickle" in letter["undecodable"]


def test_dead_says_what_was_perhaps_meant(here: Here, jobs: str) -> None:
    done = here("dead", "lst", jobs)
    assert (done.status, "Did you mean 'list'?" in done.err) == (2, True)
    done = here("dead", "retry", jobs)
    assert done.status == 2
    put_dead(jobs, "a")
    assert "or --all" in here("dead", "retry", jobs).err


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", NOT_THERE, ids=" ".join)
def test_a_file_that_is_not_there_is_not_made(here: Here, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "orders.db").touch()
    first, rest = (arguments[:2], arguments[2:]) if arguments[0] == "dead" else (arguments[:1], arguments[1:])
    done = here(*first, tmp_path / "order.db", *rest)
    assert (done.status, done.out) == (2, b"")
    assert "there is no such file" in done.err
    assert "orders.db'?" in done.err
    assert os.listdir(tmp_path) == ["orders.db"]


@pytest.mark.parametrize("arguments", NOT_THERE, ids=" ".join)
def test_a_queue_that_is_not_there_is_not_made(here: Here, jobs: str, arguments: list[str]) -> None:
    here("put", f"{jobs}#emails", "a")
    first, rest = (arguments[:2], arguments[2:]) if arguments[0] == "dead" else (arguments[:1], arguments[1:])
    done = here(*first, f"{jobs}#email", *rest)
    if arguments[0] in ("check", "vacuum"):  # which are for the file
        assert done.status == 0
    else:
        assert (done.status, done.out) == (2, b"")
        assert "has no queue 'email'. Did you mean 'emails'?" in done.err
    with queue_of(f"{jobs}#emails") as queue:
        assert queue._storage.look("SELECT name FROM queue") == [("emails",)]


def no_queue(tmp_path: Path) -> dict[str, tuple[str, str]]:
    """URLs that are no queue's, and what is said of them."""
    import sqlite3

    folder = tmp_path / "folder"
    folder.mkdir()
    text = tmp_path / "text.db"
    text.write_text("no database at all " * 100)
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE t(a)")
    foreign.close()
    with queue_of(str(tmp_path / "newer.db")) as queue:
        queue.put(1)
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    return {
        str(folder): ("is a folder", ""),
        str(text): ("is not a database", ""),
        str(tmp_path / "foreign.db"): ("database of another program", ""),
        str(tmp_path / "newer.db"): ("newer Headrace", ""),
        "memory:": ("lives in one process", "in"),
        "jobs": ("'jobs.db'", ""),
        "redis://host": ("not in this version", ""),
        "jobs.db?durabilty=none": ("did you mean 'durability'", ""),
        "": ("", ""),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_queue_is_refused_in_a_line(here: Here, tmp_path: Path, name: str) -> None:
    for url, (expected, _) in no_queue(tmp_path).items():
        arguments = {"put": [url, "item"], "get": [url, "--no-wait"], "purge": [url, "-y"]}.get(name, [url])
        done = here(name, *(["list"] if name == "dead" else []), *arguments)
        told = done.err + (done.out.decode() if name == "check" else "")
        assert done.status == (1 if name == "check" and url.endswith((".db", "r")) and "folder" not in url else 2), url
        assert expected in told
        assert "Traceback" not in told
    assert (tmp_path / "text.db").read_text().startswith("no database")


def test_a_damaged_file_is_told_in_a_line(here: Here, jobs: str) -> None:
    here("put", jobs, *["x" * 400] * 100)
    with open(jobs, "r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (os.path.getsize(jobs) - 100))
    for arguments in (
        ["put", jobs, "a"],
        ["get", jobs, "--no-wait"],
        ["stats", jobs],
        ["dead", "list", jobs],
        ["vacuum", jobs],
    ):
        done = here(*arguments)
        assert done.status in (1, 2), arguments
        assert done.err.count("\n") == 1
        assert done.err.startswith("headrace: ")
        assert jobs in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told_in_a_line(here: Here, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    done = here("put", folder / "jobs.db", "a")
    assert (done.status, "cannot be written" in done.err) == (2, True)


def test_a_network_file_system_is_refused(here: Here, jobs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.backends.sqlite import connecting

    here("put", jobs, "a")
    monkeypatch.setattr(connecting, "file_system", lambda folder: "nfs4")
    for arguments in (["put", jobs, "b"], ["get", jobs], ["stats", jobs], ["peek", jobs], ["vacuum", jobs]):
        done = here(*arguments)
        assert (done.status, "network file system (nfs4)" in done.err) == (2, True)


@pytest.mark.parametrize("missing", ["apsw", "msgspec"])
@pytest.mark.parametrize("arguments", [["put", "x.db", "1"], ["stats", "x.db"], ["check", "x.db"]], ids=" ".join)
def test_without_its_libraries_it_says_what_to_install(tmp_path: Path, missing: str, arguments: list[str]) -> None:
    (tmp_path / "x.db").touch()
    script = f"""if True:
        from importlib.machinery import PathFinder
        find = PathFinder.find_spec
        PathFinder.find_spec = lambda name, *more: None if name == {missing!r} else find(name, *more)
        from headrace.cli import main
        main()"""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, timeout=PATIENCE, check=False
    )
    if missing == "msgspec" and arguments[0] != "put":
        assert b"Traceback" not in done.stderr  # looking needs no serializer
        return
    assert b"pip install 'headrace[sqlite]'" in done.stderr + done.stdout
    assert b"Traceback" not in done.stderr
    assert done.returncode == (1 if arguments[0] == "check" else 2)


def test_options_that_mean_nothing_together_are_refused(here: Here, jobs: str) -> None:
    for arguments in (
        ["put", jobs, "a", "-0"],
        ["put", jobs, "a", "--input", "f"],
        ["put", jobs, "a", "--on-duplicate", "raise"],
        ["put", jobs, "--input", "/nowhere/at/all"],
        ["put", jobs, "a", "--serializer", "yaml"],
        ["get", jobs, "--all", "-n", "3"],
        ["get", jobs, "--no-wait", "--timeout", "3"],
        ["put", f"{jobs}?maxsize=3", "a", "--maxsize", "4"],
    ):
        done = here(*arguments)
        assert done.status == 2, arguments
        assert done.err
    assert not os.path.exists(jobs)


@pytest.mark.parametrize("arguments", [["stats", "--json"], ["peek"], ["dead", "export"], ["check"]], ids=" ".join)
def test_output_that_cannot_be_written_is_told_in_a_line(jobs: str, arguments: list[str]) -> None:
    put_dead(jobs, "a")
    headrace("put", jobs, "b")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*HEADRACE, *arguments, jobs], stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode() == "headrace: standard output cannot be written: No space left on device\n"


# -- help ----------------------------------------------------------------------------------------


def test_help_of_every_command_has_examples_and_fits(here: Here) -> None:
    subcommands = ["list", "show", "retry", "drop", "edit", "export"]
    for words in [*([name] for name in COMMANDS), *(["dead", name] for name in subcommands)]:
        text = here(*words, "--help").out.decode()
        assert text.startswith(f"Usage: headrace {' '.join(words)} ")
        assert max(map(len, text.splitlines())) <= 80, words
        assert "\n  Examples:\n    headrace " in text
        assert "..." not in text.partition("Commands:")[2]
    top = here("--help").out.decode()
    for heading, commands in GROUPS.items():
        assert f"\n{heading}:\n" in top
        assert all(f"\n  {name} " in top for name in commands)


def test_options_and_commands_of_help_are_all_in_the_manual(here: Here) -> None:
    from test_cli_app import MANUAL

    manual = MANUAL.read_text("utf-8")
    for words in [[name] for name in COMMANDS]:
        assert f"headrace {words[0]}" in manual
        options = re.findall(r"--[a-z-]+", here(*words, "--help").out.decode().partition("Examples:")[0])
        assert [option for option in options if f"`{option}" not in manual and option != "--help"] == [], words


@pytest.mark.parametrize("name", ["put", "get", "peek"])
def test_moving_items_imports_nothing_that_only_tables_need(jobs: str, name: str) -> None:
    headrace("put", jobs, "a", "b")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "headrace", name, jobs, *(["x"] if name == "put" else [])],
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "apsw" in imported
    assert imported & {"rich", "rich.text", "asyncio", "subprocess", "difflib", "sqlite3", "numpy"} == set()


# -- how things are shown ------------------------------------------------------------------------


def test_numbers_are_short() -> None:
    assert [count(each) for each in (0, 999_999, 1_234_567, 123_456_789, 5_000_000_000)] == [
        "0",
        "999,999",
        "1.23 M",
        "123 M",
        "5 G",
    ]
    assert [size(each) for each in (0, 999, 43_008, 12_345_678, 10**13)] == [
        "0 B",
        "999 B",
        "43 kB",
        "12.3 MB",
        "10.0 TB",
    ]
    assert [age(each) for each in (0.04, 12, 600, 10_800, 864_000)] == ["0.0 s", "12 s", "10 min", "3 h", "10 d"]
    assert plain("a\x1b[0m\tb\x9b") == "a\\x1b[0m\tb\\x9b"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_tables_cut_names_and_texts_and_never_numbers(columns: int) -> None:
    pytest.importorskip("rich")
    from headrace.backends.sqlite.overview import QueueNow
    from headrace.cli.queue_stats import Moment, Rates
    from headrace.cli.queue_tables import _several, dead_table, watched

    queues = [
        QueueNow("a name that is long, 名前 too" * 2, 123_456, 0, 17, 3, 0, 5, True, 999_999, 9, 8, 7, 99.0),
        QueueNow("b", 12_345_678, 99, 0, 0, 0, 5, False, 2_000_000, 9, 8, 7, None),
    ]
    moment = Moment("jobs.db", 0.0, queues, [], 1, 2)
    rates = {queue.name: Rates(12_345.0, 1.5) for queue in queues}
    pasts = {queue.name: [Rates(1.0, float(number)) for number in range(60)] for queue in queues}
    shown = [
        watched(moment, rates, pasts, columns, "q ends"),
        dead_table([(7, "item" * 99, 5, 3.0, "error" * 99)], columns),
    ]
    if columns >= 80:
        shown.append(_several(moment, columns))
    for table in shown:
        lines = table.plain.split("\n")
        assert all(width(line) <= max(columns, 76) for line in lines), lines
        assert len({width(line.rstrip()) for line in lines[:2]}) <= 2
    assert "12,345" in shown[0].plain
    assert "12.3 M" in shown[0].plain
    assert "3.0 s ago" in shown[1].plain


def width(line: str) -> int:
    from rich.cells import cell_len

    return cell_len(line)


def test_a_signal_while_nothing_waits_is_noted_and_the_handlers_are_put_back() -> None:
    from headrace.cli.queue_stopping import Stopping

    woken = threading.Event()
    before: Callable[..., Any] | int | None = signal.getsignal(signal.SIGTERM)
    with Stopping(woken.set) as stopping:
        os.kill(os.getpid(), signal.SIGTERM)
        eventually(lambda: stopping.noted == [signal.SIGTERM])
    assert stopping.exit_status == 143
    assert woken.is_set()
    assert signal.getsignal(signal.SIGTERM) == before
