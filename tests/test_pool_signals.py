"""A pool that is interrupted, at whatever moment: no item is lost, none is done twice, and the program ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from conftest import scaled
from consumer_support import PATIENCE, eventually, main_thread_sleeps

if TYPE_CHECKING:
    from pathlib import Path
    from types import SimpleNamespace

    from conftest import Child

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no such signals")

KINDS = ["Queue", "LifoQueue", "PriorityQueue"]


# ---- at random moments ----


def interrupted(kind: str, rounds: int, seed: int) -> None:  # noqa: C901 - a whole program
    """Pools of all sorts, each struck by one or two signals that another thread sends at a random moment."""
    import gc
    import os
    import random
    import signal
    import sys
    import threading
    import time

    import headrace
    from pool_support import threads, whereabouts

    chance = random.Random(seed)
    sys.setswitchinterval(1e-5)
    gc.disable()  # what a signal raises in a finalizer is lost, with pools as without
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    class Run:
        """One pool, and what becomes of it. The item 0 occupies a consumer until all signals were sent."""

        def __init__(self) -> None:
            self.numbers = chance.choices([signal.SIGINT, signal.SIGTERM], k=chance.choice([1, 2]))
            self.leaves = chance.random() < 0.5
            self.pauses = [chance.choice([0, 0.002]) * chance.random() for _ in self.numbers]
            self.options = dict(
                chance.choice(
                    [
                        {},
                        {"on_error": "dead"},
                        {"timeout": 60.0},
                        {"key": lambda item: item % 3, "per_key": 2},
                        {"rate": 5000.0},
                        {"rate": 5000.0, "key": lambda item: item % 3, "timeout": 60.0},
                        {"listeners": [lambda event: None]},
                    ]
                )
            )
            if "on_error" not in self.options:
                self.options["retry"] = headrace.Retry(attempts=3, delay=chance.choice([0.0, 0.001]))
            self.queue = getattr(headrace, kind)(chance.choice([0, 0, 3]))
            self.begun, self.sent = threading.Event(), threading.Event()
            self.put = 0
            self.done: list[int] = []
            self.tried: set[int] = set()

        def handle(self, item: int) -> None:
            if item == 0:
                self.begun.set()
                self.sent.wait(60)
            elif item % 7 == 0 and item not in self.tried:
                self.tried.add(item)
                raise ValueError(item)
            elif item % 20 == 0:
                time.sleep(0.001)
            self.done.append(item)

        def send(self) -> None:
            assert self.begun.wait(60)
            for number, pause in zip(self.numbers, self.pauses, strict=True):
                time.sleep(pause)
                os.kill(os.getpid(), number)
            self.sent.set()

        def block(self) -> None:
            while not (self.leaves and self.put > 60):
                self.queue.put(self.put)
                self.put += 1
                if self.put == 1:
                    # Before it lies under others. Not begun.wait(), which an interrupt may break in Python 3.11.
                    while not self.begun.is_set():
                        time.sleep(0.0001)

        def check(self) -> None:
            signal_handlers = {number: signal.getsignal(number) for number in usual}
            assert signal_handlers == usual, signal_handlers
            assert "put" not in vars(self.queue)
            where = whereabouts(self.queue, self.done)
            # The put that was interrupted may have been made.
            missing = set(range(self.put)) - set(where)
            assert not missing, ("lost", missing, self.numbers, self.options)
            assert set(where) <= set(range(self.put + 1)), where
            twice = {item for item, count in where.items() if count > 1}
            assert len(self.done) == len(set(self.done)), ("done twice", twice, self.numbers, self.options)
            if len(self.numbers) == 1:
                assert not twice, ("twice", twice, self.options)
            else:  # what was given up at the second signal is back in the queue, whatever its handler still did
                assert len(twice) <= 3, twice
            # The twin may count an item whose put was interrupted, and which is not in.
            assert self.queue.unfinished_tasks <= (headrace.implementation == "python")

        def run(self) -> None:
            sender = threading.Thread(target=self.send)
            sender.start()
            consumers = chance.choice([1, 2, 3])
            outcome: BaseException | None = None
            try:
                with headrace.ConsumerPool(self.queue, self.handle, consumers, grace=60, **self.options) as pool:
                    self.block()
            except BaseException as error:
                outcome = error
            # Of two that are pending at the same time Python handles that with the lower number first.
            kinds = {KeyboardInterrupt if number == signal.SIGINT else SystemExit for number in self.numbers}
            assert type(outcome) in kinds, (outcome, self.numbers)
            assert not isinstance(outcome, SystemExit) or outcome.code == 143
            sender.join()
            assert pool.running == 0
            deadline = time.monotonic() + 30
            while any(thread.name.startswith("ConsumerPool") for thread in threads()):
                assert time.monotonic() < deadline, "a consumer stays"
                time.sleep(0.0005)
            self.check()

    for _ in range(rounds):
        Run().run()
        gc.collect()


@pytest.mark.parametrize("kind", KINDS)
def test_signals_at_random_moments_lose_no_item_and_do_none_twice(child: Child, kind: str) -> None:
    child.run(interrupted, kind, scaled(60), os.getpid(), seconds=30)


@pytest.mark.stress
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(10))
def test_signals_at_very_many_moments_lose_no_item_and_do_none_twice(child: Child, kind: str, seed: int) -> None:
    child.run(interrupted, kind, scaled(2000), seed, seconds=300)


def interrupted_at_each_line(way: str) -> None:  # noqa: C901 - a whole program
    """Ctrl-C at the n-th line that the main thread executes in the pool's modules, for each n."""
    import os
    import signal
    import sys
    import threading
    import time

    import headrace
    import headrace.pool
    from pool_support import whereabouts

    folder = os.path.dirname(headrace.pool.__file__)

    class Strike:
        """Sends the signal at the n-th step. Calls are steps too: an interrupt may come before the first line."""

        def __init__(self, at: int) -> None:
            self.left = at

        def __call__(self, frame: object, event: str, argument: object) -> object:
            if os.path.dirname(frame.f_code.co_filename) != folder:  # type: ignore[attr-defined]
                return None
            if event in ("call", "line"):
                self.left -= 1
                if not self.left:
                    sys.settrace(None)
                    signal.raise_signal(signal.SIGINT)
            return self

    def attempt(at: int) -> bool:
        """Whether there was an at-th step. All must be in order after it."""
        queue = headrace.Queue()
        queue.put_many(range(4))
        put, done, raised = 4, [], False

        def handler(item: int) -> None:
            if way == "failing" and item == 2:
                raise ValueError
            done.append(item)

        options = {"limited": {"rate": 1e5, "key": lambda item: 0, "timeout": 60}}.get(way, {})
        if way == "listened to":
            options = {"listeners": [lambda event: None]}
        sys.settrace(Strike(at))
        try:
            with headrace.ConsumerPool(queue, handler, 2, grace=20, **options) as pool:
                if way == "resized":
                    pool.resize(3)
                    pool.resize(1)
                if way == "raising":
                    raise LookupError
                if not queue.is_shutdown:
                    queue.put(put)
                    put += 1
        except KeyboardInterrupt:
            raised = True
        except LookupError:
            assert way == "raising"
        except (ExceptionGroup, headrace.ShutDown):
            assert way == "failing"
        finally:
            sys.settrace(None)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, at
        assert "put" not in vars(queue), at
        deadline = time.monotonic() + 30
        while any(thread.name.startswith("ConsumerPool") for thread in threading.enumerate()):
            assert time.monotonic() < deadline, ("a consumer stays", at)
            time.sleep(0.0005)
        where = whereabouts(queue, done)
        assert all(where[item] == 1 for item in range(put)), (at, put, where)
        assert where.keys() <= set(range(put + 1)), (at, put, where)
        return raised

    at = 1
    missed = 0
    while missed < 20:  # how many steps there are varies by a few: waits that end sooner or later
        missed = 0 if attempt(at) else missed + 1
        at += 1
    assert at > 150, at


