"""``aconsume``: what is in the source is handled, and what goes wrong comes out, with nothing left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from aio_support import LOOPS, until
from headrace import aconsume
from test_pool_async import _no_task_is_destroyed, _no_thread_stays, ignore, make, refuse, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Make = Callable[..., Any]

__all__ = ["_no_task_is_destroyed", "_no_thread_stays", "make"]


class Source:
    """Sources of the numbers from 0, of every kind, which say whether they were closed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.is_closed = False

    def plain(self) -> Iterator[int]:
        try:
            yield from range(self.count)
        finally:
            self.is_closed = True

    async def asynchronous(self) -> AsyncIterator[int]:
        try:
            for number in range(self.count):
                await asyncio.sleep(0)
                yield number
        finally:
            self.is_closed = True


WAYS: dict[str, Callable[[Source], Any]] = {
    "generator": lambda source: source.plain(),
    "function": lambda source: source.plain,
    "asynchronous generator": lambda source: source.asynchronous(),
    "asynchronous function": lambda source: source.asynchronous,
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", WAYS)
def test_every_item_of_the_source_is_handled_once(way: str, loop: str) -> None:
    source, handled = Source(200), []

    async def handler(item: int) -> None:
        await asyncio.sleep(0)
        handled.append(item)

    async def main() -> headrace.Summary:
        return await aconsume(WAYS[way](source), handler, consumers=10, maxsize=5)

    summary = run(main, loop)
    assert sorted(handled) == list(range(200))
    assert (summary.items, summary.failed, len(summary.per_consumer)) == (200, 0, 10)
    assert str(summary).startswith("200 items in ")
    assert source.is_closed


@pytest.mark.parametrize("way", WAYS)
def test_the_first_failure_stops_all_and_comes_out(way: str) -> None:
    source = Source(10**6)

    async def main() -> None:
        await aconsume(WAYS[way](source), refuse(7), consumers=1, maxsize=3)

    with pytest.raises(ValueError, match="bad item 7") as raised:
        run(main)
    assert raised.value.__notes__ == ["while handling item 8: 7"]
    assert source.is_closed


def test_handlers_that_run_at_the_failure_come_to_their_end() -> None:
    ended = []

    async def handler(item: int) -> None:
        if item == 2:
            raise ValueError(item)
        await asyncio.sleep(0.02)
        ended.append(item)
        if item == 1:
            raise KeyError(item)

    with pytest.raises(ExceptionGroup, match="several failures") as raised:
        run(lambda: aconsume(range(100), handler, consumers=3))
    assert sorted(ended) == [0, 1]
    assert {type(error) for error in raised.value.exceptions} == {ValueError, KeyError}


def test_a_failure_ends_a_source_that_waits() -> None:
    async def never_ends() -> AsyncIterator[int]:
        yield 1
        await asyncio.get_running_loop().create_future()

    with pytest.raises(ValueError, match="bad item 1"):
        run(lambda: aconsume(never_ends, refuse(1)))


def test_a_source_that_fails_says_after_which_item() -> None:
    def fails() -> Iterator[int]:
        yield from range(3)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more") as raised:
        run(lambda: aconsume(fails, ignore))
    assert raised.value.__notes__ == ["after item 3 of the source"]


def test_a_handler_that_finds_another_queue_shut_down_has_failed() -> None:
    other: headrace.AsyncQueue[int] = headrace.AsyncQueue()
    other.shutdown()
    with pytest.raises(headrace.ShutDown):
        run(lambda: aconsume(range(3), other.put))


@pytest.mark.parametrize("way", WAYS)
def test_cancelling_it_cancels_the_handlers_and_closes_the_source(way: str) -> None:
    source, inside, cancelled = Source(100), [], []

    async def handler(item: int) -> None:
        inside.append(item)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.append(item)

    async def main() -> None:
        task = asyncio.create_task(aconsume(WAYS[way](source), handler, maxsize=5))
        await until(lambda: len(inside) == 3)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(main)
    assert sorted(cancelled) == sorted(inside)
    assert source.is_closed


@pytest.mark.parametrize("source", [7, print, ignore, asyncio.Queue()])
def test_what_cannot_be_iterated_over_is_refused(source: Any) -> None:
    with pytest.raises(TypeError):
        run(lambda: aconsume(source, ignore))


def test_arguments_that_cannot_work_are_refused() -> None:
    for arguments, kind in (
        ({"handler": 7}, TypeError),
        ({"consumers": 0}, ValueError),
        ({"maxsize": -1}, ValueError),
    ):
        with pytest.raises(kind):
            run(lambda arguments=arguments: aconsume(**{"source": [], "handler": ignore, **arguments}))  # type: ignore[misc]
    with pytest.raises(TypeError, match="cannot be awaited"):
        run(lambda: aconsume([1], print))  # type: ignore[arg-type]


# ---- of a queue ----


@pytest.mark.parametrize("face", ["queue", "aio"])
def test_the_items_of_a_queue_are_handled_until_it_is_shut_down(make: Make, face: str) -> None:
    queue, handled = make(3), Counter[int]()

    async def handler(item: int) -> None:
        handled[item] += 1

    async def main() -> headrace.Summary:
        task = asyncio.create_task(aconsume(queue if face == "queue" else queue.aio, handler))
        await queue.aio.put_many(range(50))
        queue.shutdown()
        return await task

    assert run(main).items == 50
    assert handled == dict.fromkeys(range(50), 1)
    assert queue.stats().unfinished == 0


def test_the_failure_of_an_item_of_a_queue_is_raised_and_the_rest_stays(make: Make) -> None:
    queue = make()
    queue.put_many(range(5))
    with pytest.raises(ValueError, match="bad item") as raised:
        run(lambda: aconsume(queue, refuse(*range(5)), consumers=1))
    assert raised.value.__notes__[0].startswith("while handling ")
    assert (len(queue.dead), queue.qsize(), queue.is_shutdown) == (1, 4, True)


def test_cancelling_it_gives_the_items_back_to_the_queue(make: Make) -> None:
    queue, inside = make(), []

    async def handler(item: int) -> None:
        inside.append(item)
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        queue.put_many(range(5))
        task = asyncio.create_task(aconsume(queue, handler))
        await until(lambda: len(inside) == 3)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(main)
    assert queue.qsize() == queue.stats().unfinished == 5
