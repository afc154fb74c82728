"""What ``headrace bench`` measures: the same work through different queues.

Every scenario is a function of a contender and a number of items. It returns the seconds that the work took, from
the first item to the last; threads exist before the clock starts. The items are small integers.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import headrace
from headrace.cli.joining import join

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SCENARIOS", "Contender", "Scenario"]

BATCH = 100
BOUND = 100
NO_MORE = None


class Contender(NamedTuple):
    """A queue, and how it is to be used.

    Attributes:
        make: makes one, given its bound (0 for none).
        settles: it has ``task_done``, which is then called for each item.
        has_batches: it has ``put_many`` and ``get_many``.
    """

    name: str
    make: Callable[[int], Any]
    settles: bool = True
    has_batches: bool = False


class Scenario(NamedTuple):
    """One row of the table. The first contender is ours."""

    name: str
    measure: Callable[[Contender, int], float]
    contenders: tuple[Contender, ...]


OURS = "headrace"
STANDARD = "queue"
SIMPLE = "SimpleQueue"


def _ours(make: Callable[[int], Any]) -> Contender:
    return Contender(OURS, make, has_batches=True)


def _simple_queue(maxsize: int) -> queue.SimpleQueue[Any]:
    # It has no bound that it could be given.
    return queue.SimpleQueue()


QUEUES = (
    _ours(headrace.Queue),
    Contender(STANDARD, queue.Queue),
    Contender(SIMPLE, _simple_queue, settles=False),
)
BOUNDED = QUEUES[:2]
LIFO = (_ours(headrace.LifoQueue), Contender(STANDARD, queue.LifoQueue))
PRIORITY = (_ours(headrace.PriorityQueue), Contender(STANDARD, queue.PriorityQueue))


def one_thread(contender: Contender, items: int) -> float:
    """Put an item, get it, settle it; and the next."""
    here = contender.make(0)
    put, get = here.put, here.get
    begun = time.perf_counter()
    if contender.settles:
        settle = here.task_done
        for item in range(items):
            put(item)
            get()
            settle()
    else:
        for item in range(items):
            put(item)
            get()
    return time.perf_counter() - begun


def priorities(contender: Contender, items: int) -> float:
    """The same with a thousand items waiting, in no order."""
    here = contender.make(0)
    waiting = 1000
    for item in range(waiting):
        here.put(item * 7919 % waiting)
    put, get, settle = here.put, here.get, here.task_done
    begun = time.perf_counter()
    for item in range(items):
        put(item * 7919 % waiting)
        get()
        settle()
    return time.perf_counter() - begun


def batches(contender: Contender, items: int) -> float:
    """Put a hundred items, get a hundred; at once where the queue can, else one by one."""
    if not contender.has_batches:
        return _batches_one_by_one(contender, items)
    here = contender.make(0)
    batch = list(range(BATCH))
    put_many, get_many, settle = here.put_many, here.get_many, here.task_done
    begun = time.perf_counter()
    for _ in range(items // BATCH):
        put_many(batch)
        for _ in get_many(BATCH):
            settle()
    return time.perf_counter() - begun


def _batches_one_by_one(contender: Contender, items: int) -> float:
    here = contender.make(0)
    batch = list(range(BATCH))
    put, get = here.put, here.get
    settle = here.task_done if contender.settles else None
    begun = time.perf_counter()
    for _ in range(items // BATCH):
        for item in batch:
            put(item)
        for _ in batch:
            get()
            if settle:
                settle()
    return time.perf_counter() - begun


def threads(producers: int, consumers: int, maxsize: int = 0) -> Callable[[Contender, int], float]:
    """A scenario with so many threads, each putting or getting its share."""

    def measure(contender: Contender, items: int) -> float:
        here = contender.make(maxsize)
        work = [(_produce, here, items // producers)] * producers + [(_consume, here, contender.settles)] * consumers
        return _time_threads(work, producers, lambda: _say_no_more(here, consumers))

    return measure


def ping_pong(contender: Contender, items: int) -> float:
    """Send an item to a thread and wait until it comes back, and again; an item is counted each way."""
    there, back = contender.make(0), contender.make(0)
    turns = items // 2
    work = [(_serve, there, back, turns, contender.settles), (_return, there, back, turns, contender.settles)]
    return _time_threads(work, len(work), lambda: None)


def _serve(there: Any, back: Any, turns: int, settles: bool) -> None:
    for item in range(turns):
        there.put(item)
        back.get()
        if settles:
            back.task_done()


def _return(there: Any, back: Any, turns: int, settles: bool) -> None:
    for _ in range(turns):
        back.put(there.get())
        if settles:
            there.task_done()


def _produce(here: Any, items: int) -> None:
    put = here.put
    for item in range(items):
        put(item)


def _consume(here: Any, settles: bool) -> None:
    get = here.get
    if not settles:
        while get() is not NO_MORE:
            pass
        return
    settle = here.task_done
    while get() is not NO_MORE:
        settle()


def _say_no_more(here: Any, consumers: int) -> None:
    for _ in range(consumers):
        here.put(NO_MORE)


def _time_threads(work: list[tuple[Any, ...]], first: int, when_they_end: Callable[[], None]) -> float:
    """Time one thread for each (function, *arguments); *when_they_end* is called once the *first* ones have ended."""
    start = threading.Event()

    def begin(function: Callable[..., None], *arguments: Any) -> None:
        start.wait()
        function(*arguments)

    crew = [threading.Thread(target=begin, args=each, daemon=True) for each in work]
    for thread in crew:
        thread.start()
    begun = time.perf_counter()
    start.set()
    for thread in crew[:first]:
        join(thread)
    when_they_end()
    for thread in crew[first:]:
        join(thread)
    return time.perf_counter() - begun


SCENARIOS = (
    Scenario("put, get, task_done, 1 thread", one_thread, QUEUES),
    Scenario("1 producer, 3 consumers", threads(1, 3), QUEUES),
    Scenario("1 prod., 3 cons., maxsize 100", threads(1, 3, BOUND), BOUNDED),
    Scenario("4 prod., 4 cons., maxsize 100", threads(4, 4, BOUND), BOUNDED),
    Scenario("ping-pong of 2 threads", ping_pong, QUEUES),
    Scenario("put_many, get_many of 100", batches, QUEUES),
    Scenario("last in, first out", one_thread, LIFO),
    Scenario("by priority, 1000 waiting", priorities, PRIORITY),
)
