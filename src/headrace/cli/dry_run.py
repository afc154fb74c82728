"""``headrace run --dry-run``: the commands, as a shell would be told to run them, and none of them run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

import click

from headrace.cli import status
from headrace.cli.describe import describe_item, encode
from headrace.cli.placeholder import ShellTemplate, quote
from headrace.cli.reader import InputError
from headrace.cli.refusal import Refused

if TYPE_CHECKING:
    from headrace.cli.item import Item
    from headrace.cli.placeholder import Template
    from headrace.cli.worker import Source

    class Writing(Protocol):
        """How what is done with an item is written down."""

        def __call__(self, item: Item) -> bytes:
            """One line, or more where the item has line breaks in it. Raises ``Refused``."""
            ...


__all__ = ["as_call", "as_command", "print_commands"]


def as_command(template: Template, *, feeds: bool) -> Writing:
    """The command for an item, to be pasted into a shell. Where *feeds*, it gets the item on standard input."""

    def write(item: Item) -> bytes:
        if isinstance(template, ShellTemplate) and not feeds:
            return template.line(item)
        words = template.fill(item)
        if any(b"\0" in word for word in words):
            raise Refused("there is a NUL byte in it, which no argument can have")
        command = b" ".join(map(quote, words))
        return b"printf '%s\\n' " + quote(item.line) + b" | " + command if feeds else command

    return write


def as_call(name: str) -> Writing:
    """The call of function *name*, as Python would be told."""
    function = encode(name.replace(":", "."))

    def write(item: Item) -> bytes:
        if item.fields is not None:
            return b"%s(%s)" % (function, encode(repr(dict(item.fields))))
        return b"%s(%s)" % (function, b", ".join(encode(repr(_text(value))) for value in item.arguments))

    return write


def _text(value: bytes) -> str:
    return value.decode(sys.getfilesystemencoding(), "surrogateescape")


def print_commands(source: Source, write: Writing) -> int:
    """Print what would be done with each item, in order. Returns the exit status. Blocks while the reader is slow."""
    exit_status = status.DONE
    try:
        for items in source.blocks():
            lines: list[bytes] = []
            for item in items:
                try:
                    lines += (write(item), b"\n")
                except Refused as error:
                    exit_status = status.FAILED
                    click.echo(f"headrace: item {describe_item(item.line)} failed: {error.message}", err=True)
            sys.stdout.buffer.write(b"".join(lines))
            sys.stdout.buffer.flush()
    except InputError as error:
        click.echo(f"headrace: cannot read the input to its end: {error}", err=True)
        return status.FAILED
    return exit_status
