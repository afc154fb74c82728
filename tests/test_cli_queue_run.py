"""``headrace run --queue``: what is done is done once, whatever is killed, and whatever becomes of the input."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli_support import HEADRACE, PATIENCE, eventually, headrace, lines, running

pytest.importorskip("apsw")
pytest.importorskip("msgspec")

import headrace as library

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="signals"), pytest.mark.usefixtures("checked_folder")]

LOG = 'printf "%s\\n" "$0" >> log'


def run(items: Iterable[object], *options: str, script: str = LOG, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run *script* for each of *items*, with the queue; by default, each is a line of the file log."""
    return headrace("run", "--queue", "jobs.db", *options, "sh", "-c", script, stdin=as_lines(items), **more)


def as_lines(items: Iterable[object]) -> bytes:
    return "".join(f"{item}\n" for item in items).encode()


def logged() -> Counter[str]:
    return Counter(Path("log").read_text().split()) if Path("log").exists() else Counter()


def counted(items: Iterable[object]) -> Counter[str]:
    return Counter(map(str, items))


def stats(url: str = "jobs.db") -> Any:
    with library.open(url) as queue:
        return queue.stats()


# -- what is done ------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again() -> None:
    first = run(range(20))
    assert (first.returncode, first.stderr) == (0, b"")
    second = run(range(20))
    assert second.returncode == 0
    assert second.stderr.startswith(b"headrace: 0 done, 20 done before in ")
    assert logged() == counted(range(20))


def test_lines_that_were_added_are_done_and_those_that_were_removed_or_moved_change_nothing() -> None:
    run(range(20))
    shuffled = [*range(5, 30)]
    random.Random(1).shuffle(shuffled)
    assert b"10 done, 15 done before" in run(shuffled).stderr
    assert logged() == counted(range(30))


def test_a_line_that_occurs_twice_is_done_twice_and_once_more_when_it_occurs_three_times() -> None:
    run(["a", "b", "a"])
    assert logged() == {"a": 2, "b": 1}
    assert b"0 done, 3 done before" in run(["a", "a", "b"]).stderr
    run(["a", "b", "a", "a"])
    assert logged() == {"a": 3, "b": 1}


def test_again_forgets_what_was_done() -> None:
    run([1, 2, 2])
    assert run([2, 1, 2], "--again").stderr == b""
    assert logged() == {"1": 2, "2": 4}
    assert b"3 done before" in run([1, 2, 2]).stderr


def test_several_queues_of_a_file_know_nothing_of_each_other() -> None:
    run([1])
    headrace("run", "--queue", "jobs.db#other", "sh", "-c", LOG, stdin=b"1\n")
    assert logged() == {"1": 2}


def test_lines_are_told_apart_by_all_their_bytes() -> None:
    given = b"\n".join([b"", b" ", b"a", b"a ", b"\xff", b"\xc3\xbf", b"x" * 100_000, b"x" * 100_001, b""])
    command = ("run", "--queue", "jobs.db", "--shell", "printf %s {} | wc -c")
    assert lines(headrace(*command, stdin=given).stdout) == sorted(
        [b"0", b"1", b"1", b"2", b"1", b"2", b"100000", b"100001"]
    )
    assert headrace(*command, stdin=given).stdout == b""


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("--csv", b"name,age\nBo,3\nAl,4\n", b"name,age\nAl,4\nCy,5\nBo,3\n"),
        (
            "--jsonl",
            b'{"name":"Bo"}\n{"name":"Al","n":1e400}\n',
            b'{"name": "Bo"}\n{"name":"Cy"}\n{"name":"Al","n":1e400}\n',
        ),
        (
            "--jsonl",
            b'{"name":"Bo","n":123456789012345678901234567890}\n',
            b'{"name":"Bo","n":123456789012345678901234567890}\n{"name":"Cy"}\n',
        ),
    ],
    ids=["csv", "json", "numbers-beyond-64-bits"],
)
def test_records_are_known_by_their_fields(kind: str, first: bytes, second: bytes) -> None:
    command = ("run", "--queue", "jobs.db", kind, "echo", "{name}")
    assert headrace(*command, stdin=first).returncode == 0
    assert headrace(*command, stdin=second).stdout == b"Cy\n"


