"""Random sequences of operations: the queues do what a plain model does, counters included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from conftest import load, scaled
from headrace.testing.model import FifoModel, LifoModel, Outcome, PriorityModel, State, observe

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.testing.model import QueueModel

numbers = st.integers(0, 5)
batches = st.lists(numbers, max_size=6)


class QueueMachine(RuleBasedStateMachine):
    """Every operation that does not block, on a queue and on its model."""

    make: Callable[..., Any]
    model: QueueModel

    @initialize(maxsize=st.integers(-1, 4))
    def start(self, maxsize: int) -> None:
        self.queue = type(self).make(maxsize)
        self.state = State(maxsize=maxsize)

    def expect(self, operation: str, *arguments: Any) -> Outcome:
        self.state, outcome = self.model.step(self.state, operation, *arguments)
        return outcome

    @rule(item=numbers, way=st.sampled_from(["put_nowait", "put", "timeout"]))
    def put(self, item: int, way: str) -> None:
        queue = self.queue
        calls = {
            "put_nowait": lambda: queue.put_nowait(item),
            "put": lambda: queue.put(item, False),
            "timeout": lambda: queue.put(item, timeout=0),
        }
        assert observe(calls[way]) == self.expect("put", item)

    @rule(items=batches, drawn=st.booleans(), wait=st.booleans())
    def put_many(self, items: list[int], drawn: bool, wait: bool) -> None:
        source = iter(items) if drawn else items
        arguments = (True, 0) if wait else (False,)
        assert observe(self.queue.put_many, source, *arguments) == self.expect("put_many", items, drawn)

    @rule(way=st.sampled_from(["get_nowait", "get", "timeout"]))
    def get(self, way: str) -> None:
        queue = self.queue
        calls = {
            "get_nowait": queue.get_nowait,
            "get": lambda: queue.get(False),
            "timeout": lambda: queue.get(timeout=0),
        }
        assert observe(calls[way]) == self.expect("get")

    @rule(max_items=st.integers(-1, 5))
    def get_many(self, max_items: int) -> None:
        assert observe(self.queue.get_many, max_items, False) == self.expect("get_many", max_items)

    @rule()
    def item(self) -> None:
        """A get with a task_done."""

        def take() -> Any:
            with self.queue.item(block=False) as item:
                return item

        expected = self.expect("get")
        if expected.error:
            assert observe(take) == expected
        else:
            # A surplus task_done by hand may have used up the count: then leaving the block is the surplus one.
            settled = self.expect("task_done")
            assert observe(take) == (settled if settled.error else expected)

    @rule()
    def peek(self) -> None:
        assert observe(self.queue.peek) == self.expect("peek")

    @rule()
    def task_done(self) -> None:
        assert observe(self.queue.task_done) == self.expect("task_done")

    @rule()
    def join(self) -> None:
        assert observe(self.queue.join, 0) == self.expect("join")

    @rule()
    def clear(self) -> None:
        assert observe(self.queue.clear) == self.expect("clear")

    @rule(maxsize=st.integers(-1, 6))
    def resize(self, maxsize: int) -> None:
        self.queue.maxsize = maxsize
        self.expect("resize", maxsize)

    # Not in every run, for after it there is little more to see.
    @rule(immediate=st.booleans(), really=st.integers(0, 9))
    def shutdown(self, immediate: bool, really: int) -> None:
        if really == 0:
            assert observe(self.queue.shutdown, immediate) == self.expect("shutdown", immediate)

    @rule(name=st.sampled_from(["mutex", "not_empty", "not_full", "all_tasks_done", "queue"]), really=st.integers(0, 9))
    def look_into(self, name: str, really: int) -> None:
        if really == 0:
            getattr(self.queue, name)

    @invariant()
    def counters_agree(self) -> None:
        if not hasattr(self, "queue"):
            return
        state, queue = self.state, self.queue
        assert queue.stats() == (
            len(state.items),
            state.unfinished,
            state.maxsize,
            state.put_total,
            state.get_total,
            state.dropped_total,
            0,
            0,
            state.is_shutdown,
            0,
            0,
        )
        assert queue.qsize() == len(queue) == len(state.items)
        assert queue.empty() == (not state.items)
        assert queue.full() == state.is_full
        assert queue.unfinished_tasks == state.unfinished
        assert queue.is_shutdown == state.is_shutdown
        assert queue.maxsize == state.maxsize

    def teardown(self) -> None:
        """What is left comes out in the model's order."""
        if hasattr(self, "queue"):
            while self.state.items:
                self.get("get")


class FifoMachine(QueueMachine):
    model = FifoModel()

    @rule(item=numbers, really=st.integers(0, 9))
    def put_in_front(self, item: int, really: int) -> None:
        """The idiom that puts an item back in front, and a get."""
        if really != 0:
            return
        with self.queue.mutex:
            self.queue.queue.appendleft(item)
        assert self.queue.get_nowait() == item
        self.state = self.state._replace(get_total=self.state.get_total + 1)


class LifoMachine(QueueMachine):
    model = LifoModel()


class PriorityMachine(QueueMachine):
    """Items are told apart by a serial number; priorities collide often. Stable until somebody looks inside."""

    model = PriorityModel()

    @initialize()
    def number(self) -> None:
        self.serial = 0

    @rule(priority=numbers, way=st.sampled_from(["put_nowait", "put"]))
    def put_with_priority(self, priority: int, way: str) -> None:
        self.serial += 1
        item = f"item {self.serial}"
        arguments = (item,) if way == "put_nowait" else (item, False)
        put = getattr(self.queue, way)
        assert observe(put, *arguments, priority=priority) == self.expect("put", (priority, item))

    # The bare heap has no order among equals: see test_contract for what it has.
    look_into = None  # type: ignore[assignment]


MACHINES = {"Queue": FifoMachine, "LifoQueue": LifoMachine, "PriorityQueue": PriorityMachine}


def run_machine(kind: str, implementation: str, examples: int, steps: int) -> None:
    machine = type(f"{kind}Machine", (MACHINES[kind],), {"make": getattr(load(implementation), kind)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("kind", MACHINES)
def test_random_operations_do_what_the_model_does(kind: str, implementation: Any) -> None:
    run_machine(kind, implementation.name, examples=scaled(150), steps=40)


@pytest.mark.stress
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", MACHINES)
def test_very_many_random_operations_do_what_the_model_does(kind: str, implementation: Any) -> None:
    run_machine(kind, implementation.name, examples=scaled(3000), steps=80)
