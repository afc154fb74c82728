"""Every promise of the contract, kept by the asynchronous faces too: of queues in memory, and in files."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import LOOPS, Loop
from file_support import Maker
from headrace import aio
from headrace.testing import FILE_QUEUE, LIFO_QUEUE, PRIORITY_QUEUE, QUEUE, Promise, promises

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import SimpleNamespace

LEFT_OUT = frozenset(
    {
        # Of the blocking class itself, and of subclasses of it.
        "identity",
        "hooks",
        "internals",
        # The face has no clear: `queue.clear()`, which does not wait, is the same there.
        "clear",
    }
)
"""The capabilities that the asynchronous face has not, or that are not about it."""

# Of a call that is wrong in two ways the blocking face raises what the standard library raises. The asynchronous one
# refuses a timeout that is none before it looks at anything else: there is no standard to follow.
OTHER_ERROR_FIRST = {"a_put_without_a_bound_ignores_its_timeout", "shutdown_wins_over_a_bad_timeout"}

KEPT = [promise for promise in promises() if promise.name not in OTHER_ERROR_FIRST]


class Blocking:
    """The asynchronous face of a queue with the names of the blocking one: each call runs in the next of some loops."""

    def __init__(self, queue: Any, loops: list[Loop]) -> None:
        self.sync = queue
        self._face = queue.aio
        self._loops = itertools.cycle(loops)

    def _run(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call it in a loop, and wait here for what it returns to end."""

        async def call() -> Any:
            result = function(*arguments, **named)
            return await result if hasattr(result, "__await__") else result

        if asyncio._get_running_loop() is not None:
            # A destructor, a comparison or the like, in the thread of a loop: it cannot wait there.
            return getattr(self.sync, function.__name__)(*arguments, **named)
        try:
            return next(self._loops).start(call()).result()
        except (aio.QueueEmpty, aio.QueueFull, aio.QueueShutDown) as error:
            # The promises name the errors of the blocking face.
            error.__class__ = type(error).__mro__[1]  # type: ignore[assignment]
            raise

    def put(self, item: Any, block: bool = True, timeout: float | None = None, **more: Any) -> None:
        if block:
            return self._run(self._face.put, item, timeout, **more)
        return self.put_nowait(item, **more)

    def put_nowait(self, item: Any, **more: Any) -> None:
        return self._run(self._face.put_nowait, item, **more)

    def put_many(self, items: Any, block: bool = True, timeout: float | None = None) -> None:
        return self._run(self._face.put_many, items, timeout if block else 0)

    def put_at(self, *arguments: Any, **named: Any) -> None:
        return self._run(self._face.put_at, *arguments, **named)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if block:
            # Without a time limit, as programs call it: that is another path.
            return self._run(self._face.get) if timeout is None else self._run(self._face.get, timeout)
        return self.get_nowait()

    def get_nowait(self) -> Any:
        return self._run(self._face.get_nowait)

    def get_many(self, max_items: int, block: bool = True, timeout: float | None = None) -> list[Any]:
        items: list[Any] = self._run(self._face.get_many, max_items, timeout if block else 0)
        return items

    def task_done(self, count: int = 1) -> None:
        self._run(self._face.task_done, count)

    def join(self, timeout: float | None = None) -> None:
        self._run(self._face.join, timeout)

    def shutdown(self, immediate: bool = False) -> None:
        self._run(self._face.shutdown, immediate)

    def lease(self, block: bool = True, timeout: float | None = None) -> Any:
        return self._run(self._face.lease, timeout if block else 0)

    def item(self, block: bool = True, timeout: float | None = None) -> BlockingItem:
        return BlockingItem(self._run, self._face.item(timeout if block else 0))

    def __enter__(self) -> Blocking:
        self.sync.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.sync.__exit__(*error)

    def __iter__(self) -> Iterator[Any]:
        items = aiter(self._face)
        while True:
            try:
                item = self._run(items.__anext__)
            except StopAsyncIteration:
                return
            yield item
            del item

    @property
    def maxsize(self) -> Any:
        return self._face.maxsize

    @maxsize.setter
    def maxsize(self, value: Any) -> None:
        self.sync.maxsize = value

    def __len__(self) -> int:
        return len(self._face)

    def __bool__(self) -> bool:
        return bool(self._face)

    def __contains__(self, item: object) -> bool:
        return item in self._face

    def __getattr__(self, name: str) -> Any:
        """What does not wait: of the face where it has that, else of the queue."""
        return getattr(self._face if hasattr(self._face, name) else self.sync, name)


class BlockingItem:
    """``with queue.item() as item``, by the asynchronous one."""

    def __init__(self, run: Callable[..., Any], item: Any) -> None:
        self._run = run
        self._item = item

    def __enter__(self) -> Any:
        return self._run(self._item.__aenter__)

    def __exit__(self, *error: object) -> Any:
        return self._run(self._item.__aexit__, *error)


@pytest.fixture(scope="module")
def loops() -> Iterator[list[Loop]]:
    """Some loops, each in a thread of its own."""
    made = [Loop(kind) for kind in (*LOOPS, LOOPS[0])]
    for each in made:
        each.__enter__()
    yield made
    for each in made:
        each.__exit__()


KINDS = {"Queue": QUEUE, "LifoQueue": LIFO_QUEUE, "PriorityQueue": PRIORITY_QUEUE}
CASES = [
    pytest.param(kind, promise, id=f"{kind}-{promise}")
    for kind, capabilities in KINDS.items()
    for promise in KEPT
    if not promise.absent(capabilities - LEFT_OUT)
]


@pytest.mark.parametrize(("kind", "promise"), CASES)
def test_promise(promise: Promise, kind: str, implementation: SimpleNamespace, loops: list[Loop]) -> None:
    make = getattr(implementation, kind)
    promise.run(lambda maxsize=0: Blocking(make(maxsize), loops))


OF_FILES = [promise for promise in KEPT if not promise.absent(FILE_QUEUE - LEFT_OUT)]


@pytest.mark.parametrize("promise", OF_FILES, ids=str)
def test_promise_of_a_queue_in_a_file(promise: Promise, path_in_memory: str, loops: list[Loop]) -> None:
    maker = Maker(Path(path_in_memory).parent, durability="process")

    def make(maxsize: int | None = 0, *, again: Any = None, **options: Any) -> Blocking:
        return Blocking(maker(maxsize, again=None if again is None else again.sync, **options), loops)

    try:
        promise.run(make)
    finally:
        maker.close()


def test_most_of_the_contract_is_checked_here() -> None:
    assert len(KEPT) == len(promises()) - 2
    assert len(CASES) > 300
    assert len(OF_FILES) > 100