def test_combinations_are_known_by_their_values() -> None:
    command = ("run", "--queue", "jobs.db", "echo", "{1}-{2}")
    assert lines(headrace(*command, ":::", "a", "a b", ":::", "1").stdout) == [b"a b-1", b"a-1"]
    assert lines(headrace(*command, ":::", "a", "a b", ":::", "1", "b 1").stdout) == [b"a b-b 1", b"a-b 1"]


def test_output_stays_in_order_around_what_was_done_before() -> None:
    headrace("run", "--queue", "jobs.db", "true", stdin=as_lines(range(0, 3000, 3)))
    ran = headrace("run", "-k", "-j4", "--queue", "jobs.db", "echo", stdin=as_lines(range(1500)))
    assert ran.stdout == as_lines(n for n in range(1500) if n % 3)


def test_calls_have_a_queue_too() -> None:
    command = ("run", "--queue", "jobs.db", "--call", "os.path:basename")
    assert headrace(*command, stdin=b"/a/b\n/c/d\n").stdout == b"b\nd\n"
    assert headrace(*command, stdin=b"/a/b\n/c/d\n/e/f\n").stdout == b"f\n"


def test_the_place_of_an_item_is_that_in_this_input() -> None:
    run(["a", "c"])
    ran = headrace("run", "--queue", "jobs.db", "--joblog", "joblog", "echo", "{#}", stdin=b"a\nb\nc\nd\n")
    assert lines(ran.stdout) == [b"2", b"4"]
    assert sorted(line.split("\t")[0] for line in Path("joblog").read_text().splitlines()[1:]) == ["2", "4"]


def test_an_item_that_comes_slowly_is_not_kept_waiting_for_others() -> None:
    with running("run", "--queue", "jobs.db", "echo") as process:
        process.echoes(b"a\n", b"b\n", b"c\n")
        assert process.process.stdin is not None
        process.process.stdin.close()
        process.process.stdin = None
        assert process.end()[0] == 0


# -- what failed -------------------------------------------------------------------------------------

FAILS_ON_ODD = LOG + '; test $(($0 % 2)) = 0 || { echo "no $0" >&2; exit 3; }'


def test_what_failed_for_good_is_a_dead_letter_and_is_run_again_only_when_that_is_asked_for() -> None:
    first = run(range(4), script=FAILS_ON_ODD)
    assert first.returncode == 1
    assert b"2 done, 2 failed" in first.stderr
    assert first.stderr.endswith(b"headrace dead list jobs.db shows what failed; --retry-dead runs it again\n")
    with library.open("jobs.db") as queue:
        letters = {letter.item: letter for letter in queue.dead}
        assert sorted(letters) == ["1", "3"]
        assert (str(letters["1"].error), letters["1"].traceback, letters["1"].attempts) == (
            "exit status 3",
            "no 1\n",
            1,
        )
    second = run(range(4), script=FAILS_ON_ODD)
    assert second.returncode == 1  # not every item is done
    assert b"0 done in" not in second.stderr
    assert b"0 done, 2 done before, 2 failed before" in second.stderr
    third = run([*range(2), "3"], "--retry-dead")
    assert (third.returncode, third.stderr.split(b" in ")[0]) == (0, b"headrace: 2 done, 1 done before")
    assert logged() == {"0": 1, "1": 2, "2": 1, "3": 2}
    assert stats().dead == 0
    assert run(range(4)).returncode == 0


def test_a_dead_letter_that_is_not_in_the_input_stays_one() -> None:
    run([1, 3], script=FAILS_ON_ODD)
    assert run([3], "--retry-dead").returncode == 0
    with library.open("jobs.db") as queue:
        assert [letter.item for letter in queue.dead] == ["1"]