@pytest.mark.skipif(sys.gettrace() is not None, reason="another tracer is at work")
@pytest.mark.parametrize("way", ["plain", "limited", "listened to", "resized", "failing", "raising"])
def test_ctrl_c_at_any_line_leaves_all_in_order(child: Child, way: str) -> None:
    child.run(interrupted_at_each_line, way, seconds=40)


# ---- programs ----

PROGRAM = """
import os, signal, sys, threading, time
import headrace

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

queue = headrace.Queue()
busy = threading.Barrier(CONSUMERS + 1)
done = []

released = threading.Event()

def wait_for_release():
    if os.read(0, 1):  # not the end of the input
        released.set()

threading.Thread(target=wait_for_release, daemon=True).start()

def handle(item):
    if item < CONSUMERS:
        busy.wait(60)
        released.wait(SECONDS)
    done.append(item)

def work():
    try:
        with headrace.ConsumerPool(queue, handle, CONSUMERS, grace=GRACE, name="Pool") as pool:
            queue.put_many(range(20))
            busy.wait(60)
            say("busy")
            BLOCK
    finally:
        say("left", len(done), queue.qsize(), queue.unfinished_tasks, *sorted(done)[:8])

PREPARE
work()
say("after")
"""


def program(
    *,
    consumers: int = 8,
    seconds: float = 1000,
    grace: float = 1000,
    block: str = "time.sleep(1000)",
    prepare: str = "",
) -> str:
    text = PROGRAM
    for name, value in {"CONSUMERS": consumers, "SECONDS": seconds, "GRACE": grace}.items():
        text = text.replace(name, str(value))
    return text.replace("BLOCK", block).replace("PREPARE", textwrap.dedent(prepare))


