"""What ``headrace run`` does about failures, pace, order and records: one section for each of its options."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_support import PATIENCE, Run, eventually, headrace, lines, running
from headrace import Retry
from headrace.cli.deadlines import KILL_AFTER, CommandDeadlines
from headrace.cli.delivery import tagged
from headrace.cli.halt import Halter, HaltRule
from headrace.cli.item import Item
from headrace.cli.order import AHEAD_ITEMS, Order
from headrace.cli.outcome import Outcome
from headrace.cli.pace import LATE_SECONDS, Pace
from headrace.cli.quantities import DURATION, RATE
from headrace.cli.settling import Settling
from headrace.cli.spawn import RunEnded
from headrace.cli.spill import MEMORY_BYTES, SHORT_BYTES, Spill

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="headrace run is for POSIX systems")
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc to look at processes")

# A command that fails until it was tried so many times: $0 is the item, $1 how often it fails.
COUNTS = 'n=$(cat "tries-$0" 2>/dev/null || echo 0); n=$((n+1)); echo $n > "tries-$0"; echo "try $n of $0"; '
FAILS_TWICE = COUNTS + "test $n -ge 3"

FUNCTIONS = """
import threading, time
tries = {}
lock = threading.Lock()
def third(item):
    with lock:
        tries[item] = tries.get(item, 0) + 1
    if tries[item] < 3:
        print("printed by a failed attempt")
        raise ValueError(item)
    return f"{item} {tries[item]}"
def never(item):
    raise ValueError("no")
def no_b(record):
    if record["name"] == "b":
        raise ValueError("no")
    return record["name"]
def stuck(item):
    if item.startswith("stuck"):
        threading.Event().wait()
    return item
def late(item):
    if item == "late":
        time.sleep(1)
    return item
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    return tmp_path


def feed(run: Run, data: bytes) -> None:
    """Give *data* to a headrace, and an end."""
    assert run.process.stdin is not None
    run.process.stdin.write(data)
    run.process.stdin.close()
    run.process.stdin = None


def rows(log: Path) -> list[list[str]]:
    """The lines of a joblog without its header, by number."""
    header, *lines_ = log.read_text().splitlines()
    assert header == "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand"
    return sorted((line.split("\t", 8) for line in lines_), key=lambda row: int(row[0]))


# ---- --retries, --backoff ----


def test_a_failed_item_is_tried_again_and_only_its_last_attempt_is_seen(tmp_path: Path) -> None:
    done = headrace("run", "--retries", "3", "--backoff", "0.01", "sh", "-c", FAILS_TWICE, stdin=b"a\n", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"try 3 of a\n", b"")


def test_retries_are_attempts_in_all_as_in_gnu_parallel(tmp_path: Path) -> None:
    done = headrace("run", "--retries", "2", "--backoff", "0", "sh", "-c", FAILS_TWICE, stdin=b"a\n", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, b"try 2 of a\n")
    first, last = done.stderr.splitlines()
    assert first == b"headrace: item 'a' failed: exit status 1 (attempt 2)"
    assert re.fullmatch(rb"headrace: 0 done, 1 failed, 1 retried in .*", last)


def test_a_failed_call_is_tried_again(here: Path) -> None:
    done = headrace("run", "--retries=3", "--backoff=0.01", "--call", "functions:third", stdin=b"a\nb\n", cwd=here)
    assert (done.returncode, lines(done.stdout), done.stderr) == (0, [b"a 3", b"b 3"], b"")


def test_an_item_that_waits_for_another_attempt_keeps_no_consumer(tmp_path: Path) -> None:
    # The only consumer does b while a waits: a succeeds because b has been done.
    script = "test $0 = b && touch b-was-done; test -e b-was-done && echo $0"
    items = b"a\nb\n"
    done = headrace("run", "-j1", "--retries", "2", "--backoff", "0.2", "sh", "-c", script, stdin=items, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"b\na\n")


def test_the_wait_before_an_attempt_doubles(tmp_path: Path) -> None:
    done = headrace(
        "run",
        "--retries",
        "4",
        "--backoff",
        "0.1",
        "--shell",
        "date +%s.%N >> times; false",
        stdin=b"1\n",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    times = [float(line) for line in (tmp_path / "times").read_text().split()]
    waits = [later - earlier for earlier, later in pairwise(times)]
    # Cut by up to a half; a busy machine makes them longer.
    assert [wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.2), strict=True)] == [True] * 3


def test_many_items_that_fail_twice_are_all_done_in_the_end(here: Path) -> None:
    items = b"".join(b"%d\n" % number for number in range(5000))
    done = headrace("run", "-j4", "--retries=3", "--backoff=0.01", "--call", "functions:third", stdin=items, cwd=here)
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == sorted(b"%d 3" % number for number in range(5000))