def test_again_leaves_no_dead_letter_of_what_it_runs() -> None:
    run(range(4), script=FAILS_ON_ODD)
    assert run(range(4), "--again").returncode == 0
    assert logged() == {str(n): 2 for n in range(4)}
    assert stats().dead == 0


def test_attempts_are_counted_and_only_the_last_failure_is_a_dead_letter() -> None:
    ran = run([1, 2], "--retries", "3", "--backoff", "0", script=FAILS_ON_ODD)
    assert b"1 done, 1 failed, 2 retried" in ran.stderr
    assert logged() == {"1": 3, "2": 1}
    with library.open("jobs.db") as queue:
        assert [letter.attempts for letter in queue.dead] == [3]


def test_what_runs_over_time_is_a_dead_letter() -> None:
    ran = run([1], "--timeout", "0.1", script="sleep 1000")
    assert ran.returncode == 1
    with library.open("jobs.db") as queue:
        assert [str(letter.error) for letter in queue.dead] == ["it took longer than 0.1 s"]


# -- ends --------------------------------------------------------------------------------------------


def kill_the_run(process: subprocess.Popen[bytes]) -> None:
    """kill -9, of the run alone: its commands go on, and are waited for."""
    process.kill()
    process.wait()
    eventually(lambda: not Path("running").exists() or not list(Path("running").iterdir()), "commands end")


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_at_any_moment_repeats_at_most_what_was_running(seed: int) -> None:
    chance = random.Random(seed)
    items = [*range(180), *range(20)]
    consumers = 3
    Path("running").mkdir()
    script = f"touch running/$$; {LOG}; sleep 0.00$((${{0}} % 5)); rm running/$$"
    command = [*HEADRACE, "run", f"-j{consumers}", "--queue", "jobs.db", "sh", "-c", script]
    kills = 0
    while kills < 10:
        chance.shuffle(items)
        Path("input").write_bytes(as_lines(items))
        with open("input", "rb") as given, subprocess.Popen(command, stdin=given, stderr=subprocess.DEVNULL) as process:
            before = sum(logged().values())
            try:
                # Somewhere between its start, and a few dozen items later.
                so_many = before + chance.randrange(40)
                while sum(logged().values()) < so_many and process.poll() is None:
                    time.sleep(0.002)
                time.sleep(chance.uniform(0, 0.02))  # any moment is right
            finally:
                kill_the_run(process)
        kills += 1
    last = run(items, script=script)
    assert last.returncode == 0
    done, wanted = logged(), counted(items)
    assert done.keys() == wanted.keys()
    assert all(done[item] >= wanted[item] for item in wanted)
    assert sum((done - wanted).values()) <= kills * consumers
    assert b"200 done before" in run(items).stderr
    assert stats().unfinished == 0


@pytest.mark.parametrize("how", ["calls", "commands-in-order"])
def test_kill_9_at_any_moment_loses_nothing_that_counts_as_done(how: str) -> None:
    Path("slow.py").write_text("import time\ndef echo(item):\n    time.sleep(0.001)\n    return item\n")
    what = {"calls": ["--call", "slow:echo"], "commands-in-order": ["-k", "--shell", "sleep 0.00$(({} % 7)); echo {}"]}
    command = [*HEADRACE, "run", "-j3", "--queue", "jobs.db", *what[how]]
    Path("input").write_bytes(as_lines(range(400)))
    chance = random.Random(how)
    Path("out").touch()
    for _ in range(6):
        before = Path("out").stat().st_size
        with (
            open("input", "rb") as given,
            open("out", "ab") as out,
            subprocess.Popen(command, stdin=given, stdout=out, stderr=subprocess.DEVNULL) as process,
        ):
            so_much = before + chance.randrange(150)
            while Path("out").stat().st_size < so_much and process.poll() is None:
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.1))  # any moment is right
            process.kill()
    with open("input", "rb") as given, open("out", "ab") as out:
        assert subprocess.run(command, stdin=given, stdout=out, check=False).returncode == 0
    # A line may have been cut by the kill, and is written again.
    assert set(Path("out").read_text().split()) >= set(map(str, range(400)))
    assert stats().unfinished == 0


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(2, 30))
def test_kill_9_at_many_moments_repeats_at_most_what_was_running(seed: int) -> None:
    test_kill_9_at_any_moment_repeats_at_most_what_was_running(seed)


