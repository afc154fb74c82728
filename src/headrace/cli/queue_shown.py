"""How items, times and sizes are shown."""

from __future__ import annotations

import json
import re
from typing import Any

from headrace.cli.describe import encode

__all__ = ["age", "as_json", "as_line", "count", "one_line", "plain", "size"]

# What a terminal would take for a command: control characters, but for tabs and line breaks.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
MINUTE, HOUR, DAY = 60, 3600, 86400


def as_line(item: Any, *, is_json: bool) -> bytes:
    """*item* as it is printed, without an end: strings and bytes as they are, others as JSON.

    Args:
        is_json: JSON for strings and bytes (base64) too.
    """
    if not is_json:
        if isinstance(item, str):
            return encode(item)
        if isinstance(item, bytes):
            return item
    return as_json(item, strict=is_json)


def as_json(item: Any, *, strict: bool = True) -> bytes:
    """*item* in JSON. What JSON has no form for is its repr: as a string of JSON if *strict*."""
    try:
        import msgspec

        return msgspec.json.encode(item)
    except (TypeError, ValueError, RecursionError, ImportError):
        pass
    try:
        return json.dumps(item).encode()
    except (TypeError, ValueError, RecursionError):
        from headrace.consumers.failure import shown

        text = _repr(item) or shown(item)
        return json.dumps(text).encode() if strict else encode(text.replace("\n", " "))


def _repr(item: Any) -> str:
    try:
        return repr(item)
    except Exception:  # whatever an item's own code raises
        return ""


def plain(text: str) -> str:
    """*text* without what a terminal would obey, and so that it can be written."""
    text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(text: str) -> str:
    """*text*, as ``plain``, without its line breaks."""
    return plain(" ".join(text.split("\n")))


def count(number: int) -> str:
    """``999,999``, and ``1.23 M`` from there on."""
    if abs(number) < 1_000_000:
        return f"{number:,}"
    value, unit = (number / 1e9, "G") if number >= 1e9 else (number / 1e6, "M")
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def size(number_of_bytes: int) -> str:
    """``512 B``, ``12.3 kB``, ``1.2 GB``."""
    value = float(number_of_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def age(seconds: float) -> str:
    """``0.5 s``, ``12 s``, ``5 min``, ``3 h``, ``12 d``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.0f} h"
    return f"{seconds / DAY:,.0f} d"
