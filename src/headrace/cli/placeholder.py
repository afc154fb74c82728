"""Where the item goes: ``{}`` in the words of a command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from headrace.cli.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.cli.item import Item

__all__ = ["CommandTemplate", "ShellTemplate", "Template"]

PLACEHOLDER = b"{}"
SHELL = b"/bin/sh"


class Template(Protocol):
    """Makes the words of a command out of an item."""

    def fill(self, item: Item) -> list[bytes]:
        """The command for *item*, name first. Thread-safe."""
        ...


class CommandTemplate:
    """Words that go to the command as they are, without a shell: ``{}`` is the item wherever it occurs.

    Where it does not occur the item is one more word at the end.
    """

    def __init__(self, words: Sequence[bytes]) -> None:
        if not any(PLACEHOLDER in word for word in words):
            words = [*words, PLACEHOLDER]
        # What stands between the placeholders of a word; the item, as the glue, joins it again.
        self._words = [word.split(PLACEHOLDER) for word in words]

    def fill(self, item: Item) -> list[bytes]:
        """The command for *item*, name first. Thread-safe."""
        line = item.line
        return [line.join(pieces) for pieces in self._words]


class ShellTemplate:
    """Words that are joined by spaces into one line for ``/bin/sh``, in which ``{}`` is the item, quoted.

    Raises:
        Refused: a ``{}`` stands within quotes, which would undo ours: the shell would then run what an item says.
    """

    def __init__(self, words: Sequence[bytes]) -> None:
        line = b" ".join(words)
        if PLACEHOLDER not in line:
            line += b" " + PLACEHOLDER
        if is_within_quotes(line):
            raise Refused(
                f"{os.fsdecode(line)!r}: a {{}} stands within quotes, but the item comes quoted already: "
                "write {} without quotes around it"
            )
        self._pieces = line.split(PLACEHOLDER)

    def fill(self, item: Item) -> list[bytes]:
        """The shell and its arguments for *item*. Thread-safe."""
        from shlex import quote

        quoted = os.fsencode(quote(os.fsdecode(item.line)))
        return [SHELL, b"-c", quoted.join(self._pieces)]


def is_within_quotes(line: bytes) -> bool:
    """Whether a placeholder of a shell's line stands in single or double quotes, ``$(…)`` beginning anew."""
    contexts = [b""]  # the quote that is open, innermost last; b"" for none
    place = 0
    while place < len(line):
        quote, character = contexts[-1], line[place : place + 1]
        if quote and line.startswith(PLACEHOLDER, place):
            return True
        if quote == b"'":
            if character == b"'":
                contexts.pop()
        elif character == b"\\":
            place += 1
        elif line.startswith(b"$(", place):
            contexts.append(b"")
            place += 1
        elif character == b'"' or (character == b"'" and not quote):
            if character == quote:
                contexts.pop()
            else:
                contexts.append(character)
        elif character == b")" and not quote and len(contexts) > 1:
            contexts.pop()
        place += 1
    return False
