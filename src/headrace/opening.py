"""``headrace.open``: a queue by its URL."""

from __future__ import annotations

from headrace.backends import memory
from headrace.errors import InvalidURL, NotSupported

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from typing import Any

    from headrace.backends.memory import Queue

__all__ = ["open"]


def open(url: str, *, maxsize: int = 0) -> Queue[Any]:  # noqa: A001 - the name is the design's
    """Open the queue that *url* names. ``"memory:"`` is a new queue for the threads of this process.

    Raises:
        InvalidURL: *url* is not a string with a scheme, or has something behind ``memory:``.
        NotSupported: the scheme is not one that this version can open.
    """
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidURL(f"a queue's URL is a string, not {type(url).__name__}: {url!r}")
    scheme, colon, rest = url.partition(":")
    if not colon or not scheme:
        raise InvalidURL(f"{url!r} has no scheme: this version opens 'memory:'")
    if scheme != "memory":
        raise NotSupported(f"{scheme!r} queues ({url!r}) are not in this version, which opens 'memory:'")
    if rest:
        raise InvalidURL(f"{url!r}: a memory queue has no name; write 'memory:'")
    return memory.Queue(maxsize)
