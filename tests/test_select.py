"""``headrace.select``: one of several queues, held to what Go's and crossbeam's suites hold theirs to."""

from __future__ import annotations

import queue as standard_queue
import random
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from conftest import scaled
from consumer_support import eventually
from headrace import Empty, Full, NothingReady, Selected, ShutDown, select, selecting
from interrupts import Interrupt, at_each_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import SimpleNamespace

    from conftest import Child

FOR_EVER = 30.0  # seconds; for a select that must come to something


@contextmanager
def threads(*functions: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run *functions* beside the block, and have what they returned in the list when it is left."""
    results: list[Any] = []
    with ThreadPoolExecutor(len(functions)) as pool:
        futures = [pool.submit(function) for function in functions]
        yield results
        results += [future.result(FOR_EVER) for future in futures]


def run_all(*functions: Callable[[], Any]) -> list[Any]:
    with threads(*functions) as results:
        pass
    return results


def waits(getters: int = 0, putters: int = 0, *queues: Any) -> None:
    """Return once so many stand in the lines of each of *queues*."""
    for each in queues:
        eventually(lambda each=each: each.stats()[6:8] == (getters, putters))


def drained(queue: Any) -> list[Any]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


@pytest.fixture
def quick_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


# -- what it returns, and what it leaves alone ---------------------------------------------------------------------


def test_it_takes_from_the_queue_that_has_an_item_and_from_no_other(make: Callable[..., Any]) -> None:
    first, second = make(), make()
    second.put("item")
    queue, item = select(first, second)
    assert (queue, item) == (second, "item")
    assert first.stats() == make().stats()
    second.task_done()
    second.join(0)


def test_of_two_that_have_an_item_one_keeps_it(make: Callable[..., Any]) -> None:
    queues = [make(), make()]
    for queue in queues:
        queue.put("item")
    chosen = select(*queues)
    assert [queue.qsize() for queue in queues] == [int(queue is not chosen.queue) for queue in queues]


def test_it_puts_into_the_queue_that_has_room_and_into_no_other(make: Callable[..., Any]) -> None:
    full, roomy = make(1), make(1)
    full.put("there")
    assert select(full.putting("a"), roomy.putting("b")) == (roomy, "b")
    assert drained(full) == ["there"]
    assert drained(roomy) == ["b"]


def test_the_case_that_was_chosen_is_told(make: Callable[..., Any]) -> None:
    queue = make(1)
    getting, putting = queue.getting(), queue.putting(1)
    put = select(getting, putting)
    assert (put.case, put.queue, put.item) == (putting, queue, 1)
    got = select(getting, putting)
    assert (got.case, got.queue, got.item) == (getting, queue, 1)
    assert isinstance(got, Selected)
    queue.put(2)
    assert select(queue).case.queue is queue
    assert [repr(case)[:8] for case in (getting, putting)] == ["<Getting", "<Putting"]


def test_what_waits_is_served_as_by_get(make: Callable[..., Any]) -> None:
    queue, other = make(), make()
    for number in (2, 1, 3):
        queue.put(number)
    twin = make()
    for number in (2, 1, 3):
        twin.put(number)
    assert [select(queue, other).item for _ in range(3)] == [twin.get() for _ in range(3)]


def test_putting_takes_what_put_takes(implementation: SimpleNamespace) -> None:
    queue, other = implementation.PriorityQueue(), implementation.Queue(1)
    other.put(0)
    for name, priority in [("late", 2), ("early", 1)]:
        assert select(queue.putting(name, priority=priority), other.putting(1)).item == name
    assert [select(queue, queue).item for _ in range(2)] == ["early", "late"]
    with pytest.raises(TypeError):
        select(queue.putting(1, colour="red"))
    assert queue.empty()


def test_a_case_may_be_used_again_and_by_several_threads(make: Callable[..., Any]) -> None:
    queue = make()
    case = queue.putting(1)
    run_all(*[lambda: [select(case) for _ in range(100)]] * 4)
    assert drained(queue) == [1] * 400


@pytest.mark.parametrize("face", [False, True])
def test_a_queue_may_be_given_as_its_asynchronous_face(make: Callable[..., Any], face: bool) -> None:
    queue, other = make(), make()
    given = queue.aio if face else queue
    queue.put(1)
    assert select(given, other.aio) == (given, 1)
    assert select(given.putting(2)).queue is given
    assert select(given.getting(), other.aio).item == 2


def test_items_come_from_all_kinds_of_queues_at_once(path_in_memory: str) -> None:
    from headrace.backends.memory import python

    class Hooked(headrace.Queue[Any]):
        def _put(self, item: Any) -> None:
            self.queue.append(("hooked", item))

    class Overridden(headrace.Queue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            return "overridden", super().get(block, timeout)

    opened = headrace.Queue[Any]()
    assert opened.mutex
    kinds = (headrace.Queue, headrace.LifoQueue, headrace.PriorityQueue, python.Queue, python.LifoQueue)
    queues: list[Any] = [kind() for kind in (*kinds, Hooked, Overridden)]
    queues += [opened]
    results: list[Any] = []
    with threads(lambda: results.extend(select(*queues, timeout=FOR_EVER) for _ in queues)):
        for queue in queues:
            waits(1, 0, *queues)
            queue.put(1)
            eventually(lambda queue=queue: results and results[-1].queue is queue)
    assert [item for _, item in results] == [1, 1, 1, 1, 1, ("hooked", 1), ("overridden", 1), 1]


def test_what_is_no_case_is_refused(implementation: SimpleNamespace) -> None:
    queue = implementation.Queue()
    for wrong in (standard_queue.Queue(), implementation.SimpleQueue(), 7, "queue"):
        with pytest.raises(TypeError, match="select"):
            select(queue, wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"write select\(\*queues\)"):
        select([queue])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        queue.getting(True)
    with pytest.raises(TypeError):
        queue.putting()


def test_cases_that_are_none_are_left_out(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put(1)
    assert select(None, queue, None).item == 1
    with pytest.raises(NothingReady):
        select(None, queue, timeout=0.001)
    for nothing in ((), (None,)):
        with pytest.raises(ValueError, match="nothing to wait for"):
            select(*nothing)


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 0.0, 0.02])
def test_without_anything_ready_it_raises_after_its_time_and_has_done_nothing(
    make: Callable[..., Any], timeout: float
) -> None:
    empty, full = make(), make(1)
    full.put(0)
    begin = monotonic()
    with pytest.raises(NothingReady) as raised:
        select(empty, full.putting(1), timeout=timeout)
    assert timeout <= monotonic() - begin < timeout + 5
    for standard in (Empty, Full, TimeoutError, standard_queue.Empty, standard_queue.Full):
        assert isinstance(raised.value, standard)
    assert str(raised.value) == "no case of the select was ready"
    waits(0, 0, empty, full)
    assert drained(full) == [0]


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_a_timeout_that_is_none_is_refused(make: Callable[..., Any], timeout: float) -> None:
    queue = make()
    queue.put(1)
    with pytest.raises(ValueError, match="timeout"):
        select(queue, timeout=timeout)
    assert queue.qsize() == 1


@pytest.mark.parametrize("timeout", [None, 1e300, float("inf"), FOR_EVER])
def test_what_comes_within_the_time_is_had(make: Callable[..., Any], timeout: float | None) -> None:
    queues = [make(), make()]
    with threads(lambda: select(*queues, timeout=timeout)) as results:
        waits(1, 0, *queues)
        queues[1].put("late")
    assert results == [(queues[1], "late")]


@pytest.mark.parametrize("timeout", [0, 0.00001])
def test_of_two_queues_of_which_one_has_an_item_at_any_time_it_is_found_without_waiting(
    implementation: SimpleNamespace, timeout: float
) -> None:
    """Who looks at one after the other sees neither's: it is put into the first behind his back, then taken from the
    second."""
    moves: list[str] = []

    class Watched(implementation.Queue):  # type: ignore[name-defined, misc]
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            try:
                return super().get(block, timeout)
            except Empty:
                other = second if self is first else first
                if len(moves) < 5:
                    moves.append("moved")
                    self.put("item")
                    other.get_nowait()
                    raise Empty from None
                raise

    for _ in range(20):
        first, second = Watched(), Watched()
        first.put("item")
        moves.clear()
        assert select(first, second, timeout=timeout).item == "item"


def test_an_item_that_is_there_before_a_shutdown_is_found_without_waiting(make: Callable[..., Any]) -> None:
    for _ in range(scaled(300)):
        queue = make(1)
        queue.put(1)
        with threads(lambda queue=queue: select(queue, timeout=0).item) as results:
            queue.shutdown()
        assert results == [1]


def test_two_threads_whose_selects_often_run_out_of_time_pass_everything_on(make: Callable[..., Any]) -> None:
    queue, count = make(2), scaled(200)

    def put() -> None:
        for number in range(count):
            while True:
                try:
                    select(queue.putting(number), timeout=random.random() / 1000)
                    break
                except NothingReady:
                    pass

    def get() -> list[int]:
        got: list[int] = []
        while len(got) < count:
            try:
                got.append(select(queue, timeout=random.random() / 1000).item)
            except NothingReady:
                pass
        return got

    _, got = run_all(put, get)
    assert sorted(got) == list(range(count))


# -- waiting, and being woken ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_select_that_sleeps_is_woken_by_each_of_its_queues(make: Callable[..., Any], which: int) -> None:
    queues = [make(), make(), make()]
    with threads(lambda: select(*queues, timeout=FOR_EVER)) as results:
        waits(1, 0, *queues)
        queues[which].put(which)
    assert results == [(queues[which], which)]
    waits(0, 0, *queues)


@pytest.mark.parametrize("how", ["get", "select", "clear", "maxsize"])
def test_a_select_that_waits_for_room_is_woken_by_it(make: Callable[..., Any], how: str) -> None:
    queues = [make(1), make(1)]
    for queue in queues:
        queue.put(0)
    with threads(lambda: select(*(queue.putting(1) for queue in queues), timeout=FOR_EVER)) as results:
        waits(0, 1, *queues)
        if how == "get":
            queues[1].get()
        elif how == "select":
            select(queues[1])
        elif how == "clear":
            queues[1].clear()
        else:
            queues[1].maxsize = 2
    assert results == [(queues[1], 1)]
    assert queues[0].qsize() == 1
    waits(0, 0, *queues)


def test_an_item_that_comes_back_wakes_a_select(make: Callable[..., Any]) -> None:
    queue, other = make(), make()
    queue.put(1)
    lease = queue.lease()
    with threads(lambda: select(queue, other, timeout=FOR_EVER)) as results:
        waits(1, 0, queue, other)
        lease.retry()
    assert results == [(queue, 1)]


def test_what_a_select_heard_of_and_did_not_take_is_another_s(make: Callable[..., Any]) -> None:
    """A select is woken for two items and takes one; who waits for the other has it."""
    for _ in range(scaled(100)):
        first, second = make(), make()

        def both(first: Any = first, second: Any = second) -> Any:
            return select(first, second, timeout=FOR_EVER).item

        with threads(both, both) as results:
            waits(2, 0, first, second)
            first.put("first")
            second.put("second")
        assert sorted(results) == ["first", "second"]


def test_who_gets_plainly_is_served_beside_a_select(make: Callable[..., Any]) -> None:
    queue, other = make(), make()
    with threads(lambda: select(queue, other, timeout=FOR_EVER), lambda: queue.get(timeout=FOR_EVER)) as results:
        waits(2, 0, queue)
        waits(1, 0, other)
        queue.put(1)
        eventually(lambda: queue.stats().getters_blocked == 1)
        queue.put(1)
    assert sorted(map(repr, results)) == sorted(map(repr, [(Selected(queue, 1)), 1]))


def test_a_queue_that_is_opened_under_a_sleeping_select_still_wakes_it(implementation: SimpleNamespace) -> None:
    queue, other = implementation.Queue(), implementation.Queue()
    with threads(lambda: select(queue, other, timeout=FOR_EVER)) as results:
        waits(1, 0, queue, other)
        with queue.mutex:
            pass
        waits(1, 0, queue, other)
        queue.put(1)
    assert results == [(queue, 1)]


def test_a_sleeping_select_does_not_turn_the_processor_hot(make: Callable[..., Any]) -> None:
    """Looking in vain must not wake who looked, nor another who then looks in vain."""
    queues = [make(), make()]
    looks = Counter[str]()
    original = selecting.Choice.is_made

    def counted(choice: Any) -> bool:
        looks["all"] += 1
        return original(choice)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selecting.Choice, "is_made", counted)
        with threads(*[lambda: select(*queues, timeout=FOR_EVER)] * 3):
            waits(3, 0, *queues)
            with pytest.raises(NothingReady):
                select(*queues, timeout=0.05)
            for queue in queues * 2:
                queue.put(1)
    assert looks["all"] <= 60


# -- fairness ----------------------------------------------------------------------------------------------------------


def evenly(count: Counter[Any], kinds: int) -> bool:
    """Whether *kinds* came up about as often as each other: seven standard deviations."""
    total = sum(count.values())
    mean = total / kinds
    spread = 7 * (mean * (1 - 1 / kinds)) ** 0.5
    return len(count) == kinds and all(abs(each - mean) < spread for each in count.values())


@pytest.mark.parametrize("ready", [2, 3, 5])
def test_of_gets_that_are_always_ready_each_is_as_likely(implementation: SimpleNamespace, ready: int) -> None:
    queues = [implementation.Queue() for _ in range(ready)]
    for number, queue in enumerate(queues):
        queue.put_many([number] * 3000)
    asleep = implementation.Queue()
    assert evenly(Counter(select(asleep, *queues, asleep).item for _ in range(3000)), ready)


def test_of_puts_that_are_always_ready_each_is_as_likely(implementation: SimpleNamespace) -> None:
    queue = implementation.Queue()
    for _ in range(2000):
        select(queue.putting(0), queue.putting(1))
    assert evenly(Counter(drained(queue)), 2)


def test_of_a_get_and_a_put_that_are_always_ready_each_is_as_likely(implementation: SimpleNamespace) -> None:
    source, sink = implementation.Queue(), implementation.Queue()
    source.put_many(["get"] * 2000)
    assert evenly(Counter(select(source, sink.putting("put")).item for _ in range(2000)), 2)


def test_two_that_are_kept_full_by_threads_are_served_alike(implementation: SimpleNamespace) -> None:
    """Neither starves, though which of them is ready is up to the threads that fill them."""
    queues = [implementation.Queue(50) for _ in range(2)]
    stop = threading.Event()

    def fill(queue: Any) -> None:
        while not stop.is_set():
            try:
                queue.put(1, timeout=0.1)
            except Full:
                pass

    with threads(*(lambda queue=queue: fill(queue) for queue in queues)):
        count = Counter(id(select(*queues, timeout=FOR_EVER).queue) for _ in range(scaled(3000)))
        stop.set()
    assert min(count[id(queue)] for queue in queues) > scaled(3000) / 20


# -- the same queue more than once -------------------------------------------------------------------------------------


def test_the_same_queue_twice_is_taken_from_once(make: Callable[..., Any]) -> None:
    queue = make()
    with threads(lambda: select(queue, queue, timeout=FOR_EVER)) as results:
        waits(2, 0, queue)
        queue.put(1)
        queue.put(2)
    assert len(results) == queue.qsize() == 1
    waits(0, 0, queue)


def test_a_put_twice_into_the_same_queue_goes_in_once(make: Callable[..., Any]) -> None:
    queue = make(2)
    queue.put(0)
    select(queue.putting(1), queue.putting(2))
    assert queue.qsize() == 2
    with threads(lambda: select(queue.putting(3), queue.putting(4), timeout=FOR_EVER)):
        waits(0, 2, queue)
        queue.get()
    assert queue.qsize() == 2
    waits(0, 0, queue)


@pytest.mark.usefixtures("quick_switches")
def test_threads_that_get_from_and_put_into_one_queue_in_one_select_do_not_stick(make: Callable[..., Any]) -> None:
    queue, count = make(1), scaled(300)

    def both(name: int) -> tuple[list[Any], list[Any]]:
        put: list[Any] = []
        got: list[Any] = []
        for number in range(count):
            case = queue.putting(name * count + number)
            chosen = select(queue, case, timeout=FOR_EVER)
            (put if chosen.case is case else got).append(chosen.item)
        return put, got

    results = run_all(lambda: both(0), lambda: both(1), lambda: both(2))
    put = [item for each, _ in results for item in each]
    got = [item for _, each in results for item in each]
    assert sorted(got + drained(queue)) == sorted(put)


# -- the end of queues -------------------------------------------------------------------------------------------------


def test_queues_that_have_ended_are_left_out_until_all_have(make: Callable[..., Any]) -> None:
    queues = [make(), make()]
    for queue in queues:
        queue.put(1)
    queues[0].shutdown()
    assert {select(*queues).queue for _ in range(2)} == set(queues)
    with pytest.raises(NothingReady):
        select(*queues, timeout=0.01)
    queues[1].put(2)
    assert select(*queues).item == 2
    queues[1].shutdown()
    with pytest.raises(ShutDown, match="shut down") as raised:
        select(*queues)
    assert raised.value.queue is None


def test_a_shutdown_of_the_last_ends_a_select_that_sleeps(make: Callable[..., Any]) -> None:
    queues = [make(), make()]

    def ends() -> str:
        with pytest.raises(ShutDown):
            select(*queues, timeout=FOR_EVER)
        return "ended"

    with threads(ends, ends) as results:
        waits(2, 0, *queues)
        queues[0].shutdown()
        waits(2, 0, *queues)
        queues[1].shutdown(immediate=True)
    assert results == ["ended"] * 2


@pytest.mark.parametrize("sleeps", [False, True])
def test_the_end_of_a_required_queue_ends_the_select(make: Callable[..., Any], sleeps: bool) -> None:
    work, stop = make(), make()

    def ends() -> str:
        with pytest.raises(ShutDown) as raised:
            select(work, stop.getting(required=True), timeout=FOR_EVER)
        assert raised.value.queue is stop
        return "ended"

    if not sleeps:
        stop.shutdown()
        assert ends() == "ended"
        return
    with threads(ends, ends, ends) as results:
        waits(3, 0, work, stop)
        stop.shutdown()
    assert results == ["ended"] * 3
    work.put(1)
    assert work.get_nowait() == 1


def test_a_required_queue_gives_its_last_items_first(make: Callable[..., Any]) -> None:
    work, stop = make(), make()
    stop.put("last")
    stop.shutdown()
    assert select(work, stop.getting(required=True)).item == "last"
    with pytest.raises(ShutDown):
        select(work, stop.getting(required=True))


@pytest.mark.parametrize("sleeps", [False, True])
def test_a_put_into_a_queue_that_was_shut_down_is_an_error(make: Callable[..., Any], sleeps: bool) -> None:
    queue, other = make(1), make()
    queue.put(0)

    def ends() -> str:
        with pytest.raises(ShutDown) as raised:
            select(other, queue.putting(1), timeout=FOR_EVER)
        assert raised.value.queue is queue
        return "ended"

    if not sleeps:
        queue.shutdown()
        assert ends() == "ended"
        return
    with threads(ends) as results:
        waits(0, 1, queue)
        queue.shutdown()
    assert results == ["ended"]
    waits(0, 0, queue, other)


def test_a_queue_that_waits_for_a_delayed_item_has_not_ended(make: Callable[..., Any]) -> None:
    queue, other = make(), make()
    queue.put(1)
    queue.lease().retry(delay=0.05)
    queue.shutdown()
    other.shutdown()
    assert select(queue, other, timeout=FOR_EVER).item == 1
    with pytest.raises(ShutDown):
        select(queue, other)


def test_an_error_of_the_queue_is_raised_and_leaves_nothing(implementation: SimpleNamespace) -> None:
    class Odd(implementation.Queue):  # type: ignore[name-defined, misc]
        def _get(self) -> Any:
            raise OSError("the container is broken")

    queue, other = Odd(), implementation.Queue()

    def fails() -> None:
        with pytest.raises(OSError, match="broken"):
            select(queue, other, timeout=FOR_EVER)

    with threads(fails):
        waits(1, 0, queue, other)
        queue.put(1)
    waits(0, 0, queue, other)
    assert queue.qsize() == 1


# -- programs ----------------------------------------------------------------------------------------------------------


def test_a_ping_pong_between_threads_that_select(make: Callable[..., Any]) -> None:
    there, back, never, count = make(1), make(1), make(), scaled(500)

    def player(source: Any, sink: Any) -> list[int]:
        got = []
        for _ in range(count):
            got.append(select(never, source, timeout=FOR_EVER).item)
            select(never, sink.putting(got[-1] + 1), timeout=FOR_EVER)
        return got

    there.put(0)
    first, second = run_all(lambda: player(there, back), lambda: player(back, there))
    assert first == list(range(0, 2 * count, 2))
    assert second == list(range(1, 2 * count, 2))


def test_a_sieve_of_threads(implementation: SimpleNamespace) -> None:
    """One thread for each prime lets pass what its prime does not divide."""
    stop = implementation.Queue()

    def generate(sink: Any) -> None:
        number = 2
        while select(sink.putting(number), stop.getting()).queue is sink:
            number += 1

    def sieve(source: Any, sink: Any, prime: int) -> None:
        while True:
            queue, number = select(source, stop)
            if queue is stop:
                return
            if number % prime and select(sink.putting(number), stop).queue is stop:
                return

    primes = []
    with ThreadPoolExecutor(30) as pool:
        source = implementation.Queue(1)
        pool.submit(generate, source)
        for _ in range(12):
            primes.append(source.get(timeout=FOR_EVER))
            sink = implementation.Queue(1)
            pool.submit(sieve, source, sink, primes[-1])
            source = sink
        stop.put_many([None] * 13)
    assert primes == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]
    assert stop.empty()


def test_a_fan_in_ends_with_its_last_source(make: Callable[..., Any]) -> None:
    sources, sink = [make(2) for _ in range(3)], make()

    def feed(number: int) -> None:
        for item in range(100):
            sources[number].put((number, item))
        sources[number].shutdown()

    def merge() -> None:
        while True:
            try:
                _, item = select(*sources)
            except ShutDown:
                return
            sink.put(item)

    run_all(merge, *(lambda number=number: feed(number) for number in range(3)))
    assert sorted(drained(sink)) == [(number, item) for number in range(3) for item in range(100)]


def test_each_end_of_several_queues_can_be_told(make: Callable[..., Any]) -> None:
    queues = [make(2) for _ in range(3)]

    def feed(number: int) -> None:
        for item in range(50):
            queues[number].put((number, item))
        queues[number].shutdown()

    def merge() -> tuple[list[Any], list[Any]]:
        got, left = [], list(queues)
        while left:
            try:
                got.append(select(*(queue.getting(required=True) for queue in left)).item)
            except ShutDown as error:
                left.remove(error.queue)
                got.append(error.queue)
        return got, left

    got = run_all(merge, *(lambda number=number: feed(number) for number in range(3)))[0][0]
    for number, queue in enumerate(queues):
        assert got.index(queue) > got.index((number, 49))
    assert len(got) == 153


def test_one_select_with_gets_and_puts_is_a_buffer_between_threads(make: Callable[..., Any]) -> None:
    """The classic of Go: receive and send in turn, whichever can, with the send disabled while there is nothing."""
    source, sink, count = make(1), make(1), scaled(300)

    def buffer() -> int:
        held: list[Any] = []
        most = 0
        is_open = True
        while is_open or held:
            try:
                chosen = select(
                    source.getting(required=True) if is_open else None, sink.putting(held[0]) if held else None
                )
            except ShutDown:
                is_open = False
                continue
            if chosen.queue is source:
                held.append(chosen.item)
                most = max(most, len(held))
            else:
                del held[0]
        sink.shutdown()
        return most

    def put() -> None:
        for number in range(count):
            source.put(number)
        source.shutdown()

    _, _, got = run_all(buffer, put, lambda: list(sink))
    assert got == list(range(count))


def test_a_sequence_sent_over_several_queues_arrives_once(make: Callable[..., Any]) -> None:
    """Each number is offered to four queues in one select: exactly one of them has it."""
    queues, count = [make(1) for _ in range(4)], scaled(1000)

    def send() -> None:
        for number in range(count):
            select(*(queue.putting(number) for queue in queues))
        for queue in queues:
            queue.shutdown()

    results = run_all(send, *(lambda queue=queue: list(queue) for queue in queues))
    assert sorted(number for got in results[1:] for number in got) == list(range(count))
    assert all(got == sorted(got) for got in results[1:])


def test_queues_may_be_sent_through_queues(implementation: SimpleNamespace) -> None:
    """Each message is the queue over which the next one comes."""
    first, never, count = implementation.Queue(1), implementation.Queue(), scaled(300)

    def send() -> None:
        queue = first
        for _ in range(count):
            following = implementation.Queue(1)
            select(never, queue.putting(following))
            queue = following

    def receive() -> int:
        queue, hops = first, 0
        for _ in range(count):
            queue = select(never, queue).item
            hops += 1
        return hops

    assert run_all(send, receive)[1] == count


@pytest.mark.usefixtures("quick_switches")
def test_four_queues_under_stress_lose_and_double_nothing(make: Callable[..., Any]) -> None:
    """One sender and one receiver of each queue by itself, one sender and one receiver that selects on all four, which
    disables a queue when it is done with it."""
    queues, each = [make(2) for _ in range(4)], scaled(400)

    def send(number: int) -> None:
        for item in range(each):
            queues[number].put((number, "alone", item))

    def receive(number: int) -> list[Any]:
        return [queues[number].get() for _ in range(each)]

    def send_all() -> None:
        left = [each] * 4
        while any(left):
            cases = [queue.putting((n, "all", left[n])) if left[n] else None for n, queue in enumerate(queues)]
            chosen = select(*cases, timeout=FOR_EVER)
            left[queues.index(chosen.queue)] -= 1

    def receive_all() -> list[Any]:
        left, got = [each] * 4, []
        while any(left):
            chosen = select(*(queue if left[n] else None for n, queue in enumerate(queues)), timeout=FOR_EVER)
            left[queues.index(chosen.queue)] -= 1
            got.append(chosen.item)
        return got

    results = run_all(
        send_all,
        receive_all,
        *(lambda n=n: send(n) for n in range(4)),
        *(lambda n=n: receive(n) for n in range(4)),
    )
    got = [item for result in results if result for item in result]
    assert len(got) == len(set(got)) == 8 * each
    assert [queue.qsize() for queue in queues] == [0] * 4


@pytest.mark.usefixtures("quick_switches")
def test_any_number_of_selecting_threads_share_what_any_number_puts(make: Callable[..., Any]) -> None:
    queues, count = [make(3) for _ in range(3)], scaled(1000)

    def put(name: int) -> None:
        for number in range(count):
            item = name * count + number
            if number % 3:
                select(*(queue.putting(item) for queue in queues))
            else:
                queues[number % 2].put(item)

    def take() -> list[int]:
        got = []
        while True:
            try:
                got.append(select(*queues, timeout=FOR_EVER).item)
            except ShutDown:
                return got

    def take_plainly() -> list[int]:
        return list(queues[0])

    with ThreadPoolExecutor(8) as pool:
        takers = [pool.submit(take) for _ in range(3)] + [pool.submit(take_plainly)]
        for putter in [pool.submit(put, name) for name in range(4)]:
            putter.result(FOR_EVER)
        for queue in queues:
            queue.shutdown()
        got = [item for taker in takers for item in taker.result(FOR_EVER)]
    assert sorted(got) == list(range(4 * count))
    waits(0, 0, *queues)


# -- interrupts, handlers, forks, leaks --------------------------------------------------------------------------------


class Sleep:
    """The lock that a select sleeps on; but going to sleep puts an item, and is what wakes it."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self.release = self._lock.release

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._lock.locked():
            self._queue.put("item")
        return self._lock.acquire(blocking, timeout)


@pytest.mark.parametrize("sleeps", [False, True])
def test_an_interrupt_at_any_line_has_taken_nothing(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, sleeps: bool
) -> None:
    """Wherever Ctrl-C falls in the Python of select, the item is returned or is still there, and all goes on."""

    def attempt(at: int) -> bool:
        queue, other = make(), make()
        monkeypatch.setattr(selecting, "allocate_lock", lambda: Sleep(queue))
        if not sleeps:
            queue.put("item")
        got = []
        sys.settrace(Interrupt(at, selecting))
        try:
            got.append(select(other, queue, other).item)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
            assert len(got) + queue.qsize() == queue.stats().put_total <= 1
            # Whoever still stands there is woken, and forgotten.
            for each in (queue, other):
                each.put("more")
                each.get()
                assert each.stats().getters_blocked == 0
        return False

    assert at_each_line(attempt) > (60 if sleeps else 30)


def ctrl_c_while_it_waits() -> None:
    import os
    import signal
    import threading
    import time

    import headrace

    signal.signal(signal.SIGINT, signal.default_int_handler)
    queues = [headrace.Queue(1), headrace.Queue(1), headrace.Queue(1)]
    queues[2].put("full")

    def interrupt() -> None:
        while queues[0].stats().getters_blocked == 0:
            time.sleep(0.001)
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    for _ in range(3):
        thread = threading.Thread(target=interrupt)
        thread.start()
        begin = time.monotonic()
        try:
            headrace.select(queues[0], queues[1], queues[2].putting("more"), timeout=60)
        except KeyboardInterrupt:
            assert time.monotonic() - begin < 20
        else:
            raise AssertionError("it was not interrupted")
        thread.join()
        for queue in queues:
            assert queue.stats()[6:8] == (0, 0), queue.stats()
    queues[0].put(1)
    queues[1].put(2)
    assert [queue.qsize() for queue in queues] == [1, 1, 1]
    assert queues[2].get() == "full"


@pytest.mark.skipif(sys.platform == "win32", reason="a wait in the main thread is as uninterruptible as Python's own")
def test_ctrl_c_ends_a_select_that_waits_at_once_and_it_has_taken_nothing(child: Child) -> None:
    child.run(ctrl_c_while_it_waits)


def a_handler_puts() -> None:
    import signal

    import headrace

    queues = [headrace.Queue(), headrace.Queue()]
    numbers = iter(range(10**9))

    def handler(signum: int, frame: object) -> None:
        number = next(numbers)
        queues[number % 2].put(number)

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0002)
    got = [headrace.select(*queues, timeout=30).item for _ in range(500)]
    signal.setitimer(signal.ITIMER_REAL, 0)
    got += [queue.get() for queue in queues for _ in range(queue.qsize())]
    assert sorted(got) == list(range(next(numbers)))


