"""Signals: handlers that use the queue they strike in, and Ctrl-C at any point of a call."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from conftest import scaled

if TYPE_CHECKING:
    from types import SimpleNamespace

    from conftest import Child

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this platform has no interval timers")

KINDS = ["Queue", "LifoQueue", "PriorityQueue"]


# -- handlers that use the queue -------------------------------------------------------------------------------------


def handler_puts(kind: str, opened: bool, rounds: int) -> None:
    """A storm of signals whose handler puts, while the same thread is in put, get and all the rest."""
    import itertools
    import signal

    import headrace

    queue = getattr(headrace, kind)()
    if opened:
        assert queue.mutex
    numbers = itertools.count()
    put_by_handler = []

    def handler(signum: int, frame: object) -> None:
        number = next(numbers)
        queue.put(number)
        put_by_handler.append(number)

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.00005, 0.00005)
    put, taken = [], []
    for _ in range(rounds):
        batch = [next(numbers) for _ in range(4)]
        queue.put(batch[0])
        queue.put_many(batch[1:])
        put += batch
        taken.append(queue.get())
        queue.qsize()
        queue.stats()
        taken += queue.get_many(3)
        queue.task_done()
    signal.setitimer(signal.ITIMER_REAL, 0)
    settled = rounds
    while not queue.empty():
        taken.append(queue.get())
    assert len(put_by_handler) > 10, "there was no storm"
    assert sorted(taken) == sorted(put + put_by_handler)
    for _ in range(len(taken) - settled):
        queue.task_done()
    queue.join(timeout=0)


@pytest.mark.parametrize("opened", [False, True], ids=["", "looked into"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_may_put_while_its_thread_is_inside_the_queue(child: Child, kind: str, opened: bool) -> None:
    child.run(handler_puts, kind, opened, scaled(10_000))


def handler_takes(kind: str, rounds: int) -> None:
    """A storm whose handler gets, looks, settles, puts batches, without blocking."""
    import signal

    import headrace

    queue = getattr(headrace, kind)(20)
    taken_by_handler: list[int] = []
    put_by_handler = 0
    depth = deepest = runs = 0

    def handler(signum: int, frame: object) -> None:
        """Handlers strike one another too: what two calls say compares only if no other handler ran in between."""
        nonlocal put_by_handler, depth, deepest, runs
        runs += 1
        depth += 1
        deepest = max(deepest, depth)
        try:
            taken_by_handler.append(queue.get_nowait())
            taken_by_handler.extend(queue.get_many(2, block=False))
        except headrace.Empty:
            pass
        try:
            queue.put_many([-1, -1], block=False)
            put_by_handler += 2
        except headrace.Full as full:
            put_by_handler += full.put_count
        # A put that strikes another between its look and its insertion can make it one too many, and so on inwards.
        assert queue.qsize() <= 20 + deepest
        runs_before = runs
        waiting, length = queue.stats().waiting, len(queue)
        assert waiting == length or runs != runs_before
        queue.full()
        queue.empty()
        depth -= 1

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.00005, 0.00005)
    put = 0
    taken = []
    for number in range(rounds):
        try:
            queue.put(number, timeout=0)
            put += 1
        except headrace.Full:
            pass
        try:
            taken.append(queue.get(timeout=0))
        except headrace.Empty:
            pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    taken += queue.get_many(100) if queue.qsize() else []
    assert len(taken) + len(taken_by_handler) == put + put_by_handler
    numbers = [item for item in taken + taken_by_handler if item >= 0]
    assert len(numbers) == len(set(numbers)) == put
    assert queue.stats().unfinished == put + put_by_handler


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_may_take_while_its_thread_is_inside_the_queue(
    child: Child, implementation: SimpleNamespace, kind: str
) -> None:
    if implementation.name != "c":
        pytest.skip("the twin promises that handlers may put, not yet that they may take: see docs/guarantees.md")
    child.run(handler_takes, kind, scaled(30_000))


def handlers_wake_their_own_thread(kind: str, opened: bool) -> None:
    """The only thread there is blocks; what it waits for comes from a signal handler."""
    import signal

    import headrace

    queue = getattr(headrace, kind)(1)
    if opened:
        assert queue.mutex

    def after_a_signal(action, blocking):
        def handler(signum, frame):
            action()

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        return blocking()

    for timeout in (None, 30):
        assert after_a_signal(lambda: queue.put(1), lambda timeout=timeout: queue.get(timeout=timeout)) == 1
        queue.put(2)
        after_a_signal(queue.get, lambda timeout=timeout: queue.put(3, timeout=timeout))
        assert queue.get() == 3
        assert after_a_signal(
            lambda: queue.put_many([4]), lambda timeout=timeout: queue.get_many(5, timeout=timeout)
        ) == [4]
        queue.put(5)
        after_a_signal(queue.clear, lambda timeout=timeout: queue.put_many([6], timeout=timeout))
        assert queue.get() == 6
        queue.unfinished_tasks = 1
        after_a_signal(queue.task_done, lambda timeout=timeout: queue.join(timeout=timeout))
    try:
        after_a_signal(queue.shutdown, queue.get)
    except headrace.ShutDown:
        return
    raise AssertionError("the shutdown was not seen")


@pytest.mark.parametrize("opened", [False, True], ids=["", "looked into"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_may_give_its_thread_what_that_waits_for(child: Child, kind: str, opened: bool) -> None:
    child.run(handlers_wake_their_own_thread, kind, opened)


def signals_do_not_shorten_or_lengthen_a_timeout() -> None:
    """A storm of signals during a timed wait: it neither ends too early nor starts again each time."""
    import signal
    import time

    import headrace

    struck = []
    signal.signal(signal.SIGALRM, lambda *_: struck.append(1))
    queue, full = headrace.Queue(), headrace.Queue(1)
    full.put(1)
    queue.unfinished_tasks = 1
    simple = headrace.SimpleQueue()
    waits = {
        headrace.Empty: [
            lambda: queue.get(timeout=0.1),
            lambda: queue.get_many(3, timeout=0.1),
            lambda: simple.get(timeout=0.1),
        ],
        headrace.Full: [lambda: full.put(2, timeout=0.1), lambda: full.put_many([2], timeout=0.1)],
        TimeoutError: [lambda: queue.join(timeout=0.1)],
    }
    for error, calls in waits.items():
        for call in calls:
            struck.clear()
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            start = time.monotonic()
            try:
                call()
            except error:
                pass
            else:
                raise AssertionError(f"{error.__name__} was not raised")
            passed = time.monotonic() - start
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert passed >= 0.1
            assert passed < 20
            assert len(struck) > 2


def test_signals_do_not_change_a_timeout(child: Child) -> None:
    child.run(signals_do_not_shorten_or_lengthen_a_timeout)


def handler_raises(kind: str, opened: bool) -> None:
    """An exception of a handler's own ends a blocking call, whatever the call and the exception."""
    import signal

    import headrace
    from headrace.testing.threads import Call, until_blocked

    class Strike(Exception):
        pass

    def handler(signum, frame):
        raise Strike

    signal.signal(signal.SIGALRM, handler)
    queue, full = getattr(headrace, kind)(), getattr(headrace, kind)(1)
    if opened:
        assert queue.mutex
        assert full.mutex
    full.put(0)
    queue.unfinished_tasks = 1

    def iterate():
        for _ in queue:
            pass

    def enter():
        with queue.item():
            pass

    for call in (
        queue.get,
        lambda: queue.get(timeout=30),
        lambda: queue.get_many(2),
        iterate,
        enter,
        queue.join,
        lambda: queue.join(timeout=30),
        lambda: full.put(1),
        lambda: full.put(1, timeout=30),
        lambda: full.put_many([1, 2]),
        lambda: full.put_many(iter([1, 2])),
        headrace.SimpleQueue().get,
    ):
        signal.setitimer(signal.ITIMER_REAL, 0.003)
        try:
            call()
        except Strike:
            continue
        raise AssertionError(f"{call} was not interrupted")
    assert queue.stats()[:2] == (0, 1)
    assert full.stats()[:2] == (1, 1)
    until_blocked(queue)
    until_blocked(full)
    getter = Call(queue.get)
    until_blocked(queue, getters=1)
    queue.put(1)
    assert getter.result() == 1
    putter = Call(full.put, 1)
    until_blocked(full, putters=1)
    assert full.get() == 0
    putter.result()


