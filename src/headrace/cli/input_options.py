"""What ``headrace run`` is told about its items and how they reach the command: the options, and their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headrace.cli.option_groups import option

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["InputOptions", "input_options"]

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20}
LARGEST_BLOCK = 64 << 20


def size(text: str) -> int:
    """The bytes that *text* stands for: ``65536``, ``64K``, ``1M``."""
    number = text.rstrip("kKmM")
    unit = UNITS.get(text[len(number) :].lower(), 0)
    found = int(number) * unit if number.isascii() and number.isdigit() else 0
    if not 1 <= found <= LARGEST_BLOCK:
        raise click.BadParameter(f"{text!r} is no size: write bytes, as 4096, 64K or 1M, up to 64M")
    return found


class InputOptions(NamedTuple):
    """The values of the options below, by their names."""

    csv: bool = False
    tsv: bool = False
    jsonl: bool = False
    stdin: bool = False
    pipe: bool = False
    block: int | None = None
    dry_run: bool = False


_OPTIONS = (
    option("Items", "--csv", is_flag=True, help="Items are records of CSV: {name} is the field of that name."),
    option("Items", "--tsv", is_flag=True, help="Items are records of fields between tabs, with a header as in CSV."),
    option(
        "Items", "--jsonl", is_flag=True, help="Items are JSON objects, a line each: {name} is the value of that name."
    ),
    option(
        "What is done",
        "--stdin",
        is_flag=True,
        help="COMMAND finds the item, and a line break, on its standard input; it is no argument.",
    ),
    option(
        "What is done",
        "--pipe",
        is_flag=True,
        help="Start COMMAND only -j times, and feed each as many lines as it can take on its standard input.",
    ),
    option(
        "What is done",
        "--block",
        type=size,
        metavar="SIZE",
        help="With --pipe: feed at most SIZE bytes at a time, though at least a line. [default: 256K]",
    ),
    option("What is done", "--dry-run", is_flag=True, help="Print the commands that would be run, and run none."),
)


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* all of these options."""
    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command