def test_the_reader_waits_while_too_much_waits_for_another_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.cli.settling.MOST_WAITING_ITEMS", 2)
    settling = Settling(Retry(2, 0.0), [], None, lose_nothing)
    items = [Item(b"a", 1), Item(b"b", 2)]
    for item in items:
        assert settling.begin(item)
        assert settling.delay_before_next(item, Outcome("failed", 1, 0.0, 0.0, [])) == 0.0
    reader = threading.Thread(target=settling.wait_for_room)
    reader.start()
    reader.join(0.05)
    assert reader.is_alive()
    assert settling.begin(items[0])
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert (items[0].attempt, items[1].attempt, settling.end_waiting()) == (2, 1, 1)


def lose_nothing(message: str) -> None:
    raise AssertionError(message)


@needs_proc
def test_ctrl_c_while_a_retry_waits_ends_it_at_once_and_the_item_has_failed(tmp_path: Path) -> None:
    options = ["--retries", "5", "--backoff", "1000", "--dead", "dead", "--joblog", "log"]
    with running("run", "-j2", *options, "sh", "-c", "touch tried-$0; exit 3", cwd=tmp_path) as run:
        feed(run, b"a\nb\n")
        eventually(lambda: len(list(tmp_path.glob("tried-*"))) == 2)
        time.sleep(0.05)  # any moment is right; this one finds both waiting
        run.send(signal.SIGINT)
        status, _, error = run.end()
        eventually(lambda: run.family() == [])
    assert status == 130
    assert re.fullmatch(rb"headrace: ended by SIGINT: 0 done, 2 failed, 2 retried in .*\n", error)
    assert lines((tmp_path / "dead").read_bytes()) == [b"a", b"b"]
    assert [row[6] for row in rows(tmp_path / "log")] == ["3", "3"]


# ---- --timeout ----
# What is to end in time gets a second: a machine that is busy with other tests takes long to start a command.


def test_a_command_that_takes_too_long_is_ended_and_has_failed() -> None:
    begun = time.monotonic()
    done = headrace("run", "-j2", "--timeout", "1", "--shell", "echo begun; sleep {}", stdin=b"1000\n0\n")
    assert time.monotonic() - begun < PATIENCE
    assert (done.returncode, done.stdout) == (1, b"begun\nbegun\n")
    assert b"headrace: item '1000' failed: it took longer than 1 s\n" in done.stderr


@needs_proc
def test_what_a_command_that_took_too_long_has_started_is_ended_too() -> None:
    stubborn = "trap '' TERM; sleep 1000 & sleep 1000 & wait; while :; do sleep 1000; done"
    with running("run", "-j2", "--timeout", "0.2", "sh", "-c", stubborn) as run:
        feed(run, b"1\n2\n")
        status, _, error = run.end()
        eventually(lambda: run.family() == [])  # SIGKILL takes its moment
    assert status == 1
    assert error.count(b"failed: it took longer than 0.2 s\n") == 2


@needs_proc
def test_a_command_that_ends_in_time_leaves_behind_what_it_likes(tmp_path: Path) -> None:
    with running("run", "--timeout", "500", "sh", "-c", "sleep 1000 >&2 &", cwd=tmp_path, stderr=None) as run:
        feed(run, b"1\n")
        assert run.process.wait(PATIENCE) == 0
        assert len(run.family()) == 1


def test_a_command_that_took_too_long_is_tried_again(tmp_path: Path) -> None:
    script = COUNTS + "test $n -ge 2 || sleep 1000"
    options = ["--timeout", "1", "--retries", "2", "--backoff", "0.01"]
    done = headrace("run", *options, "sh", "-c", script, stdin=b"a\n", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"try 2 of a\n")


def test_a_call_that_takes_too_long_is_given_up_and_its_consumer_replaced(here: Path) -> None:
    items = b"stuck 1\na\nstuck 2\nb\n"
    done = headrace("run", "-j1", "--timeout", "0.5", "--call", "functions:stuck", stdin=items, cwd=here)
    assert (done.returncode, done.stdout) == (1, b"a\nb\n")
    assert done.stderr.count(b"failed: it took longer than 0.5 s\n") == 2
    assert b"headrace: 2 done, 2 failed in " in done.stderr


def test_the_late_result_of_a_call_that_was_given_up_is_ignored(here: Path) -> None:
    items = b"late\n" + b"x\n" * 3
    # Slow enough that the late result comes while the run goes on.
    options = ["-j1", "--timeout", "0.5", "--delay", "0.4"]
    done = headrace("run", *options, "--call", "functions:late", stdin=items, cwd=here)
    assert (done.returncode, done.stdout) == (1, b"x\nx\nx\n")
    assert b"headrace: 3 done, 1 failed in " in done.stderr


