"""Runs contenders in turns, each under the same conditions."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmarks.plan import Plan

__all__ = ["Race", "Stuck", "time_threads", "without_collections"]

GIVE_UP_AFTER = 60.0  # seconds; a turn takes one at most, unless a queue has lost an item or a wake-up
WARM_UP_DIVISOR = 50


class Stuck(RuntimeError):
    """Threads that should long have ended have not."""


class Race:
    """Gives every contender a turn in each round, in an order of chance, and keeps how fast it was.

    A contender is a function that moves so many items and returns the seconds that it took. A peer that raises is out
    of the race, which ``failures`` tells; what a queue of ours raises is raised, for that is a mistake to be found.

    Attributes:
        rates: items a second for each contender that finished, one figure a round.
        items: how many items each moved in a turn: *count*, unless that took too long in the warm-up.
    """

    def __init__(self, runs: Mapping[str, Callable[[int], float]], count: int, plan: Plan) -> None:
        self.rates: dict[str, list[float]] = {}
        self.items: dict[str, int] = {}
        self.failures: list[str] = []
        self._runs = runs
        for name in runs:
            self._warm_up(name, count, plan.seconds_at_most)
        for _ in range(plan.rounds):
            for name in plan.shuffled(self.items):
                self._take_turn(name)

    def _warm_up(self, name: str, count: int, seconds_at_most: float) -> None:
        """Also finds out how many items fit into a turn."""
        trial = max(1, count // WARM_UP_DIVISOR)
        seconds = self._attempt(name, trial)
        if seconds is not None:
            self.items[name] = max(trial, min(count, int(trial * seconds_at_most / seconds)))
            self.rates[name] = []

    def _take_turn(self, name: str) -> None:
        seconds = self._attempt(name, self.items[name])
        if seconds is None:
            del self.items[name], self.rates[name]
        else:
            self.rates[name].append(self.items[name] / seconds)

    def _attempt(self, name: str, count: int) -> float | None:
        try:
            with without_collections():
                return self._runs[name](count)
        except Exception as error:
            if name.startswith("headrace."):
                raise
            self.failures.append(f"{name} is out: {type(error).__name__}: {error}")
            return None


@contextmanager
def without_collections() -> Iterator[None]:
    """Everybody starts without garbage and meets no collection, whose time would fall on one by chance."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def time_threads(producers: Iterable[Callable[[], object]], consumers: Iterable[Callable[[], object]]) -> float:
    """Seconds from the release of all threads, which wait at a barrier, to the end of the last consumer."""
    work = [*((task, True) for task in consumers), *((task, False) for task in producers)]
    begin: list[float] = []
    ends: list[float] = []
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(work) + 1, action=lambda: begin.append(perf_counter()))

    def run(task: Callable[[], object], consuming: bool) -> None:
        barrier.wait()
        try:
            task()
        except BaseException as error:
            errors.append(error)
        if consuming:
            ends.append(perf_counter())

    # Daemons, for a peer that loses a wake-up must not keep the whole run from ending.
    threads = [threading.Thread(target=run, args=arguments, daemon=True) for arguments in work]
    for thread in threads:
        thread.start()
    barrier.wait()
    _join(threads, errors)
    return max(ends) - begin[0]


def _join(threads: list[threading.Thread], errors: list[BaseException]) -> None:
    deadline = monotonic() + GIVE_UP_AFTER
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    if errors:
        raise errors[0]
    alive = sum(thread.is_alive() for thread in threads)
    if alive:
        raise Stuck(f"{alive} of {len(threads)} threads have not ended after {GIVE_UP_AFTER:.0f} s")