def test_kill_9_before_anything_has_ended_repeats_only_what_was_running() -> None:
    with running("run", "-j2", "--queue", "jobs.db", "sh", "-c", f"{LOG}; sleep 1000") as process:
        assert process.process.stdin is not None
        process.process.stdin.write(as_lines(range(10)))
        process.process.stdin.flush()
        eventually(lambda: sum(logged().values()) == 2)
        process.process.kill()
    assert run(range(10)).returncode == 0
    assert logged() == counted([*range(10), 0, 1])


def test_what_has_ended_a_moment_ago_is_written_down() -> None:
    with running("run", "--queue", "jobs.db", "sh", "-c", LOG) as process:
        assert process.process.stdin is not None
        process.process.stdin.write(b"1\n")
        process.process.stdin.flush()
        with library.open("jobs.db") as queue:
            eventually(lambda: sum(logged().values()) == 1)
            eventually(lambda: queue.stats().unfinished == 0)
        process.process.kill()
    run([1])
    assert logged() == {"1": 1}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_gives_back_what_was_not_done(number: signal.Signals, status: int) -> None:
    script = f"{LOG}; test $0 -lt 5 || sleep 1000"
    with running("run", "-j2", "--queue", "jobs.db", "sh", "-c", script) as process:
        assert process.process.stdin is not None
        process.process.stdin.write(as_lines(range(3000)))
        process.process.stdin.flush()
        eventually(lambda: sum(logged().values()) == 7)
        process.send(number)
        ended, _, error = process.end()
    assert ended == status
    assert b"the same command goes on from here" in error
    with library.open("jobs.db") as queue:
        assert queue.stats().leased == 0
        assert queue.stats().waiting >= 2
        assert queue.get() == "5"  # in its old place, before the others
        assert queue.stats().dead == 0
    Path("log").unlink()
    assert run(range(3000), "-j2", script="case $0 in 5|6|2999) " + LOG + ";; esac").returncode == 0
    assert logged() == counted([5, 6, 2999])


def test_an_item_that_waits_for_another_attempt_is_given_back_with_all_its_attempts() -> None:
    with running(
        "run", "--queue", "jobs.db", "--retries", "2", "--backoff", "1000", "sh", "-c", LOG + "; false"
    ) as process:
        assert process.process.stdin is not None
        process.process.stdin.write(b"1\n")
        process.process.stdin.flush()
        eventually(lambda: logged() == {"1": 1})
        time.sleep(0.1)  # or it is ended while it runs, which gives it back as well
        process.send(signal.SIGTERM)
        assert process.end()[0] == 143
    assert stats()._replace(put_total=0, get_total=0)[:2] == (1, 1)
    run([1], "--retries", "2", "--backoff", "0", script=LOG + "; false")
    assert logged() == {"1": 3}


def test_a_run_that_was_halted_for_a_success_has_found_it_whatever_failed_before() -> None:
    run([1], script=FAILS_ON_ODD)
    assert run([1, 2, 4], "-j1", "--halt", "now,success=1", script=FAILS_ON_ODD).returncode == 0
    assert logged() == {"1": 1, "2": 1}


