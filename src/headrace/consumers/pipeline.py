"""``Pipeline``: stages of consumers with a bounded queue before each, from a source to a sink."""

from __future__ import annotations

from functools import partial
from time import perf_counter

from headrace.consumers.arguments import (
    check_count,
    check_handler,
    is_asynchronous,
)
from headrace.consumers.async_source import check_any_source, is_asynchronous_source
from headrace.consumers.pipeline_run import Run, Stage
from headrace.generic import Subscriptable, T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from headrace.consumers.async_source import AnySource
    from headrace.consumers.pipeline_summary import PipelineSummary
    from headrace.consumers.retry import Retry

__all__ = ["Pipeline"]


class Pipeline(Subscriptable[T]):
    """Stages that items go through, each with consumers of its own and a bounded queue before it.

    ::

        pipeline = (
            headrace.Pipeline(open("addresses.txt"))
            .stage(str.strip)
            .stage(fetch, consumers=8, retry=headrace.Retry(attempts=3))
            .stage(links_in, consumers=2)
            .sink(store)
        )
        print(pipeline.run())

    A stage's function may be a coroutine function. Plain functions run in threads, one for each consumer; all
    coroutines run on one event loop (of asyncio) in a thread of its own, as many at a time as the stage has consumers::

        headrace.Pipeline(addresses).stage(fetch, consumers=100).stage(parse, consumers=2).sink(store, consumers=10)

    A pipeline is a plan, which nothing changes: ``stage`` and ``sink`` return a new one, and ``run`` runs it. It can
    be run again if its source can be iterated over again: a list can, a function that returns an iterable can, and a
    generator or a file has nothing left.

    ``await pipeline.arun()`` runs it on the event loop that is running, with an asynchronous source if need be.

    Args:
        source: an iterable, or a function without arguments that returns one. Iterated over in the thread that calls
            ``run``. For ``arun`` it may be an asynchronous iterable.

    Raises:
        TypeError: *source* is none.
    """

    __slots__ = ("_has_sink", "_source", "_stages")

    def __init__(self, source: AnySource[T]) -> None:
        check_any_source(source)
        self._source: Any = source
        self._stages: tuple[Stage, ...] = ()
        self._has_sink = False

    def stage(
        self,
        function: Callable[[T], Any],
        consumers: int = 1,
        *,
        maxsize: int = 100,
        retry: Retry | None = None,
        name: str | None = None,
    ) -> Pipeline[Any]:
        """The same pipeline with one more stage, which gives each item to *function* and hands on what comes of it.

        What *function* returns is one item for the next stage, a list too; None is none. If it is a generator function
        (or returns a generator), each item that it yields goes on as it is yielded, None too. A stage
        with several consumers does not keep the order of the items. All this holds for coroutine functions and
        asynchronous generator functions too.

        Args:
            function: called with each item. With more than one consumer it must be safe to call from several threads,
                unless it is a coroutine function, or an asynchronous generator function.
            consumers: how many threads, or coroutines on the loop, at least 1.
            maxsize: how many items may wait before this stage; 0 is no bound. When it is full, the stage before, or
                the reading of the source, waits.
            retry: when to try an item again that has failed. It waits in the stage's queue meanwhile, and others go on
                before it. What a generator yields is then handed on when it has come to its end.
            name: what the stage is called in errors and in the summary; the function's name if it is not given.

        Raises:
            TypeError, ValueError: an argument is not what it should be; or the pipeline has its sink.
        """
        return self._with(function, consumers, maxsize, retry, name, sink=False)

    def sink(
        self,
        function: Callable[[T], object],
        consumers: int = 1,
        *,
        maxsize: int = 100,
        retry: Retry | None = None,
        name: str | None = None,
    ) -> Pipeline[Any]:
        """The same pipeline with its last stage. What *function* returns is ignored; all else is as for ``stage``.

        A pipeline may do without: what its last stage returns is then dropped.
        """
        return self._with(function, consumers, maxsize, retry, name, sink=True)

    def _with(
        self,
        function: Callable[[Any], Any],
        consumers: int,
        maxsize: int,
        retry: Retry | None,
        name: str | None,
        *,
        sink: bool,
    ) -> Pipeline[Any]:
        what = "sink" if sink else "stage"
        if self._has_sink:
            raise ValueError(f"nothing comes after the sink ({self._stages[-1].name}): add each {what} before it")
        check_handler(function, f"a {what}'s function", may_yield=not sink, may_await=True)
        check_count("consumers", consumers, 1, f"how many threads or coroutines the {what} has")
        check_count("maxsize", maxsize, 0, f"how many items may wait before the {what}, 0 for no bound")
        check_retry(retry)
        if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"name must be a string, not {type(name).__name__}: {name!r}")
        longer: Pipeline[Any] = Pipeline(self._source)
        stage = Stage(name or name_of(function), function, consumers, maxsize, retry, sink, is_asynchronous(function))
        longer._stages = (*self._stages, stage)
        longer._has_sink = sink
        return longer

    def run(self) -> PipelineSummary:
        """Take all items of the source through all stages, and return when everything is done.

        The first item that fails for good, in whatever stage, stops all stages at once: no further item is taken, what
        waits is dropped, functions that are running come to their end, the source is closed if it is a generator, and
        the error is raised. So does a failure of the source. While the source is computing or waiting
        for its next item, nobody can stop it: a failure is raised after that.

        Ctrl-C (``KeyboardInterrupt`` in the calling thread) stops all as well, but waits at most half a second for
        functions that are running. Coroutines that take longer are cancelled; plain functions are left behind in daemon
        threads, which do not keep the program from ending.

        Returns:
            What each stage did, in numbers: ``print`` it.

        Raises:
            Exception: what a stage's function or the source raised, with notes that say in which stage and for which
                item. Several (others may fail while they are coming to their end) are raised as one
                ``ExceptionGroup``, or ``BaseExceptionGroup`` if one of them is no ``Exception``.
            ValueError: there is no stage.
        """
        self._check_stages()
        if is_asynchronous_source(self._source):
            raise TypeError(f"the source {self._source!r} is asynchronous: await pipeline.arun() in place of run()")
        begun = perf_counter()
        run = Run(self._stages)
        run.through(self._source)
        return run.summary(perf_counter() - begun)

    async def arun(self) -> PipelineSummary:
        """Do what ``run`` does, without blocking the event loop of the caller, where all coroutines run.

        The source may be asynchronous, and is iterated over in a task on the loop; one that is not holds up the loop
        while it computes its next item. A failure does not wait for an asynchronous source: that is cancelled.

        When this call is cancelled, coroutines that are running are cancelled and waited for. Functions in threads have
        half a second, after which they are left behind.

        Returns, raises: as ``run``.

        Raises:
            NotSupported: called in trio.
        """
        from headrace.consumers.pipeline_arun import AsyncRun
        from headrace.pool.async_pool import refuse_trio

        refuse_trio("Pipeline.arun()")
        self._check_stages()
        begun = perf_counter()
        run = AsyncRun(self._stages)
        await run.athrough(self._source)
        return run.summary(perf_counter() - begun)

    def _check_stages(self) -> None:
        if not self._stages:
            raise ValueError("a pipeline without stages has nothing to do: add one with .stage(function)")

    def __repr__(self) -> str:
        return f"<Pipeline: {' -> '.join(['source', *(f'{one.name} x{one.consumers}' for one in self._stages)])}>"


def check_retry(retry: object) -> None:
    """Raise TypeError unless *retry* is a Retry or None."""
    from headrace.consumers.retry import Retry

    if retry is Retry:
        raise TypeError("retry is the class Retry, not an object of it: write Retry(), with parentheses")
    if retry is not None and not isinstance(retry, Retry):
        raise TypeError(
            f"retry must be headrace.Retry(...) or None, not {type(retry).__name__}: {retry!r} "
            "(headrace.Retry(attempts=3) tries an item three times in all)"
        )


def name_of(function: object) -> str:
    """What a stage is called whose function this is."""
    inner: Any = function
    while isinstance(inner, partial):
        inner = inner.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    name: str | None = getattr(inner, "__name__", None)
    return name or str(type(inner).__name__)
