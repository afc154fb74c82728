"""What a backend needs for pools and leases: the methods of ``contract.LeasingContract``, nothing of the memory rung.

``Plain`` has these and no more. Its leases can be lost: it then says so, and has the item done by somebody else.
"""

from __future__ import annotations

import gc
import threading
from collections import defaultdict, deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from consumer_support import PATIENCE, eventually, none_stays, only_two_threads_start
from headrace import ConsumerPool, Lease, LeaseLost, Retry
from headrace.backends.memory.dead import DeadLetter
from headrace.backends.memory.envelope import Envelope
from headrace.errors import HandlerSettled, TakingStopped
from pool_support import threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import SimpleNamespace


nothing_stays = none_stays(threads)


class Parcel(Envelope):
    """An envelope with something in it that only its backend knows."""

    __slots__ = ("token",)

    def __init__(self, item: Any, headers: dict[str, str] | None, number: int) -> None:
        super().__init__(item, headers)
        self.id = number
        self.token: object = None


class Plain:
    """A queue in a deque that has the methods of the contract."""

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize
        self.is_shutdown = False
        self.dead: list[DeadLetter] = []
        self.unfinished = 0
        # What is lost is asked for by (method, item); what was lost is noted, and done by somebody else.
        self.to_lose: set[tuple[str, Any]] = set()
        self.lost: list[Any] = []
        # What the items failed with, as far as the queue was told.
        self.history: dict[Any, list[str]] = defaultdict(list)
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[Parcel] = deque()
        self._delayed: list[tuple[float, Parcel]] = []
        self._taken: dict[object, Parcel] = {}
        self._numbers = 0

    # -- the public ones --------------------------------------------------------------------------

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._add(item, None, block, timeout)

    def put_nowait(self, item: Any) -> None:
        self.put(item, block=False)

    def put_many(self, items: Iterable[Any], block: bool = True, timeout: float | None = None) -> None:
        for item in items:
            self.put(item, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        return self._take(None, block, timeout).item

    def task_done(self, count: int = 1) -> None:
        with self._changed:
            self.unfinished -= count
            self._changed.notify_all()

    def join(self, timeout: float | None = None) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: not self.unfinished, timeout):
                raise TimeoutError

    def shutdown(self, immediate: bool = False) -> None:
        with self._changed:
            self.is_shutdown = True
            self._changed.notify_all()

    def lease(self, block: bool = True, timeout: float | None = None) -> Lease[Any]:
        return Lease(self, block, timeout)

    # -- the seam ---------------------------------------------------------------------------------

    def _take(
        self,
        stop: list[Any] | None,
        block: bool = True,
        timeout: float | None = None,
        hand: list[Any] | None = None,
    ) -> Any:
        deadline = None if timeout is None else monotonic() + timeout
        with self._changed:
            while not (stop or self._waiting or self._become_ready()):
                if self.is_shutdown and not (self._delayed or (stop is not None and self.unfinished)):
                    raise headrace.ShutDown
                if not block or (deadline is not None and deadline <= monotonic()):
                    raise headrace.Empty
                self._changed.wait(self._until_next(deadline))
            if stop:
                raise TakingStopped
            parcel = self._waiting.popleft()
            parcel.token = object()
            self._taken[parcel.token] = parcel
            return parcel if hand is None else hand.append(parcel)

    def _settle(self, raw: Any, /) -> None:
        with self._changed:
            self._take_back("_settle", raw)
            type(self).task_done(self)

    def _retry(self, envelope: Envelope, delay: float, error: BaseException | None = None) -> DeadLetter | None:
        with self._changed:
            parcel = self._take_back("_retry", envelope)
            if error is not None:
                self.history[parcel.item].append(repr(error))
            parcel.attempt += 1
            self._delayed.append((monotonic() + delay, parcel))
            self._changed.notify_all()
            return None

    def _put_back(self, envelope: Envelope) -> DeadLetter | None:
        with self._changed:
            self._waiting.appendleft(self._take_back("_put_back", envelope))
            self._changed.notify_all()
            return None

    def _bury(self, envelope: Envelope, error: BaseException) -> DeadLetter:
        with self._changed:
            parcel = self._take_back("_bury", envelope)
            letter = DeadLetter(parcel, self._number(parcel), error, parcel.attempt)
            self.dead.append(letter)
            type(self).task_done(self)
            return letter

    def _number(self, envelope: Envelope) -> int:
        assert isinstance(envelope, Parcel)
        assert envelope.id is not None
        return envelope.id

    def _extend(self, envelope: Envelope) -> None:
        with self._changed:
            token = self._take_back("_extend", envelope).token
            assert isinstance(envelope, Parcel)
            self._taken[token] = envelope

    def _put_with_headers(
        self,
        item: Any,
        headers: dict[str, str] | None,
        block: bool = True,
        timeout: float | None = None,
        **more: Any,
    ) -> None:
        assert not more
        self._add(item, headers, block, timeout)

    def _interrupt(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _join(self, stop: list[Any], /) -> None:
        with self._changed:
            self._changed.wait_for(lambda: stop or not self.unfinished)
            if self.unfinished:
                raise TakingStopped

    # -- inside -----------------------------------------------------------------------------------

    def _add(self, item: Any, headers: dict[str, str] | None, block: bool, timeout: float | None) -> None:
        with self._changed:
            if not self._changed.wait_for(self._has_room, timeout if block else 0):
                raise headrace.Full
            if self.is_shutdown:
                raise headrace.ShutDown
            self._numbers += 1
            self.unfinished += 1
            self._waiting.append(Parcel(item, headers, self._numbers))
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self.is_shutdown or self.maxsize <= 0 or len(self._waiting) < self.maxsize

    def _take_back(self, method: str, raw: Any) -> Parcel:
        """What was taken, exactly as it was given out; or the lease of it is lost."""
        assert isinstance(raw, Parcel), "the pool gives back what it was given"
        parcel = self._taken.pop(raw.token)
        assert parcel is raw
        if (method, parcel.item) in self.to_lose:
            self.lost.append(parcel.item)
            type(self).task_done(self)
            raise LeaseLost("somebody else has it")
        return parcel

    def _become_ready(self) -> bool:
        now = monotonic()
        ready = [one for one in self._delayed if one[0] <= now]
        self._delayed = [one for one in self._delayed if one[0] > now]
        self._waiting.extend(parcel for _, parcel in ready)
        self._changed.notify_all()
        return bool(ready)

    def _until_next(self, deadline: float | None) -> float | None:
        times = [due for due, _ in self._delayed] + ([] if deadline is None else [deadline])
        return max(0.0, min(times) - monotonic()) if times else None


class ReadingAhead(Plain):
    """One that wants to know when pools take."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.taking = 0

    def _begin_taking(self, consumers: int) -> None:
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead-")]
        self.told.append(f"begin {consumers}")

    def _end_taking(self) -> None:
        self.told.append(f"end, {self.taking} taking")

    def _take(self, *arguments: Any, **more: Any) -> Any:
        self.taking += 1
        try:
            return super()._take(*arguments, **more)
        finally:
            self.taking -= 1


class Left(Exception):
    """What a block is left with."""


def pool_of(queue: Any, handler: Callable[[Any], object], consumers: int = 3, **more: Any) -> ConsumerPool:
    """A pool that leaves signals to the tests' runner."""
    return ConsumerPool(queue, handler, consumers, signals=False, **more)


def fails_once() -> tuple[list[Any], Callable[[Any], None]]:
    """A handler that fails at its first attempt at each item, and what it has done."""
    seen: set[Any] = set()
    done: list[Any] = []

    def handler(item: Any) -> None:
        if item not in seen:
            seen.add(item)
            raise ValueError(item)
        done.append(item)

    return done, handler


# ---- a queue that has the contract has pools ----

POLICIES: dict[str, dict[str, Any]] = {
    "none": {},
    "time limit": {"timeout": 60},
    "rate": {"rate": 100_000},
    "key": {"key": lambda item: item % 3},
    "listeners": {"listeners": [lambda event: None]},
    "all": {
        "timeout": 60,
        "rate": 100_000,
        "key": lambda item: item % 3,
        "per_key": 2,
        "listeners": [lambda event: None],
    },
}


@pytest.mark.parametrize("policies", POLICIES.values(), ids=POLICIES.keys())
def test_a_pool_handles_all_items_of_any_queue_that_has_the_contract(policies: dict[str, Any]) -> None:
    queue, count = Plain(), 60
    done, handler = fails_once()
    with pool_of(queue, handler, retry=Retry(2, delay=0.001), **policies) as pool:
        queue.put_many(range(count))
    assert sorted(done) == list(range(count))
    assert (pool.summary().items, pool.summary().retried, pool.summary().dead) == (count, count, 0)
    assert queue.history == {item: [f"ValueError({item})"] for item in range(count)}
    assert not queue.unfinished


def test_items_that_fail_for_good_are_buried_in_any_queue() -> None:
    queue = Plain()

    def handler(item: int) -> None:
        raise KeyError(item)

    with pool_of(queue, handler, retry=Retry(2, delay=0), on_error="dead") as pool:
        queue.put_many(range(5))
    assert sorted((letter.item, letter.id, letter.attempts) for letter in queue.dead) == [
        (item, item + 1, 2) for item in range(5)
    ]
    assert pool.summary().dead == 5


def test_listeners_are_told_the_backends_numbers_and_get_their_headers_back() -> None:
    queue = Plain()
    told: list[tuple[str, Any, int | None, int, Any]] = []

    class Tagging:
        def __call__(self, event: headrace.Event) -> None:
            if event.kind != "stopped":
                told.append((event.kind, event.item, event.id, event.attempt, event.headers))

        def on_put(self, item: object) -> dict[str, str]:
            return {"of": str(item)}

    _, handler = fails_once()
    with pool_of(queue, handler, 1, retry=Retry(2, delay=0), listeners=[Tagging()]):
        queue.put("a")
        queue.join(PATIENCE)
    headers = {"of": "a"}
    assert [one for one in told if one[0] != "put"] == [
        ("started", "a", 1, 1, headers),
        ("retried", "a", 1, 1, headers),
        ("started", "a", 1, 2, headers),
        ("done", "a", 1, 2, headers),
    ]
    assert ("put", "a", None, 0, headers) in told


def test_a_handler_that_takes_too_long_fails_in_any_queue() -> None:
    queue, release = Plain(), threading.Event()

    def handler(item: str) -> None:
        release.wait(PATIENCE)

    with pool_of(queue, handler, 1, timeout=0.02, on_error="dead") as pool:
        queue.put("a")
    release.set()
    assert isinstance(queue.dead[0].error, TimeoutError)
    assert (pool.summary().timed_out, pool.summary().dead, pool.summary().items) == (1, 1, 0)


def test_a_handler_that_settles_its_item_itself_stops_all_in_any_queue() -> None:
    queue = Plain()
    with pytest.raises(ExceptionGroup) as caught, pool_of(queue, lambda item: queue.task_done()):
        queue.put("a")
    assert isinstance(caught.value.exceptions[0], HandlerSettled)
    assert [letter.item for letter in queue.dead] == ["a"]
    assert "task_done" not in vars(queue)


def test_what_was_parked_or_not_begun_is_put_back_in_any_queue_and_is_no_attempt() -> None:
    queue = Plain()
    begun, release = threading.Event(), threading.Event()

    def handler(item: int) -> None:
        begun.set()
        release.wait(PATIENCE)

    with pool_of(queue, handler, 2, key=lambda item: 0) as pool:
        queue.put_many(range(4))
        begun.wait(PATIENCE)
        eventually(lambda: not queue._waiting)  # parked
        pool.stop()
        release.set()
    assert [(parcel.item, parcel.attempt) for parcel in queue._waiting] == [(1, 1), (2, 1), (3, 1)]


@pytest.mark.parametrize("method", ["_settle", "_retry", "_put_back", "_bury", "_number", "_put_with_headers"])
def test_a_queue_that_lacks_a_method_is_refused_at_once(method: str) -> None:
    class Lacking:
        def __getattr__(self, name: str) -> Any:
            if name == method:
                raise AttributeError(name)
            return lambda *arguments: None

    with pytest.raises(headrace.NotSupported):
        pool_of(Lacking(), print)


# ---- leases that are lost ----


@pytest.mark.parametrize("listeners", [[], [lambda event: None]], ids=["plain loop", "observed loop"])
@pytest.mark.parametrize("method", ["_settle", "_retry", "_bury"])
def test_a_pool_goes_on_when_a_lease_is_lost_and_counts_nothing(
    method: str, listeners: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    queue = Plain()
    queue.to_lose = {(method, "lost")}
    failing = {"_settle": (), "_retry": ("lost", "again"), "_bury": ("lost",)}[method]
    seen: list[str] = []

    def handler(item: str) -> None:
        seen.append(item)
        if item in failing and seen.count(item) == 1:
            raise ValueError(item)

    retry = Retry(2, delay=0) if method == "_retry" else None
    with pool_of(queue, handler, 1, retry=retry, on_error="dead", listeners=listeners) as pool:
        queue.put_many(["first", "lost", "again", "last"])
    summary = pool.summary()
    assert (summary.items, summary.dead, summary.retried) == (3, 0, 1 if method == "_retry" else 0)
    assert (summary.replaced, queue.lost, queue.dead) == (0, ["lost"], [])
    (record,) = caplog.records
    assert "lost the lease of 'lost', somebody else has it: it may have been done twice" in record.getMessage()
    assert record.levelname == "WARNING"


def test_a_lost_lease_of_an_ignored_failure_is_not_counted_as_done() -> None:
    queue = Plain()
    queue.to_lose = {("_settle", 1)}

    def handler(item: int) -> None:
        raise ValueError(item)

    with pool_of(queue, handler, on_error=lambda *_: headrace.Ignore()) as pool:
        queue.put_many(range(3))
    assert pool.summary().items == 2


def test_a_failure_that_is_to_stop_all_does_so_although_its_lease_is_lost() -> None:
    queue = Plain()
    queue.to_lose = {("_bury", 1)}

    def handler(item: int) -> None:
        raise ValueError(item)

    pool = pool_of(queue, handler)
    with pytest.raises(ExceptionGroup) as caught, pool:
        queue.put(1)
    assert caught.value.exceptions[0].__traceback__ is not None
    assert pool.summary().dead == 0


@pytest.mark.parametrize("method", ["_retry", "_put_back"])
def test_a_pool_that_is_left_ends_although_leases_are_lost(method: str, caplog: pytest.LogCaptureFixture) -> None:
    queue = Plain()
    queue.to_lose = {(method, 0), (method, 1)}
    begun, release = threading.Event(), threading.Event()

    def handler(item: int) -> None:
        begun.set()
        release.wait(PATIENCE)

    def leave_with_one_begun_and_one_parked() -> None:
        with pool_of(queue, handler, 2, key=lambda _: 0, grace=0):
            queue.put(0)
            begun.wait(PATIENCE)
            queue.put(1)
            eventually(lambda: not queue._waiting)
            raise Left

    with pytest.raises(Left):
        leave_with_one_begun_and_one_parked()
    release.set()
    assert queue.lost == ([0] if method == "_retry" else [1])
    # Only an item that was begun may have been done twice.
    assert sum("lost the lease" in record.getMessage() for record in caplog.records) == (method == "_retry")


# ---- reading ahead ----


def leave(queue: ReadingAhead, pool: ConsumerPool, way: str, begun: threading.Event) -> None:
    if way == "with an error":
        raise Left
    if way == "stopped":
        pool.stop()
    if way == "shut down":
        queue.shutdown()
    if way in ("failed", "given up"):
        queue.put(way)
        begun.wait(PATIENCE)
    if way == "given up":
        raise Left


@pytest.mark.parametrize("way", ["normally", "with an error", "stopped", "shut down", "failed", "given up"])
def test_a_queue_is_told_when_a_pool_begins_to_take_and_when_it_has_ended(way: str) -> None:
    queue = ReadingAhead()
    begun, release = threading.Event(), threading.Event()

    def handler(item: object) -> None:
        begun.set()
        if item == "failed":
            raise ValueError(item)
        if item == "given up":
            release.wait(PATIENCE)

    pool = pool_of(queue, handler, 2, name="ahead", grace=0.5 if way != "given up" else 0)
    with suppress(Left, ExceptionGroup), pool:
        assert queue.told == ["begin 2"]
        queue.put_many(range(5))
        leave(queue, pool, way, begun)
    release.set()
    assert queue.told == ["begin 2", "end, 0 taking"]


def test_a_queue_is_told_of_the_end_when_a_pool_cannot_be_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = ReadingAhead()
    only_two_threads_start(monkeypatch)
    with pytest.raises(RuntimeError), pool_of(queue, print, 3, name="ahead"):
        pass
    assert queue.told == ["begin 3", "end, 0 taking"]


def test_a_queue_that_refuses_to_begin_is_not_told_of_an_end() -> None:
    class Refusing(ReadingAhead):
        def _begin_taking(self, consumers: int) -> None:
            raise OSError("no room on the disk")

    queue = Refusing()
    with pytest.raises(OSError, match="no room"), pool_of(queue, print):
        pass
    assert queue.told == []
    assert "task_done" not in vars(queue)


def test_a_queue_that_cannot_end_its_reading_hides_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(ReadingAhead):
        def _end_taking(self) -> None:
            raise OSError("no room on the disk")

    queue = Failing()
    with pytest.raises(ExceptionGroup), pool_of(queue, lambda item: 1 // item):
        queue.put(0)
    assert "could not give back what it had read ahead" in caplog.text


# ---- leases of any queue ----


def test_a_lease_knows_its_queue_by_the_contract() -> None:
    queue = Plain()
    queue.put_many(["done", "retried", "failed", "raised"])
    with queue.lease() as lease:
        lease.extend()
        assert (lease.id, lease.item, lease.attempt, lease.is_held) == (1, "done", 1, True)
    queue.lease().retry(delay=0)
    queue.lease().fail("no good")
    with pytest.raises(ValueError, match="mine"), queue.lease():
        raise ValueError("mine")
    assert [letter.item for letter in queue.dead] == ["failed"]
    assert queue.history == {"raised": ["ValueError('mine')"]}
    assert {queue._take(None).item for _ in range(2)} == {"retried", "raised"}
    assert queue.unfinished == 2


@pytest.mark.parametrize("method", ["_settle", "_retry", "_bury", "_extend"])
def test_a_lease_that_is_lost_says_so_and_is_not_held_any_more(method: str) -> None:
    queue = Plain()
    queue.put("a")
    queue.to_lose = {(method, "a")}
    lease = queue.lease()
    calls: dict[str, Callable[[], object]] = {
        "_settle": lease.done,
        "_retry": lease.retry,
        "_bury": lambda: lease.fail("no"),
        "_extend": lease.extend,
    }
    with pytest.raises(LeaseLost):
        calls[method]()
    assert not lease.is_held
    for again in (lease.done, lease.extend):
        with pytest.raises(LeaseLost):
            again()


def test_a_block_that_raises_keeps_its_error_when_the_lease_is_lost_too() -> None:
    queue = Plain()
    queue.put("a")
    queue.to_lose = {("_retry", "a")}
    with pytest.raises(ValueError, match="mine"), queue.lease():
        raise ValueError("mine")


def test_a_lost_lease_that_is_let_go_of_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    queue = Plain()
    queue.put("a")
    queue.to_lose = {("_retry", "a")}
    lease: Any = queue.lease()
    del lease
    gc.collect()
    assert queue.lost == ["a"]
    assert capsys.readouterr().err == ""


# ---- the memory rung ----


def test_a_lease_in_memory_can_be_extended_until_it_is_settled(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put("a")
    lease = queue.lease()
    lease.extend()
    assert lease.is_held
    lease.done()
    with pytest.raises(LeaseLost):
        lease.extend()


def test_an_item_keeps_its_id_when_its_lease_is_let_go_of(make: Callable[..., Any]) -> None:
    queue = make()
    for item in "ab":
        queue.put(item)
    lease = queue.lease()
    item, number = lease.item, lease.id
    del lease
    gc.collect()
    assert {lease.item: lease.id for lease in [queue.lease(), queue.lease()]}[item] == number


def test_settling_is_by_the_method_of_the_class_past_what_hides_it(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put(1)
    queue.put(2)
    queue.put(3)
    queue.task_done = None  # what a pool's guard does
    for unfinished in (2, 1, 0):
        assert queue._settle(queue._take(None)) is None
        assert queue.unfinished_tasks == unfinished
    with pytest.raises(ValueError, match="too many times"):
        queue._settle(1)


def test_a_class_with_a_task_done_of_its_own_is_asked_to_settle(make: Any) -> None:
    class Counting(make):  # type: ignore[misc]
        settled = 0

        def task_done(self, count: int = 1) -> str:
            type(self).settled += count
            super().task_done(count)
            return "ignored"

    class Later(make):  # type: ignore[misc]
        settled = 0

    for kind in (Counting, Later):
        queue = kind()
        for item in range(5):
            queue.put(item)
        queue._settle(queue._take(None))
        if kind is Later:  # given it later, while a queue is in use
            Later.settled = 1
            Later.task_done = counted
        with pool_of(queue, lambda item: None):
            pass
        assert kind.settled == 5
        assert not queue.unfinished_tasks


def counted(queue: Any, count: int = 1) -> None:
    """A ``task_done`` that is assigned to a class."""
    type(queue).settled += count
    type(queue).__mro__[1].task_done(queue, count)


def test_who_joins_is_woken_by_the_last_item_that_is_settled(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put(1)
    queue.put(2)
    joined = threading.Thread(target=queue.join)
    joined.start()
    queue._settle(queue._take(None))
    queue._settle(queue._take(None))
    joined.join(PATIENCE)
    assert not joined.is_alive()


def test_a_pool_takes_items_that_lie_about_their_class(implementation: SimpleNamespace) -> None:
    class Lying:
        @property
        def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            raise ReferenceError("what this stood for is gone")

    queue, seen = implementation.Queue(), list[int]()
    with pool_of(queue, lambda item: seen.append(1)):
        for _ in range(3):
            queue.put(Lying())
    assert len(seen) == 3


class Tags:
    """A listener that attaches a header and keeps what it is told of."""

    kinds = frozenset({"put", "started"})

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[tuple[str, Any, Any]] = []

    def __call__(self, event: headrace.Event) -> None:
        self.told.append((event.kind, event.item, event.headers))

    def on_put(self, item: object) -> dict[str, str]:
        return {self.name: "1"}


def test_an_item_with_headers_keeps_its_priority_when_it_is_tried_again(implementation: SimpleNamespace) -> None:
    queue = implementation.PriorityQueue()
    order: list[str] = []

    def handler(item: dict[str, str]) -> None:
        order.append(item["is"])
        if order.count(item["is"]) == 1:
            raise ValueError

    with pool_of(queue, handler, 1, listeners=[Tags("a")], retry=Retry(2, delay=0)) as pool:
        for priority, name in ((2, "second"), (1, "first")):
            queue.put({"is": name}, priority=priority)  # which do not compare
    assert pool.summary().items == 2
    assert not list(queue.dead)


def test_two_pools_of_a_queue_are_both_told_of_a_put_and_of_the_item_itself(make: Callable[..., Any]) -> None:
    queue, outer, inner = make(), Tags("outer"), Tags("inner")
    with (
        pool_of(queue, lambda item: None, listeners=[outer]),
        pool_of(queue, lambda item: None, listeners=[inner]),
    ):
        queue.put("a")
    both = {"outer": "1", "inner": "1"}
    assert [one for one in outer.told if one[0] == "put"] == [("put", "a", both)]
    assert [item for kind, item, _ in inner.told if kind == "put"] == ["a"]
    assert [one for one in outer.told + inner.told if one[0] == "started"] == [("started", "a", both)]


def test_a_wrapper_around_put_is_given_what_its_callers_give(make: Callable[..., Any]) -> None:
    queue, tags, given = make(), Tags("a"), list[Any]()
    put = queue.put

    def logged(item: Any, *arguments: Any, **more: Any) -> None:
        given.append(item)
        put(item, *arguments, **more)

    queue.put = logged
    with pool_of(queue, lambda item: None, listeners=[tags]) as pool:
        queue.put("a")
    assert (given, pool.summary().items, queue.put) == (["a"], 1, logged)