class Program:
    """A program that works with a pool, in a process of its own."""

    def __init__(self, implementation: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "HEADRACE_IMPL": implementation},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_until(self, word: str) -> None:
        assert self.process.stdout is not None
        while not self.said or not self.said[-1].startswith(word):
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.said.append(line.rstrip("\n"))

    def send(self, number: int) -> None:
        """Send a signal, and wait until it has been dealt with."""
        # Python does not notice a signal that comes after it looked for signals and before it went to sleep.
        eventually(lambda: main_thread_sleeps(self.process.pid))
        self.process.send_signal(number)
        eventually(lambda: main_thread_sleeps(self.process.pid))

    def release(self) -> None:
        """Let the handlers end."""
        assert self.process.stdin is not None
        self.process.stdin.write("go on\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Exit status, and what it has written to its standard error."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        self.said += output.splitlines()
        return self.process.returncode, errors

    def left(self) -> list[int]:
        (line,) = [line for line in self.said if line.startswith("left")]
        return [int(word) for word in line.split()[1:]]


# Python ends itself with SIGINT when KeyboardInterrupt goes out, as the shell expects: it makes 130 of that.
STATUSES = [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)]
LEAVING = "pass"  # the signal comes while the pool is being left


@pytest.mark.parametrize(("number", "status"), STATUSES)
@pytest.mark.parametrize(
    ("way", "block"), [("-c", "time.sleep(1000)"), ("-c", LEAVING), ("-m", LEAVING), ("file", "time.sleep(1000)")]
)
def test_the_first_signal_lets_running_items_end_and_gives_back_the_rest(
    implementation: SimpleNamespace, tmp_path: Path, number: signal.Signals, status: int, block: str, way: str
) -> None:
    text = program(consumers=3, block=block)
    (tmp_path / "some_program.py").write_text(text)
    arguments = {"-c": ["-c", text], "file": [str(tmp_path / "some_program.py")]}.get(way)
    if arguments is None:
        source = f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); "
        arguments = ["-c", source + "runpy.run_module('some_program', run_name='__main__')"]
    with Program(implementation.name, *arguments) as running:
        running.wait_until("busy")
        running.send(number)
        running.release()
        ended, errors = running.end()
    done, waiting, unfinished, *first = running.left()
    assert ended == status, errors
    assert "after" not in running.said
    assert (done, waiting, unfinished, first) == (3, 17, 17, [0, 1, 2])
    assert errors.count("Traceback") == (1 if number == signal.SIGINT else 0)
    assert not errors or errors.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize(("number", "status"), STATUSES)
