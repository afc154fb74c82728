"""One run of a ``Pipeline``: the queues and the consumers of its stages, and what went wrong."""

from __future__ import annotations

import threading
from collections import namedtuple
from time import perf_counter
from types import CoroutineType, GeneratorType

from headrace.backends.memory import Queue
from headrace.consumers.arguments import SHUT_DOWN, iterate
from headrace.consumers.failure import note, note_item, wait_for
from headrace.consumers.pipeline_summary import PipelineSummary, StageSummary
from headrace.consumers.run import SourceRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, NamedTuple, NoReturn

    from headrace.consumers.arguments import Source
    from headrace.consumers.pipeline_coroutines import CoroutineConsumer, LoopThread
    from headrace.consumers.retry import Retry
    from headrace.lease import Lease

    class Stage(NamedTuple):
        """The plan of a stage."""

        name: str
        function: Callable[[Any], Any]
        consumers: int
        maxsize: int
        retry: Retry | None
        is_sink: bool
        is_asynchronous: bool

else:
    Stage = namedtuple("Stage", "name function consumers maxsize retry is_sink is_asynchronous")

__all__ = ["END", "Run", "Share", "Stage", "Station", "Stopped"]

END = object()

# How long Ctrl-C waits for coroutines that it has cancelled, in seconds, besides the grace of all that runs.
CANCEL_GRACE = 0.25


class Stopped(BaseException):
    """The next stage takes nothing more, for the run was stopped. Never leaves this module."""


class Station:
    """A stage at work: its queue, its consumers, and where its results go."""

    def __init__(self, run: Run, stage: Stage, following: Station | None) -> None:
        self.stage = stage
        self.queue: Queue[Any] = Queue(stage.maxsize)
        numbers = range(1, stage.consumers + 1)
        # One of the two is empty.
        self.threads: list[Consumer] = []
        self.coroutines: list[CoroutineConsumer] = []
        if stage.is_asynchronous:
            from headrace.consumers.pipeline_coroutines import CoroutineConsumer  # seldom needed, and imports asyncio

            self.coroutines += [CoroutineConsumer(run, self, number) for number in numbers]
        else:
            self.threads += [Consumer(run, self, number) for number in numbers]
        self._following = following
        # How many of the consumers have not ended; guarded by the lock.
        self._at_work = stage.consumers
        self._lock = threading.Lock()

    def hand_on(self, result: Any) -> None:
        """Put a result before the next stage, waiting for room. Raises Stopped when the run was stopped."""
        if self._following is not None:
            try:
                self._following.queue.put(result)
            except SHUT_DOWN:
                raise Stopped from None

    async def hand_on_from_loop(self, result: Any) -> None:
        """The same for a coroutine: nothing else on its loop has to wait."""
        if self._following is not None:
            try:
                await self._following.queue.aio.put(result)
            except SHUT_DOWN:
                raise Stopped from None

    def leave(self) -> None:
        """A consumer has ended. After the last one nothing more comes to the next stage."""
        with self._lock:
            self._at_work -= 1
            last = not self._at_work
        if last and self._following is not None:
            self._following.queue.shutdown()

    def summary(self) -> StageSummary:
        """What was done, in numbers, when it is over."""
        consumers: list[Share] = [*self.threads, *self.coroutines]
        return StageSummary(
            self.stage.name,
            self.stage.consumers,
            sum(one.items_in for one in consumers),
            sum(one.items_out for one in consumers),
            sum(one.retried for one in consumers),
            sum(one.busy for one in consumers),
        )


class Share:
    """What a consumer has done of its stage's work, and what is told of an item that failed."""

    def __init__(self, run: Run, station: Station) -> None:
        self._of_run = run
        self._station = station
        # Written by the consumer alone, read when it has ended.
        self.items_in = self.items_out = self.retried = 0
        self.busy = 0.0

    def _leave(self) -> None:
        """Take part no more."""
        self._station.leave()
        self._of_run.leave()
        del self._of_run, self._station  # which refer to this: without the cycle all are soon gone

    def _note(self, error: BaseException, item: Any) -> None:
        """Add to *error* where it happened."""
        if not isinstance(error, Stopped):
            note(error, f"in the stage {self._station.stage.name}")
            note_item(error, item)

    def _note_last(self, error: BaseException, lease: Lease[Any], retry: Retry) -> None:
        """The same for an item that is tried no more."""
        self._note(error, lease.item)
        if lease.attempt > 1:
            note(error, f"at attempt {lease.attempt} of {retry.attempts}")