@pytest.mark.skipif(sys.platform == "win32", reason="this platform has no interval timers")
def test_a_signal_handler_may_put_what_its_own_thread_selects(child: Child) -> None:
    child.run(a_handler_puts)


def a_child_selects_while_its_parent_does() -> None:
    import threading
    import time

    import headrace
    from forking import run_forked

    queues = [headrace.Queue(), headrace.Queue()]
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(headrace.select(*queues, timeout=30)))
    thread.start()
    while queues[1].stats().getters_blocked == 0:
        time.sleep(0.001)

    def in_child() -> None:
        assert queues[0].stats().getters_blocked == 0
        threading.Timer(0.05, queues[0].put, (1,)).start()
        assert headrace.select(*queues, timeout=30) == (queues[0], 1)

    run_forked(in_child)
    assert not results
    queues[1].put(2)
    thread.join()
    assert results == [(queues[1], 2)]


@pytest.mark.skipif(sys.platform == "win32", reason="this platform has no fork")
def test_a_forked_child_selects_while_its_parent_does(child: Child) -> None:
    child.run(a_child_selects_while_its_parent_does)


def a_destructor_puts() -> None:
    import threading

    import headrace

    queues = [headrace.Queue(), headrace.Queue()]

    class Putter:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            queues[self.number % 2].put(self.number)

    def drop(count: int) -> None:
        for number in range(count):
            cycle: list[object] = [Putter(number)]
            cycle.append(cycle)

    thread = threading.Thread(target=drop, args=(2000,))
    thread.start()
    got = []
    import gc

    while len(got) < 2000:
        try:
            got.append(headrace.select(*queues, timeout=0.01).item)
        except headrace.NothingReady:
            gc.collect()
    thread.join()
    assert sorted(got) == list(range(2000))