@pytest.mark.parametrize("block", ["time.sleep(1000)", LEAVING])
def test_the_second_signal_ends_a_program_whose_handlers_would_take_long(
    implementation: SimpleNamespace, number: signal.Signals, status: int, block: str
) -> None:
    with Program(implementation.name, "-c", program(block=block)) as running:
        running.wait_until("busy")
        running.send(number)
        begun = monotonic()
        running.send(number)
        ended, errors = running.end()
        took = monotonic() - begun
    done, waiting, unfinished, *_ = running.left()
    assert ended == status, errors
    assert (done, waiting, unfinished) == (0, 20, 20)
    assert took < 5, took  # 0.1 s on a machine that has time


@pytest.mark.parametrize(("number", "status"), STATUSES)
def test_when_the_grace_is_over_the_program_ends(
    implementation: SimpleNamespace, number: signal.Signals, status: int
) -> None:
    with Program(implementation.name, "-c", program(grace=0.05)) as running:
        running.wait_until("busy")
        running.send(number)
        ended, errors = running.end()
    assert ended == status, errors
    assert running.left() == [0, 20, 20]


OWN_HANDLER = """
def own(number, frame):
    say("own")
    POOL

signal.signal(signal.SIGTERM, own)
"""


def test_a_handler_of_the_program_s_own_stays(implementation: SimpleNamespace) -> None:
    block = "assert signal.getsignal(signal.SIGTERM) is own"
    text = program(consumers=3, block=block, prepare=OWN_HANDLER.replace("POOL", "pass"))
    with Program(implementation.name, "-c", text) as running:
        running.wait_until("busy")
        running.send(signal.SIGTERM)
        running.release()
        ended, errors = running.end()
    assert (ended, errors) == (0, "")
    assert "own" in running.said
    assert "after" in running.said
    assert running.left()[:3] == [20, 0, 0]


def test_a_handler_of_the_program_s_own_may_stop_the_pool(implementation: SimpleNamespace) -> None:
    prepare = OWN_HANDLER.replace("POOL", "pool.stop()")
    text = program(consumers=3, block=LEAVING, prepare=prepare)
    text = text.replace("def work():\n", "def work():\n    global pool\n")
    with Program(implementation.name, "-c", text) as running:
        running.wait_until("busy")
        running.send(signal.SIGTERM)
        running.release()
        ended, errors = running.end()
    assert (ended, errors) == (0, "")
    assert running.left()[:3] == [3, 17, 17]


def test_ctrl_c_that_the_program_ignores_stays_ignored(implementation: SimpleNamespace) -> None:
    prepare = "signal.signal(signal.SIGINT, signal.SIG_IGN)"  # what a shell does to background commands
    with Program(implementation.name, "-c", program(consumers=3, block=LEAVING, prepare=prepare)) as running:
        running.wait_until("busy")
        running.send(signal.SIGINT)
        running.release()
        ended, errors = running.end()
    assert (ended, errors) == (0, "")
    assert running.left()[:3] == [20, 0, 0]


def test_without_signals_ctrl_c_is_python_s_own_and_stops_the_pool_too(implementation: SimpleNamespace) -> None:
    text = program(consumers=3, block=LEAVING).replace("grace=", "signals=False, grace=")
    with Program(implementation.name, "-c", text) as running:
        running.wait_until("busy")
        running.send(signal.SIGINT)
        running.release()
        ended, errors = running.end()
    assert ended == -signal.SIGINT, errors
    assert running.left()[:3] == [3, 17, 17]


