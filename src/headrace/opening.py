"""``headrace.open``: a queue by its URL."""

from __future__ import annotations

import os
import sys

from headrace.backends import memory
from headrace.errors import InvalidURL, NotSupported

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["open"]

_KNOWN = "this version opens 'memory:' and files, as in 'jobs.db', 'jobs.db#emails' or 'sqlite:jobs'"


def open(url: str | os.PathLike[str], *, maxsize: int | None = None, **options: Any) -> Any:  # noqa: A001 - the design's
    """Open the queue that *url* names.

    ``"memory:"`` is a new queue for the threads of this process. ``"jobs.db"`` is a queue in a file, which is made if
    it is not there; ``"jobs.db#emails"`` is the queue *emails* in it; ``"sqlite:PATH"`` is a file whatever its name.

    Args:
        url: what to open. Of a file also its path, as an ``os.PathLike``.
        maxsize: the bound on the waiting items; 0 is none. That of a file is kept in it, and None leaves it.
        options: of a file; those behind a question mark in the URL mean the same (``"jobs.db?durability=process"``).
            *queue*: its name in the file. *durability*: what ``put`` waits for, ``"power"`` (the default: the item is
            on disk), ``"process"`` or ``"none"``. *serializer*: ``"msgpack"`` (the default), ``"json"``, ``"bytes"``,
            ``"pickle"`` or ``"cloudpickle"``. *type*: of the items, which are checked when they are put and taken.
            *lease*: seconds after which a process that does not give a sign of life loses what it holds (30).
            Kept in the file, for all processes: *max_deliveries*: how often an item is delivered at most (5; 0 is no
            limit). *keep_dead*: seconds that dead letters are kept (for good). *keep_done*: seconds that items are kept
            that are done (0).

    Raises:
        InvalidURL: *url* is not the URL of a queue.
        NotSupported: the scheme is not one that this version can open, or what it needs is not installed.
        StorageError: the file cannot be opened, or is not a queue's.
        TypeError, ValueError: an option is not what it should be.
    """
    if isinstance(url, os.PathLike):
        return _open_file(os.fsdecode(url), maxsize, options)
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidURL(f"a queue's URL is a string, not {type(url).__name__}: {url!r}")
    scheme, colon, rest = url.partition(":")
    if scheme == "memory" and colon:
        if rest:
            raise InvalidURL(f"{url!r}: a memory queue has no name; write 'memory:'")
        if options:
            raise TypeError(f"a memory queue has maxsize alone, not {', '.join(map(repr, options))}")
        return memory.Queue(maxsize or 0)  # pyright: ignore[reportUnknownVariableType] - it is anything's
    from headrace.backends.sqlite.location import is_path, parse

    if scheme != "sqlite" and not is_path(url):
        if not colon or not scheme:
            raise InvalidURL(f"{url!r} has no scheme: {_KNOWN}")
        raise NotSupported(f"{scheme!r} queues ({url!r}) are not in this version: {_KNOWN}")
    path, told = parse(url)
    for name in told.keys() & (options.keys() | ({"maxsize"} if maxsize is not None else set())):
        raise InvalidURL(f"{url!r} says {name}, and so does an argument: give it once")
    return _open_file(path, maxsize, {**told, **options})


def _open_file(path: str, maxsize: int | None, options: dict[str, Any]) -> Any:
    from importlib.util import find_spec

    for needed in ("apsw", "msgspec"):
        if needed not in sys.modules and find_spec(needed) is None:
            raise NotSupported(f"a queue in a file needs {needed}: pip install 'headrace[sqlite]'")
    from headrace.backends.sqlite.queue import FileQueue
    from headrace.backends.sqlite.settings import Settings

    if maxsize is not None:
        options["maxsize"] = maxsize
    for name in options:
        if name not in Settings._fields:
            from difflib import get_close_matches

            near = get_close_matches(name, Settings._fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(Settings._fields)}"
            raise TypeError(f"{name!r} is no option of a queue in a file: {hint}")
    return FileQueue(path, options)  # pyright: ignore[reportUnknownVariableType]