@pytest.mark.parametrize("opened", [False, True], ids=["", "looked into"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_from_a_handler_ends_any_wait_and_leaves_nothing_behind(
    child: Child, kind: str, opened: bool
) -> None:
    child.run(handler_raises, kind, opened)


# -- Ctrl-C ----------------------------------------------------------------------------------------------------------


def interrupted_consumer(kind: str, way: str, count: int, maxsize: int, strict: bool) -> None:  # noqa: C901 - a whole program
    """The main thread consumes under a storm of Ctrl-C; what it may lose is what the way of getting allows.

    The handler raises only while `operate` runs, so every interrupt falls into a call that the loop guards.
    """
    import random
    import signal
    import sys
    import threading
    import time

    import headrace
    from headrace.testing.threads import Call

    sys.setswitchinterval(1e-5)
    queue = getattr(headrace, kind)(maxsize)
    got: list[int] = []
    interrupts = 0

    def by_item():
        with queue.item() as item:
            got.append(item)

    def by_get():
        got.append(queue.get())

    def by_timed_get():
        got.append(queue.get(timeout=10))

    def by_get_many():
        got.extend(queue.get_many(3))

    operate = {"item": by_item, "get": by_get, "timed get": by_timed_get, "get_many": by_get_many}[way]

    def handler(signum, frame):
        nonlocal interrupts
        while frame is not None:
            if frame.f_code is operate.__code__:
                interrupts += 1
                raise KeyboardInterrupt
            frame = frame.f_back

    signal.signal(signal.SIGINT, handler)
    main = threading.main_thread().ident
    stop = threading.Event()

    def strike():
        chance = random.Random()
        while not stop.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(chance.random() * 0.0002)

    def produce():
        # One at a time and with pauses, so that the consumer is mostly asleep when an item comes.
        chance = random.Random()
        for number in range(count):
            queue.put(number)
            if chance.random() < 0.5:
                time.sleep(0)
        queue.shutdown()

    striker = threading.Thread(target=strike)
    striker.start()
    producer = Call(produce)
    while True:
        try:
            operate()
        except KeyboardInterrupt:
            pass
        except headrace.ShutDown:
            break
    stop.set()
    striker.join()
    producer.result()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    stats = queue.stats()
    lost = count - len(got)
    allowed = 0 if strict else interrupts * (3 if way == "get_many" else 1)
    assert interrupts > 10, "there was no storm"
    assert len(got) == len(set(got)), "an item came twice"
    assert 0 <= lost <= allowed, f"{lost} of {count} items are lost; {interrupts} interrupts"
    assert (stats.waiting, stats.getters_blocked, stats.putters_blocked) == (0, 0, 0)
    assert not strict or stats.unfinished == 0
    # What the queue says that it gave and what came out differ by what was lost on the way back.
    if lost == 0 or strict:
        assert stats.put_total == count
    assert Call(queue.qsize).result() == 0
    print(lost, interrupts)


# `with queue.item()` settles on leaving and the C core hands over inside one instruction: there nothing can be lost.
# A plain get has the hole of every Python function: an interrupt may fall between its return and the assignment. The
# twin's item() is made of Python functions, and has the hole too.
@pytest.mark.parametrize("maxsize", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["item", "get", "timed get", "get_many"])
def test_ctrl_c_loses_no_item(child: Child, implementation: SimpleNamespace, way: str, kind: str, maxsize: int) -> None:
    strict = way == "item" and implementation.name == "c"
    child.run(interrupted_consumer, kind, way, scaled(4000), maxsize, strict)


def interrupted_producer(kind: str, way: str, count: int) -> None:
    """The main thread produces into a narrow queue under a storm of Ctrl-C."""
    import random
    import signal
    import sys
    import threading
    import time

    import headrace
    from headrace.testing.threads import Call

    sys.setswitchinterval(1e-5)
    queue = getattr(headrace, kind)(2)
    interrupts = 0
    returned: list[int] = []

    def by_put(number):
        queue.put(number)
        returned.append(number)

    def by_put_many(number):
        queue.put_many([number, number + 1, number + 2])
        returned.extend([number, number + 1, number + 2])

    operate = {"put": by_put, "put_many": by_put_many}[way]
    step = {"put": 1, "put_many": 3}[way]

    def handler(signum, frame):
        nonlocal interrupts
        while frame is not None:
            if frame.f_code is operate.__code__:
                interrupts += 1
                raise KeyboardInterrupt
            frame = frame.f_back

    signal.signal(signal.SIGINT, handler)
    main = threading.main_thread().ident
    stop = threading.Event()

    def strike():
        chance = random.Random()
        while not stop.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(chance.random() * 0.0002)

    striker = threading.Thread(target=strike)
    striker.start()
    consumer = Call(lambda: list(queue))
    for number in range(0, count * step, step):
        try:
            operate(number)
        except KeyboardInterrupt:
            pass
    stop.set()
    striker.join()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    queue.shutdown()
    got = consumer.result()
    assert interrupts > 10, "there was no storm"
    assert len(got) == len(set(got)), "an item came twice"
    assert set(returned) <= set(got), "an item whose put returned is lost"
    # Of an interrupted batch the first few may be in, never others.
    assert all(number - 1 in set(got) for number in got if number % step)
    if kind == "Queue":
        assert got == sorted(got)
    assert queue.stats().putters_blocked == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["put", "put_many"])
def test_ctrl_c_in_a_put_leaves_the_item_in_or_out_and_never_twice(child: Child, way: str, kind: str) -> None:
    child.run(interrupted_producer, kind, way, scaled(4000))


def interrupted_as_an_item_comes(kind: str, rounds: int, opened: bool) -> None:
    """The main thread waits with others; an item and an interrupt come at the same moment.

    Whatever the main thread makes of it, the item is there for the others: nobody sleeps while it waits, and no item
    is lost.
    """
    import random
    import signal
    import threading
    import time

    import headrace
    from headrace.testing.threads import Call, until_blocked

    chance = random.Random()
    queue = getattr(headrace, kind)()
    if opened:
        assert queue.mutex
    main = threading.main_thread().ident
    got: list[int] = []
    interrupts = handed = 0

    def operate():
        with queue.item() as item:
            got.append(item)

    def handler(signum, frame):
        nonlocal interrupts
        while frame is not None:
            if frame.f_code is operate.__code__:
                interrupts += 1
                raise KeyboardInterrupt
            frame = frame.f_back

    signal.signal(signal.SIGINT, handler)

    def item_and_interrupt(number):
        until_blocked(queue, getters=2)
        if chance.random() < 0.5:
            queue.put(number)
            signal.pthread_kill(main, signal.SIGINT)
        else:
            signal.pthread_kill(main, signal.SIGINT)
            for _ in range(chance.randrange(3)):
                time.sleep(0)
            queue.put(number)

    for number in range(rounds):
        other = Call(queue.get)
        striker = Call(item_and_interrupt, number)
        try:
            operate()
            handed += 1
        except KeyboardInterrupt:
            pass
        striker.result()
        if number in got:
            queue.put(-1)  # for the other one
            assert other.result() == -1
        else:
            # The main thread did not take it, so the other one must, without further help.
            assert other.result() == number
            got.append(number)
    assert sorted(got) == list(range(rounds))
    assert interrupts > rounds // 10
    print(interrupts, handed)


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_interrupted_as_an_item_comes_leaves_it_to_the_others(
    child: Child, implementation: SimpleNamespace, kind: str
) -> None:
    if implementation.name == "python":
        pytest.skip("the twin loses an item to an interrupt on its way back: see docs/guarantees.md")
    child.run(interrupted_as_an_item_comes, kind, scaled(500), False)