def test_destructors_put_what_is_selected(child: Child) -> None:
    child.run(a_destructor_puts)


def selects_come_and_go() -> None:
    import gc
    import os
    import sys

    import headrace

    queues = [headrace.Queue(1), headrace.Queue(1)]
    item = object()

    def rounds(count: int) -> None:
        for _ in range(count):
            for timeout in (0, 0.000001):
                try:
                    headrace.select(*queues, timeout=timeout)
                except headrace.Empty:
                    pass
            headrace.select(queues[0].putting(item), queues[0])
            headrace.select(queues[0], queues[1])

    def blocks() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    rounds(200)
    before, references = blocks(), sys.getrefcount(item)
    rounds(1000)
    assert blocks() - before < 500, blocks() - before  # what comes to stay by and by, and not with each of 4000 selects
    assert sys.getrefcount(item) == references
    assert not os.path.isdir("/proc/self/fd") or len(os.listdir("/proc/self/fd")) < 10


def test_selects_that_come_and_go_leave_nothing(child: Child) -> None:
    child.run(selects_come_and_go)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file_queue(path_in_memory: str) -> Iterator[Any]:
    pytest.importorskip("apsw")
    with headrace.open(path_in_memory, maxsize=2, durability="process") as queue:
        yield queue


def test_a_queue_in_a_file_is_selected_beside_others(file_queue: Any) -> None:
    memory = headrace.Queue[Any](1)
    with pytest.raises(NothingReady):
        select(file_queue, memory, timeout=0.01)
    got: list[Any] = []
    with threads(lambda: got.extend(select(file_queue, memory, timeout=FOR_EVER) for _ in range(2))):
        waits(1, 0, memory)
        file_queue.put("file")
        eventually(lambda: got)
        waits(1, 0, memory)
        memory.put("memory")
    assert got == [(file_queue, "file"), (memory, "memory")]
    file_queue.shutdown()
    with pytest.raises(NothingReady):
        select(file_queue, memory, timeout=0.05)
    with pytest.raises(ShutDown):
        select(file_queue.getting(required=True), memory, timeout=FOR_EVER)