def test_a_halted_run_goes_on_where_it_was() -> None:
    ran = run(range(20), "-j1", "--halt", "soon,fail=1", script=LOG + "; test $0 != 3")
    assert ran.returncode == 1
    assert logged() == counted(range(4))
    assert run(range(20), "--retry-dead").returncode == 0
    assert logged() == counted([*range(20), 3])


def test_what_nobody_has_read_is_not_done() -> None:
    with running("run", "-j1", "--queue", "jobs.db", "echo") as process:
        assert process.process.stdin is not None
        assert process.process.stdout is not None
        process.process.stdout.close()
        process.process.stdout = None
        process.process.stdin.write(b"1\n")
        process.process.stdin.close()
        process.process.stdin = None
        assert process.process.wait(PATIENCE) == 141
    assert headrace("run", "--queue", "jobs.db", "echo", stdin=b"1\n").stdout == b"1\n"


# -- others ------------------------------------------------------------------------------------------


def test_a_second_run_of_a_queue_is_refused_and_told_of_the_first() -> None:
    with running("run", "--queue", "jobs.db", "echo") as process:
        process.echoes(b"a\n")
        refused = run([1])
        assert refused.returncode == 2
        assert b"process %d has been running its items" % process.process.pid in refused.stderr
        assert b"headrace work jobs.db" in refused.stderr
        assert headrace("run", "--queue", "jobs.db#other", "echo", stdin=b"b\n").stdout == b"b\n"
        process.process.kill()
        process.process.wait()
        # Only a living process is in the way.
        assert run([1]).returncode == 0
    assert logged() == {"1": 1}


def test_what_is_not_in_the_input_any_more_waits_and_is_told_of() -> None:
    with running("run", "-j1", "--queue", "jobs.db", "sh", "-c", "sleep 1000") as process:
        assert process.process.stdin is not None
        process.process.stdin.write(b"a\nb\nc\n")
        process.process.stdin.flush()
        with library.open("jobs.db") as queue:
            eventually(lambda: queue.stats().leased == 3)
        process.process.kill()
    ran = run(["b", "d"])
    assert ran.returncode == 0
    assert b"2 items of earlier runs that are not in this input wait in jobs.db (headrace work" in ran.stderr
    assert logged() == {"b": 1, "d": 1}
    assert stats().waiting == 2
    assert headrace("purge", "--yes", "jobs.db").returncode == 0
    assert b"not in this input" not in run(["b"]).stderr
    # What was dropped is not done.
    run(["a", "b"])
    assert logged() == {"a": 1, "b": 1, "d": 1}


def test_what_a_worker_has_done_is_done() -> None:
    with running("run", "-j1", "--queue", "jobs.db", "sh", "-c", "sleep 1000") as process:
        assert process.process.stdin is not None
        process.process.stdin.write(b"a\nb\n")
        process.process.stdin.flush()
        with library.open("jobs.db") as queue:
            eventually(lambda: queue.stats().leased == 2)
        process.process.kill()
    assert lines(headrace("work", "--until-empty", "jobs.db", "echo").stdout) == [b"a", b"b"]
    assert b"0 done, 2 done before" in run(["a", "b"]).stderr


def test_items_of_others_in_the_queue_are_run_when_they_are_in_the_input() -> None:
    with library.open("jobs.db") as queue:
        queue.put("a")
        queue.put("b")
        queue.put("later", delay=1000.0)
    assert run(["a", "c", "later"]).returncode == 0
    assert logged() == {"a": 1, "c": 1, "later": 1}
    with library.open("jobs.db") as queue:
        assert queue.get() == "b"


def test_bytes_that_are_no_text_are_the_same_item_for_put_and_run_and_work() -> None:
    headrace("put", "jobs.db", stdin=b"\xff\n\xc3\xa9\n")
    assert headrace("run", "--queue", "jobs.db", "echo", stdin=b"\xff\n").stdout == b"\xff\n"
    assert stats().waiting == 1
    with running("run", "--queue", "jobs.db", "sh", "-c", "sleep 1000") as process:
        assert process.process.stdin is not None
        process.process.stdin.write(b"\xfe\n")
        process.process.stdin.flush()
        with library.open("jobs.db") as queue:
            eventually(lambda: queue.stats().leased == 1)
        process.process.kill()
    assert lines(headrace("work", "--until-empty", "jobs.db", "echo").stdout) == [b"\xc3\xa9", b"\xfe"]


