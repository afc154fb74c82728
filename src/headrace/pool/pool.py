"""``ConsumerPool``: consumers that are started, watched, replaced and stopped."""

from __future__ import annotations

import os
import threading
from time import monotonic, perf_counter

from headrace.consumers.arguments import SHUT_DOWN, check_count, check_handler, check_queue
from headrace.consumers.failure import note, shown
from headrace.consumers.registry import producers_of
from headrace.consumers.retry import Retry, check_seconds
from headrace.consumers.summary import ConsumerSummary
from headrace.errors import Empty, NotSupported, TakingStopped
from headrace.log import log
from headrace.pool.failures import check_on_error
from headrace.pool.guard import guard, unguard
from headrace.pool.puts import PutListening
from headrace.pool.signals import Signals, raise_for
from headrace.pool.summary import PoolSummary
from headrace.pool.watch import watch
from headrace.pool.work import SIGNAL, Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from types import CodeType, FrameType, TracebackType
    from typing import Any, TypeVar

    from headrace.aio.queue import AsyncQueue
    from headrace.consumers.events import Listener
    from headrace.contract import QueueContract
    from headrace.pool.failures import OnError

    T = TypeVar("T")

__all__ = ["ConsumerPool"]

# Seconds that a pool that is being stopped waits for handlers without a word.
SILENCE = 0.5

# Of contract.LeasingContract.
NEEDED = (
    *("put", "get", "task_done", "join", "shutdown", "is_shutdown", "dead"),
    *("_take", "_settle", "_retry", "_put_back", "_bury", "_number", "_put_with_headers", "_interrupt", "_join"),
)