def test_a_call_that_was_given_up_is_tried_again_by_another_consumer(here: Path) -> None:
    options = ["-j1", "--timeout", "0.3", "--retries", "3", "--backoff", "0.01"]
    done = headrace("run", *options, "--call", "functions:stuck", stdin=b"stuck\na\n", cwd=here)
    assert (done.returncode, done.stdout) == (1, b"a\n")
    assert b"item 'stuck' failed: it took longer than 0.3 s (attempt 3)\n" in done.stderr
    assert b"headrace: 1 done, 1 failed, 2 retried in " in done.stderr


def test_deadlines_are_looked_at_when_they_come_and_first_end_then_kill() -> None:
    process = subprocess.Popen(["sleep", "1000"], process_group=0)
    now = 100.0
    deadlines = CommandDeadlines(10.0, clock=lambda: now)
    try:
        assert deadlines.look() == 10.0
        deadlines.begin(process.pid)
        now = 104.0
        assert deadlines.look() == 6.0
        now = 1000.0
        deadlines.postpone(896.0)  # all were stopped for as long
        assert deadlines.look() == 6.0
        now = 1006.0
        assert deadlines.look() == KILL_AFTER
        assert process.wait(PATIENCE) == -signal.SIGTERM
        assert deadlines.end(process.pid)
        assert deadlines.look() == 10.0
    finally:
        process.kill()
        process.wait()


# ---- --halt ----


@pytest.mark.parametrize(
    ("rule", "status", "done_", "failed"),
    [
        ("soon,fail=1", 1, 4, 1),
        ("now,fail=2", 1, 8, 2),
        ("soon,success=3", 0, 3, 0),
        ("now,success=1", 0, 1, 0),
        ("soon,done=7", 1, 6, 1),
        ("now,done=4", 0, 4, 0),
        ("soon,fail=10%", 1, 8, 2),
        ("soon,success=50%", 0, 10, 2),
        ("now,done=100%", 1, 16, 4),
    ],
)
def test_the_run_is_halted_when_enough_have_ended(rule: str, status: int, done_: int, failed: int) -> None:
    items = b"".join(b"%d\n" % number for number in range(1, 21))
    done = headrace("run", "-j1", "--halt", rule, "--shell", "echo {}; test $(({} % 5)) != 0", stdin=items)
    assert (done.returncode, len(lines(done.stdout))) == (status, done_ + failed)
    last = done.stderr.splitlines()[-1].decode()
    told = f"{done_} done, {failed} failed" if failed else f"{done_} done"
    assert last.startswith(f"headrace: halted by --halt {rule}: {told} in ")


def test_a_halt_that_is_never_reached_changes_nothing() -> None:
    done = headrace("run", "--halt", "now,fail=2", "--shell", "test {} != 2", stdin=b"1\n2\n3\n")
    assert (done.returncode, b"halted" in done.stderr) == (1, False)
    assert headrace("run", "--halt", "never", "false", stdin=b"1\n2\n").returncode == 1
    # Nothing that was looked for was found.
    assert headrace("run", "--halt", "now,success=1", "false", stdin=b"1\n2\n").returncode == 1


@needs_proc
def test_halt_now_ends_the_running_commands_and_soon_waits_for_them(tmp_path: Path) -> None:
    script = "test $0 = 2 && { until test -e started; do sleep 0.01; done; exit 1; }; touch started; sleep $1; echo end"
    now = headrace(
        "run", "-j2", "--halt", "now,fail=1", "sh", "-c", script, "{}", "1000", stdin=b"1\n2\n", cwd=tmp_path
    )
    assert (now.returncode, now.stdout) == (1, b"")
    assert b"halted by --halt now,fail=1: 0 done, 1 failed" in now.stderr
    (tmp_path / "started").unlink()
    soon = headrace(
        "run", "-j2", "--halt=soon,fail=1", "sh", "-c", script, "{}", "0.2", stdin=b"1\n2\n3\n", cwd=tmp_path
    )
    assert (soon.returncode, soon.stdout) == (1, b"end\n")
    assert b"halted by --halt soon,fail=1: 1 done, 1 failed" in soon.stderr


def test_a_halt_does_not_wait_for_input_that_may_never_come() -> None:
    with running("run", "--halt", "now,fail=1", "false") as run:
        assert run.process.stdin is not None
        run.process.stdin.write(b"1\n")
        run.process.stdin.flush()
        assert run.process.wait(PATIENCE) == 1


