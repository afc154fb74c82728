"""Where the item goes: the words of a command, filled in for one item after the other."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from headrace.cli.refusal import Refused
from headrace.cli.vocabulary import PLAIN, whole_item

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    from headrace.cli.item import Item
    from headrace.cli.vocabulary import Piece, Value, Vocabulary

    class Template(Protocol):
        """Makes the words of a command out of an item."""

        def fill(self, item: Item) -> list[bytes]:
            """The command for *item*, name first. Thread-safe. Raises ``Refused`` where the item lacks a value."""
            ...


__all__ = ["CommandTemplate", "ShellTemplate"]

SHELL = b"/bin/sh"
HERE_DOCUMENT = rb"<<-?[ \t]*[^<\s].*\n"


class CommandTemplate:
    """Words that go to the command as they are, without a shell, but for the placeholders in them.

    Where there is no placeholder the item is one more word at the end; of several inputs, each is one.

    Args:
        appends: whether it is.

    Attributes:
        program: the first word, where it is the same for every item; else None.

    Raises:
        Refused: something is meant as a placeholder, and is none.
    """

    def __init__(self, words: Sequence[bytes], vocabulary: Vocabulary = PLAIN, *, appends: bool = True) -> None:
        cut = [vocabulary.pieces(word) for word in words]
        self.program = None if values_in(cut[:1]) else words[0]
        values = values_in(cut)
        if appends and not values:
            cut.append([b"", whole_item, b""])
        self._cut = cut
        # Most commands have nothing but {} in them, which is quickly joined.
        is_plain = vocabulary == PLAIN and all(value is whole_item for value in values)
        self._plain = [word.split(b"{}") for word in words] if is_plain else None
        if self._plain is not None and appends and not values:
            self._plain.append([b"", b""])

    def fill(self, item: Item) -> list[bytes]:
        """The command for *item*, name first. Thread-safe. Raises ``Refused`` where the item lacks a value."""
        if self._plain is not None:
            line = item.line
            return [line.join(pieces) for pieces in self._plain]
        has_inputs = item.fields is None  # raises for an item that is none
        words: list[bytes] = []
        for pieces in self._cut:
            if has_inputs and is_only_the_item(pieces):
                words += item.arguments
            else:
                words.append(b"".join([piece if isinstance(piece, bytes) else piece(item) for piece in pieces]))
        return words


class ShellTemplate:
    """Words that are joined by spaces into one line for ``/bin/sh``, in which placeholders become quoted values.

    Raises:
        Refused: a placeholder stands where quoting does not help: within quotes, which would undo ours, and the
            shell would then run what an item says; or something is meant as a placeholder, and is none.
    """

    program = SHELL

    def __init__(self, words: Sequence[bytes], vocabulary: Vocabulary = PLAIN, *, appends: bool = True) -> None:
        line = b" ".join(words)
        pieces = vocabulary.pieces(line)
        if appends and not values_in([pieces]):
            pieces = [line + b" ", whole_item, b""]
        if is_within_quotes(pieces):
            raise Refused(
                f"{os.fsdecode(line)!r}: a {{}} stands within quotes, but the item comes quoted already: "
                "write {} without quotes around it"
            )
        self._pieces = pieces

    def line(self, item: Item) -> bytes:
        """The shell's line for *item*. Thread-safe. Raises ``Refused`` where the item lacks a value."""
        has_inputs = item.fields is None  # raises for an item that is none
        return b"".join(
            [piece if isinstance(piece, bytes) else quoted(piece, item, has_inputs) for piece in self._pieces]
        )

    def fill(self, item: Item) -> list[bytes]:
        """The shell and its arguments for *item*. Thread-safe. Raises ``Refused`` where the item lacks a value."""
        return [SHELL, b"-c", self.line(item)]


def values_in(words: Iterable[Sequence[Piece]]) -> list[Value]:
    """What is filled in."""
    return [piece for pieces in words for piece in pieces if not isinstance(piece, bytes)]


def is_only_the_item(pieces: Sequence[Piece]) -> bool:
    """Whether a word is just ``{}``: it then is a word for each input, as ``"$@"`` is in a shell."""
    return len(pieces) == 3 and pieces[1] is whole_item and pieces[0] == b"" == pieces[2]


def quoted(value: Value, item: Item, has_inputs: bool) -> bytes:
    """What is filled in, as words of a shell."""
    if has_inputs and value is whole_item:
        return b" ".join(map(quote, item.arguments))
    return quote(value(item))


def quote(word: bytes) -> bytes:
    """*word* as a shell reads it as one word."""
    from shlex import quote as quote_text

    return os.fsencode(quote_text(os.fsdecode(word)))


def is_within_quotes(pieces: Sequence[Piece]) -> bool:
    """Whether a value would stand in a shell's line where its quotes would not count.

    That is: in single or double quotes (``$(…)`` begins anew), in backquotes, behind a backslash, in a here-document.
    """
    context = ShellContext()
    before = b""
    for piece in pieces:
        if not isinstance(piece, bytes):
            if context.is_quoted() or re.search(HERE_DOCUMENT, before):
                return True
        else:
            context.read(piece)
            before += piece
    return False


class ShellContext:
    """What is open at a place of a shell's line."""

    def __init__(self) -> None:
        self._open = [b""]  # the quote that is open, innermost last; b"" for none
        self._escaped = False

    def is_quoted(self) -> bool:
        """Whether something quotes what comes next."""
        return self._escaped or any(quote in (b"'", b"`") for quote in self._open) or self._open[-1] != b""

    def read(self, text: bytes) -> None:
        """Go on by *text*."""
        place = 0
        while place < len(text):
            if self._escaped:
                self._escaped = False
            elif self._opens_substitution(text, place):
                place += 1
            else:
                self._read_character(text[place : place + 1])
            place += 1

    def _opens_substitution(self, text: bytes, place: int) -> bool:
        if self._open[-1] == b"'" or not text.startswith(b"$(", place):
            return False
        self._open.append(b"")
        return True

    def _read_character(self, character: bytes) -> None:
        quote = self._open[-1]
        if quote == b"'":
            if character == b"'":
                self._open.pop()
        elif character == b"\\":
            self._escaped = True
        elif character in (b'"', b"`") or (character == b"'" and quote != b'"'):
            if character == quote:
                self._open.pop()
            else:
                self._open.append(character)
        elif character == b")" and not quote and len(self._open) > 1:
            self._open.pop()
