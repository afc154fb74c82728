"""``headrace put``: items into a queue, from the command line or from the lines of an input."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headrace.cli import status
from headrace.cli.quantities import Duration
from headrace.cli.queue_command import queue_command, url_argument
from headrace.cli.queue_lines import BadLine, as_bytes, as_json, as_text, items_of
from headrace.cli.queue_opening import open_queue
from headrace.cli.queue_stopping import Stopping
from headrace.errors import DuplicateKey, EncodeError, Full, ShutDown, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace.cli.queue_lines import Convert

__all__ = ["command"]

EPILOG = """\b
Examples:
  headrace put jobs.db 'first item' 'second item'
  find . -name '*.jpg' -print0 | headrace put -0 jobs.db#images
  headrace put jobs.db --json '{"user": 7, "mail": "welcome"}' --delay 10m
  headrace put jobs.db --json --input orders.jsonl --key {id}
  tail -f access.log | headrace put 'jobs.db?maxsize=1000'

\b
Exit status:
  0    all items are in the queue
  1    some are not, and it is said how many are: no room in time, a line that
       is no JSON, a key that is taken, a full disk
  2    the command line was refused; nothing was put
  130  ended by Ctrl-C (143 by SIGTERM): it is said how many went in
"""


class How(NamedTuple):
    """What is said of every item."""

    priority: int
    delay: float | None
    ttl: float | None
    key: str | None
    on_duplicate: str | None
    timeout: float | None


@queue_command("put", EPILOG)
@url_argument
@click.argument("items", metavar="[ITEM]...", nargs=-1)
@click.option(
    "--input",
    "path",
    type=click.Path(readable=False),
    default="-",
    metavar="FILE",
    help="Read the items from FILE, one a line. [default: stdin]",
)
@click.option("-0", "--null", is_flag=True, help="Items of the input end with a NUL byte, not with a line break.")
@click.option("--json", "is_json", is_flag=True, help="Items are values in JSON. [default: they are strings]")
@click.option("--priority", type=int, default=0, metavar="N", help="Lower ones come out first. [default: 0]")
@click.option("--delay", type=Duration(zero=True), metavar="S", help="They are ready after S (1.5, 10m, 2h) only.")
@click.option("--ttl", type=Duration(), metavar="S", help="An item that nobody has taken after S is dead.")
@click.option(
    "--key",
    metavar="TEXT",
    help="Of the unfinished items with the same key there is one. {} is the item, {name} a field of it in JSON.",
)
@click.option(
    "--on-duplicate",
    type=click.Choice(["ignore", "raise", "replace"]),
    metavar="WHAT",
    help="If an unfinished item has the key: ignore puts nothing, raise ends with an error, replace takes its place. "
    "[default: ignore]",
)
@click.option("--maxsize", type=int, metavar="N", help="Bound the queue, for all who use it; 0 is no bound.")
@click.option(
    "--timeout",
    type=Duration(zero=True),
    metavar="S",
    help="Give up when there was no room for S; 0 is at once. [default: wait]",
)
@click.option("--serializer", metavar="NAME", help="msgpack, json or bytes. [default: msgpack]")
@click.option(
    "--durability",
    type=click.Choice(["power", "process", "none"]),
    metavar="WHAT",
    help="What items are safe from when they are put: power (cuts), process (the death of all processes), none. "
    "[default: power]",
)
def command(
    url: str,
    items: tuple[str, ...],
    path: str,
    null: bool,
    is_json: bool,
    maxsize: int | None,
    serializer: str | None,
    durability: str | None,
    **more: Any,
) -> int:
    """Put ITEMs into the queue at URL, which is made if it is not there.

    URL is the path of a file, as jobs.db, or one of several queues in it, as jobs.db#emails. Without an ITEM, each
    line of the input is one. Items are strings; bytes that are no UTF-8 are kept.
    """
    how = How(**more)
    if items and (path != "-" or null):
        raise click.UsageError("items are read from an input where there is no ITEM: --input and -0 mean nothing here")
    if how.on_duplicate is not None and how.key is None:
        raise click.UsageError("--on-duplicate is for items with a --key")
    convert = _conversion(is_json, serializer or _serializer_in(url))
    if items:
        try:
            given = items_of([os.fsencode(item) for item in items], convert, 1)
        except BadLine as error:
            raise click.UsageError(str(error)) from error
        source: Callable[[Stopping], Iterator[list[Any]]] = lambda stopping: iter([given])  # noqa: E731
        close = None
    else:
        source, close = _lines(path, b"\0" if null else b"\n", convert)
    needs_each = any(value is not None for value in (how.delay, how.ttl, how.key))
    options = {"maxsize": maxsize, "serializer": serializer}
    queue = open_queue(url, **options, durability=durability)
    putter = Putter(queue, _fast(url, queue, options) if needs_each else queue, how, each=needs_each)
    with Stopping(putter.stop, *([close] if close else [])) as stopping:
        return _put_all(putter, source(stopping), stopping, says_count=not items)


def _conversion(is_json: bool, serializer: str | None) -> Convert:
    if is_json:
        return as_json
    return as_bytes if serializer == "bytes" else as_text


def _serializer_in(url: str) -> str | None:
    return "bytes" if "serializer=bytes" in url.partition("#")[0] else None


def _lines(path: str, separator: bytes, convert: Convert) -> Any:
    """What gives the items of an input, and what ends that early."""
    from headrace.cli.inputs import open_input
    from headrace.cli.queue_lines import gathered
    from headrace.cli.reader import Reader

    fd = open_input(path, "--input")
    reader = Reader(fd, separator)

    def source(stopping: Stopping) -> Iterator[list[Any]]:
        number = 1
        for lines in gathered(reader, fd):
            yield items_of(lines, convert, number)
            number += len(lines)

    return source, reader.stop


def _fast(url: str, queue: Any, options: dict[str, Any]) -> Any:
    """The same queue, for puts of which many together wait for the disk."""
    can_sync = getattr(queue, "_sync", None) is not None and getattr(queue, "durability", "") == "power"
    if not can_sync or "durability=" in url:
        return queue
    return open_queue(url, **options, durability="process")


class Putter:
    """Puts items, and knows how many.

    Args:
        queue: where they are to be safe.
        fast: the same queue, or one object of it whose puts do not wait for the disk: *queue* is asked to, then.
        each: they are put one by one, for ``put_many`` does not take what is said of them.

    Attributes:
        count: how many items are in the queue.
    """

    def __init__(self, queue: Any, fast: Any, how: How, *, each: bool) -> None:
        self._queue = queue
        self._fast = fast
        self.how = how
        self._each = each
        self.count = 0

    def stop(self) -> None:
        """Let ``put`` end, where it is. May be called in a signal handler."""
        self._queue.shutdown()
        self._fast.shutdown()

    def put(self, items: list[Any]) -> None:
        """Put *items*; wait for room. Raises Full, ShutDown, DuplicateKey, EncodeError, StorageError."""
        if self._each:
            self._put_each(items)
        else:
            self._put_many(items)

    def _put_many(self, items: list[Any]) -> None:
        more = {"priority": self.how.priority} if self.how.priority else {}
        while items:
            try:
                self._queue.put_many(items, timeout=self.how.timeout, **more)
            except (Full, ShutDown) as error:
                self.count += error.put_count
                if not error.put_count or isinstance(error, ShutDown):
                    raise
                # There was room meanwhile: the time that it was waited for begins anew.
                items = items[error.put_count :]
            else:
                self.count += len(items)
                return

    def _put_each(self, items: list[Any]) -> None:
        how = self.how
        more: dict[str, Any] = {"priority": how.priority, "delay": how.delay, "ttl": how.ttl}
        if how.on_duplicate is not None:
            more["on_duplicate"] = how.on_duplicate
        before = self.count
        try:
            for item in items:
                key = None if how.key is None else key_of(how.key, item)
                self._fast.put(item, timeout=how.timeout, key=key, **more)
                self.count += 1
        finally:
            if self._fast is not self._queue and self.count > before:
                self._queue._sync()

    def close(self) -> None:
        """Close the queue."""
        for queue in {self._fast, self._queue}:
            close = getattr(queue, "close", None)
            if close is not None:
                close()


class NoKey(Exception):
    """An item has no such field."""


def key_of(pattern: str, item: Any) -> str:
    """*pattern* with the item in the place of ``{}``, and its fields in those of ``{name}``. Raises ``NoKey``."""
    import re

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        if not name:
            return _text(item)
        if not isinstance(item, dict) or name not in item:
            raise NoKey(f"--key {pattern!r}: an item has no field {name!r}, which is for --json and objects")
        return _text(item[name])

    return re.sub(r"\{([^{}]*)\}", fill, pattern)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return as_text(value)
    import json

    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _put_all(putter: Putter, batches: Iterator[list[Any]], stopping: Stopping, *, says_count: bool) -> int:
    try:
        why = _put_batches(putter, batches, stopping)
    finally:
        _close(putter)
    return _say(putter.count, why, stopping, says_count=says_count)


def _put_batches(putter: Putter, batches: Iterator[list[Any]], stopping: Stopping) -> str:
    """Put everything, and return why that ended early; "" if it did not, or was told to."""
    from headrace.cli.reader import InputError

    try:
        try:
            for batch in batches:
                if stopping.noted:
                    break
                putter.put(batch)
        except BadLine as error:
            putter.put(error.items)
            return str(error)
    except ShutDown:
        pass
    except Full:
        return "there was no room" + (f" for {putter.how.timeout:g} s" if putter.how.timeout else "")
    except InputError as error:
        return f"the input cannot be read to its end: {error}"
    except (DuplicateKey, EncodeError, NoKey, StorageError) as error:
        return str(error)
    return ""


def _close(putter: Putter) -> None:
    try:
        putter.close()
    except StorageError as error:
        click.echo(f"headrace: {error}", err=True)


def _say(count: int, why: str, stopping: Stopping, *, says_count: bool) -> int:
    went_in = f"{count:,} item{'' if count == 1 else 's'}"
    if why:
        click.echo(f"headrace: {why}; {went_in} went in", err=True)
        return status.FAILED
    if stopping.noted:
        click.echo(f"headrace: ended early; {went_in} went in", err=True)
        return stopping.exit_status
    if says_count and sys.stderr.isatty():
        click.echo(f"headrace: {went_in} put", err=True)
    return status.DONE
