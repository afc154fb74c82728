"""Where a queue file is, and what its URL says of it."""

from __future__ import annotations

import os
import re

from headrace.errors import InvalidURL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["SUFFIXES", "is_path", "parse"]

SUFFIXES = (".db", ".sqlite", ".sqlite3", ".db3", ".queue")
DEFAULT_QUEUE = "default"

# What may stand behind the question mark, and what it is made of there.
OPTIONS = {
    "durability": str,
    "lease": float,
    "max_deliveries": int,
    "maxsize": int,
    "queue": str,
    "serializer": str,
    "keep_dead": float,
    "keep_done": float,
}

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def is_path(url: str) -> bool:
    """Whether *url*, which has no scheme, looks like the path of a queue file and not like a slip."""
    path = url.partition("#")[0].partition("?")[0]
    return not _SCHEME.match(url) and (path.endswith(SUFFIXES) or "/" in path or os.sep in path)


def parse(url: str) -> tuple[str, dict[str, Any]]:
    """The path and the options in *url*: ``[sqlite:]PATH[?option=value&...][#queue]``.

    A ``%23`` in the path is a ``#``, a ``%3F`` a ``?``, a ``%25`` a ``%``.

    Raises InvalidURL.
    """
    rest = url.removeprefix("sqlite:")
    if rest.startswith("//"):
        host, slash, behind = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise InvalidURL(f"{url!r}: a queue file is on this machine; write sqlite:PATH or sqlite:///absolute/path")
        rest = slash + behind
    rest, hash_sign, name = rest.partition("#")
    path, _, query = rest.partition("?")
    path = decoded(path)
    if not path or path.endswith("/"):
        raise InvalidURL(f"{url!r} names no file: write headrace.open('jobs.db')")
    if path.startswith("~"):
        raise InvalidURL(f"{url!r}: '~' is the shell's: write os.path.expanduser({path!r})")
    if path.startswith(":memory:"):
        raise InvalidURL(f"{url!r}: a file has a name; a queue in memory is headrace.open('memory:')")
    if "\0" in path:
        raise InvalidURL(f"{url!r}: a path has no NUL in it")
    options = _options(url, query)
    if hash_sign:
        if not name:
            raise InvalidURL(f"{url!r}: behind '#' is the name of a queue in the file, as in 'jobs.db#emails'")
        options["queue"] = decoded(name)
    return path, options


def decoded(text: str) -> str:
    """*text* without percent signs."""
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def _options(url: str, query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not query:
        return found
    from urllib.parse import parse_qsl

    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise InvalidURL(f"{url!r}: {error}") from None
    for name, text in pairs:
        if name not in OPTIONS:
            from difflib import get_close_matches

            near = get_close_matches(name, OPTIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(OPTIONS))}"
            raise InvalidURL(f"{url!r}: {name!r} is no option of a queue file: {hint}")
        try:
            found[name] = OPTIONS[name](text)
        except ValueError:
            raise InvalidURL(f"{url!r}: {name} is a number, not {text!r}") from None
    return found