def test_a_halt_does_not_wait_for_items_that_wait_for_another_attempt(tmp_path: Path) -> None:
    options = ["-j1", "--retries", "2", "--backoff", "1000", "--halt", "soon,success=1", "--dead", "dead"]
    done = headrace("run", *options, "sh", "-c", "test $0 = b", stdin=b"a\nb\n", cwd=tmp_path)
    assert done.returncode == 0
    assert b"1 done, 1 failed, 1 retried" in done.stderr
    assert (tmp_path / "dead").read_bytes() == b"a\n"


def test_a_percentage_is_of_all_items_and_of_few_only_when_they_are_all() -> None:
    reached: list[bool] = []
    halter = Halter(HaltRule(now=False, why="fail", amount=10, percent=True))
    halter.when_reached = lambda: reached.append(True)
    halter.add_read(20)
    halter.count(failed=True)
    halter.count(failed=True)
    assert not reached  # of how many?
    halter.add_read(1)
    halter.all_were_read()
    assert not reached  # 2 of 21
    halter.count(failed=False)
    halter.count(failed=True)
    halter.count(failed=True)
    assert reached == [True]


# ---- --keep-order ----


def test_output_comes_in_the_order_of_the_input() -> None:
    done = headrace(
        "run", "-j4", "-k", "--shell", "sleep 0.0{}; echo out {}; echo err {} >&2", stdin=b"9\n5\n1\n3\n0\n"
    )
    assert done.stdout == b"".join(b"out %d\n" % number for number in (9, 5, 1, 3, 0))
    assert done.stderr == b"".join(b"err %d\n" % number for number in (9, 5, 1, 3, 0))


def test_results_of_calls_come_in_the_order_of_the_input(here: Path) -> None:
    items = b"".join(b"%d\n" % number for number in range(100_000))
    assert headrace("run", "-j4", "-k", "--call", "functions:stuck", stdin=items, cwd=here).stdout == items