def test_a_select_waits_for_room_in_a_file(file_queue: Any) -> None:
    memory = headrace.Queue[Any](1)
    memory.put(0)
    file_queue.put_many([1, 2])
    putting = file_queue.putting(3)
    with threads(lambda: select(putting, memory.putting(1), timeout=FOR_EVER)) as results:
        waits(0, 1, memory)
        assert file_queue.get() == 1
    assert results[0].case is putting
    assert file_queue.qsize() == 2
    assert memory.qsize() == 1


@pytest.mark.usefixtures("quick_switches")
def test_threads_that_select_on_files_and_memory_share_all_items(path_in_memory: str) -> None:
    pytest.importorskip("apsw")
    count = scaled(60)
    with (
        headrace.open(path_in_memory, maxsize=3, durability="none") as first,
        headrace.open(path_in_memory + "#other", durability="none") as second,
    ):
        queues: list[Any] = [first, second, headrace.Queue(2)]

        def put(name: int) -> None:
            for number in range(count):
                select(*(queue.putting(name * count + number) for queue in queues), timeout=FOR_EVER)

        def take() -> list[int]:
            got: list[int] = []
            while True:
                try:
                    queue, item = select(*queues, timeout=FOR_EVER)
                except ShutDown:
                    return got
                got.append(item)
                queue.task_done()

        with ThreadPoolExecutor(6) as pool:
            takers = [pool.submit(take) for _ in range(3)]
            for putter in [pool.submit(put, name) for name in range(3)]:
                putter.result(FOR_EVER)
            for queue in queues:
                queue.shutdown()
            got = [item for taker in takers for item in taker.result(FOR_EVER)]
        assert sorted(got) == list(range(3 * count))
