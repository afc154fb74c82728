"""How an item and its failure look in a message: one line, whatever is in them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from headrace.cli import status

if TYPE_CHECKING:
    from headrace.cli.item import Item

__all__ = [
    "describe_error",
    "describe_exit",
    "describe_failure",
    "describe_item",
    "describe_over_time",
    "describe_rate",
    "encode",
]

SHOWN_CHARACTERS = 100
ENCODING = sys.getfilesystemencoding()


def describe_item(item: bytes) -> str:
    """``'a b'`` for the item ``a b``; long ones are cut and their length is told."""
    text = item[: SHOWN_CHARACTERS * 4].decode(ENCODING, "surrogateescape")
    cut = len(text) > SHOWN_CHARACTERS
    # A byte that is no UTF-8 is a surrogate in the string, \udcff in its repr, and \xff to a reader.
    shown = repr(text[:SHOWN_CHARACTERS]).replace("\\udc", "\\x")
    return f"{shown}… ({len(item):,} bytes)" if cut else shown


def describe_exit(code: int) -> str:
    """``exit status 3``, or ``killed by SIGKILL`` where *code* is minus the number of a signal."""
    return f"exit status {code}" if code >= 0 else f"killed by {status.signal_name(-code)}"


def describe_failure(item: Item, failure: str) -> str:
    """``item 'a b' failed: exit status 3``, and which attempt it was where it was not the first."""
    attempts = f" (attempt {item.attempt})" if item.attempt > 1 else ""
    return f"item {describe_item(item.line)} failed: {failure}{attempts}"


def describe_over_time(limit: float) -> str:
    """``it took longer than 1.5 s``."""
    return f"it took longer than {limit:g} s"


def describe_error(error: BaseException) -> str:
    """``ValueError: its message``, without the line breaks."""
    message = " ".join(str(error).split("\n"))
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def describe_rate(per_second: float) -> str:
    """``38/s``, ``1,234/s``; slow ones with a digit more."""
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"


def encode(text: str) -> bytes:
    """*text* as it is written out: what was decoded from the input becomes what it was, and nothing is refused."""
    try:
        return text.encode(ENCODING, "surrogateescape")
    except UnicodeEncodeError:
        return text.encode(ENCODING, "backslashreplace")
