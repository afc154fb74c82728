"""What a placeholder in a command means: ``{}``, ``{#}``, ``{/.}``, ``{2}``, ``{name}``."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from headrace.cli.describe import encode
from headrace.cli.nearest import did_you_mean
from headrace.cli.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from headrace.cli.item import Item

    Value = Callable[[Item], bytes]
    Piece = bytes | Value

__all__ = ["PLAIN", "Vocabulary", "as_bytes", "is_harmless", "look_up", "whole_item"]

# Patterns that are compiled when one is used first: most runs use none.
PLACEHOLDER = rb"\{([^{}]*)\}"
# What GNU parallel lets stand before the closing brace: a part of the value, taken as a path.
CHANGE = r"(//|/\.|/|\.)?\Z"
# Nothing else than a placeholder looks like this.
SURELY_MEANT = r"[#./%]+\Z"
NAME = r"\w[\w.-]*\Z"
EXTENSION = rb"\.[^/.]*\Z"
KNOWN = ("{}", "{#}", "{.}", "{/}", "{//}", "{/.}")


class Vocabulary(NamedTuple):
    """The placeholders that the items of one input have a value for, besides those that every item has.

    Attributes:
        names: of the fields; None where there are none, or where each item has names of its own.
        has_own_names: whether each item has names of its own.
        columns: how many values there are by place.
    """

    names: tuple[str, ...] | None = None
    has_own_names: bool = False
    columns: int = 0

    def pieces(self, text: bytes) -> list[Piece]:
        """*text*, cut where placeholders are. What no placeholder has in braces stays as it is.

        Raises:
            Refused: something is surely meant as a placeholder, and there is no such one.
        """
        if b"{" not in text:
            return [text]
        pieces: list[Piece] = []
        done = 0
        for match in re.finditer(PLACEHOLDER, text):
            value = self._value(match, text)
            if value is not None:
                pieces += (text[done : match.start()], value)
                done = match.end()
        return [*pieces, text[done:]]

    def _value(self, match: re.Match[bytes], text: bytes) -> Value | None:
        """What stands for a pair of braces and what is in it; None for themselves."""
        content = os.fsdecode(match[1])
        if not content:
            return whole_item
        if text[: match.start()].endswith(b"$"):
            return None  # ${1}, ${name}: the shell's
        change = re.search(CHANGE, content)
        suffix = (change[1] or "") if change else ""
        base = content.removesuffix(suffix)
        return self._by_name(content, base, suffix) or self._by_place(content, base, suffix)

    def _by_name(self, content: str, base: str, suffix: str) -> Value | None:
        if self.has_own_names:
            return _changed(_field(base), suffix) if re.match(NAME, base) else None
        if self.names is None:
            return None
        for name, change in ((content, ""), (base, suffix)):
            if name in self.names:
                return _changed(_field(name), change)
        if re.match(NAME, base) and not base.isdigit():
            raise Refused(
                f"{{{content}}}: the header has no {base!r}.{did_you_mean(base, self.names)}"
                f" (it has {', '.join(map(repr, self.names))})"
            )
        return None

    def _by_place(self, content: str, base: str, suffix: str) -> Value | None:
        if not base:
            return _changed(whole_item, suffix) if self.columns < 2 or self.names is not None else _changed_each(suffix)
        if base.isdigit() and self.columns:
            if not 1 <= int(base) <= self.columns:
                known = "is 1 value" if self.columns == 1 else f"are {self.columns} values"
                to_last = f" to {{{self.columns}}}" if self.columns > 1 else ""
                raise Refused(f"{{{content}}}: there {known} for an item, {{1}}{to_last}")
            return _changed(_argument(int(base) - 1), suffix)
        if content == "#":
            return _number
        if re.match(SURELY_MEANT, content):
            near = did_you_mean(f"{{{content}}}", KNOWN) or f" There are: {' '.join(KNOWN)}"
            raise Refused(f"there is no placeholder {{{content}}}.{near}")
        return None


PLAIN = Vocabulary()
"""Lines, and no names for anything in them."""


def whole_item(item: Item) -> bytes:
    """The item as it stood in the input."""
    return item.line


def is_harmless(pieces: Iterable[Piece]) -> bool:
    """Whether what is filled in, if anything, is never more than a number, whatever the items say."""
    return all(isinstance(piece, bytes) or piece is _number for piece in pieces)


def _number(item: Item) -> bytes:
    return b"%d" % item.number


def _argument(place: int) -> Value:
    return lambda item: item.arguments[place]


def _field(name: str) -> Value:
    return lambda item: as_bytes(look_up(item.fields or {}, name))


def look_up(fields: Mapping[str, Any], name: str) -> Any:
    """The value of *name*; ``a.b`` is also the ``b`` of the object ``a``.

    Raises:
        Refused: there is none.
    """
    if name in fields:
        return fields[name]
    found: Any = fields
    for part in name.split("."):
        inner = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if part not in inner:
            raise Refused(f"it has no {name!r}.{did_you_mean(name, fields)}")
        found = inner[part]
    return found


def as_bytes(value: Any) -> bytes:
    """A field as an argument: strings as they are, nothing for null, all else as JSON writes it."""
    if isinstance(value, str):
        return encode(value)
    if value is None:
        return b""
    import json  # slow to import, and most runs have no records

    return encode(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _changed(value: Value, suffix: str) -> Value:
    """*value*, of which only a part is wanted."""
    if not suffix:
        return value
    change = CHANGES[suffix]
    return lambda item: change(value(item))


def _changed_each(suffix: str) -> Value:
    """A part of each of several inputs."""
    change = CHANGES[suffix]
    return lambda item: b" ".join(map(change, item.arguments))


def _without_extension(path: bytes) -> bytes:
    return re.sub(EXTENSION, b"", path)


def _name(path: bytes) -> bytes:
    return path[path.rfind(b"/") + 1 :]


def _folder(path: bytes) -> bytes:
    folder = os.path.dirname(path.rstrip(b"/") or path) or b"."
    return folder if folder.strip(b"/") else b"/"


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    ".": _without_extension,
    "/": _name,
    "//": _folder,
    "/.": lambda path: _without_extension(_name(path)),
}
