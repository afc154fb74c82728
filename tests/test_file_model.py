"""Random sequences of operations on a queue in a file, with clocks that the test moves: a plain model does the same.

Two objects use the queue, opened so that each has a connection and an identity of its own, as in two processes. One is
closed and opened again, the other one dies or is silent for too long.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import headrace
from conftest import scaled
from file_support import Clock, folder_in_memory, recounted
from headrace.backends.sqlite.checking import problems
from headrace.errors import DuplicateKey, Empty, Full, LeaseLost

if TYPE_CHECKING:
    from collections.abc import Iterator

LEASE = 30  # seconds
LONG = "x" * 20_000  # long enough to lie in a table of its own

ways = st.sampled_from(["near", "far"])
priorities = st.sampled_from([0, 0, 0, 1, -1])
keys = st.sampled_from([None, None, None, "a", "b"])


@dataclass
class Item:
    """What the model knows of an item that is not settled."""

    value: str
    priority: int
    place: int
    key: str | None = None
    expires_at: int | None = None
    ready_at: int = 0
    state: str = "ready"
    deliveries: int = 0


@dataclass
class Holding:
    """What the model knows of one delivery. *item* is None when it was lost."""

    item: Item | None
    lease: Any = None


@dataclass
class Model:
    """A queue in a file, as plain lists. Errors are returned as their classes, for there is nothing to undo."""

    max_deliveries: int
    maxsize: int = 0
    now: int = 0
    is_paused: bool = False
    items: list[Item] = field(default_factory=list)
    put_total: int = 0
    get_total: int = 0
    dropped_total: int = 0
    places: Iterator[int] = field(default_factory=itertools.count)

    def those(self, *states: str) -> list[Item]:
        """The items in one of *states*, those that come first in front."""
        found = [item for item in self.items if item.state in states]
        return sorted(found, key=lambda item: (item.priority, item.place))

    def due(self) -> list[Item]:
        """The delayed items whose time has come, in its order."""
        found = [item for item in self.items if item.state == "delayed" and item.ready_at <= self.now]
        return sorted(found, key=lambda item: (item.ready_at, item.place))

    def is_full(self) -> bool:
        return 0 < self.maxsize <= len(self.those("ready"))

    def makes_room(self) -> bool:
        """Whether there is room, after what has expired is gone."""
        if self.is_full():
            self.expire()
        return not self.is_full()

    def is_over(self, item: Item) -> bool:
        return item.expires_at is not None and item.expires_at <= self.now

    def expire(self) -> None:
        """Bury what waits although its time is over."""
        for item in filter(self.is_over, self.those("ready")):
            item.state = "dead"

    def owner_of(self, key: str | None) -> Item | None:
        """The unfinished item that has a key."""
        unfinished = self.those("ready", "delayed", "held")
        return next((item for item in unfinished if key is not None and item.key == key), None)

    def put(self, item: Item, on_duplicate: str = "ignore") -> type[Exception] | None:
        """Put *item*, whose place is still to be given."""
        other = self.owner_of(item.key)
        is_bounded = item.state == "ready"
        if other is not None:
            if on_duplicate != "replace":
                return DuplicateKey if on_duplicate == "raise" else None
            if is_bounded and other.state != "ready" and not self.makes_room():
                return Full
            is_bounded = is_bounded and other.state != "ready"
            if other.state == "held":
                other.key = None
            else:
                self.items.remove(other)
                self.dropped_total += 1
        if is_bounded and not self.makes_room():
            return Full
        item.place = next(self.places)
        self.items.append(item)
        self.put_total += 1
        return None

    def promote(self) -> None:
        for item in self.due():
            item.state, item.place = "ready", next(self.places)

    def claim(self, count: int) -> list[Item]:
        """Hand out up to *count* items."""
        self.promote()
        while not self.is_paused and (taken := self.those("ready")[:count]):
            kept = [item for item in taken if not self.is_over(item)]
            if len(kept) < len(taken):
                self.expire()
            for item in kept:
                item.state = "held"
                item.deliveries += 1
            self.get_total += len(kept)
            if kept:
                return kept
        return []

    def give_back(self, item: Item, delay: int = 0, *, in_place: bool = False) -> None:
        """Have it delivered again, or bury it."""
        if self.max_deliveries and item.deliveries >= self.max_deliveries:
            item.state = "dead"
            return
        item.state, item.ready_at = ("delayed", self.now + delay) if delay else ("ready", 0)
        if not in_place:
            item.place = next(self.places)

    def revive(self, item: Item) -> type[Exception] | None:
        """Put a dead letter back."""
        if not self.makes_room():
            return Full
        if self.owner_of(item.key):
            item.key = None
        item.state, item.place, item.deliveries, item.expires_at = "ready", next(self.places), 0, None
        self.put_total += 1
        return None

    def stats(self) -> tuple[int, ...]:
        """waiting, unfinished, maxsize, put_total, get_total, dropped_total, delayed, dead."""
        waiting, delayed, due = len(self.those("ready")), len(self.those("delayed")), len(self.due())
        unfinished = waiting + delayed + len(self.those("held"))
        totals = (self.put_total, self.get_total, self.dropped_total)
        return (waiting + due, unfinished, self.maxsize, *totals, delayed - due, len(self.those("dead")))


class FileMachine(RuleBasedStateMachine):
    """Every operation that does not block, by two objects, on a queue and on its model."""

    clock: Clock
    folder: Path
    numbers = itertools.count()

    @initialize(maxsize=st.integers(0, 4), max_deliveries=st.integers(0, 3))
    def start(self, maxsize: int, max_deliveries: int) -> None:
        self.serial = itertools.count(1)
        self.path = str(self.folder / f"{next(self.numbers)}.db")
        options = {"maxsize": maxsize, "max_deliveries": max_deliveries}
        near = headrace.open(self.path, durability="process", lease=LEASE, **options)
        far = headrace.open(self.path, durability="process", lease=LEASE + 1)
        # It gives no sign of life by itself, so that the clock alone says whether it is lost.
        far._file.owner.beat = lambda: None
        self.queues = {"near": near, "far": far}
        self.got: dict[str, list[Holding]] = {"near": [], "far": []}
        self.leases: dict[str, list[Holding]] = {"near": [], "far": []}
        self.model = Model(max_deliveries, maxsize, self.clock.wall)

    def value(self, is_long: bool = False) -> str:
        return f"item {next(self.serial)}{LONG if is_long else ''}"

    def outcome(self, call: Any) -> Any:
        """What *call* returns; the class of the error that it raises."""
        try:
            return call()
        except (DuplicateKey, Empty, Full, LeaseLost, KeyError, ValueError, TimeoutError) as error:
            return type(error)

    # -- putting -----------------------------------------------------------------------------------------------------

    @rule(
        way=ways,
        priority=priorities,
        delay=st.sampled_from([None, None, None, 0, 5, 20]),
        ttl=st.sampled_from([None, None, None, 0, 10]),
        key=keys,
        on_duplicate=st.sampled_from(["ignore", "raise", "replace"]),
        is_long=st.booleans(),
    )
    def put(
        self,
        way: str,
        priority: int,
        delay: int | None,
        ttl: int | None,
        key: str | None,
        on_duplicate: str,
        is_long: bool,
    ) -> None:
        model = self.model
        item = Item(self.value(is_long), priority, 0, key)
        if ttl is not None:
            item.expires_at = model.now + ttl
        if delay is not None:
            item.state, item.ready_at = "delayed", model.now + delay
        options = {"priority": priority, "delay": delay, "ttl": ttl, "key": key, "on_duplicate": on_duplicate}
        put = self.queues[way].put
        assert self.outcome(lambda: put(item.value, False, **options)) == model.put(item, on_duplicate)

    @rule(way=ways, count=st.integers(0, 4), priority=priorities)
    def put_many(self, way: str, count: int, priority: int) -> None:
        values = [self.value() for _ in range(count)]
        expected = 0
        while expected < count and self.model.put(Item(values[expected], priority, 0)) is None:
            expected += 1
        put_many = self.queues[way].put_many
        if expected == count:
            put_many(values, False, priority=priority)
            return
        with pytest.raises(Full) as caught:
            put_many(values, False, priority=priority)
        assert caught.value.put_count == expected

    # -- taking ------------------------------------------------------------------------------------------------------

    @rule(way=ways)
    def get(self, way: str) -> None:
        taken = self.model.claim(1)
        assert self.outcome(self.queues[way].get_nowait) == (taken[0].value if taken else Empty)
        self.got[way] += [Holding(item) for item in taken]

    @rule(way=ways, count=st.integers(1, 4))
    def get_many(self, way: str, count: int) -> None:
        taken = self.model.claim(count)
        expected = [item.value for item in taken] or Empty
        assert self.outcome(lambda: self.queues[way].get_many(count, False)) == expected
        self.got[way] += [Holding(item) for item in taken]

    @rule(way=ways)
    def lease(self, way: str) -> None:
        taken = self.model.claim(1)
        lease = self.outcome(lambda: self.queues[way].lease(block=False))
        if not taken:
            assert lease is Empty
            return
        assert (lease.item, lease.attempt) == (taken[0].value, taken[0].deliveries)
        self.leases[way].append(Holding(taken[0], lease))

    @rule(way=ways)
    def item(self, way: str) -> None:
        """A get with a task_done."""
        taken = self.model.claim(1)

        def take() -> Any:
            with self.queues[way].item(block=False) as item:
                return item

        assert self.outcome(take) == (taken[0].value if taken else Empty)
        for item in taken:
            self.model.items.remove(item)

    # -- settling ----------------------------------------------------------------------------------------------------

    @rule(way=ways, count=st.integers(1, 2))
    def task_done(self, way: str, count: int) -> None:
        got = self.got[way]
        result = self.outcome(lambda: self.queues[way].task_done(count))
        if len(got) < count:
            assert result is ValueError
            return
        settled, got[:count] = got[:count], []
        assert result is (LeaseLost if any(holding.item is None for holding in settled) else None)
        for holding in settled:
            if holding.item is not None:
                self.model.items.remove(holding.item)

    @rule(way=ways, data=st.data(), how=st.sampled_from(["done", "retry", "later", "fail", "extend", "raise"]))
    def settle(self, way: str, data: st.DataObject, how: str) -> None:
        if not self.leases[way]:
            return
        holding = data.draw(st.sampled_from(self.leases[way]))
        result = self.outcome(lambda: settlement(holding.lease, how))
        if how != "extend" or holding.item is None:
            self.leases[way].remove(holding)
        if holding.item is None:
            assert result is (KeyError if how == "raise" else LeaseLost)
            return
        assert result is (KeyError if how == "raise" else None)
        if how == "done":
            self.model.items.remove(holding.item)
        elif how == "fail":
            holding.item.state = "dead"
        elif how != "extend":
            self.model.give_back(holding.item, 7 if how == "later" else 0)

    # -- the clock, and the ends of owners ----------------------------------------------------------------------------

    @rule(seconds=st.integers(-10, 30))
    def set_the_clock(self, seconds: int) -> None:
        """Forward and back: no lease runs out."""
        self.clock.wall += seconds
        self.model.now = self.clock.wall

    @rule(seconds=st.integers(0, LEASE))
    def let_time_pass_with_signs_of_life(self, seconds: int) -> None:
        self.clock.steady += seconds
        for queue in self.queues.values():
            type(queue._file.owner).beat(queue._file.owner)
        self.look_for_lost()

    @rule()
    def silence(self) -> None:
        """The far one does not give a sign of life for longer than its lease."""
        self.clock.steady += LEASE + 2
        self.queues["near"]._file.owner.beat()
        self.look_for_lost()
        self.lose("far")

    @rule()
    def death(self) -> None:
        """The kernel drops the lock of the far one, as when its process dies."""
        owner, side = self.queues["far"]._file.owner, self.queues["far"]._file.side
        if owner.slot < 0:
            return
        side.unlock(owner.slot)
        self.look_for_lost()
        assert side.try_lock(owner.slot)
        self.lose("far")

    def look_for_lost(self) -> None:
        """What every join does, and every get that finds nothing."""
        self.outcome(lambda: self.queues["near"].join(timeout=0))

    def lose(self, way: str) -> None:
        for holding in (*self.got[way], *self.leases[way]):
            if holding.item is not None:
                self.model.give_back(holding.item, in_place=True)
                holding.item = None

    @rule()
    def close_and_open(self) -> None:
        """What the near one holds is given back, in the order of the gets, then of the items."""
        leased = sorted((one for one in self.leases["near"] if one.item), key=lambda one: one.lease.id)
        for holding in (*self.got["near"], *leased):
            assert holding.item is not None
            self.model.give_back(holding.item)
            holding.item = None
        self.got["near"].clear()
        self.queues["near"].close()
        self.queues["near"] = headrace.open(self.path, durability="process", lease=LEASE)

    # -- the queue as a whole ----------------------------------------------------------------------------------------

    @rule(way=ways, maxsize=st.integers(0, 5))
    def resize(self, way: str, maxsize: int) -> None:
        self.queues[way].maxsize = self.model.maxsize = maxsize

    @rule(way=ways)
    def pause_or_resume(self, way: str) -> None:
        queue = self.queues[way]
        self.model.is_paused = not self.model.is_paused
        (queue.pause if self.model.is_paused else queue.resume)()

    @rule(way=ways, really=st.integers(0, 3))
    def clear(self, way: str, really: int) -> None:
        if really:
            return
        dropped = self.model.those("ready", "delayed")
        assert self.queues[way].clear() == len(dropped)
        self.model.dropped_total += len(dropped)
        for item in dropped:
            self.model.items.remove(item)

    @rule(way=ways, count=st.integers(1, 3))
    def peek_many(self, way: str, count: int) -> None:
        self.model.promote()
        expected = [item.value for item in self.model.those("ready")]
        assert self.queues[way].peek_many(count) == expected[:count]

    @rule(way=ways)
    def join(self, way: str) -> None:
        unfinished = self.model.those("ready", "delayed", "held")
        assert self.outcome(lambda: self.queues[way].join(timeout=0)) is (TimeoutError if unfinished else None)

    # -- dead letters ------------------------------------------------------------------------------------------------

    @rule(way=ways, data=st.data(), how=st.sampled_from(["retry", "retry", "drop", "edit"]))
    def dead_letter(self, way: str, data: st.DataObject, how: str) -> None:
        dead = self.queues[way].dead
        letters = list(dead)
        if not letters:
            for call in (dead.retry, dead.drop, lambda number: dead.edit(number, 1)):
                assert self.outcome(lambda call=call: call(999)) is KeyError
            return
        letter = data.draw(st.sampled_from(letters))
        item = self.letter(letter)
        if how == "retry":
            assert self.outcome(lambda: dead.retry(letter.id, block=False)) == self.model.revive(item)
        elif how == "drop":
            assert dead.drop(letter.id).item == item.value
            self.model.items.remove(item)
        else:
            item.value = self.value(is_long=data.draw(st.booleans()))
            dead.edit(letter.id, item.value)

    def letter(self, letter: Any) -> Item:
        (item,) = (item for item in self.model.those("dead") if item.value == letter.item)
        return item

    @rule(way=ways, really=st.integers(0, 3))
    def all_dead_letters(self, way: str, really: int) -> None:
        dead = self.queues[way].dead
        items = [self.letter(letter) for letter in dead]
        if really == 0:
            assert dead.drop_all() == len(items)
            for item in items:
                self.model.items.remove(item)
        elif really == 1:
            errors = [self.model.revive(item) for item in items if self.model.makes_room()]
            expected: Any = Full if len(errors) < len(items) else len(items)
            assert self.outcome(lambda: dead.retry_all(block=False)) == expected

    # -- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def counters_agree(self) -> None:
        if not hasattr(self, "queues"):
            return
        for queue in self.queues.values():
            queue._file.write()  # what was settled, or it would be when the time has come
        for queue in self.queues.values():
            told = queue.stats()
            assert (*told[:6], told.delayed, told.dead) == self.model.stats()
            assert told[6:9] == (0, 0, False)
            assert queue.qsize() == len(queue) == told.waiting
            assert queue.full() == self.model.is_full()
            assert queue.is_paused == self.model.is_paused
        assert recounted(self.queues["near"]) == {}

    @invariant()
    def dead_letters_agree(self) -> None:
        if not hasattr(self, "queues"):
            return
        told = sorted((one.item, one.attempts, one.priority, one.key) for one in self.queues["far"].dead)
        assert told == sorted(
            (item.value, item.deliveries, item.priority, item.key) for item in self.model.those("dead")
        )

    def teardown(self) -> None:
        """Nothing is lost: what is left comes out, in the model's order."""
        if not hasattr(self, "queues"):
            return
        try:
            queue = self.queues["far"]
            queue.resume()
            self.model.is_paused = False
            self.clock.wall += 1000
            self.model.now = self.clock.wall
            while self.model.those("ready", "delayed"):
                self.get_many("far", 4)
            assert self.outcome(queue.get_nowait) is Empty
            assert problems(queue._storage) == []
        finally:
            for queue in self.queues.values():
                queue.close()


def settlement(lease: Any, how: str) -> Any:
    """Settle a lease in one of several ways."""
    if how == "raise":
        with lease:
            raise KeyError
    ways = {
        "done": lease.done,
        "retry": lease.retry,
        "later": lambda: lease.retry(7),
        "fail": lambda: lease.fail("no"),
        "extend": lease.extend,
    }
    return ways[how]()


def run_machine(monkeypatch: pytest.MonkeyPatch, examples: int, steps: int) -> None:
    with tempfile.TemporaryDirectory(prefix="headrace-", dir=folder_in_memory()) as folder:
        parts = {"clock": Clock(monkeypatch), "folder": Path(folder)}
        run_state_machine_as_test(
            type("FileMachine", (FileMachine,), parts),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_random_operations_do_what_the_model_does(monkeypatch: pytest.MonkeyPatch) -> None:
    run_machine(monkeypatch, examples=scaled(60), steps=40)


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_very_many_random_operations_do_what_the_model_does(monkeypatch: pytest.MonkeyPatch) -> None:
    run_machine(monkeypatch, examples=scaled(2000), steps=80)
