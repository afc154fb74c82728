"""Where the item goes: ``{}`` in the words of a command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CommandTemplate", "ShellTemplate", "Template"]

PLACEHOLDER = b"{}"
SHELL = b"/bin/sh"


class Template(Protocol):
    """Makes the words of a command out of an item."""

    def fill(self, item: bytes) -> list[bytes]:
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

    def fill(self, item: bytes) -> list[bytes]:
        """The command for *item*, name first. Thread-safe."""
        return [item.join(pieces) for pieces in self._words]


class ShellTemplate:
    """Words that are joined by spaces into one line for ``/bin/sh``, in which ``{}`` is the item, quoted."""

    def __init__(self, words: Sequence[bytes]) -> None:
        line = b" ".join(words)
        if PLACEHOLDER not in line:
            line += b" " + PLACEHOLDER
        self._pieces = line.split(PLACEHOLDER)

    def fill(self, item: bytes) -> list[bytes]:
        """The shell and its arguments for *item*. Thread-safe."""
        from shlex import quote

        quoted = os.fsencode(quote(os.fsdecode(item)))
        return [SHELL, b"-c", quoted.join(self._pieces)]
