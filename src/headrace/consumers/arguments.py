"""What producers and consumers accept, and what they say to the rest."""

from __future__ import annotations

import queue as _standard
from functools import partial
from types import BuiltinMethodType, CoroutineType, FunctionType, GeneratorType, MethodType

from headrace.errors import NotSupported, ShutDown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeAlias, TypeGuard, TypeVar

    T = TypeVar("T")
    Source: TypeAlias = Iterable[T] | Callable[[], Iterable[T]]

__all__ = [
    "SHUT_DOWN",
    "check_count",
    "check_handler",
    "check_open",
    "check_queue",
    "check_source",
    "close_if_generator",
    "is_asynchronous",
    "is_asynchronous_generator_function",
    "is_iterable",
    "is_overridden",
    "iterate",
    "iterator_of",
    "refuse_coroutine",
]

# What a queue's put and get raise once it is shut down: ours, and queue.ShutDown where there is one.
SHUT_DOWN: tuple[type[Exception], ...] = (ShutDown, getattr(_standard, "ShutDown", ShutDown))

# inspect's CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR: a function with one of these does nothing when called.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


def _flags(function: object) -> int:
    """The flags of a callable that is written in Python, 0 for other objects."""
    if isinstance(function, partial):
        return _flags(function.func)
    if isinstance(function, BuiltinMethodType) and function.__name__ in getattr(function.__self__, "_awaited", ()):
        return _COROUTINE  # get and put of queue.aio, in the C core
    if not isinstance(function, (FunctionType, MethodType)):
        function = getattr(type(function), "__call__", None)  # noqa: B004 - the method is wanted
    if isinstance(function, MethodType):
        function = function.__func__
    return function.__code__.co_flags if isinstance(function, FunctionType) else 0


def check_queue(queue: object, methods: tuple[str, ...], user: str) -> None:
    """Raise unless *queue* has *methods*, ``shutdown`` among them, for threads."""
    if isinstance(queue, type):
        raise TypeError(f"{queue!r} is the class of a queue, not a queue: write {queue.__name__}(), with parentheses")
    missing = [name for name in methods if not callable(getattr(queue, name, None))]
    if missing == ["shutdown"]:
        raise NotSupported(
            f"a {user} needs a queue that can be shut down, and {queue!r} cannot: "
            "use headrace.Queue() (the standard library's queues have shutdown() from Python 3.13 on)"
        )
    if missing:
        raise TypeError(f"{queue!r} is no queue for a {user}, it has no {', '.join(missing)}: use headrace.Queue()")
    if any(_flags(getattr(queue, name)) & _COROUTINE for name in methods):
        use = "its .sync" if hasattr(queue, "_awaited") else "headrace.Queue()"
        raise TypeError(f"{queue!r} is a queue for coroutines, and a {user} is a thread: use {use}")


def check_open(queue: object, user: str) -> None:
    """Raise ShutDown if nothing can be put into *queue* any more."""
    if getattr(queue, "is_shutdown", False) is True:
        raise ShutDown(f"a {user} cannot put into {queue!r}, which has been shut down: make a new queue for a new run")


def check_source(source: object, kinds: str = "an iterable") -> None:
    """Raise TypeError unless *source* is an iterable, or may be a function that returns one.

    Args:
        kinds: of what kinds the caller takes iterables, for the error.
    """
    if _flags(source) & (_COROUTINE | _ASYNC_GENERATOR) or not (is_iterable(source) or callable(source)):
        raise TypeError(
            f"a source is {kinds}, or a function without arguments that returns one, "
            f"not {type(source).__name__}: {source!r}"
        )


def is_iterable(source: object) -> TypeGuard[Iterable[Any]]:
    """Whether ``for`` iterates over it."""
    kind = type(source)
    return hasattr(kind, "__iter__") or hasattr(kind, "__getitem__")


def iterate(source: Source[T]) -> Iterator[T]:
    """Begin to iterate over *source*, or over what it returns. Raises TypeError when that is no iterable."""
    return iterator_of(source if is_iterable(source) or not callable(source) else source(), source)


def iterator_of(items: object, source: object) -> Iterator[Any]:
    """Begin to iterate over *items*, which *source* has returned. Raises TypeError when they are no iterable."""
    if not is_iterable(items):
        if isinstance(items, CoroutineType):
            items.close()  # or it would complain that nobody has awaited it
        raise TypeError(
            f"{source!r} returned {items!r}, which is not iterable: write it as a generator (with yield), "
            "or let it return a list"
        )
    return iter(items)


def close_if_generator(iterator: Iterator[object]) -> None:
    """Let a generator run its ``finally`` blocks now. Other iterators (files, say) are their owner's to close."""
    if isinstance(iterator, GeneratorType):
        iterator.close()


PLAIN = "make it a plain function (one that calls asyncio.run, say)"


def check_handler(
    handler: object,
    what: str = "handler",
    *,
    may_yield: bool = False,
    may_await: bool = False,
    instead: str = PLAIN,
) -> None:
    """Raise TypeError unless *handler* can be called with an item and does its work then.

    Args:
        may_yield: it may be a generator function.
        may_await: it may be a coroutine function, or an asynchronous generator function if it may yield.
        instead: what to do in place of giving a coroutine function.
    """
    if not callable(handler):
        raise TypeError(f"{what} must be a function of one item, not {type(handler).__name__}: {handler!r}")
    flags = _flags(handler)
    if flags & (_COROUTINE | _ASYNC_GENERATOR) and not may_await:
        raise TypeError(
            f"{what} {handler!r} is a coroutine function, which a thread would call without running it: {instead}"
        )
    if flags & (_GENERATOR | _ASYNC_GENERATOR) and not may_yield:
        raise TypeError(f"{what} {handler!r} is a generator function, which does nothing when called: remove its yield")


def refuse_coroutine(handler: object, result: object) -> None:
    """Raise TypeError if what *handler* returned to a thread is a coroutine, which would never run."""
    if hasattr(type(result), "__await__") and hasattr(type(result), "throw"):
        close = getattr(result, "close", None)
        if close is not None:
            close()  # or it would be said to have never been awaited
        raise TypeError(
            f"{handler!r} returned a coroutine, which a thread does not run: make it a coroutine function (async def), "
            "for ConsumerPool(kind='async'), aconsume or aio.map; or a plain function, for threads"
        )


def is_asynchronous(function: object) -> bool:
    """Whether it is a coroutine function, or an asynchronous generator function: for an event loop, not a thread."""
    return bool(_flags(function) & (_COROUTINE | _ASYNC_GENERATOR))


def is_asynchronous_generator_function(function: object) -> bool:
    """Whether it is a function whose ``yield`` is for ``async for``."""
    return bool(_flags(function) & _ASYNC_GENERATOR)


def is_overridden(method: str, instance: object, base: type) -> bool:
    """Whether the class of *instance* has a *method* of its own in place of that of *base*."""
    return getattr(type(instance), method) is not getattr(base, method)


def check_count(name: str, value: object, least: int, meaning: str) -> None:
    """Raise unless *value* is a whole number of at least *least*."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number ({meaning}), not {type(value).__name__}: {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least} ({meaning}), not {value!r}")
