"""Histories of several threads: whatever overlapped, a plain queue could have done it one call after the other."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

import pytest

from conftest import load, scaled
from headrace.testing import (
    FifoModel,
    LifoModel,
    Operation,
    PriorityModel,
    QueueModel,
    Recorder,
    explain,
    is_linearizable,
)
from headrace.testing.model import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODELS: dict[str, QueueModel] = {"Queue": FifoModel(), "LifoQueue": LifoModel(), "PriorityQueue": PriorityModel()}
SHAPES = [(2, 4), (3, 3), (4, 3), (3, 5)]


@pytest.fixture(autouse=True)
def _switch_threads_as_often_as_possible() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


# -- the checker itself ----------------------------------------------------------------------------------------------


def done(
    thread: int, called: int, returned: int, name: str, *arguments: Any, gives: Any = None, error: str = ""
) -> Operation:
    return Operation(thread, name, arguments, Outcome(gives, error), called, returned)


LINEARIZABLE = {
    "one after the other": [
        done(0, 0, 1, "put", 1),
        done(0, 2, 3, "put", 2),
        done(0, 4, 5, "get", gives=1),
        done(0, 6, 7, "get", gives=2),
    ],
    "two puts that overlap, in either order": [
        done(0, 0, 3, "put", 1),
        done(1, 1, 2, "put", 2),
        done(0, 4, 5, "get", gives=1),
        done(0, 6, 7, "get", gives=2),
    ],
    "a get that overlaps the put of what it gets": [done(0, 0, 3, "get", gives=1), done(1, 1, 2, "put", 1)],
    "empty while the put is under way": [done(0, 0, 3, "put", 1), done(1, 1, 2, "get", error="Empty")],
    "full while the get is under way": [
        done(0, 0, 1, "put", 1),
        done(0, 2, 5, "get", gives=1),
        done(1, 3, 4, "put", 2, error="Full"),
    ],
    "a put before an overlapping shutdown": [done(0, 0, 3, "shutdown", False), done(1, 1, 2, "put", 1)],
}
FORBIDDEN = {
    "later item first": [
        done(0, 0, 1, "put", 1),
        done(0, 2, 3, "put", 2),
        done(1, 4, 5, "get", gives=2),
        done(1, 6, 7, "get", gives=1),
    ],
    "later item first, seen by two overlapping getters and told apart by a third": [
        done(0, 0, 1, "put", 1),
        done(0, 2, 3, "put", 2),
        done(0, 4, 5, "put", 3),
        done(1, 6, 9, "get", gives=2),
        done(2, 7, 8, "get", gives=3),
        done(1, 10, 11, "get", gives=1),
    ],
    "empty although an item was surely there": [done(0, 0, 1, "put", 1), done(1, 2, 3, "get", error="Empty")],
    "empty between a put and the get of its item": [
        done(0, 0, 1, "put", 1),
        done(1, 2, 4, "get", error="Empty"),
        done(2, 5, 6, "get", gives=1),
    ],
    "an item that nobody put": [done(0, 0, 1, "put", 1), done(1, 2, 3, "get", gives=7)],
    "an item before its put": [done(1, 0, 1, "get", gives=1), done(0, 2, 3, "put", 1)],
    "an item twice": [
        done(0, 0, 1, "put", 1),
        done(1, 2, 5, "get", gives=1),
        done(2, 3, 4, "get", gives=1),
    ],
    "a lost item": [
        done(0, 0, 1, "put", 1),
        done(1, 2, 3, "get", gives=1),
        done(0, 4, 5, "put", 2),
        done(1, 6, 7, "qsize", gives=0),
    ],
    "full although there was room": [
        done(0, 0, 1, "put", 1),
        done(0, 2, 3, "get", gives=1),
        done(1, 4, 5, "put", 2, error="Full"),
    ],
    "in although it was full": [done(0, 0, 1, "put", 1), done(1, 2, 3, "put", 2)],
    "in after the shutdown": [done(0, 0, 1, "shutdown", False), done(1, 2, 3, "put", 1)],
    "shut down before the shutdown": [done(1, 0, 1, "put", 1, error="ShutDown"), done(0, 2, 3, "shutdown", False)],
    "a size that never was": [
        done(0, 0, 1, "put", 1),
        done(0, 2, 5, "get", gives=1),
        done(1, 3, 4, "qsize", gives=2),
    ],
}


@pytest.mark.parametrize("name", LINEARIZABLE)
def test_the_checker_accepts(name: str) -> None:
    assert explain(LINEARIZABLE[name], FifoModel(), State(maxsize=2 if "two" in name or "one" in name else 1)) == ""


@pytest.mark.parametrize("name", FORBIDDEN)
def test_the_checker_rejects(name: str) -> None:
    start = State(maxsize=1 if "full" in name else 3)
    assert not is_linearizable(FORBIDDEN[name], FifoModel(), start)
    assert "No order of these calls explains them" in explain(FORBIDDEN[name], FifoModel(), start)


def test_the_checker_tells_the_orders_of_the_three_queues_apart() -> None:
    for taken in ([3, 1, 2], [2, 1, 3], [1, 2, 3]):
        history = [done(0, 2 * n, 2 * n + 1, "put", item) for n, item in enumerate([3, 1, 2])]
        history += [done(0, 2 * n + 6, 2 * n + 7, "get", gives=item) for n, item in enumerate(taken)]
        fits = [kind for kind, model in MODELS.items() if is_linearizable(history, model)]
        assert fits == [{3: "Queue", 2: "LifoQueue", 1: "PriorityQueue"}[taken[0]]]


def test_the_checker_notices_one_wrong_outcome_in_a_recorded_history() -> None:
    queue = load("python").Queue(2)
    history = Recorder([script(queue, random.Random(thread), thread, 4) for thread in range(3)]).run()
    assert is_linearizable(history, FifoModel(), State(maxsize=2))
    wrong = Outcome("an item from nowhere")
    for number, operation in enumerate(history):
        forged = [*history[:number], operation._replace(outcome=wrong), *history[number + 1 :]]
        assert not is_linearizable(forged, FifoModel(), State(maxsize=2))


# -- recorded histories ----------------------------------------------------------------------------------------------


def script(
    queue: Any, chance: random.Random, thread: int, length: int
) -> list[tuple[str, tuple[Any, ...], Callable[[], Any]]]:
    """What one thread does: puts of items of its own, gets, and now and then something else."""
    steps: list[tuple[str, tuple[Any, ...], Callable[[], Any]]] = []
    for number in range(length):
        item = 10 * thread + number
        put = [
            ("put", (item,), lambda item=item: queue.put_nowait(item)),
            ("put", (item,), lambda item=item: queue.put(item, timeout=0.001)),
        ]
        get = [("get", (), queue.get_nowait), ("get", (), lambda: queue.get(timeout=0.001))]
        other = [
            ("qsize", (), queue.qsize),
            ("empty", (), queue.empty),
            ("full", (), queue.full),
            ("peek", (), queue.peek),
            ("clear", (), queue.clear),
            ("shutdown", (False,), queue.shutdown),
            ("shutdown", (True,), lambda: queue.shutdown(immediate=True)),
        ]
        # Few of what ends it all, or there would be little to see.
        group = chance.choices([put, get, other[:4], other[4:5], other[5:]], [40, 40, 14, 4, 2])[0]
        steps.append(chance.choice(group))
    return steps


def record_and_judge(implementation: str, kind: str, rounds: int, opened: bool) -> None:
    chance = random.Random()
    for _ in range(rounds):
        seed = chance.randrange(10**9)
        maxsize = chance.choice([0, 1, 1, 2])
        queue = getattr(load(implementation), kind)(maxsize)
        if opened:
            assert queue.mutex
        threads, length = chance.choice(SHAPES)
        scripts = [script(queue, random.Random(seed + thread), thread, length) for thread in range(threads)]
        history = Recorder(scripts).run()
        problem = explain(history, MODELS[kind], State(maxsize=maxsize))
        assert not problem, f"maxsize {maxsize}, seed {seed}\n{problem}"


@pytest.mark.parametrize("kind", MODELS)
def test_what_threads_see_is_what_one_after_the_other_would_see(implementation: Any, kind: str) -> None:
    record_and_judge(implementation.name, kind, rounds=scaled(800), opened=False)


@pytest.mark.parametrize("kind", MODELS)
def test_the_same_holds_for_a_queue_that_was_looked_into(implementation: Any, kind: str) -> None:
    record_and_judge(implementation.name, kind, rounds=scaled(300), opened=True)


@pytest.mark.stress
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_very_many_histories_are_linearizable(implementation: Any, kind: str, opened: bool) -> None:
    record_and_judge(implementation.name, kind, rounds=scaled(20_000), opened=opened)