class Consumer(Share, threading.Thread):
    """One consumer of a stage whose function is a plain one: a thread."""

    def __init__(self, run: Run, station: Station, number: int) -> None:
        # They always end before run() returns or raises, except after Ctrl-C, when a function takes longer than the
        # grace: as a daemon it cannot keep the program from ending.
        threading.Thread.__init__(self, name=f"{station.stage.name}-{number}", daemon=True)
        Share.__init__(self, run, station)

    def run(self) -> None:
        try:
            if self._station.stage.retry is None:
                self._handle_all()
            else:
                self._handle_all_with_retry(self._station.stage.retry)
        except Stopped:
            pass
        except BaseException as error:
            self._of_run.fail(error)
        finally:
            self._leave()

    def _handle_all(self) -> None:
        # Without task_done: this queue is nobody else's, and nobody joins it.
        get = self._station.queue.get
        while True:
            try:
                item = get()
            except SHUT_DOWN:
                return
            self.items_in += 1
            try:
                self._hand_on(self._results(item))
            except BaseException as error:
                self._note(error, item)
                raise
            del item  # or it would live until the next one comes

    def _handle_all_with_retry(self, retry: Retry) -> None:
        lease_next = self._station.queue.lease
        while not self._of_run.is_stopped():
            try:
                lease = lease_next()  # an item that is to be tried again goes back to the queue, and waits there
            except SHUT_DOWN:
                return
            if self._of_run.is_stopped():  # it may have been given back after the queue was emptied
                lease.done()
                return
            self.items_in += lease.attempt == 1
            try:
                results = [*self._results(lease.item)]
            except BaseException as error:
                if not retry.covers(error, lease.attempt):
                    lease.done()  # for else it would go back to the queue
                    self._note_last(error, lease, retry)
                    raise
                self.retried += 1
                lease.retry(retry.delay_before(lease.attempt + 1))
            else:
                lease.done()
                self._hand_on(results)
                del results
            del lease  # or the item would live until the next one comes
        self._station.queue.shutdown(immediate=True)  # what was given back after the run was stopped

    def _results(self, item: Any) -> Iterator[Any]:
        """What comes of *item*, as it comes. The function's own time is counted."""
        result = self._timed(self._station.stage.function, item)
        if result is None:
            return
        if isinstance(result, CoroutineType):
            refuse(result, self._station.stage)  # pyright: ignore[reportUnknownArgumentType]
        if self._station.stage.is_sink:
            return
        if not isinstance(result, GeneratorType):
            yield result
            return
        try:
            while (one := self._timed(next, result, END)) is not END:
                yield one
        finally:
            result.close()

    def _hand_on(self, results: Iterable[Any]) -> None:
        try:
            for result in results:
                self._station.hand_on(result)
                self.items_out += 1
        finally:
            if isinstance(results, GeneratorType):
                results.close()

    def _timed(self, function: Callable[..., Any], *arguments: Any) -> Any:
        begun = perf_counter()
        try:
            return function(*arguments)
        finally:
            self.busy += perf_counter() - begun


def refuse(result: CoroutineType[Any, Any, Any], stage: Stage) -> NoReturn:
    """Say that the function of *stage*, which runs in threads, has returned a coroutine, which nobody would run."""
    result.close()
    raise TypeError(
        f"{stage.function!r} returned a coroutine and is no coroutine function, so that it was called in a thread: "
        "make it one (async def)"
    )


class Run(SourceRun):
    """One run of a pipeline."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        super().__init__("the pipeline")
        # Set once, by any thread, before the queues are shut down.
        self._stopped = False
        self._stations: list[Station] = []
        self._read = 0
        following: Station | None = None
        for stage in reversed(stages):
            following = Station(self, stage, following)
            self._stations.insert(0, following)
        self._loop = self._loop_thread()

    def _loop_thread(self) -> LoopThread | None:
        """The thread for all coroutines; None if there are none."""
        coroutines = [one for station in self._stations for one in station.coroutines]
        if not coroutines:
            return None
        from headrace.consumers.pipeline_coroutines import LoopThread

        return LoopThread(self, coroutines)

    @property
    def threads(self) -> list[threading.Thread]:
        """Those of all stages, and the one of the coroutines."""
        threads: list[threading.Thread] = [one for station in self._stations for one in station.threads]
        return threads if self._loop is None else [*threads, self._loop]

    def _wait(self, timeout: float | None) -> None:
        """Wait until all threads have ended. Of what runs after *timeout* seconds the coroutines are cancelled."""
        try:
            super()._wait(timeout)
        finally:  # when Ctrl-C is pressed again, too
            if timeout is not None and self._loop is not None:
                self._loop.cancel()
        if timeout is not None and self._loop is not None:
            wait_for([self._loop], CANCEL_GRACE)

    def leave(self) -> None:
        """A consumer has ended. Called by itself."""

    def is_stopped(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._stopped

    def stop(self) -> None:
        """Begin nothing more in any stage, put nothing more, and drop what waits."""
        self._stopped = True
        for station in self._stations:
            station.queue.shutdown(immediate=True)

    def feed(self, source: Source[Any]) -> None:
        """Start the threads, and put what the source yields until it ends, it fails, or a stage has failed."""
        first = self._stations[0].queue
        try:
            for thread in self.threads:
                thread.start()
            self.items = iterate(source)
            for item in self.items:
                self._read += 1
                try:
                    first.put(item)
                except SHUT_DOWN:
                    return
                del item  # or it would live until the source yields another
            first.shutdown()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if self._read:
                note(error, f"after item {self._read} of the source")
            self.fail(error)

    def summary(self, seconds: float) -> PipelineSummary:
        """The run in numbers, when it is over."""
        return PipelineSummary(self._read, seconds, tuple(station.summary() for station in self._stations))