class ConsumerPool:
    """Consumers of a queue, which are started on entering and stopped on leaving.

    ::

        with headrace.ConsumerPool(queue, fetch, consumers=8, retry=headrace.Retry()) as pool:
            queue.put_many(urls)
        print(pool.summary())

    **Leaving normally** waits until every item of the queue is done or dead, and stops the consumers. Where
    ``Producer`` objects put into the queue it waits for their end too. The queue can be used further unless it was shut
    down. **Leaving with an exception** stops at once: nothing more is taken, handlers that are running come to their
    end, for *grace* seconds at most, and the exception goes on.

    **Failures**: an item whose handler raises is tried again as *retry* says: it waits in the queue, not in a consumer.
    What has failed for good goes to ``queue.dead``. Without *retry* the first failure stops everything
    (``on_error="stop"``): the queue is shut down, so that nobody stays blocked in a ``put``, what waits stays in it,
    and leaving raises an ``ExceptionGroup`` of the failures, each with a note that names its item. The failed items are
    in ``queue.dead`` too.

    **A time limit** makes an item fail with ``TimeoutError``. A thread cannot be ended from outside: its consumer is
    written off and replaced, and what the handler does after that does not count, but it does go on until it returns.
    So a handler that hangs costs a thread; give what it calls a time limit of its own where you can.

    With ``kind="async"`` the handler is cancelled, and its item fails when it has ended. If it does not end within
    a second its consumer is written off in the same way.

    **Signals**, in the main thread, unless the program has handlers of its own: at the first SIGINT or SIGTERM nothing
    more is taken, the queue is shut down, and ``KeyboardInterrupt`` or ``SystemExit(143)`` is raised in the block;
    handlers that are running have *grace* seconds; what was not begun stays in the queue (``get`` and another pool can
    have it). A second one does not wait for handlers. It is the same for all pools of nested blocks.

    Handlers that are given up run on in daemon threads, which do not keep the program from ending; their items are
    given back to the queue. Coroutines that are given up are cancelled, and have a second to end. Where the pool is of
    the caller's loop (``async with``), cancelling the task that is in its block is leaving with an exception, and
    cancelling it again is a second signal; a signal cancels the task, and is raised out of the block.

    Args:
        queue: a queue of Headrace.
        handler: called with each item, in the consumers' threads. What it returns is ignored, or awaited first.
        consumers: how many, at least 1.
        kind: "thread", or "async" for a handler that is a coroutine function, or returns an awaitable: consumers are
            tasks then, with ``async with`` of the loop of asyncio (or uvloop) that runs, with ``with`` of a loop in a
            thread of the pool's own. "process" is not in this version.
        retry: which failures are tried again, how often and when.
        on_error: "stop" (the default without *retry*) or "dead" (the default with it): what becomes of items that are
            not tried again; or a function of (item, error, attempt) that decides for each failure by
            returning ``Retry(...)``, ``Dead``, ``Stop`` or ``Ignore``. It is called in the consumers' threads.
        timeout: seconds that a handler may take for an item; None is no limit.
        rate: how many items a second may be begun, over the whole pool; None is no limit.
        key: a function of an item: of items with the same key (a host, say) only *per_key* are handled at a time. The
            others wait aside, and the consumers go on with items of other keys.
        per_key: how many items with the same key may be handled at a time.
        grace: seconds that running handlers have to come to their end once the pool is stopped.
        signals: whether to take over SIGINT and SIGTERM.
        listeners: functions that are told what happens: see ``headrace.listeners``.
        name: of the pool, in the names of its threads and in what listeners are told.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
        NotSupported: the queue, or this version, cannot do it.

    All methods may be called from any thread; a pool is entered once.
    """

    # Of the class: what "kind" must be.
    _kind = "thread"

    if not TYPE_CHECKING:

        def __new__(cls, queue, handler, consumers=3, kind="thread", **options):
            """A pool of the class for *kind*."""
            if cls is ConsumerPool and kind == "async":
                from headrace.pool.async_pool import AsyncConsumerPool

                return object.__new__(AsyncConsumerPool)
            return object.__new__(cls)

    def __init__(
        self,
        queue: QueueContract[T] | AsyncQueue[T],
        handler: Callable[[T], object],
        consumers: int = 3,
        kind: str = "thread",
        *,
        retry: Retry | None = None,
        on_error: OnError = None,
        timeout: float | None = None,
        rate: float | None = None,
        key: Callable[[T], Hashable] | None = None,
        per_key: int = 1,
        grace: float = 10.0,
        signals: bool = True,
        listeners: Iterable[Listener] = (),
        name: str | None = None,
    ) -> None:
        check_queue(queue, ("put", "get", "task_done", "shutdown"), "ConsumerPool")
        check_supported(queue)
        check_kind(kind, self._kind)
        self._check_functions(handler, on_error, key)
        check_count("consumers", consumers, 1, "how many of them handle items")
        check_retry(retry)
        check_on_error(on_error)
        check_positive("timeout", timeout, "seconds for an item, or None for no limit")
        check_positive("rate", rate, "items a second, or None for no limit")
        check_count("per_key", per_key, 1, "how many items with the same key are handled at a time")
        check_seconds("grace", grace)
        check_key(key, per_key)
        if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"name must be a string, not {type(name).__name__}: {name!r}")
        self.name = name or "ConsumerPool"
        self.queue: Any = queue
        self._count = consumers
        self._grace = grace
        self._work = self._new_work(
            queue,
            handler,
            self.name,
            retry=retry,
            on_error=on_error,
            timeout=timeout,
            rate=rate,
            key=key,
            per_key=per_key,
            listeners=listeners,
        )
        self._signals = self._new_signals() if signals else None
        self._is_to_warn_of_dead = on_error is None
        self._puts: PutListening | None = None
        self._is_guarding = False
        self._is_taking = False
        # The signals that came, in their order. Written in the main thread's signal handler.
        self._came: list[int] = []
        # Whether a signal is to be noted in place of being raised: everywhere but in the block. Main thread only.
        self._notes_signals = True
        # Those of them that were not raised in the block, and are to be raised behind it.
        self._noted: list[int] = []
        # When handlers that still run are given up; None as long as nothing is to be given up.
        self._deadline: float | None = None
        self._has_said_why = False
        self._begun: float | None = None
        self._ended: float | None = None

    # -- what depends on the kind ----------------------------------------------------------------

    def _check_functions(self, handler: object, on_error: object, key: object) -> None:
        """Raise TypeError unless these can be called as this kind of pool calls them."""
        check_handler(handler, instead="say kind='async', or make it a plain function")

    def _new_work(self, *arguments: Any, **policies: Any) -> Work:
        return Work(*arguments, **policies)

    def _new_signals(self) -> Signals:
        return Signals(self._stop_taking, self._on_signal)

    def _watch(self, limit: float) -> None:
        """Have the time limit kept."""
        watch(self._work, limit)

    def _end_handlers(self) -> None:
        """End those that are given up, where that can be done. May wait for that for a short time."""

    # -- while it works --------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many consumers there are that take items."""
        with self._work.lock:
            return sum(not one.stop for one in self._work.consumers)

    @property
    def busy(self) -> int:
        """How many consumers are handling an item now."""
        with self._work.lock:
            return sum(bool(one.hand) for one in self._work.consumers)

    @property
    def errors(self) -> tuple[BaseException, ...]:
        """The failures that have stopped the pool, in their order. They are raised on leaving."""
        return tuple(self._work.errors)

    def resize(self, consumers: int) -> None:
        """Have so many consumers from now on. Those that are too many end after their item. Never blocks.

        Raises:
            RuntimeError: the pool is not entered, or is being stopped; or the system has no thread left.
            TypeError, ValueError: *consumers* is not a whole number of at least 1.
        """
        check_count("consumers", consumers, 1, "how many of them handle items")
        if self._begun is None or not self._resize(consumers):
            raise RuntimeError(f"{self.name} is not at work: resize() is for inside of its with block")

    def _resize(self, consumers: int) -> bool:
        if self._notes_signals or threading.current_thread() is not threading.main_thread():
            return self._work.resize(consumers)
        # An interrupt while a thread is being started would leave it uncounted.
        self._notes_signals = True
        try:
            return self._work.resize(consumers)
        finally:
            self._raise_noted()

    def stop(self) -> None:
        """Have the consumers take no more items. What waits stays in the queue, which can be used further.

        Never blocks: leaving the block waits for handlers that are running.
        """
        self._work.stop_all(shut_down=False)

    def summary(self) -> PoolSummary:
        """What came of the work so far, in numbers. May be called at any time."""
        everybody = list(self._work.everybody)
        now = perf_counter() if self._ended is None else self._ended
        return PoolSummary(
            sum(one.items for one in everybody),
            sum(one.dead for one in everybody),
            sum(one.retried for one in everybody),
            self._work.timed_out,
            self._work.replaced,
            0.0 if self._begun is None else now - self._begun,
            tuple(ConsumerSummary(one.name, one.items) for one in everybody),
        )

    def __repr__(self) -> str:
        state = "not entered" if self._begun is None else "left" if self._ended is not None else f"{self.busy} busy"
        return f"<{self.name}: {self.running} consumers, {state}, of {self.queue!r}>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()  # pyright: ignore[reportPrivateUsage]

    # -- entering and leaving --------------------------------------------------------------------

    def __enter__(self) -> ConsumerPool:
        if self._begun is not None:
            raise RuntimeError(f"{self.name} was entered before: make a new pool")
        self._begun = perf_counter()
        self._work.process = os.getpid()
        try:
            self._enter()
            self._raise_noted()
            return self
        except BaseException:
            self._notes_signals = True
            try:
                self._stop(abnormal=True, shut_down=False)
            finally:
                self._end()
            raise

    def _enter(self) -> None:
        work = self._work
        if self._signals is not None:
            self._signals.install()
        work.dispatch.start(self)
        if work.dispatch.wants("put"):
            self._puts = PutListening(work)
            self._puts.start()
        guard(work.queue)
        self._is_guarding = True
        work.begin_taking(self._count)
        self._is_taking = True
        with work.lock:
            for _ in range(self._count):
                work.start()
        if work.timeout is not None:
            self._watch(work.timeout)

    async def __aenter__(self) -> ConsumerPool:
        """Of pools of coroutines: start consumers in the loop that runs. Waits for nothing."""
        raise self._is_of_threads()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Of pools of coroutines: as leaving by ``with``, without holding up the loop."""
        raise self._is_of_threads()

    def _is_of_threads(self) -> TypeError:
        return TypeError(
            f"{self.name} is a pool of threads, whose end would hold up the event loop: enter it by a plain 'with', "
            "outside of coroutines; or make its handler a coroutine function, and say kind='async'"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._notes_signals = True
        if self._work.process != os.getpid():
            return  # a forked child, in which the consumers are not
        interrupt: BaseException | None = None
        try:
            if error is None:
                interrupt = self._drain()
            abnormal = error is not None or interrupt is not None or bool(self._came)
            self._stop(abnormal=abnormal, shut_down=abnormal)
        finally:
            self._end()
        self._raise_outcome(error, interrupt)
        self._warn_of_dead()

    def _drain(self) -> BaseException | None:
        """Wait until all is done, or the pool is stopped. Returns what else ended this wait (Ctrl-C), if anything."""
        if self._came:
            return None  # stopped by a signal, and what that raised was caught in the block
        try:
            if self.queue.is_shutdown or producers_of(self.queue).places:
                # The consumers end when the queue is shut down and every item is settled.
                self._wait_for_consumers()
            self._work.queue._join(self._work.stop_joining)
        except TakingStopped:
            pass
        except BaseException as interrupt:
            return interrupt
        return None

    def _stop(self, *, abnormal: bool, shut_down: bool) -> None:
        """Stop the consumers, and wait for their ends: for as long as it takes only where all is done."""
        work = self._work
        try:
            if abnormal or not work.is_stopping:
                work.stop_all(shut_down=shut_down)
            if abnormal or work.errors:
                self._begin_grace()
            self._wait_for_consumers()
        finally:
            # Whatever ended the wait (a second Ctrl-C): nothing stays with a consumer.
            try:
                self._end_handlers()
            finally:
                self._write_off_all()

    def _write_off_all(self) -> None:
        self._work.write_off_all()
        if self._work.limits:
            self._work.limits.give_back_all()

    def _begin_grace(self) -> None:
        if self._deadline is None:
            self._deadline = monotonic() + self._grace

    def _wait_for_consumers(self) -> None:
        """Wait until no consumer is left, the grace is over, or a second signal comes.

        A first signal begins the grace, and stops the consumers; a failure begins it too.
        """
        work = self._work
        while (work.consumers or work.ending) and len(self._came) < 2:
            if work.errors:
                self._begin_grace()
            try:
                told = work.news.get(timeout=self._patience())
            except Empty:
                if self._patience() == 0:
                    return
                self._say_why_it_waits()
                continue
            if told is SIGNAL:
                work.stop_all(shut_down=True)
                self._begin_grace()

    def _patience(self) -> float | None:
        """Seconds to wait for news: until the grace is over, or something is to be said."""
        if self._deadline is None:
            return None
        left = max(0.0, self._deadline - monotonic())
        return left if self._has_said_why else min(left, SILENCE)

    def _say_why_it_waits(self) -> None:
        """Who has pressed Ctrl-C and sees nothing happen believes that it hangs."""
        self._has_said_why = True
        handlers = "a handler that is" if self.busy == 1 else f"{self.busy} handlers that are"
        again = "; a second signal does not wait for them" if self._came else ""
        log().warning(
            "%s is being stopped and waits for %s running, for %.3g s at most%s",
            self.name,
            handlers,
            self._grace,
            again,
        )

    def _end(self) -> None:
        """Give back what entering took."""
        for consumer in list(self._work.everybody):
            if consumer.has_ended:
                consumer.join()
        if self._is_taking:
            self._work.end_taking()
        if self._puts is not None:
            self._puts.stop()
        if self._is_guarding:
            unguard(self._work.queue)
        self._work.dispatch.stop()
        if self._signals is not None:
            self._signals.restore()
        self._ended = perf_counter()

    def _raise_outcome(self, error: BaseException | None, interrupt: BaseException | None) -> None:
        """Raise what is to come out of the block, or return for *error* to go on."""
        errors = self._work.errors
        # Once the pool has failed, the queue is shut down, and a put in the block says so: that is not the news.
        if errors and (error is None or isinstance(error, SHUT_DOWN)) and interrupt is None and not self._came:
            self._raise_errors()
        out = error if error is not None else interrupt
        for failure in errors if out is not None else ():
            note(out, f"before this was raised, an item had failed: {shown(failure)}")  # type: ignore[arg-type]
        if error is None and interrupt is not None:
            raise interrupt
        # An error of the block is its context. Without this, who catches that error would never see the signal.
        if self._noted and not isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise_for(self._noted[0])

    def _warn_of_dead(self) -> None:
        """Nobody has said that items may die in silence: then they do not."""
        dead = self.summary().dead
        if not dead or not self._is_to_warn_of_dead:
            return
        letter = next(iter(reversed(list(self.queue.dead))), None)
        last = "" if letter is None else f", the last one {shown(letter.item)}: {shown(letter.error)}"
        log().warning(
            "%s: %d %s for good%s (see queue.dead, or say on_error='dead')",
            self.name,
            dead,
            "item has failed" if dead == 1 else "items have failed",
            last,
        )

    def _raise_errors(self) -> None:
        errors = self._work.errors
        count = len(errors)
        what = "an item failed" if count == 1 else f"{count} items failed"
        raise BaseExceptionGroup(f"{self.name} was stopped: {what}", list(errors)) from None

    def _on_signal(self, number: int, frame: FrameType | None) -> bool:
        """In the signal handler, in the main thread: nothing here may wait for a lock that this thread may hold.

        Returns whether the signal is to be raised, in the block.
        """
        self._came.append(number)
        # Whoever is blocked in a put, a handler of another pool perhaps, must not keep that from ending.
        self._work.queue.shutdown()
        if not self._notes_signals and not is_within(frame, ConsumerPool.__exit__.__code__, self):
            self._work.queue._interrupt()
            return True
        self._noted.append(number)
        # Whoever waits in _drain or _wait_for_consumers goes on from here.
        self._work.news.put(SIGNAL)
        self._work.stop_joining.append(1)
        self._work.queue._interrupt()
        return False

    def _stop_taking(self) -> None:
        """The consumers begin no more, whatever the block does about the signal. In the signal handler."""
        self._work.is_stopping = True
        for consumer in list(self._work.consumers):
            consumer.stop.append(1)

    def _raise_noted(self) -> None:
        """From here on signals are raised, and so is the one that came meanwhile."""
        self._notes_signals = False
        if self._noted:
            self._stop_taking()
            self._work.queue._interrupt()
            raise_for(self._noted.pop(0))


def is_within(frame: FrameType | None, code: CodeType, instance: object) -> bool:
    """Whether *frame* is, or was called by, the method of *instance* with this *code*, be it before its first line."""
    while frame is not None:
        if frame.f_code is code and frame.f_locals.get("self") is instance:
            return True
        frame = frame.f_back
    return False


def check_supported(queue: Any) -> None:
    """Raise NotSupported unless *queue* can give items back."""
    missing = [name for name in NEEDED if not hasattr(queue, name)]
    if missing:
        raise NotSupported(
            f"a ConsumerPool needs a queue that takes items back (leases), and {queue!r} does not: use headrace.Queue()"
        )


def check_kind(kind: object, of_class: str) -> None:
    """Raise unless *kind* is one that this version has, and that of the class."""
    if kind == "process":
        raise NotSupported("kind='process' is not in this version, which has kind='thread' and kind='async'")
    if kind not in ("thread", "async"):
        raise ValueError(f"kind must be 'thread' or 'async' in this version, not {kind!r}")
    if kind != of_class:
        raise TypeError(f"kind={kind!r} is not for this class, which is of kind {of_class!r}: use ConsumerPool itself")


def check_retry(retry: object) -> None:
    """Raise unless *retry* is a Retry or None."""
    if retry is not None and not isinstance(retry, Retry):
        hint = ": write headrace.Retry(), with parentheses" if retry is Retry else ""
        raise TypeError(f"retry must be a headrace.Retry, or None, not {retry!r}{hint}")


def check_key(key: object, per_key: int) -> None:
    """Raise unless *key* is a function or None, and *per_key* goes with it."""
    if key is not None and not callable(key):
        raise TypeError(f"key must be a function of an item, not {type(key).__name__}: {key!r}")
    if key is None and per_key != 1:
        raise ValueError(f"per_key={per_key!r} is for items with the same key: give key=, a function of an item")


def check_positive(name: str, value: object, meaning: str) -> None:
    """Raise unless *value* is None or a number greater than 0."""
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number ({meaning}), not {type(value).__name__}: {value!r}")
    if not value > 0:
        raise ValueError(f"{name} must be greater than 0 ({meaning}), not {value!r}")
