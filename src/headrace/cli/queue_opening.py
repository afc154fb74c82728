"""Where the queue of a command line is, and opening it; what cannot be is refused in a sentence."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headrace.cli import closed_at_start
from headrace.cli.nearest import did_you_mean
from headrace.cli.refusal import Refused
from headrace.errors import HeadraceError, InvalidURL, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.backends.sqlite.overview import Overview

__all__ = [
    "Place",
    "able_to",
    "close_opened",
    "file_of",
    "find",
    "look_at",
    "need_for_commands",
    "open_queue",
    "open_there",
]

DEFAULT_QUEUE = "default"
OPENED = "headrace.opened"
STDOUT = 1


class Place(NamedTuple):
    """A queue in a file.

    Attributes:
        queue: its name.
        is_named: whether the URL said that name.
    """

    path: str
    queue: str
    is_named: bool

    def __str__(self) -> str:
        return f"{self.path}#{self.queue}"


def open_queue(url: str, **options: Any) -> Any:
    """Open the queue at *url*, and make it if it is not there. Options that are None are left out.

    Raises:
        Refused: it cannot be opened, or is in no other process than this.
    """
    if url.startswith("memory:"):
        raise Refused(
            f"{url!r} lives in one process and ends with it, so there is nothing to see: name a file (jobs.db)"
        )
    _place_of(url)  # which knows what is said of folders
    import headrace

    given = {name: value for name, value in options.items() if value is not None}
    try:
        queue = headrace.open(url, **given)
    except ModuleNotFoundError as error:
        raise _lacking(error) from error
    except InvalidURL as error:
        raise Refused(_about_url(url, error)) from error
    except (HeadraceError, OSError, TypeError, ValueError) as error:
        raise Refused(str(error)) from error
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta.setdefault(OPENED, []).append(queue)
    return queue


def need_for_commands() -> None:
    """Refuse to run commands for items of a file, in a sentence, where that cannot be: what is done is done for good.

    What queues in a file need must be installed, and what the commands print must go somewhere.
    """
    if STDOUT in closed_at_start:
        raise Refused(
            "standard output is closed, and what the commands print would be lost: send it to a file, or to /dev/null"
        )
    try:
        import_module("apsw")
        import_module("msgspec")
    except ModuleNotFoundError as error:
        raise _lacking(error) from error


def close_opened(context: click.Context) -> None:
    """Close the queues that the command has opened. Raises what ``close`` does."""
    for queue in context.meta.pop(OPENED, ()):
        close = getattr(queue, "close", None)
        if close is not None:
            close()


def _lacking(error: ModuleNotFoundError) -> Exception:
    """What is said where a module is missing."""
    if error.name in ("apsw", "msgspec"):
        return Refused(f"a queue in a file needs {error.name}: pip install 'headrace[sqlite]'")
    if error.name == "fcntl":
        return Refused("queues in files need a POSIX system, for its locks: Linux, macOS, …")
    return error


def _about_url(url: str, error: InvalidURL) -> str:
    if ":" not in url and "/" not in url and url and not url.startswith(("#", "?")):
        path, behind = url, ""
        for mark in "#?":
            path, found, rest = path.partition(mark)
            behind = found + rest + behind
        return f"{url!r} is no queue: write the path of a file, as in {path + '.db' + behind!r} or {'./' + url!r}"
    return str(error)


def open_there(url: str) -> Any:
    """Open the queue at *url*, which must be there: nothing is made. Raises ``Refused``."""
    place = _place_of(url)
    if place is not None:
        with look_at(place) as look:
            find(place, look.names())
    return open_queue(url)


def file_of(url: str, wanted_for: str) -> Place:
    """The file and the queue that *url* names. Raises ``Refused`` where that is no file."""
    place = _place_of(url)
    if place is None:
        open_queue(url)  # which says what is wrong with it
        raise Refused(f"{wanted_for} is for queues in a file, and {url!r} is none")
    return place


def _place_of(url: str) -> Place | None:
    from headrace.backends.sqlite.location import is_path, parse

    if os.path.isdir(url):
        raise Refused(f"{url} is a folder: name a file in it, as in {os.path.join(url, 'jobs.db')!r}")
    if not url.startswith("sqlite:") and not is_path(url):
        return None
    try:
        path, options = parse(url)
    except InvalidURL as error:
        raise Refused(str(error)) from error
    return Place(path, options.get("queue", DEFAULT_QUEUE), "queue" in options)


def look_at(place: Place) -> Overview:
    """The file of *place*, opened to be read. Raises ``Refused``."""
    if not os.path.exists(place.path):
        raise Refused(f"{place.path}: there is no such file.{did_you_mean(place.path, _neighbours(place.path))}")
    try:
        from headrace.backends.sqlite.overview import Overview
    except ModuleNotFoundError as error:
        raise _lacking(error) from error
    try:
        return Overview(place.path)
    except StorageError as error:
        raise Refused(str(error)) from error


def _neighbours(path: str) -> list[str]:
    """The paths of the files beside *path* that may have been meant, written as *path* is."""
    from headrace.backends.sqlite.location import SUFFIXES

    folder = os.path.dirname(path)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith(SUFFIXES)]


def find(place: Place, names: Iterable[str]) -> None:
    """Raise ``Refused`` unless the queue is one of *names*."""
    names = list(names)
    if place.queue in names:
        return
    if not names:
        raise Refused(f"{place.path} has no queue in it yet")
    near = did_you_mean(place.queue, names)
    there = near or " There are " + ", ".join(map(repr, names[:5])) + ("." if len(names) <= 5 else ", …")
    if not place.is_named:
        raise Refused(
            f"{place.path} has no queue {place.queue!r}: say which, as in {f'{place.path}#{names[0]}'!r}.{there}"
        )
    raise Refused(f"{place.path} has no queue {place.queue!r}.{there}")


def able_to(queue: Any, method: str, url: str) -> Any:
    """A method of *queue*, whatever backend that is of. Raises ``Refused`` where the backend has none."""
    found = getattr(queue, method, None)
    if found is None:
        raise Refused(f"{url!r}: this kind of queue has no {method.lstrip('_')}")
    return found