def test_a_pool_in_another_thread_leaves_signals_to_the_program(implementation: SimpleNamespace) -> None:
    prepare = """
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while not busy.broken and len(done) < 20:
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
        time.sleep(0.001)
    thread.join()
    sys.exit(7)
    """
    text = program(consumers=3, seconds=0.05, block=LEAVING, prepare=prepare)
    with Program(implementation.name, "-c", text) as running:
        ended, errors = running.end()
    assert (ended, errors) == (7, "")
    assert running.left()[:3] == [20, 0, 0]


CATCHES = """try:
                say("tries")
                time.sleep(1000)
            except KeyboardInterrupt:
                say("caught")"""


def test_ctrl_c_that_the_block_has_caught_does_not_come_again(implementation: SimpleNamespace) -> None:
    with Program(implementation.name, "-c", program(consumers=3, block=CATCHES)) as running:
        running.wait_until("tries")
        running.send(signal.SIGINT)
        running.release()
        ended, errors = running.end()
    assert (ended, errors) == (0, "")
    assert running.said[-1] == "after"
    assert running.left()[:3] == [3, 17, 17]


def test_ctrl_c_behind_one_that_the_block_has_caught_comes_out(implementation: SimpleNamespace) -> None:
    with Program(implementation.name, "-c", program(consumers=3, block=CATCHES)) as running:
        running.wait_until("tries")
        running.send(signal.SIGINT)
        running.wait_until("caught")
        running.send(signal.SIGINT)
        ended, errors = running.end()
    assert ended == -signal.SIGINT, errors
    assert running.left() == [0, 20, 20]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_child_that_a_handler_has_forked_ends_at_its_signals(child: Child, number: signal.Signals) -> None:
    child.run(forked_child_is_killed, int(number))


def forked_child_is_killed(number: int) -> None:
    """While the main thread waits for a pool, one of its handlers forks a child, and sends it a signal."""
    import os
    import signal
    import time

    import headrace

    ready, told = os.pipe()
    statuses: list[int] = []

    def handler(item: int) -> None:
        child = os.fork()
        if child == 0:
            try:
                os.write(told, b"x")
                while True:
                    time.sleep(0.01)
            except KeyboardInterrupt:
                os._exit(130)
            finally:
                os._exit(1)
        os.read(ready, 1)
        ended = 0
        while not ended:
            # Again and again: CPython 3.13 may overlook a signal in a child that was not forked by the main thread.
            os.kill(child, number)
            time.sleep(0.01)
            ended, status = os.waitpid(child, os.WNOHANG)
        statuses.append(os.waitstatus_to_exitcode(status))

    queue = headrace.Queue()
    with headrace.ConsumerPool(queue, handler, consumers=1):
        queue.put(1)
    assert statuses == [130 if number == signal.SIGINT else -signal.SIGTERM], statuses


def chained_pools(number: int) -> None:
    """A signal while the handlers of one pool are blocked in puts into the queue of another."""
    import os
    import signal
    import time

    import headrace

    first, second = headrace.Queue(5), headrace.Queue(2)
    put = 0
    done = []

    def store(item: int) -> None:
        if len(done) == 10:
            os.kill(os.getpid(), number)
        time.sleep(0.01)
        done.append(item)

    raised = None
    try:
        with (
            headrace.ConsumerPool(second, store, consumers=1, grace=30),
            headrace.ConsumerPool(first, second.put, grace=30),
        ):
            for item in range(1000):
                first.put(item)
                put += 1
    except (KeyboardInterrupt, SystemExit, headrace.ShutDown) as error:
        raised = type(error)
    assert raised is (KeyboardInterrupt if number == signal.SIGINT else SystemExit), raised
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    left = [letter.item for queue in (first, second) for letter in queue.dead]
    for queue in (first, second):
        left += queue.get_many(1000) if queue.qsize() else []
    assert sorted(done + left) in (list(range(put)), list(range(put + 1))), (put, done, left)
    print("all there")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_pools_that_feed_one_another_and_loses_nothing(child: Child, number: int) -> None:
    assert child.run(chained_pools, int(number), seconds=15) == "all there\n"
