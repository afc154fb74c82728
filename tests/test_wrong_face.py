"""What a program mistakes for something else, functions for coroutines and the two faces of a queue, is told so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import aio

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace


async def double(item: int) -> int:
    return 2 * item


def hidden(item: int) -> Any:
    """What nobody can see to be a coroutine function before it is called."""
    return double(item)


def pool(handler: Callable[[int], object]) -> None:
    queue = headrace.Queue[int]()
    queue.put_many(range(3))
    with headrace.ConsumerPool(queue, handler, signals=False):
        pass


def pool_with_a_time_limit(handler: Callable[[int], object]) -> None:
    queue = headrace.Queue[int]()
    queue.put_many(range(3))
    with headrace.ConsumerPool(queue, handler, signals=False, timeout=60):
        pass


def consumer(handler: Callable[[int], object]) -> None:
    queue = headrace.Queue[int]()
    queue.put_many(range(3))
    queue.shutdown()
    thread = headrace.Consumer(queue, handler)
    thread.start()
    thread.join()


RUNS = [
    lambda handler: headrace.consume(range(3), handler),
    lambda handler: list(headrace.map(handler, range(3))),
    lambda handler: headrace.Pipeline(range(3)).sink(handler).run(),
    pool,
    pool_with_a_time_limit,
    consumer,
]


@pytest.mark.parametrize("run", RUNS)
def test_a_coroutine_that_a_thread_would_not_run_is_refused(run: Callable[[Any], object]) -> None:
    with pytest.raises((TypeError, ExceptionGroup)) as raised:
        run(hidden)
    error = raised.value.exceptions[0] if isinstance(raised.value, ExceptionGroup) else raised.value
    assert isinstance(error, TypeError)
    assert "returned a coroutine" in str(error)


@pytest.mark.parametrize("run", [each for each in RUNS if each is not RUNS[2]])
def test_a_method_that_is_to_be_awaited_is_no_handler_for_threads(
    implementation: SimpleNamespace, run: Callable[[Any], object]
) -> None:
    queue = implementation.Queue()
    with pytest.raises(TypeError, match="is a coroutine function"):
        run(queue.aio.put)
    assert queue.empty()


def test_a_pipeline_may_end_in_a_queue(implementation: SimpleNamespace) -> None:
    queue = implementation.Queue()
    headrace.Pipeline(range(5)).stage(double).sink(queue.aio.put).run()
    assert sorted(queue.get_many(9)) == [0, 2, 4, 6, 8]


def test_threads_are_not_given_the_face_for_coroutines(implementation: SimpleNamespace) -> None:
    face = implementation.Queue().aio
    with pytest.raises(TypeError, match=r"use its \.sync"):
        headrace.Producer(face, range(3))
    with pytest.raises(TypeError, match=r"use its \.sync"):
        headrace.Consumer(face, print)


def test_hooks_of_a_subclass_that_nobody_would_call_are_refused() -> None:
    with pytest.raises(TypeError, match=r"overrides _put, _get, .* a subclass of headrace.Queue"):
        type("Stack", (aio.Queue,), {"_put": None, "_get": None})


def test_the_kinds_of_queues_are_classes() -> None:
    for kind in (aio.LifoQueue, aio.PriorityQueue):
        queue = kind(maxsize=3)
        assert isinstance(queue, kind)
        assert isinstance(queue, headrace.AsyncQueue)
        assert queue.maxsize == 3


def test_what_waits_says_for_what() -> None:
    async def main() -> None:
        queue = headrace.AsyncQueue[int]()
        task = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        assert "AsyncQueue.get" in repr(task)
        task.cancel()

    asyncio.run(main())
