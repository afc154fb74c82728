"""``headrace work``: workers of one queue, on as many terminals as one likes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli_support import eventually, headrace, lines, running

pytest.importorskip("apsw")
pytest.importorskip("msgspec")

import headrace as library

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="signals"), pytest.mark.usefixtures("checked_folder")]

LOG = 'printf "%s\\n" "$0" >> log'


@pytest.fixture
def queue() -> Iterator[Any]:
    """The queue that is worked on."""
    with library.open("jobs.db") as opened:
        yield opened


def logged() -> Counter[str]:
    return Counter(Path("log").read_text().split()) if Path("log").exists() else Counter()


def counted(items: Iterable[object]) -> Counter[str]:
    return Counter(map(str, items))


def test_a_worker_runs_what_waits_and_what_comes_later(queue: Any) -> None:
    queue.put("a")
    with running("work", "jobs.db", "echo") as worker:
        assert worker.process.stdout is not None
        assert worker.process.stdout.readline() == b"a\n"
        queue.put("b", delay=0.05)
        assert worker.process.stdout.readline() == b"b\n"
        queue.join(10)
        worker.send(signal.SIGTERM)
        status, _, error = worker.end()
    assert status == 143
    assert error.startswith(b"headrace: ended by SIGTERM: 2 done in ")


def test_until_empty_ends_when_nothing_waits_is_delayed_or_is_held_by_anybody(queue: Any) -> None:
    queue.put_many(["a", "held"])
    lease = queue.lease()
    assert lease.item == "a"
    queue.put("later", delay=0.2)
    with running("work", "jobs.db", "--until-empty", "echo") as worker:
        assert worker.process.stdout is not None
        assert worker.process.stdout.readline() == b"held\n"
        assert worker.process.stdout.readline() == b"later\n"
        with pytest.raises(subprocess.TimeoutExpired):
            worker.process.wait(0.2)
        lease.retry()
        assert worker.process.stdout.readline() == b"a\n"
        assert worker.end() == (0, b"", b"")


def test_until_empty_ends_at_once_where_nothing_is() -> None:
    assert headrace("work", "--until-empty", "jobs.db", "echo").stdout == b""


def test_max_items_ends_after_so_many(queue: Any) -> None:
    queue.put_many(map(str, range(10)))
    assert lines(headrace("work", "jobs.db", "--max-items", "4", "-j3", "echo").stdout) == [b"0", b"1", b"2", b"3"]
    assert queue.stats().unfinished == 6


def test_workers_share_the_items_and_each_is_run_once(queue: Any) -> None:
    queue.put_many(map(str, range(300)))
    command = ("work", "jobs.db", "-j2", "--until-empty", "sh", "-c", LOG + "; echo")
    with running(*command) as one, running(*command) as other:
        ends = [worker.end() for worker in (one, other)]
    assert logged() == counted(range(300))
    assert [status for status, _, _ in ends] == [0, 0]
    # Each has had some: how many is a matter of chance.
    assert all(out for _, out, _ in ends)


def test_what_a_killed_worker_had_is_run_by_another_at_once(queue: Any) -> None:
    queue.put_many(["a", "b"])
    with running("work", "jobs.db", "-j2", "sh", "-c", "sleep 1000") as killed:
        eventually(lambda: len(killed.family()) >= 2)
        queue.put("c")
        with running("work", "jobs.db", "echo") as other:
            assert other.process.stdout is not None
            assert other.process.stdout.readline() == b"c\n"  # it waits for more now
            killed.process.kill()
            begun = time.monotonic()
            assert sorted([other.process.stdout.readline(), other.process.stdout.readline()]) == [b"a\n", b"b\n"]
            assert time.monotonic() - begun < 10  # and not after half a minute, when the lease would have run out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_worker_that_is_told_to_end_gives_back_all_that_is_not_done(
    queue: Any, number: signal.Signals, status: int
) -> None:
    queue.put_many(map(str, range(5)))
    with running("work", "-j2", "jobs.db", "sh", "-c", f"{LOG}; test $0 = 0 || sleep 1000") as worker:
        eventually(lambda: sum(logged().values()) == 3)
        worker.send(number)
        assert worker.end()[0] == status
    assert queue.stats()[:2] == (4, 4)
    with queue.lease() as lease:
        assert (lease.item, lease.attempt) == ("1", 1)  # in its old place, and nothing was counted


def test_what_was_not_begun_goes_back_before_what_runs_has_ended(queue: Any) -> None:
    queue.put_many(map(str, range(3)))
    stubborn = f"trap '' TERM; {LOG}; while :; do sleep 0.01; done"
    # Two are taken, of which the pace lets one begin.
    with running("work", "-j2", "--rate", "1/h", "jobs.db", "sh", "-c", stubborn) as worker:
        eventually(lambda: logged() == {"0": 1} and queue.stats()[:2] == (1, 3))
        worker.send(signal.SIGTERM)
        eventually(lambda: queue.stats()[:2] == (2, 3))
        worker.end()
    assert queue.stats()[:2] == (3, 3)


def test_what_failed_for_good_is_a_dead_letter_and_the_status_says_so(queue: Any) -> None:
    queue.put_many(["0", "1"])
    command = ("work", "jobs.db", "--until-empty", "--retries", "2", "--backoff", "0", "sh", "-c")
    ran = headrace(*command, f"{LOG}; test $0 = 0 || {{ echo no >&2; exit 3; }}")
    assert ran.returncode == 1
    assert b"1 done, 1 failed, 1 retried" in ran.stderr
    assert b"headrace dead list jobs.db shows what failed" in ran.stderr
    assert logged() == {"0": 1, "1": 2}
    (letter,) = queue.dead
    assert (letter.item, str(letter.error), letter.traceback, letter.attempts) == ("1", "exit status 3", "no\n", 2)


def test_items_that_wait_for_another_attempt_keep_no_consumer(queue: Any) -> None:
    queue.put_many(["bad", "worse", "good"])
    with running(
        "work", "jobs.db", "-j1", "--retries", "2", "--backoff", "1000", "--shell", "echo {}; test {} = good"
    ) as worker:
        assert worker.process.stdout is not None
        assert worker.process.stdout.readline() == b"good\n"


def test_text_is_given_as_it_is_and_everything_else_as_json(queue: Any) -> None:
    items = ["a b", "", "\u00e9", b"\xff\n", 7, None, {"a": [1, "x y"]}, ["p", 1.5]]
    queue.put_many(items)
    ran = headrace("work", "-k", "-j1", "jobs.db", "--until-empty", "--", "printf", "<%s>")
    assert ran.stdout == "<a b><><\u00e9>".encode() + b'<\xff\n><7><null><{"a":[1,"x y"]}><["p",1.5]>'


def test_members_of_an_object_have_names(queue: Any) -> None:
    queue.put({"name": "Bo", "at": {"x": 1}})
    queue.put("text")
    ran = headrace("work", "jobs.db", "--until-empty", "echo", "{name}", "{at.x}")
    assert ran.stdout == b"Bo 1\n"
    assert b"item 'text' failed: it has no 'name'" in ran.stderr


def test_a_function_gets_what_was_put(queue: Any) -> None:
    queue.put_many([[1, 2], {"a": 1}, "xyz"])
    assert headrace("work", "-k", "-j1", "--until-empty", "jobs.db", "--call", "builtins:len").stdout == b"2\n1\n3\n"


def test_what_cannot_be_decoded_is_a_dead_letter_and_holds_up_nobody(queue: Any) -> None:
    with library.open("jobs.db", serializer="pickle") as other:
        other.put("a")
    queue.put("b")
    assert headrace("work", "--until-empty", "jobs.db", "echo").stdout == b"b\n"
    assert [letter.undecodable != "" for letter in queue.dead] == [True]


def test_a_worker_with_nothing_to_do_costs_nothing(queue: Any) -> None:
    queue.put("a")
    with running("work", "jobs.db", "echo") as worker:
        assert worker.process.stdout is not None
        assert worker.process.stdout.readline() == b"a\n"

        def ticks() -> int:
            return sum(map(int, Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))

        time.sleep(0.2)
        before = ticks()
        time.sleep(2.0)
        assert ticks() - before <= 2  # hundredths of a second


def test_options_may_stand_before_the_url_and_behind_it_and_those_behind_the_command_are_its_own(queue: Any) -> None:
    for arguments in (
        ("--until-empty", "-j1", "jobs.db", "echo", "-n"),
        ("jobs.db", "--until-empty", "-j1", "echo", "-n"),
        ("-j1", "jobs.db", "--until-empty", "--", "echo", "-n"),
    ):
        queue.put("a")
        assert headrace("work", *arguments).stdout == b"a", arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], b"there is no URL of a queue"),
        (["jobs.db"], b"there is no COMMAND"),
        (["jobs.db", "--until-emty", "echo"], b"--until-empty"),
        (["jobs.db", "--call", "builtins:len", "echo"], b"--call takes the place of COMMAND"),
        (["memory:", "echo"], b"'memory:' lives in one process"),
        (["jobs", "echo"], b"'jobs' is no queue"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(arguments: list[str], said: bytes) -> None:
    ran = headrace("work", *arguments)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert said in ran.stderr
    assert b"Traceback" not in ran.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_url_is_completed_first_then_options_and_the_command() -> None:
    headrace("put", "jobs.db#emails", "item")

    def completed(*words: str) -> str:
        environment = {**os.environ, "_HEADRACE_COMPLETE": "bash_complete"}
        environment |= {"COMP_WORDS": " ".join(["headrace", "work", *words]), "COMP_CWORD": str(len(words) + 1)}
        return headrace(env=environment).stdout.decode()

    assert completed("jobs.db#") == "plain,jobs.db#emails\n"
    assert completed("jobs.db#emails", "--until") == "plain,--until-empty\n"
    assert "plain,xargs\n" in completed("jobs.db#emails", "xarg")


def test_a_command_that_is_not_there_is_refused_before_anything_is_taken(queue: Any) -> None:
    queue.put("a")
    assert headrace("work", "jobs.db", "no-such-command").returncode == 127
    assert queue.stats()[:2] == (1, 1)