def test_a_paused_queue_gives_out_nothing_until_it_is_resumed() -> None:
    with library.open("jobs.db") as queue:
        queue.pause()
        with running("run", "--queue", "jobs.db", "echo") as process:
            assert process.process.stdin is not None
            process.process.stdin.write(b"a\n")
            process.process.stdin.close()
            process.process.stdin = None
            with pytest.raises(subprocess.TimeoutExpired):
                process.process.wait(0.3)
            queue.resume()
            assert process.end()[:2] == (0, b"a\n")


def test_a_run_that_waits_for_a_paused_queue_can_be_ended() -> None:
    with library.open("jobs.db") as queue:
        queue.pause()
    with running("run", "--queue", "jobs.db", "echo") as process:
        assert process.process.stdin is not None
        process.process.stdin.write(b"a\n")
        process.process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.process.wait(1.0)
        process.send(signal.SIGTERM)
        assert process.end()[:2] == (143, b"")
    assert stats().unfinished == 0


# -- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--queue", "jobs.db", "--pipe"], b"--queue and --pipe"),
        (["--queue", "jobs.db", "--dry-run"], b"--queue and --dry-run"),
        (["--retry-dead"], b"--retry-dead is about what --queue remembers"),
        (["--again"], b"--again is about what --queue remembers"),
        (["--queue", "memory:"], b"'memory:' lives in one process"),
        (["--queue", "jobs"], b"'jobs' is no queue"),
        (["--queue", "there/is/none.db"], b"there/is"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(options: list[str], said: bytes) -> None:
    ran = headrace("run", *options, "echo", stdin=b"1\n")
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert said in ran.stderr
    assert b"Traceback" not in ran.stderr
    assert not Path("jobs.db").exists()


def test_a_file_that_is_no_queue_is_refused_and_left_alone() -> None:
    Path("jobs.db").write_bytes(b"my own data\n" * 100)
    ran = run([1])
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert b"jobs.db is not a database" in ran.stderr
    assert Path("jobs.db").read_bytes() == b"my own data\n" * 100


def test_a_full_disk_ends_the_run_and_nothing_is_done_twice_later(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here")
    try:
        items = [f"{n:04}" + "x" * 200 for n in range(5000)]
        command = ("run", "-j1", "--queue", "small/jobs.db", "sh", "-c", LOG)
        ran = headrace(*command, stdin=as_lines(items))
        assert ran.returncode == 1
        assert b"disk is full" in ran.stderr
        assert b"Traceback" not in ran.stderr
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        assert headrace(*command, stdin=as_lines(items)).returncode == 0
        done = logged()
        assert done.keys() == set(items)
        # The end of one could not be written down, and another one may have been begun before all knew of it.
        assert sum(done.values()) <= len(items) + 2
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_the_ledger_takes_a_few_tens_of_bytes_an_item() -> None:
    count = 20_000
    assert headrace("run", "--queue", "jobs.db", "--call", "builtins:len", stdin=as_lines(range(count))).returncode == 0
    headrace("vacuum", "jobs.db")
    assert Path("jobs.db").stat().st_size / count < 64


def test_what_the_commands_would_print_into_nowhere_is_not_done() -> None:
    line = f"printf 'a\\n' | {shlex.join(HEADRACE)} run --queue jobs.db echo >&-"
    ran = subprocess.run(["sh", "-c", line], capture_output=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert b"standard output is closed" in ran.stderr
    assert headrace("run", "--queue", "jobs.db", "echo", stdin=b"a\n").stdout == b"a\n"
