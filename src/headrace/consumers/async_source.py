"""Sources that coroutines read: an iterable, an asynchronous one, or a function that returns one of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from headrace.consumers.arguments import (
    check_source,
    close_if_generator,
    is_asynchronous_generator_function,
    is_iterable,
    iterator_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
    from typing import Any, TypeAlias, TypeGuard, TypeVar

    T = TypeVar("T")
    AnyIterable: TypeAlias = Iterable[T] | AsyncIterable[T]
    AnySource: TypeAlias = AnyIterable[T] | Callable[[], AnyIterable[T]]

__all__ = [
    "check_any_source",
    "close",
    "is_asynchronous_iterable",
    "is_asynchronous_source",
    "iterate_asynchronously",
    "iterate_somehow",
]


def is_asynchronous_iterable(source: object) -> TypeGuard[AsyncIterable[Any]]:
    """Whether ``async for`` iterates over it."""
    return hasattr(type(source), "__aiter__")


def is_asynchronous_source(source: object) -> bool:
    """Whether ``async for`` iterates over it, or over what it returns as far as that is known."""
    return is_asynchronous_iterable(source) or is_asynchronous_generator_function(source)


def check_any_source(source: object) -> None:
    """Raise TypeError unless *source* is an iterable of either kind, or may be a function that returns one."""
    if not is_asynchronous_source(source):
        check_source(source, "an iterable, an asynchronous one")


def iterate_somehow(source: Any) -> Iterator[Any] | AsyncIterator[Any]:
    """Begin to iterate over *source*, or over what it returns, by ``async for`` if that can be.

    Raises TypeError when it is no iterable.
    """
    items = source
    if not (is_asynchronous_iterable(source) or is_iterable(source)) and callable(source):
        items = source()
    return items.__aiter__() if is_asynchronous_iterable(items) else iterator_of(items, source)


class Plain:
    """An iterator, for ``async for``."""

    def __init__(self, items: Iterator[Any]) -> None:
        self.items = items

    def __aiter__(self) -> Plain:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self.items)
        except StopIteration:
            raise StopAsyncIteration from None


def iterate_asynchronously(source: Any) -> AsyncIterator[Any]:
    """The same, for ``async for`` in any case. To be closed by ``close``."""
    items: Any = iterate_somehow(source)
    return items if hasattr(items, "__anext__") else Plain(items)


async def close(items: Any) -> None:
    """Let a generator run its ``finally`` blocks now. Other iterators are their owner's to close."""
    if isinstance(items, AsyncGenerator):
        await items.aclose()
    elif isinstance(items, Plain):
        close_if_generator(items.items)
