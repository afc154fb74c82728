"""Every promise of the contract, for every queue of both implementations; and the suite itself."""

from __future__ import annotations

import queue as standard
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from headrace.testing import (
    CAPABILITIES,
    LIFO_QUEUE,
    PRIORITY_QUEUE,
    QUEUE,
    SIMPLE_QUEUE,
    Promise,
    PromiseBroken,
    check_queue,
    promises,
)
from headrace.testing.threads import until

if TYPE_CHECKING:
    from types import SimpleNamespace

KINDS = {
    "Queue": QUEUE,
    "LifoQueue": LIFO_QUEUE,
    "PriorityQueue": PRIORITY_QUEUE,
    "SimpleQueue": SIMPLE_QUEUE,
}


def simple(implementation: SimpleNamespace) -> Any:
    """SimpleQueue takes no maxsize."""
    return lambda maxsize=0: implementation.SimpleQueue()


CASES = [
    pytest.param(kind, promise, id=f"{kind}-{promise}")
    for kind, capabilities in KINDS.items()
    for promise in promises()
    if not promise.absent(capabilities)
]


@pytest.mark.parametrize(("kind", "promise"), CASES)
def test_promise(promise: Promise, kind: str, implementation: SimpleNamespace) -> None:
    promise.run(simple(implementation) if kind == "SimpleQueue" else getattr(implementation, kind))


# -- the suite itself ------------------------------------------------------------------------------------------------


def test_check_queue_returns_the_promises_that_it_checked(implementation: SimpleNamespace) -> None:
    skipped: list[str] = []
    kept = check_queue(simple(implementation), capabilities=SIMPLE_QUEUE, report=skipped.append)
    assert "first_in_first_out" in kept
    assert "last_in_first_out" not in kept
    assert len(kept) + len(skipped) == len(promises())


def test_a_skipped_promise_names_the_capability_that_is_absent(capsys: pytest.CaptureFixture[str]) -> None:
    check_queue(standard_simple, capabilities=[], report=print)
    printed = capsys.readouterr().out
    assert "skipped lowest_first: has not the capability 'priority': the lowest item comes out first" in printed


def standard_simple(maxsize: int = 0) -> Any:
    """The twin's SimpleQueue, as somebody else's backend would be given."""
    from headrace.backends.memory.python import SimpleQueue

    return SimpleQueue()


def test_a_broken_queue_fails_with_the_names_of_its_broken_promises() -> None:
    made = []

    class Forgetful(standard.Queue):  # type: ignore[type-arg]
        def __init__(self, maxsize: int = 0) -> None:
            super().__init__(maxsize)
            made.append(self)

        def get(self, *arguments: Any, **named: Any) -> Any:
            return super().get(*arguments, **named) and 0

    before = set(threading.enumerate())
    with pytest.raises(ExceptionGroup) as caught:
        check_queue(Forgetful, capabilities={"fifo"}, time_limit=2)
    # The checks that hang are left behind, one of them in a loop that never rests (a timeout of NaN): end it, or all
    # tests that follow run at half the speed.
    until(lambda: end_gets(made) and not busy(set(threading.enumerate()) - before), "no thread of the checks is in get")
    broken = {error.promise for error in caught.value.exceptions if isinstance(error, PromiseBroken)}
    assert {"each_item_comes_out_once", "first_in_first_out"} <= broken
    assert "sizes_are_told_truly_at_rest" not in broken
    assert "first_in_first_out" in str(caught.value)


def end_gets(queues: list[Any]) -> bool:
    """Put something into each queue whose get may be waiting."""
    for queue in queues:
        if not queue.full():
            queue.put_nowait(None)
    return True


def busy(threads: set[threading.Thread]) -> bool:
    """Whether any of *threads* is inside a get with a time limit."""
    frames = sys._current_frames()
    stacks = [traceback.extract_stack(frames[thread.ident]) for thread in threads if thread.ident in frames]
    return any(frame.name == "a_timeout_that_is_no_number_is_refused" for stack in stacks for frame in stack)


def test_an_unknown_capability_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"'batch' is not a capability: did you mean 'batches'\?"):
        check_queue(standard.Queue, capabilities={"batch"})
    with pytest.raises(ValueError, match="the known ones are fifo, lifo"):
        check_queue(standard.Queue, capabilities={"qqqqqq"})


def test_a_promise_whose_check_hangs_is_broken() -> None:
    class Stuck(standard.Queue):  # type: ignore[type-arg]
        def put(self, *arguments: Any, **named: Any) -> None:
            standard.Queue().get()

    promise = next(promise for promise in promises() if promise.name == "each_item_comes_out_once")
    with pytest.raises(PromiseBroken, match=r"has not returned after 0\.1 seconds"):
        promise.run(Stuck, time_limit=0.1)


def test_every_capability_has_promises() -> None:
    needed = {need for promise in promises() for need in promise.needs}
    assert needed == set(CAPABILITIES)


def test_promises_have_names_of_their_own() -> None:
    names = [promise.name for promise in promises()]
    assert len(names) == len(set(names))


def test_the_suite_runs_without_pytest_and_refuses_to_run_without_assertions(child: Any) -> None:
    def checks() -> None:
        import sys

        import headrace
        from headrace.testing import SIMPLE_QUEUE, check_queue

        if __debug__:
            kept = check_queue(lambda maxsize=0: headrace.SimpleQueue(), capabilities=SIMPLE_QUEUE)
            print(len(kept), "promises are kept")
        else:
            try:
                check_queue(headrace.Queue)
            except RuntimeError as error:
                print(error)
        assert "pytest" not in sys.modules

    assert "promises are kept" in child.run(checks)
    assert "python -O strips assertions" in child.run(checks, options=("-O",))