def test_failures_of_calls_are_told_in_the_order_of_the_input(here: Path) -> None:
    done = headrace(
        "run", "-k", "-j2", "--csv", "--call", "functions:no_b", stdin=b"name\na\nb\nc\nd,d\ne\n", cwd=here,
        capture_output=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 1
    first, bad, third, no_record, fifth, _ = done.stdout.splitlines()
    assert [first, third, fifth] == [b"a", b"c", b"e"]
    assert bad == b"headrace: item 'b' failed: ValueError: no"
    assert no_record.startswith(b"headrace: item 'd,d' failed: ")


def test_the_order_is_kept_over_failures_and_further_attempts(tmp_path: Path) -> None:
    script = COUNTS + 'case "$0" in a) test $n -ge 3;; c) exit 9;; esac'
    options = ["-j2", "-k", "--retries", "3", "--backoff", "0.05"]
    done = headrace(
        "run", *options, "sh", "-c", script, stdin=b"a\nb\nc\nd\n", cwd=tmp_path, capture_output=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    first, second, third, failed, fourth, _ = done.stdout.splitlines()
    assert [first, second, third, fourth] == [b"try 3 of a", b"try 1 of b", b"try 3 of c", b"try 1 of d"]
    assert failed == b"headrace: item 'c' failed: exit status 9 (attempt 3)"


def test_output_of_any_size_is_held_until_its_turn() -> None:
    size = 3_000_000
    script = f"test {{}} != 1 || sleep 0.3; head -c {size} /dev/zero | tr '\\0' {{}}"
    done = headrace("run", "-j4", "-k", "--shell", script, stdin=b"1\n2\n3\n4\n")
    assert done.stdout == b"".join(bytes([48 + number]) * size for number in (1, 2, 3, 4))


@needs_proc
def test_ctrl_c_writes_what_was_held_and_was_done_in_order(tmp_path: Path) -> None:
    script = "echo $0; test $0 != 1 && test $0 != 4 && exit; touch started-$0; sleep 1000"
    with running("run", "-j3", "-k", "sh", "-c", script, cwd=tmp_path) as run:
        feed(run, b"0\n1\n2\n3\n4\n5\n6\n")
        eventually(lambda: len(list(tmp_path.glob("started-*"))) == 2)
        # Nobody is told when 6 has been done and is held: its output is written, or it is not counted.
        time.sleep(0.2)
        begun = time.monotonic()
        run.send(signal.SIGINT)
        status, out, error = run.end()
        eventually(lambda: run.family() == [])
    assert status == 130
    assert time.monotonic() - begun < 5
    written = out.split()
    assert written == sorted(written)
    assert set(written) <= {b"0", b"2", b"3", b"5", b"6"}
    assert f"ended by SIGINT: {len(written)} done".encode() in error


@needs_proc
def test_ctrl_c_ends_it_although_nobody_reads_what_was_held(tmp_path: Path) -> None:
    script = "test $0 = 1 && { touch started-1; sleep 1000; }; head -c 1000000 /dev/zero; touch started-$0"
    with running("run", "-j2", "-k", "sh", "-c", script, cwd=tmp_path) as run:
        feed(run, b"1\n2\n3\n")
        eventually(lambda: len(list(tmp_path.glob("started-*"))) == 3)
        run.send(signal.SIGINT)
        assert run.process.wait(PATIENCE) == 130
        eventually(lambda: run.family() == [])


def test_the_reader_is_never_far_ahead_of_the_first_that_has_not_ended(tmp_path: Path) -> None:
    (tmp_path / "ahead.py").write_text(
        "import os, time\n"
        "def f(item):\n"
        "    while item == '0' and not os.path.exists('go'): time.sleep(0.01)\n"
        "    open('last', 'w').write(item) if int(item) % 100 == 0 else None\n"
        "    return item\n"
    )
    items = b"".join(b"%d\n" % number for number in range(AHEAD_ITEMS * 3))
    with running("run", "-j2", "-k", "--call", "ahead:f", cwd=tmp_path, stdin=subprocess.PIPE) as run:
        threading.Thread(target=feed, args=(run, items), daemon=True).start()
        highest = AHEAD_ITEMS // 100 * 100
        eventually(lambda: (tmp_path / "last").exists() and (tmp_path / "last").read_text() == str(highest))
        (tmp_path / "go").touch()
        assert run.process.stdout is not None
        assert run.process.stdout.read() == items


def test_what_is_held_is_given_back_whole_from_memory_and_from_files() -> None:
    spill = Spill()
    short, long = b"s" * SHORT_BYTES, b"l" * (SHORT_BYTES + 1)
    held = [spill.hold([(1, short), (2, long)], str(number)) for number in range(MEMORY_BYTES // SHORT_BYTES + 9)]
    for number, each in enumerate(held):
        assert list(spill.read(each)) == [(1, short), (2, long)]
        assert each.note == str(number)
        spill.release(each)
    again = spill.hold([(1, long)], None)
    assert list(spill.read(again)) == [(1, long)]


def test_an_order_gives_back_what_nobody_waits_for_any_more_in_order() -> None:
    written: list[bytes] = []
    order = Order(when_lost=lambda error: None)

    def write(pieces: Iterable[tuple[int, bytes]], note: str | None) -> None:
        written.extend(data for _, data in pieces)

    for number in (5, 2, 1, 9, 4):
        order.deliver(number, [(1, b"%d" % number)], None, write)
    assert written == [b"1", b"2"]
    order.write_rest(write)
    assert written == [b"1", b"2", b"4", b"5", b"9"]


@given(numbers=st.permutations(range(1, 12)), sizes=st.lists(st.sampled_from([0, 1, 5000]), min_size=11, max_size=11))
def test_whatever_order_items_end_in_the_output_is_in_theirs(numbers: list[int], sizes: list[int]) -> None:
    written: list[tuple[int, bytes]] = []
    notes: list[str | None] = []
    order = Order(when_lost=lambda error: None)

    def write(pieces: Iterable[tuple[int, bytes]], note: str | None) -> None:
        written.extend(pieces)
        notes.append(note)

    for ended, number in enumerate(numbers, 1):
        order.deliver(number, [(1, b"%d," % number), (2, b"x" * sizes[number - 1])], str(number), write)
        # Nothing waits for longer than it has to.
        first_missing = min(set(range(1, 13)) - set(numbers[:ended]))
        assert notes == [str(each) for each in range(1, first_missing)]
    assert b"".join(data for place, data in written if place == 1) == b"1,2,3,4,5,6,7,8,9,10,11,"
    assert sum(len(data) for place, data in written if place == 2) == sum(sizes)


# ---- --tag ----


def test_every_line_begins_with_its_item() -> None:
    script = "printf 'one\\ntwo\\n'; printf 'unended'; echo err >&2"
    done = headrace("run", "-j1", "--tag", "sh", "-c", script, stdin=b"a b\nc\n")
    assert done.stdout == b"a b\tone\na b\ttwo\na b\tunendedc\tone\nc\ttwo\nc\tunended"
    assert done.stderr == b"a b\terr\nc\terr\n"


def test_results_of_calls_are_tagged_too(here: Path) -> None:
    done = headrace("run", "--tag", "-k", "--call", "os.path:basename", stdin=b"/a/b\nc\n")
    assert done.stdout == b"/a/b\tb\nc\tc\n"


def test_a_tag_stands_at_line_starts_wherever_output_is_cut() -> None:
    text = b"one\n\ntwo\nthree"
    for cut in range(len(text) + 1):
        pieces = [(1, text[:cut]), (2, b"other\n"), (1, text[cut:])]
        out = b"".join(data for place, data in tagged(Item(b"x", 1), pieces) if place == 1)
        assert out == b"x\tone\nx\t\nx\ttwo\nx\tthree"


# ---- --joblog ----


def test_the_joblog_has_the_columns_of_gnu_parallel(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "echo 12345; case {} in ok) ;; kill) kill -9 $$;; slow) sleep 1000;; *) exit {};; esac"
    before = time.time()
    done = headrace("run", "-j1", "--timeout", "1", "--joblog", log, "--shell", script, stdin=b"ok\n3\nkill\nslow\n")
    after = time.time()
    assert done.returncode == 1
    found = rows(log)
    assert [row[0:2] + row[4:8] for row in found] == [
        ["1", ":", "0", "6", "0", "0"],
        ["2", ":", "0", "6", "3", "0"],
        ["3", ":", "0", "6", "0", "9"],
        ["4", ":", "0", "6", "-1", "15"],
    ]
    assert all(before - 0.01 <= float(row[2]) <= after for row in found)
    assert all(re.fullmatch(r" *\d+\.\d{3}", row[3]) and len(row[3]) == 10 for row in found)
    assert float(found[3][3]) >= 1
    assert found[1][8] == script.replace("{}", "3")


def test_the_command_of_the_joblog_can_be_given_to_a_shell(tmp_path: Path) -> None:
    log = tmp_path / "log"
    headrace("run", "-0", "--joblog", log, "printf", "<%s>", stdin=b"it's\0a\nb\0")
    commands = [row[8] for row in rows(log)]
    assert commands[1] == "printf '<%s>' 'a\0b'"
    assert subprocess.run(["sh", "-c", commands[0]], capture_output=True, check=True).stdout == b"<it's>"


def test_calls_are_logged_and_an_item_that_was_tried_again_once(here: Path) -> None:
    options = ["--joblog", "log", "--retries", "3", "--backoff", "0"]
    headrace("run", *options, "--call", "functions:third", stdin=b"a\n", cwd=here)
    assert [row[4:] for row in rows(here / "log")] == [["0", "4", "0", "0", "--call functions:third a"]]


def test_a_record_that_cannot_be_written_ends_the_run() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    done = headrace("run", "--dead", "/dev/full", "false", stdin=b"1\n" * 50)
    assert done.returncode == 1
    assert b"headrace: cannot write --dead '/dev/full': No space left on device\n" in done.stderr


# ---- --results ----


def test_results_are_kept_by_number_whatever_the_items_are(tmp_path: Path) -> None:
    items = [b"a/b", b"..", b"", b"x" * 5000, b"a/b", b"\xff\n"]
    script = 'printf \'out %s\' "$0"; echo err >&2; case "$0" in ..) exit 3;; esac'
    done = headrace("run", "-0", "-k", "--results", "r", "sh", "-c", script, stdin=b"\0".join(items), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == b"".join(b"out " + item for item in items)  # it is printed as well
    for number, item in enumerate(items, 1):
        folder = tmp_path / "r" / str(number)
        assert sorted(os.listdir(folder)) == ["item", "status", "stderr", "stdout"]
        assert (folder / "item").read_bytes() == item
        assert (folder / "stdout").read_bytes() == b"out " + item
        assert (folder / "stderr").read_bytes() == b"err\n"
        assert (folder / "status").read_text() == ("3\n" if item == b".." else "0\n")


def test_results_tell_a_signal_and_a_timeout(tmp_path: Path) -> None:
    script = "case {} in kill) kill -9 $$;; *) sleep 1000;; esac"
    headrace("run", "-j2", "--timeout=1", "--results", "r", "--shell", script, stdin=b"kill\nslow\n", cwd=tmp_path)
    assert [(tmp_path / "r" / number / "status").read_text() for number in "12"] == ["-9\n", "over time\n"]


def test_results_are_apart_where_the_output_goes_to_one_place(tmp_path: Path) -> None:
    done = headrace(
        "run", "--results", "r", "--shell", "echo o {}; echo e >&2", stdin=b"1\n", cwd=tmp_path,
        capture_output=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.stdout == b"o 1\ne\n"
    assert (tmp_path / "r/1/stdout").read_bytes() == b"o 1\n"
    assert (tmp_path / "r/1/stderr").read_bytes() == b"e\n"


def test_results_of_another_run_are_not_mixed_with(tmp_path: Path) -> None:
    assert headrace("run", "--results", "r", "echo", stdin=b"1\n", cwd=tmp_path).returncode == 0
    done = headrace("run", "--results", "r", "touch", stdin=b"made\n", cwd=tmp_path)
    assert done.returncode == 2
    assert b"--results 'r': there is something in it already. Name a new folder, or an empty one" in done.stderr
    assert not (tmp_path / "made").exists()


# ---- --rate, --delay ----


@pytest.mark.parametrize(
    "options", [["--rate", "10/s"], ["--rate", "600/m"], ["--delay", "100ms"], ["--rate", "99", "--delay", "0.1"]]
)
def test_items_are_started_some_time_apart(options: list[str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    items = b"".join(b"%d\n" % number for number in range(10))
    before = time.time()
    assert headrace("run", "-j4", *options, "--joblog", log, "true", stdin=items).returncode == 0
    # From before the first one: whoever comes late makes none of the others earlier.
    assert max(float(row[2]) for row in rows(log)) - before >= 0.9 - LATE_SECONDS - 0.001  # the log's last digit


def test_a_pace_makes_up_for_little() -> None:
    pace = Pace(rate=100.0, delay=None)
    pace.wait()
    time.sleep(0.1)  # whatever time was not used is lost
    since = time.monotonic()
    for _ in range(11):
        pace.wait()
    assert time.monotonic() - since >= 0.1 - LATE_SECONDS - 1e-6
    pace.stop()
    with pytest.raises(RunEnded):
        pace.wait()


@needs_proc
def test_ctrl_c_while_items_wait_for_their_time_ends_it_at_once(tmp_path: Path) -> None:
    with running("run", "-j4", "--delay", "1000", "touch", cwd=tmp_path) as run:
        feed(run, b"a\nb\nc\nd\ne\n")
        eventually(lambda: list(tmp_path.iterdir()))
        run.send(signal.SIGINT)
        status, _, error = run.end()
        eventually(lambda: run.family() == [])
    assert status == 130
    assert error.startswith(b"headrace: ended by SIGINT: ")
    assert len(list(tmp_path.iterdir())) == 1


# ---- --dead ----


def test_failed_items_can_be_the_input_of_another_run(tmp_path: Path) -> None:
    items = [b"good", b"bad\n\xff", b"", b"bad  x"]
    script = 'case "$0" in bad*) exit 1;; esac'
    done = headrace("run", "-0", "--dead", "dead", "sh", "-c", script, stdin=b"\0".join(items), cwd=tmp_path)
    assert done.returncode == 1
    dead = (tmp_path / "dead").read_bytes()
    assert sorted(dead.split(b"\0")) == [b"", b"bad\n\xff", b"bad  x"]
    again = headrace("run", "-0", "-j1", "--input", "dead", "--dead", "dead2", "false", stdin=None, cwd=tmp_path)
    assert again.returncode == 1
    assert (tmp_path / "dead2").read_bytes() == dead
    # It is added to, and nothing is there where nothing failed.
    headrace("run", "-0", "--dead", "dead", "false", stdin=b"more", cwd=tmp_path)
    assert (tmp_path / "dead").read_bytes() == dead + b"more\0"
    headrace("run", "--dead", "none", "true", stdin=b"1\n", cwd=tmp_path)
    assert (tmp_path / "none").read_bytes() == b""


def test_items_that_ctrl_c_interrupted_or_kept_from_starting_have_not_failed(tmp_path: Path) -> None:
    script = "test $0 = 1 && exit 1; touch started; sleep 1000"
    with running("run", "-j1", "--dead", "dead", "sh", "-c", script, cwd=tmp_path) as run:
        feed(run, b"1\n2\n3\n")
        eventually(lambda: (tmp_path / "started").exists())
        run.send(signal.SIGINT)
        status, _, _ = run.end()
    assert status == 130
    assert (tmp_path / "dead").read_bytes() == b"1\n"


# ---- all of it together ----


@needs_proc
@pytest.mark.parametrize(
    "attempt", [*range(8), *(pytest.param(each, marks=pytest.mark.stress) for each in range(8, 108))]
)
def test_ctrl_c_at_any_moment_leaves_true_records_and_nothing_behind(tmp_path: Path, attempt: int) -> None:
    when = random.Random(attempt)
    script = "echo $0 >> begun; sleep 0.0$(($0 % 7)) & sleep 0.0$(($0 % 5)); wait; echo $0; test $(($0 % 3)) != 0"
    options = ["-j4", "--retries", "2", "--backoff", "0.05", "--timeout", "30", "--joblog", "log", "--dead", "dead"]
    order = ["-k"] if attempt % 2 else []
    with running("run", *options, *order, "--results", "results", "sh", "-c", script, cwd=tmp_path) as run:
        feed(run, b"".join(b"%d\n" % number for number in range(1000)))
        eventually((tmp_path / "begun").exists)
        time.sleep(when.uniform(0, 0.4))  # any moment is right
        run.send(signal.SIGINT)
        status, out, error = run.end()
        eventually(lambda: run.family() == [])
    assert (status, b"Traceback" in error) == (130, False), error
    told = re.search(rb"ended by SIGINT: ([\d,]+) done(?:, ([\d,]+) failed)?", error)
    assert told
    done, failed = (int((number or b"0").replace(b",", b"")) for number in told.groups())
    ended = rows(tmp_path / "log")
    assert [row[6] for row in ended].count("0") == done
    assert len({row[0] for row in ended}) == len(ended) == done + failed
    assert sorted(int(row[0]) - 1 for row in ended if row[6] != "0") == sorted(
        map(int, (tmp_path / "dead").read_bytes().split())
    )
    # Of an item that ended as the signal came all may be there but the status.
    assert {path.parent.name for path in tmp_path.glob("results/*/status")} >= {row[0] for row in ended}
    succeeded = [int(row[0]) - 1 for row in ended if row[6] == "0"]
    written = [int(line) for line in out.split()]
    assert set(succeeded) <= set(written)
    assert len(set(written)) == len(written)
    if order:
        assert written == sorted(written)


@needs_proc
def test_ctrl_c_with_eight_busy_commands_and_every_policy_ends_within_a_second(tmp_path: Path) -> None:
    script = "touch started-$0; test $0 = 0 && exit 1; sleep 1000 & sleep 1000"
    options = ["--retries", "9", "--backoff", "500", "--timeout", "500", "--joblog", "log", "-k", "--tag"]
    with running("run", "-j8", *options, "--dead", "dead", "sh", "-c", script, cwd=tmp_path) as run:
        feed(run, b"".join(b"%d\n" % number for number in range(100)))
        eventually(lambda: len(list(tmp_path.glob("started-*"))) == 9)
        begun = time.monotonic()
        run.send(signal.SIGINT)
        status, _, _ = run.end()
        seconds = time.monotonic() - begun
        eventually(lambda: run.family() == [])
    assert (status, (tmp_path / "dead").read_bytes()) == (130, b"0\n")
    # A second is promised. A machine that is busy with other tests may take longer, but none hangs.
    assert seconds < 5


# ---- what is refused ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--retries", "0"], b"'0' is no count: write a whole number, 1 or more"),
        (["--retries", "many"], b"'many' is no count: write a whole number, 1 or more"),
        (["--backoff", "5"], b"--backoff is the wait before another attempt, and there is none: --retries 2 or more"),
        (["--backoff", "-1"], b"'-1' is no duration: write seconds (1.5), or 200ms, 10s, 5m, 2h, 1d"),
        (["--timeout", "0"], b"'0' is no duration"),
        (["--timeout", "5x"], b"'5x' is no duration"),
        (["--rate", "5/x"], b"'5/x' is no rate: write how many in what time, as 10/s, 90/m, 500/h or 1000/d"),
        (["--rate", "0"], b"'0' is no rate"),
        (["--halt", "now"], b"'now' is no rule: write now or soon, then fail, success or done, and how many"),
        (["--halt", "later,fail=1"], b"'later,fail=1' is no rule"),
        (["--halt", "now,fail=0"], b"'now,fail=0' is no rule"),
        (["--halt", "now,fail=101%"], b"'now,fail=101%' is no rule"),
        (["--joblog", "no/such/file"], b"--joblog 'no/such/file': No such file or directory"),
        (["--dead", "no/such/file"], b"--dead 'no/such/file': No such file or directory"),
        (["--results", "/dev/null"], b"--results '/dev/null': File exists"),
        (["--input", "items", "--dead", "items"], b"--dead 'items' is the input too, which would be spoilt."),
        (["--input", "items", "--joblog", "items"], b"--joblog 'items' is the input too, which would be spoilt."),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    tmp_path: Path, options: list[str], message: bytes
) -> None:
    (tmp_path / "items").write_text("1\n")
    done = headrace("run", *options, "touch", "made-{}", stdin=b"1\n", cwd=tmp_path)
    assert done.returncode == 2
    assert message in b" ".join(done.stderr.split())
    assert not (tmp_path / "made-1").exists()
    assert (tmp_path / "items").read_text() == "1\n"


def test_durations_and_rates_have_units() -> None:
    for text, seconds in [("1.5", 1.5), ("200ms", 0.2), ("10s", 10.0), ("5m", 300.0), ("2h", 7200.0), ("1d", 86400.0)]:
        assert DURATION.convert(text, None, None) == pytest.approx(seconds)
    for text, rate in [("10/s", 10.0), ("10", 10.0), ("90/m", 1.5), ("3600/h", 1.0), ("0.5/s", 0.5)]:
        assert RATE.convert(text, None, None) == pytest.approx(rate)
